//! What a leaky split would have reported.

use super::cells::{between, place};
use crate::page::html::{Section, Table, decimals, escape, number, percent, share, text, whole};
use crate::page::output::Output;
use crate::stats::bootstrap::Interval;
use crate::study::figures::{self, Axis, Block, Row};
use crate::study::results::Results;
use crate::study::words::points;

pub(super) fn claim(results: &Results, output: &mut Output) -> Option<Section> {
    let claim = results.claim.as_ref()?;
    let honest = results.variant(&claim.beside)?;
    let gap = claim.accuracy - claim.honest;
    let lead = format!(
        "With augmented copies made before a random split, the reported accuracy would be \
         <strong>{}</strong>; ‘{}’, tested on unseen groups, reaches <strong>{}</strong>: {} points {}.",
        percent(claim.accuracy),
        escape(&claim.beside),
        percent(claim.honest),
        points(gap.abs()).trim_start_matches('+'),
        if gap >= 0.0 { "lower" } else { "higher" }
    );
    let of_claim = |value: f64, [low, high]: [f64; 2]| Interval { estimate: value, low, high };
    let mut rows: Vec<Row> = claim
        .runs
        .iter()
        .map(|run| Row {
            name: format!("leaky split, seed {}", run.seed),
            value: of_claim(run.accuracy, run.interval),
            seeds: Vec::new(),
            series: None,
        })
        .collect();
    rows.push(Row {
        name: format!("{}, split by group", claim.beside),
        value: honest.accuracy,
        seeds: honest.runs.iter().map(|run| run.accuracy).collect(),
        series: Some(place(results, &claim.beside)),
    });
    let figure = figures::intervals(
        "claim",
        "What a leaky split would report",
        "Grey: accuracy of each leaky run on its own random split, with the interval that is usually \
         reported (Wilson, assuming independent images). In colour: the mean on the fixed test set, whose \
         groups are never in training.",
        Axis::Share,
        &[Block { title: "Accuracy, %".into(), rows }],
    );
    let mut table =
        Table::new("claim", "The leaky runs", &["run", "images", "accuracy", "95 % CI (Wilson)", "macro F1"]);
    for run in &claim.runs {
        table.push(vec![
            text(&run.run),
            whole(run.images),
            share(run.accuracy),
            between(of_claim(run.accuracy, run.interval)),
            number(decimals(run.macro_f1, 3), run.macro_f1),
        ]);
    }
    let note = "<p class=\"quiet\">In a random split after augmentation, copies of one photo and images of \
                one person are on both sides, so memorising looks like generalising. The two numbers are for \
                different test images: the gap does not measure the leakage exactly, and the leaky number \
                says nothing about new faces.</p>";
    Some(Section {
        id: "claim",
        title: "Leaky split",
        lead,
        body: output.figure(figure) + &output.table(&table) + note,
    })
}
