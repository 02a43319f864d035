//! A run from a configuration to its folder: prepare, train, resume, evaluate. What the commands call.
//!
//! A run folder holds `config.toml` (resolved), `data.json`, `trained.tsv`, `events.jsonl`, `metrics.csv`,
//! `best.safetensors`, `checkpoints/` and `eval/`. Whoever reads a run needs no more than its folder.

pub mod explain;
pub mod study;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::cli::console::LEAKAGE;
use crate::config::RunConfig;
use crate::data::{self, DataConfig, DataSummary, Dataset, ImageStore, Split};
use crate::device::{self, OpenDevice};
use crate::error::{Error, Result};
use crate::eval::calibration::fit_temperature;
use crate::eval::ensemble::ensemble;
use crate::eval::evaluate::{self, Run, softmax};
use crate::eval::files::{Embeddings, Evaluation, Prediction, write_embeddings, write_evaluation};
use crate::eval::metrics;
use crate::explain::folder::Settings;
use crate::files::{self, create_new_dir, read_json, unused_path, write_atomic, write_json};
use crate::input::batches::BatchSource;
use crate::model::Model;
use crate::model::files::download;
use crate::model::files::weights::{LoadedModel, ModelCard, load_model, load_pretrained, save_model};
use crate::model::params::Params;
use crate::report;
use crate::run_folder::events::{Event, EventLog, Sink, Tee, rewind};
use crate::run_folder::tensorboard::{TENSORBOARD, TensorBoard};
use crate::text::thousands;
use crate::train::checkpoint::State;
use crate::train::fit::{self, BEST, CHECKPOINTS, Job, LAST, Outcome, fit};

/// The resolved configuration within a run folder.
pub const CONFIG: &str = "config.toml";
/// What the data were.
pub const DATA: &str = "data.json";
/// Everything that happened.
pub const EVENTS: &str = "events.jsonl";
/// Hashes and groups of the images that were trained on.
pub const TRAINED: &str = "trained.tsv";
/// Held by the program that trains.
pub const LOCK: &str = ".lock";
/// The folder of evaluations.
pub const EVAL: &str = "eval";
/// Of so many images at most an evaluation keeps the features.
const MOST_EMBEDDINGS: usize = 2_000;

/// Called with images read and images in all, from any thread.
pub type LoadProgress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Data, model and device, ready to train.
pub struct Prepared {
    /// The configuration, valid.
    pub config: RunConfig,
    /// The data.
    pub source: Arc<BatchSource>,
    /// The model.
    pub model: Model,
    /// Its description.
    pub card: ModelCard,
    /// Where to compute.
    pub device: OpenDevice,
    /// Where the weights came from, in words.
    pub start: String,
    /// How many numbers are trained.
    trained: usize,
    /// The start weights; taken by the training, and not made at all where a run goes on.
    params: Option<Params>,
}

/// Loads the data, opens the device and makes the model with its start weights.
///
/// # Errors
/// Whatever is wrong with the configuration, the data, the device or the weights.
pub fn prepare(config: RunConfig, progress: LoadProgress) -> Result<Prepared> {
    let mut prepared = prepare_data(config, progress)?;
    let (params, start) =
        start_weights(&prepared.config, &prepared.model, &prepared.card.classes, &prepared.device)?;
    prepared.trained = params.count_trained();
    (prepared.params, prepared.start) = (Some(params), start);
    Ok(prepared)
}

/// The same without start weights.
fn prepare_data(config: RunConfig, progress: LoadProgress) -> Result<Prepared> {
    config.validate()?;
    let device = device::open(&config.device)?;
    let (dataset, store) = data::load(&config.data, config.split_seed(), progress)?;
    let train = dataset.indices(Split::Train).len();
    if config.train.batch_size > train {
        return Err(Error::input("train.batch_size", format!("found {}", config.train.batch_size))
            .expected(format!("at most {train}, the number of training images"))
            .hint("Choose a smaller --batch-size"));
    }
    let model = Model::new(&config.model, dataset.classes.len(), config.input.size)?;
    let normalization = config.input.normalization;
    let classes = dataset.classes.clone();
    let mut card = ModelCard::new(
        config.model.clone(),
        classes,
        config.input.size,
        normalization.mean,
        normalization.std,
    );
    card.provenance.insert("data".into(), dataset.fingerprint());
    card.provenance.insert("leakage".into(), (!dataset.leaks.is_empty()).to_string());
    let source = batch_source(dataset, store, &card);
    let (start, trained, params) = ("those of the checkpoint".into(), model.parameter_count(), None);
    Ok(Prepared { config, source, model, card, device, start, trained, params })
}

