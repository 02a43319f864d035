//! Where an image's bytes are, and files that could not be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where an image's bytes are.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file to decode.
    File(PathBuf),
    /// Grey pixels in memory (a row of `fer2013.csv`): `width * height` bytes of `buffer` from `start`, rows
    /// from the top.
    Pixels {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The pixels of all rows of the table.
        buffer: Arc<[u8]>,
        /// Where this image's pixels start.
        start: usize,
    },
}

impl Origin {
    /// The path of the file, if the image is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Pixels { .. } => None,
        }
    }
}

/// A file that could not be used, with the reason.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// Path relative to its root.
    pub name: String,
    /// Why it cannot be used, in words.
    pub reason: String,
}
