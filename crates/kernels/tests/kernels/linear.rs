//! Linear layers and matrix products against naive sums in f64, at every level of this processor.

use crate::common::{error, random};
use mien_kernels::{
    Level, LinearShape, MatmulShape, linear_forward, linear_input_gradient, linear_weight_gradient, matmul,
    with_level,
};

const BOUND: f64 = 1e-6;

/// a `[rows, inner]` · b `[inner, columns]`, with the places of their elements.
fn product(
    rows: usize,
    inner: usize,
    columns: usize,
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) -> Vec<f64> {
    let sum = |i: usize, j: usize| (0..inner).map(|k| f64::from(a(i, k)) * f64::from(b(k, j))).sum();
    (0..rows * columns).map(|at| sum(at / columns, at % columns)).collect()
}

#[test]
fn linear_layers() {
    for (rows, inputs, outputs) in
        [(1, 1, 1), (2, 7, 3), (8, 300, 129), (13, 1031, 65), (32, 2049, 10), (50, 100, 70), (129, 33, 200)]
    {
        let shape = LinearShape { rows, inputs, outputs };
        let (x, w, b) = (random(rows * inputs, 1), random(outputs * inputs, 2), random(outputs, 3));
        let dy = random(rows * outputs, 4);
        let mut y64 = product(rows, inputs, outputs, |i, k| x[i * inputs + k], |k, j| w[j * inputs + k]);
        y64.iter_mut().enumerate().for_each(|(i, y)| *y += f64::from(b[i % outputs]));
        let relu64: Vec<f64> = y64.iter().map(|y| y.max(0.0)).collect();
        let dx64 = product(rows, outputs, inputs, |i, k| dy[i * outputs + k], |k, j| w[k * inputs + j]);
        let dw64 = product(outputs, rows, inputs, |i, k| dy[k * outputs + i], |k, j| x[k * inputs + j]);
        for level in Level::available() {
            with_level(level, || {
                let below = |what: &str, error: f64| {
                    assert!(error <= BOUND, "{what} of {shape:?} at {level:?}: {error:.2e}")
                };
                let mut y = vec![f32::NAN; rows * outputs];
                linear_forward(&shape, &x, &w, Some(&b), false, &mut y);
                below("output", error(&y, &y64));
                linear_forward(&shape, &x, &w, Some(&b), true, &mut y);
                below("ReLU", error(&y, &relu64));
                let mut dx = vec![f32::NAN; rows * inputs];
                linear_input_gradient(&shape, &dy, &w, &mut dx);
                below("gradient by the input", error(&dx, &dx64));
                let mut dw = vec![f32::NAN; outputs * inputs];
                linear_weight_gradient(&shape, &x, &dy, &mut dw);
                below("gradient by the weights", error(&dw, &dw64));
            });
        }
    }
}

#[test]
fn matrix_products() {
    for (rows, inner, columns) in [(1, 1, 1), (3, 5, 7), (130, 300, 131), (17, 513, 257), (200, 64, 40)] {
        for (a_transposed, b_transposed) in [(false, false), (true, false), (false, true), (true, true)] {
            let shape = MatmulShape { rows, inner, columns, a_transposed, b_transposed };
            let (a, b) = (random(rows * inner, 1), random(inner * columns, 2));
            let at_a = |i: usize, k: usize| a[if a_transposed { k * rows + i } else { i * inner + k }];
            let at_b = |k: usize, j: usize| b[if b_transposed { j * inner + k } else { k * columns + j }];
            let expected = product(rows, inner, columns, at_a, at_b);
            for level in Level::available() {
                let mut c = vec![f32::NAN; rows * columns];
                with_level(level, || matmul(&shape, &a, &b, &mut c));
                let error = error(&c, &expected);
                assert!(error <= BOUND, "{shape:?} at {level:?}: {error:.2e}");
            }
        }
    }
}
