//! Models measured on data: one or several, on a split or on everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::prepare::{LoadProgress, batch_source, read_run, short};
use crate::data::{self, DataConfig, Dataset, Split};
use crate::error::{Error, Result};
use crate::eval::ensemble::ensemble;
use crate::eval::evaluate::softmax;
use crate::eval::files::{Embeddings, Evaluation, Prediction, write_embeddings, write_evaluation};
use crate::eval::metrics;
use crate::eval::session::{Resources, Session};
use crate::input::batches::BatchSource;
use crate::input::normalization::Normalization;
use crate::model::files::weights::{LoadedModel, ModelCard};
use crate::run_folder::events::{Event, Sink};
use crate::run_folder::names::TRAINED;
use crate::run_folder::trained;
use crate::stats::argmax;

/// An evaluation keeps the features of at most this many images.
const MOST_EMBEDDINGS: usize = 2_000;

/// A model to evaluate and what to call it.
pub struct Subject<'a> {
    /// Its name in the tables.
    pub name: String,
    /// The model with its weights and description.
    pub loaded: &'a LoadedModel,
    /// The folder of its run, if it has one: tells what it was trained on.
    pub run: Option<&'a Path>,
}

/// Which samples to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// The samples of one split.
    Of(Split),
    /// The samples of all splits.
    All,
}

/// Results on one split, of each model and, with several, of their ensemble.
pub struct Results {
    /// One per model, then "majority vote" and "mean probability" where there are several.
    pub evaluations: Vec<(Evaluation, Vec<Prediction>)>,
    /// Features of some of the images, where there is one model.
    pub embeddings: Embeddings,
}

impl Results {
    /// Writes the files of all results to `folder`: `{name}.json` and so on, with the model's name in it
    /// where there are several.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for (evaluation, predictions) in &self.evaluations {
            let name = match self.evaluations.len() {
                1 => name.to_owned(),
                _ => format!("{name}-{}", evaluation.model.replace(['/', '\\', ' '], "-")),
            };
            paths.extend(write_evaluation(folder, &name, evaluation, predictions)?);
        }
        paths.extend(write_embeddings(folder, name, &self.embeddings)?);
        Ok(paths)
    }
}

/// Evaluates models on samples that they all know the classes of.
///
/// # Errors
/// The models differ in classes; there are no samples; an image cannot be read any more; the device fails.
pub fn evaluate_split(
    subjects: &[Subject],
    source: &Arc<BatchSource>,
    samples: Samples,
    resources: &Resources,
    sink: &mut dyn Sink,
) -> Result<Results> {
    let chosen = choose(&source.dataset, samples)?;
    let leakage = tell_leakage(subjects, &source.dataset, &chosen, sink)?;
    let (mut logits, mut embeddings) = (Vec::with_capacity(subjects.len()), Vec::new());
    for subject in subjects {
        let (rows, features) = logits_of(subject.loaded, source, &chosen.indices, resources, sink)?;
        logits.push(rows);
        embeddings.push(features);
    }
    judge(subjects, &source.dataset, &chosen, leakage, &logits, embeddings)
}

/// The images of an evaluation.
pub(super) struct Chosen {
    pub(super) samples: Samples,
    /// What they are called: a split, or `all`.
    pub(super) name: &'static str,
    pub(super) indices: Vec<usize>,
}

/// Evaluation never sees an augmented image.
pub(super) fn choose(dataset: &Dataset, samples: Samples) -> Result<Chosen> {
    let (mut indices, name) = match samples {
        Samples::Of(split) => (dataset.indices(split), split.name()),
        Samples::All => ((0..dataset.samples.len()).collect(), "all"),
    };
    indices.retain(|&index| !dataset.samples[index].augmented);
    if indices.is_empty() {
        return Err(Error::at(&dataset.config.root, format!("there are no images in the {name} split"))
            .hint("Choose another with --split, or --split all"));
    }
    Ok(Chosen { samples, name, indices })
}

