//! Whole models: saved with their description, opened for inference.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::card::{ModelCard, card_metadata};
use super::tensor_file::{TensorFile, named, save_tensors};
use crate::error::Result;
use crate::model::network::Model;
use crate::model::params::Params;

/// Writes a model: its numbers and its card.
///
/// # Errors
/// The file cannot be written.
pub fn save_model(path: &Path, params: &Params, card: &ModelCard) -> Result<()> {
    save_tensors(path, named(params).collect(), card_metadata(card)?)
}

/// A model file, opened for inference: description, model and numbers.
pub struct LoadedModel {
    /// Where it was read.
    pub path: PathBuf,
    /// Classes, input size, normalisation and the like.
    pub card: ModelCard,
    /// The layers; the numbers are in `params`.
    pub model: Model,
    /// Its numbers, without gradients.
    pub params: Params,
}

/// Opens a model or checkpoint that mien has written.
///
/// # Errors
/// The file cannot be read, is not mien's, or does not fit its own description.
pub fn load_model(path: &Path, device: &Device) -> Result<LoadedModel> {
    let file = TensorFile::open(path)?;
    let card = file.card()?;
    let model = Model::new(&card.model, card.classes.len(), card.input_size)?;
    let mut params = model.init(0, false, device);
    file.load(&mut params, "")?;
    Ok(LoadedModel { path: path.to_owned(), card, model, params })
}
