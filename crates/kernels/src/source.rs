//! What the kernels read.

use crate::simd::{MAX_LANES, Simd};

/// Values to read, as zero where `gate`, if there is one, is zero or less.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) values: &'a [f32],
    /// As long as `values`.
    pub(crate) gate: Option<&'a [f32]>,
}

impl<'a> Source<'a> {
    /// Values without a gate.
    pub(crate) fn open(values: &'a [f32]) -> Self {
        Self { values, gate: None }
    }

    /// A cursor at the element `at`, which the gates hold for if `GATED`.
    #[inline(always)]
    pub(crate) fn at<const GATED: bool>(&self, at: usize) -> Cursor<GATED> {
        let values = self.values.as_ptr();
        let gates = if GATED { self.gate.map_or(values, <[f32]>::as_ptr) } else { values };
        Cursor { values: values.wrapping_add(at), gates: gates.wrapping_add(at) }
    }
}

/// A place in a [`Source`], or outside; with `GATED`, what is read there is zero where the gate is zero or
/// less.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<const GATED: bool> {
    values: *const f32,
    gates: *const f32,
}

impl<const GATED: bool> Cursor<GATED> {
    /// So many elements further on.
    #[inline(always)]
    pub(crate) fn add(self, by: usize) -> Self {
        Self { values: self.values.wrapping_add(by), gates: self.gates.wrapping_add(by) }
    }

    /// So many elements further on, or back.
    #[inline(always)]
    pub(crate) fn offset(self, by: isize) -> Self {
        Self { values: self.values.wrapping_offset(by), gates: self.gates.wrapping_offset(by) }
    }

    /// The address of the value, to ask for what lies there.
    #[inline(always)]
    pub(crate) fn address(self) -> *const f32 {
        self.values
    }

    /// The value here.
    ///
    /// # Safety
    /// It lies inside the source.
    #[inline(always)]
    pub(crate) unsafe fn value(self) -> f32 {
        // SAFETY: the caller's promise; gates are as many as values.
        unsafe { if GATED && *self.gates <= 0.0 { 0.0 } else { *self.values } }
    }

    /// The values from here on.
    ///
    /// # Safety
    /// `LANES` of them lie inside the source.
    #[inline(always)]
    pub(crate) unsafe fn load<S: Simd>(self, s: S) -> S::V {
        // SAFETY: the caller's promise; gates are as many as values.
        unsafe {
            let v = s.load(self.values);
            if GATED { s.gate(s.load(self.gates), v) } else { v }
        }
    }

    /// The masked values from here on, zero elsewhere.
    ///
    /// # Safety
    /// They lie inside the source.
    #[inline(always)]
    pub(crate) unsafe fn load_masked<S: Simd>(self, s: S, mask: S::Mask) -> S::V {
        // SAFETY: the caller's promise; gates are as many as values.
        unsafe {
            let v = s.load_masked(self.values, mask);
            if GATED { s.gate(s.load_masked(self.gates, mask), v) } else { v }
        }
    }

    /// Every `step`-th pixel from the place `x` of the row of `width` pixels that starts here, `lanes` of
    /// them at least; zero outside the row.
    ///
    /// # Safety
    /// The row lies inside the source.
    #[inline(always)]
    pub(crate) unsafe fn load_pixels<S: Simd>(
        self,
        s: S,
        x: isize,
        step: usize,
        lanes: usize,
        width: usize,
    ) -> S::V {
        // SAFETY: only pixels of the row are read.
        unsafe {
            match step {
                1 => self.load_row(s, x, width),
                2 => {
                    let next = self.load_row(s, x + S::LANES as isize, width);
                    s.evens(self.load_row(s, x, width), next)
                }
                _ => {
                    let mut pixels = [0.0; MAX_LANES];
                    for (lane, pixel) in pixels.iter_mut().enumerate().take(lanes.min(S::LANES)) {
                        let x = x + (lane * step) as isize;
                        if x >= 0 && x < width as isize {
                            *pixel = self.offset(x).value();
                        }
                    }
                    s.lanes_from(&pixels)
                }
            }
        }
    }

    /// Neighbouring pixels from the place `x` on; otherwise as [`Cursor::load_pixels`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn load_row<S: Simd>(self, s: S, x: isize, width: usize) -> S::V {
        let here = self.offset(x);
        if x >= 0 && x as usize + S::LANES <= width {
            // SAFETY: all lanes are pixels of the row.
            return unsafe { here.load(s) };
        }
        let from = (-x).clamp(0, S::LANES as isize) as usize;
        let mask = s.mask(from, (width as isize - x).clamp(from as isize, S::LANES as isize) as usize);
        // SAFETY: the masked lanes are pixels of the row.
        unsafe { here.load_masked(s, mask) }
    }
}