/// Whether any of the models was trained on a leaking split, or on some of these images or their groups,
/// which is told.
pub(super) fn tell_leakage(
    subjects: &[Subject],
    dataset: &Dataset,
    chosen: &Chosen,
    sink: &mut dyn Sink,
) -> Result<bool> {
    let mut leakage = subjects
        .iter()
        .any(|subject| subject.loaded.card.provenance.get("leakage").is_some_and(|is| is == "true"));
    for Subject { name, run, .. } in subjects {
        // On the training split it goes without saying.
        let seen = match run {
            Some(run) if chosen.samples != Samples::Of(Split::Train) => {
                seen_in_training(run, dataset, &chosen.indices)?
            }
            _ => 0,
        };
        if seen > 0 {
            leakage = true;
            let text = format!(
                "LEAKAGE: {name} was trained on {seen} of these {} images or their groups",
                chosen.indices.len()
            );
            sink.event(&Event::Notice { text })?;
        }
    }
    Ok(leakage)
}

/// At most `most` of `0..count`, at equal distances.
pub(super) fn evenly(count: usize, most: usize) -> Vec<usize> {
    let taken = most.min(count);
    (0..taken).map(|place| place * count / taken).collect()
}

/// A model's logits for some images, `[N][K]`, which it sees in its own size and normalisation, and the
/// features of some of them.
pub(super) fn logits_of(
    loaded: &LoadedModel,
    source: &BatchSource,
    indices: &[usize],
    resources: &Resources,
    sink: &mut dyn Sink,
) -> Result<(Vec<Vec<f32>>, Embeddings)> {
    let (card, dataset) = (&loaded.card, &source.dataset);
    if card.classes != dataset.classes {
        return Err(Error::at(&loaded.path, format!("its classes are {}", card.classes.join(", ")))
            .expected(dataset.classes.join(", "))
            .hint("Models can be evaluated together only on the classes that they share"));
    }
    let normalization = Normalization { mean: card.mean, std: card.std };
    let (data, store) = (Arc::clone(dataset), Arc::clone(&source.store));
    let source = Arc::new(BatchSource { dataset: data, store, size: card.input_size, normalization });
    let of = indices.len();
    let rows = evenly(of, MOST_EMBEDDINGS);
    let mut progress = |done| sink.event(&Event::Evaluating { done, of });
    let session = Session { model: &loaded.model, params: &loaded.params, resources };
    let (logits, values) = session.logits_and_embeddings(&source, indices, &rows, &mut progress)?;
    Ok((logits, Embeddings { rows, values }))
}

/// Results from the logits of each model, and their features.
pub(super) fn judge(
    subjects: &[Subject],
    dataset: &Dataset,
    chosen: &Chosen,
    leakage: bool,
    logits: &[Vec<Vec<f32>>],
    mut embeddings: Vec<Embeddings>,
) -> Result<Results> {
    let Chosen { name: split, indices, .. } = chosen;
    let targets: Vec<usize> = indices.iter().map(|&index| dataset.samples[index].class).collect();
    let evaluation = |model: &str, temperature: f32, metrics| Evaluation {
        model: model.to_owned(),
        data: dataset.config.root.display().to_string(),
        split: (*split).to_owned(),
        classes: dataset.classes.clone(),
        leakage,
        temperature,
        metrics,
    };
    let predictions = |predicted: &[usize], probabilities: &[Vec<f32>]| -> Vec<Prediction> {
        let rows = indices.iter().zip(predicted).zip(probabilities);
        rows.map(|((&index, &predicted), probabilities)| {
            let sample = &dataset.samples[index];
            Prediction {
                path: sample.name.clone(),
                group: sample.group.clone(),
                split: sample.split.name().to_owned(),
                truth: Some(dataset.classes[sample.class].clone()),
                predicted: dataset.classes[predicted].clone(),
                probabilities: probabilities.clone(),
            }
        })
        .collect()
    };

    let (mut evaluations, mut members) = (Vec::new(), Vec::new());
    for (Subject { name, loaded, .. }, logits) in subjects.iter().zip(logits) {
        let card = &loaded.card;
        let probabilities: Vec<Vec<f32>> = logits.iter().map(|row| softmax(row, card.temperature)).collect();
        let predicted: Vec<usize> = probabilities.iter().map(|row| argmax(row)).collect();
        let metrics = metrics::compute(&probabilities, &targets, &dataset.classes)?;
        evaluations
            .push((evaluation(name, card.temperature, metrics), predictions(&predicted, &probabilities)));
        members.push(probabilities);
    }
    if members.len() > 1 {
        let joint = ensemble(&members)?;
        let vote = metrics::compute_for(&joint.votes, &joint.vote_shares, &targets, &dataset.classes)?;
        evaluations
            .push((evaluation("majority vote", 1.0, vote), predictions(&joint.votes, &joint.vote_shares)));
        let predicted: Vec<usize> = joint.mean_probability.iter().map(|row| argmax(row)).collect();
        let mean = metrics::compute(&joint.mean_probability, &targets, &dataset.classes)?;
        evaluations.push((
            evaluation("mean probability", 1.0, mean),
            predictions(&predicted, &joint.mean_probability),
        ));
    }
    let embeddings = if embeddings.len() == 1 { embeddings.remove(0) } else { Embeddings::default() };
    Ok(Results { evaluations, embeddings })
}

