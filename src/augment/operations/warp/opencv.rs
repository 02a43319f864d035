//! Warps by OpenCV's arithmetic: places in whole 32nds of a pixel, 0 at the first pixel's centre.

use super::super::border::Border;
use super::super::pixels::TO_INTEGER;
use super::super::scratch::Scratch;
use super::buffers::Buffers;
use super::squares::{Beyond, Extent, interpolate, make_row};
use crate::image::Bitmap;
use crate::simd::Level;

/// A warp by OpenCV's arithmetic. `place` says for a row of the target where its pixels lie, in 32nds of a
/// pixel.
///
/// Returns the number of pixels whose place lies outside the source.
pub(in super::super) fn warp(
    image: &mut Bitmap,
    border: Border,
    scratch: &mut Scratch,
    mut place: impl FnMut(Level, usize, [&mut [i32]; 2]),
) -> usize {
    if image.pixels.is_empty() {
        return 0;
    }
    let Scratch { level, target, warp: buffers, .. } = scratch;
    let (level, channels, width, height) = (*level, image.channels, image.width, image.height);
    target.take_shape_of(image);
    buffers.prepare(level, image, if border == Border::Black { Beyond::Black } else { Beyond::Edge });
    let Buffers { source, places: [x, y], fractions: [across, down], squares, quads, planes, .. } = buffers;

    let mut uncovered = 0;
    for (row, pixels) in target.pixels.chunks_exact_mut(image.stride()).enumerate() {
        place(level, row, [x, y]);
        uncovered += count_outside(level, x, y, source.extent);
        if border != Border::Black {
            bring_inside(level, border, width, x);
            bring_inside(level, border, height, y);
        }
        locate(level, [x, y], source.extent, squares, [across, down]);
        source.fetch(level, squares, quads);
        make_row(level, planes, pixels, channels, |channel, plane| {
            interpolate(level, &quads[channel * width..][..width], across, down, plane);
        });
    }
    std::mem::swap(image, target);
    uncovered
}

/// 32nds.
const ONE: i32 = 32;
/// OpenCV's `saturate_cast<int>`: half to even. NaN becomes any number.
#[inline(always)]
pub(in super::super) fn to_integer(value: f64) -> i32 {
    const LIMITS: [f64; 2] = [i32::MIN as f64, i32::MAX as f64];
    let value = if value > LIMITS[0] { value } else { LIMITS[0] };
    let value = if value < LIMITS[1] { value } else { LIMITS[1] };
    (value + TO_INTEGER).to_bits() as i32
}

vectorized! {
    pub(in super::super) fn place(steps: &[i32], start: i32, places: &mut [i32]) {
        for (place, &step) in places.iter_mut().zip(steps) {
            *place = step.wrapping_add(start).wrapping_add(16) >> 5;
        }
    }
}

vectorized! {
    /// The places of a block of columns; `terms`: x, y and their common divisor, each as the value at the
    /// first column and its growth from column to column.
    pub(in super::super) fn project(terms: [(f64, f64); 3], x: &mut [i32], y: &mut [i32]) {
        for (column, (x, y)) in x.iter_mut().zip(y).enumerate() {
            let [a, b, divisor] = terms.map(|(start, growth)| start + growth * f64::from(column as i32));
            let scale = if divisor != 0.0 { f64::from(ONE) / divisor } else { 0.0 };
            *x = to_integer(a * scale);
            *y = to_integer(b * scale);
        }
    }
}

vectorized! {
    fn count_outside(x: &[i32], y: &[i32], extent: Extent) -> usize {
        let (width, height) = (extent.width * ONE as u32, extent.height * ONE as u32);
        let outside = |(&x, &y): (&i32, &i32)| {
            // What is negative is very large without a sign.
            let (x, y) = (x.wrapping_add(ONE / 2) as u32, y.wrapping_add(ONE / 2) as u32);
            u32::from((x >= width) | (y >= height))
        };
        x.iter().zip(y).map(outside).sum::<u32>() as usize
    }
}

/// Moves places that lie beyond the centres of the outermost pixels onto them or mirrors them at them.
fn bring_inside(level: Level, border: Border, length: usize, places: &mut [i32]) {
    let last = (length as i32 - 1) * ONE;
    if border == Border::Replicate {
        limit(level, last, places);
    } else if mirror(level, last, places) {
        for place in places.iter_mut().filter(|place| **place < 0) {
            // The place is last - (distance - last): the distance from the first pixel is known.
            let distance = 2 * last - *place;
            let folded = if last == 0 { 0 } else { distance % (2 * last) };
            *place = folded.min(2 * last - folded);
        }
    }
}

vectorized! {
    fn limit(last: i32, places: &mut [i32]) {
        for place in places {
            *place = (*place).clamp(0, last);
        }
    }
}

vectorized! {
    /// Mirrors once at either end. Whether any place is still beyond the first pixel: one further away than
    /// the image is long.
    fn mirror(last: i32, places: &mut [i32]) -> bool {
        let mut signs = 0;
        for place in places {
            // OpenCV keeps 16 bits of the whole pixels.
            let near = (*place >> 5).clamp(i16::MIN.into(), i16::MAX.into()) * ONE + (*place & (ONE - 1));
            *place = last - (last - near.abs()).abs();
            signs |= *place;
        }
        signs < 0
    }
}

vectorized! {
    /// Places to squares and the places in them, 0 to 1.
    fn locate(places: [&[i32]; 2], extent: Extent, squares: &mut [u32], fractions: [&mut [f32]; 2]) {
        let ([x, y], [across, down]) = (places, fractions);
        let places = x.iter().zip(y).zip(squares).zip(across.iter_mut().zip(down));
        for (((&x, &y), square), (across, down)) in places {
            // The squares begin a pixel before the first pixel's centre.
            let (left, top) = (x.wrapping_add(ONE) as u32 >> 5, y.wrapping_add(ONE) as u32 >> 5);
            let inside = (left <= extent.width) & (top <= extent.height);
            let number = top.wrapping_mul(extent.width + 2).wrapping_add(left);
            *square = if inside { number } else { extent.outside };
            *across = (x & (ONE - 1)) as f32 * (1.0 / ONE as f32);
            *down = (y & (ONE - 1)) as f32 * (1.0 / ONE as f32);
        }
    }
}
