//! What the finished runs of a study say: values with intervals, paired differences, and what can be told
//! from them.
//!
//! All runs (but the leaky ones) are tested on the same images, so that differences are paired image by
//! image. Two things make a difference uncertain: which groups of images the test set happens to hold, and
//! which seeds the runs happened to have. The interval takes both in: it is the wider of the bootstrap's,
//! which draws groups and seeds, and Student's from the jackknife over groups and the variance over seeds. A
//! bootstrap of three seeds or of five groups knows few values and is too sure of itself; Student's t with
//! its few degrees of freedom is not. The p value is the larger of the two.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Value;

use super::plan::{Arm, Kind, LEAKY, Plan, run_name};
use super::{QUALITY, RUNS};
use crate::data::DatasetType;
use crate::error::{Error, Result};
use crate::eval::files::{Evaluation, Prediction, read_evaluation, read_predictions};
use crate::files::read_json;
use crate::run_folder::read::{Ending, RunFiles};
use crate::stats::bootstrap::{self, Difference, Interval, Metric, Settings};
use crate::stats::distributions::{normal_quantile, t_cdf, t_quantile};
use crate::stats::hypothesis::{holm, mcnemar, wilson_interval};

/// Fewer groups than this make a bootstrap over groups rough (Cameron, Gelbach & Miller 2008 call 5 to 30
/// clusters few).
const FEW_GROUPS: usize = 30;

/// A variant that sees so many times the images of another has also been trained so much longer.
const UNEQUAL_EFFORT: f64 = 1.5;

/// What the study says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Classes in index order.
    pub classes: Vec<String>,
    /// Images of the test set.
    pub images: usize,
    /// Groups among them: photos, persons.
    pub groups: usize,
    /// The seeds of the plan.
    pub seeds: Vec<u64>,
    /// How often the intervals shall hold the true value.
    pub level: f64,
    /// Replicates of each bootstrap.
    pub replicates: usize,
    /// The variant that every other is compared with.
    pub baseline: String,
    /// The variants that have a finished run, in the order of the plan.
    pub variants: Vec<VariantResult>,
    /// Every other variant against the baseline.
    pub comparisons: Vec<Comparison>,
    /// What the leaky protocol says, if it was run.
    pub claim: Option<Claim>,
    /// Accuracy by number of synthetic images added, ascending.
    pub dose: Vec<DosePoint>,
    /// What is known of the synthetic images.
    pub quality: Option<Quality>,
    /// Runs of the plan that are not finished.
    pub missing: Vec<String>,
    /// What a reader must know before believing the numbers, the grave ones first.
    pub warnings: Vec<Warning>,
}

/// One variant: means over its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantResult {
    /// Its name.
    pub name: String,
    /// What it is trained on.
    pub kind: Kind,
    /// Its own changes to the recipe.
    pub changes: Vec<(String, String)>,
    /// Its finished runs, by the order of the seeds.
    pub runs: Vec<RunResult>,
    /// Share of images whose prediction is right.
    pub accuracy: Interval,
    /// Mean recall of the classes that have images.
    pub balanced_accuracy: Interval,
    /// Mean F1 of the classes.
    pub macro_f1: Interval,
    /// What a run of it costs.
    pub cost: Cost,
    /// The configuration of its first run, a key and its value.
    pub settings: Vec<(String, String)>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The name of its folder.
    pub run: String,
    /// Its seed.
    pub seed: u64,
    /// Share of images whose prediction is right.
    pub accuracy: f64,
    /// Mean recall of the classes that have images.
    pub balanced_accuracy: f64,
    /// Mean F1 of the classes.
    pub macro_f1: f64,
    /// Whether it has seen images or groups of its test in training.
    pub leakage: bool,
    /// What it cost.
    pub cost: Cost,
}

/// What training costs, as far as the run folder says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Images in the training set.
    pub train_images: Option<f64>,
    /// Epochs that were trained.
    pub epochs: Option<f64>,
    /// Images that went through the model in training, each as often as it did.
    pub images_seen: Option<f64>,
    /// Seconds of training.
    pub seconds: Option<f64>,
}

/// How a number changes from a, the baseline, to b.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The baseline's value, the mean over its seeds.
    pub a: f64,
    /// The variant's value, the mean over its seeds.
    pub b: f64,
    /// `b − a`.
    pub difference: Interval,
    /// Two-sided p value of no difference.
    pub p: f64,
    /// The same after Holm's correction over all numbers of this sort in the study.
    pub p_holm: f64,
}

/// A variant against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The variant.
    pub variant: String,
    /// The baseline.
    pub baseline: String,
    /// The change of accuracy: what the study is about.
    pub accuracy: Change,
    /// The change of balanced accuracy.
    pub balanced_accuracy: Change,
    /// The change of macro F1.
    pub macro_f1: Change,
    /// McNemar's test of the two runs of each seed.
    pub mcnemar: Vec<SeedTest>,
    /// The change of each class that has test images.
    pub classes: Vec<ClassChange>,
    /// Whether the change of accuracy is more than chance explains: p after Holm's correction below 1 −
    /// level.
    pub clear: bool,
}

/// McNemar's exact test of the runs of one seed. It takes images for independent, which those of one group
/// are not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedTest {
    /// The seed.
    pub seed: u64,
    /// Images that only the baseline's run gets right.
    pub only_baseline: u64,
    /// Images that only the variant's run gets right.
    pub only_variant: u64,
    /// Two-sided p value.
    pub p: f64,
    /// The same after Holm's correction over all variants and seeds.
    pub p_holm: f64,
}

/// One class of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassChange {
    /// The class.
    pub class: String,
    /// Its test images.
    pub images: usize,
    /// The change of its recall.
    pub recall: Change,
    /// The change of its F1.
    pub f1: Change,
}

/// What the leaky protocol says. Its test images are others, copies of training images among them: the
/// numbers are no estimate of anything and are not compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Its runs.
    pub runs: Vec<ClaimRun>,
    /// Their mean accuracy.
    pub accuracy: f64,
    /// Their mean macro F1.
    pub macro_f1: f64,
    /// The variant that is trained on the same kind of images, split by group.
    pub beside: String,
    /// Its mean accuracy on the fixed test set.
    pub honest: f64,
}

/// One leaky run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimRun {
    /// The name of its folder.
    pub run: String,
    /// Its seed.
    pub seed: u64,
    /// Its accuracy on its own test split.
    pub accuracy: f64,
    /// Its macro F1 there.
    pub macro_f1: f64,
    /// Images of that split.
    pub images: usize,
    /// The 95 % interval that would be printed beside it, as if images were independent (Wilson).
    pub interval: [f64; 2],
}

/// A point of the dose curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DosePoint {
    /// Synthetic images added.
    pub images: usize,
    /// The variant that was trained so.
    pub variant: String,
    /// Its accuracy.
    pub accuracy: Interval,
    /// Accuracy of each seed.
    pub seeds: Vec<(u64, f64)>,
}

/// How good the synthetic images are, as a model of real faces sees them (`quality.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Synthetic images looked at.
    pub images: usize,
    /// The share that the model takes for what they are meant to show.
    pub intended: f64,
    /// Each class.
    pub per_class: Vec<QualityClass>,
    /// Fréchet distance of the model's features to those of the real images.
    pub frechet: f64,
    /// The same between two halves of the real images: what no difference looks like.
    pub frechet_real: f64,
    /// The run whose model looked.
    pub model: String,
}

/// One class of synthetic images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QualityClass {
    /// The class.
    pub class: String,
    /// Its images.
    pub images: usize,
    /// The share that the model takes for it.
    pub intended: f64,
    /// Mean distance of its images in the model's features.
    pub diversity: f64,
    /// The same of the real images.
    pub real_diversity: f64,
}

/// Something to know before believing the numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Whether numbers are wrong or missing because of it.
    pub grave: bool,
    /// A few words.
    pub title: String,
    /// What it means.
    pub text: String,
}

/// The file that says that a run is finished and tested.
pub(super) fn evaluation(run: &Path) -> PathBuf {
    run.join("eval").join("test.json")
}

impl Results {
    /// Reads the finished runs of the study in `out` and compares them.
    ///
    /// # Errors
    /// No run is finished; the evaluation of a finished run is damaged; two runs were tested on different
    /// images, groups or classes (leaky runs aside).
    pub fn read(out: &Path, plan: &Plan) -> Result<Self> {
        Self::read_with(out, plan, &Settings::default())
    }

