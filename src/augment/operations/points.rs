//! What changes each pixel by itself, and the flip.

use super::{Scratch, blended, deinterleave, interleave, truncated};
use crate::image::Bitmap;
use crate::input::jitter::{self, Jitter};
use crate::simd::Level;

/// Makes all levels `factor` times as bright, as Pillow's `ImageEnhance.Brightness` does: truncated, clipped
/// at 255. 1 changes nothing.
pub fn brightness(image: &mut Bitmap, factor: f64) {
    brightness_at(Level::detect(), image, factor);
}

pub(super) fn brightness_at(level: Level, image: &mut Bitmap, factor: f64) {
    blend_with(level, &mut image.pixels, 0, factor as f32);
}

/// Moves all levels away from the image's mean L (`factor` > 1) or towards it (< 1), as Pillow's
/// `ImageEnhance.Contrast` does. 1 changes nothing.
pub fn contrast(image: &mut Bitmap, factor: f64) {
    contrast_at(Level::detect(), image, factor);
}

pub(super) fn contrast_at(level: Level, image: &mut Bitmap, factor: f64) {
    let pixels = image.width * image.height;
    if pixels == 0 {
        return;
    }
    let sum = if image.channels == 1 { sum(level, &image.pixels) } else { sum_luma(level, &image.pixels) };
    let mean = (sum as f64 / pixels as f64 + 0.5) as u8;
    blend_with(level, &mut image.pixels, mean, factor as f32);
}

/// Mirrors left to right.
pub fn flip(image: &mut Bitmap) {
    flip_at(Level::detect(), image);
}

pub(super) fn flip_at(level: Level, image: &mut Bitmap) {
    if image.pixels.is_empty() {
        return;
    }
    let stride = image.stride();
    for row in image.pixels.chunks_exact_mut(stride) {
        if image.channels == 1 {
            reverse(level, row);
        } else {
            reverse_pixels(level, row);
        }
    }
}

/// Moves all levels away from their pixel's own L (`factor` > 1) or towards it (< 1), rounded to the nearest;
/// `0.0` makes the image grey, `1.0` changes nothing. Factor ≥ 0.
pub fn saturation(image: &mut Bitmap, factor: f32, scratch: &mut Scratch) {
    change_colors(image, Jitter::Saturation(factor), scratch);
}

/// Turns the hue by this part of the full circle, -0.5 to 0.5, rounded to the nearest levels. 0 changes
/// nothing.
pub fn hue(image: &mut Bitmap, shift: f32, scratch: &mut Scratch) {
    change_colors(image, Jitter::Hue(shift), scratch);
}

fn change_colors(image: &mut Bitmap, operation: Jitter, scratch: &mut Scratch) {
    if image.channels == 1 || operation.is_identity() {
        return;
    }
    let Scratch { level, bytes, planes, .. } = scratch;
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
    fn blend_with(levels: &mut [u8], other: u8, factor: f32) {
        for level in levels {
            *level = blended(*level, other, factor);
        }
    }
}

vectorized! {
    fn sum(levels: &[u8]) -> u64 {
        // A part's sum fits into 32 bits.
        levels.chunks(1 << 16).map(|part| u64::from(part.iter().map(|&level| u32::from(level)).sum::<u32>())).sum()
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
    use super::super::tests::{SIZES, at, random};
    use super::*;

    #[test]
    fn flipping_mirrors_and_twice_is_nothing() {
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

    #[test]
    fn the_mean_of_a_large_image_does_not_overflow() {
        for channels in [1, 3] {
            let mut image = Bitmap::new(8192, 8192, channels, vec![255; 8192 * 8192 * channels]);
            contrast(&mut image, 0.5);
            assert!(image.pixels.iter().all(|&level| level == 255));
        }
    }

    #[test]
    fn colors_are_those_of_the_trainer_within_a_rounding() {
        for (w, h) in SIZES.into_iter().chain([(64, 65)]) {
            for operation in
                [Jitter::Saturation(0.4), Jitter::Saturation(1.7), Jitter::Hue(0.2), Jitter::Hue(-0.45)]
            {
                let image = random(w, h, 3);
                let mut ours = image.clone();
                change_colors(&mut ours, operation, &mut Scratch::default());
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
            saturation(&mut grey, strength, &mut scratch);
            saturation(&mut equal, strength, &mut scratch);
            hue(&mut grey, strength, &mut scratch);
            hue(&mut equal, strength, &mut scratch);
        }
        assert!((grey, equal) == before);
    }
}
