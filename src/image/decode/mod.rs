//! Reading images: the bytes of a file become 8-bit RGB, the way Pillow 11.2.1 gives it for
//! `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`.
//!
//! The format is told by content, never by the file's ending. What becomes of each kind of pixel:
//!
//! | stored as | becomes |
//! |---|---|
//! | 8-bit RGB | the same |
//! | grey of 1, 2, 4, 8 bits | stretched to 0..=255 (times 255, 85, 17, 1), then R = G = B |
//! | grey of 16 bits, no alpha | **clipped**: `min(value, 255)`. Nearly every such image turns white; Pillow does just that |
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

use std::borrow::Cow;
use std::cell::Cell;
use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

use image::codecs::{bmp::BmpDecoder, tiff::TiffDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};
use zune_core::bytestream::ZCursor;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors as ZuneError;

use crate::image::RgbImage;

/// The longest side that is decoded, in pixels.
pub const MAX_SIDE: usize = 8192;

/// The largest buffer of decoded samples, in bytes, as the file stores them (a 16-bit RGBA pixel counts 8). A
/// decoder may need about as much again while it works; twice as much for a progressive JPEG, one with a scan
/// for each colour (both are held as 16-bit coefficients) and an animated WebP.
pub const MAX_BYTES: usize = 256 << 20;

/// The endings by which a scan of a folder finds images, in lower case.
const ENDINGS: [&str; 9] = ["jpg", "jpeg", "jpe", "jfif", "png", "bmp", "webp", "tif", "tiff"];

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

    /// A sound file of a kind that cannot be read here.
    #[error("unsupported: {0}")]
    Unsupported(String),
}

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
/// TIFF is read where the `image` crate reads it: not with floating-point, LAB or palette samples of fewer
/// than 8 bits, nor group 3 fax; that is an error, and so is JPEG inside of TIFF. Of an animation, the first
/// image is read.
///
/// # Errors
/// A [`DecodeError`] that says what is wrong. Limits ([`MAX_SIDE`], [`MAX_BYTES`]) are checked on the header.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let format = format(bytes)?;
    let (image, orientation) = without_panic(|| match format {
        Format::Jpeg => decode_jpeg(bytes),
        Format::Png => decode_png(bytes),
        Format::Bmp => decode_bmp(bytes),
        Format::Tiff => decode_tiff(bytes),
        Format::WebP => decode_webp(bytes),
    })?;
    Ok(upright(image, orientation))
}

/// Whether a scan of a folder takes `path` for an image, by its ending in any case: jpg, jpeg, jpe, jfif,
/// png, bmp, webp, tif, tiff.
pub fn is_image_path(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

// ---------------------------------------------------------------------------------------------------------------------------
// Telling formats apart

/// The formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Format {
    Jpeg,
    Png,
    Bmp,
    Tiff,
    WebP,
}

const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Width and height of a JPEG or PNG as its header claims them; `None` for other formats and where the header
/// is not found.
pub fn claimed_size(bytes: &[u8]) -> Option<(usize, usize)> {
    let short = |at: usize| Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)));
    let long = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    if bytes.starts_with(PNG_MAGIC) {
        return Some((long(16)?, long(20)?));
    }
    let mut at = 2;
    while bytes.starts_with(b"\xff\xd8") {
        match (bytes.get(at)?, bytes.get(at + 1)?) {
            (0xff, 0xff) => at += 1,
            // The frame headers, without the tables that lie between their numbers.
            (0xff, 0xc0..=0xcf) if !matches!(bytes[at + 1], 0xc4 | 0xc8 | 0xcc) => {
                return Some((short(at + 7)?, short(at + 5)?));
            }
            (0xff, _) => at += 2 + short(at + 2)?.max(2),
            _ => return None,
        }
    }
    None
}

/// Tells a file's format by its content.
///
/// # Errors
/// What the file is instead, as far as its beginning tells.
pub fn format(bytes: &[u8]) -> Result<Format, DecodeError> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let at = |from: usize, text: &[u8]| bytes.get(from..).is_some_and(|rest| rest.starts_with(text));
    if bytes.is_empty() {
        return Err(DecodeError::EmptyFile);
    }
    if starts(b"\xff\xd8\xff") {
        return Ok(Format::Jpeg);
    }
    if starts(PNG_MAGIC) {
        return Ok(Format::Png);
    }
    if starts(b"II*\0") || starts(b"MM\0*") || starts(b"II+\0") || starts(b"MM\0+") {
        return Ok(Format::Tiff);
    }
    if starts(b"RIFF") && at(8, b"WEBP") {
        return Ok(Format::WebP);
    }
    // Two letters are too little to go by: a text may begin with them. The length of the second header tells.
    if starts(b"BM")
        && [12, 40, 52, 56, 64, 108, 124].iter().any(|&length: &u32| at(14, &length.to_le_bytes()))
    {
        return Ok(Format::Bmp);
    }
    for (name, magic) in [("JPEG", &b"\xff\xd8\xff"[..]), ("PNG", PNG_MAGIC)] {
        if magic.starts_with(bytes) {
            return Err(DecodeError::Truncated(name));
        }
    }

    let images: [(bool, &str); 8] = [
        (starts(b"GIF8"), "a GIF image"),
        (at(4, b"ftypavif") || at(4, b"ftypavis"), "an AVIF image"),
        (
            at(4, b"ftypheic") || at(4, b"ftypheix") || at(4, b"ftypmif1") || at(4, b"ftypmsf1"),
            "a HEIC image",
        ),
        (starts(b"\0\0\0\x0cJXL ") || starts(b"\xff\x0a"), "a JPEG XL image"),
        (starts(b"\0\0\0\x0cjP  ") || starts(b"\xff\x4f\xff\x51"), "a JPEG 2000 image"),
        (starts(b"8BPS"), "a Photoshop document"),
        (starts(b"\0\0\x01\0"), "an icon"),
        (matches!(bytes, [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..]), "a PNM image"),
    ];
    if let Some((_, name)) = images.iter().find(|(found, _)| *found) {
        return Err(DecodeError::Unsupported(format!("{name}; JPEG, PNG, BMP, TIFF and WebP can be read")));
    }
    Err(DecodeError::NotAnImage(looks_like(bytes)))
}

