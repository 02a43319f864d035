//! A run folder, read for showing. Only the folder itself and its `config.toml` must be there; of everything
//! else, what is missing is left out, and what is damaged is told in a notice, so that one bad file does not
//! hide the good ones.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use toml::{Table, Value};

use super::events::{self, EpochRecord, Event, StepRecord};
use crate::data::{DataSummary, Split};
use crate::error::{Error, Result};
use crate::eval::files::{Evaluation, Prediction, read_evaluation, read_predictions};
use crate::files::{csv_error, read_json};
use crate::text::one_line;

/// The reference recipe, which holds the default of every key (a test of the configuration sees to that).
const DEFAULTS: &str = include_str!("../../recipes/reference.toml");

const CONFIG: &str = "config.toml";
const DATA: &str = "data.json";
const EVENTS: &str = "events.jsonl";
const EPOCHS: &str = "metrics.csv";
const TRAINED: &str = "trained.tsv";
const EVAL: &str = "eval";
const CALIBRATION: &str = "calibration.json";
const EXPLAIN: &str = "explain/explain.json";

/// Everything that a run folder says.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// The folder, as it was given.
    pub folder: PathBuf,
    /// The folder's name.
    pub name: String,
    /// `config.toml` as it stands there.
    pub config_text: String,
    /// The same, parsed.
    pub config: Table,
    /// What the data were.
    pub data: Option<DataSummary>,
    /// What is trained, on what, where: the lines of the last start.
    pub header: Vec<(String, String)>,
    /// What the run told its user, each text once.
    pub messages: Vec<String>,
    /// Every update of the weights, in order.
    pub steps: Vec<StepRecord>,
    /// Every epoch, in order.
    pub epochs: Vec<EpochRecord>,
    /// How the run ended.
    pub end: Ending,
    /// How often it was resumed.
    pub resumed: usize,
    /// What was evaluated: `test` and `valid` first, then the others by name.
    pub evaluations: Vec<Evaluated>,
    /// The last calibration.
    pub calibration: Option<Calibration>,
    /// Class activation maps.
    pub explain: Option<Explain>,
    /// What is damaged or does not fit together, a line each.
    pub notices: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// All epochs were trained.
    Finished {
        /// Seconds of training.
        seconds: f64,
    },
    /// The validation loss did not fall any more.
    EarlyStopped {
        /// Seconds of training.
        seconds: f64,
    },
    /// The user stopped it.
    Interrupted {
        /// Seconds of training.
        seconds: f64,
    },
    /// It is still going on, was killed, or its events are not there.
    Unknown,
}

/// One evaluation with what belongs to it.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The stem of its files: `test`, `valid`, `test-majority-vote`.
    pub name: String,
    /// The numbers.
    pub evaluation: Evaluation,
    /// A row per image, if the file is there and fits the numbers.
    pub predictions: Vec<Prediction>,
    /// Pooled features of some of these rows.
    pub features: Option<Features>,
}

/// Features of some images of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// C.
    pub width: usize,
    /// `[n, C]`, row-major; finite.
    pub values: Vec<f32>,
    /// `[n]`: rows of the evaluation's predictions.
    pub rows: Vec<usize>,
}

/// What calibration did (`eval/calibration.json`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Calibration {
    /// The temperature before.
    pub before: f32,
    /// The temperature since.
    pub temperature: f32,
    /// On the split that it was chosen on.
    pub valid: CalibrationChange,
    /// On the test split.
    pub test: Option<CalibrationChange>,
}

/// What calibration did on one split: each pair is before and after.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CalibrationChange {
    /// Images.
    pub n: u64,
    /// Expected calibration error.
    pub ece: [f64; 2],
    /// Mean negative log-likelihood.
    pub loss: [f64; 2],
    /// Brier score.
    pub brier: [f64; 2],
}

