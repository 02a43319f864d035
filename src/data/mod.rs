//! Data: from a folder or a list to images with classes, groups and splits.
//!
//! ```text
//! layout ─► store (read, hash, decode once) ─► groups ─► split ─► leak check ─► copies ─► Dataset + ImageStore
//! ```
//!
//! [`load`] does all of it. A *group* is what no split may cut: one original and its augmented copies, one
//! person, one source photo; exact duplicates always share one. Whatever cannot be used is counted and named
//! in the [`Dataset`], never dropped in silence.

pub mod classes;
pub mod config;
mod copies;
pub mod groups;
pub mod layout;
mod load;
pub mod manifest;
pub mod split;
pub mod store;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::classes::EMOTIONS;
pub use self::config::{DataConfig, DatasetType};
pub use self::groups::GroupRule;
pub use self::layout::Layout;
pub use self::load::{load, load_for_evaluation};
pub use self::store::ImageStore;
use crate::error::{Error, Result};

/// What an image is used for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Trained on.
    Train,
    /// Watched during training: the best epoch, the plateau, early stopping.
    Valid,
    /// Looked at once, at the end.
    Test,
}

impl Split {
    /// All three; `split as usize` is the index.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// `train`, `valid` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    /// Reads `train`, `valid` (`val`, `validation`) and `test` in any case.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_lowercase().as_str() {
            "train" | "training" => Ok(Self::Train),
            "valid" | "val" | "validation" => Ok(Self::Valid),
            "test" | "testing" => Ok(Self::Test),
            _ => Err(Error::input("split", format!("found `{text}`")).expected("train, valid or test")),
        }
    }
}

/// Where an image's bytes are.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file to decode.
    File(PathBuf),
    /// Grey pixels in memory (a row of `fer2013.csv`): `width * height` bytes of `buffer` from `start`, rows
    /// from the top.
    Pixels {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// The pixels of all rows of the table.
        buffer: Arc<[u8]>,
        /// Where this image's pixels start.
        start: usize,
    },
}

impl Origin {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Pixels { .. } => None,
        }
    }
}

/// One image of the data set.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Path relative to its root, `/` separated; bytes that are no UTF-8 are shown as replacement characters.
    pub name: String,
    /// Where its bytes are.
    pub origin: Origin,
    /// Index into [`Dataset::classes`].
    pub class: usize,
    /// What must not be cut by a split.
    pub group: String,
    /// What it is used for.
    pub split: Split,
    /// Whether it is an augmented copy; those are in train only.
    pub augmented: bool,
    /// Whether it comes from a synthetic root.
    pub synthetic: bool,
    /// BLAKE3 of the file's bytes, or of the pixels of a row.
    pub hash: [u8; 32],
}

impl Sample {
    /// The data set that the file name tells (`FER2013`, `ExpW`, `drawn`), for accuracy per source. See
    /// [`groups::source`].
    pub fn source(&self) -> Option<&'static str> {
        groups::source(&self.name)
    }
}

/// A file that could not be used, with the reason.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// Path relative to its root.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A group that is in more than one split.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The group.
    pub group: String,
    /// Its splits.
    pub splits: Vec<Split>,
    /// One image of each of these splits.
    pub examples: Vec<String>,
}

/// The images of a run and everything to be known about where they came from.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Class names; a sample's class is an index into them.
    pub classes: Vec<String>,
    /// Sorted by split, then by name.
    pub samples: Vec<Sample>,
    /// Files that could not be used.
    pub unreadable: Vec<Unreadable>,
    /// What was found and not used, with counts.
    pub left_out: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Groups that cross splits; not empty only with `allow_leakage` and in [`load_for_evaluation`].
    pub leaks: Vec<Leak>,
    /// How the root keeps its images.
    pub layout: Layout,
    /// How many images got their group by which rule.
    pub group_rules: BTreeMap<GroupRule, usize>,
    /// Images whose exact content an earlier one has.
    pub duplicates: usize,
    /// The settings it was loaded with.
    pub config: DataConfig,
    /// The seed of the split and the subset.
    pub seed: u64,
}

