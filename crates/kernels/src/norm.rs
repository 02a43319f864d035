//! Batch norm with what follows it in residual networks: the shortcut's sum and ReLU.
//!
//! One task works on one channel of all images, so that what is read for the statistics is still in the cache
//! when it is normalised: as long as a channel fits there, each number comes from memory once and goes there
//! once.

use crate::dispatch::vectorized;
use crate::level::Level;
use crate::parallel::for_each;
use crate::scratch::Pointer;
use crate::shape::{NormShape, check_len};
use crate::simd::{MAX_LANES, Simd};

/// A batch norm: y = (x - mean) / √(variance + epsilon) · weight + bias, a residual if it `adds` one, then
/// ReLU if `relu` (Ioffe and Szegedy, ICML 2015, arXiv:1502.03167).
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Shape of the input, the output and what is added.
    pub shape: NormShape,
    /// The factor of each channel, `[channels]`.
    pub weight: &'a [f32],
    /// The summand of each channel, `[channels]`.
    pub bias: &'a [f32],
    /// What is added to the variance, so that no channel is divided by zero.
    pub epsilon: f32,
    /// Whether a residual of the input's shape is added.
    pub adds: bool,
    /// Whether negative results become zero, last of all.
    pub relu: bool,
}

/// What a batch norm subtracts and divides by, channel by channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean over images and pixels, `[channels]`.
    pub mean: Vec<f32>,
    /// Biased variance (squares divided by their number), `[channels]`.
    pub variance: Vec<f32>,
}

/// Where [`norm_backward`] writes the gradients.
pub struct NormGradients<'a> {
    /// In: the gradient by the output. Out: that by the input. `[batch, channels, pixels]`.
    pub images: &'a mut [f32],
    /// The gradient by the residual, `[batch, channels, pixels]`, if it is wanted.
    pub residual: Option<&'a mut [f32]>,
    /// The gradient by the weight, `[channels]`.
    pub weight: &'a mut [f32],
    /// The gradient by the bias, `[channels]`.
    pub bias: &'a mut [f32],
}

/// Normalises with the batch's own statistics, which it returns.
///
/// input, residual and output `[batch, channels, pixels]`; output is overwritten.
///
/// # Panics
/// If a slice has another length than the shape says, or a residual is there and not added, or the reverse.
pub fn norm_forward(norm: &Norm, input: &[f32], residual: Option<&[f32]>, output: &mut [f32]) -> Statistics {
    check("norm_forward", norm, &[("input", input), ("output", output)], residual);
    check_residual("norm_forward", norm, residual.is_some());
    let channels = norm.shape.channels;
    let mut statistics = Statistics { mean: vec![0.0; channels], variance: vec![0.0; channels] };
    let (means, variances) = (Pointer::to(&mut statistics.mean), Pointer::to(&mut statistics.variance));
    let (level, to) = (Level::current(), Pointer::to(output));
    for_each(if norm.shape.is_empty() { 0 } else { channels }, 4.0 * input.len() as f64, |channel| {
        let mut moments = Moments::default();
        // SAFETY: each task writes its own channel of slices whose lengths were checked.
        unsafe {
            measure(level, &norm.shape, input, channel, &mut moments);
            let (mean, variance) = (moments.mean as f32, (moments.squares / moments.count) as f32);
            (*means.get().add(channel), *variances.get().add(channel)) = (mean, variance);
            normalise(level, norm, &Line::new(norm, channel, mean, variance), input, residual, to);
        }
    });
    statistics
}

/// Normalises with statistics that are given, as in evaluation; otherwise as [`norm_forward`].
///
/// # Panics
/// As [`norm_forward`].
pub fn norm_apply(
    norm: &Norm,
    statistics: &Statistics,
    input: &[f32],
    residual: Option<&[f32]>,
    output: &mut [f32],
) {
    check("norm_apply", norm, &[("input", input), ("output", output)], residual);
    check_residual("norm_apply", norm, residual.is_some());
    check_statistics("norm_apply", norm, statistics);
    let (level, to) = (Level::current(), Pointer::to(output));
    for_each(norm.shape.channels, 2.0 * input.len() as f64, |channel| {
        let line = Line::new(norm, channel, statistics.mean[channel], statistics.variance[channel]);
        // SAFETY: as in `norm_forward`.
        unsafe { normalise(level, norm, &line, input, residual, to) };
    });
}

