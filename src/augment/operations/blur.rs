//! Gaussian blur with small square kernels, as OpenCV's `GaussianBlur`.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::border::{Border, reflect};
use super::operation::{Apply, Configured, Keys};
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;

/// The table `[operations.blur]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Sides of the kernel to draw from: 3, 5, 7.
    pub kernels: Vec<usize>,
    /// An image whose shorter side is at most this long, in pixels, takes one of `small_kernels`.
    pub small_side: usize,
    /// Sides of the kernel for small images.
    pub small_kernels: Vec<usize>,
}

/// A blur as it was drawn for one copy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Side of the square kernel in pixels: 3, 5 or 7; any other stands for the next of these.
    pub kernel: usize,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 1.0, kernels: vec![3, 5, 7], small_side: 64, small_kernels: vec![3] }
    }

    fn reference() -> Self {
        Self { weight: 1.0, kernels: vec![3, 5, 7], small_side: 0, small_kernels: vec![3] }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        for (key, kernels) in [("kernels", &self.kernels), ("small_kernels", &self.small_kernels)] {
            if kernels.is_empty() || kernels.iter().any(|kernel| ![3, 5, 7].contains(kernel)) {
                return keys.wrong(key, format_args!("{kernels:?}"), "one or more of 3, 5, 7");
            }
        }
        Ok(())
    }

    fn draw(&self, width: usize, height: usize, rng: &mut impl Rng) -> Drawn {
        let is_small = width.min(height) <= self.small_side;
        let kernels = if is_small { &self.small_kernels } else { &self.kernels };
        Drawn { kernel: kernels[rng.random_range(0..kernels.len())] }
    }
}

impl Apply for Drawn {
    /// `GaussianBlur(image, (kernel, kernel), 0)`, for which OpenCV has fixed kernels at these sizes;
    /// reflect-101 at the border, whatever the profile's.
    fn apply(&self, image: &mut Bitmap, _: Border, scratch: &mut Scratch) -> usize {
        if image.pixels.is_empty() {
            return 0;
        }
        let taps = if self.kernel <= 3 {
            3
        } else if self.kernel <= 5 {
            5
        } else {
            7
        };
        let Scratch { level, target, sums, padded, .. } = scratch;
        let (channels, stride, radius) = (image.channels, image.stride(), taps / 2);
        target.take_shape_of(image);
        sums.resize(KEPT * stride, 0);
        padded.resize((image.width + 2 * radius) * channels, 0);

        let mut ready = 0; // rows that are weighed along x; the last of them are kept
        for (y, row) in target.pixels.chunks_exact_mut(stride).enumerate() {
            while ready < image.height.min(y + radius + 1) {
                pad(&image.pixels[ready * stride..][..stride], image.width, channels, radius, padded);
                weigh_row(*level, taps, padded, &mut sums[ready % KEPT * stride..][..stride], channels);
                ready += 1;
            }
            let mut rows: [&[u16]; 7] = [&[]; 7];
            for (tap, weighed) in rows[..taps].iter_mut().enumerate() {
                let source = reflect((y + tap) as i64 - radius as i64, image.height);
                *weighed = &sums[source % KEPT * stride..][..stride];
            }
            weigh_rows(*level, &rows[..taps], row);
        }
        std::mem::swap(image, target);
        0
    }

    fn label(&self) -> String {
        format!("{0}×{0} kernel", self.kernel)
    }
}

/// Weighed rows that are kept: at least as many as the longest kernel has taps.
const KEPT: usize = 8;

/// Copies a row and puts `radius` pixels before and behind it, mirrored.
fn pad(row: &[u8], width: usize, channels: usize, radius: usize, padded: &mut [u8]) {
    padded[radius * channels..][..row.len()].copy_from_slice(row);
    for i in 0..radius {
        for to in [i, radius + width + i] {
            let from = reflect(to as i64 - radius as i64, width);
            padded[to * channels..][..channels].copy_from_slice(&row[from * channels..][..channels]);
        }
    }
}

// OpenCV's kernels are these, scaled to a sum of 256 (`smooth.dispatch.cpp`,
// `getGaussianKernelFixedPoint_ED`). It rounds only once, at the end, so that the common factor may go; what
// is left fits into 16 bits, but for the last sum of seven.
const THREE: [u16; 2] = [2, 1]; // the middle, then outwards; over 4
const FIVE: [u16; 3] = [6, 4, 1]; // over 16
const SEVEN: [u16; 4] = [18, 14, 7, 2]; // over 64

