//! The buffers with which operations work.

use super::normal::Table;
use super::warp::buffers::Buffers;
use crate::image::Bitmap;
use crate::simd::Level;

/// The buffers of one worker. They grow to the largest image; from then on no operation allocates.
#[derive(Default)]
pub struct Scratch {
    pub(super) level: Level,
    /// Where an operation writes that cannot work in place; then exchanged with the image.
    pub(super) target: Bitmap,
    /// Sums of levels, one or several rows `[w * C]`.
    pub(super) sums: Vec<u16>,
    /// One row with what lies beyond its ends.
    pub(super) padded: Vec<u8>,
    /// Planes `[3, n]` of a piece of the image, as levels.
    pub(super) levels: Vec<u8>,
    /// The same planes as real numbers.
    pub(super) planes: Vec<f32>,
    pub(super) noise: Table,
    pub(super) warp: Buffers,
}
