//! mien's side of the comparison with PyTorch: bare steps on a batch that is ready, one for each line on
//! standard input.
//!
//! `scripts/compare_torch.py` starts it and lets the two take turns. By hand: `cargo bench --bench torch --
//! [MODEL] [SIZE] [BATCH] [FAST]` (vgg16 256 8 true), then `train`, `infer` or `one` (a batch of one) a line;
//! each is answered with its seconds and the loss, or the first logit.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mien::data::{DataConfig, load};
use mien::device::{self, DeviceConfig};
use mien::eval::evaluate::batch_logits;
use mien::eval::session::Resources;
use mien::faces::draw::{DrawConfig, Style, write_set};
use mien::input::batches::{Batch, BatchSource};
use mien::input::mix::MixConfig;
use mien::input::normalization::Normalization;
use mien::input::transform::TransformConfig;
use mien::model::files::weights::ModelCard;
use mien::model::{Model, ModelConfig};
use mien::random::{Purpose, rng};
use mien::train::checkpoint::State;
use mien::train::config::TrainConfig;
use mien::train::fit::{Job, train_step};
use rand::RngExt;

#[global_allocator]
static ALLOCATOR: mien::memory::LineAligned = mien::memory::LineAligned;

const CLASSES: usize = 7;

fn main() {
    // SAFETY: there is no other thread yet.
    unsafe { mien::memory::keep_pages() };
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let argument =
        |place: usize, default: &str| arguments.get(place).cloned().unwrap_or_else(|| default.to_owned());
    let (name, size): (String, usize) = (argument(0, "vgg16"), argument(1, "256").parse().expect("a size"));
    let batch: usize = argument(2, "8").parse().expect("a batch size");
    let fast_conv: bool = argument(3, "true").parse().expect("true or false");

    let device = device::open(&DeviceConfig { name: "cpu".into(), fast_conv, ..DeviceConfig::default() })
        .expect("the CPU");
    let model_config = ModelConfig { name: name.parse().expect("a model"), ..ModelConfig::default() };
    let model = Model::new(&model_config, CLASSES, size).expect("a model");
    let params = model.init(1, false, &device.device);
    // The step asks its job for the data set; nothing is read from it.
    let folder = tempfile::tempdir().expect("a folder");
    write_set(folder.path(), &DrawConfig { per_class: 10, size: 32, seed: 1, style: Style::Photo }, &|| ())
        .expect("faces");
    let data = DataConfig { root: folder.path().to_owned(), ..DataConfig::default() };
    let (dataset, store) = load(&data, 1, &|_, _| ()).expect("faces");
    let classes = dataset.classes.clone();
    let normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };
    let config = TrainConfig {
        batch_size: batch,
        epochs: 1,
        learning_rate: 1e-4,
        label_smoothing: 0.0,
        ..TrainConfig::default()
    };
    let resources = Resources { device: device.clone(), batch_size: batch, workers: 1 };
    let job = Job {
        model: &model,
        card: ModelCard::new(model_config.clone(), classes, size, [0.0; 3], [1.0; 3]),
        source: Arc::new(BatchSource {
            dataset: Arc::new(dataset),
            store: Arc::new(store),
            size,
            normalization,
        }),
        config: &config,
        transform: &TransformConfig::default(),
        mix: &MixConfig::default(),
        resources: &resources,
        folder: Path::new(""),
        stop: &AtomicBool::new(false),
    };
    let mut state = State::new(params.clone(), config.rule(), None);
    let mut random = rng(1, Purpose::Sample, 0, 0);
    let images: Vec<f32> = (0..batch * 3 * size * size).map(|_| random.random::<f32>() * 2.0 - 1.0).collect();
    let targets: Vec<usize> = (0..batch).map(|place| place % CLASSES).collect();

    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let started = Instant::now();
        let value = match line.trim() {
            "train" => {
                let samples = (0..batch).collect();
                let batch = Batch {
                    images: images.clone(),
                    features: None,
                    targets: targets.clone(),
                    samples,
                    mixed: None,
                };
                let loss = train_step(&job, &mut state, &[batch], None).expect("a step").loss;
                state.progress.step += 1;
                loss
            }
            kind @ ("infer" | "one") => {
                let count = if kind == "one" { 1 } else { batch };
                let images = images[..count * 3 * size * size].to_vec();
                f64::from(batch_logits(&model, &params, images, size, device.compute).expect("logits")[0][0])
            }
            "memory" => {
                let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
                let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
                peak.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or(f64::NAN)
            }
            other => panic!("train, infer, one or memory, found {other}"),
        };
        println!("{} {value}", started.elapsed().as_secs_f64());
        std::io::stdout().flush().expect("a reader");
    }
}