/// What a file that is not an image seems to be, for the error message.
fn looks_like(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(1024)];
    if bytes.iter().all(|&byte| byte == 0) {
        return "nothing but zero bytes";
    }
    for (magic, name) in [
        (&b"PK\x03\x04"[..], "a ZIP archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"%PDF", "a PDF document"),
        (b"\0\x05\x16\x07", "a macOS metadata file (._*)"),
        (b"version https://git-lfs", "a Git LFS pointer; fetch the real file with `git lfs pull`"),
    ] {
        if head.starts_with(magic) {
            return name;
        }
    }
    if head.iter().any(|&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)) {
        return "binary data of an unknown kind";
    }
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if text.starts_with('<')
        && (text.starts_with("<!doctype html") || text.contains("<html") || text.contains("<head"))
    {
        "an HTML page; the download may have been answered with an error page"
    } else if text.contains("<svg") {
        "an SVG drawing"
    } else if text.starts_with("<?xml") {
        "an XML file"
    } else if text.starts_with(['{', '[']) {
        "JSON text"
    } else {
        "text"
    }
}

fn corrupt(format: &'static str, reason: impl std::fmt::Display) -> DecodeError {
    DecodeError::Corrupt { format, reason: one_line(reason) }
}

fn unsupported(what: impl std::fmt::Display) -> DecodeError {
    DecodeError::Unsupported(one_line(what))
}

/// A decoder's message as one line. Some hold line breaks, and some a list as long as a damaged file claims.
fn one_line(message: impl std::fmt::Display) -> String {
    const LONGEST: usize = 200;
    let message = message.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message,
    }
}

/// Runs a decoder. All of the libraries' decoders but PNG's and BMP's are known to panic on some damaged
/// files; that is an error like any other here, and nothing is printed.
fn without_panic<T>(decoder: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info)
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(decoder));
    QUIET.set(false);
    result.unwrap_or_else(|_| Err(corrupt("image", "the decoder cannot cope with it")))
}

/// Refuses an image by what its header says, before anything of its size is allocated.
fn check_size(
    format: &'static str,
    width: usize,
    height: usize,
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

// ---------------------------------------------------------------------------------------------------------------------------
// JPEG

const JPEG: &str = "JPEG";

/// What the markers of a JPEG file say.
#[derive(Default)]
struct JpegLayout {
    /// The file from its start to its end marker, without the segments that do not bear on the samples.
    samples: Vec<u8>,
    width: usize,
    height: usize,
    /// The components' identifiers.
    ids: Vec<u8>,
    has_jfif: bool,
    adobe_transform: Option<u8>,
    exif: Vec<u8>,
    xmp: Vec<u8>,
}

/// How the samples of a JPEG are to be read as colours.
enum JpegColours {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

fn decode_jpeg(bytes: &[u8]) -> Result<(RgbImage, Orientation), DecodeError> {
    let layout = walk_jpeg(bytes)?;
    let (width, height, channels) = (layout.width, layout.height, layout.ids.len());
    let colours = jpeg_colours(&layout)?;
    check_size(JPEG, width, height, channels)?;

    // Strict: otherwise a scan that ends early is filled with grey and called an image.
    let options =
        DecoderOptions::default().set_strict_mode(true).set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&layout.samples), options);
    decoder.decode_headers().map_err(jpeg_error)?;
    // Asked for the colours that are stored, the decoder hands out the samples as they are. The conversions
    // below then round as libjpeg does.
    let stored = decoder.input_colorspace().ok_or_else(|| corrupt(JPEG, "no colours"))?;
    let inner = decoder.dimensions().ok_or_else(|| corrupt(JPEG, "no size"))?;
    if inner != (width, height) || stored.num_components() != channels {
        return Err(corrupt(JPEG, "more than one frame header"));
    }
    decoder.set_options(options.jpeg_set_out_colorspace(stored));
    let mut samples = vec![0; width * height * channels];
    decoder.decode_into(&mut samples).map_err(jpeg_error)?;

    match colours {
        JpegColours::Grey | JpegColours::Rgb => {}
        JpegColours::YCbCr => ycbcr_to_rgb_all(&mut samples),
        // YCC stands for the complements of CMY. Pillow takes all four channels of a JPEG as complements.
        JpegColours::Ycck => {
            samples.chunks_exact_mut(4).for_each(|p| {
                let [r, g, b] = ycbcr_to_rgb(p[0], p[1], p[2]);
                p.copy_from_slice(&[r, g, b, 255 - p[3]]);
            });
        }
        JpegColours::Cmyk => samples.iter_mut().for_each(|value| *value = 255 - *value),
    }
    let image = match channels {
        1 => RgbImage::new(width, height, spread::<1>(&samples, |p| [p[0]; 3])),
        3 => RgbImage::new(width, height, samples),
        _ => RgbImage::new(width, height, pack::<4>(samples, |p| cmyk_to_rgb(*p))),
    };
    Ok((image, orientation(&layout.exif, &layout.xmp)))
}

