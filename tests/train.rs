//! Training tests on drawn faces: a batch can be overfitted, the same seed gives the same losses, an
//! interrupted and resumed run is the uninterrupted one, workers change nothing, frozen weights stay, a bad
//! loss is named, and a backbone from outside the crate learns.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use mien::config::{Override, RunConfig};
use mien::error::Result;
use mien::faces::draw::{DrawConfig, Style, write_set};
use mien::model::files::weights::TensorFile;
use mien::model::layers::Pass;
use mien::model::params::leaf;
use mien::run::{self, prepare};
use mien::run_folder::events::{self, Event, Silent, Sink};
use mien::train::fit::Outcome;
use tempfile::TempDir;

#[path = "../examples/custom_backbone.rs"]
mod custom_backbone;

/// A quick model on quick data: 7 classes of 10 drawn faces of 32×32.
const QUICK: &str = r#"
[input]
size = 32
[model]
name = "vgg16_bn_cbam"
width = 0.0625
head = "gap"
dropout = 0.2
[train]
epochs = 2
batch_size = 8
learning_rate = 0.02
early_stopping = false
save_every = 0
[report]
page = false
[device]
name = "cpu"
precision = "f32"
"#;

fn faces(folder: &Path) -> PathBuf {
    let faces = folder.join("faces");
    let config = DrawConfig { per_class: 10, size: 32, seed: 5, style: Style::Photo };
    write_set(&faces, &config, &|| ()).unwrap();
    faces
}

fn config(faces: &Path, changes: &[&str]) -> RunConfig {
    let root = format!("data.root='{}'", faces.display());
    let changes: Vec<Override> =
        [root.as_str()].iter().chain(changes).map(|text| Override::parse(text).unwrap()).collect();
    RunConfig::compose_text(Some(("quick", QUICK)), &changes).unwrap()
}

/// Stops a run after so many updates.
struct StopAfter<'a> {
    steps: u64,
    stop: &'a AtomicBool,
}

