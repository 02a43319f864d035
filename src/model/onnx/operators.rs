//! The operators of a [`Graph`], each named after what it computes in torch.
//!
//! Shapes: B batch, C channels, H W height and width, I inputs, O outputs.

use super::graph::{Attribute, Graph, Value, ints};

/// How a convolution goes over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Step between two windows, in pixels.
    pub stride: usize,
    /// Rows and columns of zeros around the input.
    pub padding: usize,
    /// How many parts the channels are cut into.
    pub groups: usize,
}

impl Graph<'_> {
    /// `torch.nn.functional.conv2d` with a square step: x `[B, I, H, W]`, weight `[O, I / groups, k, k]`,
    /// bias `[O]` -> `[B, O, H', W']`
    pub fn conv(&mut self, x: &Value, weight: &Value, bias: Option<&Value>, window: Window) -> Value {
        let Window { stride, padding, groups } = window;
        let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
        let mut attributes = vec![("strides", ints([stride; 2])), ("pads", ints([padding; 4]))];
        if groups != 1 {
            attributes.push(("group", Attribute::Int(groups as i64)));
        }
        self.node("Conv", &inputs, &attributes)
    }

    /// `torch.nn.functional.batch_norm` in evaluation; `of` are weight, bias, running mean and running
    /// variance, each `[C]`.
    pub fn batch_norm(&mut self, x: &Value, of: &[Value; 4], epsilon: f32) -> Value {
        let [weight, bias, mean, var] = of;
        let epsilon = ("epsilon", Attribute::Float(epsilon));
        self.node("BatchNormalization", &[x, weight, bias, mean, var], &[epsilon])
    }

    /// `torch.nn.functional.layer_norm` over the last axis; weight and bias `[C]`.
    pub fn layer_norm(&mut self, x: &Value, weight: &Value, bias: &Value, epsilon: f32) -> Value {
        let settings = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(epsilon))];
        self.node("LayerNormalization", &[x, weight, bias], &settings)
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

    /// `x · hardsigmoid(x)`, one number at a time.
    pub fn hard_swish(&mut self, x: &Value) -> Value {
        self.node("HardSwish", &[x], &[])
    }

    /// min(max(x / 6 + 1/2, 0), 1)
    pub fn hard_sigmoid(&mut self, x: &Value) -> Value {
        let line = [("alpha", Attribute::Float(1.0 / 6.0)), ("beta", Attribute::Float(0.5))];
        self.node("HardSigmoid", &[x], &line)
    }

    /// x · (erf(x / √2) + 1) / 2; the operator of that name came with operator set 20.
    pub fn gelu(&mut self, x: &Value) -> Value {
        let [root, one, half] =
            [std::f32::consts::FRAC_1_SQRT_2, 1.0, 0.5].map(|v| self.constant(&[1], vec![v]));
        let scaled = self.mul(x, &root);
        let erf = self.node("Erf", &[&scaled], &[]);
        let doubled = self.add(&erf, &one);
        let share = self.mul(&doubled, &half);
        self.mul(x, &share)
    }

    /// 1 / (1 + exp(−x))
    pub fn sigmoid(&mut self, x: &Value) -> Value {
        self.node("Sigmoid", &[x], &[])
    }

    /// Softmax over one axis; −1 is the last.
    pub fn softmax(&mut self, x: &Value, axis: i64) -> Value {
        self.node("Softmax", &[x], &[("axis", Attribute::Int(axis))])
    }

    /// a + b, broadcast as in NumPy.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::decode::{messages, nodes, numbers};
    use super::*;

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
        let model = graph.written();
        let nodes = nodes(&model);
        let expected: BTreeMap<&str, Vec<i64>> =
            attributes.iter().map(|(name, values)| (*name, values.to_vec())).collect();
        assert_eq!((nodes.len(), nodes[0].0, &nodes[0].1[..], &nodes[0].3), (1, operator, inputs, &expected));
    }

    #[test]
    fn every_operator_has_its_inputs_and_attributes() {
        let epsilon = i64::from(1e-5f32.to_bits());
        check(
            |g, x| g.conv(x, x, None, Window { stride: 2, padding: 3, groups: 1 }),
            "Conv",
            &["x", "x"],
            &[("strides", &[2, 2]), ("pads", &[3, 3, 3, 3])],
        );
        check(
            |g, x| g.conv(x, x, Some(x), Window { stride: 1, padding: 0, groups: 4 }),
            "Conv",
            &["x"; 3],
            &[("strides", &[1, 1]), ("pads", &[0; 4]), ("group", &[4])],
        );
        check(
            |g, x| g.batch_norm(x, &[(); 4].map(|()| x.clone()), 1e-5),
            "BatchNormalization",
            &["x"; 5],
            &[("epsilon", &[epsilon])],
        );
        check(
            |g, x| g.layer_norm(x, x, x, 1e-5),
            "LayerNormalization",
            &["x"; 3],
            &[("axis", &[-1]), ("epsilon", &[epsilon])],
        );
        check(|g, x| g.hard_swish(x), "HardSwish", &["x"], &[]);
        let bits = |value: f32| i64::from(value.to_bits());
        let line: [(&str, &[i64]); 2] = [("alpha", &[bits(1.0 / 6.0)]), ("beta", &[bits(0.5)])];
        check(|g, x| g.hard_sigmoid(x), "HardSigmoid", &["x"], &line);
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
        let model = graph.written();
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
        let model = graph.written();
        let operators: Vec<_> =
            nodes(&model).into_iter().map(|(operator, inputs, ..)| (operator, inputs)).collect();
        assert_eq!(
            operators,
            [("MatMul", vec!["/constant_0", "x"]), ("MatMul", vec!["/MatMul_0", "/constant_1"])]
        );
    }

    #[test]
    fn gelu_is_made_of_erf() {
        let mut graph = Graph::new("one");
        let x = graph.input("x", &[]);
        graph.gelu(&x);
        let model = graph.written();
        let operators: Vec<_> = nodes(&model).into_iter().map(|(operator, ..)| operator).collect();
        assert_eq!(operators, ["Mul", "Erf", "Add", "Mul", "Mul"]);
    }
}
