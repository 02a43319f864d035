//! Max-pooling.

use crate::dispatch::vectorized;
use crate::level::Level;
use crate::parallel::for_each;
use crate::scratch::Pointer;
use crate::shape::{PoolShape, check_len};
use crate::simd::Simd;
use crate::source::Source;

/// output = the largest of each window; indices = its place in the window, row · kernel + column.
///
/// The first of equal values counts, and a value that is not a number counts as the largest, as in PyTorch.
/// input `[planes, height, width]`; output and indices `[planes, …]` of [`PoolShape::output`], both
/// overwritten.
///
/// # Panics
/// If a slice has another length than the shape says, the kernel is not in 1..=16, the stride is zero or the
/// padding exceeds half the kernel.
pub fn max_pool_forward(shape: &PoolShape, input: &[f32], output: &mut [f32], indices: &mut [u8]) {
    check("max_pool_forward", shape);
    check_len("max_pool_forward", "input", input.len(), shape.input_len());
    check_len("max_pool_forward", "output", output.len(), shape.output_len());
    check_len("max_pool_forward", "indices", indices.len(), shape.output_len());
    let (level, (height, width)) = (Level::current(), shape.output());
    let (outputs, places) = (Pointer::to(output), Pointer::to(indices));
    for_each(shape.planes, (shape.output_len() * shape.kernel * shape.kernel) as f64, |plane| {
        let input = &input[plane * shape.height * shape.width..][..shape.height * shape.width];
        // SAFETY: each task writes its own plane.
        unsafe {
            let output =
                std::slice::from_raw_parts_mut(outputs.get().add(plane * height * width), height * width);
            let places =
                std::slice::from_raw_parts_mut(places.get().add(plane * height * width), height * width);
            pool_plane(level, shape, input, output, places);
        }
    });
}

/// The gradient by the input: each output's goes to the place that its index names. input_gradient is
/// overwritten.
///
/// # Panics
/// As [`max_pool_forward`], and if an index names a place outside the image.
pub fn max_pool_backward(
    shape: &PoolShape,
    output_gradient: &[f32],
    indices: &[u8],
    input_gradient: &mut [f32],
) {
    check("max_pool_backward", shape);
    check_len("max_pool_backward", "output_gradient", output_gradient.len(), shape.output_len());
    check_len("max_pool_backward", "indices", indices.len(), shape.output_len());
    check_len("max_pool_backward", "input_gradient", input_gradient.len(), shape.input_len());
    let (level, (height, width)) = (Level::current(), shape.output());
    let to = Pointer::to(input_gradient);
    for_each(shape.planes, (shape.input_len() * 4) as f64, |plane| {
        let range = plane * height * width..(plane + 1) * height * width;
        let (gradient, indices) = (&output_gradient[range.clone()], &indices[range]);
        let len = shape.height * shape.width;
        // SAFETY: each task writes its own plane.
        unsafe {
            let to = std::slice::from_raw_parts_mut(to.get().add(plane * len), len);
            if (shape.kernel, shape.stride, shape.padding) == (2, 2, 0) {
                spread_pairs(level, shape, gradient, indices, to);
            } else {
                spread(shape, gradient, indices, to);
            }
        }
    });
}

vectorized!(
    fn pool_plane(shape: &PoolShape, input: &[f32], output: &mut [f32], places: &mut [u8]) = pool_plane_of
);
vectorized!(
    fn spread_pairs(shape: &PoolShape, gradient: &[f32], indices: &[u8], to: &mut [f32]) = spread_pairs_of
);

/// The outputs, from `start` to `end`, whose windows' tap lies inside a side of `size` pixels.
fn inside(shape: &PoolShape, tap: usize, size: usize, outputs: usize) -> std::ops::Range<usize> {
    let start = shape.padding.saturating_sub(tap).div_ceil(shape.stride);
    let end = (size + shape.padding).saturating_sub(tap).div_ceil(shape.stride).min(outputs);
    start.min(end)..end
}

