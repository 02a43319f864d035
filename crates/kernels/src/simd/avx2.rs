//! AVX2 and FMA.

use std::arch::x86_64::*;

use super::{MAX_LANES, Simd, Widths, products};
use crate::product::{Sink, block};

/// Eight lanes.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Simd for Avx2 {
    type V = __m256;
    type Mask = __m256i;
    const WIDTHS: Widths = Widths { lanes: 8, rows: 4, vectors: 3 };

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        _mm256_set1_ps(value)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        _mm256_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m256) {
        _mm256_storeu_ps(to, v)
    }
    #[inline(always)]
    unsafe fn stream(to: *mut f32, v: __m256) {
        if (to as usize).is_multiple_of(32) { _mm256_stream_ps(to, v) } else { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn fence() {
        _mm_sfence()
    }
    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        _mm_prefetch::<_MM_HINT_T0>(from.cast())
    }

    #[inline(always)]
    unsafe fn mask(from: usize, to: usize) -> __m256i {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let (from, to) = (_mm256_set1_epi32(from.min(8) as i32), _mm256_set1_epi32(to.min(8) as i32));
        _mm256_andnot_si256(_mm256_cmpgt_epi32(from, lane), _mm256_cmpgt_epi32(to, lane))
    }
    #[inline(always)]
    unsafe fn load_masked(from: *const f32, mask: __m256i) -> __m256 {
        _mm256_maskload_ps(from, mask)
    }
    #[inline(always)]
    unsafe fn store_masked(to: *mut f32, mask: __m256i, v: __m256) {
        _mm256_maskstore_ps(to, mask, v)
    }
    #[inline(always)]
    unsafe fn store_halves(to: *mut f32, upper: usize, v: __m256) {
        _mm_storeu_ps(to, _mm256_castps256_ps128(v));
        _mm_storeu_ps(to.add(upper), _mm256_extractf128_ps::<1>(v));
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        _mm256_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn fnma(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fnmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn at_least(floor: __m256, v: __m256) -> __m256 {
        _mm256_max_ps(floor, v)
    }
    #[inline(always)]
    unsafe fn gate(gate: __m256, v: __m256) -> __m256 {
        _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(gate, _mm256_setzero_ps()), v)
    }
    #[inline(always)]
    unsafe fn keep_larger(best: &mut __m256, place: &mut __m256, v: __m256, v_place: __m256) {
        let better = _mm256_or_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(v, *best), _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        *best = _mm256_blendv_ps(*best, v, better);
        *place = _mm256_blendv_ps(*place, v_place, better);
    }

    #[inline(always)]
    unsafe fn transpose_blocks(v: [__m256; 4]) -> [__m256; 4] {
        let pd = |v: __m256| _mm256_castps_pd(v);
        let (a, b) = (_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
        let (c, d) = (_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
        [
            _mm256_castpd_ps(_mm256_unpacklo_pd(pd(a), pd(c))),
            _mm256_castpd_ps(_mm256_unpackhi_pd(pd(a), pd(c))),
            _mm256_castpd_ps(_mm256_unpacklo_pd(pd(b), pd(d))),
            _mm256_castpd_ps(_mm256_unpackhi_pd(pd(b), pd(d))),
        ]
    }
    #[inline(always)]
    unsafe fn unzip_blocks(a: __m256, b: __m256) -> [__m256; 2] {
        [_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xDD>(a, b)]
    }
    #[inline(always)]
    unsafe fn zip_blocks(even: __m256, odd: __m256) -> [__m256; 2] {
        [_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd)]
    }
    #[inline(always)]
    unsafe fn evens(a: __m256, b: __m256) -> __m256 {
        let blocks = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(a, b)); // a0 a2 b0 b2 | a4 a6 b4 b6
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(blocks))
    }
    #[inline(always)]
    unsafe fn zip(a: __m256, b: __m256) -> __m256 {
        _mm256_permute2f128_ps::<0x20>(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b))
    }
    #[inline(always)]
    unsafe fn transpose(rows: &mut [__m256; MAX_LANES]) {
        for i in 0..2 {
            let v = Self::transpose_blocks([rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]]);
            rows[4 * i..4 * i + 4].copy_from_slice(&v);
        }
        for q in 0..4 {
            let (a, b) = (rows[q], rows[4 + q]);
            rows[q] = _mm256_permute2f128_ps::<0x20>(a, b);
            rows[4 + q] = _mm256_permute2f128_ps::<0x31>(a, b);
        }
    }

    products!(4: 1 2 3);
}
