//! MobileNetV3-Small (Howard et al., ICCV 2019, arXiv:1905.02244) as torchvision has it: inverted residual
//! blocks, which expand the channels, convolve each with a kernel of its own, scale them by
//! squeeze-and-excitation and project them back.
//!
//! `model.width` is torchvision's `width_mult`: channel counts are multiplied and then rounded to multiples
//! of 8, so that they never fall below 8. `model.dropout` is that of the layer before the last; torchvision's
//! 0.2 unless it is set.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::backbone::Backbone;
use super::entry::{Entry, Head, Plan, Remote};
use super::layers::{
    Activation, BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, ConvUnit, Linear, Pass,
    SqueezeExcitation, dropout, global_avg_pool,
};
use super::onnx::{Exporter, Value};
use super::params::Path;

/// torchvision's MobileNetV3-Small, for phones and laptops.
pub const MOBILENET_V3_SMALL: Entry = Entry {
    name: "mobilenet_v3_small",
    about: "MobileNetV3-Small, the smallest, for slow devices",
    build: |path, plan| Arc::new(MobileNet::new(path, &SMALL, 1024, plan)),
    heads: &[Head::Fc],
    dropout: 0.2,
    smallest_input: 32,
    stride: 32,
    parameters: 2_542_856,
    weights: Some(Remote::torchvision(
        "mobilenet_v3_small-047dcff4.pth",
        10_306_551,
        "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",
    )),
    renamed: &[],
};

/// A row of the paper's table 2.
struct Row {
    kernel: usize,
    expanded: usize,
    output: usize,
    squeeze: bool,
    activation: Activation,
    stride: usize,
}

const fn row(sizes: [usize; 3], squeeze: bool, activation: Activation, stride: usize) -> Row {
    let [kernel, expanded, output] = sizes;
    Row { kernel, expanded, output, squeeze, activation, stride }
}

/// Table 2 of the paper: MobileNetV3-Small.
const SMALL: [Row; 11] = [
    row([3, 16, 16], true, Activation::Relu, 2),
    row([3, 72, 24], false, Activation::Relu, 2),
    row([3, 88, 24], false, Activation::Relu, 1),
    row([5, 96, 40], true, Activation::Hardswish, 2),
    row([5, 240, 40], true, Activation::Hardswish, 1),
    row([5, 240, 40], true, Activation::Hardswish, 1),
    row([5, 120, 48], true, Activation::Hardswish, 1),
    row([5, 144, 48], true, Activation::Hardswish, 1),
    row([5, 288, 96], true, Activation::Hardswish, 2),
    row([5, 576, 96], true, Activation::Hardswish, 1),
    row([5, 576, 96], true, Activation::Hardswish, 1),
];
/// Output channels of the first convolution.
const STEM: usize = 16;
/// The constants of all batch norms, as torchvision sets them.
const NORM: BatchNorm2dConfig = BatchNorm2dConfig { epsilon: 0.001, momentum: 0.01 };

/// A MobileNetV3 of any table of blocks.
#[derive(Clone, Debug)]
pub struct MobileNet {
    stem: ConvUnit,
    blocks: Vec<Block>,
    /// The 1×1 convolution behind the blocks.
    top: ConvUnit,
    hidden: Linear,
    last: Linear,
    dropout: f64,
    channels: usize,
}

/// An inverted residual block.
#[derive(Clone, Debug)]
struct Block {
    /// The 1×1 convolution that widens, where there is one, and the depthwise one.
    inner: Vec<ConvUnit>,
    squeeze: Option<SqueezeExcitation>,
    project: ConvUnit,
    /// Whether x is added: where the block keeps its shape.
    adds: bool,
}

impl MobileNet {
    fn new(path: &Path, rows: &[Row], hidden: usize, plan: &Plan) -> Self {
        let scaled = |channels: usize| divisible_by_8(channels as f64 * plan.width);
        let features = path / "features";
        let hardswish = Some(Activation::Hardswish);
        let mut input = scaled(STEM);
        let stem = Conv2dConfig { input: 3, output: input, kernel: 3, stride: 2, ..Conv2dConfig::default() };
        let stem = unit(&(&features / 0), stem, hardswish);
        let mut blocks = Vec::with_capacity(rows.len());
        for (row, place) in rows.iter().zip(1..) {
            let (expanded, output) = (scaled(row.expanded), scaled(row.output));
            blocks.push(Block::new(&(&features / place / "block"), row, [input, expanded, output]));
            input = output;
        }
        let channels = 6 * input;
        let top = Conv2dConfig { input, output: channels, ..Conv2dConfig::default() };
        let hidden = scaled(hidden);
        Self {
            stem,
            blocks,
            top: unit(&(&features / (rows.len() + 1)), top, hardswish),
            hidden: Linear::new(&(path / "classifier" / 0), channels, hidden),
            last: Linear::new(&(path / "classifier" / 3), hidden, plan.classes),
            dropout: plan.dropout,
            channels,
        }
    }
}

