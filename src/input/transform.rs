//! The transforms of one image: for training resize, mirror, rotation, colour jitter, shift, normalisation,
//! in this order; for evaluation resize and normalisation alone.
//!
//! They follow torchvision's `Resize`, `RandomHorizontalFlip`, `RandomRotation`, `ColorJitter`,
//! `RandomAffine(degrees=0, translate)` and `Normalize` on Pillow images, except that the rotation
//! interpolates (torchvision's default takes the nearest pixel), in the same pass as the enlargement, and
//! that the levels stay f32 where Pillow truncates to 8 bits between operations. What a rotation or a shift
//! uncovers is black; the jitter sees the black that the rotation left, but not that of the shift.
//!
//! Measured against torchvision 0.24.1 with a bilinear rotation, all transforms on, synthetic images of 48 to
//! 400 pixels to 256, 24 draws each: the levels lie 1.3 (grey) to 1.7 (strong colours) of 255 above
//! torchvision's on average, which is its truncation;
//! 99.9 % of them differ by less than 5 (grey) or 13 (colours; its hue has 8 bits), the largest difference is
//! 19. Evaluation is equal to a rounding of f32.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::jitter::{self, Jitter};
pub use super::normalization::Normalization;
use super::normalization::{normalize, normalize_bytes};
use super::sample::{self, Map, Source};
use crate::error::{Error, Result};
use crate::image::RgbImage;
use crate::image::resize::Resizer;
use crate::simd::Level;

/// The random transforms of training images.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TransformConfig {
    /// Probability of mirroring left to right, 0 to 1.
    pub flip: f32,
    /// Largest rotation to either side, in degrees, 0 to 180.
    pub rotation: f32,
    /// The brightness factor is drawn from `[max(0, 1 - brightness), 1 + brightness]`.
    pub brightness: f32,
    /// The contrast factor is drawn from `[max(0, 1 - contrast), 1 + contrast]`.
    pub contrast: f32,
    /// The saturation factor is drawn from `[max(0, 1 - saturation), 1 + saturation]`.
    pub saturation: f32,
    /// The hue is turned by up to this part of the full circle to either side, 0 to 0.5.
    pub hue: f32,
    /// Largest shift in x and in y, as a part of the image's side, 0 to 1.
    pub translate: f32,
}

impl Default for TransformConfig {
    fn default() -> Self {
        Self {
            flip: 0.5,
            rotation: 15.0,
            brightness: 0.2,
            contrast: 0.2,
            saturation: 0.2,
            hue: 0.1,
            translate: 0.1,
        }
    }
}

impl TransformConfig {
    /// No random transforms: training images look as in evaluation.
    pub fn none() -> Self {
        Self {
            flip: 0.0,
            rotation: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            translate: 0.0,
        }
    }

    /// Checks every value's range.
    ///
    /// # Errors
    /// The first value that is out of its range or not a number, by its key.
    pub fn validate(&self) -> Result<()> {
        let limits = [
            ("flip", self.flip, 1.0),
            ("rotation", self.rotation, 180.0),
            ("brightness", self.brightness, 10.0),
            ("contrast", self.contrast, 10.0),
            ("saturation", self.saturation, 10.0),
            ("hue", self.hue, 0.5),
            ("translate", self.translate, 1.0),
        ];
        for (key, value, limit) in limits {
            if !(0.0..=limit).contains(&value) {
                let place = format!("augment.transform.{key}");
                return Err(Error::input(place, format!("found {value}"))
                    .expected(format!("0 to {limit}"))
                    .hint("0 turns it off"));
            }
        }
        Ok(())
    }
}

/// The transform parameters drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Whether to mirror left to right.
    pub flip: bool,
    /// Rotation in degrees, counter-clockwise if positive.
    pub angle: f32,
    /// The jitter's operations, in the order in which they act.
    pub jitter: [Jitter; 4],
    /// Shift in whole pixels: to the right, down.
    pub shift: [i32; 2],
}

impl Drawn {
    /// Parameters that change nothing.
    pub const NONE: Self = Self {
        flip: false,
        angle: 0.0,
        jitter: [Jitter::Brightness(1.0), Jitter::Contrast(1.0), Jitter::Saturation(1.0), Jitter::Hue(0.0)],
        shift: [0, 0],
    };

