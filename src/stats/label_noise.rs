//! Confident learning (Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
//! Labels"): which labels are probably wrong.
//!
//! The probabilities must come from models that have not seen the rows (test predictions or
//! cross-validation): a model has learned the labels that it was trained on. Legend: N rows, K classes.

use serde::{Deserialize, Serialize};

use super::slices::{argmax, below, same_length};
use crate::error::{Error, Result};

/// How plausible a model finds the label of one row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelIssue {
    /// Index of the row.
    pub row: usize,
    /// The label that the data set gives.
    pub given: usize,
    /// The most probable class.
    pub suggested: usize,
    /// The probability of the label.
    pub self_confidence: f64,
    /// The probability of the label minus that of the most probable other class, in `-1..=1`.
    pub margin: f64,
    /// Whether another class is at least as probable as it is, on average, where it is the label (an
    /// off-diagonal cell of the confident joint): the paper's estimate of which labels are wrong.
    pub off_diagonal: bool,
}

/// How plausible a model finds the labels of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfidentLearning {
    /// `[K]`: the mean probability of each class over the rows labelled with it; 1 for a class without rows.
    pub thresholds: Vec<f64>,
    /// `[K, K]` counts: rows with the label of the row that are confidently of the class of the column.
    pub confident_counts: Vec<Vec<u64>>,
    /// `[K, K]`: the estimated fraction of rows with the label of the row whose true class is that of the
    /// column; the sum is 1.
    pub joint: Vec<Vec<f64>>,
    /// The estimated fraction of wrong labels: the sum off the diagonal of `joint`.
    pub noise: f64,
    /// All rows, the one with the least plausible label first: by self-confidence, then by margin, then by
    /// row.
    pub issues: Vec<LabelIssue>,
}

/// Ranks N rows with the labels `given` by N rows of K probabilities.
///
/// # Errors
/// [`Error::Input`] for no rows, lengths that differ, an index that is not a class, a probability that is not
/// finite.
pub fn confident_learning<P: AsRef<[f32]>>(
    probabilities: &[P],
    given: &[usize],
) -> Result<ConfidentLearning> {
    let k = check(probabilities, given)?;
    let row_of = |row: usize| probabilities[row].as_ref();
    let mut labelled = vec![0u64; k];
    let mut sums = vec![0.0; k];
    for (row, &label) in given.iter().enumerate() {
        labelled[label] += 1;
        sums[label] += f64::from(row_of(row)[label]);
    }
    let thresholds: Vec<f64> =
        sums.iter().zip(&labelled).map(|(sum, &n)| if n > 0 { sum / n as f64 } else { 1.0 }).collect();

    let mut confident_counts = vec![vec![0u64; k]; k];
    let mut issues = Vec::with_capacity(given.len());
    for (row, &label) in given.iter().enumerate() {
        let p = row_of(row);
        let confident = confident_class(p, &thresholds, &labelled);
        if let Some(class) = confident {
            confident_counts[label][class] += 1;
        }
        issues.push(issue(row, label, p, confident.is_some_and(|class| class != label)));
    }
    issues.sort_by(|a, b| {
        a.self_confidence
            .total_cmp(&b.self_confidence)
            .then(a.margin.total_cmp(&b.margin))
            .then(a.row.cmp(&b.row))
    });
    let joint = calibrated(&confident_counts, &labelled);
    let noise = 1.0 - (0..k).map(|class| joint[class][class]).sum::<f64>();
    Ok(ConfidentLearning { thresholds, confident_counts, joint, noise: noise.max(0.0), issues })
}

fn check<P: AsRef<[f32]>>(probabilities: &[P], given: &[usize]) -> Result<usize> {
    let place = "label noise";
    same_length(place, "rows of probabilities", probabilities.len(), given.len())?;
    let Some(k) = probabilities.first().map(|row| row.as_ref().len()) else {
        return Err(Error::input(place, "found no rows").expected("at least one"));
    };
    below(place, "label", given, k)?;
    for (row, values) in probabilities.iter().enumerate() {
        let values = values.as_ref();
        if values.len() != k || values.iter().any(|value| !value.is_finite()) {
            return Err(Error::input(place, format!("row {row} is {values:?}"))
                .expected(format!("{k} finite probabilities")));
        }
    }
    Ok(k)
}

/// Rounding may leave a probability slightly below the mean of many equal ones; cleanlab has the same
/// tolerance.
const SLACK: f64 = 1e-6;

/// The most probable of the classes that are at least as probable as on average where they are the label
/// (eq. 1 of the paper).
fn confident_class(p: &[f32], thresholds: &[f64], labelled: &[u64]) -> Option<usize> {
    let confident = |&class: &usize| labelled[class] > 0 && f64::from(p[class]) >= thresholds[class] - SLACK;
    (0..p.len()).filter(confident).fold(None, |best, class| match best {
        Some(best) if p[class] <= p[best] => Some(best),
        _ => Some(class),
    })
}