/// All gradients of a batch norm, from that by the output, which becomes that by the input in place.
///
/// `fixed`: the statistics were given ([`norm_apply`]), and do not depend on the input. `relu_output`: the
/// output of the forward pass; it may be missing where there is no ReLU, or where nothing is added before it.
/// As in PyTorch, the gradient passes where the output is not a number.
///
/// # Panics
/// If a slice has another length than the shape says, `relu_output` is missing where it is needed, or a
/// gradient by a residual is asked for that is not added.
pub fn norm_backward(
    norm: &Norm,
    statistics: &Statistics,
    fixed: bool,
    input: &[f32],
    relu_output: Option<&[f32]>,
    to: NormGradients,
) {
    let name = "norm_backward";
    check(name, norm, &[("input", input), ("the gradient", to.images)], relu_output);
    check_statistics(name, norm, statistics);
    check_len(name, "weight_gradient", to.weight.len(), norm.shape.channels);
    check_len(name, "bias_gradient", to.bias.len(), norm.shape.channels);
    if let Some(residual) = &to.residual {
        check_len(name, "the gradient by the residual", residual.len(), norm.shape.len());
        check_residual(name, norm, true);
    }
    assert!(!(norm.relu && norm.adds) || relu_output.is_some(), "{name}: ReLU after a sum needs relu_output");
    if norm.shape.is_empty() {
        to.weight.fill(0.0);
        return to.bias.fill(0.0);
    }
    let level = Level::current();
    let [images, by_weight, by_bias] = [to.images, to.weight, to.bias].map(Pointer::to);
    let by_residual = to.residual.map(Pointer::to);
    for_each(norm.shape.channels, 8.0 * input.len() as f64, |channel| {
        let line = Line::new(norm, channel, statistics.mean[channel], statistics.variance[channel]);
        let &Norm { ref shape, relu, .. } = norm;
        let job = Backward { shape, relu, fixed, line, input, gate: relu_output, images, by_residual };
        let mut sums = [0.0; 2];
        // SAFETY: as in `norm_forward`.
        unsafe {
            sum(level, &job, &mut sums);
            let (inverse, n) = (f64::from(line.inverse), norm.shape.count());
            *by_weight.get().add(channel) = (sums[1] * inverse) as f32;
            *by_bias.get().add(channel) = sums[0] as f32;
            let scale = f64::from(line.scale);
            let (slope, shift) = (-scale * inverse * inverse * sums[1] / n, -scale * sums[0] / n);
            spread(level, &job, slope as f32, shift as f32);
        }
    });
}

/// One channel's y = (x - mean) · scale + bias.
#[derive(Clone, Copy)]
struct Line {
    channel: usize,
    mean: f32,
    /// 1 / √(variance + epsilon)
    inverse: f32,
    scale: f32,
    bias: f32,
}

impl Line {
    fn new(norm: &Norm, channel: usize, mean: f32, variance: f32) -> Self {
        let inverse = 1.0 / (f64::from(variance) + f64::from(norm.epsilon)).sqrt();
        let scale = (inverse * f64::from(norm.weight[channel])) as f32;
        Self { channel, mean, inverse: inverse as f32, scale, bias: norm.bias[channel] }
    }
}

/// Count, mean and the sum of squared differences from it.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes in another set's (Chan, Golub, LeVeque; 1979).
    fn merge(&mut self, other: Self) {
        let (count, difference) = (self.count + other.count, other.mean - self.mean);
        self.mean += difference * other.count / count;
        self.squares += other.squares + difference * difference * self.count * other.count / count;
        self.count = count;
    }
}

/// Pixels that stay in the first cache between two passes, and whose sums are kept in f32.
const PIECE: usize = 4096;

vectorized!(fn measure(shape: &NormShape, input: &[f32], channel: usize, moments: &mut Moments) = measure_of);
vectorized!(
    fn normalise(norm: &Norm, line: &Line, input: &[f32], residual: Option<&[f32]>, to: Pointer) =
        normalise_of
);
vectorized!(fn sum(job: &Backward, sums: &mut [f64; 2]) = sum_of);
vectorized!(fn spread(job: &Backward, slope: f32, shift: f32) = spread_of);

/// Runs the body for the places of all vectors of a slice, four of them at a time with `$lane` 0 to 3; the
/// last vector may have a mask.
macro_rules! vectors {
    ($s:ident: $simd:ident, $len:expr, |$x:ident, $lane:ident, $mask:ident| $body:block) => {
        let (len, mut $x) = ($len, 0);
        while $x + 4 * $simd::LANES <= len {
            let $mask: Option<$simd::Mask> = None;
            vectors!(@ $simd, $x, $lane, $body, 0 1 2 3);
        }
        while $x < len {
            const $lane: usize = 0;
            let $mask = $s.tail(len - $x);
            $body
            $x += $simd::LANES;
        }
    };
    (@ $simd:ident, $x:ident, $lane:ident, $body:block, $($number:literal)*) => {
        $({
            const $lane: usize = $number;
            $body
            $x += $simd::LANES;
        })*
    };
}

