//! The one image type of the host side: 8-bit RGB, rows from the top, no padding.

/// An 8-bit RGB image.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
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
}

impl std::fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}
