//! The settings of the data: which, how they are split, and what is refused.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What `data.split` must be.
pub(crate) const SPLIT_FRACTIONS: &str =
    "three numbers, train, valid, test, that sum to 1, such as 0.8,0.1,0.1";

/// Where the data lies and how it is used. Every field has a default but `root`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The data: a folder (`train/valid/test` folders of class folders, or class folders), a list (`.csv`,
    /// `.jsonl`) or `fer2013.csv`.
    pub root: PathBuf,
    /// Which images are trained on.
    pub dataset_type: DatasetType,
    /// The augmenter's output; by default the training root itself. The groups of its manifest apply to every
    /// dataset type, so that a run without copies gets the same splits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augmented: Option<PathBuf>,
    /// Synthetic images to train on while validation and test come from `root`; without it `root` itself is
    /// the synthetic set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<PathBuf>,
    /// The classes, by folder name; empty: from the folders.
    pub classes: Vec<String>,
    /// A regular expression whose first capture (or whole match) is the group. It is tried on the file name
    /// first, then on the path relative to the root with `/` as separator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_regex: Option<String>,
    /// Fractions of train, validation and test where the program splits; they add up to 1. Where only
    /// validation or test is missing, its fraction is taken from train.
    pub split: [f64; 3],
    /// Seed of the split and of `debug_subset`; by default `train.seed`. Set it to train several seeds on the
    /// same split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// Ignore existing splits and split again, by group.
    pub resplit: bool,
    /// Train even though groups cross splits; the run's reports are marked.
    pub allow_leakage: bool,
    /// Drop the train images whose group is also in validation or test, and the validation images whose group
    /// is also in test, so that a given test set stays complete and held out.
    pub drop_leaking: bool,
    /// Fraction of unreadable files to tolerate; more are an error.
    pub max_unreadable: f64,
    /// Train on this many images only: a stratified, seeded subset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug_subset: Option<usize>,
    /// Memory for decoded images, in MiB. Images that do not fit are decoded again in every epoch.
    pub cache_mb: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            root: PathBuf::new(),
            dataset_type: DatasetType::Real,
            augmented: None,
            synthetic: None,
            classes: Vec::new(),
            group_regex: None,
            split: [0.8, 0.1, 0.1],
            split_seed: None,
            resplit: false,
            allow_leakage: false,
            drop_leaking: false,
            max_unreadable: 0.01,
            debug_subset: None,
            cache_mb: 2048,
        }
    }
}

impl DataConfig {
    /// Checks every value that can be checked without reading the data.
    ///
    /// # Errors
    /// The first value that is wrong, by its key and flag.
    pub fn validate(&self) -> Result<()> {
        if self.root.as_os_str().is_empty() {
            return Err(Error::input("data.root", "is not set")
                .expected("a folder, a list (.csv, .jsonl) or fer2013.csv")
                .hint("Name it as DATA"));
        }
        let [train, valid, test] = self.split;
        let sum = train + valid + test;
        if !self.split.iter().all(|share| (0.0..=1.0).contains(share)) || (sum - 1.0).abs() > 1e-6 {
            return Err(
                Error::input("data.split", format!("found {train},{valid},{test}")).expected(SPLIT_FRACTIONS)
            );
        }
        if !(0.0..=1.0).contains(&self.max_unreadable) {
            return Err(Error::input("data.max_unreadable", format!("found {}", self.max_unreadable))
                .expected("a fraction, 0 to 1"));
        }
        if self.debug_subset == Some(0) {
            return Err(Error::input("data.debug_subset (--debug-subset)", "found 0")
                .expected("1 or more")
                .hint("Leave it out to train on all images"));
        }
        if self.allow_leakage && self.drop_leaking {
            return Err(Error::input("data.allow_leakage", "contradicts --drop-leaking (data.drop_leaking)")
                .expected("one of the two"));
        }
        if self.synthetic.is_some() && !self.dataset_type.is_synthetic() {
            return Err(Error::input(
                "data.synthetic",
                format!("is set, but data.dataset_type is \"{}\"", self.dataset_type),
            )
            .expected("the dataset type synthetic or synthetic-augmented")
            .hint("Add --dataset-type synthetic, or leave data.synthetic out"));
        }
        self.group_regex()?;
        Ok(())
    }

