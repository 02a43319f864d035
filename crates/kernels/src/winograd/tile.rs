//! Winograd's transforms (Lavin and Gray, CVPR 2016, arXiv:1509.09308), one tile to a lane.
//!
//! F(4×4, 3×3) interpolates at 0, ±3/4, ±3/2 and ∞ instead of the usual 0, ±1, ±2 and ∞: its coefficients are exact in `f32` as well,
//! and the rounding error is half as large. F(2×2, 3×3): 0, ±1, ∞.

use crate::simd::Simd;

/// The most products to a side of a tile.
pub(crate) const MAX_SIDE: usize = 6;

/// F(M×M, 3×3): M×M outputs of SIDE×SIDE inputs by SIDE×SIDE products, SIDE = M + 2.
///
/// A *strip* is M rows of as many neighbouring output pixels as a vector has lanes; M strips make up one vector of tiles. The order
/// of the tiles in the lanes is that of [`Tile::gather`], whatever it is.
pub(crate) trait Tile: Copy + Send + Sync + 'static {
    const M: usize;
    const SIDE: usize = Self::M + 2;
    const PRODUCTS: usize = Self::SIDE * Self::SIDE;

    /// Column by column, the pixels of one row of every tile: `low[l]` are a strip's pixels, `high[l]` those M further on.
    unsafe fn gather<S: Simd>(low: [S::V; 4], high: [S::V; 4]) -> [S::V; MAX_SIDE];
    /// The reverse for outputs: M columns of every tile to M strips.
    unsafe fn scatter<S: Simd>(columns: [S::V; 4]) -> [S::V; 4];
    /// Bᵀ d: SIDE inputs to SIDE factors.
    unsafe fn input<S: Simd>(d: [S::V; MAX_SIDE]) -> [S::V; MAX_SIDE];
    /// Aᵀ m: SIDE products to M outputs.
    unsafe fn output<S: Simd>(m: [S::V; MAX_SIDE]) -> [S::V; 4];
    /// G g: 3 taps to SIDE factors.
    unsafe fn weights<S: Simd>(g: [S::V; 3]) -> [S::V; MAX_SIDE];
}

/// F(4×4, 3×3).
#[derive(Clone, Copy)]
pub(crate) struct F4;

/// F(2×2, 3×3).
#[derive(Clone, Copy)]
pub(crate) struct F2;

// The points ±P and ±Q, and what the transforms need of them.
const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;
/// 1 / Π (x - y) over the other points y, for x = 0, ±P and ±Q (up to the sign, which is that of the point).
const AT_0: f64 = 1.0 / (P2 as f64 * Q2 as f64);
const AT_P: f64 = 1.0 / (2.0 * P2 as f64 * (P2 as f64 - Q2 as f64));
const AT_Q: f64 = 1.0 / (2.0 * Q2 as f64 * (Q2 as f64 - P2 as f64));

impl Tile for F4 {
    const M: usize = 4;

    #[inline(always)]
    unsafe fn gather<S: Simd>(low: [S::V; 4], high: [S::V; 4]) -> [S::V; MAX_SIDE] {
        let [a, b, c, d] = S::transpose_blocks(low);
        let [e, f, ..] = S::transpose_blocks(high);
        [a, b, c, d, e, f]
    }

    #[inline(always)]
    unsafe fn scatter<S: Simd>(columns: [S::V; 4]) -> [S::V; 4] {
        S::transpose_blocks(columns)
    }

    #[inline(always)]
    unsafe fn input<S: Simd>(d: [S::V; MAX_SIDE]) -> [S::V; MAX_SIDE] {
        let s = |v: f32| S::splat(v);
        let (even_p, odd_p) = (S::fnma(s(Q2), d[2], d[4]), S::fnma(s(Q2), d[1], d[3]));
        let (even_q, odd_q) = (S::fnma(s(P2), d[2], d[4]), S::fnma(s(P2), d[1], d[3]));
        [
            S::fma(s(P2 * Q2), d[0], S::fnma(s(P2 + Q2), d[2], d[4])),
            S::fma(s(P), odd_p, even_p),
            S::fnma(s(P), odd_p, even_p),
            S::fma(s(Q), odd_q, even_q),
            S::fnma(s(Q), odd_q, even_q),
            S::fma(s(P2 * Q2), d[1], S::fnma(s(P2 + Q2), d[3], d[5])),
        ]
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: [S::V; MAX_SIDE]) -> [S::V; 4] {
        let s = |v: f32| S::splat(v);
        let (sum_p, difference_p) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum_q, difference_q) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(m[0], S::add(sum_p, sum_q)),
            S::fma(s(P), difference_p, S::mul(s(Q), difference_q)),
            S::fma(s(P2), sum_p, S::mul(s(Q2), sum_q)),
            S::fma(s(P2 * P), difference_p, S::fma(s(Q2 * Q), difference_q, m[5])),
        ]
    }

    #[inline(always)]
    unsafe fn weights<S: Simd>(g: [S::V; 3]) -> [S::V; MAX_SIDE] {
        let s = |v: f64| S::splat(v as f32);
        let (p, q) = (P as f64, Q as f64);
        let even_p = S::fma(s(p * p * AT_P), g[2], S::mul(s(AT_P), g[0]));
        let even_q = S::fma(s(q * q * AT_Q), g[2], S::mul(s(AT_Q), g[0]));
        let (odd_p, odd_q) = (S::mul(s(p * AT_P), g[1]), S::mul(s(q * AT_Q), g[1]));
        [
            S::mul(s(AT_0), g[0]),
            S::add(even_p, odd_p),
            S::sub(even_p, odd_p),
            S::add(even_q, odd_q),
            S::sub(even_q, odd_q),
            g[2],
        ]
    }
}

