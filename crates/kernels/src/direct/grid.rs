//! Which pixels of the source a pixel of the output needs.

use crate::simd::{Simd, load_pixels};
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

    /// Rows of the product.
    pub(super) fn len(&self) -> usize {
        self.channels * self.taps.len()
    }

    /// Cuts the pixels from `first` to `end` into runs of one row each.
    #[inline(always)]
    pub(super) fn runs(&self, first: usize, end: usize) -> Runs {
        let mut runs = Runs { runs: [Run::default(); MAX_PIXELS], count: 0 };
        let mut pixel = first;
        while pixel < end {
            let (row, x) = (pixel / self.columns, pixel % self.columns);
            let len = (self.columns - x).min(end - pixel);
            runs.runs[runs.count] = Run { image: row / self.rows, y: row % self.rows, x, len, at: pixel - first };
            runs.count += 1;
            pixel += len;
        }
        runs
    }
}

/// Neighbouring pixels of one row of the output.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    pub(super) image: usize,
    pub(super) y: usize,
    pub(super) x: usize,
    pub(super) len: usize,
    /// Pixels before it.
    pub(super) at: usize,
}

pub(super) struct Runs {
    runs: [Run; MAX_PIXELS],
    count: usize,
}

impl std::ops::Deref for Runs {
    type Target = [Run];

    #[inline(always)]
    fn deref(&self) -> &[Run] {
        &self.runs[..self.count]
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
        for i in (0..run.len).step_by(S::LANES) {
            let x = ((run.x + i) * grid.step) as isize + dx;
            let v = load_pixels::<S, GATED>(values, gates, x, grid.step, run.len - i, grid.width);
            S::store(to.add(i), v);
        }
    }
}
