//! The optimizers, with exactly torch's update rules (torch.optim, formulas in its documentation).
//!
//! A new one is a file with a `Method`, a variant of [`OptimizerKind`] and a line in
//! `OptimizerKind::method`.

mod adam;
mod method;
mod sgd;

use burn::tensor::Tensor;

use self::adam::Adam;
use self::method::{HostUpdate, Method, Update};
pub use self::method::{OptimizerKind, Rule};
use self::sgd::Sgd;
use crate::cpu;
use crate::error::Result;
use crate::model::files::weights::{NamedTensor, TensorFile};
use crate::model::params::{Params, leaf, tensor};

impl OptimizerKind {
    fn method(self) -> &'static dyn Method {
        match self {
            Self::Sgd => &Sgd,
            Self::Adam => &Adam { decoupled: false },
            Self::Adamw => &Adam { decoupled: true },
        }
    }
}

/// An optimizer over the trained entries of a [`Params`] table.
#[derive(Clone)]
pub struct Optimizer {
    rule: Rule,
    /// What the rule remembers, by position in the table; empty before the first step and for what is not
    /// trained.
    memory: Vec<Vec<Tensor<1>>>,
    steps: u64,
}

impl Optimizer {
    /// An optimizer that has not made a step.
    pub fn new(rule: Rule) -> Self {
        Self { rule, memory: Vec::new(), steps: 0 }
    }

    /// Updates every trained entry from its gradient; `gradients` is aligned with the table, `None` for
    /// entries that are not trained.
    pub fn step(&mut self, params: &mut Params, gradients: Vec<Option<Tensor<1>>>, learning_rate: f64) {
        self.memory.resize(gradients.len(), Vec::new());
        self.steps += 1;
        let (rule, step) = (&self.rule, self.steps);
        let method = rule.kind.method();
        for ((param, gradient), memory) in params.iter_mut().zip(gradients).zip(&mut self.memory) {
            let Some(gradient) = gradient else { continue };
            // The graph's leaf is let go before the update, so that engines can work in place.
            let weight = std::mem::replace(&mut param.value, Tensor::empty([0], &gradient.device()))
                .without_autodiff();
            let weight = if cpu::serves(&weight.device()) {
                let device = weight.device();
                let is_first = memory.is_empty();
                let update = HostUpdate { rule, learning_rate, step, is_first };
                let [mut weight, gradient] = [weight, gradient].map(cpu::into_values);
                let mut remembered: Vec<Vec<f32>> =
                    std::mem::take(memory).into_iter().map(cpu::into_values).collect();
                remembered.resize_with(method.remembers(rule).len(), || vec![0.0; weight.len()]);
                method.on_host(&mut weight, &gradient, &mut remembered, &update);
                *memory = remembered.into_iter().map(|values| tensor(values, &device)).collect();
                tensor(weight, &device)
            } else {
                method.on_device(weight, gradient, Update { rule, memory, learning_rate, step })
            };
            param.value = leaf(weight, param.kind, param.frozen);
        }
    }

    /// Updates of the weights so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The memory as named tensors, for a checkpoint.
    pub fn tensors(&self, params: &Params) -> Vec<NamedTensor> {
        let names = self.rule.kind.method().remembers(&self.rule);
        let entry = |(param, memory): (&crate::model::params::Param, &Vec<Tensor<1>>)| {
            let named = names.iter().zip(memory).map(|(what, value)| {
                let name = format!("train.{what}.{}", param.name);
                NamedTensor { name, shape: param.shape.clone(), value: value.clone() }
            });
            named.collect::<Vec<_>>()
        };
        params.iter().zip(&self.memory).flat_map(entry).collect()
    }

    /// Takes the memory back from a checkpoint.
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn restore(&mut self, params: &Params, file: &TensorFile, steps: u64) -> Result<()> {
        self.steps = steps;
        self.memory = Vec::new();
        if steps == 0 {
            return Ok(());
        }
        let device = params.device();
        let names = self.rule.kind.method().remembers(&self.rule);
        let read = |what: &str, name: &str| -> Result<Tensor<1>> {
            let values = file.values(&format!("train.{what}.{name}"))?;
            Ok(tensor(values, &device).without_autodiff())
        };
        for param in params.iter() {
            let names = if param.is_trained() { names } else { &[] };
            self.memory.push(names.iter().map(|what| read(what, &param.name)).collect::<Result<_>>()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::params::{Init, Kind, Path};
    use burn::tensor::Device;

    /// Three steps on f(w) = w² / 2 · (1, 10), whose gradient is (w₀, 10 w₁), from (1, -2), against the
    /// formulas in f64.
    fn run(rule: Rule) -> Vec<f32> {
        let device = Device::flex();
        let path = Path::root();
        path.declare("w", &[2], Init::Constant(0.0), Kind::Weight);
        let mut params = Params::init(&path.into_specs(), 0, false, &device);
        for param in params.iter_mut() {
            param.value = crate::model::params::tensor(vec![1.0, -2.0], &device);
        }
        let mut optimizer = Optimizer::new(rule);
        for _ in 0..3 {
            let w = params.values(0).unwrap();
            let gradient = crate::model::params::tensor(vec![w[0], 10.0 * w[1]], &device);
            optimizer.step(&mut params, vec![Some(gradient)], 0.05);
        }
        params.values(0).unwrap()
    }

    fn reference(rule: Rule) -> Vec<f64> {
        let scale = [1.0, 10.0];
        let mut w = [1.0f64, -2.0];
        let (mut v, mut m, mut s) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        for t in 1..=3 {
            for i in 0..2 {
                let mut g = scale[i] * w[i];
                match rule.kind {
                    OptimizerKind::Sgd => {
                        g += rule.weight_decay * w[i];
                        v[i] = if t == 1 { g } else { rule.momentum * v[i] + g };
                        w[i] -= 0.05 * if rule.nesterov { g + rule.momentum * v[i] } else { v[i] };
                    }
                    kind => {
                        if kind == OptimizerKind::Adam {
                            g += rule.weight_decay * w[i];
                        } else {
                            w[i] *= 1.0 - 0.05 * rule.weight_decay;
                        }
                        m[i] = 0.9 * m[i] + 0.1 * g;
                        s[i] = 0.999 * s[i] + 0.001 * g * g;
                        let (m, s) = (m[i] / (1.0 - 0.9f64.powi(t)), s[i] / (1.0 - 0.999f64.powi(t)));
                        w[i] -= 0.05 * m / (s.sqrt() + 1e-8);
                    }
                }
            }
        }
        w.to_vec()
    }

    #[test]
    fn every_rule_follows_torchs_formula() {
        for kind in [OptimizerKind::Sgd, OptimizerKind::Adam, OptimizerKind::Adamw] {
            for (weight_decay, nesterov) in [(0.0, false), (0.1, false), (0.1, true)] {
                let rule = Rule { kind, weight_decay, momentum: 0.9, nesterov };
                for (found, expected) in run(rule).iter().zip(reference(rule)) {
                    assert!(
                        (f64::from(*found) - expected).abs() < 1e-6,
                        "{rule:?}: {found} is not {expected}"
                    );
                }
            }
        }
    }
}
