//! Reading images: the bytes of a file become 8-bit RGB, the way Pillow 11.2.1 gives it for
//! `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`.
//!
//! The format is recognised by content, never by the file's ending. Each format is a file here; to add one,
//! write its file and add its line to [`FORMATS`]. What becomes of each kind of pixel:
//!
//! | stored as | becomes |
//! |---|---|
//! | 8-bit RGB | the same |
//! | grey of 1, 2, 4, 8 bits | stretched to 0..=255 (times 255, 85, 17, 1), then R = G = B |
//! | grey of 16 bits, no alpha | **clipped**: `min(value, 255)`, as Pillow does; nearly all turn white |
//! | RGB, RGBA, grey + alpha of 16 bits | the high byte of each channel |
//! | palette | its colour; in a PNG, an index beyond the palette is black |
//! | alpha, or a transparent colour | dropped, never blended |
//! | CMYK | for each of C, M, Y: `light - ink * light / 255`, with `light = 255 - K` and Pillow's rounding |
//! | CMYK or YCCK in a JPEG | taken as inverted (Adobe's way) whether it says so or not, then as CMYK |
//!
//! Gamma, colour profiles and resolution are ignored, as Pillow ignores them. The orientation (EXIF, or XMP
//! where EXIF has none) is applied. A block of metadata that cannot be understood is ignored.
//!
//! A JPEG or PNG that is cut off anywhere is an error, also where a decoder would fill the rest with grey; of
//! the other formats one that lacks pixels. A JPEG whose data stop early but which someone closed with an end
//! marker goes unnoticed, as it does in libjpeg.

mod bmp;
mod error;
mod foreign;
mod format;
mod guard;
mod jpeg;
mod library;
mod orientation;
mod png;
mod samples;
mod tiff;
mod webp;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use self::bmp::BMP;
pub use self::error::{DecodeError, MAX_BYTES, MAX_SIDE};
pub use self::format::Format;
pub use self::jpeg::JPEG;
pub use self::png::PNG;
pub use self::tiff::TIFF;
pub use self::webp::WEBP;
use crate::image::RgbImage;

/// Every format that can be read, in the order in which messages name them.
pub const FORMATS: &[Format] = &[JPEG, PNG, BMP, WEBP, TIFF];

/// Decodes a file's bytes to RGB, upright; see the module's table for what becomes of each kind of pixel.
///
/// PNG, BMP, TIFF and WebP are equal to Pillow's result byte for byte, except that BMP of 16 bits a pixel may
/// be off by 1.
///
/// A JPEG's values are close to those of libjpeg-turbo, which Pillow uses, but not equal: the inverse cosine
/// transform rounds otherwise (grey: 99.0 % of the values are equal, none differs by more than 1), and so
/// does the interpolation of subsampled colour. Measured on 204 photographs of 256x256 with halved colour:
/// 91.3 % of the values are equal, 99.98 % within 2, the largest difference is 5, the mean 0.12; the same
/// reduced to 48x48: 77.1 %, 99.94 %, 4 and 0.32.
///
/// # Errors
/// A [`DecodeError`] that says what is wrong. Limits ([`MAX_SIDE`], [`MAX_BYTES`]) are checked on the header.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let format = format(bytes)?;
    let (image, orientation) = guard::without_panic(|| (format.decode)(bytes))?;
    Ok(orientation::upright(image, orientation))
}

/// A file's format, recognised by its content; its beginning is enough.
///
/// # Errors
/// What the file seems to be instead.
pub fn format(bytes: &[u8]) -> Result<Format, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::EmptyFile);
    }
    if let Some(format) = FORMATS.iter().find(|format| (format.matches)(bytes)) {
        return Ok(*format);
    }
    if let Some(format) = FORMATS.iter().find(|format| format.magic.starts_with(bytes)) {
        return Err(DecodeError::Truncated(format.name));
    }
    if let Some(name) = foreign::other_image(bytes) {
        return Err(DecodeError::Unsupported(format!("{name}; convert it to {}", format_names())));
    }
    Err(DecodeError::NotAnImage(foreign::looks_like(bytes)))
}

/// Width and height of an image as its header claims them, from the beginning of its file; `None` for formats
/// that are not JPEG or PNG and where the header is not found.
pub fn claimed_size(bytes: &[u8]) -> Option<(usize, usize)> {
    (format(bytes).ok()?.claimed_size)(bytes)
}

/// Whether a scan of a folder takes `path` for an image, by its ending in any case: jpg, jpeg, jpe, jfif,
/// png, bmp, webp, tif, tiff.
pub fn is_image_path(path: &Path) -> bool {
    path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| {
        FORMATS.iter().flat_map(|format| format.endings).any(|known| ending.eq_ignore_ascii_case(known))
    })
}

/// The formats that can be read, for messages: `JPEG, PNG, BMP, WebP or TIFF`.
pub(crate) fn format_names() -> String {
    let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    match names.split_last() {
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
