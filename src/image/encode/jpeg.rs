//! Baseline JPEG (ITU T.81) with the numbers that libjpeg-turbo gives: its colour conversion, its averages,
//! its integer cosine transform, its rounding, its way to pad what does not fill a block.
//!
//! A *band* of rows at a time: pixels become planes of 8-bit samples; sixteen blocks at a time, one to each
//! vector lane, become quantised coefficients and a bit for each that is not 0; these are written as Huffman
//! codes, walking from one such bit to the next; and the codes go to the file, where a zero byte has to
//! follow each 0xff.

use super::Subsampling;
use crate::image::Bitmap;
use crate::simd::Level;

/// Blocks transformed at a time.
const LANES: usize = 16;

/// The least number of MCUs (the units in which blocks of all components follow each other) in a band: fewer
/// leave lanes empty.
const BAND_MCUS: usize = 36;

/// The most bytes that a block can take: 20 bits for the first coefficient, 26 for each other; and room to
/// write words.
const BLOCK_BYTES: usize = 256;

/// Tables and buffers.
#[derive(Default)]
pub(super) struct Writer {
    luma: Plane,
    chroma: Plane,
    /// Full rows of Cb and Cr that wait to be averaged: Cb and Cr of the upper row, then of the lower.
    rows: [Vec<u8>; 4],
    quality: u8,
    codes: Vec<u8>,
}

impl Writer {
    pub(super) fn write(
        &mut self,
        level: Level,
        image: &Bitmap,
        quality: u8,
        subsampling: Subsampling,
        out: &mut Vec<u8>,
    ) {
        if self.quality != quality {
            self.quality = quality;
            self.luma.quantizer = Quantizer::new(&LUMA_STEPS, quality);
            self.chroma.quantizer = Quantizer::new(&CHROMA_STEPS, quality);
        }
        out.clear();
        self.write_header(image, subsampling, out);

        let grey = image.channels == 1;
        let (across, down) = if grey { (1, 1) } else { subsampling.factors() };
        let mcus = image.width.div_ceil(8 * across);
        let mcu_rows = BAND_MCUS.div_ceil(mcus);
        let band = mcu_rows * 8 * down;

        self.luma.across = image.width.div_ceil(8);
        self.chroma.across = mcus;
        let mut bits = Bits::default();
        let mut predictions = [0; 3];
        for top in (0..image.height).step_by(band) {
            let rows = band.min(image.height - top);
            let pixels = &image.pixels[top * image.stride()..][..rows * image.stride()];
            if grey {
                self.luma.load_grey(pixels, image.width);
            } else {
                self.load_colour(level, pixels, image.width, (across, down));
                self.chroma.transform(level);
            }
            self.luma.transform(level);

            let blocks = mcus * rows.div_ceil(8 * down) * if grey { 1 } else { across * down + 2 };
            let most = (blocks + 1) * BLOCK_BYTES;
            if self.codes.len() < most {
                self.codes.resize(most, 0);
            }
            if grey {
                write_grey(level, &self.luma, &mut predictions, &mut bits, &mut self.codes);
            } else {
                write_colour(
                    level,
                    &self.luma,
                    &self.chroma,
                    (across, down),
                    &mut predictions,
                    &mut bits,
                    &mut self.codes,
                );
            }
            bits.drain(&mut self.codes, out);
        }
        bits.finish(&mut self.codes, out);
        out.extend([0xff, 0xd9]);
    }

