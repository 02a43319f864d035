//! The settings of training.

use serde::{Deserialize, Serialize};

use super::optimizer::{OptimizerKind, Rule};
use super::schedule::Schedule;
use crate::error::{Error, Result};
use crate::input::batches::Balance;

/// The metric by which the best model is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Monitor {
    /// The epoch with the lowest validation loss.
    #[default]
    ValLoss,
    /// The epoch with the highest validation accuracy.
    ValAccuracy,
    /// Highest validation macro F1.
    ValMacroF1,
}

impl Monitor {
    /// Whether `new` is better than `old`.
    pub fn is_better(self, new: f64, old: f64) -> bool {
        if self == Self::ValLoss { new < old } else { new > old }
    }

    /// What is watched, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::ValLoss => "validation loss",
            Self::ValAccuracy => "validation accuracy",
            Self::ValMacroF1 => "validation macro F1",
        }
    }
}

/// Everything about training that is no model, data or device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Times through the training data.
    pub epochs: usize,
    /// Images in a batch.
    pub batch_size: usize,
    /// Batches whose gradients are averaged into one update; they are held in memory together, as pixels.
    pub accumulation: usize,
    /// Learning rate before schedules.
    pub learning_rate: f64,
    /// Weight decay: L2 in the gradient for SGD and Adam, decoupled for AdamW.
    pub weight_decay: f64,
    /// The rule that updates the weights.
    pub optimizer: OptimizerKind,
    /// Momentum of SGD, 0 or more, below 1.
    pub momentum: f64,
    /// SGD with Nesterov's momentum.
    pub nesterov: bool,
    /// How the learning rate changes, once an epoch.
    pub schedule: Schedule,
    /// Epochs over which the learning rate rises linearly from nothing, update by update; 0 is off.
    pub warmup: f64,
    /// Halve the learning rate when, every 5 epochs, the validation loss is above that of 5 epochs before.
    pub auto_lr: bool,
    /// Average the weights; validation and the best model use the averages.
    pub ema: bool,
    /// Decay of that average.
    pub ema_decay: f64,
    /// Stop when the validation loss has not fallen for `patience` epochs.
    pub early_stopping: bool,
    /// Epochs without a lower validation loss before early stopping.
    pub patience: usize,
    /// Share of the label that is spread over all classes; 0 is off.
    pub label_smoothing: f64,
    /// How unbalanced classes are met.
    pub balance: Balance,
    /// Largest norm of the gradient; 0 is off.
    pub gradient_clip: f64,
    /// By what the best model is chosen.
    pub monitor: Monitor,
    /// A checkpoint is kept every so many epochs; 0 keeps only best and last.
    pub save_every: usize,
    /// Minutes between two saves of the last state within an epoch; 0 saves at the end of epochs only.
    pub save_minutes: f64,
    /// The weights to start from: a file, or "imagenet"; empty trains from scratch.
    pub weights: String,
    /// Freeze what was loaded from `weights` and train the new layers only.
    pub feature_extract: bool,
    /// Seed of every random draw.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 25,
            batch_size: 32,
            accumulation: 1,
            learning_rate: 0.001,
            weight_decay: 0.0001,
            optimizer: OptimizerKind::Sgd,
            momentum: 0.9,
            nesterov: false,
            schedule: Schedule::default(),
            warmup: 0.0,
            auto_lr: true,
            ema: true,
            ema_decay: 0.999,
            early_stopping: true,
            patience: 8,
            label_smoothing: 0.1,
            balance: Balance::None,
            gradient_clip: 0.0,
            monitor: Monitor::ValLoss,
            save_every: 5,
            save_minutes: 15.0,
            weights: String::new(),
            feature_extract: false,
            seed: 42,
        }
    }
}

impl TrainConfig {
    /// The optimizer's rule with its settings.
    pub fn rule(&self) -> Rule {
        Rule {
            kind: self.optimizer,
            weight_decay: self.weight_decay,
            momentum: self.momentum,
            nesterov: self.nesterov,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn validate(&self) -> Result<()> {
        let positive =
            [("epochs", self.epochs), ("batch_size", self.batch_size), ("accumulation", self.accumulation)];
        for (key, value) in positive {
            if value == 0 {
                return Err(Error::input(format!("train.{key}"), "found 0").expected("1 or more"));
            }
        }
        if self.accumulation > 256 {
            return Err(Error::input("train.accumulation", format!("found {}", self.accumulation))
                .expected("1 to 256"));
        }
        let range = |key: &str, value: f64, fits: bool, expected: &str| {
            if fits {
                Ok(())
            } else {
                Err(Error::input(format!("train.{key}"), format!("found {value}")).expected(expected))
            }
        };
        let share = |value: f64| (0.0..1.0).contains(&value);
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        let rate = self.learning_rate;
        range("learning_rate", rate, rate > 0.0 && rate.is_finite(), "a number above 0")?;
        range("weight_decay", self.weight_decay, not_negative(self.weight_decay), "a number, 0 or more")?;
        range("momentum", self.momentum, share(self.momentum), "a number from 0 to less than 1")?;
        range("ema_decay", self.ema_decay, share(self.ema_decay), "a number from 0 to less than 1")?;
        range(
            "label_smoothing",
            self.label_smoothing,
            share(self.label_smoothing),
            "a number from 0 to less than 1",
        )?;
        range(
            "warmup",
            self.warmup,
            not_negative(self.warmup),
            "a number of epochs, 0 (no warm-up) or more",
        )?;
        range(
            "gradient_clip",
            self.gradient_clip,
            not_negative(self.gradient_clip),
            "a number, 0 (no clipping) or more",
        )?;
        range(
            "save_minutes",
            self.save_minutes,
            not_negative(self.save_minutes),
            "minutes, 0 (off) or more",
        )?;
        if self.early_stopping && self.patience == 0 {
            return Err(Error::input("train.patience", "found 0")
                .expected("1 or more")
                .hint("To train all epochs, use --no-early-stopping"));
        }
        if self.nesterov && (self.optimizer != OptimizerKind::Sgd || self.momentum == 0.0) {
            return Err(Error::input(
                "train.nesterov",
                "is set, but the optimizer is not sgd with a momentum above 0",
            )
            .hint("Leave it out, or set train.optimizer = \"sgd\" and train.momentum"));
        }
        if self.feature_extract && self.weights.is_empty() {
            return Err(Error::input("train.feature_extract", "there are no initial weights to freeze")
                .expected("--weights (train.weights) as well")
                .hint("Add --weights FILE, or leave --feature-extract out"));
        }
        self.schedule.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_bad_values_are_named() {
        TrainConfig::default().validate().unwrap();
        let error = |config: TrainConfig| config.validate().unwrap_err().to_string();
        assert_eq!(
            error(TrainConfig { epochs: 0, ..Default::default() }),
            "train.epochs: found 0; expected 1 or more"
        );
        assert!(
            error(TrainConfig { learning_rate: f64::NAN, ..Default::default() })
                .starts_with("train.learning_rate")
        );
        assert!(error(TrainConfig { feature_extract: true, ..Default::default() }).contains("--weights"));
        assert!(
            error(TrainConfig { nesterov: true, optimizer: OptimizerKind::Adam, ..Default::default() })
                .contains("sgd")
        );
    }
}
