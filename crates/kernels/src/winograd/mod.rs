//! 3×3 convolutions of stride 1 by Winograd's minimal filtering.

mod correlate;
mod tile;
mod weight_gradient;

pub(crate) use correlate::{Correlation, Transformed, correlate};
pub(crate) use weight_gradient::weight_gradient;

/// Which tile a convolution is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileSize {
    /// F(2×2, 3×3): 4 products an output; for maps of one or two pixels to a side.
    Two,
    /// F(4×4, 3×3): 2.25 products an output.
    Four,
}

impl TileSize {
    /// The one that needs fewer products for maps of this size.
    pub(crate) fn for_outputs(height: usize, width: usize) -> Self {
        let products = |m: usize| height.div_ceil(m) * width.div_ceil(m) * (m + 2) * (m + 2);
        if products(2) < products(4) { Self::Two } else { Self::Four }
    }
}
