//! The vector operations that the kernels are written in, and their three implementations.
//!
//! All functions are unsafe: the processor must have the level's instructions, and pointers must be good for what is loaded or stored.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pair;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use pair::Pair;

use crate::Level;
use crate::product::Sink;

/// The most lanes of any level.
pub(crate) const MAX_LANES: usize = 16;

/// One level's vectors of `f32`. A *block* is 4 neighbouring lanes (128 bits).
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// The vector.
    type V: Copy;
    /// Which lanes to load or store.
    type Mask: Copy;
    /// What the loops around the kernels must know.
    const WIDTHS: Widths;
    const LANES: usize = Self::WIDTHS.lanes;
    const ROWS: usize = Self::WIDTHS.rows;

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    /// A store past the caches, if `to` is aligned for it.
    unsafe fn stream(to: *mut f32, v: Self::V);
    /// Waits for the streamed stores.
    unsafe fn fence();
    unsafe fn prefetch(from: *const f32);

    /// The lanes `from..to`.
    unsafe fn mask(from: usize, to: usize) -> Self::Mask;
    /// The masked lanes, zero elsewhere; reads nothing else.
    unsafe fn load_masked(from: *const f32, mask: Self::Mask) -> Self::V;
    /// Writes the masked lanes, nothing else.
    unsafe fn store_masked(to: *mut f32, mask: Self::Mask, v: Self::V);
    /// Lanes below [`Simd::ROWS`] to `to`, the others to `to + upper`.
    unsafe fn store_halves(to: *mut f32, upper: usize, v: Self::V);

    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c - a · b
    unsafe fn fnma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `v` where one is not a number.
    unsafe fn at_least(floor: Self::V, v: Self::V) -> Self::V;
    /// `v`, but zero where `gate` is zero or less.
    unsafe fn gate(gate: Self::V, v: Self::V) -> Self::V;

    /// Where `v` is larger than `best` or not a number, both `v` and `v_place` replace the others.
    unsafe fn keep_larger(best: &mut Self::V, place: &mut Self::V, v: Self::V, v_place: Self::V);

    /// Transposes each block of four vectors: lane q of vector l, block b, goes to lane l of vector q, block b.
    unsafe fn transpose_blocks(v: [Self::V; 4]) -> [Self::V; 4];
    /// Block by block: [a0 a1 a2 a3] [b0 b1 b2 b3] → [a0 a2 b0 b2] [a1 a3 b1 b3].
    unsafe fn unzip_blocks(a: Self::V, b: Self::V) -> [Self::V; 2];
    /// The reverse of [`Simd::unzip_blocks`].
    unsafe fn zip_blocks(even: Self::V, odd: Self::V) -> [Self::V; 2];
    /// Every second lane of `a`, then of `b`, in order.
    unsafe fn evens(a: Self::V, b: Self::V) -> Self::V;
    /// The lower lanes of `a` and `b`, one of each in turn.
    unsafe fn zip(a: Self::V, b: Self::V) -> Self::V;
    /// Transposes the first `LANES` vectors.
    unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]);

    /// [`crate::product::block`] with `vectors` of at most `WIDTHS.vectors`.
    unsafe fn product(
        vectors: usize,
        len: usize,
        v: *const f32,
        u: *const f32,
        next_v: *const f32,
        sink: impl Sink<Self>,
    );
}

/// The sizes of a level's vectors and of the register block of its products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Widths {
    /// Floats of a vector.
    pub(crate) lanes: usize,
    /// Rows of a product's register block; always half the lanes.
    pub(crate) rows: usize,
    /// Vectors of a row.
    pub(crate) vectors: usize,
}

impl Widths {
    pub(crate) fn of(level: Level) -> Self {
        #[cfg(target_arch = "x86_64")]
        if level.avx512() {
            return Avx512::WIDTHS;
        }
        #[cfg(target_arch = "x86_64")]
        if level.avx2() {
            return Avx2::WIDTHS;
        }
        let _ = level;
        Pair::WIDTHS
    }

    /// Vectors of a panel for `len` columns: as many as the register block takes, or fewer where that leaves fewer lanes idle.
    pub(crate) fn panel_for(self, len: usize) -> usize {
        let padded = |vectors: usize| len.next_multiple_of(vectors * self.lanes);
        // A smaller block is slower by some percent.
        (1..=self.vectors).min_by_key(|&vectors| padded(vectors) * (12 + self.vectors - vectors)).unwrap_or(1)
    }
}

/// The sum of a vector's lanes, in their order.
#[inline(always)]
pub(crate) unsafe fn sum_lanes<S: Simd>(v: S::V) -> f32 {
    let mut lanes = [0.0; MAX_LANES];
    S::store(lanes.as_mut_ptr(), v);
    lanes[..S::LANES].iter().sum()
}

/// The sum of all lanes of four vectors.
#[inline(always)]
pub(crate) unsafe fn sum_vectors<S: Simd>(v: [S::V; 4]) -> f64 {
    f64::from(sum_lanes::<S>(S::add(S::add(v[0], v[1]), S::add(v[2], v[3]))))
}

/// Every `step`-th of the pixels of a row from `x` on, `lanes` of them at least; zero outside the row and, if `GATED`, where the gates
/// are zero or less.
#[inline(always)]
pub(crate) unsafe fn load_pixels<S: Simd, const GATED: bool>(
    values: *const f32,
    gates: *const f32,
    x: isize,
    step: usize,
    lanes: usize,
    width: usize,
) -> S::V {
    match step {
        1 => load_row::<S, GATED>(values, gates, x, width),
        2 => {
            let next = load_row::<S, GATED>(values, gates, x + S::LANES as isize, width);
            S::evens(load_row::<S, GATED>(values, gates, x, width), next)
        }
        _ => {
            let mut pixels = [0.0; MAX_LANES];
            for (lane, pixel) in pixels.iter_mut().enumerate().take(lanes.min(S::LANES)) {
                let x = x + (lane * step) as isize;
                if x >= 0 && x < width as isize && !(GATED && *gates.offset(x) <= 0.0) {
                    *pixel = *values.offset(x);
                }
            }
            S::load(pixels.as_ptr())
        }
    }
}

#[inline(always)]
unsafe fn load_row<S: Simd, const GATED: bool>(
    values: *const f32,
    gates: *const f32,
    x: isize,
    width: usize,
) -> S::V {
    let (values, gates) = (values.wrapping_offset(x), gates.wrapping_offset(x));
    if x >= 0 && x as usize + S::LANES <= width {
        let v = S::load(values);
        return if GATED { S::gate(S::load(gates), v) } else { v };
    }
    let from = (-x).clamp(0, S::LANES as isize) as usize;
    let mask = S::mask(from, (width as isize - x).clamp(from as isize, S::LANES as isize) as usize);
    let v = S::load_masked(values, mask);
    if GATED { S::gate(S::load_masked(gates, mask), v) } else { v }
}

/// [`Simd::product`]: picks the register block.
macro_rules! products {
    ($rows:literal: $($vectors:literal)*) => {
        #[inline(always)]
        unsafe fn product(vectors: usize, len: usize, v: *const f32, u: *const f32, next_v: *const f32, sink: impl Sink<Self>) {
            match vectors {
                $($vectors => block::<Self, $rows, $vectors>(len, v, u, next_v, sink),)*
                _ => unreachable!("a register block has at most {} vectors", Self::WIDTHS.vectors),
            }
        }
    };
}
use products;