/// Mean and variance of a channel, piece by piece.
///
/// # Safety
/// `input` has the shape's length.
#[inline(always)]
unsafe fn measure_of<S: Simd>(s: S, shape: &NormShape, input: &[f32], channel: usize, moments: &mut Moments) {
    for image in 0..shape.batch {
        for start in (0..shape.pixels).step_by(PIECE) {
            let len = PIECE.min(shape.pixels - start);
            // SAFETY: the piece lies inside the channel's plane.
            unsafe {
                let from = input.as_ptr().add(shape.plane(image, channel) + start);
                let mut sums = [s.splat(0.0); 4];
                vectors!(s: S, len, |x, LANE, mask| {
                    sums[LANE] = s.add(sums[LANE], s.load_part(from.add(x), mask));
                });
                let mean = s.sum_of_four(sums) / len as f64;
                let (middle, mut squares) = ([mean as f32; MAX_LANES], [s.splat(0.0); 4]);
                vectors!(s: S, len, |x, LANE, mask| {
                    // Zero past the end, too.
                    let middle = s.load_part(middle.as_ptr(), mask);
                    let difference = s.sub(s.load_part(from.add(x), mask), middle);
                    squares[LANE] = s.fma(difference, difference, squares[LANE]);
                });
                moments.merge(Moments { count: len as f64, mean, squares: s.sum_of_four(squares) });
            }
        }
    }
}

/// One channel, with the residual and ReLU where they are wanted.
///
/// # Safety
/// The slices have the shape's length, and `to` room for as much; the channel is this task's.
#[inline(always)]
unsafe fn normalise_of<S: Simd>(
    s: S,
    norm: &Norm,
    line: &Line,
    input: &[f32],
    residual: Option<&[f32]>,
    to: Pointer,
) {
    let floor = s.floor(norm.relu);
    for image in 0..norm.shape.batch {
        let plane = norm.shape.plane(image, line.channel);
        // SAFETY: the vectors, or their masks, end where the channel's plane does.
        unsafe {
            let (from, to) = (input.as_ptr().add(plane), to.get().add(plane));
            match residual {
                None => {
                    vectors!(s: S, norm.shape.pixels, |x, _LANE, mask| {
                        let y = on_line(s, line, s.load_part(from.add(x), mask));
                        s.store_part(to.add(x), mask, s.at_least(floor, y));
                    });
                }
                Some(residual) => {
                    let added = residual.as_ptr().add(plane);
                    vectors!(s: S, norm.shape.pixels, |x, _LANE, mask| {
                        let y = on_line(s, line, s.load_part(from.add(x), mask));
                        let sum = s.add(y, s.load_part(added.add(x), mask));
                        s.store_part(to.add(x), mask, s.at_least(floor, sum));
                    });
                }
            }
        }
    }
}

#[inline(always)]
fn on_line<S: Simd>(s: S, line: &Line, x: S::V) -> S::V {
    s.fma(s.sub(x, s.splat(line.mean)), s.splat(line.scale), s.splat(line.bias))
}

/// One channel of the backward pass.
struct Backward<'a> {
    shape: &'a NormShape,
    relu: bool,
    fixed: bool,
    line: Line,
    input: &'a [f32],
    gate: Option<&'a [f32]>,
    images: Pointer,
    by_residual: Option<Pointer>,
}

/// How ReLU lets the gradient pass.
const OPEN: u8 = 0;
/// By the output that was kept.
const GATED: u8 = 1;
/// By the output, which is computed again, to the same bits.
const AGAIN: u8 = 2;

/// The gradient before ReLU, and x - mean (-mean where masked: the gradient is zero there).
///
/// # Safety
/// The masked elements from `at` on lie inside the job's slices.
#[inline(always)]
unsafe fn passed<S: Simd, const GATE: u8>(
    s: S,
    job: &Backward,
    at: usize,
    mask: Option<S::Mask>,
) -> [S::V; 2] {
    // SAFETY: the caller's promise; all slices are as long as the input.
    unsafe {
        let x = s.load_part(job.input.as_ptr().add(at), mask);
        let gradient = s.load_part(job.images.get().add(at), mask);
        let gradient = match GATE {
            GATED => {
                let gates = job.gate.map_or(job.input.as_ptr(), <[f32]>::as_ptr);
                s.gate(s.load_part(gates.add(at), mask), gradient)
            }
            AGAIN => s.gate(on_line(s, &job.line, x), gradient),
            _ => gradient,
        };
        [gradient, s.sub(x, s.splat(job.line.mean))]
    }
}

