//! What is computed from the files of a run before it is shown.

use super::figures::{Bin, Calibration, ClassCurve, ClassScore, EpochPoint, Estimate};
use super::gallery::Mistake;
use crate::error::Result;
use crate::eval::files::Prediction;
use crate::run_folder::events::EpochRecord;
use crate::run_folder::read::Evaluated;
use crate::stats::bootstrap::{self, Interval, MetricIntervals, Settings};
use crate::stats::curves;

/// Bins of the reliability diagram: as many as the calibration error of the metrics has.
const BINS: usize = 15;

/// The predictions of an evaluation whose true class is known, with classes as indices.
pub(super) struct Rows<'a> {
    pub(super) predictions: Vec<&'a Prediction>,
    /// Rows of the file that they stand in.
    pub(super) rows: Vec<usize>,
    pub(super) truth: Vec<usize>,
    pub(super) predicted: Vec<usize>,
    /// Group of each row, counted from 0.
    pub(super) groups: Vec<usize>,
}

impl<'a> Rows<'a> {
    /// `None` without predictions.
    pub(super) fn of(evaluated: &'a Evaluated) -> Option<Self> {
        let classes = &evaluated.evaluation.classes;
        let index = |name: &str| classes.iter().position(|class| class == name);
        let mut all = Self {
            predictions: Vec::new(),
            rows: Vec::new(),
            truth: Vec::new(),
            predicted: Vec::new(),
            groups: Vec::new(),
        };
        for (row, prediction) in evaluated.predictions.iter().enumerate() {
            if let (Some(truth), Some(predicted)) =
                (prediction.truth.as_deref().and_then(index), index(&prediction.predicted))
            {
                all.predictions.push(prediction);
                all.rows.push(row);
                all.truth.push(truth);
                all.predicted.push(predicted);
            }
        }
        let keys: Vec<&str> = all.predictions.iter().map(|prediction| prediction.group.as_str()).collect();
        all.groups = bootstrap::group_indices(&keys);
        (!all.rows.is_empty()).then_some(all)
    }

    pub(super) fn group_count(&self) -> usize {
        self.groups.iter().max().map_or(0, |last| last + 1)
    }

    /// Probability of the predicted class.
    pub(super) fn confidence(&self, at: usize) -> f64 {
        f64::from(self.predictions[at].probabilities[self.predicted[at]])
    }

    /// Confidence intervals by the bootstrap over groups.
    pub(super) fn intervals(&self, classes: usize, replicates: usize) -> Result<MetricIntervals> {
        let settings = Settings { replicates, ..Settings::default() };
        let rows = bootstrap::Rows { groups: &self.groups, truth: &self.truth, classes };
        bootstrap::metric_intervals(rows, &self.predicted, &settings)
    }

    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        let wrong = (0..self.rows.len()).filter(|&at| self.truth[at] != self.predicted[at]);
        let one = |at: usize| Mistake {
            row: self.rows[at],
            path: self.predictions[at].path.clone(),
            group: self.predictions[at].group.clone(),
            truth: self.truth[at],
            predicted: self.predicted[at],
            confidence: self.confidence(at),
        };
        wrong.map(one).collect()
    }

    /// Mean confidence and accuracy.
    pub(super) fn confidence_and_accuracy(&self) -> (f64, f64) {
        let n = self.rows.len() as f64;
        let confidence: f64 = (0..self.rows.len()).map(|at| self.confidence(at)).sum();
        let right =
            self.truth.iter().zip(&self.predicted).filter(|(truth, predicted)| truth == predicted).count();
        (confidence / n, right as f64 / n)
    }

    /// The reliability diagram of the probabilities raised to `power` and normalised again: with the
    /// temperature as power, those that the model had before it was calibrated.
    pub(super) fn reliability(&self, power: f64) -> Calibration {
        let mut bins = [(0u64, 0.0, 0.0); BINS]; // samples, Σ confidence, Σ right
        for at in 0..self.rows.len() {
            let confidence = self.raised(at, power);
            // Open below and closed above, as in the metrics.
            let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            bins[bin].0 += 1;
            bins[bin].1 += confidence;
            bins[bin].2 += f64::from(u8::from(self.truth[at] == self.predicted[at]));
        }
        let n = self.rows.len() as f64;
        let ece = bins.iter().map(|(_, confidence, right)| (confidence - right).abs()).sum::<f64>() / n;
        let bin = |(index, (count, confidence, right)): (usize, (u64, f64, f64))| Bin {
            lower: index as f64 / BINS as f64,
            upper: (index + 1) as f64 / BINS as f64,
            count,
            confidence: confidence / count as f64, // NaN in an empty bin: nothing is drawn
            accuracy: right / count as f64,
        };
        Calibration { bins: bins.into_iter().enumerate().map(bin).collect(), ece }
    }

    fn raised(&self, at: usize, power: f64) -> f64 {
        if power == 1.0 {
            return self.confidence(at);
        }
        let raised = |p: f32| f64::from(p).powf(power);
        let sum: f64 = self.predictions[at].probabilities.iter().map(|&p| raised(p)).sum();
        if sum > 0.0 {
            raised(self.predictions[at].probabilities[self.predicted[at]]) / sum
        } else {
            self.confidence(at)
        }
    }

    fn probabilities(&self) -> Vec<&[f32]> {
        self.predictions.iter().map(|prediction| prediction.probabilities.as_slice()).collect()
    }

    /// ROC of each class against the rest; without the classes that have no curve.
    pub(super) fn roc(&self, classes: &[String]) -> Result<Vec<ClassCurve>> {
        let probabilities = self.probabilities();
        let mut found = Vec::new();
        for (class, name) in classes.iter().enumerate() {
            if let Some(curve) = curves::roc_of_class(&probabilities, &self.truth, class)? {
                let points =
                    curve.points.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)).collect();
                found.push(ClassCurve { class: name.clone(), area: curve.auc, points });
            }
        }
        Ok(found)
    }

    /// Precision over recall of each class against the rest.
    pub(super) fn precision_recall(&self, classes: &[String]) -> Result<Vec<ClassCurve>> {
        let probabilities = self.probabilities();
        let mut found = Vec::new();
        for (class, name) in classes.iter().enumerate() {
            if let Some(curve) = curves::precision_recall_of_class(&probabilities, &self.truth, class)? {
                let points = curve.points.iter().map(|p| (p.recall, p.precision)).collect();
                found.push(ClassCurve { class: name.clone(), area: curve.average_precision, points });
            }
        }
        Ok(found)
    }
}

