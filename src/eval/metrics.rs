//! The metrics of an evaluation, from plain slices.
//!
//! Legend: N samples, K classes. Conventions are scikit-learn's with `labels=range(K)` and `zero_division=0`:
//! a quotient without a denominator is 0, and every class of the model counts in the macro averages, even one
//! without samples.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::stats::argmax;
use crate::stats::hypothesis::{Z_95, wilson_interval};

/// How well predictions match the true classes. All fractions are in `0..=1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of samples, N.
    pub n: u64,
    /// Mean of −ln p(true class), in nats. A p below the smallest normal f32 counts as that, so that the loss
    /// stays finite.
    pub loss: f64,
    /// Fraction of samples classified correctly.
    pub accuracy: f64,
    /// 95 % confidence interval of the accuracy, low and high, see [`wilson_interval`].
    pub accuracy_interval: [f64; 2],
    /// (k, fraction of samples whose true class is among the k most probable) for k = 1, 2, 3 where k < K.
    pub top_k: Vec<(usize, f64)>,
    /// Mean precision of the K classes.
    pub macro_precision: f64,
    /// Mean recall of the K classes.
    pub macro_recall: f64,
    /// Mean F1 of the K classes.
    pub macro_f1: f64,
    /// Mean F1 of the classes, weighted with their support.
    pub weighted_f1: f64,
    /// Mean recall of the classes that have samples.
    pub balanced_accuracy: f64,
    /// Cohen's kappa (Cohen 1960), unweighted; 0 where it is undefined.
    pub cohen_kappa: f64,
    /// Matthews' correlation coefficient for K classes (Gorodkin 2004); 0 where it is undefined.
    pub mcc: f64,
    /// Expected calibration error (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3): 15
    /// bins of equal width.
    pub ece: f64,
    /// Brier score (Brier 1950): mean over samples of Σ over classes (p − \[true class\])², in `0..=2` also
    /// for two classes.
    pub brier: f64,
    /// One entry per class, in index order.
    pub per_class: Vec<ClassMetrics>,
    /// `[K, K]` counts; rows are true classes, columns predicted ones.
    pub confusion: Vec<Vec<u64>>,
    /// Fraction of the largest class: the accuracy of always predicting it.
    pub majority_baseline: f64,
}

/// The metrics of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Name of the class.
    pub class: String,
    /// Fraction of the samples predicted as the class that belong to it.
    pub precision: f64,
    /// Fraction of the samples of the class that are predicted as it.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Number of samples of the class.
    pub support: u64,
}

/// A pair of classes that the model confuses: samples of one, predicted as the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// Name of the true class.
    pub truth: String,
    /// Name of the predicted class.
    pub predicted: String,
    /// How many samples were confused so.
    pub count: u64,
    /// `count` divided by the number of samples of the true class.
    pub share_of_truth: f64,
}

/// Bins of the calibration error, as in Guo et al. 2017.
const ECE_BINS: usize = 15;

/// Tolerance on the sum of a row: a softmax in half precision is off by a few thousandths.
const SUM_TOLERANCE: f64 = 0.01;

/// The metrics of predicting the most probable class (ties: the lowest index).
///
/// `probabilities` are N rows of K, `targets` N class indices, `classes` K names. From a flat `[N, K]` slice
/// the rows are `flat.chunks_exact(K).collect::<Vec<_>>()`.
///
/// # Errors
/// [`Error::Input`] for no samples, lengths that do not match, a target that is not a class and rows that are
/// not probabilities (logits, for instance); [`Error::Compute`] for a value that is not finite.
pub fn compute<P: AsRef<[f32]>>(
    probabilities: &[P],
    targets: &[usize],
    classes: &[String],
) -> Result<Metrics> {
    let predicted: Vec<usize> = probabilities.iter().map(|row| argmax(row.as_ref())).collect();
    compute_for(&predicted, probabilities, targets, classes)
}