/// Row by row; the outputs whose windows lie inside the row as vectors, with the places as numbers in another
/// vector.
///
/// # Safety
/// The slices are one plane each.
#[inline(always)]
unsafe fn pool_plane_of<S: Simd>(
    s: S,
    shape: &PoolShape,
    input: &[f32],
    output: &mut [f32],
    places: &mut [u8],
) {
    let &PoolShape { kernel, stride, padding, .. } = shape;
    let (height, width) = shape.output();
    let inside =
        inside(shape, 0, shape.width, width).start..inside(shape, kernel - 1, shape.width, width).end;
    let source = Source::open(input);
    for y in 0..height {
        let rows = padding.saturating_sub(y * stride)..kernel.min(shape.height + padding - y * stride);
        let row = |ky: usize| source.at::<false>((y * stride + ky - padding) * shape.width);
        let (output, places) = (&mut output[y * width..][..width], &mut places[y * width..][..width]);
        let mut x = 0;
        while x < width {
            if !inside.contains(&x) {
                let columns =
                    padding.saturating_sub(x * stride)..kernel.min(shape.width + padding - x * stride);
                let (mut best, mut place) = (f32::NEG_INFINITY, rows.start * kernel + columns.start);
                for ky in rows.clone() {
                    for kx in columns.clone() {
                        // SAFETY: rows and columns are those inside the plane.
                        let value = unsafe { row(ky).add(x * stride + kx - padding).value() };
                        if value > best || value.is_nan() {
                            (best, place) = (value, ky * kernel + kx);
                        }
                    }
                }
                (output[x], places[x]) = (best, place as u8);
                x += 1;
                continue;
            }
            let lanes = S::LANES.min(inside.end - x);
            let (mut best, mut place) = (s.splat(f32::NEG_INFINITY), s.splat((rows.start * kernel) as f32));
            for ky in rows.clone() {
                for kx in 0..kernel {
                    let from = (x * stride + kx) as isize - padding as isize;
                    // SAFETY: the row is one of the plane's.
                    let v = unsafe { row(ky).load_pixels(s, from, stride, lanes, shape.width) };
                    s.keep_larger(&mut best, &mut place, v, s.splat((ky * kernel + kx) as f32));
                }
            }
            // SAFETY: the lanes are outputs of the row.
            unsafe { s.store_masked(output.as_mut_ptr().add(x), s.mask(0, lanes), best) };
            for (place, number) in places[x..x + lanes].iter_mut().zip(s.to_lanes(place)) {
                *place = number as u8;
            }
            x += lanes;
        }
    }
}

/// Windows of 2×2 side by side: each pixel of the input has one window, and is written once.
///
/// Only the compiler makes vectors of it: no operation of its own is unsafe.
#[inline(always)]
fn spread_pairs_of<S: Simd>(_: S, shape: &PoolShape, gradient: &[f32], indices: &[u8], to: &mut [f32]) {
    let (height, width) = shape.output();
    for (y, rows) in to.chunks_mut(2 * shape.width).enumerate() {
        if y >= height {
            rows.fill(0.0); // the last row of an odd number
            continue;
        }
        let (gradient, indices) = (&gradient[y * width..][..width], &indices[y * width..][..width]);
        for (r, row) in rows.chunks_exact_mut(shape.width).enumerate() {
            let first = r as u8 * 2;
            let (pairs, rest) = row.split_at_mut(2 * width);
            for ((pair, gradient), index) in pairs.chunks_exact_mut(2).zip(gradient).zip(indices) {
                pair[0] = if *index == first { *gradient } else { 0.0 };
                pair[1] = if *index == first + 1 { *gradient } else { 0.0 };
            }
            rest.fill(0.0);
        }
    }
}

/// Windows that may overlap: their gradients add up, in the order of the outputs.
fn spread(shape: &PoolShape, gradient: &[f32], indices: &[u8], to: &mut [f32]) {
    let width = shape.output().1;
    to.fill(0.0);
    for (i, (gradient, index)) in gradient.iter().zip(indices).enumerate() {
        let (row, column) = (usize::from(*index) / shape.kernel, usize::from(*index) % shape.kernel);
        let (y, x) = (i / width * shape.stride + row, i % width * shape.stride + column);
        to[(y - shape.padding) * shape.width + x - shape.padding] += gradient;
    }
}

fn check(name: &str, shape: &PoolShape) {
    let possible = (1..=16).contains(&shape.kernel) && shape.stride > 0 && 2 * shape.padding <= shape.kernel;
    assert!(
        possible,
        "{name}: a kernel of 1..=16, a stride of 1 or more and a padding of half the kernel at most, \
         found {shape:?}"
    );
}
