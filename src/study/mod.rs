//! A study: several variants, each trained with several seeds, all tested on the same real images, and what
//! can be said of them.
//!
//! [`plan`] reads which runs there are to be, [`results`] compares those that are finished, [`page`] shows
//! it. Training is not done here.

mod figures;
pub mod page;
pub mod plan;
pub mod results;

use std::path::Path;

pub use self::plan::{Job, Kind, Plan};
pub use self::results::Results;
use crate::error::Result;
use crate::files::{write_atomic, write_json};
use crate::page::output::Written;

/// The resolved plan, within the folder of a study.
pub const PLAN: &str = "study.toml";
/// The folder of the runs.
pub const RUNS: &str = "runs";
/// The folder of what the runs are trained on, where the study made it.
pub const DATA: &str = "data";
/// What is known of the synthetic images.
pub const QUALITY: &str = "quality.json";
/// The results for programs.
pub const RESULTS: &str = "study.json";
/// The results as a table, a row per variant.
pub const TABLE: &str = "study.csv";
/// The results as a page.
pub const PAGE: &str = "study.html";

/// Whether the run of a job is trained and tested: its evaluation is written last.
pub fn is_finished(out: &Path, job: &Job) -> bool {
    results::evaluation(&job.folder(out)).is_file()
}

/// Compares the finished runs of the study in `out` and writes `study.json`, `study.csv`, `study.html`,
/// `plots/` and `tables/`, the page last. It may be called at any time and as often as one likes; what is
/// missing is named.
///
/// # Errors
/// Those of [`Results::read`]; a file cannot be written.
pub fn write(out: &Path, plan: &Plan) -> Result<(Results, Written)> {
    let results = Results::read(out, plan)?;
    write_json(&out.join(RESULTS), &results)?;
    write_atomic(&out.join(TABLE), |file| file.write_all(results.csv().as_bytes()))?;
    let written = page::write(out, &results, plan)?;
    Ok((results, written))
}
