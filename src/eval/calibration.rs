//! Temperature scaling: one number that calibrates the probabilities and changes no prediction (Guo, Pleiss,
//! Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What calibration did, as `eval/calibration.json` keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The temperature before; 1 for a model that was never calibrated.
    pub before: f32,
    /// The temperature that was found.
    pub temperature: f32,
    /// The change on the validation split, on which the temperature was chosen.
    pub valid: CalibrationChange,
    /// The change on the test split, if there is one: an unbiased estimate.
    pub test: Option<CalibrationChange>,
}

/// What calibration changed on one split; each pair is before and after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationChange {
    /// Number of images in the split.
    pub n: u64,
    /// Expected calibration error, in `0..=1`.
    pub ece: [f64; 2],
    /// Mean negative log-likelihood, in nats.
    pub loss: [f64; 2],
    /// Brier score, in `0..=2`.
    pub brier: [f64; 2],
}

/// Temperatures between which the best one is sought.
const RANGE: [f64; 2] = [0.05, 20.0];
/// Steps of the golden-section search; each leaves 0.618 of the interval of logarithms.
const STEPS: usize = 60;

/// The temperature T that minimises the mean negative log-likelihood of `softmax(logits / T)` on `targets`.
///
/// The loss is convex in 1 / T, so that it has one minimum, and the search finds it.
///
/// # Errors
/// There are fewer than 10 samples; a logit is not finite; or the loss is lowest at an end of the range 0.05
/// to 20, because the model is always right (or no better than chance) on these samples: they cannot
/// calibrate it.
pub fn fit_temperature(logits: &[Vec<f32>], targets: &[usize]) -> Result<f64> {
    if logits.len() < 10 || logits.len() != targets.len() {
        return Err(Error::Compute(format!(
            "found {} samples to calibrate on; expected at least 10. Calibrate on more images",
            logits.len()
        )));
    }
    if logits.iter().flatten().any(|logit| !logit.is_finite()) {
        return Err(Error::Compute("the model's output on the validation split is not finite".into()));
    }
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let loss = |log: f64| mean_loss(logits, targets, log.exp());
    let [mut low, mut high] = RANGE.map(f64::ln);
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut loss_a, mut loss_b) = (loss(a), loss(b));
    for _ in 0..STEPS {
        if loss_a <= loss_b {
            (high, b, loss_b) = (b, a, loss_a);
            a = high - golden * (high - low);
            loss_a = loss(a);
        } else {
            (low, a, loss_a) = (a, b, loss_b);
            b = low + golden * (high - low);
            loss_b = loss(b);
        }
    }
    let temperature = ((low + high) / 2.0).exp();
    if !(RANGE[0] * 1.001..=RANGE[1] / 1.001).contains(&temperature) {
        return Err(Error::Compute(format!(
            "no temperature between {} and {} minimises the loss on the validation split: the model is \
             always right there, or no better than chance. Calibrate on more images",
            RANGE[0], RANGE[1]
        )));
    }
    Ok(temperature)
}

/// Mean of −ln softmax(logits / T)[target], in nats.
fn mean_loss(logits: &[Vec<f32>], targets: &[usize], temperature: f64) -> f64 {
    let one = |(row, &target): (&Vec<f32>, &usize)| {
        let scaled = |logit: f32| f64::from(logit) / temperature;
        let largest = row.iter().map(|&logit| scaled(logit)).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|&logit| (scaled(logit) - largest).exp()).sum();
        largest + sum.ln() - scaled(row[target])
    };
    logits.iter().zip(targets).map(one).sum::<f64>() / logits.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::evaluate::softmax;
    use crate::random::{Purpose, rng};
    use rand::RngExt;

    /// Logits, and targets drawn from softmax(logits / temperature).
    fn simulated(temperature: f32, count: usize) -> (Vec<Vec<f32>>, Vec<usize>) {
        let mut random = rng(3, Purpose::Subset, count as u64, 0);
        let logits: Vec<Vec<f32>> =
            (0..count).map(|_| (0..7).map(|_| random.random_range(-4.0..4.0)).collect()).collect();
        let targets = logits.iter().map(|row| {
            let mut place = random.random::<f32>();
            let p = softmax(row, temperature);
            p.iter()
                .position(|p| {
                    place -= p;
                    place < 0.0
                })
                .unwrap_or(6)
        });
        let targets = targets.collect();
        (logits, targets)
    }

    #[test]
    fn the_temperature_of_the_simulated_targets_is_recovered() {
        for temperature in [0.5, 1.0, 2.5] {
            let (logits, targets) = simulated(temperature, 20_000);
            let found = fit_temperature(&logits, &targets).unwrap();
            assert!((found / f64::from(temperature) - 1.0).abs() < 0.05, "{temperature}: {found}");
            for other in [found * 0.98, found * 1.02] {
                assert!(mean_loss(&logits, &targets, other) > mean_loss(&logits, &targets, found));
            }
        }
    }

    #[test]
    fn samples_that_cannot_calibrate_are_an_error() {
        let right: Vec<Vec<f32>> = (0..20).map(|_| vec![3.0, 0.0]).collect();
        assert!(fit_temperature(&right, &[0; 20]).unwrap_err().to_string().contains("always right"));
        assert!(fit_temperature(&right, &[1; 20]).unwrap_err().to_string().contains("no better than chance"));
        assert!(fit_temperature(&right[..5], &[0; 5]).unwrap_err().to_string().contains("at least 10"));
    }
}
