//! One pass through a model: which numbers it uses, whether it trains, and in which number format it
//! computes.

use std::cell::{Cell, RefCell};

use burn::tensor::{DType, FloatDType, Tensor};
use chacha20::ChaCha8Rng;

use crate::cpu::{self, ComputeType};
use crate::model::params::{ParamId, Params};
use crate::random::{Purpose, rng};

/// One pass through a model: which numbers to use, and whether it trains.
pub struct Pass<'a> {
    pub(super) params: &'a Params,
    train: Option<Train>,
    compute: ComputeType,
    /// New running statistics, to be stored after the step.
    updates: RefCell<Vec<(ParamId, Tensor<1>)>>,
}

struct Train {
    seed: u64,
    step: u64,
    /// How many layers have drawn so far.
    draws: Cell<u64>,
}

impl<'a> Pass<'a> {
    /// Evaluation: no dropout, batch norm with its running statistics.
    pub fn eval(params: &'a Params) -> Self {
        Self { params, train: None, compute: ComputeType::F32, updates: RefCell::default() }
    }

    /// Training: dropout drawn from (seed, step), batch norm with the statistics of the batch.
    pub fn train(params: &'a Params, seed: u64, step: u64) -> Self {
        let train = Some(Train { seed, step, draws: Cell::new(0) });
        Self { params, train, compute: ComputeType::F32, updates: RefCell::default() }
    }

    /// Computes convolutions and matrix products in another number format.
    #[must_use]
    pub fn with_compute(mut self, compute: ComputeType) -> Self {
        self.compute = compute;
        self
    }

    /// Whether this pass trains: dropout drops, batch norm uses the statistics of the batch.
    pub fn is_training(&self) -> bool {
        self.train.is_some()
    }

    /// A declared tensor in its own shape, f32, on its device; with a gradient where it is being trained.
    ///
    /// # Panics
    /// `D` is not the rank that it was declared with.
    pub fn param<const D: usize>(&self, id: ParamId) -> Tensor<D> {
        self.params.get(id)
    }

    /// Stores a new running statistic after this step, in a pass that trains; `value` is flat.
    pub fn update(&self, id: ParamId, value: Tensor<1>) {
        if self.is_training() {
            self.updates.borrow_mut().push((id, value.without_autodiff()));
        }
    }

    /// The running statistics that this pass has renewed.
    pub fn into_updates(self) -> Vec<(ParamId, Tensor<1>)> {
        self.updates.into_inner()
    }

    /// A tensor in the number format of expensive operations; [`Pass::raise`] brings their result back.
    pub fn lower<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        match self.compute {
            ComputeType::F32 | ComputeType::EngineF32 => tensor,
            ComputeType::Bf16 => tensor.cast(FloatDType::BF16),
            ComputeType::F16 => tensor.cast(FloatDType::F16),
        }
    }

    /// A tensor as f32, the number format of everything else.
    pub fn raise<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        if tensor.dtype() == DType::F32 { tensor } else { tensor.cast(FloatDType::F32) }
    }

    /// The generator of the next random layer, drawn from (seed, step, place) so that its numbers are the
    /// same on every device and after a restart; `None` in evaluation.
    pub(super) fn next_rng(&self) -> Option<ChaCha8Rng> {
        let train = self.train.as_ref()?;
        let place = train.draws.replace(train.draws.get() + 1);
        Some(rng(train.seed, Purpose::Dropout, train.step, place))
    }

    /// Whether the CPU's kernels compute for this tensor.
    pub(super) fn is_fast<const D: usize>(&self, tensor: &Tensor<D>) -> bool {
        self.compute == ComputeType::F32 && tensor.dtype() == DType::F32 && cpu::serves(&tensor.device())
    }

    /// Whether they compute without gradients, with weights that are packed once.
    pub(super) fn packs(&self, x: &Tensor<4>) -> bool {
        self.is_fast(x) && self.train.is_none() && !x.device().is_autodiff()
    }
}
