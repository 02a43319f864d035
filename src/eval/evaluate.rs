//! One batch through a model, and one image file as a model takes it.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};

use crate::cpu::ComputeType;
use crate::error::{Error, Result};
use crate::image::RgbImage;
use crate::image::decode::decode;
use crate::input::normalization::Normalization;
use crate::input::transform::{Scratch, eval_pixels};
use crate::model::Model;
use crate::model::files::weights::ModelCard;
use crate::model::layers::Pass;
use crate::model::params::{Params, host_values};

/// A row of numbers for each image.
pub type Rows = Vec<Vec<f32>>;

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
) -> Result<Rows> {
    let images = input(images, size, &params.device());
    rows(model.logits(images, &Pass::eval(params).with_compute(compute)))
}

/// `[B, 3, size, size]`
pub(super) fn input(images: Vec<f32>, size: usize, device: &Device) -> Tensor<4> {
    let count = images.len() / (3 * size * size);
    Tensor::from_data(TensorData::new(images, [count, 3, size, size]), device)
}

/// `[B, K] -> [B][K]`
pub(super) fn rows(logits: Tensor<2>) -> Result<Rows> {
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
    let input = model_input(&image, card);
    Ok((image, input))
}

/// An image as a model takes it: `[3, S, S]`, resized and normalised.
pub fn model_input(image: &RgbImage, card: &ModelCard) -> Vec<f32> {
    let mut input = vec![0.0; 3 * card.input_size * card.input_size];
    let normalization = Normalization { mean: card.mean, std: card.std };
    eval_pixels(image, card.input_size, &normalization, &mut Scratch::default(), &mut input);
    input
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
