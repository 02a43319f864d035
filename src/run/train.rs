//! Training into a run folder, and going on with one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::evaluate::{Samples, Subject, evaluate_split};
use super::explain::{Request, Scope, explain_source};
use super::prepare::{LoadProgress, Prepared, prepare_data, read_run, short};
use crate::config::RunConfig;
use crate::data::Split;
use crate::device::DeviceConfig;
use crate::error::{Error, Result};
use crate::explain::folder::Settings;
use crate::files::{create_new_dir, unused_path, write_json};
use crate::model::files::weights::load_model;
use crate::model::params::Params;
use crate::report;
use crate::run_folder::events::{Event, EventLog, Sink, Tee, rewind};
use crate::run_folder::names::{BEST, CHECKPOINTS, CONFIG, DATA, EVAL, EVENTS, LAST, TENSORBOARD, TRAINED};
use crate::run_folder::tensorboard::TensorBoard;
use crate::run_folder::{folder_name, lock, trained};
use crate::text::shell_quoted;
use crate::train::checkpoint::State;
use crate::train::fit::{self, Job, Outcome, fit};

impl Prepared {
    /// Takes one batch through a whole step and an evaluation, and leaves everything as it was. Returns the
    /// loss.
    ///
    /// # Errors
    /// Whatever would go wrong in the first step.
    pub fn try_one_batch(&self) -> Result<f64> {
        let params =
            self.params.clone().ok_or_else(|| Error::Compute("there are no start weights to try".into()))?;
        self.try_state(&self.new_state(params))
    }

    fn try_state(&self, state: &State) -> Result<f64> {
        fit::try_one_batch(&self.job(Path::new(""), &AtomicBool::new(false)), state)
    }

    /// Trains in a new folder and evaluates the best model on the validation and test splits.
    ///
    /// # Errors
    /// The folder is not empty or cannot be written; whatever goes wrong in training (see [`fit()`]).
    pub fn train(mut self, folder: &Path, sink: &mut dyn Sink, stop: &AtomicBool) -> Result<Outcome> {
        let params =
            self.params.take().ok_or_else(|| Error::Compute("there are no start weights to train".into()))?;
        let mut state = self.new_state(params);
        self.try_state(&state)?;
        create_new_dir(folder)?;
        let _lock = lock(folder)?;
        let checkpoints = folder.join(CHECKPOINTS);
        create_new_dir(&checkpoints)?;
        // The configuration, which makes a folder a run, comes last: a run can be resumed from its first
        // moment on. And a disk that has no room for a checkpoint shows now.
        state.save(&checkpoints.join(LAST), &self.card)?;
        write_json(&folder.join(DATA), &self.source.dataset.summary())?;
        trained::write(&folder.join(TRAINED), &self.source.dataset)?;
        self.config.save(&folder.join(CONFIG))?;
        self.go_on(folder, &mut state, sink, stop)
    }

    fn go_on(
        &self,
        folder: &Path,
        state: &mut State,
        sink: &mut dyn Sink,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        let mut log = EventLog::append(&folder.join(EVENTS))?;
        let mut board = self.config.report.tensorboard.then(|| TensorBoard::new(&folder.join(TENSORBOARD)));
        let mut sinks: Vec<&mut dyn Sink> = vec![&mut log];
        sinks.extend(board.as_mut().map(|board| board as &mut dyn Sink));
        sinks.push(sink);
        let mut sink = Tee(sinks);
        let dataset = &self.source.dataset;
        sink.event(&Event::Start {
            run: folder.to_owned(),
            header: self.header(),
            from_step: state.progress.step,
        })?;
        for text in dataset.warnings.iter().chain(&dataset.left_out) {
            sink.event(&Event::Notice { text: text.clone() })?;
        }
        if !dataset.unreadable.is_empty() {
            let text =
                format!("{} unreadable files are left out; {DATA} names them", dataset.unreadable.len());
            sink.event(&Event::Notice { text })?;
        }
        let outcome = fit(&self.job(folder, stop), state, &mut sink)?;
        if outcome != Outcome::Interrupted {
            let best = load_model(&folder.join(BEST), &self.resources.device.device)?;
            for split in self.unevaluated(folder) {
                let subject = Subject { name: folder_name(folder), loaded: &best, run: Some(folder) };
                evaluate_split(&[subject], &self.source, Samples::Of(split), &self.resources, &mut sink)?
                    .write(&folder.join(EVAL), split.name())?;
            }
        }
        let seconds = state.progress.history.iter().map(|epoch| epoch.seconds).sum::<f64>()
            + state.progress.running.seconds;
        sink.event(&Event::End { reason: outcome.describe().into(), seconds })?;
        // The run itself is whole; what only shows it shall not make it fail.
        if outcome != Outcome::Interrupted
            && self.config.report.page
            && let Err(error) = self.show(folder, &mut sink)
        {
            let text = format!(
                "no report: {error}. To make it: mien report {}",
                shell_quoted(&folder.display().to_string())
            );
            sink.event(&Event::Notice { text })?;
        }
        Ok(outcome)
    }

