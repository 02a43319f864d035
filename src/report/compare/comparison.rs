//! What the page of a comparison is made from.

use super::pairs::{Pair, pairs};
use super::sides::{Side, sides};
use super::warnings;
use crate::error::Result;
use crate::page::output::Output;
use crate::report::options::Options;
use crate::report::section::Content;
use crate::report::warnings::Warning;
use crate::run_folder::read::RunFiles;

/// Makes the content of a section; its figures and tables go to the output.
pub(super) type Build = fn(&Comparison, &mut Output) -> Result<Option<Content>>;

/// Runs that are compared.
pub(super) struct Comparison<'a> {
    pub(super) options: &'a Options<'a>,
    pub(super) sides: Vec<Side<'a>>,
    /// The split that all runs are compared on; `None` if there is none that all were evaluated on.
    pub(super) split: Option<&'static str>,
    pub(super) pairs: Vec<Pair>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Comparison<'a> {
    /// # Errors
    /// The list of images that a run was trained on is damaged; a bootstrap fails.
    pub(super) fn of(files: &'a [RunFiles], options: &'a Options<'a>) -> Result<Self> {
        let (sides, split) = sides(files, options)?;
        let pairs = pairs(&sides, options)?;
        let warnings = warnings::of(&sides, split, &pairs);
        Ok(Self { options, sides, split, pairs, warnings })
    }
}
