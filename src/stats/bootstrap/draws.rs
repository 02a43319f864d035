//! What every bootstrap here shares: settings, groups, draws, and the counts that a draw gives.

use std::collections::HashMap;

use chacha20::ChaCha8Rng;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::random::{Purpose, rng};
use crate::stats::slices::{below, same_length};

/// How the interval follows from the replicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Between two quantiles of the replicates.
    #[default]
    Percentile,
    /// Bias-corrected and accelerated (Efron 1987), with the jackknife over groups: better where the
    /// statistic is skewed.
    Bca,
}

/// Replicates, level, seed and kind of interval of a bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Number of replicates, B.
    pub replicates: usize,
    /// The confidence level of the interval, in `0..1`.
    pub level: f64,
    /// The seed of the draws.
    pub seed: u64,
    /// How the interval follows from the replicates.
    pub method: Method,
}

impl Default for Settings {
    fn default() -> Self {
        Self { replicates: 2000, level: 0.95, seed: 0, method: Method::default() }
    }
}

/// A value with its confidence interval.
///
/// The bootstrap knows nothing beyond the data, so a proportion of 0 or 1 gets an interval without width; use
/// [`crate::stats::hypothesis::wilson_interval`] there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value on the data themselves.
    pub estimate: f64,
    /// The lower end of the confidence interval.
    pub low: f64,
    /// The upper end of the confidence interval.
    pub high: f64,
}

/// Rows to predict: their groups and labels.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[N]`: the group of each row, below N; see [`group_indices`].
    pub groups: &'a [usize],
    /// `[N]`: the true class of each row, below `classes`.
    pub truth: &'a [usize],
    /// K, the number of classes.
    pub classes: usize,
}

impl Rows<'_> {
    /// That every true class is a class.
    pub(super) fn check_truth(&self, place: &str) -> Result<()> {
        below(place, "truth", self.truth, self.classes)
    }

    /// That there is a class for each row.
    pub(super) fn check_predictions(&self, place: &str, predicted: &[usize]) -> Result<()> {
        same_length(place, "predictions", predicted.len(), self.truth.len())?;
        below(place, "prediction", predicted, self.classes)
    }
}

/// The group of each row as an index in `0..G`, in the order of first appearance. A row with an empty key is
/// its own group.
pub fn group_indices<S: AsRef<str>>(keys: &[S]) -> Vec<usize> {
    let (mut seen, mut next) = (HashMap::new(), 0);
    let mut fresh = || {
        next += 1;
        next - 1
    };
    keys.iter()
        .map(|key| match key.as_ref() {
            "" => fresh(),
            key => *seen.entry(key).or_insert_with(&mut fresh),
        })
        .collect()
}

/// Checks the groups of `rows` rows and the settings; returns G.
pub(super) fn check(groups: &[usize], rows: usize, settings: &Settings) -> Result<usize> {
    same_length("bootstrap", "groups of rows", groups.len(), rows)?;
    if rows == 0 {
        return Err(Error::input("bootstrap", "found no rows").expected("at least one"));
    }
    if settings.replicates == 0 || !(settings.level > 0.0 && settings.level < 1.0) {
        let Settings { replicates, level, .. } = settings;
        return Err(Error::input(
            "bootstrap",
            format!("found {replicates} replicates and the level {level}"),
        )
        .expected("at least one replicate and a level between 0 and 1"));
    }
    let count = groups.iter().max().map_or(0, |largest| largest + 1);
    if count > rows {
        return Err(Error::input("bootstrap", format!("found the group {}", count - 1))
            .expected(format!("an index below {rows}, the number of rows")));
    }
    Ok(count)
}

