//! Resizing as Pillow does it, bit for bit.
//!
//! Legend: C channels (1 for a grey image, whose three channels are equal, else 3); w, h the source; n the
//! target's width.

use super::RgbImage;
use crate::simd::Level;

/// Resizes to `width` × `height`, bit-exact to Pillow 11's `Image.resize((width, height),
/// Image.Resampling.BILINEAR)` on RGB: triangle filter, widened when shrinking (antialiased); horizontal pass
/// first; weights and sums in 22-bit fixed point; 8 bits between the passes (Pillow's `Resample.c`).
///
/// A source without pixels gives black.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    resize_at(Level::detect(), image, width, height)
}

fn resize_at(level: Level, image: &RgbImage, width: usize, height: usize) -> RgbImage {
    let mut pixels = vec![0; width * height * 3];
    if width > 0 {
        Resizer::default().rows(level, image, 3, [width, height], |y, row| {
            interleave(level, row, &mut pixels[y * width * 3..][..width * 3]);
        });
    }
    RgbImage::new(width, height, pixels)
}

/// Pillow's `PRECISION_BITS`: 32 bits, less 8 for the level, less 2 for sums beyond 1.
const PRECISION: u32 = 32 - 8 - 2;

/// The sources of each position along one axis and their fixed-point weights.
#[derive(Default)]
struct Taps {
    from: usize,
    to: usize,
    /// For each target position: the first source position, and where its weights begin and end.
    spans: Vec<(usize, usize, usize)>,
    weights: Vec<i32>,
}

