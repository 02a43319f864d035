//! Grad-CAM: channels weighted by their mean gradient (Selvaraju et al., "Grad-CAM: Visual Explanations from
//! Deep Networks via Gradient-based Localization", ICCV 2017, arXiv:1610.02391, equations 1 and 2).

use super::entry::{Entry, Evidence};
use crate::error::Result;

pub(super) const ENTRY: Entry =
    Entry { name: "grad_cam", title: "Grad-CAM", needs_gradient: true, is_class_specific: true, weigh };

/// w_k = mean of G_k.
fn weigh(evidence: &Evidence) -> Result<Vec<f32>> {
    let n = evidence.places();
    let mean = |channel: &[f32]| channel.iter().map(|g| f64::from(*g)).sum::<f64>() / n as f64;
    let weights: Vec<f64> = evidence.gradient.chunks_exact(n).map(mean).collect();
    Ok(evidence.weighted_sum(&weights))
}

#[cfg(test)]
mod tests {
    use super::super::entry::testing::{FEATURES, map_of};
    use super::*;

    #[test]
    fn channels_are_weighted_by_their_mean_gradient() {
        // w = [1, -0.25]: [1 - 0.5, 3 - 0]
        assert_eq!(map_of(&ENTRY, &FEATURES), [0.5, 3.0]);
        assert_eq!(map_of(&ENTRY, &[0.0; 4]), [0.0; 2]);
    }
}
