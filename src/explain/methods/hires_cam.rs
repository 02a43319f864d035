//! HiRes-CAM: features times gradient at each place, without averaging (Draelos and Carin, "Use HiResCAM
//! instead of Grad-CAM for faithful explanations of convolutional neural networks", 2020, arXiv:2011.08891).

use super::entry::{Entry, Evidence};
use crate::error::Result;

pub(super) const ENTRY: Entry =
    Entry { name: "hires_cam", title: "HiRes-CAM", needs_gradient: true, is_class_specific: true, weigh };

/// relu(Σ_k G_k A_k)
fn weigh(evidence: &Evidence) -> Result<Vec<f32>> {
    Ok(evidence.place_weighted_sum(evidence.gradient))
}

#[cfg(test)]
mod tests {
    use super::super::entry::testing::{FEATURES, map_of};
    use super::*;

    #[test]
    fn features_are_weighted_by_the_gradient_at_their_place() {
        // [2·1 - 1·2, 0·3 + 0.5·0]
        assert_eq!(map_of(&ENTRY, &FEATURES), [0.0, 0.0]);
        // [2·3 - 1·2, 0·3 + 0.5·4]
        assert_eq!(map_of(&ENTRY, &[3.0, 3.0, 2.0, 4.0]), [4.0, 2.0]);
    }
}
