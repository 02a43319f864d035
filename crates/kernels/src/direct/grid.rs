//! Which pixels of the source a pixel of the output needs.

use std::ops::Range;

use crate::product;
use crate::simd::{MAX_LANES, Simd, load_pixels};
use crate::source::Source;

/// The most pixels that are packed at a time.
pub(super) const MAX_PIXELS: usize = 256;

/// A grid of output pixels over images: the tap (dy, dx) of the pixel (y, x) is the source's (y · step + dy, x · step + dx), and zero
/// outside.
///
/// Pixels are counted through all images: `(image · rows + y) · columns + x`. The *rows of the product* are the taps of all channels:
/// channel · taps + tap.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) batch: usize,
    pub(super) channels: usize,
    /// The source's planes.
    pub(super) height: usize,
    pub(super) width: usize,
    /// The pixels of the output.
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) step: usize,
    pub(super) taps: Vec<(isize, isize)>,
}

impl Grid {
    /// The same; planes that are read pixel by pixel become one long row.
    pub(super) fn flattened(self) -> Self {
        if self.taps == [(0, 0)] && self.step == 1 && (self.rows, self.columns) == (self.height, self.width) {
            let pixels = self.height * self.width;
            Self { height: 1, width: pixels, rows: 1, columns: pixels, ..self }
        } else {
            self
        }
    }

    pub(super) fn pixels(&self) -> usize {
        self.batch * self.rows * self.columns
    }

    /// The pixels' rows.
    #[inline(always)]
    pub(super) fn runs(&self, pixels: Range<usize>) -> impl Iterator<Item = Run> {
        runs((self.rows, self.columns), pixels)
    }

    /// Rows of the product.
    pub(super) fn len(&self) -> usize {
        self.channels * self.taps.len()
    }
}

/// Cuts pixels into runs of one row each.
#[inline(always)]
pub(super) fn runs((rows, columns): (usize, usize), pixels: Range<usize>) -> impl Iterator<Item = Run> {
    let mut pixel = pixels.start;
    std::iter::from_fn(move || {
        let (row, x, at) = (pixel / columns, pixel % columns, pixel - pixels.start);
        let len = (columns - x).min(pixels.end - pixel);
        pixel += len;
        (len > 0).then(|| Run { image: row / rows, y: row % rows, x, len, at })
    })
}

/// Neighbouring pixels of one row of the output.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) image: usize,
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) len: usize,
    /// Pixels before it.
    pub(super) at: usize,
}

/// Where one vector of a row of the product comes from, in the first channel, and where it goes, in the channel's first row.
struct Piece<S: Simd> {
    offset: isize,
    to: usize,
    /// The lanes that lie inside the source.
    lanes: Range<usize>,
    /// The same of what is loaded, with a step of one or two.
    masks: [S::Mask; 2],
}

impl<S: Simd> Piece<S> {
    #[inline(always)]
    unsafe fn new(grid: &Grid, row: Option<isize>, x: isize, to: usize) -> Self {
        let (none, step) = (S::mask(0, 0), grid.step as isize);
        let Some(row) = row else {
            return Self { offset: 0, to, lanes: 0..0, masks: [none; 2] };
        };
        let (start, end) = ((-x).max(0), (grid.width as isize - x).max(0));
        let lanes = S::LANES as isize;
        let mask = |from: isize| {
            let start = (start - from).clamp(0, lanes);
            S::mask(start as usize, (end - from).clamp(start, lanes) as usize)
        };
        let inside = |pixel: isize| ((pixel + step - 1) / step).min(lanes) as usize;
        Self { offset: row + x, to, lanes: inside(start)..inside(end), masks: [mask(0), mask(lanes)] }
    }

    #[inline(always)]
    unsafe fn load<const GATED: bool>(&self, values: *const f32, gates: *const f32, step: usize) -> S::V {
        let (values, gates) = (values.wrapping_offset(self.offset), gates.wrapping_offset(self.offset));
        let load = |from: usize, mask: S::Mask| {
            let v = S::load_masked(values.wrapping_add(from), mask);
            if GATED { S::gate(S::load_masked(gates.wrapping_add(from), mask), v) } else { v }
        };
        match step {
            1 => load(0, self.masks[0]),
            2 => S::evens(load(0, self.masks[0]), load(S::LANES, self.masks[1])),
            _ => {
                let mut pixels = [0.0; MAX_LANES];
                for lane in self.lanes.clone() {
                    if !(GATED && *gates.wrapping_add(lane * step) <= 0.0) {
                        pixels[lane] = *values.wrapping_add(lane * step);
                    }
                }
                S::load(pixels.as_ptr())
            }
        }
    }
}

