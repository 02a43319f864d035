//! The figures of a run: one function each, from plain data; nothing is read here.
//!
//! Every function returns a [`Figure`](crate::plot::Figure). Values that are not finite leave gaps, and where
//! nothing is left to draw the figure says so.

mod batches;
mod class_counts;
mod class_curves;
mod combined;
mod confused_pairs;
mod confusion;
mod data;
mod epochs;
mod estimates;
mod learning;
mod metrics;
mod overlaid;
mod per_class;
mod perturbation;
mod projection;
mod reliability;
mod table;
mod trends;

pub(super) use batches::{batch_losses, epoch_batches};
pub(super) use class_counts::class_counts;
pub(super) use class_curves::{precision_recall, roc};
pub(super) use combined::combined_curves;
pub(super) use confused_pairs::confusions;
pub(super) use confusion::confusion;
pub(super) use data::{
    BatchPoint, Bin, Calibration, ClassCurve, ClassScore, ConfusedPair, EpochPoint, Estimate,
    PerturbationCurve, Projected, RunCurves, RunMetrics, SplitCounts,
};
pub(super) use learning::learning_curves;
pub(super) use metrics::metrics_side_by_side;
pub(super) use overlaid::curves_overlaid;
pub(super) use per_class::per_class;
pub(super) use perturbation::perturbation;
pub(super) use projection::projection;
pub(super) use reliability::reliability;
pub(super) use trends::trends;

#[cfg(test)]
mod tests;
