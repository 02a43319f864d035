//! The gradient by the weights, F(3×3, 4×4): every 6×6 tile of the input is correlated with its 4×4 tile of
//! the gradient by the outputs.
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

use crate::dispatch::{vectorized, widths};
use crate::level::Level;
use crate::product::{Operands, Store, product};
use crate::reduction::{self, Block, Blocks, Lengths, Places};
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
    let widths = widths(level);
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

    unsafe fn pack(&self, places: &Places, task: usize, block: Block, ring: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            match task.checked_sub(self.sizes.inputs / self.sizes.lanes) {
                None => transform_inputs(self.level, self, places, task, block, ring),
                Some(vector) => transform_gradients(self.level, self, places, vector, block, ring),
            }
        }
    }

    unsafe fn multiply(&self, places: &Places, product: usize, block: Block) {
        // SAFETY: the caller's promise.
        unsafe { multiply(self.level, self, places, product, block) };
    }

    unsafe fn finish(&self, places: &Places, k: usize, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { finish(self.level, self, places, k, to) };
    }
}

vectorized!(
    fn transform_inputs(job: &Job, to: &Places, vector: usize, block: Block, ring: *mut f32) =
        transform_inputs_of
);
vectorized!(
    fn transform_gradients(job: &Job, to: &Places, vector: usize, block: Block, ring: *mut f32) =
        transform_gradients_of
);
vectorized!(fn multiply(job: &Job, places: &Places, at: usize, block: Block) = multiply_of);
vectorized!(fn finish(job: &Job, places: &Places, k: usize, to: *mut f32) = finish_of);

/// One vector of channels of a block: input → V.
///
/// # Safety
/// As for [`Blocks::pack`].
#[inline(always)]
unsafe fn transform_inputs_of<S: Simd>(
    s: S,
    job: &Job,
    to: &Places,
    vector: usize,
    block: Block,
    ring: *mut f32,
) {
    let sizes = &job.sizes;
    let &Correlation { inputs, height, width, padding, .. } = &sizes.shape;
    let pitch = sizes.pitch * S::LANES;
    // Six padded rows in a ring, the padded row r in slot r % 6; what is left and right of the image stays
    // zero.
    for slot in 0..SIDE {
        // SAFETY: the ring has so many rows.
        let row = unsafe { std::slice::from_raw_parts_mut(ring.add(slot * pitch), pitch) };
        row[..padding * S::LANES].fill(0.0);
        row[(padding + width) * S::LANES..].fill(0.0);
    }
    let lanes = inputs.saturating_sub(vector * S::LANES).min(S::LANES);
    let source = Source::open(job.input);
    let (mut image, mut loaded) = (usize::MAX, 0);
    let range = sizes.block_rows(block.index);
    for row in range.clone() {
        let top = row % sizes.image_rows * M;
        if image != row / sizes.image_rows {
            (image, loaded) = (row / sizes.image_rows, top);
        }
        for padded in loaded..top + SIDE {
            let inside = (padding..height + padding).contains(&padded);
            let first = (image * inputs + vector * S::LANES) * height * width;
            let at = inside.then(|| first + (padded - padding) * width);
            let row = ChannelRow { at, plane: height * width, lanes, width };
            // SAFETY: the row lies inside the input, and its slot in the ring.
            unsafe {
                let slot = ring.add(padded % SIDE * pitch + padding * S::LANES);
                row_to_lanes::<S, false>(s, &source, row, slot);
            }
        }
        loaded = top + SIDE;
        for column in 0..sizes.columns {
            let mut rows = [[s.splat(0.0); MAX_SIDE]; MAX_SIDE];
            for (r, factors) in rows.iter_mut().enumerate() {
                let mut pixels = [s.splat(0.0); MAX_SIDE];
                for (q, pixel) in pixels.iter_mut().enumerate() {
                    let at = (top + r) % SIDE * pitch + (column * M + q) * S::LANES;
                    // SAFETY: the ring's rows have the tiles' columns.
                    *pixel = unsafe { s.load(ring.add(at)) };
                }
                *factors = F4::input(s, pixels);
            }
            let tile = (row - range.start) * sizes.columns + column;
            let panel = vector / sizes.vectors * sizes.tiles + tile;
            let at = panel * sizes.panel + vector % sizes.vectors * S::LANES;
            for j in 0..SIDE {
                let factors =
                    F4::input(s, [rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]]);
                for (i, factor) in factors.iter().enumerate() {
                    // SAFETY: the tile has its place in V.
                    unsafe { s.store(to.inputs.get().add(at + (i * SIDE + j) * sizes.v_stride), *factor) };
                }
            }
        }
    }
}