    /// The same with other settings of the bootstrap.
    ///
    /// # Errors
    /// As [`Results::read`], and for settings that make no sense.
    pub fn read_with(out: &Path, plan: &Plan, settings: &Settings) -> Result<Self> {
        let mut missing = Vec::new();
        let mut test: Option<TestSet> = None;
        let mut sides = Vec::new();
        for arm in plan.arms() {
            let mut runs = Vec::new();
            for &seed in &plan.seeds {
                let name = run_name(&arm.name, seed);
                match Loaded::read(out, name.clone(), seed)? {
                    None => missing.push(name),
                    Some(run) => {
                        let test = match &mut test {
                            Some(test) => {
                                test.check(&run)?;
                                test
                            }
                            none => none.insert(TestSet::of(&run)?),
                        };
                        runs.push(Run::new(run, test));
                    }
                }
            }
            if !runs.is_empty() {
                sides.push(Side { arm, runs });
            }
        }
        let claims = if plan.leaky { claim_runs(out, plan, &mut missing)? } else { Vec::new() };
        let Some(test) = test else {
            return Err(Error::at(out, "no run of the study is finished")
                .expected(format!("runs with an evaluation of the test set in {RUNS}/"))
                .hint("Let `mien study` go on"));
        };

        let variants = sides.iter().map(|side| side.result(&test, settings)).collect::<Result<Vec<_>>>()?;
        let mut comparisons = Vec::new();
        if let Some(baseline) = sides.iter().find(|side| side.arm.name == plan.baseline) {
            for side in sides.iter().filter(|side| side.arm.name != plan.baseline) {
                comparisons.push(compare(baseline, side, &test, settings)?);
            }
        }
        correct(&mut comparisons, settings.level);
        let claim = claim(claims, plan, &variants);
        let dose = dose(plan, &variants);
        let path = out.join(QUALITY);
        let quality = if path.exists() { Some(read_json(&path)?) } else { None };
        let mut results = Self {
            classes: test.classes.clone(),
            images: test.truth.len(),
            groups: test.group_count(),
            seeds: plan.seeds.clone(),
            level: settings.level,
            replicates: settings.replicates,
            baseline: plan.baseline.clone(),
            variants,
            comparisons,
            claim,
            dose,
            quality,
            missing,
            warnings: Vec::new(),
        };
        results.warnings = warnings(&results);
        Ok(results)
    }

    /// A sentence for each comparison that says what can be told and what cannot.
    pub fn answers(&self) -> Vec<String> {
        self.comparisons.iter().map(|comparison| self.answer(comparison)).collect()
    }

    /// The variant of this name.
    pub fn variant(&self, name: &str) -> Option<&VariantResult> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// The table for a terminal with the answers below it.
    pub fn table(&self) -> String {
        const NAME: usize = 22;
        let mut out = format!(
            "{:NAME$} {:>5} {:>8} {:>14} {:>8}   {:>8} {:>14} {:>8}\n",
            "variant", "seeds", "accuracy", "95 %", "macro F1", "change", "95 %", "p (Holm)"
        )
        .replace("95 %", &level(self.level));
        let shares =
            |interval: Interval| format!("{:.1} – {:.1}", interval.low * 100.0, interval.high * 100.0);
        for variant in &self.variants {
            let mut name = variant.name.clone();
            if name.chars().count() > NAME {
                name = name.chars().take(NAME - 1).chain(['…']).collect();
            }
            let mut line = format!(
                "{name:NAME$} {:>5} {:>8} {:>14} {:>8.3}",
                variant.runs.len(),
                format!("{:.1} %", variant.accuracy.estimate * 100.0),
                shares(variant.accuracy),
                variant.macro_f1.estimate
            );
            if let Some(comparison) =
                self.comparisons.iter().find(|comparison| comparison.variant == variant.name)
            {
                let change = comparison.accuracy;
                let between =
                    format!("{} – {}", points(change.difference.low), points(change.difference.high));
                let sign = if comparison.clear { " *" } else { "" };
                let p = p_text(change.p_holm);
                let _ =
                    write!(line, "   {:>8} {between:>14} {p:>8}{sign}", points(change.difference.estimate));
            } else if variant.name == self.baseline {
                line += "   (baseline)";
            }
            out += &line;
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "\n{} images of {} groups. The change is that of accuracy in points; * marks what chance does not explain.",
            self.images, self.groups
        );
        if let Some(claim) = &self.claim {
            let _ = writeln!(
                out,
                "Augmented before a random split, the same images would have claimed {:.1} %; '{}' has {:.1} %.",
                claim.accuracy * 100.0,
                claim.beside,
                claim.honest * 100.0
            );
        }
        for answer in self.answers() {
            let _ = writeln!(out, "{answer}");
        }
        if !self.missing.is_empty() {
            let _ = writeln!(out, "Not finished: {}.", self.missing.join(", "));
        }
        out
    }

    /// The results as CSV (RFC 4180), a row per variant; empty cells for what is not known.
    pub fn csv(&self) -> String {
        let header = [
            "variant",
            "kind",
            "seeds",
            "images",
            "groups",
            "accuracy",
            "accuracy_low",
            "accuracy_high",
            "balanced_accuracy",
            "balanced_accuracy_low",
            "balanced_accuracy_high",
            "macro_f1",
            "macro_f1_low",
            "macro_f1_high",
            "baseline",
            "accuracy_change",
            "accuracy_change_low",
            "accuracy_change_high",
            "p",
            "p_holm",
            "clear",
            "mcnemar_p",
            "train_images",
            "epochs",
            "images_seen",
            "seconds",
        ];
        let mut out = record(header.map(String::from));
        for variant in &self.variants {
            let comparison = self.comparisons.iter().find(|comparison| comparison.variant == variant.name);
            let of = |value: fn(&Comparison) -> String| comparison.map(value).unwrap_or_default();
            let cost = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            let [a, b, f] = [variant.accuracy, variant.balanced_accuracy, variant.macro_f1]
                .map(|one| [one.estimate.to_string(), one.low.to_string(), one.high.to_string()]);
            let ([a, al, ah], [b, bl, bh], [f, fl, fh]) = (a, b, f);
            let mcnemar = |comparison: &Comparison| {
                comparison.mcnemar.iter().map(|test| test.p.to_string()).collect::<Vec<_>>().join(";")
            };
            out += &record([
                variant.name.clone(),
                kind_text(variant.kind),
                variant.runs.len().to_string(),
                self.images.to_string(),
                self.groups.to_string(),
                a,
                al,
                ah,
                b,
                bl,
                bh,
                f,
                fl,
                fh,
                of(|one| one.baseline.clone()),
                of(|one| one.accuracy.difference.estimate.to_string()),
                of(|one| one.accuracy.difference.low.to_string()),
                of(|one| one.accuracy.difference.high.to_string()),
                of(|one| one.accuracy.p.to_string()),
                of(|one| one.accuracy.p_holm.to_string()),
                of(|one| one.clear.to_string()),
                of(mcnemar),
                cost(variant.cost.train_images),
                cost(variant.cost.epochs),
                cost(variant.cost.images_seen),
                cost(variant.cost.seconds),
            ]);
        }
        out
    }

    fn answer(&self, comparison: &Comparison) -> String {
        let (variant, baseline) = (self.variant(&comparison.variant), self.variant(&comparison.baseline));
        let subject = self.subject(comparison);
        let change = comparison.accuracy;
        let Interval { estimate, low, high } = change.difference;
        let between = format!("{} {} to {}", level(self.level), points(low), points(high));
        let [b, a] = [variant, baseline].map(|one| one.map_or(0, |one| one.runs.len()));
        let seeds = if a == b { counted(a, "seed") } else { format!("{b} and {a} seeds") };
        let data = format!("{seeds} and {}", counted(self.groups, "group"));
        let one_seed = a.min(b) < 2;
        let several = self.comparisons.len();
        let corrected =
            if several > 1 { format!(", corrected for {several} comparisons") } else { String::new() };
        let size = format!("{:.1}", estimate.abs() * 100.0);
        match (comparison.clear, one_seed) {
            (true, false) => format!(
                "{subject} {} accuracy by {size} points ({between}; p {}{corrected}): more than chance explains over {data}.",
                if estimate > 0.0 { "raised" } else { "lowered" },
                p_equals(change.p_holm)
            ),
            (true, true) => format!(
                "{subject} changed accuracy by {} points ({between}; p {}{corrected}): these very models differ, but how much a result varies from \
                 seed to seed is unknown with one seed.",
                points(estimate),
                p_equals(change.p_holm)
            ),
            (false, _) => {
                let unknown = if one_seed {
                    ", and how much a result varies from seed to seed is unknown with one seed"
                } else {
                    ""
                };
                let holm = if low > 0.0 || high < 0.0 {
                    format!("; p {} corrected for {several} comparisons", p_equals(change.p_holm))
                } else {
                    String::new()
                };
                format!(
                    "{subject} changed accuracy by {} points ({between}{holm}): no difference can be told from {data}{unknown}.",
                    points(estimate)
                )
            }
        }
    }

