//! The numbers of each run and of each variant, with their confidence intervals.
//!
//! Two things make a number uncertain: which groups of images the test set happens to contain, and which
//! seeds the runs happened to have. The interval accounts for both: it is the wider of the bootstrap's,
//! which draws groups and seeds, and Student's, from the jackknife over groups and the variance over seeds.
//! A bootstrap of three seeds or of five groups knows few values and is too narrow; Student's t with its few
//! degrees of freedom is not. The p value is the larger of the two.

use toml::Value;

use super::plan::Arm;
use super::read::{Loaded, TestSet, class_of};
use super::results::{Cost, RunResult, VariantResult};
use crate::error::Result;
use crate::stats::bootstrap::{self, Interval, Metric, Settings};
use crate::stats::distributions::{normal_quantile, t_cdf, t_quantile};
use crate::stats::hypothesis::wilson_interval;

/// A run's predictions and numbers.
pub(super) struct RunNumbers {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) predicted: Vec<usize>,
    pub(super) right: Vec<bool>,
    /// See [`statistics`].
    pub(super) values: Vec<f64>,
    /// The same without each group.
    pub(super) without: Vec<Vec<f64>>,
    pub(super) leakage: bool,
    pub(super) cost: Cost,
    settings: Vec<(String, String)>,
}

impl RunNumbers {
    pub(super) fn new(run: Loaded, test: &TestSet) -> Self {
        let k = test.classes.len();
        let predicted: Vec<usize> =
            run.predictions.iter().map(|row| class_of(&test.classes, Some(&row.predicted))).collect();
        let right = predicted.iter().zip(&test.truth).map(|(a, b)| a == b).collect();
        let mut members = vec![Vec::new(); test.group_count()];
        let mut confusion = vec![0i64; k * k];
        for ((&group, &truth), &predicted) in test.groups.iter().zip(&test.truth).zip(&predicted) {
            members[group].push(truth * k + predicted);
            confusion[truth * k + predicted] += 1;
        }
        let values = statistics(&confusion, k);
        let without = members
            .iter()
            .map(|cells| {
                cells.iter().for_each(|&cell| confusion[cell] -= 1);
                let values = statistics(&confusion, k);
                cells.iter().for_each(|&cell| confusion[cell] += 1);
                values
            })
            .collect();
        Self {
            name: run.name,
            seed: run.seed,
            predicted,
            right,
            values,
            without,
            leakage: run.evaluation.leakage,
            cost: run.cost,
            settings: run.settings,
        }
    }
}

/// A variant's runs.
pub(super) struct Side<'a> {
    pub(super) arm: Arm<'a>,
    pub(super) runs: Vec<RunNumbers>,
}

impl Side<'_> {
    pub(super) fn predicted(&self) -> Vec<Vec<usize>> {
        self.runs.iter().map(|run| run.predicted.clone()).collect()
    }

    /// The variant's entry in the results.
    pub(super) fn result(&self, test: &TestSet, settings: &Settings) -> Result<VariantResult> {
        let [accuracy, balanced_accuracy, macro_f1] =
            METRICS.map(|metric| self.value(metric, test, settings));
        let shown = |value: &Value| match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        Ok(VariantResult {
            name: self.arm.name.clone(),
            kind: self.arm.kind,
            changes: self.arm.set.iter().map(|(key, value)| (key.clone(), shown(value))).collect(),
            runs: self.runs.iter().map(run_result).collect(),
            accuracy: accuracy?,
            balanced_accuracy: balanced_accuracy?,
            macro_f1: macro_f1?,
            cost: mean_cost(&self.runs),
            settings: self.runs.first().map(|run| run.settings.clone()).unwrap_or_default(),
        })
    }

    /// The mean over the seeds with its interval.
    pub(super) fn value(&self, metric: Metric, test: &TestSet, settings: &Settings) -> Result<Interval> {
        let classes = test.classes.len();
        // The difference from predictions that are never right, whose value is 0 in every replicate, is the
        // value itself.
        let never: Vec<usize> = test.truth.iter().map(|truth| (truth + 1) % classes).collect();
        let found = bootstrap::paired_difference(test.rows(), &[never], &self.predicted(), metric, settings)?;
        let index = metric as usize;
        let (student, _) = Uncertain::of(index, None, self).student(settings.level);
        let mut interval = wider(found.difference, student, 0.0);
        if interval.estimate <= 0.0 || interval.estimate >= 1.0 {
            // All right or all wrong: nothing varies, but the true value is still uncertain.
            let groups = test.group_count() as u64;
            let z = normal_quantile((1.0 + settings.level) / 2.0);
            let [low, high] = wilson_interval(if interval.estimate >= 1.0 { groups } else { 0 }, groups, z);
            interval = Interval {
                estimate: interval.estimate,
                low: low.min(interval.low),
                high: high.max(interval.high),
            };
        }
        Ok(interval)
    }
}

fn run_result(run: &RunNumbers) -> RunResult {
    RunResult {
        run: run.name.clone(),
        seed: run.seed,
        accuracy: run.values[0],
        balanced_accuracy: run.values[1],
        macro_f1: run.values[2],
        leakage: run.leakage,
        cost: run.cost,
    }
}