/// Follows the markers from the start to the end marker. Segments are jumped over by their length, so that
/// the end marker of a thumbnail inside of one is not taken for the image's; what follows the end marker does
/// not matter.
fn walk_jpeg(bytes: &[u8]) -> Result<JpegLayout, DecodeError> {
    const SOF: [u8; 13] = [0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf];
    const EOI: u8 = 0xd9;
    const SOS: u8 = 0xda;
    let truncated = || DecodeError::Truncated(JPEG);
    let mut layout = JpegLayout { samples: Vec::with_capacity(bytes.len()), ..JpegLayout::default() };
    layout.samples.extend([0xff, 0xd8]);
    let mut seen_scan = false;
    let mut at = 2;
    loop {
        // Any number of 0xff may precede a marker.
        if *bytes.get(at).ok_or_else(truncated)? != 0xff {
            return Err(corrupt(JPEG, format_args!("no marker at byte {at}")));
        }
        while *bytes.get(at).ok_or_else(truncated)? == 0xff {
            at += 1;
        }
        let marker = bytes[at];
        at += 1;
        if marker == EOI {
            layout.samples.extend([0xff, EOI]);
            break;
        }
        if !matches!(marker, 0xc0..=0xcf | 0xda..=0xef | 0xfe) {
            return Err(corrupt(JPEG, format_args!("unexpected marker 0x{marker:02x} at byte {}", at - 1)));
        }
        let length = bytes
            .get(at..at + 2)
            .ok_or_else(truncated)
            .map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])))?;
        let segment = bytes.get(at..at + length).ok_or_else(truncated)?;
        let Some(body) = segment.get(2..) else {
            return Err(corrupt(JPEG, format_args!("segment of {length} bytes at byte {at}")));
        };
        at += length;
        match marker {
            0xe0 if body.starts_with(b"JFIF\0") => layout.has_jfif = true,
            0xe1 if body.starts_with(b"Exif\0\0") => layout.exif.extend(&body[6..]),
            0xe1 if body.starts_with(b"http://ns.adobe.com/xap/1.0/\0") => layout.xmp = body[29..].to_vec(),
            0xee if body.starts_with(b"Adobe") && body.len() >= 12 => layout.adobe_transform = Some(body[11]),
            // Precision, height, width, count, then three bytes a component.
            _ if SOF.contains(&marker) => {
                if body.len() < 6 || !layout.ids.is_empty() {
                    return Err(corrupt(JPEG, "bad frame header"));
                }
                layout.height = usize::from(u16::from_be_bytes([body[1], body[2]]));
                layout.width = usize::from(u16::from_be_bytes([body[3], body[4]]));
                layout.ids = body[6..].chunks_exact(3).map(|component| component[0]).collect();
            }
            _ => {}
        }
        if !matches!(marker, 0xe1..=0xef | 0xfe) {
            layout.samples.extend([0xff, marker]);
            layout.samples.extend(segment);
        }
        if marker == SOS {
            seen_scan = true;
            let start = at;
            at = end_of_scan(bytes, at).ok_or_else(truncated)?;
            layout.samples.extend(&bytes[start..at]);
        }
    }
    if layout.ids.is_empty() || !seen_scan {
        return Err(corrupt(JPEG, "it ends without an image"));
    }
    Ok(layout)
}

/// Where the compressed data that begin at `at` end: at the next 0xff that is neither data (0xff00), nor a
/// restart marker, nor padding. `None` if the file ends first.
fn end_of_scan(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

/// The rules of libjpeg (`default_decompress_parms` in jdapimin.c), which Pillow follows.
fn jpeg_colours(layout: &JpegLayout) -> Result<JpegColours, DecodeError> {
    Ok(match layout.ids[..] {
        [_] => JpegColours::Grey,
        [_, _, _] if layout.has_jfif => JpegColours::YCbCr,
        [r, g, b] => match layout.adobe_transform {
            Some(0) => JpegColours::Rgb,
            None if [r, g, b] == *b"RGB" => JpegColours::Rgb,
            _ => JpegColours::YCbCr,
        },
        [_, _, _, _] => match layout.adobe_transform {
            None | Some(0) => JpegColours::Cmyk,
            Some(_) => JpegColours::Ycck,
        },
        _ => return Err(DecodeError::Unsupported(format!("a JPEG of {} components", layout.ids.len()))),
    })
}

fn jpeg_error(error: ZuneError) -> DecodeError {
    match error {
        ZuneError::Unsupported(scheme) => unsupported(format_args!("{scheme:?}")),
        other => corrupt(JPEG, other),
    }
}

/// libjpeg's conversion (jdcolor.c): 16 fractional bits, each product rounded as its tables are.
#[inline]
fn ycbcr_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + ((91881 * cr + 32768) >> 16); // 1.402
    let g = y + ((-22554 * cb - 46802 * cr + 32768) >> 16); // 0.34414, 0.71414
    let b = y + ((116130 * cb + 32768) >> 16); // 1.772
    [r, g, b].map(|value| value.clamp(0, 255) as u8)
}

