//! Linear layers and matrix products.
//!
//! With few rows (images) a linear layer reads or writes each of its weights once, and that is all that counts: 25088 × 4096 of them
//! are 411 MB. These kernels pass over the weights row by row, as they lie in memory; with more rows it is a packed product.

use crate::Level;
use crate::parallel::for_each;
use crate::product::Store;
use crate::scratch::{Pointer, with_local};
use crate::shape::{LinearShape, MatmulShape, check_len};
use crate::simd::{MAX_LANES, Simd, Widths, sum_lanes};

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
        let to = Pointer::to(output);
        // Outputs of a task: some hundred kilobytes of weights, or some tasks for each thread.
        let part = (1_usize << 18).div_ceil(inputs.max(1)).clamp(4, 256).next_multiple_of(4);
        for_each(outputs.div_ceil(part), 2.0 * rows as f64 * weight.len() as f64, |task| {
            let range = task * part..outputs.min((task + 1) * part);
            // SAFETY: each task writes its own outputs; the level is the current one.
            unsafe { dots(level, shape, input, weight, bias, relu, range, to.get()) }
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
                let factors = &output_gradient[row * outputs + first..][..terms];
                // SAFETY: each task writes its own columns; the level is the current one.
                unsafe {
                    let from = weight.as_ptr().wrapping_add(first * inputs + start);
                    combine(
                        level,
                        factors,
                        1,
                        terms,
                        from,
                        inputs,
                        len,
                        to.get().add(row * inputs + start),
                        first > 0,
                        false,
                    );
                }
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
                let factors = output_gradient.get(first * outputs + k..).unwrap_or_default();
                // SAFETY: each task writes its own rows and columns; the level is the current one.
                unsafe {
                    let from = input.as_ptr().wrapping_add(first * inputs + start);
                    // Written past the caches if it is the last time: the weights are many.
                    let stream = first + terms == rows && len > 1 << 22;
                    combine(
                        level,
                        factors,
                        outputs,
                        terms,
                        from,
                        inputs,
                        piece,
                        to.get().add(k * inputs + start),
                        first > 0,
                        stream,
                    );
                }
            }
        }
    });
}

/// Floats of a row that stay in the first cache with as many rows as [`combine`] takes.
const PIECE: usize = 1024;
/// Rows that [`combine`] takes at once.
const TERMS: usize = 8;

vectorized!(fn combine(factors: &[f32], factor_stride: usize, terms: usize, rows: *const f32, stride: usize, len: usize, to: *mut f32, add: bool, stream: bool) = combine_of);
vectorized!(fn dots(shape: &LinearShape, input: &[f32], weight: &[f32], bias: Option<&[f32]>, relu: bool, outputs: std::ops::Range<usize>, to: *mut f32) = dots_of);

/// to = or += Σ factor · row, for up to TERMS rows.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn combine_of<S: Simd>(
    factors: &[f32],
    factor_stride: usize,
    terms: usize,
    rows: *const f32,
    stride: usize,
    len: usize,
    to: *mut f32,
    add: bool,
    stream: bool,
) {
    let mut all = [0.0; TERMS];
    let mut from = [rows; TERMS];
    for term in 0..terms {
        (all[term], from[term]) = (factors[term * factor_stride], rows.wrapping_add(term * stride));
    }
    let factors = all.map(|factor| S::splat(factor));
    for x in (0..len).step_by(S::LANES) {
        let mask = S::mask(0, len - x);
        let whole = x + S::LANES <= len;
        let mut sums = [S::splat(0.0); 2];
        if add {
            sums[0] = if whole { S::load(to.add(x)) } else { S::load_masked(to.add(x), mask) };
        }
        for term in 0..TERMS {
            if term < terms {
                let from = from[term].wrapping_add(x);
                let v = if whole { S::load(from) } else { S::load_masked(from, mask) };
                sums[term % 2] = S::fma(factors[term], v, sums[term % 2]);
            }
        }
        let sum = S::add(sums[0], sums[1]);
        match (whole, stream) {
            (true, true) => S::stream(to.add(x), sum),
            (true, false) => S::store(to.add(x), sum),
            (false, _) => S::store_masked(to.add(x), mask, sum),
        }
    }
    if stream {
        S::fence();
    }
}

