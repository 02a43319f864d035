//! Brightness: all levels times a factor, as Pillow's `ImageEnhance.Brightness`.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::operation::{Apply, Configured, Keys, between};
use super::pixels::blend_with;
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;

/// The table `[operations.brightness]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Least and greatest factor, within 0 to 10; 1 changes nothing.
    pub factor: [f64; 2],
}

/// A change of brightness as it was drawn for one copy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// 1 changes nothing.
    pub factor: f64,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 1.0, factor: [0.8, 1.2] }
    }

    fn reference() -> Self {
        Self { weight: 1.0, factor: [0.7, 1.3] }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        keys.range("factor", self.factor, [0.0, 10.0])
    }

    fn draw(&self, _: usize, _: usize, rng: &mut impl Rng) -> Drawn {
        Drawn { factor: between(self.factor, rng) }
    }
}

impl Apply for Drawn {
    /// Multiplies every level, truncated and clipped at 255.
    fn apply(&self, image: &mut Bitmap, _: Border, scratch: &mut Scratch) -> usize {
        blend_with(scratch.level, &mut image.pixels, 0, self.factor as f32);
        0
    }

    fn label(&self) -> String {
        format!("factor {:.2}", self.factor)
    }
}
