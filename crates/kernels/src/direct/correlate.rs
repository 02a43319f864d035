//! The convolution, and its gradient by the input.

use std::ops::Range;

use crate::dispatch::{vectorized, widths};
use crate::epilogue::{Channel, Epilogue, Outputs};
use crate::level::Level;
use crate::parallel::for_each;
use crate::product::{LINE, Operands, Store, product};
use crate::scratch::{Pointer, Shared, with_local};
use crate::shape::ConvShape;
use crate::simd::{MAX_LANES, Simd};
use crate::source::Source;

use super::grid::{Grid, Run, pack, runs};

/// Bytes of packed pixels that a task aims at.
const PACKED: usize = 256 << 10;

/// Packed weights: `[k/ROWS][row of the product][ROWS]`.
pub(crate) struct Panels {
    values: Shared,
    level: Level,
    len: usize,
    outputs: usize,
}

impl Panels {
    /// The weights of the forward pass.
    pub(crate) fn new(level: Level, shape: &ConvShape, weight: &[f32]) -> Self {
        let len = shape.in_channels * shape.kernel * shape.kernel;
        Self::pack(level, weight, shape, (shape.out_channels, len), Order::Rows)
    }

    /// The weights of the gradient by the input, of some taps.
    fn turned(level: Level, shape: &ConvShape, weight: &[f32], taps: &[usize]) -> Self {
        let sizes = (shape.in_channels, shape.out_channels * taps.len());
        Self::pack(level, weight, shape, sizes, Order::Turned(taps))
    }

    fn pack(
        level: Level,
        weight: &[f32],
        shape: &ConvShape,
        (outputs, len): (usize, usize),
        order: Order,
    ) -> Self {
        let lanes = widths(level).lanes;
        let vectors = if len == 0 { 0 } else { outputs.div_ceil(lanes) }; // a phase may meet no tap
        let values = Shared::take(vectors * lanes * len);
        let job = Weights { weight, shape, outputs, len, order, to: values.pointer() };
        for_each(vectors, (vectors * lanes * len * 4) as f64, |vector| {
            // SAFETY: the buffer has room for all outputs, and each task fills its own part.
            unsafe { pack_weights(level, &job, vector) }
        });
        Self { values, level, len, outputs }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.outputs.next_multiple_of(widths(self.level).lanes) * self.len * size_of::<f32>()
    }
}

/// How the rows of the product follow each other among the weights of an output.
enum Order<'a> {
    /// Rows one after another.
    Rows,
    /// These taps of each kernel, with the input's channels as outputs.
    Turned(&'a [usize]),
}

struct Weights<'a> {
    weight: &'a [f32],
    shape: &'a ConvShape,
    outputs: usize,
    len: usize,
    order: Order<'a>,
    to: Pointer,
}

vectorized!(fn pack_weights(job: &Weights, vector: usize) = pack_weights_of);

/// As many outputs as there are lanes.
///
/// # Safety
/// The weights have the job's lengths, and `to` has room for all of them in whole vectors of outputs. Tasks
/// of different vectors write different places.
#[inline(always)]
unsafe fn pack_weights_of<S: Simd>(s: S, job: &Weights, vector: usize) {
    let &Weights { shape, outputs, len, .. } = job;
    let first = vector * S::LANES;
    let present = S::LANES.min(outputs - first);
    // SAFETY: the vector's part of the packed weights has `len` rows.
    let to = unsafe { job.to.get().add(first * len) };
    // SAFETY: as above, for each row.
    let put = |row: usize, v: S::V| unsafe { s.store_halves(to.add(row * S::ROWS), len * S::ROWS, v) };
    match job.order {
        Order::Rows => {
            for i in (0..len).step_by(S::LANES) {
                let from = job.weight.as_ptr().wrapping_add(first * len + i);
                // SAFETY: the masks end where the outputs' weights do.
                let lanes = unsafe { s.load_columns(from, len, present, s.tail(len - i)) };
                for (j, lane) in lanes.iter().enumerate().take(S::LANES.min(len - i)) {
                    put(i + j, *lane);
                }
            }
        }
        Order::Turned(taps) => {
            let area = shape.kernel * shape.kernel;
            for channel in 0..shape.out_channels {
                // SAFETY: the kernels of this channel and the present outputs lie here.
                let from = unsafe { job.weight.as_ptr().add((channel * outputs + first) * area) };
                for line in (0..present * area).step_by(LINE) {
                    s.prefetch(from.wrapping_add(WEIGHTS_AHEAD * outputs * area + line));
                }
                for (t, tap) in taps.iter().enumerate() {
                    let v = if area == 1 {
                        // SAFETY: as above.
                        unsafe { s.load_masked(from, s.mask(0, present)) }
                    } else {
                        let mut values = [0.0; MAX_LANES];
                        for (lane, value) in values.iter_mut().enumerate().take(present) {
                            // SAFETY: as above.
                            *value = unsafe { *from.add(lane * area + tap) };
                        }
                        s.lanes_from(&values)
                    };
                    put(channel * taps.len() + t, v);
                }
            }
        }
    }
}

