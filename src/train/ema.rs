//! Exponential moving average of the weights and of the batch-norm statistics (Polyak averaging, as in
//! TensorFlow's ExponentialMovingAverage with its warm-up by the number of updates).

use burn::tensor::Tensor;

use crate::cpu;
use crate::model::params::Params;

/// The averaged numbers of a model.
#[derive(Clone)]
pub struct Ema {
    /// The averages; a table for the same model, without gradients.
    pub params: Params,
    /// Updates of the averages so far.
    pub updates: u64,
    decay: f64,
}

impl Ema {
    /// Starts at the present numbers.
    pub fn new(params: &Params, decay: f64) -> Self {
        Self { params: params.for_inference(), updates: 0, decay }
    }

    /// Moves the averages towards the present numbers: by `1 - min(decay, (1 + t) / (10 + t))` after t
    /// updates.
    pub fn update(&mut self, live: &Params) {
        let decay = warm_decay(self.decay, self.updates);
        self.updates += 1;
        for (average, live) in self.params.iter_mut().zip(live.iter()).filter(|(_, live)| !live.frozen) {
            let old = std::mem::replace(&mut average.value, Tensor::empty([0], &live.value.device()));
            let live = live.value.clone().without_autodiff();
            average.value = match cpu::serves(&live.device()) {
                true => cpu::blend(old, live, decay),
                false => old * decay + live * (1.0 - decay),
            };
        }
    }
}

fn warm_decay(decay: f64, updates: u64) -> f64 {
    decay.min((1 + updates) as f64 / (10 + updates) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decay_warms_up_and_stays() {
        assert!((warm_decay(0.999, 0) - 0.1).abs() < 1e-12);
        assert!((warm_decay(0.999, 90) - 0.91).abs() < 1e-12);
        assert!((warm_decay(0.999, 1_000_000) - 0.999).abs() < 1e-12);
    }
}
