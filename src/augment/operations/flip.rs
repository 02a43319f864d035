//! Mirroring left to right.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::operation::{Apply, Configured, Keys};
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;
use crate::simd::Level;

/// The table `[operations.flip]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
}

/// One mirroring; it has no parameters.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 2.0 }
    }

    fn reference() -> Self {
        Self { weight: 2.0 }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, _: Keys) -> Result<()> {
        Ok(())
    }

    fn draw(&self, _: usize, _: usize, _: &mut impl Rng) -> Drawn {
        Drawn {}
    }
}

impl Apply for Drawn {
    const IS_GEOMETRIC: bool = true;

    fn apply(&self, image: &mut Bitmap, _: Border, scratch: &mut Scratch) -> usize {
        if image.pixels.is_empty() {
            return 0;
        }
        let stride = image.stride();
        for row in image.pixels.chunks_exact_mut(stride) {
            if image.channels == 1 {
                reverse(scratch.level, row);
            } else {
                reverse_pixels(scratch.level, row);
            }
        }
        0
    }

    fn label(&self) -> String {
        "left to right".into()
    }
}

vectorized! {
    fn reverse(row: &mut [u8]) {
        row.reverse();
    }
}

fn reverse_pixels(level: Level, row: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if level.avx2() {
        // SAFETY: `Level` says AVX2 only where the processor reported it.
        return unsafe { reverse_fives(row) };
    }
    let _ = level;
    row.as_chunks_mut::<3>().0.reverse();
}

/// Exchanges five pixels at either end, and so on to the middle. A vector has a byte more, which stays where
/// it is.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn reverse_fives(row: &mut [u8]) {
    use std::arch::x86_64::*;
    // What the left end gets of the 16 bytes that end with the right five pixels, and the right end of those
    // that begin with the left five; of its own it keeps the last byte and the first.
    let to_left = _mm_setr_epi8(13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, -1);
    let to_right = _mm_setr_epi8(-1, 12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2);
    let last = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1);
    let first = _mm_setr_epi8(-1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    let n = row.len();
    let blocks = n.saturating_sub(2) / 30; // as long as the two vectors do not overlap
    let ends = |row: &mut [u8], block: usize| -> (*mut __m128i, *mut __m128i) {
        let (left, right) = row.split_at_mut(n - 16 - 15 * block);
        (left[15 * block..][..16].as_mut_ptr().cast(), right[..16].as_mut_ptr().cast())
    };
    // SAFETY: each place has 16 bytes; loads and stores ask for no alignment.
    let load = |(left, right): (*mut __m128i, *mut __m128i)| unsafe {
        (_mm_loadu_si128(left), _mm_loadu_si128(right))
    };
    if blocks > 0 {
        let mut pixels = load(ends(row, 0));
        for block in 0..blocks {
            let (a, b) = pixels;
            // Loaded before the store that it overlaps by a byte, which it would have to wait for.
            pixels = load(ends(row, (block + 1).min(blocks - 1)));
            let (left, right) = ends(row, block);
            // SAFETY: as above.
            unsafe {
                _mm_storeu_si128(left, _mm_or_si128(_mm_shuffle_epi8(b, to_left), _mm_and_si128(a, last)));
                _mm_storeu_si128(right, _mm_or_si128(_mm_shuffle_epi8(a, to_right), _mm_and_si128(b, first)));
            }
        }
    }
    row[15 * blocks..n - 15 * blocks].as_chunks_mut::<3>().0.reverse();
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SIZES, random};
    use super::*;

    #[test]
    fn flipping_mirrors_and_flipping_twice_restores_the_image() {
        let flip = |image: &mut Bitmap| Drawn {}.apply(image, Border::Black, &mut Scratch::default());
        for (w, h) in SIZES {
            for channels in [1, 3] {
                let image = random(w, h, channels);
                let mut flipped = image.clone();
                flip(&mut flipped);
                for (place, pixel) in flipped.pixels.chunks(channels).enumerate() {
                    let from = (place / w * w + w - 1 - place % w) * channels;
                    assert_eq!(pixel, &image.pixels[from..from + channels], "{image:?}");
                }
                flip(&mut flipped);
                assert!(flipped == image);
            }
        }
    }
}
