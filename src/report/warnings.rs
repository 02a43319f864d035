//! What a reader must know before believing the numbers.

use super::numbers::Rows;
use crate::data::{DataSummary, GroupRule, Split};
use crate::page::html::{count, list, percent, percent_interval};
use crate::run_folder::read::{Ending, RunFiles};
use crate::stats::bootstrap::MetricIntervals;

/// Fewer groups than this make a bootstrap over groups unreliable (Cameron, Gelbach and Miller,
/// "Bootstrap-based improvements for inference with clustered errors", 2008, treat 5 to 30 clusters as few).
pub(crate) const FEW_GROUPS: usize = 30;
/// From this calibration error on, a reader is told that probabilities are not to be taken at their word.
const BAD_ECE: f64 = 0.05;
/// The largest class over the smallest, from which on classes count as unequal.
const IMBALANCE: usize = 3;

/// One warning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Warning {
    /// Whether the numbers below are wrong or missing because of it; else it is something to keep in mind.
    pub(crate) grave: bool,
    /// A few words.
    pub(crate) title: String,
    /// What it means and what to do.
    pub(crate) text: String,
}

fn warning(grave: bool, title: &str, text: impl Into<String>) -> Warning {
    Warning { grave, title: title.to_owned(), text: text.into() }
}

/// The warnings of a run, the grave ones first.
pub(crate) fn of(files: &RunFiles, rows: Option<&Rows>, intervals: Option<&MetricIntervals>) -> Vec<Warning> {
    let mut found = Vec::new();
    leakage(files, &mut found);
    evaluation(files, rows, intervals, &mut found);
    ending(files, &mut found);
    if let Some(data) = &files.data {
        about_data(data, &mut found);
    }
    let known =
        files.data.as_ref().map(|data| [&data.warnings[..], &data.left_out[..]].concat()).unwrap_or_default();
    for text in files.messages.iter().filter(|text| {
        // These have a warning of their own.
        !known.contains(text) && !text.contains("LEAKAGE") && !text.contains("unreadable files are left out")
    }) {
        found.push(warning(false, "Told while training", text));
    }
    for text in &files.notices {
        found.push(warning(true, "A file is missing or damaged", text));
    }
    found.sort_by_key(|warning| !warning.grave); // stable
    found
}

fn leakage(files: &RunFiles, found: &mut Vec<Warning>) {
    if let Some(data) = files.data.as_ref().filter(|data| data.leakage) {
        let example = data.leaks.first().map(|leak| {
            let splits: Vec<String> = leak.splits.iter().map(Split::to_string).collect();
            format!(", for example {} (in {})", leak.group, list(&splits))
        });
        found.push(warning(
            true,
            "Leakage",
            format!(
                "{} in more than one split{}: every accuracy below is too good. Train with --drop-leaking or --resplit.",
                count(data.leaking_groups, "group is", "groups are"),
                example.unwrap_or_default()
            ),
        ));
    } else if let Some(evaluated) =
        files.evaluations.iter().find(|one| one.evaluation.leakage && one.evaluation.split != "train")
    {
        let told = files.messages.iter().find(|text| text.contains("LEAKAGE"));
        let text = format!(
            "The model has seen images, or groups, of the evaluation \"{}\" in training: its numbers are too good.",
            evaluated.name
        );
        found.push(warning(true, "Leakage", told.map_or(text.clone(), |told| format!("{text} {told}"))));
    }
}

