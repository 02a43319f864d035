//! The names of everything in a run folder.

pub use crate::explain::index::INDEX as EXPLAIN_INDEX;

/// The resolved configuration, which makes a folder a run.
pub const CONFIG: &str = "config.toml";
/// What the data were.
pub const DATA: &str = "data.json";
/// Everything that happened, an event a line.
pub const EVENTS: &str = "events.jsonl";
/// An epoch a row.
pub const EPOCHS: &str = "metrics.csv";
/// Hashes and groups of the images that were trained on.
pub const TRAINED: &str = "trained.tsv";
/// Held by the program that trains.
pub const LOCK: &str = ".lock";
/// The best model by the monitored metric.
pub const BEST: &str = "best.safetensors";
/// The folder of checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// The newest checkpoint, in the folder of checkpoints.
pub const LAST: &str = "last.safetensors";
/// The folder of evaluations.
pub const EVAL: &str = "eval";
/// What calibration did, in the folder of evaluations.
pub const CALIBRATION: &str = "calibration.json";
/// The folder of class activation maps.
pub const EXPLAIN: &str = "explain";
/// The folder of TensorBoard's event files.
pub const TENSORBOARD: &str = "tensorboard";
/// The page about the run.
pub const PAGE: &str = "report.html";
