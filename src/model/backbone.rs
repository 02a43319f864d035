//! What a model computes: the trait that every model family implements, in the crate or outside of it.
//!
//! Shapes: B batch, C channels, S side of the input, h w height and width of the last map, K classes.

use std::fmt;

use burn::tensor::Tensor;

use super::layers::Pass;
use super::onnx;

/// A network in two parts. Class activation maps, embeddings, freezing and transfer are built on these, so a
/// new family needs nothing outside of its own file. Logits are raw: softmax lives in the loss, in evaluation
/// and in prediction.
pub trait Backbone: Send + Sync + fmt::Debug {
    /// The last convolutional map: `[B, 3, S, S] -> [B, C, h, w]`.
    fn features(&self, images: Tensor<4>, pass: &Pass) -> Tensor<4>;
    /// `[B, C, h, w] -> [B, K]` raw logits.
    fn head(&self, features: Tensor<4>, pass: &Pass) -> Tensor<2>;
    /// Where each attention block looks, from the input on: `[B, 3, S, S] -> [B, 1, h, w]` each, 0…1; none
    /// without such blocks.
    fn attention(&self, images: Tensor<4>, pass: &Pass) -> Vec<Tensor<4>> {
        let _ = (images, pass);
        Vec::new()
    }
    /// C of [`Backbone::features`].
    fn feature_channels(&self) -> usize;
    /// `[B, 3, S, S] -> [B, K]` in ONNX; `None` for a backbone that does not say how.
    fn onnx(&self, images: &onnx::Value, to: &mut onnx::Exporter) -> Option<onnx::Value> {
        let _ = (images, to);
        None
    }
    /// What the names of the head's tensors begin with: `"classifier."`.
    fn head_prefix(&self) -> &'static str;
    /// The name of the layer that depends on the number of classes, `"classifier.6"`; left out of pretrained
    /// weights when the classes differ.
    fn last_layer(&self) -> &'static str;
    /// What the names of parts begin with that published weights do not have (`"cbam."`). Where a file lacks
    /// them, they start anew, and so does the head, which reads another map then.
    fn addition_prefix(&self) -> Option<&'static str> {
        None
    }
}
