//! PNG with one filter and the least of deflate (RFC 1951) that photographs need: Huffman codes made for the
//! image, and runs of zeros, as the only repetition worth looking for in what the filter leaves of a
//! photograph.
//!
//! A block of rows at a time: they are filtered; what remains is told apart into single bytes and runs of
//! zeros; and these are written as codes, made for the block after a first look at its rows, or at some of
//! them where there are many.

use crate::image::Bitmap;
use crate::simd::Level;

/// Symbols of deflate: a byte as it is, the end, the length of a repetition.
const SYMBOLS: usize = 286;
const END: usize = 256;

/// The longest code. Deflate allows 15; with 12, four codes fit into one word.
const LONGEST: u32 = 12;

/// The longest repetition.
const LONGEST_RUN: usize = 258;

/// The fewest zeros that are written as a run.
const SHORTEST: usize = 5;

/// Bytes that share one set of codes, at least.
const BLOCK: usize = 1 << 15;

/// About how many bytes of a block are looked at to make its codes, or all.
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
                tell_apart(&self.filtered, &mut counts);
            } else {
                let rows = self.filtered.chunks_exact(1 + stride).skip(every / 2).step_by(every);
                rows.for_each(|row| tell_apart(row, &mut counts));
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
        for ((((target, &value), &a), &b), &c) in target.iter_mut().zip(row).zip(left).zip(above).zip(above_left) {
            let [wide_a, wide_b, wide_c] = [a, b, c].map(i16::from);
            let (from_a, from_b) = ((wide_b - wide_c).abs(), (wide_a - wide_c).abs());
            let from_c = (wide_a + wide_b - 2 * wide_c).abs();
            let b_or_c = if from_b <= from_c { b } else { c };
            let nearest = if from_a <= from_b && from_a <= from_c { a } else { b_or_c };
            *target = value.wrapping_sub(nearest);
        }
    }
}

/// Adler-32, the check sum of zlib.
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

// ---------------------------------------------------------------------------------------------------------------------------
// Bytes and runs

/// Takes what a row consists of.
trait Take {
    fn byte(&mut self, byte: u8);
    fn eight(&mut self, bytes: u64);
    /// A zero, and then the same again `length` times, 3 to 258.
    fn run(&mut self, length: usize);
}

/// Tells apart bytes and runs of zeros. No run goes on from row to row, as each begins with the filter's
/// number.
#[inline(always)]
fn tell_apart(bytes: &[u8], to: &mut impl Take) {
    let mut rest = bytes;
    while let Some((window, _)) = rest.split_first_chunk::<{ 8 + SHORTEST - 1 }>() {
        // A byte of this is 0 where a run starts.
        let starts = (0..SHORTEST).fold(0, |any, at| any | word(window, at));
        let found = starts.wrapping_sub(0x0101_0101_0101_0101) & !starts & 0x8080_8080_8080_8080;
        if found == 0 {
            to.eight(word(window, 0));
            rest = &rest[8..];
            continue;
        }
        // Exact for the first zero.
        let (before, run) = rest.split_at((found.trailing_zeros() / 8) as usize);
        before.iter().for_each(|&byte| to.byte(byte));
        let most = run.len().min(LONGEST_RUN + 1);
        let mut zeros = SHORTEST;
        while zeros < most && run[zeros] == 0 {
            zeros += 1;
        }
        to.byte(0);
        to.run(zeros - 1);
        rest = &run[zeros..];
    }
    rest.iter().for_each(|&byte| to.byte(byte));
}

/// Eight bytes, the first in the lowest bits.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}

struct Counts {
    /// Several, as the processor has to wait where it counts the same byte twice in a row.
    bytes: [[u32; 256]; 4],
    runs: [u32; SYMBOLS - END],
}

impl Default for Counts {
    fn default() -> Self {
        Self { bytes: [[0; 256]; 4], runs: [0; SYMBOLS - END] }
    }
}

impl Counts {
    /// How often each symbol occurs, the end included, and `more`.
    fn finish(&self, more: u32) -> [u32; SYMBOLS] {
        let mut symbols = [more; SYMBOLS];
        for (byte, symbol) in symbols[..END].iter_mut().enumerate() {
            *symbol += self.bytes.iter().map(|counts| counts[byte]).sum::<u32>();
        }
        symbols[END..].iter_mut().zip(self.runs).for_each(|(symbol, count)| *symbol += count);
        symbols[END] = 1;
        symbols
    }
}

