//! The register block that all products are made of.

use crate::simd::Simd;

/// Takes the sums of a register block.
pub(crate) trait Sink<S: Simd> {
    /// Takes the vector `vector` of the row `row`.
    unsafe fn put(&mut self, row: usize, vector: usize, sum: S::V);
}

/// Sums to memory: the vector m of row k at `to + k · row_stride + m · vector_stride`, added to what is there if `add`.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    pub(crate) to: *mut f32,
    pub(crate) row_stride: usize,
    pub(crate) vector_stride: usize,
    pub(crate) add: bool,
}

impl<S: Simd> Sink<S> for Store {
    #[inline(always)]
    unsafe fn put(&mut self, row: usize, vector: usize, sum: S::V) {
        let to = self.to.add(row * self.row_stride + vector * self.vector_stride);
        S::store(to, if self.add { S::add(S::load(to), sum) } else { sum });
    }
}

/// `sum[k][m] = Σ_i u[i][k] · v[i][m]` with i from 0 up, `ROWS` values k and `VECTORS` vectors m.
///
/// `v`: `[len][VECTORS · LANES]`, `u`: `[len][ROWS]`. Meanwhile it asks for what is likely to come next: the panel after `u` and, if it
/// is not null, the panel at `next_v`.
#[inline(always)]
pub(crate) unsafe fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(
    len: usize,
    v: *const f32,
    u: *const f32,
    next_v: *const f32,
    mut sink: impl Sink<S>,
) {
    let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
    let (panel, terms) = (VECTORS * S::LANES, LINE / ROWS);
    let next_u = u.wrapping_add(len * ROWS);
    for i in 0..len {
        if i % terms == 0 {
            S::prefetch(next_u.wrapping_add(i * ROWS));
            if !next_v.is_null() {
                for line in 0..(terms * panel).div_ceil(LINE) {
                    S::prefetch(next_v.wrapping_add(i * panel + line * LINE));
                }
            }
        }
        add_term::<S, ROWS, VECTORS>(&mut sums, v.add(i * panel), u.add(i * ROWS));
    }
    for (k, sums) in sums.iter().enumerate() {
        for (m, sum) in sums.iter().enumerate() {
            sink.put(k, m, *sum);
        }
    }
}

/// Floats of a line of the cache.
pub(crate) const LINE: usize = 16;

#[inline(always)]
unsafe fn add_term<S: Simd, const ROWS: usize, const VECTORS: usize>(
    sums: &mut [[S::V; VECTORS]; ROWS],
    v: *const f32,
    u: *const f32,
) {
    let mut vectors = [S::splat(0.0); VECTORS];
    for (m, vector) in vectors.iter_mut().enumerate() {
        *vector = S::load(v.add(m * S::LANES));
    }
    for (k, sums) in sums.iter_mut().enumerate() {
        let factor = S::splat(*u.add(k));
        for (sum, vector) in sums.iter_mut().zip(vectors) {
            *sum = S::fma(factor, vector, *sum);
        }
    }
}
