//! Near duplicates: images that are copies of one another but for another encoding, size, brightness, crop or
//! shift.
//!
//! Three steps, each of which sees what the one before lets through:
//! 1. the perceptual hashes of two images differ in few bits;
//! 2. their small grey images, freed from slow changes of brightness, correlate somewhat as they lie;
//! 3. after the small shift and zoom that fit best they correlate as strongly as is asked for.
//!
//! Faces that are cut out alike resemble each other as a whole. What tells copies from lookalikes is the
//! detail, hence the second step's high-pass.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::image::RgbImage;
use crate::simd::Level;

/// What counts as a near duplicate.
///
/// The defaults were chosen on drawn faces of 48 and 128 pixels and on studio portraits of 48 and 256. They
/// find every copy that was encoded again (JPEG quality 60 and up), resized, 15 % brighter or darker, of 20 %
/// more contrast or mirrored, 93 % and more of those that were reduced to 32 pixels, 86 to 100 % of those
/// with 4 % cut off in all, 44 to 81 % with 8 %, and 2 to 63 % of those shifted by 2 % both ways; larger
/// shifts are mostly missed. Of 8.5 billion pairs of 130,000 drawn faces, 97 of two different people were
/// taken for copies. One person with another expression in the same shot is often taken for one (a quarter of
/// the portraits).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Near {
    /// Bits of 64 in which two perceptual hashes may differ.
    pub hash_distance: u32,
    /// Correlation of the aligned small grey images from which on two images are copies.
    pub correlation: f64,
    /// Whether mirrored copies are looked for too.
    pub mirrored: bool,
}

impl Default for Near {
    fn default() -> Self {
        Self { hash_distance: 12, correlation: 0.95, mirrored: true }
    }
}

/// What is kept of an image to compare it with others.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The perceptual hash.
    pub hash: u64,
    /// That of the mirrored image.
    pub mirrored: u64,
    /// The small grey image without its slow changes, `[SIDE, SIDE]`, at a scale of its own. Empty for an
    /// image without detail: such are all alike and copies of nothing.
    detail: Box<[i8]>,
}

/// Two images that are copies of one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The first image's index.
    pub a: usize,
    /// The second image's, which is larger.
    pub b: usize,
    /// Bits in which the hashes differ.
    pub hash_distance: u32,
    /// The correlation of the aligned small grey images.
    pub correlation: f64,
    /// Whether one is the mirror image of the other.
    pub mirrored: bool,
}

/// Pixels per side of the small grey images.
const SIDE: usize = 24;
const PIXELS: usize = SIDE * SIDE;

/// Pixels per side of what the hash is made from, and frequencies per side that it looks at (Zauner 2010,
/// pHash).
const HASH_SIDE: usize = 32;
const FREQUENCIES: usize = 8;

/// Grey levels that the detail of an image must vary by (standard deviation), or else it is rounding and
/// noise.
const LEAST_DETAIL: f32 = 1.5;

/// Correlation without alignment from which on alignment is tried. Two faces of different people rarely reach
/// it, a copy that is shifted by a twentieth of its width mostly does.
const WORTH_ALIGNING: f64 = 0.5;