impl Taps {
    /// Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`; kept from image to image while the sizes
    /// stay.
    fn set(&mut self, from: usize, to: usize) {
        if (self.from, self.to) == (from, to) {
            return;
        }
        (self.from, self.to) = (from, to);
        self.spans.clear();
        self.weights.clear();
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        for position in 0..to {
            let center = (position as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let last = ((center + support + 0.5) as usize).min(from);
            let triangle =
                |source: usize| (1.0 - ((source as f64 - center + 0.5) * (1.0 / support)).abs()).max(0.0);
            let total: f64 = (first..last).map(triangle).sum();
            let begin = self.weights.len();
            self.weights.extend((first..last).map(|source| {
                let weight = if total == 0.0 { 0.0 } else { triangle(source) / total };
                (0.5 + weight * f64::from(1 << PRECISION)) as i32
            }));
            self.spans.push((first, begin, self.weights.len()));
        }
    }

    /// The first source of a target position and the weights from there on.
    fn at(&self, position: usize) -> (usize, &[i32]) {
        let (first, begin, end) = self.spans[position];
        (first, &self.weights[begin..end])
    }
}

/// The two-pass resize with its buffers.
#[derive(Default)]
pub(crate) struct Resizer {
    horizontal: Taps,
    vertical: Taps,
    wide: Vec<[i32; 4]>, // one source row, R G B 0
    middle: Vec<u8>,     // [h, C, n]
    sums: Vec<i32>,      // [C, n]
    row: Vec<u8>,        // [C, n]
}

impl Resizer {
    /// Resizes and hands over the target row by row, each as planes `[channels, width]`. With 1 channel only
    /// R is read.
    pub(crate) fn rows(
        &mut self,
        level: Level,
        image: &RgbImage,
        channels: usize,
        [width, height]: [usize; 2],
        mut take: impl FnMut(usize, &[u8]),
    ) {
        let stride = channels * width;
        self.row.clear();
        self.row.resize(stride, 0);
        if image.width == 0 || image.height == 0 {
            (0..height).for_each(|y| take(y, &self.row));
            return;
        }

        // Horizontal: [h, w, 3] -> [h, C, n]
        self.middle.resize(image.height * stride, 0);
        self.horizontal.set(image.width, width);
        let sources = image.pixels.chunks_exact(image.width * 3);
        for (source, target) in sources.zip(self.middle.chunks_exact_mut(stride)) {
            if image.width == width {
                deinterleave(level, source, target, channels);
            } else {
                self.wide.clear();
                self.wide.extend(source.chunks_exact(3).map(|p| [p[0].into(), p[1].into(), p[2].into(), 0]));
                resize_row(level, &self.wide, &self.horizontal, target, channels);
            }
        }

        // Vertical: [h, C, n] -> [n, C, n], a row at a time
        self.vertical.set(image.height, height);
        self.sums.resize(stride, 0);
        for y in 0..height {
            let (first, weights) = self.vertical.at(y);
            let sources = &self.middle[first * stride..][..weights.len() * stride];
            match weights {
                _ if image.height == height => {
                    take(y, &self.middle[y * stride..][..stride]);
                    continue;
                }
                &[one, two] => {
                    let (a, b) = sources.split_at(stride);
                    weigh_two(level, a, one, b, two, &mut self.row);
                }
                _ => {
                    self.sums.fill(1 << (PRECISION - 1));
                    for (source, &weight) in sources.chunks_exact(stride).zip(weights) {
                        add_weighted(level, source, weight, &mut self.sums);
                    }
                    narrow(level, &self.sums, &mut self.row);
                }
            }
            take(y, &self.row);
        }
    }
}

#[inline(always)]
fn to_level(sum: i32) -> u8 {
    // The weights are not negative and sum to 1 within rounding: only the upper end can be passed, and that
    // by a rounding.
    (sum >> PRECISION).clamp(0, 255) as u8
}

vectorized! {
    fn resize_row(source: &[[i32; 4]], taps: &Taps, target: &mut [u8], channels: usize) {
        let width = target.len() / channels;
        for x in 0..width {
            let (first, weights) = taps.at(x);
            let mut sum = [1i32 << (PRECISION - 1); 4];
            for (pixel, &weight) in source[first..].iter().zip(weights) {
                for c in 0..4 {
                    sum[c] += pixel[c] * weight;
                }
            }
            for c in 0..channels {
                target[c * width + x] = to_level(sum[c]);
            }
        }
    }
}

vectorized! {
    fn weigh_two(a: &[u8], weight_a: i32, b: &[u8], weight_b: i32, target: &mut [u8]) {
        for ((target, &a), &b) in target.iter_mut().zip(a).zip(b) {
            *target = to_level((1 << (PRECISION - 1)) + i32::from(a) * weight_a + i32::from(b) * weight_b);
        }
    }
}

vectorized! {
    fn add_weighted(source: &[u8], weight: i32, sums: &mut [i32]) {
        for (sum, &value) in sums.iter_mut().zip(source) {
            *sum += i32::from(value) * weight;
        }
    }
}

vectorized! {
    fn narrow(sums: &[i32], target: &mut [u8]) {
        for (target, &sum) in target.iter_mut().zip(sums) {
            *target = to_level(sum);
        }
    }
}

vectorized! {
    /// One row of pixels `[n, 3]` to planes `[C, n]`.
    fn deinterleave(pixels: &[u8], planes: &mut [u8], channels: usize) {
        let (red, rest) = planes.split_at_mut(pixels.len() / 3);
        if channels == 1 {
            for (pixel, red) in pixels.chunks_exact(3).zip(red) {
                *red = pixel[0];
            }
        } else {
            let (green, blue) = rest.split_at_mut(pixels.len() / 3);
            for (((pixel, red), green), blue) in pixels.chunks_exact(3).zip(red).zip(green).zip(blue) {
                [*red, *green, *blue] = [pixel[0], pixel[1], pixel[2]];
            }
        }
    }
}

vectorized! {
    /// Planes `[3, n]` to one row of pixels `[n, 3]`.
    fn interleave(planes: &[u8], pixels: &mut [u8]) {
        let (red, rest) = planes.split_at(pixels.len() / 3);
        let (green, blue) = rest.split_at(pixels.len() / 3);
        for (((pixel, &red), &green), &blue) in pixels.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
            pixel.copy_from_slice(&[red, green, blue]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{cases, noise};
    use super::*;

    fn largest_difference(a: &RgbImage, b: &RgbImage) -> u8 {
        assert_eq!((a.width, a.height), (b.width, b.height));
        a.pixels.iter().zip(&b.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    #[test]
    fn resizing_equals_pillow_bit_for_bit() {
        let mut count = 0;
        for case in cases().into_iter().filter(|case| case.only(&["resize"])) {
            for level in Level::available() {
                let ours = resize_at(level, &case.source, case.result.width, case.result.height);
                assert!(
                    ours == case.result,
                    "{}: off by {}",
                    case.describe(),
                    largest_difference(&ours, &case.result)
                );
            }
            count += 1;
        }
        assert!(count >= 8);
    }

    #[test]
    fn one_channel_resizes_as_three_do() {
        let image = noise(37, 51, true);
        let whole = resize(&image, 64, 20);
        Resizer::default().rows(Level::detect(), &image, 1, [64, 20], |y, row| {
            assert!(whole.pixels[y * 64 * 3..][..64 * 3].chunks(3).map(|p| p[0]).eq(row.iter().copied()));
        });
    }
}
