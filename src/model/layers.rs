//! The layers that the models are made of, each with torch's layout, names and initialisation.
//!
//! Shapes: B batch, C channels, H W height and width, I inputs, O outputs.

use std::cell::{Cell, RefCell};

use burn::tensor::activation::relu;
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, FloatDType, Tensor, TensorData, module};
use mien_kernels::{ConvShape, Statistics};
use rand::RngExt;

use super::onnx::{Exporter, Value};
use super::params::{Init, Kind, ParamId, Params, Path, tensor};
use crate::cpu::{self, ComputeType, Shortcut};
use crate::random::{Purpose, rng};

/// One pass through a model: which numbers to use, and whether it trains.
pub struct Pass<'a> {
    params: &'a Params,
    train: Option<Train>,
    compute: ComputeType,
    /// New running statistics, to be stored after the step.
    updates: RefCell<Vec<(ParamId, Tensor<1>)>>,
}

struct Train {
    seed: u64,
    step: u64,
    dropouts: Cell<u64>,
}

impl<'a> Pass<'a> {
    /// Evaluation: no dropout, batch norm with its running statistics.
    pub fn eval(params: &'a Params) -> Self {
        Self { params, train: None, compute: ComputeType::F32, updates: RefCell::default() }
    }

    /// Training: dropout drawn from (seed, step), batch norm with the statistics of the batch.
    pub fn train(params: &'a Params, seed: u64, step: u64) -> Self {
        let train = Some(Train { seed, step, dropouts: Cell::new(0) });
        Self { params, train, compute: ComputeType::F32, updates: RefCell::default() }
    }

    /// Computes convolutions and matrix products in another number format.
    #[must_use]
    pub fn with_compute(mut self, compute: ComputeType) -> Self {
        self.compute = compute;
        self
    }

    /// The running statistics that this pass has renewed.
    pub fn into_updates(self) -> Vec<(ParamId, Tensor<1>)> {
        self.updates.into_inner()
    }

    /// Whether the CPU's kernels compute for this tensor.
    fn is_fast<const D: usize>(&self, tensor: &Tensor<D>) -> bool {
        self.compute == ComputeType::F32 && tensor.dtype() == DType::F32 && cpu::serves(&tensor.device())
    }

    /// Whether they compute without gradients, with weights that are packed once.
    fn packs(&self, x: &Tensor<4>) -> bool {
        self.is_fast(x) && self.train.is_none() && !x.device().is_autodiff()
    }

    fn lower<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        match self.compute {
            ComputeType::F32 | ComputeType::EngineF32 => tensor,
            ComputeType::Bf16 => tensor.cast(FloatDType::BF16),
            ComputeType::F16 => tensor.cast(FloatDType::F16),
        }
    }

    fn raise<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        if tensor.dtype() == DType::F32 { tensor } else { tensor.cast(FloatDType::F32) }
    }
}

/// `torch.nn.Conv2d`, square kernel.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: ParamId,
    bias: Option<ParamId>,
    stride: usize,
    padding: usize,
}

