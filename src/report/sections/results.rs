//! Metrics, confusion matrices, scores of each class, and other evaluations of the same model.

use std::fmt::Write;

use super::entry::{Build, range};
use crate::error::Result;
use crate::eval::metrics::{ClassMetrics, Confusion, confusions};
use crate::page::html::{
    Cell, Table, count, decimals, details, escape, html, link, number, percent, percent_interval, share,
    significant, text, thousands, whole,
};
use crate::page::output::Output;
use crate::report::figures::{self, ConfusedPair};
use crate::report::numbers::class_scores;
use crate::report::run::Run;
use crate::report::section::{Content, Entry};
use crate::run_folder::read::Evaluated;
use crate::stats::bootstrap::MetricIntervals;

/// Other evaluations that are shown in full, at most.
const OTHERS: usize = 8;

pub(super) const RESULTS: Entry<Build> = Entry { id: "results", title: "Results", build };

fn build(run: &Run, output: &mut Output) -> Result<Option<Content>> {
    let Some(primary) = run.primary else { return Ok(None) };
    let metrics = &primary.evaluation.metrics;
    let pairs = confusions(metrics, usize::MAX);
    let mut body = output.table(&metrics_table(primary, run.intervals.as_ref()));
    body += &confusion_toggle(primary, "", output);
    body += &output.figure(figures::per_class(&class_scores(primary, run.intervals.as_ref())));
    body += &details(
        "Table of precision, recall and F1",
        &output.table(&class_table("per_class_table", primary, run.intervals.as_ref())),
    );
    if let Some(intervals) = &run.intervals {
        let _ = write!(
            body,
            "<p class=\"quiet\">95% confidence intervals by cluster bootstrap over {} ({} replicates): whole \
             groups are resampled, because images of one group are similar.</p>",
            count(intervals.groups, "group", "groups"),
            thousands(intervals.replicates)
        );
    }
    if !pairs.is_empty() {
        body += &output.figure(figures::confusions(&confused(&pairs, 10)));
        let mut table = Table::new(
            "confusions_all",
            "All confusions",
            &["truth", "predicted", "count", "share of truth"],
        )
        .show_as("truth", "true class")
        .show_as("predicted", "predicted class")
        .show_as("share of truth", "share of true class");
        for pair in &pairs {
            table.push(vec![
                text(&pair.truth),
                text(&pair.predicted),
                whole(pair.count as usize),
                share(pair.share_of_truth),
            ]);
        }
        body += &details(
            &format!("All {}", count(pairs.len(), "confusion", "confusions")),
            &output.table(&table),
        );
    }
    body += &other_evaluations(run, output);
    Ok(Some(Content { lead: lead(primary, pairs.first()), body }))
}

/// Best and worst class, and the most frequent confusion.
fn lead(primary: &Evaluated, most_frequent: Option<&Confusion>) -> String {
    let metrics = &primary.evaluation.metrics;
    let mut known: Vec<&ClassMetrics> = metrics.per_class.iter().filter(|class| class.support > 0).collect();
    known.sort_by(|a, b| b.recall.total_cmp(&a.recall));
    let mut lead = String::new();
    if let [first, .., last] = known.as_slice()
        && first.recall > last.recall
    {
        let _ = write!(
            lead,
            "Recall on the {} split is highest for {} ({} of {}) and lowest for {} ({} of {}). ",
            escape(&primary.evaluation.split),
            escape(&first.class),
            percent(first.recall),
            count(first.support as usize, "image", "images"),
            escape(&last.class),
            percent(last.recall),
            thousands(last.support as usize)
        );
    }
    match most_frequent {
        Some(pair) => {
            let class = metrics.per_class.iter().find(|class| class.class == pair.truth);
            let _ = write!(
                lead,
                "The most frequent confusion is <strong>{} → {}</strong> ({} of {}).",
                escape(&pair.truth),
                escape(&pair.predicted),
                thousands(pair.count as usize),
                count(class.map_or(0, |class| class.support as usize), "image", "images")
            );
        }
        None => lead.push_str("No images are misclassified."),
    }
    lead
}

fn confused(pairs: &[Confusion], most: usize) -> Vec<ConfusedPair> {
    let one = |pair: &Confusion| ConfusedPair {
        truth: pair.truth.clone(),
        predicted: pair.predicted.clone(),
        count: pair.count,
        share: pair.share_of_truth,
    };
    pairs.iter().take(most).map(one).collect()
}

