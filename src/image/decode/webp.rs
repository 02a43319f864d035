//! WebP, by the `image` crate, behind checks of its own.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;

use super::error::check_size;
use super::format::{Format, Stored};
use super::library::{image_error, read_image};
use super::orientation::orientation;

const NAME: &str = "WebP";

/// Google's WebP, lossy and lossless; of an animation the first image.
pub const WEBP: Format = Format {
    name: NAME,
    endings: &["webp"],
    magic: b"",
    matches: |bytes| bytes.starts_with(b"RIFF") && bytes[4..].get(4..8) == Some(b"WEBP"),
    claimed_size: |_| None,
    decode,
};

fn decode(bytes: &[u8]) -> Stored {
    // The decoder allocates what the header of a lossy image says, before it finds that the canvas is
    // smaller.
    const KEYFRAME: &[u8] = &[0x9d, 0x01, 0x2a];
    for at in (0..bytes.len().saturating_sub(17)).filter(|&at| bytes[at..].starts_with(b"VP8 ")) {
        if bytes[at + 11..].starts_with(KEYFRAME) {
            let side = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]) & 0x3fff);
            check_size(NAME, [side(at + 14), side(at + 16)], 3)?;
        }
    }
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| image_error(NAME, error))?;
    let orientation = orientation(webp_chunk(bytes, b"EXIF"), webp_chunk(bytes, b"XMP "));
    Ok((read_image(NAME, decoder)?, orientation))
}

/// The first chunk of a kind in an extended WebP; nothing if there is none or the file ends inside of it.
/// (The decoder's own function allocates whatever length the chunk claims.)
fn webp_chunk<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> &'a [u8] {
    if !bytes[12..].starts_with(b"VP8X") {
        return &[];
    }
    let mut rest = &bytes[12..];
    while let Some((head, body)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if head.starts_with(kind) {
            return body.get(..length).unwrap_or_default();
        }
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    &[]
}
