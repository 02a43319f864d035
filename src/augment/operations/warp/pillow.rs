//! Affine warps by Pillow's arithmetic (`Geometry.c`): places in f64, 0 at the edge of the first pixel.

use super::super::border::Border;
use super::super::pixels::TO_INTEGER;
use super::super::scratch::Scratch;
use super::buffers::Buffers;
use super::squares::{Beyond, Extent, interpolate_exactly, make_row};
use crate::image::Bitmap;
use crate::simd::Level;

/// Takes the pixel (x, y) from `matrix` · (x, y, 1), where `matrix` is `[a b c d e f]` in rows, with bilinear
/// resampling. Pillow knows only the black border; with the others, places beyond the centres of the
/// outermost pixels are mirrored at them or moved onto them, and the arithmetic is the same.
///
/// Returns the number of pixels whose place lies outside the source.
pub(in super::super) fn warp(
    image: &mut Bitmap,
    matrix: [f64; 6],
    border: Border,
    scratch: &mut Scratch,
) -> usize {
    if image.pixels.is_empty() {
        return 0;
    }
    let Scratch { level, target, warp: buffers, .. } = scratch;
    let (level, channels, width, height) = (*level, image.channels, image.width, image.height);
    target.take_shape_of(image);
    // Pillow shows the outermost pixels up to the edge of the image and black only beyond.
    buffers.prepare(level, image, Beyond::Edge);
    let Buffers { source, columns, exact: [x, y], squares, quads, planes, .. } = buffers;

    for (column, factor) in columns.iter_mut().zip([matrix[0], matrix[3]]) {
        column.clear();
        column.extend((0..width).map(|x| factor * (x as f64 + 0.5)));
    }
    let mut uncovered = 0;
    for (row, pixels) in target.pixels.chunks_exact_mut(image.stride()).enumerate() {
        let row = row as f64 + 0.5;
        place_exactly(level, &columns[0], matrix[1] * row, matrix[2], x);
        place_exactly(level, &columns[1], matrix[4] * row, matrix[5], y);
        if border == Border::Black {
            uncovered += locate_exactly(level, x, y, source.extent, squares);
        } else {
            uncovered += count_outside_exactly(level, x, y, source.extent);
            bring_inside_exactly(level, border, width, x);
            bring_inside_exactly(level, border, height, y);
            locate_exactly(level, x, y, source.extent, squares);
        }
        source.fetch(level, squares, quads);
        make_row(level, planes, pixels, channels, |channel, plane| {
            interpolate_exactly(level, &quads[channel * width..][..width], x, y, plane);
        });
    }
    std::mem::swap(image, target);
    uncovered
}

vectorized! {
    fn place_exactly(columns: &[f64], row: f64, shift: f64, places: &mut [f64]) {
        for (place, &column) in places.iter_mut().zip(columns) {
            *place = column + row + shift;
        }
    }
}

vectorized! {
    fn count_outside_exactly(x: &[f64], y: &[f64], extent: Extent) -> usize {
        let (width, height) = (f64::from(extent.width), f64::from(extent.height));
        let inside = |(&x, &y): (&f64, &f64)| u32::from((x >= 0.0) & (x < width) & (y >= 0.0) & (y < height));
        x.len() - x.iter().zip(y).map(inside).sum::<u32>() as usize
    }
}

/// Moves places that lie beyond the centres of the outermost pixels onto them or mirrors them at them.
fn bring_inside_exactly(level: Level, border: Border, length: usize, places: &mut [f64]) {
    let last = length as f64 - 1.0;
    if border == Border::Replicate {
        limit_exactly(level, last, places);
    } else if mirror_exactly(level, last, places) {
        for place in places.iter_mut().filter(|place| **place < 0.5) {
            let distance = 2.0 * last - (*place - 0.5);
            let folded = if last == 0.0 { 0.0 } else { distance % (2.0 * last) };
            *place = folded.min(2.0 * last - folded) + 0.5;
        }
    }
}

vectorized! {
    fn limit_exactly(last: f64, places: &mut [f64]) {
        for place in places {
            let inner = if *place > 0.5 { *place } else { 0.5 };
            *place = if inner < last + 0.5 { inner } else { last + 0.5 };
        }
    }
}

vectorized! {
    /// Mirrors once at either end. Whether any place is still beyond the first pixel.
    fn mirror_exactly(last: f64, places: &mut [f64]) -> bool {
        let mut signs = 0;
        for place in places {
            let mirrored = last - (last - (*place - 0.5).abs()).abs();
            *place = mirrored + 0.5;
            signs |= mirrored.to_bits();
        }
        signs >> 63 != 0
    }
}

vectorized! {
    /// Places to squares; the places become those in the squares, 0 to 1. Returns how many are outside.
    fn locate_exactly(x: &mut [f64], y: &mut [f64], extent: Extent, squares: &mut [u32]) -> usize {
        let (width, height) = (f64::from(extent.width), f64::from(extent.height));
        let mut outside = 0;
        for ((x, y), square) in x.iter_mut().zip(y).zip(squares) {
            let inside = (*x >= 0.0) & (*x < width) & (*y >= 0.0) & (*y < height);
            let (across, left) = split(if inside { *x - 0.5 } else { 0.0 });
            let (down, top) = split(if inside { *y - 0.5 } else { 0.0 });
            // The squares begin a pixel before the first pixel's centre.
            let number = (top + 1) * (extent.width as i32 + 2) + left + 1;
            *square = if inside { number as u32 } else { extent.outside };
            (*x, *y) = (across, down);
            outside += u32::from(!inside);
        }
        outside as usize
    }
}

/// The fraction and the next lower whole number.
#[inline(always)]
fn split(value: f64) -> (f64, i32) {
    let nearest = (value + TO_INTEGER) - TO_INTEGER;
    let floor = if nearest > value { nearest - 1.0 } else { nearest };
    (value - floor, (floor + TO_INTEGER).to_bits() as i32)
}
