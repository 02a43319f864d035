//! The operations of the offline augmenter: each changes one 8-bit image in place.
//!
//! Brightness, contrast, sharpness, flip and [`rotation`] give the bytes of Pillow 11.2.1; [`blur`],
//! [`affine`] and [`perspective`] those of opencv-python-headless 4.11.0.86 (`scripts/augment_fixtures.py`).
//! Saturation and hue are the trainer's own (`super::color`). None of them fails or panics, whatever the
//! parameters; an image without pixels stays as it is.
//!
//! Legend: w, h the image's width and height; C its channels. The place of a pixel is its centre; the image
//! covers half a pixel around the outermost places.

mod filter;
mod noise;
mod points;
mod squares;
mod warp;

use serde::{Deserialize, Serialize};

use crate::image::Bitmap;
use crate::simd::Level;

pub use filter::{blur, sharpness};
pub use noise::noise;
pub use points::{brightness, contrast, flip, hue, saturation};
pub use warp::{affine, perspective, rotation, translate};

/// What an operation that moves pixels shows beyond the edge of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Border {
    /// Black.
    Black,
    /// The image mirrored about the centres of its outermost pixels: `dcb|abcd|cba`.
    #[default]
    Reflect101,
    /// The outermost pixels again and again: `aaa|abcd|ddd`.
    Replicate,
}

/// The buffers of one worker. They grow to the largest image; from then on no operation allocates.
#[derive(Default)]
pub struct Scratch {
    level: Level,
    /// Where an operation writes that cannot work in place; then exchanged with the image.
    target: Bitmap,
    filter: filter::Buffers,
    noise: noise::Table,
    bytes: Vec<u8>,   // planes [3, n] of a piece of the image
    planes: Vec<f32>, // the same
    warp: warp::Buffers,
}

/// The position that reflect-101 shows at `position` of a line of `length` pixels.
fn reflect(position: i64, length: usize) -> usize {
    let last = length as i64 - 1;
    let mirrored = last - (last - position.abs()).abs(); // once at either end
    if mirrored >= 0 {
        return mirrored as usize;
    }
    if last == 0 {
        return 0;
    }
    let position = position.rem_euclid(2 * last);
    position.min(2 * last - position) as usize
}

/// Pillow's `Image.blend` of a level with that of a degenerate image (`Blend.c`): `d + factor * (level - d)`
/// in f32, clipped and truncated. What lies between the two, for a factor of 0 to 1, is not changed by
/// clipping.
#[inline(always)]
fn blended(level: u8, other: u8, factor: f32) -> u8 {
    truncated(f32::from(other) + factor * f32::from(i16::from(level) - i16::from(other)))
}

/// The level, clipped and without what is behind the point; 0 for NaN. The same as `level as u8`, which
/// compilers do not turn into vector instructions.
#[inline(always)]
fn truncated(level: f32) -> u8 {
    let level = if level > 0.0 { level } else { 0.0 };
    let level = if level < 255.0 { level } else { 255.0 };
    // SAFETY: 0 to 255, and NaN has become 0.
    unsafe { level.to_int_unchecked::<i32>() as u8 }
}

/// As [`truncated`].
#[inline(always)]
fn truncated_exactly(level: f64) -> u8 {
    let level = if level > 0.0 { level } else { 0.0 };
    let level = if level < 255.0 { level } else { 255.0 };
    // SAFETY: 0 to 255, and NaN has become 0.
    unsafe { level.to_int_unchecked::<i32>() as u8 }
}

vectorized! {
    /// Pixels `[n, 3]` to planes `[3, n]`.
    fn deinterleave(pixels: &[u8], planes: &mut [u8]) {
        let (red, rest) = planes.split_at_mut(pixels.len() / 3);
        let (green, blue) = rest.split_at_mut(pixels.len() / 3);
        for (((pixel, red), green), blue) in pixels.as_chunks::<3>().0.iter().zip(red).zip(green).zip(blue) {
            [*red, *green, *blue] = *pixel;
        }
    }
}

