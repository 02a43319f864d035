//! The models: what they are and how they compute. Nothing here knows of data, training or (but for
//! [`weights`]) files.
//!
//! Every model is a [`Backbone`]: `features(images) -> [B, C, h, w]` and `head(features) -> logits [B, K]`.
//! Class activation maps, embeddings, freezing and transfer are built on these two, so a new backbone is one
//! file and one line in [`ModelName`].
//!
//! Shapes: B batch, C channels, H W height and width, S input size, K classes. Images are f32 and normalised,
//! `[B, 3, S, S]`.

pub mod cbam;
pub mod files;
pub mod layers;
pub mod onnx;
pub mod params;
pub mod resnet;
pub mod vgg;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use layers::Pass;
use params::{Params, Path, Spec};

/// What every model offers. Logits are raw: softmax lives in the loss, in evaluation and in prediction.
pub trait Backbone: Send + Sync + fmt::Debug {
    /// The last convolutional map: `[B, 3, S, S] -> [B, C, h, w]`.
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4>;
    /// `[B, C, h, w] -> [B, K]` raw logits.
    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2>;
    /// Where each attention block looks, from the input on: `[B, 3, S, S] -> [B, 1, h, w]` each, 0…1; none
    /// without such blocks.
    fn attention(&self, images: Tensor<4>, pass: &Pass) -> Vec<Tensor<4>> {
        let _ = (images, pass);
        Vec::new()
    }
    /// C of [`Backbone::features`].
    fn feature_channels(&self) -> usize;
    /// `[B, 3, S, S] -> [B, K]` in ONNX; `None` for a backbone that does not say how.
    fn onnx(&self, images: &onnx::Value, to: &mut onnx::Exporter) -> Option<onnx::Value> {
        let _ = (images, to);
        None
    }
    /// The name of the layer that depends on the number of classes; left out of pretrained weights when that
    /// number differs.
    fn last_layer(&self) -> &'static str;
}

/// Whether a parameter belongs to the head, by its name.
pub fn in_head(name: &str) -> bool {
    name.starts_with("classifier.") || name.starts_with("fc.")
}

/// The models that can be named in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelName {
    /// torchvision's VGG-16.
    Vgg16,
    /// VGG-16 with a CBAM after each max-pool.
    Vgg16Cbam,
    /// VGG-16 with batch norm: trains from scratch where the plain one does not.
    Vgg16Bn,
    /// VGG-16 with batch norm and CBAM.
    Vgg16BnCbam,
    /// torchvision's ResNet-18.
    Resnet18,
    /// torchvision's ResNet-50 (v1.5).
    Resnet50,
}

impl ModelName {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Vgg16Cbam, Self::Vgg16, Self::Resnet50, Self::Vgg16Bn, Self::Vgg16BnCbam, Self::Resnet18];

    /// The name as it is written in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vgg16 => "vgg16",
            Self::Vgg16Cbam => "vgg16_cbam",
            Self::Vgg16Bn => "vgg16_bn",
            Self::Vgg16BnCbam => "vgg16_bn_cbam",
            Self::Resnet18 => "resnet18",
            Self::Resnet50 => "resnet50",
        }
    }

    fn is_vgg(self) -> bool {
        !matches!(self, Self::Resnet18 | Self::Resnet50)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ModelName {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|model| model.as_str() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Error::input("model.name", format!("found \"{name}\"")).expected(format!("one of {known}"))
        })
    }
}

/// What turns the last map into logits (VGG family only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Three linear layers, as published.
    #[default]
    Fc,
    /// Global average pool and one linear layer: 15 M parameters in place of 134 M.
    Gap,
}

/// Which model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Its name.
    pub name: ModelName,
    /// Multiplies all channel counts; 1.0 as published, small ones make quick runs.
    pub width: f64,
    /// The VGG family's head.
    pub head: Head,
    /// Dropout probability of the VGG family's head.
    pub dropout: f64,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { name: ModelName::Vgg16Cbam, width: 1.0, head: Head::Fc, dropout: 0.5 }
    }
}

impl ModelConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.width > 0.0 && self.width <= 8.0) {
            return Err(Error::input("model.width", format!("found {}", self.width))
                .expected("a number above 0, at most 8"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::input("model.dropout", format!("found {}", self.dropout))
                .expected("a number from 0 to less than 1"));
        }
        if self.head == Head::Gap && !self.name.is_vgg() {
            return Err(Error::input(
                "model.head",
                format!("found \"gap\", but {} has no other head", self.name),
            )
            .expected("a model of the VGG family with this head")
            .hint("Leave it out, or choose a VGG"));
        }
        Ok(())
    }
}

/// A model's description: its backbone and the parameters it declares. The numbers live in [`Params`].
#[derive(Clone, Debug)]
pub struct Model {
    backbone: Arc<dyn Backbone>,
    specs: Arc<[Spec]>,
}

impl Model {
    /// The smallest input of all models: five halvings leave one pixel of 32.
    pub const MIN_INPUT_SIZE: usize = 32;