    /// The compiled `group_regex`, if one is set.
    ///
    /// # Errors
    /// The regex does not compile.
    pub fn group_regex(&self) -> Result<Option<regex::Regex>> {
        let compile = |pattern: &String| {
            regex::Regex::new(pattern).map_err(|error| {
                // The regex crate gives several lines, with a caret; the last one says what is wrong.
                let text = error.to_string();
                let reason =
                    text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
                Error::input("data.group_regex", format!("found \"{pattern}\", not a regex ({reason})"))
                    .expected(r"a regex whose first capture group identifies the person, such as '^(\d+)_'")
            })
        };
        self.group_regex.as_ref().map(compile).transpose()
    }
}

/// Which images are trained on. Validation and test images are never augmented.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetType {
    /// The real root's train split.
    #[default]
    #[serde(alias = "Real")]
    Real,
    /// The real root's train split and its augmented copies.
    #[serde(alias = "Augmented")]
    Augmented,
    /// The synthetic root's train split.
    #[serde(alias = "Synthetic")]
    Synthetic,
    /// The synthetic root's train split and its augmented copies.
    #[serde(alias = "SyntheticAugmented")]
    SyntheticAugmented,
}

impl DatasetType {
    /// Whether augmented copies are trained on.
    pub fn is_augmented(self) -> bool {
        matches!(self, Self::Augmented | Self::SyntheticAugmented)
    }

    /// Whether the images trained on are synthetic.
    pub fn is_synthetic(self) -> bool {
        matches!(self, Self::Synthetic | Self::SyntheticAugmented)
    }
}

impl std::fmt::Display for DatasetType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Real => "real",
            Self::Augmented => "augmented",
            Self::Synthetic => "synthetic",
            Self::SyntheticAugmented => "synthetic-augmented",
        })
    }
}

impl FromStr for DatasetType {
    type Err = Error;

    /// Reads `real`, `augmented`, `synthetic`, `synthetic-augmented` and the reference's `Real` …
    /// `SyntheticAugmented`, in any case.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_lowercase().replace(['-', '_'], "").as_str() {
            "real" => Ok(Self::Real),
            "augmented" => Ok(Self::Augmented),
            "synthetic" => Ok(Self::Synthetic),
            "syntheticaugmented" => Ok(Self::SyntheticAugmented),
            _ => Err(Error::input("data.dataset_type", format!("found \"{text}\""))
                .expected("one of real, augmented, synthetic, synthetic-augmented")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_root() -> DataConfig {
        DataConfig { root: "data".into(), ..DataConfig::default() }
    }

    #[test]
    fn a_config_survives_toml_and_an_unknown_key_is_refused() {
        let config =
            DataConfig { group_regex: Some(r"^(\d+)_".into()), debug_subset: Some(1000), ..with_root() };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<DataConfig>(&text).unwrap(), config);
        let error = toml::from_str::<DataConfig>("rot = 'x'").unwrap_err().to_string();
        assert!(error.contains("unknown field `rot`"), "{error}");
    }

    #[test]
    fn dataset_types_are_read_in_both_spellings() {
        for (text, kind) in [
            ("real", DatasetType::Real),
            ("Augmented", DatasetType::Augmented),
            ("Synthetic", DatasetType::Synthetic),
            ("synthetic-augmented", DatasetType::SyntheticAugmented),
            ("SyntheticAugmented", DatasetType::SyntheticAugmented),
        ] {
            assert_eq!(text.parse::<DatasetType>().unwrap(), kind);
            let read: DataConfig = toml::from_str(&format!("dataset_type = '{text}'")).unwrap();
            assert_eq!(read.dataset_type, kind);
        }
        assert!("fake".parse::<DatasetType>().is_err());
        assert_eq!(DatasetType::SyntheticAugmented.to_string(), "synthetic-augmented");
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        let refused = |change: fn(&mut DataConfig)| {
            let mut config = with_root();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(with_root().validate().is_ok());
        assert!(refused(|c| c.root = PathBuf::new()).contains("data.root"));
        assert!(refused(|c| c.split = [0.8, 0.1, 0.2]).contains("data.split"));
        assert!(refused(|c| c.split = [f64::NAN, 0.5, 0.5]).contains("data.split"));
        assert!(refused(|c| c.split = [1.2, -0.1, -0.1]).contains("data.split"));
        assert!(refused(|c| c.max_unreadable = 2.0).contains("data.max_unreadable"));
        assert!(refused(|c| c.debug_subset = Some(0)).contains("data.debug_subset"));
        assert!(refused(|c| c.synthetic = Some("s".into())).contains("data.synthetic"));
        let regex = refused(|c| c.group_regex = Some("(".into()));
        assert!(regex.contains("data.group_regex: found \"(\", not a regex (unclosed group)"), "{regex}");
        assert!(!regex.contains('\n'));
    }
}