impl Sink for StopAfter<'_> {
    fn event(&mut self, event: &Event) -> Result<()> {
        if let Event::Step(step) = event
            && step.step == self.steps
        {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn train(config: RunConfig, folder: &Path) -> Result<Outcome> {
    prepare(config, &|_, _| ())?.train(folder, &mut Silent, &AtomicBool::new(false))
}

/// Every number of every step and epoch that is not a time.
fn numbers(folder: &Path) -> Vec<String> {
    let of = |event: Event| match event {
        Event::Step(s) => Some(format!(
            "step {} {} {:?} {:?} {:?} {:?}",
            s.step, s.batch, s.loss, s.accuracy, s.epoch_loss, s.learning_rate
        )),
        Event::Epoch(e) => Some(format!(
            "epoch {} {:?} {:?} {:?} {}",
            e.epoch, e.train_loss, e.val_loss, e.val_macro_f1, e.best
        )),
        _ => None,
    };
    events::read(&folder.join("events.jsonl")).unwrap().into_iter().filter_map(of).collect()
}

/// Every tensor of a file.
fn tensors(path: &Path) -> Vec<(String, Vec<u32>)> {
    let file = TensorFile::open(path).unwrap();
    let bits = |name: &str| file.values(name).unwrap().iter().map(|value| value.to_bits()).collect();
    file.names().into_iter().map(|name| (name.clone(), bits(&name))).collect()
}

fn losses(folder: &Path) -> Vec<f64> {
    let events = events::read(&folder.join("events.jsonl")).unwrap();
    events
        .into_iter()
        .filter_map(|event| if let Event::Step(step) = event { Some(step.loss) } else { None })
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_losses_with_any_number_of_workers() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    for (name, changes) in [
        ("one", &["device.workers=1"][..]),
        ("three", &["device.workers=3"]),
        ("no-cache", &["data.cache_mb=0"]),
        ("other", &["train.seed=43"]),
    ] {
        train(config(&faces, changes), &temp.path().join(name)).unwrap();
    }
    let of = |name: &str| numbers(&temp.path().join(name));
    assert_eq!(of("one").len(), 16, "7 updates and an epoch, twice");
    assert_eq!(of("one"), of("three"));
    assert_eq!(of("one"), of("no-cache"));
    assert_ne!(of("one"), of("other"));
    let best = |name: &str| tensors(&temp.path().join(name).join("best.safetensors"));
    assert_eq!(best("one"), best("three"));
}

#[test]
fn a_run_that_was_interrupted_and_resumed_is_the_uninterrupted_run() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    for (name, changes) in [
        ("sgd", &["train.epochs=3"][..]),
        (
            "adam",
            &[
                "train.epochs=3",
                "train.optimizer=adam",
                "train.learning_rate=0.001",
                "train.schedule.kind=plateau",
            ],
        ),
        ("plain", &["train.epochs=3", "train.ema=false", "train.gradient_clip=1", "train.balance=sampling"]),
    ] {
        let whole = temp.path().join(format!("{name}-whole"));
        assert_eq!(train(config(&faces, changes), &whole).unwrap(), Outcome::Finished);

        // Stopped in the middle of the second epoch, again at its last update, and then left alone.
        let parts = temp.path().join(format!("{name}-parts"));
        let stop = AtomicBool::new(false);
        let mut sink = StopAfter { steps: 10, stop: &stop };
        let prepared = prepare(config(&faces, changes), &|_, _| ()).unwrap();
        assert_eq!(prepared.train(&parts, &mut sink, &stop).unwrap(), Outcome::Interrupted);
        for steps in [14, u64::MAX] {
            let stop = AtomicBool::new(false);
            let mut sink = StopAfter { steps, stop: &stop };
            let outcome = run::resume(&parts, |_| (), &|_, _| (), &mut sink, &stop).unwrap();
            assert_eq!(outcome, if steps == 14 { Outcome::Interrupted } else { Outcome::Finished });
        }
        assert_eq!(numbers(&whole), numbers(&parts), "{name}");
        assert_eq!(
            tensors(&whole.join("best.safetensors")),
            tensors(&parts.join("best.safetensors")),
            "{name}"
        );
        let last = |run: &Path| tensors(&run.join("checkpoints/last.safetensors"));
        assert_eq!(last(&whole), last(&parts), "{name}");

        let again =
            run::resume(&parts, |_| (), &|_, _| (), &mut Silent, &AtomicBool::new(false)).unwrap_err();
        assert!(again.to_string().contains("the run has already ended (finished)"), "{again}");
    }
}

#[test]
fn a_batch_can_be_overfitted() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    let changes = [
        "data.debug_subset=14",
        "train.batch_size=14",
        "train.epochs=150",
        "train.learning_rate=0.02",
        "train.schedule.kind=none",
        "train.label_smoothing=0",
        "train.auto_lr=false",
        "augment.mix.enabled=false",
        "augment.transform.flip=0",
        "augment.transform.rotation=0",
        "augment.transform.brightness=0",
        "augment.transform.contrast=0",
        "augment.transform.saturation=0",
        "augment.transform.hue=0",
        "augment.transform.translate=0",
        "model.dropout=0",
    ];
    for model in ["vgg16_bn_cbam", "resnet18"] {
        let name = format!("model.name={model}");
        let head = if model == "resnet18" { "model.head=fc" } else { "model.head=gap" };
        let run = temp.path().join(model);
        train(config(&faces, &[&changes[..], &[&name, head]].concat()), &run).unwrap();
        let losses = losses(&run);
        let last = losses.last().unwrap();
        assert!(losses[0] > 1.5 && *last < 0.05, "{model}: from {} to {last}", losses[0]);
    }
}

