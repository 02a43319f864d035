//! The gradient by the weights, block of pixels by block:
//!
//! ```text
//! input    [n][c][h][w] → X [row of the product/panel][pixel][panel]    its taps, transposed
//! gradient [n][k][h][w] → D [k/ROWS][pixel][ROWS]
//! S [k][row of the product] += Σ_pixel D · X
//! ```

use crate::dispatch::{vectorized, widths};
use crate::level::Level;
use crate::product::{Operands, Store, product};
use crate::reduction::{self, Block, Blocks, Lengths, Places};
use crate::shape::ConvShape;
use crate::simd::{MAX_LANES, Simd, Widths};
use crate::source::Source;

use super::grid::{Grid, MAX_PIXELS, pack_row};

/// Output channels of a task of multiplying.
const PART: usize = 128;

struct Job<'a> {
    level: Level,
    widths: Widths,
    /// The input's taps, and the gradient's pixels.
    inputs: Grid,
    gradients: Grid,
    input: Source<'a>,
    gradient: Source<'a>,
    /// Rows of the product, and output channels, rounded up to whole vectors.
    rows: usize,
    outputs: usize,
}

/// weight[k][c][kernel][kernel] = Σ gradient[k] · shifted input[c], bias[k] = Σ gradient[k]; both are
/// overwritten.
pub(crate) fn weight_gradient(
    level: Level,
    shape: &ConvShape,
    input: &[f32],
    gradient: Source,
    weight: &mut [f32],
    bias: Option<&mut [f32]>,
) {
    let widths = widths(level);
    let inputs = Grid::of(shape);
    let (height, width) = (inputs.rows, inputs.columns);
    let taps = vec![(0, 0)];
    let gradients = Grid {
        batch: shape.batch,
        channels: shape.out_channels,
        height,
        width,
        rows: height,
        columns: width,
        step: 1,
        taps,
    };
    let job = Job {
        level,
        widths,
        rows: inputs.len().next_multiple_of(widths.lanes),
        outputs: shape.out_channels.next_multiple_of(widths.lanes),
        inputs: inputs.flattened(),
        gradients: gradients.flattened(),
        input: Source::open(input),
        gradient,
    };
    reduction::sum(&job, weight, bias);
}

impl Job<'_> {
    /// The first vector of the panel of X, and how many it has: the last one may have fewer than the others.
    fn panel(&self, panel: usize) -> (usize, usize) {
        let first = panel * self.widths.vectors;
        (first, self.widths.vectors.min(self.rows / self.widths.lanes - first))
    }

    fn pixels(&self, block: usize) -> std::ops::Range<usize> {
        block * MAX_PIXELS..((block + 1) * MAX_PIXELS).min(self.inputs.pixels())
    }
}

impl Blocks for Job<'_> {
    fn lengths(&self) -> Lengths {
        Lengths {
            inputs: self.rows * MAX_PIXELS,
            gradients: self.outputs * MAX_PIXELS,
            sums: self.outputs * self.rows,
            bias: self.outputs,
            packing: self.widths.lanes * MAX_PIXELS + MAX_LANES,
        }
    }

    fn blocks(&self) -> usize {
        self.inputs.pixels().div_ceil(MAX_PIXELS)
    }

    fn tasks(&self) -> (usize, usize) {
        (
            (self.rows + self.outputs) / self.widths.lanes,
            (self.rows / self.widths.lanes).div_ceil(self.widths.vectors) * self.outputs.div_ceil(PART),
        )
    }

    fn work(&self) -> f64 {
        (2 * MAX_PIXELS) as f64 * (self.rows + 8) as f64 * (self.outputs + 8) as f64
    }

    fn out_channels(&self) -> usize {
        self.gradients.channels
    }

    fn plain(&self) -> bool {
        self.rows == self.inputs.len() && self.outputs == self.gradients.channels
    }

    unsafe fn pack(&self, places: &Places, task: usize, block: Block, packing: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            match task.checked_sub(self.rows / self.widths.lanes) {
                None => pack_inputs(self.level, self, places, task, block, packing),
                Some(vector) => pack_gradients(self.level, self, places, vector, block, packing),
            }
        }
    }

    unsafe fn multiply(&self, places: &Places, task: usize, block: Block) {
        // SAFETY: the caller's promise.
        unsafe { multiply(self.level, self, places, task, block) };
    }

    unsafe fn finish(&self, places: &Places, k: usize, to: *mut f32) {
        let len = self.inputs.len();
        // SAFETY: both have a row for the channel.
        unsafe { std::ptr::copy_nonoverlapping(places.sums.get().add(k * self.rows), to.add(k * len), len) };
    }
}

vectorized!(
    fn pack_inputs(job: &Job, places: &Places, vector: usize, block: Block, packing: *mut f32) =
        pack_inputs_of
);
vectorized!(
    fn pack_gradients(job: &Job, places: &Places, vector: usize, block: Block, packing: *mut f32) =
        pack_gradients_of
);
vectorized!(fn multiply(job: &Job, places: &Places, task: usize, block: Block) = multiply_of);