fn batch_source(dataset: Dataset, store: ImageStore, card: &ModelCard) -> Arc<BatchSource> {
    let normalization = crate::input::transform::Normalization { mean: card.mean, std: card.std };
    let (dataset, store) = (Arc::new(dataset), Arc::new(store));
    Arc::new(BatchSource { dataset, store, size: card.input_size, normalization })
}

fn start_weights(
    config: &RunConfig,
    model: &Model,
    classes: &[String],
    device: &OpenDevice,
) -> Result<(Params, String)> {
    let train = &config.train;
    if train.weights.is_empty() {
        return Ok((model.init(train.seed, false, &device.device), "from scratch".into()));
    }
    let path = if train.weights == "imagenet" { imagenet(config)? } else { PathBuf::from(&train.weights) };
    let (mut params, transfer) = load_pretrained(model, classes, &path, train.seed, &device.device)?;
    if train.feature_extract {
        params.freeze(|name| transfer.loaded.contains(name));
        if params.count_trained() == 0 {
            return Err(Error::input(
                "train.feature_extract",
                "every weight comes from the file, so there is none to train",
            )
            .hint("Leave --feature-extract out"));
        }
    }
    let fresh: HashSet<&str> =
        transfer.fresh.iter().filter_map(|name| name.rsplit_once('.')).map(|(layer, _)| layer).collect();
    let fresh = match fresh.len() {
        0 => String::new(),
        1 => format!(", new: {}", fresh.into_iter().next().unwrap_or_default()),
        n => format!(", new: {n} layers"),
    };
    let frozen = if train.feature_extract { ", frozen" } else { "" };
    Ok((params, format!("{}{frozen}{fresh}", path.display())))
}

/// ImageNet weights in the user's cache.
fn imagenet(config: &RunConfig) -> Result<PathBuf> {
    let (_, remote) = download::imagenet(config.model.name)?;
    download::find_imagenet(config.model.name)?.map_err(|place| {
        Error::at(&place, "the ImageNet weights are not there")
            .expected(format!("torchvision's file of {} bytes", remote.bytes))
            .hint(format!("Put {} there, or give --weights FILE", remote.url))
    })
}

