//! The CPU's own kernels: convolutions, batch norms, max-pools and linear layers by `mien-kernels`, as
//! operations of the tensor engine with a backward pass of their own. They stand in for the engine's on its
//! CPU device; see `serves`.
//!
//! Also here: `blend`, which averages weights in place, and `into_values` for other arithmetic on the
//! host.
//!
//! Public is [`ComputeType`] alone; layers and optimizers call the rest.
//!
//! Shapes: B batch, I input and O output channels, H W height and width.

mod buffers;
mod compute;
mod norm;
mod shortcut;

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::{Device, Tensor};
use mien_kernels as kernels;
use mien_kernels::{ConvShape, Epilogue, LinearShape, PackedWeights, PoolShape};
use rayon::prelude::*;

pub(crate) use buffers::BLOCK;
use buffers::{Primitive, buffer, present, tensor, values};
pub use compute::ComputeType;
pub(crate) use norm::batch_norm;
pub(crate) use shortcut::Shortcut;

/// Whether these kernels compute on `device`: the engine's own CPU.
pub(crate) fn serves(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// Convolution, bias and, where `relu` says so, ReLU in one pass: `[B, I, H, W] -> [B, O, H', W']`; weight
/// `[O, I, k, k]`, bias `[O]`. The tensors are f32, on a device that is served. The gradient by x takes up
/// what a shortcut from x brings past the layers between.
pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    [stride, padding]: [usize; 2],
    relu: bool,
    shortcut: Option<&Shortcut>,
) -> Tensor<4> {
    let ([batch, in_channels, height, width], [out_channels, _, kernel, _]) = (x.dims(), weight.dims());
    let shape = ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding };
    let bias = bias.unwrap_or_else(|| Tensor::empty([0], &x.device()));
    let [x, weight] = [x, weight].map(Tensor::into_dispatch);
    let layer = Layer { shape, relu };
    Tensor::from_dispatch(<Dispatch as Kernels>::convolve(
        x,
        weight,
        bias.into_dispatch(),
        layer,
        shortcut.cloned(),
    ))
}

/// The weights of a convolution, packed once for many passes without gradients, and its bias.
pub(crate) struct Packed {
    weights: PackedWeights,
    bias: Option<Vec<f32>>,
}

impl Packed {
    /// Packs weights `[O, I, k, k]`, and a bias `[O]`, for inputs of this shape. With `line`, a factor and a
    /// summand for each output channel, the convolution ends with y · factor + summand: a batch norm costs
    /// nothing then.
    pub(crate) fn new(
        shape: &ConvShape,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        line: Option<[Vec<f32>; 2]>,
    ) -> Self {
        let (mut weight, mut bias) = (into_values(weight.flatten(0, 3)), bias.map(into_values));
        if let Some([factor, mut summand]) = line {
            for (row, factor) in weight.chunks_exact_mut(shape.weight_len() / shape.out_channels).zip(&factor)
            {
                row.iter_mut().for_each(|weight| *weight *= factor);
            }
            for ((summand, bias), factor) in summand.iter_mut().zip(bias.unwrap_or_default()).zip(factor) {
                *summand += bias * factor;
            }
            bias = Some(summand);
        }
        Self { weights: PackedWeights::new(shape, &weight), bias }
    }

    /// Whether they serve inputs of this shape.
    pub(crate) fn fits(&self, shape: &ConvShape) -> bool {
        self.weights.fits(shape)
    }
}

/// relu(convolution + bias + residual) without a gradient, the sum and ReLU where they are wanted.
pub(crate) fn conv2d_packed(
    x: Tensor<4>,
    packed: Arc<Packed>,
    residual: Option<Tensor<4>>,
    shape: ConvShape,
    relu: bool,
) -> Tensor<4> {
    let residual = residual.unwrap_or_else(|| Tensor::empty([0; 4], &x.device()));
    let [x, residual] = [x, residual].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as Kernels>::convolve_packed(x, residual, Layer { shape, relu }, packed))
}

/// A tensor's numbers on the host, without a copy where nobody else holds them.
pub(crate) fn into_values(tensor: Tensor<1>) -> Vec<f32> {
    let data = tensor.without_autodiff().into_data_as::<f32>();
    data.try_into_vec::<f32>().expect("the data were asked for as f32")
}

/// old · decay + new · (1 − decay), in place where nobody else holds `old`: `[n]`. f32, on a device that is
/// served.
pub(crate) fn blend(old: Tensor<1>, new: Tensor<1>, decay: f64) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as Kernels>::average(old.into_dispatch(), new.into_dispatch(), decay))
}

/// Max-pool as torch's: `[B, C, H, W] -> [B, C, H', W']`. f32, on a device that is served.
pub(crate) fn max_pool2d(x: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let shape = PoolShape { planes: batch * channels, height, width, kernel, stride, padding };
    Tensor::from_dispatch(<Dispatch as Kernels>::pool(x.into_dispatch(), [batch, channels], shape))
}

