//! The gradient by the weights, F(3×3, 4×4): every 6×6 tile of the input is correlated with its 4×4 tile of the gradient by the
//! outputs.
//!
//! Here the lanes are channels, as the products sum over the tiles. For each block of tile rows:
//!
//! ```text
//! input    [n][c][h][w] → V [product][c/panel][tile][panel]    6×6 → 6×6, the input transform of F(4×4, 3×3)
//! gradient [n][k][h][w] → D [product][k/ROWS][tile][ROWS]      4×4 → 6×6
//! S [product][k][c] += Σ_tile D · V
//! ```
//!
//! and in the end S 6×6 → 3×3.

use crate::Level;
use crate::product::Store;
use crate::reduction::{self, Blocks, Lengths, Places};
use crate::simd::{MAX_LANES, Simd, Widths};
use crate::source::Source;

use super::correlate::{Correlation, GAP};
use super::tile::{F4, MAX_SIDE, Tile};

const PRODUCTS: usize = F4::PRODUCTS;
const M: usize = F4::M;
const SIDE: usize = F4::SIDE;

/// Tiles of a block when S is shared and when it is not.
const SHARED_TILES: usize = 256;
const OWN_TILES: usize = 128;

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    shape: Correlation,
    /// Tile rows of an image, tiles of a row, tile rows in all and of a block, tiles of a block.
    image_rows: usize,
    columns: usize,
    all_rows: usize,
    rows: usize,
    tiles: usize,
    /// Lanes of a vector, vectors and lanes of a panel of V.
    lanes: usize,
    vectors: usize,
    panel: usize,
    /// Channels, rounded up to whole panels and vectors.
    inputs: usize,
    outputs: usize,
    /// Floats of one product in V, D and S.
    v_stride: usize,
    d_stride: usize,
    s_stride: usize,
    /// Pixels of a padded row, and floats of the scratch for rows with the channels in the lanes.
    pitch: usize,
    ring: usize,
}

impl Sizes {
    fn new(shape: &Correlation, widths: Widths, tiles: usize) -> Self {
        let (image_rows, columns) = (shape.out_height().div_ceil(M), shape.out_width().div_ceil(M));
        let all_rows = shape.batch * image_rows;
        let rows = (tiles / columns).clamp(1, all_rows);
        let tiles = rows * columns;
        let vectors = widths.panel_for(shape.inputs);
        let panel = vectors * widths.lanes;
        let (inputs, outputs) =
            (shape.inputs.next_multiple_of(panel), shape.outputs.next_multiple_of(widths.lanes));
        let pitch = (columns * M + 2).max(shape.padding + shape.width.next_multiple_of(widths.lanes));
        Self {
            shape: *shape,
            image_rows,
            columns,
            all_rows,
            rows,
            tiles,
            lanes: widths.lanes,
            vectors,
            panel,
            inputs,
            outputs,
            v_stride: inputs * tiles + GAP,
            d_stride: outputs * tiles + GAP,
            s_stride: outputs * inputs + GAP,
            pitch,
            ring: SIDE * pitch * widths.lanes,
        }
    }

    fn blocks(&self) -> usize {
        self.all_rows.div_ceil(self.rows)
    }

    fn block_rows(&self, block: usize) -> std::ops::Range<usize> {
        block * self.rows..((block + 1) * self.rows).min(self.all_rows)
    }
}

/// Everything that the tasks need.
struct Job<'a> {
    level: Level,
    sizes: Sizes,
    input: &'a [f32],
    gradient: Source<'a>,
}

/// weight[k][c][3][3] = Σ gradient[k] · shifted input[c], bias[k] = Σ gradient[k]; both are overwritten.
pub(crate) fn weight_gradient(
    level: Level,
    shape: &Correlation,
    input: &[f32],
    gradient: Source,
    weight: &mut [f32],
    bias: Option<&mut [f32]>,
) {
    let widths = Widths::of(level);
    let mut job = Job { level, sizes: Sizes::new(shape, widths, OWN_TILES), input, gradient };
    if !reduction::grouped(&job, weight.len()) {
        job.sizes = Sizes::new(shape, widths, SHARED_TILES);
    }
    reduction::sum(&job, weight, bias);
}

