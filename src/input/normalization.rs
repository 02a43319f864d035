//! Normalisation of levels, per channel.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Mean and standard deviation of each channel (R, G, B; levels from 0 to 1): a level becomes
/// `(level - mean) / std`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Subtracted from the level, per channel.
    pub mean: [f32; 3],
    /// What the difference is divided by, per channel; above 0.
    pub std: [f32; 3],
}

impl Default for Normalization {
    /// The values of ImageNet, as torchvision's pretrained weights expect them.
    fn default() -> Self {
        Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

impl Normalization {
    /// Checks that every value is finite and every standard deviation positive.
    ///
    /// # Errors
    /// The first value that is not, by its key.
    pub fn validate(&self) -> Result<()> {
        if let Some(mean) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return Err(
                Error::input("input.normalization.mean", format!("found {mean}")).expected("a finite number")
            );
        }
        match self.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
            Some(std) => {
                Err(Error::input("input.normalization.std", format!("found {std}"))
                    .expected("a number above 0"))
            }
            None => Ok(()),
        }
    }

    /// Factor and summand that map a level from 0 to 255 of channel c to its normalised value.
    pub(super) fn line(&self, c: usize) -> (f32, f32) {
        (1.0 / (255.0 * self.std[c]), -self.mean[c] / self.std[c])
    }
}

vectorized! {
    pub(super) fn normalize(levels: &[f32], factor: f32, summand: f32, target: &mut [f32]) {
        for (target, level) in target.iter_mut().zip(levels) {
            *target = level * factor + summand;
        }
    }
}

vectorized! {
    pub(super) fn normalize_bytes(levels: &[u8], factor: f32, summand: f32, target: &mut [f32]) {
        for (target, &level) in target.iter_mut().zip(levels) {
            *target = f32::from(level) * factor + summand;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_deviation_of_zero_is_refused_by_key() {
        let flat = Normalization { std: [0.2, 0.0, 0.2], ..Default::default() };
        assert!(flat.validate().unwrap_err().to_string().starts_with("input.normalization.std: found 0"));
    }
}
