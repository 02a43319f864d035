//! AVX-512.

use std::arch::x86_64::*;

use super::vector::{MAX_LANES, Simd, Widths, instructions};

/// Sixteen lanes. A value exists only where the processor has the instructions.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor must have AVX-512 F, BW, DQ and VL, and all that [`Avx2`](super::Avx2) asks for.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

impl Simd for Avx512 {
    type V = __m512;
    type Mask = __mmask16;
    const WIDTHS: Widths = Widths { lanes: 16, rows: 8, vectors: 3 };

    #[inline(always)]
    fn mask(self, from: usize, to: usize) -> __mmask16 {
        let ones = |n: usize| (1u32 << n.min(16)) - 1;
        (ones(to) & !ones(from)) as u16
    }

    instructions! { unsafe
        fn load(self, from: *const f32) -> __m512 = _mm512_loadu_ps(from);
        fn store(self, to: *mut f32, v: __m512) = _mm512_storeu_ps(to, v);
        fn stream(self, to: *mut f32, v: __m512) =
            if (to as usize).is_multiple_of(64) { _mm512_stream_ps(to, v) } else { _mm512_storeu_ps(to, v) };
        fn load_masked(self, from: *const f32, mask: __mmask16) -> __m512 = _mm512_maskz_loadu_ps(mask, from);
        fn store_masked(self, to: *mut f32, mask: __mmask16, v: __m512) = _mm512_mask_storeu_ps(to, mask, v);
        fn store_halves(self, to: *mut f32, upper: usize, v: __m512) = {
            _mm256_storeu_ps(to, _mm512_castps512_ps256(v));
            _mm256_storeu_ps(to.add(upper), _mm512_extractf32x8_ps::<1>(v));
        };
    }

    instructions! {
        fn splat(self, value: f32) -> __m512 = _mm512_set1_ps(value);
        fn fence(self) = _mm_sfence();
        fn prefetch(self, from: *const f32) = _mm_prefetch::<_MM_HINT_T0>(from.cast());
        fn add(self, a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub(self, a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn mul(self, a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        fn at_least(self, floor: __m512, v: __m512) -> __m512 = _mm512_max_ps(floor, v);
        fn gate(self, gate: __m512, v: __m512) -> __m512 =
            _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(gate, _mm512_setzero_ps()), v);
        fn keep_larger(self, best: &mut __m512, place: &mut __m512, v: __m512, v_place: __m512) = {
            let (larger, nan) =
                (_mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, *best), _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v));
            let better = larger | nan;
            *best = _mm512_mask_mov_ps(*best, better, v);
            *place = _mm512_mask_mov_ps(*place, better, v_place);
        };
        fn transpose_blocks(self, v: [__m512; 4]) -> [__m512; 4] = {
            let pd = |v: __m512| _mm512_castps_pd(v);
            let (a, b) = (_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
            let (c, d) = (_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
            [
                _mm512_castpd_ps(_mm512_unpacklo_pd(pd(a), pd(c))),
                _mm512_castpd_ps(_mm512_unpackhi_pd(pd(a), pd(c))),
                _mm512_castpd_ps(_mm512_unpacklo_pd(pd(b), pd(d))),
                _mm512_castpd_ps(_mm512_unpackhi_pd(pd(b), pd(d))),
            ]
        };
        fn unzip_blocks(self, a: __m512, b: __m512) -> [__m512; 2] =
            [_mm512_shuffle_ps::<0x88>(a, b), _mm512_shuffle_ps::<0xDD>(a, b)];
        fn zip_blocks(self, even: __m512, odd: __m512) -> [__m512; 2] =
            [_mm512_unpacklo_ps(even, odd), _mm512_unpackhi_ps(even, odd)];
        fn evens(self, a: __m512, b: __m512) -> __m512 = {
            let places = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            _mm512_permutex2var_ps(a, places, b)
        };
        fn zip(self, a: __m512, b: __m512) -> __m512 = {
            let places = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            _mm512_permutex2var_ps(a, places, b)
        };
        fn transpose(self, rows: &mut [__m512; MAX_LANES]) = {
            // Single lanes inside the blocks, then the 4×4 matrix of blocks.
            for i in 0..4 {
                let four = [rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]];
                rows[4 * i..4 * i + 4].copy_from_slice(&self.transpose_blocks(four));
            }
            for q in 0..4 {
                let (a, b, c, d) = (rows[q], rows[4 + q], rows[8 + q], rows[12 + q]);
                let (ab0, ab1) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
                let (cd0, cd1) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xDD>(c, d));
                rows[q] = _mm512_shuffle_f32x4::<0x88>(ab0, cd0);
                rows[8 + q] = _mm512_shuffle_f32x4::<0xDD>(ab0, cd0);
                rows[4 + q] = _mm512_shuffle_f32x4::<0x88>(ab1, cd1);
                rows[12 + q] = _mm512_shuffle_f32x4::<0xDD>(ab1, cd1);
            }
        };
    }
}
