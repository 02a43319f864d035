//! A small writer of ONNX models: a graph is built layer by layer, as a model's own pass reads, and written
//! in protobuf's wire format.
//!
//! The format is that of onnx.proto (ONNX 1.13 or later: IR version 8, operator set 17):
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. Weights are asked for while the file is written,
//! one after the other, so that no more than one of them is in memory.
//!
//! Shapes: B batch, C channels, H W height and width, I inputs, O outputs.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

use super::protobuf::{Message, field_length};

/// Version of the file format; 8 is that of operator set 17.
const IR_VERSION: u64 = 8;
/// Version of the operators' definitions.
const OPSET: u64 = 17;
/// The largest message that readers of protobuf take: 2 GiB less one byte.
const MAX_MESSAGE: u64 = i32::MAX as u64;

/// `TensorProto.DataType`
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// A value within a graph: an input, a weight or the result of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// The name in the file.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Any size, such as "batch".
    Named(&'static str),
    /// A size that is known when the file is written.
    Fixed(usize),
}

/// A graph under construction. Operators read values of this graph only.
pub struct Graph<'a> {
    name: String,
    nodes: Message,
    inputs: Message,
    outputs: Message,
    tensors: Vec<StoredTensor<'a>>,
    operators: usize,
}

struct StoredTensor<'a> {
    name: String,
    shape: Vec<usize>,
    values: Source<'a>,
}

enum Source<'a> {
    F32(Box<dyn FnOnce() -> io::Result<Vec<f32>> + 'a>),
    I64(Vec<i64>),
}

impl<'a> Graph<'a> {
    /// A graph of this name without nodes.
    pub fn new(name: &str) -> Self {
        let (nodes, inputs, outputs) = (Message::default(), Message::default(), Message::default());
        Self { name: name.to_owned(), nodes, inputs, outputs, tensors: Vec::new(), operators: 0 }
    }

    /// An input of f32 values.
    pub fn input(&mut self, name: &str, dims: &[Dim]) -> Value {
        self.inputs.message(GRAPH_INPUT, &value_info(name, dims));
        Value(name.to_owned())
    }

    /// Gives `value` out under `name`.
    pub fn output(&mut self, name: &str, value: &Value, dims: &[Dim]) {
        self.outputs.message(GRAPH_OUTPUT, &value_info(name, dims));
        self.node_to("Identity", &[value], &[], name);
    }

    /// A weight. `values` is called once, when the graph is written, and gives as many numbers as `shape`
    /// says, in row-major order.
    pub fn tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl FnOnce() -> io::Result<Vec<f32>> + 'a,
    ) -> Value {
        self.store(name.to_owned(), shape, Source::F32(Box::new(values)))
    }

    /// Numbers that are no weights, under a name of the graph's choice.
    pub fn constant(&mut self, shape: &[usize], values: Vec<f32>) -> Value {
        let name = format!("/constant_{}", self.tensors.len());
        self.store(name, shape, Source::F32(Box::new(move || Ok(values))))
    }

    /// Another shape of the same values: 0 keeps a dimension, −1 (once) is what remains.
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let name = format!("/shape_{}", self.tensors.len());
        let shape = self.store(name, &[shape.len()], Source::I64(shape.to_vec()));
        self.node("Reshape", &[x, &shape], &[])
    }

    /// Writes the model with `metadata` as its properties.
    ///
    /// # Errors
    /// `out` cannot be written, a weight cannot be had, two tensors have one name, a tensor's values are not
    /// as many as its shape says, or the model is larger than the 2 GiB that the format can hold in one file
    /// (nothing is written then).
    pub fn write(self, out: &mut dyn Write, metadata: &BTreeMap<String, String>) -> io::Result<()> {
        let mut names = HashSet::new();
        if let Some(twice) = self.tensors.iter().find(|tensor| !names.insert(&tensor.name)) {
            return Err(invalid(format!("two tensors are named '{}'", twice.name)));
        }
        let mut model = Message::default();
        model.int(1, IR_VERSION); // ModelProto.ir_version
        model.string(2, env!("CARGO_PKG_NAME")); // .producer_name
        model.string(3, env!("CARGO_PKG_VERSION")); // .producer_version
        let mut opset = Message::default();
        opset.int(2, OPSET); // OperatorSetIdProto.version, of the default domain
        model.message(8, &opset); // .opset_import
        for (key, value) in metadata {
            let mut entry = Message::default();
            entry.string(1, key); // StringStringEntryProto.key
            entry.string(2, value); // .value
            model.message(14, &entry); // .metadata_props
        }

        let mut name = Message::default();
        name.string(GRAPH_NAME, &self.name);
        // The lengths of the tensors and of the graph come before their bytes, so they are computed before
        // any number is asked for.
        let headers: Vec<Message> = self.tensors.iter().map(StoredTensor::header).collect();
        let lengths: Vec<u64> =
            self.tensors.iter().zip(&headers).map(|(tensor, header)| header.len() + tensor.bytes()).collect();
        let tensors: u64 = lengths.iter().map(|&length| field_length(GRAPH_INITIALIZER, length)).sum();
        let graph = self.nodes.len() + name.len() + tensors + self.inputs.len() + self.outputs.len();
        if model.len() + field_length(MODEL_GRAPH, graph) > MAX_MESSAGE {
            let problem = format!("the model has {} MB, and an ONNX file holds at most 2047", graph >> 20);
            return Err(invalid(problem));
        }
        model.begin(MODEL_GRAPH, graph);
        for part in [&model, &self.nodes, &name] {
            out.write_all(&part.0)?;
        }
        for ((tensor, header), length) in self.tensors.into_iter().zip(&headers).zip(lengths) {
            let mut field = Message::default();
            field.begin(GRAPH_INITIALIZER, length);
            out.write_all(&field.0)?;
            out.write_all(&header.0)?;
            tensor.write_values(out)?;
        }
        out.write_all(&self.inputs.0)?;
        out.write_all(&self.outputs.0)?;
        out.flush()
    }

    fn store(&mut self, name: String, shape: &[usize], values: Source<'a>) -> Value {
        self.tensors.push(StoredTensor { name: name.clone(), shape: shape.to_vec(), values });
        Value(name)
    }

    /// Adds an operator with one result.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        let result = format!("/{operator}_{}", self.operators);
        self.node_to(operator, inputs, attributes, &result)
    }

    fn node_to(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
        result: &str,
    ) -> Value {
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.string(1, &input.0)); // NodeProto.input
        node.string(2, result); // .output
        node.string(3, &format!("{operator}_{}", self.operators)); // .name
        node.string(4, operator); // .op_type
        // .attribute
        attributes.iter().for_each(|(name, attribute)| node.message(5, &attribute.encode(name)));
        self.nodes.message(GRAPH_NODE, &node);
        self.operators += 1;
        Value(result.to_owned())
    }
}