impl Prepared {
    fn job<'a>(&'a self, folder: &'a Path, stop: &'a AtomicBool) -> Job<'a> {
        Job {
            model: &self.model,
            card: self.card.clone(),
            source: Arc::clone(&self.source),
            config: &self.config.train,
            transform: &self.config.augment.transform,
            mix: &self.config.augment.mix,
            device: &self.device,
            workers: self.config.device.workers,
            folder,
            stop,
        }
    }

    fn ema_decay(&self) -> Option<f64> {
        self.config.train.ema.then_some(self.config.train.ema_decay)
    }

    fn new_state(&self, params: Params) -> State {
        State::new(params, self.config.train.rule(), self.ema_decay())
    }

    /// Takes one batch through a whole step and an evaluation, and leaves everything as it was. Returns the
    /// loss.
    ///
    /// # Errors
    /// Whatever would go wrong in the first step.
    pub fn try_one_batch(&self) -> Result<f64> {
        let params =
            self.params.clone().ok_or_else(|| Error::Compute("there are no start weights to try".into()))?;
        self.try_state(&self.new_state(params))
    }

    fn try_state(&self, state: &State) -> Result<f64> {
        fit::try_one_batch(&self.job(Path::new(""), &AtomicBool::new(false)), state)
    }

    /// What will be trained on what and where, a line each.
    pub fn header(&self) -> Vec<(String, String)> {
        let (config, dataset) = (&self.config, &self.source.dataset);
        let counts = dataset.counts();
        let sum = |split| counts.of(split).iter().sum::<usize>();
        let groups = dataset.summary().groups;
        let mut lines = vec![
            (
                "data",
                format!(
                    "{} ({} images, {} classes)",
                    config.data.root.display(),
                    dataset.samples.len(),
                    dataset.classes.len()
                ),
            ),
            ("classes", dataset.classes.join(", ")),
            (
                "splits",
                format!(
                    "train {}, valid {}, test {} images; {}, {}, {} groups",
                    sum(Split::Train),
                    sum(Split::Valid),
                    sum(Split::Test),
                    groups.train,
                    groups.valid,
                    groups.test
                ),
            ),
            (
                "model",
                format!(
                    "{}, {} parameters ({} trained), input {}×{}",
                    config.model.name,
                    thousands(self.model.parameter_count()),
                    thousands(self.trained),
                    config.input.size,
                    config.input.size
                ),
            ),
            ("weights", self.start.clone()),
            ("device", self.device.to_string()),
        ];
        if !dataset.leaks.is_empty() {
            lines.push((
                LEAKAGE,
                format!(
                    "{} groups are in more than one split: every accuracy below is too good",
                    dataset.leaks.len()
                ),
            ));
        }
        lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Trains in a new folder and evaluates the best model on the validation and test splits.
    ///
    /// # Errors
    /// The folder is not empty or cannot be written; whatever goes wrong in training (see [`fit()`]).
    pub fn train(mut self, folder: &Path, sink: &mut dyn Sink, stop: &AtomicBool) -> Result<Outcome> {
        let params =
            self.params.take().ok_or_else(|| Error::Compute("there are no start weights to train".into()))?;
        let mut state = self.new_state(params);
        self.try_state(&state)?;
        create_new_dir(folder)?;
        let _lock = lock(folder)?;
        let checkpoints = folder.join(CHECKPOINTS);
        create_new_dir(&checkpoints)?;
        // The configuration, which makes a folder a run, comes last: a run can be resumed from its first
        // moment on. And a disk that has no room for a checkpoint shows now.
        state.save(&checkpoints.join(LAST), &self.card)?;
        write_json(&folder.join(DATA), &self.source.dataset.summary())?;
        write_trained(&folder.join(TRAINED), &self.source.dataset)?;
        self.config.save(&folder.join(CONFIG))?;
        self.go_on(folder, &mut state, sink, stop)
    }

    fn go_on(
        &self,
        folder: &Path,
        state: &mut State,
        sink: &mut dyn Sink,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        let mut log = EventLog::append(&folder.join(EVENTS))?;
        let mut board = self.config.report.tensorboard.then(|| TensorBoard::new(&folder.join(TENSORBOARD)));
        let mut sinks: Vec<&mut dyn Sink> = vec![&mut log];
        sinks.extend(board.as_mut().map(|board| board as &mut dyn Sink));
        sinks.push(sink);
        let mut sink = Tee(sinks);
        let dataset = &self.source.dataset;
        sink.event(&Event::Start {
            run: folder.to_owned(),
            header: self.header(),
            from_step: state.progress.step,
        })?;
        for text in dataset.warnings.iter().chain(&dataset.left_out) {
            sink.event(&Event::Notice { text: text.clone() })?;
        }
        if !dataset.unreadable.is_empty() {
            let text =
                format!("{} unreadable files are left out; {DATA} names them", dataset.unreadable.len());
            sink.event(&Event::Notice { text })?;
        }
        let outcome = fit(&self.job(folder, stop), state, &mut sink)?;
        if outcome != Outcome::Interrupted {
            let best = load_model(&folder.join(BEST), &self.device.device)?;
            for split in self.unevaluated(folder) {
                let subject = Subject { name: run_name(folder), loaded: &best, run: Some(folder) };
                evaluate_split(
                    &[subject],
                    &self.source,
                    Samples::Of(split),
                    &self.device,
                    self.run(),
                    &mut sink,
                )?
                .write(&folder.join(EVAL), split.name())?;
            }
        }
        let seconds = state.progress.history.iter().map(|epoch| epoch.seconds).sum::<f64>()
            + state.progress.running.seconds;
        sink.event(&Event::End { reason: outcome.describe().into(), seconds })?;
        // The run itself is whole; what only shows it shall not make it fail.
        if outcome != Outcome::Interrupted
            && self.config.report.page
            && let Err(error) = self.show(folder, &mut sink)
        {
            let text = format!("no report: {error}. Make it with: mien report {}", folder.display());
            sink.event(&Event::Notice { text })?;
        }
        Ok(outcome)
    }

    /// Makes maps and the page.
    fn show(&self, folder: &Path, sink: &mut dyn Sink) -> Result<()> {
        let grid = self.config.report.maps;
        if grid > 0 {
            let best = load_model(&folder.join(BEST), &self.device.device)?;
            let scope =
                explain::Scope { samples: None, grid, means: grid, judged: 0, judged_methods: Vec::new() };
            let settings = Settings::default();
            let mut progress = |_: &'static str, done, of| sink.event(&Event::Evaluating { done, of });
            explain::explain_source(
                folder,
                &best,
                &self.source,
                &scope,
                &settings,
                &self.device,
                self.run(),
                &mut progress,
            )?;
        }
        report::write(folder, &report::Options::default()).map(|_| ())
    }

    /// The splits with images whose evaluation is not in the folder yet.
    fn unevaluated(&self, folder: &Path) -> Vec<Split> {
        let wanted = |split: &Split| {
            let done = folder.join(EVAL).join(format!("{split}.json")).exists();
            !done && !self.source.dataset.indices(*split).is_empty()
        };
        [Split::Valid, Split::Test].into_iter().filter(wanted).collect()
    }

    fn run(&self) -> Run {
        let (batch_size, workers) = (self.config.train.batch_size, self.config.device.workers);
        Run { batch_size, workers, compute: self.device.compute }
    }
}

