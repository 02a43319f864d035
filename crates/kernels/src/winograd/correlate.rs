//! The convolution itself; with the weights turned round, also the gradient by its input.
//!
//! A task takes some vectors of tiles through three stages, in scratch that stays in its caches:
//!
//! ```text
//! source [n][c][h][w]  → V [panel][product][c][vectors of tiles]  input transform
//! V, U [product][k/ROWS][c][ROWS] → M [vector][k][product][lanes] SIDE² small products, for some k at a time
//! M → outputs [n][k][h][w]                                        output transform, epilogue
//! ```

use std::ops::Range;

use crate::dispatch::{vectorized, widths};
use crate::epilogue::{Channel, Epilogue, Outputs};
use crate::level::Level;
use crate::parallel::for_each;
use crate::product::{Operands, Store, product};
use crate::scratch::{Pointer, Shared, with_local};
use crate::shape::ConvShape;
use crate::simd::{MAX_LANES, Simd};
use crate::source::Source;

use super::tile::{F2, F4, MAX_SIDE, Tile, TileSize};

/// Tiles of a task: enough to use each weight often, few enough for the caches.
const TILES: usize = 48;
/// The output channels that pass through M at a time.
const CHANNELS: usize = 32;
/// Floats between the end of one product's V or U and the next one's start: strides of powers of two would
/// put them all into the same few places of the cache.
pub(super) const GAP: usize = 80;
/// Channels ahead of the input transform that are asked for: its rows are too short for the processor to
/// guess.
const AHEAD: usize = 2;

/// The correlation of sources `[batch, inputs, height, width]` with 3×3 weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Correlation {
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// 0, 1 or 2.
    pub(crate) padding: usize,
}

impl Correlation {
    /// The convolution of this shape.
    pub(crate) fn of(shape: &ConvShape) -> Self {
        let &ConvShape { batch, in_channels: inputs, out_channels: outputs, height, width, padding, .. } =
            shape;
        Self { batch, inputs, outputs, height, width, padding }
    }

    /// Its gradient by the input, as a correlation of the gradient by the output.
    pub(crate) fn turned(shape: &ConvShape) -> Self {
        let &ConvShape { batch, in_channels: outputs, out_channels: inputs, .. } = shape;
        let (height, width) = shape.output();
        Self { batch, inputs, outputs, height, width, padding: 2 - shape.padding }
    }

    pub(super) fn out_height(&self) -> usize {
        self.height + 2 * self.padding - 2
    }

    pub(super) fn out_width(&self) -> usize {
        self.width + 2 * self.padding - 2
    }
}

/// Transformed weights U: `[product][k/ROWS][c][ROWS]`.
pub(crate) struct Transformed {
    values: Shared,
    tile: TileSize,
    level: Level,
    inputs: usize,
    outputs: usize,
    stride: usize,
}

impl Transformed {
    /// Transforms weights: `[outputs][inputs][3][3]` or, if `turned` (by 180°, for the gradient),
    /// `[inputs][outputs][3][3]`.
    pub(crate) fn new(
        level: Level,
        tile: TileSize,
        weight: &[f32],
        outputs: usize,
        inputs: usize,
        turned: bool,
    ) -> Self {
        let widths = widths(level);
        let products = match tile {
            TileSize::Two => F2::PRODUCTS,
            TileSize::Four => F4::PRODUCTS,
        };
        let stride = outputs.next_multiple_of(widths.lanes) * inputs + GAP;
        let values = Shared::take(products * stride);
        let job = Filters { weight, to: values.pointer(), outputs, inputs, stride, turned };
        let groups = outputs.div_ceil(widths.lanes);
        for_each(groups, (outputs * inputs * 200) as f64, |group| {
            // SAFETY: the group's filters and its part of the buffer exist.
            with_local(FILTER_SCRATCH, |scratch| unsafe {
                match tile {
                    TileSize::Two => transform_filters::<F2>(level, &job, group, scratch),
                    TileSize::Four => transform_filters::<F4>(level, &job, group, scratch),
                }
            });
        });
        Self { values, tile, level, inputs, outputs, stride }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.stride * size_of::<f32>() * if self.tile == TileSize::Two { F2::PRODUCTS } else { F4::PRODUCTS }
    }
}

