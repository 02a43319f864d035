//! Convolutions: the public functions and the choice of the algorithm.

use crate::direct::{self, Panels};
use crate::dispatch::vectorized;
use crate::epilogue::Epilogue;
use crate::level::Level;
use crate::parallel::for_each;
use crate::scratch::Pointer;
use crate::shape::{ConvShape, check_len};
use crate::simd::Simd;
use crate::source::{Cursor, Source};
use crate::winograd::{self, Correlation, TileSize, Transformed};

/// Weights packed once for many forward passes.
pub struct PackedWeights {
    packed: Packed,
    shape: ConvShape,
}

enum Packed {
    Winograd(Transformed),
    Direct(Panels),
}

impl PackedWeights {
    /// Packs the weights `[out_channels, in_channels, kernel, kernel]` for inputs of this shape, at the
    /// current [`Level`].
    ///
    /// # Panics
    /// If `weight` has another length than the shape says, or the shape's stride or kernel is zero.
    pub fn new(shape: &ConvShape, weight: &[f32]) -> Self {
        check_shape("PackedWeights::new", shape);
        check_len("PackedWeights::new", "weight", weight.len(), shape.weight_len());
        Self { packed: Packed::new(shape, weight), shape: *shape }
    }

    /// Whether they serve this shape too: the same channels, kernel, stride and padding. Batch, height and
    /// width may differ, though the way that was chosen for the first shape may not be the fastest for
    /// another.
    pub fn fits(&self, shape: &ConvShape) -> bool {
        let ConvShape { batch, height, width, .. } = *shape;
        *shape == ConvShape { batch, height, width, ..self.shape }
    }

    /// Bytes of memory that the packed weights take up.
    pub fn bytes(&self) -> usize {
        match &self.packed {
            Packed::Winograd(weights) => weights.bytes(),
            Packed::Direct(weights) => weights.bytes(),
        }
    }
}

/// Whether Winograd's way is possible, and the faster one, for a sum over this many channels and maps of this
/// size.
///
/// The transforms of the outputs cost as much as some channels' products, and transformed weights take up
/// four times the memory: few channels, or few tiles for many weights, do not pay for them. The limits were
/// measured.
fn prefers_winograd(shape: &ConvShape, channels: usize, (height, width): (usize, usize)) -> bool {
    let tiles = shape.batch * height.div_ceil(4) * width.div_ceil(4);
    let possible = shape.kernel == 3 && shape.stride == 1 && shape.padding <= 2;
    possible && channels >= 4 && (tiles >= 16 || shape.in_channels * shape.out_channels <= 128 * 128)
}

/// The level for Winograd's convolution, whose strips are a vector wide: half of a long one would be idle in
/// a narrow map.
fn strip_level(width: usize) -> Level {
    if width > 8 { Level::current() } else { Level::current().eight_lanes() }
}

impl Packed {
    fn new(shape: &ConvShape, weight: &[f32]) -> Self {
        let (height, width) = shape.output();
        if prefers_winograd(shape, shape.in_channels, (height, width)) {
            let tile = TileSize::for_outputs(height, width);
            Self::Winograd(Transformed::new(
                strip_level(width),
                tile,
                weight,
                shape.out_channels,
                shape.in_channels,
                false,
            ))
        } else {
            Self::Direct(Panels::new(Level::current(), shape, weight))
        }
    }

    fn forward(&self, shape: &ConvShape, input: &[f32], epilogue: Epilogue, output: &mut [f32]) {
        match self {
            Self::Winograd(weights) => {
                winograd::correlate(&Correlation::of(shape), Source::open(input), weights, epilogue, output)
            }
            Self::Direct(weights) => direct::forward(shape, input, weights, epilogue, output),
        }
    }
}

