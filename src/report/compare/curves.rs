//! The learning curves of the runs.

use super::comparison::{Build, Comparison};
use super::sides::Side;
use crate::error::Result;
use crate::page::html::{escape, significant};
use crate::page::output::Output;
use crate::report::figures::{self, RunCurves};
use crate::report::numbers::epoch_points;
use crate::report::section::{Content, Entry};

pub(super) const CURVES: Entry<Build> = Entry { id: "curves", title: "Learning curves", build };

fn build(comparison: &Comparison, output: &mut Output) -> Result<Option<Content>> {
    let sides = &comparison.sides;
    let runs: Vec<RunCurves> = sides
        .iter()
        .map(|side| RunCurves {
            run: side.name.clone(),
            best_epoch: side.files.best_epoch().map(|epoch| epoch.epoch as u32),
            points: epoch_points(&side.files.epochs),
        })
        .collect();
    let lowest_of = |side: &Side| {
        let losses = side.files.epochs.iter().map(|epoch| (epoch.val_loss, epoch.epoch));
        losses.min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let lowest = sides.iter().filter_map(|side| Some((side, lowest_of(side)?)));
    let Some((side, (loss, epoch))) = lowest.min_by(|a, b| a.1.0.total_cmp(&b.1.0)) else { return Ok(None) };
    let lead = format!(
        "The lowest validation loss is {}, reached by {} in epoch {epoch}.",
        significant(loss),
        escape(&side.name)
    );
    Ok(Some(Content { lead, body: output.figure(figures::curves_overlaid(&runs)) }))
}
