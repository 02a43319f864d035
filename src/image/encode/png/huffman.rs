//! Deflate's codes (RFC 1951), made for the image.

/// Symbols of deflate: a byte as it is, the end, the length of a repetition.
pub(super) const SYMBOLS: usize = 286;
pub(super) const END: usize = 256;

/// The longest code. Deflate allows 15; with 12, four codes fit into one word.
pub(super) const LONGEST: u32 = 12;

/// The longest repetition.
pub(super) const LONGEST_RUN: usize = 258;

/// Codes on their way into bytes, the first in the lowest bits.
#[derive(Clone, Copy, Default)]
pub(super) struct Bits {
    word: u64,
    count: u32,
    /// Bytes in the buffer.
    pub(super) written: usize,
}

impl Bits {
    /// Appends `length` bits; `flush` must be called before there are more than 64.
    #[inline(always)]
    pub(super) fn put(&mut self, code: u64, length: u32) {
        self.word |= code << self.count;
        self.count += length;
    }

    #[inline(always)]
    pub(super) fn put_packed(&mut self, code: u16) {
        self.put(u64::from(code >> 4), u32::from(code % 16));
    }

    /// Writes all whole bytes; up to 7 bits stay.
    #[inline(always)]
    pub(super) fn flush(&mut self, target: &mut [u8]) {
        target[self.written..self.written + 8].copy_from_slice(&self.word.to_le_bytes());
        self.written += (self.count / 8) as usize;
        self.word >>= self.count & !7;
        self.count %= 8;
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(&mut self, target: &mut [u8]) {
        self.put(0, 7);
        self.flush(target);
        self.count = 0;
    }
}

/// Codes ready to use.
pub(super) struct Codes {
    /// The code, and in the low four bits its length.
    pub(super) bytes: [u16; 256],
    /// For each length of a repetition of the byte before: code, what else says the length, and the distance;
    /// the length of it all.
    pub(super) runs: [(u32, u32); LONGEST_RUN + 1],
    pub(super) end: (u16, u32),
}

impl Codes {
    pub(super) fn new(lengths: &[u8; SYMBOLS]) -> Self {
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
pub(super) struct Run {
    pub(super) symbol: u16,
    extra: u8,
    extra_bits: u8,
}

/// RFC 1951, 3.2.5.
pub(super) static RUNS: [Run; LONGEST_RUN + 1] = {
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
pub(super) fn code_lengths<const N: usize>(counts: &[u32; N], longest: u32) -> [u8; N] {
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

/// Starts a block with codes of its own and writes the codes' lengths (RFC 1951, 3.2.7).
pub(super) fn write_block_header(last: bool, lengths: &[u8; SYMBOLS], bits: &mut Bits, target: &mut [u8]) {
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
    let mut packed = [(0u8, 0u8); SYMBOLS + 1];
    let mut count = 0;
    let mut pack = |symbol, extra: usize| {
        packed[count] = (symbol, extra as u8);
        count += 1;
    };
    for same in all[..=symbols].chunk_by(|a, b| a == b) {
        let (length, mut left) = (same[0], same.len());
        if length > 0 {
            pack(length, 0);
            left -= 1;
        }
        while left >= 3 {
            let (symbol, most) = match (length, left) {
                (0, 11..) => (MANY_ZEROS, 138),
                (0, _) => (ZEROS, 10),
                _ => (REPEAT, 6),
            };
            let now = left.min(most);
            pack(symbol, now - if symbol == MANY_ZEROS { 11 } else { 3 });
            left -= now;
        }
        (0..left).for_each(|_| pack(length, 0));
    }
    let packed = &packed[..count];

    let mut counts = [0; 19];
    packed.iter().for_each(|&(symbol, _)| counts[usize::from(symbol)] += 1);
    let packed_lengths = code_lengths(&counts, 7);
    let codes = canonical_codes(&packed_lengths);
    let last_packed = ORDER.iter().rposition(|&symbol| packed_lengths[symbol] > 0).unwrap_or(0).max(3);
    bits.put(0b100 | u64::from(last), 3); // codes of its own
    bits.put((symbols - 257) as u64, 5);
    bits.put(0, 5); // one code for distances
    bits.put((last_packed + 1 - 4) as u64, 4);
    bits.flush(target);
    for &symbol in &ORDER[..=last_packed] {
        bits.put(packed_lengths[symbol].into(), 3);
        bits.flush(target);
    }
    for &(symbol, extra) in packed {
        let index = usize::from(symbol);
        bits.put(codes[index].into(), packed_lengths[index].into());
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
}