/// output = relu(convolution of the input with the weights + bias + residual), as the epilogue says.
///
/// input `[batch, in_channels, height, width]`, weight `[out_channels, in_channels, kernel, kernel]`, output
/// `[batch, out_channels, …]` of [`ConvShape::output`], which is overwritten.
///
/// # Panics
/// If a slice has another length than the shape says, or the shape's stride or kernel is zero.
pub fn conv_forward(
    shape: &ConvShape,
    input: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    output: &mut [f32],
) {
    check_forward("conv_forward", shape, input, epilogue, output);
    check_len("conv_forward", "weight", weight.len(), shape.weight_len());
    if !shape.is_empty() {
        Packed::new(shape, weight).forward(shape, input, epilogue, output);
    }
}

/// [`conv_forward`] with weights that were packed before, at the level they were packed for.
///
/// # Panics
/// As [`conv_forward`], and if the weights do not fit the shape.
pub fn conv_forward_packed(
    shape: &ConvShape,
    input: &[f32],
    weights: &PackedWeights,
    epilogue: Epilogue,
    output: &mut [f32],
) {
    let name = "conv_forward_packed";
    check_forward(name, shape, input, epilogue, output);
    assert!(
        weights.fits(shape),
        "{name}: the weights were packed for {:?}, not for {shape:?}",
        weights.shape
    );
    if !shape.is_empty() {
        weights.packed.forward(shape, input, epilogue, output);
    }
}

/// The gradient by the input, from that by the output.
///
/// With `relu_output`, the output of a forward pass with ReLU, the gradient passes where that is not zero or
/// less (also where it is not a number). input_gradient `[batch, in_channels, height, width]` is overwritten;
/// a residual of its shape is added.
///
/// # Panics
/// If a slice has another length than the shape says, or the shape's stride or kernel is zero.
pub fn conv_input_gradient(
    shape: &ConvShape,
    output_gradient: &[f32],
    relu_output: Option<&[f32]>,
    weight: &[f32],
    residual: Option<&[f32]>,
    input_gradient: &mut [f32],
) {
    let name = "conv_input_gradient";
    check_backward(name, shape, output_gradient, relu_output);
    check_len(name, "weight", weight.len(), shape.weight_len());
    check_len(name, "input_gradient", input_gradient.len(), shape.input_len());
    if let Some(residual) = residual {
        check_len(name, "residual", residual.len(), shape.input_len());
    }
    if shape.is_empty() {
        match residual {
            None => input_gradient.fill(0.0),
            Some(residual) => input_gradient.copy_from_slice(residual),
        }
        return;
    }
    let epilogue = Epilogue { residual, ..Epilogue::default() };
    let gradient = Source { values: output_gradient, gate: relu_output };
    if prefers_winograd(shape, shape.out_channels, (shape.height, shape.width)) {
        let tile = TileSize::for_outputs(shape.height, shape.width);
        let weights = Transformed::new(
            strip_level(shape.width),
            tile,
            weight,
            shape.in_channels,
            shape.out_channels,
            true,
        );
        winograd::correlate(&Correlation::turned(shape), gradient, &weights, epilogue, input_gradient);
    } else {
        direct::input_gradient(Level::current(), shape, gradient, weight, epilogue, input_gradient);
    }
}

/// The gradients by the weights and, if it is wanted, by the bias, which costs next to nothing here.
///
/// `relu_output` as in [`conv_input_gradient`]. weight_gradient `[out_channels, in_channels, kernel, kernel]`
/// and bias_gradient `[out_channels]` are overwritten.
///
/// # Panics
/// If a slice has another length than the shape says, or the shape's stride or kernel is zero.
pub fn conv_weight_gradient(
    shape: &ConvShape,
    input: &[f32],
    output_gradient: &[f32],
    relu_output: Option<&[f32]>,
    weight_gradient: &mut [f32],
    bias_gradient: Option<&mut [f32]>,
) {
    let name = "conv_weight_gradient";
    check_backward(name, shape, output_gradient, relu_output);
    check_len(name, "input", input.len(), shape.input_len());
    check_len(name, "weight_gradient", weight_gradient.len(), shape.weight_len());
    if let Some(bias) = &bias_gradient {
        check_len(name, "bias_gradient", bias.len(), shape.out_channels);
    }
    if shape.is_empty() {
        weight_gradient.fill(0.0);
        return bias_gradient.into_iter().for_each(|bias| bias.fill(0.0));
    }
    let gradient = Source { values: output_gradient, gate: relu_output };
    if prefers_winograd(shape, shape.in_channels, shape.output()) {
        winograd::weight_gradient(
            Level::current(),
            &Correlation::of(shape),
            input,
            gradient,
            weight_gradient,
            bias_gradient,
        );
    } else {
        direct::weight_gradient(Level::current(), shape, input, gradient, weight_gradient, bias_gradient);
    }
}

