//! What an audit checks, and how it reports its progress.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::similar::Near;

/// What to audit, and which images count as unusual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Data sets: folders, lists or tables, as `mien train` takes them.
    pub roots: Vec<PathBuf>,
    /// The classes; empty: the seven emotions, or all labels that are found.
    pub classes: Vec<String>,
    /// A regular expression whose first capture group, in the file name or path, identifies the group.
    pub group_regex: Option<String>,
    /// What counts as a near duplicate; `None`: only exact duplicates are searched for.
    pub near: Option<Near>,
    /// Side in pixels below which an image is tiny.
    pub smallest_side: usize,
    /// Standard deviation of the brightness, in grey levels, below which an image is blank.
    pub flattest: f64,
    /// Size of the random sample that the shortcut probe is fitted to; 0: no probe.
    pub probe_images: usize,
    /// Run folders whose predictions reveal doubtful labels.
    pub runs: Vec<PathBuf>,
    /// Seed of all random draws.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            classes: Vec::new(),
            group_regex: None,
            near: Some(Near::default()),
            smallest_side: 32,
            flattest: 4.0,
            probe_images: 20_000,
            runs: Vec::new(),
            seed: 42,
        }
    }
}

/// A stage of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading and decoding images.
    Reading,
    /// Searching for near duplicates.
    Comparing,
    /// Fitting the shortcut probe.
    Probing,
}

/// Called from any thread with a stage, the amount done and the total.
pub type Progress<'a> = &'a (dyn Fn(Stage, usize, usize) + Sync);
