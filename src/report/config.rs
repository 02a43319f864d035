//! What the user says about reports.

use serde::{Deserialize, Serialize};

/// What a run leaves beside its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// Whether a run ends with its page, report.html; `mien report RUN` makes it later, too.
    pub page: bool,
    /// At most so many right and wrong answers get class activation maps for the page; 0 makes none.
    pub maps: usize,
    /// Whether curves are written for TensorBoard as well.
    pub tensorboard: bool,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { page: true, maps: 12, tensorboard: false }
    }
}