impl Blocks for Job<'_> {
    fn lengths(&self) -> Lengths {
        let Sizes { v_stride, d_stride, s_stride, outputs, ring, .. } = self.sizes;
        let [inputs, gradients, sums] = [v_stride, d_stride, s_stride].map(|stride| PRODUCTS * stride);
        Lengths { inputs, gradients, sums, bias: outputs, packing: ring }
    }

    fn blocks(&self) -> usize {
        self.sizes.blocks()
    }

    fn tasks(&self) -> (usize, usize) {
        ((self.sizes.inputs + self.sizes.outputs) / self.sizes.lanes, PRODUCTS)
    }

    fn work(&self) -> f64 {
        (2 * PRODUCTS * self.sizes.tiles) as f64
            * (self.sizes.inputs + 8) as f64
            * (self.sizes.outputs + 8) as f64
    }

    fn out_channels(&self) -> usize {
        self.sizes.shape.outputs
    }

    unsafe fn pack(&self, places: &Places, task: usize, block: usize, first: bool, ring: *mut f32) {
        match task.checked_sub(self.sizes.inputs / self.sizes.lanes) {
            None => transform_inputs(self.level, self, places, task, block, ring),
            Some(vector) => transform_gradients(self.level, self, places, vector, block, !first, ring),
        }
    }

    unsafe fn multiply(&self, places: &Places, product: usize, block: usize, first: bool) {
        multiply(self.level, self, places, product, block, !first);
    }

    unsafe fn finish(&self, places: &Places, k: usize, to: *mut f32) {
        finish(self.level, self, places, k, to);
    }
}

vectorized!(fn transform_inputs(job: &Job, to: &Places, vector: usize, block: usize, ring: *mut f32) = transform_inputs_of);
vectorized!(fn transform_gradients(job: &Job, to: &Places, vector: usize, block: usize, add: bool, ring: *mut f32) = transform_gradients_of);
vectorized!(fn multiply(job: &Job, places: &Places, product: usize, block: usize, add: bool) = multiply_of);
vectorized!(fn finish(job: &Job, places: &Places, k: usize, to: *mut f32) = finish_of);

/// One vector of channels of a block: input → V.
#[inline(always)]
unsafe fn transform_inputs_of<S: Simd>(job: &Job, to: &Places, vector: usize, block: usize, ring: *mut f32) {
    let sizes = &job.sizes;
    let &Correlation { inputs, height, width, padding, .. } = &sizes.shape;
    let pitch = sizes.pitch * S::LANES;
    // Six padded rows in a ring, the padded row r in slot r % 6; what is left and right of the image stays zero.
    for slot in 0..SIDE {
        let row = std::slice::from_raw_parts_mut(ring.add(slot * pitch), pitch);
        row[..padding * S::LANES].fill(0.0);
        row[(padding + width) * S::LANES..].fill(0.0);
    }
    let lanes = inputs.saturating_sub(vector * S::LANES).min(S::LANES);
    let source = Source { values: job.input, gate: None };
    let (mut image, mut loaded) = (usize::MAX, 0);
    let range = sizes.block_rows(block);
    for row in range.clone() {
        let top = row % sizes.image_rows * M;
        if image != row / sizes.image_rows {
            (image, loaded) = (row / sizes.image_rows, top);
        }
        for padded in loaded..top + SIDE {
            let inside = (padding..height + padding).contains(&padded);
            let row =
                ((image * inputs + vector * S::LANES) * height).wrapping_add(padded.wrapping_sub(padding));
            let at = row.wrapping_mul(width); // outside where `inside` says so
            let slot = ring.add(padded % SIDE * pitch + padding * S::LANES);
            row_to_lanes::<S, false>(&source, at, height * width, lanes, width, inside, slot);
        }
        loaded = top + SIDE;
        for column in 0..sizes.columns {
            let mut rows = [[S::splat(0.0); MAX_SIDE]; MAX_SIDE];
            for (r, factors) in rows.iter_mut().enumerate() {
                let from = ring.add((top + r) % SIDE * pitch + column * M * S::LANES);
                let mut pixels = [S::splat(0.0); MAX_SIDE];
                for (q, pixel) in pixels.iter_mut().enumerate() {
                    *pixel = S::load(from.add(q * S::LANES));
                }
                *factors = F4::input::<S>(pixels);
            }
            let tile = (row - range.start) * sizes.columns + column;
            let at = (vector / sizes.vectors * sizes.tiles + tile) * sizes.panel
                + vector % sizes.vectors * S::LANES;
            for j in 0..SIDE {
                let factors =
                    F4::input::<S>([rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]]);
                for (i, factor) in factors.iter().enumerate() {
                    S::store(to.inputs.get().add(at + (i * SIDE + j) * sizes.v_stride), *factor);
                }
            }
        }
    }
}