/// Class activation maps of a run (`explain/explain.json`); every part may be missing. Paths are relative to
/// the run folder.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Explain {
    /// The method of the overlays.
    pub method: String,
    /// The split that the images are from.
    pub split: String,
    /// All methods that were computed.
    pub methods: Vec<String>,
    /// A map per image.
    pub maps: Vec<Map>,
    /// A mean map per class.
    pub class_means: Vec<ClassMean>,
    /// Overview images by name (`right`, `wrong`).
    pub grids: BTreeMap<String, String>,
    /// Whether the maps show what the model looks at.
    pub faithfulness: Option<Faithfulness>,
}

/// The map of one image.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Map {
    /// The image, as its data set names it.
    pub path: String,
    /// Its true class.
    #[serde(rename = "true")]
    pub truth: Option<String>,
    /// What the model says.
    pub predicted: String,
    /// The class whose map it is.
    pub class: String,
    /// The probability of that class.
    pub probability: Option<f64>,
    /// The image as the model sees it.
    pub image: Option<String>,
    /// The map over it.
    pub overlay: Option<String>,
    /// The attention of the model's own attention layers over it.
    pub attention: Option<String>,
}

/// The mean map of a class.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClassMean {
    /// The class.
    pub class: String,
    /// Images.
    pub count: u64,
    /// The image file.
    pub image: String,
}

/// Deletion, insertion and ROAD per method.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Faithfulness {
    /// Images.
    pub images: u64,
    /// What replaces a deleted pixel.
    pub baseline: String,
    /// Each method, `random` among them.
    pub methods: Vec<MethodScore>,
}

/// The scores and curves of one method: probability by share of pixels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MethodScore {
    /// Its name.
    pub method: String,
    /// Area under the deletion curve; lower is better.
    pub deletion_auc: Option<f64>,
    /// Area under the insertion curve; higher is better.
    pub insertion_auc: Option<f64>,
    /// ROAD score; higher is better.
    pub road: Option<f64>,
    /// (share of pixels deleted, probability).
    pub deletion: Vec<[f64; 2]>,
    /// (share of pixels inserted, probability).
    pub insertion: Vec<[f64; 2]>,
    /// (share of pixels removed, probability).
    pub road_curve: Vec<[f64; 2]>,
}

impl RunFiles {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// `folder` is no run folder, or its configuration is no TOML. What else is damaged comes back in
    /// [`RunFiles::notices`].
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        if !folder.is_dir() {
            return Err(Error::at(folder, "there is no such folder").expected("the folder of a run"));
        }
        if !path.is_file() {
            return Err(Error::at(folder, format!("there is no {CONFIG}"))
                .expected("a run folder, as `mien train` writes it"));
        }
        let config_text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        let config = toml::from_str(&config_text).map_err(|error: toml::de::Error| {
            Error::at(&path, one_line(error.message())).expected("the configuration of a run")
        })?;

