//! What holds for all kernels: the same bits for any number of threads, numbers that are not finite, packed
//! weights, messages.

use crate::common::{random, with_threads};
use mien_kernels::{
    ConvShape, Epilogue, Level, LinearShape, PackedWeights, bias_gradient, conv_forward, conv_forward_packed,
    conv_input_gradient, conv_weight_gradient, linear_forward, linear_input_gradient, linear_weight_gradient,
    release_scratch, with_level,
};

const RELU: Epilogue = Epilogue { bias: None, residual: None, relu: true };

fn conv(batch: usize, channels: (usize, usize), size: usize, kernel: usize, stride: usize) -> ConvShape {
    let (in_channels, out_channels) = channels;
    ConvShape {
        batch,
        in_channels,
        out_channels,
        height: size,
        width: size,
        kernel,
        stride,
        padding: kernel / 2,
    }
}

/// Shapes that take all ways: groups of blocks, blocks together, Winograd's, direct, many channels, few.
fn shapes() -> [ConvShape; 8] {
    [
        conv(2, (3, 64), 64, 3, 1),
        conv(2, (64, 64), 64, 3, 1),
        conv(3, (200, 160), 20, 3, 1),
        conv(2, (512, 256), 4, 3, 1),
        conv(1, (24, 16), 33, 3, 2),
        conv(2, (3, 32), 65, 7, 2),
        conv(3, (600, 550), 9, 1, 1),
        conv(2, (64, 96), 31, 1, 2),
    ]
}

/// All results, bit by bit.
fn everything(shape: &ConvShape) -> Vec<u32> {
    let (input, weight, bias) =
        (random(shape.input_len(), 1), random(shape.weight_len(), 2), random(shape.out_channels, 3));
    let gradient = random(shape.output_len(), 4);
    let mut output = vec![0.0; shape.output_len()];
    let (mut by_input, mut by_weight) = (vec![0.0; shape.input_len()], vec![0.0; shape.weight_len()]);
    let (mut by_bias, mut by_bias_alone) = (vec![0.0; shape.out_channels], vec![0.0; shape.out_channels]);
    let epilogue = Epilogue { bias: Some(&bias), residual: None, relu: true };
    conv_forward(shape, &input, &weight, epilogue, &mut output);
    conv_input_gradient(shape, &gradient, Some(&output), &weight, None, &mut by_input);
    conv_weight_gradient(shape, &input, &gradient, Some(&output), &mut by_weight, Some(&mut by_bias));
    bias_gradient(shape, &gradient, Some(&output), &mut by_bias_alone);

    let layer = LinearShape { rows: shape.batch, inputs: (input.len() / shape.batch).min(5000), outputs: 70 };
    let input = &input[..layer.rows * layer.inputs];
    let weight = random(layer.inputs * layer.outputs, 5);
    let mut logits = vec![0.0; layer.rows * layer.outputs];
    let (mut back, mut by_layer) = (vec![0.0; input.len()], vec![0.0; weight.len()]);
    linear_forward(&layer, input, &weight, None, false, &mut logits);
    linear_input_gradient(&layer, &logits, &weight, &mut back);
    linear_weight_gradient(&layer, input, &logits, &mut by_layer);
    let all = [output, by_input, by_weight, by_bias, by_bias_alone, logits, back, by_layer];
    all.iter().flatten().map(|value| value.to_bits()).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for shape in shapes() {
        for level in Level::available() {
            let all = || with_level(level, || everything(&shape));
            let one = with_threads(1, all);
            for threads in [2, 3] {
                assert!(
                    one == with_threads(threads, all),
                    "{shape:?} at {level:?}: {threads} threads give other bits than one"
                );
            }
        }
    }
    release_scratch();
}

