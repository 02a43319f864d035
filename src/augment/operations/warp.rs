//! What moves pixels: rotation, scale, perspective and translation.
//!
//! Row by row: the places of the target's pixels in the source (by Pillow's or by OpenCV's arithmetic), then
//! the squares of four source pixels around them, then the levels between the four (`squares`).

use std::f64::consts::PI;

use super::squares::{Beyond, Extent, Source, interpolate, interpolate_exactly, make_row};
use super::{Border, Scratch, reflect};
use crate::image::Bitmap;
use crate::simd::Level;

#[derive(Default)]
pub(super) struct Buffers {
    source: Source,
    columns: [Vec<f64>; 2], // [w], what a column adds to x and y in Pillow's arithmetic
    steps: [Vec<i32>; 2],   // the same in OpenCV's
    exact: [Vec<f64>; 2],   // [w], x and y of one row, then the fractions
    places: [Vec<i32>; 2],  // [w], x and y of one row, in 32nds
    fractions: [Vec<f32>; 2], // [w]
    squares: Vec<u32>,      // [w]
    quads: Vec<u32>,        // [C, w]
    planes: Vec<u8>,        // [C, w]
}

impl Buffers {
    /// Takes in the image and makes room for one row.
    fn prepare(&mut self, level: Level, image: &Bitmap, beyond: Beyond) {
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

/// Turns about the centre by `angle` degrees, counter-clockwise if positive, as Pillow's `Image.rotate` with
/// bilinear resampling does (`Geometry.c`). Pillow knows only the black border; with the others, places
/// beyond the centres of the outermost pixels are mirrored at them or moved onto them, and the arithmetic is
/// the same.
///
/// Returns the number of pixels whose place lies outside of the source.
pub fn rotation(image: &mut Bitmap, angle: f64, border: Border, scratch: &mut Scratch) -> usize {
    if image.pixels.is_empty() {
        return 0;
    }
    let Scratch { level, target, warp: buffers, .. } = scratch;
    let (level, channels, width, height) = (*level, image.channels, image.width, image.height);
    target.take_shape_of(image);
    // Pillow shows the outermost pixels up to the edge of the image and black only beyond.
    buffers.prepare(level, image, Beyond::Edge);
    let Buffers { source, columns, exact: [x, y], squares, quads, planes, .. } = buffers;

    let matrix = turn(width, height, angle);
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

/// Turns about (w / 2, h / 2) by `angle` degrees, counter-clockwise if positive, and enlarges by `scale` > 0,
/// as OpenCV's `warpAffine(image, getRotationMatrix2D((w / 2, h / 2), angle, scale), (w, h))` does.
///
/// Returns the number of pixels whose place lies outside of the source.
pub fn affine(image: &mut Bitmap, angle: f64, scale: f64, border: Border, scratch: &mut Scratch) -> usize {
    let (width, height) = (image.width, image.height);
    let matrix = invert_affine(turn_and_scale(width, height, angle, scale));
    // OpenCV's `AB_BITS`: ten bits after the point, of which five are kept, rounded.
    let fixed = |value: f64| to_integer(value * 1024.0);
    let mut steps = std::mem::take(&mut scratch.warp.steps);
    for (steps, factor) in steps.iter_mut().zip([matrix[0], matrix[3]]) {
        steps.clear();
        steps.extend((0..width).map(|x| fixed(factor * x as f64)));
    }
    let uncovered = warp(image, border, scratch, |level, row, [x, y]| {
        let row = row as f64;
        place(level, &steps[0], fixed(matrix[1] * row + matrix[2]), x);
        place(level, &steps[1], fixed(matrix[4] * row + matrix[5]), y);
    });
    scratch.warp.steps = steps;
    uncovered
}

/// Moves the corners (0, 0), (w, 0), (0, h) and (w, h) to `corners`, each as x, y in pixels, as OpenCV's
/// `warpPerspective(image, getPerspectiveTransform(before, corners), (w, h))` does. Corners between which no
/// image can lie give an image without meaning.
///
/// Returns the number of pixels whose place lies outside of the source.
pub fn perspective(
    image: &mut Bitmap,
    corners: [[f32; 2]; 4],
    border: Border,
    scratch: &mut Scratch,
) -> usize {
    let (width, height) = (image.width, image.height);
    let matrix = invert(homography(width, height, corners));
    // OpenCV works in blocks of up to 1024 pixels and begins each with the sum for its first column; the
    // order of the additions is part of the result.
    let block = (1024 / height.clamp(1, 16)).min(width.max(1));
    warp(image, border, scratch, |level, row, [x, y]| {
        for (i, (x, y)) in x.chunks_mut(block).zip(y.chunks_mut(block)).enumerate() {
            let start =
                |k: usize| matrix[k] * (i * block) as f64 + matrix[k + 1] * row as f64 + matrix[k + 2];
            project(level, [0, 3, 6].map(|k| (start(k), matrix[k])), x, y);
        }
    })
}

/// Moves by whole pixels, to the right and down if positive.
///
/// Returns the number of pixels whose place lies outside of the source.
pub fn translate(image: &mut Bitmap, right: i64, down: i64, border: Border, scratch: &mut Scratch) -> usize {
    if image.pixels.is_empty() {
        return 0;
    }
    let (channels, width, height, stride) = (image.channels, image.width, image.height, image.stride());
    // No image is larger than this, and nothing overflows.
    let [right, down] = [right, down].map(|distance| distance.clamp(-(1 << 40), 1 << 40));
    let from = |position: usize, distance: i64, length: usize| {
        let position = position as i64 - distance;
        match border {
            _ if (0..length as i64).contains(&position) => Some(position as usize),
            Border::Black => None,
            Border::Reflect101 => Some(reflect(position, length)),
            Border::Replicate => Some(position.clamp(0, length as i64 - 1) as usize),
        }
    };
    // The columns that have a place inside, as one piece.
    let begin = right.clamp(0, width as i64) as usize;
    let end = (width as i64 + right).clamp(begin as i64, width as i64) as usize;
    let target = &mut scratch.target;
    target.take_shape_of(image);
    for (y, row) in target.pixels.chunks_exact_mut(stride).enumerate() {
        let Some(y) = from(y, down, height) else {
            row.fill(0);
            continue;
        };
        let source = &image.pixels[y * stride..][..stride];
        if begin < end {
            let first = (begin as i64 - right) as usize * channels;
            row[begin * channels..end * channels]
                .copy_from_slice(&source[first..][..(end - begin) * channels]);
        }
        for x in (0..begin).chain(end..width) {
            let pixel = &mut row[x * channels..][..channels];
            match from(x, right, width) {
                Some(x) => pixel.copy_from_slice(&source[x * channels..][..channels]),
                None => pixel.fill(0),
            }
        }
    }
    std::mem::swap(image, target);
    let rows = height - down.unsigned_abs().min(height as u64) as usize;
    width * height - (end - begin) * rows
}

/// A warp by OpenCV's arithmetic. `place` says for a row of the target where its pixels lie, in 32nds of a
/// pixel.
fn warp(
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
        locate(level, x, y, source.extent, squares, across, down);
        source.fetch(level, squares, quads);
        make_row(level, planes, pixels, channels, |channel, plane| {
            interpolate(level, &quads[channel * width..][..width], across, down, plane);
        });
    }
    std::mem::swap(image, target);
    uncovered
}

// ---- Matrices
// -----------------------------------------------------------------------------------------------------------------

/// The inverse map of Pillow's `Image.rotate`: x and y of the source for those of the target, `[a b c d e
/// f]`.
fn turn(width: usize, height: usize, angle: f64) -> [f64; 6] {
    let (sin, cos) = (-angle.rem_euclid(360.0).to_radians()).sin_cos();
    let [cos, sin, minus_sin] = [cos, sin, -sin].map(round_to_15_digits);
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    [cos, sin, cos * -x + sin * -y + x, minus_sin, cos, minus_sin * -x + cos * -y + y]
}

/// Python's `round(value, 15)`, for values from -1 to 1: the nearest decimal of 15 digits, then the nearest
/// f64.
fn round_to_15_digits(value: f64) -> f64 {
    use std::io::Write;
    let mut text = [0u8; 32];
    let mut rest = &mut text[..];
    let written = write!(rest, "{value:.15}");
    let length = 32 - rest.len();
    let parsed = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.parse().ok());
    parsed.filter(|_| written.is_ok()).unwrap_or(value)
}

/// OpenCV's `getRotationMatrix2D((w / 2, h / 2), angle, scale)`.
pub(super) fn turn_and_scale(width: usize, height: usize, angle: f64, scale: f64) -> [f64; 6] {
    let (sin, cos) = (angle * (PI / 180.0)).sin_cos();
    let (a, b) = (cos * scale, sin * scale);
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    [a, b, (1.0 - a) * x - b * y, -b, a, b * x + (1.0 - a) * y]
}

/// As `warpAffine` inverts its matrix.
fn invert_affine(m: [f64; 6]) -> [f64; 6] {
    let determinant = m[0] * m[4] - m[1] * m[3];
    let d = if determinant != 0.0 { 1.0 / determinant } else { 0.0 };
    let [a, b, c, e] = [m[4] * d, m[1] * -d, m[3] * -d, m[0] * d];
    [a, b, -a * m[2] - b * m[5], c, e, -c * m[2] - e * m[5]]
}

/// OpenCV's `getPerspectiveTransform` from the corners of the image to `corners`: some products in f32, the
/// solution in f64.
pub(super) fn homography(width: usize, height: usize, corners: [[f32; 2]; 4]) -> [f64; 9] {
    let (w, h) = (width as f32, height as f32);
    let mut a = [[0.0; 8]; 8];
    let mut b = [0.0; 8];
    for (i, ([x, y], [u, v])) in [[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]].into_iter().zip(corners).enumerate()
    {
        a[i] = [x, y, 1.0, 0.0, 0.0, 0.0, -x * u, -y * u].map(f64::from);
        a[i + 4] = [0.0, 0.0, 0.0, x, y, 1.0, -x * v, -y * v].map(f64::from);
        [b[i], b[i + 4]] = [u, v].map(f64::from);
    }
    let mut matrix = [0.0; 9];
    matrix[..8].copy_from_slice(&solve(a, b).unwrap_or_default());
    matrix[8] = 1.0;
    matrix
}

/// OpenCV's solution by LU decomposition (`matrix_operations`, `LUImpl`), in its order. None where there is
/// no solution.
fn solve(mut a: [[f64; 8]; 8], mut b: [f64; 8]) -> Option<[f64; 8]> {
    for i in 0..8 {
        let mut pivot = i;
        for row in i + 1..8 {
            if a[row][i].abs() > a[pivot][i].abs() {
                pivot = row;
            }
        }
        if a[pivot][i].abs() < f64::EPSILON * 100.0 {
            return None;
        }
        a.swap(i, pivot);
        b.swap(i, pivot);
        let (line, value) = (a[i], b[i]);
        let d = -1.0 / line[i];
        for (below, other) in a.iter_mut().zip(&mut b).skip(i + 1) {
            let factor = below[i] * d;
            for (element, pivot) in below.iter_mut().zip(line).skip(i + 1) {
                *element += factor * pivot;
            }
            *other += factor * value;
        }
    }
    for i in (0..8).rev() {
        let mut sum = b[i];
        for (factor, known) in a[i].iter().zip(b).skip(i + 1) {
            sum -= factor * known;
        }
        b[i] = sum / a[i][i];
    }
    Some(b)
}

/// OpenCV's inverse of a 3 × 3 matrix; all 0 where there is none.
fn invert(m: [f64; 9]) -> [f64; 9] {
    let minor = |a: usize, b: usize, c: usize, d: usize| m[a] * m[b] - m[c] * m[d];
    let determinant = m[0] * minor(4, 8, 5, 7) - m[1] * minor(3, 8, 5, 6) + m[2] * minor(3, 7, 4, 6);
    if determinant == 0.0 {
        return [0.0; 9];
    }
    let d = 1.0 / determinant;
    let minors = [
        [minor(4, 8, 5, 7), minor(2, 7, 1, 8), minor(1, 5, 2, 4)],
        [minor(5, 6, 3, 8), minor(0, 8, 2, 6), minor(2, 3, 0, 5)],
        [minor(3, 7, 4, 6), minor(1, 6, 0, 7), minor(0, 4, 1, 3)],
    ];
    std::array::from_fn(|i| minors[i / 3][i % 3] * d)
}

// ---- Places in OpenCV's arithmetic: whole 32nds of a pixel, 0 at the first pixel's centre
// ------------------------------------------

/// 32nds.
const ONE: i32 = 32;
/// Added to a number of up to 51 bits, it leaves the number, rounded half to even, in the lowest bits.
const TO_INTEGER: f64 = (3u64 << 51) as f64;

/// OpenCV's `saturate_cast<int>`: half to even. NaN becomes any number.
#[inline(always)]
fn to_integer(value: f64) -> i32 {
    const LIMITS: [f64; 2] = [i32::MIN as f64, i32::MAX as f64];
    let value = if value > LIMITS[0] { value } else { LIMITS[0] };
    let value = if value < LIMITS[1] { value } else { LIMITS[1] };
    (value + TO_INTEGER).to_bits() as i32
}

vectorized! {
    fn place(steps: &[i32], start: i32, places: &mut [i32]) {
        for (place, &step) in places.iter_mut().zip(steps) {
            *place = step.wrapping_add(start).wrapping_add(16) >> 5;
        }
    }
}

vectorized! {
    /// The places of a block of columns; `terms`: x, y and their common divisor, each as the value at the
    /// first column and its growth from column to column.
    fn project(terms: [(f64, f64); 3], x: &mut [i32], y: &mut [i32]) {
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
    fn locate(x: &[i32], y: &[i32], extent: Extent, squares: &mut [u32], across: &mut [f32], down: &mut [f32]) {
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

// ---- Places in Pillow's arithmetic: f64, 0 at the edge of the first pixel
// ----------------------------------------------------------

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

/// As [`bring_inside`].
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
    /// As [`mirror`].
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

#[cfg(test)]
mod tests {
    use super::super::tests::{SIZES, random};
    use super::*;

    const BORDERS: [Border; 3] = [Border::Black, Border::Reflect101, Border::Replicate];

    fn white(width: usize, height: usize, channels: usize) -> Bitmap {
        Bitmap::new(width, height, channels, vec![255; width * height * channels])
    }

    /// The pixel that the border shows there.
    fn shown(position: i64, length: usize, border: Border) -> Option<usize> {
        match border {
            _ if (0..length as i64).contains(&position) => Some(position as usize),
            Border::Black => None,
            Border::Reflect101 => Some(reflect(position, length)),
            Border::Replicate => Some(position.clamp(0, length as i64 - 1) as usize),
        }
    }

    #[test]
    fn reflections_never_end() {
        let shown: Vec<usize> = (-5..11).map(|position| reflect(position, 4)).collect();
        assert_eq!(shown, [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]);
        assert!((-5..5).all(|position| reflect(position, 1) == 0));
    }

    #[test]
    fn translation_moves_whole_pixels() {
        for (w, h) in SIZES {
            for channels in [1, 3] {
                let image = random(w, h, channels);
                for (right, down) in
                    [(0, 0), (1, 0), (-3, 2), (40, -1), (-200, 300), (i64::MIN, 0), (0, i64::MAX)]
                {
                    for border in BORDERS {
                        let mut ours = image.clone();
                        let uncovered = translate(&mut ours, right, down, border, &mut Scratch::default());
                        let mut outside = 0;
                        for (i, &level) in ours.pixels.iter().enumerate() {
                            let (x, y) = ((i / channels % w) as i128, (i / channels / w) as i128);
                            let far = |v: i128| v.clamp(-(1 << 40), 1 << 40) as i64;
                            let (x, y) = (far(x - i128::from(right)), far(y - i128::from(down)));
                            let inside = (0..w as i64).contains(&x) && (0..h as i64).contains(&y);
                            outside += usize::from(!inside);
                            if (right, down) == (right.clamp(-999, 999), down.clamp(-999, 999)) {
                                let place = shown(x, w, border).zip(shown(y, h, border));
                                let expected = place
                                    .map_or(0, |(x, y)| image.pixels[(y * w + x) * channels + i % channels]);
                                assert_eq!(level, expected, "{image:?} by {right}, {down}, {border:?}");
                            }
                        }
                        assert_eq!(uncovered, outside / channels, "{image:?} by {right}, {down}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_black_border_is_black() {
        let mut scratch = Scratch::default();
        for (w, h) in SIZES {
            for channels in [1, 3] {
                for border in [Border::Reflect101, Border::Replicate] {
                    let mut image = white(w, h, channels);
                    rotation(&mut image, 33.0, border, &mut scratch);
                    affine(&mut image, -100.0, 0.2, border, &mut scratch);
                    let (right, bottom) = (w as f32, h as f32);
                    let corners = [
                        [right * 0.4, bottom * 0.3],
                        [right * 0.8, 0.0],
                        [0.0, bottom],
                        [right * 0.6, bottom * 0.7],
                    ];
                    perspective(&mut image, corners, border, &mut scratch);
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
                assert_eq!(rotation(&mut image, 0.0, border, &mut scratch), 0);
                assert_eq!(affine(&mut image, 0.0, 1.0, border, &mut scratch), 0);
                assert_eq!(perspective(&mut image, corners, border, &mut scratch), 0);
                assert_eq!(rotation(&mut image, 180.0, border, &mut scratch), 0);
                assert!(image != random(w, h, 3));
                assert_eq!(rotation(&mut image, -180.0, border, &mut scratch), 0);
                assert!(image == random(w, h, 3));
            }
            for angle in [7.0, -45.0, 120.0] {
                // In a white image Pillow's border is black and all else is not.
                let mut image = white(w, h, 1);
                let uncovered = rotation(&mut image, angle, Border::Black, &mut scratch);
                assert_eq!(uncovered, image.pixels.iter().filter(|&&level| level == 0).count());
                assert!(uncovered > 0);
                for border in BORDERS {
                    assert_eq!(rotation(&mut random(w, h, 3), angle, border, &mut scratch), uncovered);
                    // The same rotation about the same point but for half a pixel.
                    let other = affine(&mut random(w, h, 3), angle, 1.0, border, &mut scratch);
                    assert!(other.abs_diff(uncovered) <= w + h, "{other} for {uncovered}");
                }
            }
            // At half the size a quarter is covered.
            let uncovered = affine(&mut random(w, h, 3), 0.0, 0.5, Border::Reflect101, &mut scratch);
            assert!((uncovered as f64 / (w * h) as f64 - 0.75).abs() < 0.05);
        }
    }

    #[test]
    fn a_positive_angle_turns_counter_clockwise() {
        for turn in [rotation, |image: &mut Bitmap, angle, border, scratch: &mut Scratch| {
            affine(image, angle, 1.0, border, scratch)
        }] {
            // A bright spot to the right of the centre goes up.
            let mut image = Bitmap::new(41, 41, 1, vec![0; 41 * 41]);
            for y in 19..=21 {
                image.pixels[y * 41 + 34..][..3].fill(255);
            }
            turn(&mut image, 90.0, Border::Black, &mut Scratch::default());
            assert_eq!(image.pixels[6 * 41 + 20], 255);
        }
    }

    /// Pillow's rotation from its definition, with the border's pixels where neighbours are beyond the image.
    fn rotated(image: &Bitmap, angle: f64, border: Border) -> Vec<f64> {
        let Bitmap { width: w, height: h, channels, .. } = *image;
        let m = turn(w, h, angle);
        let mut levels = Vec::new();
        for i in 0..image.pixels.len() {
            let (x, y) = ((i / channels % w) as f64 + 0.5, (i / channels / w) as f64 + 0.5);
            let (x, y) = (m[0] * x + m[1] * y + m[2] - 0.5, m[3] * x + m[4] * y + m[5] - 0.5);
            let level = |dx: i64, dy: i64| {
                let (x, y) =
                    (shown(x.floor() as i64 + dx, w, border), shown(y.floor() as i64 + dy, h, border));
                x.zip(y).map_or(0.0, |(x, y)| f64::from(image.pixels[(y * w + x) * channels + i % channels]))
            };
            let (dx, dy) = (x - x.floor(), y - y.floor());
            let top = level(0, 0) * (1.0 - dx) + level(1, 0) * dx;
            let bottom = level(0, 1) * (1.0 - dx) + level(1, 1) * dx;
            levels.push(top * (1.0 - dy) + bottom * dy);
        }
        levels
    }

    #[test]
    fn the_other_borders_of_the_rotation_are_what_they_say() {
        let mut scratch = Scratch::default();
        for (w, h) in SIZES {
            for channels in [1, 3] {
                let image = random(w, h, channels);
                for border in [Border::Reflect101, Border::Replicate] {
                    for angle in [12.3, -61.0, 90.0, 170.0] {
                        let mut ours = image.clone();
                        rotation(&mut ours, angle, border, &mut scratch);
                        for (&ours, expected) in ours.pixels.iter().zip(rotated(&image, angle, border)) {
                            // Truncated, in an order of additions of its own.
                            let difference = expected - f64::from(ours);
                            assert!(
                                (-1e-9..1.0 + 1e-9).contains(&difference),
                                "{image:?}: {angle}: {ours} for {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn decimals_are_rounded_as_python_does() {
        assert_eq!(round_to_15_digits(6.123233995736766e-17), 0.0);
        assert_eq!(round_to_15_digits(0.965_925_826_289_068_3), 0.965_925_826_289_068);
        assert_eq!(round_to_15_digits(-1.0), -1.0);
        assert_eq!(round_to_15_digits(-0.258_819_045_102_520_74), -0.258_819_045_102_521);
    }
}
