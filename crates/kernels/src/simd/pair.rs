//! What every processor has: two quads of four lanes, SSE2's on x86-64, plain arrays that the compiler
//! vectorises elsewhere.

use super::vector::{MAX_LANES, Simd, Widths};

/// Eight lanes in two quads.
#[derive(Clone, Copy)]
pub(crate) struct Pair;

type V = [quad::Q; 2];

impl Simd for Pair {
    type V = V;
    type Mask = (usize, usize);
    // A block's sums stay in registers: SSE2 has 16 of a quad, AArch64 32.
    const WIDTHS: Widths =
        Widths { lanes: 8, rows: 4, vectors: if cfg!(target_arch = "aarch64") { 3 } else { 1 } };

    #[inline(always)]
    fn splat(self, value: f32) -> V {
        [quad::splat(value); 2]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> V {
        // SAFETY: eight floats are good for reading.
        unsafe { [quad::load(from), quad::load(from.add(4))] }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: V) {
        // SAFETY: eight floats are good for writing.
        unsafe {
            quad::store(to, v[0]);
            quad::store(to.add(4), v[1]);
        }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32, v: V) {
        // SAFETY: the caller's promise.
        unsafe { self.store(to, v) }
    }
    #[inline(always)]
    fn fence(self) {}
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn mask(self, from: usize, to: usize) -> (usize, usize) {
        (from, to.min(8).max(from))
    }
    #[inline(always)]
    unsafe fn load_masked(self, from: *const f32, (first, end): (usize, usize)) -> V {
        if (first, end) == (0, 8) {
            // SAFETY: all eight floats are good for reading.
            return unsafe { self.load(from) };
        }
        let mut lanes = [0.0; 8];
        for lane in first..end {
            // SAFETY: the masked floats are good for reading.
            lanes[lane] = unsafe { *from.wrapping_add(lane) };
        }
        // SAFETY: the array has eight floats.
        unsafe { self.load(lanes.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, (first, end): (usize, usize), v: V) {
        let mut lanes = [0.0; 8];
        // SAFETY: the array has eight floats.
        unsafe { self.store(lanes.as_mut_ptr(), v) };
        for lane in first..end {
            // SAFETY: the masked floats are good for writing.
            unsafe { *to.wrapping_add(lane) = lanes[lane] };
        }
    }
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut f32, upper: usize, v: V) {
        // SAFETY: four floats are good for writing at both places.
        unsafe {
            quad::store(to, v[0]);
            quad::store(to.add(upper), v[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        [quad::add(a[0], b[0]), quad::add(a[1], b[1])]
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        [quad::sub(a[0], b[0]), quad::sub(a[1], b[1])]
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        [quad::mul(a[0], b[0]), quad::mul(a[1], b[1])]
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        [quad::fma(a[0], b[0], c[0]), quad::fma(a[1], b[1], c[1])]
    }
    #[inline(always)]
    fn fnma(self, a: V, b: V, c: V) -> V {
        [quad::fnma(a[0], b[0], c[0]), quad::fnma(a[1], b[1], c[1])]
    }
    #[inline(always)]
    fn at_least(self, floor: V, v: V) -> V {
        [quad::at_least(floor[0], v[0]), quad::at_least(floor[1], v[1])]
    }
    #[inline(always)]
    fn gate(self, gate: V, v: V) -> V {
        [quad::gate(gate[0], v[0]), quad::gate(gate[1], v[1])]
    }
    #[inline(always)]
    fn keep_larger(self, best: &mut V, place: &mut V, v: V, v_place: V) {
        for i in 0..2 {
            quad::keep_larger(&mut best[i], &mut place[i], v[i], v_place[i]);
        }
    }

    #[inline(always)]
    fn transpose_blocks(self, v: [V; 4]) -> [V; 4] {
        let low = quad::transpose([v[0][0], v[1][0], v[2][0], v[3][0]]);
        let high = quad::transpose([v[0][1], v[1][1], v[2][1], v[3][1]]);
        [[low[0], high[0]], [low[1], high[1]], [low[2], high[2]], [low[3], high[3]]]
    }
    #[inline(always)]
    fn unzip_blocks(self, a: V, b: V) -> [V; 2] {
        let (low, high) = (quad::unzip(a[0], b[0]), quad::unzip(a[1], b[1]));
        [[low[0], high[0]], [low[1], high[1]]]
    }
    #[inline(always)]
    fn zip_blocks(self, even: V, odd: V) -> [V; 2] {
        let (low, high) = (quad::zip(even[0], odd[0]), quad::zip(even[1], odd[1]));
        [[low[0], high[0]], [low[1], high[1]]]
    }
    #[inline(always)]
    fn evens(self, a: V, b: V) -> V {
        [quad::unzip(a[0], a[1])[0], quad::unzip(b[0], b[1])[0]]
    }
    #[inline(always)]
    fn zip(self, a: V, b: V) -> V {
        quad::zip(a[0], b[0])
    }
    #[inline(always)]
    fn transpose(self, rows: &mut [V; MAX_LANES]) {
        let low = self.transpose_blocks([rows[0], rows[1], rows[2], rows[3]]);
        let high = self.transpose_blocks([rows[4], rows[5], rows[6], rows[7]]);
        for q in 0..4 {
            rows[q] = [low[q][0], high[q][0]];
            rows[4 + q] = [low[q][1], high[q][1]];
        }
    }
}

/// Four lanes, with the operations of [`Simd`].
#[cfg(target_arch = "x86_64")]
mod quad {
    use std::arch::x86_64::*;

    pub(super) type Q = __m128;

    /// # Safety
    /// Four floats can be read at `from`.
    #[inline(always)]
    pub(super) unsafe fn load(from: *const f32) -> Q {
        // SAFETY: the caller's promise.
        unsafe { _mm_loadu_ps(from) }
    }

    /// # Safety
    /// Four floats can be written at `to`.
    #[inline(always)]
    pub(super) unsafe fn store(to: *mut f32, v: Q) {
        // SAFETY: the caller's promise.
        unsafe { _mm_storeu_ps(to, v) }
    }

    macro_rules! instructions {
        ($(fn $name:ident($($arg:ident: $kind:ty),*) $(-> $result:ty)? = $body:expr;)*) => {$(
            #[inline(always)]
            pub(super) fn $name($($arg: $kind),*) $(-> $result)? {
                // SAFETY: every processor of the target has SSE2.
                unsafe { $body }
            }
        )*};
    }

    instructions! {
        fn splat(value: f32) -> Q = _mm_set1_ps(value);
        fn add(a: Q, b: Q) -> Q = _mm_add_ps(a, b);
        fn sub(a: Q, b: Q) -> Q = _mm_sub_ps(a, b);
        fn mul(a: Q, b: Q) -> Q = _mm_mul_ps(a, b);
        fn fma(a: Q, b: Q, c: Q) -> Q = _mm_add_ps(_mm_mul_ps(a, b), c);
        fn fnma(a: Q, b: Q, c: Q) -> Q = _mm_sub_ps(c, _mm_mul_ps(a, b));
        fn at_least(floor: Q, v: Q) -> Q = _mm_max_ps(floor, v);
        fn gate(gate: Q, v: Q) -> Q = _mm_and_ps(_mm_cmpnle_ps(gate, _mm_setzero_ps()), v);
        fn keep_larger(best: &mut Q, place: &mut Q, v: Q, v_place: Q) = {
            let better = _mm_or_ps(_mm_cmpgt_ps(v, *best), _mm_cmpunord_ps(v, v));
            *best = _mm_or_ps(_mm_and_ps(better, v), _mm_andnot_ps(better, *best));
            *place = _mm_or_ps(_mm_and_ps(better, v_place), _mm_andnot_ps(better, *place));
        };
        fn transpose(v: [Q; 4]) -> [Q; 4] = {
            let [mut a, mut b, mut c, mut d] = v;
            _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
            [a, b, c, d]
        };
        fn unzip(a: Q, b: Q) -> [Q; 2] = [_mm_shuffle_ps::<0x88>(a, b), _mm_shuffle_ps::<0xDD>(a, b)];
        fn zip(a: Q, b: Q) -> [Q; 2] = [_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)];
    }
}

/// Four lanes, with the operations of [`Simd`].
#[cfg(not(target_arch = "x86_64"))]
mod quad {
    use std::array::from_fn;

    pub(super) type Q = [f32; 4];

    #[inline(always)]
    pub(super) fn splat(value: f32) -> Q {
        [value; 4]
    }
    /// # Safety
    /// Four floats can be read at `from`.
    #[inline(always)]
    pub(super) unsafe fn load(from: *const f32) -> Q {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Q>().read_unaligned() }
    }
    /// # Safety
    /// Four floats can be written at `to`.
    #[inline(always)]
    pub(super) unsafe fn store(to: *mut f32, v: Q) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Q>().write_unaligned(v) }
    }
    #[inline(always)]
    pub(super) fn add(a: Q, b: Q) -> Q {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    pub(super) fn sub(a: Q, b: Q) -> Q {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    pub(super) fn mul(a: Q, b: Q) -> Q {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    pub(super) fn fma(a: Q, b: Q, c: Q) -> Q {
        if cfg!(target_arch = "aarch64") {
            from_fn(|i| a[i].mul_add(b[i], c[i]))
        } else {
            from_fn(|i| a[i] * b[i] + c[i])
        }
    }
    #[inline(always)]
    pub(super) fn fnma(a: Q, b: Q, c: Q) -> Q {
        fma(a.map(|a| -a), b, c)
    }
    #[inline(always)]
    pub(super) fn at_least(floor: Q, v: Q) -> Q {
        from_fn(|i| if v[i] < floor[i] { floor[i] } else { v[i] })
    }
    #[inline(always)]
    pub(super) fn gate(gate: Q, v: Q) -> Q {
        from_fn(|i| if gate[i] <= 0.0 { 0.0 } else { v[i] })
    }
    #[inline(always)]
    pub(super) fn keep_larger(best: &mut Q, place: &mut Q, v: Q, v_place: Q) {
        for i in 0..4 {
            if v[i] > best[i] || v[i].is_nan() {
                (best[i], place[i]) = (v[i], v_place[i]);
            }
        }
    }
    #[inline(always)]
    pub(super) fn transpose(v: [Q; 4]) -> [Q; 4] {
        from_fn(|i| from_fn(|j| v[j][i]))
    }
    #[inline(always)]
    pub(super) fn unzip(a: Q, b: Q) -> [Q; 2] {
        [[a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]]]
    }
    #[inline(always)]
    pub(super) fn zip(a: Q, b: Q) -> [Q; 2] {
        [[a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]]]
    }
}
