//! Maps as heat maps: enlarged to an image's size and blended with it.

use super::map::{Map, stretch};
use crate::image::RgbImage;
use crate::plot::colormap;

/// Opacity of the colour where the map has its largest value.
const COVER: f32 = 0.65;

/// Blends a map into an image: the larger a value, the more opaque its colour. The map's range is stretched
/// to the whole colour scale, so that its smallest value leaves the image unchanged; a constant map changes
/// nothing.
pub fn overlay(image: &RgbImage, map: &Map) -> RgbImage {
    let values = stretch(&map.unit_range(), image.width, image.height);
    let pixels = image.pixels.chunks_exact(3).zip(&values).flat_map(|(pixel, value)| {
        let (cover, color) = (COVER * value, colormap(*value));
        [0, 1, 2].map(|c| (f32::from(pixel[c]) * (1.0 - cover) + f32::from(color[c]) * cover).round() as u8)
    });
    RgbImage::new(image.width, image.height, pixels.collect())
}

/// The mean image and the mean map of a class.
pub struct Mean {
    size: usize,
    count: usize,
    pixels: Vec<f64>,
    map: Option<Map>,
}

impl Mean {
    /// Starts without images; all will be resized to `size` × `size`.
    pub fn new(size: usize) -> Self {
        Self { size, count: 0, pixels: vec![0.0; size * size * 3], map: None }
    }

    /// Adds an image and its map, scaled to a largest value of 1.
    pub fn add(&mut self, image: &RgbImage, map: &Map) {
        let image = crate::image::resize::resize(image, self.size, self.size);
        self.pixels.iter_mut().zip(&image.pixels).for_each(|(sum, pixel)| *sum += f64::from(*pixel));
        let map = map.normalized();
        match &mut self.map {
            Some(sum) => sum.values.iter_mut().zip(&map.values).for_each(|(sum, value)| *sum += value),
            None => self.map = Some(map),
        }
        self.count += 1;
    }

    /// The number of images added.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The mean image in grey with the mean map over it; none without images.
    pub fn overlay(&self) -> Option<RgbImage> {
        let map = self.map.as_ref()?;
        let grey: Vec<u8> = self
            .pixels
            .chunks_exact(3)
            .map(|pixel| (pixel.iter().sum::<f64>() / (3 * self.count) as f64).round() as u8)
            .collect();
        let values = map.values.iter().map(|sum| sum / self.count as f32).collect();
        Some(overlay(&RgbImage::from_grey(self.size, self.size, &grey), &Map { values, ..*map }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, height: usize, values: &[f32]) -> Map {
        Map { width, height, values: values.to_vec() }
    }

    #[test]
    fn an_overlay_leaves_the_image_where_the_map_is_smallest() {
        let image = RgbImage::new(2, 1, vec![10, 20, 30, 10, 20, 30]);
        let shown = overlay(&image, &map(2, 1, &[0.3, 0.7]));
        assert_eq!(shown.pixels[..3], [10, 20, 30]);
        let expected = [0, 1, 2]
            .map(|c| (0.35 * f32::from(image.pixels[c]) + 0.65 * f32::from(colormap(1.0)[c])).round() as u8);
        assert_eq!(shown.pixels[3..], expected);
        assert_eq!(overlay(&image, &map(1, 1, &[2.0])), image);
    }

    #[test]
    fn the_mean_of_a_class_is_that_of_its_images_and_normalized_maps() {
        let mut mean = Mean::new(2);
        assert!(mean.overlay().is_none());
        let image = RgbImage::from_grey(2, 2, &[100; 4]);
        mean.add(&image, &map(2, 1, &[4.0, 0.0]));
        mean.add(&image, &map(2, 1, &[0.5, 1.0]));
        assert_eq!(mean.count(), 2);
        let expected = overlay(&image, &map(2, 1, &[0.75, 0.5]));
        assert_eq!(mean.overlay().unwrap(), expected);
    }
}
