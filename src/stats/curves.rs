//! ROC and precision-recall curves, as scikit-learn's `roc_curve`, `roc_auc_score`, `precision_recall_curve`
//! and `average_precision_score`: equal scores are one threshold.

use serde::{Deserialize, Serialize};

use super::slices::{below, same_length};
use crate::error::{Error, Result};

/// A point of an ROC curve: rows with a score at or above the threshold are predicted positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// The threshold; ∞ at the first point.
    pub threshold: f64,
    /// Fraction of the negatives predicted positive.
    pub false_positive_rate: f64,
    /// Fraction of the positives predicted positive.
    pub true_positive_rate: f64,
}

/// A receiver operating characteristic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roc {
    /// From (0, 0) to (1, 1). Points on a straight line between their neighbours are left out.
    pub points: Vec<RocPoint>,
    /// The area under the curve: the chance that a positive scores higher than a negative, ties counted half.
    pub auc: f64,
}

/// A point of a precision-recall curve: rows with a score at or above the threshold are predicted positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallPoint {
    /// The threshold; ∞ at the last point.
    pub threshold: f64,
    /// Fraction of the rows predicted positive that are.
    pub precision: f64,
    /// Fraction of the positives predicted positive.
    pub recall: f64,
}

/// A precision-recall curve with its area.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecall {
    /// From recall 1 down to (recall 0, precision 1). Points whose recall is that of both neighbours are left
    /// out.
    pub points: Vec<PrecisionRecallPoint>,
    /// Σ (Rₙ − Rₙ₋₁) Pₙ over all thresholds.
    pub average_precision: f64,
    /// The fraction of positives: the precision of predicting all rows positive.
    pub prevalence: f64,
}

/// The ROC curve of N scores; `None` without positives or without negatives, where it is undefined.
///
/// # Errors
/// [`Error::Input`] for lengths that differ and a score that is NaN.
pub fn roc(scores: &[f64], positive: &[bool]) -> Result<Option<Roc>> {
    let steps = steps("ROC curve", scores, positive)?;
    let Some(&Step { above, hits: positives, .. }) = steps.last() else { return Ok(None) };
    let negatives = above - positives;
    if positives == 0 || negatives == 0 {
        return Ok(None);
    }
    let start = Step { threshold: f64::INFINITY, above: 0, hits: 0 };
    let mut twice_area = 0.0; // in units of one positive times one negative
    let mut before = &start;
    for step in &steps {
        twice_area += (step.misses() - before.misses()) as f64 * (step.hits + before.hits) as f64;
        before = step;
    }
    let turns = |index: usize| {
        let second =
            |of: fn(&Step) -> u64| of(&steps[index + 1]) + of(&steps[index - 1]) != 2 * of(&steps[index]);
        index == 0 || index + 1 == steps.len() || second(Step::misses) || second(|step| step.hits)
    };
    let point = |step: &Step| RocPoint {
        threshold: step.threshold,
        false_positive_rate: step.misses() as f64 / negatives as f64,
        true_positive_rate: step.hits as f64 / positives as f64,
    };
    let kept = (0..steps.len()).filter(|&index| turns(index)).map(|index| &steps[index]);
    Ok(Some(Roc {
        points: std::iter::once(&start).chain(kept).map(point).collect(),
        auc: twice_area / (2.0 * positives as f64 * negatives as f64),
    }))
}

/// The precision-recall curve of N scores; `None` without positives, where it is undefined.
///
/// # Errors
/// [`Error::Input`] for lengths that differ and a score that is NaN.
pub fn precision_recall(scores: &[f64], positive: &[bool]) -> Result<Option<PrecisionRecall>> {
    let steps = steps("precision-recall curve", scores, positive)?;
    let Some(&Step { above, hits: positives, .. }) = steps.last().filter(|step| step.hits > 0) else {
        return Ok(None);
    };
    let point = |step: &Step| PrecisionRecallPoint {
        threshold: step.threshold,
        precision: step.hits as f64 / step.above as f64,
        recall: step.hits as f64 / positives as f64,
    };
    let (mut average_precision, mut before) = (0.0, 0.0);
    for step in steps.iter().map(point) {
        average_precision += (step.recall - before) * step.precision;
        before = step.recall;
    }
    let turns = |index: usize| {
        let hits = |index: usize| steps[index].hits;
        index == 0
            || index + 1 == steps.len()
            || hits(index - 1) != hits(index)
            || hits(index) != hits(index + 1)
    };
    let kept = (0..steps.len()).rev().filter(|&index| turns(index)).map(|index| point(&steps[index]));
    let last = PrecisionRecallPoint { threshold: f64::INFINITY, precision: 1.0, recall: 0.0 };
    let prevalence = positives as f64 / above as f64;
    Ok(Some(PrecisionRecall { points: kept.chain([last]).collect(), average_precision, prevalence }))
}

/// The ROC curve of one class against the rest, from N rows of K probabilities and N class indices.
///
/// # Errors
/// As [`roc`], and for a row without the class.
pub fn roc_of_class<P: AsRef<[f32]>>(
    probabilities: &[P],
    truth: &[usize],
    class: usize,
) -> Result<Option<Roc>> {
    let (scores, positive) = one_against_rest(probabilities, truth, class)?;
    roc(&scores, &positive)
}