/// Shape of a [`Conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv2dConfig {
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step of the kernel.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv2d {
    /// Declares `weight [O, I, k, k]` and `bias [O]`: Kaiming normal over fan-out with ReLU gain, biases 0.
    pub fn new(path: &Path, config: Conv2dConfig) -> Self {
        let Conv2dConfig { input, output, kernel, stride, padding, bias } = config;
        let (fan_in, fan_out) = ((input * kernel * kernel) as f64, (output * kernel * kernel) as f64);
        // torch.nn.Conv2d's own default: Kaiming uniform with a = sqrt(5), so a bound of 1 / sqrt(fan_in) for
        // both.
        let torch_default = Init::Uniform { bound: 1.0 / fan_in.sqrt() };
        let normal = Init::Normal { std: (2.0 / fan_out).sqrt() };
        let weight = path.declare_with(
            "weight",
            &[output, input, kernel, kernel],
            normal,
            torch_default,
            Kind::Weight,
        );
        let bias = bias
            .then(|| path.declare_with("bias", &[output], Init::Constant(0.0), torch_default, Kind::Weight));
        Self { weight, bias, stride, padding }
    }

    /// `[B, I, H, W] -> [B, O, H', W']`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, pass, false)
    }

    /// The same and ReLU after it.
    pub fn forward_relu(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, pass, true)
    }

    fn compute(&self, x: Tensor<4>, shortcut: Option<&Shortcut>, pass: &Pass, with_relu: bool) -> Tensor<4> {
        if pass.packs(&x) {
            return self.compute_packed(x, None, None, with_relu, pass);
        }
        let bias = self.bias.map(|bias| pass.params.get::<1>(bias));
        let weight = pass.params.get::<4>(self.weight);
        if pass.is_fast(&x) {
            return cpu::conv2d(x, weight, bias, [self.stride, self.padding], with_relu, shortcut);
        }
        let options = ConvOptions::new([self.stride; 2], [self.padding; 2], [1, 1], 1);
        let bias = bias.map(|bias| pass.lower(bias));
        let y = pass.raise(module::conv2d(pass.lower(x), pass.lower(weight), bias, options));
        if with_relu { relu(y) } else { y }
    }

    /// With weights that are packed once, into which the batch norm after them is folded.
    fn compute_packed(
        &self,
        x: Tensor<4>,
        norm: Option<&BatchNorm2d>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
        pass: &Pass,
    ) -> Tensor<4> {
        let ([batch, in_channels, height, width], weight) = (x.dims(), &pass.params.entry(self.weight).shape);
        let (out_channels, kernel, stride, padding) = (weight[0], weight[2], self.stride, self.padding);
        let shape = ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding };
        let packed = pass.params.packed((self.weight, norm.map(|norm| norm.weight)), &shape, || {
            let bias = self.bias.map(|bias| pass.params.get(bias));
            cpu::Packed::new(
                &shape,
                pass.params.get(self.weight),
                bias,
                norm.map(|norm| norm.line(pass.params)),
            )
        });
        cpu::conv2d_packed(x, packed, residual, shape, with_relu)
    }
}

impl Conv2d {
    /// The same in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let weight = to.param(self.weight);
        let bias = self.bias.map(|bias| to.param(bias));
        to.graph.conv(x, &weight, bias.as_ref(), self.stride, self.padding)
    }
}

/// `torch.nn.BatchNorm2d` (epsilon 1e-5, momentum 0.1).
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    weight: ParamId,
    bias: ParamId,
    running_mean: ParamId,
    running_var: ParamId,
}

impl BatchNorm2d {
    const EPSILON: f64 = 1e-5;
    const MOMENTUM: f64 = 0.1;

    /// Declares `weight`, `bias`, `running_mean`, `running_var`, each `[C]`.
    pub fn new(path: &Path, channels: usize) -> Self {
        let (zero, one) = (Init::Constant(0.0), Init::Constant(1.0));
        Self {
            weight: path.declare("weight", &[channels], one, Kind::Weight),
            bias: path.declare("bias", &[channels], zero, Kind::Weight),
            running_mean: path.declare("running_mean", &[channels], zero, Kind::Buffer),
            running_var: path.declare("running_var", &[channels], one, Kind::Buffer),
        }
    }