/// The metrics of predictions that were made in another way, by vote for instance; `predicted` are N class
/// indices.
///
/// The predicted class ranks first in `top_k`, and its probability is the confidence in `ece`. With the
/// most probable classes as `predicted` this is [`compute`].
///
/// # Errors
/// As [`compute`].
pub fn compute_for<P: AsRef<[f32]>>(
    predicted: &[usize],
    probabilities: &[P],
    targets: &[usize],
    classes: &[String],
) -> Result<Metrics> {
    check(predicted, probabilities, targets, classes)?;
    let n = targets.len() as f64;
    let k = classes.len();

    let mut confusion = vec![vec![0u64; k]; k]; // [K, K]
    let mut found_at = vec![0u64; k]; // samples by the rank of their true class
    let mut bins = [0.0; ECE_BINS]; // Σ (correct − confidence)
    let (mut loss, mut brier) = (0.0, 0.0);
    for ((row, &target), &predicted) in probabilities.iter().zip(targets).zip(predicted) {
        let row = row.as_ref();
        confusion[target][predicted] += 1;
        found_at[rank(row, target, predicted)] += 1;
        let confidence = f64::from(row[predicted]);
        bins[bin(confidence)] += f64::from(u8::from(predicted == target)) - confidence;
        loss -= f64::from(row[target].clamp(f32::MIN_POSITIVE, 1.0)).ln();
        brier += squared_distance(row, target);
    }

    let per_class = per_class(&confusion, classes);
    let mean = |of: fn(&ClassMetrics) -> f64| per_class.iter().map(of).sum::<f64>() / k as f64;
    let with_support = per_class.iter().filter(|class| class.support > 0).count();
    let correct = found_at[0];
    let (cohen_kappa, mcc) = agreement(&confusion);
    Ok(Metrics {
        n: targets.len() as u64,
        loss: loss / n,
        accuracy: correct as f64 / n,
        accuracy_interval: wilson_interval(correct, targets.len() as u64, Z_95),
        top_k: (1..=3)
            .filter(|&top| top < k)
            .map(|top| (top, found_at[..top].iter().sum::<u64>() as f64 / n))
            .collect(),
        macro_precision: mean(|class| class.precision),
        macro_recall: mean(|class| class.recall),
        macro_f1: mean(|class| class.f1),
        weighted_f1: per_class.iter().map(|class| class.f1 * class.support as f64).sum::<f64>() / n,
        balanced_accuracy: per_class.iter().map(|class| class.recall).sum::<f64>() / with_support as f64,
        cohen_kappa,
        mcc,
        // |accuracy − mean confidence| of a bin, times its share of the samples, is |Σ (correct −
        // confidence)| / N.
        ece: bins.iter().map(|sum: &f64| sum.abs()).sum::<f64>() / n,
        brier: brier / n,
        majority_baseline: per_class.iter().map(|class| class.support).max().unwrap_or(0) as f64 / n,
        per_class,
        confusion,
    })
}

/// The `most` most frequent confusions: off-diagonal cells that are not 0, the largest first, ties in the
/// order of the classes.
pub fn confusions(metrics: &Metrics, most: usize) -> Vec<Confusion> {
    let mut all = Vec::new();
    for (t, (truth, row)) in metrics.per_class.iter().zip(&metrics.confusion).enumerate() {
        for (p, (predicted, &count)) in metrics.per_class.iter().zip(row).enumerate() {
            if t != p && count > 0 {
                all.push(Confusion {
                    truth: truth.class.clone(),
                    predicted: predicted.class.clone(),
                    count,
                    share_of_truth: ratio(count, truth.support),
                });
            }
        }
    }
    all.sort_by_key(|confusion| std::cmp::Reverse(confusion.count)); // stable
    all.truncate(most);
    all
}

/// Checks that `row` has `k` probabilities: finite, in `0..=1`, with the sum 1 (within a hundredth). `place`
/// begins the error.
pub(crate) fn check_row(place: &str, row: &[f32], k: usize) -> Result<()> {
    if row.len() != k {
        return Err(Error::input(place, format!("found {} probabilities", row.len()))
            .expected(format!("{k}, one per class")));
    }
    if let Some((class, value)) = row.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(Error::Compute(format!(
            "{place}: the probability of class {class} is {value}; expected a finite number. Check the \
             weights and the input"
        )));
    }
    let sum: f64 = row.iter().map(|&value| f64::from(value)).sum();
    if row.iter().any(|&value| value < 0.0) || (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(Error::input(
            place,
            format!("found values with the sum {sum} and the minimum {}", smallest(row)),
        )
        .expected("probabilities: 0 or more, with the sum 1")
        .hint("Apply softmax to logits first"));
    }
    Ok(())
}