/// Fields of `GraphProto` and `ModelProto`.
const GRAPH_NODE: u64 = 1;
const GRAPH_NAME: u64 = 2;
const GRAPH_INITIALIZER: u64 = 5;
const GRAPH_INPUT: u64 = 11;
const GRAPH_OUTPUT: u64 = 12;
const MODEL_GRAPH: u64 = 7;

impl StoredTensor<'_> {
    fn count(&self) -> u64 {
        self.shape.iter().map(|&dim| dim as u64).product()
    }

    fn bytes(&self) -> u64 {
        match self.values {
            Source::F32(_) => self.count() * 4,
            Source::I64(_) => self.count() * 8,
        }
    }

    /// A `TensorProto` up to its bytes.
    fn header(&self) -> Message {
        let mut tensor = Message::default();
        self.shape.iter().for_each(|&dim| tensor.int(1, dim as u64)); // TensorProto.dims
        tensor.int(2, if matches!(self.values, Source::F32(_)) { FLOAT } else { INT64 }); // .data_type
        tensor.string(8, &self.name); // .name
        tensor.begin(9, self.bytes()); // .raw_data
        tensor
    }

    fn write_values(self, out: &mut dyn Write) -> io::Result<()> {
        let count = self.count();
        let check = |found: usize| {
            let problem = || {
                invalid(format!("tensor '{}' of shape {:?} comes with {found} values", self.name, self.shape))
            };
            if found as u64 == count { Ok(()) } else { Err(problem()) }
        };
        match self.values {
            Source::F32(values) => {
                let values = values()?;
                check(values.len())?;
                let mut block = Vec::new();
                for values in values.chunks(1 << 14) {
                    block.clear();
                    block.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    out.write_all(&block)?;
                }
                Ok(())
            }
            Source::I64(values) => {
                check(values.len())?;
                values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
            }
        }
    }
}
fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// A `ValueInfoProto` of an f32 tensor.
fn value_info(name: &str, dims: &[Dim]) -> Message {
    let mut shape = Message::default();
    for dim in dims {
        let mut dimension = Message::default();
        match dim {
            Dim::Fixed(size) => dimension.int(1, *size as u64), // Dimension.dim_value
            Dim::Named(name) => dimension.string(2, name),      // .dim_param
        }
        shape.message(1, &dimension); // TensorShapeProto.dim
    }
    let (mut tensor, mut kind, mut info) = (Message::default(), Message::default(), Message::default());
    tensor.int(1, FLOAT); // TypeProto.Tensor.elem_type
    tensor.message(2, &shape); // .shape
    kind.message(1, &tensor); // TypeProto.tensor_type
    info.string(1, name); // ValueInfoProto.name
    info.message(2, &kind); // .type
    info
}

/// An operator's setting.
pub(super) enum Attribute {
    Float(f32),
    Int(i64),
    Ints(Vec<i64>),
}

pub(super) fn ints<const N: usize>(values: [usize; N]) -> Attribute {
    Attribute::Ints(values.iter().map(|&value| value as i64).collect())
}

