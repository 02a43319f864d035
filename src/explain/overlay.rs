//! Maps as images: enlarged to an image's size and laid over it.

use super::cam::Map;
use crate::image::RgbImage;
use crate::plot::colormap;

/// How much of the image the colour covers where the map is at its largest.
const COVER: f32 = 0.65;

/// The map at `width` × `height`, bilinear with half-pixel centres (torch's `interpolate(mode="bilinear",
/// align_corners=False)`): `[height, width]`, row-major.
pub fn stretch(map: &Map, width: usize, height: usize) -> Vec<f32> {
    let columns = taps(map.width, width);
    let mut out = Vec::with_capacity(width * height);
    for (top, bottom, down) in taps(map.height, height) {
        let (above, below) =
            (&map.values[top * map.width..][..map.width], &map.values[bottom * map.width..][..map.width]);
        out.extend(columns.iter().map(|&(left, right, across)| {
            let upper = above[left] + (above[right] - above[left]) * across;
            let lower = below[left] + (below[right] - below[left]) * across;
            upper + (lower - upper) * down
        }));
    }
    out
}

/// For each of `target` pixels the two of `source` that it lies between, and the share of the second.
fn taps(source: usize, target: usize) -> Vec<(usize, usize, f32)> {
    let tap = |place: usize| {
        let at = ((place as f64 + 0.5) * source as f64 / target as f64 - 0.5).clamp(0.0, (source - 1) as f64);
        let first = at.floor() as usize;
        (first, (first + 1).min(source - 1), (at - first as f64) as f32)
    };
    (0..target).map(tap).collect()
}

/// Lays a map over an image: the larger a value, the more of its colour covers the image's own. The map's
/// least value leaves the image as it is and its largest has the last colour, as far apart as they may be; a
/// map without differences leaves all as it is.
pub fn overlay(image: &RgbImage, map: &Map) -> RgbImage {
    let values = stretch(&map.unit_range(), image.width, image.height);
    let pixels = image.pixels.chunks_exact(3).zip(&values).flat_map(|(pixel, value)| {
        let (cover, color) = (COVER * value, colormap(*value));
        [0, 1, 2].map(|c| (f32::from(pixel[c]) * (1.0 - cover) + f32::from(color[c]) * cover).round() as u8)
    });
    RgbImage::new(image.width, image.height, pixels.collect())
}

/// Sums images and maps of one class, and gives their means.
pub struct Mean {
    size: usize,
    count: usize,
    pixels: Vec<f64>,
    map: Option<Map>,
}

impl Mean {
    /// Nothing yet; images will be of `size` × `size`.
    pub fn new(size: usize) -> Self {
        Self { size, count: 0, pixels: vec![0.0; size * size * 3], map: None }
    }

    /// Adds an image and its map, which counts with its largest value at 1.
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

    /// How many were added.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The mean image, without colour, under the mean map; none without images.
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
    fn stretching_is_torchs_bilinear() {
        // torch.nn.functional.interpolate(torch.tensor([[[[0., 4.], [8., 12.]]]]), size=(2, 4),
        // mode="bilinear")
        let wide = stretch(&map(2, 2, &[0.0, 4.0, 8.0, 12.0]), 4, 2);
        assert_eq!(wide, [0.0, 1.0, 3.0, 4.0, 8.0, 9.0, 11.0, 12.0]);
        assert_eq!(stretch(&map(1, 1, &[5.0]), 2, 3), [5.0; 6]);
        // Reducing takes the two nearest as well: (1 + 2) / 2.
        assert_eq!(stretch(&map(4, 1, &[0.0, 1.0, 2.0, 3.0]), 1, 1), [1.5]);
    }

    #[test]
    fn an_overlay_keeps_the_image_where_the_map_is_least() {
        let image = RgbImage::new(2, 1, vec![10, 20, 30, 10, 20, 30]);
        let shown = overlay(&image, &map(2, 1, &[0.3, 0.7]));
        assert_eq!(shown.pixels[..3], [10, 20, 30]);
        let expected = [0, 1, 2]
            .map(|c| (0.35 * f32::from(image.pixels[c]) + 0.65 * f32::from(colormap(1.0)[c])).round() as u8);
        assert_eq!(shown.pixels[3..], expected);
        assert_eq!(overlay(&image, &map(1, 1, &[2.0])), image);
    }

    #[test]
    fn the_mean_of_two_maps_is_between_them() {
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