fn mean_cost(runs: &[RunNumbers]) -> Cost {
    let mean_of = |value: fn(&Cost) -> Option<f64>| {
        let known: Option<Vec<f64>> = runs.iter().map(|run| value(&run.cost)).collect();
        known.map(|values| mean(&values))
    };
    Cost {
        train_images: mean_of(|cost| cost.train_images),
        epochs: mean_of(|cost| cost.epochs),
        images_seen: mean_of(|cost| cost.images_seen),
        seconds: mean_of(|cost| cost.seconds),
    }
}

/// In the order of [`statistics`].
pub(super) const METRICS: [Metric; 3] = [Metric::Accuracy, Metric::BalancedAccuracy, Metric::MacroF1];

/// Accuracy, balanced accuracy, macro F1; then recall and F1 of each class, NaN without images of it.
/// `confusion`: `[K, K]` counts, a row per true class.
pub(super) fn statistics(confusion: &[i64], k: usize) -> Vec<f64> {
    let cell = |truth: usize, predicted: usize| confusion[truth * k + predicted] as f64;
    let (mut n, mut hits, mut recalls, mut with_rows, mut f1s) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let mut classes = Vec::with_capacity(2 * k);
    for class in 0..k {
        let support: f64 = (0..k).map(|other| cell(class, other)).sum();
        let predicted: f64 = (0..k).map(|other| cell(other, class)).sum();
        let right = cell(class, class);
        n += support;
        hits += right;
        let f1 = if support + predicted > 0.0 { 2.0 * right / (support + predicted) } else { 0.0 };
        f1s += f1;
        if support > 0.0 {
            recalls += right / support;
            with_rows += 1.0;
            classes.extend([right / support, f1]);
        } else {
            classes.extend([f64::NAN; 2]);
        }
    }
    [hits / n, recalls / with_rows, f1s / k as f64].into_iter().chain(classes).collect()
}

/// Where the recall of a class is among the [`statistics`]; its F1 follows.
pub(super) fn recall_of(class: usize) -> usize {
    METRICS.len() + 2 * class
}

/// A value or a difference, and the variance that each source contributes, with its degrees of freedom.
pub(super) struct Uncertain {
    pub(super) estimate: f64,
    pub(super) sources: Vec<(f64, f64)>,
}

impl Uncertain {
    /// Statistic `index` of `b`, less that of `a` if there is one.
    pub(super) fn of(index: usize, a: Option<&Side>, b: &Side) -> Self {
        let column = |side: &Side| side.runs.iter().map(|run| run.values[index]).collect::<Vec<_>>();
        let (first, second) = (a.map(column), column(b));
        let estimate = mean(&second) - first.as_deref().map_or(0.0, mean);

        // The jackknife over groups (Efron & Tibshirani 1993, section 11.2), seeds kept.
        let groups = b.runs[0].without.len();
        let without = |side: &Side, group: usize| {
            side.runs.iter().map(|run| run.without[group][index]).sum::<f64>() / side.runs.len() as f64
        };
        let left: Vec<f64> =
            (0..groups).map(|group| without(b, group) - a.map_or(0.0, |a| without(a, group))).collect();
        let (g, middle) = (groups as f64, mean(&left));
        let jackknife = (g - 1.0) / g * left.iter().map(|value| (value - middle).powi(2)).sum::<f64>();
        // A single group, or a class with images in only one, says nothing about other groups.
        let jackknife = if groups < 2 || jackknife.is_nan() { f64::INFINITY } else { jackknife };

        let seeds = first.iter().chain([&second]).filter(|values| values.len() > 1).map(|values| {
            let n = values.len() as f64;
            let variance = values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>() / (n - 1.0);
            (variance / n, n - 1.0)
        });
        Self { estimate, sources: std::iter::once((jackknife, g - 1.0)).chain(seeds).collect() }
    }

    /// Student's interval and two-sided p value, with the degrees of freedom of Welch and Satterthwaite.
    pub(super) fn student(&self, level: f64) -> (Interval, f64) {
        let estimate = self.estimate;
        let variance: f64 = self.sources.iter().map(|(variance, _)| variance).sum();
        if !variance.is_finite() {
            return (Interval { estimate, low: f64::NEG_INFINITY, high: f64::INFINITY }, 1.0);
        }
        // Where nothing varies, rounding leaves a trace.
        if variance < 1e-24 {
            return (
                Interval { estimate, low: estimate, high: estimate },
                if estimate.abs() < 1e-12 { 1.0 } else { 0.0 },
            );
        }
        let spread: f64 =
            self.sources.iter().filter(|one| one.0 > 0.0).map(|(part, df)| part * part / df).sum();
        let (error, df) = (variance.sqrt(), variance * variance / spread);
        let half = t_quantile((1.0 + level) / 2.0, df) * error;
        let p = 2.0 * (1.0 - t_cdf((estimate / error).abs(), df));
        (Interval { estimate, low: estimate - half, high: estimate + half }, p.clamp(0.0, 1.0))
    }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The hull of two intervals, from `least` to 1.
pub(super) fn wider(a: Interval, b: Interval, least: f64) -> Interval {
    Interval { estimate: a.estimate, low: a.low.min(b.low).max(least), high: a.high.max(b.high).min(1.0) }
}