        let mut run = Self {
            folder: folder.to_owned(),
            name: folder_name(folder),
            config_text,
            config,
            data: None,
            header: Vec::new(),
            messages: Vec::new(),
            steps: Vec::new(),
            epochs: Vec::new(),
            end: Ending::Unknown,
            resumed: 0,
            evaluations: Vec::new(),
            calibration: None,
            explain: None,
            notices: Vec::new(),
        };
        run.data = run.optional(&folder.join(DATA), read_json, true);
        run.data = run.data.take().filter(|data| run.data_fit(data));
        let events = run.optional(&folder.join(EVENTS), events::read, true).unwrap_or_default();
        run.take_events(events);
        let epochs = run.optional(&folder.join(EPOCHS), read_epochs, false);
        run.epochs = epochs.unwrap_or_else(|| std::mem::take(&mut run.epochs));
        // A run that was ended after its last epoch, before it said so, has trained all there was to train.
        if run.end == Ending::Unknown
            && !run.epochs.is_empty()
            && run.setting("train.epochs") == Some(run.epochs.len().to_string())
        {
            run.end = Ending::Finished { seconds: run.epochs.iter().map(|epoch| epoch.seconds).sum() };
        }
        run.read_evaluations();
        run.calibration = run.optional(&folder.join(EVAL).join(CALIBRATION), read_json, false);
        run.explain = run.optional(&folder.join(EXPLAIN), read_json, false);
        Ok(run)
    }

    /// The evaluation that tells most: of the test split, else of the validation split, else the first there
    /// is.
    pub fn primary(&self) -> Option<&Evaluated> {
        self.evaluations.first() // they are sorted so
    }

    /// The evaluation of this name.
    pub fn evaluation(&self, name: &str) -> Option<&Evaluated> {
        self.evaluations.iter().find(|evaluated| evaluated.name == name)
    }

    /// The configuration, a key and its value a line, by key; each with whether it is other than the default
    /// (`None` where the key has no default).
    pub fn settings(&self) -> Vec<(String, String, Option<bool>)> {
        let defaults: BTreeMap<String, Value> =
            toml::from_str(DEFAULTS).map(|table| flatten(&table)).unwrap_or_default().into_iter().collect();
        let other = |key: &str, value: &Value| defaults.get(key).map(|default| !same_value(default, value));
        flatten(&self.config)
            .into_iter()
            .map(|(key, value)| (key.clone(), shown(&value), other(&key, &value)))
            .collect()
    }

    /// A value of the configuration by its dotted key, as it is shown.
    pub fn setting(&self, key: &str) -> Option<String> {
        let mut parts = key.split('.');
        let mut value = self.config.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(shown(value))
    }

    /// The epoch of the best model: the last that was the best so far.
    pub fn best_epoch(&self) -> Option<&EpochRecord> {
        self.epochs.iter().rev().find(|epoch| epoch.best)
    }

    /// The groups and the content hashes (hex) of the images that the run was trained on, if it says so.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn trained(&self) -> Result<Option<Trained>> {
        let path = self.folder.join(TRAINED);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        let mut trained = Trained::default();
        for (index, line) in text.lines().enumerate() {
            let Some((hash, group)) = line.split_once('\t') else {
                return Err(Error::input(format!("{}:{}", path.display(), index + 1), "there is no tab")
                    .expected("a hash and a group"));
            };
            trained.hashes.insert(hash.to_owned());
            trained.groups.insert(group.to_owned());
        }
        Ok(Some(trained))
    }

    /// The file that a path within the run folder means; `None` for a path that leads out of it.
    pub fn file(&self, relative: &str) -> Option<PathBuf> {
        inside(relative).then(|| self.folder.join(relative))
    }

    /// Reads a file that need not be there, and need not be whole.
    fn optional<T>(&mut self, path: &Path, read: impl Fn(&Path) -> Result<T>, expected: bool) -> Option<T> {
        if !path.exists() {
            if expected {
                self.notices.push(format!("{}: there is no such file", self.relative(path)));
            }
            return None;
        }
        match read(path) {
            Ok(value) => Some(value),
            Err(error) => {
                self.notices.push(self.without_folder(&error));
                None
            }
        }
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).display().to_string().replace('\\', "/")
    }

    /// An error with paths relative to the run folder, so that a page says the same wherever the run lies.
    fn without_folder(&self, error: &Error) -> String {
        error.to_string().replace(&format!("{}{}", self.folder.display(), std::path::MAIN_SEPARATOR), "")
    }

    fn data_fit(&mut self, data: &DataSummary) -> bool {
        let fit = Split::ALL.iter().all(|&split| data.counts.of(split).len() == data.classes.len());
        if !fit {
            self.notices.push(format!("{DATA}: the counts are not those of {} classes", data.classes.len()));
        }
        fit
    }

    fn take_events(&mut self, events: Vec<Event>) {
        let mut told = HashSet::new();
        for event in events {
            match event {
                Event::Start { header, from_step, .. } => {
                    self.resumed += usize::from(from_step > 0);
                    self.header = header;
                    self.end = Ending::Unknown;
                }
                Event::Step(step)
                    if [step.loss, step.accuracy, step.learning_rate]
                        .iter()
                        .all(|value| value.is_finite()) =>
                {
                    self.steps.push(step);
                }
                Event::Epoch(epoch) => self.epochs.push(epoch),
                Event::Notice { text } if told.insert(text.clone()) => self.messages.push(text),
                Event::End { reason, seconds } => {
                    self.end = match reason.as_str() {
                        "finished" => Ending::Finished { seconds },
                        "early stopping" => Ending::EarlyStopped { seconds },
                        "interrupted" => Ending::Interrupted { seconds },
                        _ => Ending::Unknown,
                    };
                }
                _ => {}
            }
        }
    }

    fn read_evaluations(&mut self) {
        let folder = self.folder.join(EVAL);
        let mut names: Vec<String> = match fs::read_dir(&folder) {
            Ok(files) => files
                .filter_map(|file| Some(file.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
                .collect(),
            Err(_) => Vec::new(), // nothing was evaluated yet
        };
        names.retain(|name| format!("{name}.json") != CALIBRATION && !name.starts_with('.'));
        names.sort_by_key(|name| (place(name), name.clone()));
        for name in names {
            let Some(evaluation) = self.optional(&folder.join(format!("{name}.json")), read_evaluation, true)
            else {
                continue;
            };
            if let Some(problem) = check_numbers(&evaluation) {
                self.notices.push(format!("{EVAL}/{name}.json: {problem}"));
                continue;
            }
            let path = folder.join(format!("{name}_predictions.csv"));
            let predictions =
                self.optional(&path, |path| predictions_of(path, &evaluation), true).unwrap_or_default();
            let rows = predictions.len();
            let path = folder.join(format!("{name}_features.safetensors"));
            let features = self.optional(&path, |path| read_features(path, rows), false);
            self.evaluations.push(Evaluated { name, evaluation, predictions, features });
        }
    }
}

/// What a run was trained on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trained {
    /// BLAKE3 of each image's content, hex.
    pub hashes: HashSet<String>,
    /// The groups.
    pub groups: HashSet<String>,
}

