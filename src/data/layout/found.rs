//! What the layouts have in common: an image as it was found, and everything that a root contains.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::origin::{Origin, Unreadable};
use super::super::split::Split;

/// How a root keeps its images.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `ROOT/{train,valid,test}/{class}/*`
    SplitFolders,
    /// `ROOT/{class}/*`
    ClassFolders,
    /// A CSV or JSONL list of paths and labels.
    List,
    /// `fer2013.csv`: pixels in a table.
    Fer2013,
}

/// An image as it was found; it is not read yet.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path relative to the root, `/` separated.
    pub name: String,
    /// The file, or the pixels in memory.
    pub origin: Origin,
    /// Folder name or list label; [`classes::resolve`](crate::data::classes::resolve) gives its class.
    pub label: String,
    /// The split it was found in, where the layout has splits.
    pub split: Option<Split>,
    /// The list's group column.
    pub group: Option<String>,
}

/// What a root contains.
#[derive(Clone, Debug)]
pub struct Scan {
    /// How the root keeps its images.
    pub layout: Layout,
    /// The images, sorted by name.
    pub entries: Vec<Entry>,
    /// Every label, also those of empty folders.
    pub labels: BTreeSet<String>,
    /// Broken links, missing files and malformed rows.
    pub unreadable: Vec<Unreadable>,
    /// What was found and is not an image of a class, in words and with counts.
    pub left_out: Vec<String>,
    /// Links that were not followed, in words.
    pub warnings: Vec<String>,
}

impl Scan {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            entries: Vec::new(),
            labels: BTreeSet::new(),
            unreadable: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// What can be given as a data set, for messages.
pub(super) const EXPECTED: &str = concat!(
    "ROOT/{class}/*, ROOT/{train,valid,test}/{class}/*, ",
    "a .csv or .jsonl list with path and label, or fer2013.csv"
);
