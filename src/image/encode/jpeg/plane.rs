//! The samples of one component of a band, and what becomes of them.

use super::transform::{Group, LANES, Quantizer, transform};
use crate::simd::Level;

/// One component of a band, or two below each other: its samples and what becomes of them.
#[derive(Default)]
pub(super) struct Plane {
    pub(super) quantizer: Quantizer,
    /// Blocks per row of blocks.
    pub(super) across: usize,
    /// Rows of samples in each component, a multiple of 8.
    pub(super) rows: usize,
    pub(super) components: usize,
    /// `[components, rows, across * 8]`
    pub(super) samples: Vec<u8>,
    /// Sixteen blocks each, the blocks as in `samples`: row by row.
    pub(super) groups: Vec<Group>,
}

impl Plane {
    pub(super) fn stride(&self) -> usize {
        self.across * 8
    }

    /// Makes room for `rows` rows of samples in each component and what is to become of them.
    pub(super) fn take_shape(&mut self, rows: usize, components: usize) {
        self.rows = rows.next_multiple_of(8);
        self.components = components;
        self.samples.resize(components * self.rows * self.stride(), 0);
        let groups = self.blocks().div_ceil(LANES);
        self.groups.resize_with(groups, || Group { coefficients: [[0; LANES]; 64], nonzero: [0; LANES] });
    }

    pub(super) fn blocks(&self) -> usize {
        self.components * self.rows / 8 * self.across
    }

    /// Takes in a band of grey rows.
    pub(super) fn load_grey(&mut self, pixels: &[u8], width: usize) {
        let rows = pixels.len() / width;
        self.take_shape(rows, 1);
        let stride = self.stride();
        for (line, row) in pixels.chunks_exact(width).zip(self.samples.chunks_exact_mut(stride)) {
            row[..width].copy_from_slice(line);
            repeat_last(row, width);
        }
        repeat_last_row(&mut self.samples, stride, rows);
    }

    pub(super) fn transform(&mut self, level: Level) {
        let mut x = 0;
        let mut y = 0;
        let (across, stride) = (self.across, self.stride());
        for (number, group) in self.groups.iter_mut().enumerate() {
            let mut packed = [[0; LANES]; 8];
            for block in 0..LANES.min(self.components * self.rows / 8 * across - number * LANES) {
                let corner = y * 8 * stride + x * 8;
                let samples = &self.samples[corner..][..7 * stride + 8];
                for row in 0..8 {
                    let eight =
                        samples[row * stride..].first_chunk().expect("a row of a block has 8 samples");
                    packed[block / 2][row * 2 + block % 2] = u64::from_le_bytes(*eight);
                }
                x += 1;
                if x == across {
                    (x, y) = (0, y + 1);
                }
            }
            transform(level, &mut packed, &self.quantizer, group);
        }
    }
}

/// Beyond the `width` values of a row comes the last of them again.
pub(super) fn repeat_last(row: &mut [u8], width: usize) {
    let last = row[width - 1];
    row[width..].fill(last);
}

/// Below the `rows` rows of a plane comes the last of them again.
pub(super) fn repeat_last_row(samples: &mut [u8], stride: usize, rows: usize) {
    let (above, below) = samples.split_at_mut(rows * stride);
    let last = &above[(rows - 1) * stride..];
    below.chunks_exact_mut(stride).for_each(|row| row.copy_from_slice(last));
}
