//! `mien eval`: the metrics of a model, or of several as an ensemble.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, Compute, SplitArg, Verbosity, print, shown};
use crate::error::Error;
use crate::eval::table::summary_table;
use crate::model::files::weights::load_model;
use crate::run::{Subject, evaluate_split, evaluation_data};
use crate::run_folder::names::{BEST, EVAL};
use crate::run_folder::{is_run, model_file};

const EXAMPLES: &str = "\
Examples:
  mien eval runs/vgg16_cbam-real
  mien eval runs/a runs/b runs/c --split test
  mien eval runs/a/best.safetensors other-faces/ --split all";

/// Evaluate a model, or several as an ensemble, on a split
///
/// MODEL is a run folder (its best model) or a model file. Without DATA, the data and splits of the first
/// model's run are used. Several models are also evaluated as an ensemble, by majority vote and by mean
/// probability. If a model was trained on any of the images, a warning names it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Models, then optionally the data to evaluate on.
    #[arg(required = true, value_name = "MODEL… [DATA]")]
    paths: Vec<PathBuf>,
    /// Images to evaluate on [default: test, or all of DATA if it has no splits].
    #[arg(long, value_enum)]
    split: Option<SplitArg>,
    /// Folder for the result files [default: eval/ of the first model's run].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    verbosity: Verbosity,
}

/// The run folder that a model file lies in, if any.
fn run_of(model: &Path) -> Option<&Path> {
    model.ancestors().skip(1).take(2).find(|folder| is_run(folder))
}

/// What to call a model: its run, and the file where that is not the run's best.
fn name_of(model: &Path) -> String {
    let run = run_of(model).and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match run {
        Some(run) if model.ends_with(BEST) => run,
        Some(run) => format!("{run}/{}", stem(model)),
        None => stem(model),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The models' names, numbered where two are the same.
fn unique_names(models: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(models.len());
    for model in models {
        let name = name_of(model);
        let same =
            names.iter().filter(|other| **other == name || other.starts_with(&format!("{name} "))).count();
        names.push(if same == 0 { name } else { format!("{name} {}", same + 1) });
    }
    names
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        let (models, data) = sort_paths(&self.paths)?;
        let resources = self.compute.open()?;
        let loaded = models
            .iter()
            .map(|path| load_model(path, &resources.device.device))
            .collect::<Result<Vec<_>, _>>()?;
        let folder = run_of(&models[0]);
        let loading = self.verbosity.loading();
        let source = evaluation_data(folder, data.as_deref(), &loaded[0].card, &loading.progress())?;
        drop(loading);

        let samples = self.split.unwrap_or(SplitArg::Test).into();
        let names = unique_names(&models);
        let subjects: Vec<_> = models
            .iter()
            .zip(&loaded)
            .zip(&names)
            .map(|((path, loaded), name)| Subject { name: name.clone(), loaded, run: run_of(path) })
            .collect();
        // What the loader noticed goes to standard error, so that results stay clean.
        let dataset = &source.dataset;
        dataset.warnings.iter().chain(&dataset.left_out).for_each(|text| eprintln!("note: {text}"));
        dataset
            .unreadable
            .iter()
            .for_each(|file| eprintln!("note: unreadable and left out: {}: {}", file.name, file.reason));
        // With --json the result is all that is written.
        let verbosity = self.verbosity.result_only();
        let results = evaluate_split(&subjects, &source, samples, &resources, verbosity.sink().as_mut())?;

        for (evaluation, _) in &results.evaluations {
            print(&if self.verbosity.json {
                serde_json::to_string(evaluation)?
            } else {
                summary_table(evaluation)
            });
        }
        let out = self.out.clone().or_else(|| folder.map(|folder| folder.join(EVAL)));
        if let Some(out) = out {
            let split = &results.evaluations[0].0.split;
            // The run's own `test.json` is the best model's on the run's own data, and nothing else's.
            let data = data.as_deref().map(|data| data.canonicalize().unwrap_or_else(|_| data.to_owned()));
            let data =
                data.as_deref().and_then(Path::file_name).map(|name| format!("{}-", name.to_string_lossy()));
            let model =
                (models.len() == 1 && !models[0].ends_with(BEST)).then(|| format!("-{}", stem(&models[0])));
            let name = format!("{}{split}{}", data.unwrap_or_default(), model.unwrap_or_default());
            let written = results.write(&out, &name)?;
            if !self.verbosity.json {
                print(&format!("{} files in {}", written.len(), shown(&out)));
            }
        }
        Ok(Exit::Done)
    }
}

/// The models come first, the data last.
fn sort_paths(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Option<PathBuf>)> {
    let mut models = Vec::new();
    for (position, path) in paths.iter().enumerate() {
        match model_file(path) {
            Some(model) => models.push(model),
            None if !models.is_empty() && position + 1 == paths.len() => {
                return Ok((models, Some(path.clone())));
            }
            None => {
                let problem = if path.exists() {
                    "is neither a run folder nor a model file"
                } else {
                    "no such file or folder"
                };
                return Err(Error::at(path, problem)
                    .expected("one or more models, then at most one folder of data")
                    .hint("A run folder contains config.toml and best.safetensors")
                    .into());
            }
        }
    }
    Ok((models, None))
}
