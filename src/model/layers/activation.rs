//! Activations, as `torch.nn` defines them.

use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, hard_sigmoid, hard_swish, relu, sigmoid, silu};

use crate::model::onnx::{Exporter, Value};

/// A function that is applied to each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x · hardsigmoid(x) (Howard et al., ICCV 2019, arXiv:1905.02244).
    Hardswish,
    /// min(max(x / 6 + 1/2, 0), 1).
    Hardsigmoid,
    /// 1 / (1 + exp(−x)).
    Sigmoid,
    /// x · sigmoid(x), also called swish (Elfwing et al. 2017, arXiv:1702.03118).
    Silu,
    /// x · Φ(x) with the normal distribution's Φ, exact, not by tanh (Hendrycks and Gimpel 2016,
    /// arXiv:1606.08415).
    Gelu,
}

impl Activation {
    /// Applies it to each number; the shape stays.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => relu(x),
            Self::Hardswish => hard_swish(x),
            Self::Hardsigmoid => hard_sigmoid(x, 1.0 / 6.0, 0.5),
            Self::Sigmoid => sigmoid(x),
            Self::Silu => silu(x),
            Self::Gelu => gelu(x),
        }
    }

    /// The same in ONNX.
    pub fn onnx(self, x: &Value, to: &mut Exporter) -> Value {
        match self {
            Self::Relu => to.graph.relu(x),
            Self::Hardswish => to.graph.hard_swish(x),
            Self::Hardsigmoid => to.graph.hard_sigmoid(x),
            Self::Sigmoid => to.graph.sigmoid(x),
            Self::Silu => {
                let gate = to.graph.sigmoid(x);
                to.graph.mul(x, &gate)
            }
            Self::Gelu => to.graph.gelu(x),
        }
    }

    /// What a kernel that fuses ReLU has to do: whether it applies ReLU, and what is left to apply after it.
    pub(super) fn fused(activation: Option<Self>) -> (bool, Option<Self>) {
        let is_relu = activation == Some(Self::Relu);
        (is_relu, activation.filter(|_| !is_relu))
    }

    /// `activation`, if there is one.
    pub(super) fn apply<const D: usize>(activation: Option<Self>, x: Tensor<D>) -> Tensor<D> {
        match activation {
            Some(activation) => activation.forward(x),
            None => x,
        }
    }
}