impl Take for Counts {
    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.bytes[0][usize::from(byte)] += 1;
    }
    #[inline(always)]
    fn eight(&mut self, bytes: u64) {
        for (at, byte) in bytes.to_le_bytes().into_iter().enumerate() {
            self.bytes[at % 4][usize::from(byte)] += 1;
        }
    }
    #[inline(always)]
    fn run(&mut self, length: usize) {
        self.runs[usize::from(RUNS[length].symbol) - END] += 1;
    }
}

struct Put<'a> {
    codes: &'a Codes,
    bits: Bits,
    target: &'a mut [u8],
}

impl Take for Put<'_> {
    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.bits.put_packed(self.codes.bytes[usize::from(byte)]);
        self.bits.flush(self.target);
    }
    #[inline(always)]
    fn eight(&mut self, bytes: u64) {
        for four in bytes.to_le_bytes().as_chunks::<4>().0 {
            four.iter().for_each(|&byte| self.bits.put_packed(self.codes.bytes[usize::from(byte)]));
            self.bits.flush(self.target);
        }
    }
    #[inline(always)]
    fn run(&mut self, length: usize) {
        let (code, bits) = self.codes.runs[length];
        self.bits.put(code.into(), bits);
        self.bits.flush(self.target);
    }
}

vectorized! {
    fn write_bytes(bytes: &[u8], codes: &Codes, bits: &mut Bits, target: &mut [u8]) {
        let mut put = Put { codes, bits: *bits, target };
        tell_apart(bytes, &mut put);
        *bits = put.bits;
    }
}

// ---------------------------------------------------------------------------------------------------------------------------
// Huffman codes

/// Codes on their way into bytes, the first in the lowest bits.
#[derive(Clone, Copy, Default)]
struct Bits {
    word: u64,
    count: u32,
    /// Bytes in the buffer.
    written: usize,
}

impl Bits {
    /// Appends `length` bits; `flush` must be called before there are more than 64.
    #[inline(always)]
    fn put(&mut self, code: u64, length: u32) {
        self.word |= code << self.count;
        self.count += length;
    }

    #[inline(always)]
    fn put_packed(&mut self, code: u16) {
        self.put(u64::from(code >> 4), u32::from(code % 16));
    }

    /// Writes all whole bytes; up to 7 bits stay.
    #[inline(always)]
    fn flush(&mut self, target: &mut [u8]) {
        target[self.written..self.written + 8].copy_from_slice(&self.word.to_le_bytes());
        self.written += (self.count / 8) as usize;
        self.word >>= self.count & !7;
        self.count %= 8;
    }

    /// Fills the last byte with zeros.
    fn finish(&mut self, target: &mut [u8]) {
        self.put(0, 7);
        self.flush(target);
        self.count = 0;
    }
}

/// Ready to use.
struct Codes {
    /// The code, and in the low four bits its length.
    bytes: [u16; 256],
    /// For each length of a repetition of the byte before: code, what else says the length, and the distance;
    /// the length of it all.
    runs: [(u32, u32); LONGEST_RUN + 1],
    end: (u16, u32),
}

impl Codes {
    fn new(lengths: &[u8; SYMBOLS]) -> Self {
        let codes = canonical_codes(lengths);
        let bytes = std::array::from_fn(|byte| codes[byte] << 4 | u16::from(lengths[byte]));
        let mut runs = [(0, 0); LONGEST_RUN + 1];
        for (entry, run) in runs.iter_mut().zip(&RUNS).skip(3) {
            let symbol = usize::from(run.symbol);
            let length = u32::from(lengths[symbol]);
            // The distance, 1, is a zero bit.
            *entry = (
                u32::from(codes[symbol]) | u32::from(run.extra) << length,
                length + u32::from(run.extra_bits) + 1,
            );
        }
        Self { bytes, runs, end: (codes[END], lengths[END].into()) }
    }
}

/// How deflate says the length of a repetition.
#[derive(Clone, Copy)]
struct Run {
    symbol: u16,
    extra: u8,
    extra_bits: u8,
}

