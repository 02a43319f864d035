//! A model of your own: declare its layers, write `features` and `head`, and everything built on the two
//! works with it. This one has depthwise convolutions, squeeze-and-excitation, and a layer that the kit does
//! not have. `cargo run --release --example custom_backbone` trains it to tell red from blue.

use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use mien::model::layers::{
    Activation, BatchNorm2d, Conv2d, Conv2dConfig, ConvUnit, Linear, Pass, SqueezeExcitation, drop_path,
    global_avg_pool,
};
use mien::model::params::{Init, Kind, ParamId, Path, leaf};
use mien::model::{Backbone, Model};

/// A layer of your own: x · scale, one learned number for each channel (LayerScale, arXiv:2103.17239).
#[derive(Debug)]
struct Scale(ParamId);

impl Scale {
    fn new(path: &Path, channels: usize) -> Self {
        Self(path.declare("scale", &[channels], Init::Constant(0.1), Kind::Weight))
    }

    /// `[B, C, H, W] -> [B, C, H, W]`
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let scale = pass.param::<1>(self.0); // [C]
        x * scale.reshape([1, -1, 1, 1])
    }
}

/// x is halved, then a depthwise and a 1×1 convolution add to it.
#[derive(Debug)]
struct Stage {
    halve: ConvUnit,
    depthwise: ConvUnit,
    squeeze: SqueezeExcitation,
    mix: ConvUnit,
    scale: Scale,
}

impl Stage {
    fn new(path: &Path, input: usize, output: usize) -> Self {
        let unit = |name: &str, config: Conv2dConfig, activation| {
            let config = Conv2dConfig { padding: config.kernel / 2, bias: false, ..config };
            let (conv, norm) = (path / name / "conv", path / name / "norm");
            let norm = BatchNorm2d::new(&norm, config.output);
            ConvUnit::new(Conv2d::new(&conv, config), Some(norm), activation)
        };
        let keep = Conv2dConfig { input: output, output, ..Conv2dConfig::default() };
        let silu = Some(Activation::Silu);
        Self {
            halve: unit("halve", Conv2dConfig { input, kernel: 3, stride: 2, ..keep }, silu),
            depthwise: unit("depthwise", Conv2dConfig { kernel: 5, groups: output, ..keep }, silu),
            squeeze: SqueezeExcitation::new(&(path / "squeeze"), output, output / 4, Activation::Sigmoid),
            mix: unit("mix", keep, None),
            scale: Scale::new(path, output),
        }
    }

    /// `[B, I, H, W] -> [B, O, H/2, W/2]`
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.halve.forward(x, pass);
        let y = self.squeeze.forward(self.depthwise.forward(x.clone(), pass), pass);
        let y = self.scale.forward(self.mix.forward(y, pass), pass);
        x + drop_path(y, 0.1, pass)
    }
}

#[derive(Debug)]
struct Tiny {
    stages: Vec<Stage>,
    last: Linear,
}

impl Tiny {
    fn new(path: &Path, classes: usize) -> Self {
        let channels = [3, 8, 16, 32];
        let stage =
            |(place, pair): (usize, &[usize])| Stage::new(&(path / "stages" / place), pair[0], pair[1]);
        let stages = channels.windows(2).enumerate().map(stage).collect();
        Self { stages, last: Linear::new_uniform(&(path / "fc"), 32, classes) }
    }
}

impl Backbone for Tiny {
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4> {
        // [B, 3, S, S] -> [B, 32, S/8, S/8]
        self.stages.iter().fold(images, |x, stage| stage.forward(x, pass))
    }

    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.last.forward(global_avg_pool(features), pass) // [B, 32, h, w] -> [B, K]
    }

    fn feature_channels(&self) -> usize {
        32
    }

    fn head_prefix(&self) -> &'static str {
        "fc."
    }

    fn last_layer(&self) -> &'static str {
        "fc"
    }
}

/// Noise, redder or bluer by turns: `[B, 3, S, S]`.
fn images(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    let value = |index: usize| {
        let (channel, class) = (index / (size * size) % 3, index / (3 * size * size) % 2);
        let noise = (index * 7919 % 1009) as f32 / 1009.0 - 0.5;
        if channel == 2 * class { 1.0 + noise } else { noise }
    };
    let values = (0..batch * 3 * size * size).map(value).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(values, [batch, 3, size, size]), device)
}

/// Plain gradient descent for some steps; the loss of each.
fn train(steps: u64) -> Vec<f32> {
    let path = Path::root();
    let model = Model::from_backbone(Arc::new(Tiny::new(&path, 2)), path);
    println!("{} parameters", model.parameter_count());
    let device = Device::flex();
    let mut params = model.init(42, false, &device).for_training();
    let (batch, device) = (16, device.autodiff());
    let images = images(batch, 32, &device);
    let own_class = (0..2 * batch).map(|i| f32::from(u8::from(i % 2 == i / 2 % 2))).collect::<Vec<_>>();
    let own_class = Tensor::<2>::from_data(TensorData::new(own_class, [batch, 2]), &device);
    let mut losses = Vec::new();
    for step in 0..steps {
        let pass = Pass::train(&params, 42, step);
        let logits = model.logits(images.clone(), &pass); // [B, K]
        let statistics = pass.into_updates();
        let loss = -(log_softmax(logits, 1) * own_class.clone()).sum() / batch as f32;
        losses.push(loss.clone().into_scalar::<f32>());
        let mut gradients = loss.backward();
        for param in params.iter_mut().filter(|param| param.is_trained()) {
            let gradient = param.value.grad_remove(&mut gradients).expect("every weight has a gradient");
            param.value =
                leaf(param.value.clone().without_autodiff() - gradient * 0.1, param.kind, param.frozen);
        }
        statistics.into_iter().for_each(|(id, value)| params.set(id, value));
    }
    losses
}

fn main() {
    for (step, loss) in train(30).into_iter().enumerate().step_by(5) {
        println!("step {step:2}  loss {loss:.4}");
    }
}

#[test]
fn a_backbone_from_outside_learns() {
    let losses = train(20);
    assert!(losses[19] < losses[0] / 2.0, "{losses:?}");
}
