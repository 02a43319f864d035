//! Max-pooling against the definition, at every level of this processor.

use crate::common::random;
use mien_kernels::{Level, PoolShape, max_pool_backward, max_pool_forward, with_level};

/// Values, places and the gradient by the input, pixel by pixel.
fn reference(shape: &PoolShape, input: &[f32], gradient: &[f32]) -> (Vec<f32>, Vec<u8>, Vec<f32>) {
    let &PoolShape { height, width, kernel, stride, padding, .. } = shape;
    let (rows, columns) = shape.output();
    let (mut values, mut places, mut by_input) = (Vec::new(), Vec::new(), vec![0.0; input.len()]);
    for (i, gradient) in gradient.iter().enumerate() {
        let (plane, y, x) = (i / (rows * columns), i / columns % rows, i % columns);
        let mut best: Option<(f32, u8, usize)> = None;
        for ky in 0..kernel {
            for kx in 0..kernel {
                let (row, column) =
                    ((y * stride + ky).wrapping_sub(padding), (x * stride + kx).wrapping_sub(padding));
                if row < height && column < width {
                    let at = (plane * height + row) * width + column;
                    if best.is_none_or(|(value, ..)| input[at] > value || input[at].is_nan()) {
                        best = Some((input[at], (ky * kernel + kx) as u8, at));
                    }
                }
            }
        }
        let (value, place, at) = best.expect("every window meets the image");
        values.push(value);
        places.push(place);
        by_input[at] += gradient;
    }
    (values, places, by_input)
}

#[test]
fn as_defined() {
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 2, 0), (3, 1, 1), (5, 3, 2), (1, 1, 0)] {
        for (height, width) in [(8, 8), (7, 33), (64, 40), (5, 5)] {
            let shape = PoolShape { planes: 5, height, width, kernel, stride, padding };
            let mut input = random(shape.input_len(), 1);
            input.iter_mut().step_by(3).for_each(|value| *value = (*value * 2.0).round()); // equal values
            input[7] = f32::NAN;
            input[17..19].fill(f32::NEG_INFINITY);
            input[height * width..2 * height * width].fill(f32::NEG_INFINITY);
            let gradient = random(shape.output_len(), 2);
            let (values, places, by_input) = reference(&shape, &input, &gradient);
            for level in Level::available() {
                with_level(level, || {
                    let (mut output, mut indices) = (vec![0.0; values.len()], vec![99; values.len()]);
                    max_pool_forward(&shape, &input, &mut output, &mut indices);
                    let bits =
                        |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&output), bits(&values), "values of {shape:?} at {level:?}");
                    assert_eq!(indices, places, "places of {shape:?} at {level:?}");
                    let mut found = vec![f32::NAN; input.len()];
                    max_pool_backward(&shape, &gradient, &indices, &mut found);
                    assert_eq!(found, by_input, "gradient of {shape:?} at {level:?}");
                });
            }
        }
    }
}