impl Block {
    fn new(path: &Path, row: &Row, [input, expanded, output]: [usize; 3]) -> Self {
        let Row { kernel, squeeze, stride, .. } = *row;
        let activation = Some(row.activation);
        let mut place = 0..;
        let mut next = || path / place.next().unwrap_or_default();
        let mut inner = Vec::new();
        if expanded != input {
            let widen = Conv2dConfig { input, output: expanded, ..Conv2dConfig::default() };
            inner.push(unit(&next(), widen, activation));
        }
        let (groups, base) = (expanded, Conv2dConfig::default());
        let depthwise = Conv2dConfig { input: expanded, output: expanded, kernel, stride, groups, ..base };
        inner.push(unit(&next(), depthwise, activation));
        let squeezed = divisible_by_8((expanded / 4) as f64);
        let squeeze =
            squeeze.then(|| SqueezeExcitation::new(&next(), expanded, squeezed, Activation::Hardsigmoid));
        let project = unit(&next(), Conv2dConfig { input: expanded, output, ..base }, None);
        Self { inner, squeeze, project, adds: stride == 1 && input == output }
    }

    /// `[B, I, H, W] -> [B, O, H', W']`
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let mut y = self.inner.iter().fold(x.clone(), |y, unit| unit.forward(y, pass));
        if let Some(squeeze) = &self.squeeze {
            y = squeeze.forward(y, pass);
        }
        if self.adds { self.project.forward_plus(y, x, pass) } else { self.project.forward(y, pass) }
    }

    fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let mut y = self.inner.iter().fold(x.clone(), |y, unit| unit.onnx(&y, to));
        if let Some(squeeze) = &self.squeeze {
            y = squeeze.onnx(&y, to);
        }
        if self.adds { self.project.onnx_plus(&y, x, to) } else { self.project.onnx(&y, to) }
    }
}

/// torchvision's `Conv2dNormActivation`: padded so that step 1 keeps the size, without bias.
fn unit(path: &Path, config: Conv2dConfig, activation: Option<Activation>) -> ConvUnit {
    let config = Conv2dConfig { padding: (config.kernel - 1) / 2, bias: false, ..config };
    let conv = Conv2d::new(&(path / 0), config);
    ConvUnit::new(conv, Some(BatchNorm2d::with(&(path / 1), config.output, NORM)), activation)
}

/// torchvision's `_make_divisible`: the nearest multiple of 8, at least 8, not below 90 % of what was asked
/// for.
fn divisible_by_8(channels: f64) -> usize {
    let rounded = ((channels + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * channels { rounded + 8 } else { rounded }
}

impl Backbone for MobileNet {
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.stem.forward(images, pass); // [B, 3, S, S] -> [B, 16, S/2, S/2]
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, pass)); // -> [B, 96, S/32, S/32]
        self.top.forward(x, pass) // -> [B, 576, S/32, S/32]
    }

    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let x = global_avg_pool(features); // [B, C, h, w] -> [B, C]
        let x = self.hidden.forward_with(x, Activation::Hardswish, pass); // [B, 1024]
        self.last.forward(dropout(x, self.dropout, pass), pass) // [B, K]
    }

    fn onnx(&self, images: &Value, to: &mut Exporter) -> Option<Value> {
        let x = self.stem.onnx(images, to);
        let x = self.blocks.iter().fold(x, |x, block| block.onnx(&x, to));
        let x = self.top.onnx(&x, to);
        let pooled = to.graph.global_avg_pool(&x);
        let flat = to.graph.flatten(&pooled);
        let hidden = self.hidden.onnx(&flat, to);
        let hidden = Activation::Hardswish.onnx(&hidden, to);
        Some(self.last.onnx(&hidden, to))
    }

    fn feature_channels(&self) -> usize {
        self.channels
    }

    fn head_prefix(&self) -> &'static str {
        "classifier."
    }

    fn last_layer(&self) -> &'static str {
        "classifier.3"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_rounded_as_torchvision_rounds_them() {
        // _make_divisible(v, 8) in torchvision 0.24.1.
        let cases = [
            (16.0, 16),
            (1.0, 8),
            (18.0, 24),
            (22.0, 24),
            (12.0, 16),
            (11.9, 16),
            (10.0, 16),
            (8.8, 8),
            (60.0, 64),
        ];
        for (channels, expected) in cases {
            assert_eq!(divisible_by_8(channels), expected, "{channels}");
        }
    }
}
