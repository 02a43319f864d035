//! Layer-CAM: features times positive gradient at each place (Jiang et al., "LayerCAM: Exploring Hierarchical
//! Class Activation Maps for Localization", IEEE TIP 2021).

use super::entry::{Entry, Evidence};
use crate::error::Result;

pub(super) const ENTRY: Entry =
    Entry { name: "layer_cam", title: "Layer-CAM", needs_gradient: true, is_class_specific: true, weigh };

/// relu(Σ_k relu(G_k) A_k)
fn weigh(evidence: &Evidence) -> Result<Vec<f32>> {
    let positive: Vec<f32> = evidence.gradient.iter().map(|g| g.max(0.0)).collect();
    Ok(evidence.place_weighted_sum(&positive))
}

#[cfg(test)]
mod tests {
    use super::super::entry::testing::{FEATURES, map_of};
    use super::*;

    #[test]
    fn features_are_weighted_by_the_positive_gradient_at_their_place() {
        // [2·1 + 0, 0]
        assert_eq!(map_of(&ENTRY, &FEATURES), [2.0, 0.0]);
    }
}