/// One vector of channels of a block: gradient → D, and its sums.
#[inline(always)]
unsafe fn transform_gradients_of<S: Simd>(
    job: &Job,
    to: &Places,
    vector: usize,
    block: usize,
    add: bool,
    ring: *mut f32,
) {
    if job.gradient.gate.is_some() {
        transform_gated::<S, true>(job, to, vector, block, add, ring);
    } else {
        transform_gated::<S, false>(job, to, vector, block, add, ring);
    }
}

#[inline(always)]
unsafe fn transform_gated<S: Simd, const GATED: bool>(
    job: &Job,
    to: &Places,
    vector: usize,
    block: usize,
    add: bool,
    ring: *mut f32,
) {
    let sizes = &job.sizes;
    let (outputs, height, width) = (sizes.shape.outputs, sizes.shape.out_height(), sizes.shape.out_width());
    let pitch = sizes.pitch * S::LANES;
    for slot in 0..M {
        std::slice::from_raw_parts_mut(ring.add(slot * pitch), pitch)[width * S::LANES..].fill(0.0);
    }
    let lanes = outputs.saturating_sub(vector * S::LANES).min(S::LANES);
    let sums = to.bias.get().add(vector * S::LANES);
    let mut sum = if add { S::load(sums) } else { S::splat(0.0) };
    let range = sizes.block_rows(block);
    for row in range.clone() {
        let (image, top) = (row / sizes.image_rows, row % sizes.image_rows * M);
        for r in 0..M {
            let at = ((image * outputs + vector * S::LANES) * height + top + r) * width;
            let slot = ring.add(r * pitch);
            let row_sum = row_to_lanes::<S, GATED>(
                &job.gradient,
                at,
                height * width,
                lanes,
                width,
                top + r < height,
                slot,
            );
            sum = S::add(sum, row_sum);
        }
        for column in 0..sizes.columns {
            let mut rows = [[S::splat(0.0); MAX_SIDE]; M];
            for (r, factors) in rows.iter_mut().enumerate() {
                let pixel = |q: usize| S::load(ring.add(r * pitch + (column * M + q) * S::LANES));
                *factors = F4::weights_of_4::<S>([pixel(0), pixel(1), pixel(2), pixel(3)]);
            }
            let tile = (row - range.start) * sizes.columns + column;
            let to = to.gradients.get().add((vector * 2 * sizes.tiles + tile) * S::ROWS);
            for j in 0..SIDE {
                let factors = F4::weights_of_4::<S>([rows[0][j], rows[1][j], rows[2][j], rows[3][j]]);
                for (i, factor) in factors.iter().enumerate() {
                    S::store_halves(to.add((i * SIDE + j) * sizes.d_stride), sizes.tiles * S::ROWS, *factor);
                }
            }
        }
    }
    S::store(sums, sum);
}