fn evaluation(
    files: &RunFiles,
    rows: Option<&Rows>,
    intervals: Option<&MetricIntervals>,
    found: &mut Vec<Warning>,
) {
    let Some(primary) = files.primary() else {
        found.push(warning(
            true,
            "Nothing is evaluated",
            "The run has no evaluation yet, so that there is nothing to say about its accuracy.",
        ));
        return;
    };
    let (evaluation, metrics) = (&primary.evaluation, &primary.evaluation.metrics);
    match evaluation.split.as_str() {
        "test" => {}
        "valid" => found.push(warning(
            true,
            "No test split",
            "The numbers are of the validation split, by which the best epoch was chosen: they flatter the model. Keep images for a test.",
        )),
        other => found.push(warning(true, "No test split", format!("The numbers are of the split \"{other}\"."))),
    }
    if let Some(data) = files.data.as_ref().filter(|data| data.root.display().to_string() != evaluation.data)
    {
        let text = format!(
            "The numbers are of {}; the run was trained on {}.",
            evaluation.data,
            data.root.display()
        );
        found.push(warning(false, "Other data", text));
    }
    let interval =
        intervals.map_or(metrics.accuracy_interval, |found| [found.accuracy.low, found.accuracy.high]);
    if interval[0] <= metrics.majority_baseline {
        found.push(warning(
            true,
            "No better than guessing",
            format!(
                "The accuracy of {} (95 % interval {}) cannot be told from {}, which always answering with the commonest class would reach.",
                percent(metrics.accuracy),
                percent_interval(interval),
                percent(metrics.majority_baseline)
            ),
        ));
    }
    if let Some(groups) = rows.map(Rows::group_count).filter(|groups| *groups < FEW_GROUPS) {
        let text = format!(
            "The {} split has {} of images (persons, photos): the intervals are rough, and a new person may fare quite differently.",
            evaluation.split,
            count(groups, "group", "groups")
        );
        found.push(warning(false, "Few groups", text));
    }
    let missing: Vec<String> = metrics
        .per_class
        .iter()
        .filter(|class| class.support == 0)
        .map(|class| class.class.clone())
        .collect();
    if !missing.is_empty() {
        let text = format!(
            "The {} split has no image of {}: nothing is known about how well that is recognised.",
            evaluation.split,
            list(&missing)
        );
        found.push(warning(true, "Classes without images", text));
    }
    let few: Vec<String> = metrics
        .per_class
        .iter()
        .filter(|class| (1..10).contains(&class.support))
        .map(|class| class.class.clone())
        .collect();
    if !few.is_empty() {
        found.push(warning(
            false,
            "Small classes",
            format!("The {} split has fewer than 10 images of {}.", evaluation.split, list(&few)),
        ));
    }
    if evaluation.temperature == 1.0 && metrics.ece >= BAD_ECE {
        found.push(warning(
            false,
            "Probabilities are not calibrated",
            format!(
                "They are off by {} on average. `mien calibrate` makes them honest without changing any answer.",
                percent(metrics.ece)
            ),
        ));
    }
}

fn ending(files: &RunFiles, found: &mut Vec<Warning>) {
    let planned: Option<usize> = files.setting("train.epochs").and_then(|text| text.parse().ok());
    let done = files.epochs.len();
    let of = planned
        .map_or_else(|| count(done, "epoch", "epochs"), |planned| format!("{done} of {planned} epochs"));
    match files.end {
        Ending::Finished { .. } => {}
        Ending::EarlyStopped { .. } => {
            found.push(warning(
                false,
                "Stopped early",
                format!("Training ended after {of}: the validation loss did not fall any more."),
            ));
        }
        Ending::Interrupted { .. } => {
            found.push(warning(
                true,
                "Interrupted",
                format!("Training was interrupted after {of}. `mien train --resume` goes on with it."),
            ));
        }
        Ending::Unknown => {
            let text = format!(
                "Training has not ended ({of} so far): it is still going on, or was killed. `mien train --resume` goes on with it."
            );
            found.push(warning(true, "Not finished", text));
        }
    }
}

fn about_data(data: &DataSummary, found: &mut Vec<Warning>) {
    let train = data.counts.of(Split::Train);
    let (most, least) = (train.iter().copied().max().unwrap_or(0), train.iter().copied().min().unwrap_or(0));
    let named =
        |number: usize| train.iter().position(|n| *n == number).map_or("", |at| data.classes[at].as_str());
    if least == 0 && most > 0 {
        found.push(warning(
            true,
            "Classes without training images",
            format!("There is no training image of {}.", named(0)),
        ));
    } else if most >= IMBALANCE * least.max(1) {
        found.push(warning(
            false,
            "Unequal classes",
            format!(
                "{} has {} training images, {} only {}: accuracy favours the large classes; look at the balanced accuracy and macro F1.",
                named(most),
                most,
                named(least),
                least
            ),
        ));
    }
    let by_content = data.group_rules.get(&GroupRule::Content).copied().unwrap_or(0);
    let grouped: usize = data.group_rules.values().sum();
    if by_content * 2 > grouped {
        found.push(warning(
            false,
            "Persons are not known",
            format!(
                "{by_content} of {grouped} images have no group but their own content: images of one person may be in training and in the test. \
                 If file names tell the person, give --group-regex."
            ),
        ));
    }
    if !data.unreadable.is_empty() {
        let text = format!(
            "{} left out; the section on data names them.",
            count(data.unreadable.len(), "unreadable file was", "unreadable files were")
        );
        found.push(warning(false, "Unreadable files", text));
    }
    for text in &data.left_out {
        found.push(warning(false, "Left out", text));
    }
    // Leakage has a warning of its own.
    for text in data.warnings.iter().filter(|text| !(data.leakage && text.contains("cross splits"))) {
        found.push(warning(false, "About the data", text));
    }
}
