//! The plan of a study: which variants are trained with which seeds.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Value;

use super::names::RUNS;
use crate::data::DatasetType;
use crate::error::{Error, Result};

/// The name of the runs that follow the leaky protocol.
pub const LEAKY: &str = "leaky";

/// A study: which variants are trained with which seeds and compared on one fixed test set of real images.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The real images; the test set comes from them. Absolute, as all paths here.
    pub real: PathBuf,
    /// Folder of the synthetic images, if there are any.
    pub synthetic: Option<PathBuf>,
    /// The recipe of all variants.
    pub recipe: Option<PathBuf>,
    /// The training seeds: each variant is trained once with each.
    pub seeds: Vec<u64>,
    /// Seed of the one split of the real images.
    pub split_seed: u64,
    /// The variants to compare, without the doses.
    pub variants: Vec<Variant>,
    /// Whether the leaky protocol (augment, then split at random) is run as well, to show what it would
    /// report.
    pub leaky: bool,
    /// Numbers of synthetic images that are added to the real training set, a variant each; ascending.
    pub dose: Vec<usize>,
    /// The variant that every other is compared with.
    pub baseline: String,
    /// How augmented copies are made.
    pub augment: Augment,
    /// Changes to the recipe for all variants, by key.
    pub set: Vec<(String, Value)>,
}

/// How augmented copies are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Augmented copies of each image.
    pub copies: usize,
    /// `safe`, `reference` or the path of an augmentation profile.
    pub profile: String,
}

impl Default for Augment {
    fn default() -> Self {
        Self { copies: 2, profile: "safe".into() }
    }
}

/// One of the variants that are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What its training set consists of.
    pub dataset_type: DatasetType,
    /// Its changes to the recipe, by key.
    pub set: Vec<(String, Value)>,
}

/// What a run is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One of the dataset types.
    Typed(DatasetType),
    /// The real training set and this number of synthetic images.
    Dose(usize),
    /// Real images and their augmented copies, split at random, so that copies of one image are on both
    /// sides.
    Leaky,
}

/// One run of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Name of its variant.
    pub variant: String,
    /// The seed that it is trained with.
    pub seed: u64,
    /// What it is trained on.
    pub kind: Kind,
    /// Changes to the recipe, in order: later ones override earlier ones.
    pub changes: Vec<(String, Value)>,
}

impl Job {
    /// The name of its run: `real-s1`.
    pub fn name(&self) -> String {
        run_name(&self.variant, self.seed)
    }

    /// Its run folder within the study's.
    pub fn folder(&self, out: &Path) -> PathBuf {
        out.join(RUNS).join(self.name())
    }
}

impl Plan {
    /// Checks that every path of the plan exists.
    ///
    /// # Errors
    /// The first path that does not exist, with its key.
    pub fn check_paths(&self) -> Result<()> {
        let profile = PathBuf::from(&self.augment.profile);
        let profile = (self.needs_copies() && !built_in(&self.augment.profile)).then_some(&profile);
        let named = [
            ("real", Some(&self.real)),
            ("synthetic", self.synthetic.as_ref()),
            ("recipe", self.recipe.as_ref()),
            ("augment.profile", profile),
        ];
        for (key, path) in named {
            if let Some(path) = path.filter(|path| !path.exists()) {
                return Err(Error::input(
                    format!("STUDY.toml: {key}"),
                    format!("{} does not exist", path.display()),
                )
                .expected(if key == "augment.profile" {
                    "safe, reference or the path of a profile"
                } else {
                    "an existing path"
                })
                .hint("Paths are relative to the folder of STUDY.toml"));
            }
        }
        Ok(())
    }

    /// All runs: every variant with the first seed, then with the next, so that a study that is stopped
    /// early has the same seeds for every variant.
    pub fn jobs(&self) -> Vec<Job> {
        let mut arms = self.arms();
        if self.leaky {
            arms.push(Arm { name: LEAKY.into(), kind: Kind::Leaky, set: &[] });
        }
        let job = |seed: u64, arm: &Arm| Job {
            variant: arm.name.clone(),
            seed,
            kind: arm.kind,
            changes: self.set.iter().chain(arm.set).cloned().collect(),
        };
        self.seeds.iter().flat_map(|&seed| arms.iter().map(move |arm| job(seed, arm))).collect()
    }

    /// Whether the study needs augmented copies.
    pub fn needs_copies(&self) -> bool {
        self.leaky || self.variants.iter().any(|variant| variant.dataset_type.is_augmented())
    }

    /// What is compared, in order: the variants, then the doses that are runs of their own.
    pub(super) fn arms(&self) -> Vec<Arm<'_>> {
        let variants = self.variants.iter().map(|variant| Arm {
            name: variant.name.clone(),
            kind: Kind::Typed(variant.dataset_type),
            set: &variant.set,
        });
        let doses = self
            .dose
            .iter()
            .filter(|&&images| images > 0 || self.plain_real().is_none())
            .map(|&images| Arm { name: dose_name(images), kind: Kind::Dose(images), set: &[] });
        variants.chain(doses).collect()
    }

    /// The variant that stands for a dose: a dose of 0 is the plain real training set.
    pub(super) fn dose_variant(&self, images: usize) -> String {
        match self.plain_real() {
            Some(variant) if images == 0 => variant.name.clone(),
            _ => dose_name(images),
        }
    }

    fn plain_real(&self) -> Option<&Variant> {
        self.variants
            .iter()
            .find(|variant| variant.dataset_type == DatasetType::Real && variant.set.is_empty())
    }
}

/// A variant or a dose: one arm of the comparison.
pub(super) struct Arm<'a> {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its own changes.
    pub(super) set: &'a [(String, Value)],
}

pub(super) fn run_name(variant: &str, seed: u64) -> String {
    format!("{variant}-s{seed}")
}

fn dose_name(images: usize) -> String {
    format!("dose-{images}")
}

/// Whether a profile is one of the program's own rather than a path.
pub(super) fn built_in(profile: &str) -> bool {
    matches!(profile, "safe" | "reference")
}
