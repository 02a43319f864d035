//! Linear layers and matrix products.
//!
//! With few rows (images) a linear layer reads or writes each of its weights once, and that is all that
//! counts: 25088 × 4096 of them are 411 MB. These kernels pass over the weights row by row, as they lie in
//! memory; with more rows it is a packed product.

use std::ops::Range;

use crate::dispatch::{vectorized, widths};
use crate::level::Level;
use crate::parallel::for_each;
use crate::product::{Operands, Store, product};
use crate::scratch::{Pointer, with_local};
use crate::shape::{LinearShape, MatmulShape, check_len};
use crate::simd::Simd;

/// Rows from which on the weights are better packed.
const MANY_ROWS: usize = 17;

/// output = input · weightᵀ, plus the bias `[outputs]`, then ReLU if `relu`. The output is overwritten.
///
/// # Panics
/// If a slice has another length than the shape says.
pub fn linear_forward(
    shape: &LinearShape,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    output: &mut [f32],
) {
    let name = "linear_forward";
    check_len(name, "input", input.len(), shape.input_len());
    check_len(name, "weight", weight.len(), shape.weight_len());
    check_len(name, "output", output.len(), shape.output_len());
    if let Some(bias) = bias {
        check_len(name, "bias", bias.len(), shape.outputs);
    }
    let &LinearShape { rows, inputs, outputs } = shape;
    if rows >= MANY_ROWS {
        let shape =
            MatmulShape { rows, inner: inputs, columns: outputs, a_transposed: false, b_transposed: true };
        multiply(&shape, input, weight, bias, relu, output);
    } else {
        let level = Level::current();
        let job = Dots { shape, input, weight, bias, relu, to: Pointer::to(output) };
        // Outputs of a task: some hundred kilobytes of weights, or some tasks for each thread.
        let part = (1_usize << 18).div_ceil(inputs.max(1)).clamp(4, 256).next_multiple_of(4);
        for_each(outputs.div_ceil(part), 2.0 * rows as f64 * weight.len() as f64, |task| {
            // SAFETY: the slices have the shape's lengths; each task writes its own outputs.
            unsafe { dots(level, &job, task * part..outputs.min((task + 1) * part)) }
        });
    }
}

/// The gradient by the input: output_gradient · weight. input_gradient `[rows, inputs]` is overwritten.
///
/// # Panics
/// If a slice has another length than the shape says.
pub fn linear_input_gradient(
    shape: &LinearShape,
    output_gradient: &[f32],
    weight: &[f32],
    input_gradient: &mut [f32],
) {
    let name = "linear_input_gradient";
    check_len(name, "output_gradient", output_gradient.len(), shape.output_len());
    check_len(name, "weight", weight.len(), shape.weight_len());
    check_len(name, "input_gradient", input_gradient.len(), shape.input_len());
    let &LinearShape { rows, inputs, outputs } = shape;
    if rows >= MANY_ROWS {
        let shape =
            MatmulShape { rows, inner: outputs, columns: inputs, a_transposed: false, b_transposed: false };
        return multiply(&shape, output_gradient, weight, None, false, input_gradient);
    }
    let (level, to) = (Level::current(), Pointer::to(input_gradient));
    for_each(inputs.div_ceil(PIECE), 2.0 * rows as f64 * weight.len() as f64, |task| {
        let start = task * PIECE;
        let len = PIECE.min(inputs - start);
        for first in (0..outputs.max(1)).step_by(TERMS) {
            let terms = TERMS.min(outputs - first);
            for row in 0..rows {
                let sum = Combination {
                    factors: &output_gradient[row * outputs + first..][..terms],
                    factor_stride: 1,
                    terms,
                    rows: weight.as_ptr().wrapping_add(first * inputs + start),
                    stride: inputs,
                    len,
                };
                // SAFETY: the rows lie inside the weights; each task writes its own columns.
                unsafe { combine(level, &sum, to.get().add(row * inputs + start), first > 0, false) };
            }
        }
    });
}

