//! Batch norm against the definition in f64, at every level of this processor.

use crate::common::{error, error_of_sums, random, with_threads};
use mien_kernels::{
    Level, Norm, NormGradients, NormShape, Statistics, norm_apply, norm_backward, norm_forward, with_level,
};

const EPSILON: f32 = 1e-5;

/// One case, and in f64 what it should give.
struct Case {
    shape: NormShape,
    relu: bool,
    fixed: bool,
    weight: Vec<f32>,
    bias: Vec<f32>,
    given: Statistics,
    input: Vec<f32>,
    residual: Option<Vec<f32>>,
    gradient: Vec<f32>,
    mean: Vec<f64>,
    variance: Vec<f64>,
    output: Vec<f64>,
    /// By input, by what was added.
    gradients: [Vec<f64>; 2],
    /// By weight, by bias; and the squares of their terms.
    sums: [Vec<f64>; 2],
    squares: [f64; 2],
}

impl Case {
    fn new(shape: NormShape, relu: bool, added: bool, fixed: bool) -> Self {
        let NormShape { channels, pixels, .. } = shape;
        let channel = |i: usize| i / pixels % channels;
        let (weight, bias) = (random(channels, 1), random(channels, 2));
        let variance: Vec<f32> = random(channels, 3).iter().map(|v| v * v + 0.1).collect();
        let given = Statistics { mean: random(channels, 4), variance };
        // Means far from zero, as images have them that were not normalised.
        let input: Vec<f32> =
            random(shape.len(), 5).iter().enumerate().map(|(i, v)| v * 0.3 + channel(i) as f32).collect();
        let residual = added.then(|| random(shape.len(), 6));
        let gradient = random(shape.len(), 7);

        let n = shape.batch * pixels;
        let per_channel = |value: &dyn Fn(usize) -> f64| {
            let mut sums = vec![0.0; channels];
            (0..shape.len()).for_each(|i| sums[channel(i)] += value(i));
            sums
        };
        let over_n = |sums: Vec<f64>| -> Vec<f64> { sums.iter().map(|sum| sum / n as f64).collect() };
        let (mean, variance) = if fixed {
            (
                given.mean.iter().map(|v| f64::from(*v)).collect(),
                given.variance.iter().map(|v| f64::from(*v)).collect(),
            )
        } else {
            let mean = over_n(per_channel(&|i| f64::from(input[i])));
            let variance = over_n(per_channel(&|i| (f64::from(input[i]) - mean[channel(i)]).powi(2)));
            (mean, variance)
        };
        let inverse: Vec<f64> =
            variance.iter().map(|v: &f64| 1.0 / (v + f64::from(EPSILON)).sqrt()).collect();
        let normal = |i: usize| (f64::from(input[i]) - mean[channel(i)]) * inverse[channel(i)];
        let sum = |i: usize| {
            let y = normal(i) * f64::from(weight[channel(i)]) + f64::from(bias[channel(i)]);
            y + residual.as_ref().map_or(0.0, |r| f64::from(r[i]))
        };
        let output = (0..shape.len()).map(|i| if relu { sum(i).max(0.0) } else { sum(i) }).collect();
        let passed = |i: usize| if relu && sum(i) <= 0.0 { 0.0 } else { f64::from(gradient[i]) };
        let (by_weight, by_bias) = (per_channel(&|i| passed(i) * normal(i)), per_channel(&passed));
        let by_input = |i: usize| {
            let c = channel(i);
            let of_statistics = if fixed { 0.0 } else { (by_bias[c] + normal(i) * by_weight[c]) / n as f64 };
            f64::from(weight[c]) * inverse[c] * (passed(i) - of_statistics)
        };
        let gradients = [(0..shape.len()).map(by_input).collect(), (0..shape.len()).map(passed).collect()];
        let total = |square: &dyn Fn(usize) -> f64| (0..shape.len()).map(square).sum();
        let squares = [total(&|i| (passed(i) * normal(i)).powi(2)), total(&|i| passed(i).powi(2))];
        let sums = [by_weight, by_bias];
        Self {
            shape,
            relu,
            fixed,
            weight,
            bias,
            given,
            input,
            residual,
            gradient,
            mean,
            variance,
            output,
            gradients,
            sums,
            squares,
        }
    }

    fn norm(&self) -> Norm<'_> {
        Norm {
            shape: self.shape,
            weight: &self.weight,
            bias: &self.bias,
            epsilon: EPSILON,
            adds: self.residual.is_some(),
            relu: self.relu,
        }
    }

    fn forward(&self) -> (Statistics, Vec<f32>) {
        let mut output = vec![f32::NAN; self.shape.len()];
        if self.fixed {
            norm_apply(&self.norm(), &self.given, &self.input, self.residual.as_deref(), &mut output);
            return (self.given.clone(), output);
        }
        let statistics = norm_forward(&self.norm(), &self.input, self.residual.as_deref(), &mut output);
        (statistics, output)
    }

    /// By input, what was added, weight and bias.
    fn backward(&self, statistics: &Statistics, output: Option<&[f32]>) -> [Vec<f32>; 4] {
        let mut found = [self.shape.len(), self.shape.len(), self.shape.channels, self.shape.channels]
            .map(|n| vec![f32::NAN; n]);
        let [images, residual, weight, bias] = &mut found;
        images.copy_from_slice(&self.gradient);
        let residual = self.residual.is_some().then_some(residual.as_mut_slice());
        let to = NormGradients { images, residual, weight, bias };
        norm_backward(&self.norm(), statistics, self.fixed, &self.input, output, to);
        found
    }

    fn check(&self, level: Level) {
        let name = format!(
            "{:?}, relu {}, fixed {}, added {}",
            self.shape,
            self.relu,
            self.fixed,
            self.residual.is_some()
        );
        let near = |what: &str, error: f64, bound: f64| {
            assert!(error <= bound, "{what} of {name} at {level:?}: {error:.1e}")
        };
        let (statistics, output) = self.forward();
        near("mean", error(&statistics.mean, &self.mean), 1e-6);
        near("variance", error(&statistics.variance, &self.variance), 1e-6);
        near("output", error(&output, &self.output), 3e-6); // the means are twenty times the deviations
        let kept = self.backward(&statistics, Some(&output));
        if self.residual.is_none() {
            let again = self.backward(&statistics, None);
            assert!(
                again[0] == kept[0] && again[2..] == kept[2..],
                "{name} at {level:?}: ReLU's gate differs when computed again"
            );
        }
        near("gradient by the input", error(&kept[0], &self.gradients[0]), 5e-6);
        if self.residual.is_some() {
            near("gradient by what was added", error(&kept[1], &self.gradients[1]), 0.0);
        }
        near("gradient by the weight", error_of_sums(&kept[2], &self.sums[0], self.squares[0]), 3e-6);
        near("gradient by the bias", error_of_sums(&kept[3], &self.sums[1], self.squares[1]), 1e-6);
    }
}

