//! The image type of the augmenter and the encoders: 8-bit pixels of one channel or three.

use super::RgbImage;

/// An 8-bit image of one channel (grey) or three (R G B), rows from the top, no padding.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Channels: 1 (grey) or 3 (R G B).
    pub channels: usize,
    /// `[height, width, channels]`, row-major, channels interleaved.
    pub pixels: Vec<u8>,
}

impl Bitmap {
    /// An image over `pixels`, which must hold `width * height * channels` bytes; `channels` must be 1 or 3.
    pub fn new(width: usize, height: usize, channels: usize, pixels: Vec<u8>) -> Self {
        assert!(channels == 1 || channels == 3, "Bitmap: {channels} channels");
        assert_eq!(
            pixels.len(),
            width * height * channels,
            "Bitmap: {width}x{height} of {channels} channels"
        );
        Self { width, height, channels, pixels }
    }

    /// Takes over an image; one whose pixels all have R = G = B becomes one channel.
    pub fn from_rgb(image: RgbImage) -> Self {
        let RgbImage { width, height, .. } = image;
        if image.is_grey() {
            let grey = image.pixels.chunks_exact(3).map(|pixel| pixel[0]).collect();
            return Self::new(width, height, 1, grey);
        }
        Self::new(width, height, 3, image.pixels)
    }

    /// The same image as RGB; a grey one gets three equal channels.
    pub fn to_rgb(&self) -> RgbImage {
        if self.channels == 1 {
            return RgbImage::from_grey(self.width, self.height, &self.pixels);
        }
        RgbImage::new(self.width, self.height, self.pixels.clone())
    }

    /// Bytes per row: `width * channels`.
    pub fn stride(&self) -> usize {
        self.width * self.channels
    }

    /// Becomes equal to `other`; the buffer is kept.
    pub fn copy_from(&mut self, other: &Self) {
        self.take_shape_of(other);
        self.pixels.copy_from_slice(&other.pixels);
    }

    /// Becomes an image of the size and channels of `other`, with unspecified pixels; the buffer is kept.
    pub fn take_shape_of(&mut self, other: &Self) {
        (self.width, self.height, self.channels) = (other.width, other.height, other.channels);
        self.pixels.resize(other.pixels.len(), 0);
    }
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitmap({}x{}x{})", self.width, self.height, self.channels)
    }
}