/// Goes on with the run in `folder` from its last checkpoint. `change` may alter the device, never what is
/// computed.
///
/// # Errors
/// There is no run, it is finished, its data have changed, or its checkpoint does not fit.
pub fn resume(
    folder: &Path,
    change: impl FnOnce(&mut crate::device::DeviceConfig),
    progress: LoadProgress,
    sink: &mut dyn Sink,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let (mut config, before) = read_run(folder)?;
    let _lock = lock(folder)?;
    change(&mut config.device);
    let mut prepared = prepare_data(config, progress)?;
    let now = prepared.source.dataset.summary();
    if now.fingerprint != before.fingerprint {
        return Err(Error::at(
            &prepared.config.data.root,
            "the data are no longer those that the run began with",
        )
        .expected(format!("fingerprint {}", short(&before.fingerprint)))
        .hint(format!("Found {}; bring the data back, or start a new run", short(&now.fingerprint))));
    }
    let path = folder.join(CHECKPOINTS).join(LAST);
    let rule = prepared.config.train.rule();
    let mut state = State::load(&path, &prepared.model, rule, prepared.ema_decay(), &prepared.device.device)?;
    prepared.trained = state.params.count_trained();
    // A run that was ended before its evaluation was written has that left to do.
    if let Some(reason) = state.progress.finished.as_ref().filter(|_| prepared.unevaluated(folder).is_empty())
    {
        return Err(Error::at(folder, format!("the run is over ({reason})"))
            .hint("Evaluate it with mien eval, or start another from it with --weights"));
    }
    let progress = &state.progress;
    rewind(&folder.join(EVENTS), progress.step, progress.epoch + 1, progress.batch)?;
    if progress.finished.is_none() {
        prepared.try_state(&state)?;
    }
    prepared.go_on(folder, &mut state, sink, stop)
}

/// Keeps other programs from training in the same folder, for as long as the file is open.
fn lock(folder: &Path) -> Result<File> {
    files::lock(&folder.join(LOCK))?.ok_or_else(|| {
        Error::at(folder, "another mien is training in this folder").hint("Wait for it, or stop it first")
    })
}

