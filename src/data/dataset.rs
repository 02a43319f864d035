//! A loaded data set: its samples with class, group and split, and everything to be said about where they
//! came from.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::config::{DataConfig, DatasetType};
use super::groups::{self, GroupRule};
use super::layout::Layout;
use super::leaks::Leak;
use super::origin::{Origin, Unreadable};
use super::split::Split;

/// One sample of the data set: an image with its class.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Path relative to its root, `/` separated; bytes that are not UTF-8 become replacement characters.
    pub name: String,
    /// The file, or the pixels in memory.
    pub origin: Origin,
    /// Index into [`Dataset::classes`].
    pub class: usize,
    /// The group that no split may cut: an original and its copies, one person, one source photo.
    pub group: String,
    /// Train, valid or test.
    pub split: Split,
    /// Whether it is an augmented copy; those are in train only.
    pub augmented: bool,
    /// Whether it comes from a synthetic root.
    pub synthetic: bool,
    /// BLAKE3 of the file's bytes, or of the pixels of a row.
    pub hash: [u8; 32],
}

impl Sample {
    /// The data set that the image comes from by its file name (`FER2013`, `ExpW`, `drawn`), for accuracy per
    /// source. See [`groups::source`].
    pub fn source(&self) -> Option<&'static str> {
        groups::source(&self.name)
    }
}

/// The samples of a run, with everything to be said about where they came from.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Class names; a sample's class is an index into them.
    pub classes: Vec<String>,
    /// Sorted by split, then by name.
    pub samples: Vec<Sample>,
    /// Files that could not be used.
    pub unreadable: Vec<Unreadable>,
    /// What was found and not used, in words and with counts.
    pub left_out: Vec<String>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Groups that cross splits; only ever non-empty with `allow_leakage` and in an evaluation.
    pub leaks: Vec<Leak>,
    /// How the images are arranged at the root.
    pub layout: Layout,
    /// Number of originals that got their group by each rule.
    pub group_rules: BTreeMap<GroupRule, usize>,
    /// Number of images that are exact duplicates of another.
    pub duplicates: usize,
    /// The configuration it was loaded with.
    pub config: DataConfig,
    /// The seed of the split and the subset.
    pub seed: u64,
}

impl Dataset {
    /// Indices of the samples of a split, in the order of their names.
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.samples.len()).filter(|&index| self.samples[index].split == split).collect()
    }

    /// Number of images per split and class.
    pub fn counts(&self) -> SplitCounts {
        let mut counts = [(); 3].map(|()| vec![0; self.classes.len()]);
        for sample in &self.samples {
            counts[sample.split as usize][sample.class] += 1;
        }
        let [train, valid, test] = counts;
        SplitCounts { train, valid, test }
    }

    /// BLAKE3 (hexadecimal) over the classes and every (split, class, group, name, content), sorted. Two runs
    /// with the same fingerprint used the same images in the same way.
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

    /// What a run folder keeps about its data.
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

/// Number of images per class in each split.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct SplitCounts {
    /// `[class]`: images to train on, augmented copies included.
    pub train: Vec<usize>,
    /// `[class]`: validation images.
    pub valid: Vec<usize>,
    /// `[class]`: test images.
    pub test: Vec<usize>,
}

impl SplitCounts {
    /// The counts of a split, `[class]`.
    pub fn of(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }
}

/// Number of groups in each split.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GroupCounts {
    /// Number of groups in the training split.
    pub train: usize,
    /// Number of groups in the validation split.
    pub valid: usize,
    /// Number of groups in the test split.
    pub test: usize,
}

/// What a run folder keeps about its data (`data.json`).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DataSummary {
    /// The root, as the user gave it.
    pub root: PathBuf,
    /// How the images are arranged there.
    pub layout: Layout,
    /// Which images were trained on.
    pub dataset_type: DatasetType,
    /// Class names, in the order of the class index.
    pub classes: Vec<String>,
    /// Images per split and class.
    pub counts: SplitCounts,
    /// Number of groups in each split.
    pub groups: GroupCounts,
    /// Number of originals that got their group by each rule; copies follow their original.
    pub group_rules: BTreeMap<GroupRule, usize>,
    /// `data.group_regex` of the configuration.
    pub group_regex: Option<String>,
    /// Number of augmented copies.
    pub augmented: usize,
    /// Number of images from a synthetic root.
    pub synthetic: usize,
    /// Number of images that are exact duplicates of another.
    pub duplicates: usize,
    /// The seed of the split and the subset.
    pub seed: u64,
    /// See [`Dataset::fingerprint`].
    pub fingerprint: String,
    /// Whether groups cross splits: accuracy on validation and test is then overestimated.
    pub leakage: bool,
    /// Number of groups that cross splits.
    pub leaking_groups: usize,
    /// The first [`DataSummary::LEAKS_SHOWN`] of them.
    pub leaks: Vec<Leak>,
    /// Files that could not be used.
    pub unreadable: Vec<Unreadable>,
    /// What was found and not used, in words and with counts.
    pub left_out: Vec<String>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl DataSummary {
    /// The most leaks that a summary names.
    pub const LEAKS_SHOWN: usize = 100;
}

#[cfg(test)]
mod tests {
    use super::*;

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