/// The last part of a folder's path, also of `.` and `..`.
pub(crate) fn folder_name(folder: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    name(folder)
        .or_else(|| name(&folder.canonicalize().ok()?))
        .unwrap_or_else(|| folder.display().to_string())
}

/// Whether a relative path stays in its folder.
pub(crate) fn inside(relative: &str) -> bool {
    !relative.is_empty()
        && Path::new(relative)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Test first, then validation, then the others.
fn place(name: &str) -> usize {
    ["test", "valid"].iter().position(|known| *known == name).unwrap_or(2)
}

/// What is wrong with the numbers of an evaluation that its reader lets pass.
fn check_numbers(evaluation: &Evaluation) -> Option<String> {
    let metrics = &evaluation.metrics;
    let sum: u64 = metrics.confusion.iter().flatten().sum();
    if evaluation.classes.is_empty() || metrics.n == 0 {
        return Some("there are no classes or no samples".into());
    }
    (sum != metrics.n).then(|| format!("the confusion matrix holds {sum} samples; expected {}", metrics.n))
}

fn predictions_of(path: &Path, evaluation: &Evaluation) -> Result<Vec<Prediction>> {
    let (classes, predictions) = read_predictions(path)?;
    if classes != evaluation.classes {
        return Err(Error::at(path, format!("its classes are {}", classes.join(", ")))
            .expected(evaluation.classes.join(", ")));
    }
    let labelled = predictions.iter().filter(|row| row.truth.is_some()).count() as u64;
    if labelled != evaluation.metrics.n {
        return Err(Error::at(path, format!("found {labelled} rows with a true class"))
            .expected(format!("{}, the samples of the metrics", evaluation.metrics.n)));
    }
    Ok(predictions)
}

fn read_epochs(path: &Path) -> Result<Vec<EpochRecord>> {
    let mut reader = csv::Reader::from_path(path).map_err(|error| csv_error(path, error))?;
    let epochs: Vec<EpochRecord> =
        reader.deserialize().collect::<Result<_, _>>().map_err(|error| csv_error(path, error))?;
    let finite = |epoch: &EpochRecord| {
        [epoch.train_loss, epoch.val_loss, epoch.learning_rate].iter().all(|value| value.is_finite())
    };
    match epochs.iter().find(|epoch| !finite(epoch)) {
        None => Ok(epochs),
        Some(epoch) => {
            Err(Error::at(path, format!("epoch {} holds a number that is not finite", epoch.epoch)))
        }
    }
}

/// Reads `features` f32 `[n, C]` and `rows` i64 `[n]`.
fn read_features(path: &Path, predictions: usize) -> Result<Features> {
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
    let wrong = |problem: String| {
        Error::at(path, problem).expected("the tensors features (f32, [n, C]) and rows (i64, [n])")
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(one_line(error)))?;
    let tensor = |name: &str| file.tensor(name).map_err(|error| wrong(one_line(error)));
    let (features, rows) = (tensor("features")?, tensor("rows")?);
    let (&[n, width], &[m]) = (features.shape(), rows.shape()) else {
        return Err(wrong(format!("found the shapes {:?} and {:?}", features.shape(), rows.shape())));
    };
    if n != m || n == 0 || width == 0 || features.dtype() != Dtype::F32 || rows.dtype() != Dtype::I64 {
        return Err(wrong(format!(
            "found {:?} [{n}, {width}] and {:?} [{m}]",
            features.dtype(),
            rows.dtype()
        )));
    }
    let (values, _) = features.data().as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(wrong("found a feature that is not finite".into()));
    }
    let (rows, _) = rows.data().as_chunks::<8>();
    let row = |bytes: &[u8; 8]| {
        let row = i64::from_le_bytes(*bytes);
        let row = usize::try_from(row).ok().filter(|row| *row < predictions);
        row.ok_or_else(|| {
            Error::at(path, format!("names row {}", i64::from_le_bytes(*bytes)))
                .expected(format!("a row of {predictions}"))
        })
    };
    Ok(Features { width, values, rows: rows.iter().map(row).collect::<Result<_>>()? })
}