impl Look {
    /// Looks at an image. Nearly free for small ones; large ones cost one pass over their pixels.
    pub fn at(image: &RgbImage) -> Self {
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

    /// Whether there is anything to compare.
    pub fn has_detail(&self) -> bool {
        !self.detail.is_empty()
    }

    fn mirror(&self) -> Self {
        let detail = self.detail.chunks_exact(SIDE).flat_map(|row| row.iter().rev()).copied().collect();
        Self { hash: self.mirrored, mirrored: self.hash, detail }
    }
}

/// All pairs of near duplicates, sorted by (a, b). Every pair of hashes is compared, which takes about as
/// long as reading the images for a hundred thousand of them, and a hundred times as long for a million.
/// `progress(done, total)` counts images.
pub fn pairs(looks: &[Look], near: &Near, progress: &(dyn Fn(usize, usize) + Sync)) -> Vec<Match> {
    /// Images that are compared with all later ones at once: fewer trips through memory.
    const BLOCK: usize = 64;
    let hashes: Vec<u64> = looks.iter().map(|look| look.hash).collect();
    let level = Level::detect();
    let done = AtomicUsize::new(0);
    let starts: Vec<usize> = (0..looks.len()).step_by(BLOCK).collect();
    let block = |&start: &usize| {
        let end = (start + BLOCK).min(looks.len());
        let (mut found, mut close) = (Vec::new(), Vec::new());
        for a in (start..end).filter(|&a| looks[a].has_detail()) {
            for mirrored in [false, true].into_iter().take(1 + usize::from(near.mirrored)) {
                let own = if mirrored { looks[a].mirror() } else { looks[a].clone() };
                let mut template = None;
                close.clear();
                close_hashes(level, own.hash, &hashes[a + 1..], near.hash_distance, &mut close);
                for &(offset, hash_distance) in &close {
                    let b = a + 1 + offset as usize;
                    if let Some(correlation) = judge(level, &own, &looks[b], near, &mut template) {
                        found.push(Match { a, b, hash_distance, correlation, mirrored });
                    }
                }
            }
        }
        let before = done.fetch_add(end - start, Ordering::Relaxed);
        progress(before + end - start, looks.len());
        found
    };
    let mut all: Vec<Match> = starts.par_iter().map(block).flatten_iter().collect();
    all.sort_by(|x, y| (x.a, x.b).cmp(&(y.a, y.b)).then(y.correlation.total_cmp(&x.correlation)));
    all.dedup_by_key(|pair| (pair.a, pair.b)); // a symmetric image is a copy both ways: the better one stays
    all
}

/// The correlation of two images whose hashes are close, if it is enough.
fn judge(
    level: Level,
    own: &Look,
    other: &Look,
    near: &Near,
    template: &mut Option<Template>,
) -> Option<f64> {
    if !other.has_detail() {
        return None;
    }
    let mut correlation = correlation(level, &own.detail, &other.detail);
    if correlation < near.correlation && correlation >= WORTH_ALIGNING {
        let template = template.get_or_insert_with(|| Template::new(&own.detail));
        correlation = correlation.max(template.align(level, &other.detail, near.correlation));
    }
    (correlation >= near.correlation).then_some(correlation)
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

/// One bit per frequency: whether it is above the median of all but the mean brightness, which says nothing.
fn bits(coefficients: &[f32; FREQUENCIES * FREQUENCIES]) -> u64 {
    let mut sorted = coefficients[1..].to_vec();
    sorted.sort_by(f32::total_cmp);
    let median = sorted[sorted.len() / 2];
    coefficients.iter().enumerate().skip(1).map(|(at, value)| u64::from(*value > median) << at).sum()
}

/// The small image less its blurred self, at the scale at which its standard deviation is 32; empty where
/// there is no detail.
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

vectorized! {
    /// The hashes within `most` bits of `hash`, as (index, distance).
    fn close_hashes(hash: u64, others: &[u64], most: u32, found: &mut Vec<(u32, u32)>) {
        const CHUNK: usize = 64;
        let mut distances = [0u8; CHUNK];
        for (block, others) in others.chunks(CHUNK).enumerate() {
            for (distance, other) in distances.iter_mut().zip(others) {
                *distance = (hash ^ other).count_ones() as u8;
            }
            let near = distances[..others.len()].iter().fold(false, |near, &distance| near | (u32::from(distance) <= most));
            if near {
                for (at, &distance) in distances[..others.len()].iter().enumerate() {
                    if u32::from(distance) <= most {
                        found.push(((block * CHUNK + at) as u32, u32::from(distance)));
                    }
                }
            }
        }
    }
}

vectorized! {
    /// Σ a·a, Σ b·b and Σ a·b.
    fn products(a: &[i8], b: &[i8]) -> [i32; 3] {
        let mut sums = [0i32; 3];
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (i32::from(a), i32::from(b));
            sums[0] += a * a;
            sums[1] += b * b;
            sums[2] += a * b;
        }
        sums
    }
}

/// The correlation of two details as they lie. Their means are 0.
fn correlation(level: Level, a: &[i8], b: &[i8]) -> f64 {
    let [aa, bb, ab] = products(level, a, b).map(f64::from);
    ab / (aa * bb).sqrt()
}

/// A detail that others are aligned with, by the inverse compositional method (Baker & Matthews 2004):
/// everything that depends on it alone is computed once.
struct Template {
    values: [f32; PIXELS],
    /// By how much each pixel changes with a shift right, a shift down and an enlargement.
    slopes: [[f32; PIXELS]; 3],
    /// The inverse of the slopes' products, `[3, 3]`.
    inverse: [[f32; 3]; 3],
}

/// Where a pixel of the template lies in the other image: `zoom · (x − centre) + centre + shift`.
#[derive(Clone, Copy)]
struct Placing {
    shift: [f32; 2],
    zoom: f32,
}

/// Steps of alignment. Copies are in place after three or four.
const STEPS: usize = 6;

/// By how much the correlation may still fall short after each step but the first look. Copies that are found
/// at all are closer.
const HOPEFUL: [f64; STEPS - 1] = [0.22, 0.1, 0.05, 0.03, 0.02];

/// The centre of a small image.
const CENTRE: f32 = (SIDE - 1) as f32 / 2.0;

/// How far a copy may be off and still be found: a sixth of the width, and enlarged by a quarter.
const FARTHEST: f32 = SIDE as f32 / 6.0;
const LARGEST_ZOOM: f32 = 1.25;

impl Template {
    fn new(detail: &[i8]) -> Self {
        let values: [f32; PIXELS] = std::array::from_fn(|at| f32::from(detail[at]));
        let mut slopes = [[0.0; PIXELS]; 3];
        for y in 0..SIDE {
            for x in 0..SIDE {
                let difference = |low: usize, high: usize, span: usize| {
                    if span == 0 { 0.0 } else { (values[high] - values[low]) / span as f32 }
                };
                let (left, right) = (x.saturating_sub(1), (x + 1).min(SIDE - 1));
                let (up, down) = (y.saturating_sub(1), (y + 1).min(SIDE - 1));
                let across = difference(y * SIDE + left, y * SIDE + right, right - left);
                let along = difference(up * SIDE + x, down * SIDE + x, down - up);
                slopes[0][y * SIDE + x] = across;
                slopes[1][y * SIDE + x] = along;
                slopes[2][y * SIDE + x] = (x as f32 - CENTRE) * across + (y as f32 - CENTRE) * along;
            }
        }
        let product = |i: usize, j: usize| slopes[i].iter().zip(&slopes[j]).map(|(a, b)| a * b).sum::<f32>();
        let inverse = inverse(std::array::from_fn(|i| std::array::from_fn(|j| product(i, j))));
        Self { values, slopes, inverse }
    }

