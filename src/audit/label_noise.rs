//! Doubtful labels: images to whose label the models of one or more runs give little probability.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::Split;
use crate::error::{Error, Result};
use crate::eval::files::{Prediction, read_predictions};
use crate::run_folder::names::EVAL;
use crate::stats::label_noise::confident_learning;

/// Doubtful labels, by confident learning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelNoise {
    /// The run folders whose predictions were used.
    pub runs: Vec<PathBuf>,
    /// Names of the K classes.
    pub classes: Vec<String>,
    /// Labelled images with held-out predictions.
    pub images: usize,
    /// Predictions left out because the model was trained on the image: it has learned the label, right or
    /// wrong.
    pub trained_on: usize,
    /// The estimated fraction of wrong labels, in `0..=1`.
    pub noise: f64,
    /// `[K, K]`: the estimated fraction of all images whose label is that of the row and whose true class is
    /// that of the column.
    pub joint: Vec<Vec<f64>>,
    /// Number of doubtful labels: another class is as probable as it is, on average, where it is the label.
    pub doubtful: usize,
    /// Images, the least plausible label first, at most [`LabelNoise::SHOWN`].
    pub issues: Vec<Issue>,
}

impl LabelNoise {
    /// Length limit of [`LabelNoise::issues`].
    pub const SHOWN: usize = 5000;
}

/// An image with its label's plausibility.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// The image, as its data set names it.
    pub name: String,
    /// Name of the split it is in.
    pub split: String,
    /// Name of the class it is labelled with.
    pub label: String,
    /// The most probable class.
    pub suggested: String,
    /// The probability of the label.
    pub self_confidence: f64,
    /// The probability of the label minus that of the most probable other class.
    pub margin: f64,
    /// Whether the label counts as doubtful.
    pub doubtful: bool,
}

/// Ranks labels by the predictions in `RUN/eval` of each run. Where several runs predict an image
/// (overlapping folds, several seeds), their probabilities are averaged. `None` without runs.
///
/// # Errors
/// [`Error::Input`] for a run without predictions of labelled images that it was not trained on, and for runs
/// of different classes.
pub(super) fn from_runs(runs: &[PathBuf]) -> Result<Option<LabelNoise>> {
    let Some(first) = runs.first() else { return Ok(None) };
    let (mut classes, mut trained_on): (Option<Vec<String>>, usize) = (None, 0);
    let mut judged: BTreeMap<String, (Prediction, Vec<f64>, usize)> = BTreeMap::new();
    for run in runs {
        let mut used = 0;
        for path in prediction_files(run)? {
            let (own, predictions) = read_predictions(&path)?;
            match &classes {
                Some(classes) if *classes != own => {
                    return Err(Error::at(&path, format!("has the classes {own:?}"))
                        .expected(format!("those of the other runs, {classes:?}")));
                }
                _ => classes = Some(own),
            }
            for prediction in predictions.into_iter().filter(|prediction| prediction.truth.is_some()) {
                if prediction.split == Split::Train.name() {
                    trained_on += 1;
                    continue;
                }
                used += 1;
                let values: Vec<f64> =
                    prediction.probabilities.iter().map(|&value| f64::from(value)).collect();
                match judged.get_mut(&prediction.path) {
                    Some((_, sums, count)) => {
                        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                        *count += 1;
                    }
                    None => {
                        judged.insert(prediction.path.clone(), (prediction, values, 1));
                    }
                }
            }
        }
        if used == 0 {
            return Err(Error::at(run, "has no predictions of labelled images outside its training set")
                .expected("eval/*_predictions.csv of valid or test")
                .hint(format!("Evaluate it first: mien eval '{}'", run.display())));
        }
    }
    let classes = classes.ok_or_else(|| Error::at(first, "has no predictions"))?;
    let images: Vec<&Prediction> = judged.values().map(|(prediction, ..)| prediction).collect();
    let given = |prediction: &&Prediction| {
        let label = prediction.truth.as_deref().unwrap_or_default();
        classes.iter().position(|class| class == label).unwrap_or_default() // read_predictions checks it
    };
    let labels: Vec<usize> = images.iter().map(given).collect();
    let means: Vec<Vec<f32>> = judged
        .values()
        .map(|(_, sums, count)| sums.iter().map(|sum| (sum / *count as f64) as f32).collect())
        .collect();
    let found = confident_learning(&means, &labels)?;
    let issue = |issue: &crate::stats::label_noise::LabelIssue| Issue {
        name: images[issue.row].path.clone(),
        split: images[issue.row].split.clone(),
        label: classes[issue.given].clone(),
        suggested: classes[issue.suggested].clone(),
        self_confidence: issue.self_confidence,
        margin: issue.margin,
        doubtful: issue.off_diagonal,
    };
    Ok(Some(LabelNoise {
        runs: runs.to_vec(),
        images: images.len(),
        trained_on,
        noise: found.noise,
        joint: found.joint,
        doubtful: found.issues.iter().filter(|issue| issue.off_diagonal).count(),
        issues: found.issues.iter().take(LabelNoise::SHOWN).map(issue).collect(),
        classes,
    }))
}

