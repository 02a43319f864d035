//! ResNet-18, ResNet-34 and ResNet-50 (He, Zhang, Ren, Sun; CVPR 2016, arXiv:1512.03385) as torchvision has
//! them: v1.5, the stride of a bottleneck sits in its 3×3 convolution.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::backbone::Backbone;
use super::entry::{Entry, Head, Plan, Remote};
use super::layers::{
    Activation, BatchNorm2d, Conv2d, Conv2dConfig, ConvUnit, Linear, Pass, ResidualBlock, global_avg_pool,
    max_pool2d,
};
use super::onnx::{Exporter, Value};
use super::params::Path;

/// torchvision's ResNet-18: eight blocks of two convolutions.
pub const RESNET18: Entry = Entry {
    name: "resnet18",
    about: "ResNet-18, small and quick",
    build: |path, plan| Arc::new(ResNet::new(path, [2, 2, 2, 2], Kind::Basic, plan)),
    heads: &[Head::Fc],
    dropout: 0.5, // it has none
    smallest_input: 32,
    stride: 32,
    parameters: 11_689_512,
    weights: Some(Remote::torchvision(
        "resnet18-f37072fd.pth",
        46_830_571,
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    )),
    renamed: &[],
};

/// torchvision's ResNet-34: sixteen blocks of two convolutions.
pub const RESNET34: Entry = Entry {
    name: "resnet34",
    about: "ResNet-34, between ResNet-18 and ResNet-50",
    build: |path, plan| Arc::new(ResNet::new(path, [3, 4, 6, 3], Kind::Basic, plan)),
    parameters: 21_797_672,
    weights: Some(Remote::torchvision(
        "resnet34-b627a593.pth",
        87_319_819,
        "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
    )),
    ..RESNET18
};

/// torchvision's ResNet-50 (v1.5): sixteen bottleneck blocks.
pub const RESNET50: Entry = Entry {
    name: "resnet50",
    about: "ResNet-50 (v1.5), with bottleneck blocks",
    build: |path, plan| Arc::new(ResNet::new(path, [3, 4, 6, 3], Kind::Bottleneck, plan)),
    parameters: 25_557_032,
    weights: Some(Remote::torchvision(
        "resnet50-0676ba61.pth",
        102_530_333,
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    )),
    ..RESNET18
};

/// What the blocks are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A block of two 3×3 convolutions.
    Basic,
    /// Convolutions of 1×1, 3×3 and 1×1; the last has four times the channels.
    Bottleneck,
}

/// A residual network of any depth.
#[derive(Clone, Debug)]
pub struct ResNet {
    stem: ConvUnit,
    blocks: Vec<ResidualBlock>,
    last: Linear,
    channels: usize,
}

impl ResNet {
    /// Declares the model with this many blocks in each of its four stages.
    pub fn new(path: &Path, counts: [usize; 4], kind: Kind, plan: &Plan) -> Self {
        let relu = Some(Activation::Relu);
        let stem = unit([path / "conv1", path / "bn1"], Shape::new(3, plan.scaled(64), 7, 2), relu);
        let mut input = plan.scaled(64);
        let mut blocks = Vec::with_capacity(counts.iter().sum());
        for (stage, count) in counts.into_iter().enumerate() {
            let inner = plan.scaled(64 << stage);
            let output = inner * if kind == Kind::Bottleneck { 4 } else { 1 };
            for index in 0..count {
                let path = path / format!("layer{}", stage + 1) / index;
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let shapes = match kind {
                    Kind::Basic => vec![Shape::new(input, inner, 3, stride), Shape::new(inner, inner, 3, 1)],
                    Kind::Bottleneck => vec![
                        Shape::new(input, inner, 1, 1),
                        Shape::new(inner, inner, 3, stride),
                        Shape::new(inner, output, 1, 1),
                    ],
                };
                let units = shapes.into_iter().zip(1..).map(|(shape, n)| {
                    unit([&path / format!("conv{n}"), &path / format!("bn{n}")], shape, relu)
                });
                let units = units.collect();
                let downsample = (stride != 1 || input != output).then(|| {
                    let paths = [&path / "downsample" / 0, &path / "downsample" / 1];
                    unit(paths, Shape::new(input, output, 1, stride), None)
                });
                blocks.push(ResidualBlock::new(units, downsample));
                input = output;
            }
        }
        let last = Linear::new_uniform(&(path / "fc"), input, plan.classes);
        Self { stem, blocks, last, channels: input }
    }
}

/// Channels, kernel and step of a convolution without bias, padded so that step 1 keeps the size.
struct Shape(Conv2dConfig);

impl Shape {
    fn new(input: usize, output: usize, kernel: usize, stride: usize) -> Self {
        let padding = kernel / 2;
        Self(Conv2dConfig { input, output, kernel, stride, padding, bias: false, ..Conv2dConfig::default() })
    }
}

/// A convolution and its batch norm, which torchvision names apart.
fn unit([conv, norm]: [Path; 2], Shape(config): Shape, activation: Option<Activation>) -> ConvUnit {
    ConvUnit::new(Conv2d::new(&conv, config), Some(BatchNorm2d::new(&norm, config.output)), activation)
}

impl Backbone for ResNet {
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = self.stem.forward(images, pass); // [B, 3, S, S] -> [B, 64, S/2, S/2]
        let x = max_pool2d(x, 3, 2, 1, pass); // -> [B, 64, S/4, S/4]
        self.blocks.iter().fold(x, |x, block| block.forward(x, pass)) // [B, C, S/32, S/32]
    }

    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let x = global_avg_pool(features); // [B, C, h, w] -> [B, C]
        self.last.forward(x, pass) // [B, K]
    }

    fn onnx(&self, images: &Value, to: &mut Exporter) -> Option<Value> {
        let x = self.stem.onnx(images, to);
        let x = to.graph.max_pool(&x, 3, 2, 1);
        let x = self.blocks.iter().fold(x, |x, block| block.onnx(&x, to));
        let pooled = to.graph.global_avg_pool(&x);
        let flat = to.graph.flatten(&pooled);
        Some(self.last.onnx(&flat, to))
    }

    fn feature_channels(&self) -> usize {
        self.channels
    }

    fn head_prefix(&self) -> &'static str {
        "fc."
    }

    fn last_layer(&self) -> &'static str {
        "fc"
    }
}