    /// The correlation with another detail where it fits best, as far as a few steps from its own place find
    /// it. Gives up on what the first steps do not bring on the way to `wanted`.
    fn align(&self, level: Level, other: &[i8], wanted: f64) -> f64 {
        let mut placing = Placing { shift: [0.0; 2], zoom: 1.0 };
        let (mut best, mut moved) = (-1.0, [0.0; PIXELS]);
        for step in 0..STEPS {
            let inside = warp(level, other, placing, &mut moved);
            let Some((correlation, pull)) = compare(level, &self.values, &moved, &inside, &self.slopes)
            else {
                break;
            };
            if correlation <= best + 1e-4 {
                break;
            }
            best = correlation;
            if best >= wanted || (step > 0 && best < wanted - HOPEFUL[step - 1]) {
                break;
            }
            let step: [f32; 3] = std::array::from_fn(|i| (0..3).map(|j| self.inverse[i][j] * pull[j]).sum());
            // The step is the template's: the other image is moved by its inverse.
            let shrunk = 1.0 + step[2].clamp(-0.2, 0.2);
            let zoom = placing.zoom / shrunk;
            let shift = std::array::from_fn(|axis| placing.shift[axis] - zoom * step[axis]);
            if shift.iter().any(|shift: &f32| shift.abs() > FARTHEST)
                || !(1.0 / LARGEST_ZOOM..=LARGEST_ZOOM).contains(&zoom)
            {
                break;
            }
            placing = Placing { shift, zoom };
        }
        best
    }
}

/// The pixels of the template that lie within the other image.
struct Inside {
    /// 1 for a column within, 0 for one outside: whole rows are summed faster than parts of them.
    columns: [f32; SIDE],
    rows: Range<usize>,
}

fn rows<'a>(values: &'a [f32; PIXELS], inside: &Inside) -> &'a [[f32; SIDE]] {
    &values.as_chunks().0[inside.rows.clone()]
}