/// Writes what was trained on, so that a later evaluation can tell whether it sees the same images or groups:
/// a line per image with the hash of its content and its group.
fn write_trained(path: &Path, dataset: &Dataset) -> Result<()> {
    let mut lines: Vec<String> = dataset
        .indices(Split::Train)
        .into_iter()
        .map(|index| {
            let sample = &dataset.samples[index];
            format!("{}\t{}\n", blake3::Hash::from_bytes(sample.hash).to_hex(), sample.group)
        })
        .collect();
    lines.sort_unstable();
    write_atomic(path, |out| out.write_all(lines.concat().as_bytes()))
}

/// How many of the evaluated samples a run has trained on: the same content or, in the same data set, the
/// same group.
fn seen_in_training(run: &Path, dataset: &Dataset, indices: &[usize]) -> Result<usize> {
    let path = run.join(TRAINED);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let (hashes, groups): (HashSet<&str>, HashSet<&str>) =
        text.lines().filter_map(|line| line.split_once('\t')).unzip();
    let same_root = read_run(run)?.0.data.root == dataset.config.root;
    let seen = |index: &&usize| {
        let sample = &dataset.samples[**index];
        let hash = blake3::Hash::from_bytes(sample.hash).to_hex();
        hashes.contains(hash.as_str()) || (same_root && groups.contains(sample.group.as_str()))
    };
    Ok(indices.iter().filter(seen).count())
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

/// Whether `path` is a run folder.
pub fn is_run(path: &Path) -> bool {
    path.join(CONFIG).is_file()
}

/// A run's configuration and data summary.
///
/// # Errors
/// `folder` is no run folder.
pub fn read_run(folder: &Path) -> Result<(RunConfig, DataSummary)> {
    if !is_run(folder) {
        return Err(Error::at(folder, format!("there is no {CONFIG}")).expected("the folder of a run"));
    }
    Ok((RunConfig::load(&folder.join(CONFIG))?, read_json(&folder.join(DATA))?))
}

/// A folder for a new run: `runs/{model}-{dataset type}`, with a number where that is taken.
pub fn default_folder(config: &RunConfig) -> PathBuf {
    let kind = serde_json::to_value(config.data.dataset_type).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("run");
    unused_path(&Path::new("runs").join(format!("{}-{kind}", config.model.name)))
}

fn run_name(folder: &Path) -> String {
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A model to evaluate and what to call it.
pub struct Subject<'a> {
    /// Its name in the tables.
    pub name: String,
    /// The model.
    pub loaded: &'a LoadedModel,
    /// The folder of its run, if it has one: tells what it was trained on.
    pub run: Option<&'a Path>,
}

/// Which samples to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// One split.
    Of(Split),
    /// All of them.
    All,
}

/// Results on one split, of each model and, with several, of their ensemble.
pub struct Results {
    /// One per model, then "majority vote" and "mean probability" where there are several.
    pub evaluations: Vec<(Evaluation, Vec<Prediction>)>,
    /// Features of some of the images, where there is one model.
    pub embeddings: Embeddings,
}

impl Results {
    /// Writes the files of all results to `folder`: `{name}.json` and so on, with the model's name in it
    /// where there are several.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for (evaluation, predictions) in &self.evaluations {
            let name = match self.evaluations.len() {
                1 => name.to_owned(),
                _ => format!("{name}-{}", evaluation.model.replace(['/', '\\', ' '], "-")),
            };
            paths.extend(write_evaluation(folder, &name, evaluation, predictions)?);
        }
        paths.extend(write_embeddings(folder, name, &self.embeddings)?);
        Ok(paths)
    }
}

/// Evaluates models on samples that they all know the classes of.
///
/// # Errors
/// The models differ in classes; there are no samples; an image cannot be read any more; the device fails.
pub fn evaluate_split(
    subjects: &[Subject],
    source: &Arc<BatchSource>,
    samples: Samples,
    device: &OpenDevice,
    run: Run,
    sink: &mut dyn Sink,
) -> Result<Results> {
    let chosen = choose(&source.dataset, samples)?;
    let leakage = tell_leakage(subjects, &source.dataset, &chosen, sink)?;
    let (mut logits, mut embeddings) = (Vec::with_capacity(subjects.len()), Vec::new());
    for subject in subjects {
        let (rows, features) = logits_of(subject.loaded, source, &chosen.indices, device, run, sink)?;
        logits.push(rows);
        embeddings.push(features);
    }
    judge(subjects, &source.dataset, &chosen, leakage, &logits, embeddings)
}

