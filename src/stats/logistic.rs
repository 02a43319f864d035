//! Multinomial logistic regression with an L2 penalty: how well a linear model separates classes.
//!
//! Legend: n rows, d features, k classes.

use std::collections::VecDeque;

use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::linalg::{add, dot};
use super::slices::{below, rows, same_length};
use crate::error::{Error, Result};
use crate::random::{Purpose, rng};

/// Penalty and stopping rule of the fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogisticSettings {
    /// The penalty l2/2 · Σ weights² is added to the sum of the losses: 1/C of scikit-learn.
    pub l2: f64,
    /// Maximum number of steps.
    pub iterations: usize,
    /// The fit has converged when no component of the gradient per row exceeds this.
    pub tolerance: f64,
}

impl Default for LogisticSettings {
    fn default() -> Self {
        Self { l2: 1.0, iterations: 200, tolerance: 1e-6 }
    }
}

/// A fitted linear classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// `[d]`: the mean of each feature, which is subtracted.
    pub mean: Vec<f64>,
    /// `[d]`: the standard deviation of each feature, by which it is divided; 1 where it is constant.
    pub scale: Vec<f64>,
    /// `[k, d]`, for standardised features.
    pub weights: Vec<f64>,
    /// `[k]`: the biases, which are not penalised.
    pub bias: Vec<f64>,
}

/// Predictions for each row by a model that has seen neither the row nor its group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidated {
    /// `[n]`: the most probable class.
    pub predicted: Vec<usize>,
    /// `[n, k]`: the probabilities of the classes.
    pub probabilities: Vec<f64>,
    /// Fraction of rows classified correctly.
    pub accuracy: f64,
    /// Mean recall of the classes that have rows.
    pub balanced_accuracy: f64,
    /// The accuracy of always predicting the most common class.
    pub majority: f64,
    /// Number of folds, at most the number of groups.
    pub folds: usize,
}

/// Rows of features with a class each.
#[derive(Clone, Copy, Debug)]
pub struct LabelledRows<'a> {
    /// `[n, d]`, row-major, finite.
    pub features: &'a [f32],
    /// Features of a row, d.
    pub d: usize,
    /// `[n]`: the class of each row, below `classes`.
    pub targets: &'a [usize],
    /// Number of classes, k.
    pub classes: usize,
}

impl<'a> LabelledRows<'a> {
    fn row(&self, index: usize) -> &'a [f32] {
        &self.features[index * self.d..(index + 1) * self.d]
    }

    /// Checks lengths and values; returns n.
    fn check(&self) -> Result<usize> {
        let place = "logistic regression";
        let n = rows(place, self.features, self.d)?;
        same_length(place, "targets", self.targets.len(), n)?;
        below(place, "target", self.targets, self.classes)?;
        if n == 0 {
            return Err(Error::input(place, "found no rows").expected("at least one"));
        }
        Ok(n)
    }
}

/// How many folds a cross-validation has, and the seed by which groups are dealt to them.
#[derive(Clone, Copy, Debug)]
pub struct Folds {
    /// Number of folds; at most the number of groups is used.
    pub count: usize,
    /// Seed of the order in which groups are dealt.
    pub seed: u64,
}

/// Fits a linear classifier to rows; features are standardised first.
///
/// By L-BFGS (Liu & Nocedal 1989) with ten corrections.
///
/// # Errors
/// [`Error::Input`] for no rows, lengths that do not fit, an index that is not a class, a value that is not
/// finite.
pub fn fit(data: LabelledRows, settings: &LogisticSettings) -> Result<Logistic> {
    let all: Vec<usize> = (0..data.check()?).collect();
    Ok(fit_rows(data, &all, settings))
}

impl Logistic {
    /// The probabilities `[n, k]` for features `[n, d]`.
    pub fn probabilities(&self, features: &[f32]) -> Vec<f64> {
        let (d, k) = (self.mean.len(), self.bias.len());
        let mut out = vec![0.0; features.len() / d * k];
        out.par_chunks_mut(k).zip(features.par_chunks(d)).for_each(|(out, row)| {
            let row: Vec<f64> = standardised(row, &self.mean, &self.scale).collect();
            let logits =
                self.weights.chunks_exact(d).zip(&self.bias).map(|(weights, bias)| dot(weights, &row) + bias);
            out.iter_mut().zip(logits).for_each(|(out, logit)| *out = logit);
            softmax(out);
        });
        out
    }
}

