//! What each level's vectors can do.

/// The most lanes of any level.
pub(crate) const MAX_LANES: usize = 16;

/// One level's vectors of `f32`. A *block* is 4 neighbouring lanes (128 bits).
///
/// A value exists only where the processor has the level's instructions.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// The vector.
    type V: Copy;
    /// Which lanes to load or store.
    type Mask: Copy;
    /// What the loops around the kernels must know.
    const WIDTHS: Widths;
    const LANES: usize = Self::WIDTHS.lanes;
    const ROWS: usize = Self::WIDTHS.rows;

    fn splat(self, value: f32) -> Self::V;
    /// # Safety
    /// `LANES` floats can be read at `from`.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// # Safety
    /// `LANES` floats can be written at `to`.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// A store past the caches, if `to` is aligned for it.
    ///
    /// # Safety
    /// `LANES` floats can be written at `to`, and nobody reads them before [`Simd::fence`].
    unsafe fn stream(self, to: *mut f32, v: Self::V);
    /// Waits for the streamed stores.
    fn fence(self);
    /// Asks for a line of the cache; any address will do.
    fn prefetch(self, from: *const f32);

    /// The lanes `from..to`.
    fn mask(self, from: usize, to: usize) -> Self::Mask;
    /// The masked lanes, zero elsewhere; reads nothing else.
    ///
    /// # Safety
    /// The masked floats can be read.
    unsafe fn load_masked(self, from: *const f32, mask: Self::Mask) -> Self::V;
    /// Writes the masked lanes, nothing else.
    ///
    /// # Safety
    /// The masked floats can be written.
    unsafe fn store_masked(self, to: *mut f32, mask: Self::Mask, v: Self::V);
    /// Lanes below [`Simd::ROWS`] to `to`, the others to `to + upper`.
    ///
    /// # Safety
    /// `ROWS` floats can be written at both places.
    unsafe fn store_halves(self, to: *mut f32, upper: usize, v: Self::V);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c - a · b
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `v` where one is not a number.
    fn at_least(self, floor: Self::V, v: Self::V) -> Self::V;
    /// `v`, but zero where `gate` is zero or less.
    fn gate(self, gate: Self::V, v: Self::V) -> Self::V;
    /// Where `v` is larger than `best` or not a number, both `v` and `v_place` replace the others.
    fn keep_larger(self, best: &mut Self::V, place: &mut Self::V, v: Self::V, v_place: Self::V);

    /// Transposes each block of four vectors: lane q of vector l, block b, goes to lane l of vector q, block
    /// b.
    fn transpose_blocks(self, v: [Self::V; 4]) -> [Self::V; 4];
    /// Block by block: [a0 a1 a2 a3] [b0 b1 b2 b3] → [a0 a2 b0 b2] [a1 a3 b1 b3].
    fn unzip_blocks(self, a: Self::V, b: Self::V) -> [Self::V; 2];
    /// The reverse of [`Simd::unzip_blocks`].
    fn zip_blocks(self, even: Self::V, odd: Self::V) -> [Self::V; 2];
    /// Every second lane of `a`, then of `b`, in order.
    fn evens(self, a: Self::V, b: Self::V) -> Self::V;
    /// The lower lanes of `a` and `b`, one of each in turn.
    fn zip(self, a: Self::V, b: Self::V) -> Self::V;
    /// Transposes the first `LANES` vectors.
    fn transpose(self, rows: &mut [Self::V; MAX_LANES]);

    /// The mask for the last `rest` floats of some, if they are no whole vector.
    #[inline(always)]
    fn tail(self, rest: usize) -> Option<Self::Mask> {
        (rest < Self::LANES).then(|| self.mask(0, rest))
    }

    /// All lanes or, with a mask, as [`Simd::load_masked`].
    ///
    /// # Safety
    /// As there, or for [`Simd::load`].
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, mask: Option<Self::Mask>) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe {
            match mask {
                None => self.load(from),
                Some(mask) => self.load_masked(from, mask),
            }
        }
    }

    /// All lanes or, with a mask, as [`Simd::store_masked`].
    ///
    /// # Safety
    /// As there, or for [`Simd::store`].
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, mask: Option<Self::Mask>, v: Self::V) {
        // SAFETY: the caller's promise.
        unsafe {
            match mask {
                None => self.store(to, v),
                Some(mask) => self.store_masked(to, mask, v),
            }
        }
    }

    /// `count` rows of floats, `stride` apart, as columns: row l is lane l of all vectors, and lanes past the
    /// last row are zero. Of each row all lanes are read or, with a mask, the masked ones.
    ///
    /// # Safety
    /// They can be read.
    #[inline(always)]
    unsafe fn load_columns(
        self,
        from: *const f32,
        stride: usize,
        count: usize,
        mask: Option<Self::Mask>,
    ) -> [Self::V; MAX_LANES] {
        let mut rows = [self.splat(0.0); MAX_LANES];
        for (l, row) in rows.iter_mut().enumerate().take(Self::LANES) {
            if l < count {
                // SAFETY: the caller's promise.
                *row = unsafe { self.load_part(from.wrapping_add(l * stride), mask) };
            }
        }
        self.transpose(&mut rows);
        rows
    }

    /// The vector of the first `LANES` values.
    #[inline(always)]
    fn lanes_from(self, lanes: &[f32; MAX_LANES]) -> Self::V {
        // SAFETY: no vector has more lanes than the array.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// The lanes, then zeros.
    #[inline(always)]
    fn to_lanes(self, v: Self::V) -> [f32; MAX_LANES] {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: no vector has more lanes than the array.
        unsafe { self.store(lanes.as_mut_ptr(), v) };
        lanes
    }

    /// The sum of the lanes, in their order.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        self.to_lanes(v)[..Self::LANES].iter().sum()
    }

    /// The sum of all lanes of four vectors.
    #[inline(always)]
    fn sum_of_four(self, v: [Self::V; 4]) -> f64 {
        f64::from(self.sum(self.add(self.add(v[0], v[1]), self.add(v[2], v[3]))))
    }

    /// What sums are raised to at the end: zero for ReLU, or nothing.
    #[inline(always)]
    fn floor(self, relu: bool) -> Self::V {
        self.splat(if relu { 0.0 } else { f32::NEG_INFINITY })
    }
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
    /// Vectors of a panel for `len` columns: as many as the register block takes, or fewer where that leaves
    /// fewer lanes idle.
    pub(crate) fn panel_for(self, len: usize) -> usize {
        let padded = |vectors: usize| len.next_multiple_of(vectors * self.lanes);
        // A smaller block is slower by some percent.
        (1..=self.vectors).min_by_key(|&vectors| padded(vectors) * (12 + self.vectors - vectors)).unwrap_or(1)
    }
}

/// Methods that are an instruction or some: `fn name(self, arguments…) -> Result = instructions;`.
#[cfg(target_arch = "x86_64")]
macro_rules! instructions {
    ($(fn $name:ident($this:ident $(, $arg:ident: $kind:ty)*) $(-> $result:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name($this $(, $arg: $kind)*) $(-> $result)? {
            // SAFETY: a value of this type exists only where the processor has its instructions.
            unsafe { $body }
        }
    )*};
    (unsafe $(fn $name:ident($this:ident $(, $arg:ident: $kind:ty)*) $(-> $result:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($this $(, $arg: $kind)*) $(-> $result)? {
            // SAFETY: a value of this type exists only where the processor has its instructions; the caller
            // answers for the memory.
            unsafe { $body }
        }
    )*};
}
#[cfg(target_arch = "x86_64")]
pub(super) use instructions;
