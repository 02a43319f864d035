//! Cosine transform and quantisation of sixteen blocks at a time, one to each vector lane.

use super::tables::ZIGZAG;

/// Blocks transformed at a time.
pub(super) const LANES: usize = 16;

/// Quantised coefficients of sixteen blocks; block n has lane [`lane_of`]`(n)`.
#[derive(Clone)]
pub(super) struct Group {
    /// In zigzag order.
    pub(super) coefficients: [[i16; LANES]; 64],
    /// A bit for each coefficient but the first that is not 0.
    pub(super) nonzero: [u64; LANES],
}

/// Where the transposition of a group's samples puts a block.
pub(super) fn lane_of(block: usize) -> usize {
    block % 2 * 8 + block / 2
}

/// Division by each step of a table, rounded to nearest, without dividing.
pub(super) struct Quantizer {
    /// In zigzag order, as the file holds them.
    pub(super) steps: [u8; 64],
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
    pub(super) fn new(steps: &[u8; 64], quality: u8) -> Self {
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
    pub(super) fn transform(packed: &mut [[u64; LANES]; 8], quantizer: &Quantizer, group: &mut Group) {
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
                    let product = u32::from(magnitude) * u32::from(reciprocal[lane]);
                    let quotient = (product >> 16) as u16 >> shift;
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
}
