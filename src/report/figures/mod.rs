//! The figures of a run: one function each, from plain data; nothing is read here.
//!
//! Every function returns a [`Figure`]. Values that are not finite leave gaps, and where nothing is left the
//! figure says so.

mod batches;
mod classes;
mod curves;
mod probabilities;

pub use batches::{batch_losses, epoch_batches};
pub use classes::{class_counts, confusion, confusions, metrics_side_by_side, per_class};
pub use curves::{combined_curves, curves_overlaid, learning_curves, trends};
pub use probabilities::{perturbation, precision_recall, projection, reliability, roc};

use crate::plot::{Figure, csv_line};

/// One epoch of a run. Accuracies are shares of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochPoint {
    /// From 1.
    pub epoch: u32,
    /// Mean training loss.
    pub train_loss: f64,
    /// Validation loss.
    pub valid_loss: f64,
    /// Training accuracy, 0 to 1.
    pub train_accuracy: f64,
    /// Validation accuracy, 0 to 1.
    pub valid_accuracy: f64,
    /// Learning rate of the epoch.
    pub learning_rate: f64,
}

/// One update of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchPoint {
    /// From 1.
    pub epoch: u32,
    /// Updates so far, from 1.
    pub step: u64,
    /// Training loss of the batch.
    pub loss: f64,
    /// Training accuracy of the batch, 0 to 1.
    pub accuracy: f64,
}

/// A number with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate itself.
    pub value: f64,
    /// Lower end; NaN where there is no interval.
    pub low: f64,
    /// Upper end; NaN where there is no interval.
    pub high: f64,
}

/// Scores of one class, each 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassScore {
    /// Name of the class.
    pub class: String,
    /// Images of the class.
    pub support: u64,
    /// Right ones among those predicted.
    pub precision: Estimate,
    /// Found ones among those there are.
    pub recall: Estimate,
    /// Harmonic mean of both.
    pub f1: Estimate,
}

/// A curve of one class against all others.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassCurve {
    /// Name of the class.
    pub class: String,
    /// Area under the curve or average precision; NaN if unknown.
    pub area: f64,
    /// Points in drawing order: (false positive rate, true positive rate) or (recall, precision).
    pub points: Vec<(f64, f64)>,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Lowest confidence.
    pub lower: f64,
    /// Highest confidence.
    pub upper: f64,
    /// Images in it.
    pub count: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// Their accuracy.
    pub accuracy: f64,
}

/// How well confidences agree with accuracies.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// From low to high confidence.
    pub bins: Vec<Bin>,
    /// Expected calibration error, 0 to 1.
    pub ece: f64,
}

/// A class that was taken for another one.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusedPair {
    /// The class it is.
    pub truth: String,
    /// The class it was taken for.
    pub predicted: String,
    /// So many images.
    pub count: u64,
    /// As a share of the images of `truth`, 0 to 1.
    pub share: f64,
}

/// Images per class in one split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitCounts {
    /// Name of the split.
    pub split: String,
    /// One number per class.
    pub counts: Vec<u64>,
}

/// An image's features in two dimensions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projected {
    /// First coordinate.
    pub x: f64,
    /// Second coordinate.
    pub y: f64,
    /// Index of the true class.
    pub class: usize,
    /// Index of the predicted class.
    pub predicted: usize,
    /// Row of the predictions file; the mark carries it as `data-row`.
    pub row: usize,
}

/// Probability of a class while an image is changed along a map.
#[derive(Clone, Debug, PartialEq)]
pub struct PerturbationCurve {
    /// Name of the method that made the map; `random` is drawn as the reference.
    pub method: String,
    /// Area under the curve; NaN if unknown.
    pub area: f64,
    /// (share of the image that was changed, mean probability).
    pub points: Vec<(f64, f64)>,
}

/// The epochs of one run of several.
#[derive(Clone, Debug, PartialEq)]
pub struct RunCurves {
    /// Name of the run.
    pub run: String,
    /// Its best epoch.
    pub best_epoch: Option<u32>,
    /// Its epochs.
    pub points: Vec<EpochPoint>,
}

/// The metrics of one run of several.
#[derive(Clone, Debug, PartialEq)]
pub struct RunMetrics {
    /// Name of the run.
    pub run: String,
    /// By name; runs may lack some.
    pub metrics: Vec<(String, Estimate)>,
}

/// A whole CSV file.
fn csv<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Option<String> {
    let mut out = csv_line(&header.map(str::to_string));
    for row in rows {
        out.push_str(&csv_line(&row));
    }
    Some(out)
}

/// A number for a CSV file; nothing where it is not finite.
fn cell(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

/// A name as part of a file's name: ASCII letters and digits, `_` for the rest.
fn slug(name: &str) -> String {
    let text: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    text.trim_matches('_').to_string()
}

#[cfg(test)]
mod tests;
