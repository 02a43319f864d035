//! Learning curves.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::entry::Build;
use crate::error::Result;
use crate::page::html::{Table, decimals, details, html, link, number, share, significant, whole};
use crate::page::output::Output;
use crate::report::figures::{self, BatchPoint};
use crate::report::numbers::epoch_points;
use crate::report::run::Run;
use crate::report::section::{Content, Entry};
use crate::run_folder::events::EpochRecord;
use crate::run_folder::read::RunFiles;

pub(super) const TRAINING: Entry<Build> = Entry { id: "training", title: "Training", build };

fn build(run: &Run, output: &mut Output) -> Result<Option<Content>> {
    let files = run.files;
    let batches: Vec<BatchPoint> = files
        .steps
        .iter()
        .map(|step| BatchPoint {
            epoch: step.epoch as u32,
            step: step.step,
            loss: step.loss,
            accuracy: step.accuracy,
        })
        .collect();
    if files.epochs.is_empty() && batches.is_empty() {
        return Ok(None);
    }
    let points = epoch_points(&files.epochs);
    let best = files.best_epoch().map(|epoch| epoch.epoch as u32);
    let mut body = String::new();
    if !points.is_empty() {
        body += &output.figure(figures::learning_curves(&points, best));
        body += &output.figure(figures::combined_curves(&points, best));
        body += &output.figure(figures::trends(&points, best));
    }
    if !batches.is_empty() {
        body += &output.figure(figures::batch_losses(&batches));
        body += &single_epochs(run, &batches, output);
    }
    if !points.is_empty() {
        body += &details("Table of all epochs", &epoch_table(&files.epochs, output));
    }
    Ok(Some(Content { lead: lead(files), body }))
}

fn lead(files: &RunFiles) -> String {
    let (Some(best), Some(last)) = (files.best_epoch(), files.epochs.last()) else {
        return "No epoch has been completed yet.".into();
    };
    let after = if best.epoch == last.epoch {
        ", the last one: training for longer may still help".to_owned()
    } else if last.val_loss > best.val_loss * 1.01 {
        format!(
            "; after it the validation loss rises from {} to {}",
            significant(best.val_loss),
            significant(last.val_loss)
        )
    } else {
        "; the validation loss stays about the same after it".to_owned()
    };
    let gap = best.train_accuracy - best.val_accuracy;
    let gap = if gap > 0.05 {
        format!("; there, training accuracy is {} points above validation accuracy", decimals(gap * 100.0, 1))
    } else {
        String::new()
    };
    let chosen = match files.setting("train.monitor").as_deref() {
        Some("val-accuracy") => " by validation accuracy",
        Some("val-macro-f1") => " by validation macro F1",
        _ => "",
    };
    format!("The best epoch{chosen} is {} of {}{after}{gap}.", best.epoch, last.epoch)
}

/// The figures of the batches of every epoch become files; the page shows those of the first, the best and
/// the last.
fn single_epochs(run: &Run, batches: &[BatchPoint], output: &mut Output) -> String {
    let epochs: BTreeSet<u32> = batches.iter().map(|batch| batch.epoch).collect();
    let shown: BTreeSet<u32> = [
        epochs.first().copied(),
        run.files.best_epoch().map(|epoch| epoch.epoch as u32),
        epochs.last().copied(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (mut body, mut links) = (String::new(), String::new());
    for &epoch in &epochs {
        let figure = figures::epoch_batches(epoch, batches);
        let _ = write!(links, "<a href=\"plots/{}.svg\">{epoch}</a> ", link(&figure.name));
        if shown.contains(&epoch) {
            body += &output.figure(figure);
        } else {
            output.file(figure);
        }
    }
    details("Batches of each epoch", &format!("{body}<p class=\"quiet\">Figures of all epochs: {links}</p>"))
}

fn epoch_table(epochs: &[EpochRecord], output: &mut Output) -> String {
    let header = [
        "epoch",
        "train loss",
        "train accuracy",
        "validation loss",
        "validation accuracy",
        "validation macro F1",
        "learning rate",
        "images/s",
        "seconds",
        "best",
    ];
    let mut table = Table::new("epochs", "Epochs", &header);
    for epoch in epochs {
        table.push(vec![
            whole(epoch.epoch),
            number(significant(epoch.train_loss), epoch.train_loss),
            share(epoch.train_accuracy),
            number(significant(epoch.val_loss), epoch.val_loss),
            share(epoch.val_accuracy),
            number(decimals(epoch.val_macro_f1, 3), epoch.val_macro_f1),
            number(significant(epoch.learning_rate), epoch.learning_rate),
            number(significant(epoch.images_per_second), epoch.images_per_second),
            number(significant(epoch.seconds), epoch.seconds),
            html(if epoch.best { "★" } else { "" }, epoch.best.to_string()),
        ]);
    }
    output.table(&table) + "<p class=\"quiet\">★ best epoch so far</p>"
}
