//! Bootstrap by group (Efron & Tibshirani 1993; the clustered form of Davison & Hinkley 1997, section 3.8).
//!
//! Rows of one group (the faces of a photo, the images of a person) are correlated, so that resampling single
//! rows would give intervals that are too narrow. Whole groups are resampled instead, with replacement.
//!
//! Legend: N rows, K classes, G groups, B replicates, S seeds.

mod draws;
mod intervals;
mod paired;

pub use self::draws::{Interval, Method, Rows, Settings, group_indices};
pub use self::intervals::{ClassIntervals, MetricIntervals, intervals, metric_intervals};
pub use self::paired::{Difference, Metric, paired_difference, paired_mean_difference};

#[cfg(test)]
mod tests;
