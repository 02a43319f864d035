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
    /// This size.
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
    /// An empty graph.
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

    /// `torch.nn.functional.conv2d` with a square step: x `[B, I, H, W]`, weight `[O, I, k, k]`, bias `[O]`
    /// -> `[B, O, H', W']`
    pub fn conv(
        &mut self,
        x: &Value,
        weight: &Value,
        bias: Option<&Value>,
        stride: usize,
        padding: usize,
    ) -> Value {
        let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
        self.node("Conv", &inputs, &[("strides", ints([stride; 2])), ("pads", ints([padding; 4]))])
    }

    /// `torch.nn.functional.batch_norm` in evaluation, each parameter `[C]`.
    pub fn batch_norm(
        &mut self,
        x: &Value,
        weight: &Value,
        bias: &Value,
        mean: &Value,
        var: &Value,
        epsilon: f32,
    ) -> Value {
        self.node(
            "BatchNormalization",
            &[x, weight, bias, mean, var],
            &[("epsilon", Attribute::Float(epsilon))],
        )
    }

    /// `torch.nn.functional.linear`: x `[B, I]`, weight `[O, I]`, bias `[O]` -> `[B, O]`
    pub fn gemm(&mut self, x: &Value, weight: &Value, bias: &Value) -> Value {
        self.node("Gemm", &[x, weight, bias], &[("transB", Attribute::Int(1))])
    }

    /// Matrix product over the last two axes, the others broadcast.
    pub fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("MatMul", &[a, b], &[])
    }

    /// The larger of x and 0.
    pub fn relu(&mut self, x: &Value) -> Value {
        self.node("Relu", &[x], &[])
    }

    /// 1 / (1 + exp(−x))
    pub fn sigmoid(&mut self, x: &Value) -> Value {
        self.node("Sigmoid", &[x], &[])
    }

    /// Softmax over one axis; −1 is the last.
    pub fn softmax(&mut self, x: &Value, axis: i64) -> Value {
        self.node("Softmax", &[x], &[("axis", Attribute::Int(axis))])
    }

    /// Sum, broadcast.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Add", &[a, b], &[])
    }

    /// Product element by element, broadcast.
    pub fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Mul", &[a, b], &[])
    }

    /// `torch.nn.functional.max_pool2d` with a square kernel: `[B, C, H, W] -> [B, C, H', W']`
    pub fn max_pool(&mut self, x: &Value, kernel: usize, stride: usize, padding: usize) -> Value {
        let pads = ("pads", ints([padding; 4]));
        self.node(
            "MaxPool",
            &[x],
            &[("kernel_shape", ints([kernel; 2])), ("strides", ints([stride; 2])), pads],
        )
    }

    /// Mean over the map: `[B, C, H, W] -> [B, C, 1, 1]`
    pub fn global_avg_pool(&mut self, x: &Value) -> Value {
        self.node("GlobalAveragePool", &[x], &[])
    }

    /// Maximum over the map: `[B, C, H, W] -> [B, C, 1, 1]`
    pub fn global_max_pool(&mut self, x: &Value) -> Value {
        self.node("GlobalMaxPool", &[x], &[])
    }

    /// `torch.nn.functional.adaptive_avg_pool2d` of a map of `size` (H, W): `[B, C, H, W] -> [B, C, out,
    /// out]`
    pub fn adaptive_avg_pool(&mut self, x: &Value, size: (usize, usize), out: usize) -> Value {
        let (height, width) = size;
        if (height, width) == (out, out) {
            return x.clone();
        }
        if height.is_multiple_of(out) && width.is_multiple_of(out) {
            let cell = [height / out, width / out];
            return self.node("AveragePool", &[x], &[("kernel_shape", ints(cell)), ("strides", ints(cell))]);
        }
        // Cells that overlap: rows · x · columns, where each row holds one cell's weights.
        let rows = self.constant(&[out, height], cell_weights(height, out));
        let columns = self.constant(&[width, out], transposed(&cell_weights(width, out), width));
        let x = self.matmul(&rows, x); // [out, H] x [B, C, H, W] -> [B, C, out, W]
        self.matmul(&x, &columns) // [B, C, out, W] x [W, out] -> [B, C, out, out]
    }

    /// Mean over one axis, which stays with size 1.
    pub fn reduce_mean(&mut self, x: &Value, axis: i64) -> Value {
        self.node(
            "ReduceMean",
            &[x],
            &[("axes", Attribute::Ints(vec![axis])), ("keepdims", Attribute::Int(1))],
        )
    }

    /// Maximum over one axis, which stays with size 1.
    pub fn reduce_max(&mut self, x: &Value, axis: i64) -> Value {
        self.node(
            "ReduceMax",
            &[x],
            &[("axes", Attribute::Ints(vec![axis])), ("keepdims", Attribute::Int(1))],
        )
    }

    /// Joins values along one axis.
    pub fn concat(&mut self, values: &[&Value], axis: i64) -> Value {
        self.node("Concat", values, &[("axis", Attribute::Int(axis))])
    }

    /// `[B, ...] -> [B, product of the others]`
    pub fn flatten(&mut self, x: &Value) -> Value {
        self.node("Flatten", &[x], &[("axis", Attribute::Int(1))])
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
    fn node(&mut self, operator: &str, inputs: &[&Value], attributes: &[(&str, Attribute)]) -> Value {
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
        attributes.iter().for_each(|(name, attribute)| node.message(5, &attribute.encode(name))); // .attribute
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

/// The weights of adaptive average pooling along one axis, `[out, size]`: torch's cell i reaches from
/// ⌊i·size/out⌋ to ⌈(i+1)·size/out⌉.
fn cell_weights(size: usize, out: usize) -> Vec<f32> {
    let mut weights = vec![0.0; out * size];
    for cell in 0..out {
        let (start, end) = (cell * size / out, ((cell + 1) * size).div_ceil(out));
        weights[cell * size + start..cell * size + end].fill(1.0 / (end - start) as f32);
    }
    weights
}

/// `[rows, columns] -> [columns, rows]`
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
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
enum Attribute {
    Float(f32),
    Int(i64),
    Ints(Vec<i64>),
}

fn ints<const N: usize>(values: [usize; N]) -> Attribute {
    Attribute::Ints(values.iter().map(|&value| value as i64).collect())
}

impl Attribute {
    /// An `AttributeProto`.
    fn encode(&self, name: &str) -> Message {
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

/// Protobuf's wire format (<https://protobuf.dev/programming-guides/encoding/>): fields of a number, a wire
/// type and a value.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(&mut self, field: u64, value: u64) {
        self.varint(field << 3); // wire type 0: varint
        self.varint(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5); // wire type 5: four bytes
        self.0.extend(value.to_le_bytes());
    }

    /// The head of a field of `length` bytes, which follow.
    fn begin(&mut self, field: u64, length: u64) {
        self.varint(field << 3 | 2); // wire type 2: a length and bytes
        self.varint(length);
    }

    fn string(&mut self, field: u64, text: &str) {
        self.begin(field, text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.begin(field, message.len());
        self.0.extend(&message.0);
    }
}

/// What a field of `length` bytes takes with its head.
fn field_length(field: u64, length: u64) -> u64 {
    let mut head = Message::default();
    head.begin(field, length);
    head.len() + length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field as it stands in the file.
    #[derive(Clone, Debug, PartialEq)]
    enum Field<'a> {
        Int(u64),
        Float(f32),
        Bytes(&'a [u8]),
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().expect("a varint ends");
            *bytes = rest;
            value |= u64::from(first & 127) << shift;
            if *first < 128 {
                return value;
            }
            shift += 7;
        }
    }

    /// The values of every field `number` of a message.
    fn fields(mut bytes: &[u8], number: u64) -> Vec<Field<'_>> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Int(varint(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(value)
                }
                5 => {
                    let (value, rest) = bytes.split_first_chunk().expect("four bytes");
                    bytes = rest;
                    Field::Float(f32::from_le_bytes(*value))
                }
                other => panic!("wire type {other}"),
            };
            if key >> 3 == number {
                found.push(field);
            }
        }
        found
    }

    fn messages(bytes: &[u8], number: u64) -> Vec<&[u8]> {
        let bytes_of = |field| match field {
            Field::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        fields(bytes, number).into_iter().map(bytes_of).collect()
    }

    fn texts(bytes: &[u8], number: u64) -> Vec<&str> {
        messages(bytes, number).into_iter().map(|text| std::str::from_utf8(text).unwrap()).collect()
    }

    fn numbers(bytes: &[u8], number: u64) -> Vec<i64> {
        let number_of = |field| match field {
            Field::Int(value) => value as i64,
            other => panic!("{other:?}"),
        };
        fields(bytes, number).into_iter().map(number_of).collect()
    }

    fn written(graph: Graph) -> Vec<u8> {
        let mut bytes = Vec::new();
        graph.write(&mut bytes, &BTreeMap::from([("mien".to_owned(), "{}".to_owned())])).unwrap();
        bytes
    }

    /// An operator's type, inputs, outputs and attributes by name.
    type Node<'a> = (&'a str, Vec<&'a str>, Vec<&'a str>, BTreeMap<&'a str, Vec<i64>>);

    fn nodes(model: &[u8]) -> Vec<Node<'_>> {
        let graph = messages(model, 7)[0];
        let attribute = |bytes| {
            let values = match numbers(bytes, 20)[0] {
                1 => vec![match fields(bytes, 2)[0] {
                    Field::Float(value) => i64::from(value.to_bits()),
                    ref other => panic!("{other:?}"),
                }],
                2 => numbers(bytes, 3),
                7 => numbers(bytes, 8),
                other => panic!("attribute type {other}"),
            };
            (texts(bytes, 1)[0], values)
        };
        let node = |bytes| {
            (
                texts(bytes, 4)[0],
                texts(bytes, 1),
                texts(bytes, 2),
                messages(bytes, 5).into_iter().map(attribute).collect(),
            )
        };
        messages(graph, 1).into_iter().map(node).collect()
    }

    #[test]
    fn the_model_has_versions_properties_inputs_outputs_and_weights() {
        let mut graph = Graph::new("mien");
        let x = graph.input("images", &[Dim::Named("batch"), Dim::Fixed(300)]);
        let weight =
            graph.tensor("fc.weight", &[2, 300], || Ok((0..600).map(|value| value as f32 / 2.0).collect()));
        let bias = graph.tensor("fc.bias", &[2], || Ok(vec![-1.0, 0.5]));
        let y = graph.gemm(&x, &weight, &bias);
        graph.output("logits", &y, &[Dim::Named("batch"), Dim::Fixed(2)]);
        let model = written(graph);

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

    /// Checks the operator that `build` adds to a graph of one input, `x`, and returns its result's name.
    fn check(
        build: impl FnOnce(&mut Graph, &Value) -> Value,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, &[i64])],
    ) {
        let mut graph = Graph::new("one");
        let x = graph.input("x", &[]);
        assert_eq!(build(&mut graph, &x).name(), format!("/{operator}_0"));
        let model = written(graph);
        let nodes = nodes(&model);
        let expected: BTreeMap<&str, Vec<i64>> =
            attributes.iter().map(|(name, values)| (*name, values.to_vec())).collect();
        assert_eq!((nodes.len(), nodes[0].0, &nodes[0].1[..], &nodes[0].3), (1, operator, inputs, &expected));
    }

    #[test]
    fn every_operator_has_its_inputs_and_attributes() {
        let epsilon = i64::from(1e-5f32.to_bits());
        check(
            |g, x| g.conv(x, x, None, 2, 3),
            "Conv",
            &["x", "x"],
            &[("strides", &[2, 2]), ("pads", &[3, 3, 3, 3])],
        );
        check(
            |g, x| g.conv(x, x, Some(x), 1, 0),
            "Conv",
            &["x"; 3],
            &[("strides", &[1, 1]), ("pads", &[0; 4])],
        );
        check(
            |g, x| g.batch_norm(x, x, x, x, x, 1e-5),
            "BatchNormalization",
            &["x"; 5],
            &[("epsilon", &[epsilon])],
        );
        check(|g, x| g.matmul(x, x), "MatMul", &["x", "x"], &[]);
        check(|g, x| g.relu(x), "Relu", &["x"], &[]);
        check(|g, x| g.sigmoid(x), "Sigmoid", &["x"], &[]);
        check(|g, x| g.softmax(x, -1), "Softmax", &["x"], &[("axis", &[-1])]);
        check(|g, x| g.add(x, x), "Add", &["x", "x"], &[]);
        check(|g, x| g.mul(x, x), "Mul", &["x", "x"], &[]);
        let pool: [(&str, &[i64]); 3] = [("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("pads", &[1; 4])];
        check(|g, x| g.max_pool(x, 3, 2, 1), "MaxPool", &["x"], &pool);
        check(|g, x| g.global_avg_pool(x), "GlobalAveragePool", &["x"], &[]);
        check(|g, x| g.global_max_pool(x), "GlobalMaxPool", &["x"], &[]);
        let cells: [(&str, &[i64]); 2] = [("kernel_shape", &[2, 3]), ("strides", &[2, 3])];
        check(|g, x| g.adaptive_avg_pool(x, (14, 21), 7), "AveragePool", &["x"], &cells);
        check(|g, x| g.reduce_mean(x, 1), "ReduceMean", &["x"], &[("axes", &[1]), ("keepdims", &[1])]);
        check(|g, x| g.reduce_max(x, 1), "ReduceMax", &["x"], &[("axes", &[1]), ("keepdims", &[1])]);
        check(|g, x| g.concat(&[x, x], 1), "Concat", &["x", "x"], &[("axis", &[1])]);
        check(|g, x| g.flatten(x), "Flatten", &["x"], &[("axis", &[1])]);
        check(|g, x| g.reshape(x, &[0, -1]), "Reshape", &["x", "/shape_0"], &[]);
    }

    #[test]
    fn a_shape_is_stored_as_whole_numbers() {
        let mut graph = Graph::new("one");
        let x = graph.input("x", &[]);
        graph.reshape(&x, &[0, -1]);
        let model = written(graph);
        let shape = messages(messages(&model, 7)[0], 5)[0];
        assert_eq!((numbers(shape, 1), numbers(shape, 2)), (vec![2], vec![7]));
        assert_eq!(messages(shape, 9)[0], [0i64.to_le_bytes(), (-1i64).to_le_bytes()].concat());
    }

    #[test]
    fn adaptive_cells_are_torchs() {
        // torch.nn.functional.adaptive_avg_pool1d of five numbers to three reads 0..2, 1..4 and 3..5.
        let third = 1.0 / 3.0;
        assert_eq!(
            cell_weights(5, 3),
            [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, third, third, third, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]
        );
        assert_eq!(cell_weights(1, 2), [1.0, 1.0]);
        assert_eq!(transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let mut graph = Graph::new("one");
        let x = graph.input("x", &[]);
        assert_eq!(graph.adaptive_avg_pool(&x, (7, 7), 7), x);
        graph.adaptive_avg_pool(&x, (8, 4), 7);
        let model = written(graph);
        let operators: Vec<_> =
            nodes(&model).into_iter().map(|(operator, inputs, ..)| (operator, inputs)).collect();
        assert_eq!(
            operators,
            [("MatMul", vec!["/constant_0", "x"]), ("MatMul", vec!["/MatMul_0", "/constant_1"])]
        );
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