fn check<P: AsRef<[f32]>>(
    predicted: &[usize],
    probabilities: &[P],
    targets: &[usize],
    classes: &[String],
) -> Result<()> {
    let (n, k) = (targets.len(), classes.len());
    if n == 0 || k == 0 {
        return Err(Error::input("metrics", format!("found {n} samples and {k} classes"))
            .expected("at least one of each"));
    }
    for (what, found) in [("rows of probabilities", probabilities.len()), ("predictions", predicted.len())] {
        if found != n {
            return Err(Error::input("metrics", format!("found {found} {what}"))
                .expected(format!("{n}, one per target")));
        }
    }
    for (what, indices) in [("target", targets), ("prediction", predicted)] {
        if let Some((sample, index)) = indices.iter().enumerate().find(|(_, index)| **index >= k) {
            return Err(Error::input("metrics", format!("the {what} of sample {sample} is {index}"))
                .expected(format!("a class index below {k}")));
        }
    }
    for (sample, row) in probabilities.iter().enumerate() {
        check_row(&format!("metrics, sample {sample}"), row.as_ref(), k)?;
    }
    Ok(())
}

fn smallest(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::INFINITY, f32::min)
}

/// The rank of the true class, from 0: the predicted class comes first, the others by probability, ties by
/// index.
fn rank(row: &[f32], target: usize, predicted: usize) -> usize {
    if target == predicted {
        return 0;
    }
    let before = |&(class, &value): &(usize, &f32)| {
        class != predicted && (value > row[target] || (value == row[target] && class < target))
    };
    1 + row.iter().enumerate().filter(before).count()
}

/// Bin m of M holds the confidences in ((m − 1)/M, m/M], as in Guo et al.
fn bin(confidence: f64) -> usize {
    let upper = (confidence * ECE_BINS as f64).ceil() as usize;
    upper.clamp(1, ECE_BINS) - 1 // rounding can bring a softmax just above 1
}

fn squared_distance(row: &[f32], target: usize) -> f64 {
    row.iter()
        .enumerate()
        .map(|(class, &value)| (f64::from(value) - f64::from(u8::from(class == target))).powi(2))
        .sum()
}

fn per_class(confusion: &[Vec<u64>], classes: &[String]) -> Vec<ClassMetrics> {
    let one = |(index, class): (usize, &String)| {
        let hits = confusion[index][index];
        let support: u64 = confusion[index].iter().sum();
        let predicted: u64 = confusion.iter().map(|row| row[index]).sum();
        ClassMetrics {
            class: class.clone(),
            precision: ratio(hits, predicted),
            recall: ratio(hits, support),
            f1: ratio(2 * hits, support + predicted),
            support,
        }
    };
    classes.iter().enumerate().map(one).collect()
}

