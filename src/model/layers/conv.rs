//! `torch.nn.Conv2d`, also in groups.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};
use mien_kernels::ConvShape;

use super::activation::Activation;
use super::norm::BatchNorm2d;
use super::pass::Pass;
use crate::cpu::{self, Shortcut};
use crate::model::onnx::{Exporter, Value, Window};
use crate::model::params::{Init, Kind, ParamId, Path};

/// `torch.nn.Conv2d` with a square kernel. In groups it runs on the tensor engine's own operations, otherwise
/// on the CPU by `mien-kernels`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: ParamId,
    bias: Option<ParamId>,
    window: Window,
}

/// Shape of a [`Conv2d`]. By default torch's (step 1, no padding, one group, with bias) with one channel and
/// a kernel of one pixel:
///
/// ```
/// # use mien::model::layers::Conv2dConfig;
/// let square = Conv2dConfig { input: 16, output: 16, kernel: 3, padding: 1, ..Conv2dConfig::default() };
/// let depthwise = Conv2dConfig { groups: 16, ..square };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Input channels; a multiple of `groups`.
    pub input: usize,
    /// Output channels; a multiple of `groups`.
    pub output: usize,
    /// Side of the kernel in pixels.
    pub kernel: usize,
    /// Step of the kernel in pixels.
    pub stride: usize,
    /// Rows and columns of zeros around the input.
    pub padding: usize,
    /// How many parts the channels are cut into, each with kernels of its own; as many as there are input
    /// channels make a depthwise convolution.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self { input: 1, output: 1, kernel: 1, stride: 1, padding: 0, groups: 1, bias: true }
    }
}

impl Conv2d {
    /// Declares `weight [O, I / groups, k, k]` and `bias [O]`: Kaiming normal over fan-out with ReLU gain,
    /// biases 0.
    ///
    /// # Panics
    /// `groups` does not divide the channels.
    pub fn new(path: &Path, config: Conv2dConfig) -> Self {
        let Conv2dConfig { input, output, kernel, stride, padding, groups, bias } = config;
        assert!(
            groups > 0 && input.is_multiple_of(groups) && output.is_multiple_of(groups),
            "{groups} groups do not divide {input} input and {output} output channels"
        );
        let input = input / groups;
        // As torch counts them: fan-out does not know of groups.
        let (fan_in, fan_out) = ((input * kernel * kernel) as f64, (output * kernel * kernel) as f64);
        // torch.nn.Conv2d's own default: Kaiming uniform with a = sqrt(5), so a bound of 1 / sqrt(fan_in) for
        // both.
        let torch_default = Init::Uniform { bound: 1.0 / fan_in.sqrt() };
        let normal = Init::Normal { std: (2.0 / fan_out).sqrt() };
        let shape = [output, input, kernel, kernel];
        let weight = path.declare_with("weight", &shape, normal, torch_default, Kind::Weight);
        let bias = bias
            .then(|| path.declare_with("bias", &[output], Init::Constant(0.0), torch_default, Kind::Weight));
        Self { weight, bias, window: Window { stride, padding, groups } }
    }

    /// `[B, I, H, W] -> [B, O, H', W']`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, pass, false)
    }

    /// The same with an activation after it.
    pub fn forward_with(&self, x: Tensor<4>, activation: Activation, pass: &Pass) -> Tensor<4> {
        let (with_relu, after) = Activation::fused(Some(activation));
        Activation::apply(after, self.compute(x, None, pass, with_relu))
    }

    /// The same as [`Conv2d::forward`] in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let weight = to.param(self.weight);
        let bias = self.bias.map(|bias| to.param(bias));
        to.graph.conv(x, &weight, bias.as_ref(), self.window)
    }

    /// Whether the CPU's kernels compute it for this input; they know no groups.
    pub(super) fn is_fast(&self, x: &Tensor<4>, pass: &Pass) -> bool {
        self.window.groups == 1 && pass.is_fast(x)
    }

    /// Whether they compute it without gradients, with weights that are packed once.
    pub(super) fn packs(&self, x: &Tensor<4>, pass: &Pass) -> bool {
        self.window.groups == 1 && pass.packs(x)
    }

    pub(super) fn compute(
        &self,
        x: Tensor<4>,
        shortcut: Option<&Shortcut>,
        pass: &Pass,
        with_relu: bool,
    ) -> Tensor<4> {
        if self.packs(&x, pass) {
            return self.compute_packed(x, None, None, with_relu, pass);
        }
        let Window { stride, padding, groups } = self.window;
        let bias = self.bias.map(|bias| pass.param::<1>(bias));
        let weight = pass.param::<4>(self.weight);
        if self.is_fast(&x, pass) {
            return cpu::conv2d(x, weight, bias, [stride, padding], with_relu, shortcut);
        }
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], groups);
        let bias = bias.map(|bias| pass.lower(bias));
        let y = pass.raise(module::conv2d(pass.lower(x), pass.lower(weight), bias, options));
        if with_relu { Activation::Relu.forward(y) } else { y }
    }

    /// With weights that are packed once, into which the batch norm after them is folded.
    pub(super) fn compute_packed(
        &self,
        x: Tensor<4>,
        norm: Option<&BatchNorm2d>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
        pass: &Pass,
    ) -> Tensor<4> {
        let ([batch, in_channels, height, width], weight) = (x.dims(), &pass.params.entry(self.weight).shape);
        let (out_channels, kernel) = (weight[0], weight[2]);
        let Window { stride, padding, .. } = self.window;
        let shape = ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding };
        let packed = pass.params.packed((self.weight, norm.map(BatchNorm2d::id)), &shape, || {
            let bias = self.bias.map(|bias| pass.param(bias));
            cpu::Packed::new(&shape, pass.param(self.weight), bias, norm.map(|norm| norm.line(pass)))
        });
        cpu::conv2d_packed(x, packed, residual, shape, with_relu)
    }
}
