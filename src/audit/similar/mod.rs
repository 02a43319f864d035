//! Near duplicates: copies of an image in another encoding or size, with other brightness, cropped or
//! shifted.
//!
//! Three steps, each applied to what the previous one lets through:
//! 1. the perceptual hashes of two images differ in few bits;
//! 2. their small grey images, high-pass filtered, correlate somewhat without alignment;
//! 3. after the best small shift and zoom they correlate above the threshold.
//!
//! Aligned face crops all resemble each other at low frequencies. Fine detail is what distinguishes copies
//! from lookalikes, hence the high-pass filter.

mod align;
mod fingerprint;

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::align::{Template, correlation};
pub use self::fingerprint::Fingerprint;
use crate::simd::Level;

/// What counts as a near duplicate.
///
/// The defaults were chosen on drawn faces of 48 and 128 pixels and on studio portraits of 48 and 256. They
/// find every copy that was re-encoded (JPEG quality 60 and up), resized, 15 % brighter or darker, of 20 %
/// more contrast or mirrored, 93 % and more of those that were reduced to 32 pixels, 86 to 100 % of those
/// with 4 % cut off in all, 44 to 81 % with 8 %, and 2 to 63 % of those shifted by 2 % both ways; larger
/// shifts are mostly missed. Of 8.5 billion pairs of 130,000 drawn faces, 97 pairs of two different people
/// were false positives. Two expressions of one person in one sitting are often reported as near duplicates
/// (a quarter of the portraits).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Near {
    /// Bits of 64 in which two perceptual hashes may differ.
    pub hash_distance: u32,
    /// Threshold on the correlation of the aligned small grey images, in `0..=1`.
    pub correlation: f64,
    /// Whether mirrored copies are searched for too.
    pub mirrored: bool,
}

impl Default for Near {
    fn default() -> Self {
        Self { hash_distance: 12, correlation: 0.95, mirrored: true }
    }
}

/// Two images that are near duplicates.
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

/// Threshold on the correlation without alignment for trying alignment. Faces of different people rarely
/// reach it; a copy that is shifted by a twentieth of its width mostly does.
const WORTH_ALIGNING: f64 = 0.5;

/// All pairs of near duplicates, sorted by (a, b). Every pair of hashes is compared, which takes about as
/// long as reading the images for a hundred thousand of them, and a hundred times as long for a million.
/// `progress(done, total)` counts images.
pub fn pairs(prints: &[Fingerprint], near: &Near, progress: &(dyn Fn(usize, usize) + Sync)) -> Vec<Match> {
    /// Images that are compared with all later ones in one pass over memory.
    const BLOCK: usize = 64;
    let hashes: Vec<u64> = prints.iter().map(|look| look.hash).collect();
    let level = Level::detect();
    let done = AtomicUsize::new(0);
    let starts: Vec<usize> = (0..prints.len()).step_by(BLOCK).collect();
    let block = |&start: &usize| {
        let end = (start + BLOCK).min(prints.len());
        let (mut found, mut close) = (Vec::new(), Vec::new());
        for a in (start..end).filter(|&a| prints[a].has_detail()) {
            for mirrored in [false, true].into_iter().take(1 + usize::from(near.mirrored)) {
                let own = if mirrored { prints[a].mirror() } else { prints[a].clone() };
                let mut template = None;
                close.clear();
                close_hashes(level, own.hash, &hashes[a + 1..], near.hash_distance, &mut close);
                for &(offset, hash_distance) in &close {
                    let b = a + 1 + offset as usize;
                    if let Some(correlation) = judge(level, &own, &prints[b], near, &mut template) {
                        found.push(Match { a, b, hash_distance, correlation, mirrored });
                    }
                }
            }
        }
        let before = done.fetch_add(end - start, Ordering::Relaxed);
        progress(before + end - start, prints.len());
        found
    };
    let mut all: Vec<Match> = starts.par_iter().map(block).flatten_iter().collect();
    all.sort_by(|x, y| (x.a, x.b).cmp(&(y.a, y.b)).then(y.correlation.total_cmp(&x.correlation)));
    all.dedup_by_key(|pair| (pair.a, pair.b)); // a symmetric image matches both ways: the better match stays
    all
}

/// The correlation of two images whose hashes are close, if it reaches the threshold.
fn judge(
    level: Level,
    own: &Fingerprint,
    other: &Fingerprint,
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

vectorized! {
    /// The hashes within `most` bits of `hash`, as (index, distance).
    fn close_hashes(hash: u64, others: &[u64], most: u32, found: &mut Vec<(u32, u32)>) {
        const CHUNK: usize = 64;
        let mut distances = [0u8; CHUNK];
        for (block, others) in others.chunks(CHUNK).enumerate() {
            for (distance, other) in distances.iter_mut().zip(others) {
                *distance = (hash ^ other).count_ones() as u8;
            }
            let is_near = |near: bool, &distance: &u8| near | (u32::from(distance) <= most);
            let near = distances[..others.len()].iter().fold(false, is_near);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faces::draw::face;
    use crate::image::RgbImage;

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
            let (look, other) = (Fingerprint::of(&image), Fingerprint::of(&mirrored(&image)));
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
            let prints = [Fingerprint::of(&image), Fingerprint::of(&shifted(&image, 2))];
            plain += usize::from(correlation(Level::detect(), &prints[0].detail, &prints[1].detail) >= 0.9);
            found += pairs(&prints, &near, &|_, _| {}).len();
        }
        assert!(found >= 30 && plain <= 5, "{found} found, {plain} of them without alignment");
    }

    #[test]
    fn different_people_and_blank_images_are_no_duplicates() {
        let prints: Vec<Fingerprint> =
            (0..150).map(|person| Fingerprint::of(&face(3, person, 0, (person % 7) as usize, 48))).collect();
        assert_eq!(pairs(&prints, &Near::default(), &|_, _| {}), []);
        let flat: Vec<Fingerprint> =
            (0..5).map(|_| Fingerprint::of(&RgbImage::new(48, 48, vec![128; 48 * 48 * 3]))).collect();
        assert!(!flat[0].has_detail() && pairs(&flat, &Near::default(), &|_, _| {}).is_empty());
        assert!(!Fingerprint::of(&RgbImage::new(0, 0, Vec::new())).has_detail());
    }

    #[test]
    fn every_level_sees_the_same() {
        let prints: Vec<Fingerprint> =
            [0, 1].map(|person| Fingerprint::of(&face(3, person, 0, 3, 48))).to_vec();
        let see = |level: Level| {
            let mut close = Vec::new();
            close_hashes(
                level,
                prints[0].hash,
                &[prints[0].hash, prints[1].hash, !prints[0].hash],
                64,
                &mut close,
            );
            let aligned = Template::new(&prints[0].detail).align(level, &prints[1].detail, 2.0);
            (close, aligned.to_bits(), correlation(level, &prints[0].detail, &prints[1].detail).to_bits())
        };
        let all: Vec<_> = Level::available().map(see).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!((all[0].0[0], all[0].0[2]), ((0, 0), (2, 64)));
    }
}
