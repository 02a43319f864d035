//! The offline augmenter: copies every original and writes N augmented versions of each, with a manifest by
//! which the trainer keeps a copy with its original.
//!
//! ```text
//! source, folder by folder ─► workers: read, decode, draw, check, encode, place ─► journal ─► manifest
//! ```
//!
//! **Invariant:** what a copy looks like depends on (seed, path below the source, copy number) alone: neither
//! the number of threads nor an interruption changes a byte. Nothing is deleted and nothing overwritten; what
//! cannot be used is listed with the reason.

mod counts;
mod estimate;
mod journal;
mod maker;
mod output;
mod pipeline;
mod place;
mod preview;
mod progress;
mod read;
mod request;
mod source;
mod survey;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

pub use self::counts::{Counts, REASONS};
pub use self::estimate::{Estimate, estimate};
pub use self::journal::QUARANTINE;
use self::journal::Settings;
pub use self::preview::preview;
pub use self::progress::Progress;
use self::progress::Watcher;
pub use self::request::{Originals, Request};
use self::survey::Job;
pub use self::survey::{Survey, SurveyedClass};
use crate::error::{Error, Result};

/// What a run has done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What the source contains.
    pub survey: Survey,
    /// Files that were written, and copies that were given up, by reason.
    pub counts: Counts,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The output folder, absolute and without links.
    pub output: PathBuf,
}

/// Writes the copies. `stop` ends the run after the files in hand; the output can then be resumed.
///
/// # Errors
/// The request cannot be fulfilled (bad folders, settings that differ from those of the run to resume); a
/// file cannot be written; a different file is in the way; the user stopped it. A source that cannot be read
/// is not an error: it is counted and listed in [`QUARANTINE`].
pub fn augment(request: &Request, progress: &dyn Fn(Progress), stop: &AtomicBool) -> Result<Summary> {
    let start = Instant::now();
    let watcher = Watcher::new(progress, stop);
    let job = Job::open(request, watcher)?;
    if job.survey.augmented == 0 {
        return Err(Error::at(&request.source, "contains no images to augment")
            .expected("images of the chosen classes in train, or outside split folders"));
    }
    let _lock = output::begin(request, &job)?;
    let counts = pipeline::write_all(&job, request.threads, watcher)?;
    let Job { survey, plan, .. } = job;
    Ok(Summary { survey, counts, seconds: start.elapsed().as_secs_f64(), output: plan.output })
}

/// The number of copies of each original that an interrupted run was to write to `output`; `None` if there is
/// no such run.
///
/// # Errors
/// Its settings cannot be read.
pub fn copies_before(output: &Path) -> Result<Option<u32>> {
    Ok(Settings::read(output)?.map(|settings| settings.copies))
}
