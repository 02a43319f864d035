//! What a reader should know before trusting a comparison. A new warning is a function and a line of
//! [`WARNINGS`].

use rayon::prelude::*;

use super::pairs::{PAIRED, Pair};
use super::sides::{Side, same_data};
use crate::eval::files::Prediction;
use crate::page::html::{count, thousands};
use crate::report::images::images_of;
use crate::report::numbers::Rows;
use crate::report::warnings::{Check, FEW_GROUPS, Warning, collect, grave, note};

/// What the warnings are found in.
struct Found<'a> {
    sides: &'a [Side<'a>],
    split: Option<&'a str>,
    pairs: &'a [Pair],
}

type Texts = fn(&Found) -> Vec<String>;

/// The warnings in the order in which they are shown; the grave ones come first.
const WARNINGS: &[Check<Texts>] = &[
    grave("Not evaluated", not_evaluated),
    grave("Leakage", leakage),
    grave("No test split", no_test_split),
    grave("Different splits", different_splits),
    note("Few groups", few_groups),
    grave("Different test images", different_images),
    note("Many runs", many_runs),
    grave("Trained on test images of another run", trained_on_test_images),
    grave("Missing or damaged file", damaged_files),
];

/// The warnings of a comparison, the grave ones first.
pub(super) fn of(sides: &[Side], split: Option<&str>, pairs: &[Pair]) -> Vec<Warning> {
    let found = Found { sides, split, pairs };
    collect(WARNINGS, |texts| texts(&found))
}

fn not_evaluated(found: &Found) -> Vec<String> {
    let without = found.sides.iter().filter(|side| side.evaluated.is_none());
    without.map(|side| format!("{} has not been evaluated.", side.name)).collect()
}

fn leakage(found: &Found) -> Vec<String> {
    let leaking = |side: &&Side| {
        side.evaluated.is_some_and(|evaluated| {
            evaluated.evaluation.leakage || side.files.data.as_ref().is_some_and(|data| data.leakage)
        })
    };
    let text = |side: &Side| {
        format!(
            "{} was trained on images or groups of its own evaluation: its numbers are too optimistic.",
            side.name
        )
    };
    found.sides.iter().filter(leaking).map(text).collect()
}

fn no_test_split(found: &Found) -> Vec<String> {
    match found.split {
        None | Some("test") => Vec::new(),
        Some(_) => vec![
            "Not all runs have been evaluated on a test split: they are compared on the validation split, on \
             which each selected its best epoch."
                .into(),
        ],
    }
}

fn different_splits(found: &Found) -> Vec<String> {
    if found.split.is_some() {
        return Vec::new();
    }
    let split = |side: &Side| Some(format!("{}: {}", side.name, side.evaluated?.evaluation.split));
    let splits: Vec<String> = found.sides.iter().filter_map(split).collect();
    vec![format!("There is no split that all runs have been evaluated on ({}).", splits.join("; "))]
}

fn few_groups(found: &Found) -> Vec<String> {
    let fewest = found.sides.iter().filter_map(|side| side.rows.as_ref()).map(Rows::group_count).min();
    let text = |groups| {
        format!(
            "The images come from only {} (one person or photo each): the confidence intervals are rough.",
            count(groups, "group", "groups")
        )
    };
    fewest.filter(|groups| *groups < FEW_GROUPS).map(text).into_iter().collect()
}

fn different_images(found: &Found) -> Vec<String> {
    let mut texts = Vec::new();
    for (a, first) in found.sides.iter().enumerate() {
        for (b, second) in found.sides.iter().enumerate().skip(a + 1) {
            let (Some(x), Some(y)) = (&first.rows, &second.rows) else { continue };
            match found.pairs.iter().find(|pair| (pair.a, pair.b) == (a, b)) {
                Some(pair) if pair.partial => texts.push(format!(
                    "{} and {} have {} in common (of {} and {}); only these are compared one by one.",
                    first.name,
                    second.name,
                    count(pair.common, "image", "images"),
                    thousands(x.rows.len()),
                    thousands(y.rows.len())
                )),
                None if b < PAIRED => texts.push(format!(
                    "{} and {} were evaluated on different images or classes: their numbers are not \
                     comparable.",
                    first.name, second.name
                )),
                _ => {}
            }
        }
    }
    texts
}

fn many_runs(found: &Found) -> Vec<String> {
    if found.sides.len() <= PAIRED {
        return Vec::new();
    }
    vec![format!("Only the first {PAIRED} runs are compared pair by pair.")]
}

fn trained_on_test_images(found: &Found) -> Vec<String> {
    let mut texts = Vec::new();
    for side in found.sides {
        for other in found.sides {
            if !std::ptr::eq(side, other)
                && let Some(seen) = trained_on(side, other)
                && seen > 0
            {
                texts.push(format!(
                    "{} was trained on {} of {}, or on other images of their groups.",
                    side.name,
                    count(seen, "test image", "test images"),
                    other.name
                ));
            }
        }
    }
    texts
}

fn damaged_files(found: &Found) -> Vec<String> {
    let of_side = |side: &Side| -> Vec<String> {
        side.files.notices.iter().map(|notice| format!("{}: {notice}", side.name)).collect()
    };
    found.sides.iter().flat_map(of_side).collect()
}

/// How many of the images that `other` was evaluated on were in the training data of `side`: by group in the
/// same data, else by content. `None` where nothing is known.
fn trained_on(side: &Side, other: &Side) -> Option<usize> {
    let (trained, rows) = (side.trained.as_ref()?, other.rows.as_ref()?);
    // Groups are named within a data set.
    let roots = [side, other].map(|side| side.files.data.as_ref().map(|data| data.root.clone()));
    if same_data(side, other) || matches!(&roots, [Some(a), Some(b)] if a == b) {
        return Some(rows.predictions.iter().filter(|row| trained.groups.contains(&row.group)).count());
    }
    let images = images_of(other.files, other.evaluated);
    let seen = |row: &&&Prediction| {
        images
            .bytes(&row.path)
            .is_some_and(|bytes| trained.hashes.contains(blake3::hash(&bytes).to_hex().as_str()))
    };
    images.are_there().then(|| rows.predictions.par_iter().filter(seen).count())
}
