//! The main numbers, the warnings, and what was trained on what.

use std::fmt::Write;

use super::entry::{Build, range};
use crate::error::Result;
use crate::page::html::{
    count, decimals, duration, escape, percent, percent_interval, significant, thousands,
};
use crate::page::output::Output;
use crate::report::run::Run;
use crate::report::section::{Content, Entry};
use crate::report::warnings;
use crate::run_folder::read::Ending;

pub(super) const SUMMARY: Entry<Build> = Entry { id: "summary", title: "Summary", build };

fn build(run: &Run, _: &mut Output) -> Result<Option<Content>> {
    let files = run.files;
    let mut tiles = Vec::new();
    let mut lead = "The model has not been evaluated yet.".to_owned();
    if let Some(primary) = run.primary {
        let (evaluation, metrics) = (&primary.evaluation, &primary.evaluation.metrics);
        let interval = run.accuracy_interval(primary);
        let groups = run
            .rows
            .as_ref()
            .map(|rows| format!(" from {}", count(rows.group_count(), "group", "groups")))
            .unwrap_or_default();
        lead = format!(
            "Of {} {} images{groups}, <strong>{} are classified correctly</strong> (95% confidence interval \
             {}); always predicting the most frequent class would reach {}.",
            thousands(metrics.n as usize),
            escape(&evaluation.split),
            percent(metrics.accuracy),
            percent_interval(interval),
            percent(metrics.majority_baseline)
        );
        let macro_f1 = run.intervals.as_ref().map(|found| range(found.macro_f1.low, found.macro_f1.high));
        let balanced = run
            .intervals
            .as_ref()
            .map(|found| percent_interval([found.balanced_accuracy.low, found.balanced_accuracy.high]));
        tiles.push((
            format!("Accuracy, {}", evaluation.split),
            percent(metrics.accuracy),
            percent_interval(interval),
        ));
        tiles.push((
            "Balanced accuracy".into(),
            percent(metrics.balanced_accuracy),
            balanced.unwrap_or_default(),
        ));
        tiles.push(("Macro F1".into(), decimals(metrics.macro_f1, 3), macro_f1.unwrap_or_default()));
        let calibrated = if evaluation.temperature == 1.0 {
            "not calibrated".into()
        } else {
            format!("temperature {}", significant(evaluation.temperature.into()))
        };
        tiles.push(("Calibration error".into(), percent(metrics.ece), calibrated));
    }
    if let Some(best) = files.best_epoch() {
        let planned = files.setting("train.epochs").unwrap_or_else(|| files.epochs.len().to_string());
        tiles.push((
            "Best epoch".into(),
            format!("{} of {planned}", best.epoch),
            format!("validation loss {}", significant(best.val_loss)),
        ));
    }
    if let Ending::Finished { seconds } | Ending::EarlyStopped { seconds } | Ending::Interrupted { seconds } =
        files.end
    {
        let device = files
            .header
            .iter()
            .find(|(key, _)| key == "device")
            .map(|(_, value)| value.clone())
            .unwrap_or_default();
        tiles.push(("Training time".into(), duration(seconds), device));
    }
    let tiles: String = tiles
        .iter()
        .map(|(name, value, note)| {
            format!(
                "<div class=\"tile\"><dt>{}</dt><dd>{}<small>{}</small></dd></div>",
                escape(name),
                escape(value),
                escape(note)
            )
        })
        .collect();
    let mut body = format!("<dl class=\"tiles\">{tiles}</dl>{}", warnings::html(&warnings::of(run)));
    if !files.header.is_empty() {
        let rows: String = files
            .header
            .iter()
            .map(|(key, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(key), escape(value)))
            .collect();
        let resumed = if files.resumed > 0 {
            format!("<div><dt>resumed</dt><dd>{}</dd></div>", count(files.resumed, "time", "times"))
        } else {
            String::new()
        };
        let _ = write!(body, "<dl class=\"facts\">{rows}{resumed}</dl>");
    }
    Ok(Some(Content { lead, body }))
}