/// Cross-validation with whole groups in each fold; the rows of each class are spread evenly over the folds
/// as far as the groups allow.
///
/// # Errors
/// As [`fit`], and for fewer than two groups or folds.
pub fn cross_validated(
    data: LabelledRows,
    groups: &[usize],
    folds: Folds,
    settings: &LogisticSettings,
) -> Result<CrossValidated> {
    let LabelledRows { targets, classes, .. } = data;
    let n = data.check()?;
    same_length("cross-validation", "groups of rows", groups.len(), n)?;
    let (fold_of, folds) = divide(targets, classes, groups, folds)?;
    let (mut probabilities, mut predicted) = (vec![0.0; n * classes], vec![0; n]);
    for fold in 0..folds {
        let (held_out, seen): (Vec<usize>, Vec<usize>) = (0..n).partition(|&row| fold_of[row] == fold);
        let model = fit_rows(data, &seen, settings);
        for row in held_out {
            let found = model.probabilities(data.row(row));
            let best =
                (0..classes).fold(0, |best, class| if found[class] > found[best] { class } else { best });
            predicted[row] = best;
            probabilities[row * classes..(row + 1) * classes].copy_from_slice(&found);
        }
    }
    let (mut support, mut hits) = (vec![0u64; classes], vec![0u64; classes]);
    for (&target, &predicted) in targets.iter().zip(&predicted) {
        support[target] += 1;
        hits[target] += u64::from(target == predicted);
    }
    let recalls: Vec<f64> =
        support.iter().zip(&hits).filter(|(n, _)| **n > 0).map(|(&n, &h)| h as f64 / n as f64).collect();
    Ok(CrossValidated {
        predicted,
        probabilities,
        accuracy: hits.iter().sum::<u64>() as f64 / n as f64,
        balanced_accuracy: recalls.iter().sum::<f64>() / recalls.len() as f64,
        majority: support.iter().copied().max().unwrap_or(0) as f64 / n as f64,
        folds,
    })
}

/// The fold of each row, and how many folds there are. Groups are taken in random order; each goes to the
/// fold that has the fewest rows of its classes so far, rare classes weighing more.
fn divide(
    targets: &[usize],
    classes: usize,
    groups: &[usize],
    Folds { count: folds, seed }: Folds,
) -> Result<(Vec<usize>, usize)> {
    let mut rows_of = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    groups.iter().enumerate().for_each(|(row, &group)| rows_of.entry(group).or_default().push(row));
    let mut members: Vec<Vec<usize>> = rows_of.into_values().collect();
    let folds = folds.min(members.len());
    if folds < 2 {
        return Err(Error::input(
            "cross-validation",
            format!("found {} groups and {folds} folds", members.len()),
        )
        .expected("at least two of each"));
    }
    members.shuffle(&mut rng(seed, Purpose::Folds, 0, 0));
    let mut support = vec![0.0; classes];
    targets.iter().for_each(|&target| support[target] += 1.0);
    // The fold of each row, and of each fold the fraction of each class.
    let (mut fold_of, mut filled) = (vec![0; targets.len()], vec![vec![0.0; classes]; folds]);
    for rows in members {
        let load = |fold: usize| {
            let own: f64 = rows.iter().map(|&row| filled[fold][targets[row]] / support[targets[row]]).sum();
            (own, filled[fold].iter().sum::<f64>())
        };
        let less = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
        let fold = (0..folds).min_by(|&a, &b| less(&load(a), &load(b))).unwrap_or(0);
        for row in rows {
            filled[fold][targets[row]] += 1.0 / support[targets[row]];
            fold_of[row] = fold;
        }
    }
    Ok((fold_of, folds))
}

fn fit_rows(data: LabelledRows, chosen: &[usize], settings: &LogisticSettings) -> Logistic {
    let LabelledRows { d, targets, classes, .. } = data;
    let row = |index: usize| data.row(index);
    let n = chosen.len() as f64;
    let (mut mean, mut scale) = (vec![0.0; d], vec![0.0; d]);
    for &index in chosen {
        mean.iter_mut().zip(row(index)).for_each(|(mean, &value)| *mean += f64::from(value) / n);
    }
    for &index in chosen {
        let pairs = scale.iter_mut().zip(&mean).zip(row(index));
        pairs.for_each(|((scale, mean), &value)| *scale += (f64::from(value) - mean).powi(2) / n);
    }
    // A column that varies by no more than rounding is constant.
    let spread = |(variance, mean): (&mut f64, &f64)| {
        *variance =
            if variance.sqrt() > 1e-7 * mean.abs() && *variance > 0.0 { variance.sqrt() } else { 1.0 };
    };
    scale.iter_mut().zip(&mean).for_each(spread);
    let scaled: Vec<f64> = chosen.iter().flat_map(|&index| standardised(row(index), &mean, &scale)).collect();
    let targets: Vec<usize> = chosen.iter().map(|&index| targets[index]).collect();
    let objective = |at: &[f64]| loss_and_slope(at, &scaled, d, &targets, classes, settings.l2);
    let mut weights = minimise(vec![0.0; classes * (d + 1)], settings, objective);
    let bias = weights.split_off(classes * d);
    Logistic { mean, scale, weights, bias }
}

