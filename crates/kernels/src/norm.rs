//! Batch norm with what follows it in residual networks: the shortcut's sum and ReLU.
//!
//! One task works on one channel of all images, so that what is read for the statistics is still in the cache when it is normalised: as
//! long as a channel fits there, each number comes from memory once and goes there once.

use crate::Level;
use crate::parallel::for_each;
use crate::scratch::Pointer;
use crate::shape::{NormShape, check_len};
use crate::simd::{MAX_LANES, Simd, sum_vectors};

/// A batch norm: y = (x - mean) / √(variance + epsilon) · weight + bias, a residual if it `adds` one, then ReLU if `relu`.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// The images.
    pub shape: NormShape,
    /// `[channels]`
    pub weight: &'a [f32],
    /// `[channels]`
    pub bias: &'a [f32],
    /// Keeps the root from zero.
    pub epsilon: f32,
    /// Whether a residual is added.
    pub adds: bool,
    /// Whether ReLU comes last.
    pub relu: bool,
}

/// Means and biased variances of the channels, each `[channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Variances, divided by the number of elements.
    pub variance: Vec<f32>,
}

/// Where the gradients go.
#[derive(Debug)]
pub struct NormGradients<'a> {
    /// By the output when the backward pass begins, by the input when it ends; `[batch, channels, pixels]`.
    pub images: &'a mut [f32],
    /// By what was added, `[batch, channels, pixels]`.
    pub residual: Option<&'a mut [f32]>,
    /// `[channels]`
    pub weight: &'a mut [f32],
    /// `[channels]`
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
        // SAFETY: each task writes its own channel of slices whose lengths were checked; the level is the current one.
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

/// All gradients, from that by the output, which becomes that by the input in place.
///
/// `fixed`: the statistics were given ([`norm_apply`]), and do not depend on the input. `relu_output`: the output of the forward pass;
/// it may be missing where there is no ReLU, or where nothing is added before it. As in PyTorch, the gradient passes where the output
/// is not a number.
///
/// # Panics
/// If a slice has another length than the shape says, `relu_output` is missing where it is needed, or a gradient by a residual is asked
/// for that is not added.
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
vectorized!(fn normalise(norm: &Norm, line: &Line, input: &[f32], residual: Option<&[f32]>, to: Pointer) = normalise_of);
vectorized!(fn sum(job: &Backward, sums: &mut [f64; 2]) = sum_of);
vectorized!(fn spread(job: &Backward, slope: f32, shift: f32) = spread_of);

