//! Names of the files and folders within the folder of a study.

use std::path::{Path, PathBuf};

use crate::run_folder::names::EVAL;

/// The plan with all paths and defaults filled in.
pub const PLAN: &str = "study.toml";
/// The folder of the runs.
pub const RUNS: &str = "runs";
/// The folder of the training data that the study made itself.
pub const DATA: &str = "data";
/// The quality of the synthetic images.
pub const QUALITY: &str = "quality.json";
/// The results as JSON.
pub const RESULTS: &str = "study.json";
/// The results as CSV, a row per variant.
pub const TABLE: &str = "study.csv";
/// The results as a page.
pub const PAGE: &str = "study.html";

/// The file whose presence says that a run is trained and tested; it is written last.
pub(super) fn evaluation(run: &Path) -> PathBuf {
    run.join(EVAL).join("test.json")
}