/// The precision-recall curve of one class against the rest, from N rows of K probabilities and N class
/// indices.
///
/// # Errors
/// As [`precision_recall`], and for a row without the class.
pub fn precision_recall_of_class<P: AsRef<[f32]>>(
    probabilities: &[P],
    truth: &[usize],
    class: usize,
) -> Result<Option<PrecisionRecall>> {
    let (scores, positive) = one_against_rest(probabilities, truth, class)?;
    precision_recall(&scores, &positive)
}

/// What is predicted positive at one threshold.
#[derive(Clone, Copy)]
struct Step {
    threshold: f64,
    /// Rows at or above it.
    above: u64,
    /// Positives among them.
    hits: u64,
}

impl Step {
    fn misses(&self) -> u64 {
        self.above - self.hits
    }
}

/// One step per distinct score, the highest first.
fn steps(place: &str, scores: &[f64], positive: &[bool]) -> Result<Vec<Step>> {
    same_length(place, "scores", scores.len(), positive.len())?;
    if let Some(row) = scores.iter().position(|score| score.is_nan()) {
        return Err(Error::input(place, format!("the score of row {row} is NaN")).expected("a number"));
    }
    let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut steps: Vec<Step> = Vec::new();
    for (row, (threshold, positive)) in rows.into_iter().enumerate() {
        let hits = steps.last().map_or(0, |step| step.hits) + u64::from(positive);
        let step = Step { threshold, above: row as u64 + 1, hits };
        match steps.last_mut() {
            Some(last) if last.threshold == threshold => *last = step,
            _ => steps.push(step),
        }
    }
    Ok(steps)
}

fn one_against_rest<P: AsRef<[f32]>>(
    probabilities: &[P],
    truth: &[usize],
    class: usize,
) -> Result<(Vec<f64>, Vec<bool>)> {
    let place = "curve of a class";
    same_length(place, "rows of probabilities", probabilities.len(), truth.len())?;
    let score = |row: &P| row.as_ref().get(class).map(|&value| f64::from(value));
    let scores = probabilities.iter().map(score).collect::<Option<Vec<_>>>();
    let widths = probabilities.iter().map(|row| row.as_ref().len()).min().unwrap_or(0);
    let scores = scores.ok_or_else(|| {
        Error::input(place, format!("found rows of {widths} probabilities"))
            .expected(format!("one for class {class} in each"))
    })?;
    below(place, "truth", truth, widths)?;
    Ok((scores, truth.iter().map(|&truth| truth == class).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::fixture::{all_close, close, fixture, numbers};

    #[test]
    fn curves_are_those_of_scikit_learn_also_with_ties() {
        for case in fixture()["curves"].as_array().unwrap() {
            let scores = numbers(&case["scores"]);
            let positive: Vec<bool> =
                numbers(&case["positive"]).into_iter().map(|value| value > 0.0).collect();
            let found = roc(&scores, &positive).unwrap().unwrap();
            close("AUC", found.auc, case["auc"].as_f64().unwrap(), 1e-12);
            let column = |of: fn(&RocPoint) -> f64| found.points.iter().map(of).collect::<Vec<_>>();
            all_close("fpr", &column(|point| point.false_positive_rate), &numbers(&case["fpr"]), 1e-12);
            all_close("tpr", &column(|point| point.true_positive_rate), &numbers(&case["tpr"]), 1e-12);
            all_close(
                "threshold",
                &column(|point| point.threshold)[1..],
                &numbers(&case["roc_thresholds"]),
                0.0,
            );
            let found = precision_recall(&scores, &positive).unwrap().unwrap();
            close("AP", found.average_precision, case["average_precision"].as_f64().unwrap(), 1e-12);
            let column =
                |of: fn(&PrecisionRecallPoint) -> f64| found.points.iter().map(of).collect::<Vec<_>>();
            all_close("precision", &column(|point| point.precision), &numbers(&case["precision"]), 1e-12);
            all_close("recall", &column(|point| point.recall), &numbers(&case["recall"]), 1e-12);
            let thresholds = column(|point| point.threshold);
            all_close(
                "threshold",
                &thresholds[..thresholds.len() - 1],
                &numbers(&case["pr_thresholds"]),
                0.0,
            );
        }
    }

    #[test]
    fn one_class_against_the_rest() {
        let rows = [[0.7f32, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3], [0.5, 0.1, 0.4]];
        let truth = [0, 1, 0, 2];
        assert_eq!(roc_of_class(&rows, &truth, 0).unwrap().unwrap().auc, 0.75);
        assert_eq!(roc_of_class(&rows, &truth, 1).unwrap().unwrap().auc, 1.0);
        assert_eq!(precision_recall_of_class(&rows, &truth, 2).unwrap().unwrap().average_precision, 1.0);
        assert!(roc_of_class(&rows, &truth, 3).unwrap_err().to_string().contains("one for class 3"));
    }

    #[test]
    fn a_curve_that_is_not_defined_is_none_and_nan_is_refused() {
        assert_eq!(roc(&[0.1, 0.2], &[true, true]).unwrap(), None);
        assert_eq!(roc(&[], &[]).unwrap(), None);
        assert_eq!(precision_recall(&[0.1, 0.2], &[false, false]).unwrap(), None);
        assert!(precision_recall(&[0.1, 0.2], &[true, true]).unwrap().is_some());
        assert!(roc(&[f64::NAN], &[true]).unwrap_err().to_string().contains("row 0 is NaN"));
        assert!(roc(&[0.5], &[]).is_err());
    }
}