/// Output features: dot products along the lanes, four rows and two outputs at a time.
#[inline(always)]
unsafe fn dots_of<S: Simd>(
    shape: &LinearShape,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    outputs: std::ops::Range<usize>,
    to: *mut f32,
) {
    let inputs = shape.inputs;
    for k in outputs.clone().step_by(2) {
        let ks = 2.min(outputs.end - k);
        for row in (0..shape.rows).step_by(4) {
            let rows = 4.min(shape.rows - row);
            let x =
                [0, 1, 2, 3].map(|i: usize| input.as_ptr().wrapping_add((row + i.min(rows - 1)) * inputs));
            let w = [0, 1].map(|i: usize| weight.as_ptr().wrapping_add((k + i.min(ks - 1)) * inputs));
            let mut sums = [[S::splat(0.0); 2]; 4];
            let whole = inputs - inputs % S::LANES;
            for i in (0..whole).step_by(S::LANES) {
                let w = [S::load(w[0].add(i)), S::load(w[1].add(i))];
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = S::load(x.add(i));
                    *sums = [S::fma(x, w[0], sums[0]), S::fma(x, w[1], sums[1])];
                }
            }
            if whole < inputs {
                let mask = S::mask(0, inputs - whole);
                let w = [S::load_masked(w[0].add(whole), mask), S::load_masked(w[1].add(whole), mask)];
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = S::load_masked(x.add(whole), mask);
                    *sums = [S::fma(x, w[0], sums[0]), S::fma(x, w[1], sums[1])];
                }
            }
            for (i, sums) in sums.iter().enumerate().take(rows) {
                for (j, sum) in sums.iter().enumerate().take(ks) {
                    let sum = sum_lanes::<S>(*sum) + bias.map_or(0.0, |bias| bias[k + j]);
                    *to.add((row + i) * shape.outputs + k + j) = if relu && sum < 0.0 { 0.0 } else { sum };
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
    let widths = Widths::of(level);
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

#[inline(always)]
unsafe fn multiply_block_of<S: Simd>(job: &Job, task: usize, scratch: *mut f32) {
    let &MatmulShape { rows, inner, columns, a_transposed, b_transposed } = &job.shape;
    let panel = S::WIDTHS.vectors * S::LANES;
    let width = PANELS * panel;
    let (row, column) = (task / job.blocks * ROWS, task % job.blocks * width);
    let (rows_here, columns_here) = (ROWS.min(rows - row), width.min(columns - column));
    let (b, a, sums) = (scratch, scratch.add(width * INNER), scratch.add((width + ROWS) * INNER));
    let (a_stride, a_step) = if a_transposed { (1, rows) } else { (inner, 1) };
    let (b_stride, b_step) = if b_transposed { (inner, 1) } else { (1, columns) };
    for first in (0..inner.max(1)).step_by(INNER) {
        let len = INNER.min(inner - first);
        for c in (0..columns_here).step_by(panel) {
            let from = job.b.as_ptr().wrapping_add((column + c) * b_stride + first * b_step);
            pack::<S>(from, b_stride, b_step, columns_here - c, panel, len, b.add(c * INNER));
        }
        for r in (0..rows_here).step_by(S::ROWS) {
            let from = job.a.as_ptr().wrapping_add((row + r) * a_stride + first * a_step);
            pack::<S>(from, a_stride, a_step, rows_here - r, S::ROWS, len, a.add(r * INNER));
        }
        for c in (0..columns_here).step_by(panel) {
            for r in (0..rows_here).step_by(S::ROWS) {
                let to = Store {
                    to: sums.add(r * width + c),
                    row_stride: width,
                    vector_stride: S::LANES,
                    add: first > 0,
                };
                S::product(S::WIDTHS.vectors, len, b.add(c * INNER), a.add(r * INNER), std::ptr::null(), to);
            }
        }
    }
    let floor = S::splat(if job.relu { 0.0 } else { f32::NEG_INFINITY });
    for r in 0..rows_here {
        for c in (0..columns_here).step_by(S::LANES) {
            let mask = S::mask(0, columns_here - c);
            let bias =
                job.bias.map_or(S::splat(0.0), |bias| S::load_masked(bias.as_ptr().add(column + c), mask));
            let value = S::at_least(floor, S::add(S::load(sums.add(r * width + c)), bias));
            S::store_masked(job.c.get().add((row + r) * columns + column + c), mask, value);
        }
    }
}

/// to[k][j] = from[j · stride + k · step] for k < len and j < width, zero from j = count on; either stride or step is 1.
#[inline(always)]
unsafe fn pack<S: Simd>(
    from: *const f32,
    stride: usize,
    step: usize,
    count: usize,
    width: usize,
    len: usize,
    to: *mut f32,
) {
    for j in (0..width).step_by(S::LANES) {
        let (lanes, wanted) = (count.saturating_sub(j).min(S::LANES), S::mask(0, width - j));
        if stride == 1 {
            let mask = S::mask(0, lanes);
            for k in 0..len {
                S::store_masked(
                    to.add(k * width + j),
                    wanted,
                    S::load_masked(from.wrapping_add(j + k * step), mask),
                );
            }
        } else {
            for k in (0..len).step_by(S::LANES) {
                let mask = S::mask(0, len - k);
                let mut rows = [S::splat(0.0); MAX_LANES];
                for (lane, row) in rows.iter_mut().enumerate().take(lanes) {
                    *row = S::load_masked(from.wrapping_add((j + lane) * stride + k), mask);
                }
                S::transpose(&mut rows);
                for (i, row) in rows.iter().enumerate().take(S::LANES.min(len - k)) {
                    S::store_masked(to.add((k + i) * width + j), wanted, *row);
                }
            }
        }
    }
}