/// [`ycbcr_to_rgb`] for all pixels, in place.
fn ycbcr_to_rgb_all(pixels: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let done = if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { ycbcr_to_rgb_avx2(pixels) }
    } else {
        0
    };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    pixels[done..]
        .as_chunks_mut()
        .0
        .iter_mut()
        .for_each(|p: &mut [u8; 3]| *p = ycbcr_to_rgb(p[0], p[1], p[2]));
}

/// The same numbers for eight pixels at a time; returns how many bytes it has converted.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn ycbcr_to_rgb_avx2(pixels: &mut [u8]) -> usize {
    use std::arch::x86_64::*;
    // Of each of four pixels Y as a 32-bit value, Cb and Cr as two of 16 bits.
    let lightness = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1,
    ));
    let colours =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(1, -1, 2, -1, 4, -1, 5, -1, 7, -1, 8, -1, 10, -1, 11, -1));
    // From four reds, greens, blues and again blues to pixels.
    let interleave =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1));
    let centre = _mm256_set1_epi16(128);
    let half = _mm256_set1_epi32(1 << 15);
    // Factors of Cb and Cr that do not fit into 16 bits go without a multiple of 65536, which the shift makes
    // whole.
    let factors = |cb: i32, cr: i32| _mm256_set1_epi32((cr << 16) | (cb & 0xffff));
    let red = factors(0, 91881 - 65536);
    let green = factors(-22554, -46802 + 65536);
    let blue = factors(116130 - 2 * 65536, 0);

    let mut done = 0;
    // The second load takes four bytes more than belong to its pixels.
    while let Some(bytes) = pixels.get_mut(done..done + 28) {
        // SAFETY: 12 + 16 = 28 bytes.
        let (low, high) = unsafe {
            (_mm_loadu_si128(bytes.as_ptr().cast()), _mm_loadu_si128(bytes.as_ptr().add(12).cast()))
        };
        let eight = _mm256_set_m128i(high, low);
        let y = _mm256_shuffle_epi8(eight, lightness);
        let both = _mm256_sub_epi16(_mm256_shuffle_epi8(eight, colours), centre);
        let cb = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(both));
        let cr = _mm256_srai_epi32::<16>(both);
        let product =
            |factors| _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_madd_epi16(both, factors), half));
        let r = _mm256_add_epi32(_mm256_add_epi32(y, cr), product(red));
        let g = _mm256_add_epi32(_mm256_sub_epi32(y, cr), product(green));
        let b = _mm256_add_epi32(_mm256_add_epi32(y, _mm256_slli_epi32::<1>(cb)), product(blue));
        let clamped = _mm256_packus_epi16(_mm256_packs_epi32(r, g), _mm256_packs_epi32(b, b));
        let rgb = _mm256_shuffle_epi8(clamped, interleave);
        let mut result = [0u8; 32];
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(result.as_mut_ptr().cast(), rgb) };
        bytes[..12].copy_from_slice(&result[..12]);
        bytes[12..24].copy_from_slice(&result[16..28]);
        done += 24;
    }
    done
}

/// Pillow's `cmyk2rgb`, with its rounded division by 255.
#[inline]
fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - i32::from(k);
    [c, m, y].map(|ink| {
        let product = i32::from(ink) * light + 128;
        (light - (((product >> 8) + product) >> 8)).clamp(0, 255) as u8
    })
}

// ---------------------------------------------------------------------------------------------------------------------------
// PNG

const PNG: &str = "PNG";

fn decode_png(bytes: &[u8]) -> Result<(RgbImage, Orientation), DecodeError> {
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
    check_size(PNG, width, height, (colours.samples() * depth).div_ceil(8))?;

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
            DecodeError::Truncated(PNG)
        }
        png::DecodingError::LimitsExceeded => corrupt(PNG, "its metadata take too much memory"),
        other => corrupt(PNG, other),
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

// ---------------------------------------------------------------------------------------------------------------------------
// BMP, TIFF, WebP

fn decode_bmp(bytes: &[u8]) -> Result<(RgbImage, Orientation), DecodeError> {
    const BMP: &str = "BMP";
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|error| image_error(BMP, error))?;
    Ok((read_image(BMP, decoder)?, Orientation::NoTransforms))
}

fn decode_webp(bytes: &[u8]) -> Result<(RgbImage, Orientation), DecodeError> {
    const WEBP: &str = "WebP";
    // The decoder allocates what the header of a lossy image says, before it finds that the canvas is
    // smaller.
    const KEYFRAME: &[u8] = &[0x9d, 0x01, 0x2a];
    for at in (0..bytes.len().saturating_sub(17)).filter(|&at| bytes[at..].starts_with(b"VP8 ")) {
        if bytes[at + 11..].starts_with(KEYFRAME) {
            let side = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]) & 0x3fff);
            check_size(WEBP, side(at + 14), side(at + 16), 3)?;
        }
    }
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| image_error(WEBP, error))?;
    let orientation = orientation(webp_chunk(bytes, b"EXIF"), webp_chunk(bytes, b"XMP "));
    Ok((read_image(WEBP, decoder)?, orientation))
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

