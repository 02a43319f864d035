//! Parameters as a plain, ordered table of named tensors.
//!
//! A model is a description that holds [`ParamId`]s; the numbers live here. So the averaged weights of an EMA
//! are simply a second table for the same model, freezing is a flag, and optimizers, checkpoints and weight
//! files walk one list. The names are torchvision's, built where a layer is declared: `path / "features" / 0`
//! declares `features.0.weight` and `features.0.bias`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Div;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use mien_kernels::ConvShape;
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;

use crate::cpu::Packed;
use crate::error::{Error, Result};
use crate::random::{Purpose, rng};

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and this standard deviation.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform between plus and minus `bound`.
    Uniform {
        /// Largest absolute value.
        bound: f64,
    },
    /// The same number everywhere.
    Constant(f32),
}

/// What a tensor of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A weight that gradients change.
    Weight,
    /// Kept by the forward pass (running statistics of batch norm); never has a gradient.
    Buffer,
}

/// A parameter as a layer declares it: name, shape and how it starts.
#[derive(Clone, Debug)]
pub struct Spec {
    /// torchvision's name, `features.0.weight`.
    pub name: String,
    /// Shape as torch has it.
    pub shape: Vec<usize>,
    /// Start values when training from scratch (torchvision's initialisation).
    pub init: Init,
    /// Start values when this is a new layer on top of pretrained ones (the default of `torch.nn`).
    pub init_on_pretrained: Init,
    /// Whether gradients or the forward pass change it.
    pub kind: Kind,
}

/// Which entry of a [`Params`] table a layer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(pub(crate) usize);

/// Where in the tree of names a layer is being declared.
#[derive(Clone)]
pub struct Path {
    prefix: String,
    specs: Rc<RefCell<Vec<Spec>>>,
}

impl Path {
    /// The root of a tree without parameters.
    pub fn root() -> Self {
        Self { prefix: String::new(), specs: Rc::default() }
    }

    /// Declares `name` under this path with the same start from scratch and on pretrained layers.
    pub fn declare(&self, name: &str, shape: &[usize], init: Init, kind: Kind) -> ParamId {
        self.declare_with(name, shape, init, init, kind)
    }

    /// Declares `name` under this path.
    pub fn declare_with(
        &self,
        name: &str,
        shape: &[usize],
        init: Init,
        init_on_pretrained: Init,
        kind: Kind,
    ) -> ParamId {
        let mut specs = self.specs.borrow_mut();
        specs.push(Spec {
            name: (self / name).prefix,
            shape: shape.to_vec(),
            init,
            init_on_pretrained,
            kind,
        });
        ParamId(specs.len() - 1)
    }

    /// Everything that was declared, in order.
    pub fn into_specs(self) -> Vec<Spec> {
        self.specs.take()
    }
}

impl<T: std::fmt::Display> Div<T> for &Path {
    type Output = Path;
    fn div(self, name: T) -> Path {
        let prefix =
            if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) };
        Path { prefix, specs: Rc::clone(&self.specs) }
    }
}

impl<T: std::fmt::Display> Div<T> for Path {
    type Output = Path;
    fn div(self, name: T) -> Path {
        &self / name
    }
}

/// One named tensor. The value is kept flat; layers read it in its shape.
#[derive(Clone)]
pub struct Param {
    /// torchvision's name, such as `features.0.weight`.
    pub name: String,
    /// Shape as torch has it.
    pub shape: Vec<usize>,
    /// Whether gradients or the forward pass change it.
    pub kind: Kind,
    /// A frozen weight gets no gradient; batch norm with frozen weights uses and keeps its running
    /// statistics.
    pub frozen: bool,
    /// `[shape.product()]`, f32.
    pub value: Tensor<1>,
}

impl Param {
    /// Whether the optimizer moves it.
    pub fn is_trained(&self) -> bool {
        self.kind == Kind::Weight && !self.frozen
    }
}

/// The weights of a convolution and of the batch norm that is folded into it.
pub(crate) type Fused = (ParamId, Option<ParamId>);

/// A model's numbers: an ordered table of named tensors on one device.
pub struct Params {
    entries: Vec<Param>,
    /// Weights of convolutions packed for the CPU's kernels, alone or with a batch norm; forgotten as soon as
    /// anything may change.
    packed: Mutex<HashMap<Fused, Arc<Packed>>>,
}

impl Clone for Params {
    fn clone(&self) -> Self {
        Self::of(self.entries.clone())
    }
}

impl Params {
    fn of(entries: Vec<Param>) -> Self {
        Self { entries, packed: Mutex::default() }
    }

    /// A convolution's weights, packed by `pack` once for all passes without gradients.
    pub(crate) fn packed(&self, of: Fused, shape: &ConvShape, pack: impl FnOnce() -> Packed) -> Arc<Packed> {
        let packed = || self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = packed().get(&of).filter(|weights| weights.fits(shape)).cloned();
        known.unwrap_or_else(|| {
            // Not under the lock: packing waits for other threads, which may come here, too.
            let weights = Arc::new(pack());
            packed().insert(of, Arc::clone(&weights));
            weights
        })
    }