/// Channels ahead of the packing of turned weights that are asked for.
const WEIGHTS_AHEAD: usize = 8;

/// output = convolution of the input, and the epilogue.
pub(crate) fn forward(
    shape: &ConvShape,
    input: &[f32],
    weights: &Panels,
    epilogue: Epilogue,
    output: &mut [f32],
) {
    let (height, width) = shape.output();
    let target = Target { height, width, row: 0 };
    let outputs = Outputs::new(epilogue, output);
    correlate(vec![(Grid::of(shape), weights)], Source::open(input), outputs, target);
}

/// The gradient by the input. The input's pixels of one phase (row and column modulo the stride) meet the
/// same taps, so that each phase is a convolution of stride 1 of the gradient by the output. All phases of a
/// row are computed together.
pub(crate) fn input_gradient(
    level: Level,
    shape: &ConvShape,
    gradient: Source,
    weight: &[f32],
    epilogue: Epilogue,
    input_gradient: &mut [f32],
) {
    let &ConvShape { batch, out_channels: channels, height, width, kernel, stride, padding, .. } = shape;
    let (out_height, out_width) = shape.output();
    // The taps that a phase meets, and which pixel of the gradient, counted from the place in the phase, each
    // of them is.
    let taps = |phase: usize| {
        let meets = move |tap: &usize| (phase + padding + stride * kernel - tap).is_multiple_of(stride);
        (0..kernel)
            .filter(meets)
            .map(move |tap| (tap, (phase + padding) as isize - tap as isize))
            .map(move |(tap, d)| (tap, d / stride as isize))
    };
    for row in 0..stride.min(height) {
        let (rows, columns) = ((height - row).div_ceil(stride), width.div_ceil(stride));
        let phase = |column: usize| {
            let pairs: Vec<_> = taps(row).flat_map(|y| taps(column).map(move |x| (y, x))).collect();
            let places: Vec<usize> = pairs.iter().map(|((ky, _), (kx, _))| ky * kernel + kx).collect();
            let taps = pairs.iter().map(|((_, dy), (_, dx))| (*dy, *dx)).collect();
            let grid =
                Grid { batch, channels, height: out_height, width: out_width, rows, columns, step: 1, taps };
            (grid, Panels::turned(level, shape, weight, &places))
        };
        let (grids, weights): (Vec<Grid>, Vec<Panels>) = (0..stride).map(phase).unzip();
        let outputs = Outputs::new(epilogue, input_gradient);
        correlate(
            grids.into_iter().zip(&weights).collect(),
            gradient,
            outputs,
            Target { height, width, row },
        );
    }
}

/// The planes of the output. With n phases, the pixel (y, x) of the grid of phase p is written to
/// (y · n + row, x · n + p).
struct Target {
    height: usize,
    width: usize,
    row: usize,
}

struct Job<'a> {
    phases: Vec<(Grid, &'a Panels)>,
    /// The grid's rows and columns where they are written.
    grid: (usize, usize),
    source: Source<'a>,
    outputs: Outputs<'a>,
    target: Target,
    /// Output channels.
    channels: usize,
    /// Pixels of a panel and of a task, and output channels of a task.
    panel: usize,
    pixels: usize,
    part: usize,
}

impl Job<'_> {
    fn pixels(&self, task: usize) -> Range<usize> {
        let all = self.phases[0].0.pixels();
        (task * self.pixels).min(all)..((task + 1) * self.pixels).min(all)
    }

    /// Floats from one packed panel of a phase to the next.
    fn stride(&self, phase: usize) -> usize {
        self.phases[phase].0.len() * self.panel + MAX_LANES
    }
}

fn correlate(phases: Vec<(Grid, &Panels)>, source: Source, outputs: Outputs, mut target: Target) {
    let mut grid = (phases[0].0.rows, phases[0].0.columns);
    if phases.len() == 1 {
        // Pixels that follow each other in the output, too.
        grid = (1, target.height * target.width);
        target = Target { height: 1, width: grid.1, row: 0 };
    }
    let phases: Vec<_> = phases.into_iter().map(|(grid, weights)| (grid.flattened(), weights)).collect();
    let (level, channels) = (phases[0].1.level, phases[0].1.outputs);
    let widths = widths(level);
    let panel = widths.vectors * widths.lanes;
    let pixels = phases[0].0.pixels();
    let len: usize = phases.iter().map(|(grid, _)| grid.len()).sum();
    let threads = rayon::current_num_threads();
    // As in Winograd's, no sum depends on how the outputs are cut up.
    let all = pixels.div_ceil(panel);
    let panels =
        (PACKED / (len.max(1) * panel * size_of::<f32>())).clamp(1, 16).min(all.div_ceil(threads)).max(1);
    let tasks = all.div_ceil(panels);
    let parts = if tasks < threads { threads.min(channels.div_ceil(32)).max(1) } else { 1 };
    let part = channels.div_ceil(parts).next_multiple_of(widths.rows);
    let job = Job { phases, grid, source, outputs, target, channels, panel, pixels: panels * panel, part };
    let packed: usize = (0..job.phases.len()).map(|phase| job.stride(phase) * panels).sum();
    for_each(tasks * parts, 2.0 * pixels as f64 * (len + 8) as f64 * (channels + 8) as f64, |task| {
        with_local(packed + job.phases.len() * widths.rows * job.pixels + MAX_LANES, |packed| {
            // SAFETY: the scratch has room for the packed pixels and the sums, and the tasks write different
            // outputs.
            unsafe { correlate_pixels(level, &job, task / parts, task % parts, packed) }
        });
    });
}