    /// Makes maps and the page.
    fn show(&self, folder: &Path, sink: &mut dyn Sink) -> Result<()> {
        let grid = self.config.report.maps;
        if grid > 0 {
            let best = load_model(&folder.join(BEST), &self.resources.device.device)?;
            let scope = Scope { samples: None, grid, means: grid, judged: 0, judged_methods: Vec::new() };
            let request =
                Request { scope: &scope, settings: &Settings::default(), resources: &self.resources };
            let mut progress = |_: &'static str, done, of| sink.event(&Event::Evaluating { done, of });
            explain_source(folder, &best, &self.source, &request, &mut progress)?;
        }
        report::write(folder, &report::Options::default()).map(|_| ())
    }

    /// The splits with images whose evaluation is not in the folder yet.
    fn unevaluated(&self, folder: &Path) -> Vec<Split> {
        let wanted = |split: &Split| {
            let done = folder.join(EVAL).join(format!("{split}.json")).exists();
            !done && !self.source.dataset.indices(*split).is_empty()
        };
        [Split::Valid, Split::Test].into_iter().filter(wanted).collect()
    }

    fn job<'a>(&'a self, folder: &'a Path, stop: &'a AtomicBool) -> Job<'a> {
        Job {
            model: &self.model,
            card: self.card.clone(),
            source: Arc::clone(&self.source),
            config: &self.config.train,
            transform: &self.config.augment.transform,
            mix: &self.config.augment.mix,
            resources: &self.resources,
            folder,
            stop,
        }
    }

    fn ema_decay(&self) -> Option<f64> {
        self.config.train.ema.then_some(self.config.train.ema_decay)
    }

    fn new_state(&self, params: Params) -> State {
        State::new(params, self.config.train.rule(), self.ema_decay())
    }
}

/// Goes on with the run in `folder` from its last checkpoint. `change` may alter the device, never what is
/// computed.
///
/// # Errors
/// There is no run, it is finished, its data have changed, or its checkpoint does not fit.
pub fn resume(
    folder: &Path,
    change: impl FnOnce(&mut DeviceConfig),
    progress: LoadProgress,
    sink: &mut dyn Sink,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let (mut config, before) = read_run(folder)?;
    let _lock = lock(folder)?;
    change(&mut config.device);
    let mut prepared = prepare_data(config, progress)?;
    let now = prepared.source.dataset.summary();
    if now.fingerprint != before.fingerprint {
        return Err(Error::at(&prepared.config.data.root, "the data have changed since the run was started")
            .expected(format!("fingerprint {}", short(&before.fingerprint)))
            .hint(format!("Found {}; restore the data, or start a new run", short(&now.fingerprint))));
    }
    let path = folder.join(CHECKPOINTS).join(LAST);
    let rule = prepared.config.train.rule();
    let mut state =
        State::load(&path, &prepared.model, rule, prepared.ema_decay(), &prepared.resources.device.device)?;
    prepared.trained = state.params.count_trained();
    // A run that was ended before its evaluation was written has that left to do.
    if let Some(reason) = state.progress.finished.as_ref().filter(|_| prepared.unevaluated(folder).is_empty())
    {
        return Err(Error::at(folder, format!("the run has already ended ({reason})"))
            .hint(format!("To evaluate it: mien eval {}", shell_quoted(&folder.display().to_string()))));
    }
    let progress = &state.progress;
    rewind(&folder.join(EVENTS), progress.step, progress.epoch + 1, progress.batch)?;
    if progress.finished.is_none() {
        prepared.try_state(&state)?;
    }
    prepared.go_on(folder, &mut state, sink, stop)
}

/// A folder for a new run: `runs/{model}-{dataset type}`, with a number where that is taken.
pub fn default_folder(config: &RunConfig) -> PathBuf {
    let kind = serde_json::to_value(config.data.dataset_type).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("run");
    unused_path(&Path::new("runs").join(format!("{}-{kind}", config.model.name)))
}
