//! Saturation and hue by the arithmetic of the trainer's colour jitter ([`crate::input::jitter`]).

use super::pixels::{deinterleave, interleave, truncated};
use super::scratch::Scratch;
use crate::image::Bitmap;
use crate::input::jitter::{self, Jitter};

/// Changes the colours, rounded to the nearest level; leaves a grey image as it is.
pub(super) fn change(image: &mut Bitmap, operation: Jitter, scratch: &mut Scratch) {
    if image.channels == 1 || operation.is_identity() {
        return;
    }
    let Scratch { level, levels: bytes, planes, .. } = scratch;
    const PIXELS: usize = 1024; // so few that all stays in the first-level cache
    for pixels in image.pixels.chunks_mut(3 * PIXELS) {
        bytes.resize(pixels.len(), 0);
        planes.resize(pixels.len(), 0.0);
        deinterleave(*level, pixels, bytes);
        widen(*level, bytes, planes);
        jitter::apply(*level, operation, 0.0, planes, 3);
        round(*level, planes, bytes);
        interleave(*level, bytes, pixels);
    }
}

vectorized! {
    fn widen(levels: &[u8], wide: &mut [f32]) {
        for (wide, &level) in wide.iter_mut().zip(levels) {
            *wide = f32::from(level);
        }
    }
}

vectorized! {
    fn round(wide: &[f32], levels: &mut [u8]) {
        for (level, &wide) in levels.iter_mut().zip(wide) {
            *level = truncated(wide + 0.5);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SIZES, at, random};
    use super::*;
    use crate::simd::Level;

    #[test]
    fn colors_are_those_of_the_trainer_within_a_rounding() {
        for (w, h) in SIZES.into_iter().chain([(64, 65)]) {
            for operation in
                [Jitter::Saturation(0.4), Jitter::Saturation(1.7), Jitter::Hue(0.2), Jitter::Hue(-0.45)]
            {
                let image = random(w, h, 3);
                let mut ours = image.clone();
                change(&mut ours, operation, &mut Scratch::default());
                let mut planes: Vec<f32> =
                    (0..3).flat_map(|c| image.pixels.iter().skip(c).step_by(3).map(|&v| v.into())).collect();
                jitter::apply(Level::detect(), operation, 0.0, &mut planes, 3);
                for (i, &level) in ours.pixels.iter().enumerate() {
                    assert!((f32::from(level) - planes[i % 3 * w * h + i / 3]).abs() <= 0.5, "{operation:?}");
                }
            }
        }
    }

    #[test]
    fn grey_keeps_its_color() {
        let mut scratch = at(Level::detect());
        let mut grey = Bitmap::new(256, 1, 1, (0..=255).collect());
        let mut equal = Bitmap::new(256, 1, 3, (0..=255).flat_map(|level| [level; 3]).collect());
        let before = (grey.clone(), equal.clone());
        for strength in [0.3, 0.5, 1.6] {
            for operation in [Jitter::Saturation(strength), Jitter::Hue(strength)] {
                change(&mut grey, operation, &mut scratch);
                change(&mut equal, operation, &mut scratch);
            }
        }
        assert!((grey, equal) == before);
    }
}