struct Filters<'a> {
    weight: &'a [f32],
    to: Pointer,
    outputs: usize,
    inputs: usize,
    stride: usize,
    turned: bool,
}

vectorized!(
    fn transform_filters<T: Tile>(job: &Filters, group: usize, scratch: *mut f32) = transform_filters_of
);

/// Input channels whose transformed weights are gathered before they are written: by themselves, they are too
/// short for whole lines of the cache.
const GATHERED: usize = 8;
/// Floats of scratch for the taps and what is gathered.
const FILTER_SCRATCH: usize = (9 + GATHERED * MAX_SIDE * MAX_SIDE) * MAX_LANES;

/// U = G g Gᵀ for as many output channels as there are lanes, and all input channels.
///
/// # Safety
/// The weights have the job's lengths, `to` has room for all of them transformed, and `scratch` for
/// `FILTER_SCRATCH` floats. Tasks of different groups write different places.
#[inline(always)]
unsafe fn transform_filters_of<S: Simd, T: Tile>(s: S, job: &Filters, group: usize, scratch: *mut f32) {
    let &Filters { weight, to, outputs, inputs, stride, turned } = job;
    let first = group * S::LANES;
    // SAFETY: the scratch has room for the taps and what is gathered; the filters named lie inside the
    // weights, and what is written in the group's part.
    unsafe {
        let to = to.get().add(first * inputs);
        let (taps, gathered) = (scratch, scratch.add(9 * S::LANES)); // gathered: [product][half][c][ROWS]
        // The lanes past the last output channel stay zero.
        std::slice::from_raw_parts_mut(taps, 9 * S::LANES).fill(0.0);
        for start in (0..inputs).step_by(GATHERED) {
            let count = GATHERED.min(inputs - start);
            for c in 0..count {
                for lane in 0..S::LANES.min(outputs - first) {
                    let (k, c) = (first + lane, start + c);
                    let filter =
                        weight.as_ptr().add(if turned { c * outputs + k } else { k * inputs + c } * 9);
                    for t in 0..9 {
                        *taps.add(t * S::LANES + lane) = *filter.add(if turned { 8 - t } else { t });
                    }
                }
                let mut columns = [[s.splat(0.0); MAX_SIDE]; 3];
                for (x, column) in columns.iter_mut().enumerate() {
                    let [a, b, c] = [x, 3 + x, 6 + x].map(|t| taps.add(t * S::LANES));
                    *column = T::weights(s, [s.load(a), s.load(b), s.load(c)]); // [3] → [SIDE]
                }
                for i in 0..T::SIDE {
                    let row = T::weights(s, [columns[0][i], columns[1][i], columns[2][i]]);
                    for (j, factor) in row.iter().enumerate().take(T::SIDE) {
                        let to = gathered.add((i * T::SIDE + j) * GATHERED * S::LANES + c * S::ROWS);
                        s.store_halves(to, GATHERED * S::ROWS, *factor);
                    }
                }
            }
            for half in 0..2 * T::PRODUCTS {
                let from = gathered.add(half * GATHERED * S::ROWS);
                let to = to.add(half / 2 * stride + (half % 2 * inputs + start) * S::ROWS);
                if count == GATHERED {
                    for i in (0..GATHERED * S::ROWS).step_by(S::LANES) {
                        s.stream(to.add(i), s.load(from.add(i)));
                    }
                } else {
                    std::ptr::copy_nonoverlapping(from, to, count * S::ROWS);
                }
            }
        }
    }
}

/// outputs = correlation of the source with the weights, and the epilogue.
pub(crate) fn correlate(
    shape: &Correlation,
    source: Source,
    weights: &Transformed,
    epilogue: Epilogue,
    output: &mut [f32],
) {
    assert_eq!(
        (weights.inputs, weights.outputs),
        (shape.inputs, shape.outputs),
        "weights of another convolution"
    );
    match weights.tile {
        TileSize::Two => correlate_tiled::<F2>(shape, source, weights, epilogue, output),
        TileSize::Four => correlate_tiled::<F4>(shape, source, weights, epilogue, output),
    }
}

