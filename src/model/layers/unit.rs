//! A convolution with its batch norm and activation, which the CPU's kernels fuse.

use burn::tensor::Tensor;

use super::activation::Activation;
use super::conv::Conv2d;
use super::norm::{BatchNorm2d, Residual};
use super::pass::Pass;
use crate::cpu::Shortcut;
use crate::model::onnx::{Exporter, Value};

/// A convolution, the batch norm after it and the activation after that, where there are any.
#[derive(Clone, Debug)]
pub struct ConvUnit {
    pub(super) conv: Conv2d,
    pub(super) norm: Option<BatchNorm2d>,
    activation: Option<Activation>,
}

impl ConvUnit {
    /// Of layers that are declared already.
    pub fn new(conv: Conv2d, norm: Option<BatchNorm2d>, activation: Option<Activation>) -> Self {
        Self { conv, norm, activation }
    }

    /// `[B, I, H, W] -> [B, O, H', W']`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, None, pass)
    }

    /// The same with a sum before the activation: activation(norm(conv(x)) + residual), residual
    /// `[B, O, H', W']`.
    pub fn forward_plus(&self, x: Tensor<4>, residual: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, Some((residual, None)), pass)
    }

    /// The same as [`ConvUnit::forward`] in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let y = self.onnx_inactive(x, to);
        self.activated(y, to)
    }

    /// The same as [`ConvUnit::forward_plus`] in ONNX.
    pub fn onnx_plus(&self, x: &Value, residual: &Value, to: &mut Exporter) -> Value {
        let y = self.onnx_inactive(x, to);
        let sum = to.graph.add(&y, residual);
        self.activated(sum, to)
    }

    fn onnx_inactive(&self, x: &Value, to: &mut Exporter) -> Value {
        let y = self.conv.onnx(x, to);
        if let Some(norm) = &self.norm { norm.onnx(&y, to) } else { y }
    }

    fn activated(&self, x: Value, to: &mut Exporter) -> Value {
        if let Some(activation) = self.activation { activation.onnx(&x, to) } else { x }
    }

    pub(super) fn compute(
        &self,
        x: Tensor<4>,
        shortcut: Option<&Shortcut>,
        residual: Option<Residual>,
        pass: &Pass,
    ) -> Tensor<4> {
        let (with_relu, after) = Activation::fused(self.activation);
        Activation::apply(after, self.compute_fused(x, shortcut, residual, with_relu, pass))
    }

    fn compute_fused(
        &self,
        x: Tensor<4>,
        shortcut: Option<&Shortcut>,
        residual: Option<Residual>,
        with_relu: bool,
        pass: &Pass,
    ) -> Tensor<4> {
        if self.conv.packs(&x, pass) {
            let residual = residual.map(|(residual, _)| residual);
            return self.conv.compute_packed(x, self.norm.as_ref(), residual, with_relu, pass);
        }
        let Some(norm) = &self.norm else {
            let Some((residual, _)) = residual else {
                return self.conv.compute(x, shortcut, pass, with_relu);
            };
            let y = self.conv.compute(x, shortcut, pass, false) + residual;
            return if with_relu { Activation::Relu.forward(y) } else { y };
        };
        norm.compute(self.conv.compute(x, shortcut, pass, false), residual, with_relu, pass)
    }
}
