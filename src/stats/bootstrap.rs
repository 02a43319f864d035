//! Bootstrap by group (Efron & Tibshirani 1993; the clustered form of Davison & Hinkley 1997, section 3.8).
//!
//! Rows of one group (the faces of a photo, the images of a person) are alike, so that drawing rows one by
//! one pretends to more information than there is. Whole groups are drawn instead, with replacement, as many
//! as there are.
//!
//! Legend: N rows, K classes, G groups, B replicates, S seeds.

use std::collections::HashMap;

use chacha20::ChaCha8Rng;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::distributions::{normal_cdf, normal_quantile};
use super::{below, same_length};
use crate::error::{Error, Result};
use crate::random::{Purpose, rng};

/// How an interval is read off the replicates.
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

/// How to bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Replicates, B.
    pub replicates: usize,
    /// How often the interval shall hold the true value, in `0..1`.
    pub level: f64,
    /// What the draws are keyed by.
    pub seed: u64,
    /// How the interval is read off.
    pub method: Method,
}

impl Default for Settings {
    fn default() -> Self {
        Self { replicates: 2000, level: 0.95, seed: 0, method: Method::default() }
    }
}

/// A value and how far it may be off.
///
/// The bootstrap knows nothing beyond the data: a share of 0 or 1 gets an interval without width, for which
/// [`super::hypothesis::wilson_interval`] serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value of the data themselves.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The intervals of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassIntervals {
    /// Of the rows predicted as it, the share that is it.
    pub precision: Interval,
    /// Of the rows that are it, the share predicted as it.
    pub recall: Interval,
    /// Harmonic mean of precision and recall.
    pub f1: Interval,
}

/// The intervals of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricIntervals {
    /// Share of rows whose prediction is right.
    pub accuracy: Interval,
    /// Mean recall of the classes that have rows.
    pub balanced_accuracy: Interval,
    /// Mean F1 of the K classes.
    pub macro_f1: Interval,
    /// One entry per class, in index order.
    pub per_class: Vec<ClassIntervals>,
    /// Groups, G.
    pub groups: usize,
    /// Replicates, B.
    pub replicates: usize,
    /// How often the intervals shall hold the true value.
    pub level: f64,
}

/// What a comparison of predictions is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of rows whose prediction is right.
    Accuracy,
    /// Mean recall of the classes that have rows.
    BalancedAccuracy,
    /// Mean F1 of the K classes.
    MacroF1,
}

/// How much better `b` is than `a`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The value of `a`, the mean over its seeds.
    pub a: f64,
    /// The value of `b`, the mean over its seeds.
    pub b: f64,
    /// `b − a`.
    pub difference: Interval,
    /// Two-sided: twice the smaller share of replicates on one side of 0, those on 0 counted on both. Below
    /// `1 − level` only if the interval leaves 0 out. Never below 2 / (B + 1).
    pub p_value: f64,
}

/// The group of each row as an index in `0..G`, in the order of first appearance. A row with an empty key is
/// a group of its own.
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

