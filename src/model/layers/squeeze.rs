//! Squeeze-and-excitation.

use burn::tensor::Tensor;

use super::activation::Activation;
use super::conv::{Conv2d, Conv2dConfig};
use super::pass::Pass;
use super::pool::global_avg_pool;
use crate::model::onnx::{Exporter, Value};
use crate::model::params::Path;

/// torchvision's `SqueezeExcitation` (Hu, Shen, Sun; CVPR 2018, arXiv:1709.01507): each channel is scaled by
/// a gate that two 1×1 convolutions compute from the means of all channels.
#[derive(Clone, Debug)]
pub struct SqueezeExcitation {
    squeeze: Conv2d,
    excite: Conv2d,
    gate: Activation,
}

impl SqueezeExcitation {
    /// Declares `fc1` (C to `squeezed` channels, ReLU after it) and `fc2` (back to C), with biases. `gate`
    /// makes factors of what comes: [`Activation::Sigmoid`] in the paper, [`Activation::Hardsigmoid`] in
    /// MobileNetV3.
    pub fn new(path: &Path, channels: usize, squeezed: usize, gate: Activation) -> Self {
        let conv = |name, input, output| {
            Conv2d::new(&(path / name), Conv2dConfig { input, output, ..Conv2dConfig::default() })
        };
        Self { squeeze: conv("fc1", channels, squeezed), excite: conv("fc2", squeezed, channels), gate }
    }

    /// `[B, C, H, W] -> [B, C, H, W]`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [batch, channels, _, _] = x.dims();
        let means = global_avg_pool(x.clone()).reshape([batch, channels, 1, 1]);
        let hidden = self.squeeze.forward_with(means, Activation::Relu, pass); // [B, C, 1, 1] -> [B, S, 1, 1]
        x * self.excite.forward_with(hidden, self.gate, pass) // [B, S, 1, 1] -> [B, C, 1, 1]
    }

    /// The same in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let means = to.graph.global_avg_pool(x);
        let hidden = self.squeeze.onnx(&means, to);
        let hidden = to.graph.relu(&hidden);
        let factors = self.excite.onnx(&hidden, to);
        let factors = self.gate.onnx(&factors, to);
        to.graph.mul(x, &factors)
    }
}
