//! Cross entropy with label smoothing, class weights and mixed labels, as `torch.nn.functional.cross_entropy`
//! computes it.
//!
//! All three are linear in the log-probabilities, so a batch's loss is one weighted sum: `-Σ w[b, k] · log
//! p[b, k]`. The weights are made on the host.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};

use crate::input::mix::Mixed;

/// What the log-probabilities of a batch are weighted with.
#[derive(Clone, Debug)]
pub struct LossWeights {
    /// `[B, K]`, row-major.
    weights: Vec<f32>,
    rows: usize,
    classes: usize,
}

impl LossWeights {
    /// Weights for `targets` `[B]` over `classes` classes.
    ///
    /// Label smoothing ε: (1 − ε) of the true class and ε/K of each. Class weights as torch's `weight`: each
    /// term is weighted and the sum is divided by the weights of the true classes. A mixed batch is λ of the
    /// loss for its own labels and 1 − λ of that for its partners'.
    pub fn new(
        targets: &[usize],
        classes: usize,
        smoothing: f32,
        class_weights: Option<&[f32]>,
        mixed: Option<&Mixed>,
    ) -> Self {
        let mut loss = Self { weights: vec![0.0; targets.len() * classes], rows: targets.len(), classes };
        match mixed {
            None => loss.add(1.0, targets.iter().copied(), smoothing, class_weights),
            Some(Mixed { lambda, partner }) => {
                loss.add(*lambda, targets.iter().copied(), smoothing, class_weights);
                loss.add(1.0 - lambda, partner.iter().map(|&other| targets[other]), smoothing, class_weights);
            }
        }
        loss
    }

    fn add(
        &mut self,
        share: f32,
        targets: impl Iterator<Item = usize> + Clone,
        smoothing: f32,
        class_weights: Option<&[f32]>,
    ) {
        let weight = |class: usize| class_weights.map_or(1.0, |weights| weights[class]);
        let total: f32 = targets.clone().map(weight).sum();
        let scale = share / total.max(f32::MIN_POSITIVE);
        for (row, target) in self.weights.chunks_exact_mut(self.classes).zip(targets) {
            for (class, value) in row.iter_mut().enumerate() {
                *value += scale * smoothing / self.classes as f32 * weight(class);
            }
            row[target] += scale * (1.0 - smoothing) * weight(target);
        }
    }

    /// The loss of `logits` `[B, K]`: a tensor of one value.
    pub fn loss(&self, logits: Tensor<2>, device: &Device) -> Tensor<1> {
        let weights = TensorData::new(self.weights.clone(), [self.rows, self.classes]);
        let weights = Tensor::<2>::from_data(weights, device);
        -(log_softmax(logits, 1) * weights).sum()
    }
}

/// How many of a batch are right; a mixed batch counts both labels with their shares.
pub fn correct(predicted: &[usize], targets: &[usize], mixed: Option<&Mixed>) -> f64 {
    let hits = |label: &dyn Fn(usize) -> usize| {
        predicted.iter().enumerate().filter(|(i, p)| **p == label(*i)).count() as f64
    };
    match mixed {
        None => hits(&|i| targets[i]),
        Some(Mixed { lambda, partner }) => {
            let lambda = f64::from(*lambda);
            lambda * hits(&|i| targets[i]) + (1.0 - lambda) * hits(&|i| targets[partner[i]])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Two rows of three classes; the expected losses were computed with torch.nn.functional.cross_entropy
    // (torch 2.9, float64).
    const LOGITS: [[f32; 3]; 2] = [[1.0, 2.0, 0.5], [-1.0, 0.0, 3.0]];

    fn loss(targets: &[usize], smoothing: f32, weights: Option<&[f32]>, mixed: Option<&Mixed>) -> f64 {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats(LOGITS, &device);
        f64::from(
            LossWeights::new(targets, 3, smoothing, weights, mixed)
                .loss(logits, &device)
                .into_scalar::<f32>(),
        )
    }

    fn log_p(row: usize, class: usize) -> f64 {
        let logits = LOGITS[row].map(f64::from);
        logits[class] - logits.iter().map(|v| v.exp()).sum::<f64>().ln()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "found {found}, expected {expected}");
    }

    #[test]
    fn plain_loss_is_the_mean_negative_log_likelihood() {
        close(loss(&[1, 2], 0.0, None, None), -(log_p(0, 1) + log_p(1, 2)) / 2.0);
    }

    #[test]
    fn smoothing_gives_every_class_its_share() {
        let row = |r: usize, t: usize| -> f64 {
            0.9 * -log_p(r, t) + 0.1 * (0..3).map(|k| -log_p(r, k)).sum::<f64>() / 3.0
        };
        close(loss(&[1, 2], 0.1, None, None), (row(0, 1) + row(1, 2)) / 2.0);
    }

    #[test]
    fn class_weights_divide_by_the_weights_of_the_true_classes() {
        let weights = [1.0, 2.0, 0.5];
        close(loss(&[1, 2], 0.0, Some(&weights), None), -(2.0 * log_p(0, 1) + 0.5 * log_p(1, 2)) / 2.5);
    }

    #[test]
    fn mixed_labels_weigh_both_losses() {
        let mixed = Mixed { lambda: 0.7, partner: vec![1, 0] };
        let (own, other) = (-(log_p(0, 1) + log_p(1, 2)) / 2.0, -(log_p(0, 2) + log_p(1, 1)) / 2.0);
        close(loss(&[1, 2], 0.0, None, Some(&mixed)), 0.7 * own + 0.3 * other);
        close(correct(&[1, 1], &[1, 2], Some(&mixed)), 0.7 + 0.3);
        close(correct(&[1, 1], &[1, 2], None), 1.0);
    }
}