    /// What was done, in words where the baseline is the plain real training set.
    fn subject(&self, comparison: &Comparison) -> String {
        let plain = |name: &str| {
            self.variant(name).filter(|variant| variant.changes.is_empty()).map(|variant| variant.kind)
        };
        let words = match (plain(&comparison.baseline), plain(&comparison.variant)) {
            (Some(Kind::Typed(DatasetType::Real) | Kind::Dose(0)), Some(kind)) => match kind {
                Kind::Typed(DatasetType::Augmented) => Some("Augmented copies".to_owned()),
                Kind::Typed(DatasetType::Synthetic) => Some("Synthetic images in place of real ones".into()),
                Kind::Typed(DatasetType::SyntheticAugmented) => {
                    Some("Synthetic images with augmented copies, in place of real ones,".into())
                }
                Kind::Dose(1) => Some("One added synthetic image".into()),
                Kind::Dose(images) if images > 0 => Some(format!("{images} added synthetic images")),
                _ => None,
            },
            _ => None,
        };
        words.unwrap_or_else(|| format!("'{}' in place of '{}'", comparison.variant, comparison.baseline))
    }
}

// ---- reading ----

/// What a run folder says.
struct Loaded {
    name: String,
    seed: u64,
    evaluation: Evaluation,
    /// Those with a known truth, by path.
    predictions: Vec<Prediction>,
    cost: Cost,
    settings: Vec<(String, String)>,
}

impl Loaded {
    /// `None` where the run is not finished.
    fn read(out: &Path, name: String, seed: u64) -> Result<Option<Self>> {
        let folder = out.join(RUNS).join(&name);
        let path = evaluation(&folder);
        if !path.is_file() {
            return Ok(None);
        }
        let evaluation = read_evaluation(&path)?;
        let path = path.with_file_name("test_predictions.csv");
        let (classes, mut predictions) = read_predictions(&path)?;
        predictions.retain(|row| row.truth.is_some());
        if classes != evaluation.classes
            || predictions.len() as u64 != evaluation.metrics.n
            || predictions.is_empty()
        {
            return Err(Error::at(
                &path,
                format!("found {} images of {}", predictions.len(), classes.join(", ")),
            )
            .expected(format!(
                "{} of {}, as test.json says",
                evaluation.metrics.n,
                evaluation.classes.join(", ")
            ))
            .hint("Evaluate the run again"));
        }
        predictions.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(pair) = predictions.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(
                Error::at(&path, format!("{} is there twice", pair[0].path)).expected("every image once")
            );
        }
        // A run that was moved here without its settings is compared all the same.
        let files = RunFiles::open(&folder).ok();
        let cost = files.as_ref().map(cost).unwrap_or_default();
        let settings =
            files.map(|files| files.settings().into_iter().map(|(key, value, _)| (key, value)).collect());
        Ok(Some(Self { name, seed, evaluation, predictions, cost, settings: settings.unwrap_or_default() }))
    }
}

fn cost(files: &RunFiles) -> Cost {
    let some = |value: f64| (value > 0.0).then_some(value);
    let seconds = match files.end {
        Ending::Finished { seconds } | Ending::EarlyStopped { seconds } | Ending::Interrupted { seconds } => {
            seconds
        }
        Ending::Unknown => files.epochs.iter().map(|epoch| epoch.seconds).sum(),
    };
    Cost {
        train_images: files.data.as_ref().map(|data| data.counts.train.iter().sum::<usize>() as f64),
        epochs: some(files.epochs.len() as f64),
        images_seen: some(files.steps.iter().map(|step| step.images as f64).sum()),
        seconds: some(seconds),
    }
}

/// What all runs are tested on: rows by path.
struct TestSet {
    /// The run that it was read from.
    run: String,
    classes: Vec<String>,
    paths: Vec<String>,
    truth: Vec<usize>,
    /// From 0, in the order of first appearance.
    groups: Vec<usize>,
}

impl TestSet {
    fn of(run: &Loaded) -> Result<Self> {
        let classes = run.evaluation.classes.clone();
        if classes.len() < 2 {
            return Err(Error::input(&run.name, format!("found {} class", classes.len()))
                .expected("two or more classes"));
        }
        Ok(Self {
            run: run.name.clone(),
            paths: run.predictions.iter().map(|row| row.path.clone()).collect(),
            truth: run.predictions.iter().map(|row| class_of(&classes, row.truth.as_deref())).collect(),
            groups: groups_of(run),
            classes,
        })
    }

    /// That `run` was tested on the same.
    fn check(&self, run: &Loaded) -> Result<()> {
        let differ = |what: String| {
            Error::input(format!("{} and {}", self.run, run.name), what)
                .expected("the same test images, in the same groups, for every run of a study")
                .hint("Runs on different tests cannot be compared; train the study in a new folder")
        };
        if run.evaluation.classes != self.classes {
            return Err(differ(format!(
                "their classes are {} and {}",
                self.classes.join(", "),
                run.evaluation.classes.join(", ")
            )));
        }
        let mine: HashSet<&str> = self.paths.iter().map(String::as_str).collect();
        let theirs: HashSet<&str> = run.predictions.iter().map(|row| row.path.as_str()).collect();
        if mine != theirs {
            let example = self
                .paths
                .iter()
                .map(String::as_str)
                .find(|path| !theirs.contains(path))
                .or_else(|| {
                    run.predictions.iter().map(|row| row.path.as_str()).find(|path| !mine.contains(path))
                })
                .unwrap_or_default();
            return Err(differ(format!(
                "their tests are of {} and {} images, {} of them in both ({example} is not)",
                mine.len(),
                theirs.len(),
                mine.intersection(&theirs).count()
            )));
        }
        let groups = groups_of(run);
        for (at, row) in run.predictions.iter().enumerate() {
            if class_of(&self.classes, row.truth.as_deref()) != self.truth[at] {
                return Err(differ(format!("{} is of different classes", row.path)));
            }
            if groups[at] != self.groups[at] {
                return Err(differ(format!("{} is in different groups", row.path)));
            }
        }
        Ok(())
    }

    fn rows(&self) -> bootstrap::Rows<'_> {
        bootstrap::Rows { groups: &self.groups, truth: &self.truth, classes: self.classes.len() }
    }

    fn group_count(&self) -> usize {
        self.groups.iter().max().map_or(0, |last| last + 1)
    }

    fn support(&self, class: usize) -> usize {
        self.truth.iter().filter(|truth| **truth == class).count()
    }
}

fn class_of(classes: &[String], name: Option<&str>) -> usize {
    let index = classes.iter().position(|class| Some(class.as_str()) == name);
    index.expect("the reader lets no other class pass")
}

/// Numbered by first appearance, so that groups that are called otherwise but divide the images alike are the
/// same.
fn groups_of(run: &Loaded) -> Vec<usize> {
    let keys: Vec<&str> = run.predictions.iter().map(|row| row.group.as_str()).collect();
    bootstrap::group_indices(&keys)
}

/// A run and its numbers.
struct Run {
    name: String,
    seed: u64,
    predicted: Vec<usize>,
    right: Vec<bool>,
    /// See [`statistics`].
    values: Vec<f64>,
    /// The same without each group.
    without: Vec<Vec<f64>>,
    leakage: bool,
    cost: Cost,
    settings: Vec<(String, String)>,
}

impl Run {
    fn new(run: Loaded, test: &TestSet) -> Self {
        let k = test.classes.len();
        let predicted: Vec<usize> =
            run.predictions.iter().map(|row| class_of(&test.classes, Some(&row.predicted))).collect();
        let right = predicted.iter().zip(&test.truth).map(|(a, b)| a == b).collect();
        let mut members = vec![Vec::new(); test.group_count()];
        let mut confusion = vec![0i64; k * k];
        for ((&group, &truth), &predicted) in test.groups.iter().zip(&test.truth).zip(&predicted) {
            members[group].push(truth * k + predicted);
            confusion[truth * k + predicted] += 1;
        }
        let values = statistics(&confusion, k);
        let without = members
            .iter()
            .map(|cells| {
                cells.iter().for_each(|&cell| confusion[cell] -= 1);
                let values = statistics(&confusion, k);
                cells.iter().for_each(|&cell| confusion[cell] += 1);
                values
            })
            .collect();
        Self {
            name: run.name,
            seed: run.seed,
            predicted,
            right,
            values,
            without,
            leakage: run.evaluation.leakage,
            cost: run.cost,
            settings: run.settings,
        }
    }
}