vectorized! {
    /// The weighted sums along a padded row.
    fn weigh_row(taps: usize, padded: &[u8], sums: &mut [u16], channels: usize) {
        let n = sums.len();
        let tap = |tap: usize| &padded[tap * channels..][..n];
        // Not as arrays of slices, of which the compiler would not see that all have n elements.
        let (a, b, c) = (tap(0), tap(1), tap(2));
        if taps == 3 {
            for i in 0..n {
                sums[i] = [(b[i], 0), (a[i], c[i])].weighed(THREE);
            }
            return;
        }
        let (d, e) = (tap(3), tap(4));
        if taps == 5 {
            for i in 0..n {
                sums[i] = [(c[i], 0), (b[i], d[i]), (a[i], e[i])].weighed(FIVE);
            }
            return;
        }
        let (f, g) = (tap(5), tap(6));
        for i in 0..n {
            sums[i] = [(d[i], 0), (c[i], e[i]), (b[i], f[i]), (a[i], g[i])].weighed(SEVEN);
        }
    }
}

vectorized! {
    /// The weighted sums across rows of sums, rounded half up.
    fn weigh_rows(rows: &[&[u16]], target: &mut [u8]) {
        match *rows {
            [a, b, c] => {
                for (level, ((&a, &b), &c)) in target.iter_mut().zip(a.iter().zip(b).zip(c)) {
                    *level = (([(b, 0), (a, c)].weighed(THREE) + (1 << 3)) >> 4) as u8;
                }
            }
            [a, b, c, d, e] => {
                let sums = a.iter().zip(b).zip(c).zip(d).zip(e);
                for (level, ((((&a, &b), &c), &d), &e)) in target.iter_mut().zip(sums) {
                    *level = (([(c, 0), (b, d), (a, e)].weighed(FIVE) + (1 << 7)) >> 8) as u8;
                }
            }
            [a, b, c, d, e, f, g] => {
                let sums = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f).zip(g);
                for (level, ((((((&a, &b), &c), &d), &e), &f), &g)) in target.iter_mut().zip(sums) {
                    // A pair has 15 bits.
                    let pairs = [d, c + e, b + f, a + g].map(|pair| i32::from(pair as i16));
                    let weighted = pairs.into_iter().zip(SEVEN);
                    let products = weighted.map(|(pair, weight)| pair * i32::from(weight));
                    let sum: i32 = products.sum();
                    *level = ((sum + (1 << 11)) >> 12) as u8;
                }
            }
            _ => {}
        }
    }
}

/// Pairs of levels or sums at the same distance, from the middle outwards.
trait Weighed<const PAIRS: usize> {
    fn weighed(self, weights: [u16; PAIRS]) -> u16;
}

impl<T: Into<u16> + Copy, const PAIRS: usize> Weighed<PAIRS> for [(T, T); PAIRS] {
    #[inline(always)]
    fn weighed(self, weights: [u16; PAIRS]) -> u16 {
        let mut sum = 0;
        for ((a, b), weight) in self.into_iter().zip(weights) {
            sum += (a.into() + b.into()) * weight;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SIZES, random};
    use super::*;

    /// The blur from its definition: OpenCV's kernel over 256, all in one sum.
    fn blurred(image: &Bitmap, kernel: &[u64]) -> Bitmap {
        let Bitmap { width: w, height: h, channels, .. } = *image;
        let radius = kernel.len() as i64 / 2;
        let mut result = image.clone();
        for (i, level) in result.pixels.iter_mut().enumerate() {
            let (x, y) = (i / channels % w, i / channels / w);
            let mut sum = 1 << 15;
            for (dy, a) in (-radius..).zip(kernel) {
                for (dx, b) in (-radius..).zip(kernel) {
                    let (x, y) = (reflect(x as i64 + dx, w), reflect(y as i64 + dy, h));
                    sum += a * b * u64::from(image.pixels[(y * w + x) * channels + i % channels]);
                }
            }
            *level = (sum >> 16) as u8;
        }
        result
    }

    #[test]
    fn the_blur_is_its_definition_at_any_size() {
        let kernels: [&[u64]; 3] = [&[64, 128, 64], &[16, 64, 96, 64, 16], &[8, 28, 56, 72, 56, 28, 8]];
        let mut scratch = Scratch::default();
        for (w, h) in SIZES {
            for channels in [1, 3] {
                let white = Bitmap::new(w, h, channels, vec![255; w * h * channels]);
                for kernel in kernels {
                    for image in [random(w, h, channels), white.clone()] {
                        let mut ours = image.clone();
                        Drawn { kernel: kernel.len() }.apply(&mut ours, Border::Black, &mut scratch);
                        assert!(ours == blurred(&image, kernel), "{image:?}, {}", kernel.len());
                    }
                }
            }
        }
    }
}
