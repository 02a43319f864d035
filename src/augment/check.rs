//! Whether a copy still shows what its original shows: how much of it is newly clipped, and how similar the
//! two are.
//!
//! Legend: w, h the image; C its channels. Images are compared after the same moves: a mirrored copy is held
//! against the mirrored original.

use crate::image::Bitmap;
use crate::simd::Level;

/// Blocks of this side are summed once; a window of the similarity is two of them wide and high.
const BLOCK: usize = 4;

/// The buffers of one worker; they grow to the largest image.
#[derive(Default)]
pub struct Scratch {
    level: Level,
    grey: [Vec<u8>; 2],     // [h, w]
    columns: [Vec<u32>; 5], // [w]: sums over the rows of one row of blocks
    blocks: Vec<[u32; 5]>,  // [h / 4, w / 4]
}

/// The fraction of pixels of which a channel is 0 or 255 in `copy` and was not in `original`, 0 to 1.
///
/// # Panics
/// If the images differ in size or channels.
pub fn newly_saturated(original: &Bitmap, copy: &Bitmap) -> f64 {
    assert_eq!(original.pixels.len(), copy.pixels.len(), "images of one size");
    let count = if copy.channels == 1 { clipped } else { clipped_rgb }(
        Level::detect(),
        &original.pixels,
        &copy.pixels,
    );
    count as f64 / (copy.width * copy.height) as f64
}

vectorized! {
    fn clipped(original: &[u8], copy: &[u8]) -> usize {
        let mut count = 0;
        for (&a, &b) in original.iter().zip(copy) {
            count += usize::from(is_new(a, b));
        }
        count
    }
}

vectorized! {
    fn clipped_rgb(original: &[u8], copy: &[u8]) -> usize {
        let mut count = 0;
        for (a, b) in original.chunks_exact(3).zip(copy.chunks_exact(3)) {
            count += usize::from(is_new(a[0], b[0]) | is_new(a[1], b[1]) | is_new(a[2], b[2]));
        }
        count
    }
}

/// 0 and 255 are the two levels that wrap to below 2 when 1 is added.
#[inline(always)]
fn is_new(original: u8, copy: u8) -> bool {
    (copy.wrapping_add(1) < 2) & (original.wrapping_add(1) >= 2)
}

/// The mean structural similarity of two images, -1 to 1 (Wang et al. 2004, "Image quality assessment: from
/// error visibility to structural similarity", equation 13 with its constants), on L, over windows of 8 × 8
/// pixels with equal weights, 4 pixels apart from the upper left (up to 3 pixels at the right and below are
/// in none). An image of fewer than 8 pixels in any direction is one window.
///
/// # Panics
/// If the images differ in size or channels.
pub fn similarity(original: &Bitmap, copy: &Bitmap, scratch: &mut Scratch) -> f64 {
    assert_eq!(original.pixels.len(), copy.pixels.len(), "images of one size");
    let Scratch { level, grey, columns, blocks } = scratch;
    let level = *level;
    let (width, height) = (copy.width, copy.height);
    let [a, b] = if copy.channels == 1 {
        [&original.pixels, &copy.pixels]
    } else {
        let [first, second] = &mut *grey;
        for (image, grey) in [(original, &mut *first), (copy, &mut *second)] {
            grey.resize(width * height, 0);
            luma(level, &image.pixels, grey);
        }
        [&*first, &*second]
    };
    if width < 2 * BLOCK || height < 2 * BLOCK {
        let mut sums = [0u64; 5];
        for (&a, &b) in a.iter().zip(b.iter()) {
            let (a, b) = (u64::from(a), u64::from(b));
            for (sum, value) in sums.iter_mut().zip([a, b, a * a, b * b, a * b]) {
                *sum += value;
            }
        }
        return window(sums, (width * height) as f64);
    }

    // [h, w] -> [h / 4, w / 4] sums of blocks
    let across = width / BLOCK;
    blocks.clear();
    columns.iter_mut().for_each(|column| column.resize(width, 0));
    for (a, b) in a.chunks_exact(BLOCK * width).zip(b.chunks_exact(BLOCK * width)) {
        sum_columns(level, [a, b], columns.each_mut().map(|column| &mut column[..]));
        let [ca, cb, caa, cbb, cab] = &*columns;
        blocks.extend((0..across).map(|x| {
            let sum = |column: &[u32]| column[x * BLOCK..][..BLOCK].iter().sum();
            [sum(ca), sum(cb), sum(caa), sum(cbb), sum(cab)]
        }));
    }

    let mut total = 0.0;
    let rows: Vec<&[[u32; 5]]> = blocks.chunks_exact(across).collect();
    for pair in rows.windows(2) {
        for (above, below) in pair[0].windows(2).zip(pair[1].windows(2)) {
            let sum = |k: usize| u64::from(above[0][k] + above[1][k] + below[0][k] + below[1][k]);
            total += window([sum(0), sum(1), sum(2), sum(3), sum(4)], (4 * BLOCK * BLOCK) as f64);
        }
    }
    total / ((rows.len() - 1) * (across - 1)) as f64
}