vectorized!(fn correlate_pixels(job: &Job, task: usize, part: usize, packed: *mut f32) = correlate_pixels_of);

/// # Safety
/// `packed` has room for the task's panels of all phases and, after them, `[phase][ROWS][pixel]` sums, each
/// in whole vectors. The source has the grids' shape, the output that of the target and the channels.
#[inline(always)]
unsafe fn correlate_pixels_of<S: Simd>(s: S, job: &Job, task: usize, part: usize, packed: *mut f32) {
    let pixels = job.pixels(task);
    let mut sums = packed;
    for (p, (grid, _)) in job.phases.iter().enumerate() {
        // SAFETY: a phase's panels have their place in the scratch.
        unsafe {
            if job.source.gate.is_some() {
                pack::<S, true>(s, grid, &job.source, pixels.clone(), sums, (job.panel, job.stride(p)));
            } else {
                pack::<S, false>(s, grid, &job.source, pixels.clone(), sums, (job.panel, job.stride(p)));
            }
            sums = sums.add(job.stride(p) * (job.pixels / job.panel));
        }
    }
    let runs: Vec<Run> = runs(job.grid, pixels.clone()).collect();
    let last = ((part + 1) * job.part).min(job.channels);
    for k in (part * job.part..last).step_by(S::ROWS) {
        let mut v = packed;
        for (p, (_, weights)) in job.phases.iter().enumerate() {
            // SAFETY: the panels were packed above, and the sums have their place behind them.
            unsafe {
                let u = weights.values.pointer().get().add(k * weights.len);
                for (i, first) in (0..pixels.len()).step_by(job.panel).enumerate() {
                    let v = v.add(i * job.stride(p));
                    let to = sums.add(p * S::ROWS * job.pixels + first);
                    let to = Store { to, row_stride: job.pixels, vector_stride: S::LANES, add: false };
                    let of = Operands { len: weights.len, v, u, next_v: std::ptr::null() };
                    product(s, S::WIDTHS.vectors, of, to);
                }
                v = v.add(job.stride(p) * (job.pixels / job.panel));
            }
        }
        for row in 0..S::ROWS.min(last - k) {
            // SAFETY: the sums were just written; the channel is this task's.
            unsafe { write_channel(s, job, &runs, k + row, sums.add(row * job.pixels)) };
        }
    }
    job.outputs.finish(s);
}

/// Finishes the sums of a channel, `[phase][ROWS][pixel]`, and writes them run by run; of one phase, in whole
/// lines of the cache.
///
/// # Safety
/// `sums` has all runs' pixels in whole vectors; they lie inside the output, and the channel is this task's.
#[inline(always)]
unsafe fn write_channel<S: Simd>(s: S, job: &Job, runs: &[Run], channel: usize, sums: *const f32) {
    let target = &job.target;
    let (step, phase) = (job.phases.len(), S::ROWS * job.pixels);
    let outputs: Channel<S> = job.outputs.channel(s, channel);
    for run in runs {
        let row =
            ((run.image * job.channels + channel) * target.height + run.y * step + target.row) * target.width;
        let start = row + run.x * step;
        // SAFETY: the run's sums are there.
        let from = unsafe { sums.add(run.at) };
        let (mut i, count) = (0, (run.len * step).min(target.width - run.x * step));
        while i < count {
            let rest = count - i;
            let lanes = if step == 1 { outputs.lanes_to_line(start + i).min(rest) } else { rest };
            // SAFETY: the sums are there in whole vectors, and the lanes are pixels of the run.
            unsafe {
                let sums = match step {
                    1 => s.load(from.add(i)),
                    2 => s.zip(s.load(from.add(i / 2)), s.load(from.add(phase + i / 2))),
                    _ => {
                        let mut values = [0.0; MAX_LANES];
                        for (lane, value) in values.iter_mut().enumerate().take(S::LANES.min(rest)) {
                            *value = *from.add((i + lane) % step * phase + (i + lane) / step);
                        }
                        s.lanes_from(&values)
                    }
                };
                outputs.write(s, start + i, (s.mask(0, lanes), lanes >= S::LANES), sums);
            }
            i += lanes.min(S::LANES);
        }
    }
}
