//! A model, its numbers and the resources to run it over samples. Every image counts once; no random
//! transform, no augmented copy.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use super::evaluate::{Rows, batch_logits, input, rows};
use crate::device::OpenDevice;
use crate::error::Result;
use crate::input::batches::{BatchSource, Batches, Mode, Place};
use crate::model::Model;
use crate::model::layers::{Pass, global_avg_pool};
use crate::model::params::{Params, host_values};

/// Where to compute, and with how much memory and how many threads.
#[derive(Clone, Debug)]
pub struct Resources {
    /// The device, with the number format of its expensive products.
    pub device: OpenDevice,
    /// Images in a batch.
    pub batch_size: usize,
    /// Threads that prepare batches.
    pub workers: usize,
}

/// Called with the number of images done; an error from it ends the work.
pub type Progress<'a> = &'a mut dyn FnMut(usize) -> Result<()>;

/// A model ready to run over the samples of a data set.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// Layers and heads; the numbers are in `params`.
    pub model: &'a Model,
    /// Its numbers, on the device of `resources`.
    pub params: &'a Params,
    /// Where and how to compute.
    pub resources: &'a Resources,
}

impl Session<'_> {
    fn pass(&self) -> Pass<'_> {
        Pass::eval(self.params).with_compute(self.resources.device.compute)
    }

    /// The raw logits of `samples`, `[N][K]`, in their order.
    ///
    /// # Errors
    /// An image cannot be read any more, the device fails, or `progress` does.
    pub fn logits(&self, source: &Arc<BatchSource>, samples: &[usize], progress: Progress) -> Result<Rows> {
        let compute = self.resources.device.compute;
        self.each_batch(source, samples, progress, |images| {
            batch_logits(self.model, self.params, images, source.size, compute)
        })
    }

    /// The raw logits of `samples` as [`Session::logits`], and the features of some: those at the positions
    /// `kept` within `samples`, averaged over the map, `[kept][C]`.
    ///
    /// # Errors
    /// As for [`Session::logits`].
    pub fn logits_and_embeddings(
        &self,
        source: &Arc<BatchSource>,
        samples: &[usize],
        kept: &[usize],
        progress: Progress,
    ) -> Result<(Rows, Rows)> {
        let mut embeddings = Vec::with_capacity(kept.len());
        let (mut done, mut kept) = (0, kept.iter().copied().peekable());
        let logits = self.each_batch(source, samples, progress, |images| {
            let pass = self.pass();
            let features = self.model.features(input(images, source.size, &self.params.device()), &pass);
            let count = features.dims()[0];
            if kept.peek().is_some_and(|next| *next < done + count) {
                let pooled = rows(global_avg_pool(features.clone()))?; // [B, C, h, w] -> [B][C]
                while let Some(row) = kept.next_if(|next| *next < done + count) {
                    embeddings.push(pooled[row - done].clone());
                }
            }
            done += count;
            rows(self.model.head(features, &pass))
        })?;
        Ok((logits, embeddings))
    }

    /// The features of `samples` without a random transform, `[N][C h w]`, in their order, and `[C, h, w]`.
    ///
    /// # Errors
    /// As for [`Session::logits`].
    pub fn features(
        &self,
        source: &Arc<BatchSource>,
        samples: &[usize],
        progress: Progress,
    ) -> Result<(Rows, [usize; 3])> {
        let mut shape = [0; 3];
        let rows = self.each_batch(source, samples, progress, |images| {
            let images = input(images, source.size, &self.params.device());
            let features = self.model.features(images, &self.pass());
            let [_, channels, height, width] = features.dims();
            shape = [channels, height, width];
            Ok(host_values(features)?.chunks_exact(channels * height * width).map(<[f32]>::to_vec).collect())
        })?;
        Ok((rows, shape))
    }

    /// The raw logits of features: `[B, C, h, w] -> [B][K]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn head_logits(&self, features: Vec<f32>, shape: [usize; 4]) -> Result<Rows> {
        let features = Tensor::<4>::from_data(TensorData::new(features, shape), &self.params.device());
        rows(self.model.head(features, &self.pass()))
    }

    /// Takes the samples through `forward`, batch by batch.
    fn each_batch(
        &self,
        source: &Arc<BatchSource>,
        samples: &[usize],
        progress: Progress,
        mut forward: impl FnMut(Vec<f32>) -> Result<Rows>,
    ) -> Result<Rows> {
        let Resources { batch_size, workers, .. } = *self.resources;
        let order = samples.iter().map(|&sample| Place { sample, repeat: 0 }).collect();
        let mut rows = Vec::with_capacity(samples.len());
        for batch in Batches::start(source, order, batch_size, 0, &Mode::Eval, workers) {
            rows.extend(forward(batch?.images)?);
            progress(rows.len())?;
        }
        Ok(rows)
    }
}
