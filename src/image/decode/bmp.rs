//! BMP, by the `image` crate.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::metadata::Orientation;

use super::format::{Format, Stored};
use super::library::{image_error, read_image};

const NAME: &str = "BMP";

/// Windows bitmaps. Those of 16 bits a pixel may be off by 1 from Pillow's.
pub const BMP: Format =
    Format { name: NAME, endings: &["bmp"], magic: b"", matches, claimed_size: |_| None, decode };

/// Two letters are not enough, as a text may begin with them: the second header's length must be one of
/// BMP's.
fn matches(bytes: &[u8]) -> bool {
    let is_length = |length: u32| bytes.get(14..).is_some_and(|rest| rest.starts_with(&length.to_le_bytes()));
    bytes.starts_with(b"BM") && [12, 40, 52, 56, 64, 108, 124].into_iter().any(is_length)
}

fn decode(bytes: &[u8]) -> Stored {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|error| image_error(NAME, error))?;
    Ok((read_image(NAME, decoder)?, Orientation::NoTransforms))
}
