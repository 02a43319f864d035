//! Pixels and codecs: 8-bit images in memory, reading and writing them as files, resizing. Knows of no data
//! set.
//!
//! **Invariant:** nothing here uses a module but `simd`, `text` and, in tests, `random`; the same pixels give
//! the same bytes on every processor.

pub mod bitmap;
pub mod decode;
pub mod encode;
pub(crate) mod jpeg_segments;
pub mod resize;
mod rgb;

#[cfg(test)]
pub(crate) mod fixtures;

pub use self::bitmap::Bitmap;
pub use self::rgb::RgbImage;
