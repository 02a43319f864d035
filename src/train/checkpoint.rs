//! The whole state of a run in one file, so that a run that goes on is the run that was never interrupted.
//!
//! A checkpoint is a model file (evaluation weights under torchvision's names, the description in the
//! metadata) with the training state beside it: `train.live.*` (the weights themselves where the model's are
//! averages), `train.momentum.*` or `train.adam_*.*`, and the progress as JSON. So every checkpoint can be
//! evaluated, used and resumed.

use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::early_stopping::EarlyStopping;
use super::ema::Ema;
use super::optimizer::{Optimizer, Rule};
use super::precision::LossScaler;
use super::schedule::LearningRate;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::files::weights::{ModelCard, NamedTensor, TensorFile, card_metadata, named, save_tensors};
use crate::model::params::Params;
use crate::run_folder::events::EpochRecord;

/// The metadata key of [`Progress`].
const PROGRESS: &str = "mien.train";
const LIVE: &str = "train.live.";

/// The best model so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its epoch, from 1.
    pub epoch: usize,
    /// What it was chosen by.
    pub value: f64,
}

/// Sums over the epoch so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Sum of loss times images.
    pub loss: f64,
    /// Right ones, mixed labels counted with their shares.
    pub correct: f64,
    /// Images of the epoch so far.
    pub images: usize,
    /// Seconds of the epoch before an interruption.
    pub seconds: f64,
}

/// How far a run has come: everything but tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch to go on with, from 0.
    pub epoch: usize,
    /// Batches done in it.
    pub batch: usize,
    /// Updates over the whole run.
    pub step: u64,
    /// Sums over the epoch.
    pub running: Running,
    /// The learning rate's state.
    pub learning_rate: LearningRate,
    /// How long the validation loss has not fallen.
    pub early_stopping: EarlyStopping,
    /// The loss scaling of f16.
    pub scaler: Option<LossScaler>,
    /// The best model so far, by the monitored metric.
    pub best: Option<Best>,
    /// Every epoch that has ended.
    pub history: Vec<EpochRecord>,
    /// Updates of the averages.
    pub ema_updates: u64,
    /// Updates of the optimizer.
    pub optimizer_steps: u64,
    /// Names of the weights that are not trained.
    pub frozen: Vec<String>,
    /// Why the run is over, if it is.
    pub finished: Option<String>,
}

/// A run in memory.
#[derive(Clone)]
pub struct State {
    /// The weights that are trained.
    pub params: Params,
    /// What the optimizer remembers.
    pub optimizer: Optimizer,
    /// The averages, where they are on.
    pub ema: Option<Ema>,
    /// Everything that is no tensor.
    pub progress: Progress,
}

impl State {
    /// The state before the first step.
    pub fn new(params: Params, rule: Rule, ema_decay: Option<f64>) -> Self {
        let params = params.for_training();
        let ema = ema_decay.map(|decay| Ema::new(&params, decay));
        let frozen = params.iter().filter(|param| param.frozen).map(|param| param.name.clone()).collect();
        Self {
            optimizer: Optimizer::new(rule),
            ema,
            params,
            progress: Progress { frozen, ..Progress::default() },
        }
    }

    /// The weights that validation, the best model and users get: the averages where they are on.
    pub fn evaluated(&self) -> Params {
        self.ema.as_ref().map_or_else(|| self.params.for_inference(), |ema| ema.params.clone())
    }

    /// Writes the whole state to `path`.
    ///
    /// # Errors
    /// The file cannot be written; what was at `path` is untouched then.
    pub fn save(&self, path: &Path, card: &ModelCard) -> Result<()> {
        let mut metadata = card_metadata(card)?;
        let progress = Progress {
            ema_updates: self.ema.as_ref().map_or(0, |ema| ema.updates),
            optimizer_steps: self.optimizer.steps(),
            ..self.progress.clone()
        };
        let json = serde_json::to_string(&progress)
            .map_err(|e| Error::Compute(format!("cannot write the progress: {e}")))?;
        metadata.insert(PROGRESS.to_owned(), json);
        let mut tensors: Vec<NamedTensor> = named(&self.evaluated()).collect();
        if self.ema.is_some() {
            tensors.extend(
                named(&self.params)
                    .map(|tensor| NamedTensor { name: format!("{LIVE}{}", tensor.name), ..tensor }),
            );
        }
        tensors.extend(self.optimizer.tensors(&self.params));
        save_tensors(path, tensors, metadata)
    }

    /// Reads what [`State::save`] has written.
    ///
    /// # Errors
    /// The file cannot be read, holds no training state, or belongs to another model or other settings.
    pub fn load(
        path: &Path,
        model: &Model,
        rule: Rule,
        ema_decay: Option<f64>,
        device: &Device,
    ) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let json = file.metadata(PROGRESS).ok_or_else(|| {
            Error::at(path, "holds a model but no training state")
                .expected("a checkpoint")
                .hint("Resume from checkpoints/last.safetensors, or start a new run from it with --weights")
        })?;
        let progress: Progress = serde_json::from_str(json).map_err(|e| {
            Error::at(path, format!("its progress cannot be read ({e})"))
                .expected("a checkpoint of this program")
        })?;
        let mut averaged = model.init(0, false, device);
        file.load(&mut averaged, "")?;
        let mut params = averaged.clone();
        if ema_decay.is_some() {
            file.load(&mut params, LIVE)?;
        }
        let frozen = |name: &str| progress.frozen.iter().any(|frozen| frozen == name);
        params.freeze(frozen);
        averaged.freeze(frozen);
        let mut state = Self::new(params, rule, ema_decay);
        if let Some(ema) = &mut state.ema {
            ema.params = averaged.for_inference();
            ema.updates = progress.ema_updates;
        }
        state.optimizer.restore(&state.params, &file, progress.optimizer_steps)?;
        state.progress = progress;
        Ok(state)
    }
}
