//! What a reader should know before trusting the numbers. A new warning of a run is a function and a line of
//! [`WARNINGS`].

use super::run::Run;
use crate::data::{DataSummary, GroupRule, Split};
use crate::page::html::{count, escape, list, percent, percent_interval, thousands};
use crate::run_folder::read::{Ending, Evaluated};

/// Fewer groups than this make a bootstrap over groups unreliable (Cameron, Gelbach and Miller,
/// "Bootstrap-based improvements for inference with clustered errors", 2008, treat 5 to 30 clusters as few).
pub(super) const FEW_GROUPS: usize = 30;
/// Expected calibration error from which on uncalibrated probabilities get a warning.
const BAD_ECE: f64 = 0.05;
/// Ratio of the largest to the smallest class from which on classes count as imbalanced.
const IMBALANCE: usize = 3;

/// One warning.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Warning {
    /// Whether numbers on the page are wrong or missing because of it; otherwise it is something to keep in
    /// mind.
    pub(super) grave: bool,
    /// A few words.
    pub(super) title: &'static str,
    /// What it means and what to do about it.
    pub(super) text: String,
}

impl Warning {
    /// As one line of text.
    pub(super) fn line(&self) -> String {
        format!("{}: {}", self.title, self.text)
    }
}

/// An entry of a table of warnings.
pub(super) struct Check<T> {
    title: &'static str,
    grave: bool,
    /// Function that gives a text for each time that the warning applies.
    texts: T,
}

pub(super) const fn grave<T: Copy>(title: &'static str, texts: T) -> Check<T> {
    Check { title, grave: true, texts }
}

pub(super) const fn note<T: Copy>(title: &'static str, texts: T) -> Check<T> {
    Check { title, grave: false, texts }
}

/// The warnings of a table that apply, the grave ones first.
pub(super) fn collect<T>(table: &[Check<T>], texts_of: impl Fn(&T) -> Vec<String>) -> Vec<Warning> {
    let apply = |check: &Check<T>| -> Vec<Warning> {
        let warning = |text| Warning { grave: check.grave, title: check.title, text };
        texts_of(&check.texts).into_iter().map(warning).collect()
    };
    let mut found: Vec<Warning> = table.iter().flat_map(apply).collect();
    found.sort_by_key(|warning| !warning.grave); // stable
    found
}

type Texts = fn(&Run) -> Vec<String>;

/// The warnings in the order in which they are shown; the grave ones come first.
const WARNINGS: &[Check<Texts>] = &[
    grave("Leakage", leakage),
    grave("Not evaluated", not_evaluated),
    grave("No test split", no_test_split),
    note("Other data", other_data),
    grave("No better than chance", no_better_than_chance),
    note("Few groups", few_groups),
    grave("Classes without images", classes_without_images),
    note("Small classes", small_classes),
    note("Probabilities are not calibrated", not_calibrated),
    note("Stopped early", stopped_early),
    grave("Interrupted", interrupted),
    grave("Not finished", not_finished),
    grave("Classes without training images", classes_without_training_images),
    note("Imbalanced classes", imbalanced_classes),
    note("Unknown identities", unknown_identities),
    note("Unreadable files", unreadable_files),
    note("Left out", left_out),
    note("About the data", about_the_data),
    note("Message during training", messages),
    grave("Missing or damaged file", damaged_files),
];

/// The warnings of a run, the grave ones first.
pub(super) fn of(run: &Run) -> Vec<Warning> {
    collect(WARNINGS, |texts| texts(run))
}

/// The warnings of a page (HTML); what stands between backticks is set as code.
pub(super) fn html(warnings: &[Warning]) -> String {
    if warnings.is_empty() {
        return "<p class=\"quiet\">No warnings.</p>".into();
    }
    let item = |warning: &Warning| {
        let class = if warning.grave { "grave" } else { "note" };
        format!("<li class=\"{class}\"><b>{}.</b> {}</li>", escape(warning.title), with_code(&warning.text))
    };
    let items: String = warnings.iter().map(item).collect();
    format!("<ul class=\"warnings\" aria-label=\"Warnings\">{items}</ul>")
}

fn with_code(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escape(text); // a backtick alone
    }
    let part = |(index, part): (usize, &&str)| {
        if index % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) }
    };
    parts.iter().enumerate().map(part).collect()
}

// ---- evaluation ----