fn correlate_tiled<T: Tile>(
    shape: &Correlation,
    source: Source,
    weights: &Transformed,
    epilogue: Epilogue,
    output: &mut [f32],
) {
    let widths = widths(weights.level);
    let grid = Grid::new::<T>(shape, widths.lanes);
    // How the outputs are cut up and which thread computes them changes none of them: each is a sum over the
    // channels in their order.
    let threads = rayon::current_num_threads();
    let most = TILES.div_ceil(widths.lanes * widths.vectors) * widths.vectors;
    let vectors = most.min(grid.vectors().div_ceil(threads)).max(1);
    let blocks = grid.vectors().div_ceil(vectors);
    let parts = if blocks < threads { threads.min(shape.outputs.div_ceil(CHANNELS)) } else { 1 };
    let job = Job {
        shape: *shape,
        grid,
        source,
        weights,
        outputs: Outputs::new(epilogue, output),
        vectors,
        panel: widths.vectors.min(vectors),
        v_stride: shape.inputs * widths.vectors.min(vectors) * widths.lanes + GAP,
        part: shape.outputs.div_ceil(parts).next_multiple_of(widths.lanes),
    };
    let v_len = vectors.div_ceil(job.panel) * T::PRODUCTS * job.v_stride;
    let m_len = vectors * CHANNELS * T::PRODUCTS * widths.lanes;
    let work = (grid.vectors() * widths.lanes * T::PRODUCTS) as f64
        * 2.0
        * (shape.inputs + 8) as f64
        * (shape.outputs + 8) as f64;
    for_each(blocks * parts, work, |task| {
        with_local(v_len + m_len, |v| {
            // SAFETY: the scratch has room for V and M, and the tasks write different outputs.
            unsafe { correlate_block::<T>(weights.level, &job, task / parts, task % parts, v, v.add(v_len)) }
        });
    });
}

/// One correlation, cut into tasks.
struct Job<'a> {
    shape: Correlation,
    grid: Grid,
    source: Source<'a>,
    weights: &'a Transformed,
    outputs: Outputs<'a>,
    /// Vectors of a task, vectors of a panel.
    vectors: usize,
    panel: usize,
    /// Floats of one product's V in a panel.
    v_stride: usize,
    /// Output channels of a task.
    part: usize,
}

/// How the outputs are cut into strips.
#[derive(Clone, Copy)]
struct Grid {
    strips: usize,
    rows: usize,
    columns: usize,
    m: usize,
}

impl Grid {
    fn new<T: Tile>(shape: &Correlation, lanes: usize) -> Self {
        let (rows, columns) = (shape.out_height().div_ceil(T::M), shape.out_width().div_ceil(lanes));
        Self { strips: shape.batch * rows * columns, rows, columns, m: T::M }
    }

    fn vectors(&self) -> usize {
        self.strips.div_ceil(self.m)
    }
}

/// Where the strips of one vector of tiles lie.
#[derive(Clone, Copy)]
struct Place<S: Simd> {
    strips: [Strip<S>; 4],
}

#[derive(Clone, Copy)]
struct Strip<S: Simd> {
    image: usize,
    top: usize,
    left: usize,
    /// Output rows inside the image (none: a strip past the last one) and whether all pixels of a row are.
    rows: usize,
    whole: bool,
    outputs: S::Mask,
    /// Which lanes of the pixels from `left - padding` on, and M further, are inside the source, row by row.
    low: [S::Mask; MAX_SIDE],
    high: [S::Mask; MAX_SIDE],
}

impl<S: Simd> Place<S> {
    #[inline(always)]
    fn new<T: Tile>(s: S, shape: &Correlation, grid: &Grid, vector: usize) -> Self {
        let none = s.mask(0, 0);
        let nothing = Strip {
            image: 0,
            top: 0,
            left: 0,
            rows: 0,
            whole: false,
            outputs: none,
            low: [none; MAX_SIDE],
            high: [none; MAX_SIDE],
        };
        let mut strips = [nothing; 4];
        for (l, strip) in strips.iter_mut().enumerate().take(T::M) {
            let index = vector * T::M + l;
            if index >= grid.strips {
                break;
            }
            let (left, row) = (index % grid.columns * S::LANES, index / grid.columns);
            let top = row % grid.rows * T::M;
            let pixels = shape.out_width() - left;
            (strip.image, strip.top, strip.left) = (row / grid.rows, top, left);
            strip.rows = T::M.min(shape.out_height() - top);
            strip.whole = pixels >= S::LANES;
            strip.outputs = s.mask(0, pixels);
            // Lane i is the source's pixel left - padding + shift + i.
            let inside = |shift: usize| {
                let before = shape.padding.saturating_sub(left + shift);
                s.mask(
                    before,
                    (shape.width + shape.padding).saturating_sub(left + shift).min(S::LANES).max(before),
                )
            };
            for r in 0..T::SIDE {
                if (shape.padding..shape.height + shape.padding).contains(&(top + r)) {
                    (strip.low[r], strip.high[r]) = (inside(0), inside(T::M));
                }
            }
        }
        Self { strips }
    }
}

