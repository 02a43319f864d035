//! Folders for the tests of the layouts.

use std::path::Path;

use super::{Scan, scan};
use crate::data::testing::write_image;

/// A folder with these images.
pub(super) fn tree(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in names.iter().enumerate() {
        write_image(folder.path(), name, number as u32);
    }
    folder
}

pub(super) fn names(scan: &Scan) -> Vec<&str> {
    scan.entries.iter().map(|entry| entry.name.as_str()).collect()
}

pub(super) fn refused(folder: &Path) -> String {
    let text = scan(folder).expect_err("must be refused").to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}