    /// `[B, C, H, W] -> [B, C, H, W]`. A frozen layer stays in evaluation mode and keeps its statistics.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, false, pass)
    }

    /// relu(norm(x) + residual), the sum and ReLU where they are wanted: `[B, C, H, W] -> [B, C, H, W]`.
    fn compute(&self, x: Tensor<4>, residual: Option<Residual>, with_relu: bool, pass: &Pass) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let fixed = pass.train.is_none() || pass.params.entry(self.weight).frozen;
        let [weight, bias, mean, var] =
            [self.weight, self.bias, self.running_mean, self.running_var].map(|id| pass.params.get::<1>(id));
        let (y, of_batch) = if pass.is_fast(&x) {
            let device = x.device();
            let given = fixed.then(|| Statistics {
                mean: cpu::into_values(mean.clone()),
                variance: cpu::into_values(var.clone()),
            });
            let (y, statistics) =
                cpu::batch_norm(x, [weight, bias], residual, given, Self::EPSILON, with_relu);
            let of_batch = statistics.get().filter(|_| !fixed);
            (y, of_batch.map(|of| [&of.mean, &of.variance].map(|values| tensor(values.clone(), &device))))
        } else {
            let (y, of_batch) = if fixed {
                (module::batch_norm(x, weight, bias, mean.clone(), var.clone(), Self::EPSILON), None)
            } else {
                let normed = module::batch_norm_train(x, weight, bias, Self::EPSILON);
                (normed.output, Some([normed.mean, normed.variance]))
            };
            let y = if let Some((residual, _)) = residual { y + residual } else { y };
            (if with_relu { relu(y) } else { y }, of_batch)
        };
        if let Some([batch_mean, batch_var]) = of_batch {
            // torch normalises with the biased variance and averages the unbiased one.
            let n = (batch * height * width) as f64;
            let unbiased = n / (n - 1.0).max(1.0);
            let blend = |old: Tensor<1>, new: Tensor<1>| {
                old.without_autodiff() * (1.0 - Self::MOMENTUM) + new.without_autodiff() * Self::MOMENTUM
            };
            let mut updates = pass.updates.borrow_mut();
            updates.push((self.running_mean, blend(mean, batch_mean)));
            updates.push((self.running_var, blend(var, batch_var * unbiased)));
        }
        y
    }

    /// In evaluation: y = x · factor + summand, each `[C]`.
    fn line(&self, params: &Params) -> [Vec<f32>; 2] {
        let [weight, bias, mean, var] = [self.weight, self.bias, self.running_mean, self.running_var]
            .map(|id| cpu::into_values(params.get(id)));
        let factors = weight
            .iter()
            .zip(&var)
            .map(|(weight, var)| f64::from(*weight) / (f64::from(*var) + Self::EPSILON).sqrt());
        let summands = factors.clone().zip(bias.iter().zip(&mean));
        let summands = summands
            .map(|(factor, (bias, mean))| (f64::from(*bias) - f64::from(*mean) * factor) as f32)
            .collect();
        [factors.map(|factor| factor as f32).collect(), summands]
    }
}

impl BatchNorm2d {
    /// The same in ONNX, in evaluation mode.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let [weight, bias, mean, var] =
            [self.weight, self.bias, self.running_mean, self.running_var].map(|id| to.param(id));
        to.graph.batch_norm(x, &weight, &bias, &mean, &var, Self::EPSILON as f32)
    }
}

/// A convolution and the batch norm after it, if there is one.
#[derive(Clone, Debug)]
pub struct ConvUnit {
    conv: Conv2d,
    norm: Option<BatchNorm2d>,
}

impl ConvUnit {
    /// Of layers that are declared already.
    pub fn new(conv: Conv2d, norm: Option<BatchNorm2d>) -> Self {
        Self { conv, norm }
    }

    /// `[B, I, H, W] -> [B, O, H', W']`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, None, false, pass)
    }

    /// The same and ReLU after it.
    pub fn forward_relu(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.compute(x, None, None, true, pass)
    }

    fn compute(
        &self,
        x: Tensor<4>,
        shortcut: Option<&Shortcut>,
        residual: Option<Residual>,
        with_relu: bool,
        pass: &Pass,
    ) -> Tensor<4> {
        if pass.packs(&x) {
            let residual = residual.map(|(residual, _)| residual);
            return self.conv.compute_packed(x, self.norm.as_ref(), residual, with_relu, pass);
        }
        let Some(norm) = &self.norm else {
            let Some((residual, _)) = residual else {
                return self.conv.compute(x, shortcut, pass, with_relu);
            };
            let y = self.conv.compute(x, shortcut, pass, false) + residual;
            return if with_relu { relu(y) } else { y };
        };
        norm.compute(self.conv.compute(x, shortcut, pass, false), residual, with_relu, pass)
    }

    /// The same in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let y = self.conv.onnx(x, to);
        if let Some(norm) = &self.norm { norm.onnx(&y, to) } else { y }
    }
}

/// What is added before ReLU, and who brings its gradient to where it comes from, if it is not the engine.
type Residual = (Tensor<4>, Option<Shortcut>);

