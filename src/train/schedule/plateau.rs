//! A step down when the validation loss stops falling: `torch.optim.lr_scheduler.ReduceLROnPlateau` with its
//! relative threshold.

use serde::{Deserialize, Serialize};

use super::rule::{LearningRate, Rule, check_factor};
use crate::error::Result;

/// A loss counts as better when it is below the best by this share (torch's default).
const THRESHOLD: f64 = 1e-4;
/// A rate that would fall by no more than this is left alone (torch's default `eps`).
const SMALLEST_STEP: f64 = 1e-8;

/// The rate times `factor` when the validation loss has not fallen for more than `patience` epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plateau {
    /// What the rate is multiplied by, above 0 and below 1.
    pub factor: f64,
    /// Epochs without a better loss that are tolerated.
    pub patience: usize,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 3 }
    }
}

impl Rule for Plateau {
    fn validate(&self) -> Result<()> {
        check_factor(self.factor)
    }

    fn observe(&self, state: &mut LearningRate, loss: f64, base: f64) {
        if state.best.is_none_or(|best| loss < best * (1.0 - THRESHOLD)) {
            state.best = Some(loss);
            state.bad_epochs = 0;
        } else {
            state.bad_epochs += 1;
        }
        if state.bad_epochs > self.patience {
            let rate = base * state.plateau * state.auto;
            if rate - rate * self.factor > SMALLEST_STEP {
                state.plateau *= self.factor;
            }
            state.bad_epochs = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{close, rates};
    use super::*;

    #[test]
    fn plateau_waits_for_more_than_its_patience() {
        // torch: patience 1 lets one bad epoch pass and steps after the second.
        let schedule = Plateau { factor: 0.1, patience: 1 }.into();
        close(&rates(&schedule, false, &[1.0, 1.0, 1.0, 0.5, 0.5]), &[1.0, 1.0, 1.0, 0.1, 0.1]);
    }

    #[test]
    fn plateau_leaves_the_smallest_rates_alone() {
        let schedule = Plateau { factor: 0.1, patience: 0 }.into();
        let mut state = LearningRate::default();
        (0..20).for_each(|_| state.observe(1.0, 1e-3, &schedule, false));
        // torch 2.9: from 1e-8 on a step would be no more than 1e-8.
        close(&[state.at(1e-3, &schedule, 20, 20) * 1e8], &[1.0]);
    }
}
