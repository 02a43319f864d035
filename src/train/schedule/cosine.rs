//! Half a cosine down to 0 over all epochs: SGDR without restarts (Loshchilov and Hutter, arXiv:1608.03983),
//! `torch.optim.lr_scheduler.CosineAnnealingLR` with `T_max` = epochs.

use serde::{Deserialize, Serialize};

use super::rule::Rule;

/// Half a cosine; it has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {}

impl Rule for Cosine {
    fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        0.5 * (1.0 + (std::f64::consts::PI * epoch as f64 / epochs as f64).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{close, rates};
    use super::*;

    #[test]
    fn cosine_goes_from_one_to_nearly_nothing() {
        let half = 0.5f64.sqrt() / 2.0;
        let found = rates(&Cosine {}.into(), false, &[1.0; 4]);
        close(&found, &[1.0, 0.5 + half, 0.5, 0.5 - half]);
    }
}