/// The gradient by the weights: output_gradientᵀ · input. weight_gradient `[outputs, inputs]` is overwritten.
///
/// # Panics
/// If a slice has another length than the shape says.
pub fn linear_weight_gradient(
    shape: &LinearShape,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let name = "linear_weight_gradient";
    check_len(name, "input", input.len(), shape.input_len());
    check_len(name, "output_gradient", output_gradient.len(), shape.output_len());
    check_len(name, "weight_gradient", weight_gradient.len(), shape.weight_len());
    let &LinearShape { rows, inputs, outputs } = shape;
    if rows >= MANY_ROWS {
        let shape = MatmulShape {
            rows: outputs,
            inner: rows,
            columns: inputs,
            a_transposed: true,
            b_transposed: false,
        };
        return multiply(&shape, output_gradient, input, None, false, weight_gradient);
    }
    let (level, len) = (Level::current(), weight_gradient.len());
    let to = Pointer::to(weight_gradient);
    const OUTPUTS: usize = 64;
    let pieces = inputs.div_ceil(PIECE);
    for_each(outputs.div_ceil(OUTPUTS) * pieces, 2.0 * rows as f64 * len as f64, |task| {
        let start = task % pieces * PIECE;
        let piece = PIECE.min(inputs - start);
        for k in task / pieces * OUTPUTS..outputs.min((task / pieces + 1) * OUTPUTS) {
            for first in (0..rows.max(1)).step_by(TERMS) {
                let terms = TERMS.min(rows - first);
                let sum = Combination {
                    factors: output_gradient.get(first * outputs + k..).unwrap_or_default(),
                    factor_stride: outputs,
                    terms,
                    rows: input.as_ptr().wrapping_add(first * inputs + start),
                    stride: inputs,
                    len: piece,
                };
                // Written past the caches if it is the last time: the weights are many.
                let stream = first + terms == rows && len > 1 << 22;
                // SAFETY: the rows lie inside the input; each task writes its own rows and columns.
                unsafe { combine(level, &sum, to.get().add(k * inputs + start), first > 0, stream) };
            }
        }
    });
}

/// Floats of a row that stay in the first cache with as many rows as [`combine`] takes.
const PIECE: usize = 1024;
/// Rows that [`combine`] takes at once.
const TERMS: usize = 8;

/// Σ factor · row, for up to `TERMS` rows.
struct Combination<'a> {
    /// The factor of the term i at i · `factor_stride`.
    factors: &'a [f32],
    factor_stride: usize,
    terms: usize,
    /// The row of the term i at i · `stride`, with `len` floats.
    rows: *const f32,
    stride: usize,
    len: usize,
}

vectorized!(fn combine(sum: &Combination, to: *mut f32, add: bool, stream: bool) = combine_of);
vectorized!(fn dots(job: &Dots, outputs: Range<usize>) = dots_of);

/// to = or, with `add`, += the sum; past the caches if `stream`.
///
/// # Safety
/// The rows can be read, and `len` floats written at `to`.
#[inline(always)]
unsafe fn combine_of<S: Simd>(s: S, sum: &Combination, to: *mut f32, add: bool, stream: bool) {
    let &Combination { terms, len, .. } = sum;
    let mut factors = [0.0; TERMS];
    let mut from = [sum.rows; TERMS];
    for term in 0..terms {
        factors[term] = sum.factors[term * sum.factor_stride];
        from[term] = sum.rows.wrapping_add(term * sum.stride);
    }
    let factors = factors.map(|factor| s.splat(factor));
    for x in (0..len).step_by(S::LANES) {
        let (mask, to) = (s.tail(len - x), to.wrapping_add(x));
        // SAFETY: the mask ends where the rows do.
        unsafe {
            let mut sums = [s.splat(0.0); 2];
            if add {
                sums[0] = s.load_part(to, mask);
            }
            for term in 0..TERMS {
                if term < terms {
                    let v = s.load_part(from[term].wrapping_add(x), mask);
                    sums[term % 2] = s.fma(factors[term], v, sums[term % 2]);
                }
            }
            let sum = s.add(sums[0], sums[1]);
            if stream && mask.is_none() {
                s.stream(to, sum);
            } else {
                s.store_part(to, mask, sum);
            }
        }
    }
    if stream {
        s.fence();
    }
}

/// A linear layer of few rows.
struct Dots<'a> {
    shape: &'a LinearShape,
    input: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    relu: bool,
    to: Pointer,
}

