//! How good a model is: logits, metrics, files, ensembles.

pub mod calibration;
pub mod ensemble;
pub mod evaluate;
pub mod files;
pub mod metrics;
pub mod session;
