//! Saturation, as the trainer's colour jitter changes it.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::colour;
use super::operation::{Apply, Configured, Keys, between};
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;
use crate::input::jitter::Jitter;

/// The table `[operations.saturation]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Least and greatest factor, within 0 to 10; 1 changes nothing.
    pub factor: [f64; 2],
}

/// A change of saturation as it was drawn for one copy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// 1 changes nothing; 0 makes the image grey.
    pub factor: f32,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 0.0, factor: [0.8, 1.2] }
    }

    fn reference() -> Self {
        Self { weight: 0.0, factor: [0.8, 1.2] }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        keys.range("factor", self.factor, [0.0, 10.0])
    }

    fn draw(&self, _: usize, _: usize, rng: &mut impl Rng) -> Drawn {
        Drawn { factor: between(self.factor, rng) as f32 }
    }
}

impl Apply for Drawn {
    /// Moves all levels away from their pixel's own L (factor > 1) or towards it (< 1), rounded.
    fn apply(&self, image: &mut Bitmap, _: Border, scratch: &mut Scratch) -> usize {
        colour::change(image, Jitter::Saturation(self.factor), scratch);
        0
    }

    fn label(&self) -> String {
        format!("factor {:.2}", self.factor)
    }
}
