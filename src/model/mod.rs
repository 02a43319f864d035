//! The models: what they are and how they compute. Nothing here knows of data, training or (but for
//! [`files`]) files.
//!
//! Every model is a [`Backbone`]: `features(images) -> [B, C, h, w]` and `head(features) -> logits [B, K]`.
//! Class activation maps, embeddings, freezing and transfer are built on these two, so a new backbone is one
//! file and one line in [`zoo::ALL`].
//!
//! From bottom to top: [`params`] < [`onnx`] < [`layers`] < [`Backbone`] < [`entry`] < the families ([`vgg`],
//! [`resnet`], [`mobilenet`]) < [`zoo`] < [`ModelConfig`] < [`Model`] < [`files`].
//!
//! **Invariant:** no model is named outside of its family's file and the list in [`zoo`].
//!
//! Shapes: B batch, C channels, H W height and width, S input size, K classes. Images are f32 and normalised,
//! `[B, 3, S, S]`.

mod backbone;
pub mod cbam;
mod config;
pub mod entry;
pub mod files;
pub mod layers;
pub mod mobilenet;
mod network;
pub mod onnx;
pub mod params;
pub mod resnet;
pub mod vgg;
pub mod zoo;

pub use backbone::Backbone;
pub use config::ModelConfig;
pub use entry::Head;
pub use network::Model;
pub use zoo::ModelName;
