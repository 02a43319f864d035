//! `torch.nn.Linear`.

use burn::tensor::Tensor;

use super::activation::Activation;
use super::pass::Pass;
use crate::cpu;
use crate::model::onnx::{Exporter, Value};
use crate::model::params::{Init, Kind, ParamId, Path};

/// `torch.nn.Linear`: y = x Wᵀ + b, `[B, I] -> [B, O]`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: ParamId,
    bias: ParamId,
}

impl Linear {
    /// Declares `weight [O, I]` and `bias [O]`: N(0, 0.01) and 0, as torchvision's VGG and MobileNet.
    pub fn new(path: &Path, input: usize, output: usize) -> Self {
        Self::with_init(path, input, output, Init::Normal { std: 0.01 }, Init::Constant(0.0))
    }

    /// The same with torch's default start, as torchvision's ResNet has it: uniform within 1 / sqrt(I).
    pub fn new_uniform(path: &Path, input: usize, output: usize) -> Self {
        let init = Init::Uniform { bound: 1.0 / (input as f64).sqrt() };
        Self::with_init(path, input, output, init, init)
    }

    fn with_init(path: &Path, input: usize, output: usize, weight: Init, bias: Init) -> Self {
        let torch_default = Init::Uniform { bound: 1.0 / (input as f64).sqrt() };
        Self {
            weight: path.declare_with("weight", &[output, input], weight, torch_default, Kind::Weight),
            bias: path.declare_with("bias", &[output], bias, torch_default, Kind::Weight),
        }
    }

    /// `[B, I] -> [B, O]`
    pub fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.compute(x, pass, false)
    }

    /// The same with an activation after it.
    pub fn forward_with(&self, x: Tensor<2>, activation: Activation, pass: &Pass) -> Tensor<2> {
        let (with_relu, after) = Activation::fused(Some(activation));
        Activation::apply(after, self.compute(x, pass, with_relu))
    }

    /// The same as [`Linear::forward`] in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let (weight, bias) = (to.param(self.weight), to.param(self.bias));
        to.graph.gemm(x, &weight, &bias)
    }

    fn compute(&self, x: Tensor<2>, pass: &Pass, with_relu: bool) -> Tensor<2> {
        let (weight, bias) = (pass.param::<2>(self.weight), pass.param::<1>(self.bias)); // [O, I], [O]
        if pass.is_fast(&x) {
            return cpu::linear(x, weight, bias, with_relu);
        }
        let weight = pass.lower(weight);
        // W xᵀ and not x Wᵀ: its gradient for W comes out as [O, I] and needs no transposed copy of what may
        // be 400 MB.
        let y = weight.matmul(pass.lower(x).transpose()).transpose(); // [O, I] x [I, B] -> [B, O]
        let y = pass.raise(y) + bias.unsqueeze::<2>();
        if with_relu { Activation::Relu.forward(y) } else { y }
    }
}
