//! VGG-16 (Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556) as torchvision has it, plain or with batch
//! norm, and with a CBAM after each max-pool on request.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::backbone::Backbone;
use super::cbam::Cbam;
use super::entry::{Entry, Head, Plan, Remote};
use super::layers::{
    Activation, BatchNorm2d, Conv2d, Conv2dConfig, ConvUnit, Linear, Pass, adaptive_avg_pool2d, dropout,
    global_avg_pool, max_pool2d,
};
use super::onnx::{Exporter, Value};
use super::params::Path;

/// torchvision's VGG-16: thirteen convolutions, three linear layers.
pub const VGG16: Entry = Entry {
    name: "vgg16",
    about: "VGG-16, as published",
    build: |path, plan| Arc::new(Vgg::new(path, Variant { batch_norm: false, cbam: false }, plan)),
    heads: &[Head::Fc, Head::Gap],
    dropout: 0.5,
    smallest_input: 32,
    stride: 32,
    parameters: 138_357_544,
    weights: Some(Remote::torchvision(
        "vgg16-397923af.pth",
        553_433_881,
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    )),
    renamed: &TIMM,
};

/// VGG-16 with a CBAM after each max-pool.
pub const VGG16_CBAM: Entry = Entry {
    name: "vgg16_cbam",
    about: "VGG-16 with an attention block (CBAM) after each max-pool",
    build: |path, plan| Arc::new(Vgg::new(path, Variant { batch_norm: false, cbam: true }, plan)),
    parameters: VGG16.parameters + CBAM_PARAMETERS,
    ..VGG16
};

/// VGG-16 with batch norm: trains from scratch where the plain one does not.
pub const VGG16_BN: Entry = Entry {
    name: "vgg16_bn",
    about: "VGG-16 with batch norm; trains from scratch where the plain one does not",
    build: |path, plan| Arc::new(Vgg::new(path, Variant { batch_norm: true, cbam: false }, plan)),
    parameters: 138_365_992,
    weights: Some(Remote::torchvision(
        "vgg16_bn-6c64b313.pth",
        553_507_836,
        "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a",
    )),
    ..VGG16
};

/// VGG-16 with batch norm and CBAM.
pub const VGG16_BN_CBAM: Entry = Entry {
    name: "vgg16_bn_cbam",
    about: "VGG-16 with batch norm and attention blocks (CBAM)",
    build: |path, plan| Arc::new(Vgg::new(path, Variant { batch_norm: true, cbam: true }, plan)),
    parameters: VGG16_BN.parameters + CBAM_PARAMETERS,
    ..VGG16_BN
};

/// Learned numbers of the five attention blocks at width 1.
const CBAM_PARAMETERS: usize = 76_778;

/// timm's names of the linear layers, which it keeps as convolutions over the pooled map, and torchvision's.
const TIMM: [(&str, &str); 3] = [
    ("pre_logits.fc1.", "classifier.0."),
    ("pre_logits.fc2.", "classifier.3."),
    ("head.fc.", "classifier.6."),
];

/// Output channels of the convolutions of each block; a max-pool ends each block.
const BLOCKS: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];
/// Outputs of the two hidden linear layers.
const HIDDEN: usize = 4096;
/// Side of the map after the adaptive pool.
const POOLED: usize = 7;

/// Which member of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Batch norm after every convolution.
    pub batch_norm: bool,
    /// CBAM after every max-pool; the linear layers then read the whole map and not its 7×7 average.
    pub cbam: bool,
}

/// VGG-16 and its kin.
#[derive(Clone, Debug)]
pub struct Vgg {
    blocks: Vec<Block>,
    classifier: Classifier,
    channels: usize,
}

#[derive(Clone, Debug)]
struct Block {
    convolutions: Vec<ConvUnit>,
    cbam: Option<Cbam>,
}

#[derive(Clone, Debug)]
enum Classifier {
    /// Three linear layers over the pooled (`pool`) or whole map.
    FullyConnected { pool: bool, layers: [Linear; 3], dropout: f64 },
    /// Global average pool and one linear layer.
    GlobalAverage { layer: Linear, dropout: f64 },
}