fn standardised<'a>(row: &'a [f32], mean: &'a [f64], scale: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    row.iter().zip(mean.iter().zip(scale)).map(|(&value, (mean, scale))| (f64::from(value) - mean) / scale)
}

/// Rows whose losses are summed together: fixed, so that the sum does not depend on the threads.
const BLOCK: usize = 512;

/// The mean over rows of −ln p(target) plus the penalty, and its slope; `at` is weights `[k, d]`, then the
/// bias `[k]`.
fn loss_and_slope(
    at: &[f64],
    data: &[f64],
    d: usize,
    targets: &[usize],
    k: usize,
    l2: f64,
) -> (f64, Vec<f64>) {
    let (weights, bias) = at.split_at(k * d);
    let block = |(data, targets): (&[f64], &[usize])| {
        let (mut loss, mut slope, mut p) = (0.0, vec![0.0; at.len()], vec![0.0; k]);
        for (row, &target) in data.chunks_exact(d).zip(targets) {
            for (class, p) in p.iter_mut().enumerate() {
                *p = dot(&weights[class * d..(class + 1) * d], row) + bias[class];
            }
            softmax(&mut p);
            loss -= p[target].max(f64::MIN_POSITIVE).ln();
            p[target] -= 1.0;
            for (class, &error) in p.iter().enumerate() {
                add(&mut slope[class * d..(class + 1) * d], error, row);
                slope[k * d + class] += error;
            }
        }
        (loss, slope)
    };
    let blocks: Vec<(f64, Vec<f64>)> =
        data.par_chunks(BLOCK * d).zip(targets.par_chunks(BLOCK)).map(block).collect();
    let n = targets.len() as f64;
    let mut loss = l2 / 2.0 * dot(weights, weights);
    let mut slope: Vec<f64> = weights.iter().map(|weight| l2 * weight).collect();
    slope.resize(at.len(), 0.0);
    for (part, part_slope) in blocks {
        loss += part;
        add(&mut slope, 1.0, &part_slope);
    }
    slope.iter_mut().for_each(|value| *value /= n);
    (loss / n, slope)
}

fn softmax(values: &mut [f64]) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum: f64 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
}

/// Corrections that L-BFGS remembers.
const MEMORY: usize = 10;

/// The minimum of a smooth convex function, by L-BFGS with a backtracking search (Nocedal & Wright 2006,
/// algorithms 7.4 and 3.1).
fn minimise(
    mut at: Vec<f64>,
    settings: &LogisticSettings,
    function: impl Fn(&[f64]) -> (f64, Vec<f64>),
) -> Vec<f64> {
    let (mut value, mut slope) = function(&at);
    // Steps, changes of slope, 1 / their product.
    let mut memory: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for _ in 0..settings.iterations {
        if slope.iter().all(|slope| slope.abs() <= settings.tolerance) {
            break;
        }
        let direction = descent(&slope, &memory);
        let downhill = dot(&direction, &slope);
        let mut width = if memory.is_empty() { 1.0 / dot(&slope, &slope).sqrt().max(1.0) } else { 1.0 };
        let found = loop {
            let mut next = at.clone();
            add(&mut next, width, &direction);
            let (next_value, next_slope) = function(&next);
            if next_value <= value + 1e-4 * width * downhill {
                break Some((next, next_value, next_slope));
            }
            width /= 2.0;
            if width < 1e-12 {
                break None;
            }
        };
        let Some((next, next_value, next_slope)) = found else { break }; // only rounding is left
        let step: Vec<f64> = next.iter().zip(&at).map(|(next, at)| next - at).collect();
        let change: Vec<f64> = next_slope.iter().zip(&slope).map(|(next, slope)| next - slope).collect();
        let product = dot(&step, &change);
        if product > f64::EPSILON * dot(&change, &change) {
            memory.push_back((step, change, 1.0 / product));
        }
        if memory.len() > MEMORY {
            memory.pop_front();
        }
        (at, value, slope) = (next, next_value, next_slope);
    }
    at
}