impl Dataset {
    /// The samples of a split, by name.
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.samples.len()).filter(|&index| self.samples[index].split == split).collect()
    }

    /// Images per split and class.
    pub fn counts(&self) -> SplitCounts {
        let mut counts = [(); 3].map(|()| vec![0; self.classes.len()]);
        for sample in &self.samples {
            counts[sample.split as usize][sample.class] += 1;
        }
        let [train, valid, test] = counts;
        SplitCounts { train, valid, test }
    }

    /// BLAKE3 (hex) over what the data set consists of: the classes and every (split, class, group, name,
    /// content), sorted. Two runs with one fingerprint used the same images in the same way.
    pub fn fingerprint(&self) -> String {
        let mut rows: Vec<_> = self
            .samples
            .iter()
            .map(|s| (s.split, s.class, s.group.as_str(), s.name.as_str(), &s.hash, s.synthetic))
            .collect();
        rows.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        // Each text goes in with its length, so that no two lists of texts look alike.
        let text = |hasher: &mut blake3::Hasher, text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        hasher.update(&(self.classes.len() as u64).to_le_bytes());
        self.classes.iter().for_each(|name| text(&mut hasher, name));
        for (split, class, group, name, hash, synthetic) in rows {
            hasher.update(&[split as u8, u8::from(synthetic)]);
            hasher.update(&(class as u64).to_le_bytes());
            text(&mut hasher, group);
            text(&mut hasher, name);
            hasher.update(hash);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Everything a run folder keeps about its data.
    pub fn summary(&self) -> DataSummary {
        let groups = Split::ALL.map(|split| {
            let groups: HashSet<&str> = self
                .samples
                .iter()
                .filter(|sample| sample.split == split)
                .map(|sample| sample.group.as_str())
                .collect();
            groups.len()
        });
        let count = |test: fn(&Sample) -> bool| self.samples.iter().filter(|sample| test(sample)).count();
        DataSummary {
            root: self.config.root.clone(),
            layout: self.layout,
            dataset_type: self.config.dataset_type,
            classes: self.classes.clone(),
            counts: self.counts(),
            groups: GroupCounts { train: groups[0], valid: groups[1], test: groups[2] },
            group_rules: self.group_rules.clone(),
            group_regex: self.config.group_regex.clone(),
            augmented: count(|sample| sample.augmented),
            synthetic: count(|sample| sample.synthetic),
            duplicates: self.duplicates,
            seed: self.seed,
            fingerprint: self.fingerprint(),
            leakage: !self.leaks.is_empty(),
            leaking_groups: self.leaks.len(),
            leaks: self.leaks.iter().take(DataSummary::LEAKS_SHOWN).cloned().collect(),
            unreadable: self.unreadable.clone(),
            left_out: self.left_out.clone(),
            warnings: self.warnings.clone(),
        }
    }
}

/// Images per class in each split.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct SplitCounts {
    /// `[class]`
    pub train: Vec<usize>,
    /// `[class]`
    pub valid: Vec<usize>,
    /// `[class]`
    pub test: Vec<usize>,
}

impl SplitCounts {
    /// `[class]` of a split.
    pub fn of(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }
}

/// Groups in each split.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GroupCounts {
    /// In train.
    pub train: usize,
    /// In validation.
    pub valid: usize,
    /// In test.
    pub test: usize,
}

/// What a run folder keeps about its data (`data.json`).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DataSummary {
    /// The root, as the user gave it.
    pub root: PathBuf,
    /// How it keeps its images.
    pub layout: Layout,
    /// What was trained on.
    pub dataset_type: DatasetType,
    /// Class names in index order.
    pub classes: Vec<String>,
    /// Images per split and class.
    pub counts: SplitCounts,
    /// Groups per split.
    pub groups: GroupCounts,
    /// How many images got their group by which rule; copies follow their original and are not counted.
    pub group_rules: BTreeMap<GroupRule, usize>,
    /// The user's group expression.
    pub group_regex: Option<String>,
    /// How many images are augmented copies.
    pub augmented: usize,
    /// How many images come from a synthetic root.
    pub synthetic: usize,
    /// Images whose exact content an earlier one has.
    pub duplicates: usize,
    /// The seed of the split and the subset.
    pub seed: u64,
    /// See [`Dataset::fingerprint`].
    pub fingerprint: String,
    /// Whether groups cross splits: the measured accuracy is then too good.
    pub leakage: bool,
    /// How many groups cross splits.
    pub leaking_groups: usize,
    /// The first [`DataSummary::LEAKS_SHOWN`] of them.
    pub leaks: Vec<Leak>,
    /// Files that could not be used.
    pub unreadable: Vec<Unreadable>,
    /// What was found and not used, with counts.
    pub left_out: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl DataSummary {
    /// How many leaks a summary names.
    pub const LEAKS_SHOWN: usize = 100;
}