    /// The model that `config` describes, for `classes` classes and square images of `input_size` pixels.
    ///
    /// # Errors
    /// A value of `config` that is out of range, fewer than two classes, or an input below 32 pixels.
    pub fn new(config: &ModelConfig, classes: usize, input_size: usize) -> Result<Self> {
        config.validate()?;
        if input_size < Self::MIN_INPUT_SIZE {
            return Err(Error::input("input.size", format!("found {input_size}")).expected("32 or more"));
        }
        if classes < 2 {
            return Err(Error::input("classes", format!("found {classes}")).expected("two or more"));
        }
        let path = Path::root();
        let vgg = |batch_norm, cbam| -> Arc<dyn Backbone> {
            Arc::new(vgg::Vgg::new(&path, vgg::Variant { batch_norm, cbam }, config, classes, input_size))
        };
        let resnet =
            |depth| -> Arc<dyn Backbone> { Arc::new(resnet::ResNet::new(&path, depth, config, classes)) };
        let backbone = match config.name {
            ModelName::Vgg16 => vgg(false, false),
            ModelName::Vgg16Cbam => vgg(false, true),
            ModelName::Vgg16Bn => vgg(true, false),
            ModelName::Vgg16BnCbam => vgg(true, true),
            ModelName::Resnet18 => resnet(resnet::Depth::Eighteen),
            ModelName::Resnet50 => resnet(resnet::Depth::Fifty),
        };
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

    /// The declared parameters.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    /// How many numbers are learned.
    pub fn parameter_count(&self) -> usize {
        let weights = self.specs.iter().filter(|spec| spec.kind == params::Kind::Weight);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(name: ModelName, head: Head, width: f64) -> usize {
        let config = ModelConfig { name, head, width, ..ModelConfig::default() };
        Model::new(&config, 7, 256).unwrap().parameter_count()
    }

    #[test]
    fn parameter_counts_are_those_of_the_published_models() {
        // vgg16, vgg16_cbam and resnet50: counted in PyTorch by the authors of the specification; vgg16_bn
        // and resnet18: torchvision's counts for 1000 classes (138,365,992 and 11,689,512) less what 993
        // outputs fewer take from the last layer.
        assert_eq!(parameters(ModelName::Vgg16, Head::Fc, 1.0), 134_289_223);
        assert_eq!(parameters(ModelName::Vgg16Cbam, Head::Fc, 1.0), 165_823_281);
        assert_eq!(parameters(ModelName::Resnet50, Head::Fc, 1.0), 23_522_375);
        assert_eq!(parameters(ModelName::Vgg16Bn, Head::Fc, 1.0), 138_365_992 - 993 * 4097);
        assert_eq!(parameters(ModelName::Resnet18, Head::Fc, 1.0), 11_689_512 - 993 * 513);
        // batch norm adds two numbers for each of the 4,224 convolution outputs.
        assert_eq!(parameters(ModelName::Vgg16BnCbam, Head::Fc, 1.0), 165_823_281 + 2 * 4224);
        assert_eq!(parameters(ModelName::Vgg16, Head::Gap, 1.0), 14_714_688 + 7 * 513);
    }

    #[test]
    fn names_are_torchvisions() {
        let names = |name| {
            let config = ModelConfig { name, ..ModelConfig::default() };
            let model = Model::new(&config, 7, 64).unwrap();
            model.specs().iter().map(|spec| spec.name.clone()).collect::<Vec<_>>()
        };
        let vgg = names(ModelName::Vgg16);
        assert_eq!(vgg.len(), 32);
        for name in ["features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.6.bias"] {
            assert!(vgg.iter().any(|n| n == name), "{name}");
        }
        let bn = names(ModelName::Vgg16Bn);
        for name in ["features.1.running_mean", "features.40.weight", "features.41.running_var"] {
            assert!(bn.iter().any(|n| n == name), "{name}");
        }
        let resnet = names(ModelName::Resnet50);
        for name in [
            "conv1.weight",
            "bn1.running_var",
            "layer1.0.downsample.1.weight",
            "layer4.2.conv3.weight",
            "fc.bias",
        ] {
            assert!(resnet.iter().any(|n| n == name), "{name}");
        }
    }

    #[test]
    fn a_narrow_model_keeps_one_hidden_channel_in_its_attention() {
        let config = ModelConfig { width: 0.02, head: Head::Gap, ..ModelConfig::default() };
        let model = Model::new(&config, 7, 32).unwrap();
        let squeeze =
            model.specs().iter().find(|spec| spec.name == "cbam.0.channel_attention.fc.0.weight").unwrap();
        assert_eq!(squeeze.shape, [1, 1, 1, 1]);
    }

    #[test]
    fn features_and_head_have_the_promised_shapes() {
        let device = Device::flex();
        for name in ModelName::ALL {
            let config = ModelConfig { name, width: 0.0625, ..ModelConfig::default() };
            let model = Model::new(&config, 5, 64).unwrap();
            let params = model.init(1, false, &device);
            let pass = Pass::eval(&params);
            let features = model.features(Tensor::zeros([2, 3, 64, 64], &device), &pass);
            assert_eq!(features.dims(), [2, model.feature_channels(), 2, 2], "{name}");
            assert_eq!(model.head(features, &pass).dims(), [2, 5], "{name}");
        }
    }

    #[test]
    fn bad_values_are_named() {
        let error = |config: ModelConfig| Model::new(&config, 7, 64).unwrap_err().to_string();
        assert!(error(ModelConfig { width: 0.0, ..ModelConfig::default() }).starts_with("model.width"));
        assert!(error(ModelConfig { dropout: 1.0, ..ModelConfig::default() }).starts_with("model.dropout"));
        let resnet = ModelConfig { name: ModelName::Resnet50, head: Head::Gap, ..ModelConfig::default() };
        assert!(error(resnet).contains("resnet50 has one head only"));
        assert!(Model::new(&ModelConfig::default(), 7, 31).is_err());
        assert!("vgg19".parse::<ModelName>().unwrap_err().to_string().contains("vgg16_cbam"));
    }
}