/// Output features: dot products along the lanes, four rows and two outputs at a time.
///
/// # Safety
/// The slices have the shape's lengths, and `to` has room for the output, of which these features are this
/// task's.
#[inline(always)]
unsafe fn dots_of<S: Simd>(s: S, job: &Dots, outputs: Range<usize>) {
    let inputs = job.shape.inputs;
    for k in outputs.clone().step_by(2) {
        let ks = 2.min(outputs.end - k);
        for row in (0..job.shape.rows).step_by(4) {
            let rows = 4.min(job.shape.rows - row);
            let x = [0, 1, 2, 3]
                .map(|i: usize| job.input.as_ptr().wrapping_add((row + i.min(rows - 1)) * inputs));
            let w = [0, 1].map(|i: usize| job.weight.as_ptr().wrapping_add((k + i.min(ks - 1)) * inputs));
            let mut sums = [[s.splat(0.0); 2]; 4];
            let whole = inputs - inputs % S::LANES;
            for i in (0..whole).step_by(S::LANES) {
                // SAFETY: the rows have `inputs` features.
                unsafe {
                    let w = [s.load(w[0].add(i)), s.load(w[1].add(i))];
                    for (sums, x) in sums.iter_mut().zip(x) {
                        let x = s.load(x.add(i));
                        *sums = [s.fma(x, w[0], sums[0]), s.fma(x, w[1], sums[1])];
                    }
                }
            }
            if whole < inputs {
                let mask = s.mask(0, inputs - whole);
                // SAFETY: the mask ends where the features do.
                unsafe {
                    let w = [s.load_masked(w[0].add(whole), mask), s.load_masked(w[1].add(whole), mask)];
                    for (sums, x) in sums.iter_mut().zip(x) {
                        let x = s.load_masked(x.add(whole), mask);
                        *sums = [s.fma(x, w[0], sums[0]), s.fma(x, w[1], sums[1])];
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate().take(rows) {
                for (j, sum) in sums.iter().enumerate().take(ks) {
                    let sum = s.sum(*sum) + job.bias.map_or(0.0, |bias| bias[k + j]);
                    let sum = if job.relu && sum < 0.0 { 0.0 } else { sum };
                    // SAFETY: the feature is this task's.
                    unsafe { *job.to.get().add((row + i) * job.shape.outputs + k + j) = sum };
                }
            }
        }
    }
}

/// c = a · b. c is overwritten.
///
/// # Panics
/// If a slice has another length than the shape says.
pub fn matmul(shape: &MatmulShape, a: &[f32], b: &[f32], c: &mut [f32]) {
    check_len("matmul", "a", a.len(), shape.rows * shape.inner);
    check_len("matmul", "b", b.len(), shape.inner * shape.columns);
    check_len("matmul", "c", c.len(), shape.rows * shape.columns);
    multiply(shape, a, b, None, false, c);
}

/// Rows of a task, panels of columns of a task, and terms that are packed at a time.
const ROWS: usize = 128;
const PANELS: usize = 4;
const INNER: usize = 256;

struct Job<'a> {
    shape: MatmulShape,
    a: &'a [f32],
    b: &'a [f32],
    /// One value for each column.
    bias: Option<&'a [f32]>,
    relu: bool,
    c: Pointer,
    /// Tasks side by side.
    blocks: usize,
}

fn multiply(shape: &MatmulShape, a: &[f32], b: &[f32], bias: Option<&[f32]>, relu: bool, c: &mut [f32]) {
    let level = Level::current();
    let widths = widths(level);
    let width = PANELS * widths.vectors * widths.lanes;
    let blocks = shape.columns.div_ceil(width);
    let job = Job { shape: *shape, a, b, bias, relu, c: Pointer::to(c), blocks };
    let work = 2.0 * shape.rows as f64 * shape.columns as f64 * (shape.inner + 8) as f64;
    for_each(shape.rows.div_ceil(ROWS) * blocks, work, |task| {
        let scratch = width * INNER + ROWS * INNER + ROWS * width;
        // SAFETY: the scratch has room for both operands and the sums; each task writes its own block of c.
        with_local(scratch, |scratch| unsafe { multiply_block(level, &job, task, scratch) });
    });
}

vectorized!(fn multiply_block(job: &Job, task: usize, scratch: *mut f32) = multiply_block_of);

/// # Safety
/// The slices have the shape's lengths, and `scratch` has room for panels of both sides and the sums. Tasks
/// write different blocks of c.
#[inline(always)]
unsafe fn multiply_block_of<S: Simd>(s: S, job: &Job, task: usize, scratch: *mut f32) {
    let &MatmulShape { rows, inner, columns, a_transposed, b_transposed } = &job.shape;
    let panel = S::WIDTHS.vectors * S::LANES;
    let width = PANELS * panel;
    let (row, column) = (task / job.blocks * ROWS, task % job.blocks * width);
    let (rows_here, columns_here) = (ROWS.min(rows - row), width.min(columns - column));
    let (a_stride, a_step) = if a_transposed { (1, rows) } else { (inner, 1) };
    let (b_stride, b_step) = if b_transposed { (inner, 1) } else { (1, columns) };
    // SAFETY: the scratch has these three parts.
    let (b, a, sums) = unsafe { (scratch, scratch.add(width * INNER), scratch.add((width + ROWS) * INNER)) };
    for first in (0..inner.max(1)).step_by(INNER) {
        let len = INNER.min(inner - first);
        // SAFETY: rows and columns from the block's on lie inside the slices, and panels and sums in the
        // scratch.
        unsafe {
            for c in (0..columns_here).step_by(panel) {
                let start = job.b.as_ptr().wrapping_add((column + c) * b_stride + first * b_step);
                let lines = Lines { start, stride: b_stride, step: b_step, count: columns_here - c };
                pack(s, lines, panel, len, b.add(c * INNER));
            }
            for r in (0..rows_here).step_by(S::ROWS) {
                let start = job.a.as_ptr().wrapping_add((row + r) * a_stride + first * a_step);
                let lines = Lines { start, stride: a_stride, step: a_step, count: rows_here - r };
                pack(s, lines, S::ROWS, len, a.add(r * INNER));
            }
            for c in (0..columns_here).step_by(panel) {
                for r in (0..rows_here).step_by(S::ROWS) {
                    let (v, u) = (b.add(c * INNER), a.add(r * INNER));
                    let to = sums.add(r * width + c);
                    let to = Store { to, row_stride: width, vector_stride: S::LANES, add: first > 0 };
                    product(s, S::WIDTHS.vectors, Operands { len, v, u, next_v: std::ptr::null() }, to);
                }
            }
        }
    }
    let floor = s.floor(job.relu);
    for r in 0..rows_here {
        for c in (0..columns_here).step_by(S::LANES) {
            let mask = s.mask(0, columns_here - c);
            // SAFETY: the mask ends where the block does, whose sums were written above.
            unsafe {
                let bias =
                    job.bias.map_or(s.splat(0.0), |bias| s.load_masked(bias.as_ptr().add(column + c), mask));
                let value = s.at_least(floor, s.add(s.load(sums.add(r * width + c)), bias));
                s.store_masked(job.c.get().add((row + r) * columns + column + c), mask, value);
            }
        }
    }
}

/// Rows or columns of a matrix: the element k of the line j at `start + j · stride + k · step`, for j <
/// `count`. Either stride or step is 1.
#[derive(Clone, Copy)]
struct Lines {
    start: *const f32,
    stride: usize,
    step: usize,
    count: usize,
}

/// to[k][j] = the element k of the line j for k < len and j < width, zero from j = count on.
///
/// # Safety
/// The lines can be read for `len` elements, and `to` has room for len · width.
#[inline(always)]
unsafe fn pack<S: Simd>(s: S, lines: Lines, width: usize, len: usize, to: *mut f32) {
    let Lines { start: from, stride, step, count } = lines;
    for j in (0..width).step_by(S::LANES) {
        let (lanes, wanted) = (count.saturating_sub(j).min(S::LANES), s.mask(0, width - j));
        if stride == 1 {
            let mask = s.mask(0, lanes);
            for k in 0..len {
                // SAFETY: the masks end where the lines and the panel do.
                unsafe {
                    let v = s.load_masked(from.wrapping_add(j + k * step), mask);
                    s.store_masked(to.add(k * width + j), wanted, v);
                }
            }
        } else {
            for k in (0..len).step_by(S::LANES) {
                let from = from.wrapping_add(j * stride + k);
                // SAFETY: the masks end where the lines do.
                let columns = unsafe { s.load_columns(from, stride, lanes, s.tail(len - k)) };
                for (i, column) in columns.iter().enumerate().take(S::LANES.min(len - k)) {
                    // SAFETY: the mask ends where the panel does.
                    unsafe { s.store_masked(to.add((k + i) * width + j), wanted, *column) };
                }
            }
        }
    }
}
