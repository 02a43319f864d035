//! Winograd's transforms (Lavin and Gray, CVPR 2016, arXiv:1509.09308), one tile to a lane.
//!
//! F(4×4, 3×3) interpolates at 0, ±3/4, ±3/2 and ∞ instead of the usual 0, ±1, ±2 and ∞: its coefficients are
//! exact in `f32` as well, and the rounding error is half as large. F(2×2, 3×3): 0, ±1, ∞.

use crate::simd::Simd;

/// Which tile a convolution is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileSize {
    /// F(2×2, 3×3): 4 products an output; for maps of one or two pixels to a side.
    Two,
    /// F(4×4, 3×3): 2.25 products an output.
    Four,
}

impl TileSize {
    /// The one that needs fewer products for maps of this size.
    pub(crate) fn for_outputs(height: usize, width: usize) -> Self {
        let products = |m: usize| height.div_ceil(m) * width.div_ceil(m) * (m + 2) * (m + 2);
        if products(2) < products(4) { Self::Two } else { Self::Four }
    }
}

/// The most products to a side of a tile.
pub(crate) const MAX_SIDE: usize = 6;

/// F(M×M, 3×3): M×M outputs of SIDE×SIDE inputs by SIDE×SIDE products, SIDE = M + 2.
///
/// A *strip* is M rows of as many neighbouring output pixels as a vector has lanes; M strips make up one
/// vector of tiles. The order of the tiles in the lanes is that of [`Tile::gather`], whatever it is.
pub(crate) trait Tile: Copy + Send + Sync + 'static {
    const M: usize;
    const SIDE: usize = Self::M + 2;
    const PRODUCTS: usize = Self::SIDE * Self::SIDE;

    /// Column by column, the pixels of one row of every tile: `low[l]` are a strip's pixels, `high[l]` those
    /// M further on.
    fn gather<S: Simd>(s: S, low: [S::V; 4], high: [S::V; 4]) -> [S::V; MAX_SIDE];
    /// The reverse for outputs: M columns of every tile to M strips.
    fn scatter<S: Simd>(s: S, columns: [S::V; 4]) -> [S::V; 4];
    /// Bᵀ d: SIDE inputs to SIDE factors.
    fn input<S: Simd>(s: S, d: [S::V; MAX_SIDE]) -> [S::V; MAX_SIDE];
    /// Aᵀ m: SIDE products to M outputs.
    fn output<S: Simd>(s: S, m: [S::V; MAX_SIDE]) -> [S::V; 4];
    /// G g: 3 taps to SIDE factors.
    fn weights<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; MAX_SIDE];
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
    fn gather<S: Simd>(s: S, low: [S::V; 4], high: [S::V; 4]) -> [S::V; MAX_SIDE] {
        let [a, b, c, d] = s.transpose_blocks(low);
        let [e, f, ..] = s.transpose_blocks(high);
        [a, b, c, d, e, f]
    }

    #[inline(always)]
    fn scatter<S: Simd>(s: S, columns: [S::V; 4]) -> [S::V; 4] {
        s.transpose_blocks(columns)
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; MAX_SIDE]) -> [S::V; MAX_SIDE] {
        let c = |v: f32| s.splat(v);
        let (even_p, odd_p) = (s.fnma(c(Q2), d[2], d[4]), s.fnma(c(Q2), d[1], d[3]));
        let (even_q, odd_q) = (s.fnma(c(P2), d[2], d[4]), s.fnma(c(P2), d[1], d[3]));
        [
            s.fma(c(P2 * Q2), d[0], s.fnma(c(P2 + Q2), d[2], d[4])),
            s.fma(c(P), odd_p, even_p),
            s.fnma(c(P), odd_p, even_p),
            s.fma(c(Q), odd_q, even_q),
            s.fnma(c(Q), odd_q, even_q),
            s.fma(c(P2 * Q2), d[1], s.fnma(c(P2 + Q2), d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; MAX_SIDE]) -> [S::V; 4] {
        let c = |v: f32| s.splat(v);
        let (sum_p, difference_p) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (sum_q, difference_q) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(sum_p, sum_q)),
            s.fma(c(P), difference_p, s.mul(c(Q), difference_q)),
            s.fma(c(P2), sum_p, s.mul(c(Q2), sum_q)),
            s.fma(c(P2 * P), difference_p, s.fma(c(Q2 * Q), difference_q, m[5])),
        ]
    }

    #[inline(always)]
    fn weights<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; MAX_SIDE] {
        let c = |v: f64| s.splat(v as f32);
        let (p, q) = (P as f64, Q as f64);
        let even_p = s.fma(c(p * p * AT_P), g[2], s.mul(c(AT_P), g[0]));
        let even_q = s.fma(c(q * q * AT_Q), g[2], s.mul(c(AT_Q), g[0]));
        let (odd_p, odd_q) = (s.mul(c(p * AT_P), g[1]), s.mul(c(q * AT_Q), g[1]));
        [
            s.mul(c(AT_0), g[0]),
            s.add(even_p, odd_p),
            s.sub(even_p, odd_p),
            s.add(even_q, odd_q),
            s.sub(even_q, odd_q),
            g[2],
        ]
    }
}