    /// Everything before the codes.
    fn write_header(&self, image: &Bitmap, subsampling: Subsampling, out: &mut Vec<u8>) {
        // JFIF 1.1, no resolution, no thumbnail.
        out.extend(b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let tables = if image.channels == 1 { 1 } else { 2 };
        for (number, plane) in [&self.luma, &self.chroma].into_iter().take(tables).enumerate() {
            out.extend([0xff, 0xdb, 0, 67, number as u8]);
            out.extend(plane.quantizer.steps);
        }

        let count = image.channels as u8;
        out.extend([0xff, 0xc0, 0, 8 + 3 * count, 8]);
        out.extend((image.height as u16).to_be_bytes());
        out.extend((image.width as u16).to_be_bytes());
        let (across, down) = subsampling.factors();
        out.extend([count, 1, (across << 4 | down) as u8, 0]);
        if image.channels == 3 {
            out.extend([2, 0x11, 1, 3, 0x11, 1]);
        }

        for (number, pair) in HUFFMAN.iter().take(tables).enumerate() {
            for (class, table) in pair.iter().enumerate() {
                out.extend([0xff, 0xc4, 0, 19 + table.symbols.len() as u8, (class << 4 | number) as u8]);
                out.extend(table.lengths);
                out.extend(table.symbols);
            }
        }

        out.extend([0xff, 0xda, 0, 6 + 2 * count, count, 1, 0]);
        if image.channels == 3 {
            out.extend([2, 0x11, 3, 0x11]);
        }
        out.extend([0, 63, 0]);
    }

    /// Takes in a band of RGB rows.
    fn load_colour(&mut self, level: Level, pixels: &[u8], width: usize, (across, down): (usize, usize)) {
        let rows = pixels.len() / (width * 3);
        let chroma_rows = rows.div_ceil(down);
        self.luma.take_shape(rows, 1);
        self.chroma.take_shape(chroma_rows, 2);
        let stride = self.chroma.stride();
        let (cb, cr) = self.chroma.samples.split_at_mut(self.chroma.rows * stride);
        let luma_stride = self.luma.stride();

        if (across, down) == (1, 1) {
            let planes = cb.chunks_exact_mut(stride).zip(cr.chunks_exact_mut(stride));
            let lines = pixels.chunks_exact(width * 3).zip(self.luma.samples.chunks_exact_mut(luma_stride));
            for ((line, y), (cb, cr)) in lines.zip(planes) {
                to_ycbcr(level, line, &mut y[..width], &mut cb[..width], &mut cr[..width]);
                [y, cb, cr].into_iter().for_each(|row| repeat_last(row, width));
            }
        } else {
            self.rows.iter_mut().for_each(|row| row.resize(stride * across, 0));
            let mut full = self.rows.each_mut().map(|row| &mut row[..]);
            for row in 0..chroma_rows {
                for lower in 0..down {
                    // Below the last row lies the last row again.
                    let at = (row * down + lower).min(rows - 1);
                    let line = &pixels[at * width * 3..][..width * 3];
                    let y = &mut self.luma.samples[at * luma_stride..][..luma_stride];
                    let [cb, cr] = &mut full[lower * 2..][..2] else { unreachable!("two of four rows") };
                    to_ycbcr(level, line, &mut y[..width], &mut cb[..width], &mut cr[..width]);
                    [y, cb, cr].into_iter().for_each(|row| repeat_last(row, width));
                }
                let [upper_cb, upper_cr, lower_cb, lower_cr] = &full;
                let targets = [&mut cb[row * stride..][..stride], &mut cr[row * stride..][..stride]];
                for ((target, upper), lower) in
                    targets.into_iter().zip([upper_cb, upper_cr]).zip([lower_cb, lower_cr])
                {
                    if down == 1 {
                        average_two(level, upper, target)
                    } else {
                        average_four(level, upper, lower, target)
                    }
                }
            }
        }
        repeat_last_row(&mut self.luma.samples, luma_stride, rows);
        repeat_last_row(cb, stride, chroma_rows);
        repeat_last_row(cr, stride, chroma_rows);
    }
}

/// One component of a band, or two below each other: its samples and what becomes of them.
#[derive(Default)]
struct Plane {
    quantizer: Quantizer,
    /// Blocks per row of blocks.
    across: usize,
    /// Rows of samples in each component, a multiple of 8.
    rows: usize,
    components: usize,
    /// `[components, rows, across * 8]`
    samples: Vec<u8>,
    /// Sixteen blocks each, the blocks as in `samples`: row by row.
    groups: Vec<Group>,
}

/// Quantised coefficients of sixteen blocks; block n has lane [`lane_of`]`(n)`.
#[derive(Clone)]
struct Group {
    /// In zigzag order.
    coefficients: [[i16; LANES]; 64],
    /// A bit for each coefficient but the first that is not 0.
    nonzero: [u64; LANES],
}

/// Where the transposition of a group's samples puts a block.
fn lane_of(block: usize) -> usize {
    block % 2 * 8 + block / 2
}

impl Plane {
    fn stride(&self) -> usize {
        self.across * 8
    }

