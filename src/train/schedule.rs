//! Learning rates: a schedule stepped once an epoch, and the automatic halving when the validation loss
//! rises.
//!
//! Both act as factors on the configured rate, as chained schedulers of torch do on the optimizer's.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the learning rate changes over the epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Half a cosine down to 0 over all epochs (SGDR without restarts, Loshchilov and Hutter,
    /// arXiv:1608.03983).
    Cosine {}, // braces, so that serde refuses settings of another kind
    /// Times `factor` every `every` epochs.
    Step {
        /// Epochs between two steps.
        #[serde(default = "five")]
        every: usize,
        /// Multiplies the rate.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// Times `factor` when the validation loss has not fallen for more than `patience` epochs (torch's
    /// ReduceLROnPlateau, relative threshold 1e-4).
    Plateau {
        /// Multiplies the rate.
        #[serde(default = "tenth")]
        factor: f64,
        /// Epochs without a better loss that are let pass.
        #[serde(default = "three")]
        patience: usize,
    },
    /// The same rate all the way.
    None {},
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Cosine {}
    }
}

fn five() -> usize {
    5
}
fn three() -> usize {
    3
}
fn tenth() -> f64 {
    0.1
}

impl Schedule {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value out of its range.
    pub fn validate(&self) -> Result<()> {
        if let Self::Step { factor, .. } | Self::Plateau { factor, .. } = self
            && !(*factor > 0.0 && *factor < 1.0)
        {
            return Err(Error::input("train.schedule.factor", format!("found {factor}"))
                .expected("a number between 0 and 1"));
        }
        if let Self::Step { every: 0, .. } = self {
            return Err(Error::input("train.schedule.every", "found 0").expected("1 epoch or more"));
        }
        Ok(())
    }

    /// The factor of epoch `epoch` (from 0) of `epochs`, for the schedules that depend on nothing else.
    pub fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        match self {
            Self::Cosine {} => 0.5 * (1.0 + (std::f64::consts::PI * epoch as f64 / epochs as f64).cos()),
            Self::Step { every, factor } => factor.powi((epoch / every) as i32),
            Self::Plateau { .. } | Self::None {} => 1.0,
        }
    }
}

/// Epochs between two looks of the automatic halving.
const AUTO_EVERY: usize = 5;
/// What it multiplies the rate with.
const AUTO_FACTOR: f64 = 0.5;
/// A loss counts as better when it is below the best by this share (torch's default).
const PLATEAU_THRESHOLD: f64 = 1e-4;
/// A plateau leaves a rate alone that would fall by no more than this (torch's default `eps`).
const PLATEAU_SMALLEST_STEP: f64 = 1e-8;

/// The part of the learning rate that depends on the losses so far; saved with every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearningRate {
    /// Product of all plateau steps.
    plateau: f64,
    /// Best loss the plateau has seen.
    best: Option<f64>,
    /// Epochs since then.
    bad_epochs: usize,
    /// Product of all automatic halvings.
    auto: f64,
    /// Validation loss of every epoch.
    losses: Vec<f64>,
}

impl Default for LearningRate {
    fn default() -> Self {
        Self { plateau: 1.0, best: None, bad_epochs: 0, auto: 1.0, losses: Vec::new() }
    }
}

impl LearningRate {
    /// The rate of epoch `epoch` (from 0).
    pub fn at(&self, base: f64, schedule: &Schedule, epoch: usize, epochs: usize) -> f64 {
        base * schedule.factor(epoch, epochs) * self.plateau * self.auto
    }

    /// Takes the validation loss of an epoch that has ended; `base` is the configured rate.
    pub fn observe(&mut self, loss: f64, base: f64, schedule: &Schedule, auto: bool) {
        if let Schedule::Plateau { factor, patience } = schedule {
            if self.best.is_none_or(|best| loss < best * (1.0 - PLATEAU_THRESHOLD)) {
                self.best = Some(loss);
                self.bad_epochs = 0;
            } else {
                self.bad_epochs += 1;
            }
            if self.bad_epochs > *patience {
                let rate = base * self.plateau * self.auto;
                if rate - rate * factor > PLATEAU_SMALLEST_STEP {
                    self.plateau *= factor;
                }
                self.bad_epochs = 0;
            }
        }
        self.losses.push(loss);
        let seen = self.losses.len();
        // Every 5 epochs: is the loss above that of 5 epochs before?
        if auto
            && seen.is_multiple_of(AUTO_EVERY)
            && seen > AUTO_EVERY
            && loss > self.losses[seen - 1 - AUTO_EVERY]
        {
            self.auto *= AUTO_FACTOR;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: &Schedule, auto: bool, losses: &[f64]) -> Vec<f64> {
        let mut state = LearningRate::default();
        let mut rates = Vec::new();
        for (epoch, loss) in losses.iter().enumerate() {
            rates.push(state.at(1.0, schedule, epoch, losses.len()));
            state.observe(*loss, 1.0, schedule, auto);
        }
        rates
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-9, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn cosine_goes_from_one_to_nearly_nothing() {
        let half = 0.5f64.sqrt() / 2.0;
        close(&rates(&Schedule::Cosine {}, false, &[1.0; 4]), &[1.0, 0.5 + half, 0.5, 0.5 - half]);
    }

    #[test]
    fn step_multiplies_every_so_many_epochs() {
        close(
            &rates(&Schedule::Step { every: 2, factor: 0.1 }, false, &[1.0; 5]),
            &[1.0, 1.0, 0.1, 0.1, 0.01],
        );
    }

    #[test]
    fn plateau_waits_for_more_than_its_patience() {
        // torch: patience 1 lets one bad epoch pass and steps after the second.
        let schedule = Schedule::Plateau { factor: 0.1, patience: 1 };
        close(&rates(&schedule, false, &[1.0, 1.0, 1.0, 0.5, 0.5]), &[1.0, 1.0, 1.0, 0.1, 0.1]);
    }

    #[test]
    fn plateau_leaves_the_smallest_rates_alone() {
        let schedule = Schedule::Plateau { factor: 0.1, patience: 0 };
        let mut state = LearningRate::default();
        (0..20).for_each(|_| state.observe(1.0, 1e-3, &schedule, false));
        // torch 2.9: from 1e-8 on a step would be no more than 1e-8.
        close(&[state.at(1e-3, &schedule, 20, 20) * 1e8], &[1.0]);
    }

    #[test]
    fn the_automatic_halving_compares_with_five_epochs_before() {
        let mut losses = vec![1.0; 5];
        losses.extend([2.0; 6]);
        let expected = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5];
        close(&rates(&Schedule::None {}, true, &losses), &expected);
        close(&rates(&Schedule::None {}, true, &[1.0; 11]), &[1.0; 11]);
    }

    #[test]
    fn schedules_are_written_by_kind() {
        #[derive(Deserialize)]
        struct Holder {
            schedule: Schedule,
        }
        let read = |text: &str| toml::from_str::<Holder>(text).map(|holder| holder.schedule);
        assert_eq!(read("schedule.kind = \"cosine\"").unwrap(), Schedule::Cosine {});
        assert_eq!(
            read("schedule = { kind = \"step\", every = 3 }").unwrap(),
            Schedule::Step { every: 3, factor: 0.1 }
        );
        assert!(read("schedule = { kind = \"step\", evry = 3 }").is_err());
    }
}
