//! Bilinear sampling: the squares of four neighbouring source pixels, and the levels within them.
//!
//! A square is the square between the centres of four neighbouring pixels; there are (w + 1) × (h + 1), as
//! the outer ones reach beyond the image. Their numbers go by rows of w + 2. n is the number of pixels in a
//! row of the target.

use super::super::pixels::{interleave, truncated, truncated_exactly};
use crate::image::Bitmap;
use crate::simd::Level;

/// What the outer squares have beyond the image.
#[derive(Clone, Copy, PartialEq)]
pub(in super::super) enum Beyond {
    Black,
    /// The outermost pixels again.
    Edge,
}

/// An image made ready for bilinear sampling: each pixel joined with the one below it, so that a square is
/// one or three words that lie together.
#[derive(Default)]
pub(in super::super) struct Source {
    channels: usize,
    pub(in super::super) extent: Extent,
    pairs: Vec<u16>, // [h + 1, w + 2, C]: above and, in the upper byte, below; then a black square
    black: Vec<u8>,  // [w, C]
}

/// How the squares of a [`Source`] lie.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Extent {
    pub(in super::super) width: u32, // of the image
    pub(in super::super) height: u32,
    pub(in super::super) outside: u32, // the number of the black square
}

/// Words of the black square: with eight, the last square in colour can be read as a vector of eight words
/// like any other.
const BLACK: usize = 8;

impl Source {
    pub(in super::super) fn load(&mut self, level: Level, image: &Bitmap, beyond: Beyond) {
        let (c, w, h, stride) = (image.channels, image.width, image.height, image.stride());
        self.channels = c;
        self.extent = Extent { width: w as u32, height: h as u32, outside: ((h + 1) * (w + 2)) as u32 };
        let words = (h + 1) * (w + 2) * c;
        self.pairs.resize(words + BLACK, 0);
        self.pairs[words..].fill(0);
        self.black.resize(stride, 0);
        for (y, pairs) in self.pairs[..words].chunks_exact_mut((w + 2) * c).enumerate() {
            // Row y lies above the square, and row y - 1 beyond the image.
            let row = |y: Option<usize>| match (y.filter(|&y| y < h), beyond) {
                (Some(y), _) => &image.pixels[y * stride..][..stride],
                (None, Beyond::Black) => &self.black[..stride],
                (None, Beyond::Edge) => &image.pixels[y.unwrap_or(0).min(h - 1) * stride..][..stride],
            };
            let (before, rest) = pairs.split_at_mut(c);
            let (inner, after) = rest.split_at_mut(stride);
            join(level, row(y.checked_sub(1)), row(Some(y)), inner);
            match beyond {
                Beyond::Black => [before, after].map(|side| side.fill(0)),
                Beyond::Edge => {
                    [before.copy_from_slice(&inner[..c]), after.copy_from_slice(&inner[stride - c..])]
                }
            };
        }
    }

    /// The squares of a row of the target, `[C, n]`; bytes of a word: top left, bottom left, top right,
    /// bottom right.
    pub(in super::super) fn fetch(&self, level: Level, squares: &[u32], quads: &mut [u32]) {
        if self.channels == 1 {
            fetch_grey(level, &self.pairs, squares, quads);
        } else {
            fetch_color(level, &self.pairs, squares, quads);
        }
    }
}

vectorized! {
    fn join(above: &[u8], below: &[u8], pairs: &mut [u16]) {
        for ((pair, &above), &below) in pairs.iter_mut().zip(above).zip(below) {
            *pair = u16::from_le_bytes([above, below]);
        }
    }
}

vectorized! {
    /// The squares of one row, `[n]`.
    fn fetch_grey(pairs: &[u16], squares: &[u32], quads: &mut [u32]) {
        for (quad, &square) in quads.iter_mut().zip(squares) {
            let pairs = &pairs[square as usize..][..2];
            *quad = u32::from(pairs[0]) | u32::from(pairs[1]) << 16;
        }
    }
}