/// −H·slope with the H that the remembered steps imply (the two loops of Nocedal 1980).
fn descent(slope: &[f64], memory: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut direction: Vec<f64> = slope.iter().map(|slope| -slope).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (step, change, inverse) in memory.iter().rev() {
        let share = inverse * dot(step, &direction);
        add(&mut direction, -share, change);
        shares.push(share);
    }
    if let Some((_, change, inverse)) = memory.back() {
        let scale = 1.0 / (inverse * dot(change, change));
        direction.iter_mut().for_each(|value| *value *= scale);
    }
    for ((step, change, inverse), share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = inverse * dot(change, &direction);
        add(&mut direction, share - back, step);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::fixture::{all_close, close, fixture, indices, numbers, singles};
    use rand::RngExt;

    #[test]
    fn the_fit_is_that_of_scikit_learn() {
        let case = &fixture()["logistic"];
        let (d, k) = (case["d"].as_u64().unwrap() as usize, case["classes"].as_u64().unwrap() as usize);
        let (features, targets) = (singles(&case["features"]), indices(&case["targets"]));
        for (l2, expected) in [(1.0, &case["l2_1"]), (0.1, &case["l2_0.1"])] {
            let settings = LogisticSettings { l2, iterations: 1000, tolerance: 1e-9 };
            let data = LabelledRows { features: &features, d, targets: &targets, classes: k };
            let found = fit(data, &settings).unwrap();
            all_close("weights", &found.weights, &numbers(&expected["weights"]), 2e-5);
            // Only differences between biases mean anything.
            let centre = |values: &[f64]| {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                values.iter().map(|value| value - mean).collect::<Vec<_>>()
            };
            all_close("bias", &centre(&found.bias), &centre(&numbers(&expected["bias"])), 2e-5);
            all_close(
                "probabilities",
                &found.probabilities(&features)[..30],
                &numbers(&expected["probabilities"]),
                1e-5,
            );
        }
    }

    /// A feature that identifies the group and not the class: a split by row would reward it.
    #[test]
    fn groups_stay_whole_and_identifying_them_does_not_help() {
        let mut random = rng(0, Purpose::Draw, 0, 0);
        let (mut features, mut targets, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for group in 0..40 {
            let class = random.random_range(0..2);
            for _ in 0..6 {
                features.extend((0..40).map(|column| f32::from(u8::from(column == group))));
                targets.push(class);
                groups.push(group);
            }
        }
        let settings = LogisticSettings { l2: 0.01, ..LogisticSettings::default() };
        let data = LabelledRows { features: &features, d: 40, targets: &targets, classes: 2 };
        let validated =
            |groups: &[usize]| cross_validated(data, groups, Folds { count: 5, seed: 1 }, &settings).unwrap();
        let by_group = validated(&groups);
        let rows: Vec<usize> = (0..groups.len()).collect();
        let by_row = validated(&rows);
        assert!(by_row.accuracy > 0.95, "{}", by_row.accuracy);
        assert!(by_group.accuracy < by_group.majority + 0.1, "{} {}", by_group.accuracy, by_group.majority);
        assert_eq!(by_group, validated(&groups));
        for row in by_row.probabilities.chunks_exact(2) {
            close("sum", row.iter().sum(), 1.0, 1e-12);
        }
    }

    #[test]
    fn folds_spread_the_classes_evenly() {
        let targets: Vec<usize> = (0..300).map(|row| if row % 10 == 0 { 1 } else { 0 }).collect();
        let groups: Vec<usize> = (0..300).map(|row| row / 2).collect();
        let (fold_of, folds) = divide(&targets, 2, &groups, Folds { count: 5, seed: 3 }).unwrap();
        assert_eq!(folds, 5);
        assert!(
            groups
                .chunks(2)
                .zip(fold_of.chunks(2))
                .all(|(group, fold)| group[0] == group[1] && fold[0] == fold[1])
        );
        for fold in 0..5 {
            let count =
                |class: usize| (0..300).filter(|&row| fold_of[row] == fold && targets[row] == class).count();
            assert!(
                (4..=8).contains(&count(1)) && (48..=60).contains(&count(0)),
                "{} {}",
                count(0),
                count(1)
            );
        }
    }

    #[test]
    fn degenerate_data_are_fitted_or_refused() {
        fn one<'a>(features: &'a [f32], targets: &'a [usize], classes: usize) -> LabelledRows<'a> {
            LabelledRows { features, d: 1, targets, classes }
        }
        let found = fit(one(&[5.0, 5.0, 5.0], &[0, 1, 1], 3), &LogisticSettings::default()).unwrap();
        let p = found.probabilities(&[5.0]);
        close("the share of the class", p[1], 2.0 / 3.0, 1e-3);
        let settings = LogisticSettings::default();
        let refused =
            |text: String, what: &str| assert!(text.contains(what) && !text.contains('\n'), "{text}");
        refused(fit(one(&[1.0], &[3], 2), &settings).unwrap_err().to_string(), "the target of row 0 is 3");
        refused(fit(one(&[], &[], 2), &settings).unwrap_err().to_string(), "no rows");
        let one_group =
            cross_validated(one(&[1.0, 2.0], &[0, 1], 2), &[4, 4], Folds { count: 5, seed: 0 }, &settings);
        refused(one_group.unwrap_err().to_string(), "found 1 groups");
    }
}
