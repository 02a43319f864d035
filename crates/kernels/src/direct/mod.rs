//! Convolutions of any kernel, stride and padding as products: the pixels are packed tile by tile, in scratch
//! that stays in the caches, never the whole image.

mod correlate;
mod grid;
mod weight_gradient;

pub(crate) use correlate::{Panels, forward, input_gradient};
pub(crate) use weight_gradient::weight_gradient;
