//! What every schedule implements, and the state that they share.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a schedule does; the defaults are those of a schedule that does nothing.
pub(crate) trait Rule {
    /// Checks every setting.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// The factor on the rate in epoch `epoch` (from 0) of `epochs`.
    fn factor(&self, _epoch: usize, _epochs: usize) -> f64 {
        1.0
    }

    /// Takes the validation `loss` of an epoch that has ended; `base` is the configured rate.
    fn observe(&self, _state: &mut LearningRate, _loss: f64, _base: f64) {}
}

/// Checks a factor below 1, which two schedules have.
pub(super) fn check_factor(factor: f64) -> Result<()> {
    if factor > 0.0 && factor < 1.0 {
        return Ok(());
    }
    Err(Error::input("train.schedule.factor", format!("found {factor}")).expected("a number between 0 and 1"))
}

/// The part of the learning rate that depends on the losses so far; saved with every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearningRate {
    /// Product of all plateau steps.
    pub(super) plateau: f64,
    /// Best loss the plateau has seen.
    pub(super) best: Option<f64>,
    /// Epochs since then.
    pub(super) bad_epochs: usize,
    /// Product of all automatic halvings.
    pub(super) auto: f64,
    /// Validation loss of every epoch.
    pub(super) losses: Vec<f64>,
}

impl Default for LearningRate {
    fn default() -> Self {
        Self { plateau: 1.0, best: None, bad_epochs: 0, auto: 1.0, losses: Vec::new() }
    }
}
