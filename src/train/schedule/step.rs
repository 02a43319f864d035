//! A step down every few epochs: `torch.optim.lr_scheduler.StepLR`.

use serde::{Deserialize, Serialize};

use super::rule::{Rule, check_factor};
use crate::error::{Error, Result};

/// The rate times `factor` every `every` epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Epochs between two steps, 1 or more.
    pub every: usize,
    /// What the rate is multiplied by at each step, above 0 and below 1.
    pub factor: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self { every: 5, factor: 0.1 }
    }
}

impl Rule for Step {
    fn validate(&self) -> Result<()> {
        check_factor(self.factor)?;
        if self.every == 0 {
            return Err(Error::input("train.schedule.every", "found 0").expected("1 epoch or more"));
        }
        Ok(())
    }

    fn factor(&self, epoch: usize, _epochs: usize) -> f64 {
        self.factor.powi((epoch / self.every) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{close, rates};
    use super::*;

    #[test]
    fn step_multiplies_every_few_epochs() {
        let found = rates(&Step { every: 2, factor: 0.1 }.into(), false, &[1.0; 5]);
        close(&found, &[1.0, 1.0, 0.1, 0.1, 0.01]);
    }
}