fn issue(row: usize, given: usize, p: &[f32], off_diagonal: bool) -> LabelIssue {
    let other =
        (0..p.len()).filter(|&class| class != given).map(|class| f64::from(p[class])).fold(0.0, f64::max);
    let suggested = argmax(p);
    let self_confidence = f64::from(p[given]);
    LabelIssue { row, given, suggested, self_confidence, margin: self_confidence - other, off_diagonal }
}

/// The joint distribution of labels and true classes: each row of the counts scaled to the rows that have the
/// label (eq. 3).
fn calibrated(counts: &[Vec<u64>], labelled: &[u64]) -> Vec<Vec<f64>> {
    let total = labelled.iter().sum::<u64>() as f64;
    let one = |(label, (counts, &labelled)): (usize, (&Vec<u64>, &u64))| {
        let sum: u64 = counts.iter().sum();
        let share = labelled as f64 / total;
        (0..counts.len())
            .map(|class| match sum {
                0 if class == label => share, // nothing is known against it
                0 => 0.0,
                sum => counts[class] as f64 / sum as f64 * share,
            })
            .collect()
    };
    counts.iter().zip(labelled).enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, rng};
    use crate::stats::fixture::{all_close, close, fixture, indices, numbers, singles};
    use rand::RngExt;

    #[test]
    fn the_confident_joint_is_that_of_the_paper() {
        let case = &fixture()["label_noise"];
        let k = case["classes"].as_u64().unwrap() as usize;
        let flat = singles(&case["probabilities"]);
        let rows: Vec<&[f32]> = flat.chunks_exact(k).collect();
        let found = confident_learning(&rows, &indices(&case["given"])).unwrap();
        all_close("thresholds", &found.thresholds, &numbers(&case["thresholds"]), 1e-7);
        let counts: Vec<f64> = found.confident_counts.iter().flatten().map(|&count| count as f64).collect();
        all_close("counts", &counts, &numbers(&case["counts"]), 0.0);
        all_close("joint", &found.joint.concat(), &numbers(&case["joint"]), 1e-12);
        close("noise", found.noise, case["noise"].as_f64().unwrap(), 1e-12);
        let order: Vec<usize> = found.issues.iter().map(|issue| issue.row).collect();
        assert_eq!(order, indices(&case["order"]));
        let mut picked: Vec<usize> =
            found.issues.iter().filter(|issue| issue.off_diagonal).map(|issue| issue.row).collect();
        picked.sort_unstable();
        assert_eq!(picked, indices(&case["off_diagonal"]));
    }

    #[test]
    fn flipped_labels_are_found_and_their_share_is_estimated() {
        let mut random = rng(7, Purpose::Draw, 0, 0);
        let (n, k) = (3000, 4);
        let (mut rows, mut given, mut flipped) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..n {
            let truth = row % k;
            let mut p: Vec<f32> = (0..k).map(|_| random.random_range(0.02..0.3)).collect();
            p[truth] += random.random_range(0.2..1.5);
            let sum: f32 = p.iter().sum();
            rows.push(p.iter().map(|p| p / sum).collect::<Vec<f32>>());
            let flip = random.random_bool(0.1);
            flipped.push(flip);
            given.push(if flip { (truth + 1) % k } else { truth });
        }
        let found = confident_learning(&rows, &given).unwrap();
        let wrong = flipped.iter().filter(|flip| **flip).count();
        close("the share of wrong labels", found.noise, wrong as f64 / n as f64, 0.02);
        let among_first = found.issues[..wrong].iter().filter(|issue| flipped[issue.row]).count();
        assert!(among_first as f64 > 0.9 * wrong as f64, "{among_first} of {wrong}");
    }

    #[test]
    fn right_labels_are_believed_and_odd_input_is_refused() {
        let rows = [[0.9f32, 0.1, 0.0], [0.1, 0.9, 0.0]];
        let found = confident_learning(&rows, &[0, 1]).unwrap();
        assert_eq!((found.noise, found.issues.iter().any(|issue| issue.off_diagonal)), (0.0, false));
        assert_eq!((found.thresholds[2], found.joint[2][2]), (1.0, 0.0));
        let refused = |rows: &[Vec<f32>], given: &[usize], what: &str| {
            let text = confident_learning(rows, given).unwrap_err().to_string();
            assert!(text.contains(what) && !text.contains('\n'), "{text}");
        };
        refused(&[], &[], "no rows");
        refused(&[vec![1.0, 0.0]], &[2], "the label of row 0 is 2");
        refused(&[vec![1.0, 0.0], vec![1.0]], &[0, 0], "row 1 is [1.0]");
        refused(&[vec![f32::NAN, 0.0]], &[0], "row 0 is");
    }
}