fn decode_tiff(bytes: &[u8]) -> Result<(RgbImage, Orientation), DecodeError> {
    const TIFF: &str = "TIFF";
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

    let mut decoder = TiffDecoder::new(Cursor::new(&file[..])).map_err(|error| image_error(TIFF, error))?;
    let xmp = decoder.xmp_metadata().ok().flatten().unwrap_or_default();
    let orientation = orientation(bytes, &xmp);
    let (size, kind, samples) = read_samples(TIFF, decoder)?;
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
            return Err(DecodeError::Unsupported("this kind of palette or CMYK TIFF".into()));
        }
        _ => to_rgb(TIFF, kind, samples)?,
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
                return Err(unsupported("JPEG inside of TIFF; save it as JPEG or PNG"));
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
                        "TIFF",
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
        _ => Err(corrupt("TIFF", "a palette of 256 colours is missing")),
    }
}

/// Reads the samples of one of the `image` crate's decoders as RGB.
fn read_image(format: &'static str, decoder: impl ImageDecoder) -> Result<RgbImage, DecodeError> {
    let ((width, height), kind, samples) = read_samples(format, decoder)?;
    Ok(RgbImage::new(width, height, to_rgb(format, kind, samples)?))
}

/// Width and height, the kind of the samples, and the samples; those of 16 bits in the machine's byte order.
type Samples = ((usize, usize), ColorType, Vec<u8>);

fn read_samples(format: &'static str, mut decoder: impl ImageDecoder) -> Result<Samples, DecodeError> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let kind = decoder.color_type();
    check_size(format, width, height, usize::from(kind.bytes_per_pixel()))?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(2 * MAX_BYTES as u64); // the samples and what the decoder needs besides
    decoder.set_limits(limits).map_err(|error| image_error(format, error))?;
    let mut samples = vec![0; width * height * usize::from(kind.bytes_per_pixel())];
    decoder.read_image(&mut samples).map_err(|error| image_error(format, error))?;
    Ok(((width, height), kind, samples))
}

fn to_rgb(format: &'static str, kind: ColorType, samples: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    Ok(match kind {
        ColorType::L8 => spread::<1>(&samples, |p| [p[0]; 3]),
        ColorType::La8 => spread::<2>(&samples, |p| [p[0]; 3]),
        ColorType::Rgb8 => samples,
        ColorType::Rgba8 => pack::<4>(samples, |p| [p[0], p[1], p[2]]),
        ColorType::L16 => spread::<2>(&samples, |p| [clip(u16::from_ne_bytes(*p)); 3]),
        ColorType::La16 => pack::<4>(samples, |p| [high(p[0], p[1]); 3]),
        ColorType::Rgb16 => pack::<6>(samples, |p| [high(p[0], p[1]), high(p[2], p[3]), high(p[4], p[5])]),
        ColorType::Rgba16 => pack::<8>(samples, |p| [high(p[0], p[1]), high(p[2], p[3]), high(p[4], p[5])]),
        other => return Err(DecodeError::Unsupported(format!("{format} samples of the kind {other:?}"))),
    })
}

/// The high byte of a 16-bit sample in the machine's byte order.
#[inline]
fn high(first: u8, second: u8) -> u8 {
    (u16::from_ne_bytes([first, second]) >> 8) as u8
}

fn image_error(format: &'static str, error: ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated(format)
        }
        ImageError::Unsupported(error) => unsupported(error),
        other => corrupt(format, other),
    }
}

// ---------------------------------------------------------------------------------------------------------------------------
// Pixels

/// Pillow's 16-bit grey to RGB: whatever does not fit is white.
#[inline]
fn clip(value: u16) -> u8 {
    value.min(255) as u8
}

/// Makes RGB of pixels of `N >= 3` bytes in their own buffer.
fn pack<const N: usize>(mut samples: Vec<u8>, rgb: impl Fn(&[u8; N]) -> [u8; 3]) -> Vec<u8> {
    let count = samples.len() / N;
    for i in 0..count {
        let pixel: &[u8; N] = samples[i * N..].first_chunk().expect("the buffer holds whole pixels");
        let rgb = rgb(pixel);
        samples[i * 3..i * 3 + 3].copy_from_slice(&rgb);
    }
    samples.truncate(count * 3);
    samples.shrink_to_fit();
    samples
}

/// Makes RGB of pixels of `N < 3` bytes.
fn spread<const N: usize>(samples: &[u8], rgb: impl Fn(&[u8; N]) -> [u8; 3]) -> Vec<u8> {
    let mut pixels = vec![0; samples.len() / N * 3];
    for (pixel, sample) in pixels.as_chunks_mut().0.iter_mut().zip(samples.as_chunks::<N>().0) {
        *pixel = rgb(sample);
    }
    pixels
}

