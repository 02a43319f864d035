//! The number format of the expensive operations.

/// In which number format convolutions and matrix products are computed. Weights, normalisation and loss stay
/// in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ComputeType {
    /// 32-bit floats; on the CPU by the kernels of [`cpu`](super).
    #[default]
    F32,
    /// 32-bit floats by the engine's own operations everywhere.
    EngineF32,
    /// bfloat16: the range of f32 with 8 bits of precision.
    Bf16,
    /// IEEE half precision, with loss scaling in training.
    F16,
}

impl std::fmt::Display for ComputeType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::EngineF32 => "f32 without fast_conv",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}
