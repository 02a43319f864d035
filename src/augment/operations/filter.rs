//! Sharpness and blur: what looks at a pixel's neighbours.

use super::{Scratch, blended, reflect};
use crate::image::Bitmap;

#[derive(Default)]
pub(super) struct Buffers {
    sums: Vec<u16>,  // rows [w * C]
    padded: Vec<u8>, // one row with what lies beyond its ends
}

/// Sharpens (`factor` > 1) or softens (< 1), as Pillow's `ImageEnhance.Sharpness` does: blends with the image
/// smoothed by `ImageFilter.SMOOTH`. The outermost pixels keep their levels, and so does an image narrower or
/// lower than 3 pixels.
pub fn sharpness(image: &mut Bitmap, factor: f64, scratch: &mut Scratch) {
    let (channels, stride) = (image.channels, image.stride());
    if image.width < 3 || image.height < 3 || factor as f32 == 1.0 {
        return;
    }
    let Scratch { level, target, filter: Buffers { sums, .. }, .. } = scratch;
    target.take_shape_of(image);
    sums.resize(stride + 2 * channels, 0); // a pixel more at either end, so that the frame needs no loop of its own
    let last = image.height - 1;
    for (y, row) in target.pixels.chunks_exact_mut(stride).enumerate() {
        let here = &image.pixels[y * stride..][..stride];
        if y == 0 || y == last {
            row.copy_from_slice(here);
            continue;
        }
        let [above, below] = [y - 1, y + 1].map(|y| &image.pixels[y * stride..][..stride]);
        add_rows(*level, above, here, below, &mut sums[channels..]);
        sharpen(*level, sums, here, row, channels, factor as f32);
        row[..channels].copy_from_slice(&here[..channels]);
        row[stride - channels..].copy_from_slice(&here[stride - channels..]);
    }
    std::mem::swap(image, target);
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

/// Gaussian blur with a square kernel of `kernel` pixels a side: 3, 5 or 7; any other is taken for the next
/// of these. As OpenCV's `GaussianBlur(image, (kernel, kernel), 0)`, which has fixed kernels for these sizes;
/// reflect-101 at the border.
pub fn blur(image: &mut Bitmap, kernel: usize, scratch: &mut Scratch) {
    if image.pixels.is_empty() {
        return;
    }
    let taps = if kernel <= 3 {
        3
    } else if kernel <= 5 {
        5
    } else {
        7
    };
    let Scratch { level, target, filter: Buffers { sums, padded }, .. } = scratch;
    let (channels, stride, radius) = (image.channels, image.stride(), taps / 2);
    target.take_shape_of(image);
    sums.resize(KEPT * stride, 0);
    padded.resize((image.width + 2 * radius) * channels, 0);

    const KEPT: usize = 8; // at least the taps
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
}

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
                    let sum: i32 = pairs.into_iter().zip(SEVEN).map(|(pair, weight)| pair * i32::from(weight)).sum();
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
    use super::super::tests::{SIZES, random};
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
                        blur(&mut ours, kernel.len(), &mut scratch);
                        assert!(ours == blurred(&image, kernel), "{image:?}, {}", kernel.len());
                    }
                }
            }
        }
    }

    #[test]
    fn sharpness_leaves_the_frame_and_even_areas() {
        let mut image = random(17, 33, 3);
        let before = image.clone();
        sharpness(&mut image, 2.0, &mut Scratch::default());
        let frame = |i: &usize| [0, 16].contains(&(i / 3 % 17)) || [0, 32].contains(&(i / 3 / 17));
        assert!((0..image.pixels.len()).filter(frame).all(|i| image.pixels[i] == before.pixels[i]));
        assert!(image != before);
        let mut even = Bitmap::new(9, 9, 1, vec![77; 81]);
        sharpness(&mut even, 2.0, &mut Scratch::default());
        assert!(even.pixels.iter().all(|&level| level == 77));
    }
}
