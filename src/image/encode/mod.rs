//! Writing images: pixels become the bytes of a JPEG or PNG file, by one thread, without allocating once its
//! buffers have grown.
//!
//! The JPEG files are equal, byte for byte, to what Pillow 11.2.1 (libjpeg-turbo) writes for
//! `image.save(file, "JPEG", quality=quality, subsampling=subsampling)`. The same pixels give the same bytes
//! on every processor.

mod jpeg;
mod png;
mod subsampling;

pub use self::subsampling::Subsampling;

use super::{Bitmap, RgbImage};
use crate::simd::Level;

/// One worker's tables and buffers, which grow with the largest image and are kept.
#[derive(Default)]
pub struct Encoder {
    level: Level,
    jpeg: jpeg::Writer,
    png: png::Writer,
}

impl Encoder {
    /// Writes a baseline JPEG of `quality` 1 to 100 (libjpeg's scale; beyond it the nearest counts) into
    /// `out`, which is cleared before. An image of one channel becomes a JPEG of one component; of
    /// `subsampling` it only bears a mark, as with Pillow.
    ///
    /// # Panics
    /// For an image without pixels, or with a side of more than 65535, neither of which JPEG can hold.
    pub fn jpeg(&mut self, image: &Bitmap, quality: u8, subsampling: Subsampling, out: &mut Vec<u8>) {
        let sides = 1..=usize::from(u16::MAX);
        assert!(
            sides.contains(&image.width) && sides.contains(&image.height),
            "{image:?} cannot be a JPEG: sides of 1 to 65535"
        );
        self.jpeg.write(self.level, image, quality.clamp(1, 100), subsampling, out);
    }

    /// Writes a PNG of 8 bits, grey or RGB, into `out`, which is cleared before; compressed for speed more
    /// than for size.
    ///
    /// # Panics
    /// For an image without pixels, which PNG cannot hold.
    pub fn png(&mut self, image: &Bitmap, out: &mut Vec<u8>) {
        assert!(image.width > 0 && image.height > 0, "{image:?} cannot be a PNG: it has no pixels");
        self.png.write(self.level, image, out);
    }
}

