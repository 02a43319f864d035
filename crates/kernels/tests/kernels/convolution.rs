//! Convolutions against naive sums in f64, at every level of this processor.

use crate::common::{Convolution, error, error_of_sums, random};
use mien_kernels::{
    ConvShape, Epilogue, Level, PackedWeights, conv_forward, conv_forward_packed, conv_input_gradient,
    conv_weight_gradient, with_level,
};

fn square(batch: usize, channels: (usize, usize), size: (usize, usize), padding: usize) -> ConvShape {
    let ((in_channels, out_channels), (height, width)) = (channels, size);
    ConvShape { batch, in_channels, out_channels, height, width, kernel: 3, stride: 1, padding }
}

/// Checks one shape, with all gradients, at all levels.
fn check(shape: ConvShape, bound: f64) {
    for gated in [false, true] {
        let case = Convolution::new(shape, gated);
        let gate = gated.then_some(case.gate.as_slice());
        for level in Level::available() {
            with_level(level, || {
                let below = |what: &str, error: f64, bound: f64| {
                    assert!(
                        error <= bound,
                        "{what} of {shape:?} at {level:?}, gated {gated}: error {error:.2e} > {bound:.0e}"
                    );
                };
                let mut output = vec![f32::NAN; shape.output_len()];
                let mut epilogue = Epilogue { bias: Some(&case.bias), ..Epilogue::default() };
                conv_forward(&shape, &case.input, &case.weight, epilogue, &mut output);
                below("output", error(&output, &case.output), bound);
                epilogue.relu = true;
                conv_forward(&shape, &case.input, &case.weight, epilogue, &mut output);
                let expected: Vec<f64> = case.output.iter().map(|v| v.max(0.0)).collect();
                below("ReLU of the output", error(&output, &expected), bound);

                let residual = random(shape.output_len(), 6);
                let packed = PackedWeights::new(&shape, &case.weight);
                for relu in [false, true] {
                    let epilogue = Epilogue { bias: Some(&case.bias), residual: Some(&residual), relu };
                    conv_forward_packed(&shape, &case.input, &packed, epilogue, &mut output);
                    let sum = |(sum, residual): (&f64, &f32)| sum + f64::from(*residual);
                    let floor = if relu { 0.0 } else { f64::NEG_INFINITY };
                    let expected: Vec<f64> =
                        case.output.iter().zip(&residual).map(|pair| sum(pair).max(floor)).collect();
                    below("output and residual", error(&output, &expected), bound);
                }

                let mut gradient = vec![f32::NAN; shape.input_len()];
                conv_input_gradient(&shape, &case.gradient, gate, &case.weight, None, &mut gradient);
                below("gradient by the input", error(&gradient, &case.input_gradient), bound);
                let residual = random(shape.input_len(), 7);
                let expected: Vec<f64> =
                    case.input_gradient.iter().zip(&residual).map(|(g, r)| g + f64::from(*r)).collect();
                conv_input_gradient(
                    &shape,
                    &case.gradient,
                    gate,
                    &case.weight,
                    Some(&residual),
                    &mut gradient,
                );
                below("gradient by the input and a residual", error(&gradient, &expected), bound);

                let mut gradient = vec![f32::NAN; shape.weight_len()];
                let mut bias = vec![f32::NAN; shape.out_channels];
                conv_weight_gradient(
                    &shape,
                    &case.input,
                    &case.gradient,
                    gate,
                    &mut gradient,
                    Some(&mut bias),
                );
                below("gradient by the weights", error(&gradient, &case.weight_gradient), bound);
                below("gradient by the bias", error_of_sums(&bias, &case.bias_gradient, case.squares), 1e-6);
            });
        }
    }
}

#[test]
fn other_kernels() {
    for padding in [0, 1, 3] {
        for stride in [1, 2, 3] {
            for kernel in [1, 2, 3, 5, 7] {
                for (batch, channels, (height, width)) in
                    [(2, (3, 10), (19, 37)), (3, (21, 6), (8, 8)), (1, (2, 1), (40, 9))]
                {
                    let (in_channels, out_channels) = channels;
                    check(
                        ConvShape {
                            batch,
                            in_channels,
                            out_channels,
                            height,
                            width,
                            kernel,
                            stride,
                            padding,
                        },
                        2e-6,
                    );
                }
            }
        }
    }
}

#[test]
fn three_by_three() {
    let shapes = [
        square(2, (3, 64), (32, 32), 1),
        square(1, (3, 8), (7, 5), 1),
        square(2, (5, 7), (1, 1), 1),
        square(1, (17, 19), (9, 33), 1),
        square(1, (17, 19), (9, 33), 0),
        square(3, (8, 24), (13, 50), 1),
        square(1, (33, 40), (28, 14), 1),
        square(2, (16, 16), (2, 2), 1),
        square(9, (40, 12), (3, 3), 0),
        square(8, (64, 96), (7, 7), 1),
        square(2, (96, 160), (16, 16), 1),
        square(1, (1, 1), (64, 64), 1),
        square(2, (9, 20), (15, 34), 2),
    ];
    for shape in shapes {
        check(shape, 4e-6);
    }
}
