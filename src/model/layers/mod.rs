//! The kit that models are made of: layers with torch's layout, names and initialisation, each with its pass,
//! its gradients (by the tensor engine or the CPU's kernels) and its form in ONNX.
//!
//! A layer declares its tensors on a [`Path`](super::params::Path) and reads them through the [`Pass`]; a
//! backbone may do the same for a layer of its own ([`Pass::param`], see `examples/custom_backbone.rs`).
//!
//! Shapes: B batch, C channels, H W height and width, I inputs, O outputs.

mod activation;
mod conv;
mod dropout;
mod linear;
mod norm;
mod pass;
mod pool;
mod residual;
mod squeeze;
mod unit;

pub use activation::Activation;
pub use conv::{Conv2d, Conv2dConfig};
pub use dropout::{drop_path, dropout};
pub use linear::Linear;
pub use norm::{BatchNorm2d, BatchNorm2dConfig, LayerNorm};
pub use pass::Pass;
pub use pool::{adaptive_avg_pool2d, global_avg_pool, max_pool2d};
pub use residual::ResidualBlock;
pub use squeeze::SqueezeExcitation;
pub use unit::ConvUnit;
