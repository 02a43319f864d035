//! What an audit found: the types of `audit.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::image::{Image, Pair};
use super::label_noise::LabelNoise;
use super::options::Options;
use super::probe::Probe;
use crate::data::{Layout, Leak, Split};

/// Numbers of pairs, by where the two images are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCounts {
    /// Pairs in one split.
    pub within_split: usize,
    /// Pairs in two splits of a root.
    pub across_splits: usize,
    /// Pairs in two roots.
    pub across_sets: usize,
    /// Those of all these pairs whose labels differ.
    pub two_labels: usize,
}

/// Images that are connected by pairs of duplicates, exact or near.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Number of images in the cluster.
    pub images: usize,
    /// Whether all of them are identical to the pixel.
    pub exact: bool,
    /// Whether they have more than one label.
    pub two_labels: bool,
    /// Whether they are in more than one split of a root.
    pub across_splits: bool,
    /// The first [`Cluster::SHOWN`] of them: root, name, split and label.
    pub members: Vec<Member>,
}

impl Cluster {
    /// Length limit of [`Cluster::members`].
    pub const SHOWN: usize = 20;
}

/// An image as files and pages name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Index into the roots.
    pub root: usize,
    /// Path below the root.
    pub name: String,
    /// The split it was found in, where the root has splits.
    pub split: Option<Split>,
    /// Name of its class.
    pub label: String,
}

/// An unusual or unusable file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Odd {
    /// Index into the roots.
    pub root: usize,
    /// Path below the root.
    pub name: String,
    /// What is unusual about it, in a few words.
    pub reason: String,
}

/// The contents of one root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// As the user gave it.
    pub path: PathBuf,
    /// How its images are laid out.
    pub layout: Layout,
    /// Number of readable images.
    pub images: usize,
    /// Augmented copies among them.
    pub copies: usize,
    /// Entries that are not images.
    pub left_out: Vec<String>,
    /// Warnings of the scan.
    pub warnings: Vec<String>,
}

/// Images per class of one root, split and source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Index into the roots.
    pub root: usize,
    /// The split, where the root has splits.
    pub split: Option<Split>,
    /// The public data set that the file names point to.
    pub source: Option<String>,
    /// `[K]`: images of each class.
    pub counts: Vec<usize>,
}

/// The number of images of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Number of images of this size.
    pub images: usize,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For information; nothing needs to be done.
    Note,
    /// To be checked before training.
    Warning,
    /// Results measured on these data would be wrong.
    Error,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names say it, the finding's text says more
pub enum Topic {
    Unreadable,
    ExactAcrossSplits,
    NearAcrossSplits,
    AcrossSets,
    CutGroups,
    TwoLabels,
    NearTwoLabels,
    ExactWithinSplit,
    NearWithinSplit,
    Blank,
    Tiny,
    MisSized,
    MixedColour,
    MissingClass,
    SourceTold,
    ClassTold,
    SourceTellsClass,
    LabelNoise,
    Scan,
}

/// One sentence about the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What the finding is about.
    pub topic: Topic,
    /// How severe it is.
    pub severity: Severity,
    /// The number of images, pairs or groups concerned.
    pub count: usize,
    /// The sentence, with the number.
    pub text: String,
}

/// Everything that was found. `audit.json` holds all of it but the images and pairs; the pairs are in
/// `pairs.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// The options of the audit.
    pub options: Options,
    /// The findings, the most severe first.
    pub findings: Vec<Finding>,
    /// The contents of the roots.
    pub roots: Vec<Root>,
    /// Names of the K classes.
    pub classes: Vec<String>,
    /// Class counts by root, split and source, without augmented copies.
    pub balance: Vec<Balance>,
    /// Images by file format.
    pub formats: BTreeMap<String, usize>,
    /// The sizes, the most common first, at most [`Audit::SHOWN`].
    pub sizes: Vec<Size>,
    /// Number of images without colour.
    pub grey: usize,
    /// Number of images with colour.
    pub colour: usize,
    /// Files that could not be used.
    pub unreadable: Vec<Odd>,
    /// Images without content: their brightness hardly varies.
    pub blank: Vec<Odd>,
    /// Images too small to show a face.
    pub tiny: Vec<Odd>,
    /// Images of unusual size or aspect ratio.
    pub mis_sized: Vec<Odd>,
    /// Pairs of exact duplicates.
    pub exact: PairCounts,
    /// Pairs of near duplicates.
    pub near: PairCounts,
    /// Number of clusters of duplicates.
    pub cluster_count: usize,
    /// The clusters, the most serious first, at most [`Audit::SHOWN`].
    pub clusters: Vec<Cluster>,
    /// Number of groups in more than one split of a root.
    pub cut_group_count: usize,
    /// The first [`Audit::SHOWN`] of them.
    pub cut_groups: Vec<Leak>,
    /// How well simple statistics predict source and class.
    pub probe: Option<Probe>,
    /// Labels that trained models find implausible.
    pub label_noise: Option<LabelNoise>,
    /// All readable images, by root and name.
    #[serde(skip)]
    pub images: Vec<Image>,
    /// Every pair, sorted by (a, b).
    #[serde(skip)]
    pub pairs: Vec<Pair>,
}

impl Audit {
    /// Length limit of the long lists.
    pub const SHOWN: usize = 1000;

    /// The severity of the most severe finding.
    pub fn severity(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Note)
    }

    /// The image at an index of [`Audit::images`] as files and pages name it.
    pub fn member(&self, index: usize) -> Member {
        let Image { root, name, split, class, .. } = &self.images[index];
        Member { root: *root, name: name.clone(), split: *split, label: self.classes[*class].clone() }
    }
}
