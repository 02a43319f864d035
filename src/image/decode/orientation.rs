//! How an image is to be turned, by EXIF or XMP, and turning it.

use image::metadata::Orientation;

use crate::image::RgbImage;

/// How the image is to be turned: the EXIF tag, or what the XMP block says where that is missing.
pub(super) fn orientation(exif: &[u8], xmp: &[u8]) -> Orientation {
    let value = exif_orientation(exif).or_else(|| xmp_orientation(xmp)).unwrap_or(1);
    Orientation::from_exif(value).unwrap_or(Orientation::NoTransforms)
}

/// The orientation tag of the first directory.
fn exif_orientation(exif: &[u8]) -> Option<u8> {
    let value = read_exif(exif)?.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0)?;
    u8::try_from(value).ok()
}

/// A block that is broken in places still counts; one that cannot be read at all does not.
pub(super) fn read_exif(block: &[u8]) -> Option<exif::Exif> {
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
pub(super) fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
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
mod tests {
    use super::*;
    use crate::image::fixtures::noise;

    #[test]
    fn turning_and_turning_back_restores_the_image() {
        let image = noise(9, 5, false);
        for (there, back) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)] {
            let [there, back] = [there, back].map(|value| Orientation::from_exif(value).unwrap());
            assert_eq!(upright(upright(image.clone(), there), back), image, "{there:?}");
        }
    }
}