#[cfg(test)]
pub(crate) mod testing {
    //! Small images for tests.

    use crate::image::RgbImage;
    use std::fs;
    use std::path::Path;

    /// An 8×8 colour image that no other number gives.
    pub fn image(number: u32) -> RgbImage {
        let mut pixels: Vec<u8> = (0..8 * 8 * 3).map(|at| (at * 5 + number as usize) as u8).collect();
        pixels[..4].copy_from_slice(&number.to_le_bytes());
        RgbImage::new(8, 8, pixels)
    }

    /// An image as the bytes of a PNG file.
    pub fn png(image: &RgbImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, image.width as u32, image.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&image.pixels).unwrap();
        bytes
    }

    /// Writes `bytes` at `root/name`, with the folders on the way.
    pub fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes image `number` at `root/name`.
    pub fn write_image(root: &Path, name: &str, number: u32) {
        write(root, name, png(&image(number)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_read_under_their_usual_names() {
        for (text, split) in [
            ("train", Split::Train),
            ("VAL", Split::Valid),
            ("validation", Split::Valid),
            ("Test", Split::Test),
        ] {
            assert_eq!(text.parse::<Split>().unwrap(), split);
        }
        assert!("dev".parse::<Split>().is_err());
        assert_eq!(serde_json::to_string(&Split::Valid).unwrap(), "\"valid\"");
    }

    #[test]
    fn the_fingerprint_sees_every_part_of_a_sample() {
        let sample = Sample {
            name: "a.png".into(),
            origin: Origin::File("x/a.png".into()),
            class: 0,
            group: "g".into(),
            split: Split::Train,
            augmented: false,
            synthetic: false,
            hash: [1; 32],
        };
        let fingerprint = |samples: &[Sample], classes: &[&str]| {
            let dataset = Dataset {
                classes: classes.iter().map(|&name| name.to_owned()).collect(),
                samples: samples.to_vec(),
                unreadable: Vec::new(),
                left_out: Vec::new(),
                warnings: Vec::new(),
                leaks: Vec::new(),
                layout: Layout::ClassFolders,
                group_rules: BTreeMap::new(),
                duplicates: 0,
                config: DataConfig::default(),
                seed: 1,
            };
            dataset.fingerprint()
        };
        let base = fingerprint(std::slice::from_ref(&sample), &["x", "y"]);
        let other = Sample { name: "b.png".into(), ..sample.clone() };
        let both = [sample.clone(), other.clone()];
        assert_eq!(fingerprint(&both, &["x", "y"]), fingerprint(&[other, sample.clone()], &["x", "y"]));
        let moved = Sample { origin: Origin::File("elsewhere/a.png".into()), ..sample.clone() };
        assert_eq!(base, fingerprint(&[moved], &["x", "y"]), "where the data lies says nothing about it");
        for changed in [
            Sample { name: "c.png".into(), ..sample.clone() },
            Sample { class: 1, ..sample.clone() },
            Sample { group: "h".into(), ..sample.clone() },
            Sample { split: Split::Test, ..sample.clone() },
            Sample { hash: [2; 32], ..sample.clone() },
        ] {
            assert_ne!(base, fingerprint(&[changed], &["x", "y"]));
        }
        assert_ne!(base, fingerprint(std::slice::from_ref(&sample), &["y", "x"]));
        assert_ne!(fingerprint(&[], &["xy", "z"]), fingerprint(&[], &["x", "yz"]));
    }
}
