//! Why a file could not be decoded, and the limits of what is.

use crate::text::{cut_end, one_line};

/// The longest side that is decoded, in pixels.
pub const MAX_SIDE: usize = 8192;

/// The largest buffer of decoded samples, in bytes, as the file stores them (a 16-bit RGBA pixel counts 8). A
/// decoder may need about as much again while it works; twice as much for a progressive JPEG, one with a scan
/// for each colour (both are held as 16-bit coefficients) and an animated WebP.
pub const MAX_BYTES: usize = 256 << 20;

/// The longest reason that is passed on, in characters: some decoders list as much as a damaged file claims.
const LONGEST_REASON: usize = 200;

/// Why a file could not be decoded: one short line without the path, which the caller adds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are no bytes at all.
    #[error("the file is empty")]
    EmptyFile,

    /// The bytes are of something else; the text says what they look like.
    #[error("not an image: it looks like {0}")]
    NotAnImage(&'static str),

    /// The file ends before the image does.
    #[error("truncated {0}: the file ends before the image does")]
    Truncated(&'static str),

    /// The bytes contradict the format or themselves.
    #[error("corrupt {format}: {reason}")]
    Corrupt {
        /// The format's name.
        format: &'static str,
        /// What is wrong, mostly in the decoder's words.
        reason: String,
    },

    /// The header claims more than is allowed; nothing was allocated.
    #[error(
        "too large: {width}x{height} pixels; the limit is {MAX_SIDE}x{MAX_SIDE} pixels and {} MiB of samples",
        MAX_BYTES >> 20
    )]
    TooLarge {
        /// Pixels per row, as the header says.
        width: usize,
        /// Rows, as the header says.
        height: usize,
    },

    /// An intact file of a kind that cannot be read here; the text says which and, where that helps, what to
    /// do.
    #[error("unsupported: {0}")]
    Unsupported(String),
}

/// The bytes contradict the format `format` or themselves.
pub(super) fn corrupt(format: &'static str, reason: impl std::fmt::Display) -> DecodeError {
    DecodeError::Corrupt { format, reason: cut_end(&one_line(reason), LONGEST_REASON) }
}

/// An intact file of a kind that cannot be read.
pub(super) fn unsupported(what: impl std::fmt::Display) -> DecodeError {
    DecodeError::Unsupported(cut_end(&one_line(what), LONGEST_REASON))
}

/// Refuses an image by what its header says, before anything of its size is allocated.
pub(super) fn check_size(
    format: &'static str,
    [width, height]: [usize; 2],
    bytes_per_pixel: usize,
) -> Result<(), DecodeError> {
    if width == 0 || height == 0 {
        return Err(corrupt(format, format_args!("the header says {width}x{height} pixels")));
    }
    let bytes = width.saturating_mul(height).saturating_mul(bytes_per_pixel);
    if width > MAX_SIDE || height > MAX_SIDE || bytes > MAX_BYTES {
        return Err(DecodeError::TooLarge { width, height });
    }
    Ok(())
}