/// Every key with a value of its own, dotted, by key.
fn flatten(table: &Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                flat.extend(flatten(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)))
            }
            value => flat.push((key.clone(), value.clone())),
        }
    }
    flat
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Integer(b)) | (Value::Integer(b), Value::Float(a)) => *a == *b as f64,
        _ => a == b,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Small run folders for tests.

    use super::*;
    use crate::data::testing::write_image;
    use crate::eval::files::write_evaluation;
    use crate::eval::metrics::compute_for;

    pub(crate) const CLASSES: [&str; 3] = ["angry", "happy", "<sad>"];

    /// A row of the test split: path, group, truth, predicted, confidence.
    pub(crate) type Row<'a> = (&'a str, &'a str, usize, usize, f32);

    /// Twelve images of six groups, three of them misclassified.
    pub(crate) const ROWS: [Row; 12] = [
        ("test/angry/1.png", "g1", 0, 0, 0.9),
        ("test/angry/2.png", "g1", 0, 1, 0.95),
        ("test/angry/3.png", "g2", 0, 0, 0.8),
        ("test/angry/4.png", "g2", 0, 0, 0.7),
        ("test/happy/1.png", "g3", 1, 1, 0.9),
        ("test/happy/2.png", "g3", 1, 1, 0.5),
        ("test/happy/\"><script>alert(1)</script>.png", "g4", 1, 2, 0.6),
        ("test/happy/ä顔🙂.png", "g4", 1, 1, 0.9),
        ("test/<sad>/1.png", "g5", 2, 2, 0.9),
        ("test/<sad>/2.png", "g5", 2, 0, 0.4),
        ("test/<sad>/3.png", "g6", 2, 2, 0.9),
        ("test/<sad>/4.png", "g6", 2, 2, 0.9),
    ];

    /// The predictions of such rows.
    pub(crate) fn predictions(rows: &[Row]) -> Vec<Prediction> {
        let one = |&(path, group, truth, predicted, confidence): &Row| {
            let mut probabilities = vec![(1.0 - confidence) / 2.0; 3];
            probabilities[predicted] = confidence;
            let (truth, predicted) = (Some(CLASSES[truth].to_owned()), CLASSES[predicted].to_owned());
            Prediction {
                path: path.into(),
                group: group.into(),
                split: "test".into(),
                truth,
                predicted,
                probabilities,
            }
        };
        rows.iter().map(one).collect()
    }

    /// Writes an evaluation of a run.
    pub(crate) fn write_rows(run: &Path, data: &Path, name: &str, rows: &[Row]) {
        let classes = CLASSES.map(String::from).to_vec();
        let (predictions, targets): (Vec<_>, Vec<_>) =
            (predictions(rows), rows.iter().map(|row| row.2).collect());
        let said: Vec<usize> = rows.iter().map(|row| row.3).collect();
        let probabilities: Vec<&[f32]> = predictions.iter().map(|row| row.probabilities.as_slice()).collect();
        let metrics = compute_for(&said, &probabilities, &targets, &classes).unwrap();
        let (model, data) = ("run".into(), data.display().to_string());
        let evaluation = Evaluation {
            model,
            data,
            split: name.into(),
            classes,
            leakage: false,
            temperature: 1.0,
            metrics,
        };
        write_evaluation(&run.join(EVAL), name, &evaluation, &predictions).unwrap();
    }

    /// A run folder with everything but maps: three epochs, of which the second was the best, and its data
    /// beside it.
    pub(crate) fn write_run(run: &Path, data: &Path, rows: &[Row]) {
        fs::create_dir_all(run).unwrap();
        let root = data.display();
        fs::write(
            run.join(CONFIG),
            format!("[data]\nroot = \"{root}\"\n[model]\nname = \"vgg16_bn\"\n[train]\nepochs = 3\n"),
        )
        .unwrap();
        let summary = format!(
            r#"{{"root":"{root}","layout":"split-folders","dataset_type":"real","classes":["angry","happy","<sad>"],
            "counts":{{"train":[8,8,8],"valid":[4,4,4],"test":[4,4,4]}},"groups":{{"train":12,"valid":6,"test":6}},"group_rules":{{"regex":36}},
            "group_regex":null,"augmented":0,"synthetic":0,"duplicates":0,"seed":1,"fingerprint":"abcdef0123456789","leakage":false,
            "leaking_groups":0,"leaks":[],"unreadable":[],"left_out":[],"warnings":[]}}"#
        );
        fs::write(run.join(DATA), summary).unwrap();
        let mut events = String::from(
            "{\"event\":\"start\",\"run\":\"run\",\"header\":[[\"device\",\"cpu\"]],\"from_step\":0}\n",
        );
        for step in 1..=6 {
            events += &format!(
                "{{\"event\":\"step\",\"step\":{step},\"epoch\":{},\"batch\":1,\"loss\":{},\"accuracy\":0.5,\"epoch_loss\":1.0,\"epoch_accuracy\":0.5,\
                 \"learning_rate\":0.01,\"images\":4,\"seconds\":0.1,\"waited\":0.0}}\n",
                (step + 1) / 2,
                1.0 / f64::from(step)
            );
        }
        events += "{\"event\":\"end\",\"reason\":\"finished\",\"seconds\":12.5}\n";
        fs::write(run.join(EVENTS), events).unwrap();
        let epochs = "epoch,step,train_loss,train_accuracy,val_loss,val_accuracy,val_macro_f1,learning_rate,images_per_second,seconds,best\n\
                      1,2,1.0,0.5,0.9,0.5,0.5,0.01,10.0,4.0,true\n2,4,0.5,0.7,0.7,0.7,0.7,0.01,10.0,4.0,true\n3,6,0.2,0.9,0.8,0.7,0.7,0.001,10.0,4.0,false\n";
        fs::write(run.join(EPOCHS), epochs).unwrap();
        let hash = "0".repeat(64);
        fs::write(run.join(TRAINED), format!("{hash}\tt1\n{hash}\tt2\n")).unwrap();
        write_rows(run, data, "test", rows);
        write_features(&run.join("eval/test_features.safetensors"), rows.len(), 4);
        for (number, (path, ..)) in rows.iter().enumerate().filter(|(_, row)| !row.0.contains(['"', '<'])) {
            write_image(data, path, number as u32);
        }
    }

    /// Features of all rows.
    pub(crate) fn write_features(path: &Path, n: usize, width: usize) {
        let values: Vec<u8> = (0..n * width).flat_map(|at| ((at * at % 17) as f32).to_le_bytes()).collect();
        let rows: Vec<u8> = (0..n as i64).flat_map(i64::to_le_bytes).collect();
        let view = |dtype, shape: Vec<usize>, bytes| {
            safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap()
        };
        let tensors = [
            ("features", view(Dtype::F32, vec![n, width], &values)),
            ("rows", view(Dtype::I64, vec![n], &rows)),
        ];
        fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{ROWS, write_features, write_rows, write_run};
    use super::*;

    fn run() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        write_run(&run, &folder.path().join("data"), &ROWS);
        (folder, run)
    }

    #[test]
    fn a_whole_run_is_read_without_notices() {
        let (_folder, run) = run();
        let files = RunFiles::open(&run).unwrap();
        assert_eq!(files.notices, Vec::<String>::new());
        assert_eq!((files.name.as_str(), files.epochs.len(), files.steps.len()), ("run", 3, 6));
        assert_eq!(files.best_epoch().unwrap().epoch, 2);
        assert_eq!(files.end, Ending::Finished { seconds: 12.5 });
        let primary = files.primary().unwrap();
        assert_eq!((primary.name.as_str(), primary.predictions.len()), ("test", 12));
        assert_eq!(primary.features.as_ref().unwrap().width, 4);
        assert!(files.trained().unwrap().unwrap().groups.contains("t2"));
    }

    #[test]
    fn the_test_split_comes_first_and_validation_second() {
        let (folder, run) = run();
        for name in ["all", "valid"] {
            write_rows(&run, &folder.path().join("data"), name, &ROWS[..6]);
        }
        let names = |run: &Path| {
            RunFiles::open(run).unwrap().evaluations.into_iter().map(|one| one.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&run), ["test", "valid", "all"]);
        fs::remove_file(run.join("eval/test.json")).unwrap();
        assert_eq!(names(&run), ["valid", "all"]);
    }

    #[test]
    fn settings_are_marked_where_they_are_not_the_default() {
        let (_folder, run) = run();
        let settings = RunFiles::open(&run).unwrap().settings();
        let of = |key: &str| settings.iter().find(|(name, ..)| name == key).unwrap().2;
        assert_eq!((of("model.name"), of("train.epochs"), of("data.root")), (Some(true), Some(true), None));
        fs::write(run.join(CONFIG), "[train]\nepochs = 25\nlearning_rate = 0.001\n").unwrap();
        assert!(RunFiles::open(&run).unwrap().settings().iter().all(|(.., other)| *other == Some(false)));
    }

    #[test]
    fn what_is_no_run_is_one_clear_error() {
        let (folder, run) = run();
        let error = |path: &Path| RunFiles::open(path).unwrap_err().to_string();
        assert!(error(&folder.path().join("none")).contains("there is no such folder"));
        assert!(error(folder.path()).contains("there is no config.toml"));
        fs::write(run.join(CONFIG), "[model\nname=").unwrap();
        assert!(error(&run).contains("config.toml") && !error(&run).contains('\n'), "{}", error(&run));
    }

    /// Each damage leaves the rest as it was and is told in a notice that names the file.
    #[test]
    fn damaged_parts_are_notices_and_the_rest_is_read() {
        type Damage = fn(&Path);
        let cases: [(&str, Damage); 12] = [
            ("data.json", |run| fs::write(run.join("data.json"), "{\"root\":").unwrap()),
            ("data.json", |run| fs::remove_file(run.join("data.json")).unwrap()),
            ("data.json", |run| {
                let text = fs::read_to_string(run.join("data.json")).unwrap().replace("[8,8,8]", "[8,8]");
                fs::write(run.join("data.json"), text).unwrap();
            }),
            ("events.jsonl:1", |run| fs::write(run.join("events.jsonl"), "no\nevents\n").unwrap()),
            ("metrics.csv", |run| fs::write(run.join("metrics.csv"), "epoch,step\n1,x\n").unwrap()),
            ("metrics.csv", |run| {
                let text = fs::read_to_string(run.join("metrics.csv")).unwrap().replace("1,2,1.0", "1,2,NaN");
                fs::write(run.join("metrics.csv"), text).unwrap();
            }),
            ("eval/test.json", |run| fs::write(run.join("eval/test.json"), "[1]").unwrap()),
            ("eval/test_predictions.csv", |run| {
                let path = run.join("eval/test_predictions.csv");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, &text[..text.len() / 2]).unwrap();
            }),
            ("eval/test_predictions.csv", |run| {
                fs::remove_file(run.join("eval/test_predictions.csv")).unwrap()
            }),
            ("eval/test_features.safetensors", |run| {
                fs::write(run.join("eval/test_features.safetensors"), [1; 30]).unwrap()
            }),
            ("eval/test_features.safetensors", |run| {
                write_features(&run.join("eval/test_features.safetensors"), 13, 2)
            }),
            ("explain/explain.json", |run| {
                fs::create_dir(run.join("explain")).unwrap();
                fs::write(run.join("explain/explain.json"), "{\"maps\": 3}").unwrap();
            }),
        ];
        for (name, damage) in cases {
            let (folder, run) = run();
            damage(&run);
            let files = RunFiles::open(&run).unwrap();
            let notices = files.notices.join("\n");
            assert!(notices.contains(name), "{name}: {notices}");
            assert!(
                !notices.contains(&folder.path().display().to_string()),
                "paths are those within the run: {notices}"
            );
            assert!(files.config.contains_key("train"));
        }
    }

    #[test]
    fn epochs_come_from_the_events_where_their_table_is_gone() {
        let (_folder, run) = run();
        fs::remove_file(run.join("metrics.csv")).unwrap();
        let path = run.join("events.jsonl");
        let epoch = "{\"event\":\"epoch\",\"epoch\":1,\"step\":2,\"train_loss\":1.0,\"train_accuracy\":0.5,\"val_loss\":0.9,\"val_accuracy\":0.5,\
                     \"val_macro_f1\":0.5,\"learning_rate\":0.01,\"images_per_second\":10.0,\"seconds\":4.0,\"best\":true}\n";
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + epoch).unwrap();
        assert_eq!(RunFiles::open(&run).unwrap().epochs.len(), 1);
    }

    #[test]
    fn a_resumed_run_has_not_ended_until_it_says_so_again() {
        let (_folder, run) = run();
        let path = run.join("events.jsonl");
        let text = fs::read_to_string(&path).unwrap().replace("finished", "interrupted");
        fs::write(&path, &text).unwrap();
        assert_eq!(RunFiles::open(&run).unwrap().end, Ending::Interrupted { seconds: 12.5 });
        let again = "{\"event\":\"start\",\"run\":\"run\",\"header\":[],\"from_step\":6}\n";
        fs::write(&path, text + again).unwrap();
        let files = RunFiles::open(&run).unwrap();
        assert_eq!(
            (files.end, files.resumed),
            (Ending::Finished { seconds: 12.0 }, 1),
            "all epochs are there"
        );
        let epochs = fs::read_to_string(run.join("metrics.csv")).unwrap();
        fs::write(run.join("metrics.csv"), epochs.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(RunFiles::open(&run).unwrap().end, Ending::Unknown);
    }

    #[test]
    fn paths_stay_in_the_run_folder() {
        let (_folder, run) = run();
        let files = RunFiles::open(&run).unwrap();
        assert!(files.file("explain/001.png").is_some());
        for path in ["../x.png", "/etc/passwd", "a/../../x", ""] {
            assert!(files.file(path).is_none(), "{path}");
        }
    }
}