/// Makes RGB of `depth`-bit values, the first in the highest bits, in rows of `row` bytes.
fn unpack_bits(
    samples: &[u8],
    row: usize,
    width: usize,
    depth: usize,
    rgb: impl Fn(u8) -> [u8; 3],
) -> Vec<u8> {
    let per_byte = 8 / depth;
    let mask = ((1u16 << depth) - 1) as u8;
    let value = |line: &[u8], x: usize| (line[x / per_byte] >> (8 - depth - x % per_byte * depth)) & mask;
    let mut pixels = Vec::with_capacity(samples.len() / row * width * 3);
    for line in samples.chunks_exact(row) {
        (0..width).for_each(|x| pixels.extend(rgb(value(line, x))));
    }
    pixels
}

/// How the image is to be turned: the EXIF tag, or what the XMP block says where that is missing.
fn orientation(exif: &[u8], xmp: &[u8]) -> Orientation {
    let value = exif_orientation(exif).or_else(|| xmp_orientation(xmp)).unwrap_or(1);
    Orientation::from_exif(value).unwrap_or(Orientation::NoTransforms)
}

/// The orientation tag of the first directory.
fn exif_orientation(exif: &[u8]) -> Option<u8> {
    let value = read_exif(exif)?.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0)?;
    u8::try_from(value).ok()
}

/// A block that is broken in places still counts; one that cannot be read at all does not.
fn read_exif(block: &[u8]) -> Option<exif::Exif> {
    if block.is_empty() {
        return None;
    }
    let mut reader = exif::Reader::new();
    reader.continue_on_error(true);
    reader.read_raw(block.to_vec()).or_else(|error| error.distill_partial_result(|_| ())).ok()
}

/// Pillow's rule: the digit after `tiff:Orientation="` or `tiff:Orientation>`.
fn xmp_orientation(xmp: &[u8]) -> Option<u8> {
    const KEY: &[u8] = b"tiff:Orientation";
    xmp.windows(KEY.len()).enumerate().filter(|(_, window)| *window == KEY).find_map(|(at, _)| {
        let rest = &xmp[at + KEY.len()..];
        let digit = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?.first()?;
        digit.is_ascii_digit().then(|| digit - b'0')
    })
}

/// Turns and mirrors the image as its orientation asks.
fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    let (w, h) = (image.width, image.height);
    // Where the pixel (x, y) of the result comes from.
    let source: fn(usize, usize, usize, usize) -> (usize, usize) = match orientation {
        Orientation::NoTransforms => return image,
        Orientation::FlipHorizontal => |x, y, w, _| (w - 1 - x, y),
        Orientation::Rotate180 => |x, y, w, h| (w - 1 - x, h - 1 - y),
        Orientation::FlipVertical => |x, y, _, h| (x, h - 1 - y),
        Orientation::Rotate90FlipH => |x, y, _, _| (y, x),
        Orientation::Rotate90 => |x, y, _, h| (y, h - 1 - x),
        Orientation::Rotate270FlipH => |x, y, w, h| (w - 1 - y, h - 1 - x),
        Orientation::Rotate270 => |x, y, w, _| (w - 1 - y, x),
    };
    let swapped = orientation.to_exif() >= 5;
    let (width, height) = if swapped { (h, w) } else { (w, h) };
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for y in 0..height {
        for x in 0..width {
            let (sx, sy) = source(x, y, w, h);
            let at = (sy * w + sx) * 3;
            pixels.extend_from_slice(&image.pixels[at..at + 3]);
        }
    }
    RgbImage::new(width, height, pixels)
}