/// The similarity in one window of n pixels, from the sums of a, b, a², b² and ab.
fn window([a, b, aa, bb, ab]: [u64; 5], n: f64) -> f64 {
    const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
    const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
    let (mean_a, mean_b) = (a as f64 / n, b as f64 / n);
    let (var_a, var_b) = (aa as f64 / n - mean_a * mean_a, bb as f64 / n - mean_b * mean_b);
    let covariance = ab as f64 / n - mean_a * mean_b;
    (2.0 * mean_a * mean_b + C1) * (2.0 * covariance + C2)
        / ((mean_a * mean_a + mean_b * mean_b + C1) * (var_a + var_b + C2))
}

vectorized! {
    /// L of pixels `[n, 3]` (ITU-R 601-2, Pillow's rounding).
    fn luma(pixels: &[u8], grey: &mut [u8]) {
        for (pixel, grey) in pixels.chunks_exact(3).zip(grey) {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            *grey = ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16) as u8;
        }
    }
}

vectorized! {
    /// Sums of a, b, a², b² and ab over the rows, for each column.
    fn sum_columns(images: [&[u8]; 2], sums: [&mut [u32]; 5]) {
        let ([a, b], [sum_a, sum_b, sum_aa, sum_bb, sum_ab]) = (images, sums);
        let width = sum_a.len();
        let (sum_b, sum_aa) = (&mut sum_b[..width], &mut sum_aa[..width]);
        let (sum_bb, sum_ab) = (&mut sum_bb[..width], &mut sum_ab[..width]);
        for x in 0..width {
            (sum_a[x], sum_b[x], sum_aa[x], sum_bb[x], sum_ab[x]) = (0, 0, 0, 0, 0);
        }
        for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
            for x in 0..width {
                let (a, b) = (u32::from(a[x]), u32::from(b[x]));
                sum_a[x] += a;
                sum_b[x] += b;
                sum_aa[x] += a * a;
                sum_bb[x] += b * b;
                sum_ab[x] += a * b;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::fixtures::noise;

    fn bitmap(width: usize, height: usize, grey: bool) -> Bitmap {
        Bitmap::from_rgb(noise(width, height, grey))
    }

    /// The definition, window by window.
    fn plain_similarity(a: &Bitmap, b: &Bitmap) -> f64 {
        let grey = |image: &Bitmap| -> Vec<f64> {
            let l = |p: &[u8]| match p {
                [v] => f64::from(*v),
                p => f64::from(
                    (19595 * u32::from(p[0]) + 38470 * u32::from(p[1]) + 7471 * u32::from(p[2]) + 0x8000)
                        >> 16,
                ),
            };
            image.pixels.chunks_exact(image.channels).map(l).collect()
        };
        let (ga, gb) = (grey(a), grey(b));
        let mut values = Vec::new();
        for y in (0..=a.height / 4 * 4 - 8).step_by(4) {
            for x in (0..=a.width / 4 * 4 - 8).step_by(4) {
                let at = |g: &[f64]| -> Vec<f64> {
                    (0..64).map(|i| g[(y + i / 8) * a.width + x + i % 8]).collect()
                };
                let (wa, wb) = (at(&ga), at(&gb));
                let mean = |w: &[f64]| w.iter().sum::<f64>() / 64.0;
                let (ma, mb) = (mean(&wa), mean(&wb));
                let spread = |p: &[f64], mp: f64, q: &[f64], mq: f64| {
                    p.iter().zip(q).map(|(p, q)| (p - mp) * (q - mq)).sum::<f64>() / 64.0
                };
                let (va, vb, cov) =
                    (spread(&wa, ma, &wa, ma), spread(&wb, mb, &wb, mb), spread(&wa, ma, &wb, mb));
                let (c1, c2) = (6.5025, 58.5225);
                values.push(
                    (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2)),
                );
            }
        }
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn the_similarity_is_that_of_the_definition() {
        for (width, height, grey) in [(48, 48, true), (61, 47, false), (8, 8, false), (9, 30, true)] {
            let a = bitmap(width, height, grey);
            let mut b = a.clone();
            b.pixels.iter_mut().enumerate().for_each(|(i, v)| *v = v.wrapping_add((i % 7) as u8 * 5));
            let (fast, plain) = (similarity(&a, &b, &mut Scratch::default()), plain_similarity(&a, &b));
            assert!((fast - plain).abs() < 1e-9, "{a:?}: {fast} {plain}");
            assert!((similarity(&a, &a, &mut Scratch::default()) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn small_images_are_one_window_and_every_level_gives_the_same() {
        let mut negative = bitmap(3, 5, true);
        let original = negative.clone();
        negative.pixels.iter_mut().for_each(|value| *value = 255 - *value);
        assert!(similarity(&original, &negative, &mut Scratch::default()) < 0.0);
        let (a, b) = (bitmap(40, 33, false), bitmap(33, 40, false));
        let b = Bitmap::new(40, 33, 3, b.pixels);
        let values: Vec<f64> = Level::available()
            .map(|level| similarity(&a, &b, &mut Scratch { level, ..Scratch::default() }))
            .collect();
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    }

    #[test]
    fn only_what_was_not_clipped_before_counts() {
        let original = Bitmap::new(4, 1, 1, vec![0, 10, 250, 255]);
        let copy = Bitmap::new(4, 1, 1, vec![0, 0, 255, 0]);
        assert_eq!(newly_saturated(&original, &copy), 0.5);
        let original = Bitmap::new(2, 1, 3, vec![1, 2, 3, 255, 5, 6]);
        let copy = Bitmap::new(2, 1, 3, vec![0, 0, 3, 255, 5, 6]);
        assert_eq!(newly_saturated(&original, &copy), 0.5);
    }
}
