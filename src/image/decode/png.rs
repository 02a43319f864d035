//! PNG, by the `png` crate.

use std::io::Cursor;

use super::error::{DecodeError, MAX_BYTES, check_size, corrupt};
use super::format::{Format, Stored};
use super::orientation::orientation;
use super::samples::{clip, pack, spread, unpack_bits};
use crate::image::RgbImage;

const NAME: &str = "PNG";
const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Portable Network Graphics. A file that is cut off anywhere is an error.
pub const PNG: Format = Format {
    name: NAME,
    endings: &["png"],
    magic: MAGIC,
    matches: |bytes| bytes.starts_with(MAGIC),
    claimed_size,
    decode,
};

fn claimed_size(bytes: &[u8]) -> Option<(usize, usize)> {
    let side = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    Some((side(16)?, side(20)?))
}

fn decode(bytes: &[u8]) -> Stored {
    let mut options = png::DecodeOptions::default();
    options.set_ignore_checksums(false);
    options.set_skip_ancillary_crc_failures(false);
    let mut decoder = png::Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(png::Limits { bytes: MAX_BYTES });
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::IDENTITY);

    let header = decoder.read_header_info().map_err(png_error)?;
    let (width, height) = (header.width as usize, header.height as usize);
    let (colours, depth) = (header.color_type, header.bit_depth as usize);
    check_size(NAME, [width, height], (colours.samples() * depth).div_ceil(8))?;

    let mut reader = decoder.read_info().map_err(png_error)?;
    let size = reader.output_buffer_size().ok_or(DecodeError::TooLarge { width, height })?;
    let mut samples = vec![0; size];
    let row = reader.next_frame(&mut samples).map_err(png_error)?.line_size;
    // On to the last chunk: only then is the file known to be whole, and metadata may come after the pixels.
    reader.finish().map_err(png_error)?;

    let info = reader.info();
    let orientation = orientation(&png_exif(info), &png_xmp(info));
    use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    let pixels = match (colours, depth) {
        (Rgb, 8) => samples,
        (Rgba, 8) => pack::<4>(samples, |p| [p[0], p[1], p[2]]),
        (Rgb, _) => pack::<6>(samples, |p| [p[0], p[2], p[4]]),
        (Rgba, _) => pack::<8>(samples, |p| [p[0], p[2], p[4]]),
        (GrayscaleAlpha, 8) => spread::<2>(&samples, |p| [p[0]; 3]),
        (GrayscaleAlpha, _) => pack::<4>(samples, |p| [p[0]; 3]),
        (Grayscale, 8) => spread::<1>(&samples, |p| [p[0]; 3]),
        (Grayscale, 16) => spread::<2>(&samples, |p| [clip(u16::from_be_bytes(*p)); 3]),
        (Grayscale, _) => {
            let scale = 255 / ((1u16 << depth) - 1) as u8;
            unpack_bits(&samples, row, width, depth, |value| [value * scale; 3])
        }
        (Indexed, _) => {
            let palette = info.palette.as_deref().unwrap_or_default();
            let colour = |index: u8| {
                palette.chunks_exact(3).nth(usize::from(index)).map_or([0; 3], |c| [c[0], c[1], c[2]])
            };
            let table: Vec<[u8; 3]> = (0..=255).map(colour).collect();
            unpack_bits(&samples, row, width, depth, |index| table[usize::from(index)])
        }
    };
    Ok((RgbImage::new(width, height, pixels), orientation))
}

fn png_error(error: png::DecodingError) -> DecodeError {
    match error {
        png::DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated(NAME)
        }
        png::DecodingError::LimitsExceeded => corrupt(NAME, "its metadata take too much memory"),
        other => corrupt(NAME, other),
    }
}

/// The eXIf chunk, or else what older programs wrote into a text chunk: three lines, then hexadecimal digits.
fn png_exif(info: &png::Info) -> Vec<u8> {
    if let Some(exif) = &info.exif_metadata {
        return exif.to_vec();
    }
    const KEY: &str = "Raw profile type exif";
    let compressed =
        info.compressed_latin1_text.iter().find(|chunk| chunk.keyword == KEY).and_then(|chunk| {
            // Unlike `get_text`, this stops at 2 MiB: a small chunk may hold a thousand times its size.
            let mut chunk = chunk.clone();
            chunk.decompress_text().ok()?;
            chunk.get_text().ok()
        });
    let plain =
        || info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == KEY).map(|c| c.text.clone());
    let text = compressed.or_else(plain).unwrap_or_default();
    let digits: Vec<u8> = text
        .lines()
        .skip(3)
        .flat_map(|line| line.chars())
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    let data: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    data.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec).unwrap_or(data)
}

fn png_xmp(info: &png::Info) -> Vec<u8> {
    let chunk = info.utf8_text.iter().find(|chunk| chunk.keyword == "XML:com.adobe.xmp").cloned();
    let text = chunk.and_then(|mut chunk| {
        chunk.decompress_text().ok()?;
        chunk.get_text().ok()
    });
    text.unwrap_or_default().into_bytes()
}
