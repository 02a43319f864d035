//! What every update rule implements, and what it is told.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The update rules by their names in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum.
    #[default]
    Sgd,
    /// Adam with L2 weight decay in the gradient.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
}

/// The settings of an update rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The rule that the settings are for.
    pub kind: OptimizerKind,
    /// Weight decay, 0 or more.
    pub weight_decay: f64,
    /// SGD's momentum, 0 or more, below 1.
    pub momentum: f64,
    /// SGD with Nesterov's momentum.
    pub nesterov: bool,
}

/// One update rule, on the host and on any other device.
pub(super) trait Method: Sync {
    /// The names of the tensors that it keeps for each weight, as a checkpoint has them.
    fn remembers(&self, rule: &Rule) -> &'static [&'static str];

    /// Updates a weight `[n]` from its gradient `[n]` in one pass over the numbers; `memory` holds a tensor
    /// `[n]` for each name of [`Method::remembers`], all 0 at the first step.
    fn on_host(&self, weight: &mut [f32], gradient: &[f32], memory: &mut [Vec<f32>], update: &HostUpdate);

    /// Returns the updated weight `[n]` and leaves its new memory, which is empty at the first step.
    fn on_device(&self, weight: Tensor<1>, gradient: Tensor<1>, update: Update) -> Tensor<1>;
}

/// An update on the host.
#[derive(Clone, Copy)]
pub(super) struct HostUpdate<'a> {
    pub(super) rule: &'a Rule,
    pub(super) learning_rate: f64,
    /// From 1.
    pub(super) step: u64,
    /// Whether there was no memory yet.
    pub(super) is_first: bool,
}

/// An update on a device.
pub(super) struct Update<'a> {
    pub(super) rule: &'a Rule,
    pub(super) memory: &'a mut Vec<Tensor<1>>,
    pub(super) learning_rate: f64,
    /// From 1.
    pub(super) step: u64,
}
