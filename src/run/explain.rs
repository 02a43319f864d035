//! Explains a model on the images of a data set, or on some files, into a folder.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::evaluate::{Samples, Subject, choose, evaluate_split, evaluation_data, evenly};
use super::prepare::LoadProgress;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::eval::evaluate::read_image;
use crate::eval::files::{Prediction, read_predictions};
use crate::eval::session::Resources;
use crate::explain::explainer::Explainer;
use crate::explain::folder::{self, Settings, Writer, choose_right, choose_wrong};
use crate::explain::index::Index;
use crate::explain::methods::Method;
use crate::files::replace_dir;
use crate::input::batches::{BatchSource, Mode, Place, make};
use crate::input::transform::Scratch;
use crate::model::files::weights::{LoadedModel, load_model};
use crate::run_folder::events::{Event, Silent, Sink};
use crate::run_folder::folder_name;
use crate::run_folder::names::{BEST, EVAL, EXPLAIN};

/// How much to explain of a data set.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Which images; the test split where there is one, else the validation split.
    pub samples: Option<Samples>,
    /// Images in the grid: at most this many correctly classified ones, and as many misclassified ones.
    pub grid: usize,
    /// At most this many images of each class go into its mean map.
    pub means: usize,
    /// At most this many images to judge the methods on; 0 judges none.
    pub judged: usize,
    /// The methods to judge.
    pub judged_methods: Vec<Method>,
}

/// What to explain, how, and with what.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// How much of a data set.
    pub scope: &'a Scope,
    /// Which methods, for which class.
    pub settings: &'a Settings,
    /// Where and how to compute.
    pub resources: &'a Resources,
}

/// Called with what is being done, how many images are done and of how many; an error from it ends the work.
pub type Progress<'a> = &'a mut dyn FnMut(&'static str, usize, usize) -> Result<()>;

/// Explains the best model of a run on its own data, into its folder `explain`; an older one there is
/// replaced once the new one is whole.
///
/// # Errors
/// There is no such run or its data are not there any more; the device fails; a file cannot be written;
/// `progress` fails.
pub fn explain_run(
    folder: &Path,
    request: &Request,
    loading: LoadProgress,
    progress: Progress,
) -> Result<Index> {
    let loaded = load_model(&folder.join(BEST), &request.resources.device.device)?;
    let source = evaluation_data(Some(folder), None, &loaded.card, loading)?;
    explain_source(folder, &loaded, &source, request, progress)
}

/// The same with the model and the data at hand.
///
/// # Errors
/// As for [`explain_run`].
pub(super) fn explain_source(
    folder: &Path,
    loaded: &LoadedModel,
    source: &Arc<BatchSource>,
    request: &Request,
    progress: Progress,
) -> Result<Index> {
    let split = match request.scope.samples {
        Some(samples) => samples,
        None if source.dataset.indices(Split::Test).is_empty() => Samples::Of(Split::Valid),
        None => Samples::Of(Split::Test),
    };
    let scope = Scope { samples: Some(split), ..request.scope.clone() };
    // What the run's own evaluation says need not be computed again.
    let known = match split {
        Samples::Of(split) => {
            let path = folder.join(EVAL).join(format!("{split}_predictions.csv"));
            path.exists().then(|| read_predictions(&path)).transpose()?.map(|(_, predictions)| predictions)
        }
        Samples::All => None,
    };
    let subject = Subject { name: folder_name(folder), loaded, run: Some(folder) };
    into_folder(&folder.join(EXPLAIN), |staged| {
        let staged = Staged { folder: staged, name: EXPLAIN };
        explain_dataset(staged, &subject, source, known, &Request { scope: &scope, ..*request }, progress)
    })
}

/// Explains a model on a data set of labelled images, into a new folder.
///
/// # Errors
/// The data cannot be loaded; the device fails; a file cannot be written; `progress` fails.
pub fn explain_data(
    out: &Path,
    loaded: &LoadedModel,
    data: &Path,
    request: &Request,
    loading: LoadProgress,
    progress: Progress,
) -> Result<Index> {
    let source = evaluation_data(None, Some(data), &loaded.card, loading)?;
    let subject = Subject { name: loaded.path.display().to_string(), loaded, run: None };
    let samples = request.scope.samples.unwrap_or(Samples::All);
    let scope = Scope { samples: Some(samples), ..request.scope.clone() };
    into_folder(out, |staged| {
        let staged = Staged { folder: staged, name: &shown_name(out) };
        explain_dataset(staged, &subject, &source, None, &Request { scope: &scope, ..*request }, progress)
    })
}

/// Explains a model on image files, into a new folder. Files that cannot be read are handed to `unusable`;
/// the others go on.
///
/// # Errors
/// No file can be read; the device fails; a file cannot be written; `progress` fails.
pub fn explain_files(
    out: &Path,
    loaded: &LoadedModel,
    files: &[PathBuf],
    request: &Request,
    unusable: &mut dyn FnMut(&Error),
    progress: Progress,
) -> Result<Index> {
    let Request { settings, resources, .. } = *request;
    let explainer = Explainer::new(loaded, resources.device.compute, resources.batch_size);
    let of = files.len();
    into_folder(out, |staged| {
        let mut writer = Writer::new(&explainer, &loaded.card, settings, staged, &shown_name(out), None);
        let mut done = 0;
        let subjects = files.iter().filter_map(|path| match read_subject(path, loaded) {
            Ok(subject) => Some(Ok(subject)),
            Err(error) => {
                unusable(&error);
                None
            }
        });
        writer.explain("all", &format!("{} maps", settings.methods[0].title()), subjects, &mut || {
            done += 1;
            progress("explaining", done, of)
        })?;
        writer.finish()
    })
}

/// Makes a folder beside its place, and puts it there once it is whole.
fn into_folder(out: &Path, make: impl FnOnce(&Path) -> Result<Index>) -> Result<Index> {
    let staged = out.with_file_name(format!(".{}.part", shown_name(out)));
    if staged.exists() {
        // Of a program that was killed.
        fs::remove_dir_all(&staged).map_err(|e| Error::io("remove", &staged, e))?;
    }
    fs::create_dir_all(&staged).map_err(|e| Error::io("create", &staged, e))?;
    let made = make(&staged).and_then(|index| replace_dir(&staged, out).map(|()| index));
    if made.is_err() {
        let _ = fs::remove_dir_all(&staged);
    }
    made
}

fn shown_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A folder that is being made beside its place.
#[derive(Clone, Copy)]
struct Staged<'a> {
    folder: &'a Path,
    /// Its name once it is in place.
    name: &'a str,
}

