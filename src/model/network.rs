//! A model: a backbone and the parameters that it declares.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::backbone::Backbone;
use super::config::ModelConfig;
use super::layers::Pass;
use super::onnx;
use super::params::{Kind, Params, Path, Spec};
use crate::error::{Error, Result};

/// A model's description: its backbone and the parameters it declares. The numbers live in [`Params`].
#[derive(Clone, Debug)]
pub struct Model {
    backbone: Arc<dyn Backbone>,
    specs: Arc<[Spec]>,
}

impl Model {
    /// The model that `config` describes, for `classes` classes and square images of `input_size` pixels.
    ///
    /// # Errors
    /// A value of `config` that is out of range, fewer than two classes, or an input that is too small for
    /// the model.
    pub fn new(config: &ModelConfig, classes: usize, input_size: usize) -> Result<Self> {
        config.validate()?;
        let smallest = config.name.smallest_input;
        if input_size < smallest {
            return Err(Error::input("input.size (--input-size)", format!("found {input_size}"))
                .expected(format!("{smallest} or more with {}", config.name)));
        }
        if classes < 2 {
            return Err(Error::input("classes", format!("found {classes}")).expected("two or more"));
        }
        let path = Path::root();
        let backbone = (config.name.build)(&path, &config.plan(classes, input_size));
        Ok(Self::from_backbone(backbone, path))
    }

    /// A model of your own: `backbone` and the path on which it declared its parameters.
    pub fn from_backbone(backbone: Arc<dyn Backbone>, path: Path) -> Self {
        Self { backbone, specs: path.into_specs().into() }
    }

    /// Fresh parameters; see [`Params::init`].
    pub fn init(&self, seed: u64, on_pretrained: bool, device: &Device) -> Params {
        Params::init(&self.specs, seed, on_pretrained, device)
    }

    /// The declared parameters, in the order of declaration.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    /// How many numbers are learned.
    pub fn parameter_count(&self) -> usize {
        let weights = self.specs.iter().filter(|spec| spec.kind == Kind::Weight);
        weights.map(|spec| spec.shape.iter().product::<usize>()).sum()
    }

    /// The last convolutional map: `[B, 3, S, S] -> [B, C, h, w]`.
    pub fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.backbone.features(images, pass)
    }

    /// Where each attention block looks: `[B, 3, S, S] -> [B, 1, h, w]` each; none without such blocks.
    pub fn attention(&self, images: Tensor<4>, pass: &Pass) -> Vec<Tensor<4>> {
        self.backbone.attention(images, pass)
    }

    /// `[B, C, h, w] -> [B, K]`.
    pub fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.backbone.head(features, pass)
    }

    /// `[B, 3, S, S] -> [B, K]` raw logits.
    pub fn logits(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.head(self.features(images, pass), pass)
    }

    /// `[B, 3, S, S] -> [B, K]` raw logits, in ONNX; `None` for a backbone that cannot be exported.
    pub fn onnx(&self, images: &onnx::Value, to: &mut onnx::Exporter) -> Option<onnx::Value> {
        self.backbone.onnx(images, to)
    }

    /// C of the last map.
    pub fn feature_channels(&self) -> usize {
        self.backbone.feature_channels()
    }

    /// The layer that depends on the number of classes.
    pub fn last_layer(&self) -> &'static str {
        self.backbone.last_layer()
    }

    /// Whether a parameter belongs to the head, by its name.
    pub fn in_head(&self, name: &str) -> bool {
        name.starts_with(self.backbone.head_prefix())
    }

    /// What the names of parts begin with that published weights do not have; see
    /// [`Backbone::addition_prefix`].
    pub fn addition_prefix(&self) -> Option<&'static str> {
        self.backbone.addition_prefix()
    }
}

#[cfg(test)]
mod tests;