    /// Draws the parameters for one image of `size` × `size`. Takes the same number of values from `rng`
    /// whatever the configuration, so that turning one transform off leaves the others' draws as they were.
    pub fn draw(config: &TransformConfig, size: usize, rng: &mut impl Rng) -> Self {
        let mut between = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();
        let flip = between(0.0, 1.0) < config.flip;
        let angle = between(-config.rotation, config.rotation);
        let mut factor = |strength: f32| between((1.0 - strength).max(0.0), 1.0 + strength);
        let mut jitter = [
            Jitter::Brightness(factor(config.brightness)),
            Jitter::Contrast(factor(config.contrast)),
            Jitter::Saturation(factor(config.saturation)),
            Jitter::Hue(between(-config.hue, config.hue)),
        ];
        let reach = config.translate * size as f32;
        let shift = [between(-reach, reach), between(-reach, reach)].map(|pixels| pixels.round() as i32);
        for last in (1..jitter.len()).rev() {
            jitter.swap(last, rng.random_range(0..=last));
        }
        Self { flip, angle, jitter, shift }
    }
}

/// The buffers of one worker, kept from image to image.
#[derive(Default)]
pub struct Scratch {
    level: Level,
    resizer: Resizer,
    source: Source,
    map: Map,
    rows: Vec<f32>, // [size, C, size] levels, or one row where one pass suffices
}

/// Resizes and normalises an image into `out`, `[3, size, size]`. The result depends on the image alone.
///
/// # Panics
/// If `out` does not hold `3 * size * size` values.
pub fn eval_pixels(
    image: &RgbImage,
    size: usize,
    normalization: &Normalization,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    assert_eq!(out.len(), 3 * size * size, "eval_pixels: out must be [3, {size}, {size}]");
    if size == 0 {
        return;
    }
    let Scratch { level, resizer, .. } = scratch;
    let channels = if image.is_grey() { 1 } else { 3 };
    resizer.rows(*level, image, channels, [size, size], |y, row| {
        for (c, plane) in out.chunks_exact_mut(size * size).enumerate() {
            let source = if channels == 1 { row } else { &row[c * size..][..size] };
            let (factor, summand) = normalization.line(c);
            normalize_bytes(*level, source, factor, summand, &mut plane[y * size..][..size]);
        }
    });
}

/// Resizes an image, applies what was drawn and normalises, into `out`, `[3, size, size]`. The result depends
/// on the image and `drawn` alone.
///
/// # Panics
/// If `out` does not hold `3 * size * size` values, or `size` is above 32768.
pub fn train_pixels(
    image: &RgbImage,
    size: usize,
    drawn: &Drawn,
    normalization: &Normalization,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    assert_eq!(out.len(), 3 * size * size, "train_pixels: out must be [3, {size}, {size}]");
    assert!(size <= 1 << 15, "train_pixels: a size above 32768 does not fit the fixed-point coordinates");
    if size == 0 {
        return;
    }
    let Scratch { level, resizer, source, map, rows } = scratch;
    let level = *level;
    source.load(level, resizer, image, size);
    map.set(source, size, drawn.flip, drawn.angle);
    let channels = source.channels;
    let stride = channels * size;

    let (operations, count) = effective(drawn.jitter, channels);
    let operations = &operations[..count];
    let next_contrast =
        |from: usize| (from..count).find(|&i| matches!(operations[i], Jitter::Contrast(_))).unwrap_or(count);
    let shift = drawn.shift.map(|pixels| (pixels as isize).clamp(-(size as isize), size as isize));
    let mut target = Target { size, shift, normalization, out };

    // Contrast needs the mean over the whole image as the operations before it left it. So it ends a pass
    // over the image and begins the next: two passes, or one where there is no contrast.
    let mut begin = 0;
    let mut mean = None;
    loop {
        let end = next_contrast(begin + usize::from(mean.is_some()));
        let last = end == count;
        let single = last && mean.is_none();
        rows.resize(rows.len().max(if single { stride } else { size * stride }), 0.0);
        let mut sum = 0.0;
        for y in 0..size {
            if last && !(0..size as isize).contains(&(y as isize + shift[1])) {
                continue; // shifted out of the image
            }
            let row = &mut rows[if single { 0 } else { y * stride }..][..stride];
            if mean.is_none() {
                sample::sample_row(level, source, map, y, row);
            }
            for &operation in &operations[begin..end] {
                jitter::apply(level, operation, mean.unwrap_or(0.0), row, channels);
            }
            if last {
                target.write_row(level, row, channels, y);
            } else {
                sum += jitter::sum_luma(level, row, channels);
            }
        }
        if last {
            break;
        }
        (begin, mean) = (end, Some(jitter::mean_level(sum, size * size)));
    }
    target.fill_uncovered_rows();
}

/// The operations that change an image with this number of channels, in order, and how many they are.
fn effective(jitter: [Jitter; 4], channels: usize) -> ([Jitter; 4], usize) {
    let (mut kept, mut count) = (jitter, 0);
    for operation in jitter {
        if !operation.is_identity() && (channels == 3 || operation.changes_grey()) {
            kept[count] = operation;
            count += 1;
        }
    }
    (kept, count)
}

