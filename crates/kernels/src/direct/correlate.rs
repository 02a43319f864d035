//! The convolution, and its gradient by the input.

use crate::Level;
use crate::conv::ConvShape;
use crate::parallel::{for_each, zero};
use crate::product::Sink;
use crate::scratch::{Pointer, Shared, with_local};
use crate::simd::{MAX_LANES, Simd, Widths};
use crate::source::{Epilogue, STREAM, Source};

use super::grid::{Grid, MAX_PIXELS, Run, pack_row};

/// Bytes of packed pixels that a task aims at.
const PACKED: usize = 128 << 10;

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
        let area = shape.kernel * shape.kernel;
        let taps: Vec<usize> = (0..area).collect();
        Self::pack(level, weight, (shape.out_channels, shape.in_channels * area), (shape.in_channels, area), &taps)
    }

    /// `[output][channel][tap]` of weights that lie strides apart: (outputs, stride), (channels, stride), places of the taps.
    fn pack(
        level: Level,
        weight: &[f32],
        (outputs, output_stride): (usize, usize),
        (channels, channel_stride): (usize, usize),
        taps: &[usize],
    ) -> Self {
        let rows = Widths::of(level).rows;
        let (groups, len) = (outputs.div_ceil(rows), channels * taps.len());
        let values = Shared::take(groups * rows * len);
        let to = values.pointer();
        for_each(groups, (groups * rows * len * 4) as f64, |group| {
            // SAFETY: the buffer has room for all groups, and each task fills its own.
            let panel = unsafe { std::slice::from_raw_parts_mut(to.get().add(group * rows * len), rows * len) };
            let present = rows.min(outputs - group * rows);
            for channel in 0..channels {
                for (t, tap) in taps.iter().enumerate() {
                    let from = &weight[group * rows * output_stride + channel * channel_stride + tap..];
                    let terms = &mut panel[(channel * taps.len() + t) * rows..][..rows];
                    for (term, value) in terms[..present].iter_mut().zip(from.iter().step_by(output_stride)) {
                        *term = *value;
                    }
                    terms[present..].fill(0.0);
                }
            }
        });
        Self { values, level, len, outputs }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.outputs.next_multiple_of(Widths::of(self.level).rows) * self.len * size_of::<f32>()
    }
}

/// output = convolution of the input, and the epilogue.
pub(crate) fn forward(shape: &ConvShape, input: &[f32], weights: &Panels, epilogue: Epilogue, output: &mut [f32]) {
    let (rows, columns) = shape.output();
    let source = Source { values: input, gate: None };
    correlate(
        forward_grid(shape),
        source,
        weights,
        epilogue,
        &Target { height: rows, width: columns, step: 1, row: 0, column: 0 },
        output,
    );
}

/// The pixels that the outputs are made of.
pub(super) fn forward_grid(shape: &ConvShape) -> Grid {
    let (rows, columns) = shape.output();
    let tap =
        |i: usize| ((i / shape.kernel) as isize - shape.padding as isize, (i % shape.kernel) as isize - shape.padding as isize);
    let taps = (0..shape.kernel * shape.kernel).map(tap).collect();
    let &ConvShape { batch, in_channels, height, width, stride, .. } = shape;
    Grid { batch, channels: in_channels, height, width, rows, columns, step: stride, taps }
}

/// The gradient by the input. The input's pixels of one phase (row and column modulo the stride) meet the same taps, so that each phase
/// is a convolution of stride 1 of the gradient by the output.
pub(crate) fn input_gradient(
    level: Level,
    shape: &ConvShape,
    gradient: Source,
    weight: &[f32],
    epilogue: Epilogue,
    input_gradient: &mut [f32],
) {
    let &ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding } = shape;
    let (out_height, out_width) = shape.output();
    // The taps that a phase meets, and which pixel of the gradient, counted from the place in the phase, each of them is.
    let taps = |phase: usize| {
        let meets = move |tap: &usize| (phase + padding + stride * kernel - tap).is_multiple_of(stride);
        (0..kernel)
            .filter(meets)
            .map(move |tap| (tap, (phase + padding) as isize - tap as isize))
            .map(move |(tap, d)| (tap, d / stride as isize))
    };
    if stride > kernel {
        // Some phases meet no tap.
        match epilogue.residual {
            None => zero(input_gradient),
            Some(residual) => input_gradient.copy_from_slice(residual),
        }
    }
    for row in 0..stride.min(height) {
        for column in 0..stride.min(width) {
            let pairs: Vec<_> = taps(row).flat_map(|y| taps(column).map(move |x| (y, x))).collect();
            if pairs.is_empty() {
                continue;
            }
            let grid = Grid {
                batch,
                channels: out_channels,
                height: out_height,
                width: out_width,
                rows: (height - row).div_ceil(stride),
                columns: (width - column).div_ceil(stride),
                step: 1,
                taps: pairs.iter().map(|((_, dy), (_, dx))| (*dy, *dx)).collect(),
            };
            let places: Vec<usize> = pairs.iter().map(|((ky, _), (kx, _))| ky * kernel + kx).collect();
            let area = kernel * kernel;
            let weights = Panels::pack(level, weight, (in_channels, area), (out_channels, in_channels * area), &places);
            correlate(grid, gradient, &weights, epilogue, &Target { height, width, step: stride, row, column }, input_gradient);
        }
    }
}

