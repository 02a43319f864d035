//! PNG with one filter and the least of deflate (RFC 1951) that photographs need: Huffman codes made for the
//! image, and runs of zeros, as the only repetition worth looking for in what the filter leaves of a
//! photograph.
//!
//! A block of rows at a time: they are filtered; what remains is split into single bytes and runs of
//! zeros; and these are written as codes, made for the block after a first look at its rows, or at some of
//! them where there are many.
//!
//! Own code, as it is faster than the `png` crate's fastest setting and makes smaller files: a photograph of
//! 256×256 takes 364 µs and 1.15 times the bytes of Pillow's file, against 437 µs and 1.18 times.

mod huffman;
mod runs;

use self::huffman::{Bits, Codes, LONGEST, code_lengths, write_block_header};
use self::runs::{Counts, split_runs, write_bytes};
use crate::image::Bitmap;
use crate::simd::Level;

/// Bytes that share one set of codes, at least.
const BLOCK: usize = 1 << 15;

/// About how many bytes of a block its codes are made from, if it has more.
const SAMPLE: usize = 1 << 14;

/// Buffers.
#[derive(Default)]
pub(super) struct Writer {
    /// The filtered rows of a block; of each the filter's number, then the bytes.
    filtered: Vec<u8>,
    /// Stands for the row above the first.
    blank: Vec<u8>,
    codes: Vec<u8>,
}

impl Writer {
    pub(super) fn write(&mut self, level: Level, image: &Bitmap, out: &mut Vec<u8>) {
        out.clear();
        out.extend(b"\x89PNG\r\n\x1a\n");
        let colours = if image.channels == 1 { 0 } else { 2 };
        let mut header = [0, 0, 0, 0, 0, 0, 0, 0, 8, colours, 0, 0, 0];
        header[..4].copy_from_slice(&(image.width as u32).to_be_bytes());
        header[4..8].copy_from_slice(&(image.height as u32).to_be_bytes());
        write_chunk(b"IHDR", out, |out| out.extend(header));
        write_chunk(b"IDAT", out, |out| self.write_pixels(level, image, out));
        write_chunk(b"IEND", out, |_| {});
    }

    /// The pixels as a zlib stream (RFC 1950) of one block.
    fn write_pixels(&mut self, level: Level, image: &Bitmap, out: &mut Vec<u8>) {
        let stride = image.stride();
        let block_rows = BLOCK.div_ceil(stride).min(image.height);
        let worst = block_rows * (stride + 1) * LONGEST as usize / 8 + 1024;
        self.blank.resize(stride, 0);
        self.codes.resize(worst.max(self.codes.len()), 0);

        out.extend([0x78, 0x01]);
        let mut bits = Bits::default();
        let mut check = Adler::default();
        for top in (0..image.height).step_by(block_rows) {
            let rows = block_rows.min(image.height - top);
            self.filter(level, image, top, rows);
            check.add(level, &self.filtered);

            // Codes made of a part of the rows must serve for all.
            let every = (rows * stride / SAMPLE).max(1);
            let mut counts = Counts::default();
            if every == 1 {
                split_runs(&self.filtered, &mut counts);
            } else {
                let rows = self.filtered.chunks_exact(1 + stride).skip(every / 2).step_by(every);
                rows.for_each(|row| split_runs(row, &mut counts));
            }
            let lengths = code_lengths(&counts.finish(u32::from(every > 1)), LONGEST);
            write_block_header(top + rows == image.height, &lengths, &mut bits, &mut self.codes);
            let codes = Codes::new(&lengths);
            write_bytes(level, &self.filtered, &codes, &mut bits, &mut self.codes);
            let (code, length) = codes.end;
            bits.put(code.into(), length);
            bits.flush(&mut self.codes);
            out.extend_from_slice(&self.codes[..bits.written]);
            bits.written = 0;
        }
        bits.finish(&mut self.codes);
        out.extend_from_slice(&self.codes[..bits.written]);
        out.extend(check.value().to_be_bytes());
    }

