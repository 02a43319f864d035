//! Compares variants with the baseline: paired differences, tests and their correction.
//!
//! All runs but the leaky ones are tested on the same images, so that differences are paired image by image.

use super::numbers::{METRICS, Side, Uncertain, mean, recall_of, wider};
use super::plan::{Kind, Plan};
use super::read::TestSet;
use super::results::{Change, Claim, ClaimRun, ClassChange, Comparison, DosePoint, SeedTest, VariantResult};
use crate::data::DatasetType;
use crate::error::Result;
use crate::stats::bootstrap::{self, Difference, Interval, Settings};
use crate::stats::hypothesis::{holm, mcnemar};

/// Compares a variant with the baseline; p values are not yet corrected.
pub(super) fn compare(
    baseline: &Side,
    variant: &Side,
    test: &TestSet,
    settings: &Settings,
) -> Result<Comparison> {
    let classes = test.classes.len();
    let (a, b) = (baseline.predicted(), variant.predicted());
    let [accuracy, balanced_accuracy, macro_f1] = METRICS.map(|metric| {
        let found = bootstrap::paired_difference(test.rows(), &a, &b, metric, settings)?;
        let (student, p) = Uncertain::of(metric as usize, Some(baseline), variant).student(settings.level);
        Ok(change(found, student, p))
    });
    let mut tests = Vec::new();
    for run in &variant.runs {
        // The runs of one seed are one pair.
        if let Some(other) = baseline.runs.iter().find(|other| other.seed == run.seed) {
            let found = mcnemar(&other.right, &run.right)?;
            let (only_baseline, only_variant) = (found.only_a, found.only_b);
            tests.push(SeedTest {
                seed: run.seed,
                only_baseline,
                only_variant,
                p: found.exact,
                p_holm: found.exact,
            });
        }
    }
    let class_change = |class: usize| {
        let of = |index: usize| {
            let (interval, p) = Uncertain::of(index, Some(baseline), variant).student(settings.level);
            let value =
                |side: &Side| mean(&side.runs.iter().map(|run| run.values[index]).collect::<Vec<_>>());
            let difference = wider(interval, interval, -1.0);
            Change { a: value(baseline), b: value(variant), difference, p, p_holm: p }
        };
        let index = recall_of(class);
        ClassChange {
            class: test.classes[class].clone(),
            images: test.support(class),
            recall: of(index),
            f1: of(index + 1),
        }
    };
    Ok(Comparison {
        variant: variant.arm.name.clone(),
        baseline: baseline.arm.name.clone(),
        accuracy: accuracy?,
        balanced_accuracy: balanced_accuracy?,
        macro_f1: macro_f1?,
        mcnemar: tests,
        classes: (0..classes).filter(|&class| test.support(class) > 0).map(class_change).collect(),
        clear: false,
    })
}

/// The wider interval and the larger p value.
fn change(found: Difference, student: Interval, p: f64) -> Change {
    let p = p.max(found.p_value);
    Change { a: found.a, b: found.b, difference: wider(found.difference, student, -1.0), p, p_holm: p }
}

/// Holm's correction, for each kind of number over the whole study.
pub(super) fn correct(comparisons: &mut [Comparison], level: f64) {
    let metrics: [fn(&mut Comparison) -> &mut Change; 3] =
        [|one| &mut one.accuracy, |one| &mut one.balanced_accuracy, |one| &mut one.macro_f1];
    for metric in metrics {
        corrected(comparisons.iter_mut().map(|one| pair(metric(one))).collect());
    }
    corrected(
        comparisons
            .iter_mut()
            .flat_map(|one| &mut one.mcnemar)
            .map(|test| (test.p, &mut test.p_holm))
            .collect(),
    );
    let scores: [fn(&mut ClassChange) -> &mut Change; 2] = [|class| &mut class.recall, |class| &mut class.f1];
    for score in scores {
        corrected(
            comparisons.iter_mut().flat_map(|one| &mut one.classes).map(|class| pair(score(class))).collect(),
        );
    }
    for one in comparisons {
        one.clear = is_clear(&one.accuracy, level);
    }
}

fn pair(change: &mut Change) -> (f64, &mut f64) {
    (change.p, &mut change.p_holm)
}

fn corrected(family: Vec<(f64, &mut f64)>) {
    let p: Vec<f64> = family.iter().map(|(p, _)| *p).collect();
    family.into_iter().zip(holm(&p)).for_each(|((_, slot), p)| *slot = p);
}

/// Whether a change is significant at a confidence level.
pub(super) fn is_clear(change: &Change, level: f64) -> bool {
    change.p_holm < 1.0 - level && (change.difference.low > 0.0 || change.difference.high < 0.0)
}

/// What the leaky runs would have reported, and the variant to compare with it.
pub(super) fn claim(runs: Vec<ClaimRun>, plan: &Plan, variants: &[VariantResult]) -> Option<Claim> {
    let augmented =
        |one: &&VariantResult| one.kind == Kind::Typed(DatasetType::Augmented) && one.changes.is_empty();
    let beside =
        variants.iter().find(augmented).or_else(|| variants.iter().find(|one| one.name == plan.baseline))?;
    if runs.is_empty() {
        return None;
    }
    let mean_of = |value: fn(&ClaimRun) -> f64| mean(&runs.iter().map(value).collect::<Vec<_>>());
    Some(Claim {
        accuracy: mean_of(|run| run.accuracy),
        macro_f1: mean_of(|run| run.macro_f1),
        beside: beside.name.clone(),
        honest: beside.accuracy.estimate,
        runs,
    })
}

/// Accuracy by the number of synthetic images added.
pub(super) fn dose(plan: &Plan, variants: &[VariantResult]) -> Vec<DosePoint> {
    let point = |&images: &usize| {
        let name = plan.dose_variant(images);
        let variant = variants.iter().find(|variant| variant.name == name)?;
        let seeds = variant.runs.iter().map(|run| (run.seed, run.accuracy)).collect();
        Some(DosePoint { images, variant: name, accuracy: variant.accuracy, seeds })
    };
    plan.dose.iter().filter_map(point).collect()
}