fn leakage(run: &Run) -> Vec<String> {
    let files = run.files;
    if let Some(data) = files.data.as_ref().filter(|data| data.leakage) {
        let example = data.leaks.first().map(|leak| {
            let splits: Vec<String> = leak.splits.iter().map(Split::to_string).collect();
            format!(", for example {} (in {})", leak.group, list(&splits))
        });
        return vec![format!(
            "{} in more than one split{}: all accuracies below are too optimistic. \
             Train with --drop-leaking or --resplit.",
            count(data.leaking_groups, "group is", "groups are"),
            example.unwrap_or_default()
        )];
    }
    let leaking = |one: &&Evaluated| one.evaluation.leakage && one.evaluation.split != "train";
    let Some(evaluated) = files.evaluations.iter().find(leaking) else { return Vec::new() };
    let text = format!(
        "The model was trained on images or groups of the evaluation \"{}\": its numbers are too optimistic.",
        evaluated.name
    );
    let message = files.messages.iter().find(|text| text.contains("LEAKAGE"));
    vec![message.map_or(text.clone(), |message| format!("{text} {message}"))]
}

fn not_evaluated(run: &Run) -> Vec<String> {
    if run.primary.is_some() {
        return Vec::new();
    }
    vec!["The run has no evaluation yet, so nothing is known about its accuracy.".into()]
}

fn no_test_split(run: &Run) -> Vec<String> {
    let Some(primary) = run.primary else { return Vec::new() };
    match primary.evaluation.split.as_str() {
        "test" => Vec::new(),
        "valid" => vec![
            "The numbers are those of the validation split, on which the best epoch was selected: they are \
             optimistic. Hold out images for a test split."
                .into(),
        ],
        other => vec![format!(
            "The numbers are those of the split \"{other}\", not of a held-out test \
                               split."
        )],
    }
}

fn other_data(run: &Run) -> Vec<String> {
    let (Some(primary), Some(data)) = (run.primary, &run.files.data) else { return Vec::new() };
    let (trained, evaluated) = (data.root.display().to_string(), &primary.evaluation.data);
    if trained == *evaluated {
        return Vec::new();
    }
    vec![format!("The model was trained on {trained} and evaluated on {evaluated}.")]
}

fn no_better_than_chance(run: &Run) -> Vec<String> {
    let Some(primary) = run.primary else { return Vec::new() };
    let (metrics, interval) = (&primary.evaluation.metrics, run.accuracy_interval(primary));
    if interval[0] > metrics.majority_baseline {
        return Vec::new();
    }
    vec![format!(
        "The accuracy of {} (95% interval {}) is not clearly above the {} that always predicting the most \
         frequent class would reach.",
        percent(metrics.accuracy),
        percent_interval(interval),
        percent(metrics.majority_baseline)
    )]
}

fn few_groups(run: &Run) -> Vec<String> {
    let (Some(primary), Some(rows)) = (run.primary, &run.rows) else { return Vec::new() };
    let groups = rows.group_count();
    if groups >= FEW_GROUPS {
        return Vec::new();
    }
    vec![format!(
        "The {} split has {} of images (one person or photo each): the confidence intervals are rough, and \
         accuracy on new people may differ considerably.",
        primary.evaluation.split,
        count(groups, "group", "groups")
    )]
}

/// The classes of the primary evaluation with as many images as `few` accepts.
fn classes_with<'a>(run: &'a Run, few: impl Fn(u64) -> bool) -> Option<(&'a str, String)> {
    let evaluation = &run.primary?.evaluation;
    let found: Vec<&str> = evaluation
        .metrics
        .per_class
        .iter()
        .filter(|class| few(class.support))
        .map(|class| class.class.as_str())
        .collect();
    (!found.is_empty()).then(|| (evaluation.split.as_str(), list(&found)))
}

fn classes_without_images(run: &Run) -> Vec<String> {
    let text =
        |(split, classes)| format!("The {split} split has no images of {classes}: their recall is unknown.");
    classes_with(run, |support| support == 0).map(text).into_iter().collect()
}

fn small_classes(run: &Run) -> Vec<String> {
    let text = |(split, classes)| format!("The {split} split has fewer than 10 images of {classes}.");
    classes_with(run, |support| (1..10).contains(&support)).map(text).into_iter().collect()
}

fn not_calibrated(run: &Run) -> Vec<String> {
    let Some(evaluation) = run.primary.map(|primary| &primary.evaluation) else { return Vec::new() };
    if evaluation.temperature != 1.0 || evaluation.metrics.ece < BAD_ECE {
        return Vec::new();
    }
    vec![format!(
        "Confidence and accuracy differ by {} on average (expected calibration error). `mien calibrate` \
         corrects the probabilities without changing any prediction.",
        percent(evaluation.metrics.ece)
    )]
}