fn explain_dataset(
    staged: Staged,
    subject: &Subject,
    source: &Arc<BatchSource>,
    known: Option<Vec<Prediction>>,
    request: &Request,
    progress: Progress,
) -> Result<Index> {
    let Request { scope, settings, resources } = *request;
    let samples = scope.samples.unwrap_or(Samples::All);
    let dataset = &source.dataset;
    let chosen = choose(dataset, samples)?;
    let predictions = match known {
        Some(known) => known,
        None => {
            let mut bar = EvaluationProgress(progress);
            let results =
                evaluate_split(std::slice::from_ref(subject), source, samples, resources, &mut bar)?;
            results.evaluations.into_iter().next().map(|(_, predictions)| predictions).unwrap_or_default()
        }
    };
    let class_of: HashMap<&str, usize> =
        dataset.classes.iter().enumerate().map(|(k, name)| (name.as_str(), k)).collect();
    let answer_of: HashMap<&str, (usize, f32)> = predictions
        .iter()
        .filter_map(|row| {
            let predicted = *class_of.get(row.predicted.as_str())?;
            Some((row.path.as_str(), (predicted, *row.probabilities.get(predicted)?)))
        })
        .collect();
    let mut answered = Vec::with_capacity(chosen.indices.len());
    let mut answers = Vec::with_capacity(chosen.indices.len());
    for &index in &chosen.indices {
        let sample = &dataset.samples[index];
        if let Some((predicted, confidence)) = answer_of.get(sample.name.as_str()) {
            answered.push(index);
            answers.push((sample.class, *predicted, *confidence));
        }
    }
    let wrong: Vec<usize> = choose_wrong(&answers, scope.grid).into_iter().map(|row| answered[row]).collect();
    let right: Vec<usize> = choose_right(&answers, scope.grid).into_iter().map(|row| answered[row]).collect();
    // Evenly over each class, and for judging over all.
    let of_class = |class: usize| -> Vec<usize> {
        let all: Vec<usize> =
            chosen.indices.iter().copied().filter(|index| dataset.samples[*index].class == class).collect();
        evenly(all.len(), scope.means).into_iter().map(|place| all[place]).collect()
    };
    let means: Vec<Vec<usize>> = (0..dataset.classes.len()).map(of_class).collect();
    let judged: Vec<usize> =
        evenly(chosen.indices.len(), scope.judged).into_iter().map(|place| chosen.indices[place]).collect();

    let explainer = Explainer::new(subject.loaded, resources.device.compute, resources.batch_size);
    let mut writer = Writer::new(
        &explainer,
        &subject.loaded.card,
        settings,
        staged.folder,
        staged.name,
        Some(chosen.name),
    );
    let mut scratch = Scratch::default();
    let mut subject_of = |index: usize| -> Result<folder::Subject> {
        let place = Place { sample: index, repeat: 0 };
        let batch = make(source, &[place], 0, &Mode::Eval, &mut scratch)?;
        let sample = &dataset.samples[index];
        let image = source.store.get(index)?.into_owned();
        Ok(folder::Subject {
            name: sample.name.clone(),
            truth: Some(sample.class),
            image,
            input: batch.images,
        })
    };

    let of = wrong.len() + right.len() + means.iter().map(Vec::len).sum::<usize>();
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress("explaining", done, of)
    };
    let count = answers.iter().filter(|(truth, predicted, _)| truth != predicted).count();
    let title =
        |kind: &str, shown: usize, of: usize| format!("{kind} images, {} ({shown} of {of})", subject.name);
    let shown = title("Misclassified", wrong.len(), count);
    writer.explain("wrong", &shown, wrong.iter().map(|index| subject_of(*index)), &mut step)?;
    let shown = title("Correctly classified", right.len(), answers.len() - count);
    writer.explain("right", &shown, right.iter().map(|index| subject_of(*index)), &mut step)?;
    for (class, indices) in means.iter().enumerate() {
        writer.class_mean(class, indices.iter().map(|index| subject_of(*index)), &mut step)?;
    }
    let mut done = 0;
    writer.judge(&scope.judged_methods, judged.iter().map(|index| subject_of(*index)), &mut || {
        done += 1;
        progress("judging maps", done, judged.len())
    })?;
    writer.finish()
}

fn read_subject(path: &Path, loaded: &LoadedModel) -> Result<folder::Subject> {
    let (image, input) = read_image(path, &loaded.card)?;
    Ok(folder::Subject { name: path.display().to_string(), truth: None, image, input })
}

/// Passes the progress of an evaluation on.
struct EvaluationProgress<'a, 'b>(&'a mut (dyn FnMut(&'static str, usize, usize) -> Result<()> + 'b));

impl Sink for EvaluationProgress<'_, '_> {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Evaluating { done, of } => (self.0)("evaluating", *done, *of),
            other => Silent.event(other),
        }
    }
}
