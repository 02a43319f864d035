//! A fingerprint of an image: a perceptual hash, and a small grey image of its fine detail.

use crate::image::RgbImage;

/// What is kept of an image for comparison with others.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint {
    /// The perceptual hash: one bit per low frequency.
    pub hash: u64,
    /// The perceptual hash of the mirrored image.
    pub mirrored: u64,
    /// The small grey image, high-pass filtered, `[SIDE, SIDE]`, scaled to a fixed standard deviation. Empty
    /// for an image without detail, which is compared with nothing.
    pub(super) detail: Box<[i8]>,
}

/// Pixels per side of the small grey images.
pub(super) const SIDE: usize = 24;
pub(super) const PIXELS: usize = SIDE * SIDE;

/// Pixels per side of the image that is hashed, and frequencies per side in the hash (Zauner 2010, pHash).
const HASH_SIDE: usize = 32;
const FREQUENCIES: usize = 8;

/// Standard deviation of the detail, in grey levels, below which it is rounding and noise.
const LEAST_DETAIL: f32 = 1.5;

impl Fingerprint {
    /// The fingerprint of an image, in one pass over its pixels.
    pub fn of(image: &RgbImage) -> Self {
        let grey = grey(image);
        let (width, height) = (image.width, image.height);
        let coefficients = frequencies(&shrink(&grey, width, height, HASH_SIDE));
        // A mirrored image has the same frequencies, every other one across with the opposite sign.
        let mut mirrored = coefficients;
        mirrored
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| at % FREQUENCIES % 2 == 1)
            .for_each(|(_, value)| *value = -*value);
        let detail = detail(&shrink(&grey, width, height, SIDE));
        Self { hash: bits(&coefficients), mirrored: bits(&mirrored), detail }
    }

    /// Whether the image has detail to compare.
    pub fn has_detail(&self) -> bool {
        !self.detail.is_empty()
    }

    /// The fingerprint of the mirrored image.
    pub(super) fn mirror(&self) -> Self {
        let detail = self.detail.chunks_exact(SIDE).flat_map(|row| row.iter().rev()).copied().collect();
        Self { hash: self.mirrored, mirrored: self.hash, detail }
    }
}

/// ITU-R 601 luma, as Pillow's convert("L").
fn grey(image: &RgbImage) -> Vec<u8> {
    let luma = |p: &[u8]| {
        ((u32::from(p[0]) * 19595 + u32::from(p[1]) * 38470 + u32::from(p[2]) * 7471 + 0x8000) >> 16) as u8
    };
    image.pixels.chunks_exact(3).map(luma).collect()
}

/// The mean grey levels of `side × side` equal areas, `[side, side]`: pixels on a border count by the share
/// that lies within.
fn shrink(grey: &[u8], width: usize, height: usize, side: usize) -> Vec<f32> {
    if width == 0 || height == 0 {
        return vec![0.0; side * side];
    }
    let columns: Vec<Vec<(usize, f32)>> = (0..side).map(|at| shares(at, side, width)).collect();
    let mut out = Vec::with_capacity(side * side);
    let mut sums = vec![0.0f32; width];
    for y in 0..side {
        sums.fill(0.0);
        for (row, share) in shares(y, side, height) {
            let row = &grey[row * width..(row + 1) * width];
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += share * f32::from(value));
        }
        out.extend(
            columns.iter().map(|column| column.iter().map(|&(x, share)| share * sums[x]).sum::<f32>()),
        );
    }
    out
}

/// Which of `length` pixels lie in part `at` of `side`, and with which share of it.
fn shares(at: usize, side: usize, length: usize) -> Vec<(usize, f32)> {
    let (low, high) = (at * length, (at + 1) * length); // in units of 1 / side of a pixel
    (low / side..high.div_ceil(side))
        .map(|pixel| {
            let inside = high.min((pixel + 1) * side) - low.max(pixel * side);
            (pixel, inside as f32 / length as f32)
        })
        .collect()
}

