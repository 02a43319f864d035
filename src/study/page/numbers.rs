//! Every variant's metrics, as a table and a figure, and every run's.

use super::cells::{between, change_cells, kind_cell, name_cell};
use crate::page::html::{
    Section, Table, decimals, details, escape, number, percent, percent_interval, share, text, whole,
};
use crate::page::output::Output;
use crate::stats::bootstrap::Interval;
use crate::study::figures::{self, Axis, Block, Row};
use crate::study::results::{Results, RunResult, VariantResult};
use crate::study::words::confidence;

type OfVariant = fn(&VariantResult) -> Interval;
type OfRun = fn(&RunResult) -> f64;

pub(super) fn numbers(results: &Results, output: &mut Output) -> Section {
    let interval = confidence(results.level);
    let mut table = Table::new(
        "variants",
        "Means over the seeds, on the same test images",
        &[
            "variant",
            "trained on",
            "seeds",
            "accuracy",
            &interval,
            "balanced accuracy",
            "macro F1",
            "change in accuracy",
            &interval,
            "p (Holm)",
        ],
    );
    for (index, variant) in results.variants.iter().enumerate() {
        let mut row = vec![name_cell(index, &variant.name), kind_cell(variant), whole(variant.runs.len())];
        row.extend([
            share(variant.accuracy.estimate),
            between(variant.accuracy),
            share(variant.balanced_accuracy.estimate),
        ]);
        row.push(number(decimals(variant.macro_f1.estimate, 3), variant.macro_f1.estimate));
        match results.comparisons.iter().find(|comparison| comparison.variant == variant.name) {
            Some(comparison) => row.extend(change_cells(&comparison.accuracy, results.level)),
            None if variant.name == results.baseline => row.extend([text("baseline"), text(""), text("")]),
            None => row.extend([text(""), text(""), text("")]),
        }
        table.push(row);
    }
    let metrics: [(&str, OfVariant, OfRun); 3] = [
        ("Accuracy, %", |one| one.accuracy, |run| run.accuracy),
        ("Balanced accuracy, %", |one| one.balanced_accuracy, |run| run.balanced_accuracy),
        ("Macro F1, × 100", |one| one.macro_f1, |run| run.macro_f1),
    ];
    let blocks: Vec<Block> = metrics
        .iter()
        .map(|(title, value, of_run)| Block {
            title: (*title).into(),
            rows: results
                .variants
                .iter()
                .enumerate()
                .map(|(index, variant)| Row {
                    name: variant.name.clone(),
                    value: value(variant),
                    seeds: variant.runs.iter().map(of_run).collect(),
                    series: Some(index),
                })
                .collect(),
        })
        .collect();
    let figure = figures::intervals(
        "variants",
        "Each variant on the same test images",
        &format!(
            "Dots: mean over the seeds; ticks: single seeds; bars: {interval}. Variants whose bars overlap \
             may still differ significantly, because all are tested on the same images: see the differences."
        ),
        Axis::Share,
        &blocks,
    );
    let mut runs =
        Table::new("runs", "All runs", &["run", "seed", "accuracy", "balanced accuracy", "macro F1"]);
    for run in results.variants.iter().flat_map(|variant| &variant.runs) {
        runs.push(vec![
            text(&run.run),
            number(run.seed.to_string(), run.seed as f64),
            share(run.accuracy),
            share(run.balanced_accuracy),
            number(decimals(run.macro_f1, 3), run.macro_f1),
        ]);
    }
    let body = output.table(&table) + &output.figure(figure) + &details("All runs", &output.table(&runs));
    let best = results.variants.iter().max_by(|a, b| a.accuracy.estimate.total_cmp(&b.accuracy.estimate));
    let lead = best.map_or_else(String::new, |best| {
        format!(
            "<strong>{}</strong> has the highest mean accuracy, {} ({} {}). The best of several variants \
             tends to be overestimated.",
            escape(&best.name),
            percent(best.accuracy.estimate),
            interval,
            percent_interval([best.accuracy.low, best.accuracy.high])
        )
    });
    Section { id: "numbers", title: "Numbers", lead, body }
}