impl Attribute {
    /// An `AttributeProto`.
    pub(super) fn encode(&self, name: &str) -> Message {
        let mut attribute = Message::default();
        attribute.string(1, name); // AttributeProto.name
        // The type (field 20) is AttributeType.FLOAT, INT or INTS. A negative number is a varint of its two's
        // complement.
        let kind = match self {
            Self::Float(value) => {
                attribute.float(2, *value);
                1
            }
            Self::Int(value) => {
                attribute.int(3, *value as u64);
                2
            }
            Self::Ints(values) => {
                values.iter().for_each(|value| attribute.int(8, *value as u64));
                7
            }
        };
        attribute.int(20, kind);
        attribute
    }
}

#[cfg(test)]
impl Graph<'_> {
    /// The model as bytes, with one property.
    pub(super) fn written(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes, &BTreeMap::from([("mien".to_owned(), "{}".to_owned())])).unwrap();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::{messages, nodes, numbers, texts};
    use super::*;

    #[test]
    fn the_model_has_versions_properties_inputs_outputs_and_weights() {
        let mut graph = Graph::new("mien");
        let x = graph.input("images", &[Dim::Named("batch"), Dim::Fixed(300)]);
        let weight =
            graph.tensor("fc.weight", &[2, 300], || Ok((0..600).map(|value| value as f32 / 2.0).collect()));
        let bias = graph.tensor("fc.bias", &[2], || Ok(vec![-1.0, 0.5]));
        let y = graph.gemm(&x, &weight, &bias);
        graph.output("logits", &y, &[Dim::Named("batch"), Dim::Fixed(2)]);
        let model = graph.written();

        assert_eq!(numbers(&model, 1), [8]);
        assert_eq!(texts(&model, 2), ["mien"]);
        assert_eq!(texts(&model, 3), [env!("CARGO_PKG_VERSION")]);
        let opset = messages(&model, 8)[0];
        assert_eq!((messages(opset, 1).len(), numbers(opset, 2)), (0, vec![17]));
        let property = messages(&model, 14)[0];
        assert_eq!((texts(property, 1), texts(property, 2)), (vec!["mien"], vec!["{}"]));

        let graph = messages(&model, 7)[0];
        assert_eq!(texts(graph, 2), ["mien"]);
        for (field, name, size) in [(11, "images", 300), (12, "logits", 2)] {
            let info = messages(graph, field)[0];
            assert_eq!(texts(info, 1), [name]);
            let kind = messages(messages(info, 2)[0], 1)[0];
            assert_eq!(numbers(kind, 1), [1]);
            let dims = messages(messages(kind, 2)[0], 1);
            assert_eq!((texts(dims[0], 2), numbers(dims[1], 1)), (vec!["batch"], vec![size]));
        }
        let tensors = messages(graph, 5);
        assert_eq!(tensors.len(), 2);
        assert_eq!(
            (numbers(tensors[0], 1), numbers(tensors[0], 2), texts(tensors[0], 8)),
            (vec![2, 300], vec![1], vec!["fc.weight"])
        );
        let raw = messages(tensors[0], 9)[0];
        assert_eq!(
            (raw.len(), &raw[4..8], &raw[2396..]),
            (2400, &0.5f32.to_le_bytes()[..], &299.5f32.to_le_bytes()[..])
        );
        assert_eq!(messages(tensors[1], 9)[0], [(-1.0f32).to_le_bytes(), 0.5f32.to_le_bytes()].concat());

        let nodes = nodes(&model);
        assert_eq!(
            nodes[0],
            (
                "Gemm",
                vec!["images", "fc.weight", "fc.bias"],
                vec!["/Gemm_0"],
                BTreeMap::from([("transB", vec![1])])
            )
        );
        assert_eq!(nodes[1], ("Identity", vec!["/Gemm_0"], vec!["logits"], BTreeMap::new()));
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let error = |graph: Graph| {
            let mut bytes = Vec::new();
            graph.write(&mut bytes, &BTreeMap::new()).unwrap_err().to_string()
        };
        let mut twice = Graph::new("twice");
        twice.tensor("w", &[1], || Ok(vec![0.0]));
        twice.tensor("w", &[1], || Ok(vec![0.0]));
        assert_eq!(error(twice), "two tensors are named 'w'");
        let mut short = Graph::new("short");
        short.tensor("w", &[2, 2], || Ok(vec![0.0; 3]));
        assert_eq!(error(short), "tensor 'w' of shape [2, 2] comes with 3 values");
        let mut lost = Graph::new("lost");
        lost.tensor("w", &[1], || Err(io::Error::other("the device is gone")));
        assert_eq!(error(lost), "the device is gone");
        let mut large = Graph::new("large");
        large.tensor("w", &[1 << 29], || unreachable!("a model that is too large is refused first"));
        assert_eq!(error(large), "the model has 2048 MB, and an ONNX file holds at most 2047");
    }
}