/// A row of `lanes` channels, `plane` floats apart, to `[pixel][lane]`, in whole vectors of pixels; returns the channels' sums. A row
/// that is not inside the image is zero.
#[inline(always)]
unsafe fn row_to_lanes<S: Simd, const GATED: bool>(
    source: &Source,
    at: usize,
    plane: usize,
    lanes: usize,
    width: usize,
    inside: bool,
    to: *mut f32,
) -> S::V {
    let mut sum = S::splat(0.0);
    if !inside {
        std::slice::from_raw_parts_mut(to, width * S::LANES).fill(0.0);
        return sum;
    }
    let values = source.values.as_ptr().add(at);
    let gates = source.gate.map_or(values, |gate| gate.as_ptr().add(at));
    for x in (0..width).step_by(S::LANES) {
        let mask = S::mask(0, width - x);
        let mut rows = [S::splat(0.0); MAX_LANES];
        for (l, row) in rows.iter_mut().enumerate().take(S::LANES) {
            if l < lanes {
                let at = l * plane + x;
                *row = S::load_masked(values.add(at), mask);
                if GATED {
                    *row = S::gate(S::load_masked(gates.add(at), mask), *row);
                }
            }
        }
        S::transpose(&mut rows);
        for (l, row) in rows.iter().enumerate().take(S::LANES) {
            S::store(to.add((x + l) * S::LANES), *row);
            sum = S::add(sum, *row);
        }
    }
    sum
}

/// One product: S[k][c] = or += Σ_tile D[k/ROWS][tile] · V[c/panel][tile].
#[inline(always)]
unsafe fn multiply_of<S: Simd>(job: &Job, places: &Places, product: usize, block: usize, add: bool) {
    let sizes = &job.sizes;
    let len = sizes.block_rows(block).len() * sizes.columns;
    let (v, d) = (
        places.inputs.get().add(product * sizes.v_stride),
        places.gradients.get().add(product * sizes.d_stride),
    );
    let s = places.sums.get().add(product * sizes.s_stride);
    for c in (0..sizes.inputs).step_by(sizes.panel) {
        for k in (0..sizes.shape.outputs).step_by(S::ROWS) {
            let sums = Store {
                to: s.add(k * sizes.inputs + c),
                row_stride: sizes.inputs,
                vector_stride: S::LANES,
                add,
            };
            S::product(
                sizes.vectors,
                len,
                v.add(c * sizes.tiles),
                d.add(k * sizes.tiles),
                std::ptr::null(),
                sums,
            );
        }
    }
}

/// One output channel: S[36][k][c] → to[k][c][3][3].
#[inline(always)]
unsafe fn finish_of<S: Simd>(job: &Job, places: &Places, k: usize, to: *mut f32) {
    let sizes = &job.sizes;
    let inputs = sizes.shape.inputs;
    for c in (0..inputs).step_by(S::LANES) {
        let s = places.sums.get().add(k * sizes.inputs + c);
        let mut rows = [[S::splat(0.0); MAX_SIDE]; 3];
        for j in 0..SIDE {
            let sum = |i: usize| S::load(s.add((i * SIDE + j) * sizes.s_stride));
            let column = F4::output_of_3::<S>([sum(0), sum(1), sum(2), sum(3), sum(4), sum(5)]);
            for (row, value) in rows.iter_mut().zip(column) {
                row[j] = value;
            }
        }
        let mut taps = [[0f32; MAX_LANES]; 9];
        for (i, row) in rows.iter().enumerate() {
            for (j, tap) in F4::output_of_3::<S>(*row).into_iter().enumerate() {
                S::store(taps[i * 3 + j].as_mut_ptr(), tap);
            }
        }
        for lane in 0..S::LANES.min(inputs - c) {
            let filter = to.add((k * inputs + c + lane) * 9);
            for (t, tap) in taps.iter().enumerate() {
                *filter.add(t) = tap[lane];
            }
        }
    }
}
