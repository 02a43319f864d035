//! The configuration sections `[input]` and `[augment]`.

use serde::{Deserialize, Serialize};

use super::mix::MixConfig;
use super::normalization::Normalization;
use super::transform::TransformConfig;
use crate::error::{Error, Result};

/// The model's input: its size and its normalization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputConfig {
    /// Images are resized to a square of this side, in pixels; the aspect ratio is not kept.
    pub size: usize,
    /// Mean and standard deviation of each channel.
    pub normalization: Normalization,
}

impl Default for InputConfig {
    fn default() -> Self {
        Self { size: 256, normalization: Normalization::default() }
    }
}

impl InputConfig {
    /// The largest size in pixels.
    pub const MAX_SIZE: usize = 4096;

    /// Checks every value; `smallest` is the smallest size that the model takes, in pixels.
    ///
    /// # Errors
    /// The first value out of its range, by its key.
    pub fn validate(&self, smallest: usize) -> Result<()> {
        if !(smallest..=Self::MAX_SIZE).contains(&self.size) {
            return Err(Error::input("input.size", format!("found {}", self.size))
                .expected(format!("{smallest} to {} pixels", Self::MAX_SIZE)));
        }
        self.normalization.validate()
    }
}

/// Random augmentation of training images, drawn anew in every epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Transforms of single images: flip, rotation, colour jitter, shift.
    pub transform: TransformConfig,
    /// MixUp and CutMix of the images of a batch.
    pub mix: MixConfig,
}

impl AugmentConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value out of its range, by its key.
    pub fn validate(&self) -> Result<()> {
        self.transform.validate()?;
        self.mix.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_out_of_range_are_refused_by_key() {
        assert!(InputConfig::default().validate(32).is_ok());
        for size in [0, 31, 4097] {
            let error = InputConfig { size, ..InputConfig::default() }.validate(32).unwrap_err().to_string();
            assert_eq!(error, format!("input.size: found {size}; expected 32 to 4096 pixels"));
        }
    }
}