/// The intervals of accuracy, balanced accuracy, macro F1 and each class, for N rows with class indices below
/// `classes`.
///
/// The estimates follow [`crate::eval::metrics`]: a quotient without a denominator is 0. A replicate in which
/// the denominator of a precision or recall is 0 does not count for that number.
///
/// # Errors
/// [`Error::Input`] for no rows, lengths that differ, an index that is not a class and settings that make no
/// sense.
pub fn metric_intervals(
    groups: &[usize],
    truth: &[usize],
    predicted: &[usize],
    classes: usize,
    settings: &Settings,
) -> Result<MetricIntervals> {
    let place = "bootstrap";
    let count = check(groups, truth.len(), settings)?;
    same_length(place, "predictions", predicted.len(), truth.len())?;
    below(place, "truth", truth, classes)?;
    below(place, "prediction", predicted, classes)?;
    let cells = GroupCells::new(groups, count, truth, predicted, classes);
    let found = bootstrap(count, settings, |counts, _| numbers(&cells.confusion(counts), classes));
    // A value that is not defined counts as 0, as it does in the metrics.
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

/// The intervals of any numbers. `statistics` gets N weights, how often each row is drawn, and returns always
/// as many values; those that are NaN do not count. Each replicate touches every row.
///
/// # Errors
/// [`Error::Input`] for no rows and settings that make no sense.
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

/// Whether `b` predicts better than `a`: `a[s]` and `b[s]` are the predictions of seed s for the same N rows;
/// the two may have different numbers of seeds.
///
/// Each replicate draws groups, the same for all predictions, and for each side with several seeds S − 1 of
/// them with replacement, because the variance of a mean of S − 1 draws is that of the mean of S seeds (Rao &
/// Wu 1988). With one seed per side the result speaks of these two trained models, with several of the two
/// ways of training. The interval is the percentile one whatever the settings say.
///
/// # Errors
/// [`Error::Input`] for no rows, no seeds, lengths that differ, an index that is not a class and settings
/// that make no sense.
pub fn paired_difference(
    groups: &[usize],
    truth: &[usize],
    a: &[Vec<usize>],
    b: &[Vec<usize>],
    classes: usize,
    metric: Metric,
    settings: &Settings,
) -> Result<Difference> {
    let place = "paired bootstrap";
    let count = check(groups, truth.len(), settings)?;
    below(place, "truth", truth, classes)?;
    let prepared = |side: &[Vec<usize>]| {
        let one = |predicted: &Vec<usize>| {
            same_length(place, "predictions", predicted.len(), truth.len())?;
            below(place, "prediction", predicted, classes)?;
            Ok(GroupCells::new(groups, count, truth, predicted, classes))
        };
        side.iter().map(one).collect::<Result<Vec<_>>>()
    };
    compare(count, &prepared(a)?, &prepared(b)?, settings, |cells, counts| {
        overall(&cells.confusion(counts), classes)[metric as usize]
    })
}

/// As [`paired_difference`] for the mean over the rows of any value, the loss for instance: `a[s]` and `b[s]`
/// hold N values.
///
/// # Errors
/// [`Error::Input`] for no rows, no seeds, lengths that differ, a value that is not finite and settings that
/// make no sense.
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

/// Checks the groups of `rows` rows and the settings; returns G.
fn check(groups: &[usize], rows: usize, settings: &Settings) -> Result<usize> {
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

/// Draws, and reads the intervals off. `statistics` gets how often each group is drawn, and the generator of
/// the replicate.
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

/// B rows of statistics, in the order of the replicates.
fn draw<F>(groups: usize, settings: &Settings, statistics: F) -> Vec<Vec<f64>>
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
fn leave_one_out(groups: usize, statistics: impl Fn(&[u32]) -> Vec<f64> + Sync) -> Vec<Vec<f64>> {
    let one = |counts: &mut Vec<u32>, left_out: usize| {
        counts[left_out] = 0;
        let found = statistics(counts);
        counts[left_out] = 1;
        found
    };
    let groups = if groups > 1 { groups } else { 0 };
    (0..groups).into_par_iter().map_init(|| vec![1; groups], one).collect()
}

/// The levels at which the BCa interval cuts (Efron 1987, as in Efron & Tibshirani 1993, section 14.3).
fn corrected(tails: [f64; 2], estimate: f64, replicates: &[f64], without: &[f64]) -> [f64; 2] {
    let below = replicates.iter().filter(|value| **value < estimate).count() as f64;
    let equal = replicates.iter().filter(|value| **value == estimate).count() as f64;
    let bias = normal_quantile((below + equal / 2.0) / replicates.len() as f64);
    if !bias.is_finite() {
        return tails; // all replicates on one side: nothing to correct by
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

/// The quantile of sorted values, linear between two of them (numpy's default); `None` without values.
fn quantile(sorted: &[f64], level: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = level.clamp(0.0, 1.0) * last as f64;
    let (index, share) = (at.floor() as usize, at.fract());
    let next = sorted[(index + 1).min(last)];
    Some(sorted[index] + share * (next - sorted[index]))
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

/// The rows of each group as cells of the confusion matrix.
struct GroupCells {
    classes: usize,
    /// Where the cells of each group begin, and where the last end.
    starts: Vec<usize>,
    /// `truth · K + predicted` of every row, group by group.
    cells: Vec<u32>,
}

impl GroupCells {
    fn new(groups: &[usize], count: usize, truth: &[usize], predicted: &[usize], classes: usize) -> Self {
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
    fn confusion(&self, counts: &[u32]) -> Vec<u64> {
        let mut confusion = vec![0; self.classes * self.classes];
        for (&n, range) in counts.iter().zip(self.starts.windows(2)).filter(|(n, _)| **n > 0) {
            self.cells[range[0]..range[1]].iter().for_each(|&cell| confusion[cell as usize] += u64::from(n));
        }
        confusion
    }
}

/// How many numbers come before those of the classes.
const OVERALL: usize = 3;

/// In the order of [`Metric`].
fn overall(confusion: &[u64], k: usize) -> [f64; OVERALL] {
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

/// [`overall`], then precision, recall and F1 of each class; NaN where the denominator is 0.
fn numbers(confusion: &[u64], k: usize) -> Vec<f64> {
    let mut all = overall(confusion, k).to_vec();
    for class in 0..k {
        let [right, support, predicted] = sums(confusion, k, class).map(|count| count as f64);
        all.extend([right / predicted, right / support, 2.0 * right / (support + predicted)]);
    }
    all
}

/// Rows that are the class and predicted so, rows that are the class, rows predicted so.
fn sums(confusion: &[u64], k: usize, class: usize) -> [u64; 3] {
    let support = confusion[class * k..(class + 1) * k].iter().sum();
    let predicted = confusion.iter().skip(class).step_by(k).sum();
    [confusion[class * k + class], support, predicted]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::fixture::{close, fixture, indices, numbers as list};

    fn settings(replicates: usize, seed: u64) -> Settings {
        Settings { replicates, seed, ..Settings::default() }
    }

    /// Groups of the sizes 1 to `most`; each has its own chance to be right, so that its rows are alike.
    fn clustered(groups: usize, most: u64, seed: u64) -> (Vec<usize>, Vec<f64>) {
        let mut random = rng(seed, Purpose::Draw, 0, 0);
        let (mut owners, mut right) = (Vec::new(), Vec::new());
        for group in 0..groups {
            // 0.7 on average, but 0.95 or 0.45 within the group.
            let chance = if random.random_bool(0.5) { 0.95 } else { 0.45 };
            for _ in 0..random.random_range(1..=most) {
                owners.push(group);
                right.push(f64::from(u8::from(random.random_bool(chance))));
            }
        }
        (owners, right)
    }

    #[test]
    fn groups_are_numbered_and_an_empty_key_is_alone() {
        assert_eq!(group_indices(&["b", "", "a", "b", "", "a"]), [0, 1, 2, 0, 3, 2]);
    }

    #[test]
    fn estimates_are_those_of_the_metrics_and_lie_in_their_intervals() {
        let table = &fixture()["bootstrap"];
        let (truth, predicted) = (indices(&table["truth"]), indices(&table["predicted"]));
        let groups: Vec<usize> = (0..truth.len()).collect();
        let found = metric_intervals(&groups, &truth, &predicted, 4, &settings(500, 1)).unwrap();
        close("accuracy", found.accuracy.estimate, table["accuracy"].as_f64().unwrap(), 1e-12);
        close(
            "balanced",
            found.balanced_accuracy.estimate,
            table["balanced_accuracy"].as_f64().unwrap(),
            1e-12,
        );
        close("macro F1", found.macro_f1.estimate, table["macro_f1"].as_f64().unwrap(), 1e-12);
        for (class, expected) in list(&table["recall"]).into_iter().enumerate() {
            let one = found.per_class[class];
            close("recall", one.recall.estimate, expected, 1e-12);
            for interval in [one.precision, one.recall, one.f1, found.accuracy, found.macro_f1] {
                assert!(
                    interval.low < interval.estimate && interval.estimate < interval.high,
                    "{interval:?}"
                );
            }
        }
    }

    /// scipy's own draws differ, so that the ends agree as far as 20,000 replicates let them.
    #[test]
    fn the_ends_are_those_of_scipy() {
        let table = &fixture()["bootstrap"];
        let values = list(&table["values"]);
        let groups: Vec<usize> = (0..values.len()).collect();
        let mean = |weights: &[f64]| {
            let sum = |power: i32| values.iter().zip(weights).map(|(v, w)| v.powi(power) * w).sum::<f64>();
            let n: f64 = weights.iter().sum();
            vec![sum(1) / n, sum(2) / n - (sum(1) / n).powi(2)]
        };
        for (method, name) in [(Method::Percentile, "percentile"), (Method::Bca, "BCa")] {
            let found = intervals(&groups, &Settings { method, ..settings(20_000, 3) }, mean).unwrap();
            for (statistic, interval) in ["mean", "variance"].iter().zip(found) {
                let expected = list(&table[name][statistic]);
                let tolerance = 0.04 * (expected[1] - expected[0]);
                close(&format!("{name} {statistic} low"), interval.low, expected[0], tolerance);
                close(&format!("{name} {statistic} high"), interval.high, expected[1], tolerance);
            }
        }
    }

    #[test]
    fn the_seed_decides_and_the_number_of_threads_does_not() {
        let (groups, right) = clustered(60, 6, 5);
        let predicted: Vec<usize> = right.iter().map(|&right| right as usize).collect();
        let truth = vec![1; right.len()];
        let run = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| metric_intervals(&groups, &truth, &predicted, 2, &settings(300, seed)).unwrap())
        };
        assert_eq!(run(1, 9), run(3, 9));
        assert_ne!(run(1, 9), run(1, 10));
    }

    /// The interval by group holds the truth about as often as it says; the one that takes rows for
    /// independent does not.
    #[test]
    fn coverage_by_group_is_as_claimed_where_rows_alone_undercover() {
        let (sets, mut by_group, mut by_bca, mut by_row) = (400, 0, 0, 0);
        for set in 0..sets {
            let (groups, right) = clustered(80, 9, 1000 + set);
            let mean = |weights: &[f64]| {
                let n: f64 = weights.iter().sum();
                vec![right.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() / n]
            };
            let holds = |groups: &[usize], method| {
                let found = intervals(groups, &Settings { method, ..settings(300, set) }, mean).unwrap()[0];
                u32::from(found.low <= 0.7 && 0.7 <= found.high)
            };
            let rows: Vec<usize> = (0..right.len()).collect();
            by_group += holds(&groups, Method::Percentile);
            by_bca += holds(&groups, Method::Bca);
            by_row += holds(&rows, Method::Percentile);
        }
        let share = |count: u32| f64::from(count) / sets as f64;
        eprintln!("coverage: group {}, BCa {}, rows {}", share(by_group), share(by_bca), share(by_row));
        assert!((0.90..=0.98).contains(&share(by_group)), "{}", share(by_group));
        assert!((0.90..=0.98).contains(&share(by_bca)), "{}", share(by_bca));
        assert!(share(by_row) < 0.88, "{}", share(by_row));
    }

    #[test]
    fn no_difference_is_found_about_as_often_as_claimed_and_a_real_one_is() {
        let (sets, mut false_alarms, mut found) = (400, 0, 0);
        for set in 0..sets {
            let (groups, a) = clustered(80, 5, 5000 + set);
            // Each side is right or wrong on its own within the same groups: no difference but for chance.
            let mut random = rng(set, Purpose::Draw, 1, 0);
            let mut other = |gain: f64| -> Vec<f64> {
                a.iter()
                    .map(|&a| {
                        if random.random_bool(0.6) {
                            a
                        } else {
                            f64::from(u8::from(random.random_bool(0.7 + gain)))
                        }
                    })
                    .collect()
            };
            let (base, same, better) = (other(0.0), other(0.0), other(0.25));
            let p = |b: Vec<f64>| {
                paired_mean_difference(&groups, std::slice::from_ref(&base), &[b], &settings(400, set))
                    .unwrap()
                    .p_value
            };
            false_alarms += u32::from(p(same) < 0.05);
            found += u32::from(p(better) < 0.05);
        }
        let share = |count: u32| f64::from(count) / sets as f64;
        eprintln!("paired: false {}, power {}", share(false_alarms), share(found));
        assert!(share(false_alarms) < 0.08, "{}", share(false_alarms));
        assert!(share(found) > 0.8, "{}", share(found));
    }

    /// Three seeds a side that differ by luck: a bootstrap over the rows alone would take one side's luck for
    /// a difference.
    #[test]
    fn the_luck_of_seeds_is_not_taken_for_a_difference() {
        let (sets, mut with_seeds, mut rows_alone) = (200, 0, 0);
        for set in 0..sets {
            let mut random = rng(set, Purpose::Draw, 2, 0);
            let groups: Vec<usize> = (0..400).collect();
            let mut side = || -> Vec<Vec<f64>> {
                let mut one = || {
                    let chance = random.random_range(0.62..0.78);
                    (0..400).map(|_| f64::from(u8::from(random.random_bool(chance)))).collect()
                };
                (0..5).map(|_| one()).collect()
            };
            let (a, b) = (side(), side());
            let means = |side: &[Vec<f64>]| {
                vec![(0..400).map(|row| side.iter().map(|seed| seed[row]).sum::<f64>() / 5.0).collect()]
            };
            let p = |a: &[Vec<f64>], b: &[Vec<f64>]| {
                paired_mean_difference(&groups, a, b, &settings(300, set)).unwrap().p_value
            };
            with_seeds += u32::from(p(&a, &b) < 0.05);
            rows_alone += u32::from(p(&means(&a), &means(&b)) < 0.05);
        }
        let share = |count: u32| f64::from(count) / sets as f64;
        eprintln!("seeds: {} rows alone {}", share(with_seeds), share(rows_alone));
        assert!(share(with_seeds) < 0.12, "{}", share(with_seeds));
        assert!(share(rows_alone) > 0.2, "{}", share(rows_alone));
    }

    #[test]
    fn differences_are_those_of_the_metrics() {
        let truth = [0, 0, 0, 1, 1, 2];
        let (a, b) = (vec![0, 0, 1, 1, 0, 0], vec![0, 0, 0, 1, 1, 1]);
        let groups: Vec<usize> = (0..6).collect();
        let difference = |metric| {
            let found = paired_difference(
                &groups,
                &truth,
                std::slice::from_ref(&a),
                &[b.clone(), a.clone()],
                3,
                metric,
                &settings(100, 0),
            )
            .unwrap();
            assert!((found.b - found.a - found.difference.estimate).abs() < 1e-15);
            (found.a, found.b)
        };
        close("accuracy", difference(Metric::Accuracy).0, 0.5, 1e-12);
        close("accuracy", difference(Metric::Accuracy).1, (5.0 / 6.0 + 0.5) / 2.0, 1e-12);
        close("balanced", difference(Metric::BalancedAccuracy).0, (2.0 / 3.0 + 0.5) / 3.0, 1e-12);
        close("F1", difference(Metric::MacroF1).0, (4.0 / 7.0 + 0.5) / 3.0, 1e-12);
        let one = std::slice::from_ref(&a);
        let same =
            paired_difference(&groups, &truth, one, one, 3, Metric::MacroF1, &settings(100, 0)).unwrap();
        assert_eq!((same.p_value, same.difference), (1.0, Interval::default()));
    }

    #[test]
    fn a_class_that_lacks_has_zeros_and_a_certain_one_no_width() {
        let found = metric_intervals(&[0, 1, 2], &[0, 0, 1], &[0, 0, 1], 3, &settings(200, 0)).unwrap();
        assert_eq!(found.per_class[2], ClassIntervals::default());
        assert_eq!(found.per_class[0].recall, Interval { estimate: 1.0, low: 1.0, high: 1.0 });
        assert_eq!(found.groups, 3);
        let bca = Settings { method: Method::Bca, ..settings(50, 0) };
        assert_eq!(metric_intervals(&[0, 0], &[0, 1], &[0, 0], 2, &bca).unwrap().accuracy.high, 0.5);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let refused = |outcome: Result<MetricIntervals>, what: &str| {
            let text = outcome.unwrap_err().to_string();
            assert!(text.contains(what) && !text.contains('\n'), "{text}");
        };
        refused(metric_intervals(&[], &[], &[], 2, &settings(9, 0)), "found no rows");
        refused(
            metric_intervals(&[0], &[0, 1], &[0, 1], 2, &settings(9, 0)),
            "found 1 groups of rows; expected 2",
        );
        refused(metric_intervals(&[0], &[2], &[0], 2, &settings(9, 0)), "the truth of row 0 is 2");
        refused(metric_intervals(&[0], &[0], &[0], 2, &settings(0, 0)), "0 replicates");
        refused(metric_intervals(&[7], &[0], &[0], 2, &settings(9, 0)), "found the group 7");
        let text = paired_mean_difference(&[0], &[], &[vec![1.0]], &settings(9, 0)).unwrap_err().to_string();
        assert!(text.contains("0 and 1 seeds"), "{text}");
    }
}
