//! Reading by the decoders of the `image` crate (BMP, TIFF, WebP).

use image::{ColorType, ImageDecoder, ImageError};

use super::error::{DecodeError, MAX_BYTES, check_size, corrupt, unsupported};
use super::samples::{clip, high, pack, spread};
use crate::image::RgbImage;

/// Reads the samples of one of the `image` crate's decoders as RGB.
pub(super) fn read_image(format: &'static str, decoder: impl ImageDecoder) -> Result<RgbImage, DecodeError> {
    let ((width, height), kind, samples) = read_samples(format, decoder)?;
    Ok(RgbImage::new(width, height, to_rgb(format, kind, samples)?))
}

/// Width and height, the kind of the samples, and the samples; those of 16 bits in the machine's byte order.
pub(super) type Samples = ((usize, usize), ColorType, Vec<u8>);

pub(super) fn read_samples(
    format: &'static str,
    mut decoder: impl ImageDecoder,
) -> Result<Samples, DecodeError> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let kind = decoder.color_type();
    check_size(format, [width, height], usize::from(kind.bytes_per_pixel()))?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(2 * MAX_BYTES as u64); // the samples and what the decoder needs besides
    decoder.set_limits(limits).map_err(|error| image_error(format, error))?;
    let mut samples = vec![0; width * height * usize::from(kind.bytes_per_pixel())];
    decoder.read_image(&mut samples).map_err(|error| image_error(format, error))?;
    Ok(((width, height), kind, samples))
}

pub(super) fn to_rgb(
    format: &'static str,
    kind: ColorType,
    samples: Vec<u8>,
) -> Result<Vec<u8>, DecodeError> {
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

pub(super) fn image_error(format: &'static str, error: ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated(format)
        }
        ImageError::Unsupported(error) => unsupported(error),
        other => corrupt(format, other),
    }
}
