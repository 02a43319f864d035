//! A backbone of your own: declare its layers, write `features` and `head`; training, explaining and export
//! need no more. `cargo run --release --example custom_backbone` runs it; `tests/train.rs` trains it.

use std::sync::Arc;

use burn::tensor::{Device, Distribution, Tensor};
use mien::model::layers::{
    Activation, BatchNorm2d, Conv2d, Conv2dConfig, ConvUnit, Linear, Pass, global_avg_pool,
};
use mien::model::params::{Init, Kind, ParamId, Path};
use mien::model::{Backbone, Model};

/// A layer that the kit does not have: a learned scale for each channel (LayerScale, arXiv:2103.17239).
#[derive(Debug)]
struct Scale(ParamId);

impl Scale {
    fn new(path: &Path, channels: usize) -> Self {
        Self(path.declare("scale", &[channels], Init::Constant(0.1), Kind::Weight))
    }

    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        x * pass.param::<1>(self.0).reshape([1, -1, 1, 1]) // [B, C, h, w] times [C]
    }
}

#[derive(Debug)]
struct Tiny(ConvUnit, ConvUnit, Scale, Linear);

impl Tiny {
    fn new(path: &Path, classes: usize) -> Self {
        let unit = |name: &str, config: Conv2dConfig| {
            let norm = BatchNorm2d::new(&(path / name / "norm"), config.output);
            let conv = Conv2d::new(&(path / name / "conv"), config);
            ConvUnit::new(conv, Some(norm), Some(Activation::Silu))
        };
        let config = Conv2dConfig { input: 16, output: 16, bias: false, ..Conv2dConfig::default() };
        let patches = Conv2dConfig { input: 3, kernel: 4, stride: 4, ..config };
        let depthwise = Conv2dConfig { kernel: 5, padding: 2, groups: 16, ..config };
        let last = Linear::new_uniform(&(path / "fc"), 16, classes);
        Self(unit("patches", patches), unit("depthwise", depthwise), Scale::new(path, 16), last)
    }
}

impl Backbone for Tiny {
    /// `[B, 3, S, S] -> [B, 16, S/4, S/4]`
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.0.forward(images, pass);
        x.clone() + self.2.forward(self.1.forward(x, pass), pass)
    }

    /// `[B, 16, h, w] -> [B, K]`
    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.3.forward(global_avg_pool(features), pass)
    }

    fn feature_channels(&self) -> usize {
        16
    }

    fn head_prefix(&self) -> &'static str {
        "fc."
    }

    fn last_layer(&self) -> &'static str {
        "fc"
    }
}

/// The description of a model; its numbers come from `init` or from a file.
pub fn model(classes: usize) -> Model {
    let path = Path::root();
    Model::from_backbone(Arc::new(Tiny::new(&path, classes)), path)
}

#[allow(dead_code)] // in the test that trains it
fn main() {
    let (model, device) = (model(7), Device::flex());
    let params = model.init(42, false, &device);
    let images = Tensor::<4>::random([2, 3, 64, 64], Distribution::Default, &device);
    let logits = model.logits(images, &Pass::eval(&params)); // [2, 7]
    println!("{} parameters; logits: {logits}", model.parameter_count());
}
