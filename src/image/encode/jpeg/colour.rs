//! RGB to YCbCr, and averages of colour.

use crate::simd::Level;

/// JFIF's RGB to YCbCr with 16 fractional bits. Y is rounded; in Cb and Cr an exact half goes down, as in
/// libjpeg (jccolor.c).
pub(super) fn to_ycbcr(level: Level, pixels: &[u8], y: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
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
    pub(super) fn average_two(row: &[u8], target: &mut [u8]) {
        for (index, (target, pair)) in target.iter_mut().zip(row.as_chunks::<2>().0).enumerate() {
            *target = ((u16::from(pair[0]) + u16::from(pair[1]) + (index & 1) as u16) >> 1) as u8;
        }
    }
}

vectorized! {
    /// The means of squares of four; 1 and 2 are added by turns before the division.
    pub(super) fn average_four(upper: &[u8], lower: &[u8], target: &mut [u8]) {
        let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        for (index, (target, (a, b))) in target.iter_mut().zip(pairs).enumerate() {
            let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
            *target = ((sum + 1 + (index & 1) as u16) >> 2) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