impl Grid {
    /// What the panels of [`pack`] are made of. What a piece writes past its row's end, the next row overwrites.
    #[inline(always)]
    unsafe fn pieces<S: Simd>(&self, pixels: Range<usize>, width: usize, stride: usize) -> Vec<Piece<S>> {
        let mut pieces =
            Vec::with_capacity(pixels.len().div_ceil(width) * self.taps.len() * (width / S::LANES + 1));
        for (panel, first) in pixels.clone().step_by(width).enumerate() {
            let runs: Vec<Run> = self.runs(first..pixels.end.min(first + width)).collect();
            for (tap, (dy, dx)) in self.taps.iter().enumerate() {
                for run in &runs {
                    let row = self.row(run, *dy);
                    for i in (0..run.len).step_by(S::LANES) {
                        let x = ((run.x + i) * self.step) as isize + dx;
                        pieces.push(Piece::new(self, row, x, panel * stride + tap * width + run.at + i));
                    }
                }
            }
        }
        pieces
    }

    /// Where the source's row starts in the first channel, if it lies inside.
    #[inline(always)]
    fn row(&self, run: &Run, dy: isize) -> Option<isize> {
        let y = (run.y * self.step) as isize + dy;
        let inside = y >= 0 && y < self.height as isize;
        inside.then(|| (((run.image * self.channels) * self.height) as isize + y) * self.width as isize)
    }

    /// Where the lines of the cache lie that the pixels need of a channel.
    #[inline(always)]
    fn lines(&self, pixels: Range<usize>) -> Vec<isize> {
        const LINE: isize = product::LINE as isize;
        let mut lines = Vec::new();
        let (rows, columns) = (self.taps.iter().map(|tap| tap.0), self.taps.iter().map(|tap| tap.1));
        let (Some(left), Some(right)) = (columns.clone().min(), columns.max()) else { return lines };
        let rows = rows.clone().min().unwrap_or(0)..=rows.max().unwrap_or(0);
        for run in self.runs(pixels) {
            for row in rows.clone().filter_map(|dy| self.row(&run, dy)) {
                let start = row + (run.x * self.step) as isize + left;
                let end = start + ((run.len - 1) * self.step) as isize + right - left;
                lines.extend(start / LINE..=end / LINE);
            }
        }
        lines.sort_unstable();
        lines.dedup();
        lines.iter_mut().for_each(|line| *line *= LINE);
        lines
    }
}

/// Channels ahead of the packing that are asked for: a panel's pixels are too short a run for the processor to guess the next one.
const AHEAD: usize = 4;
/// The same for [`pack_row`], whose runs are longer.
const ROWS_AHEAD: usize = 2;

/// Pixels in panels: `[panel][channel][tap][pixel]`, with `width` pixels each and `stride` floats from one panel to the next.
#[inline(always)]
pub(super) unsafe fn pack<S: Simd, const GATED: bool>(
    grid: &Grid,
    source: &Source,
    pixels: Range<usize>,
    to: *mut f32,
    (width, stride): (usize, usize),
) {
    let pieces = grid.pieces::<S>(pixels.clone(), width, stride);
    let lines = if grid.channels > AHEAD { grid.lines(pixels) } else { Vec::new() };
    let plane = grid.height * grid.width;
    for channel in 0..grid.channels {
        let values = source.values.as_ptr().wrapping_add(channel * plane);
        let gates = source.gate.map_or(values, |gate| gate.as_ptr().wrapping_add(channel * plane));
        let to = to.add(channel * grid.taps.len() * width);
        if channel + AHEAD < grid.channels {
            for line in &lines {
                S::prefetch(values.wrapping_offset(line + (AHEAD * plane) as isize));
            }
        }
        for piece in &pieces {
            S::store(to.add(piece.to), piece.load::<GATED>(values, gates, grid.step));
        }
    }
}

/// One row of the product for the pixels of `runs`. What it writes past the last pixel, up to whole vectors, is of no use.
#[inline(always)]
pub(super) unsafe fn pack_row<S: Simd, const GATED: bool>(
    grid: &Grid,
    source: &Source,
    runs: &[Run],
    channel: usize,
    (dy, dx): (isize, isize),
    to: *mut f32,
) {
    for run in runs {
        let to = to.add(run.at);
        let y = (run.y * grid.step) as isize + dy;
        if y < 0 || y >= grid.height as isize {
            for i in (0..run.len).step_by(S::LANES) {
                S::store(to.add(i), S::splat(0.0));
            }
            continue;
        }
        let row = ((run.image * grid.channels + channel) * grid.height + y as usize) * grid.width;
        let values = source.values.as_ptr().add(row);
        let gates = source.gate.map_or(values, |gate| gate.as_ptr().add(row));
        let ahead = values.wrapping_add(if channel + ROWS_AHEAD < grid.channels {
            ROWS_AHEAD * grid.height * grid.width
        } else {
            0
        });
        for i in (0..run.len).step_by(S::LANES) {
            let x = ((run.x + i) * grid.step) as isize + dx;
            for line in 0..grid.step {
                S::prefetch(ahead.wrapping_offset(x).wrapping_add(line * S::LANES));
            }
            let v = load_pixels::<S, GATED>(values, gates, x, grid.step, run.len - i, grid.width);
            S::store(to.add(i), v);
        }
    }
}
