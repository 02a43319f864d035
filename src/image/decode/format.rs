//! What a file says of the format that it reads.

use image::metadata::Orientation;

use super::error::DecodeError;
use crate::image::RgbImage;

/// An image as it is stored, and how it is to be turned.
pub(super) type Stored = Result<(RgbImage, Orientation), DecodeError>;

/// A format that can be read. Two are equal if their names are.
#[derive(Clone, Copy)]
pub struct Format {
    /// As messages name it: `JPEG`.
    pub name: &'static str,
    /// The endings by which a scan of a folder finds its files, in lower case without the point.
    pub endings: &'static [&'static str],
    /// The bytes with which every file begins, if they all begin with the same; by these even a file that is
    /// cut off after a few bytes is known.
    pub(super) magic: &'static [u8],
    /// Whether a file's beginning is that of this format.
    pub(super) matches: fn(&[u8]) -> bool,
    /// Width and height as the header claims them, from the beginning of a file; `None` where the header does
    /// not reveal them quickly.
    pub(super) claimed_size: fn(&[u8]) -> Option<(usize, usize)>,
    /// Decodes a file that `matches`.
    pub(super) decode: fn(&[u8]) -> Stored,
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