/// Cohen's kappa and Matthews' correlation. With t and p the row and column sums and c the correct ones, the
/// numerator of both is N·c − Σ tₖpₖ; kappa divides by N² − Σ tₖpₖ, Matthews by √((N² − Σ tₖ²)(N² − Σ pₖ²)).
fn agreement(confusion: &[Vec<u64>]) -> (f64, f64) {
    let (mut n, mut correct, mut tp, mut tt, mut pp) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (index, row) in confusion.iter().enumerate() {
        let truth = row.iter().sum::<u64>() as f64;
        let predicted = confusion.iter().map(|row| row[index]).sum::<u64>() as f64;
        n += truth;
        correct += row[index] as f64;
        tp += truth * predicted;
        tt += truth * truth;
        pp += predicted * predicted;
    }
    let above_chance = n * correct - tp;
    let or_zero = |denominator: f64| if denominator > 0.0 { above_chance / denominator } else { 0.0 };
    // The root of each factor: the product would be rounded for more than 10⁴ samples.
    let mcc = or_zero((n * n - tt).sqrt() * (n * n - pp).sqrt());
    (or_zero(n * n - tp), mcc.clamp(-1.0, 1.0)) // rounding can bring it just above 1
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn names(k: usize) -> Vec<String> {
        ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"][..k]
            .iter()
            .map(|name| name.to_string())
            .collect()
    }

    /// Written by scripts/metrics_fixtures.py.
    #[derive(Deserialize)]
    struct Fixture {
        classes: Vec<String>,
        targets: Vec<usize>,
        probabilities: Vec<Vec<f32>>,
        expected: Expected,
    }

    #[derive(Deserialize)]
    struct Expected {
        loss: f64,
        accuracy: f64,
        top_k: Vec<(usize, f64)>,
        macro_precision: f64,
        macro_recall: f64,
        macro_f1: f64,
        weighted_f1: f64,
        balanced_accuracy: f64,
        cohen_kappa: f64,
        mcc: f64,
        ece: f64,
        brier: f64,
        precision: Vec<f64>,
        recall: Vec<f64>,
        f1: Vec<f64>,
        support: Vec<u64>,
        confusion: Vec<Vec<u64>>,
        majority_baseline: f64,
    }

    #[test]
    fn the_numbers_are_those_of_scikit_learn() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let Fixture { classes, targets, probabilities, expected } =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let found = compute(&probabilities, &targets, &classes).unwrap();
            let close = |what: &str, found: f64, expected: f64, tolerance: f64| {
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{}: {what} is {found}, not {expected}",
                    path.display()
                );
            };
            assert_eq!(found.n as usize, targets.len());
            assert_eq!(found.confusion, expected.confusion, "{}", path.display());
            assert_eq!(found.top_k.len(), expected.top_k.len());
            for (found, expected) in found.top_k.iter().zip(&expected.top_k) {
                assert_eq!(found.0, expected.0);
                close("top_k", found.1, expected.1, 1e-12);
            }
            for (what, found, expected) in [
                ("accuracy", found.accuracy, expected.accuracy),
                ("macro_precision", found.macro_precision, expected.macro_precision),
                ("macro_recall", found.macro_recall, expected.macro_recall),
                ("macro_f1", found.macro_f1, expected.macro_f1),
                ("weighted_f1", found.weighted_f1, expected.weighted_f1),
                ("balanced_accuracy", found.balanced_accuracy, expected.balanced_accuracy),
                ("cohen_kappa", found.cohen_kappa, expected.cohen_kappa),
                ("mcc", found.mcc, expected.mcc),
                ("majority_baseline", found.majority_baseline, expected.majority_baseline),
            ] {
                close(what, found, expected, 1e-12);
            }
            for (what, found, expected) in [
                ("loss", found.loss, expected.loss),
                ("ece", found.ece, expected.ece),
                ("brier", found.brier, expected.brier),
            ] {
                close(what, found, expected, 1e-9);
            }
            assert_eq!(found.per_class.len(), classes.len());
            for (index, class) in found.per_class.iter().enumerate() {
                assert_eq!((&class.class, class.support), (&classes[index], expected.support[index]));
                close("precision", class.precision, expected.precision[index], 1e-12);
                close("recall", class.recall, expected.recall[index], 1e-12);
                close("f1", class.f1, expected.f1[index], 1e-12);
            }
            read += 1;
        }
        assert_eq!(read, 6);
    }

    #[test]
    fn ties_go_to_the_lowest_index_in_the_prediction_and_in_the_ranking() {
        let row = [0.25f32; 4];
        assert_eq!(argmax(&row), 0);
        for target in 0..4 {
            let found = compute(&[row], &[target], &names(4)).unwrap();
            let within = |k: usize| f64::from(u8::from(target < k));
            assert_eq!(found.top_k, [(1, within(1)), (2, within(2)), (3, within(3))]);
            assert_eq!(found.accuracy, within(1));
        }
    }

    #[test]
    fn a_given_prediction_ranks_first_and_its_probability_is_the_confidence() {
        let rows = [[0.2f32, 0.5, 0.3]];
        let found = compute_for(&[2], &rows, &[2], &names(3)).unwrap();
        assert_eq!((found.accuracy, &found.top_k), (1.0, &vec![(1, 1.0), (2, 1.0)]));
        assert!((found.ece - 0.7).abs() < 1e-7);
        let found = compute_for(&[2], &rows, &[1], &names(3)).unwrap();
        assert_eq!(found.top_k, [(1, 0.0), (2, 1.0)]);
        assert_eq!(
            compute_for(&[1], &rows, &[1], &names(3)).unwrap(),
            compute(&rows, &[1], &names(3)).unwrap()
        );
    }

    #[test]
    fn certainty_stays_finite() {
        let wrong = compute(&[[1.0f32, 0.0]], &[1], &names(2)).unwrap();
        assert!((wrong.loss - 87.336_544_750_553_1).abs() < 1e-9, "{}", wrong.loss); // 126 ln 2
        assert_eq!((wrong.brier, wrong.ece), (2.0, 1.0));
        // A softmax may round to just above 1.
        let right = compute(&[[1.0f32 + f32::EPSILON, 0.0]], &[0], &names(2)).unwrap();
        assert!(right.loss == 0.0 && right.ece < 1e-6);
        // One class only: nothing is above chance.
        assert_eq!(
            (right.cohen_kappa, right.mcc, right.balanced_accuracy, right.majority_baseline),
            (0.0, 0.0, 1.0, 1.0)
        );
    }

    #[test]
    fn bins_are_open_below_and_closed_above() {
        assert_eq!([0.0, 1e-9, 1.0 / 15.0, 0.07, 0.5, 1.0, 1.0 + 1e-7].map(bin), [0, 0, 0, 1, 7, 14, 14]);
    }

    #[test]
    fn confusions_are_sorted_by_frequency_and_ties_by_class() {
        let classes = names(3);
        let (truth, predicted) = ([0, 0, 0, 1, 1, 1, 2, 2], [0, 1, 2, 0, 0, 1, 2, 0]);
        let rows = [[0.2f32, 0.4, 0.4]; 8];
        let metrics = compute_for(&predicted, &rows, &truth, &classes).unwrap();
        let found = confusions(&metrics, 3);
        let cells: Vec<_> = found.iter().map(|c| (c.truth.as_str(), c.predicted.as_str(), c.count)).collect();
        assert_eq!(cells, [("disgust", "angry", 2), ("angry", "disgust", 1), ("angry", "fear", 1)]);
        assert_eq!(found[0].share_of_truth, 2.0 / 3.0);
        assert_eq!(confusions(&metrics, 99).len(), 4);
    }

    #[test]
    fn rows_of_a_flat_slice_are_taken() {
        let flat = [0.9f32, 0.1, 0.2, 0.8];
        let rows: Vec<&[f32]> = flat.chunks_exact(2).collect();
        assert_eq!(compute(&rows, &[0, 1], &names(2)).unwrap().accuracy, 1.0);
    }

    #[test]
    fn invalid_predictions_are_refused() {
        let refused = |rows: &[Vec<f32>], targets: &[usize], what: &str| {
            let text = compute(rows, targets, &names(2)).unwrap_err().to_string();
            assert!(text.contains(what) && !text.contains('\n'), "{text}");
        };
        refused(&[], &[], "0 samples");
        refused(&[vec![0.5, 0.5]], &[0, 1], "1 rows of probabilities");
        refused(&[vec![0.5, 0.5]], &[2], "the target of sample 0 is 2");
        refused(&[vec![0.5, 0.5], vec![1.0]], &[0, 0], "sample 1: found 1 probabilities; expected 2");
        refused(&[vec![f32::NAN, 0.5]], &[0], "the probability of class 0 is NaN");
        refused(&[vec![-1.0, 2.0]], &[0], "Apply softmax");
        refused(&[vec![3.0, 2.0]], &[0], "the sum 5");
    }
}