/// The images of an evaluation.
struct Chosen {
    samples: Samples,
    /// What they are called: a split, or `all`.
    name: &'static str,
    indices: Vec<usize>,
}

/// Evaluation never sees an augmented image.
fn choose(dataset: &Dataset, samples: Samples) -> Result<Chosen> {
    let (mut indices, name) = match samples {
        Samples::Of(split) => (dataset.indices(split), split.name()),
        Samples::All => ((0..dataset.samples.len()).collect(), "all"),
    };
    indices.retain(|&index| !dataset.samples[index].augmented);
    if indices.is_empty() {
        return Err(Error::at(&dataset.config.root, format!("there are no images in the {name} split"))
            .hint("Choose another with --split, or --split all"));
    }
    Ok(Chosen { samples, name, indices })
}

/// Whether any of the models was trained on a leaking split, or on some of these images or their groups,
/// which is told.
fn tell_leakage(
    subjects: &[Subject],
    dataset: &Dataset,
    chosen: &Chosen,
    sink: &mut dyn Sink,
) -> Result<bool> {
    let mut leakage = subjects
        .iter()
        .any(|subject| subject.loaded.card.provenance.get("leakage").is_some_and(|is| is == "true"));
    for Subject { name, run, .. } in subjects {
        // On the training split it goes without saying.
        let seen = match run {
            Some(run) if chosen.samples != Samples::Of(Split::Train) => {
                seen_in_training(run, dataset, &chosen.indices)?
            }
            _ => 0,
        };
        if seen > 0 {
            leakage = true;
            let text = format!(
                "LEAKAGE: {name} was trained on {seen} of these {} images or their groups",
                chosen.indices.len()
            );
            sink.event(&Event::Notice { text })?;
        }
    }
    Ok(leakage)
}

/// At most `most` of `0..count`, at equal distances.
fn evenly(count: usize, most: usize) -> Vec<usize> {
    let taken = most.min(count);
    (0..taken).map(|place| place * count / taken).collect()
}

/// A model's logits for some images, `[N][K]`, which it sees in its own size and normalisation, and the
/// features of some of them.
fn logits_of(
    loaded: &LoadedModel,
    source: &BatchSource,
    indices: &[usize],
    device: &OpenDevice,
    run: Run,
    sink: &mut dyn Sink,
) -> Result<(Vec<Vec<f32>>, Embeddings)> {
    let (card, dataset) = (&loaded.card, &source.dataset);
    if card.classes != dataset.classes {
        return Err(Error::at(&loaded.path, format!("its classes are {}", card.classes.join(", ")))
            .expected(dataset.classes.join(", "))
            .hint("Models can be evaluated together only on the classes that they share"));
    }
    let normalization = crate::input::transform::Normalization { mean: card.mean, std: card.std };
    let (data, store) = (Arc::clone(dataset), Arc::clone(&source.store));
    let source = Arc::new(BatchSource { dataset: data, store, size: card.input_size, normalization });
    let of = indices.len();
    let run = Run { compute: device.compute, ..run };
    let rows = evenly(of, MOST_EMBEDDINGS);
    let mut progress = |done| sink.event(&Event::Evaluating { done, of });
    let (logits, values) = evaluate::logits_and_embeddings(
        &loaded.model,
        &loaded.params,
        &source,
        indices,
        &rows,
        run,
        &mut progress,
    )?;
    Ok((logits, Embeddings { rows, values }))
}

