//! What a training is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::checkpoint::State;
use super::config::TrainConfig;
use crate::data::Split;
use crate::eval::session::Resources;
use crate::input::batches::{Balance, BatchSource, Mode, Place, bounds, epoch_order};
use crate::input::mix::MixConfig;
use crate::input::transform::TransformConfig;
use crate::model::Model;
use crate::model::files::weights::ModelCard;
use crate::run_folder::names::{CHECKPOINTS, LAST};

/// Everything that training needs and does not change.
pub struct Job<'a> {
    /// The layers; the weights are in the state.
    pub model: &'a Model,
    /// Its description, for the files.
    pub card: ModelCard,
    /// Where images come from.
    pub source: Arc<BatchSource>,
    /// Epochs, optimizer, schedule and the like.
    pub config: &'a TrainConfig,
    /// What is done to each training image.
    pub transform: &'a TransformConfig,
    /// How the images of a batch are mixed.
    pub mix: &'a MixConfig,
    /// Where and how to compute.
    pub resources: &'a Resources,
    /// The run folder, where checkpoints and the best model go.
    pub folder: &'a Path,
    /// Set from outside to end after the present step.
    pub stop: &'a AtomicBool,
}

impl Job<'_> {
    /// The checkpoint to go on from.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.folder.join(CHECKPOINTS).join(LAST)
    }

    pub(super) fn train_mode(&self, epoch: usize) -> Mode {
        let (transform, mix) = (self.transform.clone(), self.mix.clone());
        Mode::Train { transform, mix, seed: self.config.seed, epoch: epoch as u64 }
    }

    pub(super) fn order(&self, epoch: usize) -> Vec<Place> {
        let dataset = &self.source.dataset;
        let class_of = |sample: usize| dataset.samples[sample].class;
        epoch_order(
            &dataset.indices(Split::Train),
            class_of,
            self.config.balance,
            self.config.seed,
            epoch as u64,
        )
    }

    /// N / (K · n of the class), where classes are to be weighted; a class without images weighs nothing.
    pub(super) fn class_weights(&self) -> Option<Vec<f32>> {
        (self.config.balance == Balance::ClassWeights).then(|| {
            let dataset = &self.source.dataset;
            let mut counts = vec![0usize; dataset.classes.len()];
            dataset
                .indices(Split::Train)
                .iter()
                .for_each(|&sample| counts[dataset.samples[sample].class] += 1);
            let all: usize = counts.iter().sum();
            let share =
                |count: usize| if count == 0 { 0.0 } else { all as f32 / (counts.len() * count) as f32 };
            counts.iter().map(|&count| share(count)).collect()
        })
    }

    /// The rate of the present epoch.
    pub(super) fn learning_rate(&self, state: &State) -> f64 {
        let (config, progress) = (self.config, &state.progress);
        progress.learning_rate.at(config.learning_rate, &config.schedule, progress.epoch, config.epochs)
    }

    /// The warm-up's share of the rate at update `step` (from 0).
    pub(super) fn warmup(&self, step: u64) -> f64 {
        if self.config.warmup == 0.0 {
            return 1.0; // without a warm-up no step shall count the images
        }
        let batches = bounds(self.source.dataset.indices(Split::Train).len(), self.config.batch_size).len();
        let updates = batches.div_ceil(self.config.accumulation) as f64 * self.config.warmup;
        ((step + 1) as f64 / updates).min(1.0)
    }
}
