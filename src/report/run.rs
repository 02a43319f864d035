//! What the page of a run is made from.

use super::images::images_of;
use super::numbers::Rows;
use super::options::Options;
use crate::error::Result;
use crate::page::thumbnails::Thumbnails;
use crate::run_folder::read::{Evaluated, RunFiles};
use crate::stats::bootstrap::MetricIntervals;

/// A run with the evaluation that its page is about.
pub(super) struct Run<'a> {
    pub(super) files: &'a RunFiles,
    pub(super) options: &'a Options<'a>,
    pub(super) primary: Option<&'a Evaluated>,
    /// The predictions of the primary evaluation.
    pub(super) rows: Option<Rows<'a>>,
    /// Confidence intervals of its metrics, by bootstrap over groups.
    pub(super) intervals: Option<MetricIntervals>,
    pub(super) images: Thumbnails,
}

impl<'a> Run<'a> {
    /// # Errors
    /// The bootstrap fails.
    pub(super) fn of(files: &'a RunFiles, options: &'a Options<'a>) -> Result<Self> {
        let primary = files.primary();
        let rows = primary.and_then(Rows::of);
        let intervals = match (&rows, primary) {
            (Some(rows), Some(primary)) => {
                Some(rows.intervals(primary.evaluation.classes.len(), options.replicates)?)
            }
            _ => None,
        };
        Ok(Self { files, options, primary, rows, intervals, images: images_of(files, primary) })
    }

    /// The 95 % interval of the accuracy: by bootstrap over groups, else Wilson's.
    pub(super) fn accuracy_interval(&self, evaluated: &Evaluated) -> [f64; 2] {
        self.intervals.as_ref().map_or(evaluated.evaluation.metrics.accuracy_interval, |found| {
            [found.accuracy.low, found.accuracy.high]
        })
    }
}