/// B rows of statistics, in the order of the replicates.
pub(super) fn draw<F>(groups: usize, settings: &Settings, statistics: F) -> Vec<Vec<f64>>
where
    F: Fn(&[u32], &mut ChaCha8Rng) -> Vec<f64> + Sync,
{
    let one = |counts: &mut Vec<u32>, replicate: usize| {
        let mut random = rng(settings.seed, Purpose::Bootstrap, replicate as u64, 0);
        counts.fill(0);
        (0..groups).for_each(|_| counts[random.random_range(0..groups)] += 1);
        statistics(counts, &mut random)
    };
    (0..settings.replicates).into_par_iter().map_init(|| vec![0; groups], one).collect()
}

/// The jackknife: statistics without each group in turn; none for a single group.
pub(super) fn leave_one_out(groups: usize, statistics: impl Fn(&[u32]) -> Vec<f64> + Sync) -> Vec<Vec<f64>> {
    let one = |counts: &mut Vec<u32>, left_out: usize| {
        counts[left_out] = 0;
        let found = statistics(counts);
        counts[left_out] = 1;
        found
    };
    let groups = if groups > 1 { groups } else { 0 };
    (0..groups).into_par_iter().map_init(|| vec![1; groups], one).collect()
}

/// The quantile of sorted values, linear between two of them (numpy's default); `None` without values.
pub(super) fn quantile(sorted: &[f64], level: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = level.clamp(0.0, 1.0) * last as f64;
    let (index, share) = (at.floor() as usize, at.fract());
    let next = sorted[(index + 1).min(last)];
    Some(sorted[index] + share * (next - sorted[index]))
}

/// The rows of each group as cells of the confusion matrix.
pub(super) struct GroupCells {
    classes: usize,
    /// Where the cells of each group begin, and where the last end.
    starts: Vec<usize>,
    /// `truth · K + predicted` of every row, group by group.
    cells: Vec<u32>,
}

impl GroupCells {
    pub(super) fn new(rows: &Rows, count: usize, predicted: &[usize]) -> Self {
        let &Rows { groups, truth, classes } = rows;
        let mut starts = vec![0; count + 1];
        groups.iter().for_each(|&group| starts[group + 1] += 1);
        (0..count).for_each(|group| starts[group + 1] += starts[group]);
        let (mut next, mut cells) = (starts.clone(), vec![0; groups.len()]);
        for ((&group, &truth), &predicted) in groups.iter().zip(truth).zip(predicted) {
            cells[next[group]] = (truth * classes + predicted) as u32;
            next[group] += 1;
        }
        Self { classes, starts, cells }
    }

    /// `[K, K]` counts when group g is there `counts[g]` times.
    pub(super) fn confusion(&self, counts: &[u32]) -> Vec<u64> {
        let mut confusion = vec![0; self.classes * self.classes];
        for (&n, range) in counts.iter().zip(self.starts.windows(2)).filter(|(n, _)| **n > 0) {
            self.cells[range[0]..range[1]].iter().for_each(|&cell| confusion[cell as usize] += u64::from(n));
        }
        confusion
    }
}

/// How many numbers come before those of the classes.
pub(super) const OVERALL: usize = 3;

/// Accuracy, balanced accuracy and macro F1.
pub(super) fn overall(confusion: &[u64], k: usize) -> [f64; OVERALL] {
    let (mut n, mut hits, mut recalls, mut with_rows, mut f1s) = (0, 0, 0.0, 0, 0.0);
    for class in 0..k {
        let [right, support, predicted] = sums(confusion, k, class);
        n += support;
        hits += right;
        if support > 0 {
            recalls += right as f64 / support as f64;
            with_rows += 1;
        }
        if support + predicted > 0 {
            f1s += 2.0 * right as f64 / (support + predicted) as f64;
        }
    }
    [hits as f64 / n as f64, recalls / f64::from(with_rows), f1s / k as f64]
}

/// Rows that are the class and predicted so, rows that are the class, rows predicted so.
pub(super) fn sums(confusion: &[u64], k: usize, class: usize) -> [u64; 3] {
    let support = confusion[class * k..(class + 1) * k].iter().sum();
    let predicted = confusion.iter().skip(class).step_by(k).sum();
    [confusion[class * k + class], support, predicted]
}
