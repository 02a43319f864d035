//! What the figures are drawn from. Accuracies, shares and probabilities are between 0 and 1; a value that is
//! not known is NaN.

/// One epoch of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EpochPoint {
    /// From 1.
    pub(crate) epoch: u32,
    /// Mean training loss.
    pub(crate) train_loss: f64,
    /// Validation loss.
    pub(crate) valid_loss: f64,
    /// Training accuracy, 0 to 1.
    pub(crate) train_accuracy: f64,
    /// Validation accuracy, 0 to 1.
    pub(crate) valid_accuracy: f64,
    /// Learning rate of the epoch.
    pub(crate) learning_rate: f64,
}

/// One update of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BatchPoint {
    /// From 1.
    pub(crate) epoch: u32,
    /// Updates so far, from 1.
    pub(crate) step: u64,
    /// Training loss of the batch.
    pub(crate) loss: f64,
    /// Training accuracy of the batch, 0 to 1.
    pub(crate) accuracy: f64,
}

/// A number with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// The estimate itself.
    pub(crate) value: f64,
    /// Lower end; NaN where there is no interval.
    pub(crate) low: f64,
    /// Upper end; NaN where there is no interval.
    pub(crate) high: f64,
}

/// Scores of one class, each 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClassScore {
    /// Name of the class.
    pub(crate) class: String,
    /// Images of the class.
    pub(crate) support: u64,
    /// True positives over predicted positives.
    pub(crate) precision: Estimate,
    /// True positives over images of the class.
    pub(crate) recall: Estimate,
    /// Harmonic mean of both.
    pub(crate) f1: Estimate,
}

/// A curve of one class against all others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClassCurve {
    /// Name of the class.
    pub(crate) class: String,
    /// Area under the curve or average precision; NaN if unknown.
    pub(crate) area: f64,
    /// Points in drawing order: (false positive rate, true positive rate) or (recall, precision).
    pub(crate) points: Vec<(f64, f64)>,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bin {
    /// Lowest confidence.
    pub(crate) lower: f64,
    /// Highest confidence.
    pub(crate) upper: f64,
    /// Images in it.
    pub(crate) count: u64,
    /// Their mean confidence.
    pub(crate) confidence: f64,
    /// Their accuracy.
    pub(crate) accuracy: f64,
}

/// How well confidences agree with accuracies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calibration {
    /// From low to high confidence.
    pub(crate) bins: Vec<Bin>,
    /// Expected calibration error, 0 to 1.
    pub(crate) ece: f64,
}

/// Images of one class that were predicted as another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConfusedPair {
    /// True class.
    pub(crate) truth: String,
    /// Predicted class.
    pub(crate) predicted: String,
    /// Number of images.
    pub(crate) count: u64,
    /// As a share of the images of `truth`, 0 to 1.
    pub(crate) share: f64,
}

/// Images per class in one split.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SplitCounts {
    /// Name of the split.
    pub(crate) split: String,
    /// One number per class.
    pub(crate) counts: Vec<u64>,
}

/// An image's features in two dimensions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Projected {
    /// First coordinate.
    pub(crate) x: f64,
    /// Second coordinate.
    pub(crate) y: f64,
    /// Index of the true class.
    pub(crate) class: usize,
    /// Index of the predicted class.
    pub(crate) predicted: usize,
    /// Row of the predictions file; the mark carries it as `data-row`.
    pub(crate) row: usize,
}

/// Probability of a class as an image is perturbed in the order of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PerturbationCurve {
    /// Name of the method, as files spell it; `random` is drawn as the reference.
    pub(crate) method: String,
    /// Name of the method, as papers spell it.
    pub(crate) title: String,
    /// Area under the curve, or the ROAD score; NaN if unknown.
    pub(crate) area: f64,
    /// (share of the pixels that were changed, mean probability).
    pub(crate) points: Vec<(f64, f64)>,
}

/// The epochs of one run of several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunCurves {
    /// Name of the run.
    pub(crate) run: String,
    /// Its best epoch.
    pub(crate) best_epoch: Option<u32>,
    /// Its epochs.
    pub(crate) points: Vec<EpochPoint>,
}

/// The metrics of one run of several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunMetrics {
    /// Name of the run.
    pub(crate) run: String,
    /// By name; a run may lack some.
    pub(crate) metrics: Vec<(String, Estimate)>,
}
