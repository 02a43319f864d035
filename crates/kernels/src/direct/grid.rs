//! Which pixels of the source a pixel of the output needs.

use std::ops::Range;

use crate::product;
use crate::shape::ConvShape;
use crate::simd::{MAX_LANES, Simd};
use crate::source::{Cursor, Source};

/// The most pixels that are packed at a time.
pub(super) const MAX_PIXELS: usize = 256;

/// A grid of output pixels over images: the tap (dy, dx) of the pixel (y, x) is the source's (y · step + dy,
/// x · step + dx), and zero outside.
///
/// Pixels are counted through all images: `(image · rows + y) · columns + x`. The *rows of the product* are
/// the taps of all channels: channel · taps + tap.
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
    /// The pixels of the input that a convolution's outputs are made of.
    pub(super) fn of(shape: &ConvShape) -> Self {
        let &ConvShape { batch, in_channels: channels, height, width, kernel, stride: step, .. } = shape;
        let (rows, columns) = shape.output();
        let from_corner = |place: usize| place as isize - shape.padding as isize;
        let tap = |i: usize| (from_corner(i / kernel), from_corner(i % kernel));
        let taps = (0..kernel * kernel).map(tap).collect();
        Self { batch, channels, height, width, rows, columns, step, taps }
    }

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

/// Where one vector of a row of the product comes from, in the first channel, and where it goes, in the
/// channel's first row.
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
    fn new(s: S, grid: &Grid, row: Option<isize>, x: isize, to: usize) -> Self {
        let (none, step) = (s.mask(0, 0), grid.step as isize);
        let Some(row) = row else {
            return Self { offset: 0, to, lanes: 0..0, masks: [none; 2] };
        };
        let (start, end) = ((-x).max(0), (grid.width as isize - x).max(0));
        let lanes = S::LANES as isize;
        let mask = |from: isize| {
            let start = (start - from).clamp(0, lanes);
            s.mask(start as usize, (end - from).clamp(start, lanes) as usize)
        };
        let inside = |pixel: isize| ((pixel + step - 1) / step).min(lanes) as usize;
        Self { offset: row + x, to, lanes: inside(start)..inside(end), masks: [mask(0), mask(lanes)] }
    }

    /// # Safety
    /// `from` is the start of a channel of the grid's source.
    #[inline(always)]
    unsafe fn load<const GATED: bool>(&self, s: S, from: Cursor<GATED>, step: usize) -> S::V {
        let from = from.offset(self.offset);
        // SAFETY: what the masks and lanes name lies inside the source.
        unsafe {
            match step {
                1 => from.load_masked(s, self.masks[0]),
                2 => s.evens(
                    from.load_masked(s, self.masks[0]),
                    from.add(S::LANES).load_masked(s, self.masks[1]),
                ),
                _ => {
                    let mut pixels = [0.0; MAX_LANES];
                    for lane in self.lanes.clone() {
                        pixels[lane] = from.add(lane * step).value();
                    }
                    s.lanes_from(&pixels)
                }
            }
        }
    }
}

impl Grid {
    /// What the panels of [`pack`] are made of. What a piece writes past its row's end, the next row
    /// overwrites.
    #[inline(always)]
    fn pieces<S: Simd>(&self, s: S, pixels: Range<usize>, width: usize, stride: usize) -> Vec<Piece<S>> {
        let mut pieces =
            Vec::with_capacity(pixels.len().div_ceil(width) * self.taps.len() * (width / S::LANES + 1));
        for (panel, first) in pixels.clone().step_by(width).enumerate() {
            let runs: Vec<Run> = self.runs(first..pixels.end.min(first + width)).collect();
            for (tap, (dy, dx)) in self.taps.iter().enumerate() {
                for run in &runs {
                    let row = self.row(run, *dy);
                    for i in (0..run.len).step_by(S::LANES) {
                        let x = ((run.x + i) * self.step) as isize + dx;
                        pieces.push(Piece::new(s, self, row, x, panel * stride + tap * width + run.at + i));
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

/// Channels ahead of the packing that are asked for: a panel's pixels are too short a run for the processor
/// to guess the next one.
const AHEAD: usize = 4;
/// The same for [`pack_row`], whose runs are longer.
const ROWS_AHEAD: usize = 2;

/// Pixels in panels: `[panel][channel][tap][pixel]`, with `width` pixels each and `stride` floats from one
/// panel to the next.
///
/// # Safety
/// `to` has room for the panels and a vector more; the source has the grid's shape.
#[inline(always)]
pub(super) unsafe fn pack<S: Simd, const GATED: bool>(
    s: S,
    grid: &Grid,
    source: &Source,
    pixels: Range<usize>,
    to: *mut f32,
    (width, stride): (usize, usize),
) {
    let pieces = grid.pieces(s, pixels.clone(), width, stride);
    let lines = if grid.channels > AHEAD { grid.lines(pixels) } else { Vec::new() };
    let plane = grid.height * grid.width;
    for channel in 0..grid.channels {
        let from = source.at::<GATED>(channel * plane);
        if channel + AHEAD < grid.channels {
            for line in &lines {
                s.prefetch(from.offset(line + (AHEAD * plane) as isize).address());
            }
        }
        // SAFETY: the pieces lie inside the channel and its part of the panels.
        unsafe {
            let to = to.add(channel * grid.taps.len() * width);
            for piece in &pieces {
                s.store(to.add(piece.to), piece.load(s, from, grid.step));
            }
        }
    }
}

/// The row `row` of the product for the pixels of `runs`. What it writes past the last pixel, up to whole
/// vectors, is of no use.
///
/// # Safety
/// `to` has room for the runs' pixels and a vector more; the source has the grid's shape.
#[inline(always)]
pub(super) unsafe fn pack_row<S: Simd, const GATED: bool>(
    s: S,
    grid: &Grid,
    source: &Source,
    runs: &[Run],
    row: usize,
    to: *mut f32,
) {
    let (channel, (dy, dx)) = (row / grid.taps.len(), grid.taps[row % grid.taps.len()]);
    for run in runs {
        // SAFETY: the run's pixels have their place.
        let to = unsafe { to.add(run.at) };
        let y = (run.y * grid.step) as isize + dy;
        if y < 0 || y >= grid.height as isize {
            for i in (0..run.len).step_by(S::LANES) {
                // SAFETY: as above.
                unsafe { s.store(to.add(i), s.splat(0.0)) };
            }
            continue;
        }
        let plane = (run.image * grid.channels + channel) * grid.height;
        let from = source.at::<GATED>((plane + y as usize) * grid.width);
        let is_last = channel + ROWS_AHEAD >= grid.channels;
        let ahead = from.add(if is_last { 0 } else { ROWS_AHEAD * grid.height * grid.width });
        for i in (0..run.len).step_by(S::LANES) {
            let x = ((run.x + i) * grid.step) as isize + dx;
            for line in 0..grid.step {
                s.prefetch(ahead.offset(x).add(line * S::LANES).address());
            }
            // SAFETY: as above; the row lies inside the source.
            unsafe { s.store(to.add(i), from.load_pixels(s, x, grid.step, run.len - i, grid.width)) };
        }
    }
}