vectorized! {
    /// The other image in the template's place, linear between pixels. What lies outside means nothing.
    fn warp(other: &[i8], placing: Placing, moved: &mut [f32; PIXELS]) -> Inside {
        let place = |axis: usize, at: usize| placing.zoom * (at as f32 - CENTRE) + CENTRE + placing.shift[axis];
        let within = |place: f32| (0.0..=(SIDE - 1) as f32).contains(&place);
        let mut across = [(0usize, 0.0f32); SIDE];
        let mut columns = [0.0; SIDE];
        for x in 0..SIDE {
            let place = place(0, x);
            let whole = (place.max(0.0) as usize).min(SIDE - 2);
            (across[x], columns[x]) = ((whole, place - whole as f32), f32::from(u8::from(within(place))));
        }
        let (mut top, mut end) = (SIDE, 0);
        for y in 0..SIDE {
            let place = place(1, y);
            if !within(place) {
                continue;
            }
            (top, end) = (top.min(y), y + 1);
            let row = (place as usize).min(SIDE - 2);
            let down = place - row as f32;
            let mut mixed = [0.0f32; SIDE];
            let (above, below) = (&other[row * SIDE..][..SIDE], &other[(row + 1) * SIDE..][..SIDE]);
            for x in 0..SIDE {
                let (above, below) = (f32::from(above[x]), f32::from(below[x]));
                mixed[x] = above + down * (below - above);
            }
            for (value, (column, right)) in moved[y * SIDE..][..SIDE].iter_mut().zip(across) {
                *value = mixed[column] + right * (mixed[column + 1] - mixed[column]);
            }
        }
        Inside { columns, rows: top.min(end)..end }
    }
}

/// The correlation of two images over a part, and Σ slope · (moved − template) with both brought to one mean
/// and deviation. `None` where the part is small or one of the two is flat there.
fn compare(
    level: Level,
    template: &[f32; PIXELS],
    moved: &[f32; PIXELS],
    inside: &Inside,
    slopes: &[[f32; PIXELS]; 3],
) -> Option<(f64, [f32; 3])> {
    let n = inside.columns.iter().sum::<f32>() * inside.rows.len() as f32;
    if n < (PIXELS / 2) as f32 {
        return None;
    }
    let [a, b, aa, bb, ab] = moments(level, template, moved, inside);
    let [spread_a, spread_b] = [aa / n - (a / n).powi(2), bb / n - (b / n).powi(2)];
    if spread_a < 1.0 || spread_b < 1.0 {
        return None;
    }
    let correlation = (ab / n - a / n * (b / n)) / (spread_a * spread_b).sqrt();
    let gain = (spread_a / spread_b).sqrt();
    let pull = pull(level, template, moved, inside, slopes, [gain, a / n - gain * b / n]);
    Some((f64::from(correlation), pull))
}

vectorized! {
    /// Σ a, Σ b, Σ a², Σ b², Σ ab over a part.
    fn moments(a: &[f32; PIXELS], b: &[f32; PIXELS], inside: &Inside) -> [f32; 5] {
        let mut sums = [[0.0f32; SIDE]; 5];
        for (a, b) in rows(a, inside).iter().zip(rows(b, inside)) {
            for x in 0..SIDE {
                sums[0][x] += a[x];
                sums[1][x] += b[x];
                sums[2][x] += a[x] * a[x];
                sums[3][x] += b[x] * b[x];
                sums[4][x] += a[x] * b[x];
            }
        }
        sums.map(|columns| columns.iter().zip(&inside.columns).map(|(sum, within)| sum * within).sum())
    }
}

vectorized! {
    /// Σ slope · (gain · moved + offset − template) over a part; `scale` is gain and offset.
    fn pull(
        template: &[f32; PIXELS],
        moved: &[f32; PIXELS],
        inside: &Inside,
        slopes: &[[f32; PIXELS]; 3],
        scale: [f32; 2],
    ) -> [f32; 3] {
        let [gain, offset] = scale;
        let [template, moved] = [template, moved].map(|values| rows(values, inside));
        let [right, down, larger] = [0, 1, 2].map(|which| rows(&slopes[which], inside));
        let mut sums = [[0.0f32; SIDE]; 3];
        for ((template, moved), ((right, down), larger)) in template.iter().zip(moved).zip(right.iter().zip(down).zip(larger)) {
            for x in 0..SIDE {
                let error = gain * moved[x] + offset - template[x];
                sums[0][x] += right[x] * error;
                sums[1][x] += down[x] * error;
                sums[2][x] += larger[x] * error;
            }
        }
        sums.map(|columns| columns.iter().zip(&inside.columns).map(|(sum, within)| sum * within).sum())
    }
}

