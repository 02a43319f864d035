//! What a reader must know before believing the numbers.

use std::collections::HashSet;

use super::results::{Results, Warning};
use crate::text::count;

/// A bootstrap over fewer groups than this is rough (Cameron, Gelbach & Miller 2008 call 5 to 30 clusters
/// few).
const FEW_GROUPS: usize = 30;

/// Ratio of the images seen in training above which two variants are not trained equally long.
const UNEQUAL_EFFORT: f64 = 1.5;

/// The warnings of a study, the serious ones first.
pub(super) fn warnings(results: &Results) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn =
        |grave: bool, title: &str, text: String| found.push(Warning { grave, title: title.into(), text });
    let leaking: Vec<&str> = results
        .variants
        .iter()
        .flat_map(|variant| &variant.runs)
        .filter(|run| run.leakage)
        .map(|run| run.run.as_str())
        .collect();
    if !leaking.is_empty() {
        warn(
            true,
            "Leakage",
            format!(
                "{} trained on images or groups of the test set: the numbers are too optimistic.",
                leaking.join(", ")
            ),
        );
    }
    if results.variant(&results.baseline).is_none() {
        let text = format!(
            "No run of the baseline '{}' is finished, so nothing can be compared yet.",
            results.baseline
        );
        warn(true, "No baseline", text);
    }
    if !results.missing.is_empty() {
        warn(
            true,
            "Not finished",
            format!("{}. The numbers cover the finished runs only.", results.missing.join(", ")),
        );
    }
    let single: Vec<&str> = results
        .variants
        .iter()
        .filter(|variant| variant.runs.len() == 1)
        .map(|variant| variant.name.as_str())
        .collect();
    if single.len() == results.variants.len() {
        let text = "Every variant has one run, so the variation between seeds is unknown. The intervals say \
                    how the numbers of these trained models could differ on other test images, not how \
                    training again would change them.";
        warn(true, "One seed", text.into());
    } else if !single.is_empty() {
        let have = if single.len() == 1 { "has only one run: its" } else { "have only one run each: their" };
        let text = format!("{} {have} variation between seeds is unknown.", single.join(", "));
        warn(true, "One seed", text);
    } else if results.seeds.len() < 3 {
        let text = "With two seeds the spread between seeds is poorly known: the intervals of differences \
                    are wide, those of single variants somewhat too narrow. Use three seeds or more.";
        warn(false, "Few seeds", text.into());
    }
    let counts: HashSet<usize> = results.variants.iter().map(|variant| variant.runs.len()).collect();
    if counts.len() > 1 {
        warn(
            false,
            "Unequal numbers of runs",
            "Not all variants have the same number of finished runs.".into(),
        );
    }
    if results.groups == results.images {
        let text = "Every test image is its own group. If several images show the same person or photo, the \
                    intervals are too narrow.";
        warn(false, "No groups", text.into());
    }
    if results.groups < FEW_GROUPS {
        let text = format!(
            "The test set has only {} (photos, persons): small differences cannot be detected, and the \
             intervals are rough.",
            count(results.groups, "group", "groups")
        );
        warn(false, "Few groups", text);
    }
    if let Some(base) = results.variant(&results.baseline) {
        for variant in results.variants.iter().filter(|variant| variant.name != base.name) {
            if let (Some(a), Some(b)) = (base.cost.images_seen, variant.cost.images_seen) {
                let ratio = b / a;
                if !(1.0 / UNEQUAL_EFFORT..=UNEQUAL_EFFORT).contains(&ratio) {
                    let text = format!(
                        "'{}' saw {ratio:.1} times as many images in training as '{}': part of a difference \
                         may come from longer or shorter training, not from the data.",
                        variant.name, base.name
                    );
                    warn(false, "Unequal training", text);
                }
            }
        }
    }
    found.sort_by_key(|warning| !warning.grave); // stable
    found
}
