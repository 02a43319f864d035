//! What the filter leaves of the rows, split into single bytes and runs of zeros.

use super::huffman::{Bits, Codes, END, LONGEST_RUN, RUNS, SYMBOLS};

/// The fewest zeros that are written as a run.
const SHORTEST: usize = 5;

/// Takes what a row consists of.
pub(super) trait Take {
    fn byte(&mut self, byte: u8);
    fn eight(&mut self, bytes: u64);
    /// A zero, and then the same again `length` times, 3 to 258.
    fn run(&mut self, length: usize);
}

/// Splits rows into bytes and runs of zeros. No run continues from row to row, as each begins with the
/// filter's number.
#[inline(always)]
pub(super) fn split_runs(bytes: &[u8], to: &mut impl Take) {
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

pub(super) struct Counts {
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
    pub(super) fn finish(&self, more: u32) -> [u32; SYMBOLS] {
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
    /// Writes bytes and runs of zeros as codes.
    pub(super) fn write_bytes(bytes: &[u8], codes: &Codes, bits: &mut Bits, target: &mut [u8]) {
        let mut put = Put { codes, bits: *bits, target };
        split_runs(bytes, &mut put);
        *bits = put.bits;
    }
}
