//! JPEG, by the `zune-jpeg` crate, with libjpeg's rules for colours.
//!
//! The samples come from the crate as they are stored; the conversions to RGB are here, as they have to round
//! as libjpeg does.

use zune_core::bytestream::ZCursor;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors as ZuneError;

use super::error::{DecodeError, MAX_SIDE, check_size, corrupt, unsupported};
use super::format::{Format, Stored};
use super::orientation::orientation;
use super::samples::{cmyk_to_rgb, pack, spread};
use crate::image::RgbImage;
use crate::image::jpeg_segments::{Fault, Part, claimed_size, is_frame_header, segments};

const NAME: &str = "JPEG";
const MAGIC: &[u8] = b"\xff\xd8\xff";

/// Baseline and progressive JPEG. A file that is cut off anywhere is an error.
pub const JPEG: Format = Format {
    name: NAME,
    endings: &["jpg", "jpeg", "jpe", "jfif"],
    magic: MAGIC,
    matches: |bytes| bytes.starts_with(MAGIC),
    claimed_size,
    decode,
};

/// What the markers of a JPEG file say.
#[derive(Default)]
struct Layout {
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
enum Colours {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

fn decode(bytes: &[u8]) -> Stored {
    let layout = read_layout(bytes)?;
    let (width, height, channels) = (layout.width, layout.height, layout.ids.len());
    let colours = colours(&layout)?;
    check_size(NAME, [width, height], channels)?;

    // Strict: otherwise a scan that ends early is filled with grey and called an image.
    let options =
        DecoderOptions::default().set_strict_mode(true).set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&layout.samples), options);
    decoder.decode_headers().map_err(library_error)?;
    // Asked for the colours that are stored, the decoder hands out the samples as they are. The conversions
    // below then round as libjpeg does.
    let stored = decoder.input_colorspace().ok_or_else(|| corrupt(NAME, "no colours"))?;
    let inner = decoder.dimensions().ok_or_else(|| corrupt(NAME, "no size"))?;
    if inner != (width, height) || stored.num_components() != channels {
        return Err(corrupt(NAME, "more than one frame header"));
    }
    decoder.set_options(options.jpeg_set_out_colorspace(stored));
    let mut samples = vec![0; width * height * channels];
    decoder.decode_into(&mut samples).map_err(library_error)?;

    match colours {
        Colours::Grey | Colours::Rgb => {}
        Colours::YCbCr => ycbcr_to_rgb_all(&mut samples),
        // YCC stands for the complements of CMY. Pillow takes all four channels of a JPEG as complements.
        Colours::Ycck => {
            samples.chunks_exact_mut(4).for_each(|p| {
                let [r, g, b] = ycbcr_to_rgb(p[0], p[1], p[2]);
                p.copy_from_slice(&[r, g, b, 255 - p[3]]);
            });
        }
        Colours::Cmyk => samples.iter_mut().for_each(|value| *value = 255 - *value),
    }
    let image = match channels {
        1 => RgbImage::new(width, height, spread::<1>(&samples, |p| [p[0]; 3])),
        3 => RgbImage::new(width, height, samples),
        _ => RgbImage::new(width, height, pack::<4>(samples, |p| cmyk_to_rgb(*p))),
    };
    Ok((image, orientation(&layout.exif, &layout.xmp)))
}

/// What the segments say, and the file without those that do not bear on the samples.
fn read_layout(bytes: &[u8]) -> Result<Layout, DecodeError> {
    let mut layout = Layout { samples: Vec::with_capacity(bytes.len()), ..Layout::default() };
    layout.samples.extend([0xff, 0xd8]);
    let mut seen_scan = false;
    for part in segments(bytes) {
        let segment = match part.map_err(fault)? {
            Part::Segment(segment) => segment,
            Part::Scan(data) => {
                layout.samples.extend(data);
                seen_scan = true;
                continue;
            }
        };
        let (marker, body) = (segment.marker, segment.body());
        match marker {
            0xe0 if body.starts_with(b"JFIF\0") => layout.has_jfif = true,
            0xe1 if body.starts_with(b"Exif\0\0") => layout.exif.extend(&body[6..]),
            0xe1 if body.starts_with(b"http://ns.adobe.com/xap/1.0/\0") => layout.xmp = body[29..].to_vec(),
            0xee if body.starts_with(b"Adobe") && body.len() >= 12 => layout.adobe_transform = Some(body[11]),
            _ if is_frame_header(marker) => {
                let Some(frame) = segment.frame().filter(|_| layout.ids.is_empty()) else {
                    return Err(corrupt(NAME, "bad frame header"));
                };
                (layout.width, layout.height) = (frame.width, frame.height);
                layout.ids = frame.components.chunks_exact(3).map(|component| component[0]).collect();
            }
            _ => {}
        }
        // Neither what programs note (APP1 to APP15) nor comments.
        if !matches!(marker, 0xe1..=0xef | 0xfe) {
            layout.samples.extend([0xff, marker]);
            layout.samples.extend(segment.bytes);
        }
    }
    layout.samples.extend([0xff, 0xd9]);
    if layout.ids.is_empty() || !seen_scan {
        return Err(corrupt(NAME, "it ends without an image"));
    }
    Ok(layout)
}

fn fault(fault: Fault) -> DecodeError {
    match fault {
        Fault::Truncated => DecodeError::Truncated(NAME),
        Fault::NoMarker { at } => corrupt(NAME, format_args!("no marker at byte {at}")),
        Fault::UnexpectedMarker { marker, at } => {
            corrupt(NAME, format_args!("unexpected marker 0x{marker:02x} at byte {at}"))
        }
        Fault::TooShort { length, at } => {
            corrupt(NAME, format_args!("segment of {length} bytes at byte {at}"))
        }
    }
}

/// The rules of libjpeg (`default_decompress_parms` in jdapimin.c), which Pillow follows.
fn colours(layout: &Layout) -> Result<Colours, DecodeError> {
    Ok(match layout.ids[..] {
        [_] => Colours::Grey,
        [_, _, _] if layout.has_jfif => Colours::YCbCr,
        [r, g, b] => match layout.adobe_transform {
            Some(0) => Colours::Rgb,
            None if [r, g, b] == *b"RGB" => Colours::Rgb,
            _ => Colours::YCbCr,
        },
        [_, _, _, _] => match layout.adobe_transform {
            None | Some(0) => Colours::Cmyk,
            Some(_) => Colours::Ycck,
        },
        _ => {
            return Err(unsupported(format_args!(
                "a JPEG of {} components; save it as RGB",
                layout.ids.len()
            )));
        }
    })
}

fn library_error(error: ZuneError) -> DecodeError {
    match error {
        ZuneError::Unsupported(scheme) => unsupported(format_args!("{scheme:?}")),
        other => corrupt(NAME, other),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
