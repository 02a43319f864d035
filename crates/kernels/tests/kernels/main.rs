//! The kernels against naive references, at every level of the processor that runs the tests.

mod common;
mod convolution;
mod linear;
mod norm;
mod pool;
mod properties;
