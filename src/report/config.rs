//! The settings of what a run leaves besides its numbers.

use serde::{Deserialize, Serialize};

/// What a run leaves besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// Whether a run ends with its report, `report.html`; `mien report RUN` makes it later, too.
    pub page: bool,
    /// At most this many correct and this many misclassified images get class activation maps for the report;
    /// 0 makes none.
    pub maps: usize,
    /// Whether event files for TensorBoard are written as well.
    pub tensorboard: bool,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { page: true, maps: 12, tensorboard: false }
    }
}