vectorized!(
    fn correlate_block<T: Tile>(job: &Job, block: usize, part: usize, v: *mut f32, m: *mut f32) =
        correlate_block_of
);

/// The most vectors of a task.
const MAX_VECTORS: usize = 6;

/// # Safety
/// `v` and `m` have room for the task's V and M; the source has the job's shape, and the outputs' too.
#[inline(always)]
unsafe fn correlate_block_of<S: Simd, T: Tile>(
    s: S,
    job: &Job,
    block: usize,
    part: usize,
    v: *mut f32,
    m: *mut f32,
) {
    let first = block * job.vectors;
    let count = job.vectors.min(job.grid.vectors() - first);
    let mut places = [Place::new::<T>(s, &job.shape, &job.grid, first); MAX_VECTORS];
    for (i, place) in places[..count].iter_mut().enumerate().skip(1) {
        *place = Place::new::<T>(s, &job.shape, &job.grid, first + i);
    }
    let places = &places[..count];

    // SAFETY: V has room for the places' tiles.
    unsafe {
        if job.source.gate.is_some() {
            transform_inputs::<S, T, true>(s, job, places, v);
        } else {
            transform_inputs::<S, T, false>(s, job, places, v);
        }
    }
    let end = ((part + 1) * job.part).min(job.shape.outputs);
    let mut channel = part * job.part;
    while channel < end {
        let next = (channel + CHANNELS).min(end);
        // SAFETY: V has been written, and M has room for so many channels.
        unsafe { multiply::<T>(job.weights.level, job, count, v, m, channel..next) };
        for k in channel..next {
            let outputs: Channel<S> = job.outputs.channel(s, k);
            for (i, place) in places.iter().enumerate() {
                // SAFETY: M has been written; the places' outputs of this channel are this task's.
                unsafe {
                    let m = m.add((i * CHANNELS + k - channel) * T::PRODUCTS * S::LANES);
                    transform_outputs::<S, T>(s, job, place, k, m, &outputs);
                }
            }
        }
        channel = next;
    }
    job.outputs.finish(s);
}

/// V[panel][product][c][vectors] = Bᵀ d B.
///
/// # Safety
/// `v` has room for the places' tiles, and the source has the job's shape.
#[inline(always)]
unsafe fn transform_inputs<S: Simd, T: Tile, const GATED: bool>(
    s: S,
    job: &Job,
    places: &[Place<S>],
    v: *mut f32,
) {
    let &Correlation { inputs, height, width, padding, .. } = &job.shape;
    for c in 0..inputs {
        for (i, place) in places.iter().enumerate() {
            let panel = i / job.panel;
            let panel_vectors = job.panel.min(places.len() - panel * job.panel);
            let at = panel * T::PRODUCTS * job.v_stride + (c * panel_vectors + i % job.panel) * S::LANES;
            // The strips' upper left source pixels; where they are outside, so are the masks.
            let mut start = [job.source.at::<GATED>(0); 4];
            for (l, strip) in place.strips.iter().enumerate().take(T::M) {
                let plane = (strip.image * inputs + c) * height * width;
                let corner = (plane + strip.top * width + strip.left) as isize;
                start[l] = start[l].offset(corner - (padding * (width + 1)) as isize);
                if c + AHEAD < inputs {
                    let ahead = start[l].address().wrapping_add(AHEAD * height * width);
                    for r in 0..T::SIDE {
                        s.prefetch(ahead.wrapping_add(r * width));
                    }
                }
            }
            let mut rows = [[s.splat(0.0); MAX_SIDE]; MAX_SIDE];
            for r in 0..T::SIDE {
                let (mut low, mut high) = ([s.splat(0.0); 4], [s.splat(0.0); 4]);
                for (l, strip) in place.strips.iter().enumerate().take(T::M) {
                    let row = start[l].add(r * width);
                    // SAFETY: the masks have only pixels inside the source.
                    unsafe {
                        low[l] = row.load_masked(s, strip.low[r]);
                        high[l] = row.add(T::M).load_masked(s, strip.high[r]);
                    }
                }
                rows[r] = T::input(s, T::gather(s, low, high));
            }
            for j in 0..T::SIDE {
                let column =
                    T::input(s, [rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]]);
                for i in 0..T::SIDE {
                    // SAFETY: the vector of tiles has its place in V.
                    unsafe { s.store(v.add(at + (i * T::SIDE + j) * job.v_stride), column[i]) };
                }
            }
        }
    }
}