#[test]
fn what_was_pretrained_stays_to_the_bit_when_it_is_frozen() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    let first = temp.path().join("first");
    train(config(&faces, &["model.name=vgg16_bn", "train.epochs=1"]), &first).unwrap();

    // Its features are the start of a model with attention; attention and head are new.
    let second = temp.path().join("second");
    let weights = format!("train.weights='{}'", first.join("best.safetensors").display());
    train(config(&faces, &["train.epochs=1", "train.feature_extract=true", &weights]), &second).unwrap();
    let before = tensors(&first.join("best.safetensors"));
    let after = tensors(&second.join("best.safetensors"));
    let mut frozen = 0;
    for (name, bits) in before.iter().filter(|(name, _)| name.starts_with("features.")) {
        let (_, now) = after.iter().find(|(other, _)| other == name).unwrap();
        assert_eq!(bits, now, "{name} has moved");
        frozen += 1;
    }
    assert_eq!(frozen, 13 * 6, "weights, biases, batch-norm weights, biases, means and variances");
    let last = TensorFile::open(&second.join("checkpoints/last.safetensors")).unwrap();
    let momentum = last.names().iter().filter(|name| name.starts_with("train.momentum.")).count();
    assert_eq!(momentum, 5 * 3 + 2, "only attention and head are trained");

    let nothing_new = config(&faces, &["model.name=vgg16_bn", "train.feature_extract=true", &weights]);
    assert!(prepare(nothing_new, &|_, _| ()).err().unwrap().to_string().contains("there is none to train"));
}

/// The notices and the losses of a run.
#[derive(Default)]
struct Heard {
    notices: Vec<String>,
    losses: Vec<f64>,
    validation: Vec<f64>,
}

impl Sink for Heard {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Notice { text } => self.notices.push(text.clone()),
            Event::Step(step) => self.losses.push(step.loss),
            Event::Epoch(epoch) => self.validation.push(epoch.val_loss),
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn features_of_a_frozen_network_are_computed_once_and_change_nothing() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    let first = temp.path().join("first");
    train(config(&faces, &["model.name=vgg16_bn", "train.epochs=1"]), &first).unwrap();
    let weights = format!("train.weights='{}'", first.join("best.safetensors").display());
    // Seven classes again, but another head: it is new, and everything below is frozen.
    let plain = ["flip", "rotation", "brightness", "contrast", "saturation", "hue", "translate"]
        .map(|key| format!("augment.transform.{key}=0"));
    let mut changes = vec![
        "model.name=vgg16_bn",
        "model.head=fc",
        "train.feature_extract=true",
        "augment.mix.enabled=false",
        &weights,
    ];
    let random = config(&faces, &changes);
    changes.extend(plain.iter().map(String::as_str));
    let still = config(&faces, &changes);
    let run = |config: RunConfig, name: &str| {
        let mut heard = Heard::default();
        prepare(config, &|_, _| ())
            .unwrap()
            .train(&temp.path().join(name), &mut heard, &AtomicBool::new(false))
            .unwrap();
        heard
    };
    let kept = run(still.clone(), "kept");
    assert!(
        kept.notices.iter().any(|text| text.contains("of 63 training and validation images are kept")),
        "{:?}",
        kept.notices
    );
    let drawn = run(random, "drawn");
    assert!(
        drawn.notices.iter().any(|text| text.contains("of 7 validation images are kept")),
        "{:?}",
        drawn.notices
    );

    // The same numbers where nothing is kept: with a rotation by nothing, which is random in name.
    let mut anew = still;
    anew.augment.transform.rotation = 1e-30;
    let anew = run(anew, "anew");
    assert!(anew.notices.iter().any(|text| text.contains("of 7 validation images are kept")));
    for (a, b) in kept.losses.iter().chain(&kept.validation).zip(anew.losses.iter().chain(&anew.validation)) {
        assert!((a - b).abs() <= 1e-5 * a.abs(), "{a} {b}");
    }
    assert_eq!(kept.losses.len(), 14);
}