/// A variant's runs.
struct Side<'a> {
    arm: Arm<'a>,
    runs: Vec<Run>,
}

impl Side<'_> {
    fn predicted(&self) -> Vec<Vec<usize>> {
        self.runs.iter().map(|run| run.predicted.clone()).collect()
    }

    fn result(&self, test: &TestSet, settings: &Settings) -> Result<VariantResult> {
        let [accuracy, balanced_accuracy, macro_f1] =
            METRICS.map(|metric| self.value(metric, test, settings));
        let shown = |value: &Value| match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        Ok(VariantResult {
            name: self.arm.name.clone(),
            kind: self.arm.kind,
            changes: self.arm.set.iter().map(|(key, value)| (key.clone(), shown(value))).collect(),
            runs: self.runs.iter().map(run_result).collect(),
            accuracy: accuracy?,
            balanced_accuracy: balanced_accuracy?,
            macro_f1: macro_f1?,
            cost: mean_cost(&self.runs),
            settings: self.runs.first().map(|run| run.settings.clone()).unwrap_or_default(),
        })
    }

    /// The mean over the seeds with its interval.
    fn value(&self, metric: Metric, test: &TestSet, settings: &Settings) -> Result<Interval> {
        let classes = test.classes.len();
        // The difference from predictions that are never right, whose value is 0 in every replicate, is the
        // value itself.
        let never: Vec<usize> = test.truth.iter().map(|truth| (truth + 1) % classes).collect();
        let found = bootstrap::paired_difference(test.rows(), &[never], &self.predicted(), metric, settings)?;
        let index = metric as usize;
        let (student, _) = Uncertain::of(index, None, self).student(settings.level);
        let mut interval = wider(found.difference, student, 0.0);
        if interval.estimate <= 0.0 || interval.estimate >= 1.0 {
            // All or none: nothing varies, and yet one does not know.
            let groups = test.group_count() as u64;
            let z = normal_quantile((1.0 + settings.level) / 2.0);
            let [low, high] = wilson_interval(if interval.estimate >= 1.0 { groups } else { 0 }, groups, z);
            interval = Interval {
                estimate: interval.estimate,
                low: low.min(interval.low),
                high: high.max(interval.high),
            };
        }
        Ok(interval)
    }
}

fn run_result(run: &Run) -> RunResult {
    RunResult {
        run: run.name.clone(),
        seed: run.seed,
        accuracy: run.values[0],
        balanced_accuracy: run.values[1],
        macro_f1: run.values[2],
        leakage: run.leakage,
        cost: run.cost,
    }
}

fn mean_cost(runs: &[Run]) -> Cost {
    let mean_of = |value: fn(&Cost) -> Option<f64>| {
        let known: Option<Vec<f64>> = runs.iter().map(|run| value(&run.cost)).collect();
        known.map(|values| mean(&values))
    };
    Cost {
        train_images: mean_of(|cost| cost.train_images),
        epochs: mean_of(|cost| cost.epochs),
        images_seen: mean_of(|cost| cost.images_seen),
        seconds: mean_of(|cost| cost.seconds),
    }
}

// ---- statistics ----

/// In the order of [`statistics`].
const METRICS: [Metric; 3] = [Metric::Accuracy, Metric::BalancedAccuracy, Metric::MacroF1];

/// Accuracy, balanced accuracy, macro F1; then recall and F1 of each class, NaN without images of it.
/// `confusion`: `[K, K]` counts, a row per true class.
fn statistics(confusion: &[i64], k: usize) -> Vec<f64> {
    let cell = |truth: usize, predicted: usize| confusion[truth * k + predicted] as f64;
    let (mut n, mut hits, mut recalls, mut with_rows, mut f1s) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let mut classes = Vec::with_capacity(2 * k);
    for class in 0..k {
        let support: f64 = (0..k).map(|other| cell(class, other)).sum();
        let predicted: f64 = (0..k).map(|other| cell(other, class)).sum();
        let right = cell(class, class);
        n += support;
        hits += right;
        let f1 = if support + predicted > 0.0 { 2.0 * right / (support + predicted) } else { 0.0 };
        f1s += f1;
        if support > 0.0 {
            recalls += right / support;
            with_rows += 1.0;
            classes.extend([right / support, f1]);
        } else {
            classes.extend([f64::NAN; 2]);
        }
    }
    [hits / n, recalls / with_rows, f1s / k as f64].into_iter().chain(classes).collect()
}

fn recall_of(class: usize) -> usize {
    METRICS.len() + 2 * class
}

/// A value or a difference with the variances of its sources, each with its degrees of freedom.
struct Uncertain {
    estimate: f64,
    sources: Vec<(f64, f64)>,
}

impl Uncertain {
    /// Statistic `index` of `b`, less that of `a` if there is one.
    fn of(index: usize, a: Option<&Side>, b: &Side) -> Self {
        let column = |side: &Side| side.runs.iter().map(|run| run.values[index]).collect::<Vec<_>>();
        let (first, second) = (a.map(column), column(b));
        let estimate = mean(&second) - first.as_deref().map_or(0.0, mean);

        // The jackknife over groups (Efron & Tibshirani 1993, section 11.2), seeds kept.
        let groups = b.runs[0].without.len();
        let without = |side: &Side, group: usize| {
            side.runs.iter().map(|run| run.without[group][index]).sum::<f64>() / side.runs.len() as f64
        };
        let left: Vec<f64> =
            (0..groups).map(|group| without(b, group) - a.map_or(0.0, |a| without(a, group))).collect();
        let (g, middle) = (groups as f64, mean(&left));
        let jackknife = (g - 1.0) / g * left.iter().map(|value| (value - middle).powi(2)).sum::<f64>();
        // A single group, or a class that has images in one only, tells nothing of others.
        let jackknife = if groups < 2 || jackknife.is_nan() { f64::INFINITY } else { jackknife };

        let seeds = first.iter().chain([&second]).filter(|values| values.len() > 1).map(|values| {
            let n = values.len() as f64;
            let variance = values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>() / (n - 1.0);
            (variance / n, n - 1.0)
        });
        Self { estimate, sources: std::iter::once((jackknife, g - 1.0)).chain(seeds).collect() }
    }

