//! A run folder, read for showing. Only the folder itself and its `config.toml` must be there; of everything
//! else, what is missing is left out, and what is damaged is told in a notice, so that one bad file does not
//! hide the good ones.

mod features;
mod settings;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

pub use self::features::Features;
use self::features::read_features;
use super::events::{self, EpochRecord, Event, StepRecord};
use super::folder::{folder_name, inside};
use super::names::{CALIBRATION, CONFIG, DATA, EPOCHS, EVAL, EVENTS, EXPLAIN, EXPLAIN_INDEX, TRAINED};
use super::trained::{self, Trained};
use crate::data::{DataSummary, Split};
use crate::error::{Error, Result};
use crate::eval::calibration::Calibration;
use crate::eval::files::{Evaluation, Prediction, read_evaluation, read_predictions};
use crate::explain::index::Index;
use crate::files::{csv_error, read_json};
use crate::text::one_line;

/// Everything that a run folder says.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// The folder, as it was given.
    pub folder: PathBuf,
    /// The folder's own name, which names the run.
    pub name: String,
    /// `config.toml` as it stands there.
    pub config_text: String,
    /// `config_text` as a TOML table.
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
    /// The last calibration, if there was one.
    pub calibration: Option<Calibration>,
    /// Class activation maps, if there are any.
    pub explain: Option<Index>,
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
    /// Its metrics, and what it was made of.
    pub evaluation: Evaluation,
    /// A row per image, if the file is there and fits the numbers.
    pub predictions: Vec<Prediction>,
    /// Pooled features of some of these rows.
    pub features: Option<Features>,
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
        run.explain = run.optional(&folder.join(EXPLAIN).join(EXPLAIN_INDEX), read_json, false);
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
        settings::settings(&self.config)
    }

    /// A value of the configuration by its dotted key, as it is shown.
    pub fn setting(&self, key: &str) -> Option<String> {
        let mut parts = key.split('.');
        let mut value = self.config.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(settings::shown(value))
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
        trained::read(&path).map(Some)
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
        let epoch = "{\"event\":\"epoch\",\"epoch\":1,\"step\":2,\"train_loss\":1.0,\
                     \"train_accuracy\":0.5,\"val_loss\":0.9,\"val_accuracy\":0.5,\"val_macro_f1\":0.5,\
                     \"learning_rate\":0.01,\"images_per_second\":10.0,\"seconds\":4.0,\"best\":true}\n";
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
