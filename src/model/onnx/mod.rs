//! Models as ONNX: [`graph`] writes graphs of the [`operators`]; [`exporter`] brings a model's parameters
//! into them.

#[cfg(test)]
mod decode;
pub mod exporter;
pub mod graph;
pub mod operators;
mod protobuf;

pub use self::exporter::Exporter;
pub use self::graph::{Dim, Graph, Value};
pub use self::operators::Window;