    /// Student's interval and two-sided p value, with the degrees of freedom of Welch and Satterthwaite.
    fn student(&self, level: f64) -> (Interval, f64) {
        let estimate = self.estimate;
        let variance: f64 = self.sources.iter().map(|(variance, _)| variance).sum();
        if !variance.is_finite() {
            return (Interval { estimate, low: f64::NEG_INFINITY, high: f64::INFINITY }, 1.0);
        }
        // Rounding leaves traces where nothing varies.
        if variance < 1e-24 {
            return (
                Interval { estimate, low: estimate, high: estimate },
                if estimate.abs() < 1e-12 { 1.0 } else { 0.0 },
            );
        }
        let spread: f64 =
            self.sources.iter().filter(|one| one.0 > 0.0).map(|(part, df)| part * part / df).sum();
        let (error, df) = (variance.sqrt(), variance * variance / spread);
        let half = t_quantile((1.0 + level) / 2.0, df) * error;
        let p = 2.0 * (1.0 - t_cdf((estimate / error).abs(), df));
        (Interval { estimate, low: estimate - half, high: estimate + half }, p.clamp(0.0, 1.0))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The hull of two intervals, from `least` to 1.
fn wider(a: Interval, b: Interval, least: f64) -> Interval {
    Interval { estimate: a.estimate, low: a.low.min(b.low).max(least), high: a.high.max(b.high).min(1.0) }
}

fn compare(baseline: &Side, variant: &Side, test: &TestSet, settings: &Settings) -> Result<Comparison> {
    let classes = test.classes.len();
    let (a, b) = (baseline.predicted(), variant.predicted());
    let [accuracy, balanced_accuracy, macro_f1] = METRICS.map(|metric| {
        let found = bootstrap::paired_difference(test.rows(), &a, &b, metric, settings)?;
        let (student, p) = Uncertain::of(metric as usize, Some(baseline), variant).student(settings.level);
        Ok(change(found, student, p))
    });
    let mut tests = Vec::new();
    for run in &variant.runs {
        // The runs of one seed are one pair.
        if let Some(other) = baseline.runs.iter().find(|other| other.seed == run.seed) {
            let found = mcnemar(&other.right, &run.right)?;
            let (only_baseline, only_variant) = (found.only_a, found.only_b);
            tests.push(SeedTest {
                seed: run.seed,
                only_baseline,
                only_variant,
                p: found.exact,
                p_holm: found.exact,
            });
        }
    }
    let class_change = |class: usize| {
        let of = |index: usize| {
            let (interval, p) = Uncertain::of(index, Some(baseline), variant).student(settings.level);
            let value =
                |side: &Side| mean(&side.runs.iter().map(|run| run.values[index]).collect::<Vec<_>>());
            let difference = wider(interval, interval, -1.0);
            Change { a: value(baseline), b: value(variant), difference, p, p_holm: p }
        };
        let index = recall_of(class);
        ClassChange {
            class: test.classes[class].clone(),
            images: test.support(class),
            recall: of(index),
            f1: of(index + 1),
        }
    };
    Ok(Comparison {
        variant: variant.arm.name.clone(),
        baseline: baseline.arm.name.clone(),
        accuracy: accuracy?,
        balanced_accuracy: balanced_accuracy?,
        macro_f1: macro_f1?,
        mcnemar: tests,
        classes: (0..classes).filter(|&class| test.support(class) > 0).map(class_change).collect(),
        clear: false,
    })
}

/// The wider interval and the larger p value.
fn change(found: Difference, student: Interval, p: f64) -> Change {
    let p = p.max(found.p_value);
    Change { a: found.a, b: found.b, difference: wider(found.difference, student, -1.0), p, p_holm: p }
}

/// Holm's correction, for each sort of number over the whole study.
fn correct(comparisons: &mut [Comparison], level: f64) {
    let metrics: [fn(&mut Comparison) -> &mut Change; 3] =
        [|one| &mut one.accuracy, |one| &mut one.balanced_accuracy, |one| &mut one.macro_f1];
    for metric in metrics {
        corrected(comparisons.iter_mut().map(|one| pair(metric(one))).collect());
    }
    corrected(
        comparisons
            .iter_mut()
            .flat_map(|one| &mut one.mcnemar)
            .map(|test| (test.p, &mut test.p_holm))
            .collect(),
    );
    let scores: [fn(&mut ClassChange) -> &mut Change; 2] = [|class| &mut class.recall, |class| &mut class.f1];
    for score in scores {
        corrected(
            comparisons.iter_mut().flat_map(|one| &mut one.classes).map(|class| pair(score(class))).collect(),
        );
    }
    for one in comparisons {
        one.clear = is_clear(&one.accuracy, level);
    }
}

fn pair(change: &mut Change) -> (f64, &mut f64) {
    (change.p, &mut change.p_holm)
}

fn corrected(family: Vec<(f64, &mut f64)>) {
    let p: Vec<f64> = family.iter().map(|(p, _)| *p).collect();
    family.into_iter().zip(holm(&p)).for_each(|((_, slot), p)| *slot = p);
}

/// Whether a change is more than chance explains.
pub(super) fn is_clear(change: &Change, level: f64) -> bool {
    change.p_holm < 1.0 - level && (change.difference.low > 0.0 || change.difference.high < 0.0)
}

// ---- beside the comparison ----

fn claim_runs(out: &Path, plan: &Plan, missing: &mut Vec<String>) -> Result<Vec<ClaimRun>> {
    let mut runs = Vec::new();
    for &seed in &plan.seeds {
        let run = run_name(LEAKY, seed);
        let path = evaluation(&out.join(RUNS).join(&run));
        if !path.is_file() {
            missing.push(run);
            continue;
        }
        let metrics = read_evaluation(&path)?.metrics;
        runs.push(ClaimRun {
            run,
            seed,
            accuracy: metrics.accuracy,
            macro_f1: metrics.macro_f1,
            images: metrics.n as usize,
            interval: metrics.accuracy_interval,
        });
    }
    Ok(runs)
}

fn claim(runs: Vec<ClaimRun>, plan: &Plan, variants: &[VariantResult]) -> Option<Claim> {
    let augmented =
        |one: &&VariantResult| one.kind == Kind::Typed(DatasetType::Augmented) && one.changes.is_empty();
    let beside =
        variants.iter().find(augmented).or_else(|| variants.iter().find(|one| one.name == plan.baseline))?;
    if runs.is_empty() {
        return None;
    }
    let mean_of = |value: fn(&ClaimRun) -> f64| mean(&runs.iter().map(value).collect::<Vec<_>>());
    Some(Claim {
        accuracy: mean_of(|run| run.accuracy),
        macro_f1: mean_of(|run| run.macro_f1),
        beside: beside.name.clone(),
        honest: beside.accuracy.estimate,
        runs,
    })
}

fn dose(plan: &Plan, variants: &[VariantResult]) -> Vec<DosePoint> {
    let point = |&images: &usize| {
        let name = plan.dose_variant(images);
        let variant = variants.iter().find(|variant| variant.name == name)?;
        let seeds = variant.runs.iter().map(|run| (run.seed, run.accuracy)).collect();
        Some(DosePoint { images, variant: name, accuracy: variant.accuracy, seeds })
    };
    plan.dose.iter().filter_map(point).collect()
}

fn warnings(results: &Results) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn =
        |grave: bool, title: &str, text: String| found.push(Warning { grave, title: title.into(), text });
    let leaking: Vec<&str> = results
        .variants
        .iter()
        .flat_map(|variant| &variant.runs)
        .filter(|run| run.leakage)
        .map(|run| run.run.as_str())
        .collect();
    if !leaking.is_empty() {
        warn(
            true,
            "Leakage",
            format!(
                "{} saw test images or groups in training: the numbers are too good.",
                leaking.join(", ")
            ),
        );
    }
    if results.variant(&results.baseline).is_none() {
        let text = format!(
            "No run of the baseline '{}' is finished: nothing can be compared yet.",
            results.baseline
        );
        warn(true, "Nothing to compare with", text);
    }
    if !results.missing.is_empty() {
        warn(
            true,
            "Not finished",
            format!("{}. The numbers are those of the finished runs.", results.missing.join(", ")),
        );
    }
    let single: Vec<&str> = results
        .variants
        .iter()
        .filter(|variant| variant.runs.len() == 1)
        .map(|variant| variant.name.as_str())
        .collect();
    if single.len() == results.variants.len() {
        let text = "Every variant has one run: seed-to-seed variation is unknown. The intervals tell how another choice of test images \
                    would change the numbers of these very models, not what training again would.";
        warn(true, "One seed", text.into());
    } else if !single.is_empty() {
        let have = if single.len() == 1 {
            "has one run only: how it varies"
        } else {
            "have one run only: how these vary"
        };
        warn(true, "One seed", format!("{} {have} from seed to seed is unknown.", single.join(", ")));
    } else if results.seeds.len() < 3 {
        let text = "Two seeds say little about how far results spread: the intervals of differences are wide, those of single variants \
                    somewhat too narrow. Take three or more.";
        warn(false, "Few seeds", text.into());
    }
    let counts: HashSet<usize> = results.variants.iter().map(|variant| variant.runs.len()).collect();
    if counts.len() > 1 {
        warn(false, "Unequal seeds", "Not all variants have the same number of finished runs.".into());
    }
    if results.groups == results.images {
        let text = "Every test image is a group of its own. If several show one person or one photo, the intervals are too narrow.";
        warn(false, "No groups", text.into());
    }
    if results.groups < FEW_GROUPS {
        let text = format!(
            "The test set has {} (photos, persons): small differences cannot be seen with so few, and the intervals are rough.",
            counted(results.groups, "group")
        );
        warn(false, "Few groups", text);
    }
    if let Some(base) = results.variant(&results.baseline) {
        for variant in results.variants.iter().filter(|variant| variant.name != base.name) {
            if let (Some(a), Some(b)) = (base.cost.images_seen, variant.cost.images_seen) {
                let ratio = b / a;
                if !(1.0 / UNEQUAL_EFFORT..=UNEQUAL_EFFORT).contains(&ratio) {
                    let text = format!(
                        "'{}' saw {ratio:.1} times the images that '{}' saw in training: part of a difference may come from training \
                         longer or shorter, not from the data.",
                        variant.name, base.name
                    );
                    warn(false, "Unequal training", text);
                }
            }
        }
    }
    found.sort_by_key(|warning| !warning.grave); // stable
    found
}

// ---- words ----

/// 0.012 -> "+1.2", with a real minus sign.
pub(super) fn points(value: f64) -> String {
    let text = format!("{:+.1}", value * 100.0);
    match text.as_str() {
        "+0.0" | "-0.0" => "0.0".into(),
        text => text.replace('-', "\u{2212}"),
    }
}

/// 0.95 -> "95 %".
pub(super) fn level(level: f64) -> String {
    format!("{} %", (level * 1000.0).round() / 10.0)
}

pub(super) fn p_text(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

fn p_equals(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("= {p:.3}") }
}

pub(super) fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What a variant is trained on, for a table.
pub(super) fn kind_text(kind: Kind) -> String {
    match kind {
        Kind::Typed(kind) => kind.to_string(),
        Kind::Dose(images) => format!("real + {images} synthetic"),
        Kind::Leaky => LEAKY.into(),
    }
}

fn record<const N: usize>(fields: [String; N]) -> String {
    crate::plot::csv_line(&fields)
}

#[cfg(test)]
pub(super) mod testing {
    //! Made-up studies: run folders with the predictions of models of a chosen accuracy.

