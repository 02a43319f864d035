//! What the tests of several operations share.

use rand::RngExt;

use super::border::{Border, reflect};
use super::scratch::Scratch;
use crate::image::Bitmap;
use crate::random::{Purpose, rng};
use crate::simd::Level;

pub(super) const BORDERS: [Border; 3] = [Border::Black, Border::Reflect101, Border::Replicate];

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

/// Buffers for one version of the code.
pub(super) fn at(level: Level) -> Scratch {
    Scratch { level, ..Scratch::default() }
}

/// An image of random levels.
pub(super) fn random(width: usize, height: usize, channels: usize) -> Bitmap {
    let mut random = rng(9, Purpose::Draw, (width * 4 + channels) as u64, height as u64);
    Bitmap::new(width, height, channels, (0..width * height * channels).map(|_| random.random()).collect())
}

/// The pixel that the border shows there.
pub(super) fn shown(position: i64, length: usize, border: Border) -> Option<usize> {
    match border {
        _ if (0..length as i64).contains(&position) => Some(position as usize),
        Border::Black => None,
        Border::Reflect101 => Some(reflect(position, length)),
        Border::Replicate => Some(position.clamp(0, length as i64 - 1) as usize),
    }
}