/// A residual block, relu(units(x) + shortcut(x)), each unit but the last with ReLU; without a shortcut of
/// its own x is added as it is: `[B, I, H, W] -> [B, O, H', W']`
pub fn residual_block(
    units: &[ConvUnit],
    shortcut: Option<&ConvUnit>,
    x: Tensor<4>,
    pass: &Pass,
) -> Tensor<4> {
    let Some((last, others)) = units.split_last() else { return x };
    // Only norms bring gradients to a shortcut, and only convolutions take them.
    let carrier = (shortcut.is_none() && last.norm.is_some() && !others.is_empty()).then(Shortcut::default);
    let carrier = carrier.filter(|_| pass.is_fast(&x));
    let residual = shortcut.map_or_else(|| x.clone(), |unit| unit.forward(x.clone(), pass));
    let mut y = x;
    for (index, unit) in others.iter().enumerate() {
        y = unit.compute(y, carrier.as_ref().filter(|_| index == 0), None, true, pass);
    }
    last.compute(y, None, Some((residual, carrier)), true, pass)
}

/// `torch.nn.Linear`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: ParamId,
    bias: ParamId,
}

impl Linear {
    /// Declares `weight [O, I]` and `bias [O]`: N(0, 0.01) and 0, as torchvision's VGG.
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

    /// The same and ReLU after it.
    pub fn forward_relu(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.compute(x, pass, true)
    }

    fn compute(&self, x: Tensor<2>, pass: &Pass, with_relu: bool) -> Tensor<2> {
        let (weight, bias) = (pass.params.get::<2>(self.weight), pass.params.get::<1>(self.bias)); // [O, I], [O]
        if pass.is_fast(&x) {
            return cpu::linear(x, weight, bias, with_relu);
        }
        let weight = pass.lower(weight);
        // W xᵀ and not x Wᵀ: its gradient for W comes out as [O, I] and needs no transposed copy of what may
        // be 400 MB.
        let y = weight.matmul(pass.lower(x).transpose()).transpose(); // [O, I] x [I, B] -> [B, O]
        let y = pass.raise(y) + bias.unsqueeze::<2>();
        if with_relu { relu(y) } else { y }
    }
}

impl Linear {
    /// The same in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let (weight, bias) = (to.param(self.weight), to.param(self.bias));
        to.graph.gemm(x, &weight, &bias)
    }
}

/// `torch.nn.Dropout`. The mask is drawn on the host from (seed, step, place), so that it is the same on
/// every device and after a restart.
pub fn dropout(x: Tensor<2>, probability: f64, pass: &Pass) -> Tensor<2> {
    let Some(train) = pass.train.as_ref().filter(|_| probability > 0.0) else { return x };
    let place = train.dropouts.replace(train.dropouts.get() + 1);
    let mut rng = rng(train.seed, Purpose::Dropout, train.step, place);
    let [rows, columns] = x.dims();
    let kept = (1.0 / (1.0 - probability)) as f32;
    let mask: Vec<f32> =
        (0..rows * columns).map(|_| if rng.random::<f64>() < probability { 0.0 } else { kept }).collect();
    let mask = Tensor::<2>::from_data(TensorData::new(mask, [rows, columns]), &x.device());
    x * mask
}

/// `torch.nn.MaxPool2d`: `[B, C, H, W] -> [B, C, H', W']`
pub fn max_pool2d(x: Tensor<4>, kernel: usize, stride: usize, padding: usize, pass: &Pass) -> Tensor<4> {
    if pass.is_fast(&x) {
        return cpu::max_pool2d(x, kernel, stride, padding);
    }
    let mut options = MaxPoolOptions::new([kernel; 2]);
    options.stride = [stride; 2];
    options.padding = [(padding, padding); 2];
    module::max_pool2d(x, options)
}

/// `torch.nn.AdaptiveAvgPool2d`: `[B, C, H, W] -> [B, C, size, size]`
pub fn adaptive_avg_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if height == size && width == size {
        return x;
    }
    if height % size == 0 && width % size == 0 {
        // Equal cells: the plain average pool, which every engine has a fast kernel for.
        let cell = [height / size, width / size];
        let mut options = AvgPoolOptions::new(cell);
        options.stride = cell;
        return module::avg_pool2d(x, options);
    }
    module::adaptive_avg_pool2d(x, [size; 2])
}

