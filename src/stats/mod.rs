//! Statistics from plain slices: intervals, tests, curves, projections.
//!
//! Nothing here reads files or knows about models.
//!
//! **Invariant:** results depend on the arguments alone. Random draws are keyed by seed and replicate, and
//! sums are taken in a fixed order, so that neither the number of threads nor the processor changes a bit.

pub mod bootstrap;
pub mod curves;
pub mod distributions;
pub mod features;
pub mod hypothesis;
pub mod label_noise;
mod linalg;
pub mod logistic;
pub mod projection;
mod slices;

pub use self::slices::argmax;

#[cfg(test)]
mod fixture;