/// The epochs as points of a figure.
pub(super) fn epoch_points(epochs: &[EpochRecord]) -> Vec<EpochPoint> {
    let point = |epoch: &EpochRecord| EpochPoint {
        epoch: epoch.epoch as u32,
        train_loss: epoch.train_loss,
        valid_loss: epoch.val_loss,
        train_accuracy: epoch.train_accuracy,
        valid_accuracy: epoch.val_accuracy,
        learning_rate: epoch.learning_rate,
    };
    epochs.iter().map(point).collect()
}

pub(super) fn estimate(interval: &Interval) -> Estimate {
    Estimate { value: interval.estimate, low: interval.low, high: interval.high }
}

/// A number without an interval.
pub(super) fn bare(value: f64) -> Estimate {
    Estimate { value, low: f64::NAN, high: f64::NAN }
}

/// Precision, recall and F1 of each class, with intervals where there are any.
pub(super) fn class_scores(evaluated: &Evaluated, intervals: Option<&MetricIntervals>) -> Vec<ClassScore> {
    let one = |(index, class): (usize, &crate::eval::metrics::ClassMetrics)| {
        let found = intervals.and_then(|intervals| intervals.per_class.get(index));
        let value = |bare_value: f64, interval: Option<&Interval>| {
            interval.map_or_else(
                || bare(bare_value),
                |found| Estimate { value: bare_value, low: found.low, high: found.high },
            )
        };
        ClassScore {
            class: class.class.clone(),
            support: class.support,
            precision: value(class.precision, found.map(|f| &f.precision)),
            recall: value(class.recall, found.map(|f| &f.recall)),
            f1: value(class.f1, found.map(|f| &f.f1)),
        }
    };
    evaluated.evaluation.metrics.per_class.iter().enumerate().map(one).collect()
}

/// The fraction of points whose nearest neighbour has the same class; `None` for fewer than two points.
pub(super) fn neighbours_alike(points: &[[f64; 2]], classes: &[usize]) -> Option<f64> {
    if points.len() < 2 {
        return None;
    }
    let alike = (0..points.len()).filter(|&at| {
        let distance = |other: &usize| {
            (points[*other][0] - points[at][0]).powi(2) + (points[*other][1] - points[at][1]).powi(2)
        };
        let nearest =
            (0..points.len()).filter(|&other| other != at).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.is_some_and(|nearest| classes[nearest] == classes[at])
    });
    Some(alike.count() as f64 / points.len() as f64)
}