/// Linear layer, with ReLU where `relu` says so: `[B, I] -> [B, O]`; weight `[O, I]`, bias `[O]`. f32, on a
/// device that is served.
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, relu: bool) -> Tensor<2> {
    let ([rows, inputs], [outputs, _]) = (x.dims(), weight.dims());
    let shape = LinearShape { rows, inputs, outputs };
    let y = <Dispatch as Kernels>::project(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        shape,
        relu,
    );
    Tensor::from_dispatch(y)
}

/// A convolution and what is fused with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    shape: ConvShape,
    relu: bool,
}

/// The operations as the engine dispatches them; call the functions of this module instead. A bias or
/// residual that is not there is empty.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Kernels: Backend {
    /// See [`conv2d`].
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
        shortcut: Option<Shortcut>,
    ) -> FloatTensor<Self>;
    /// See [`conv2d_packed`].
    fn convolve_packed(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        layer: Layer,
        packed: Arc<Packed>,
    ) -> FloatTensor<Self>;
    /// See [`blend`].
    fn average(old: FloatTensor<Self>, new: FloatTensor<Self>, decay: f64) -> FloatTensor<Self>;
    /// See [`max_pool2d`]; `outer` is batch and channels.
    fn pool(x: FloatTensor<Self>, outer: [usize; 2], shape: PoolShape) -> FloatTensor<Self>;
    /// See [`linear`].
    fn project(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: LinearShape,
        relu: bool,
    ) -> FloatTensor<Self>;
}

impl Kernels for Flex {
    fn convolve(
        x: Primitive,
        weight: Primitive,
        bias: Primitive,
        layer: Layer,
        _: Option<Shortcut>,
    ) -> Primitive {
        let Layer { shape, relu } = layer;
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let (height, width) = shape.output();
        let mut output = buffer(shape.output_len());
        let epilogue = Epilogue { bias: present(&bias), residual: None, relu };
        kernels::conv_forward(&shape, values(&x), values(&weight), epilogue, &mut output);
        tensor(output, [shape.batch, shape.out_channels, height, width])
    }

    fn convolve_packed(x: Primitive, residual: Primitive, layer: Layer, packed: Arc<Packed>) -> Primitive {
        let Layer { shape, relu } = layer;
        let [x, residual] = [x, residual].map(|tensor| tensor.to_contiguous());
        let (height, width) = shape.output();
        let mut output = buffer(shape.output_len());
        let epilogue = Epilogue { bias: packed.bias.as_deref(), residual: present(&residual), relu };
        kernels::conv_forward_packed(&shape, values(&x), &packed.weights, epilogue, &mut output);
        tensor(output, [shape.batch, shape.out_channels, height, width])
    }

    fn average(old: Primitive, new: Primitive, decay: f64) -> Primitive {
        let (mut old, new) = (old.to_contiguous(), new.to_contiguous());
        let (keep, take) = (decay as f32, (1.0 - decay) as f32);
        let averages = old.storage_mut::<f32>().par_chunks_mut(BLOCK).zip(values(&new).par_chunks(BLOCK));
        averages.for_each(|(old, new)| {
            old.iter_mut().zip(new).for_each(|(old, new)| *old = *old * keep + *new * take)
        });
        old
    }

    fn pool(x: Primitive, outer: [usize; 2], shape: PoolShape) -> Primitive {
        pooled(&x.to_contiguous(), outer, &shape).0
    }

    fn project(
        x: Primitive,
        weight: Primitive,
        bias: Primitive,
        shape: LinearShape,
        relu: bool,
    ) -> Primitive {
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let mut output = buffer(shape.rows * shape.outputs);
        kernels::linear_forward(&shape, values(&x), values(&weight), Some(values(&bias)), relu, &mut output);
        tensor(output, [shape.rows, shape.outputs])
    }
}

