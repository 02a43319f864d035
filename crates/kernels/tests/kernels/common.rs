//! Random data, naive references in f64 and errors.

use mien_kernels::ConvShape;

/// About normal: the sum of four uniform numbers, from a small generator.
pub fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (uniform() + uniform() + uniform() + uniform()) * 3f32.sqrt()).collect()
}

/// Runs `work` on a pool of so many threads.
pub fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(work)
}

/// The relative error in the L2 norm; infinite if something is not a number.
pub fn error(found: &[f32], expected: &[f64]) -> f64 {
    error_of_sums(found, expected, expected.iter().map(|v| v * v).sum())
}

/// The error in the L2 norm of sums that may cancel, relative to the root of the terms' squares.
pub fn error_of_sums(found: &[f32], expected: &[f64], squares: f64) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: f64 =
        found.iter().zip(expected).map(|(found, expected)| (f64::from(*found) - expected).powi(2)).sum();
    let error = (difference / squares.max(f64::MIN_POSITIVE)).sqrt();
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Calls `term(output, input, weight)` with the places of every product of a convolution.
pub fn each_product(shape: &ConvShape, mut term: impl FnMut(usize, usize, usize)) {
    let &ConvShape { batch, in_channels, out_channels, height, width, kernel, stride, padding } = shape;
    let (out_height, out_width) = shape.output();
    for n in 0..batch {
        for k in 0..out_channels {
            for c in 0..in_channels {
                for y in 0..out_height {
                    for ky in 0..kernel {
                        let Some(row) = (y * stride + ky).checked_sub(padding).filter(|row| *row < height)
                        else {
                            continue;
                        };
                        for x in 0..out_width {
                            for kx in 0..kernel {
                                let column = (x * stride + kx).wrapping_sub(padding);
                                if column < width {
                                    term(
                                        ((n * out_channels + k) * out_height + y) * out_width + x,
                                        ((n * in_channels + c) * height + row) * width + column,
                                        ((k * in_channels + c) * kernel + ky) * kernel + kx,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A convolution's tensors and, in f64, what it should give.
pub struct Convolution {
    pub input: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    /// The gradient by the outputs, and where it is let through.
    pub gradient: Vec<f32>,
    pub gate: Vec<f32>,
    pub output: Vec<f64>,
    pub input_gradient: Vec<f64>,
    pub weight_gradient: Vec<f64>,
    pub bias_gradient: Vec<f64>,
    /// The squares of the gradient, where it is let through.
    pub squares: f64,
}

impl Convolution {
    pub fn new(shape: ConvShape, gated: bool) -> Self {
        let (input, weight, bias) =
            (random(shape.input_len(), 1), random(shape.weight_len(), 2), random(shape.out_channels, 3));
        let (gradient, gate) = (random(shape.output_len(), 4), random(shape.output_len(), 5));
        let plane = shape.output().0 * shape.output().1;
        let channel = |i: usize| i / plane % shape.out_channels;
        let mut output: Vec<f64> = (0..shape.output_len()).map(|i| f64::from(bias[channel(i)])).collect();
        let passed: Vec<f64> = gradient
            .iter()
            .zip(&gate)
            .map(|(&g, &gate)| if gated && gate <= 0.0 { 0.0 } else { f64::from(g) })
            .collect();
        let squares = passed.iter().map(|v| v * v).sum();
        let mut input_gradient = vec![0.0; shape.input_len()];
        let mut weight_gradient = vec![0.0; shape.weight_len()];
        let mut bias_gradient = vec![0.0; shape.out_channels];
        for (i, gradient) in passed.iter().enumerate() {
            bias_gradient[channel(i)] += gradient;
        }
        each_product(&shape, |y, x, w| {
            output[y] += f64::from(input[x]) * f64::from(weight[w]);
            input_gradient[x] += passed[y] * f64::from(weight[w]);
            weight_gradient[w] += passed[y] * f64::from(input[x]);
        });
        Self {
            input,
            weight,
            bias,
            gradient,
            gate,
            output,
            input_gradient,
            weight_gradient,
            bias_gradient,
            squares,
        }
    }
}