/// As many rows of the product as there are lanes: input → X.
///
/// # Safety
/// As for [`Blocks::pack`].
#[inline(always)]
unsafe fn pack_inputs_of<S: Simd>(
    s: S,
    job: &Job,
    places: &Places,
    vector: usize,
    block: Block,
    packing: *mut f32,
) {
    let pixels = job.pixels(block.index);
    // SAFETY: the packing has room for a vector of rows.
    let rows = unsafe { pack_rows::<S, false>(s, &job.inputs, &job.input, vector, &pixels, packing) };
    let (start, vectors) = job.panel(vector / S::WIDTHS.vectors);
    let panel = vectors * S::LANES;
    // SAFETY: the vector has its place in the panel, for all pixels of a block in whole vectors.
    unsafe {
        let to = places.inputs.get().add((start * MAX_PIXELS + vector - start) * S::LANES);
        for x in (0..pixels.len()).step_by(S::LANES) {
            let lanes = s.load_columns(packing.add(x), MAX_PIXELS, rows, None);
            for (i, lane) in lanes.iter().enumerate().take(S::LANES) {
                s.store(to.add((x + i) * panel), *lane);
            }
        }
    }
}

/// As many output channels as there are lanes: gradient → D, and its sums.
///
/// # Safety
/// As for [`Blocks::pack`].
#[inline(always)]
unsafe fn pack_gradients_of<S: Simd>(
    s: S,
    job: &Job,
    places: &Places,
    vector: usize,
    block: Block,
    packing: *mut f32,
) {
    let pixels = job.pixels(block.index);
    // SAFETY: the packing has room for a vector of rows, and the vector has its place in D, for all pixels of
    // a block in whole vectors, and among the bias's sums.
    unsafe {
        let rows = if job.gradient.gate.is_some() {
            pack_rows::<S, true>(s, &job.gradients, &job.gradient, vector, &pixels, packing)
        } else {
            pack_rows::<S, false>(s, &job.gradients, &job.gradient, vector, &pixels, packing)
        };
        let to = places.gradients.get().add(vector * 2 * MAX_PIXELS * S::ROWS);
        let bias = places.bias.get().add(vector * S::LANES);
        let mut sum = s.splat(0.0);
        for x in (0..pixels.len()).step_by(S::LANES) {
            let lanes = s.load_columns(packing.add(x), MAX_PIXELS, rows, None);
            for (i, lane) in lanes.iter().enumerate().take(S::LANES) {
                s.store_halves(to.add((x + i) * S::ROWS), MAX_PIXELS * S::ROWS, *lane);
                if x + i < pixels.len() {
                    sum = s.add(sum, *lane);
                }
            }
        }
        s.store(bias, if block.first { sum } else { s.add(s.load(bias), sum) });
    }
}

/// `[lane][pixel]`: the rows from `vector · LANES` on, and how many of them there are.
///
/// # Safety
/// `to` has room for a vector of rows of `MAX_PIXELS` and a vector more; the source has the grid's shape.
#[inline(always)]
unsafe fn pack_rows<S: Simd, const GATED: bool>(
    s: S,
    grid: &Grid,
    source: &Source,
    vector: usize,
    pixels: &std::ops::Range<usize>,
    to: *mut f32,
) -> usize {
    let runs: Vec<_> = grid.runs(pixels.clone()).collect();
    let first = vector * S::LANES;
    let rows = grid.len().saturating_sub(first).min(S::LANES);
    for row in 0..rows {
        // SAFETY: the row has its place.
        unsafe { pack_row::<S, GATED>(s, grid, source, &runs, first + row, to.add(row * MAX_PIXELS)) };
    }
    rows
}

/// One panel of X with a part of D.
///
/// # Safety
/// As for [`Blocks::multiply`].
#[inline(always)]
unsafe fn multiply_of<S: Simd>(s: S, job: &Job, places: &Places, task: usize, block: Block) {
    let (parts, len) = (job.outputs.div_ceil(PART), job.pixels(block.index).len());
    let (start, vectors) = job.panel(task / parts);
    let first = task % parts * PART;
    for k in (first..job.gradients.channels.min(first + PART)).step_by(S::ROWS) {
        // SAFETY: the panels and sums have their places.
        unsafe {
            let v = places.inputs.get().add(start * S::LANES * MAX_PIXELS);
            let u = places.gradients.get().add(k * MAX_PIXELS);
            let to = places.sums.get().add(k * job.rows + start * S::LANES);
            let to = Store { to, row_stride: job.rows, vector_stride: S::LANES, add: !block.first };
            product(s, vectors, Operands { len, v, u, next_v: std::ptr::null() }, to);
        }
    }
}
