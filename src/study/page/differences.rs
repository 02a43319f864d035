//! Differences from the baseline: of the whole test set and of each class.

use super::cells::{change_cells, name_cell, place};
use crate::page::html::{Section, Table, count, decimals, number, text, whole};
use crate::page::output::Output;
use crate::study::compare::is_clear;
use crate::study::figures::{self, Axis, Block, Row};
use crate::study::results::{Change, Comparison, Results};
use crate::study::words::{confidence, level, p_text};

type OfComparison = fn(&Comparison) -> &Change;

pub(super) fn differences(results: &Results, output: &mut Output) -> Option<Section> {
    if results.comparisons.is_empty() {
        return None;
    }
    let interval = confidence(results.level);
    let metrics: [(&str, OfComparison); 3] = [
        ("accuracy", |one| &one.accuracy),
        ("balanced accuracy", |one| &one.balanced_accuracy),
        ("macro F1", |one| &one.macro_f1),
    ];
    let mut table = Table::new(
        "differences",
        &format!("Changes from '{}', in percentage points", results.baseline),
        &["variant", "metric", "change", &interval, "p (Holm)", "p (uncorrected)"],
    );
    let mut blocks = Vec::new();
    for (title, of) in metrics {
        let mut rows = Vec::new();
        for comparison in &results.comparisons {
            let (index, change) = (place(results, &comparison.variant), of(comparison));
            let mut row = vec![name_cell(index, &comparison.variant), text(title)];
            row.extend(change_cells(change, results.level));
            row.push(number(p_text(change.p), change.p));
            table.push(row);
            rows.push(Row {
                name: comparison.variant.clone(),
                value: change.difference,
                seeds: Vec::new(),
                series: Some(index),
            });
        }
        blocks.push(Block { title: format!("Change in {title}, points"), rows });
    }
    let figure = figures::intervals(
        "differences",
        &format!("Differences from '{}'", results.baseline),
        &format!(
            "Dots: change in percentage points, paired image by image; bars: {interval}, not corrected for \
             the number of variants. Where a bar crosses 0, either direction is possible."
        ),
        Axis::Points,
        &blocks,
    );
    let mut mcnemar = Table::new(
        "mcnemar",
        "McNemar’s exact test, seed by seed",
        &["variant", "seed", "only baseline correct", "only variant correct", "p", "p (Holm)"],
    );
    for comparison in &results.comparisons {
        for test in &comparison.mcnemar {
            mcnemar.push(vec![
                text(&comparison.variant),
                number(test.seed.to_string(), test.seed as f64),
                whole(test.only_baseline as usize),
                whole(test.only_variant as usize),
                number(p_text(test.p), test.p),
                number(p_text(test.p_holm), test.p_holm),
            ]);
        }
    }
    let clear = results.comparisons.iter().filter(|one| one.clear).count();
    let lead = format!(
        "{clear} of {} in accuracy {} significant (p below {} after Holm’s correction; bold below).",
        count(results.comparisons.len(), "difference", "differences"),
        if clear == 1 { "is" } else { "are" },
        (1.0 - results.level).abs().mul_add(1000.0, 0.5).floor() / 1000.0
    );
    let body = output.figure(figure)
        + &output.table(&table)
        + "<p class=\"quiet\">Accuracy is the primary outcome; balanced accuracy and macro F1 are each \
           corrected separately.</p>"
        + "<h3>Seed by seed</h3><p class=\"quiet\">McNemar’s test compares the two runs of a seed on the \
           images that only one of them classifies correctly. It assumes independent images and ignores the \
           variation between seeds, so it finds differences too easily: read it together with the intervals \
           above, not in their place.</p>"
        + &if mcnemar.is_empty() {
            "<p>No seed has a finished run of both variants.</p>".into()
        } else {
            output.table(&mcnemar)
        };
    Some(Section { id: "differences", title: "Differences", lead, body })
}

pub(super) fn classes(results: &Results, output: &mut Output) -> Option<Section> {
    if results.comparisons.is_empty() {
        return None;
    }
    let interval = confidence(results.level);
    let mut table = Table::new(
        "class_changes",
        &format!("Changes by class from '{}', in percentage points", results.baseline),
        &["variant", "class", "images", "recall", &interval, "p (Holm)", "F1", &interval, "p (Holm)"],
    );
    let (mut blocks, mut clear, mut all) = (Vec::new(), 0, 0);
    for comparison in &results.comparisons {
        let index = place(results, &comparison.variant);
        let mut rows = Vec::new();
        for class in &comparison.classes {
            all += 1;
            clear += usize::from(is_clear(&class.recall, results.level));
            let mut row =
                vec![name_cell(index, &comparison.variant), text(&class.class), whole(class.images)];
            row.extend(change_cells(&class.recall, results.level));
            row.extend(change_cells(&class.f1, results.level));
            table.push(row);
            rows.push(Row {
                name: format!("{} ({})", class.class, class.images),
                value: class.recall.difference,
                seeds: Vec::new(),
                series: Some(index),
            });
        }
        blocks.push(Block { title: format!("{}: change in recall, points", comparison.variant), rows });
    }
    let figure = figures::intervals(
        "class_changes",
        &format!("Recall by class, compared with '{}'", results.baseline),
        &format!(
            "Dots: change in recall in percentage points; bars: {interval}, uncorrected. In parentheses: the \
             number of test images."
        ),
        Axis::Points,
        &blocks,
    );
    let lead = format!(
        "{clear} of {} in class recall {} significant after correction for all of them.",
        count(all, "change", "changes"),
        if clear == 1 { "is" } else { "are" }
    );
    let note = format!(
        "<p class=\"quiet\">A class has fewer images than the whole test set, so its intervals are wider. Of \
         {all} {} intervals, about {} exclude 0 by chance alone.</p>",
        level(results.level).replace(' ', "\u{a0}"),
        decimals((1.0 - results.level) * all as f64, 1)
    );
    Some(Section {
        id: "classes",
        title: "Classes",
        lead,
        body: output.figure(figure) + &note + &output.table(&table),
    })
}
