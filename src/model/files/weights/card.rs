//! What a model file says of its model, besides the numbers.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::tensor_file::TensorFile;
use crate::error::{Error, Result};
use crate::model::config::ModelConfig;

/// The key of the metadata under which [`ModelCard`] is kept as JSON.
pub(super) const CARD: &str = "mien";
/// The version of the file's contents that this program writes and reads.
const FORMAT: u32 = 1;
/// What using a model takes besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Version of this description.
    pub format: u32,
    /// The program that wrote it.
    pub program: String,
    /// Architecture, width, head and dropout.
    pub model: ModelConfig,
    /// Names of the classes in the order of the logits.
    pub classes: Vec<String>,
    /// Side of the square input in pixels.
    pub input_size: usize,
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
    /// Divides the logits before softmax (1.0 when not calibrated).
    pub temperature: f32,
    /// Where it comes from: data fingerprint, epoch, validation loss, leakage.
    pub provenance: BTreeMap<String, String>,
}

impl ModelCard {
    /// A card for a model of this program.
    pub fn new(
        model: ModelConfig,
        classes: Vec<String>,
        input_size: usize,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> Self {
        let program = concat!("mien ", env!("CARGO_PKG_VERSION")).to_owned();
        let provenance = BTreeMap::new();
        Self { format: FORMAT, program, model, classes, input_size, mean, std, temperature: 1.0, provenance }
    }
}

/// The card as the metadata of a file.
pub fn card_metadata(card: &ModelCard) -> Result<BTreeMap<String, String>> {
    let json = serde_json::to_string(card)
        .map_err(|e| Error::Compute(format!("cannot write the model's description: {e}")))?;
    Ok(BTreeMap::from([(CARD.to_owned(), json)]))
}

impl TensorFile {
    /// The model's description.
    ///
    /// # Errors
    /// The file has none (it was not written by mien), or one of another version.
    pub fn card(&self) -> Result<ModelCard> {
        let json = self.metadata(CARD).ok_or_else(|| {
            Error::at(self.path(), "holds weights but no description of the model")
                .expected("a model that mien has written")
                .hint("Weights of other programs can start a training: mien train DATA --weights FILE")
        })?;
        let card: ModelCard = serde_json::from_str(json).map_err(|e| {
            Error::at(self.path(), format!("its description cannot be read ({e})"))
                .expected("a file of this program")
        })?;
        if card.format != FORMAT {
            return Err(Error::at(self.path(), format!("its format is {}", card.format))
                .expected(format!("format {FORMAT}")));
        }
        let wrong = |what: String| {
            Err(Error::at(self.path(), format!("its description has {what}"))
                .expected("a file of this program"))
        };
        if !(card.temperature.is_finite() && card.temperature > 0.0) {
            return wrong(format!("the temperature {}", card.temperature));
        }
        if card.std.iter().any(|std| !(std.is_finite() && *std > 0.0))
            || card.mean.iter().any(|mean| !mean.is_finite())
        {
            return wrong(format!("the normalisation {:?}, {:?}", card.mean, card.std));
        }
        if card.input_size > 4096 {
            return wrong(format!("the input size {}", card.input_size));
        }
        let names: HashSet<&String> = card.classes.iter().collect();
        if names.len() != card.classes.len()
            || card.classes.iter().any(|name| name.is_empty() || name.contains(char::is_control))
        {
            return wrong(format!("the classes {:?}", card.classes));
        }
        Ok(card)
    }
}