    use std::fs;

    use rand::RngExt;

    use super::*;
    use crate::eval::files::write_evaluation;
    use crate::eval::metrics::compute_for;
    use crate::random::{Purpose, rng};

    pub(crate) const CLASSES: [&str; 3] = ["angry", "happy", "<sad>"];

    /// A test set and how much models of one accuracy differ on it.
    #[derive(Clone, Copy)]
    pub(crate) struct World {
        pub(crate) number: u64,
        pub(crate) groups: usize,
        pub(crate) per_group: usize,
        /// Standard deviation of the accuracy from seed to seed.
        pub(crate) seeds: f64,
        /// Standard deviation of a variant's accuracy from group to group.
        pub(crate) spread: f64,
    }

    fn normal(key: [u64; 3]) -> f64 {
        let mut random = rng(key[0], Purpose::Draw, key[1], key[2]);
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    impl World {
        /// What a model of the variant says that is right with the given probability, give or take.
        pub(crate) fn predictions(&self, variant: u64, seed: u64, accuracy: f64) -> Vec<Prediction> {
            let world = 100 * self.number + variant;
            let luck = self.seeds * normal([world, 1, seed]);
            let mut rows = Vec::new();
            for group in 0..self.groups {
                let share = accuracy + luck + self.spread * normal([world, 2, group as u64]);
                for image in 0..self.per_group {
                    let row = (group * self.per_group + image) as u64;
                    let mut random = rng(world, Purpose::Draw, 3 + seed, row);
                    let truth = (group + image) % 3;
                    let other = (truth + random.random_range(1..3)) % 3;
                    let said = if random.random::<f64>() < share { truth } else { other };
                    let mut probabilities = vec![0.1; 3];
                    probabilities[said] = 0.8;
                    rows.push(Prediction {
                        path: format!("test/{}/{row:04}.png", CLASSES[truth]),
                        group: format!("g{group}"),
                        split: "test".into(),
                        truth: Some(CLASSES[truth].into()),
                        predicted: CLASSES[said].into(),
                        probabilities,
                    });
                }
            }
            rows
        }
    }

    pub(crate) fn evaluation_of(rows: &[Prediction]) -> Evaluation {
        let classes = CLASSES.map(String::from).to_vec();
        let index = |name: &str| CLASSES.iter().position(|class| *class == name).unwrap();
        let truth: Vec<usize> = rows.iter().map(|row| index(row.truth.as_deref().unwrap())).collect();
        let said: Vec<usize> = rows.iter().map(|row| index(&row.predicted)).collect();
        let probabilities: Vec<&[f32]> = rows.iter().map(|row| row.probabilities.as_slice()).collect();
        let metrics = compute_for(&said, &probabilities, &truth, &classes).unwrap();
        let (model, data, split) = ("vgg16_bn".into(), "faces".into(), "test".into());
        Evaluation { model, data, split, classes, leakage: false, temperature: 1.0, metrics }
    }

    /// A run folder as training leaves it: 90 training images, two epochs, 60 seconds.
    pub(crate) fn write_run(out: &Path, name: &str, rows: &[Prediction]) {
        let run = out.join(RUNS).join(name);
        write_evaluation(&run.join("eval"), "test", &evaluation_of(rows), rows).unwrap();
        let own = name.split("-s").next().unwrap_or_default();
        fs::write(run.join("config.toml"), format!("[model]\nname = \"{own}<b>\"\n[train]\nepochs = 2\n"))
            .unwrap();
        let summary = r#"{"root":"faces","layout":"split-folders","dataset_type":"real","classes":["angry","happy","<sad>"],
            "counts":{"train":[30,30,30],"valid":[4,4,4],"test":[4,4,4]},"groups":{"train":12,"valid":6,"test":6},"group_rules":{"regex":36},
            "group_regex":null,"augmented":0,"synthetic":0,"duplicates":0,"seed":1,"fingerprint":"abcdef0123456789","leakage":false,
            "leaking_groups":0,"leaks":[],"unreadable":[],"left_out":[],"warnings":[]}"#;
        fs::write(run.join("data.json"), summary).unwrap();
        let mut events =
            String::from("{\"event\":\"start\",\"run\":\"run\",\"header\":[],\"from_step\":0}\n");
        let images = if own == "augmented" { 270 } else { 90 };
        for step in 1..=2 {
            events += &format!(
                "{{\"event\":\"step\",\"step\":{step},\"epoch\":{step},\"batch\":1,\"loss\":1.0,\"accuracy\":0.5,\"epoch_loss\":1.0,\"epoch_accuracy\":0.5,\
                 \"learning_rate\":0.01,\"images\":{images},\"seconds\":0.1,\"waited\":0.0}}\n"
            );
        }
        fs::write(
            run.join("events.jsonl"),
            events + "{\"event\":\"end\",\"reason\":\"finished\",\"seconds\":60.0}\n",
        )
        .unwrap();
        let epochs = "epoch,step,train_loss,train_accuracy,val_loss,val_accuracy,val_macro_f1,learning_rate,images_per_second,seconds,best\n\
                      1,1,1.0,0.5,0.9,0.5,0.5,0.01,10.0,4.0,true\n2,2,0.5,0.7,0.7,0.7,0.7,0.01,10.0,4.0,true\n";
        fs::write(run.join("metrics.csv"), epochs).unwrap();
    }

    pub(crate) const WORLD: World = World { number: 1, groups: 20, per_group: 15, seeds: 0.01, spread: 0.02 };

    /// The plan of `text` with all its runs, of the accuracy that `accuracy` gives each.
    pub(crate) fn study(
        text: &str,
        world: World,
        accuracy: impl Fn(&str) -> f64,
    ) -> (tempfile::TempDir, Plan) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.toml");
        fs::write(&path, text).unwrap();
        let plan = Plan::load(&path).unwrap();
        for (index, job) in plan.jobs().iter().enumerate() {
            let variant =
                plan.jobs().iter().position(|other| other.variant == job.variant).unwrap_or(index) as u64;
            write_run(
                folder.path(),
                &job.name(),
                &world.predictions(variant, job.seed, accuracy(&job.variant)),
            );
        }
        (folder, plan)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::testing::*;
    use super::*;
    use crate::eval::files::write_evaluation;
    use crate::stats::hypothesis::t_interval;

    const QUICK: Settings =
        Settings { replicates: 400, level: 0.95, seed: 0, method: bootstrap::Method::Percentile };

    fn read(out: &Path, plan: &Plan) -> Results {
        Results::read_with(out, plan, &QUICK).unwrap()
    }

    fn side(world: World, variant: u64, seeds: u64, accuracy: f64) -> (Side<'static>, TestSet) {
        let mut test = None;
        let runs = (1..=seeds)
            .map(|seed| {
                let mut predictions = world.predictions(variant, seed, accuracy);
                predictions.sort_by(|a, b| a.path.cmp(&b.path));
                let (evaluation, settings) = (evaluation_of(&predictions), Vec::new());
                let run = Loaded {
                    name: "run".into(),
                    seed,
                    evaluation,
                    predictions,
                    cost: Cost::default(),
                    settings,
                };
                let test = test.get_or_insert_with(|| TestSet::of(&run).unwrap());
                test.check(&run).unwrap();
                Run::new(run, test)
            })
            .collect();
        let arm = Arm { name: variant.to_string(), kind: Kind::Typed(DatasetType::Real), set: &[] };
        (Side { arm, runs }, test.unwrap())
    }