// By itself, as the compiler keeps fewer sums in SSE2's registers where the transforms are around them.
vectorized!(
    fn multiply<T: Tile>(job: &Job, count: usize, v: *const f32, m: *mut f32, channels: Range<usize>) =
        multiply_of
);

/// M[vector][k][product][lanes] = Σ_c U[product][k][c] · V[product][c], for some channels k.
///
/// # Safety
/// V of `count` vectors has been written, and `m` has room for the channels.
#[inline(always)]
unsafe fn multiply_of<S: Simd, T: Tile>(
    s: S,
    job: &Job,
    count: usize,
    v: *const f32,
    m: *mut f32,
    channels: Range<usize>,
) {
    let len = job.shape.inputs;
    let (row_stride, vector_stride) = (T::PRODUCTS * S::LANES, CHANNELS * T::PRODUCTS * S::LANES);
    for at in 0..T::PRODUCTS {
        for k in channels.clone().step_by(S::ROWS) {
            for panel in 0..count.div_ceil(job.panel) {
                // SAFETY: the product's parts of U, V and M lie inside them.
                unsafe {
                    let u = job.weights.values.pointer().get().add(at * job.weights.stride + k * len);
                    let v = v.add((panel * T::PRODUCTS + at) * job.v_stride);
                    // With the last rows, the panel's next product.
                    let is_last = k + S::ROWS >= channels.end;
                    let next_v = if is_last { v.wrapping_add(job.v_stride) } else { std::ptr::null() };
                    let first = (k - channels.start) * row_stride + at * S::LANES;
                    let to = m.add(panel * job.panel * vector_stride + first);
                    let to = Store { to, row_stride, vector_stride, add: false };
                    let vectors = job.panel.min(count - panel * job.panel);
                    product(s, vectors, Operands { len, v, u, next_v }, to);
                }
            }
        }
    }
}

/// One channel of a vector of tiles: Aᵀ m A and the epilogue.
///
/// # Safety
/// `m` has the channel's products; the place's outputs of the channel are this task's.
#[inline(always)]
unsafe fn transform_outputs<S: Simd, T: Tile>(
    s: S,
    job: &Job,
    place: &Place<S>,
    k: usize,
    m: *const f32,
    outputs: &Channel<S>,
) {
    let (height, width) = (job.shape.out_height(), job.shape.out_width());
    let mut rows = [[s.splat(0.0); MAX_SIDE]; 4];
    for j in 0..T::SIDE {
        let mut column = [s.splat(0.0); MAX_SIDE];
        for (i, value) in column.iter_mut().enumerate().take(T::SIDE) {
            // SAFETY: there are so many products.
            *value = unsafe { s.load(m.add((i * T::SIDE + j) * S::LANES)) };
        }
        let column = T::output(s, column);
        for i in 0..T::M {
            rows[i][j] = column[i];
        }
    }
    for (i, row) in rows.iter().enumerate().take(T::M) {
        let pixels = T::scatter(s, T::output(s, *row));
        for (l, strip) in place.strips.iter().enumerate().take(T::M) {
            if i < strip.rows {
                let row = ((strip.image * job.shape.outputs + k) * height + strip.top + i) * width;
                // SAFETY: the masked pixels lie inside the output.
                unsafe { outputs.write(s, row + strip.left, (strip.outputs, strip.whole), pixels[l]) };
            }
        }
    }
}