fn metrics_table(evaluated: &Evaluated, intervals: Option<&MetricIntervals>) -> Table {
    let metrics = &evaluated.evaluation.metrics;
    let mut table = Table::new("metrics", "Metrics", &["metric", "value", "95 % interval"])
        .show_as("95 % interval", "95% CI");
    let no = || text("");
    let percents =
        |low: f64, high: f64| html(escape(&percent_interval([low, high])), format!("{low} to {high}"));
    let plain = |low: f64, high: f64| html(range(low, high), format!("{low} to {high}"));
    let [low, high] = metrics.accuracy_interval;
    let mut push = |name: &str, value: Cell, interval: Cell| table.push(vec![text(name), value, interval]);
    push(
        "accuracy",
        share(metrics.accuracy),
        intervals.map_or_else(|| percents(low, high), |i| percents(i.accuracy.low, i.accuracy.high)),
    );
    if intervals.is_some() {
        push("accuracy, images taken as independent (Wilson)", share(metrics.accuracy), percents(low, high));
    }
    push(
        "balanced accuracy",
        share(metrics.balanced_accuracy),
        intervals.map_or_else(no, |i| percents(i.balanced_accuracy.low, i.balanced_accuracy.high)),
    );
    push(
        "macro F1",
        number(decimals(metrics.macro_f1, 3), metrics.macro_f1),
        intervals.map_or_else(no, |i| plain(i.macro_f1.low, i.macro_f1.high)),
    );
    for (name, value) in [
        ("weighted F1", metrics.weighted_f1),
        ("macro precision", metrics.macro_precision),
        ("macro recall", metrics.macro_recall),
        ("Cohen's kappa", metrics.cohen_kappa),
        ("Matthews correlation coefficient", metrics.mcc),
        ("loss (negative log-likelihood)", metrics.loss),
        ("Brier score", metrics.brier),
        ("expected calibration error (ECE)", metrics.ece),
    ] {
        push(name, number(decimals(value, 3), value), no());
    }
    for (k, value) in metrics.top_k.iter().filter(|(k, _)| *k > 1) {
        push(&format!("top-{k} accuracy"), share(*value), no());
    }
    push("majority-class baseline", share(metrics.majority_baseline), no());
    push("images", whole(metrics.n as usize), no());
    table
}

/// Both confusion matrices; two radio buttons and CSS decide which of them is shown.
fn confusion_toggle(evaluated: &Evaluated, prefix: &str, output: &mut Output) -> String {
    let evaluation = &evaluated.evaluation;
    let mut matrix = |normalised| {
        let mut figure = figures::confusion(&evaluation.metrics.confusion, &evaluation.classes, normalised);
        figure.name = format!("{prefix}{}", figure.name);
        output.figure(figure)
    };
    let (counts, rows) = (matrix(false), matrix(true));
    let id = format!("{}confusion", link(prefix).replace(['%', '.', '/'], "-"));
    format!(
        "<fieldset class=\"toggle\"><legend>Confusion matrix</legend>\
         <input type=\"radio\" name=\"{id}\" id=\"{id}-n\" checked><label for=\"{id}-n\">counts</label>\
         <input type=\"radio\" name=\"{id}\" id=\"{id}-s\"><label for=\"{id}-s\">normalised by true \
         class</label><div class=\"first\">{counts}</div><div class=\"second\">{rows}</div></fieldset>"
    )
}

fn class_table(name: &str, evaluated: &Evaluated, intervals: Option<&MetricIntervals>) -> Table {
    let mut table = Table::new(
        name,
        "Precision, recall and F1 per class",
        &["class", "images", "precision", "precision 95 %", "recall", "recall 95 %", "F1", "F1 95 %"],
    );
    for column in ["precision 95 %", "recall 95 %", "F1 95 %"] {
        table = table.show_as(column, "95% CI");
    }
    for score in class_scores(evaluated, intervals) {
        let mut row = vec![text(&score.class), whole(score.support as usize)];
        for (one, of) in [(score.precision, 1), (score.recall, 1), (score.f1, 0)] {
            let known = one.low.is_finite() && one.high.is_finite();
            let (shown, between) = match of {
                1 => (percent(one.value), percent_interval([one.low, one.high])),
                _ => (decimals(one.value, 3), if known { range(one.low, one.high) } else { String::new() }),
            };
            row.push(number(shown, one.value));
            row.push(html(
                if known { escape(&between) } else { String::new() },
                if known { format!("{} to {}", one.low, one.high) } else { String::new() },
            ));
        }
        table.push(row);
    }
    table
}

/// The other evaluations: a table of all, and the confusion matrix of each.
fn other_evaluations(run: &Run, output: &mut Output) -> String {
    let all = &run.files.evaluations;
    if all.len() < 2 {
        return String::new();
    }
    let mut table = Table::new(
        "evaluations",
        "All evaluations",
        &[
            "evaluation",
            "model",
            "split",
            "images",
            "accuracy",
            "95 % interval",
            "macro F1",
            "ECE",
            "temperature",
            "leakage",
        ],
    )
    .show_as("95 % interval", "95% CI");
    for Evaluated { name, evaluation, .. } in all {
        let metrics = &evaluation.metrics;
        let [low, high] = metrics.accuracy_interval;
        table.push(vec![
            text(name),
            text(&evaluation.model),
            text(&evaluation.split),
            whole(metrics.n as usize),
            share(metrics.accuracy),
            html(escape(&percent_interval([low, high])), format!("{low} to {high}")),
            number(decimals(metrics.macro_f1, 3), metrics.macro_f1),
            number(decimals(metrics.ece, 3), metrics.ece),
            number(significant(evaluation.temperature.into()), evaluation.temperature.into()),
            html(
                if evaluation.leakage { "<b class=\"bad\">yes</b>" } else { "no" },
                evaluation.leakage.to_string(),
            ),
        ]);
    }
    let mut out = output.table(&table);
    for evaluated in all.iter().skip(1).take(OTHERS) {
        let name = &evaluated.name;
        let body = confusion_toggle(evaluated, &format!("{name}_"), output)
            + &output.table(&class_table(&format!("{name}_per_class_table"), evaluated, None));
        out += &details(
            &format!(
                "{name}: accuracy {} on {}",
                percent(evaluated.evaluation.metrics.accuracy),
                count(evaluated.evaluation.metrics.n as usize, "image", "images")
            ),
            &body,
        );
    }
    out
}