/// Results from the logits of each model, and their features.
fn judge(
    subjects: &[Subject],
    dataset: &Dataset,
    chosen: &Chosen,
    leakage: bool,
    logits: &[Vec<Vec<f32>>],
    mut embeddings: Vec<Embeddings>,
) -> Result<Results> {
    let Chosen { name: split, indices, .. } = chosen;
    let targets: Vec<usize> = indices.iter().map(|&index| dataset.samples[index].class).collect();
    let evaluation = |model: &str, temperature: f32, metrics| Evaluation {
        model: model.to_owned(),
        data: dataset.config.root.display().to_string(),
        split: (*split).to_owned(),
        classes: dataset.classes.clone(),
        leakage,
        temperature,
        metrics,
    };
    let predictions = |predicted: &[usize], probabilities: &[Vec<f32>]| -> Vec<Prediction> {
        let rows = indices.iter().zip(predicted).zip(probabilities);
        rows.map(|((&index, &predicted), probabilities)| {
            let sample = &dataset.samples[index];
            Prediction {
                path: sample.name.clone(),
                group: sample.group.clone(),
                split: sample.split.name().to_owned(),
                truth: Some(dataset.classes[sample.class].clone()),
                predicted: dataset.classes[predicted].clone(),
                probabilities: probabilities.clone(),
            }
        })
        .collect()
    };

    let (mut evaluations, mut members) = (Vec::new(), Vec::new());
    for (Subject { name, loaded, .. }, logits) in subjects.iter().zip(logits) {
        let card = &loaded.card;
        let probabilities: Vec<Vec<f32>> = logits.iter().map(|row| softmax(row, card.temperature)).collect();
        let predicted: Vec<usize> = probabilities.iter().map(|row| metrics::argmax(row)).collect();
        let metrics = metrics::compute(&probabilities, &targets, &dataset.classes)?;
        evaluations
            .push((evaluation(name, card.temperature, metrics), predictions(&predicted, &probabilities)));
        members.push(probabilities);
    }
    if members.len() > 1 {
        let joint = ensemble(&members)?;
        let vote = metrics::compute_for(&joint.votes, &joint.vote_shares, &targets, &dataset.classes)?;
        evaluations
            .push((evaluation("majority vote", 1.0, vote), predictions(&joint.votes, &joint.vote_shares)));
        let predicted: Vec<usize> = joint.mean_probability.iter().map(|row| metrics::argmax(row)).collect();
        let mean = metrics::compute(&joint.mean_probability, &targets, &dataset.classes)?;
        evaluations.push((
            evaluation("mean probability", 1.0, mean),
            predictions(&predicted, &joint.mean_probability),
        ));
    }
    let embeddings = if embeddings.len() == 1 { embeddings.remove(0) } else { Embeddings::default() };
    Ok(Results { evaluations, embeddings })
}

/// What calibration did on one split.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CalibrationChange {
    /// Images.
    pub n: u64,
    /// Expected calibration error, before and after.
    pub ece: [f64; 2],
    /// Mean negative log-likelihood, before and after.
    pub loss: [f64; 2],
    /// Brier score, before and after.
    pub brier: [f64; 2],
}

/// What calibration did.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// The temperature before.
    pub before: f32,
    /// The temperature now.
    pub temperature: f32,
    /// On the split that the temperature was chosen on.
    pub valid: CalibrationChange,
    /// On the test split, where there is one: what users may expect.
    pub test: Option<CalibrationChange>,
}

/// The file of a calibration within the run's evaluations.
pub const CALIBRATION: &str = "calibration.json";

