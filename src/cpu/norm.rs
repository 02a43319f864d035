//! Batch norm by the CPU's own kernels, with the shortcut's sum and ReLU after it.
//!
//! Shapes: B batch, C channels, H W height and width.

use std::sync::{Arc, OnceLock};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use mien_kernels as kernels;
use mien_kernels::{Norm, NormGradients, NormShape, Statistics};

use super::buffers::{Primitive, buffer, tensor, values};
use super::shortcut::Shortcut;

/// relu(norm(x) + residual) in one pass; the sum and ReLU are optional: `[B, C, H, W] -> [B, C, H,
/// W]`; weight and bias `[C]`. f32, on a device that is served.
///
/// It normalises with `given` statistics, or else with the batch's own, which it returns. A residual's
/// gradient goes to its shortcut, if it has one.
pub fn batch_norm(
    x: Tensor<4>,
    [weight, bias]: [Tensor<1>; 2],
    residual: Option<(Tensor<4>, Option<Shortcut>)>,
    given: Option<Statistics>,
    epsilon: f64,
    relu: bool,
) -> (Tensor<4>, Arc<OnceLock<Statistics>>) {
    let [batch, channels, height, width] = x.dims();
    let shape = NormShape { batch, channels, pixels: height * width };
    let layer = Layer {
        shape,
        dims: x.dims(),
        epsilon: epsilon as f32,
        relu,
        adds: residual.is_some(),
        fixed: given.is_some(),
    };
    let statistics = Arc::new(given.map_or_else(OnceLock::new, OnceLock::from));
    let (residual, shortcut) = match residual {
        None => (Tensor::empty([0; 4], &x.device()), None),
        Some((residual, None)) => (residual, None),
        Some((residual, shortcut)) => (residual.detach(), shortcut),
    };
    let [x, residual] = [x, residual].map(Tensor::into_dispatch);
    let [weight, bias] = [weight, bias].map(Tensor::into_dispatch);
    let beside = Beside { statistics: Arc::clone(&statistics), shortcut };
    let y = <Dispatch as Norms>::normalise(x, weight, bias, residual, layer, beside);
    (Tensor::from_dispatch(y), statistics)
}

/// A batch norm and what is fused with it.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    shape: NormShape,
    dims: [usize; 4],
    epsilon: f32,
    relu: bool,
    /// Without one the residual is empty.
    adds: bool,
    /// Whether the statistics were given.
    fixed: bool,
}

/// What goes in and comes out beside the tensors.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Those to normalise with; empty ones are filled with the batch's.
    statistics: Arc<OnceLock<Statistics>>,
    /// Where the residual's gradient goes, if the engine does not carry it.
    shortcut: Option<Shortcut>,
}

impl Layer {
    fn norm<'a>(&self, weight: &'a Primitive, bias: &'a Primitive) -> Norm<'a> {
        let &Self { shape, epsilon, relu, adds, .. } = self;
        Norm { shape, weight: values(weight), bias: values(bias), epsilon, adds, relu }
    }
}

/// The operation as the engine dispatches it; call [`batch_norm`] instead.
#[backend_extension(Flex, Autodiff)]
pub trait Norms: Backend {
    /// See [`batch_norm`].
    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        layer: Layer,
        beside: Beside,
    ) -> FloatTensor<Self>;
}

impl Norms for Flex {
    fn normalise(
        x: Primitive,
        weight: Primitive,
        bias: Primitive,
        residual: Primitive,
        layer: Layer,
        Beside { statistics, .. }: Beside,
    ) -> Primitive {
        let [x, weight, bias, residual] = [x, weight, bias, residual].map(|tensor| tensor.to_contiguous());
        let mut output = buffer(layer.shape.len());
        let (norm, residual) = (layer.norm(&weight, &bias), layer.adds.then(|| values(&residual)));
        match statistics.get() {
            Some(given) => kernels::norm_apply(&norm, given, values(&x), residual, &mut output),
            None => {
                let of_batch = kernels::norm_forward(&norm, values(&x), residual, &mut output);
                statistics.get_or_init(|| of_batch);
            }
        }
        tensor(output, layer.dims)
    }
}

impl<C: CheckpointStrategy> Norms for Autodiff<Flex, C> {
    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        layer: Layer,
        beside: Beside,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node(), residual.node()];
        let prepared = Normalise.prepare::<C>(nodes).compute_bound().stateful();
        let [x, weight, bias, residual] =
            [x, weight, bias, residual].map(|tensor| tensor.into_primitive().to_contiguous());
        let output =
            Flex::normalise(x.clone(), weight.clone(), bias.clone(), residual, layer, beside.clone());
        match prepared {
            OpsKind::Tracked(prepared) => {
                // Where nothing was added, the kernel finds ReLU's gate from x.
                let gate = (layer.relu && layer.adds).then(|| output.clone());
                prepared.finish(Normalised { x, weight, bias, gate, layer, beside }, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }
}

/// The backward pass.
#[derive(Debug)]
struct Normalise;

/// What it needs.
#[derive(Clone, Debug)]
struct Normalised {
    x: Primitive,
    weight: Primitive,
    bias: Primitive,
    gate: Option<Primitive>,
    layer: Layer,
    beside: Beside,
}

impl Backward<Flex, 4> for Normalise {
    type State = Normalised;

    fn backward(self, ops: Ops<Normalised, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node, residual_node] = ops.parents;
        let mut gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let Normalised { x, weight, bias, gate, layer, beside: Beside { statistics, shortcut } } = ops.state;
        let Layer { shape, dims, fixed, .. } = layer;
        let Some(statistics) = statistics.get() else { return };
        let is_wanted = layer.adds && (residual_node.is_some() || shortcut.is_some());
        let mut of_residual = is_wanted.then(|| buffer(shape.len()));
        let [mut of_weight, mut of_bias] = [buffer(shape.channels), buffer(shape.channels)];
        let to = NormGradients {
            images: gradient.storage_mut::<f32>(),
            residual: of_residual.as_deref_mut(),
            weight: &mut of_weight,
            bias: &mut of_bias,
        };
        let gate = gate.as_ref().map(values);
        kernels::norm_backward(&layer.norm(&weight, &bias), statistics, fixed, values(&x), gate, to);
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, gradient);
        }
        for (node, of_channels) in [(weight_node, of_weight), (bias_node, of_bias)] {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(of_channels, [shape.channels]));
            }
        }
        match (of_residual, shortcut, residual_node) {
            (Some(of_residual), Some(shortcut), _) => shortcut.put(of_residual),
            (Some(of_residual), None, Some(node)) => {
                grads.register::<Flex>(node.id, tensor(of_residual, dims))
            }
            _ => {}
        }
    }
}
