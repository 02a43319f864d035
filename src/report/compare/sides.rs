//! The runs of a comparison, each with the evaluation that is compared.

use crate::error::Result;
use crate::plot::series_color;
use crate::report::numbers::Rows;
use crate::report::options::Options;
use crate::run_folder::read::{Evaluated, RunFiles};
use crate::run_folder::trained::Trained;
use crate::stats::bootstrap::MetricIntervals;

/// One of the runs.
pub(super) struct Side<'a> {
    /// Its place among the runs, which gives its colour.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) files: &'a RunFiles,
    pub(super) evaluated: Option<&'a Evaluated>,
    pub(super) rows: Option<Rows<'a>>,
    pub(super) intervals: Option<MetricIntervals>,
    pub(super) trained: Option<Trained>,
}

/// The runs with the evaluation of each that is compared, and its split if all have the same.
pub(super) fn sides<'a>(
    files: &'a [RunFiles],
    options: &Options,
) -> Result<(Vec<Side<'a>>, Option<&'static str>)> {
    let split =
        ["test", "valid"].into_iter().find(|split| files.iter().all(|run| run.evaluation(split).is_some()));
    let mut found = Vec::new();
    for (index, run) in files.iter().enumerate() {
        // Folders of the same name are told apart by their paths.
        let twice = files.iter().filter(|other| other.name == run.name).count() > 1;
        let name = if twice { run.folder.display().to_string() } else { run.name.clone() };
        let evaluated = split.map_or_else(|| run.primary(), |split| run.evaluation(split));
        let rows = evaluated.and_then(Rows::of);
        let intervals = match (&rows, evaluated) {
            (Some(rows), Some(evaluated)) => {
                Some(rows.intervals(evaluated.evaluation.classes.len(), options.replicates)?)
            }
            _ => None,
        };
        found.push(Side { index, name, files: run, evaluated, rows, intervals, trained: run.trained()? });
    }
    Ok((found, split))
}

/// Whether two runs were evaluated on the same data, so that images of one name are one image.
pub(super) fn same_data(a: &Side, b: &Side) -> bool {
    let (Some(x), Some(y)) = (a.evaluated, b.evaluated) else { return false };
    let own = |side: &Side, evaluated: &Evaluated| {
        side.files
            .data
            .as_ref()
            .filter(|data| data.root.display().to_string() == evaluated.evaluation.data)
            .map(|data| data.fingerprint.clone())
    };
    let fingerprints = (own(a, x), own(b, y));
    x.evaluation.data == y.evaluation.data || matches!(fingerprints, (Some(a), Some(b)) if a == b)
}

/// The colour of a run in the figures (HTML).
pub(super) fn swatch(index: usize) -> String {
    format!("<span class=\"swatch\" style=\"background:{}\"></span>", series_color(index))
}
