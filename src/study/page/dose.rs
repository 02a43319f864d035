//! Accuracy by the number of synthetic images added.

use super::cells::{between, change_cells};
use crate::page::html::{Section, Table, count, escape, share, text, whole};
use crate::page::output::Output;
use crate::study::figures;
use crate::study::plan::Kind;
use crate::study::results::Results;
use crate::study::words::confidence;

pub(super) fn dose(results: &Results, output: &mut Output) -> Option<Section> {
    if results.dose.is_empty() {
        return None;
    }
    let curve: Vec<_> = results
        .dose
        .iter()
        .map(|point| (point.images, point.accuracy, point.seeds.iter().map(|(_, value)| *value).collect()))
        .collect();
    let interval = confidence(results.level);
    let figure = figures::dose(
        "Accuracy by number of synthetic images added",
        &format!(
            "Dots: mean over the seeds; ticks: single seeds; bars: {interval}. The line only connects the \
             dots."
        ),
        &curve,
    );
    let mut table = Table::new(
        "doses",
        "Doses",
        &["synthetic images", "variant", "accuracy", &interval, "change in accuracy", &interval, "p (Holm)"],
    );
    for point in &results.dose {
        let mut row = vec![
            whole(point.images),
            text(&point.variant),
            share(point.accuracy.estimate),
            between(point.accuracy),
        ];
        match results.comparisons.iter().find(|comparison| comparison.variant == point.variant) {
            Some(comparison) => row.extend(change_cells(&comparison.accuracy, results.level)),
            None => row.extend([
                text(if point.variant == results.baseline { "baseline" } else { "" }),
                text(""),
                text(""),
            ]),
        }
        table.push(row);
    }
    let doses = || {
        results.comparisons.iter().filter(|comparison| {
            results.variant(&comparison.variant).is_some_and(|variant| matches!(variant.kind, Kind::Dose(_)))
        })
    };
    let clear = doses().filter(|comparison| comparison.clear).count();
    let lead = match (doses().count(), clear) {
        (0, _) => "No dose can be compared yet.".to_owned(),
        (_, 0) => escape(&format!("No dose differs significantly from '{}'.", results.baseline)),
        (all, clear) => escape(&format!(
            "{clear} of {} {} significantly from '{}'.",
            count(all, "dose", "doses"),
            if clear == 1 { "differs" } else { "differ" },
            results.baseline
        )),
    };
    Some(Section { id: "dose", title: "Dose", lead, body: output.figure(figure) + &output.table(&table) })
}
