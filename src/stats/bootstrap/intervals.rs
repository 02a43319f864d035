//! Confidence intervals of the metrics of one evaluation, or of any numbers.

use chacha20::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::draws::{
    GroupCells, Interval, Method, OVERALL, Rows, Settings, check, draw, leave_one_out, overall, quantile,
    sums,
};
use crate::error::Result;
use crate::stats::distributions::{normal_cdf, normal_quantile};

/// The intervals of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassIntervals {
    /// Fraction of the rows predicted as the class that belong to it.
    pub precision: Interval,
    /// Fraction of the rows of the class that are predicted as it.
    pub recall: Interval,
    /// Harmonic mean of precision and recall.
    pub f1: Interval,
}

/// The intervals of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricIntervals {
    /// Fraction of rows classified correctly.
    pub accuracy: Interval,
    /// Mean recall of the classes that have rows.
    pub balanced_accuracy: Interval,
    /// Mean F1 of the K classes.
    pub macro_f1: Interval,
    /// One entry per class, in index order.
    pub per_class: Vec<ClassIntervals>,
    /// Number of groups, G.
    pub groups: usize,
    /// Number of replicates, B.
    pub replicates: usize,
    /// The confidence level of the intervals, in `0..1`.
    pub level: f64,
}

/// The intervals of accuracy, balanced accuracy, macro F1 and each class, for N predicted class indices.
///
/// The conventions are scikit-learn's with `zero_division=0`: a quotient without a denominator is 0. A
/// replicate in which the denominator of a precision or recall is 0 does not count for that number.
///
/// # Errors
/// [`Error::Input`](crate::error::Error::Input) for no rows, lengths that differ, an index that is not a
/// class and invalid settings.
pub fn metric_intervals(rows: Rows, predicted: &[usize], settings: &Settings) -> Result<MetricIntervals> {
    let (place, classes) = ("bootstrap", rows.classes);
    let count = check(rows.groups, rows.truth.len(), settings)?;
    rows.check_truth(place)?;
    rows.check_predictions(place, predicted)?;
    let cells = GroupCells::new(&rows, count, predicted);
    let found = bootstrap(count, settings, |counts, _| numbers(&cells.confusion(counts), classes));
    // An undefined value counts as 0, as in the metrics.
    let at = |index: usize| if found[index].estimate.is_nan() { Interval::default() } else { found[index] };
    let per_class = (0..classes)
        .map(|class| ClassIntervals {
            precision: at(OVERALL + 3 * class),
            recall: at(OVERALL + 3 * class + 1),
            f1: at(OVERALL + 3 * class + 2),
        })
        .collect();
    Ok(MetricIntervals {
        accuracy: at(0),
        balanced_accuracy: at(1),
        macro_f1: at(2),
        per_class,
        groups: count,
        replicates: settings.replicates,
        level: settings.level,
    })
}

/// The intervals of arbitrary statistics. `statistics` gets N weights, the number of times each row is drawn,
/// and always returns the same number of values; NaN values do not count. Each replicate visits every row.
///
/// # Errors
/// [`Error::Input`](crate::error::Error::Input) for no rows and invalid settings.
pub fn intervals<F>(groups: &[usize], settings: &Settings, statistics: F) -> Result<Vec<Interval>>
where
    F: Fn(&[f64]) -> Vec<f64> + Sync,
{
    let count = check(groups, groups.len(), settings)?;
    Ok(bootstrap(count, settings, |counts, _| {
        let weights: Vec<f64> = groups.iter().map(|&group| f64::from(counts[group])).collect();
        statistics(&weights)
    }))
}

/// Draws replicates and takes intervals from them. `statistics` gets how often each group is drawn, and the
/// generator of the replicate.
fn bootstrap<F>(groups: usize, settings: &Settings, statistics: F) -> Vec<Interval>
where
    F: Fn(&[u32], Option<&mut ChaCha8Rng>) -> Vec<f64> + Sync,
{
    let estimates = statistics(&vec![1; groups], None);
    let replicates = draw(groups, settings, |counts, random| statistics(counts, Some(random)));
    let without = match settings.method {
        Method::Percentile => Vec::new(),
        Method::Bca => leave_one_out(groups, |counts| statistics(counts, None)),
    };
    let column = |rows: &[Vec<f64>], index: usize| {
        let mut values: Vec<f64> =
            rows.iter().map(|row| row[index]).filter(|value| !value.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let one = |(index, &estimate): (usize, &f64)| {
        let values = column(&replicates, index);
        let tails = [(1.0 - settings.level) / 2.0, (1.0 + settings.level) / 2.0];
        let [low, high] = match settings.method {
            Method::Percentile => tails,
            Method::Bca => corrected(tails, estimate, &values, &column(&without, index)),
        }
        .map(|tail| quantile(&values, tail).unwrap_or(estimate));
        Interval { estimate, low, high }
    };
    estimates.iter().enumerate().map(one).collect()
}

/// The levels of the quantiles that bound the BCa interval (Efron 1987, as in Efron & Tibshirani 1993,
/// section 14.3).
fn corrected(tails: [f64; 2], estimate: f64, replicates: &[f64], without: &[f64]) -> [f64; 2] {
    let below = replicates.iter().filter(|value| **value < estimate).count() as f64;
    let equal = replicates.iter().filter(|value| **value == estimate).count() as f64;
    let bias = normal_quantile((below + equal / 2.0) / replicates.len() as f64);
    if !bias.is_finite() {
        return tails; // all replicates on one side: no correction is possible
    }
    let mean = without.iter().sum::<f64>() / without.len() as f64;
    let power = |p: i32| without.iter().map(|value| (mean - value).powi(p)).sum::<f64>();
    let spread = power(2);
    let acceleration = if spread > 0.0 { power(3) / (6.0 * spread.powf(1.5)) } else { 0.0 };
    tails.map(|tail| {
        let z = bias + normal_quantile(tail);
        normal_cdf(bias + z / (1.0 - acceleration * z))
    })
}

/// [`overall`], then precision, recall and F1 of each class; NaN where the denominator is 0.
fn numbers(confusion: &[u64], k: usize) -> Vec<f64> {
    let mut all = overall(confusion, k).to_vec();
    for class in 0..k {
        let [right, support, predicted] = sums(confusion, k, class).map(|count| count as f64);
        all.extend([right / predicted, right / support, 2.0 * right / (support + predicted)]);
    }
    all
}
