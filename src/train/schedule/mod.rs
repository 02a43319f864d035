//! Learning rates: a schedule that steps once an epoch, and the automatic halving when the validation loss
//! rises.
//!
//! Both act as factors on the configured rate, as chained schedulers of torch do on the optimizer's. A new
//! schedule is a file with a `Rule` and a line in `schedules!` below.

mod rule;

use serde::{Deserialize, Serialize};

pub use self::rule::LearningRate;
use self::rule::Rule;
use crate::error::Result;

/// Declares the schedules: the name in the configuration, the file and the type of its settings.
macro_rules! schedules {
    ($($name:literal in $file:ident: $kind:ident),* $(,)?) => {
        $(mod $file;
        pub use self::$file::$kind;)*

        /// How the learning rate changes over the epochs; `kind` names it in the configuration.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Schedule {
            $(#[doc = concat!("`", $name, "`")]
            #[serde(rename = $name)]
            $kind($kind),)*
        }

        impl Schedule {
            /// The names of all schedules, as the configuration has them.
            pub const NAMES: &[&str] = &[$($name),*];

            fn rule(&self) -> &dyn Rule {
                match self {
                    $(Self::$kind(rule) => rule,)*
                }
            }
        }

        $(impl From<$kind> for Schedule {
            fn from(rule: $kind) -> Self {
                Self::$kind(rule)
            }
        })*
    };
}

schedules! {
    "cosine" in cosine: Cosine,
    "step" in step: Step,
    "plateau" in plateau: Plateau,
    "none" in constant: Constant,
}

impl Default for Schedule {
    fn default() -> Self {
        Cosine {}.into()
    }
}

impl Schedule {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first value out of its range.
    pub fn validate(&self) -> Result<()> {
        self.rule().validate()
    }

    /// The factor of epoch `epoch` (from 0) of `epochs`, as far as it depends on nothing else.
    pub fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        self.rule().factor(epoch, epochs)
    }
}

/// Epochs between two looks of the automatic halving.
const AUTO_EVERY: usize = 5;
/// What the automatic halving multiplies the rate by.
const AUTO_FACTOR: f64 = 0.5;

impl LearningRate {
    /// The rate of epoch `epoch` (from 0) of `epochs`; `base` is the configured rate.
    pub fn at(&self, base: f64, schedule: &Schedule, epoch: usize, epochs: usize) -> f64 {
        base * schedule.factor(epoch, epochs) * self.plateau * self.auto
    }

    /// Takes the validation loss of an epoch that has ended; `base` is the configured rate. With `auto` the
    /// rate is halved when, every five epochs, the loss is above that of five epochs before.
    pub fn observe(&mut self, loss: f64, base: f64, schedule: &Schedule, auto: bool) {
        schedule.rule().observe(self, loss, base);
        self.losses.push(loss);
        let seen = self.losses.len();
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
mod testing {
    use super::{LearningRate, Schedule};

    /// The rates of all epochs for these validation losses, from a base of 1.
    pub fn rates(schedule: &Schedule, auto: bool, losses: &[f64]) -> Vec<f64> {
        let mut state = LearningRate::default();
        let mut rates = Vec::new();
        for (epoch, loss) in losses.iter().enumerate() {
            rates.push(state.at(1.0, schedule, epoch, losses.len()));
            state.observe(*loss, 1.0, schedule, auto);
        }
        rates
    }

    pub fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-9, "{found:?} is not {expected:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{close, rates};
    use super::*;

    #[test]
    fn the_automatic_halving_compares_with_five_epochs_before() {
        let mut losses = vec![1.0; 5];
        losses.extend([2.0; 6]);
        let expected = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5];
        close(&rates(&Constant {}.into(), true, &losses), &expected);
        close(&rates(&Constant {}.into(), true, &[1.0; 11]), &[1.0; 11]);
    }

    #[test]
    fn schedules_are_written_by_kind() {
        #[derive(Deserialize)]
        struct Holder {
            schedule: Schedule,
        }
        let read = |text: &str| toml::from_str::<Holder>(text).map(|holder| holder.schedule);
        for name in Schedule::NAMES {
            let schedule = read(&format!("schedule.kind = \"{name}\"")).unwrap();
            assert_eq!(serde_json::to_value(&schedule).unwrap()["kind"], *name);
        }
        let step = read("schedule = { kind = \"step\", every = 3 }").unwrap();
        assert_eq!(step, Step { every: 3, factor: 0.1 }.into());
        assert!(read("schedule = { kind = \"step\", evry = 3 }").is_err());
        assert!(read("schedule = { kind = \"cosine\", every = 3 }").is_err(), "cosine has no settings");
    }
}
