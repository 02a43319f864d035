//! What a class activation method is: a name, a few facts and a weighting function.
//!
//! Notation: `A_k` is channel k of the features, `G_k` the gradient of the class's raw logit with respect to
//! it, n = h·w the number of places of a map.

use crate::error::Result;

/// An entry of the table of methods.
pub struct Entry {
    /// The name in options and files: `grad_cam`.
    pub(super) name: &'static str,
    /// The name as papers write it: `Grad-CAM`.
    pub(super) title: &'static str,
    /// Whether `weigh` reads the gradient; computing it costs a backward pass through the head.
    pub(super) needs_gradient: bool,
    /// Whether the map depends on the class.
    pub(super) is_class_specific: bool,
    /// The map `[h, w]`, row-major, 0 or more.
    pub(super) weigh: fn(&Evidence) -> Result<Vec<f32>>,
}

/// What a method knows of one image and one class.
pub struct Evidence<'a> {
    /// `[C, h, w]`: the last convolutional features.
    pub features: &'a [f32],
    /// `[C, h, w]`: the gradient of the class's raw logit with respect to the features; empty for methods
    /// that do without.
    pub gradient: &'a [f32],
    /// `[h, w]`
    pub map_size: [usize; 2],
    /// `[3, S, S]`: the input, normalised.
    pub image: &'a [f32],
    /// S, the input's side in pixels.
    pub image_size: usize,
    /// How many inputs `logits` takes at a time.
    pub batch_size: usize,
    /// The class's raw logit for each of a batch of inputs: `[M, 3, S, S] -> [M]`.
    pub logits: &'a dyn Fn(Vec<f32>) -> Result<Vec<f32>>,
}

impl Evidence<'_> {
    /// Places of the map, n = h·w.
    pub(super) fn places(&self) -> usize {
        self.map_size[0] * self.map_size[1]
    }

    /// relu(Σ_k w_k A_k): the map of the weights `[C]`, `[n]`.
    pub(super) fn weighted_sum(&self, weights: &[f64]) -> Vec<f32> {
        let mut sums = vec![0.0f64; self.places()];
        for (channel, weight) in self.features.chunks_exact(self.places()).zip(weights) {
            sums.iter_mut().zip(channel).for_each(|(sum, value)| *sum += weight * f64::from(*value));
        }
        sums.into_iter().map(|sum| sum.max(0.0) as f32).collect()
    }

    /// relu(Σ_k W_k A_k) for weights of each place `[C, n]`: the map, `[n]`.
    pub(super) fn place_weighted_sum(&self, weights: &[f32]) -> Vec<f32> {
        let n = self.places();
        let at = |place: usize| {
            let products = (place..self.features.len())
                .step_by(n)
                .map(|i| f64::from(self.features[i]) * f64::from(weights[i]));
            products.sum::<f64>().max(0.0) as f32
        };
        (0..n).map(at).collect()
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Two channels of two places, whose maps can be worked out by hand.

    use super::*;

    pub(crate) const FEATURES: [f32; 4] = [1.0, 3.0, 2.0, 0.0];
    pub(crate) const GRADIENT: [f32; 4] = [2.0, 0.0, -1.0, 0.5];

    /// The map of an entry for these features and [`GRADIENT`].
    pub(crate) fn map_of(entry: &Entry, features: &[f32]) -> Vec<f32> {
        let evidence = Evidence {
            features,
            gradient: &GRADIENT,
            map_size: [1, 2],
            image: &[],
            image_size: 0,
            batch_size: 1,
            logits: &|_| Ok(Vec::new()),
        };
        (entry.weigh)(&evidence).unwrap()
    }
}
