//! Grad-CAM++: channels weighted by their positive gradients, each with a coefficient made from its powers
//! (Chattopadhay et al., "Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks", WACV
//! 2018, arXiv:1710.11063, equations 10 and 19).

use super::entry::{Entry, Evidence};
use crate::error::Result;

pub(super) const ENTRY: Entry = Entry {
    name: "grad_cam_plus_plus",
    title: "Grad-CAM++",
    needs_gradient: true,
    is_class_specific: true,
    weigh,
};

/// w_k = Σ α relu(G_k) with α = G² / (2 G² + G³ Σ A_k), and 0 where G is 0.
fn weigh(evidence: &Evidence) -> Result<Vec<f32>> {
    let n = evidence.places();
    let weight = |(channel, gradient): (&[f32], &[f32])| {
        let total: f64 = channel.iter().map(|a| f64::from(*a)).sum();
        let alpha = |g: f64| g * g / (2.0 * g * g + g * g * g * total);
        gradient.iter().map(|g| f64::from(*g)).filter(|g| *g > 0.0).map(|g| alpha(g) * g).sum()
    };
    let weights: Vec<f64> =
        evidence.features.chunks_exact(n).zip(evidence.gradient.chunks_exact(n)).map(weight).collect();
    Ok(evidence.weighted_sum(&weights))
}

#[cfg(test)]
mod tests {
    use super::super::entry::testing::{FEATURES, map_of};
    use super::*;

    #[test]
    fn positive_gradients_are_weighted_by_the_ratio_of_their_powers() {
        // α = 4 / (8 + 8·4) = 0.1, w = 0.2; α = 0.25 / (0.5 + 0.125·2) = 1/3, w = 1/6
        let map = map_of(&ENTRY, &FEATURES);
        assert!((map[0] - (0.2 + 2.0 / 6.0)).abs() < 1e-6 && (map[1] - 0.6).abs() < 1e-6, "{map:?}");
        assert_eq!(map_of(&ENTRY, &[0.0; 4]), [0.0; 2]);
    }
}
