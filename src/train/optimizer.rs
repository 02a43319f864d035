//! SGD, Adam and AdamW with exactly torch's update rules (torch.optim, formulas in its documentation).

use std::str::FromStr;

use burn::tensor::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cpu::{self, BLOCK};
use crate::error::{Error, Result};
use crate::model::files::weights::{NamedTensor, TensorFile};
use crate::model::params::{Params, leaf, tensor};

/// Which update rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum.
    #[default]
    Sgd,
    /// Adam with L2 weight decay in the gradient (Kingma and Ba, arXiv:1412.6980).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101).
    Adamw,
}

impl FromStr for OptimizerKind {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "sgd" => Ok(Self::Sgd),
            "adam" => Ok(Self::Adam),
            "adamw" => Ok(Self::Adamw),
            _ => {
                Err(Error::input("train.optimizer", format!("found '{name}'")).expected("sgd, adam or adamw"))
            }
        }
    }
}

/// The numbers of the rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Which rule.
    pub kind: OptimizerKind,
    /// Weight decay.
    pub weight_decay: f64,
    /// SGD's momentum.
    pub momentum: f64,
    /// SGD with Nesterov's momentum.
    pub nesterov: bool,
}

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// What the rule remembers of one parameter.
#[derive(Clone)]
struct Memory {
    /// SGD's velocity, or Adam's first moment.
    first: Tensor<1>,
    /// Adam's second moment.
    second: Option<Tensor<1>>,
}

/// An optimizer over the trained entries of a [`Params`] table.
#[derive(Clone)]
pub struct Optimizer {
    rule: Rule,
    /// By position in the table; empty before the first step.
    memory: Vec<Option<Memory>>,
    /// Updates so far.
    steps: u64,
}

impl Optimizer {
    /// A fresh optimizer.
    pub fn new(rule: Rule) -> Self {
        Self { rule, memory: Vec::new(), steps: 0 }
    }

    /// Updates every trained entry from its gradient; `gradients` is aligned with the table, `None` for
    /// entries that are not trained.
    pub fn step(&mut self, params: &mut Params, gradients: Vec<Option<Tensor<1>>>, learning_rate: f64) {
        self.memory.resize(gradients.len(), None);
        self.steps += 1;
        for ((param, gradient), memory) in params.iter_mut().zip(gradients).zip(&mut self.memory) {
            let Some(gradient) = gradient else { continue };
            // The graph's leaf is let go before the update, so that engines can work in place.
            let weight = std::mem::replace(&mut param.value, Tensor::empty([0], &gradient.device()))
                .without_autodiff();
            if cpu::serves(&weight.device()) {
                let device = weight.device();
                let weight = in_place(weight, gradient, memory, &self.rule, learning_rate, self.steps);
                param.value = leaf(tensor(weight, &device), param.kind, param.frozen);
                continue;
            }
            let weight = match self.rule.kind {
                OptimizerKind::Sgd => sgd(weight, gradient, memory, &self.rule, learning_rate),
                OptimizerKind::Adam | OptimizerKind::Adamw => {
                    adam(weight, gradient, memory, &self.rule, learning_rate, self.steps)
                }
            };
            param.value = leaf(weight, param.kind, param.frozen);
        }
    }

    /// Updates so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The memory as named tensors, for a checkpoint.
    pub fn tensors(&self, params: &Params) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        for (param, memory) in params.iter().zip(&self.memory) {
            let mut add = |what: &str, value: &Tensor<1>| {
                let name = format!("train.{what}.{}", param.name);
                tensors.push(NamedTensor { name, shape: param.shape.clone(), value: value.clone() });
            };
            match memory {
                Some(Memory { first, second: None }) => add("momentum", first),
                Some(Memory { first, second: Some(second) }) => {
                    add("adam_first", first);
                    add("adam_second", second);
                }
                None => {}
            }
        }
        tensors
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
        let read = |what: &str, name: &str| -> Result<Tensor<1>> {
            let values = file.values(&format!("train.{what}.{name}"))?;
            Ok(crate::model::params::tensor(values, &device).without_autodiff())
        };
        for param in params.iter() {
            let memory = match self.rule.kind {
                _ if !param.is_trained() => None,
                OptimizerKind::Sgd if self.rule.momentum == 0.0 => None,
                OptimizerKind::Sgd => Some(Memory { first: read("momentum", &param.name)?, second: None }),
                OptimizerKind::Adam | OptimizerKind::Adamw => {
                    let second = Some(read("adam_second", &param.name)?);
                    Some(Memory { first: read("adam_first", &param.name)?, second })
                }
            };
            self.memory.push(memory);
        }
        Ok(())
    }
}