#[test]
fn packed_weights_give_the_same_bits() {
    for shape in shapes() {
        let (input, weight, bias) =
            (random(shape.input_len(), 1), random(shape.weight_len(), 2), random(shape.out_channels, 3));
        let (mut output, mut packed_output) =
            (vec![0.0; shape.output_len()], vec![f32::NAN; shape.output_len()]);
        let epilogue = Epilogue { bias: Some(&bias), residual: None, relu: true };
        for level in Level::available() {
            let packed = with_level(level, || {
                conv_forward(&shape, &input, &weight, epilogue, &mut output);
                PackedWeights::new(&shape, &weight)
            });
            // They stay on the level they were packed for.
            conv_forward_packed(&shape, &input, &packed, epilogue, &mut packed_output);
            assert_eq!(output, packed_output, "{shape:?} at {level:?}");
            assert!(packed.bytes() >= weight.len() * 4);
            assert!(packed.fits(&ConvShape { batch: 5, height: 13, ..shape }));
            assert!(!packed.fits(&ConvShape { stride: 4, ..shape }));
        }
    }
}

#[test]
fn what_is_not_finite_does_not_vanish() {
    for shape in shapes() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for level in Level::available() {
                let (mut input, weight) = (random(shape.input_len(), 1), random(shape.weight_len(), 2));
                let (mut output, mut by_input) =
                    (vec![0.0; shape.output_len()], vec![0.0; shape.input_len()]);
                let mut by_weight = vec![0.0; shape.weight_len()];
                // A pixel that every kernel and stride meets, in the last image's last channel.
                let at = input.len() - shape.height * shape.width + 2 * shape.width + 2;
                input[at] = bad;
                let mut gradient = random(shape.output_len(), 4);
                let lost = |values: &[f32]| values.iter().all(|value| value.is_finite());
                with_level(level, || {
                    conv_forward(&shape, &input, &weight, Epilogue::default(), &mut output);
                    assert!(!lost(&output), "output of {shape:?} at {level:?}: {bad} vanished");
                    if bad.is_nan() {
                        conv_forward(&shape, &input, &weight, RELU, &mut output);
                        assert!(!lost(&output), "ReLU of {shape:?} at {level:?}: {bad} vanished");
                    }
                    conv_weight_gradient(&shape, &input, &gradient, None, &mut by_weight, None);
                    assert!(
                        !lost(&by_weight),
                        "gradient by the weights of {shape:?} at {level:?}: {bad} vanished"
                    );
                    gradient[0] = bad;
                    conv_input_gradient(&shape, &gradient, None, &weight, None, &mut by_input);
                    assert!(
                        !lost(&by_input),
                        "gradient by the input of {shape:?} at {level:?}: {bad} vanished"
                    );
                });
            }
        }
    }
}

#[test]
fn empty_batches_are_nothing() {
    let shape = conv(0, (3, 4), 8, 3, 1);
    let (mut by_weight, mut by_bias) = (vec![1.0; shape.weight_len()], vec![1.0; 4]);
    conv_forward(&shape, &[], &[0.0; 108], RELU, &mut []);
    conv_input_gradient(&shape, &[], None, &[0.0; 108], None, &mut []);
    conv_weight_gradient(&shape, &[], &[], None, &mut by_weight, Some(&mut by_bias));
    assert!(by_weight.iter().chain(&by_bias).all(|value| *value == 0.0));
}

#[test]
#[should_panic(expected = "conv_forward: weight has 107 elements, the shape says 108")]
fn wrong_lengths_are_named() {
    let shape = conv(1, (3, 4), 8, 3, 1);
    conv_forward(&shape, &[0.0; 192], &[0.0; 107], Epilogue::default(), &mut [0.0; 256]);
}

#[test]
#[should_panic(expected = "conv_forward_packed: residual has 255 elements, the shape says 256")]
fn a_residual_of_another_length_is_named() {
    let shape = conv(1, (3, 4), 8, 3, 1);
    let packed = PackedWeights::new(&shape, &[0.0; 108]);
    let epilogue = Epilogue { residual: Some(&[0.0; 255]), ..Epilogue::default() };
    conv_forward_packed(&shape, &[0.0; 192], &packed, epilogue, &mut [0.0; 256]);
}

#[test]
fn levels_are_lowered_and_restored() {
    let best = Level::current();
    for level in Level::available() {
        assert_eq!(with_level(level, Level::current), level.min(best));
        let panicked = std::panic::catch_unwind(|| with_level(level, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(Level::current(), best);
    }
}
