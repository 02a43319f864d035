//! A model of your own: declare its layers, write `features` and `head`, and everything built on the two
//! works with it. `cargo run --release --example custom_backbone`

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use mien::model::layers::{BatchNorm2d, Conv2d, Conv2dConfig, ConvUnit, Linear, Pass, global_avg_pool};
use mien::model::params::Path;
use mien::model::{Backbone, Model};

/// Three convolutions that halve the map, and one linear layer.
#[derive(Debug)]
struct Tiny {
    stages: Vec<ConvUnit>,
    last: Linear,
}

impl Tiny {
    fn new(path: &Path, classes: usize) -> Self {
        let stage = |(index, (input, output)): (usize, (usize, usize))| {
            let path = path / "features" / index;
            let config = Conv2dConfig { input, output, kernel: 3, stride: 2, padding: 1, bias: false };
            ConvUnit::new(
                Conv2d::new(&(&path / "conv"), config),
                Some(BatchNorm2d::new(&(&path / "bn"), output)),
            )
        };
        let stages = [(3, 16), (16, 32), (32, 64)].into_iter().enumerate().map(stage).collect();
        Self { stages, last: Linear::new(&(path / "fc"), 64, classes) }
    }
}

impl Backbone for Tiny {
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4> {
        // [B, 3, S, S] -> [B, 64, S/8, S/8]
        self.stages.iter().fold(images, |x, unit| unit.forward_relu(x, pass))
    }

    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.last.forward(global_avg_pool(features), pass) // [B, 64, h, w] -> [B, K]
    }

    fn feature_channels(&self) -> usize {
        64
    }

    fn last_layer(&self) -> &'static str {
        "fc"
    }
}

fn main() {
    let path = Path::root();
    let model = Model::from_backbone(Arc::new(Tiny::new(&path, 7)), path);
    let device = Device::flex();
    let params = model.init(42, false, &device);
    let logits = model.logits(Tensor::zeros([2, 3, 64, 64], &device), &Pass::eval(&params));
    println!("{} parameters, logits {:?}", model.parameter_count(), logits.dims());
}