/// Mean over the map: `[B, C, H, W] -> [B, C]`
pub fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::params::host_values;

    /// A block of a ResNet-50 and all of its gradients, those by x last; summed over two passes.
    struct Block {
        units: Vec<ConvUnit>,
        params: Params,
    }

    impl Block {
        fn new(frozen: fn(&str) -> bool) -> Self {
            let path = Path::root();
            let shapes = [(16, 8, 1), (8, 8, 3), (8, 16, 1)].into_iter().enumerate();
            let unit = |(n, (input, output, kernel))| {
                let config =
                    Conv2dConfig { input, output, kernel, stride: 1, padding: kernel / 2, bias: false };
                let norm = BatchNorm2d::new(&(&path / format!("bn{n}")), output);
                ConvUnit::new(Conv2d::new(&(&path / format!("conv{n}")), config), Some(norm))
            };
            let units = shapes.map(unit).collect();
            let mut params = Params::init(&path.into_specs(), 3, false, &Device::flex());
            params.freeze(frozen);
            Self { units, params: params.for_training() }
        }

        fn gradients(
            &self,
            compute: ComputeType,
            is_x_tracked: bool,
            is_x_used_elsewhere: bool,
        ) -> Vec<Vec<f32>> {
            let values = |seed: u64, len: usize| -> Vec<f32> {
                let mut random = rng(seed, Purpose::Sample, 0, 0);
                (0..len).map(|_| random.random::<f32>() * 2.0 - 1.0).collect()
            };
            let mut sums: Vec<Vec<f32>> = Vec::new();
            for seed in [1, 2] {
                let shape = [2, 16, 9, 7];
                let data = |seed| TensorData::new(values(seed, shape.iter().product()), shape);
                let device = Device::flex().autodiff();
                let x = Tensor::<4>::from_data(data(seed), &device);
                let x = if is_x_tracked { x.require_grad() } else { x };
                let pass = Pass::train(&self.params, 0, 0).with_compute(compute);
                let mut y = residual_block(&self.units, None, x.clone(), &pass);
                if is_x_used_elsewhere {
                    y = y + x.clone() * 0.5;
                }
                let loss = (y * Tensor::from_data(data(seed + 10), &device)).sum();
                let mut gradients = loss.backward();
                let entries = self.params.iter().map(|entry| entry.value.grad_remove(&mut gradients));
                let mut all: Vec<Vec<f32>> =
                    entries.flatten().map(|gradient| host_values(gradient).unwrap()).collect();
                all.extend(x.grad_remove(&mut gradients).map(|gradient| host_values(gradient).unwrap()));
                if sums.is_empty() {
                    sums = all;
                } else {
                    sums.iter_mut()
                        .zip(all)
                        .for_each(|(sum, one)| sum.iter_mut().zip(one).for_each(|(s, v)| *s += v));
                }
            }
            sums
        }
    }

    #[test]
    fn a_residual_block_has_the_engines_gradients_whatever_is_frozen() {
        /// What is frozen, whether x has a gradient, how many gradients there are.
        type Case = (fn(&str) -> bool, bool, usize);
        let cases: [Case; 5] = [
            (|_| false, true, 10),
            (|_| false, false, 9),
            (|name| name.starts_with("conv0"), true, 9),
            (|name| name.starts_with("conv0") || name.starts_with("bn0"), false, 6),
            (|_| true, true, 1),
        ];
        for (place, (frozen, is_x_tracked, count)) in cases.into_iter().enumerate() {
            let block = Block::new(frozen);
            for elsewhere in [false, true] {
                let [fast, engine] = [ComputeType::F32, ComputeType::EngineF32]
                    .map(|compute| block.gradients(compute, is_x_tracked, elsewhere));
                assert_eq!((fast.len(), engine.len()), (count, count), "case {place}");
                for (fast, engine) in fast.iter().zip(&engine) {
                    let squares =
                        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>();
                    let difference = squares(&mut fast.iter().zip(engine).map(|(a, b)| a - b));
                    let error = (difference / squares(&mut engine.iter().copied())).sqrt();
                    assert!(error < 1e-4, "case {place}, x elsewhere {elsewhere}: {error:.1e}");
                }
            }
        }
    }
}
