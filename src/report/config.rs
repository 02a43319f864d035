//! Section `[report]` of the configuration.

use serde::{Deserialize, Serialize};

/// What a run writes besides its model and metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportConfig {
    /// Whether a run ends by writing its page, report.html; `mien report RUN` writes it later as well.
    pub page: bool,
    /// Maximum number of correctly classified images, and of misclassified ones, that get class activation
    /// maps for the page; 0 makes none.
    pub maps: usize,
    /// Whether the learning curves are also written for TensorBoard.
    pub tensorboard: bool,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { page: true, maps: 12, tensorboard: false }
    }
}
