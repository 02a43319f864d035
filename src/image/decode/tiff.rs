//! TIFF, by the `image` crate, behind checks of its own.

use std::borrow::Cow;
use std::io::Cursor;

use image::codecs::tiff::TiffDecoder;
use image::{ColorType, ImageDecoder};

use super::error::{DecodeError, corrupt, unsupported};
use super::format::{Format, Stored};
use super::library::{image_error, read_samples, to_rgb};
use super::orientation::{orientation, read_exif};
use super::samples::{cmyk_to_rgb, high, pack, spread};
use crate::image::RgbImage;

const NAME: &str = "TIFF";

/// TIFF and BigTIFF, but not with floating-point, LAB or palette samples of fewer than 8 bits, nor group 3
/// fax, nor JPEG inside.
pub const TIFF: Format = Format {
    name: NAME,
    endings: &["tif", "tiff"],
    magic: b"",
    matches: |bytes| [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| bytes.starts_with(*magic)),
    claimed_size: |_| None,
    decode,
};

fn decode(bytes: &[u8]) -> Stored {
    // The decoder converts CMYK with other rounding than Pillow's and refuses palettes. Told that they are
    // RGBA and grey, it hands out the samples as they are stored.
    const GREY: u16 = 1;
    const RGB: u16 = 2;
    const PALETTE: u16 = 3;
    const CMYK: u16 = 5;
    check_tiff(bytes)?;
    let colours = tiff_colours(bytes);
    let mut file = Cow::Borrowed(bytes);
    let relabel = match colours {
        Some((_, PALETTE)) => Some(GREY),
        Some((_, CMYK)) => Some(RGB),
        _ => None,
    };
    if let (Some((at, _)), Some(label)) = (colours, relabel) {
        let label = if bytes.starts_with(b"II") { label.to_le_bytes() } else { label.to_be_bytes() };
        file.to_mut()[at..at + 2].copy_from_slice(&label);
    }

    let mut decoder = TiffDecoder::new(Cursor::new(&file[..])).map_err(|error| image_error(NAME, error))?;
    let xmp = decoder.xmp_metadata().ok().flatten().unwrap_or_default();
    let orientation = orientation(bytes, &xmp);
    let (size, kind, samples) = read_samples(NAME, decoder)?;
    let pixels = match (colours, kind) {
        (Some((_, PALETTE)), ColorType::L8) => {
            let table = tiff_palette(bytes)?;
            spread::<1>(&samples, |p| table[usize::from(p[0])])
        }
        (Some((_, CMYK)), ColorType::Rgba8) => pack::<4>(samples, |p| cmyk_to_rgb(*p)),
        (Some((_, CMYK)), ColorType::Rgba16) => pack::<8>(samples, |p| {
            cmyk_to_rgb([high(p[0], p[1]), high(p[2], p[3]), high(p[4], p[5]), high(p[6], p[7])])
        }),
        (Some((_, PALETTE | CMYK)), _) => {
            return Err(unsupported("this kind of palette or CMYK TIFF; save it as PNG"));
        }
        _ => to_rgb(NAME, kind, samples)?,
    };
    Ok((RgbImage::new(size.0, size.1, pixels), orientation))
}

/// Refuses what the decoder would take too long or too much memory for, by the first directory: JPEG inside
/// (it would allocate what that JPEG's own header says, for each strip anew, and fill up with grey what is
/// cut off), and thousands of strips or tiles that all claim the same bytes.
fn check_tiff(bytes: &[u8]) -> Result<(), DecodeError> {
    const COMPRESSION: usize = 259;
    const STRIP_BYTES: usize = 279;
    const TILE_BYTES: usize = 325;
    const JPEG_COMPRESSION: u8 = 7; // no other compression's number has this byte in it
    let little = bytes.starts_with(b"II");
    let number = |field: &[u8]| {
        let join = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
        if little { field.iter().rev().fold(0, join) } else { field.iter().fold(0, join) }
    };
    // An entry: tag, type (2 bytes each), count, value or its place (a word each).
    let (word, count_size) = if number(&bytes[2..4]) == 43 { (8, 8) } else { (4, 2) }; // BigTIFF, or classic
    let directory =
        bytes.get(word..2 * word).and_then(|field| bytes.get(number(field)..)).unwrap_or_default();
    let Some((count, entries)) = directory.split_at_checked(count_size) else {
        return Ok(()); // the decoder says what is wrong
    };
    for entry in entries.chunks_exact(4 + 2 * word).take(number(count)) {
        let (count, field) = (number(&entry[4..4 + word]), &entry[4 + word..]);
        match number(&entry[..2]) {
            COMPRESSION if field.contains(&JPEG_COMPRESSION) => {
                return Err(unsupported("JPEG data inside a TIFF file; save it as JPEG or PNG"));
            }
            STRIP_BYTES | TILE_BYTES => {
                let size = match number(&entry[2..4]) {
                    1 | 7 => 1,
                    3 => 2,
                    16 => 8,
                    _ => 4,
                };
                let values =
                    if count <= word / size { field } else { bytes.get(number(field)..).unwrap_or_default() };
                let claimed =
                    values.chunks_exact(size).take(count).map(number).fold(0, usize::saturating_add);
                // Careless writers exaggerate a little.
                if claimed / 16 > bytes.len() {
                    return Err(corrupt(
                        NAME,
                        format_args!("its parts claim {claimed} of the file's {} bytes", bytes.len()),
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where the first directory of a classic TIFF says how its colours are meant (tag 262), and what it says.
fn tiff_colours(bytes: &[u8]) -> Option<(usize, u16)> {
    let little = bytes.starts_with(b"II*\0");
    if !little && !bytes.starts_with(b"MM\0*") {
        return None;
    }
    let short = |at: usize| {
        let two = *bytes.get(at..)?.first_chunk()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let four = *bytes.get(4..)?.first_chunk()?;
    let directory = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize;
    let entries = (0..usize::from(short(directory)?)).map(|entry| directory + 2 + 12 * entry);
    let found = entries.take_while(|&at| at < bytes.len()).find(|&at| short(at) == Some(262))?;
    Some((found + 8, short(found + 8)?))
}

/// The colour table of a palette TIFF (tag 320): all reds, all greens, all blues, of 16 bits, of which the
/// high byte counts.
fn tiff_palette(bytes: &[u8]) -> Result<[[u8; 3]; 256], DecodeError> {
    const COLOR_MAP: exif::Tag = exif::Tag(exif::Context::Tiff, 320);
    match read_exif(bytes)
        .as_ref()
        .and_then(|block| block.get_field(COLOR_MAP, exif::In::PRIMARY))
        .map(|field| &field.value)
    {
        Some(exif::Value::Short(map)) if map.len() == 3 * 256 => {
            Ok(std::array::from_fn(|i| [map[i], map[256 + i], map[512 + i]].map(|value| (value >> 8) as u8)))
        }
        _ => Err(corrupt(NAME, "a palette of 256 colours is missing")),
    }
}