/// The maxima, and where in its window each was found.
fn pooled(x: &Primitive, [batch, channels]: [usize; 2], shape: &PoolShape) -> (Primitive, Vec<u8>) {
    let (height, width) = shape.output();
    let (mut output, mut indices) = (buffer(shape.output_len()), vec![0; shape.output_len()]);
    kernels::max_pool_forward(shape, values(x), &mut output, &mut indices);
    (tensor(output, [batch, channels, height, width]), indices)
}

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
        shortcut: Option<Shortcut>,
    ) -> FloatTensor<Self> {
        let prepared =
            Convolve.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful();
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive().to_contiguous());
        let output = Flex::convolve(x.clone(), weight.clone(), bias, layer, None);
        match prepared {
            OpsKind::Tracked(prepared) => {
                let gate = layer.relu.then(|| output.clone());
                prepared.finish(Convolved { x, weight, gate, layer, shortcut }, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn convolve_packed(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        layer: Layer,
        packed: Arc<Packed>,
    ) -> FloatTensor<Self> {
        FloatTensor::<Self>::new(Flex::convolve_packed(
            x.into_primitive(),
            residual.into_primitive(),
            layer,
            packed,
        ))
    }

    fn average(old: FloatTensor<Self>, new: FloatTensor<Self>, decay: f64) -> FloatTensor<Self> {
        FloatTensor::<Self>::new(Flex::average(old.into_primitive(), new.into_primitive(), decay))
    }

    fn pool(x: FloatTensor<Self>, outer: [usize; 2], shape: PoolShape) -> FloatTensor<Self> {
        let prepared = Pool.prepare::<C>([x.node()]).compute_bound().stateful();
        let (output, indices) = pooled(&x.into_primitive().to_contiguous(), outer, &shape);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((indices, outer, shape), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }

    fn project(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: LinearShape,
        relu: bool,
    ) -> FloatTensor<Self> {
        let prepared =
            Project.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful();
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive().to_contiguous());
        let output = Flex::project(x.clone(), weight.clone(), bias, shape, relu);
        match prepared {
            OpsKind::Tracked(prepared) => {
                let gate = relu.then(|| output.clone());
                prepared.finish(Projected { x, weight, gate, shape }, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }
}

/// The backward pass of a convolution.
#[derive(Debug)]
struct Convolve;

/// What it needs.
#[derive(Clone, Debug)]
struct Convolved {
    x: Primitive,
    weight: Primitive,
    /// The output, where ReLU came after: the gradient passes where it is above 0.
    gate: Option<Primitive>,
    layer: Layer,
    shortcut: Option<Shortcut>,
}

impl Backward<Flex, 3> for Convolve {
    type State = Convolved;

    fn backward(self, ops: Ops<Convolved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Convolved { x, weight, gate, layer: Layer { shape, .. }, shortcut } = ops.state;
        let (gradient, gate) = (values(&gradient), gate.as_ref().map(values));
        let ConvShape { out_channels, in_channels, kernel, .. } = shape;
        let mut of_bias = bias_node.map(|node| (node, buffer(out_channels))); // an empty one has no node
        let wanted = of_bias.as_mut().map(|(_, of_bias)| of_bias.as_mut_slice());
        if let Some(node) = weight_node {
            let mut of_weight = buffer(shape.weight_len());
            kernels::conv_weight_gradient(&shape, values(&x), gradient, gate, &mut of_weight, wanted);
            grads.register::<Flex>(node.id, tensor(of_weight, [out_channels, in_channels, kernel, kernel]));
        } else if let Some(wanted) = wanted {
            kernels::bias_gradient(&shape, gradient, gate, wanted);
        }
        if let Some((node, of_bias)) = of_bias {
            grads.register::<Flex>(node.id, tensor(of_bias, [out_channels]));
        }
        if let Some(node) = x_node {
            let mut of_x = buffer(shape.input_len());
            let brought = shortcut.and_then(|shortcut| shortcut.take());
            kernels::conv_input_gradient(
                &shape,
                gradient,
                gate,
                values(&weight),
                brought.as_deref(),
                &mut of_x,
            );
            grads.register::<Flex>(
                node.id,
                tensor(of_x, [shape.batch, shape.in_channels, shape.height, shape.width]),
            );
        }
    }
}

/// The backward pass of a max-pool; its state: where each maximum was, batch and channels, and the shape.
#[derive(Debug)]
struct Pool;

impl Backward<Flex, 1> for Pool {
    type State = (Vec<u8>, [usize; 2], PoolShape);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [Some(node)] = ops.parents else { return };
        let (indices, [batch, channels], shape) = ops.state;
        let mut of_x = buffer(shape.input_len());
        kernels::max_pool_backward(&shape, values(&gradient), &indices, &mut of_x);
        grads.register::<Flex>(node.id, tensor(of_x, [batch, channels, shape.height, shape.width]));
    }
}

/// The backward pass of a linear layer.
#[derive(Debug)]
struct Project;

/// What it needs.
#[derive(Clone, Debug)]
struct Projected {
    x: Primitive,
    weight: Primitive,
    gate: Option<Primitive>,
    shape: LinearShape,
}

impl Backward<Flex, 3> for Project {
    type State = Projected;

    fn backward(self, ops: Ops<Projected, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Projected { x, weight, gate, shape } = ops.state;
        let gated: Vec<f32>;
        let gradient = match &gate {
            None => values(&gradient),
            Some(output) => {
                // As torch: what is not a number lets the gradient pass.
                let pass = |(gradient, output): (&f32, &f32)| if *output <= 0.0 { 0.0 } else { *gradient };
                gated = values(&gradient).iter().zip(values(output)).map(pass).collect();
                &gated
            }
        };
        let LinearShape { rows, inputs, outputs } = shape;
        if let Some(node) = bias_node {
            let mut of_bias = vec![0.0f32; outputs];
            for row in gradient.chunks_exact(outputs) {
                of_bias.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            grads.register::<Flex>(node.id, tensor(of_bias, [outputs]));
        }
        if let Some(node) = weight_node {
            let mut of_weight = buffer(outputs * inputs);
            kernels::linear_weight_gradient(&shape, values(&x), gradient, &mut of_weight);
            grads.register::<Flex>(node.id, tensor(of_weight, [outputs, inputs]));
        }
        if let Some(node) = x_node {
            let mut of_x = buffer(rows * inputs);
            kernels::linear_input_gradient(&shape, gradient, values(&weight), &mut of_x);
            grads.register::<Flex>(node.id, tensor(of_x, [rows, inputs]));
        }
    }
}
