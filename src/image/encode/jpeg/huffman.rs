//! From quantised coefficients to Huffman codes (T.81, annexes C and F).

use super::plane::Plane;
use super::tables::{HUFFMAN, Huffman};
use super::transform::{Group, LANES, lane_of};

/// A code and its extra bits on their way into bytes.
#[derive(Default)]
pub(super) struct Bits {
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
    pub(super) fn drain(&mut self, codes: &mut [u8], out: &mut Vec<u8>) {
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
    pub(super) fn finish(&mut self, codes: &mut [u8], out: &mut Vec<u8>) {
        self.put((0x7f, 7));
        self.flush(codes);
        self.drain(codes, out);
    }
}

vectorized! {
    /// The codes of a grey band.
    pub(super) fn write_grey(luma: &Plane, predictions: &mut [i16; 3], bits: &mut Bits, codes: &mut [u8]) {
        let mut local = Bits { ..*bits };
        for block in 0..luma.blocks() {
            write_block(luma, block, &CODES[0], &mut predictions[0], &mut local, codes);
        }
        *bits = local;
    }
}

vectorized! {
    /// The codes of a band in colour; `planes`: lightness, then Cb and Cr below each other.
    pub(super) fn write_colour(
        planes: [&Plane; 2],
        factors: (usize, usize),
        predictions: &mut [i16; 3],
        bits: &mut Bits,
        codes: &mut [u8],
    ) {
        let mut local = Bits { ..*bits };
        let [luma, chroma] = planes;
        let (across, down) = factors;
        let luma_rows = luma.rows / 8;
        let half = chroma.blocks() / 2;
        let [y_prediction, cb_prediction, cr_prediction] = predictions;
        for row in 0..chroma.rows / 8 {
            for column in 0..chroma.across {
                for y in row * down..(row + 1) * down {
                    for x in column * across..(column + 1) * across {
                        if x < luma.across && y < luma_rows {
                            let at = y * luma.across + x;
                            write_block(luma, at, &CODES[0], y_prediction, &mut local, codes);
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
    let mut left = Left { nonzero: group.nonzero[lane], next: 1 };
    while left.nonzero != 0 {
        write_next((group, lane), table, &mut left, bits, codes);
        if left.nonzero == 0 {
            break;
        }
        bits.flush(codes);
        write_next((group, lane), table, &mut left, bits, codes);
    }
    if left.next != 64 {
        bits.put(unpack(table.other[0]));
    }
    bits.flush(codes);
}

/// What of a block is still to be written.
struct Left {
    /// A bit for each coefficient that is not 0.
    nonzero: u64,
    /// The place after the last one that was written.
    next: usize,
}

/// Writes the next coefficient of the block that has a `lane` of the group.
#[inline(always)]
fn write_next(
    (group, lane): (&Group, usize),
    table: &Codes,
    left: &mut Left,
    bits: &mut Bits,
    codes: &mut [u8],
) {
    let z = left.nonzero.trailing_zeros() as usize;
    left.nonzero &= left.nonzero - 1;
    let mut zeros = z - left.next;
    left.next = z + 1;
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
