//! The gradient by the weights, block of pixels by block:
//!
//! ```text
//! input    [n][c][h][w] → X [row of the product/panel][pixel][panel]    its taps, transposed
//! gradient [n][k][h][w] → D [k/ROWS][pixel][ROWS]
//! S [k][row of the product] += Σ_pixel D · X
//! ```

use crate::Level;
use crate::product::Store;
use crate::reduction::{self, Blocks, Lengths, Places};
use crate::shape::ConvShape;
use crate::simd::{MAX_LANES, Simd, Widths};
use crate::source::Source;

use super::correlate::forward_grid;
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

/// weight[k][c][kernel][kernel] = Σ gradient[k] · shifted input[c], bias[k] = Σ gradient[k]; both are overwritten.
pub(crate) fn weight_gradient(
    level: Level,
    shape: &ConvShape,
    input: &[f32],
    gradient: Source,
    weight: &mut [f32],
    bias: Option<&mut [f32]>,
) {
    let widths = Widths::of(level);
    let inputs = forward_grid(shape);
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
        input: Source { values: input, gate: None },
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

    unsafe fn pack(&self, places: &Places, task: usize, block: usize, first: bool, packing: *mut f32) {
        match task.checked_sub(self.rows / self.widths.lanes) {
            None => pack_inputs(self.level, self, places, task, block, packing),
            Some(vector) => pack_gradients(self.level, self, places, vector, block, !first, packing),
        }
    }

    unsafe fn multiply(&self, places: &Places, task: usize, block: usize, first: bool) {
        multiply(self.level, self, places, task, block, !first);
    }

    unsafe fn finish(&self, places: &Places, k: usize, to: *mut f32) {
        let len = self.inputs.len();
        std::ptr::copy_nonoverlapping(places.sums.get().add(k * self.rows), to.add(k * len), len);
    }
}

vectorized!(fn pack_inputs(job: &Job, places: &Places, vector: usize, block: usize, packing: *mut f32) = pack_inputs_of);
vectorized!(fn pack_gradients(job: &Job, places: &Places, vector: usize, block: usize, add: bool, packing: *mut f32) = pack_gradients_of);
vectorized!(fn multiply(job: &Job, places: &Places, task: usize, block: usize, add: bool) = multiply_of);

/// As many rows of the product as there are lanes: input → X.
#[inline(always)]
unsafe fn pack_inputs_of<S: Simd>(
    job: &Job,
    places: &Places,
    vector: usize,
    block: usize,
    packing: *mut f32,
) {
    let pixels = job.pixels(block);
    let rows = pack_rows::<S, false>(&job.inputs, &job.input, vector, &pixels, packing);
    let (start, vectors) = job.panel(vector / S::WIDTHS.vectors);
    let panel = vectors * S::LANES;
    let to = places.inputs.get().add((start * MAX_PIXELS + vector - start) * S::LANES);
    for x in (0..pixels.len()).step_by(S::LANES) {
        let lanes = transposed::<S>(packing, rows, x);
        for (i, lane) in lanes.iter().enumerate().take(S::LANES) {
            S::store(to.add((x + i) * panel), *lane);
        }
    }
}

/// As many output channels as there are lanes: gradient → D, and its sums.
#[inline(always)]
unsafe fn pack_gradients_of<S: Simd>(
    job: &Job,
    places: &Places,
    vector: usize,
    block: usize,
    add: bool,
    packing: *mut f32,
) {
    let pixels = job.pixels(block);
    let rows = if job.gradient.gate.is_some() {
        pack_rows::<S, true>(&job.gradients, &job.gradient, vector, &pixels, packing)
    } else {
        pack_rows::<S, false>(&job.gradients, &job.gradient, vector, &pixels, packing)
    };
    let to = places.gradients.get().add(vector * 2 * MAX_PIXELS * S::ROWS);
    let bias = places.bias.get().add(vector * S::LANES);
    let mut sum = S::splat(0.0);
    for x in (0..pixels.len()).step_by(S::LANES) {
        let lanes = transposed::<S>(packing, rows, x);
        for (i, lane) in lanes.iter().enumerate().take(S::LANES) {
            S::store_halves(to.add((x + i) * S::ROWS), MAX_PIXELS * S::ROWS, *lane);
            if x + i < pixels.len() {
                sum = S::add(sum, *lane);
            }
        }
    }
    S::store(bias, if add { S::add(S::load(bias), sum) } else { sum });
}

/// `[lane][pixel]`: the rows from `vector · LANES` on, and how many of them there are.
#[inline(always)]
unsafe fn pack_rows<S: Simd, const GATED: bool>(
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
        let (channel, tap) = ((first + row) / grid.taps.len(), (first + row) % grid.taps.len());
        pack_row::<S, GATED>(grid, source, &runs, channel, grid.taps[tap], to.add(row * MAX_PIXELS));
    }
    rows
}

/// The pixels from `x` on, as vectors of rows; rows past the last one are zero.
#[inline(always)]
unsafe fn transposed<S: Simd>(from: *const f32, rows: usize, x: usize) -> [S::V; MAX_LANES] {
    let mut lanes = [S::splat(0.0); MAX_LANES];
    for (row, lane) in lanes.iter_mut().enumerate().take(S::LANES) {
        if row < rows {
            *lane = S::load(from.add(row * MAX_PIXELS + x));
        }
    }
    S::transpose(&mut lanes);
    lanes
}

/// One panel of X with a part of D.
#[inline(always)]
unsafe fn multiply_of<S: Simd>(job: &Job, places: &Places, task: usize, block: usize, add: bool) {
    let (parts, len) = (job.outputs.div_ceil(PART), job.pixels(block).len());
    let (start, vectors) = job.panel(task / parts);
    let first = task % parts * PART;
    let x = places.inputs.get().add(start * S::LANES * MAX_PIXELS);
    for k in (first..job.gradients.channels.min(first + PART)).step_by(S::ROWS) {
        let d = places.gradients.get().add(k * MAX_PIXELS);
        let sums = Store {
            to: places.sums.get().add(k * job.rows + start * S::LANES),
            row_stride: job.rows,
            vector_stride: S::LANES,
            add,
        };
        S::product(vectors, len, x, d, std::ptr::null(), sums);
    }
}