/// Runs the body for the places of all vectors of a slice, four of them at a time with `$lane` 0 to 3; the last vector may have a mask.
macro_rules! vectors {
    ($simd:ident, $len:expr, |$x:ident, $lane:ident, $mask:ident| $body:block) => {
        let (len, mut $x) = ($len, 0);
        while $x + 4 * $simd::LANES <= len {
            let $mask: Option<$simd::Mask> = None;
            vectors!(@ $simd, $x, $lane, $body, 0 1 2 3);
        }
        while $x < len {
            const $lane: usize = 0;
            let $mask = ($x + $simd::LANES > len).then(|| $simd::mask(0, len - $x));
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

#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, mask: Option<S::Mask>) -> S::V {
    match mask {
        None => S::load(from),
        Some(mask) => S::load_masked(from, mask),
    }
}

#[inline(always)]
unsafe fn store<S: Simd>(to: *mut f32, mask: Option<S::Mask>, v: S::V) {
    match mask {
        None => S::store(to, v),
        Some(mask) => S::store_masked(to, mask, v),
    }
}

#[inline(always)]
unsafe fn measure_of<S: Simd>(shape: &NormShape, input: &[f32], channel: usize, moments: &mut Moments) {
    for image in 0..shape.batch {
        for start in (0..shape.pixels).step_by(PIECE) {
            let (from, len) =
                (input.as_ptr().add(shape.plane(image, channel) + start), PIECE.min(shape.pixels - start));
            let mut sums = [S::splat(0.0); 4];
            vectors!(S, len, |x, LANE, mask| {
                sums[LANE] = S::add(sums[LANE], load::<S>(from.add(x), mask));
            });
            let mean = sum_vectors::<S>(sums) / len as f64;
            let (middle, mut squares) = ([mean as f32; MAX_LANES], [S::splat(0.0); 4]);
            vectors!(S, len, |x, LANE, mask| {
                let difference = S::sub(load::<S>(from.add(x), mask), load::<S>(middle.as_ptr(), mask));
                squares[LANE] = S::fma(difference, difference, squares[LANE]);
            });
            moments.merge(Moments { count: len as f64, mean, squares: sum_vectors::<S>(squares) });
        }
    }
}

#[inline(always)]
unsafe fn normalise_of<S: Simd>(
    norm: &Norm,
    line: &Line,
    input: &[f32],
    residual: Option<&[f32]>,
    to: Pointer,
) {
    let floor = S::splat(if norm.relu { 0.0 } else { f32::NEG_INFINITY });
    for image in 0..norm.shape.batch {
        let plane = norm.shape.plane(image, line.channel);
        let (from, to) = (input.as_ptr().add(plane), to.get().add(plane));
        match residual {
            None => {
                vectors!(S, norm.shape.pixels, |x, _LANE, mask| {
                    store::<S>(
                        to.add(x),
                        mask,
                        S::at_least(floor, on_line::<S>(line, load::<S>(from.add(x), mask))),
                    );
                });
            }
            Some(residual) => {
                let added = residual.as_ptr().add(plane);
                vectors!(S, norm.shape.pixels, |x, _LANE, mask| {
                    let y = on_line::<S>(line, load::<S>(from.add(x), mask));
                    store::<S>(to.add(x), mask, S::at_least(floor, S::add(y, load::<S>(added.add(x), mask))));
                });
            }
        }
    }
}

#[inline(always)]
unsafe fn on_line<S: Simd>(line: &Line, x: S::V) -> S::V {
    S::fma(S::sub(x, S::splat(line.mean)), S::splat(line.scale), S::splat(line.bias))
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
#[inline(always)]
unsafe fn passed<S: Simd, const GATE: u8>(job: &Backward, at: usize, mask: Option<S::Mask>) -> [S::V; 2] {
    let x = load::<S>(job.input.as_ptr().add(at), mask);
    let gradient = load::<S>(job.images.get().add(at), mask);
    let gradient = match GATE {
        GATED => {
            S::gate(load::<S>(job.gate.map_or(job.input.as_ptr(), <[f32]>::as_ptr).add(at), mask), gradient)
        }
        AGAIN => S::gate(on_line::<S>(&job.line, x), gradient),
        _ => gradient,
    };
    [gradient, S::sub(x, S::splat(job.line.mean))]
}

/// Σ g and Σ g · (x - mean)
#[inline(always)]
unsafe fn sum_of<S: Simd>(job: &Backward, sums: &mut [f64; 2]) {
    match (job.relu, job.gate) {
        (false, _) => sum_passed::<S, OPEN>(job, sums),
        (true, Some(_)) => sum_passed::<S, GATED>(job, sums),
        (true, None) => sum_passed::<S, AGAIN>(job, sums),
    }
}

#[inline(always)]
unsafe fn sum_passed<S: Simd, const GATE: u8>(job: &Backward, sums: &mut [f64; 2]) {
    for image in 0..job.shape.batch {
        for start in (0..job.shape.pixels).step_by(PIECE) {
            let (at, len) =
                (job.shape.plane(image, job.line.channel) + start, PIECE.min(job.shape.pixels - start));
            let (mut plain, mut weighted) = ([S::splat(0.0); 4], [S::splat(0.0); 4]);
            vectors!(S, len, |x, LANE, mask| {
                let [gradient, difference] = passed::<S, GATE>(job, at + x, mask);
                plain[LANE] = S::add(plain[LANE], gradient);
                weighted[LANE] = S::fma(gradient, difference, weighted[LANE]);
            });
            sums[0] += sum_vectors::<S>(plain);
            sums[1] += sum_vectors::<S>(weighted);
        }
    }
}

/// images = g · scale + (x - mean) · slope + shift, or g · scale with fixed statistics; by_residual = g
#[inline(always)]
unsafe fn spread_of<S: Simd>(job: &Backward, slope: f32, shift: f32) {
    match (job.relu, job.gate, job.fixed) {
        (false, _, false) => spread_passed::<S, OPEN, false>(job, slope, shift),
        (true, Some(_), false) => spread_passed::<S, GATED, false>(job, slope, shift),
        (true, None, false) => spread_passed::<S, AGAIN, false>(job, slope, shift),
        (false, _, true) => spread_passed::<S, OPEN, true>(job, slope, shift),
        (true, Some(_), true) => spread_passed::<S, GATED, true>(job, slope, shift),
        (true, None, true) => spread_passed::<S, AGAIN, true>(job, slope, shift),
    }
}

#[inline(always)]
unsafe fn spread_passed<S: Simd, const GATE: u8, const FIXED: bool>(job: &Backward, slope: f32, shift: f32) {
    let (scale, slope, shift) = (S::splat(job.line.scale), S::splat(slope), S::splat(shift));
    for image in 0..job.shape.batch {
        let plane = job.shape.plane(image, job.line.channel);
        let to = job.images.get().add(plane);
        vectors!(S, job.shape.pixels, |x, _LANE, mask| {
            let [gradient, difference] = passed::<S, GATE>(job, plane + x, mask);
            let by_input = if FIXED {
                S::mul(gradient, scale) // x may be infinite
            } else {
                S::fma(gradient, scale, S::fma(difference, slope, shift))
            };
            store::<S>(to.add(x), mask, by_input);
            if let Some(residual) = job.by_residual {
                store::<S>(residual.get().add(plane + x), mask, gradient);
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
