//! Brings the parameters of a model into a graph, each once and under its own name.

use std::collections::HashMap;
use std::io;

use super::graph::{Graph, Value};
use crate::model::params::{ParamId, Params};

/// Builds a graph from a model's layers.
pub struct Exporter<'a> {
    /// The graph that layers add their nodes to.
    pub graph: Graph<'a>,
    /// Side of the square input in pixels.
    pub input_size: usize,
    params: &'a Params,
    written: HashMap<ParamId, Value>,
}

impl<'a> Exporter<'a> {
    /// A graph to be filled from `params`, for square images of `input_size` pixels.
    pub fn new(params: &'a Params, input_size: usize) -> Self {
        Self { graph: Graph::new("mien"), input_size, params, written: HashMap::new() }
    }

    /// A parameter, under torchvision's name; one that is used twice is in the file once.
    pub fn param(&mut self, id: ParamId) -> Value {
        if let Some(value) = self.written.get(&id) {
            return value.clone();
        }
        let params = self.params;
        let entry = params.entry(id);
        let value = self
            .graph
            .tensor(&entry.name, &entry.shape, move || params.values(id.0).map_err(io::Error::other));
        self.written.insert(id, value.clone());
        value
    }
}