vectorized! {
    /// The squares of one row, `[3, n]`.
    fn fetch_color(pairs: &[u16], squares: &[u32], quads: &mut [u32]) {
        let n = squares.len();
        let (red, rest) = quads.split_at_mut(n);
        let (green, blue) = rest.split_at_mut(n);
        #[cfg(target_arch = "x86_64")]
        let done = {
            let fours = squares.as_chunks::<4>().0;
            let planes = red.as_chunks_mut().0.iter_mut().zip(green.as_chunks_mut().0);
            let planes = planes.zip(blue.as_chunks_mut().0);
            for (squares, ((red, green), blue)) in fours.iter().zip(planes) {
                fetch_four(pairs, squares, red, green, blue);
            }
            fours.len() * 4
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        for i in done..n {
            let pairs = &pairs[squares[i] as usize * 3..][..6];
            let join = |c: usize| u32::from(pairs[c]) | u32::from(pairs[c + 3]) << 16;
            [red[i], green[i], blue[i]] = std::array::from_fn(join);
        }
    }
}

/// Four squares at once, with SSE2, which every x86-64 processor has.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch_four(
    pairs: &[u16],
    squares: &[u32; 4],
    red: &mut [u32; 4],
    green: &mut [u32; 4],
    blue: &mut [u32; 4],
) {
    use std::arch::x86_64::*;
    // The left and the right pixel's pairs, brought together: R G B _.
    let load = |square: u32| {
        let pairs = &pairs[square as usize * 3..][..8];
        // SAFETY: the slice has 8 words of 2 bytes; the load asks for no alignment; SSE2 belongs to x86-64.
        unsafe {
            let left = _mm_loadu_si128(pairs.as_ptr().cast());
            _mm_unpacklo_epi16(left, _mm_srli_si128::<6>(left))
        }
    };
    let (a, b, c, d) = (load(squares[0]), load(squares[1]), load(squares[2]), load(squares[3]));
    // SAFETY: SSE2 belongs to x86-64; each target has 4 words of 4 bytes, and the stores ask for no
    // alignment.
    unsafe {
        let (red_green, red_green_2) = (_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
        let (blues, blues_2) = (_mm_unpackhi_epi32(a, b), _mm_unpackhi_epi32(c, d));
        _mm_storeu_si128(red.as_mut_ptr().cast(), _mm_unpacklo_epi64(red_green, red_green_2));
        _mm_storeu_si128(green.as_mut_ptr().cast(), _mm_unpackhi_epi64(red_green, red_green_2));
        _mm_storeu_si128(blue.as_mut_ptr().cast(), _mm_unpacklo_epi64(blues, blues_2));
    }
}

/// Makes a row of the target, `[n, C]`, of its planes.
pub(in super::super) fn make_row(
    level: Level,
    planes: &mut [u8],
    row: &mut [u8],
    channels: usize,
    mut make: impl FnMut(usize, &mut [u8]),
) {
    if channels == 1 {
        return make(0, row);
    }
    for (channel, plane) in planes.chunks_exact_mut(row.len() / channels).enumerate() {
        make(channel, plane);
    }
    interleave(level, planes, row);
}

vectorized! {
    /// Pillow's `BILINEAR_BODY`: f64, truncated.
    pub(in super::super) fn interpolate_exactly(
        quads: &[u32],
        across: &[f64],
        down: &[f64],
        target: &mut [u8],
    ) {
        for (((&quad, &x), &y), target) in quads.iter().zip(across).zip(down).zip(target) {
            let [top_left, bottom_left, top_right, bottom_right] = quad.to_le_bytes().map(i32::from);
            let top = f64::from(top_left) + f64::from(top_right - top_left) * x;
            let bottom = f64::from(bottom_left) + f64::from(bottom_right - bottom_left) * x;
            *target = truncated_exactly(top + (bottom - top) * y);
        }
    }
}

vectorized! {
    /// OpenCV's bilinear `remap` of 8 bits, for fractions in 32nds: rounded half up. All steps are exact in
    /// f32, as they are in its fixed point: 8 bits of the level and 5 + 5 of the fractions.
    pub(in super::super) fn interpolate(quads: &[u32], across: &[f32], down: &[f32], target: &mut [u8]) {
        for (((&quad, &x), &y), target) in quads.iter().zip(across).zip(down).zip(target) {
            let [top_left, bottom_left, top_right, bottom_right] = quad.to_le_bytes().map(f32::from);
            let top = top_left + (top_right - top_left) * x;
            let bottom = bottom_left + (bottom_right - bottom_left) * x;
            *target = truncated(top + (bottom - top) * y + 0.5);
        }
    }
}
