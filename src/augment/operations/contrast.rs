//! Contrast about the image's mean brightness, as Pillow's `ImageEnhance.Contrast`.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::operation::{Apply, Configured, Keys, between};
use super::pixels::blend_with;
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;

/// The table `[operations.contrast]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Least and greatest factor, within 0 to 10; 1 changes nothing.
    pub factor: [f64; 2],
}

/// A change of contrast as it was drawn for one copy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// 1 changes nothing; 0 leaves even grey.
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
    /// Moves all levels away from the image's mean L (factor > 1) or towards it (< 1).
    fn apply(&self, image: &mut Bitmap, _: Border, scratch: &mut Scratch) -> usize {
        let (pixels, level) = (image.width * image.height, scratch.level);
        if pixels == 0 {
            return 0;
        }
        let sum =
            if image.channels == 1 { sum(level, &image.pixels) } else { sum_luma(level, &image.pixels) };
        let mean = (sum as f64 / pixels as f64 + 0.5) as u8;
        blend_with(level, &mut image.pixels, mean, self.factor as f32);
        0
    }

    fn label(&self) -> String {
        format!("factor {:.2}", self.factor)
    }
}

vectorized! {
    fn sum(levels: &[u8]) -> u64 {
        // A part's sum fits into 32 bits.
        let sum = |part: &[u8]| u64::from(part.iter().map(|&level| u32::from(level)).sum::<u32>());
        levels.chunks(1 << 16).map(sum).sum()
    }
}

vectorized! {
    /// The sum over pixels R G B of Pillow's L, each rounded to 8 bits (`Convert.c`).
    fn sum_luma(levels: &[u8]) -> u64 {
        let luma = |&[red, green, blue]: &[u8; 3]| {
            (u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16
        };
        let pixels = levels.as_chunks::<3>().0;
        pixels.chunks(1 << 16).map(|part| u64::from(part.iter().map(luma).sum::<u32>())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_a_large_image_does_not_overflow() {
        for channels in [1, 3] {
            let mut image = Bitmap::new(8192, 8192, channels, vec![255; 8192 * 8192 * channels]);
            Drawn { factor: 0.5 }.apply(&mut image, Border::Black, &mut Scratch::default());
            assert!(image.pixels.iter().all(|&level| level == 255));
        }
    }
}
