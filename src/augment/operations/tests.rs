//! Tests of several operations: against Pillow and OpenCV, at any size, with any parameter.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::testing::{BORDERS, SIZES, at, random};
use super::{Border, NAMES, Operation, Operations, Scratch};
use crate::image::Bitmap;
use crate::random::{Purpose, rng};
use crate::simd::Level;

fn brightness(factor: f64) -> Operation {
    Operation::Brightness(super::brightness::Drawn { factor })
}

fn contrast(factor: f64) -> Operation {
    Operation::Contrast(super::contrast::Drawn { factor })
}

fn sharpness(factor: f64) -> Operation {
    Operation::Sharpness(super::sharpness::Drawn { factor })
}

fn flip() -> Operation {
    Operation::Flip(super::flip::Drawn {})
}

fn blur(kernel: usize) -> Operation {
    Operation::Blur(super::blur::Drawn { kernel })
}

fn rotation(angle: f64) -> Operation {
    Operation::Rotation(super::rotation::Drawn { angle })
}

fn affine(angle: f64, scale: f64) -> Operation {
    Operation::Affine(super::affine::Drawn { angle, scale })
}

fn perspective(corners: [[f32; 2]; 4]) -> Operation {
    Operation::Perspective(super::perspective::Drawn { corners })
}

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

    fn operation(&self) -> Operation {
        match self.operation.as_str() {
            "brightness" => brightness(self.factor.unwrap()),
            "contrast" => contrast(self.factor.unwrap()),
            "flip" => flip(),
            "sharpness" => sharpness(self.factor.unwrap()),
            "blur" => blur(self.kernel.unwrap()),
            "rotation" => rotation(self.angle.unwrap()),
            "affine" => affine(self.angle.unwrap(), self.scale.unwrap()),
            "perspective" => perspective(self.corners.unwrap()),
            other => panic!("unknown operation: {other}"),
        }
    }

    /// The matrix that OpenCV makes of the parameters, where it does, and ours.
    fn matrices(&self) -> Option<(&[f64], Vec<f64>)> {
        let [w, h] = self.size;
        let ours = match self.operation.as_str() {
            "affine" => {
                super::affine::turn_and_scale(w, h, self.angle.unwrap(), self.scale.unwrap()).to_vec()
            }
            "perspective" => super::perspective::homography(w, h, self.corners.unwrap()).to_vec(),
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

#[test]
fn each_operation_gives_the_bytes_of_pillow_and_opencv() {
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for level in Level::available() {
        let mut scratch = at(level);
        for (entry, source, result) in cases() {
            let mut ours = source;
            entry.operation().apply(&mut ours, entry.border.unwrap_or(Border::Black), &mut scratch);
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

/// All operations with parameters that go far.
fn everything(image: &Bitmap, scratch: &mut Scratch) -> Vec<Bitmap> {
    let mut cases: Vec<(Border, Operation)> = Vec::new();
    let mut push = |operation| cases.push((Border::Black, operation));
    for factor in [0.0, 0.5, 1.0, 1.3, 10.0, -1.0, f64::MAX, f64::NAN] {
        push(brightness(factor));
        push(contrast(factor));
        push(sharpness(factor));
        push(Operation::Saturation(super::saturation::Drawn { factor: factor as f32 }));
        push(Operation::Hue(super::hue::Drawn { shift: (factor % 1.0) as f32 }));
        push(Operation::Noise(super::noise::Drawn { sigma: factor * 20.0, seed: 1 }));
    }
    push(flip());
    for kernel in [3, 5, 7] {
        push(blur(kernel));
    }
    for border in BORDERS {
        let mut push = |operation| cases.push((border, operation));
        for angle in [0.0, 7.7, -45.0, 90.0, 180.0, 1e9, f64::INFINITY] {
            push(rotation(angle));
            for scale in [0.1, 1.0, 10.0, 0.0, 1e-30, 1e30, f64::NAN] {
                push(affine(angle, scale));
            }
        }
        let (w, h) = (image.width as f32, image.height as f32);
        for corners in [
            [[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]],
            [[w * 0.3, h * 0.2], [w * 0.9, 0.0], [0.0, h * 0.6], [w * 0.7, h]],
            [[-w * 0.5, -h * 0.5], [w * 1.5, 0.0], [0.0, h * 1.5], [w * 1.4, h]],
            [[w * 0.5, h * 0.5]; 4],
            [[0.0, 0.0], [w, h], [0.0, h], [w, 0.0]],
            [[f32::NAN, 0.0], [w, 0.0], [0.0, h], [w, h]],
            [[1e38, -1e38], [w, 1e-38], [0.0, h], [w, h]],
        ] {
            push(perspective(corners));
        }
        for (right, down) in [(0, 0), (3, -2), (-1, 40), (i64::MAX, i64::MIN)] {
            push(Operation::Translate(super::translate::Drawn { right, down }));
        }
    }
    let changed = cases.into_iter().map(|(border, operation)| {
        let mut image = image.clone();
        operation.apply(&mut image, border, scratch);
        image
    });
    changed.collect()
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

fn white(width: usize, height: usize, channels: usize) -> Bitmap {
    Bitmap::new(width, height, channels, vec![255; width * height * channels])
}

#[test]
fn only_the_black_border_is_black() {
    let mut scratch = Scratch::default();
    for (w, h) in SIZES {
        for channels in [1, 3] {
            for border in [Border::Reflect101, Border::Replicate] {
                let mut image = white(w, h, channels);
                rotation(33.0).apply(&mut image, border, &mut scratch);
                affine(-100.0, 0.2).apply(&mut image, border, &mut scratch);
                let (right, bottom) = (w as f32, h as f32);
                let corners = [
                    [right * 0.4, bottom * 0.3],
                    [right * 0.8, 0.0],
                    [0.0, bottom],
                    [right * 0.6, bottom * 0.7],
                ];
                perspective(corners).apply(&mut image, border, &mut scratch);
                assert!(image == white(w, h, channels), "{image:?}, {border:?}");
            }
        }
    }
}

#[test]
fn uncovered_pixels_are_counted() {
    let mut scratch = Scratch::default();
    for (w, h) in [(64, 64), (48, 31), (9, 40)] {
        let corners = [[0.0, 0.0], [w as f32, 0.0], [0.0, h as f32], [w as f32, h as f32]];
        for border in BORDERS {
            let mut image = random(w, h, 3);
            assert_eq!(rotation(0.0).apply(&mut image, border, &mut scratch), 0);
            assert_eq!(affine(0.0, 1.0).apply(&mut image, border, &mut scratch), 0);
            assert_eq!(perspective(corners).apply(&mut image, border, &mut scratch), 0);
            assert_eq!(rotation(180.0).apply(&mut image, border, &mut scratch), 0);
            assert!(image != random(w, h, 3));
            assert_eq!(rotation(-180.0).apply(&mut image, border, &mut scratch), 0);
            assert!(image == random(w, h, 3));
        }
        for angle in [7.0, -45.0, 120.0] {
            // In a white image Pillow's border is black and all else is not.
            let mut image = white(w, h, 1);
            let uncovered = rotation(angle).apply(&mut image, Border::Black, &mut scratch);
            assert_eq!(uncovered, image.pixels.iter().filter(|&&level| level == 0).count());
            assert!(uncovered > 0);
            for border in BORDERS {
                assert_eq!(rotation(angle).apply(&mut random(w, h, 3), border, &mut scratch), uncovered);
                // The same rotation about the same point but for half a pixel.
                let other = affine(angle, 1.0).apply(&mut random(w, h, 3), border, &mut scratch);
                assert!(other.abs_diff(uncovered) <= w + h, "{other} for {uncovered}");
            }
        }
        // At half the size a quarter is covered.
        let uncovered = affine(0.0, 0.5).apply(&mut random(w, h, 3), Border::Reflect101, &mut scratch);
        assert!((uncovered as f64 / (w * h) as f64 - 0.75).abs() < 0.05);
    }
}

#[test]
fn a_positive_angle_turns_counter_clockwise() {
    for turn in [rotation(90.0), affine(90.0, 1.0)] {
        // A bright spot to the right of the centre goes up.
        let mut image = Bitmap::new(41, 41, 1, vec![0; 41 * 41]);
        for y in 19..=21 {
            image.pixels[y * 41 + 34..][..3].fill(255);
        }
        turn.apply(&mut image, Border::Black, &mut Scratch::default());
        assert_eq!(image.pixels[6 * 41 + 20], 255);
    }
}

#[test]
fn an_operation_read_from_the_manifest_does_the_same() {
    let settings = Operations::safe();
    for (index, name) in NAMES.into_iter().enumerate() {
        let operation = settings.draw(index, 48, 48, &mut rng(3, Purpose::Augment, 0, 0));
        assert_eq!(operation.index(), index);
        let text = serde_json::to_string(&operation).unwrap();
        assert!(text.starts_with(&format!("{{\"name\":\"{name}\"")), "{text}");
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), operation);
        let label = operation.label();
        assert!((1..=24).contains(&label.chars().count()), "{name}: {label}");
    }
}