/// Where the pixel (y, x) of the grid is written: (y · step + row, x · step + column) of planes of this size.
struct Target {
    height: usize,
    width: usize,
    step: usize,
    row: usize,
    column: usize,
}

struct Job<'a> {
    grid: Grid,
    source: Source<'a>,
    weights: &'a Panels,
    epilogue: Epilogue<'a>,
    target: &'a Target,
    /// Pixels of the target's planes are the grid's, one after another.
    in_order: bool,
    output: Pointer,
    stream: bool,
    /// Panels of pixels, and output channels, of a task.
    panels: usize,
    part: usize,
}

fn correlate(grid: Grid, source: Source, weights: &Panels, epilogue: Epilogue, target: &Target, output: &mut [f32]) {
    let widths = Widths::of(weights.level);
    let panel = widths.vectors * widths.lanes;
    let in_order = target.step == 1;
    let grid = if in_order { grid.flattened() } else { grid };
    let (pixels, len) = (grid.pixels(), grid.len());
    let threads = rayon::current_num_threads();
    // As in Winograd's, no sum depends on how the outputs are cut up.
    let all = pixels.div_ceil(panel);
    let panels = (PACKED / (len * panel * size_of::<f32>())).clamp(1, 16).min(all.div_ceil(threads)).max(1);
    let tasks = all.div_ceil(panels);
    let parts = if tasks < threads { threads.min(weights.outputs.div_ceil(32)).max(1) } else { 1 };
    let part = weights.outputs.div_ceil(parts).next_multiple_of(widths.rows);
    let stream = size_of_val(output) > STREAM;
    let job = Job { grid, source, weights, epilogue, target, in_order, output: Pointer::to(output), stream, panels, part };
    for_each(tasks * parts, 2.0 * pixels as f64 * (len + 8) as f64 * (weights.outputs + 8) as f64, |task| {
        with_local(panels * panel * len + MAX_LANES, |packed| {
            // SAFETY: the scratch has room for the packed pixels, the tasks write different outputs, the weights have the caller's level.
            unsafe { correlate_pixels(weights.level, &job, task / parts * panels * panel, task % parts, packed) }
        });
    });
}

vectorized!(fn correlate_pixels(job: &Job, first: usize, part: usize, packed: *mut f32) = correlate_pixels_of);

#[inline(always)]
unsafe fn correlate_pixels_of<S: Simd>(job: &Job, first: usize, part: usize, packed: *mut f32) {
    let (len, panel) = (job.grid.len(), S::WIDTHS.vectors * S::LANES);
    let end = job.grid.pixels().min(first + job.panels * panel);
    for (i, from) in (first..end).step_by(panel).enumerate() {
        let runs = job.grid.runs(from, end.min(from + panel));
        let to = packed.add(i * panel * len);
        if job.source.gate.is_some() {
            pack_panel::<S, true>(job, &runs, to, panel);
        } else {
            pack_panel::<S, false>(job, &runs, to, panel);
        }
    }
    let last = ((part + 1) * job.part).min(job.weights.outputs);
    for k in (part * job.part..last).step_by(S::ROWS) {
        let weights = job.weights.values.pointer().get().add(k * len);
        for (i, from) in (first..end).step_by(panel).enumerate() {
            let pixels = Pixels::<S>::new(job, from, end.min(from + panel), k, last);
            S::product(S::WIDTHS.vectors, len, packed.add(i * panel * len), weights, std::ptr::null(), pixels);
        }
    }
    if job.stream {
        S::fence();
    }
}