/// RFC 1951, 3.2.5.
static RUNS: [Run; LONGEST_RUN + 1] = {
    let mut runs = [Run { symbol: 0, extra: 0, extra_bits: 0 }; LONGEST_RUN + 1];
    let (mut length, mut symbol) = (3, 257);
    while length < LONGEST_RUN {
        let extra_bits = if symbol < 265 { 0 } else { (symbol - 261) / 4 };
        let mut extra = 0;
        while extra < 1 << extra_bits && length < LONGEST_RUN {
            runs[length] = Run { symbol, extra: extra as u8, extra_bits: extra_bits as u8 };
            (length, extra) = (length + 1, extra + 1);
        }
        symbol += 1;
    }
    runs[LONGEST_RUN] = Run { symbol: 285, extra: 0, extra_bits: 0 };
    runs
};

/// The lengths of a Huffman code for symbols that occur `counts` times, none of more than `longest` bits; 0
/// for those that do not occur. At least two must occur.
fn code_lengths<const N: usize>(counts: &[u32; N], longest: u32) -> [u8; N] {
    // The rarest first; the symbol settles ties.
    let mut sorted = [0u64; N];
    let mut used = 0;
    for (symbol, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        sorted[used] = u64::from(count) << 16 | symbol as u64;
        used += 1;
    }
    let sorted = &mut sorted[..used];
    sorted.sort_unstable();

    // Join the two rarest again and again. What has been joined comes up in order too, so that two queues are
    // enough.
    let mut joined = [0u64; N];
    let mut parents_of_symbols = [0u16; N];
    let mut parents_of_joined = [0u16; N];
    let (mut next_symbol, mut next_joined) = (0, 0);
    for new in 0..used - 1 {
        for _ in 0..2 {
            let take_symbol = next_symbol < used
                && (next_joined == new || sorted[next_symbol] >> 16 <= joined[next_joined]);
            if take_symbol {
                joined[new] += sorted[next_symbol] >> 16;
                parents_of_symbols[next_symbol] = new as u16;
                next_symbol += 1;
            } else {
                joined[new] += joined[next_joined];
                parents_of_joined[next_joined] = new as u16;
                next_joined += 1;
            }
        }
    }

    // From the root down: how many symbols have which length; those that are too long get the longest.
    let mut depths = [0u32; N];
    for node in (0..used - 2).rev() {
        depths[node] = depths[usize::from(parents_of_joined[node])] + 1;
    }
    let mut of_length = [0u32; 16];
    for parent in &parents_of_symbols[..used] {
        of_length[(depths[usize::from(*parent)] + 1).min(longest) as usize] += 1;
    }
    // Too many codes now share the room: lengthen one that is as long as possible and let one of the longest
    // take its side.
    let mut room: u32 = (1..=longest).map(|length| of_length[length as usize] << (longest - length)).sum();
    while room > 1 << longest {
        let length = (1..longest as usize).rev().find(|&length| of_length[length] > 0);
        let length = length.expect("there are more codes than symbols");
        of_length[length] -= 1;
        of_length[length + 1] += 2;
        of_length[longest as usize] -= 1;
        room -= 1;
    }

    let mut lengths = [0; N];
    let mut symbols = sorted.iter();
    for length in (1..=longest).rev() {
        for entry in symbols.by_ref().take(of_length[length as usize] as usize) {
            lengths[(entry & 0xffff) as usize] = length as u8;
        }
    }
    lengths
}

/// RFC 1951, 3.2.2: codes of one length count up from symbol to symbol; the first bit of each comes to lie
/// lowest.
fn canonical_codes<const N: usize>(lengths: &[u8; N]) -> [u16; N] {
    let mut of_length = [0u16; 16];
    lengths.iter().for_each(|&length| of_length[usize::from(length)] += 1);
    of_length[0] = 0; // no codes
    let mut next = [0u16; 16];
    for length in 1..16 {
        next[length] = (next[length - 1] + of_length[length - 1]) << 1;
    }
    let mut codes = [0; N];
    for (code, &length) in codes.iter_mut().zip(lengths).filter(|(_, length)| **length > 0) {
        let length = usize::from(length);
        *code = next[length].reverse_bits() >> (16 - length);
        next[length] += 1;
    }
    codes
}