/// The image as an 8-bit RGB PNG, compressed for speed rather than size.
///
/// # Panics
/// For an image without pixels, which PNG cannot hold.
pub fn encode_png(image: &RgbImage) -> Vec<u8> {
    let mut file = Vec::with_capacity(image.pixels.len() / 2 + 1024);
    let mut encoder = ::png::Encoder::new(&mut file, image.width as u32, image.height as u32);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_compression(::png::Compression::Fast);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&image.pixels)?;
        writer.finish()
    });
    written.expect("an image with pixels can be written to memory as PNG");
    file
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde::Deserialize;

    use super::*;
    use crate::image::decode::decode;

    /// An encoder for every level of this processor.
    fn encoders() -> Vec<Encoder> {
        Level::available().map(|level| Encoder { level, ..Encoder::default() }).collect()
    }

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encode")
    }

    #[derive(Deserialize)]
    struct Case {
        size: [usize; 2],
        channels: usize,
        pixels: usize,
        quality: u8,
        subsampling: Subsampling,
        file: [usize; 2],
    }

    /// An image of slopes and noise of a given strength, with a flat part.
    fn image(width: usize, height: usize, channels: usize, noise: u32) -> Bitmap {
        let mut state = (width * 31 + height * 7 + channels) as u32;
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                    let slope = (40 + c * 30 + 2 * x + 3 * y) as u32 % 200;
                    let flat = x * 3 > width && y * 2 > height;
                    pixels.push(if flat { 90 } else { (slope + (state >> 16) % noise) as u8 });
                }
            }
        }
        Bitmap::new(width, height, channels, pixels)
    }

    const SHAPES: [(usize, usize); 14] = [
        (1, 1),
        (2, 1),
        (1, 2),
        (3, 5),
        (7, 7),
        (8, 8),
        (9, 17),
        (16, 16),
        (48, 48),
        (33, 70),
        (100, 3),
        (3, 100),
        (300, 41),
        (256, 256),
    ];

    #[test]
    fn every_png_is_read_back_as_it_was_and_is_the_same_at_every_level() {
        let mut encoders = encoders();
        for (width, height) in SHAPES {
            for (channels, noise) in [(1, 1), (3, 1), (1, 4), (3, 9), (3, 50), (1, 56), (3, 256)] {
                let image = image(width, height, channels, noise);
                let files: Vec<Vec<u8>> = encoders
                    .iter_mut()
                    .map(|encoder| {
                        let mut file = vec![7; 5];
                        encoder.png(&image, &mut file);
                        file
                    })
                    .collect();
                assert!(
                    files.iter().all(|file| *file == files[0]),
                    "{image:?}, noise {noise}: not the same at every level"
                );
                assert_eq!(decode(&files[0]).unwrap(), image.to_rgb(), "{image:?}, noise {noise}");
                let colour = files[0][25];
                assert_eq!(colour, if channels == 1 { 0 } else { 2 });
            }
        }
    }

    #[test]
    fn runs_of_any_length_are_read_back() {
        // Rows of zeros of growing length between other values, so that all lengths of repetitions occur.
        let mut pixels = Vec::new();
        for zeros in 0..800 {
            let mut row = vec![9u8; 800];
            row[3..].iter_mut().take(zeros).for_each(|value| *value = 0);
            pixels.extend(row);
        }
        let image = Bitmap::new(800, 800, 1, pixels);
        let mut file = Vec::new();
        let mut encoder = Encoder::default();
        encoder.png(&image, &mut file);
        assert_eq!(decode(&file).unwrap(), image.to_rgb());
        assert!(file.len() < 800 * 20, "{} bytes", file.len());
    }

    #[test]
    fn a_jpeg_is_close_to_its_image() {
        let mut encoder = Encoder::default();
        let mut file = Vec::new();
        for (width, height) in SHAPES {
            for channels in [1, 3] {
                // Without noise colours survive subsampling but for the flat part's edge.
                let image = image(width, height, channels, 1);
                for (subsampling, quality, most) in [
                    (Subsampling::S444, 100, 0.9),
                    (Subsampling::S444, 75, 8.0),
                    (Subsampling::S422, 95, 6.0),
                    (Subsampling::S420, 95, 8.0),
                ] {
                    encoder.jpeg(&image, quality, subsampling, &mut file);
                    let (found, expected) = (decode(&file).unwrap(), image.to_rgb());
                    assert_eq!((found.width, found.height), (width, height));
                    let total: u32 = found
                        .pixels
                        .iter()
                        .zip(&expected.pixels)
                        .map(|(a, b)| u32::from(a.abs_diff(*b)))
                        .sum();
                    let mean = f64::from(total) / expected.pixels.len() as f64;
                    assert!(
                        mean <= most,
                        "{image:?}, {subsampling:?}, quality {quality}: off by {mean:.2} on average"
                    );
                }
            }
        }
    }

    #[test]
    fn long_sides_are_written() {
        let mut file = Vec::new();
        for (width, height) in [(65535, 1), (1, 65535), (8192, 9)] {
            let image = image(width, height, 3, 9);
            Encoder::default().jpeg(&image, 90, Subsampling::S420, &mut file);
            let size = file.windows(2).position(|two| two == [0xff, 0xc0]).unwrap() + 5;
            assert_eq!(
                file[size..size + 4],
                [(height as u16).to_be_bytes(), (width as u16).to_be_bytes()].concat()
            );
            assert!(file.ends_with(&[0xff, 0xd9]));
        }
    }

    #[test]
    #[should_panic(expected = "cannot be a JPEG")]
    fn an_image_without_pixels_is_no_jpeg() {
        Encoder::default().jpeg(&Bitmap::new(0, 4, 3, Vec::new()), 90, Subsampling::S444, &mut Vec::new());
    }

    #[test]
    #[should_panic(expected = "cannot be a PNG")]
    fn an_image_without_pixels_is_no_png() {
        Encoder::default().png(&Bitmap::new(4, 0, 1, Vec::new()), &mut Vec::new());
    }

    #[test]
    fn every_jpeg_is_what_pillow_writes() {
        let read = |name: &str| std::fs::read(folder().join(name)).unwrap();
        let (sources, files) = (read("sources.bin"), read("files.bin"));
        let cases: Vec<Case> = serde_json::from_slice(&read("index.json")).unwrap();
        assert!(cases.len() > 200, "the fixtures are incomplete: {}", cases.len());
        for mut encoder in encoders() {
            let mut found = vec![1, 2, 3];
            for Case { size: [width, height], channels, pixels, quality, subsampling, file } in &cases {
                let pixels = sources[*pixels..][..width * height * channels].to_vec();
                let image = Bitmap::new(*width, *height, *channels, pixels);
                encoder.jpeg(&image, *quality, *subsampling, &mut found);
                let expected = &files[file[0]..file[1]];
                let same = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
                assert!(
                    found == expected,
                    "{image:?}, quality {quality}, {subsampling:?}, {:?}: {} bytes for {}, equal to {same}",
                    encoder.level,
                    found.len(),
                    expected.len()
                );
            }
        }
    }
}