/// Where the rows of an image go: normalised and shifted, into `[3, size, size]`.
struct Target<'a> {
    size: usize,
    /// To the right, down; at most `size` either way.
    shift: [isize; 2],
    normalization: &'a Normalization,
    out: &'a mut [f32],
}

impl Target<'_> {
    /// Writes row y `[C, size]` of levels to its place; black where the shift uncovers.
    fn write_row(&mut self, level: Level, row: &[f32], channels: usize, y: usize) {
        let (size, [right, down]) = (self.size, self.shift);
        let Some(y) = y.checked_add_signed(down).filter(|&y| y < size) else { return };
        let (skipped, uncovered) = (right.min(0).unsigned_abs(), right.max(0).unsigned_abs());
        for (c, plane) in self.out.chunks_exact_mut(size * size).enumerate() {
            let (factor, summand) = self.normalization.line(c);
            let levels = if channels == 1 { row } else { &row[c * size..][..size] };
            let target = &mut plane[y * size..][..size];
            target[..uncovered].fill(summand);
            target[size - skipped..].fill(summand);
            let target = &mut target[uncovered..size - skipped];
            normalize(level, &levels[skipped..size - uncovered], factor, summand, target);
        }
    }

    /// Black for the rows that the shift uncovers.
    fn fill_uncovered_rows(&mut self) {
        let (size, [_, down]) = (self.size, self.shift);
        let rows = if down >= 0 { 0..down as usize } else { size - down.unsigned_abs()..size };
        for (c, plane) in self.out.chunks_exact_mut(size * size).enumerate() {
            plane[rows.start * size..rows.end * size].fill(self.normalization.line(c).1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::fixtures::{Case, cases, noise};
    use crate::random::{Purpose, rng};

    /// Keeps levels as they are (to a rounding).
    const LEVELS: Normalization = Normalization { mean: [0.0; 3], std: [1.0 / 255.0; 3] };

    fn train(
        level: Level,
        image: &RgbImage,
        size: usize,
        drawn: &Drawn,
        normalization: &Normalization,
    ) -> Vec<f32> {
        let mut out = vec![f32::NAN; 3 * size * size];
        train_pixels(
            image,
            size,
            drawn,
            normalization,
            &mut Scratch { level, ..Scratch::default() },
            &mut out,
        );
        out
    }

    fn eval(level: Level, image: &RgbImage, size: usize, normalization: &Normalization) -> Vec<f32> {
        let mut out = vec![f32::NAN; 3 * size * size];
        eval_pixels(image, size, normalization, &mut Scratch { level, ..Scratch::default() }, &mut out);
        out
    }

    fn drawn(index: u64, size: usize) -> Drawn {
        Drawn::draw(&TransformConfig::default(), size, &mut rng(3, Purpose::Sample, 0, index))
    }

    /// What a fixture's steps draw.
    fn drawn_of(case: &Case) -> Drawn {
        let mut drawn = Drawn::NONE;
        let mut count = 0;
        for step in &case.steps {
            let operation = match (step.name.as_str(), step.values.as_slice()) {
                ("flip", _) => {
                    drawn.flip = true;
                    continue;
                }
                ("rotate", values) => {
                    drawn.angle = values[0];
                    continue;
                }
                ("shift", values) => {
                    drawn.shift = [values[0] as i32, values[1] as i32];
                    continue;
                }
                ("brightness", values) => Jitter::Brightness(values[0]),
                ("contrast", values) => Jitter::Contrast(values[0]),
                ("saturation", values) => Jitter::Saturation(values[0]),
                ("hue", values) => Jitter::Hue(values[0]),
                _ => continue,
            };
            drawn.jitter[count] = operation;
            count += 1;
        }
        drawn
    }

    #[test]
    fn the_whole_chain_follows_torchvision() {
        let mut count = 0;
        for case in cases().into_iter().filter(|case| case.steps.len() > 5) {
            let size = case.result.width;
            let ours = train(Level::detect(), &case.source, size, &drawn_of(&case), &LEVELS);
            let n = size * size;
            let difference = |i: usize| ours[i] - f32::from(case.result.pixels[i % n * 3 + i / n]);
            let mean = (0..3 * n).map(|i| difference(i).abs()).sum::<f32>() / (3 * n) as f32;
            let mut all: Vec<f32> = (0..3 * n).map(|i| difference(i).abs()).collect();
            all.sort_by(f32::total_cmp);
            eprintln!(
                "{}: mean {mean:.2}, 99.9 % {:.2}, largest {:.2}",
                case.describe(),
                all[all.len() * 999 / 1000],
                all[all.len() - 1]
            );
            // An enlarged image is interpolated once here and twice there, which shows at edges and in noise.
            let largest = if case.source.width < size { 35.0 } else { 12.0 };
            assert!(mean < 3.0 && all[all.len() - 1] < largest, "{}: mean {mean}", case.describe());
            count += 1;
        }
        assert!(count >= 4);
    }

    #[test]
    fn evaluation_is_the_resize_normalised() {
        let normalization = Normalization::default();
        for (width, height, grey) in
            [(48, 48, true), (48, 48, false), (90, 61, false), (64, 64, false), (1, 1, false)]
        {
            let image = noise(width, height, grey);
            let resized = crate::image::resize::resize(&image, 64, 64);
            let out = eval(Level::detect(), &image, 64, &normalization);
            for (i, value) in out.iter().enumerate() {
                let (c, at) = (i / (64 * 64), i % (64 * 64));
                let level = f32::from(resized.pixels[at * 3 + c]);
                let expected = (level / 255.0 - normalization.mean[c]) / normalization.std[c];
                assert!((value - expected).abs() < 1e-5, "{width}x{height}: {value} for {expected}");
            }
        }
    }

    #[test]
    fn training_with_nothing_drawn_is_evaluation() {
        for (side, limit) in [(48, 1.01), (64, 1e-3), (90, 1e-3)] {
            let image = noise(side, side, false);
            let ours = train(Level::detect(), &image, 64, &Drawn::NONE, &LEVELS);
            let expected = eval(Level::detect(), &image, 64, &LEVELS);
            assert!(ours.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= limit), "{side}");
        }
    }

    #[test]
    fn a_shift_moves_right_and_down_and_uncovers_black() {
        let normalization = Normalization::default();
        for grey in [false, true] {
            let image = noise(32, 32, grey);
            let base = Drawn {
                jitter: [Jitter::Contrast(0.8), Jitter::Hue(0.0), Jitter::Hue(0.0), Jitter::Hue(0.0)],
                ..drawn(1, 32)
            };
            for shift in [[5, 3], [-4, 2], [3, -6], [-1, -1], [32, 0], [0, -32], [1000, -1000]] {
                let still =
                    train(Level::detect(), &image, 32, &Drawn { shift: [0, 0], ..base }, &normalization);
                let moved = train(Level::detect(), &image, 32, &Drawn { shift, ..base }, &normalization);
                for c in 0..3 {
                    let black = -normalization.mean[c] / normalization.std[c];
                    for (y, x) in (0..32).flat_map(|y| (0..32).map(move |x| (y, x))) {
                        let from = [x - shift[0], y - shift[1]];
                        let inside = from.iter().all(|at| (0..32).contains(at));
                        let at = |x: i32, y: i32| (c * 32 + y as usize) * 32 + x as usize;
                        let expected = if inside { still[at(from[0], from[1])] } else { black };
                        assert_eq!(moved[at(x, y)], expected, "{shift:?}: {x}, {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_versions_of_the_code_agree_bit_for_bit() {
        for (width, height, size) in
            [(48, 48, 256), (48, 48, 32), (31, 57, 64), (64, 64, 64), (100, 70, 33), (48, 48, 512)]
        {
            for grey in [true, false] {
                let image = noise(width, height, grey);
                for index in 0..6 {
                    let drawn = drawn(index, size);
                    let mut versions = Level::available()
                        .map(|level| train(level, &image, size, &drawn, &Normalization::default()));
                    let portable = versions.next().unwrap();
                    assert!(portable.iter().all(|value| value.is_finite()));
                    assert!(
                        versions.all(|version| version == portable),
                        "{width}x{height} to {size}: {drawn:?}"
                    );
                }
                let mut versions =
                    Level::available().map(|level| eval(level, &image, size, &Normalization::default()));
                let portable = versions.next().unwrap();
                assert!(versions.all(|version| version == portable), "{width}x{height} to {size}");
            }
        }
    }

    #[test]
    fn a_sample_does_not_depend_on_what_the_scratch_held() {
        let mut scratch = Scratch::default();
        let shapes =
            [(48, 48, false), (48, 48, true), (90, 33, false), (64, 64, true), (7, 80, false), (0, 0, false)];
        for (index, (size, (width, height, grey))) in
            [64, 32, 40].into_iter().flat_map(|size| shapes.map(|shape| (size, shape))).enumerate()
        {
            let image = noise(width, height, grey);
            let drawn = drawn(index as u64, size);
            let normalization = Normalization::default();
            let mut out = vec![f32::NAN; 3 * size * size];
            train_pixels(&image, size, &drawn, &normalization, &mut scratch, &mut out);
            assert!(out == train(Level::detect(), &image, size, &drawn, &normalization), "{width}x{height}");
            eval_pixels(&image, size, &normalization, &mut scratch, &mut out);
            assert!(out == eval(Level::detect(), &image, size, &normalization), "{width}x{height}");
        }
    }

    #[test]
    fn grey_and_nearly_grey_images_come_out_alike() {
        // One off-grey pixel puts the image on the way for colour.
        let grey = noise(48, 48, true);
        let mut nearly = grey.clone();
        nearly.pixels[0] ^= 1;
        for index in 0..8 {
            let drawn = drawn(index, 64);
            let [a, b] = [&grey, &nearly].map(|image| train(Level::detect(), image, 64, &drawn, &LEVELS));
            // The one pixel may move the rounded mean of the contrast by 1, of which at most 0.2 is seen, and
            // itself by 1.5.
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1.5), "{drawn:?}");
        }
    }

    #[test]
    fn draws_cover_their_ranges_and_no_more() {
        let config = TransformConfig::default();
        let mut ranges = [(f32::MAX, f32::MIN); 7];
        let mut flips = 0;
        let mut orders = std::collections::HashSet::new();
        for index in 0..4000 {
            let drawn = Drawn::draw(&config, 256, &mut rng(9, Purpose::Sample, 1, index));
            flips += usize::from(drawn.flip);
            let mut values = [drawn.angle, 0.0, 0.0, 0.0, 0.0, drawn.shift[0] as f32, drawn.shift[1] as f32];
            let mut order = [0; 4];
            for (place, operation) in drawn.jitter.into_iter().enumerate() {
                let (kind, value) = match operation {
                    Jitter::Brightness(value) => (1, value),
                    Jitter::Contrast(value) => (2, value),
                    Jitter::Saturation(value) => (3, value),
                    Jitter::Hue(value) => (4, value),
                };
                (order[place], values[kind]) = (kind, value);
            }
            orders.insert(order);
            for (range, value) in ranges.iter_mut().zip(values) {
                *range = (range.0.min(value), range.1.max(value));
            }
        }
        let expected =
            [(-15.0, 15.0), (0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1), (-26.0, 26.0), (-26.0, 26.0)];
        for ((low, high), (least, most)) in ranges.into_iter().zip(expected) {
            let slack = (most - least) * 0.01;
            assert!(
                (least..least + slack).contains(&low) && (most - slack..=most + 1e-6).contains(&high),
                "{low} to {high}"
            );
        }
        assert!((1850..2150).contains(&flips), "{flips}");
        assert_eq!(orders.len(), 24);
    }

    #[test]
    fn nothing_configured_draws_nothing_and_keeps_the_other_draws() {
        let draw = |config: &TransformConfig| Drawn::draw(config, 64, &mut rng(1, Purpose::Sample, 2, 3));
        let none = draw(&TransformConfig::none());
        assert_eq!((none.flip, none.angle, none.shift), (false, 0.0, [0, 0]));
        assert!(none.jitter.into_iter().all(Jitter::is_identity));
        let all = draw(&TransformConfig::default());
        assert_eq!(all, draw(&TransformConfig::default()));
        let still = draw(&TransformConfig { rotation: 0.0, ..TransformConfig::default() });
        assert_eq!(still, Drawn { angle: 0.0, ..all });
    }

    #[test]
    fn wrong_values_are_named() {
        assert!(TransformConfig::default().validate().is_ok() && TransformConfig::none().validate().is_ok());
        for (config, words) in [
            (
                TransformConfig { hue: 0.6, ..Default::default() },
                "augment.transform.hue: found 0.6; expected 0 to 0.5. 0 turns it off",
            ),
            (
                TransformConfig { flip: -0.1, ..Default::default() },
                "augment.transform.flip: found -0.1; expected 0 to 1. 0 turns it off",
            ),
            (
                TransformConfig { rotation: f32::NAN, ..Default::default() },
                "augment.transform.rotation: found NaN; expected 0 to 180. 0 turns it off",
            ),
        ] {
            assert_eq!(config.validate().unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_json::from_str::<TransformConfig>(r#"{"rotate": 3}"#).unwrap_err().to_string();
        assert!(error.contains("rotate") && error.contains("rotation"), "{error}");
        let config: TransformConfig = serde_json::from_str(r#"{"rotation": 3}"#).unwrap();
        assert_eq!(config, TransformConfig { rotation: 3.0, ..Default::default() });
    }
}