/// The inverse of a symmetric positive matrix; zeros where there is none.
fn inverse(m: [[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let minor = |i: usize, j: usize| {
        let (a, b, c, d) = ((i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f32 = (0..3).map(|j| m[0][j] * minor(0, j)).sum();
    if determinant.abs() < 1e-6 {
        return [[0.0; 3]; 3];
    }
    std::array::from_fn(|i| std::array::from_fn(|j| minor(j, i) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faces::draw::face;

    fn shifted(image: &RgbImage, by: usize) -> RgbImage {
        let (w, h) = (image.width, image.height);
        let at =
            |x: usize, y: usize| &image.pixels[(y.saturating_sub(by) * w + x.saturating_sub(by)) * 3..][..3];
        RgbImage::new(w, h, (0..w * h).flat_map(|index| at(index % w, index / w)).copied().collect())
    }

    fn mirrored(image: &RgbImage) -> RgbImage {
        let rows = image.pixels.chunks_exact(image.width * 3);
        RgbImage::new(
            image.width,
            image.height,
            rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect(),
        )
    }

    #[test]
    fn the_mirrored_hash_is_that_of_the_mirrored_image() {
        for person in 0..20 {
            let image = face(3, person, 0, 3, 48);
            let (look, other) = (Look::at(&image), Look::at(&mirrored(&image)));
            // Sums in another order may tip a frequency that lies on the median.
            assert!(
                (look.mirrored ^ other.hash).count_ones() <= 2
                    && (look.hash ^ other.mirrored).count_ones() <= 2
            );
            let found = pairs(&[look, other], &Near::default(), &|_, _| {});
            assert!(found[0].mirrored && found[0].correlation > 0.99, "{found:?}");
        }
    }

    #[test]
    fn a_shift_of_a_pixel_is_undone() {
        let near = Near { hash_distance: 24, correlation: 0.9, mirrored: false };
        let (mut found, mut plain) = (0, 0);
        for person in 0..40 {
            let image = face(3, person, 0, 3, 96);
            let looks = [Look::at(&image), Look::at(&shifted(&image, 2))];
            plain += usize::from(correlation(Level::detect(), &looks[0].detail, &looks[1].detail) >= 0.9);
            found += pairs(&looks, &near, &|_, _| {}).len();
        }
        assert!(found >= 30 && plain <= 5, "{found} found, {plain} of them without alignment");
    }

    #[test]
    fn different_people_are_not_alike_and_flat_images_are_nothing() {
        let looks: Vec<Look> =
            (0..150).map(|person| Look::at(&face(3, person, 0, (person % 7) as usize, 48))).collect();
        assert_eq!(pairs(&looks, &Near::default(), &|_, _| {}), []);
        let flat: Vec<Look> =
            (0..5).map(|_| Look::at(&RgbImage::new(48, 48, vec![128; 48 * 48 * 3]))).collect();
        assert!(!flat[0].has_detail() && pairs(&flat, &Near::default(), &|_, _| {}).is_empty());
        assert!(!Look::at(&RgbImage::new(0, 0, Vec::new())).has_detail());
    }

    #[test]
    fn every_level_sees_the_same() {
        let looks: Vec<Look> = [0, 1].map(|person| Look::at(&face(3, person, 0, 3, 48))).to_vec();
        let see = |level: Level| {
            let mut close = Vec::new();
            close_hashes(
                level,
                looks[0].hash,
                &[looks[0].hash, looks[1].hash, !looks[0].hash],
                64,
                &mut close,
            );
            let aligned = Template::new(&looks[0].detail).align(level, &looks[1].detail, 2.0);
            (close, aligned.to_bits(), correlation(level, &looks[0].detail, &looks[1].detail).to_bits())
        };
        let all: Vec<_> = Level::available().map(see).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!((all[0].0[0], all[0].0[2]), ((0, 0), (2, 64)));
    }

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
