//! The metrics of each run, and the warnings.

use std::fmt::Write;

use super::comparison::{Build, Comparison};
use super::sides::{Side, swatch};
use crate::error::Result;
use crate::page::html::{
    Table, decimals, escape, html, number, percent, percent_interval, share, text, whole,
};
use crate::page::output::Output;
use crate::report::figures::{self, Estimate, RunMetrics};
use crate::report::numbers::{bare, estimate};
use crate::report::section::{Content, Entry};
use crate::report::warnings;
use crate::stats::bootstrap::Interval;

pub(super) const NUMBERS: Entry<Build> = Entry { id: "numbers", title: "Metrics", build };

fn build(comparison: &Comparison, output: &mut Output) -> Result<Option<Content>> {
    let sides = &comparison.sides;
    let mut table = Table::new(
        "compared",
        "Metrics of each run",
        &[
            "run",
            "images",
            "groups",
            "accuracy",
            "95 % interval",
            "balanced accuracy",
            "macro F1",
            "macro F1 95 %",
            "ECE",
            "loss",
            "best epoch",
        ],
    )
    .show_as("95 % interval", "95% CI")
    .show_as("macro F1 95 %", "95% CI");
    for (index, side) in sides.iter().enumerate() {
        let name = html(format!("{}{}", swatch(index), escape(&side.name)), &side.name);
        let Some(evaluated) = side.evaluated else {
            table.push(vec![name]);
            continue;
        };
        let metrics = &evaluated.evaluation.metrics;
        let interval = side
            .intervals
            .as_ref()
            .map_or(metrics.accuracy_interval, |found| [found.accuracy.low, found.accuracy.high]);
        let between = |interval: Option<&Interval>| {
            interval.map_or_else(
                || text(""),
                |found| {
                    html(
                        format!("{} to {}", decimals(found.low, 3), decimals(found.high, 3)),
                        format!("{} to {}", found.low, found.high),
                    )
                },
            )
        };
        table.push(vec![
            name,
            whole(metrics.n as usize),
            side.rows.as_ref().map_or_else(|| text(""), |rows| whole(rows.group_count())),
            share(metrics.accuracy),
            html(escape(&percent_interval(interval)), format!("{} to {}", interval[0], interval[1])),
            share(metrics.balanced_accuracy),
            number(decimals(metrics.macro_f1, 3), metrics.macro_f1),
            between(side.intervals.as_ref().map(|found| &found.macro_f1)),
            number(decimals(metrics.ece, 3), metrics.ece),
            number(decimals(metrics.loss, 3), metrics.loss),
            side.files.best_epoch().map_or_else(|| text(""), |epoch| whole(epoch.epoch)),
        ]);
    }
    let metrics: Vec<RunMetrics> = sides.iter().filter_map(run_metrics).collect();
    let mut body = warnings::html(&comparison.warnings);
    if !metrics.is_empty() {
        body += &output.figure(figures::metrics_side_by_side(&metrics));
    }
    body += &output.table(&table);
    Ok(Some(Content { lead: lead(comparison), body }))
}

fn run_metrics(side: &Side) -> Option<RunMetrics> {
    let metrics = &side.evaluated?.evaluation.metrics;
    let [low, high] = metrics.accuracy_interval;
    let known = side.intervals.as_ref();
    let with = |value: f64, found: Option<&Interval>| found.map_or_else(|| bare(value), estimate);
    Some(RunMetrics {
        run: side.name.clone(),
        metrics: vec![
            (
                "accuracy".into(),
                known.map_or(Estimate { value: metrics.accuracy, low, high }, |found| {
                    estimate(&found.accuracy)
                }),
            ),
            (
                "balanced accuracy".into(),
                with(metrics.balanced_accuracy, known.map(|found| &found.balanced_accuracy)),
            ),
            ("macro F1".into(), with(metrics.macro_f1, known.map(|found| &found.macro_f1))),
        ],
    })
}

fn lead(comparison: &Comparison) -> String {
    let Comparison { sides, pairs, split, .. } = comparison;
    let accuracy = |side: &Side| side.evaluated.map(|evaluated| evaluated.evaluation.metrics.accuracy);
    let mut order: Vec<(usize, f64)> =
        sides.iter().enumerate().filter_map(|(index, side)| Some((index, accuracy(side)?))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [(first, best), (second, next), ..] = order.as_slice() else {
        return "Fewer than two of the runs have been evaluated.".into();
    };
    let on = split.map_or_else(|| "its own split".to_owned(), |split| format!("the {split} split"));
    if best == next {
        return format!(
            "<strong>{}</strong> and {} share the highest accuracy on {on}, {}.",
            escape(&sides[*first].name),
            escape(&sides[*second].name),
            percent(*best)
        );
    }
    let mut lead = format!(
        "<strong>{}</strong> has the highest accuracy on {on}, {}",
        escape(&sides[*first].name),
        percent(*best)
    );
    let _ = write!(lead, ", followed by {} with {}", escape(&sides[*second].name), percent(*next));
    let pair = pairs.iter().find(|pair| [(pair.a, pair.b), (pair.b, pair.a)].contains(&(*first, *second)));
    match pair.and_then(|pair| pair.difference.as_ref()) {
        Some(difference) if difference.difference.low > 0.0 || difference.difference.high < 0.0 => {
            lead.push_str(
                ". The difference is statistically significant (its 95% confidence interval excludes 0).",
            );
        }
        Some(_) => {
            lead.push_str(
                ". <strong>The difference may be due to chance</strong> (its 95% confidence interval \
                 includes 0).",
            );
        }
        None => lead.push_str(". They cannot be compared image by image, so the difference says little."),
    }
    lead
}
