//! Models as files: mien's own and torchvision's weights, PyTorch's state dicts, ONNX, and the download of
//! ImageNet weights.
//!
//! **Invariant:** the only part of [`model`](super) that touches files.

pub mod download;
pub mod export;
mod pickle;
pub mod torch_read;
pub mod torch_write;
pub mod weights;
