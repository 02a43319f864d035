//! What the input pipeline and the bookkeeping cost: whole training steps of mien against a bare Burn loop
//! with ready tensors.
//!
//! `cargo bench --bench step -- [MODEL] [SIZE] [BATCH] [STEPS] [both|mien|bare]` (vgg16 256 8 5 both; one
//! alone for its peak memory).
//!
//! The two take turns, so that a machine that drifts drifts for both; medians are printed. The bare loop has
//! Burn's own modules of VGG-16, its SGD with momentum and weight decay, one batch made once, and reads the
//! loss; mien decodes, transforms, mixes, logs, averages nothing (`ema = false`). Single layers: `cargo bench
//! -p mien-kernels --bench layers`; against PyTorch: `benches/torch.rs`.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_optim::decay::WeightDecayConfig;
use burn_optim::momentum::MomentumConfig;
use burn_optim::{GradientsParams, SgdConfig};
use mien::config::{Override, RunConfig};
use mien::error::Result;
use mien::faces::draw::{DrawConfig, Style, write_set};
use mien::run::prepare;
use mien::run_folder::events::{Event, Sink};

#[global_allocator]
static ALLOCATOR: mien::memory::LineAligned = mien::memory::LineAligned;

/// VGG-16 as a user of Burn writes it.
#[derive(Module, Debug)]
struct BareVgg {
    convolutions: Vec<Conv2d>,
    pool: MaxPool2d,
    linears: Vec<Linear>,
    dropout: Dropout,
}

const CHANNELS: [usize; 13] = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512];
const POOL_AFTER: [usize; 5] = [1, 3, 6, 9, 12];

impl BareVgg {
    fn new(device: &Device) -> Self {
        let mut input = 3;
        let convolutions = CHANNELS.map(|output| {
            let config = Conv2dConfig::new([input, output], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
            input = output;
            config.init(device)
        });
        let linears =
            [(25088, 4096), (4096, 4096), (4096, 7)].map(|(i, o)| LinearConfig::new(i, o).init(device));
        Self {
            convolutions: convolutions.into(),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            linears: linears.into(),
            dropout: DropoutConfig::new(0.5).init(),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = images;
        for (index, convolution) in self.convolutions.iter().enumerate() {
            x = relu(convolution.forward(x));
            if POOL_AFTER.contains(&index) {
                x = self.pool.forward(x);
            }
        }
        let mut x = mien::model::layers::adaptive_avg_pool2d(x, 7).flatten::<2>(1, 3);
        for linear in &self.linears[..2] {
            x = self.dropout.forward(relu(linear.forward(x)));
        }
        self.linears[2].forward(x)
    }
}

/// Lets mien make one step for each token it is given, and reports each step's seconds.
struct Turns {
    turn: Receiver<()>,
    done: SyncSender<f64>,
    start: Option<Instant>,
}

impl Sink for Turns {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::EpochStart { .. } => {
                _ = self.turn.recv();
                self.start = Some(Instant::now());
            }
            Event::Step(_) => {
                let seconds = self.start.map_or(0.0, |start| start.elapsed().as_secs_f64());
                _ = self.done.send(seconds);
                if self.turn.recv().is_err() {
                    return Err(mien::error::Error::Interrupted("the bench is over".into()));
                }
                self.start = Some(Instant::now());
            }
            _ => {}
        }
        Ok(())
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: not known").to_owned()
}

fn main() {
    // SAFETY: there is no other thread yet.
    unsafe { mien::memory::keep_pages() };
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |place: usize, default: usize| {
        arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let name = arguments.first().cloned().unwrap_or_else(|| "vgg16".into());
    let who = arguments.get(4).cloned().unwrap_or_else(|| "both".into());
    let (size, batch, steps) = (number(1, 256), number(2, 8), number(3, 5));

    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let faces = folder.path().join("faces");
    let per_class = (steps + 2) * batch * 10 / 8 / 7 + 10;
    write_set(&faces, &DrawConfig { per_class, size: 48, seed: 1, style: Style::Photo }, &|| ())
        .expect("faces to train on");
    let changes = [
        format!("data.root='{}'", faces.display()),
        format!("model.name={name}"),
        format!("input.size={size}"),
        format!("train.batch_size={batch}"),
        "train.ema=false".into(),
        "device.name=cpu".into(),
    ];
    let changes: Vec<Override> =
        changes.iter().map(|text| Override::parse(text).expect("key=value")).collect();
    let config = RunConfig::compose(None, &changes).expect("a valid configuration");

    let (turn, turns) = sync_channel(0);
    let (done, results) = sync_channel(0);
    let run = folder.path().join("run");
    let mien = (who != "bare").then(|| {
        std::thread::spawn(move || {
            let prepared = prepare(config, &|_, _| ()).expect("data and model");
            _ = prepared.train(&run, &mut Turns { turn: turns, done, start: None }, &AtomicBool::new(false));
        })
    });

    let device = Device::flex().autodiff();
    let mut model = (name == "vgg16" && who != "mien").then(|| BareVgg::new(&device));
    let mut optimizer = SgdConfig::new()
        .with_momentum(Some(MomentumConfig::new().with_momentum(0.9).with_dampening(0.0)))
        .with_weight_decay(Some(WeightDecayConfig::new(1e-4)))
        .init();
    let images = Tensor::<4>::random([batch, 3, size, size], Distribution::Normal(0.0, 1.0), &device);
    let targets = Tensor::<1, Int>::from_ints(vec![0i32; batch].as_slice(), &device);
    let loss_of = CrossEntropyLossConfig::new().with_smoothing(Some(0.1)).init(&device);

    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=steps {
        let seconds = mien.as_ref().map(|_| {
            turn.send(()).expect("mien is training");
            results.recv().expect("mien has made its step")
        });
        let start = Instant::now();
        if let Some(now) = model.take() {
            let loss = loss_of.forward(now.forward(images.clone()), targets.clone());
            let gradients = GradientsParams::from_grads(loss.backward(), &now);
            model = Some(optimizer.step(1e-3, now, gradients));
            let loss: f32 = loss.into_scalar();
            assert!(loss.is_finite());
        }
        if round > 0 {
            // The first round warms up.
            ours.extend(seconds);
            bare.extend(model.as_ref().map(|_| start.elapsed().as_secs_f64()));
        }
    }
    drop(turn);
    drop(results);
    if let Some(mien) = mien {
        mien.join().expect("the training thread ends");
    }

    println!("{name} {size}x{size}, batch {batch}, f32, medians of {steps} steps, taking turns");
    for (who, seconds) in [("mien", &mut ours), ("bare Burn", &mut bare)] {
        if !seconds.is_empty() {
            let seconds = median(seconds);
            println!("{who:<10} {:.3} images/s ({seconds:.3} s a step)", batch as f64 / seconds);
        }
    }
    if !ours.is_empty() && !bare.is_empty() {
        println!(
            "ratio      {:.3} (mien's time over the bare loop's)",
            median(&mut ours) / median(&mut bare)
        );
    }
    println!("peak memory of the process: {}", peak_memory());
}