    /// The share of `studies` made-up studies without any effect whose p is below 0.05, and that whose
    /// interval of a value leaves the true one out; and the former for the bootstrap alone.
    fn wrong(world: World, seeds: u64, studies: u64) -> [f64; 3] {
        let few = Settings { replicates: 200, ..QUICK };
        let mut found = [0.0; 3];
        for number in 0..studies {
            let world = World { number, ..world };
            let ((a, test), (b, _)) = (side(world, 0, seeds, 0.6), side(world, 1, seeds, 0.6));
            let comparison = compare(&a, &b, &test, &few).unwrap();
            found[0] += f64::from(u8::from(comparison.accuracy.p < 0.05));
            let value = b.value(Metric::Accuracy, &test, &few).unwrap();
            found[1] += f64::from(u8::from(value.low > 0.6 || value.high < 0.6));
            let (a, b) = (a.predicted(), b.predicted());
            let alone = bootstrap::paired_difference(test.rows(), &a, &b, Metric::Accuracy, &few).unwrap();
            found[2] += f64::from(u8::from(alone.p_value < 0.05));
        }
        found.map(|count| count / studies as f64)
    }

    /// The claim of the module: with few seeds, few groups and both, no effect is found where there is none
    /// in about one study of twenty, where the bootstrap alone errs far more often.
    #[test]
    fn where_there_is_no_effect_none_is_found() {
        let world = World { number: 0, groups: 12, per_group: 10, seeds: 0.0, spread: 0.0 };
        let few_seeds = World { groups: 60, seeds: 0.12, ..world };
        let few_groups = World { groups: 5, per_group: 30, spread: 0.08, ..world };
        let both = World { seeds: 0.05, spread: 0.08, ..world };
        let studies = 100;
        // 0.05 and three standard errors of such a share.
        let limit = 0.05 + 3.0 * (0.05f64 * 0.95 / studies as f64).sqrt();
        for (name, world, seeds) in [
            ("two seeds", few_seeds, 2),
            ("three seeds", few_seeds, 3),
            ("five groups", few_groups, 3),
            ("both", both, 3),
            ("one", world, 1),
        ] {
            let [found, outside, alone] = wrong(world, seeds, studies);
            eprintln!(
                "{name}: {found:.3} false findings ({alone:.3} of the bootstrap alone), {outside:.3} of intervals wrong"
            );
            // Two seeds that agree by chance hide their spread: one value's interval is then too narrow,
            // which a warning says.
            assert!(found <= limit && (outside <= limit || seeds == 2), "{name}: {found} {outside}");
            assert!(name != "two seeds" || alone > limit, "{alone}");
        }
    }

    #[test]
    fn a_planted_effect_is_found_and_said() {
        let (folder, plan) =
            study("real = 'a'\nleaky = false", WORLD, |variant| if variant == "real" { 0.55 } else { 0.75 });
        let results = read(folder.path(), &plan);
        let [comparison] = results.comparisons.as_slice() else { panic!() };
        assert!(
            comparison.clear
                && comparison.accuracy.difference.low > 0.1
                && comparison.accuracy.difference.high < 0.3
        );
        assert!(comparison.classes.iter().all(|class| class.recall.difference.estimate > 0.05));
        assert!(
            comparison
                .mcnemar
                .iter()
                .all(|test| test.only_variant > test.only_baseline && test.p_holm < 0.05)
        );
        let answer = &results.answers()[0];
        assert!(
            answer.starts_with("Augmented copies raised accuracy by ")
                && answer.contains("3 seeds and 20 groups"),
            "{answer}"
        );
        let (folder, plan) = study("real = 'a'\nleaky = false", WORLD, |_| 0.6);
        let results = read(folder.path(), &plan);
        assert!(!results.comparisons[0].clear);
        let answer = &results.answers()[0];
        assert!(answer.contains("no difference can be told from 3 seeds and 20 groups."), "{answer}");
    }

    #[test]
    fn the_numbers_are_those_of_the_evaluations() {
        let (folder, plan) = study("real = 'a'", WORLD, |_| 0.6);
        let results = read(folder.path(), &plan);
        assert_eq!((results.images, results.groups, results.variants.len()), (300, 20, 2));
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        for variant in &results.variants {
            let mut mean = [0.0; 3];
            for run in &variant.runs {
                let metrics =
                    read_evaluation(&evaluation(&folder.path().join(RUNS).join(&run.run))).unwrap().metrics;
                let expected = [metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1];
                for (index, found) in
                    [run.accuracy, run.balanced_accuracy, run.macro_f1].into_iter().enumerate()
                {
                    close(found, expected[index]);
                    mean[index] += found / 3.0;
                }
            }
            for (mean, value) in
                mean.into_iter().zip([variant.accuracy, variant.balanced_accuracy, variant.macro_f1])
            {
                close(value.estimate, mean);
                assert!(
                    value.low < mean && mean < value.high && value.low > 0.4 && value.high < 0.8,
                    "{value:?}"
                );
            }
            let cost =
                Cost { train_images: Some(90.0), epochs: Some(2.0), seconds: Some(60.0), ..variant.cost };
            assert_eq!(variant.cost, cost);
        }
        let metrics = read_evaluation(&evaluation(&folder.path().join("runs/augmented-s1"))).unwrap().metrics;
        let cells: Vec<i64> = metrics.confusion.iter().flatten().map(|&n| n as i64).collect();
        let found = statistics(&cells, 3);
        for (class, expected) in metrics.per_class.iter().enumerate() {
            close(found[recall_of(class)], expected.recall);
            close(found[recall_of(class) + 1], expected.f1);
        }
        let seen = |name: &str| results.variant(name).unwrap().cost.images_seen;
        assert_eq!((seen("real"), seen("augmented")), (Some(180.0), Some(540.0)));
        assert!(
            results
                .warnings
                .iter()
                .any(|warning| warning.text.contains("'augmented' saw 3.0 times the images"))
        );
    }

    /// One seed and groups of one size: the jackknife is the variance of the groups' means, and Student's
    /// interval theirs.
    #[test]
    fn with_one_seed_the_interval_is_that_of_the_groups() {
        let world = World { spread: 0.1, ..WORLD };
        let ((a, test), (b, _)) = (side(world, 0, 1, 0.5), side(world, 1, 1, 0.6));
        let mut means = vec![0.0; test.group_count()];
        for (row, &group) in test.groups.iter().enumerate() {
            let right = |side: &Side| f64::from(u8::from(side.runs[0].right[row]));
            means[group] += (right(&b) - right(&a)) / world.per_group as f64;
        }
        let expected = t_interval(&means, 0.95).unwrap();
        let (found, p) = Uncertain::of(0, Some(&a), &b).student(0.95);
        for (a, b) in
            [(found.estimate, expected.estimate), (found.low, expected.low), (found.high, expected.high)]
        {
            assert!((a - b).abs() < 1e-9, "{found:?} {expected:?}");
        }
        assert_eq!(p < 0.05, found.low > 0.0 || found.high < 0.0);
    }

    /// Welch's t test of `scipy.stats.ttest_ind([0.5, 0.6, 0.7], [0.8, 0.85, 0.95], equal_var=False)`.
    #[test]
    fn where_only_seeds_vary_the_p_value_is_welchs() {
        let uncertain = |a: [f64; 3], b: [f64; 3]| {
            let part = |values: [f64; 3]| {
                let variance = values.iter().map(|value| (value - mean(&values)).powi(2)).sum::<f64>() / 2.0;
                (variance / 3.0, 2.0)
            };
            Uncertain { estimate: mean(&b) - mean(&a), sources: vec![(0.0, 9.0), part(a), part(b)] }
        };
        let (interval, p) = uncertain([0.5, 0.6, 0.7], [0.8, 0.85, 0.95]).student(0.95);
        assert!((p - 0.024_018_108_461_534_84).abs() < 1e-9, "{p}");
        assert!(
            (interval.low - 0.059_332_484_296).abs() < 1e-9
                && (interval.high - 0.474_000_849_037).abs() < 1e-9,
            "{interval:?}"
        );
        assert_eq!(uncertain([0.5; 3], [0.5; 3]).student(0.95).1, 1.0);
    }

    #[test]
    fn p_values_are_corrected_over_the_whole_study() {
        let text = "real = 'a'\nsynthetic = 'b'\nleaky = false";
        let (folder, plan) = study(text, WORLD, |variant| if variant == "synthetic" { 0.45 } else { 0.6 });
        let results = read(folder.path(), &plan);
        assert_eq!(results.comparisons.len(), 3);
        let all: Vec<f64> = results.comparisons.iter().map(|one| one.accuracy.p).collect();
        let corrected: Vec<f64> = results.comparisons.iter().map(|one| one.accuracy.p_holm).collect();
        assert_eq!(corrected, holm(&all));
        let tests: Vec<SeedTest> = results.comparisons.iter().flat_map(|one| one.mcnemar.clone()).collect();
        assert_eq!(tests.len(), 9);
        let p: Vec<f64> = tests.iter().map(|test| test.p).collect();
        assert_eq!(tests.iter().map(|test| test.p_holm).collect::<Vec<_>>(), holm(&p));
        let clear: Vec<&str> =
            results.comparisons.iter().filter(|one| one.clear).map(|one| one.variant.as_str()).collect();
        assert_eq!(clear, ["synthetic"]);
        assert!(
            results.answers()[1].contains("lowered accuracy by")
                && results.answers()[1].contains("corrected for 3 comparisons")
        );
    }

