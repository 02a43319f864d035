//! AVX2 and FMA.

use std::arch::x86_64::*;

use super::vector::{MAX_LANES, Simd, Widths, instructions};

/// Eight lanes. A value exists only where the processor has the instructions.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor must have AVX2 and FMA, BMI1, BMI2 and LZCNT.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

impl Simd for Avx2 {
    type V = __m256;
    type Mask = __m256i;
    const WIDTHS: Widths = Widths { lanes: 8, rows: 4, vectors: 3 };

    instructions! { unsafe
        fn load(self, from: *const f32) -> __m256 = _mm256_loadu_ps(from);
        fn store(self, to: *mut f32, v: __m256) = _mm256_storeu_ps(to, v);
        fn stream(self, to: *mut f32, v: __m256) =
            if (to as usize).is_multiple_of(32) { _mm256_stream_ps(to, v) } else { _mm256_storeu_ps(to, v) };
        fn load_masked(self, from: *const f32, mask: __m256i) -> __m256 = _mm256_maskload_ps(from, mask);
        fn store_masked(self, to: *mut f32, mask: __m256i, v: __m256) = _mm256_maskstore_ps(to, mask, v);
        fn store_halves(self, to: *mut f32, upper: usize, v: __m256) = {
            _mm_storeu_ps(to, _mm256_castps256_ps128(v));
            _mm_storeu_ps(to.add(upper), _mm256_extractf128_ps::<1>(v));
        };
    }

    instructions! {
        fn splat(self, value: f32) -> __m256 = _mm256_set1_ps(value);
        fn fence(self) = _mm_sfence();
        fn prefetch(self, from: *const f32) = _mm_prefetch::<_MM_HINT_T0>(from.cast());
        fn mask(self, from: usize, to: usize) -> __m256i = {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let (from, to) = (_mm256_set1_epi32(from.min(8) as i32), _mm256_set1_epi32(to.min(8) as i32));
            _mm256_andnot_si256(_mm256_cmpgt_epi32(from, lane), _mm256_cmpgt_epi32(to, lane))
        };
        fn add(self, a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn sub(self, a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        fn mul(self, a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn fnma(self, a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        fn at_least(self, floor: __m256, v: __m256) -> __m256 = _mm256_max_ps(floor, v);
        fn gate(self, gate: __m256, v: __m256) -> __m256 =
            _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(gate, _mm256_setzero_ps()), v);
        fn keep_larger(self, best: &mut __m256, place: &mut __m256, v: __m256, v_place: __m256) = {
            let (larger, nan) = (_mm256_cmp_ps::<_CMP_GT_OQ>(v, *best), _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
            let better = _mm256_or_ps(larger, nan);
            *best = _mm256_blendv_ps(*best, v, better);
            *place = _mm256_blendv_ps(*place, v_place, better);
        };
        fn transpose_blocks(self, v: [__m256; 4]) -> [__m256; 4] = {
            let pd = |v: __m256| _mm256_castps_pd(v);
            let (a, b) = (_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
            let (c, d) = (_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
            [
                _mm256_castpd_ps(_mm256_unpacklo_pd(pd(a), pd(c))),
                _mm256_castpd_ps(_mm256_unpackhi_pd(pd(a), pd(c))),
                _mm256_castpd_ps(_mm256_unpacklo_pd(pd(b), pd(d))),
                _mm256_castpd_ps(_mm256_unpackhi_pd(pd(b), pd(d))),
            ]
        };
        fn unzip_blocks(self, a: __m256, b: __m256) -> [__m256; 2] =
            [_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xDD>(a, b)];
        fn zip_blocks(self, even: __m256, odd: __m256) -> [__m256; 2] =
            [_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd)];
        fn evens(self, a: __m256, b: __m256) -> __m256 = {
            let blocks = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(a, b)); // a0 a2 b0 b2 | a4 a6 b4 b6
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(blocks))
        };
        fn zip(self, a: __m256, b: __m256) -> __m256 =
            _mm256_permute2f128_ps::<0x20>(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        fn transpose(self, rows: &mut [__m256; MAX_LANES]) = {
            for i in 0..2 {
                let four = [rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]];
                rows[4 * i..4 * i + 4].copy_from_slice(&self.transpose_blocks(four));
            }
            for q in 0..4 {
                let (a, b) = (rows[q], rows[4 + q]);
                rows[q] = _mm256_permute2f128_ps::<0x20>(a, b);
                rows[4 + q] = _mm256_permute2f128_ps::<0x31>(a, b);
            }
        };
    }
}