    /// Filters the `rows` rows from row `top` on.
    fn filter(&mut self, level: Level, image: &Bitmap, top: usize, rows: usize) {
        const PAETH: u8 = 4;
        let (stride, channels) = (image.stride(), image.channels);
        self.filtered.resize(rows * (1 + stride), 0);
        for (y, filtered) in (top..).zip(self.filtered.chunks_exact_mut(1 + stride)) {
            let row = &image.pixels[y * stride..][..stride];
            let above =
                if y == 0 { &self.blank[..stride] } else { &image.pixels[(y - 1) * stride..][..stride] };
            filtered[0] = PAETH;
            let (first, rest) = filtered[1..].split_at_mut(channels);
            for ((target, &value), &above) in first.iter_mut().zip(row).zip(above) {
                *target = value.wrapping_sub(above);
            }
            let (left, above_left) = (&row[..stride - channels], &above[..stride - channels]);
            paeth(level, &row[channels..], left, &above[channels..], above_left, rest);
        }
    }
}

/// Writes a chunk with the data that `body` appends.
fn write_chunk(kind: &[u8; 4], out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(kind);
    body(out);
    let length = u32::try_from(out.len() - start - 8).ok().filter(|&length| length < 1 << 31);
    let length = length.expect("an image that the decoder would accept has fewer than 2^31 bytes of codes");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out.extend(crc32fast::hash(&out[start + 4..]).to_be_bytes());
}

vectorized! {
    /// PNG's filter 4: less the one of the left, upper and upper left neighbour that is nearest to left +
    /// upper - upper left.
    fn paeth(row: &[u8], left: &[u8], above: &[u8], above_left: &[u8], target: &mut [u8]) {
        let pixels = target.iter_mut().zip(row).zip(left).zip(above).zip(above_left);
        for ((((target, &value), &a), &b), &c) in pixels {
            let [wide_a, wide_b, wide_c] = [a, b, c].map(i16::from);
            let (from_a, from_b) = ((wide_b - wide_c).abs(), (wide_a - wide_c).abs());
            let from_c = (wide_a + wide_b - 2 * wide_c).abs();
            let b_or_c = if from_b <= from_c { b } else { c };
            let nearest = if from_a <= from_b && from_a <= from_c { a } else { b_or_c };
            *target = value.wrapping_sub(nearest);
        }
    }
}

/// Adler-32, the checksum of zlib.
struct Adler {
    sum: u32,
    sum_of_sums: u32,
}

impl Default for Adler {
    fn default() -> Self {
        Self { sum: 1, sum_of_sums: 0 }
    }
}

impl Adler {
    const MODULUS: u32 = 65521;
    const BLOCK: usize = 256;

    fn add(&mut self, level: Level, bytes: &[u8]) {
        for block in bytes.chunks(Self::BLOCK) {
            let (sum, weighted) = sums(level, block);
            let count = block.len() as u32;
            self.sum_of_sums = (self.sum_of_sums + count * self.sum + weighted) % Self::MODULUS;
            self.sum = (self.sum + sum) % Self::MODULUS;
        }
    }

    fn value(&self) -> u32 {
        self.sum_of_sums << 16 | self.sum
    }
}

vectorized! {
    /// The sum of at most 256 bytes, and that of each times the number of bytes from it to the end.
    fn sums(bytes: &[u8]) -> (u32, u32) {
        let (mut sum, mut weighted) = (0, 0);
        for (index, &byte) in bytes.iter().enumerate() {
            sum += u32::from(byte);
            weighted += u32::from(byte) * (bytes.len() - index) as u32;
        }
        (sum, weighted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_are_those_of_zlib() {
        for level in Level::available() {
            let mut check = Adler::default();
            check.add(level, b"Wikipedia");
            assert_eq!(check.value(), 0x11e6_0398);
            let mut check = Adler::default();
            (0..50).for_each(|_| check.add(level, &[255; 1000]));
            let (mut sum, mut sums) = (1u64, 0u64);
            for _ in 0..50_000 {
                sum += 255;
                sums += sum;
            }
            assert_eq!(u64::from(check.value()), ((sums % 65521) << 16) | (sum % 65521));
        }
    }
}
