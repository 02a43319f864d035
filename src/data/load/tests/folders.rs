//! Small data sets for the tests, and short words for loading them.

use std::collections::HashMap;
use std::path::Path;

use super::super::load;
use crate::data::testing::write_image;
use crate::data::{DataConfig, Dataset, Split};
use crate::error::Result;

pub(super) const SEED: u64 = 42;

pub(super) fn config(root: &Path) -> DataConfig {
    DataConfig { root: root.into(), ..DataConfig::default() }
}

pub(super) fn try_load(config: &DataConfig) -> Result<Dataset> {
    load(config, SEED, &|_, _| {}).map(|(dataset, _)| dataset)
}

pub(super) fn loaded(config: &DataConfig) -> Dataset {
    try_load(config).unwrap()
}

pub(super) fn refused(config: &DataConfig) -> String {
    let text = try_load(config).expect_err("must be refused").to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

/// Names in a split.
pub(super) fn names(dataset: &Dataset, split: Split) -> Vec<&str> {
    dataset.indices(split).into_iter().map(|index| dataset.samples[index].name.as_str()).collect()
}

pub(super) fn says(notes: &[String], text: &str) -> bool {
    notes.iter().any(|note| note.contains(text))
}

/// Two class folders with `each` different images in each, numbered from `from`.
pub(super) fn folders_from(from: u32, each: u32) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for number in 0..each {
        write_image(root.path(), &format!("happy/{number:03}.png"), from + number);
        write_image(root.path(), &format!("sad/{number:03}.png"), from + 10_000 + number);
    }
    root
}

pub(super) fn folders(each: u32) -> tempfile::TempDir {
    folders_from(0, each)
}

/// Split folders with these numbers of images in each of two classes.
pub(super) fn split_folders(train: u32, valid: u32, test: u32) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut next = 0;
    for (split, each) in [("train", train), ("valid", valid), ("test", test)] {
        for number in 0..each {
            for class in ["happy", "sad"] {
                write_image(root.path(), &format!("{split}/{class}/{number:03}.png"), next);
                next += 1;
            }
        }
    }
    root
}

pub(super) fn no_group_crosses(dataset: &Dataset) {
    let mut splits: HashMap<&str, Split> = HashMap::new();
    for sample in &dataset.samples {
        assert_eq!(
            *splits.entry(&sample.group).or_insert(sample.split),
            sample.split,
            "group {}",
            sample.group
        );
    }
}
