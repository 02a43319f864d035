//! 3×3 convolutions of stride 1 by Winograd's minimal filtering.

mod correlate;
mod tile;
mod weight_gradient;

pub(crate) use correlate::{Correlation, Transformed, correlate};
pub(crate) use tile::TileSize;
pub(crate) use weight_gradient::weight_gradient;