/// The lowest frequencies of the discrete cosine transform (type II), `[FREQUENCIES, FREQUENCIES]`.
fn frequencies(small: &[f32]) -> [f32; FREQUENCIES * FREQUENCIES] {
    let wave = |frequency: usize, at: usize| {
        (std::f32::consts::PI * frequency as f32 * (2 * at + 1) as f32 / (2 * HASH_SIDE) as f32).cos()
    };
    let waves: [[f32; HASH_SIDE]; FREQUENCIES] =
        std::array::from_fn(|k| std::array::from_fn(|at| wave(k, at)));
    let along =
        |values: &[f32; HASH_SIDE], k: usize| values.iter().zip(&waves[k]).map(|(v, w)| v * w).sum::<f32>();
    let mut rows = [[0.0; HASH_SIDE]; FREQUENCIES]; // [frequency across, row]
    for (y, row) in small.as_chunks::<HASH_SIDE>().0.iter().enumerate() {
        (0..FREQUENCIES).for_each(|k| rows[k][y] = along(row, k));
    }
    std::array::from_fn(|at| along(&rows[at % FREQUENCIES], at / FREQUENCIES))
}

/// One bit per frequency: whether it is above the median of all but the mean brightness, which carries no
/// information.
fn bits(coefficients: &[f32; FREQUENCIES * FREQUENCIES]) -> u64 {
    let mut sorted = coefficients[1..].to_vec();
    sorted.sort_by(f32::total_cmp);
    let median = sorted[sorted.len() / 2];
    coefficients.iter().enumerate().skip(1).map(|(at, value)| u64::from(*value > median) << at).sum()
}

/// The small image minus its blurred version, scaled to a standard deviation of 32; empty where there is no
/// detail.
fn detail(small: &[f32]) -> Box<[i8]> {
    let blurred = blur(small);
    let mut high: Vec<f32> = small.iter().zip(&blurred).map(|(value, blurred)| value - blurred).collect();
    let mean = high.iter().sum::<f32>() / PIXELS as f32;
    high.iter_mut().for_each(|value| *value -= mean);
    let deviation = (high.iter().map(|value| value * value).sum::<f32>() / PIXELS as f32).sqrt();
    if deviation < LEAST_DETAIL {
        return Box::default();
    }
    high.iter().map(|value| (value / deviation * 32.0).round().clamp(-127.0, 127.0) as i8).collect()
}

/// A Gaussian of standard deviation 2, with the border repeated.
fn blur(values: &[f32]) -> Vec<f32> {
    const REACH: isize = 6;
    let weight = |at: isize| (-(at * at) as f32 / 8.0).exp();
    let total: f32 = (-REACH..=REACH).map(weight).sum();
    let pass = |values: &[f32], step: usize, across: bool| -> Vec<f32> {
        let at = |index: usize, by: isize| {
            let place = if across { index % SIDE } else { index / SIDE } as isize;
            let there = (place + by).clamp(0, SIDE as isize - 1);
            values[(index as isize + (there - place) * step as isize) as usize]
        };
        (0..PIXELS).map(|index| (-REACH..=REACH).map(|by| weight(by) / total * at(index, by)).sum()).collect()
    };
    pass(&pass(values, 1, true), SIDE, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_averaged_exactly() {
        let grey: Vec<u8> = (0..6).map(|at| at * 10).collect(); // 3 × 2
        let found = shrink(&grey, 3, 2, 2);
        let expected = [
            (0.0 + 0.5 * 10.0) / 1.5,
            (0.5 * 10.0 + 20.0) / 1.5,
            (30.0 + 0.5 * 40.0) / 1.5,
            (0.5 * 40.0 + 50.0) / 1.5,
        ];
        found
            .iter()
            .zip(expected)
            .for_each(|(found, expected)| assert!((found - expected).abs() < 1e-4, "{found} {expected}"));
    }
}
