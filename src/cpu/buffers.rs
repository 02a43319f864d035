//! The engine's tensors as slices, and room for what kernels write.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;

pub(super) type Primitive = FloatTensor<Flex>;

/// A tensor's numbers; `tensor` must be contiguous.
pub(super) fn values(tensor: &Primitive) -> &[f32] {
    tensor.as_slice::<f32>().expect("the layers give contiguous f32 tensors")
}

/// The numbers of a tensor that is empty where there is none.
pub(super) fn present(tensor: &Primitive) -> Option<&[f32]> {
    Some(values(tensor)).filter(|values| !values.is_empty())
}

/// How many numbers a thread works on at a time.
pub(crate) const BLOCK: usize = 1 << 15;

/// An uninitialised buffer of `len` numbers, all of which a kernel is about to write; clearing it first would
/// cost a tenth of a step.
#[allow(clippy::uninit_vec)]
pub(super) fn buffer(len: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    // SAFETY: the capacity is there, any bits are an f32, and each kernel writes its whole output before it
    // reads any of it (their documentation says so and their tests check it on buffers of NaN).
    unsafe { values.set_len(len) };
    values
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape))
}