/// How many of the evaluated samples a run has trained on: the same content or, in the same data set, the
/// same group.
fn seen_in_training(run: &Path, dataset: &Dataset, indices: &[usize]) -> Result<usize> {
    let trained = trained::read(&run.join(TRAINED))?;
    let same_root = read_run(run)?.0.data.root == dataset.config.root;
    let seen = |index: &&usize| {
        let sample = &dataset.samples[**index];
        let hash = blake3::Hash::from_bytes(sample.hash).to_hex();
        trained.hashes.contains(hash.as_str()) || (same_root && trained.groups.contains(&sample.group))
    };
    Ok(indices.iter().filter(seen).count())
}

/// The data of an evaluation: those of a run (its very splits), or a folder of its own.
///
/// # Errors
/// The data cannot be loaded, or are no longer those of the run.
pub fn evaluation_data(
    run: Option<&Path>,
    root: Option<&Path>,
    card: &ModelCard,
    progress: LoadProgress,
) -> Result<Arc<BatchSource>> {
    let (config, seed, before) = match (run, root) {
        (_, Some(root)) => {
            let config = DataConfig {
                root: root.to_owned(),
                classes: card.classes.clone(),
                split: [0.0, 0.0, 1.0],
                ..DataConfig::default()
            };
            (config, 0, None)
        }
        (Some(run), None) => {
            let (config, summary) = read_run(run)?;
            {
                let seed = config.split_seed();
                (config.data, seed, Some(summary.fingerprint))
            }
        }
        (None, None) => {
            return Err(Error::input("DATA", "there is nothing to evaluate on")
                .hint("Give a folder of images after the model"));
        }
    };
    let (dataset, store) = match before {
        // With the run's own settings the whole data set is loaded as for training, so that its fingerprint
        // can be compared.
        Some(_) => data::load(&config, seed, progress)?,
        None => data::load_for_evaluation(&config, seed, progress)?,
    };
    if let Some(before) = before.filter(|before| *before != dataset.fingerprint()) {
        return Err(Error::at(&dataset.config.root, "the data have changed since the run was trained")
            .expected(format!("fingerprint {}", short(&before)))
            .hint("Name the data to evaluate on after the model, if this is intended"));
    }
    Ok(batch_source(dataset, store, card))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_taken_evenly() {
        assert_eq!(evenly(6, 3), [0, 2, 4]);
        assert_eq!(evenly(2, 5), [0, 1]);
        assert_eq!(evenly(2, 0), [0; 0]);
        assert_eq!(evenly(0, 3), [0; 0]);
    }
}
