//! The buffers of a warp.

use super::squares::{Beyond, Source};
use crate::image::Bitmap;
use crate::simd::Level;

/// Buffers of one worker for one row; they grow to the widest image.
#[derive(Default)]
pub(in super::super) struct Buffers {
    pub(in super::super) source: Source,
    pub(in super::super) columns: [Vec<f64>; 2], // [w], what a column adds to x and y in Pillow's arithmetic
    pub(in super::super) steps: [Vec<i32>; 2],   // the same in OpenCV's
    pub(in super::super) exact: [Vec<f64>; 2],   // [w], x and y of one row, then the fractions
    pub(in super::super) places: [Vec<i32>; 2],  // [w], x and y of one row, in 32nds
    pub(in super::super) fractions: [Vec<f32>; 2], // [w]
    pub(in super::super) squares: Vec<u32>,      // [w]
    pub(in super::super) quads: Vec<u32>,        // [C, w]
    pub(in super::super) planes: Vec<u8>,        // [C, w]
}

impl Buffers {
    /// Takes in the image and makes room for one row.
    pub(super) fn prepare(&mut self, level: Level, image: &Bitmap, beyond: Beyond) {
        let width = image.width;
        self.source.load(level, image, beyond);
        self.exact.iter_mut().for_each(|row| row.resize(width, 0.0));
        self.places.iter_mut().for_each(|row| row.resize(width, 0));
        self.fractions.iter_mut().for_each(|row| row.resize(width, 0.0));
        self.squares.resize(width, 0);
        self.quads.resize(image.stride(), 0);
        self.planes.resize(image.stride(), 0);
    }
}