impl F4 {
    /// [`Tile::weights`] for four taps: what the gradient by the weights, F(3×3, 4×4), makes of the gradient by the outputs.
    #[inline(always)]
    pub(crate) unsafe fn weights_of_4<S: Simd>(g: [S::V; 4]) -> [S::V; MAX_SIDE] {
        let s = |v: f64| S::splat(v as f32);
        let (p, q) = (P as f64, Q as f64);
        let even_p = S::fma(s(p * p * AT_P), g[2], S::mul(s(AT_P), g[0]));
        let even_q = S::fma(s(q * q * AT_Q), g[2], S::mul(s(AT_Q), g[0]));
        let odd_p = S::fma(s(p * p * p * AT_P), g[3], S::mul(s(p * AT_P), g[1]));
        let odd_q = S::fma(s(q * q * q * AT_Q), g[3], S::mul(s(q * AT_Q), g[1]));
        [
            S::mul(s(AT_0), g[0]),
            S::add(even_p, odd_p),
            S::sub(even_p, odd_p),
            S::add(even_q, odd_q),
            S::sub(even_q, odd_q),
            g[3],
        ]
    }

    /// [`Tile::output`] for three outputs, with [`F4::weights_of_4`].
    #[inline(always)]
    pub(crate) unsafe fn output_of_3<S: Simd>(m: [S::V; MAX_SIDE]) -> [S::V; 3] {
        let s = |v: f32| S::splat(v);
        let (sum_p, difference_p) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum_q, difference_q) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(m[0], S::add(sum_p, sum_q)),
            S::fma(s(P), difference_p, S::mul(s(Q), difference_q)),
            S::add(m[5], S::fma(s(P2), sum_p, S::mul(s(Q2), sum_q))),
        ]
    }
}

impl Tile for F2 {
    const M: usize = 2;

    #[inline(always)]
    unsafe fn gather<S: Simd>(low: [S::V; 4], high: [S::V; 4]) -> [S::V; MAX_SIDE] {
        let [a, b] = S::unzip_blocks(low[0], low[1]);
        let [c, d] = S::unzip_blocks(high[0], high[1]);
        [a, b, c, d, S::splat(0.0), S::splat(0.0)]
    }

    #[inline(always)]
    unsafe fn scatter<S: Simd>(columns: [S::V; 4]) -> [S::V; 4] {
        let [a, b] = S::zip_blocks(columns[0], columns[1]);
        [a, b, S::splat(0.0), S::splat(0.0)]
    }

    #[inline(always)]
    unsafe fn input<S: Simd>(d: [S::V; MAX_SIDE]) -> [S::V; MAX_SIDE] {
        let zero = S::splat(0.0);
        [S::sub(d[0], d[2]), S::add(d[1], d[2]), S::sub(d[2], d[1]), S::sub(d[1], d[3]), zero, zero]
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: [S::V; MAX_SIDE]) -> [S::V; 4] {
        let zero = S::splat(0.0);
        [S::add(m[0], S::add(m[1], m[2])), S::sub(S::sub(m[1], m[2]), m[3]), zero, zero]
    }

    #[inline(always)]
    unsafe fn weights<S: Simd>(g: [S::V; 3]) -> [S::V; MAX_SIDE] {
        let half = S::splat(0.5);
        let (even, odd) = (S::mul(half, S::add(g[0], g[2])), S::mul(half, g[1]));
        [g[0], S::add(even, odd), S::sub(even, odd), g[2], S::splat(0.0), S::splat(0.0)]
    }
}
