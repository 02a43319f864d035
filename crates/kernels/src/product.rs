//! The register block that all products are made of.

use crate::simd::Simd;

/// What a register block multiplies: a packed panel of each side.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    /// Terms of each sum.
    pub(crate) len: usize,
    /// `[len][vectors · LANES]`
    pub(crate) v: *const f32,
    /// `[len][ROWS]`
    pub(crate) u: *const f32,
    /// The panel that is likely to come after `v`, to be asked for meanwhile; or null. Any address will do.
    pub(crate) next_v: *const f32,
}

/// Where the sums go: the vector m of row k to `to + k · row_stride + m · vector_stride`, added to what is
/// there if `add`.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    pub(crate) to: *mut f32,
    pub(crate) row_stride: usize,
    pub(crate) vector_stride: usize,
    pub(crate) add: bool,
}

/// `sum[k][m] = Σ_i u[i][k] · v[i][m]` with i from 0 up, `ROWS` values k and so many vectors m, at most
/// `WIDTHS.vectors`.
///
/// # Safety
/// The panels can be read, and the sums' places written (with `add`, read too).
#[inline(always)]
pub(crate) unsafe fn product<S: Simd>(s: S, vectors: usize, of: Operands, to: Store) {
    // SAFETY: the caller's promise.
    unsafe {
        // Conditions that are constant for the compiler, so that it does not make the other levels' blocks as
        // well.
        if const { S::ROWS == 4 } {
            match vectors {
                1 => return block::<S, 4, 1>(s, of, to),
                2 => return block::<S, 4, 2>(s, of, to),
                3 => return block::<S, 4, 3>(s, of, to),
                _ => {}
            }
        }
        if const { S::ROWS == 8 } {
            match vectors {
                1 => return block::<S, 8, 1>(s, of, to),
                2 => return block::<S, 8, 2>(s, of, to),
                3 => return block::<S, 8, 3>(s, of, to),
                _ => {}
            }
        }
    }
    unreachable!("no register block has {} rows of {vectors} vectors", S::ROWS);
}

/// [`product`] for `ROWS` of the vectors' type and `VECTORS`.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
unsafe fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(s: S, of: Operands, to: Store) {
    let Operands { len, v, u, next_v } = of;
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    let (panel, terms) = (VECTORS * S::LANES, LINE / ROWS);
    let next_u = u.wrapping_add(len * ROWS);
    for i in 0..len {
        if i % terms == 0 {
            s.prefetch(next_u.wrapping_add(i * ROWS));
            if !next_v.is_null() {
                for line in 0..(terms * panel).div_ceil(LINE) {
                    s.prefetch(next_v.wrapping_add(i * panel + line * LINE));
                }
            }
        }
        // SAFETY: the panels have `len` terms.
        unsafe { add_term::<S, ROWS, VECTORS>(s, &mut sums, v.add(i * panel), u.add(i * ROWS)) };
    }
    for (k, sums) in sums.iter().enumerate() {
        for (m, sum) in sums.iter().enumerate() {
            // SAFETY: the place is one of those that the caller answers for.
            unsafe {
                let to_sum = to.to.add(k * to.row_stride + m * to.vector_stride);
                s.store(to_sum, if to.add { s.add(s.load(to_sum), *sum) } else { *sum });
            }
        }
    }
}

/// Floats of a line of the cache.
pub(crate) const LINE: usize = 16;

/// # Safety
/// `VECTORS` vectors can be read at `v`, and `ROWS` floats at `u`.
#[inline(always)]
unsafe fn add_term<S: Simd, const ROWS: usize, const VECTORS: usize>(
    s: S,
    sums: &mut [[S::V; VECTORS]; ROWS],
    v: *const f32,
    u: *const f32,
) {
    let mut vectors = [s.splat(0.0); VECTORS];
    for (m, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: there are so many vectors.
        *vector = unsafe { s.load(v.add(m * S::LANES)) };
    }
    for (k, sums) in sums.iter_mut().enumerate() {
        // SAFETY: there are so many rows.
        let factor = s.splat(unsafe { *u.add(k) });
        for (sum, vector) in sums.iter_mut().zip(vectors) {
            *sum = s.fma(factor, vector, *sum);
        }
    }
}