/// The gradient by the bias alone: the sums over images and pixels. `relu_output` as in
/// [`conv_input_gradient`].
///
/// # Panics
/// If a slice has another length than the shape says, or the shape's stride or kernel is zero.
pub fn bias_gradient(
    shape: &ConvShape,
    output_gradient: &[f32],
    relu_output: Option<&[f32]>,
    bias_gradient: &mut [f32],
) {
    let name = "bias_gradient";
    check_backward(name, shape, output_gradient, relu_output);
    check_len(name, "bias_gradient", bias_gradient.len(), shape.out_channels);
    let (level, (height, width)) = (Level::current(), shape.output());
    let (planes, to) = (shape.out_channels, Pointer::to(bias_gradient));
    let gradient = Source { values: output_gradient, gate: relu_output };
    for_each(planes, output_gradient.len() as f64, |k| {
        let mut sum = 0.0;
        for image in 0..shape.batch {
            // SAFETY: the plane lies inside the slices.
            unsafe {
                add_plane(level, &gradient, (image * planes + k) * height * width, height * width, &mut sum)
            };
        }
        // SAFETY: each task writes its own channel.
        unsafe { *to.get().add(k) = sum as f32 };
    });
}

vectorized!(fn add_plane(source: &Source, start: usize, len: usize, sum: &mut f64) = add_plane_of);

/// Adds so many values of the source to the sum.
///
/// # Safety
/// They lie inside it.
#[inline(always)]
unsafe fn add_plane_of<S: Simd>(s: S, source: &Source, start: usize, len: usize, sum: &mut f64) {
    // SAFETY: the caller's promise.
    unsafe {
        if source.gate.is_some() {
            add_values(s, source.at::<true>(start), len, sum);
        } else {
            add_values(s, source.at::<false>(start), len, sum);
        }
    }
}

/// # Safety
/// So many values lie inside the source.
#[inline(always)]
unsafe fn add_values<S: Simd, const GATED: bool>(s: S, from: Cursor<GATED>, len: usize, sum: &mut f64) {
    // Short sums in f32, their sum in f64.
    const CHUNK: usize = 1024;
    for first in (0..len).step_by(CHUNK) {
        let mut sums = [s.splat(0.0); 4];
        let end = len.min(first + CHUNK);
        for (i, x) in (first..end).step_by(S::LANES).enumerate() {
            // SAFETY: the mask ends where the values do.
            let v = unsafe { from.add(x).load_masked(s, s.mask(0, end - x)) };
            sums[i % 4] = s.add(sums[i % 4], v);
        }
        *sum += s.sum_of_four(sums);
    }
}

fn check_shape(name: &str, shape: &ConvShape) {
    assert!(
        shape.kernel > 0 && shape.stride > 0,
        "{name}: kernel and stride must be at least 1, found {shape:?}"
    );
}

fn check_forward(name: &str, shape: &ConvShape, input: &[f32], epilogue: Epilogue, output: &[f32]) {
    check_shape(name, shape);
    check_len(name, "input", input.len(), shape.input_len());
    check_len(name, "output", output.len(), shape.output_len());
    if let Some(bias) = epilogue.bias {
        check_len(name, "bias", bias.len(), shape.out_channels);
    }
    if let Some(residual) = epilogue.residual {
        check_len(name, "residual", residual.len(), shape.output_len());
    }
}

fn check_backward(name: &str, shape: &ConvShape, output_gradient: &[f32], relu_output: Option<&[f32]>) {
    check_shape(name, shape);
    check_len(name, "output_gradient", output_gradient.len(), shape.output_len());
    if let Some(output) = relu_output {
        check_len(name, "relu_output", output.len(), shape.output_len());
    }
}