    fn forget_packed(&mut self) {
        self.packed.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Fresh values for `specs`. Each tensor's values depend on the seed and its name alone.
    ///
    /// `on_pretrained` takes the start values of new layers on top of pretrained ones.
    pub fn init(specs: &[Spec], seed: u64, on_pretrained: bool, device: &Device) -> Self {
        let entries = specs
            .iter()
            .map(|spec| {
                let init = if on_pretrained { spec.init_on_pretrained } else { spec.init };
                let values = start_values(init, spec.shape.iter().product(), seed, &spec.name);
                Param {
                    name: spec.name.clone(),
                    shape: spec.shape.clone(),
                    kind: spec.kind,
                    frozen: false,
                    value: tensor(values, device),
                }
            })
            .collect();
        Self::of(entries)
    }

    /// All entries, in the order of declaration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Param> {
        self.entries.iter()
    }

    /// All entries, to change them.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Param> {
        self.forget_packed();
        self.entries.iter_mut()
    }

    /// The entry that a layer declared under `id`.
    pub fn entry(&self, id: ParamId) -> &Param {
        &self.entries[id.0]
    }

    /// The tensor of one entry in its own shape; `D` must be its rank.
    pub fn get<const D: usize>(&self, id: ParamId) -> Tensor<D> {
        let entry = &self.entries[id.0];
        let shape: [usize; D] =
            entry.shape.as_slice().try_into().expect("a layer reads its tensor with the rank it declared");
        entry.value.clone().reshape(shape)
    }

    /// Replaces the value of a buffer.
    pub fn set(&mut self, id: ParamId, value: Tensor<1>) {
        self.forget_packed();
        self.entries[id.0].value = value;
    }

    /// How many numbers are learned (buffers do not count), as torch's `sum(p.numel() for p in
    /// model.parameters())`.
    pub fn count(&self) -> usize {
        count(self.entries.iter().filter(|entry| entry.kind == Kind::Weight))
    }

    /// How many numbers the optimizer moves.
    pub fn count_trained(&self) -> usize {
        count(self.entries.iter().filter(|entry| entry.is_trained()))
    }

    /// The device of the values.
    pub fn device(&self) -> Device {
        self.entries[0].value.device()
    }

    /// The same table with gradients on for every trained weight.
    pub fn for_training(self) -> Self {
        let entries = self
            .entries
            .into_iter()
            .map(|entry| Param { value: leaf(entry.value, entry.kind, entry.frozen), ..entry });
        Self::of(entries.collect())
    }

    /// A copy of the table without gradients: cheap, the numbers are shared.
    pub fn for_inference(&self) -> Self {
        let entries = self
            .entries
            .iter()
            .map(|entry| Param { value: entry.value.clone().without_autodiff(), ..entry.clone() });
        Self::of(entries.collect())
    }

    /// Freezes the entries whose names `which` accepts.
    pub fn freeze(&mut self, which: impl Fn(&str) -> bool) {
        for entry in &mut self.entries {
            entry.frozen = which(&entry.name);
        }
    }

    /// The position of each name.
    pub fn positions(&self) -> HashMap<&str, usize> {
        self.entries.iter().enumerate().map(|(position, entry)| (entry.name.as_str(), position)).collect()
    }

    /// The values of one entry on the host.
    pub fn values(&self, position: usize) -> Result<Vec<f32>> {
        host_values(self.entries[position].value.clone())
    }
}

/// A tensor's values on the host, as f32.
pub fn host_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.without_autodiff().into_data_as::<f32>();
    data.as_slice::<f32>()
        .map(<[f32]>::to_vec)
        .map_err(|e| Error::Compute(format!("cannot read a tensor back from the device: {e:?}")))
}

/// A flat tensor from host values.
pub fn tensor(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// A leaf of a new graph over `value`, with a gradient where the optimizer needs one.
pub fn leaf(value: Tensor<1>, kind: Kind, frozen: bool) -> Tensor<1> {
    let value = value.without_autodiff().autodiff();
    if kind == Kind::Weight && !frozen { value.require_grad() } else { value }
}

fn count<'a>(entries: impl Iterator<Item = &'a Param>) -> usize {
    entries.map(|entry| entry.shape.iter().product::<usize>()).sum()
}

/// Draws `count` start values. Blocks of a fixed size have a stream each, so that threads change nothing.
fn start_values(init: Init, count: usize, seed: u64, name: &str) -> Vec<f32> {
    const BLOCK: usize = 1 << 16;
    let key = u64::from_le_bytes(
        *blake3::hash(name.as_bytes()).as_bytes().first_chunk().expect("a hash has 32 bytes"),
    );
    let mut values = vec![0.0; count];
    match init {
        Init::Constant(value) => values.fill(value),
        Init::Normal { std } => {
            let normal =
                Normal::new(0.0, std).expect("standard deviations come from layer sizes and are finite");
            values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
                let mut rng = rng(seed, Purpose::Weights, key, block as u64);
                values.iter_mut().for_each(|value| *value = normal.sample(&mut rng) as f32);
            });
        }
        Init::Uniform { bound } => values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
            let mut rng = rng(seed, Purpose::Weights, key, block as u64);
            values.iter_mut().for_each(|value| *value = rng.random_range(-bound..bound) as f32);
        }),
    }
    values
}