/// The rules of [`sgd`] and [`adam`] in one pass over the numbers, on the host; takes the weights and gives
/// them back.
fn in_place(
    weight: Tensor<1>,
    gradient: Tensor<1>,
    memory: &mut Option<Memory>,
    rule: &Rule,
    learning_rate: f64,
    step: u64,
) -> Vec<f32> {
    let device = weight.device().without_autodiff();
    let [mut weight, gradient] = [weight, gradient].map(cpu::into_values);
    let (rate, decay, momentum) = (learning_rate as f32, rule.weight_decay as f32, rule.momentum as f32);
    let known = memory.take();
    let is_first = known.is_none();
    let count = weight.len();
    let old = |tensor: Option<Tensor<1>>| tensor.map_or_else(|| vec![0.0; count], cpu::into_values);
    if rule.kind == OptimizerKind::Sgd {
        if rule.momentum == 0.0 {
            let blocks = weight.par_chunks_mut(BLOCK).zip(gradient.par_chunks(BLOCK));
            blocks.for_each(|(weight, gradient)| {
                weight.iter_mut().zip(gradient).for_each(|(w, g)| *w -= (g + *w * decay) * rate)
            });
            return weight;
        }
        let mut velocity = old(known.map(|memory| memory.first));
        let kept = if is_first { 0.0 } else { momentum };
        let blocks =
            weight.par_chunks_mut(BLOCK).zip(gradient.par_chunks(BLOCK)).zip(velocity.par_chunks_mut(BLOCK));
        blocks.for_each(|((weight, gradient), velocity)| {
            for ((w, g), v) in weight.iter_mut().zip(gradient).zip(velocity) {
                let g = g + *w * decay;
                *v = *v * kept + g;
                *w -= if rule.nesterov { g + *v * momentum } else { *v } * rate;
            }
        });
        *memory = Some(Memory { first: tensor(velocity, &device), second: None });
        return weight;
    }
    let (first, second) = known.map_or((None, None), |memory| (Some(memory.first), memory.second));
    let (mut first, mut second) = (old(first), old(second));
    let [correction_1, correction_2] = corrections(step);
    let (step_size, root) = ((learning_rate / correction_1) as f32, correction_2.sqrt() as f32);
    let (in_gradient, shrink) = match rule.kind {
        OptimizerKind::Adamw => (0.0, (1.0 - learning_rate * rule.weight_decay) as f32),
        _ => (decay, 1.0),
    };
    let (beta_1, rest_1, beta_2, rest_2) =
        (BETA_1 as f32, (1.0 - BETA_1) as f32, BETA_2 as f32, (1.0 - BETA_2) as f32);
    let moments = first.par_chunks_mut(BLOCK).zip(second.par_chunks_mut(BLOCK));
    weight.par_chunks_mut(BLOCK).zip(gradient.par_chunks(BLOCK)).zip(moments).for_each(
        |((weight, gradient), (first, second))| {
            for (((w, g), m), s) in weight.iter_mut().zip(gradient).zip(first).zip(second) {
                let g = g + *w * in_gradient;
                *m = *m * beta_1 + g * rest_1;
                *s = *s * beta_2 + g * g * rest_2;
                *w = *w * shrink - *m / (s.sqrt() / root + EPSILON as f32) * step_size;
            }
        },
    );
    *memory = Some(Memory { first: tensor(first, &device), second: Some(tensor(second, &device)) });
    weight
}

/// g ← g + wd·w; v ← m·v + g (v = g at first); w ← w − lr·v, or − lr·(g + m·v) with Nesterov.
fn sgd(
    weight: Tensor<1>,
    gradient: Tensor<1>,
    memory: &mut Option<Memory>,
    rule: &Rule,
    learning_rate: f64,
) -> Tensor<1> {
    let gradient =
        if rule.weight_decay == 0.0 { gradient } else { gradient + weight.clone() * rule.weight_decay };
    if rule.momentum == 0.0 {
        return weight - gradient * learning_rate;
    }
    let velocity = match memory.take() {
        Some(memory) => memory.first * rule.momentum + gradient.clone(),
        None => gradient.clone(),
    };
    *memory = Some(Memory { first: velocity.clone(), second: None });
    let direction = if rule.nesterov { gradient + velocity * rule.momentum } else { velocity };
    weight - direction * learning_rate
}

/// What the moments are divided by after so many steps, as they began at 0.
fn corrections(step: u64) -> [f64; 2] {
    [BETA_1, BETA_2].map(|beta| 1.0 - beta.powi(step as i32))
}

/// Bias-corrected moments; the weight decay goes into the gradient (Adam) or straight onto the weights
/// (AdamW).
fn adam(
    weight: Tensor<1>,
    gradient: Tensor<1>,
    memory: &mut Option<Memory>,
    rule: &Rule,
    learning_rate: f64,
    step: u64,
) -> Tensor<1> {
    let (weight, gradient) = match (rule.kind, rule.weight_decay) {
        (_, 0.0) => (weight, gradient),
        (OptimizerKind::Adamw, decay) => (weight * (1.0 - learning_rate * decay), gradient),
        (_, decay) => {
            let gradient = gradient + weight.clone() * decay;
            (weight, gradient)
        }
    };
    let squared = gradient.clone() * gradient.clone() * (1.0 - BETA_2);
    let (first, second) = match memory.take() {
        Some(Memory { first, second: Some(second) }) => {
            (first * BETA_1 + gradient * (1.0 - BETA_1), second * BETA_2 + squared)
        }
        _ => (gradient * (1.0 - BETA_1), squared),
    };
    *memory = Some(Memory { first: first.clone(), second: Some(second.clone()) });
    let [correction_1, correction_2] = corrections(step);
    let denominator = second.sqrt() / correction_2.sqrt() + EPSILON;
    weight - first / denominator * (learning_rate / correction_1)
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