// ---- end of training ----

/// The epochs that were trained: `3 of 9 epochs`.
fn epochs(run: &Run) -> String {
    let done = run.files.epochs.len();
    let planned: Option<usize> = run.files.setting("train.epochs").and_then(|text| text.parse().ok());
    planned.map_or_else(|| count(done, "epoch", "epochs"), |planned| format!("{done} of {planned} epochs"))
}

fn stopped_early(run: &Run) -> Vec<String> {
    let Ending::EarlyStopped { .. } = run.files.end else { return Vec::new() };
    vec![format!("Training ended after {}: the validation metric no longer improved.", epochs(run))]
}

fn interrupted(run: &Run) -> Vec<String> {
    let Ending::Interrupted { .. } = run.files.end else { return Vec::new() };
    vec![format!("Training was interrupted after {}. `mien train --resume` continues it.", epochs(run))]
}

fn not_finished(run: &Run) -> Vec<String> {
    let Ending::Unknown = run.files.end else { return Vec::new() };
    vec![format!(
        "Training has not ended ({} so far): it is still running, or was killed. `mien train --resume` \
         continues it.",
        epochs(run)
    )]
}

// ---- data ----

/// What `texts` says of the data, if they are known.
fn of_data(run: &Run, texts: impl Fn(&DataSummary) -> Vec<String>) -> Vec<String> {
    run.files.data.as_ref().map(texts).unwrap_or_default()
}

fn classes_without_training_images(run: &Run) -> Vec<String> {
    of_data(run, |data| {
        let train = data.counts.of(Split::Train);
        if train.iter().all(|images| *images == 0) {
            return Vec::new();
        }
        let without: Vec<&String> = data
            .classes
            .iter()
            .zip(train)
            .filter(|(_, images)| **images == 0)
            .map(|(class, _)| class)
            .collect();
        match without.as_slice() {
            [] => Vec::new(),
            some => vec![format!("There are no training images of {}.", list(some))],
        }
    })
}

fn imbalanced_classes(run: &Run) -> Vec<String> {
    of_data(run, |data| {
        let train = data.counts.of(Split::Train);
        let (most, least) =
            (train.iter().copied().max().unwrap_or(0), train.iter().copied().min().unwrap_or(0));
        if least == 0 || most < IMBALANCE * least {
            return Vec::new();
        }
        let named = |number: usize| {
            train.iter().position(|images| *images == number).map_or("", |at| data.classes[at].as_str())
        };
        vec![format!(
            "{} has {} training images, {} only {}: the large classes dominate the accuracy; balanced \
             accuracy and macro F1 say more.",
            named(most),
            thousands(most),
            named(least),
            thousands(least)
        )]
    })
}

fn unknown_identities(run: &Run) -> Vec<String> {
    of_data(run, |data| {
        let by_content = data.group_rules.get(&GroupRule::Content).copied().unwrap_or(0);
        let grouped: usize = data.group_rules.values().sum();
        if by_content * 2 <= grouped {
            return Vec::new();
        }
        vec![format!(
            "{} of {} images are grouped by nothing but their content, so images of one person may be in \
             both the training and the test split. If file names identify people, pass --group-regex.",
            thousands(by_content),
            thousands(grouped)
        )]
    })
}

fn unreadable_files(run: &Run) -> Vec<String> {
    of_data(run, |data| match data.unreadable.len() {
        0 => Vec::new(),
        n => vec![format!(
            "{} left out; the Data section lists {}.",
            count(n, "unreadable file was", "unreadable files were"),
            if n == 1 { "it" } else { "them" }
        )],
    })
}

fn left_out(run: &Run) -> Vec<String> {
    of_data(run, |data| data.left_out.clone())
}

fn about_the_data(run: &Run) -> Vec<String> {
    // Leakage has a warning of its own.
    let of_leakage =
        |data: &DataSummary, text: &String| data.leakage && text.contains("cross") && text.contains("split");
    of_data(run, |data| data.warnings.iter().filter(|text| !of_leakage(data, text)).cloned().collect())
}

fn messages(run: &Run) -> Vec<String> {
    let known = of_data(run, |data| [&data.warnings[..], &data.left_out[..]].concat());
    // These have warnings of their own.
    let shown = |text: &&String| {
        !known.contains(text) && !text.contains("LEAKAGE") && !text.contains("unreadable file")
    };
    run.files.messages.iter().filter(shown).cloned().collect()
}

fn damaged_files(run: &Run) -> Vec<String> {
    run.files.notices.clone()
}