/// [row of the product][panel]
#[inline(always)]
unsafe fn pack_panel<S: Simd, const GATED: bool>(job: &Job, runs: &[Run], to: *mut f32, panel: usize) {
    let mut to = to;
    for channel in 0..job.grid.channels {
        for tap in &job.grid.taps {
            // What a row writes past its end, the next one overwrites.
            pack_row::<S, GATED>(&job.grid, &job.source, runs, channel, *tap, to);
            to = to.add(panel);
        }
    }
}

/// Finishes the sums of a panel of pixels and writes them.
struct Pixels<'a, S: Simd> {
    job: &'a Job<'a>,
    /// Pixels to write.
    pixels: usize,
    channel: usize,
    /// Channels to write.
    rows: usize,
    /// The pixels' places in the first channel, and whether they lie one after another.
    places: [usize; MAX_PANEL],
    in_order: bool,
    floor: S::V,
}

/// The most pixels of a panel.
const MAX_PANEL: usize = 3 * MAX_LANES;

impl<'a, S: Simd> Pixels<'a, S> {
    #[inline(always)]
    unsafe fn new(job: &'a Job, first: usize, end: usize, channel: usize, last: usize) -> Self {
        let &Job { ref grid, target, weights, .. } = job;
        let (line, mut x) = (first / grid.columns, first % grid.columns);
        let (mut image, mut y) = (line / grid.rows, line % grid.rows);
        let in_order = job.in_order && (end - 1) / (grid.rows * grid.columns) == image;
        let mut places = [0; MAX_PANEL];
        for place in places.iter_mut().take(if in_order { 1 } else { end - first }) {
            let plane = image * weights.outputs + channel;
            *place = if job.in_order {
                (plane * grid.rows + y) * grid.columns + x // the grid may be flattened
            } else {
                (plane * target.height + y * target.step + target.row) * target.width + x * target.step + target.column
            };
            x += 1;
            if x == grid.columns {
                (x, y) = (0, y + 1);
            }
            if y == grid.rows {
                (y, image) = (0, image + 1);
            }
        }
        let floor = S::splat(if job.epilogue.relu { 0.0 } else { f32::NEG_INFINITY });
        Self { job, pixels: end - first, channel, rows: S::ROWS.min(last - channel), places, in_order, floor }
    }

    /// The values at the places from `first` on.
    #[inline(always)]
    unsafe fn load(&self, channel: *const f32, first: usize) -> S::V {
        let pixels = self.pixels - first;
        if self.in_order {
            return S::load_masked(channel.add(self.places[0] + first), S::mask(0, pixels));
        }
        let mut values = [0.0; MAX_LANES];
        for (value, place) in values.iter_mut().zip(&self.places[first..]).take(pixels.min(S::LANES)) {
            *value = *channel.add(*place);
        }
        S::load(values.as_ptr())
    }
}

impl<S: Simd> Sink<S> for Pixels<'_, S> {
    #[inline(always)]
    unsafe fn put(&mut self, row: usize, vector: usize, sum: S::V) {
        let first = vector * S::LANES;
        if row >= self.rows || first >= self.pixels {
            return;
        }
        let bias = self.job.epilogue.bias.map_or(0.0, |bias| bias[self.channel + row]);
        let (target, pixels) = (self.job.target, self.pixels - first);
        let channel = row * target.height * target.width;
        let mut value = S::add(sum, S::splat(bias));
        if let Some(residual) = self.job.epilogue.residual {
            value = S::add(value, self.load(residual.as_ptr().add(channel), first));
        }
        let value = S::at_least(self.floor, value);
        let channel = self.job.output.get().add(channel);
        if self.in_order {
            let to = channel.add(self.places[0] + first);
            match (pixels >= S::LANES, self.job.stream) {
                (true, true) => S::stream(to, value),
                (true, false) => S::store(to, value),
                (false, _) => S::store_masked(to, S::mask(0, pixels), value),
            }
        } else {
            let mut values = [0.0; MAX_LANES];
            S::store(values.as_mut_ptr(), value);
            for (place, value) in self.places[first..].iter().zip(values).take(pixels.min(S::LANES)) {
                *channel.add(*place) = value;
            }
        }
    }
}

const _: () = assert!(MAX_PIXELS >= MAX_PANEL, "a panel of pixels has room among the runs");
