//! Sharpness, as Pillow's `ImageEnhance.Sharpness`: blending with a smoothed image.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::operation::{Apply, Configured, Keys, between};
use super::pixels::blended;
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;

/// The table `[operations.sharpness]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Least and greatest factor, within 0 to 10; 1 changes nothing.
    pub factor: [f64; 2],
}

/// A change of sharpness as it was drawn for one copy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// 1 changes nothing; 0 leaves the smoothed image.
    pub factor: f64,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 1.0, factor: [0.8, 1.4] }
    }

    fn reference() -> Self {
        Self { weight: 1.0, factor: [0.7, 1.5] }
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
    /// Sharpens (factor > 1) or softens (< 1): blends with the image smoothed by `ImageFilter.SMOOTH`. The
    /// outermost pixels keep their levels, and so does an image narrower or lower than 3 pixels.
    fn apply(&self, image: &mut Bitmap, _: Border, scratch: &mut Scratch) -> usize {
        let (channels, stride) = (image.channels, image.stride());
        if image.width < 3 || image.height < 3 || self.factor as f32 == 1.0 {
            return 0;
        }
        let Scratch { level, target, sums, .. } = scratch;
        target.take_shape_of(image);
        // A pixel more at either end, so that the frame needs no loop of its own.
        sums.resize(stride + 2 * channels, 0);
        let last = image.height - 1;
        for (y, row) in target.pixels.chunks_exact_mut(stride).enumerate() {
            let here = &image.pixels[y * stride..][..stride];
            if y == 0 || y == last {
                row.copy_from_slice(here);
                continue;
            }
            let [above, below] = [y - 1, y + 1].map(|y| &image.pixels[y * stride..][..stride]);
            add_rows(*level, above, here, below, &mut sums[channels..]);
            sharpen(*level, sums, here, row, channels, self.factor as f32);
            row[..channels].copy_from_slice(&here[..channels]);
            row[stride - channels..].copy_from_slice(&here[stride - channels..]);
        }
        std::mem::swap(image, target);
        0
    }

    fn label(&self) -> String {
        format!("factor {:.2}", self.factor)
    }
}

vectorized! {
    fn add_rows(above: &[u8], here: &[u8], below: &[u8], sums: &mut [u16]) {
        for (((sum, &above), &here), &below) in sums.iter_mut().zip(above).zip(here).zip(below) {
            *sum = u16::from(above) + u16::from(here) + u16::from(below);
        }
    }
}

vectorized! {
    /// Blends with the smooth image: from the sums of three rows, eight neighbours and five times the centre,
    /// over 13, rounded.
    fn sharpen(sums: &[u16], here: &[u8], target: &mut [u8], channels: usize, factor: f32) {
        let sums = sums.iter().zip(&sums[channels..]).zip(&sums[2 * channels..]);
        for ((target, &here), ((left, middle), right)) in target.iter_mut().zip(here).zip(sums) {
            let sum = left + middle + right + 4 * u16::from(here);
            *target = blended(here, ((sum + 6) / 13) as u8, factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::random;
    use super::*;

    #[test]
    fn sharpness_leaves_the_frame_and_even_areas() {
        let sharpen = |image: &mut Bitmap| {
            Drawn { factor: 2.0 }.apply(image, Border::Black, &mut Scratch::default());
        };
        let mut image = random(17, 33, 3);
        let before = image.clone();
        sharpen(&mut image);
        let frame = |i: &usize| [0, 16].contains(&(i / 3 % 17)) || [0, 32].contains(&(i / 3 / 17));
        assert!((0..image.pixels.len()).filter(frame).all(|i| image.pixels[i] == before.pixels[i]));
        assert!(image != before);
        let mut even = Bitmap::new(9, 9, 1, vec![77; 81]);
        sharpen(&mut even);
        assert!(even.pixels.iter().all(|&level| level == 77));
    }
}