/// Σ g and Σ g · (x - mean)
///
/// # Safety
/// The job's slices have the shape's length.
#[inline(always)]
unsafe fn sum_of<S: Simd>(s: S, job: &Backward, sums: &mut [f64; 2]) {
    // SAFETY: the caller's promise.
    unsafe {
        match (job.relu, job.gate) {
            (false, _) => sum_passed::<S, OPEN>(s, job, sums),
            (true, Some(_)) => sum_passed::<S, GATED>(s, job, sums),
            (true, None) => sum_passed::<S, AGAIN>(s, job, sums),
        }
    }
}

/// # Safety
/// As for [`sum_of`].
#[inline(always)]
unsafe fn sum_passed<S: Simd, const GATE: u8>(s: S, job: &Backward, sums: &mut [f64; 2]) {
    for image in 0..job.shape.batch {
        for start in (0..job.shape.pixels).step_by(PIECE) {
            let at = job.shape.plane(image, job.line.channel) + start;
            let (mut plain, mut weighted) = ([s.splat(0.0); 4], [s.splat(0.0); 4]);
            vectors!(s: S, PIECE.min(job.shape.pixels - start), |x, LANE, mask| {
                // SAFETY: the vectors, or their masks, end where the channel's plane does.
                let [gradient, difference] = unsafe { passed::<S, GATE>(s, job, at + x, mask) };
                plain[LANE] = s.add(plain[LANE], gradient);
                weighted[LANE] = s.fma(gradient, difference, weighted[LANE]);
            });
            sums[0] += s.sum_of_four(plain);
            sums[1] += s.sum_of_four(weighted);
        }
    }
}

/// images = g · scale + (x - mean) · slope + shift, or g · scale with fixed statistics; by_residual = g
///
/// # Safety
/// The job's slices have the shape's length; the channel is this task's.
#[inline(always)]
unsafe fn spread_of<S: Simd>(s: S, job: &Backward, slope: f32, shift: f32) {
    // SAFETY: the caller's promise.
    unsafe {
        match (job.relu, job.gate, job.fixed) {
            (false, _, false) => spread_passed::<S, OPEN, false>(s, job, slope, shift),
            (true, Some(_), false) => spread_passed::<S, GATED, false>(s, job, slope, shift),
            (true, None, false) => spread_passed::<S, AGAIN, false>(s, job, slope, shift),
            (false, _, true) => spread_passed::<S, OPEN, true>(s, job, slope, shift),
            (true, Some(_), true) => spread_passed::<S, GATED, true>(s, job, slope, shift),
            (true, None, true) => spread_passed::<S, AGAIN, true>(s, job, slope, shift),
        }
    }
}

/// # Safety
/// As for [`spread_of`].
#[inline(always)]
unsafe fn spread_passed<S: Simd, const GATE: u8, const FIXED: bool>(
    s: S,
    job: &Backward,
    slope: f32,
    shift: f32,
) {
    let (scale, slope, shift) = (s.splat(job.line.scale), s.splat(slope), s.splat(shift));
    for image in 0..job.shape.batch {
        let plane = job.shape.plane(image, job.line.channel);
        vectors!(s: S, job.shape.pixels, |x, _LANE, mask| {
            // SAFETY: the vectors, or their masks, end where the channel's plane does.
            unsafe {
                let [gradient, difference] = passed::<S, GATE>(s, job, plane + x, mask);
                let by_input = if FIXED {
                    s.mul(gradient, scale) // x may be infinite
                } else {
                    s.fma(gradient, scale, s.fma(difference, slope, shift))
                };
                s.store_part(job.images.get().add(plane + x), mask, by_input);
                if let Some(residual) = job.by_residual {
                    s.store_part(residual.get().add(plane + x), mask, gradient);
                }
            }
        });
    }
}

fn check_residual(name: &str, norm: &Norm, is_there: bool) {
    assert!(
        norm.adds == is_there,
        "{name}: the norm {} a residual",
        if norm.adds { "lacks" } else { "does not add" }
    );
}

fn check(name: &str, norm: &Norm, images: &[(&str, &[f32])], other: Option<&[f32]>) {
    check_len(name, "weight", norm.weight.len(), norm.shape.channels);
    check_len(name, "bias", norm.bias.len(), norm.shape.channels);
    for (slice, values) in images {
        check_len(name, slice, values.len(), norm.shape.len());
    }
    if let Some(other) = other {
        check_len(name, "what is added, or the output of ReLU,", other.len(), norm.shape.len());
    }
}

fn check_statistics(name: &str, norm: &Norm, statistics: &Statistics) {
    check_len(name, "mean", statistics.mean.len(), norm.shape.channels);
    check_len(name, "variance", statistics.variance.len(), norm.shape.channels);
}
