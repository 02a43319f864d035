//! What a run was trained on, so that a later evaluation can tell whether it sees the same images or groups:
//! a line per image with the hash of its content and its group, sorted.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::data::{Dataset, Split};
use crate::error::{Error, Result};
use crate::files::write_atomic;

/// What a run was trained on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trained {
    /// BLAKE3 of each image's content, hex.
    pub hashes: HashSet<String>,
    /// The groups of the images.
    pub groups: HashSet<String>,
}

/// Writes the training split of `dataset`.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, dataset: &Dataset) -> Result<()> {
    let line = |index: usize| {
        let sample = &dataset.samples[index];
        format!("{}\t{}\n", blake3::Hash::from_bytes(sample.hash).to_hex(), sample.group)
    };
    let mut lines: Vec<String> = dataset.indices(Split::Train).into_iter().map(line).collect();
    lines.sort_unstable();
    write_atomic(path, |out| out.write_all(lines.concat().as_bytes()))
}

/// Reads what [`write()`] has written.
///
/// # Errors
/// The file cannot be read, or one of its lines has no tab.
pub fn read(path: &Path) -> Result<Trained> {
    let text = fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
    let mut trained = Trained::default();
    for (index, line) in text.lines().enumerate() {
        let Some((hash, group)) = line.split_once('\t') else {
            let place = format!("{}:{}", path.display(), index + 1);
            return Err(Error::input(place, "there is no tab").expected("a hash and a group"));
        };
        trained.hashes.insert(hash.to_owned());
        trained.groups.insert(group.to_owned());
    }
    Ok(trained)
}