impl F4 {
    /// [`Tile::weights`] for four taps: what the gradient by the weights, F(3×3, 4×4), makes of the gradient
    /// by the outputs.
    #[inline(always)]
    pub(crate) fn weights_of_4<S: Simd>(s: S, g: [S::V; 4]) -> [S::V; MAX_SIDE] {
        let c = |v: f64| s.splat(v as f32);
        let (p, q) = (P as f64, Q as f64);
        let even_p = s.fma(c(p * p * AT_P), g[2], s.mul(c(AT_P), g[0]));
        let even_q = s.fma(c(q * q * AT_Q), g[2], s.mul(c(AT_Q), g[0]));
        let odd_p = s.fma(c(p * p * p * AT_P), g[3], s.mul(c(p * AT_P), g[1]));
        let odd_q = s.fma(c(q * q * q * AT_Q), g[3], s.mul(c(q * AT_Q), g[1]));
        [
            s.mul(c(AT_0), g[0]),
            s.add(even_p, odd_p),
            s.sub(even_p, odd_p),
            s.add(even_q, odd_q),
            s.sub(even_q, odd_q),
            g[3],
        ]
    }

    /// [`Tile::output`] for three outputs, with [`F4::weights_of_4`].
    #[inline(always)]
    pub(crate) fn output_of_3<S: Simd>(s: S, m: [S::V; MAX_SIDE]) -> [S::V; 3] {
        let c = |v: f32| s.splat(v);
        let (sum_p, difference_p) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (sum_q, difference_q) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(sum_p, sum_q)),
            s.fma(c(P), difference_p, s.mul(c(Q), difference_q)),
            s.add(m[5], s.fma(c(P2), sum_p, s.mul(c(Q2), sum_q))),
        ]
    }
}

impl Tile for F2 {
    const M: usize = 2;

    #[inline(always)]
    fn gather<S: Simd>(s: S, low: [S::V; 4], high: [S::V; 4]) -> [S::V; MAX_SIDE] {
        let [a, b] = s.unzip_blocks(low[0], low[1]);
        let [c, d] = s.unzip_blocks(high[0], high[1]);
        [a, b, c, d, s.splat(0.0), s.splat(0.0)]
    }

    #[inline(always)]
    fn scatter<S: Simd>(s: S, columns: [S::V; 4]) -> [S::V; 4] {
        let [a, b] = s.zip_blocks(columns[0], columns[1]);
        [a, b, s.splat(0.0), s.splat(0.0)]
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; MAX_SIDE]) -> [S::V; MAX_SIDE] {
        let zero = s.splat(0.0);
        [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3]), zero, zero]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; MAX_SIDE]) -> [S::V; 4] {
        let zero = s.splat(0.0);
        [s.add(m[0], s.add(m[1], m[2])), s.sub(s.sub(m[1], m[2]), m[3]), zero, zero]
    }

    #[inline(always)]
    fn weights<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; MAX_SIDE] {
        let half = s.splat(0.5);
        let (even, odd) = (s.mul(half, s.add(g[0], g[2])), s.mul(half, g[1]));
        [g[0], s.add(even, odd), s.sub(even, odd), g[2], s.splat(0.0), s.splat(0.0)]
    }
}
