//! What the sections of the page of a run share.

use crate::error::Result;
use crate::page::html::decimals;
use crate::page::output::Output;
use crate::report::run::Run;
use crate::report::section::Content;

/// Makes the content of a section; its figures and tables go to the output.
pub(super) type Build = fn(&Run, &mut Output) -> Result<Option<Content>>;

/// Longest side of a thumbnail of a sample or of a misclassified image.
pub(super) const THUMBNAIL: usize = 96;

/// An interval with three decimals: `0.812 to 0.901`.
pub(super) fn range(low: f64, high: f64) -> String {
    format!("{} to {}", decimals(low, 3), decimals(high, 3))
}
