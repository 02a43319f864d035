//! Whether one way of predicting is better than another on the same rows.

use chacha20::ChaCha8Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::draws::{GroupCells, Interval, Rows, Settings, check, draw, overall, quantile};
use crate::error::{Error, Result};
use crate::stats::slices::same_length;

/// The metric of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Fraction of rows classified correctly.
    Accuracy,
    /// Mean recall of the classes that have rows.
    BalancedAccuracy,
    /// Mean F1 of the K classes.
    MacroF1,
}

/// The difference between `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The value of `a`, the mean over its seeds.
    pub a: f64,
    /// The value of `b`, the mean over its seeds.
    pub b: f64,
    /// `b − a` with its confidence interval.
    pub difference: Interval,
    /// Two-sided: twice the smaller fraction of replicates on one side of 0, those at 0 counted on both
    /// sides. Below `1 − level` only if the interval excludes 0. Never below 2 / (B + 1).
    pub p_value: f64,
}

/// Whether `b` predicts better than `a`: `a[s]` and `b[s]` are the predictions of seed s for the same N rows;
/// the two may have different numbers of seeds.
///
/// Each replicate draws groups, the same for all predictions, and for each side with several seeds S − 1 of
/// them with replacement, because the variance of a mean of S − 1 draws is that of the mean of S seeds (Rao &
/// Wu 1988). With one seed per side the result is about these two trained models, with several about the two
/// ways of training. The interval is always the percentile interval.
///
/// # Errors
/// [`Error::Input`] for no rows, no seeds, lengths that differ, an index that is not a class and invalid
/// settings.
pub fn paired_difference(
    rows: Rows,
    a: &[Vec<usize>],
    b: &[Vec<usize>],
    metric: Metric,
    settings: &Settings,
) -> Result<Difference> {
    let place = "paired bootstrap";
    let count = check(rows.groups, rows.truth.len(), settings)?;
    rows.check_truth(place)?;
    let prepared = |side: &[Vec<usize>]| {
        let one = |predicted: &Vec<usize>| {
            rows.check_predictions(place, predicted)?;
            Ok(GroupCells::new(&rows, count, predicted))
        };
        side.iter().map(one).collect::<Result<Vec<_>>>()
    };
    compare(count, &prepared(a)?, &prepared(b)?, settings, |cells, counts| {
        overall(&cells.confusion(counts), rows.classes)[metric as usize]
    })
}

/// As [`paired_difference`] for the mean over the rows of any value, the loss for instance: `a[s]` and `b[s]`
/// hold N values.
///
/// # Errors
/// [`Error::Input`] for no rows, no seeds, lengths that differ, a value that is not finite and invalid
/// settings.
pub fn paired_mean_difference(
    groups: &[usize],
    a: &[Vec<f64>],
    b: &[Vec<f64>],
    settings: &Settings,
) -> Result<Difference> {
    let place = "paired bootstrap";
    let count = check(groups, groups.len(), settings)?;
    let mut sizes = vec![0.0; count];
    groups.iter().for_each(|&group| sizes[group] += 1.0);
    let prepared = |side: &[Vec<f64>]| {
        let one = |values: &Vec<f64>| {
            same_length(place, "values", values.len(), groups.len())?;
            if let Some((row, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(Error::input(place, format!("the value of row {row} is {value}"))
                    .expected("a finite number"));
            }
            let mut sums = vec![0.0; count];
            values.iter().zip(groups).for_each(|(value, &group)| sums[group] += value);
            Ok(sums)
        };
        side.iter().map(one).collect::<Result<Vec<_>>>()
    };
    compare(count, &prepared(a)?, &prepared(b)?, settings, |sums, counts| {
        let weighted =
            |values: &[f64]| values.iter().zip(counts).map(|(value, &n)| value * f64::from(n)).sum::<f64>();
        weighted(sums) / weighted(&sizes)
    })
}

/// The paired bootstrap. `statistic` gives the value of one seed for how often each group is drawn.
fn compare<T: Sync>(
    groups: usize,
    a: &[T],
    b: &[T],
    settings: &Settings,
    statistic: impl Fn(&T, &[u32]) -> f64 + Sync,
) -> Result<Difference> {
    if a.is_empty() || b.is_empty() {
        return Err(Error::input("paired bootstrap", format!("found {} and {} seeds", a.len(), b.len()))
            .expected("at least one on each side"));
    }
    let all = |side: &[T]| {
        side.iter().map(|seed| statistic(seed, &vec![1; groups])).sum::<f64>() / side.len() as f64
    };
    let drawn = |side: &[T], counts: &[u32], random: &mut ChaCha8Rng| {
        let draws = (side.len() - 1).max(1);
        (0..draws).map(|_| statistic(&side[random.random_range(0..side.len())], counts)).sum::<f64>()
            / draws as f64
    };
    let replicates = draw(groups, settings, |counts, random| {
        let (a, b) = (drawn(a, counts, random), drawn(b, counts, random));
        vec![b - a]
    });
    let mut values: Vec<f64> = replicates.into_iter().flatten().filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    let (a, b) = (all(a), all(b));
    let ends = [(1.0 - settings.level) / 2.0, (1.0 + settings.level) / 2.0];
    let [low, high] = ends.map(|level| quantile(&values, level).unwrap_or(b - a));
    let share = |side: fn(&f64) -> bool| (values.iter().filter(|value| side(value)).count() + 1) as f64;
    let p_value =
        2.0 * share(|value| *value <= 0.0).min(share(|value| *value >= 0.0)) / (values.len() + 1) as f64;
    Ok(Difference { a, b, difference: Interval { estimate: b - a, low, high }, p_value: p_value.min(1.0) })
}
