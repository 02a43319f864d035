//! The configuration section `[model]`.

use serde::{Deserialize, Serialize};

use super::entry::{Head, Plan};
use super::zoo::{ALL, ModelName};
use crate::error::{Error, Result};

/// Which model, and how it departs from the published one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// One of the [`zoo`](super::zoo)'s names.
    pub name: ModelName,
    /// Multiplies all channel counts; 1.0 as published, small ones make quick runs.
    pub width: f64,
    /// What turns the last map into logits; the published one or, in the VGG family, a smaller one.
    pub head: Head,
    /// Probability of the dropout layers of the head, in models that have some. 0.5 unless it is set; 0.2 in
    /// MobileNetV3, as torchvision has it.
    pub dropout: f64,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::of(ModelName::default())
    }
}

impl ModelConfig {
    /// The model as published.
    pub fn of(name: ModelName) -> Self {
        Self { name, width: 1.0, head: name.heads[0], dropout: name.dropout }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.width > 0.0 && self.width <= 8.0) {
            return Err(Error::input("model.width (--width)", format!("found {}", self.width))
                .expected("a number above 0, at most 8"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::input("model.dropout (--dropout)", format!("found {}", self.dropout))
                .expected("a number from 0 to less than 1"));
        }
        if !self.name.heads.contains(&self.head) {
            let own: Vec<&str> = self.name.heads.iter().map(|head| head.as_str()).collect();
            let others = ALL.iter().filter(|entry| entry.heads.contains(&self.head)).map(|entry| entry.name);
            let (head, own) = (self.head.as_str(), own.join(" or "));
            let problem = format!("found {head}, which {} does not offer", self.name);
            return Err(Error::input("model.head (--head)", problem).expected(own).hint(format!(
                "Leave it out, or choose one of the models with {head}: {}",
                others.collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(())
    }

    /// What the model is built to.
    pub(super) fn plan(&self, classes: usize, input_size: usize) -> Plan {
        Plan { width: self.width, head: self.head, dropout: self.dropout, classes, input_size }
    }
}
