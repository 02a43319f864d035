//! The image type that everything but the augmenter works on: 8-bit RGB.

/// An 8-bit RGB image.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `[height, width, 3]`, row-major, R G B.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// An image over `pixels`, which must hold `width * height * 3` bytes.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert_eq!(pixels.len(), width * height * 3, "RgbImage: {width}x{height} needs 3 bytes a pixel");
        Self { width, height, pixels }
    }

    /// An image of three equal channels from one grey channel of `width * height` bytes.
    pub fn from_grey(width: usize, height: usize, grey: &[u8]) -> Self {
        Self::new(width, height, grey.iter().flat_map(|&value| [value; 3]).collect())
    }

    /// Whether R = G = B in every pixel.
    pub fn is_grey(&self) -> bool {
        // Each byte against the next; the mask leaves out B against the next pixel's R.
        const CHUNK: usize = 96;
        const MASK: [u8; CHUNK] = {
            let mut mask = [0xff; CHUNK];
            let mut blue = 2;
            while blue < CHUNK {
                mask[blue] = 0;
                blue += 3;
            }
            mask
        };
        let pixels = &self.pixels;
        let whole = pixels.len().saturating_sub(1) / CHUNK * CHUNK;
        for begin in (0..whole).step_by(CHUNK) {
            let (here, next) = (&pixels[begin..begin + CHUNK], &pixels[begin + 1..begin + 1 + CHUNK]);
            let mut difference = 0;
            for ((here, next), mask) in here.iter().zip(next).zip(MASK) {
                difference |= (here ^ next) & mask;
            }
            if difference != 0 {
                return false;
            }
        }
        pixels[whole..].chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
    }
}

impl std::fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::noise;

    #[test]
    fn grey_images_are_recognised_by_their_pixels() {
        for (width, height) in [(1, 1), (5, 3), (11, 3), (48, 48), (33, 31)] {
            let mut image = noise(width, height, true);
            assert!(image.is_grey());
            for byte in 0..image.pixels.len() {
                image.pixels[byte] ^= 1;
                assert!(!image.is_grey(), "{width}x{height}, byte {byte}");
                image.pixels[byte] ^= 1;
            }
        }
    }
}