    /// Makes room for `rows` rows of samples in each component and what is to become of them.
    fn take_shape(&mut self, rows: usize, components: usize) {
        self.rows = rows.next_multiple_of(8);
        self.components = components;
        self.samples.resize(components * self.rows * self.stride(), 0);
        let groups = self.blocks().div_ceil(LANES);
        self.groups.resize_with(groups, || Group { coefficients: [[0; LANES]; 64], nonzero: [0; LANES] });
    }

    fn blocks(&self) -> usize {
        self.components * self.rows / 8 * self.across
    }

    /// Takes in a band of grey rows.
    fn load_grey(&mut self, pixels: &[u8], width: usize) {
        let rows = pixels.len() / width;
        self.take_shape(rows, 1);
        let stride = self.stride();
        for (line, row) in pixels.chunks_exact(width).zip(self.samples.chunks_exact_mut(stride)) {
            row[..width].copy_from_slice(line);
            repeat_last(row, width);
        }
        repeat_last_row(&mut self.samples, stride, rows);
    }

    fn transform(&mut self, level: Level) {
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
fn repeat_last(row: &mut [u8], width: usize) {
    let last = row[width - 1];
    row[width..].fill(last);
}

/// Below the `rows` rows of a plane comes the last of them again.
fn repeat_last_row(samples: &mut [u8], stride: usize, rows: usize) {
    let (above, below) = samples.split_at_mut(rows * stride);
    let last = &above[(rows - 1) * stride..];
    below.chunks_exact_mut(stride).for_each(|row| row.copy_from_slice(last));
}

// ---------------------------------------------------------------------------------------------------------------------------
// Colours

/// JFIF's RGB to YCbCr with 16 fractional bits. Y is rounded; in Cb and Cr an exact half goes down, as in
/// libjpeg (jccolor.c).
fn to_ycbcr(level: Level, pixels: &[u8], y: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let done = if level.avx2() {
        // SAFETY: `Level` says AVX2 only where the processor reported it.
        unsafe { to_ycbcr_avx2(pixels, y, cb, cr) }
    } else {
        0
    };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    to_ycbcr_portable(level, &pixels[done * 3..], &mut y[done..], &mut cb[done..], &mut cr[done..]);
}

const HALF: i32 = 1 << 15;
const CENTRE: i32 = (128 << 16) + HALF - 1;

vectorized! {
    fn to_ycbcr_portable(pixels: &[u8], y: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
        for (((pixel, y), cb), cr) in pixels.as_chunks::<3>().0.iter().zip(y).zip(cb).zip(cr) {
            let [r, g, b] = pixel.map(i32::from);
            *y = ((19595 * r + 38470 * g + 7471 * b + HALF) >> 16) as u8; // 0.299, 0.587, 0.114
            *cb = ((-11059 * r - 21709 * g + 32768 * b + CENTRE) >> 16) as u8; // -0.16874, -0.33126, 0.5
            *cr = ((32768 * r - 27439 * g - 5329 * b + CENTRE) >> 16) as u8; // 0.5, -0.41869, -0.08131
        }
    }
}

/// The same for as many of the pixels as the vectors hold; returns their number. The compiler finds no good
/// way to take the interleaved bytes apart.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn to_ycbcr_avx2(pixels: &[u8], y: &mut [u8], cb: &mut [u8], cr: &mut [u8]) -> usize {
    use std::arch::x86_64::*;
    /// Factors of two 16-bit values, the first in the low half.
    const fn pair(low: i16, high: i16) -> i32 {
        (high as i32) << 16 | low as u16 as i32
    }
    // Of each of four pixels R and B, or G twice, as 16-bit values. G's factor is split in two, as it may not
    // fit into one.
    let red_blue =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 2, -1, 3, -1, 5, -1, 6, -1, 8, -1, 9, -1, 11, -1));
    let greens =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(1, -1, 1, -1, 4, -1, 4, -1, 7, -1, 7, -1, 10, -1, 10, -1));
    let y_factors = [pair(19595, 7471), pair(19235, 19235)].map(|f| _mm256_set1_epi32(f));
    // Those of Cb and Cr with the sign turned: 32768 does not fit, -32768 does.
    let cb_factors = [pair(11059, -32768), pair(10854, 10855)].map(|f| _mm256_set1_epi32(f));
    let cr_factors = [pair(-32768, 5329), pair(13719, 13720)].map(|f| _mm256_set1_epi32(f));
    let half = _mm256_set1_epi32(HALF);
    let centre = _mm256_set1_epi32(CENTRE);

    let mut done = 0;
    let targets =
        y.as_chunks_mut::<16>().0.iter_mut().zip(cb.as_chunks_mut::<16>().0).zip(cr.as_chunks_mut::<16>().0);
    // Four bytes more are read than belong to the sixteen pixels.
    for (((y, cb), cr), bytes) in targets.zip(pixels.windows(52).step_by(48)) {
        // SAFETY: the last of the loads ends at byte 12 * 3 + 16 = 52.
        let load = |four: usize| unsafe { _mm_loadu_si128(bytes.as_ptr().add(12 * four).cast()) };
        // Fours of pixels in such an order that packing puts them right.
        let halves = [_mm256_set_m128i(load(2), load(0)), _mm256_set_m128i(load(3), load(1))]
            .map(|four| (_mm256_shuffle_epi8(four, red_blue), _mm256_shuffle_epi8(four, greens)));
        let sum = |rb: __m256i, gg: __m256i, factors: [__m256i; 2]| {
            _mm256_add_epi32(_mm256_madd_epi16(rb, factors[0]), _mm256_madd_epi16(gg, factors[1]))
        };
        let pack = |[low, high]: [__m256i; 2], target: &mut [u8; 16]| {
            let words = _mm256_packs_epi32(_mm256_srai_epi32::<16>(low), _mm256_srai_epi32::<16>(high));
            let bytes = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi16(words, words));
            // SAFETY: the target has sixteen bytes.
            unsafe { _mm_storeu_si128(target.as_mut_ptr().cast(), _mm256_castsi256_si128(bytes)) };
        };
        pack(halves.map(|(rb, gg)| _mm256_add_epi32(half, sum(rb, gg, y_factors))), y);
        pack(halves.map(|(rb, gg)| _mm256_sub_epi32(centre, sum(rb, gg, cb_factors))), cb);
        pack(halves.map(|(rb, gg)| _mm256_sub_epi32(centre, sum(rb, gg, cr_factors))), cr);
        done += 16;
    }
    done
}

