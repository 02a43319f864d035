//! The results of a study: the types of `study.json`.

use serde::{Deserialize, Serialize};

use super::plan::Kind;
use crate::stats::bootstrap::Interval;

/// The results of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Names of the classes in index order.
    pub classes: Vec<String>,
    /// Number of images in the test set.
    pub images: usize,
    /// Number of groups (photos, persons) among them.
    pub groups: usize,
    /// The seeds of the plan.
    pub seeds: Vec<u64>,
    /// Confidence level of the intervals, in `0..1`.
    pub level: f64,
    /// Replicates of each bootstrap.
    pub replicates: usize,
    /// The variant that every other is compared with.
    pub baseline: String,
    /// The variants that have a finished run, in the order of the plan.
    pub variants: Vec<VariantResult>,
    /// Every other variant against the baseline.
    pub comparisons: Vec<Comparison>,
    /// The leaky protocol's results, if it was run.
    pub claim: Option<Claim>,
    /// Accuracy by number of synthetic images added, ascending.
    pub dose: Vec<DosePoint>,
    /// The quality of the synthetic images, if there are any.
    pub quality: Option<Quality>,
    /// Names of the planned runs that are not finished.
    pub missing: Vec<String>,
    /// What a reader must know before believing the numbers, the serious ones first.
    pub warnings: Vec<Warning>,
}

/// One variant: means over its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantResult {
    /// Name of the variant.
    pub name: String,
    /// What its training set consists of.
    pub kind: Kind,
    /// Its own changes to the recipe.
    pub changes: Vec<(String, String)>,
    /// Its finished runs, by the order of the seeds.
    pub runs: Vec<RunResult>,
    /// Fraction of images classified correctly.
    pub accuracy: Interval,
    /// Mean recall of the classes that have images.
    pub balanced_accuracy: Interval,
    /// Mean F1 of the classes.
    pub macro_f1: Interval,
    /// The mean training cost of its runs.
    pub cost: Cost,
    /// The configuration of its first run: keys and values.
    pub settings: Vec<(String, String)>,
}

/// The metrics of one run on the fixed test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The name of its folder.
    pub run: String,
    /// The seed that it was trained with.
    pub seed: u64,
    /// Fraction of images classified correctly.
    pub accuracy: f64,
    /// Mean recall of the classes that have images.
    pub balanced_accuracy: f64,
    /// Mean F1 of the classes.
    pub macro_f1: f64,
    /// Whether it was trained on images or groups of its test set.
    pub leakage: bool,
    /// What its training cost.
    pub cost: Cost,
}

/// The cost of training, as far as the run folder records it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Images in the training set.
    pub train_images: Option<f64>,
    /// Epochs that were trained.
    pub epochs: Option<f64>,
    /// Forward passes of images in training: an image counts once per epoch.
    pub images_seen: Option<f64>,
    /// Wall-clock time of training, in seconds.
    pub seconds: Option<f64>,
}

/// The change of a metric from a, the baseline, to b.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The baseline's value, the mean over its seeds.
    pub a: f64,
    /// The variant's value, the mean over its seeds.
    pub b: f64,
    /// `b − a` with its confidence interval.
    pub difference: Interval,
    /// Two-sided p value of no difference.
    pub p: f64,
    /// The p value after Holm's correction over all changes of this kind in the study.
    pub p_holm: f64,
}

/// A variant against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the variant.
    pub variant: String,
    /// Name of the baseline.
    pub baseline: String,
    /// The change in accuracy: the primary outcome.
    pub accuracy: Change,
    /// The change in balanced accuracy.
    pub balanced_accuracy: Change,
    /// The change in macro F1.
    pub macro_f1: Change,
    /// McNemar's test between the two runs of each seed.
    pub mcnemar: Vec<SeedTest>,
    /// The changes of each class that has test images.
    pub classes: Vec<ClassChange>,
    /// Whether the change in accuracy is significant: p after Holm's correction is below 1 − level and the
    /// interval excludes 0.
    pub clear: bool,
}

/// McNemar's exact test between the runs of one seed. It assumes independent images, which those of one group
/// are not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedTest {
    /// The seed of the two runs.
    pub seed: u64,
    /// Images that only the baseline's run classifies correctly.
    pub only_baseline: u64,
    /// Images that only the variant's run classifies correctly.
    pub only_variant: u64,
    /// Two-sided p value before correction.
    pub p: f64,
    /// The p value after Holm's correction over all variants and seeds.
    pub p_holm: f64,
}

/// One class of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassChange {
    /// Name of the class.
    pub class: String,
    /// Number of its test images.
    pub images: usize,
    /// The change in its recall.
    pub recall: Change,
    /// The change in its F1.
    pub f1: Change,
}

/// The results of the leaky protocol. Its test images differ from the study's and include copies of training
/// images: the numbers estimate nothing and are not compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The leaky runs, one per seed.
    pub runs: Vec<ClaimRun>,
    /// Mean accuracy of the runs.
    pub accuracy: f64,
    /// Mean macro F1 of the runs.
    pub macro_f1: f64,
    /// The variant that is trained on the same kind of images, split by group.
    pub beside: String,
    /// Its mean accuracy on the fixed test set.
    pub honest: f64,
}

/// One run of the leaky protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimRun {
    /// The name of its folder.
    pub run: String,
    /// The seed that it was trained with.
    pub seed: u64,
    /// Its accuracy on its own test split.
    pub accuracy: f64,
    /// Its macro F1 there.
    pub macro_f1: f64,
    /// Number of images in that split.
    pub images: usize,
    /// The 95 % interval that is usually reported, as if images were independent (Wilson).
    pub interval: [f64; 2],
}

/// A point of the dose curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DosePoint {
    /// Number of synthetic images added.
    pub images: usize,
    /// Name of the variant.
    pub variant: String,
    /// Mean accuracy over the seeds with its interval.
    pub accuracy: Interval,
    /// Pairs of a seed and its accuracy.
    pub seeds: Vec<(u64, f64)>,
}

/// The quality of the synthetic images, judged by a model of real faces (`quality.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Number of synthetic images evaluated.
    pub images: usize,
    /// Fraction that the model classifies as intended.
    pub intended: f64,
    /// One entry per class, in index order.
    pub per_class: Vec<QualityClass>,
    /// Fréchet distance between the model's features of synthetic and of real images.
    pub frechet: f64,
    /// The same between two halves of the real images: the value to expect without any difference.
    pub frechet_real: f64,
    /// The run whose model was used.
    pub model: String,
}

/// One class of synthetic images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QualityClass {
    /// Name of the class.
    pub class: String,
    /// Number of synthetic images of the class.
    pub images: usize,
    /// Fraction that the model classifies as this class.
    pub intended: f64,
    /// Mean distance between two of its images in the model's feature space.
    pub diversity: f64,
    /// The same for the real images.
    pub real_diversity: f64,
}

/// Something to know before believing the numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Whether it makes numbers wrong or leaves them out.
    pub grave: bool,
    /// The topic in a few words.
    pub title: String,
    /// A sentence or two.
    pub text: String,
}

impl Results {
    /// The variant of this name.
    pub fn variant(&self, name: &str) -> Option<&VariantResult> {
        self.variants.iter().find(|variant| variant.name == name)
    }
}
