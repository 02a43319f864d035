//! The images of an audit, and pairs of them that are duplicates.

use serde::{Deserialize, Serialize};

use crate::data::{Origin, Split};

/// A readable image: where it is, what it shows and what it is like.
#[derive(Clone, Debug)]
pub struct Image {
    /// Index into [`super::Options::roots`].
    pub root: usize,
    /// Path below the root, `/` separated.
    pub name: String,
    /// Where its bytes are.
    pub origin: Origin,
    /// Index into [`super::Audit::classes`].
    pub class: usize,
    /// The split it was found in, where the root has splits.
    pub split: Option<Split>,
    /// Its group, which no split may divide: images with the same key or the same content.
    pub group: String,
    /// The public data set that its file name points to.
    pub source: Option<String>,
    /// Whether it is an augmented copy.
    pub copy: bool,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Whether R = G = B everywhere.
    pub grey: bool,
    /// Whether it is blank.
    pub blank: bool,
    /// BLAKE3 of the file's bytes.
    pub hash: [u8; 32],
    /// BLAKE3 of the decoded image.
    pub pixel_hash: [u8; 32],
}

/// How two images are duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The files have the same bytes.
    Content,
    /// The same pixels, in files with different bytes.
    Pixels,
    /// Nearly the same pixels.
    Near,
    /// Nearly the same pixels, mirrored.
    Mirrored,
}

impl Kind {
    /// Whether every pixel is the same.
    pub fn is_exact(self) -> bool {
        matches!(self, Self::Content | Self::Pixels)
    }

    /// The name in `pairs.csv` and on the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Content => "same file",
            Self::Pixels => "same pixels",
            Self::Near => "near copy",
            Self::Mirrored => "mirrored near copy",
        }
    }
}

/// Where the two images of a pair are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// In one split of one root, or in a root without splits.
    WithinSplit,
    /// In two splits of one root.
    AcrossSplits,
    /// In two different roots.
    AcrossSets,
}

impl Relation {
    /// The name in `pairs.csv`.
    pub fn name(self) -> &'static str {
        match self {
            Self::WithinSplit => "within a split",
            Self::AcrossSplits => "across splits",
            Self::AcrossSets => "across data sets",
        }
    }
}

/// Two images that are duplicates, exact or near. Each of several exact duplicates is paired with the first
/// one only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Index into [`super::Audit::images`].
    pub a: usize,
    /// Index into [`super::Audit::images`], larger than `a`.
    pub b: usize,
    /// Which kind of duplicate.
    pub kind: Kind,
    /// Where the two images are: in one split, in two, or in two data sets.
    pub relation: Relation,
    /// Whether they have the same label.
    pub same_label: bool,
    /// Bits, of 64, in which the perceptual hashes differ.
    pub hash_distance: u32,
    /// Correlation of the aligned small grey images, in `-1..=1`.
    pub correlation: f64,
}