#[test]
fn as_defined() {
    for (batch, channels, pixels) in
        [(8, 5, 16), (3, 7, 65), (2, 3, 4097), (4, 2, 10_000), (16, 9, 1), (1, 4, 130)]
    {
        let shape = NormShape { batch, channels, pixels };
        for (relu, added, fixed) in (0..8).map(|bits| (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0)) {
            let case = Case::new(shape, relu, added, fixed);
            for level in Level::available() {
                with_level(level, || case.check(level));
            }
        }
    }
}

/// One value in a channel has no variance: the epsilon alone keeps the output finite, as in PyTorch's kernel.
#[test]
fn no_variance_gives_the_bias() {
    let shape = NormShape { batch: 1, channels: 2, pixels: 40 };
    let norm =
        Norm { shape, weight: &[2.0, 3.0], bias: &[0.5, -0.5], epsilon: EPSILON, adds: false, relu: false };
    let input = [[7.25; 40], [-3.0; 40]].concat();
    let mut output = vec![f32::NAN; 80];
    let statistics = norm_forward(&norm, &input, None, &mut output);
    assert_eq!(statistics, Statistics { mean: vec![7.25, -3.0], variance: vec![0.0; 2] });
    assert_eq!(output, [[0.5; 40], [-0.5; 40]].concat());
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let shape = NormShape { batch: 6, channels: 50, pixels: 5000 };
    let case = Case::new(shape, true, true, false);
    let all = || {
        let (statistics, output) = case.forward();
        let gradients = case.backward(&statistics, Some(&output)).concat();
        [statistics.mean, statistics.variance, output, gradients].concat()
    };
    let one = with_threads(1, all);
    assert!(one == with_threads(2, all) && one == with_threads(3, all));
}

#[test]
fn what_is_not_a_number_does_not_vanish() {
    let shape = NormShape { batch: 2, channels: 2, pixels: 37 };
    let norm = Norm { shape, weight: &[1.0; 2], bias: &[0.0; 2], epsilon: EPSILON, adds: false, relu: true };
    for level in Level::available() {
        let mut input = random(shape.len(), 1);
        input[40] = f32::NAN; // the second channel
        let mut output = vec![0.0; shape.len()];
        with_level(level, || norm_forward(&norm, &input, None, &mut output));
        assert!(output[37..74].iter().all(|y| y.is_nan()), "{level:?}");
        assert!(output[..37].iter().all(|y| y.is_finite()), "{level:?}");
    }
}

/// With fixed statistics the gradient depends on x through ReLU alone.
#[test]
fn fixed_statistics_let_the_gradient_of_an_infinite_input_be() {
    let shape = NormShape { batch: 1, channels: 1, pixels: 3 };
    let norm = Norm { shape, weight: &[2.0], bias: &[0.0], epsilon: 0.0, adds: false, relu: true };
    let statistics = Statistics { mean: vec![0.0], variance: vec![1.0] };
    for level in Level::available() {
        let (mut images, mut weight, mut bias) = ([1.0; 3], [0.0], [0.0]);
        let to = NormGradients { images: &mut images, residual: None, weight: &mut weight, bias: &mut bias };
        with_level(level, || {
            norm_backward(&norm, &statistics, true, &[1.0, f32::NEG_INFINITY, 2.0], None, to)
        });
        assert_eq!((images, bias), ([2.0, 0.0, 2.0], [2.0]), "{level:?}");
    }
}

#[test]
#[should_panic(expected = "norm_backward: ReLU after a sum needs relu_output")]
fn a_gate_that_cannot_be_found_again_is_asked_for() {
    let shape = NormShape { batch: 1, channels: 1, pixels: 1 };
    let norm = Norm { shape, weight: &[1.0], bias: &[0.0], epsilon: EPSILON, adds: true, relu: true };
    let statistics = Statistics { mean: vec![0.0], variance: vec![1.0] };
    let to = NormGradients { images: &mut [1.0], residual: None, weight: &mut [0.0], bias: &mut [0.0] };
    norm_backward(&norm, &statistics, false, &[1.0], None, to);
}

#[test]
#[should_panic(expected = "norm_forward: input has 7 elements, the shape says 8")]
fn wrong_lengths_are_named() {
    let shape = NormShape { batch: 2, channels: 2, pixels: 2 };
    let norm = Norm { shape, weight: &[1.0; 2], bias: &[0.0; 2], epsilon: EPSILON, adds: false, relu: false };
    norm_forward(&norm, &[0.0; 7], None, &mut [0.0; 8]);
}
