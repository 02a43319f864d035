//! Reads the finished runs of a study, and checks that all were tested on the same images.

use std::collections::HashSet;
use std::path::Path;

use super::names::{RUNS, evaluation};
use super::plan::{LEAKY, Plan, run_name};
use super::results::{ClaimRun, Cost};
use crate::error::{Error, Result};
use crate::eval::files::{Evaluation, Prediction, read_evaluation, read_predictions};
use crate::run_folder::read::{Ending, RunFiles};
use crate::stats::bootstrap::{self, Rows};
use crate::text::count;

/// A finished run as its folder has it.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) evaluation: Evaluation,
    /// The predictions with a known true class, sorted by path.
    pub(super) predictions: Vec<Prediction>,
    pub(super) cost: Cost,
    pub(super) settings: Vec<(String, String)>,
}

impl Loaded {
    /// `None` where the run is not finished.
    pub(super) fn read(out: &Path, name: String, seed: u64) -> Result<Option<Self>> {
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
                Error::at(&path, format!("duplicate image {}", pair[0].path)).expected("each image once")
            );
        }
        // A run that was copied here without its settings can still be compared.
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

/// The test set that all runs share: rows sorted by path.
pub(super) struct TestSet {
    /// Name of the run that it was read from.
    run: String,
    pub(super) classes: Vec<String>,
    paths: Vec<String>,
    pub(super) truth: Vec<usize>,
    /// `[N]`: from 0, in the order of first appearance.
    pub(super) groups: Vec<usize>,
}

impl TestSet {
    pub(super) fn of(run: &Loaded) -> Result<Self> {
        let classes = run.evaluation.classes.clone();
        if classes.len() < 2 {
            return Err(Error::input(
                &run.name,
                format!("found {}", count(classes.len(), "class", "classes")),
            )
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

    /// Checks that `run` was tested on the same images, classes and groups.
    pub(super) fn check(&self, run: &Loaded) -> Result<()> {
        let differ = |what: String| {
            Error::input(format!("{} and {}", self.run, run.name), what)
                .expected("the same test images, in the same groups, for every run of a study")
                .hint("Runs with different test sets cannot be compared; train the study in a new folder")
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
                "their test sets have {} and {} images, {} of them in both ({example} is not)",
                mine.len(),
                theirs.len(),
                mine.intersection(&theirs).count()
            )));
        }
        let groups = groups_of(run);
        for (at, row) in run.predictions.iter().enumerate() {
            if class_of(&self.classes, row.truth.as_deref()) != self.truth[at] {
                return Err(differ(format!("{} has different true classes", row.path)));
            }
            if groups[at] != self.groups[at] {
                return Err(differ(format!("{} is in different groups", row.path)));
            }
        }
        Ok(())
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        Rows { groups: &self.groups, truth: &self.truth, classes: self.classes.len() }
    }

    pub(super) fn group_count(&self) -> usize {
        self.groups.iter().max().map_or(0, |last| last + 1)
    }

    pub(super) fn support(&self, class: usize) -> usize {
        self.truth.iter().filter(|truth| **truth == class).count()
    }
}

/// The index of a class; the reader has checked that it is one.
pub(super) fn class_of(classes: &[String], name: Option<&str>) -> usize {
    let index = classes.iter().position(|class| Some(class.as_str()) == name);
    index.expect("the reader checks the classes")
}

/// Groups numbered by first appearance: names do not matter, only which images belong together.
fn groups_of(run: &Loaded) -> Vec<usize> {
    let keys: Vec<&str> = run.predictions.iter().map(|row| row.group.as_str()).collect();
    bootstrap::group_indices(&keys)
}

/// The finished leaky runs; the others are added to `missing`.
pub(super) fn claim_runs(out: &Path, plan: &Plan, missing: &mut Vec<String>) -> Result<Vec<ClaimRun>> {
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
