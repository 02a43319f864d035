//! Pixels and codecs: 8-bit images in memory, reading and writing them as files, resizing. Knows of no data
//! set.
//!
//! **Invariant:** nothing here uses a module above it but `simd`, `random` and `error`; the same pixels give
//! the same bytes on every processor.

pub mod bitmap;
pub mod decode;
pub mod encode;
pub mod resize;
mod rgb;

#[cfg(test)]
pub(crate) mod fixtures;

pub use self::bitmap::Bitmap;
pub use self::rgb::RgbImage;
