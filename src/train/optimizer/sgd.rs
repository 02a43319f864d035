//! Stochastic gradient descent with momentum, `torch.optim.SGD`.
//!
//! g ← g + wd·w; v ← m·v + g (v = g at first); w ← w − lr·v, or − lr·(g + m·v) with Nesterov's momentum.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::method::{HostUpdate, Method, Rule, Update};
use crate::cpu::BLOCK;

pub(super) struct Sgd;

impl Method for Sgd {
    fn remembers(&self, rule: &Rule) -> &'static [&'static str] {
        if rule.momentum == 0.0 { &[] } else { &["momentum"] }
    }

    fn on_host(&self, weight: &mut [f32], gradient: &[f32], memory: &mut [Vec<f32>], update: &HostUpdate) {
        let HostUpdate { rule, learning_rate, is_first, .. } = *update;
        let (rate, decay, momentum) = (learning_rate as f32, rule.weight_decay as f32, rule.momentum as f32);
        let Some(velocity) = memory.first_mut() else {
            let blocks = weight.par_chunks_mut(BLOCK).zip(gradient.par_chunks(BLOCK));
            blocks.for_each(|(weight, gradient)| {
                weight.iter_mut().zip(gradient).for_each(|(w, g)| *w -= (g + *w * decay) * rate)
            });
            return;
        };
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
    }

    fn on_device(&self, weight: Tensor<1>, gradient: Tensor<1>, update: Update) -> Tensor<1> {
        let Update { rule, memory, learning_rate, .. } = update;
        let gradient =
            if rule.weight_decay == 0.0 { gradient } else { gradient + weight.clone() * rule.weight_decay };
        if rule.momentum == 0.0 {
            return weight - gradient * learning_rate;
        }
        let velocity = match memory.pop() {
            Some(velocity) => velocity * rule.momentum + gradient.clone(),
            None => gradient.clone(),
        };
        memory.push(velocity.clone());
        let direction = if rule.nesterov { gradient + velocity * rule.momentum } else { velocity };
        weight - direction * learning_rate
    }
}
