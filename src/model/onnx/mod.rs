//! Models as ONNX: [`graph`] writes graphs, [`exporter`] brings a model's parameters into them.

pub mod exporter;
pub mod graph;

pub use self::exporter::Exporter;
pub use self::graph::{Dim, Graph, Value};