/// Starts the last block, of codes of its own, and tells the codes' lengths (RFC 1951, 3.2.7).
fn write_block_header(last: bool, lengths: &[u8; SYMBOLS], bits: &mut Bits, target: &mut [u8]) {
    const REPEAT: u8 = 16; // the length before, 3 to 6 times: 2 bits
    const ZEROS: u8 = 17; // 3 to 10: 3 bits
    const MANY_ZEROS: u8 = 18; // 11 to 138: 7 bits
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

    let symbols = lengths.iter().rposition(|&length| length > 0).map_or(0, |last| last + 1).max(257);
    // The lengths of those, and of the one code for distances.
    let mut all = [0; SYMBOLS + 1];
    all[..symbols].copy_from_slice(&lengths[..symbols]);
    all[symbols] = 1;

    // As (symbol, extra bits).
    let mut told = [(0u8, 0u8); SYMBOLS + 1];
    let mut count = 0;
    let mut tell = |symbol, extra: usize| {
        told[count] = (symbol, extra as u8);
        count += 1;
    };
    for same in all[..=symbols].chunk_by(|a, b| a == b) {
        let (length, mut left) = (same[0], same.len());
        if length > 0 {
            tell(length, 0);
            left -= 1;
        }
        while left >= 3 {
            let (symbol, most) = match (length, left) {
                (0, 11..) => (MANY_ZEROS, 138),
                (0, _) => (ZEROS, 10),
                _ => (REPEAT, 6),
            };
            let now = left.min(most);
            tell(symbol, now - if symbol == MANY_ZEROS { 11 } else { 3 });
            left -= now;
        }
        (0..left).for_each(|_| tell(length, 0));
    }
    let told = &told[..count];

    let mut counts = [0; 19];
    told.iter().for_each(|&(symbol, _)| counts[usize::from(symbol)] += 1);
    let told_lengths = code_lengths(&counts, 7);
    let codes = canonical_codes(&told_lengths);
    let last_told = ORDER.iter().rposition(|&symbol| told_lengths[symbol] > 0).unwrap_or(0).max(3);
    bits.put(0b100 | u64::from(last), 3); // codes of its own
    bits.put((symbols - 257) as u64, 5);
    bits.put(0, 5); // one code for distances
    bits.put((last_told + 1 - 4) as u64, 4);
    bits.flush(target);
    for &symbol in &ORDER[..=last_told] {
        bits.put(told_lengths[symbol].into(), 3);
        bits.flush(target);
    }
    for &(symbol, extra) in told {
        let index = usize::from(symbol);
        bits.put(codes[index].into(), told_lengths[index].into());
        bits.put(extra.into(), [2, 3, 7].get(index.wrapping_sub(16)).copied().unwrap_or(0));
        bits.flush(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_complete_and_never_too_long() {
        let mut fibonacci = [0u32; SYMBOLS];
        let (mut a, mut b) = (1, 1);
        for count in &mut fibonacci[..40] {
            *count = a;
            (a, b) = (b, a + b);
        }
        let mut two = [0; SYMBOLS];
        (two[3], two[END]) = (1_000_000, 1);
        let all = std::array::from_fn(|symbol| 1 + (symbol as u32).pow(2) % 97);
        for counts in [fibonacci, two, all] {
            let lengths = code_lengths(&counts, LONGEST);
            let room: u32 = lengths
                .iter()
                .filter(|length| **length > 0)
                .map(|&length| 1 << (LONGEST - u32::from(length)))
                .sum();
            assert_eq!(room, 1 << LONGEST);
            for (one, two) in (0..SYMBOLS).flat_map(|one| (0..SYMBOLS).map(move |two| (one, two))) {
                assert!(
                    counts[one] == 0 || counts[one] >= counts[two] || lengths[one] >= lengths[two],
                    "{one} and {two}"
                );
            }
        }
    }

    #[test]
    fn a_plain_huffman_code_is_optimal() {
        // 45, 13, 12, 16, 9, 5: the example of Cormen, Leiserson, Rivest and Stein.
        assert_eq!(code_lengths(&[45, 13, 12, 16, 9, 5], LONGEST), [1, 3, 3, 3, 4, 4]);
        assert_eq!(code_lengths(&[0, 7, 0, 7], LONGEST), [0, 1, 0, 1]);
    }

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