    #[test]
    fn with_one_seed_the_spread_is_called_unknown() {
        let (folder, plan) =
            study("real = 'a'\nseeds = [5]", WORLD, |variant| if variant == "real" { 0.4 } else { 0.8 });
        let results = read(folder.path(), &plan);
        assert!(results.comparisons[0].clear);
        let answer = &results.answers()[0];
        assert!(
            answer.contains("from seed to seed is unknown with one seed") && !answer.contains("raised"),
            "{answer}"
        );
        assert!(
            results.warnings[0].text.contains("seed-to-seed variation is unknown"),
            "{:?}",
            results.warnings
        );
    }

    #[test]
    fn different_tests_are_refused_by_name() {
        let refused = |change: &dyn Fn(&mut Vec<Prediction>)| {
            let (folder, plan) = study("real = 'a'", WORLD, |_| 0.6);
            let run = folder.path().join("runs/augmented-s2/eval");
            let mut rows = read_predictions(&run.join("test_predictions.csv")).unwrap().1;
            change(&mut rows);
            write_evaluation(&run, "test", &evaluation_of(&rows), &rows).unwrap();
            Results::read_with(folder.path(), &plan, &QUICK).map(|_| ()).map_err(|error| error.to_string())
        };
        let error = refused(&|rows| rows[7].path = "test/other.png".into()).unwrap_err();
        assert!(
            error.starts_with(
                "real-s1 and augmented-s2: their tests are of 300 and 300 images, 299 of them in both"
            ),
            "{error}"
        );
        let error = refused(&|rows| drop(rows.pop())).unwrap_err();
        assert!(error.contains("300 and 299 images") && !error.contains('\n'), "{error}");
        let error = refused(&|rows| rows[0].group = "g9".into()).unwrap_err();
        assert!(error.contains("is in different groups"), "{error}");
        let error = refused(&|rows| rows[0].truth = Some("happy".into())).unwrap_err();
        assert!(error.contains("is of different classes"), "{error}");
        let error = refused(&|rows| rows[1].path = rows[0].path.clone()).unwrap_err();
        assert!(error.contains("is there twice"), "{error}");
        // Other names and another order of the same are the same.
        refused(&|rows| {
            rows.iter_mut().for_each(|row| row.group.push_str("-x"));
            rows.reverse();
        })
        .unwrap();
    }

    #[test]
    fn what_is_missing_is_named_and_the_rest_is_compared() {
        let (folder, plan) = study("real = 'a'", WORLD, |_| 0.6);
        let runs = folder.path().join(RUNS);
        for run in ["real-s2", "leaky-s3"] {
            fs::remove_dir_all(runs.join(run)).unwrap();
        }
        let results = read(folder.path(), &plan);
        assert_eq!(results.missing, ["real-s2", "leaky-s3"]);
        assert_eq!(results.comparisons[0].mcnemar.len(), 2, "seeds that both have");
        assert!(results.answers()[0].contains("3 and 2 seeds"), "{:?}", results.answers());
        assert!(results.table().contains("Not finished: real-s2, leaky-s3."));
        for run in ["real-s1", "real-s3"] {
            fs::remove_file(evaluation(&runs.join(run))).unwrap();
        }
        let results = read(folder.path(), &plan);
        assert!(results.comparisons.is_empty());
        assert!(
            results.warnings[0].text.starts_with("No run of the baseline 'real'"),
            "{:?}",
            results.warnings
        );
        for seed in 1..4 {
            fs::remove_dir_all(runs.join(format!("augmented-s{seed}"))).unwrap();
        }
        let error = Results::read_with(folder.path(), &plan, &QUICK).unwrap_err().to_string();
        assert!(error.contains("no run of the study is finished"), "{error}");
    }

    #[test]
    fn a_damaged_evaluation_is_an_error_that_names_it() {
        let (folder, plan) = study("real = 'a'", WORLD, |_| 0.6);
        let path = folder.path().join("runs/real-s3/eval/test_predictions.csv");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.lines().take(100).collect::<Vec<_>>().join("\n") + "\n").unwrap();
        let error = Results::read(folder.path(), &plan).unwrap_err().to_string();
        assert!(error.contains("real-s3") && error.contains("found 99 images"), "{error}");
    }

    #[test]
    fn claim_dose_and_quality_are_there() {
        let text = "real = 'a'\nsynthetic = 'b'\nvariants = ['real', 'augmented']\ndose = [0, 50]";
        let (folder, plan) = study(text, WORLD, |variant| if variant == "leaky" { 0.95 } else { 0.6 });
        let quality = Quality {
            images: 10,
            intended: 0.8,
            per_class: vec![QualityClass {
                class: "angry".into(),
                images: 10,
                intended: 0.8,
                diversity: 1.0,
                real_diversity: 2.0,
            }],
            frechet: 3.0,
            frechet_real: 1.0,
            model: "runs/real-s1".into(),
        };
        crate::files::write_json(&folder.path().join(QUALITY), &quality).unwrap();
        let results = read(folder.path(), &plan);
        let claim = results.claim.as_ref().unwrap();
        assert_eq!((claim.runs.len(), claim.beside.as_str()), (3, "augmented"));
        assert!(claim.accuracy > 0.9 && claim.honest < 0.7);
        assert!(
            results.variant(LEAKY).is_none() && !results.csv().contains(LEAKY),
            "it is compared with nothing"
        );
        let dose: Vec<(usize, &str)> =
            results.dose.iter().map(|point| (point.images, point.variant.as_str())).collect();
        assert_eq!(dose, [(0, "real"), (50, "dose-50")]);
        assert_eq!(results.quality, Some(quality));
        assert!(
            results.answers()[1].starts_with("50 added synthetic images changed accuracy"),
            "{:?}",
            results.answers()
        );
        // What is written as JSON reads back, so no number is missing in it.
        let json = serde_json::to_string(&results).unwrap();
        assert!(!json.contains("null") && serde_json::from_str::<Results>(&json).unwrap() == results);
        assert_eq!(read(folder.path(), &plan), results, "the same again");
    }

    #[test]
    fn tables_hold_every_variant_and_its_numbers() {
        let (folder, plan) = study("real = 'a'\nsynthetic = 'b'", WORLD, |_| 0.6);
        let results = read(folder.path(), &plan);
        let csv = results.csv();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let header = reader.headers().unwrap().clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(
            rows.iter().map(|row| row[0].to_owned()).collect::<Vec<_>>(),
            ["real", "augmented", "synthetic", "synthetic-augmented"]
        );
        let cell = |row: usize, name: &str| {
            rows[row][header.iter().position(|title| title == name).unwrap()].to_owned()
        };
        assert_eq!(cell(0, "p_holm"), "", "the baseline is compared with nothing");
        assert_eq!(cell(2, "accuracy"), results.variants[2].accuracy.estimate.to_string());
        assert_eq!(cell(2, "p_holm"), results.comparisons[1].accuracy.p_holm.to_string());
        assert_eq!(cell(1, "mcnemar_p").split(';').count(), 3);
        assert_eq!(cell(3, "seconds"), "60");
        let table = results.table();
        assert!(
            table.starts_with("variant ")
                && table.contains("\nsynthetic-augmented ")
                && table.contains("(baseline)"),
            "{table}"
        );
        let wide = table.lines().take(6).map(|line| line.chars().count()).max().unwrap();
        assert!(wide <= 100, "{wide}\n{table}");
    }

    #[test]
    fn all_right_and_one_group_are_not_certain() {
        let world = World { seeds: 0.0, spread: 0.0, ..WORLD };
        let ((a, test), _) = (side(world, 0, 3, 2.0), ());
        let value = a.value(Metric::Accuracy, &test, &QUICK).unwrap();
        assert!(value.estimate == 1.0 && value.high == 1.0 && (0.7..0.95).contains(&value.low), "{value:?}");
        let world = World { groups: 1, per_group: 60, ..world };
        let ((a, test), (b, _)) = (side(world, 0, 3, 0.3), side(world, 1, 3, 0.9));
        let found = compare(&a, &b, &test, &QUICK).unwrap().accuracy;
        assert_eq!((found.difference.low, found.difference.high, found.p), (-1.0, 1.0, 1.0));
    }
}