/// One vector of channels of a block: gradient → D, and its sums.
///
/// # Safety
/// As for [`Blocks::pack`].
#[inline(always)]
unsafe fn transform_gradients_of<S: Simd>(
    s: S,
    job: &Job,
    to: &Places,
    vector: usize,
    block: Block,
    ring: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if job.gradient.gate.is_some() {
            transform_gated::<S, true>(s, job, to, vector, block, ring);
        } else {
            transform_gated::<S, false>(s, job, to, vector, block, ring);
        }
    }
}

/// # Safety
/// As for [`Blocks::pack`].
#[inline(always)]
unsafe fn transform_gated<S: Simd, const GATED: bool>(
    s: S,
    job: &Job,
    to: &Places,
    vector: usize,
    block: Block,
    ring: *mut f32,
) {
    let sizes = &job.sizes;
    let (outputs, height, width) = (sizes.shape.outputs, sizes.shape.out_height(), sizes.shape.out_width());
    let pitch = sizes.pitch * S::LANES;
    for slot in 0..M {
        // SAFETY: the ring has so many rows.
        let row = unsafe { std::slice::from_raw_parts_mut(ring.add(slot * pitch), pitch) };
        row[width * S::LANES..].fill(0.0);
    }
    let lanes = outputs.saturating_sub(vector * S::LANES).min(S::LANES);
    // SAFETY: the vector has its place among the bias's sums.
    let sums = unsafe { to.bias.get().add(vector * S::LANES) };
    // SAFETY: as above; an earlier block has written them.
    let mut sum = if block.first { s.splat(0.0) } else { unsafe { s.load(sums) } };
    let range = sizes.block_rows(block.index);
    for row in range.clone() {
        let (image, top) = (row / sizes.image_rows, row % sizes.image_rows * M);
        for r in 0..M {
            let first = (image * outputs + vector * S::LANES) * height;
            let at = (top + r < height).then(|| (first + top + r) * width);
            let row = ChannelRow { at, plane: height * width, lanes, width };
            // SAFETY: the row lies inside the gradient, and its slot in the ring.
            sum = s.add(sum, unsafe { row_to_lanes::<S, GATED>(s, &job.gradient, row, ring.add(r * pitch)) });
        }
        for column in 0..sizes.columns {
            let mut rows = [[s.splat(0.0); MAX_SIDE]; M];
            for (r, factors) in rows.iter_mut().enumerate() {
                // SAFETY: the ring's rows have the tiles' columns.
                let pixel = |q: usize| unsafe { s.load(ring.add(r * pitch + (column * M + q) * S::LANES)) };
                *factors = F4::weights_of_4(s, [pixel(0), pixel(1), pixel(2), pixel(3)]);
            }
            let tile = (row - range.start) * sizes.columns + column;
            for j in 0..SIDE {
                let factors = F4::weights_of_4(s, [rows[0][j], rows[1][j], rows[2][j], rows[3][j]]);
                for (i, factor) in factors.iter().enumerate() {
                    // SAFETY: the tile has its place in D.
                    unsafe {
                        let to = to.gradients.get().add((vector * 2 * sizes.tiles + tile) * S::ROWS);
                        let to = to.add((i * SIDE + j) * sizes.d_stride);
                        s.store_halves(to, sizes.tiles * S::ROWS, *factor);
                    }
                }
            }
        }
    }
    // SAFETY: as above.
    unsafe { s.store(sums, sum) };
}

/// The same row of some neighbouring channels.
#[derive(Clone, Copy)]
struct ChannelRow {
    /// Where the first channel's begins; nowhere if it is not inside the image.
    at: Option<usize>,
    /// Elements from one channel's to the next one's.
    plane: usize,
    /// Channels, at most as many as a vector has lanes.
    lanes: usize,
    /// Pixels of the row.
    width: usize,
}