/// The prediction files of a run, by name.
fn prediction_files(run: &Path) -> Result<Vec<PathBuf>> {
    let folder = run.join(EVAL);
    let items = fs::read_dir(&folder).map_err(|error| Error::io("read", &folder, error))?;
    let mut paths: Vec<PathBuf> = items.filter_map(|item| Some(item.ok()?.path())).collect();
    paths.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_predictions.csv"))
    });
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::files::write_predictions;

    fn prediction(path: &str, split: &str, truth: &str, happy: f32) -> Prediction {
        let predicted = if happy > 0.5 { "happy" } else { "sad" };
        Prediction {
            path: path.into(),
            group: String::new(),
            split: split.into(),
            truth: Some(truth.into()),
            predicted: predicted.into(),
            probabilities: vec![happy, 1.0 - happy],
        }
    }

    fn run(folder: &Path, name: &str, predictions: &[Prediction]) -> PathBuf {
        let run = folder.join(name);
        fs::create_dir_all(run.join("eval")).unwrap();
        let classes = ["happy", "sad"].map(String::from);
        write_predictions(&run.join("eval/test_predictions.csv"), &classes, predictions).unwrap();
        run
    }

    #[test]
    fn the_least_plausible_label_comes_first_and_training_images_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut all: Vec<Prediction> =
            (0..10).map(|i| prediction(&format!("h{i}"), "test", "happy", 0.9)).collect();
        all.extend((0..10).map(|i| prediction(&format!("s{i}"), "test", "sad", 0.1)));
        all.push(prediction("wrong", "test", "happy", 0.02));
        all.push(prediction("seen", "train", "happy", 0.01));
        let run = run(folder.path(), "a", &all);
        let found = from_runs(std::slice::from_ref(&run)).unwrap().unwrap();
        assert_eq!((found.images, found.trained_on, found.doubtful), (21, 1, 1));
        assert_eq!((found.issues[0].name.as_str(), found.issues[0].suggested.as_str()), ("wrong", "sad"));
        assert!(found.issues[0].doubtful && !found.issues[1].doubtful);
        assert!((found.noise - 1.0 / 21.0).abs() < 0.01, "{}", found.noise);
    }

    #[test]
    fn several_runs_are_averaged_and_unusable_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let base = |wrong: f32| {
            let mut all: Vec<Prediction> =
                (0..4).map(|i| prediction(&format!("h{i}"), "test", "happy", 0.8)).collect();
            all.push(prediction("x", "valid", "sad", wrong));
            all
        };
        let runs = [run(folder.path(), "a", &base(0.9)), run(folder.path(), "b", &base(0.1))];
        let found = from_runs(&runs).unwrap().unwrap();
        let x = found.issues.iter().find(|issue| issue.name == "x").unwrap();
        assert!((x.self_confidence - 0.5).abs() < 1e-6, "{}", x.self_confidence);
        let only_train = run(folder.path(), "c", &[prediction("x", "train", "sad", 0.5)]);
        assert!(from_runs(&[only_train]).unwrap_err().to_string().contains("outside its training set"));
        assert!(from_runs(&[folder.path().join("none")]).is_err());
        assert_eq!(from_runs(&[]).unwrap(), None);
    }
}
