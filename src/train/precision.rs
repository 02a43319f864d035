//! Loss scaling for f16: gradients too small for the format are lifted by a factor that adapts itself
//! (Micikevicius et al., ICLR 2018, arXiv:1710.03740; the constants of `torch.amp.GradScaler`).

use serde::{Deserialize, Serialize};

const START: f64 = 65536.0;
const GROWTH: f64 = 2.0;
const BACKOFF: f64 = 0.5;
const GROWTH_INTERVAL: u64 = 2000;

/// The factor and what it has been through; saved with every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScaler {
    /// Multiplies the loss before the backward pass.
    pub scale: f64,
    /// Steps since the factor last changed.
    good: u64,
    /// Steps left out because a gradient was not finite.
    pub skipped: u64,
}

impl Default for LossScaler {
    fn default() -> Self {
        Self { scale: START, good: 0, skipped: 0 }
    }
}

impl LossScaler {
    /// Takes whether the step's gradients were finite; true if the step may be made.
    pub fn update(&mut self, finite: bool) -> bool {
        if finite {
            self.good += 1;
            if self.good == GROWTH_INTERVAL {
                self.scale *= GROWTH;
                self.good = 0;
            }
        } else {
            self.scale *= BACKOFF;
            self.good = 0;
            self.skipped += 1;
        }
        finite
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_on_overflow_and_doubles_after_2000_good_steps() {
        let mut scaler = LossScaler::default();
        assert!(!scaler.update(false));
        assert_eq!((scaler.scale, scaler.skipped), (32768.0, 1));
        for _ in 0..2000 {
            assert!(scaler.update(true));
        }
        assert_eq!(scaler.scale, 65536.0);
    }
}
