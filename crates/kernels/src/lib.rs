//! Kernels for training and running convolutional networks on CPUs: convolutions, batch norms, max-pools and
//! linear layers, forward and all gradients, in `f32`.
//!
//! Slices and shapes go in, slices come out: contiguous, images as NCHW, weights as OIHW. Work goes to the
//! current rayon pool.
//!
//! ```
//! use mien_kernels::{ConvShape, Epilogue, conv_forward, conv_input_gradient, conv_weight_gradient};
//!
//! let (in_channels, out_channels) = (16, 32);
//! let (kernel, stride, padding) = (3, 1, 1);
//! let (batch, height, width) = (2, 20, 30);
//! let shape = ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding };
//! let (input, weight, bias) = (vec![0.5; shape.input_len()], vec![0.1; shape.weight_len()], vec![0.0; 32]);
//! let mut output = vec![0.0; shape.output_len()];
//! let epilogue = Epilogue { bias: Some(&bias), residual: None, relu: true };
//! conv_forward(&shape, &input, &weight, epilogue, &mut output);
//!
//! let gradient = vec![1.0; shape.output_len()]; // by the output, after its ReLU
//! let (mut by_input, mut by_weight) = (vec![0.0; input.len()], vec![0.0; weight.len()]);
//! let mut by_bias = vec![0.0; bias.len()];
//! conv_input_gradient(&shape, &gradient, Some(&output), &weight, None, &mut by_input);
//! conv_weight_gradient(&shape, &input, &gradient, Some(&output), &mut by_weight, Some(&mut by_bias));
//! ```
//!
//! # What is computed how
//!
//! - 3×3 convolutions of stride 1 and their gradients: Winograd's F(4×4, 3×3) with a quarter of the
//!   multiplications, F(2×2, 3×3) for maps of one or two pixels to a side.
//! - Every other convolution, first layers, and few pixels with many weights: products of the weights with
//!   pixels that are packed tile by tile; no image is ever unfolded whole (im2col).
//! - Linear layers of few rows (images) pass once over the weights as they lie; of many rows, as packed
//!   products.
//! - Batch norm, the shortcut's sum and ReLU together, channel by channel.
//!
//! Bias, residual and ReLU are applied to the sums before they are first written; a ReLU's gradient is
//! applied to the gradient as it is read, and the bias's is summed up while the weights' is.
//!
//! # Processors
//!
//! One source is compiled for AVX-512, for AVX2 with FMA, and for what every processor of the target has
//! (SSE2 on x86-64, elsewhere arrays that the compiler turns into the target's vectors). The best level is
//! found at run time; [`with_level`] and the environment variable `MIEN_KERNELS` lower it.
//!
//! # Results
//!
//! - The same bits for any number of threads: sums are cut up by the shape, never by the threads. The levels
//!   differ from each other in the last bits.
//! - Relative errors in the L2 norm for normally distributed data, against sums in `f64`, as the tests hold
//!   them: Winograd's convolution and its gradients 4e-6 (direct sums in `f32`: 1e-6 and less), other
//!   convolutions 2e-6, linear layers 1e-6, the bias's gradient 1e-6 of its terms' norm. Batch norm's mean
//!   and variance 1e-6, its output 3e-6 and gradient by the input 5e-6 for means that are twenty times the
//!   deviations.
//! - What is not finite does not vanish. A tile of Winograd's with an infinity may become NaN as a whole.
//!
//! # Memory
//!
//! Scratch is kept between calls. Each thread has its own, of 4 · 36 · 48 · channels bytes for Winograd's
//! convolution (3.5 MB for 512 channels), of 4 · 48 · kernel² · channels bytes or 256 KiB for the others, and
//! of at most 20 MB for gradients by the weights. What a call shares between threads comes from a pool that
//! keeps at most 128 MiB; [`release_scratch`] empties it. A convolution takes from it its packed weights,
//! 4 · 36 · C · K bytes for Winograd's (38 MB for 512 channels both in and out); the gradient by the weights
//! 4 · 36 · (C · K + 256 · (C + K)) bytes (76 MB), or, where C · K is small, at most 32 MiB.
//!
//! # Errors
//!
//! Wrong lengths of slices are a caller's mistake: all functions panic, with a message that names the
//! function, the slice and both lengths. Batches of zero images are nothing to do.

// The kernels index small matrices of vectors by row and column.
#![allow(clippy::needless_range_loop)]
#![warn(missing_docs, clippy::undocumented_unsafe_blocks)]

mod conv;
mod direct;
mod dispatch;
mod epilogue;
mod level;
mod linear;
mod norm;
mod parallel;
mod pool;
mod product;
mod reduction;
mod scratch;
mod shape;
mod simd;
mod source;
mod winograd;

pub use conv::{
    PackedWeights, bias_gradient, conv_forward, conv_forward_packed, conv_input_gradient,
    conv_weight_gradient,
};
pub use epilogue::Epilogue;
pub use level::{Level, with_level};
pub use linear::{linear_forward, linear_input_gradient, linear_weight_gradient, matmul};
pub use norm::{Norm, NormGradients, Statistics, norm_apply, norm_backward, norm_forward};
pub use pool::{max_pool_backward, max_pool_forward};
pub use scratch::release_scratch;
pub use shape::{ConvShape, LinearShape, MatmulShape, NormShape, PoolShape};