/// A row to `[pixel][lane]`, in whole vectors of pixels; returns the channels' sums. One that is not inside
/// the image is zero.
///
/// # Safety
/// The row lies inside the source, if it is anywhere, and `to` has room for it.
#[inline(always)]
unsafe fn row_to_lanes<S: Simd, const GATED: bool>(
    s: S,
    source: &Source,
    row: ChannelRow,
    to: *mut f32,
) -> S::V {
    let ChannelRow { at, plane, lanes, width } = row;
    let mut sum = s.splat(0.0);
    let Some(at) = at else {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(to, width * S::LANES) }.fill(0.0);
        return sum;
    };
    let from = source.at::<GATED>(at);
    for x in (0..width).step_by(S::LANES) {
        let mask = s.mask(0, width - x);
        let mut rows = [s.splat(0.0); MAX_LANES];
        for (l, row) in rows.iter_mut().enumerate().take(S::LANES) {
            if l < lanes {
                // SAFETY: the mask ends where the row does.
                *row = unsafe { from.add(l * plane + x).load_masked(s, mask) };
            }
        }
        s.transpose(&mut rows);
        for (l, row) in rows.iter().enumerate().take(S::LANES) {
            // SAFETY: there is room for whole vectors of pixels.
            unsafe { s.store(to.add((x + l) * S::LANES), *row) };
            sum = s.add(sum, *row);
        }
    }
    sum
}

/// One product: S[k][c] = or += Σ_tile D[k/ROWS][tile] · V[c/panel][tile].
///
/// # Safety
/// As for [`Blocks::multiply`].
#[inline(always)]
unsafe fn multiply_of<S: Simd>(s: S, job: &Job, places: &Places, at: usize, block: Block) {
    let sizes = &job.sizes;
    let len = sizes.block_rows(block.index).len() * sizes.columns;
    for c in (0..sizes.inputs).step_by(sizes.panel) {
        for k in (0..sizes.shape.outputs).step_by(S::ROWS) {
            // SAFETY: the panels and sums have their places.
            unsafe {
                let v = places.inputs.get().add(at * sizes.v_stride + c * sizes.tiles);
                let u = places.gradients.get().add(at * sizes.d_stride + k * sizes.tiles);
                let to = places.sums.get().add(at * sizes.s_stride + k * sizes.inputs + c);
                let to = Store { to, row_stride: sizes.inputs, vector_stride: S::LANES, add: !block.first };
                product(s, sizes.vectors, Operands { len, v, u, next_v: std::ptr::null() }, to);
            }
        }
    }
}

/// One output channel: S[36][k][c] → to[k][c][3][3].
///
/// # Safety
/// As for [`Blocks::finish`].
#[inline(always)]
unsafe fn finish_of<S: Simd>(s: S, job: &Job, places: &Places, k: usize, to: *mut f32) {
    let sizes = &job.sizes;
    let inputs = sizes.shape.inputs;
    for c in (0..inputs).step_by(S::LANES) {
        let mut rows = [[s.splat(0.0); MAX_SIDE]; 3];
        for j in 0..SIDE {
            let at = |i: usize| (i * SIDE + j) * sizes.s_stride + k * sizes.inputs + c;
            // SAFETY: the sums have rows for the channel, in whole vectors.
            let sum = |i: usize| unsafe { s.load(places.sums.get().add(at(i))) };
            let column = F4::output_of_3(s, [sum(0), sum(1), sum(2), sum(3), sum(4), sum(5)]);
            for (row, value) in rows.iter_mut().zip(column) {
                row[j] = value;
            }
        }
        let mut taps = [[0f32; MAX_LANES]; 9];
        for (i, row) in rows.iter().enumerate() {
            for (j, tap) in F4::output_of_3(s, *row).into_iter().enumerate() {
                taps[i * 3 + j] = s.to_lanes(tap);
            }
        }
        for lane in 0..S::LANES.min(inputs - c) {
            for (t, tap) in taps.iter().enumerate() {
                // SAFETY: the filter is one of those of the channel, which is this task's.
                unsafe { *to.add((k * inputs + c + lane) * 9 + t) = tap[lane] };
            }
        }
    }
}