/// Finds the temperature that suits the validation split, stores it in the run's best model and evaluates
/// that anew.
///
/// # Errors
/// There is no such run or its data are not there any more; the split tells nothing; a file cannot be
/// written.
pub fn calibrate(
    folder: &Path,
    device: &OpenDevice,
    run: Run,
    progress: LoadProgress,
    sink: &mut dyn Sink,
) -> Result<Calibration> {
    let _lock = lock(folder)?;
    let file = folder.join(BEST);
    let mut loaded = load_model(&file, &device.device)?;
    let source = evaluation_data(Some(folder), None, &loaded.card, progress)?;
    let dataset = Arc::clone(&source.dataset);
    let mut splits = vec![Split::Valid];
    if !dataset.indices(Split::Test).is_empty() {
        splits.push(Split::Test);
    }
    // The temperature changes nothing about the logits: they are computed once.
    let mut computed = Vec::with_capacity(splits.len());
    for split in splits {
        let chosen =
            Chosen { samples: Samples::Of(split), name: split.name(), indices: dataset.indices(split) };
        let (logits, embeddings) = logits_of(&loaded, &source, &chosen.indices, device, run, sink)?;
        let targets: Vec<usize> = chosen.indices.iter().map(|&index| dataset.samples[index].class).collect();
        computed.push((chosen, logits, targets, embeddings));
    }
    let (_, logits, targets, _) = &computed[0];
    let before = loaded.card.temperature;
    let temperature = fit_temperature(logits, targets)? as f32;
    let change = |logits: &[Vec<f32>], targets: &[usize]| -> Result<CalibrationChange> {
        let at = |temperature| {
            let probabilities: Vec<Vec<f32>> = logits.iter().map(|row| softmax(row, temperature)).collect();
            metrics::compute(&probabilities, targets, &dataset.classes)
        };
        let (old, new) = (at(before)?, at(temperature)?);
        Ok(CalibrationChange {
            n: old.n,
            ece: [old.ece, new.ece],
            loss: [old.loss, new.loss],
            brier: [old.brier, new.brier],
        })
    };
    let valid = change(logits, targets)?;
    let test = computed.get(1).map(|(_, logits, targets, _)| change(logits, targets)).transpose()?;
    loaded.card.temperature = temperature;
    save_model(&file, &loaded.params, &loaded.card)?;
    let calibration = Calibration { before, temperature, valid, test };
    let eval = folder.join(EVAL);
    std::fs::create_dir_all(&eval).map_err(|e| Error::io("create", &eval, e))?;
    write_json(&eval.join(CALIBRATION), &calibration)?;
    // The run's own results are those of its model as it is now.
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (chosen, logits, _, embeddings) in computed {
        let subjects = [Subject { name: name.clone(), loaded: &loaded, run: Some(folder) }];
        let leakage = tell_leakage(&subjects, &dataset, &chosen, sink)?;
        judge(&subjects, &dataset, &chosen, leakage, &[logits], vec![embeddings])?
            .write(&eval, chosen.name)?;
    }
    Ok(calibration)
}

/// The data of an evaluation: those of a run (its very splits), or a folder of its own.
///
/// # Errors
/// The data cannot be loaded, or are no longer those of the run.
pub fn evaluation_data(
    run: Option<&Path>,
    root: Option<&Path>,
    card: &ModelCard,
    progress: LoadProgress,
) -> Result<Arc<BatchSource>> {
    let (config, seed, before) = match (run, root) {
        (_, Some(root)) => {
            let config = DataConfig {
                root: root.to_owned(),
                classes: card.classes.clone(),
                split: [0.0, 0.0, 1.0],
                ..DataConfig::default()
            };
            (config, 0, None)
        }
        (Some(run), None) => {
            let (config, summary) = read_run(run)?;
            {
                let seed = config.split_seed();
                (config.data, seed, Some(summary.fingerprint))
            }
        }
        (None, None) => {
            return Err(Error::input("DATA", "there is nothing to evaluate on")
                .hint("Give a folder of images after the model"));
        }
    };
    let (dataset, store) = match before {
        // With the run's own settings the whole data set is loaded as for training, so that its fingerprint
        // can be compared.
        Some(_) => data::load(&config, seed, progress)?,
        None => data::load_for_evaluation(&config, seed, progress)?,
    };
    if let Some(before) = before.filter(|before| *before != dataset.fingerprint()) {
        return Err(Error::at(
            &dataset.config.root,
            "the data are no longer those that the run was trained on",
        )
        .expected(format!("fingerprint {}", short(&before)))
        .hint("Name the data to evaluate on after the model, if that is meant"));
    }
    Ok(batch_source(dataset, store, card))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_taken_evenly() {
        assert_eq!(evenly(6, 3), [0, 2, 4]);
        assert_eq!(evenly(2, 5), [0, 1]);
        assert_eq!(evenly(2, 0), [0; 0]);
        assert_eq!(evenly(0, 3), [0; 0]);
    }
}
