//! Hue, as the trainer's colour jitter turns it.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::colour;
use super::operation::{Apply, Configured, Keys, between};
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;
use crate::input::jitter::Jitter;

/// The table `[operations.hue]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Least and greatest turn as a part of the full circle, within -0.5 to 0.5; 0 changes nothing.
    pub shift: [f64; 2],
}

/// One turn of the hue.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Part of the full circle, -0.5 to 0.5; 0 changes nothing.
    pub shift: f32,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 0.0, shift: [-0.1, 0.1] }
    }

    fn reference() -> Self {
        Self { weight: 0.0, shift: [-0.1, 0.1] }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        keys.range("shift", self.shift, [-0.5, 0.5])
    }

    fn draw(&self, _: usize, _: usize, rng: &mut impl Rng) -> Drawn {
        Drawn { shift: between(self.shift, rng) as f32 }
    }
}

impl Apply for Drawn {
    /// Turns the hue, rounded to the nearest levels.
    fn apply(&self, image: &mut Bitmap, _: Border, scratch: &mut Scratch) -> usize {
        colour::change(image, Jitter::Hue(self.shift), scratch);
        0
    }

    fn label(&self) -> String {
        format!("by {:+.0}°", 360.0 * self.shift)
    }
}
