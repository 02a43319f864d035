//! CBAM: Convolutional Block Attention Module (Woo, Park, Lee, Kweon; ECCV 2018, arXiv:1807.06521).
//!
//! Channel attention first, then spatial: which feature maps matter, then where to look.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::layers::{Activation, Conv2d, Conv2dConfig, Pass};
use super::onnx::{Exporter, Value};
use super::params::Path;

/// The paper's reduction of channels within the channel attention.
const REDUCTION: usize = 16;

/// One attention block; keeps the shape of its input.
#[derive(Clone, Debug)]
pub struct Cbam {
    squeeze: Conv2d,
    excite: Conv2d,
    spatial: Conv2d,
}

impl Cbam {
    /// Declares the block for `channels` feature maps. At least one hidden channel is kept.
    pub fn new(path: &Path, channels: usize) -> Self {
        let hidden = (channels / REDUCTION).max(1);
        let conv = |path: &Path, input, output, kernel| {
            let padding = kernel / 2;
            let config =
                Conv2dConfig { input, output, kernel, padding, bias: false, ..Conv2dConfig::default() };
            Conv2d::new(path, config)
        };
        Self {
            squeeze: conv(&(path / "channel_attention" / "fc" / 0), channels, hidden, 1),
            excite: conv(&(path / "channel_attention" / "fc" / 2), hidden, channels, 1),
            spatial: conv(&(path / "spatial_attention" / "conv"), 2, 1, 7),
        }
    }

    /// `[B, C, H, W] -> [B, C, H, W]`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.forward_with_attention(x, pass).0
    }

    /// The same, and where it looked: `[B, C, H, W] -> [B, C, H, W], [B, 1, H, W]`
    pub fn forward_with_attention(&self, x: Tensor<4>, pass: &Pass) -> (Tensor<4>, Tensor<4>) {
        let x = x.clone() * self.channel_attention(x, pass);
        let attention = self.spatial_attention(x.clone(), pass);
        (x * attention.clone(), attention)
    }

    /// The same in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let mlp = |pooled: &Value, to: &mut Exporter| {
            let hidden = self.squeeze.onnx(pooled, to);
            let hidden = to.graph.relu(&hidden);
            self.excite.onnx(&hidden, to)
        };
        let (mean, maximum) = (to.graph.global_avg_pool(x), to.graph.global_max_pool(x));
        let (mean, maximum) = (mlp(&mean, to), mlp(&maximum, to));
        let sum = to.graph.add(&mean, &maximum);
        let channels = to.graph.sigmoid(&sum);
        let x = to.graph.mul(x, &channels);
        let (mean, maximum) = (to.graph.reduce_mean(&x, 1), to.graph.reduce_max(&x, 1));
        let both = to.graph.concat(&[&mean, &maximum], 1);
        let spatial = self.spatial.onnx(&both, to);
        let spatial = to.graph.sigmoid(&spatial);
        to.graph.mul(&x, &spatial)
    }

    /// `[B, C, H, W] -> [B, C, 1, 1]`: sigmoid(MLP(average) + MLP(maximum)).
    pub fn channel_attention(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let flat = x.reshape([batch, channels, height * width]); // [B, C, H, W] -> [B, C, HW]
        let mean = flat.clone().mean_dim(2).reshape([batch, channels, 1, 1]);
        let maximum = flat.max_dim(2).reshape([batch, channels, 1, 1]);
        // One pass of the MLP over both: the batch holds the averages and then the maxima.
        let both = Tensor::cat(vec![mean, maximum], 0); // [2B, C, 1, 1]
        let both = self.excite.forward(self.squeeze.forward_with(both, Activation::Relu, pass), pass);
        let (mean, maximum) = (both.clone().narrow(0, 0, batch), both.narrow(0, batch, batch));
        sigmoid(mean + maximum)
    }

    /// `[B, C, H, W] -> [B, 1, H, W]`: sigmoid(conv7x7 of mean and maximum over channels).
    pub fn spatial_attention(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let both = Tensor::cat(vec![x.clone().mean_dim(1), x.max_dim(1)], 1); // [B, 2, H, W]
        sigmoid(self.spatial.forward(both, pass))
    }
}