vectorized! {
    /// The means of pairs. Halves go down and up by turns, so that no image gets lighter on the whole.
    fn average_two(row: &[u8], target: &mut [u8]) {
        for (index, (target, pair)) in target.iter_mut().zip(row.as_chunks::<2>().0).enumerate() {
            *target = ((u16::from(pair[0]) + u16::from(pair[1]) + (index & 1) as u16) >> 1) as u8;
        }
    }
}

vectorized! {
    /// The means of squares of four; 1 and 2 are added by turns before the division.
    fn average_four(upper: &[u8], lower: &[u8], target: &mut [u8]) {
        let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        for (index, (target, (a, b))) in target.iter_mut().zip(pairs).enumerate() {
            let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
            *target = ((sum + 1 + (index & 1) as u16) >> 2) as u8;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------------
// Cosine transform and quantisation

/// Division by each step of a table, rounded to nearest, without dividing.
struct Quantizer {
    /// In zigzag order, as the file holds them.
    steps: [u8; 64],
    /// For each, in zigzag order: half of 8 · step and its reciprocal, for each lane (so that the compiler
    /// sees that they have 16 bits), and a shift.
    factors: [([u16; LANES], [u16; LANES], u32); 64],
}

impl Default for Quantizer {
    fn default() -> Self {
        Self { steps: [0; 64], factors: [([0; LANES], [0; LANES], 0); 64] }
    }
}

impl Quantizer {
    /// libjpeg's rule (jcparam.c): `steps` hold for quality 50.
    fn new(steps: &[u8; 64], quality: u8) -> Self {
        let quality = u32::from(quality);
        let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
        let steps = steps.map(|step| ((u32::from(step) * percent + 50) / 100).clamp(1, 255) as u8);
        // The transform's values are 8 times too large. For the divisor d, 2^(l - 1) < d <= 2^l, and n <
        // 2^15: n / d = n · m >> (15 + l) with m = 2^(15 + l) / d rounded up, as the error, n · (m · d -
        // 2^(15 + l)) / d < 2^(15 + l) / d, is too small to reach the next whole number.
        let factors = steps.map(|step| {
            let divisor = u32::from(step) * 8;
            let l = divisor.next_power_of_two().trailing_zeros();
            ([(divisor / 2) as u16; LANES], [(1u32 << (15 + l)).div_ceil(divisor) as u16; LANES], l - 1)
        });
        Self { steps, factors }
    }
}

vectorized! {
    /// From the samples of sixteen blocks to coefficients. In `packed[i][row * 2 + j]`: eight samples of a
    /// row of block 2i + j.
    fn transform(packed: &mut [[u64; LANES]; 8], quantizer: &Quantizer, group: &mut Group) {
        transpose_bytes(packed);
        // Now `packed[column]` as bytes is [row, lane].
        let mut samples = [[0u8; 8 * LANES]; 8];
        for (column, words) in samples.iter_mut().zip(packed.iter()) {
            for (eight, word) in column.as_chunks_mut().0.iter_mut().zip(words) {
                *eight = word.to_le_bytes();
            }
        }

        let mut middle = [[0i16; 8 * LANES]; 8]; // [frequency across, row, lane]
        for index in 0..8 * LANES {
            let x = std::array::from_fn(|column| i16::from(samples[column][index]));
            // The samples count from 128: that is a matter of the first coefficient only.
            let y = cosine_transform::<11>(x, |sum| (sum - 8 * 128) << 2, |difference| difference << 2);
            for column in 0..8 {
                middle[column][index] = y[column];
            }
        }
        let mut coefficients = [[0i16; LANES]; 64]; // [frequency down, frequency across, lane]
        for (column, middle) in middle.iter().enumerate() {
            for lane in 0..LANES {
                let x = std::array::from_fn(|row| middle[row * LANES + lane]);
                let y = cosine_transform::<15>(x, |sum| (sum + 2) >> 2, |difference| (difference + 2) >> 2);
                for row in 0..8 {
                    coefficients[row * 8 + column][lane] = y[row];
                }
            }
        }

        let mut nonzero = [[0u16; LANES]; 4];
        for (quarter, nonzero) in nonzero.iter_mut().enumerate() {
            let mut bits = [0; LANES];
            for bit in 0..16 {
                let z = quarter * 16 + bit;
                let (half, reciprocal, shift) = &quantizer.factors[z];
                let (source, target) = (&coefficients[usize::from(ZIGZAG[z])], &mut group.coefficients[z]);
                for lane in 0..LANES {
                    let sign = source[lane] >> 15;
                    let magnitude = source[lane].unsigned_abs() + half[lane];
                    let quotient = ((u32::from(magnitude) * u32::from(reciprocal[lane])) >> 16) as u16 >> shift;
                    target[lane] = (quotient as i16 ^ sign) - sign;
                    bits[lane] |= u16::from(quotient != 0) << bit;
                }
            }
            *nonzero = bits;
        }
        for (lane, target) in group.nonzero.iter_mut().enumerate() {
            let part = |quarter: usize| u64::from(nonzero[quarter][lane]) << (16 * quarter);
            *target = (part(0) | part(1) | part(2) | part(3)) & !1;
        }
    }
}

/// Takes each of the lanes as 8 words of 8 bytes and exchanges words for bytes.
#[inline(always)]
fn transpose_bytes(words: &mut [[u64; LANES]; 8]) {
    for (distance, mask) in
        [(4, 0x0000_0000_ffff_ffff), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff)]
    {
        for first in (0..8usize).filter(|first| first & distance == 0) {
            let (upper, lower) = words.split_at_mut(first + distance);
            for (a, b) in upper[first].iter_mut().zip(&mut lower[0]) {
                (*a, *b) =
                    (*a & mask | (*b & mask) << (8 * distance), (*a >> (8 * distance)) & mask | *b & !mask);
            }
        }
    }
}

/// The one-dimensional cosine transform of Loeffler, Ligtenberg and Moschytz (1989) with 13 fractional bits,
/// of which `SHIFT` are dropped, rounded; `even` finishes the two outputs that need no product. libjpeg's
/// "islow" gives the same numbers.
///
/// No 16-bit sum overflows, as the inputs are below 2^12 in magnitude, or 2^12 itself for -2^12 alone.
#[inline(always)]
fn cosine_transform<const SHIFT: u32>(
    x: [i16; 8],
    sum: impl Fn(i16) -> i16,
    difference: impl Fn(i16) -> i16,
) -> [i16; 8] {
    let times = |value: i16, factor: i32| i32::from(value) * factor;
    let round = |value: i32| ((value + (1 << (SHIFT - 1))) >> SHIFT) as i16;
    let add = i16::wrapping_add;
    let subtract = i16::wrapping_sub;

    let (s0, s1, s2, s3) = (add(x[0], x[7]), add(x[1], x[6]), add(x[2], x[5]), add(x[3], x[4]));
    let (e0, e1, e2, e3) = (add(s0, s3), add(s1, s2), subtract(s1, s2), subtract(s0, s3));
    let z = times(add(e2, e3), 4433); // 0.541196100
    let y2 = z + times(e3, 6270); // 0.765366865
    let y6 = z - times(e2, 15137); // 1.847759065

    let (d0, d1, d2, d3) =
        (subtract(x[0], x[7]), subtract(x[1], x[6]), subtract(x[2], x[5]), subtract(x[3], x[4]));
    let (d13, d02) = (add(d3, d1), add(d2, d0));
    let z5 = times(add(d13, d02), 9633); // 1.175875602
    let z1 = times(add(d3, d0), 7373); // 0.899976223
    let z2 = times(add(d2, d1), 20995); // 2.562915447
    let z3 = z5 - times(d13, 16069); // 1.961570560
    let z4 = z5 - times(d02, 3196); // 0.390180644
    let y7 = times(d3, 2446) - z1 + z3; // 0.298631336
    let y5 = times(d2, 16819) - z2 + z4; // 2.053119869
    let y3 = times(d1, 25172) - z2 + z3; // 3.072711026
    let y1 = times(d0, 12299) - z1 + z4; // 1.501321110
    [
        sum(add(e0, e1)),
        round(y1),
        round(y2),
        round(y3),
        difference(subtract(e0, e1)),
        round(y5),
        round(y6),
        round(y7),
    ]
}

// ---------------------------------------------------------------------------------------------------------------------------
// Huffman codes

/// A code and its extra bits on their way into bytes.
#[derive(Default)]
struct Bits {
    /// The last `count` bits are still to be written.
    word: u64,
    count: u32,
    /// Bytes in the buffer.
    written: usize,
}

impl Bits {
    /// Appends the low `length` bits of `code`; `flush` must be called before there are more than 64.
    #[inline(always)]
    fn put(&mut self, (code, length): (u32, u32)) {
        self.word = self.word << length | u64::from(code);
        self.count += length;
    }

    /// Writes all whole bytes; up to 7 bits stay.
    #[inline(always)]
    fn flush(&mut self, codes: &mut [u8]) {
        let bytes = self.word.wrapping_shl(64 - self.count).to_be_bytes();
        codes[self.written..self.written + 8].copy_from_slice(&bytes);
        self.written += (self.count / 8) as usize;
        self.count %= 8;
    }

    /// Moves the whole bytes to the file, with a zero after each 0xff.
    fn drain(&mut self, codes: &mut [u8], out: &mut Vec<u8>) {
        let codes = &codes[..self.written];
        out.reserve(codes.len() + codes.len() / 16);
        let (words, rest) = codes.as_chunks::<8>();
        let byte = |out: &mut Vec<u8>, byte: u8| {
            out.push(byte);
            if byte == 0xff {
                out.push(0);
            }
        };
        for word in words {
            // Whether the complement has a byte of 0.
            let inverse = !u64::from_ne_bytes(*word);
            if inverse.wrapping_sub(0x0101_0101_0101_0101) & !inverse & 0x8080_8080_8080_8080 == 0 {
                out.extend_from_slice(word);
            } else {
                word.iter().for_each(|&value| byte(out, value));
            }
        }
        rest.iter().for_each(|&value| byte(out, value));
        self.written = 0;
    }

    /// Fills the last byte with ones.
    fn finish(&mut self, codes: &mut [u8], out: &mut Vec<u8>) {
        self.put((0x7f, 7));
        self.flush(codes);
        self.drain(codes, out);
    }
}

vectorized! {
    fn write_grey(luma: &Plane, predictions: &mut [i16; 3], bits: &mut Bits, codes: &mut [u8]) {
        let mut local = Bits { ..*bits };
        for block in 0..luma.blocks() {
            write_block(luma, block, &CODES[0], &mut predictions[0], &mut local, codes);
        }
        *bits = local;
    }
}

vectorized! {
    fn write_colour(
        luma: &Plane,
        chroma: &Plane,
        factors: (usize, usize),
        predictions: &mut [i16; 3],
        bits: &mut Bits,
        codes: &mut [u8],
    ) {
        let mut local = Bits { ..*bits };
        let (across, down) = factors;
        let luma_rows = luma.rows / 8;
        let half = chroma.blocks() / 2;
        let [y_prediction, cb_prediction, cr_prediction] = predictions;
        for row in 0..chroma.rows / 8 {
            for column in 0..chroma.across {
                for y in row * down..(row + 1) * down {
                    for x in column * across..(column + 1) * across {
                        if x < luma.across && y < luma_rows {
                            write_block(luma, y * luma.across + x, &CODES[0], y_prediction, &mut local, codes);
                        } else {
                            // A block beyond the edge: the first coefficient as before, and no other.
                            local.put(unpack(CODES[0].empty));
                            local.flush(codes);
                        }
                    }
                }
                let at = row * chroma.across + column;
                write_block(chroma, at, &CODES[1], cb_prediction, &mut local, codes);
                write_block(chroma, half + at, &CODES[1], cr_prediction, &mut local, codes);
            }
        }
        *bits = local;
    }
}

#[inline(always)]
fn write_block(
    plane: &Plane,
    block: usize,
    table: &Codes,
    prediction: &mut i16,
    bits: &mut Bits,
    codes: &mut [u8],
) {
    let group = &plane.groups[block / LANES];
    let lane = lane_of(block % LANES);
    let first = group.coefficients[0][lane];
    bits.put(code_of(&table.first, 0, first - *prediction));
    *prediction = first;

    // Up to 7 bits are left from before, and a code has up to 26: two fit, and the end mark of 4 or fewer.
    let mut nonzero = group.nonzero[lane];
    let mut next = 1;
    while nonzero != 0 {
        write_next(group, lane, table, &mut nonzero, &mut next, bits, codes);
        if nonzero == 0 {
            break;
        }
        bits.flush(codes);
        write_next(group, lane, table, &mut nonzero, &mut next, bits, codes);
    }
    if next != 64 {
        bits.put(unpack(table.other[0]));
    }
    bits.flush(codes);
}

/// Writes the first coefficient that `nonzero` still names, and where it was makes way for the `next`.
#[inline(always)]
fn write_next(
    group: &Group,
    lane: usize,
    table: &Codes,
    nonzero: &mut u64,
    next: &mut usize,
    bits: &mut Bits,
    codes: &mut [u8],
) {
    let z = nonzero.trailing_zeros() as usize;
    *nonzero &= *nonzero - 1;
    let mut zeros = z - *next;
    *next = z + 1;
    while zeros > 15 {
        bits.flush(codes);
        bits.put(unpack(table.other[0xf0]));
        bits.flush(codes);
        zeros -= 16;
    }
    bits.put(code_of(&table.other, zeros, group.coefficients[z % 64][lane]));
}

/// The code of a coefficient after `zeros` zeros: of their number and of its size, then that many bits of it.
#[inline(always)]
fn code_of(table: &[u32; 256], zeros: usize, value: i16) -> (u32, u32) {
    let value = u32::from(VALUES[value as usize % VALUES.len()]);
    let (code, length) = unpack(table[(zeros * 16 + value as usize % 16) % 256]);
    (code | value >> 4, length)
}

/// For each value from -2047 to 2047, negative ones from the end: its bits, then, in the low four bits, their
/// number. Negative values are counted from the lowest of their size.
static VALUES: [u16; 4096] = {
    let mut values = [0; 4096];
    let mut magnitude = 1;
    while magnitude < 2048usize {
        let size = magnitude.ilog2() + 1;
        values[magnitude] = (magnitude << 4) as u16 | size as u16;
        values[4096 - magnitude] = (((1 << size) - 1 - magnitude) << 4) as u16 | size as u16;
        magnitude += 1;
    }
    values
};

/// The codes of one kind of component, ready to use: for each number of zeros (high four bits) and size (low
/// four bits) the code moved up by the size, then, in the low five bits, the length of both.
struct Codes {
    first: [u32; 256],
    other: [u32; 256],
    /// Of a block that is like the one before.
    empty: u32,
}

#[inline(always)]
fn unpack(code: u32) -> (u32, u32) {
    (code >> 5, code % 32)
}

impl Codes {
    const fn new([first, other]: &[Huffman; 2]) -> Self {
        let (first, other) = (first.codes(), other.codes());
        // Two short codes, one after the other.
        let (a, b) = (first[0], other[0]);
        let empty = ((a >> 5) << (b % 32) | b >> 5) << 5 | (a % 32 + b % 32);
        Self { first, other, empty }
    }
}

static CODES: [Codes; 2] = [Codes::new(&HUFFMAN[0]), Codes::new(&HUFFMAN[1])];

/// A table as the file holds it.
struct Huffman {
    /// How many codes there are of 1, 2, … 16 bits.
    lengths: [u8; 16],
    /// What they stand for, from the shortest code on.
    symbols: &'static [u8],
}

impl Huffman {
    /// T.81, annex C: codes of one length follow each other; the first of the next length follows the last,
    /// with a zero appended.
    const fn codes(&self) -> [u32; 256] {
        let mut codes = [0; 256];
        let (mut code, mut at, mut length) = (0, 0, 1);
        while length <= 16 {
            let mut left = self.lengths[length - 1];
            while left > 0 {
                let symbol = self.symbols[at] as usize;
                let size = symbol % 16;
                codes[symbol] = (code << size) << 5 | (length + size) as u32;
                (code, at, left) = (code + 1, at + 1, left - 1);
            }
            code <<= 1;
            length += 1;
        }
        codes
    }
}

// ---------------------------------------------------------------------------------------------------------------------------
// Tables of T.81

/// Where in a block, row by row, the coefficients in zigzag order are (figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Table K.1, in zigzag order.
const LUMA_STEPS: [u8; 64] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40,
    58, 51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103,
    104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
];

/// Table K.2, in zigzag order.
const CHROMA_STEPS: [u8; 64] = {
    let mut steps = [99; 64];
    let start = [17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66];
    let mut at = 0;
    while at < start.len() {
        steps[at] = start[at];
        at += 1;
    }
    steps
};

/// Tables K.3 to K.6: for lightness and for colour, those of the first coefficient and of the others.
static HUFFMAN: [[Huffman; 2]; 2] = [
    [
        Huffman {
            lengths: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            symbols: b"\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b",
        },
        Huffman {
            lengths: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
            symbols: &[
                0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61,
                0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52,
                0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25,
                0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45,
                0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64,
                0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
                0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
                0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6,
                0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3,
                0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8,
                0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
            ],
        },
    ],
    [
        Huffman {
            lengths: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
            symbols: b"\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b",
        },
        Huffman {
            lengths: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
            symbols: &[
                0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61,
                0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33,
                0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18,
                0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44,
                0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63,
                0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
                0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
                0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4,
                0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca,
                0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7,
                0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
            ],
        },
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_reciprocals_is_exact() {
        for step in 1..=255u8 {
            // At quality 50 a table is taken as it is.
            let (half, reciprocal, shift) = Quantizer::new(&[step; 64], 50).factors[0];
            let divisor = u32::from(step) * 8;
            for magnitude in 0..1u32 << 14 {
                let found = ((magnitude + u32::from(half[0])) * u32::from(reciprocal[0])) >> 16 >> shift;
                assert_eq!(found, (magnitude + divisor / 2) / divisor, "{magnitude} by {divisor}");
            }
        }
    }

    #[test]
    fn every_level_converts_every_colour_alike() {
        let pixels: Vec<u8> = (0..1u32 << 24)
            .step_by(7)
            .flat_map(|colour| [colour as u8, (colour >> 8) as u8, (colour >> 16) as u8])
            .collect();
        let count = pixels.len() / 3;
        let expected: Vec<[u8; 3]> = pixels
            .as_chunks::<3>()
            .0
            .iter()
            .map(|&pixel| {
                let [r, g, b] = pixel.map(i64::from);
                let round = |sum: i64, half: i64| ((sum + half) >> 16) as u8;
                let centre = (128 << 16) + 32767;
                [
                    round(19595 * r + 38470 * g + 7471 * b, 32768),
                    round(-11059 * r - 21709 * g + 32768 * b, centre),
                    round(32768 * r - 27439 * g - 5329 * b, centre),
                ]
            })
            .collect();
        for level in Level::available() {
            let mut planes = [(); 3].map(|()| vec![0; count]);
            let [y, cb, cr] = &mut planes;
            to_ycbcr(level, &pixels, y, cb, cr);
            assert!(
                (0..count).all(|at| planes.each_ref().map(|plane| plane[at]) == expected[at]),
                "{level:?}"
            );
        }
    }
}