#[test]
fn fast_convolutions_follow_the_engines_own_for_fifty_steps() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    // Where batch norm sees few values any rounding grows from step to step, the more so the larger the rate;
    // a tiny ResNet amplifies it by too much to tell anything.
    for model in ["vgg16", "vgg16_bn", "vgg16_bn_cbam"] {
        let losses = |fast: bool| {
            let (fast_key, model_key) = (format!("device.fast_conv={fast}"), format!("model.name={model}"));

            let changes =
                ["train.epochs=8", "train.learning_rate=0.001", "input.size=64", &model_key, &fast_key];
            let mut heard = Heard::default();
            let folder = temp.path().join(format!("{model}-{fast}"));
            prepare(config(&faces, &changes), &|_, _| ())
                .unwrap()
                .train(&folder, &mut heard, &AtomicBool::new(false))
                .unwrap();
            assert!(heard.losses.len() >= 50);
            heard.losses
        };
        let (fast, engine) = (losses(true), losses(false));
        assert_ne!(fast, engine, "fast_conv=false switches nothing off");
        let worst = fast
            .iter()
            .zip(&engine)
            .take(50)
            .map(|(fast, engine)| (fast - engine).abs() / engine)
            .fold(0.0, f64::max);
        eprintln!("{model}: largest relative difference of 50 losses {worst:.1e}");
        assert!(worst < 1e-3, "{model}: {worst}");
    }
}

#[test]
fn half_precision_follows_f32_for_fifty_steps() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    let losses = |precision: &str| {
        let precision_key = format!("device.precision={precision}");
        let changes = [
            "train.epochs=8",
            "train.learning_rate=0.005",
            "augment.mix.enabled=false",
            precision_key.as_str(),
        ];
        let mut heard = Heard::default();
        let folder = temp.path().join(precision);
        prepare(config(&faces, &changes), &|_, _| ())
            .unwrap()
            .train(&folder, &mut heard, &AtomicBool::new(false))
            .unwrap();
        assert!(heard.losses.len() >= 50);
        heard.losses
    };
    let full = losses("f32");
    for precision in ["bf16", "f16"] {
        let half = losses(precision);
        let worst = full
            .iter()
            .zip(&half)
            .take(50)
            .map(|(full, half)| (full - half).abs() / full)
            .fold(0.0, f64::max);
        eprintln!("{precision}: largest relative difference of 50 losses {worst:.5}");
        assert!(worst > 0.0, "{precision} computes in f32");
        assert!(worst < 0.02, "{precision}: {worst}");
    }
}

#[test]
fn accumulated_gradients_are_those_of_the_large_batch() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    // Without batch norm, dropout and mixing a batch of 28 is the mean of two of 14.
    let common =
        ["model.name=vgg16", "model.dropout=0", "augment.mix.enabled=false", "train.learning_rate=0.01"];
    let (large, small) = (temp.path().join("large"), temp.path().join("small"));
    train(config(&faces, &[&common[..], &["train.batch_size=28"]].concat()), &large).unwrap();
    train(config(&faces, &[&common[..], &["train.batch_size=14", "train.accumulation=2"]].concat()), &small)
        .unwrap();
    let (large, small) = (losses(&large), losses(&small));
    assert_eq!(large.len(), small.len());
    for (a, b) in large.iter().zip(&small) {
        assert!((a - b).abs() < 1e-4, "{large:?} is not {small:?}");
    }
}

