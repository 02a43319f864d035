//! Small images for tests.

use crate::image::RgbImage;
use std::fs;
use std::path::Path;

/// An 8×8 colour image that no other number gives.
pub fn image(number: u32) -> RgbImage {
    let mut pixels: Vec<u8> = (0..8 * 8 * 3).map(|at| (at * 5 + number as usize) as u8).collect();
    pixels[..4].copy_from_slice(&number.to_le_bytes());
    RgbImage::new(8, 8, pixels)
}

/// An image as the bytes of a PNG file.
pub fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&image.pixels).unwrap();
    bytes
}

/// Writes `bytes` at `root/name`, with the folders on the way.
pub fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Writes image `number` at `root/name`.
pub fn write_image(root: &Path, name: &str, number: u32) {
    write(root, name, png(&image(number)));
}
