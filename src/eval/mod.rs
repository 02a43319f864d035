//! Evaluation: a model's logits on a data set, its metrics and their files, calibration, ensembles.

pub mod calibration;
pub mod ensemble;
pub mod evaluate;
pub mod files;
pub mod metrics;
pub mod session;
pub mod table;