impl Vgg {
    /// Declares the tensors of a variant on `path`.
    pub fn new(path: &Path, variant: Variant, plan: &Plan) -> Self {
        // The position in torchvision's `features`, which counts ReLUs and pools too.
        let mut position = 0;
        let mut input = 3;
        let mut blocks = Vec::with_capacity(BLOCKS.len());
        for (index, outputs) in BLOCKS.iter().enumerate() {
            let mut convolutions = Vec::with_capacity(outputs.len());
            for &output in *outputs {
                let output = plan.scaled(output);
                let conv = Conv2dConfig { input, output, kernel: 3, padding: 1, ..Conv2dConfig::default() };
                let convolution = Conv2d::new(&(path / "features" / position), conv);
                let norm = variant
                    .batch_norm
                    .then(|| BatchNorm2d::new(&(path / "features" / (position + 1)), output));
                position += if variant.batch_norm { 3 } else { 2 };
                convolutions.push(ConvUnit::new(convolution, norm, Some(Activation::Relu)));
                input = output;
            }
            position += 1; // the max-pool
            let cbam = variant.cbam.then(|| Cbam::new(&(path / "cbam" / index), input));
            blocks.push(Block { convolutions, cbam });
        }
        let classifier = match plan.head {
            Head::Fc => {
                let side = if variant.cbam { plan.input_size >> BLOCKS.len() } else { POOLED };
                let hidden = plan.scaled(HIDDEN);
                let layers = [
                    Linear::new(&(path / "classifier" / 0), input * side * side, hidden),
                    Linear::new(&(path / "classifier" / 3), hidden, hidden),
                    Linear::new(&(path / "classifier" / 6), hidden, plan.classes),
                ];
                Classifier::FullyConnected { pool: !variant.cbam, layers, dropout: plan.dropout }
            }
            Head::Gap => Classifier::GlobalAverage {
                layer: Linear::new(&(path / "classifier" / 1), input, plan.classes),
                dropout: plan.dropout,
            },
        };
        Self { blocks, classifier, channels: input }
    }
}

impl Vgg {
    /// The features; `looked` is given the spatial attention of each block that has one.
    fn walk(&self, images: Tensor<4>, pass: &Pass, mut looked: impl FnMut(Tensor<4>)) -> Tensor<4> {
        let mut x = images; // [B, 3, S, S]
        for block in &self.blocks {
            for unit in &block.convolutions {
                x = unit.forward(x, pass);
            }
            x = max_pool2d(x, 2, 2, 0, pass); // [B, C, H, W] -> [B, C, H/2, W/2]
            if let Some(cbam) = &block.cbam {
                let (attended, attention) = cbam.forward_with_attention(x, pass);
                looked(attention);
                x = attended;
            }
        }
        x // [B, C, S/32, S/32]
    }
}

impl Backbone for Vgg {
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.walk(images, pass, |_| ())
    }

    fn attention(&self, images: Tensor<4>, pass: &Pass) -> Vec<Tensor<4>> {
        let mut all = Vec::new();
        self.walk(images, pass, |attention| all.push(attention));
        all
    }

    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2> {
        match &self.classifier {
            Classifier::FullyConnected { pool, layers: [first, second, last], dropout: probability } => {
                let x = if *pool { adaptive_avg_pool2d(features, POOLED) } else { features };
                let x = x.flatten::<2>(1, 3); // [B, C, h, w] -> [B, Chw]
                let x = dropout(first.forward_with(x, Activation::Relu, pass), *probability, pass);
                let x = dropout(second.forward_with(x, Activation::Relu, pass), *probability, pass);
                last.forward(x, pass) // [B, K]
            }
            Classifier::GlobalAverage { layer, dropout: probability } => {
                let x = global_avg_pool(features); // [B, C, h, w] -> [B, C]
                layer.forward(dropout(x, *probability, pass), pass)
            }
        }
    }

    fn onnx(&self, images: &Value, to: &mut Exporter) -> Option<Value> {
        let mut x = images.clone();
        for block in &self.blocks {
            for unit in &block.convolutions {
                x = unit.onnx(&x, to);
            }
            x = to.graph.max_pool(&x, 2, 2, 0);
            if let Some(cbam) = &block.cbam {
                x = cbam.onnx(&x, to);
            }
        }
        Some(match &self.classifier {
            Classifier::FullyConnected { pool, layers: [first, second, last], .. } => {
                if *pool {
                    let side = to.input_size >> BLOCKS.len();
                    x = to.graph.adaptive_avg_pool(&x, (side, side), POOLED);
                }
                x = to.graph.flatten(&x);
                for layer in [first, second] {
                    x = layer.onnx(&x, to);
                    x = to.graph.relu(&x);
                }
                last.onnx(&x, to)
            }
            Classifier::GlobalAverage { layer, .. } => {
                let pooled = to.graph.global_avg_pool(&x);
                let flat = to.graph.flatten(&pooled);
                layer.onnx(&flat, to)
            }
        })
    }

    fn feature_channels(&self) -> usize {
        self.channels
    }

    fn head_prefix(&self) -> &'static str {
        "classifier."
    }

    fn addition_prefix(&self) -> Option<&'static str> {
        self.blocks.iter().any(|block| block.cbam.is_some()).then_some("cbam.")
    }

    fn last_layer(&self) -> &'static str {
        match self.classifier {
            Classifier::FullyConnected { .. } => "classifier.6",
            Classifier::GlobalAverage { .. } => "classifier.1",
        }
    }
}
