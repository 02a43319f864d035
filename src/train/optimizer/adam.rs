//! Adam (Kingma and Ba, arXiv:1412.6980), `torch.optim.Adam`, with the weight decay as L2 in the gradient;
//! and AdamW (Loshchilov and Hutter, arXiv:1711.05101), `torch.optim.AdamW`, with the weight decay straight
//! on the weights. Both with betas 0.9 and 0.999, epsilon 1e-8 and bias-corrected moments.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::method::{HostUpdate, Method, Rule, Update};
use crate::cpu::BLOCK;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Adam, or AdamW where the weight decay is decoupled from the gradient.
pub(super) struct Adam {
    pub(super) decoupled: bool,
}

/// What the moments are divided by after so many steps, as they began at 0.
fn corrections(step: u64) -> [f64; 2] {
    [BETA_1, BETA_2].map(|beta| 1.0 - beta.powi(step as i32))
}

impl Method for Adam {
    fn remembers(&self, _: &Rule) -> &'static [&'static str] {
        &["adam_first", "adam_second"]
    }

    fn on_host(&self, weight: &mut [f32], gradient: &[f32], memory: &mut [Vec<f32>], update: &HostUpdate) {
        let HostUpdate { rule, learning_rate, step, .. } = *update;
        let [first, second] = memory else { unreachable!("two moments are remembered") };
        let [correction_1, correction_2] = corrections(step);
        let (step_size, root) = ((learning_rate / correction_1) as f32, correction_2.sqrt() as f32);
        let (in_gradient, shrink) = if self.decoupled {
            (0.0, (1.0 - learning_rate * rule.weight_decay) as f32)
        } else {
            (rule.weight_decay as f32, 1.0)
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
    }

    fn on_device(&self, weight: Tensor<1>, gradient: Tensor<1>, update: Update) -> Tensor<1> {
        let Update { rule, memory, learning_rate, step } = update;
        let (weight, gradient) = match rule.weight_decay {
            0.0 => (weight, gradient),
            decay if self.decoupled => (weight * (1.0 - learning_rate * decay), gradient),
            decay => {
                let gradient = gradient + weight.clone() * decay;
                (weight, gradient)
            }
        };
        let squared = gradient.clone() * gradient.clone() * (1.0 - BETA_2);
        let (first, second) = match (memory.pop(), memory.pop()) {
            (Some(second), Some(first)) => {
                (first * BETA_1 + gradient * (1.0 - BETA_1), second * BETA_2 + squared)
            }
            _ => (gradient * (1.0 - BETA_1), squared),
        };
        memory.extend([first.clone(), second.clone()]);
        let [correction_1, correction_2] = corrections(step);
        let denominator = second.sqrt() / correction_2.sqrt() + EPSILON;
        weight - first / denominator * (learning_rate / correction_1)
    }
}