#[test]
fn half_precision_stays_near_full_precision() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    let mut all = Vec::new();
    for precision in ["f32", "bf16", "f16"] {
        let run = temp.path().join(precision);
        train(config(&faces, &[&format!("device.precision={precision}"), "train.epochs=1"]), &run).unwrap();
        all.push(losses(&run));
    }
    assert_ne!(all[0], all[1], "bf16 must not be f32 in disguise");
    for half in &all[1..] {
        for (full, half) in all[0].iter().zip(half) {
            assert!((full - half).abs() < 0.05 * full, "{all:?}");
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_names_step_and_images_and_keeps_the_checkpoint() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    let run = temp.path().join("run");
    let changes = ["train.learning_rate=1e30", "model.name=vgg16", "train.schedule.kind=none"];
    let error = train(config(&faces, &changes), &run).unwrap_err().to_string();
    assert!(error.contains("at step 2 (epoch 1, batch 2") && error.contains("drawn-p"), "{error}");
    TensorFile::open(&run.join("checkpoints/last.safetensors")).unwrap();
}

#[test]
fn a_changed_data_set_is_not_resumed() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    let run = temp.path().join("run");
    let stop = AtomicBool::new(false);
    let mut sink = StopAfter { steps: 2, stop: &stop };
    prepare(config(&faces, &[]), &|_, _| ()).unwrap().train(&run, &mut sink, &stop).unwrap();
    let folder = faces.join("train/happy");
    let file = folder.read_dir().unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(file).unwrap();
    let error =
        run::resume(&run, |_| (), &|_, _| (), &mut Silent, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(error.contains("the data have changed since the run was started"), "{error}");
}

#[test]
fn the_one_batch_test_changes_nothing() {
    let temp = TempDir::new().unwrap();
    let faces = faces(temp.path());
    let (with, without) = (temp.path().join("with"), temp.path().join("without"));
    let prepared = prepare(config(&faces, &["train.epochs=1"]), &|_, _| ()).unwrap();
    let first = prepared.try_one_batch().unwrap();
    assert_eq!(first, prepared.try_one_batch().unwrap());
    prepared.train(&with, &mut Silent, &AtomicBool::new(false)).unwrap();
    train(config(&faces, &["train.epochs=1"]), &without).unwrap();
    assert_eq!(numbers(&with), numbers(&without));
    assert_eq!(losses(&with)[0], first, "the test takes the very first batch");
}

/// Noise, redder or bluer by turns: `[B, 3, S, S]`.
fn red_and_blue(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    let value = |index: usize| {
        let (channel, class) = (index / (size * size) % 3, index / (3 * size * size) % 2);
        let noise = (index * 7919 % 1009) as f32 / 1009.0 - 0.5;
        if channel == 2 * class { 1.0 + noise } else { noise }
    };
    let values = (0..batch * 3 * size * size).map(value).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(values, [batch, 3, size, size]), device)
}

/// Plain gradient descent on the example's backbone.
#[test]
fn a_backbone_from_outside_learns() {
    let model = custom_backbone::model(2);
    let device = Device::flex();
    let mut params = model.init(42, false, &device).for_training();
    let (batch, device) = (16, device.autodiff());
    let images = red_and_blue(batch, 32, &device);
    let own_class = (0..2 * batch).map(|i| f32::from(u8::from(i % 2 == i / 2 % 2))).collect::<Vec<_>>();
    let own_class = Tensor::<2>::from_data(TensorData::new(own_class, [batch, 2]), &device);
    let mut losses = Vec::new();
    for step in 0..20 {
        let pass = Pass::train(&params, 42, step);
        let logits = model.logits(images.clone(), &pass); // [B, K]
        let statistics = pass.into_updates();
        let loss = -(log_softmax(logits, 1) * own_class.clone()).sum() / batch as f32;
        losses.push(loss.clone().into_scalar::<f32>());
        let mut gradients = loss.backward();
        for param in params.iter_mut().filter(|param| param.is_trained()) {
            let gradient = param.value.grad_remove(&mut gradients).expect("every weight has a gradient");
            let value = param.value.clone().without_autodiff() - gradient * 0.5;
            param.value = leaf(value, param.kind, param.frozen);
        }
        assert!(!statistics.is_empty(), "batch norms report their statistics");
        statistics.into_iter().for_each(|(id, value)| params.set(id, value));
    }
    assert!(losses[19] < losses[0] / 2.0, "{losses:?}");
}
