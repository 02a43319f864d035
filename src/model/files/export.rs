//! Models for other programs: ONNX, and PyTorch's state dict.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::torch_write::{StateTensor, Values, write_state_dict};
use super::weights::{LoadedModel, card_metadata, save_model};
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::model::onnx::{Dim, Exporter};
use crate::model::params::{Kind, Params};

/// What a model can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// torchvision's names, with the description in the metadata: what mien itself writes.
    Safetensors,
    /// A state dict for `torch.load` and `load_state_dict(strict=True)`; without the description, which it
    /// has no place for.
    Pth,
    /// A graph from normalised `images [B, 3, S, S]` to `logits` and (calibrated) `probabilities`, `[B, K]`.
    Onnx,
}

impl Format {
    /// All formats, in the order of the help.
    pub const ALL: [Self; 3] = [Self::Safetensors, Self::Pth, Self::Onnx];

    /// The name, which is the file's ending too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Pth => "pth",
            Self::Onnx => "onnx",
        }
    }
}

/// Writes a model to `path`, whole or not at all.
///
/// # Errors
/// The file cannot be written; the backbone cannot be expressed in ONNX.
pub fn export(model: &LoadedModel, format: Format, path: &Path) -> Result<()> {
    match format {
        Format::Safetensors => save_model(path, &model.params, &model.card),
        Format::Pth => write_atomic(path, |out| write_state_dict(out, state(&model.params))),
        Format::Onnx => write_onnx(model, path),
    }
}

/// The tensors of a state dict; torch's strict loading wants the batch counters that batch norm keeps.
fn state(params: &Params) -> impl Iterator<Item = io::Result<StateTensor>> {
    params.iter().enumerate().flat_map(|(position, param)| {
        let values = params.values(position).map(Values::F32).map_err(io::Error::other);
        let tensor =
            values.map(|values| StateTensor { name: param.name.clone(), shape: param.shape.clone(), values });
        let is_last_of_norm = param.kind == Kind::Buffer && param.name.ends_with("running_var");
        let counter = is_last_of_norm.then(|| {
            let name = param.name.replace("running_var", "num_batches_tracked");
            Ok(StateTensor { name, shape: Vec::new(), values: Values::I64(vec![0]) })
        });
        [Some(tensor), counter].into_iter().flatten()
    })
}

fn write_onnx(model: &LoadedModel, path: &Path) -> Result<()> {
    let LoadedModel { card, params, .. } = model;
    let (size, classes) = (card.input_size, card.classes.len());
    let mut to = Exporter::new(params, size);
    let dims = [Dim::Named("batch"), Dim::Fixed(3), Dim::Fixed(size), Dim::Fixed(size)];
    let images = to.graph.input("images", &dims);
    let Some(logits) = model.model.onnx(&images, &mut to) else {
        return Err(Error::Compute("this backbone does not say how it is expressed in ONNX".into()));
    };
    let mut graph = to.graph;
    let dims = [Dim::Named("batch"), Dim::Fixed(classes)];
    graph.output("logits", &logits, &dims);
    let factor = graph.constant(&[1], vec![1.0 / card.temperature]);
    let scaled = graph.mul(&logits, &factor);
    let probabilities = graph.softmax(&scaled, 1);
    graph.output("probabilities", &probabilities, &dims);
    let metadata: BTreeMap<String, String> = card_metadata(card)?;
    write_atomic(path, |out| graph.write(out, &metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::ModelConfig;
    use crate::model::files::weights::{ModelCard, TensorFile, load_pretrained};
    use crate::model::network::Model;
    use crate::model::zoo::ModelName;
    use burn::tensor::Device;

    fn model(name: ModelName) -> LoadedModel {
        let config = ModelConfig { width: 0.0625, ..ModelConfig::of(name) };
        let card =
            ModelCard::new(config, ["a", "b", "c"].map(str::to_owned).to_vec(), 32, [0.5; 3], [0.25; 3]);
        let model = Model::new(&card.model, 3, 32).unwrap();
        let params = model.init(5, false, &Device::flex());
        LoadedModel { path: "there".into(), card, model, params }
    }

    #[test]
    fn a_state_dict_is_read_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        for name in ModelName::all() {
            let (path, model) = (folder.path().join(format!("{name}.pth")), model(name));
            export(&model, Format::Pth, &path).unwrap();
            let (params, transfer) = load_pretrained(&model.model, &[], &path, 1, &Device::flex()).unwrap();
            assert!(transfer.fresh.is_empty(), "{name}: {:?}", transfer.fresh);
            for position in 0..params.iter().len() {
                assert_eq!(
                    params.values(position).unwrap(),
                    model.params.values(position).unwrap(),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn every_model_can_be_written_as_onnx_and_as_safetensors() {
        let folder = tempfile::tempdir().unwrap();
        for name in ModelName::all() {
            let model = model(name);
            let path = folder.path().join(format!("{name}.onnx"));
            export(&model, Format::Onnx, &path).unwrap();
            let weights =
                4 * model.params.iter().map(|param| param.shape.iter().product::<usize>()).sum::<usize>()
                    as u64;
            let length = std::fs::metadata(&path).unwrap().len();
            assert!(
                (weights..weights + 100_000).contains(&length),
                "{name}: {length} bytes, {weights} of weights"
            );
            let path = folder.path().join(format!("{name}.safetensors"));
            export(&model, Format::Safetensors, &path).unwrap();
            assert_eq!(TensorFile::open(&path).unwrap().card().unwrap(), model.card);
        }
    }
}