vectorized! {
    /// Planes `[3, n]` to pixels `[n, 3]`.
    fn interleave(planes: &[u8], pixels: &mut [u8]) {
        let (red, rest) = planes.split_at(pixels.len() / 3);
        let (green, blue) = rest.split_at(pixels.len() / 3);
        for (((pixel, &red), &green), &blue) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(red).zip(green).zip(blue) {
            *pixel = [red, green, blue];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use rand::RngExt;

    use super::*;
    use crate::random::{Purpose, rng};

    #[derive(Deserialize)]
    struct Entry {
        operation: String,
        size: [usize; 2],
        channels: usize,
        source: usize,
        result: usize,
        factor: Option<f64>,
        angle: Option<f64>,
        scale: Option<f64>,
        kernel: Option<usize>,
        corners: Option<[[f32; 2]; 4]>,
        border: Option<Border>,
        matrix: Option<Vec<f64>>,
    }

    impl Entry {
        fn describe(&self) -> String {
            let Self { operation, size: [w, h], channels, factor, angle, scale, kernel, border, .. } = self;
            format!("{operation} of {w}x{h}x{channels}: {factor:?} {angle:?} {scale:?} {kernel:?} {border:?}")
        }

        fn apply(&self, image: &mut Bitmap, scratch: &mut Scratch) {
            let border = self.border.unwrap_or(Border::Black);
            match self.operation.as_str() {
                "brightness" => points::brightness_at(scratch.level, image, self.factor.unwrap()),
                "contrast" => points::contrast_at(scratch.level, image, self.factor.unwrap()),
                "flip" => points::flip_at(scratch.level, image),
                "sharpness" => sharpness(image, self.factor.unwrap(), scratch),
                "blur" => blur(image, self.kernel.unwrap(), scratch),
                "rotation" => _ = rotation(image, self.angle.unwrap(), border, scratch),
                "affine" => _ = affine(image, self.angle.unwrap(), self.scale.unwrap(), border, scratch),
                "perspective" => _ = perspective(image, self.corners.unwrap(), border, scratch),
                other => panic!("no operation: {other}"),
            }
        }

        /// The matrix that OpenCV makes of the parameters, where it does, and ours.
        fn matrices(&self) -> Option<(&[f64], Vec<f64>)> {
            let [w, h] = self.size;
            let ours = match self.operation.as_str() {
                "affine" => warp::turn_and_scale(w, h, self.angle.unwrap(), self.scale.unwrap()).to_vec(),
                "perspective" => warp::homography(w, h, self.corners.unwrap()).to_vec(),
                _ => return None,
            };
            Some((self.matrix.as_deref().unwrap(), ours))
        }
    }

    /// The committed cases, or those of the folder in AUGMENT_FIXTURES.
    fn cases() -> Vec<(Entry, Bitmap, Bitmap)> {
        let committed = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment");
        let folder = std::env::var_os("AUGMENT_FIXTURES").map_or_else(committed, PathBuf::from);
        let data = std::fs::read(folder.join("images.bin")).unwrap();
        let entries: Vec<Entry> =
            serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
        let case = |entry: Entry| {
            let ([w, h], c) = (entry.size, entry.channels);
            let image = |begin: usize| Bitmap::new(w, h, c, data[begin..][..w * h * c].to_vec());
            let (source, result) = (image(entry.source), image(entry.result));
            (entry, source, result)
        };
        entries.into_iter().map(case).collect()
    }

    pub(super) fn at(level: Level) -> Scratch {
        Scratch { level, ..Scratch::default() }
    }

    /// An image of random levels.
    pub(super) fn random(width: usize, height: usize, channels: usize) -> Bitmap {
        let mut random = rng(9, Purpose::Draw, (width * 4 + channels) as u64, height as u64);
        Bitmap::new(
            width,
            height,
            channels,
            (0..width * height * channels).map(|_| random.random()).collect(),
        )
    }

    pub(super) const SIZES: [(usize, usize); 12] = [
        (1, 1),
        (1, 2),
        (2, 1),
        (1, 9),
        (9, 1),
        (2, 2),
        (3, 3),
        (5, 4),
        (17, 33),
        (64, 48),
        (100, 37),
        (35, 130),
    ];

    #[test]
    fn each_operation_gives_the_bytes_of_pillow_and_opencv() {
        let mut counts = BTreeMap::<String, (usize, usize)>::new();
        for level in Level::available() {
            let mut scratch = at(level);
            for (entry, source, result) in cases() {
                let mut ours = source;
                entry.apply(&mut ours, &mut scratch);
                let differing = ours.pixels.iter().zip(&result.pixels).filter(|(a, b)| a != b).count();
                if differing > 0 && std::env::var_os("AUGMENT_FIXTURES").is_some() {
                    eprintln!("{level:?}: {}: {differing} bytes differ", entry.describe());
                }
                let count = counts.entry(entry.operation).or_default();
                *count = (count.0 + 1, count.1 + differing);
            }
        }
        eprintln!("(cases, differing bytes): {counts:?}");
        assert_eq!(counts.len(), 8);
        assert!(counts.values().all(|&(cases, differing)| cases >= 10 && differing == 0), "{counts:?}");
    }

    #[test]
    fn the_matrices_are_opencvs_to_the_last_bit() {
        let mut count = 0;
        for (entry, ..) in cases() {
            if let Some((theirs, ours)) = entry.matrices() {
                assert_eq!(theirs, ours, "{}", entry.describe());
                count += 1;
            }
        }
        assert!(count >= 50);
    }

    #[test]
    fn borders_have_the_names_of_the_configuration() {
        for (border, name) in
            [(Border::Black, "black"), (Border::Reflect101, "reflect101"), (Border::Replicate, "replicate")]
        {
            assert_eq!(serde_json::to_string(&border).unwrap(), format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Border>(&format!("\"{name}\"")).unwrap(), border);
        }
        assert_eq!(Border::default(), Border::Reflect101);
    }

    /// All operations with parameters that go far.
    fn everything(image: &Bitmap, scratch: &mut Scratch) -> Vec<Bitmap> {
        let mut results = Vec::new();
        let mut push = |scratch: &mut Scratch, change: &dyn Fn(&mut Bitmap, &mut Scratch)| {
            let mut image = image.clone();
            change(&mut image, scratch);
            results.push(image);
        };
        for factor in [0.0, 0.5, 1.0, 1.3, 10.0, -1.0, f64::MAX, f64::NAN] {
            push(scratch, &|image, scratch| points::brightness_at(scratch.level, image, factor));
            push(scratch, &|image, scratch| points::contrast_at(scratch.level, image, factor));
            push(scratch, &|image, scratch| sharpness(image, factor, scratch));
            push(scratch, &|image, scratch| saturation(image, factor as f32, scratch));
            push(scratch, &|image, scratch| hue(image, (factor % 1.0) as f32, scratch));
            push(scratch, &|image, scratch| {
                noise(image, factor * 20.0, &mut rng(1, Purpose::Draw, 0, 0), scratch)
            });
        }
        push(scratch, &|image, scratch| points::flip_at(scratch.level, image));
        for kernel in [3, 5, 7] {
            push(scratch, &|image, scratch| blur(image, kernel, scratch));
        }
        for border in [Border::Black, Border::Reflect101, Border::Replicate] {
            for angle in [0.0, 7.7, -45.0, 90.0, 180.0, 1e9, f64::INFINITY] {
                push(scratch, &|image, scratch| _ = rotation(image, angle, border, scratch));
                for scale in [0.1, 1.0, 10.0, 0.0, 1e-30, 1e30, f64::NAN] {
                    push(scratch, &|image, scratch| _ = affine(image, angle, scale, border, scratch));
                }
            }
            let (w, h) = (image.width as f32, image.height as f32);
            let corners = [
                [[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]],
                [[w * 0.3, h * 0.2], [w * 0.9, 0.0], [0.0, h * 0.6], [w * 0.7, h]],
                [[-w * 0.5, -h * 0.5], [w * 1.5, 0.0], [0.0, h * 1.5], [w * 1.4, h]],
                [[w * 0.5, h * 0.5]; 4],
                [[0.0, 0.0], [w, h], [0.0, h], [w, 0.0]],
                [[f32::NAN, 0.0], [w, 0.0], [0.0, h], [w, h]],
                [[1e38, -1e38], [w, 1e-38], [0.0, h], [w, h]],
            ];
            for corners in corners {
                push(scratch, &|image, scratch| _ = perspective(image, corners, border, scratch));
            }
            for (right, down) in [(0, 0), (3, -2), (-1, 40), (i64::MAX, i64::MIN)] {
                push(scratch, &|image, scratch| _ = translate(image, right, down, border, scratch));
            }
        }
        results
    }

    #[test]
    fn any_size_and_parameter_is_safe_and_the_versions_of_the_code_agree() {
        let mut scratches: Vec<Scratch> = Level::available().map(at).collect();
        for (w, h) in SIZES {
            for channels in [1, 3] {
                let image = random(w, h, channels);
                let mut versions = scratches.iter_mut().map(|scratch| everything(&image, scratch));
                let portable = versions.next().unwrap();
                assert!(
                    portable
                        .iter()
                        .all(|result| (result.width, result.height, result.channels) == (w, h, channels))
                );
                for version in versions {
                    for (i, (a, b)) in portable.iter().zip(&version).enumerate() {
                        assert!(a == b, "{image:?}: operation {i}");
                    }
                }
            }
        }
        let none = everything(&Bitmap::new(0, 0, 3, Vec::new()), &mut Scratch::default());
        assert!(none.iter().all(|result| result.pixels.is_empty()));
    }

    #[test]
    fn a_scratch_carries_nothing_over() {
        let mut used = Scratch::default();
        for (w, h) in [(100, 37), (5, 4), (64, 48), (1, 9), (17, 33)] {
            for channels in [3, 1] {
                let image = random(w, h, channels);
                assert!(
                    everything(&image, &mut used) == everything(&image, &mut Scratch::default()),
                    "{image:?}"
                );
            }
        }
    }
}