#[cfg(test)]
mod corpus;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// How far a JPEG's values may be from libjpeg-turbo's: (any value, the mean). See [`decode`].
    const WITH_CHROMA: (u8, f64) = (5, 0.45);
    const WITHOUT_CHROMA: (u8, f64) = (1, 0.03);

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode")
    }

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(folder().join(name)).unwrap()
    }

    /// Every image of the folder: name, bytes, and what Pillow makes of it.
    fn fixtures() -> Vec<(String, Vec<u8>, RgbImage)> {
        let mut names: Vec<String> = std::fs::read_dir(folder())
            .unwrap()
            .filter_map(|entry| {
                entry.unwrap().file_name().to_str().unwrap().strip_suffix(".rgb").map(String::from)
            })
            .collect();
        names.sort();
        assert!(names.len() > 50, "the fixtures are incomplete: {}", names.len());
        names
            .into_iter()
            .map(|name| {
                let raw = fixture(&format!("{name}.rgb"));
                let side = |at: usize| u32::from_le_bytes(*raw[at..].first_chunk().unwrap()) as usize;
                let expected = RgbImage::new(side(0), side(4), raw[8..].to_vec());
                (name.clone(), fixture(&name), expected)
            })
            .collect()
    }

    fn error_of(bytes: &[u8]) -> String {
        decode(bytes).unwrap_err().to_string()
    }

    /// A PNG of one pixel's worth of header, with any sizes and any compressed data.
    fn png_file(width: u32, height: u32, depth: u8, colour: u8, data: &[u8]) -> Vec<u8> {
        let mut file = PNG_MAGIC.to_vec();
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        header.extend([depth, colour, 0, 0, 0]);
        for (kind, body) in [(b"IHDR", &header[..]), (b"IDAT", data), (b"IEND", &[])] {
            let checked = [&kind[..], body].concat();
            file.extend((body.len() as u32).to_be_bytes());
            file.extend(&checked);
            file.extend(crc32(&checked).to_be_bytes());
        }
        file
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(
                crc ^ u32::from(byte),
                |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
            )
        })
    }

    #[test]
    fn every_fixture_is_what_pillow_makes_of_it() {
        for (name, bytes, expected) in fixtures() {
            let found = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((found.width, found.height), (expected.width, expected.height), "{name}");
            if !name.ends_with(".jpg") {
                assert!(found == expected, "{name} differs");
                continue;
            }
            let differences: Vec<u8> =
                found.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).collect();
            let worst = *differences.iter().max().unwrap();
            let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / differences.len() as f64;
            let plain = ["grey.jpg", "rgb.jpg", "cmyk.jpg", "cmyk-unmarked.jpg"].contains(&&name[..]);
            let (most, most_mean) = if plain { WITHOUT_CHROMA } else { WITH_CHROMA };
            assert!(worst <= most && mean <= most_mean, "{name}: up to {worst}, on average {mean:.4}");
        }
    }

    #[test]
    fn the_ending_does_not_matter_but_the_content_does() {
        let page = b"\n<!DOCTYPE html><html><body>404</body></html>";
        assert!(matches!(format(&fixture("rgb8.png")), Ok(Format::Png)));
        assert_eq!(decode(b""), Err(DecodeError::EmptyFile));
        assert_eq!(
            error_of(page),
            "not an image: it looks like an HTML page; the download may have been answered with an error page"
        );
        assert_eq!(error_of(b"just a few words\n"), "not an image: it looks like text");
        assert_eq!(error_of(b"BMW builds cars, and this is no image"), "not an image: it looks like text");
        assert_eq!(error_of(b"{\"error\": 404}"), "not an image: it looks like JSON text");
        assert_eq!(error_of(&[0; 5000]), "not an image: it looks like nothing but zero bytes");
        assert_eq!(error_of(b"PK\x03\x04\0\0"), "not an image: it looks like a ZIP archive");
        assert!(error_of(b"version https://git-lfs.github.com/spec/v1\noid ...").contains("git lfs pull"));
        assert_eq!(
            error_of(b"GIF89a\x01\0\x01\0"),
            "unsupported: a GIF image; JPEG, PNG, BMP, TIFF and WebP can be read"
        );
    }

    #[test]
    fn a_jpeg_or_png_cut_off_anywhere_is_an_error() {
        let whole = [
            "grey.jpg",
            "420-odd.jpg",
            "progressive.jpg",
            "restart.jpg",
            "cmyk.jpg",
            "exif6.jpg",
            "grey8.png",
        ];
        for name in whole.into_iter().chain(["interlaced-rgb8.png", "exif8-after.png", "palette8-trns.png"]) {
            let bytes = fixture(name);
            for length in 0..bytes.len() {
                let found = decode(&bytes[..length]);
                assert!(
                    found.is_err(),
                    "{name}: {length} of {} bytes were taken for a whole image",
                    bytes.len()
                );
            }
            assert!(error_of(&bytes[..bytes.len() - 3]).starts_with("truncated"), "{name}");
        }
    }

    #[test]
    fn headers_tell_the_size_before_decoding() {
        for name in ["444.jpg", "exif1.jpg", "grey8.png", "rgb8.png"] {
            let Ok(bytes) =
                std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode").join(name))
            else {
                continue;
            };
            let image = decode(&bytes).unwrap();
            assert_eq!(claimed_size(&bytes), Some((image.width, image.height)), "{name}");
        }
        assert_eq!(claimed_size(b"\xff\xd8\xff"), None);
        assert_eq!(claimed_size(b"\xff\xd8\xff\xe0\0\0\xff"), None);
        assert_eq!(claimed_size(b"BM"), None);
    }

    #[test]
    fn a_bmp_tiff_or_webp_that_lacks_pixels_is_an_error() {
        for name in
            ["rgb.bmp", "palette.bmp", "rgb.tif", "rgb-lzw.tif", "cmyk.tif", "lossless.webp", "lossy.webp"]
        {
            let bytes = fixture(name);
            for length in 0..bytes.len() * 2 / 3 {
                assert!(decode(&bytes[..length]).is_err(), "{name}: {length} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn no_damaged_byte_makes_a_panic() {
        for (name, bytes, _) in fixtures() {
            // Every byte of the headers, and places all over the rest.
            let step = (bytes.len() / 60).max(1);
            for at in (0..bytes.len()).filter(|&at| at < 60 || at % step == 0) {
                let mut damaged = bytes.clone();
                for value in [0, 0xff, bytes[at] ^ 1] {
                    damaged[at] = value;
                    if let Ok(image) = decode(&damaged) {
                        assert!(image.width <= MAX_SIDE && image.height <= MAX_SIDE, "{name}, byte {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_png_with_a_wrong_check_sum_is_corrupt() {
        let mut bytes = fixture("rgb8.png");
        let at = bytes.windows(4).position(|four| four == b"IEND").unwrap();
        bytes[at + 4] ^= 1;
        assert!(error_of(&bytes).starts_with("corrupt PNG"), "{}", error_of(&bytes));
        let mut bytes = fixture("gamma.png");
        let at = bytes.windows(4).position(|four| four == b"gAMA").unwrap();
        bytes[at + 8] ^= 1;
        assert!(error_of(&bytes).starts_with("corrupt PNG"), "{}", error_of(&bytes));
    }

    #[test]
    fn the_header_is_believed_before_the_pixels_are_allocated() {
        let limit = "too large: 60000x60000 pixels; the limit is 8192x8192 pixels and 256 MiB of samples";
        assert_eq!(error_of(&png_file(60000, 60000, 8, 2, &[])), limit);
        // 8192x8192 pixels of eight bytes: each side is allowed, the whole is not.
        assert!(matches!(decode(&png_file(8192, 8192, 16, 6, &[])), Err(DecodeError::TooLarge { .. })));
        assert_eq!(error_of(&png_file(0, 5, 8, 2, &[])).split(':').next(), Some("corrupt PNG"));

        let mut jpeg = fixture("grey.jpg");
        let at = jpeg.windows(4).position(|four| four == [0xff, 0xc0, 0, 11]).unwrap();
        jpeg[at + 5..at + 9].copy_from_slice(&[60000u16.to_be_bytes(), 60000u16.to_be_bytes()].concat());
        assert_eq!(error_of(&jpeg), limit);
        jpeg[at + 5..at + 9].copy_from_slice(&[0, 0, 0, 9]);
        assert_eq!(error_of(&jpeg), "corrupt JPEG: the header says 9x0 pixels");

        let mut bmp = fixture("rgb.bmp");
        bmp[18..26].copy_from_slice(&[60000u32.to_le_bytes(), 60000u32.to_le_bytes()].concat());
        assert_eq!(error_of(&bmp), limit);
    }

    #[test]
    fn a_png_that_swells_beyond_its_header_is_stopped() {
        // 64 MiB of zeros in 64 KiB of data, for an image of one pixel and as a text.
        let mut bomb = Vec::new();
        let mut encoder = png::Encoder::new(&mut bomb, 8192, 8192);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_compression(png::Compression::High);
        encoder.write_header().unwrap().write_image_data(&vec![0; 8192 * 8192]).unwrap();
        assert!(bomb.len() < 1 << 18, "{} bytes", bomb.len());
        let whole = decode(&bomb).unwrap();
        assert_eq!((whole.width, whole.height), (8192, 8192));
        // The same data under a header that says 1x1.
        bomb[16..24].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        let sum = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&sum.to_be_bytes());
        if let Ok(image) = decode(&bomb) {
            assert_eq!(image.pixels, [0; 3]);
        }
    }

    #[test]
    fn a_broken_block_of_metadata_is_ignored() {
        let bytes = fixture("exif6.jpg");
        let at = bytes.windows(6).position(|six| six == b"Exif\0\0").unwrap();
        let mut broken = bytes.clone();
        broken[at + 6..at + 10].copy_from_slice(b"what");
        let (turned, as_stored) = (decode(&bytes).unwrap(), decode(&broken).unwrap());
        assert_eq!((turned.width, turned.height), (as_stored.height, as_stored.width));
        assert_eq!(as_stored, decode(&fixture("exif1.jpg")).unwrap());
    }

    #[test]
    fn turning_and_turning_back_is_nothing() {
        let image = decode(&fixture("rgb8.png")).unwrap();
        for (there, back) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)] {
            let [there, back] = [there, back].map(|value| Orientation::from_exif(value).unwrap());
            assert_eq!(upright(upright(image.clone(), there), back), image, "{there:?}");
        }
    }

    #[test]
    fn files_are_found_by_their_endings() {
        for name in ["a.jpg", "a.JPEG", "b/c.Png", "x.tif", "x.TIFF", "x.jpe", "x.jfif", "x.webp", "x.bmp"] {
            assert!(is_image_path(Path::new(name)), "{name}");
        }
        for name in ["a.txt", "jpg", ".jpg", "a.jpg.part", "a.gif", "folder/"] {
            assert!(!is_image_path(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn many_pixels_are_converted_as_one_is() {
        let colour = |index: u32| [index as u8, (index >> 8) as u8, (index >> 16) as u8];
        let mut pixels: Vec<u8> = (0..1 << 24).step_by(3).flat_map(colour).collect();
        ycbcr_to_rgb_all(&mut pixels);
        for (pixel, index) in pixels.chunks_exact(3).zip((0..1 << 24).step_by(3)) {
            let [y, cb, cr] = colour(index);
            assert_eq!(pixel, ycbcr_to_rgb(y, cb, cr));
        }
    }

    #[test]
    fn photographs_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/london-faces-256/happy");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            return eprintln!("skipped: {} is missing", folder.display());
        };
        for entry in entries.map(|entry| entry.unwrap().path()).filter(|path| is_image_path(path)) {
            let bytes = std::fs::read(&entry).unwrap();
            let image = decode(&bytes).unwrap();
            assert_eq!(
                (image.width, image.height, image.is_grey()),
                (256, 256, false),
                "{}",
                entry.display()
            );
            assert_eq!(
                decode(&bytes[..bytes.len() / 2]),
                Err(DecodeError::Truncated(JPEG)),
                "{}",
                entry.display()
            );
        }
    }
}
