//! Residual blocks of convolutions, whose shortcut's gradient the CPU's kernels carry past the layers
//! between.

use burn::tensor::Tensor;

use super::pass::Pass;
use super::unit::ConvUnit;
use crate::cpu::Shortcut;
use crate::model::onnx::{Exporter, Value};

/// units(x) + shortcut(x), where the last unit's activation comes after the sum (He, Zhang, Ren, Sun; CVPR
/// 2016, arXiv:1512.03385).
#[derive(Clone, Debug)]
pub struct ResidualBlock {
    units: Vec<ConvUnit>,
    shortcut: Option<ConvUnit>,
}

impl ResidualBlock {
    /// Of units that are declared already; without a shortcut of its own x is added as it is.
    pub fn new(units: Vec<ConvUnit>, shortcut: Option<ConvUnit>) -> Self {
        Self { units, shortcut }
    }

    /// `[B, I, H, W] -> [B, O, H', W']`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let Self { units, shortcut } = self;
        let Some((last, others)) = units.split_last() else { return x };
        // Only norms bring gradients to a shortcut, and only convolutions by the kernels take them.
        let takes = others.first().is_some_and(|first| first.conv.is_fast(&x, pass));
        let carrier = (shortcut.is_none() && last.norm.is_some() && takes).then(Shortcut::default);
        let residual = shortcut.as_ref().map_or_else(|| x.clone(), |unit| unit.forward(x.clone(), pass));
        let mut y = x;
        for (index, unit) in others.iter().enumerate() {
            y = unit.compute(y, carrier.as_ref().filter(|_| index == 0), None, pass);
        }
        last.compute(y, None, Some((residual, carrier)), pass)
    }

    /// The same in ONNX.
    pub fn onnx(&self, x: &Value, to: &mut Exporter) -> Value {
        let Self { units, shortcut } = self;
        let Some((last, others)) = units.split_last() else { return x.clone() };
        let residual = shortcut.as_ref().map_or_else(|| x.clone(), |unit| unit.onnx(x, to));
        let y = others.iter().fold(x.clone(), |y, unit| unit.onnx(&y, to));
        last.onnx_plus(&y, &residual, to)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use rand::RngExt;

    use super::*;
    use crate::cpu::ComputeType;
    use crate::model::layers::{Activation, BatchNorm2d, Conv2d, Conv2dConfig};
    use crate::model::params::{Params, Path, host_values};
    use crate::random::{Purpose, rng};

    /// A block of a ResNet-50 and all of its gradients, those by x last; summed over two passes.
    struct Block {
        block: ResidualBlock,
        params: Params,
    }

    impl Block {
        fn new(frozen: fn(&str) -> bool, groups: usize) -> Self {
            let path = Path::root();
            let shapes = [(16, 8, 1), (8, 8, 3), (8, 16, 1)].into_iter().enumerate();
            let unit = |(n, (input, output, kernel))| {
                let padding = kernel / 2;
                let config = Conv2dConfig { input, output, kernel, stride: 1, padding, groups, bias: false };
                let norm = BatchNorm2d::new(&(&path / format!("bn{n}")), output);
                let conv = Conv2d::new(&(&path / format!("conv{n}")), config);
                ConvUnit::new(conv, Some(norm), Some(Activation::Relu))
            };
            let block = ResidualBlock::new(shapes.map(unit).collect(), None);
            let mut params = Params::init(&path.into_specs(), 3, false, &Device::flex());
            params.freeze(frozen);
            Self { block, params: params.for_training() }
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
                let mut y = self.block.forward(x.clone(), &pass);
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
        let with_groups = cases.into_iter().flat_map(|case| [(case, 1), (case, 2)]);
        for (place, ((frozen, is_x_tracked, count), groups)) in with_groups.enumerate() {
            let block = Block::new(frozen, groups);
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
