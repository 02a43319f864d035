//! Runs a model over samples. Every image counts once; no random transform, no augmented copy.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::cpu::ComputeType;
use crate::error::{Error, Result};
use crate::image::RgbImage;
use crate::image::decode::decode;
use crate::input::batches::{BatchSource, Batches, Mode, Place};
use crate::input::transform::{Normalization, Scratch, eval_pixels};
use crate::model::Model;
use crate::model::files::weights::ModelCard;
use crate::model::layers::{Pass, global_avg_pool};
use crate::model::params::{Params, host_values};

/// Batch size, threads and number format of a forward pass over a data set.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Images at a time.
    pub batch_size: usize,
    /// Threads that prepare batches.
    pub workers: usize,
    /// Number format of the expensive products.
    pub compute: ComputeType,
}

/// The raw logits of `samples`, `[N][K]`, in their order. `progress` is called with the number of images
/// done.
///
/// # Errors
/// An image cannot be read any more, or the device fails.
pub fn logits(
    model: &Model,
    params: &Params,
    source: &Arc<BatchSource>,
    samples: &[usize],
    run: Run,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Vec<f32>>> {
    each_batch(source, samples, run, progress, |images| {
        batch_logits(model, params, images, source.size, run.compute)
    })
}

/// A row of numbers for each image.
pub type Rows = Vec<Vec<f32>>;

/// The raw logits of `samples` as [`logits`], and the features of some: those at the positions `kept` within
/// `samples`, averaged over the map, `[kept][C]`.
///
/// # Errors
/// As for [`logits`].
pub fn logits_and_embeddings(
    model: &Model,
    params: &Params,
    source: &Arc<BatchSource>,
    samples: &[usize],
    kept: &[usize],
    run: Run,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(Rows, Rows)> {
    let (mut embeddings, mut done, mut kept) =
        (Vec::with_capacity(kept.len()), 0, kept.iter().copied().peekable());
    let logits = each_batch(source, samples, run, progress, |images| {
        let pass = Pass::eval(params).with_compute(run.compute);
        let features = model.features(input(images, source.size, &params.device()), &pass);
        let count = features.dims()[0];
        if kept.peek().is_some_and(|next| *next < done + count) {
            let pooled = rows(global_avg_pool(features.clone()))?; // [B, C, h, w] -> [B][C]
            while let Some(row) = kept.next_if(|next| *next < done + count) {
                embeddings.push(pooled[row - done].clone());
            }
        }
        done += count;
        rows(model.head(features, &pass))
    })?;
    Ok((logits, embeddings))
}

/// The features of `samples` without a random transform, `[N][C h w]`, in their order, and `[C, h, w]`.
///
/// # Errors
/// As for [`logits`].
pub fn features(
    model: &Model,
    params: &Params,
    source: &Arc<BatchSource>,
    samples: &[usize],
    run: Run,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(Vec<Vec<f32>>, [usize; 3])> {
    let mut shape = [0; 3];
    let rows = each_batch(source, samples, run, progress, |images| {
        let images = input(images, source.size, &params.device());
        let features = model.features(images, &Pass::eval(params).with_compute(run.compute));
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
pub fn head_logits(
    model: &Model,
    params: &Params,
    features: Vec<f32>,
    shape: [usize; 4],
    compute: ComputeType,
) -> Result<Vec<Vec<f32>>> {
    let features = Tensor::<4>::from_data(TensorData::new(features, shape), &params.device());
    rows(model.head(features, &Pass::eval(params).with_compute(compute)))
}

/// Takes the samples through `forward`, batch by batch.
fn each_batch(
    source: &Arc<BatchSource>,
    samples: &[usize],
    run: Run,
    progress: &mut dyn FnMut(usize) -> Result<()>,
    mut forward: impl FnMut(Vec<f32>) -> Result<Vec<Vec<f32>>>,
) -> Result<Vec<Vec<f32>>> {
    let order = samples.iter().map(|&sample| Place { sample, repeat: 0 }).collect();
    let mut rows = Vec::with_capacity(samples.len());
    for batch in Batches::start(source, order, run.batch_size, 0, &Mode::Eval, run.workers) {
        rows.extend(forward(batch?.images)?);
        progress(rows.len())?;
    }
    Ok(rows)
}

/// The raw logits of one batch of input: `[B, 3, size, size] -> [B][K]`.
///
/// # Errors
/// The device fails.
pub fn batch_logits(
    model: &Model,
    params: &Params,
    images: Vec<f32>,
    size: usize,
    compute: ComputeType,
) -> Result<Vec<Vec<f32>>> {
    let images = input(images, size, &params.device());
    rows(model.logits(images, &Pass::eval(params).with_compute(compute)))
}

/// `[B, 3, size, size]`
fn input(images: Vec<f32>, size: usize, device: &Device) -> Tensor<4> {
    let count = images.len() / (3 * size * size);
    Tensor::from_data(TensorData::new(images, [count, 3, size, size]), device)
}

/// `[B, K] -> [B][K]`
fn rows(logits: Tensor<2>) -> Result<Vec<Vec<f32>>> {
    let [_, classes] = logits.dims();
    Ok(host_values(logits)?.chunks_exact(classes).map(<[f32]>::to_vec).collect())
}

/// An image file, and as a model takes it: `[3, S, S]`, normalised.
///
/// # Errors
/// The file cannot be read or is no image.
pub fn read_image(path: &Path, card: &ModelCard) -> Result<(RgbImage, Vec<f32>)> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let image = decode(&bytes).map_err(|e| Error::at(path, e.to_string()))?;
    let mut input = vec![0.0; 3 * card.input_size * card.input_size];
    let normalization = Normalization { mean: card.mean, std: card.std };
    eval_pixels(&image, card.input_size, &normalization, &mut Scratch::default(), &mut input);
    Ok((image, input))
}

/// Softmax of `logits / temperature`, computed in f64.
pub fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let scaled: Vec<f64> = logits.iter().map(|logit| f64::from(*logit) / f64::from(temperature)).collect();
    let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scaled.iter().map(|value| (value - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|value| (value / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let p = softmax(&[1000.0, 999.0, -1000.0], 1.0);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[0] - 0.731_058_6).abs() < 1e-6);
        let flat = softmax(&[1.0, 0.0], 1e6);
        assert!((flat[0] - 0.5).abs() < 1e-6);
    }
}
