//! `torch.nn.BatchNorm2d` and `torch.nn.LayerNorm`.

use burn::tensor::{Tensor, module};
use mien_kernels::Statistics;

use super::activation::Activation;
use super::pass::Pass;
use crate::cpu::{self, Shortcut};
use crate::model::onnx::{Exporter, Value};
use crate::model::params::{Init, Kind, ParamId, Path, tensor};

/// What is added before ReLU, and who brings its gradient to where it comes from, if it is not the engine.
pub(super) type Residual = (Tensor<4>, Option<Shortcut>);

/// The constants of a [`BatchNorm2d`]; by default torch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm2dConfig {
    /// Added to the variance before its root is taken; 1e-5 by default.
    pub epsilon: f64,
    /// How much of each batch's statistics goes into the running ones, 0 to 1; 0.1 by default.
    pub momentum: f64,
}

impl Default for BatchNorm2dConfig {
    fn default() -> Self {
        Self { epsilon: 1e-5, momentum: 0.1 }
    }
}

/// `torch.nn.BatchNorm2d` (Ioffe and Szegedy, ICML 2015, arXiv:1502.03167).
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    weight: ParamId,
    bias: ParamId,
    running_mean: ParamId,
    running_var: ParamId,
    config: BatchNorm2dConfig,
}

impl BatchNorm2d {
    /// Declares `weight`, `bias`, `running_mean`, `running_var`, each `[C]`, with torch's constants.
    pub fn new(path: &Path, channels: usize) -> Self {
        Self::with(path, channels, BatchNorm2dConfig::default())
    }

    /// The same with constants of your own.
    pub fn with(path: &Path, channels: usize, config: BatchNorm2dConfig) -> Self {
        let (zero, one) = (Init::Constant(0.0), Init::Constant(1.0));
        Self {
            weight: path.declare("weight", &[channels], one, Kind::Weight),
            bias: path.declare("bias", &[channels], zero, Kind::Weight),
            running_mean: path.declare("running_mean", &[channels], zero, Kind::Buffer),
            running_var: path.declare("running_var", &[channels], one, Kind::Buffer),
            config,
        }
    }

    /// `[B, C, H, W] -> [B, C, H, W]`. A frozen layer stays in evaluation mode and keeps its statistics.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, false, pass)
    }

    /// The same in ONNX, in evaluation mode.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let of = [self.weight, self.bias, self.running_mean, self.running_var].map(|id| to.param(id));
        to.graph.batch_norm(x, &of, self.config.epsilon as f32)
    }

    /// What stands for it where its numbers are folded into others.
    pub(super) fn id(&self) -> ParamId {
        self.weight
    }

    /// relu(norm(x) + residual), the sum and ReLU where they are wanted: `[B, C, H, W] -> [B, C, H, W]`.
    pub(super) fn compute(
        &self,
        x: Tensor<4>,
        residual: Option<Residual>,
        with_relu: bool,
        pass: &Pass,
    ) -> Tensor<4> {
        let BatchNorm2dConfig { epsilon, momentum } = self.config;
        let [batch, _, height, width] = x.dims();
        let fixed = !pass.is_training() || pass.params.entry(self.weight).frozen;
        let [weight, bias, mean, var] =
            [self.weight, self.bias, self.running_mean, self.running_var].map(|id| pass.param::<1>(id));
        let (y, of_batch) = if pass.is_fast(&x) {
            let device = x.device();
            let given = fixed.then(|| Statistics {
                mean: cpu::into_values(mean.clone()),
                variance: cpu::into_values(var.clone()),
            });
            let (y, statistics) = cpu::batch_norm(x, [weight, bias], residual, given, epsilon, with_relu);
            let of_batch = statistics.get().filter(|_| !fixed);
            (y, of_batch.map(|of| [&of.mean, &of.variance].map(|values| tensor(values.clone(), &device))))
        } else {
            let (y, of_batch) = if fixed {
                (module::batch_norm(x, weight, bias, mean.clone(), var.clone(), epsilon), None)
            } else {
                let normed = module::batch_norm_train(x, weight, bias, epsilon);
                (normed.output, Some([normed.mean, normed.variance]))
            };
            let y = if let Some((residual, _)) = residual { y + residual } else { y };
            (if with_relu { Activation::Relu.forward(y) } else { y }, of_batch)
        };
        if let Some([batch_mean, batch_var]) = of_batch {
            // torch normalises with the biased variance and averages the unbiased one.
            let n = (batch * height * width) as f64;
            let unbiased = n / (n - 1.0).max(1.0);
            let blend = |old: Tensor<1>, new: Tensor<1>| {
                old.without_autodiff() * (1.0 - momentum) + new.without_autodiff() * momentum
            };
            pass.update(self.running_mean, blend(mean, batch_mean));
            pass.update(self.running_var, blend(var, batch_var * unbiased));
        }
        y
    }

    /// In evaluation: y = x · factor + summand, each `[C]`.
    pub(super) fn line(&self, pass: &Pass) -> [Vec<f32>; 2] {
        let [weight, bias, mean, var] = [self.weight, self.bias, self.running_mean, self.running_var]
            .map(|id| cpu::into_values(pass.param(id)));
        let factors = weight
            .iter()
            .zip(&var)
            .map(|(weight, var)| f64::from(*weight) / (f64::from(*var) + self.config.epsilon).sqrt());
        let summands = factors.clone().zip(bias.iter().zip(&mean));
        let summands = summands
            .map(|(factor, (bias, mean))| (f64::from(*bias) - f64::from(*mean) * factor) as f32)
            .collect();
        [factors.map(|factor| factor as f32).collect(), summands]
    }
}

/// `torch.nn.LayerNorm` over the last axis (Ba, Kiros, Hinton 2016, arXiv:1607.06450).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: ParamId,
    bias: ParamId,
    epsilon: f64,
}

impl LayerNorm {
    /// Declares `weight` (1) and `bias` (0), each `[C]`, for a last axis of `channels` numbers; torch's
    /// epsilon is 1e-5, that of most transformers 1e-6.
    pub fn new(path: &Path, channels: usize, epsilon: f64) -> Self {
        Self {
            weight: path.declare("weight", &[channels], Init::Constant(1.0), Kind::Weight),
            bias: path.declare("bias", &[channels], Init::Constant(0.0), Kind::Weight),
            epsilon,
        }
    }

    /// `[…, C] -> […, C]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>, pass: &Pass) -> Tensor<D> {
        let [weight, bias] = [self.weight, self.bias].map(|id| pass.param::<1>(id).unsqueeze::<D>());
        let mean = x.clone().mean_dim(D - 1); // […, C] -> […, 1]
        let centred = x - mean;
        let variance = (centred.clone() * centred.clone()).mean_dim(D - 1); // […, 1]
        centred / (variance + self.epsilon).sqrt() * weight + bias
    }

    /// The same in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let (weight, bias) = (to.param(self.weight), to.param(self.bias));
        to.graph.layer_norm(x, &weight, &bias, self.epsilon as f32)
    }
}
