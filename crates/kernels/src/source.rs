//! What the kernels read and how they finish what they write.

/// Outputs of more bytes than this do not stay in the cache anyway and are written past it.
pub(crate) const STREAM: usize = 16 << 20;

/// Values to read, as zero where `gate`, if there is one, is zero or less.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) gate: Option<&'a [f32]>,
}

/// What is done to the sums.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// One value for each output channel, added.
    pub(crate) bias: Option<&'a [f32]>,
    /// One value for each output, added.
    pub(crate) residual: Option<&'a [f32]>,
    /// Negative results become zero.
    pub(crate) relu: bool,
}
