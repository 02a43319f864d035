//! The vector operations that the kernels are written in, and their three implementations.
//!
//! A value of an implementation is the proof that the processor has its instructions, so that arithmetic is
//! safe. What reads or writes memory is as unsafe as its pointer.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pair;
mod vector;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use pair::Pair;
pub(crate) use vector::{MAX_LANES, Simd, Widths};
