//! The settings of a run: the parts' own configurations side by side.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::DataConfig;
use crate::device::DeviceConfig;
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::input::config::{AugmentConfig, InputConfig};
use crate::model::ModelConfig;
use crate::report::config::ReportConfig;
use crate::train::config::TrainConfig;

/// Everything that can be set. The defaults are those of the reference recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Which data, and how they are split.
    pub data: DataConfig,
    /// What the model sees.
    pub input: InputConfig,
    /// Architecture, width and head (section `[model]`).
    pub model: ModelConfig,
    /// How training images are varied.
    pub augment: AugmentConfig,
    /// Epochs, optimizer, schedule and the like (section `[train]`).
    pub train: TrainConfig,
    /// Device, precision and threads (section `[device]`).
    pub device: DeviceConfig,
    /// What a run leaves beside its numbers.
    pub report: ReportConfig,
}

impl RunConfig {
    /// Checks every value that can be checked without data or device.
    ///
    /// # Errors
    /// The first value out of its range, by its key.
    pub fn validate(&self) -> Result<()> {
        self.data.validate()?;
        self.input.validate(self.model.name.smallest_input)?;
        self.model.validate()?;
        self.augment.validate()?;
        self.train.validate()?;
        self.device.validate()
    }

    /// The seed of the split.
    pub fn split_seed(&self) -> u64 {
        self.data.split_seed.unwrap_or(self.train.seed)
    }

    /// The configuration as TOML, with every key that has a value.
    ///
    /// # Errors
    /// A path is not Unicode.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Compute(format!("cannot write the configuration: {e}")))
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = self.to_toml()?;
        write_atomic(path, |out| out.write_all(text.as_bytes()))
    }
}
