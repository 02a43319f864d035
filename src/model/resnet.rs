//! ResNet-18 and ResNet-50 (He, Zhang, Ren, Sun; CVPR 2016, arXiv:1512.03385) as torchvision has them: v1.5,
//! the stride of a bottleneck sits in its 3×3 convolution.

use burn::tensor::Tensor;

use super::layers::{
    BatchNorm2d, Conv2d, Conv2dConfig, ConvUnit, Linear, Pass, global_avg_pool, max_pool2d, residual_block,
};
use super::onnx::{Exporter, Value};
use super::params::Path;
use super::{Backbone, ModelConfig};

/// The depths that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Two 3×3 convolutions a block.
    Eighteen,
    /// Bottlenecks of 1×1, 3×3, 1×1.
    Fifty,
}

/// A residual network.
#[derive(Clone, Debug)]
pub struct ResNet {
    stem: ConvUnit,
    blocks: Vec<Block>,
    last: Linear,
    channels: usize,
}

#[derive(Clone, Debug)]
struct Block {
    convolutions: Vec<ConvUnit>,
    downsample: Option<ConvUnit>,
}

impl ResNet {
    /// Declares the model.
    pub fn new(path: &Path, depth: Depth, config: &ModelConfig, classes: usize) -> Self {
        let scaled = |channels: usize| ((channels as f64 * config.width).round() as usize).max(1);
        let (counts, expansion) = match depth {
            Depth::Eighteen => ([2, 2, 2, 2], 1),
            Depth::Fifty => ([3, 4, 6, 3], 4),
        };
        let stem = unit(&(path / "conv1"), &(path / "bn1"), 3, scaled(64), 7, 2);
        let mut input = scaled(64);
        let mut blocks = Vec::with_capacity(counts.iter().sum());
        for (stage, &count) in counts.iter().enumerate() {
            let inner = scaled(64 << stage);
            let output = inner * expansion;
            for index in 0..count {
                let path = path / format!("layer{}", stage + 1) / index;
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let shapes = match depth {
                    Depth::Eighteen => vec![(input, inner, 3, stride), (inner, inner, 3, 1)],
                    Depth::Fifty => {
                        vec![(input, inner, 1, 1), (inner, inner, 3, stride), (inner, output, 1, 1)]
                    }
                };
                let convolutions = shapes
                    .into_iter()
                    .enumerate()
                    .map(|(n, (input, output, kernel, stride))| {
                        let (conv, norm) = (&path / format!("conv{}", n + 1), &path / format!("bn{}", n + 1));
                        unit(&conv, &norm, input, output, kernel, stride)
                    })
                    .collect();
                let downsample = (stride != 1 || input != output).then(|| {
                    unit(&(&path / "downsample" / 0), &(&path / "downsample" / 1), input, output, 1, stride)
                });
                blocks.push(Block { convolutions, downsample });
                input = output;
            }
        }
        let last = Linear::new_uniform(&(path / "fc"), input, classes);
        Self { stem, blocks, last, channels: input }
    }
}

/// A convolution without bias and its batch norm, which torchvision names apart.
fn unit(conv: &Path, norm: &Path, input: usize, output: usize, kernel: usize, stride: usize) -> ConvUnit {
    let config = Conv2dConfig { input, output, kernel, stride, padding: kernel / 2, bias: false };
    ConvUnit::new(Conv2d::new(conv, config), Some(BatchNorm2d::new(norm, output)))
}

impl Backbone for ResNet {
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.stem.forward_relu(images, pass); // [B, 3, S, S] -> [B, 64, S/2, S/2]
        let mut x = max_pool2d(x, 3, 2, 1, pass); // -> [B, 64, S/4, S/4]
        for Block { convolutions, downsample } in &self.blocks {
            x = residual_block(convolutions, downsample.as_ref(), x, pass);
        }
        x // [B, C, S/32, S/32]
    }

    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let x = global_avg_pool(features); // [B, C, h, w] -> [B, C]
        self.last.forward(x, pass) // [B, K]
    }

    fn onnx(&self, images: &Value, to: &mut Exporter) -> Option<Value> {
        let x = self.stem.onnx(images, to);
        let x = to.graph.relu(&x);
        let mut x = to.graph.max_pool(&x, 3, 2, 1);
        for block in &self.blocks {
            let shortcut = block.downsample.as_ref().map_or_else(|| x.clone(), |unit| unit.onnx(&x, to));
            let last = block.convolutions.len() - 1;
            for (index, unit) in block.convolutions.iter().enumerate() {
                x = unit.onnx(&x, to);
                if index < last {
                    x = to.graph.relu(&x);
                }
            }
            let sum = to.graph.add(&x, &shortcut);
            x = to.graph.relu(&sum);
        }
        let pooled = to.graph.global_avg_pool(&x);
        let flat = to.graph.flatten(&pooled);
        Some(self.last.onnx(&flat, to))
    }

    fn feature_channels(&self) -> usize {
        self.channels
    }

    fn last_layer(&self) -> &'static str {
        "fc"
    }
}
