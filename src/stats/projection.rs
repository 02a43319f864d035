//! Features in few dimensions: principal components and t-SNE.
//!
//! Legend: n rows, d features, k components.

use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::linalg::{add, centred, dot, gram, jacobi, times_transposed, transposed};
use super::slices::rows;
use crate::error::{Error, Result};
use crate::random::{Purpose, rng};
use crate::simd::Level;

/// The first principal components of a set of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    /// `[d]`: the mean of the rows.
    pub mean: Vec<f64>,
    /// `[k, d]`: directions of length 1, that of the largest variance first. The entry of the largest
    /// magnitude is positive.
    pub components: Vec<f64>,
    /// `[k]`: the variance along each (with n − 1).
    pub variance: Vec<f64>,
    /// The variance of all d features together.
    pub total_variance: f64,
    /// `[n, k]`: the rows in these coordinates.
    pub scores: Vec<f64>,
}

/// The settings of t-SNE. The defaults are scikit-learn's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TsneSettings {
    /// Effective number of neighbours of a row; at most (n − 1) / 3.
    pub perplexity: f64,
    /// Steps of gradient descent.
    pub iterations: usize,
    /// Factor on the attraction in the first quarter of the steps, at most 250 steps.
    pub early_exaggeration: f64,
    /// The learning rate; by default n / exaggeration / 4, but at least 50 (Belkina et al. 2019).
    pub learning_rate: Option<f64>,
    /// Number of principal components to which the features are reduced first: distances in hundreds of noisy
    /// dimensions say little.
    pub dimensions: usize,
}

impl Default for TsneSettings {
    fn default() -> Self {
        Self {
            perplexity: 30.0,
            iterations: 1000,
            early_exaggeration: 12.0,
            learning_rate: None,
            dimensions: 50,
        }
    }
}

/// The maximum number of rows for [`tsne`], whose memory grows with their square.
pub const MOST_TSNE_ROWS: usize = 5000;

/// The first `k` principal components of `[n, d]` features; fewer where n or d is less.
///
/// By subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4) on the smaller of the two Gram
/// matrices, repeated until the variances converge.
///
/// # Errors
/// [`Error::Input`] for fewer than two rows, values that are not whole rows of `d`, and one that is not
/// finite.
pub fn pca(features: &[f32], d: usize, k: usize) -> Result<Pca> {
    let n = rows("PCA", features, d)?;
    if n < 2 {
        return Err(Error::input("PCA", format!("found {n} rows")).expected("at least two"));
    }
    let k = k.min(n).min(d);
    let (mean, data) = centred(features, d); // [n, d]
    let columns = transposed(&data, d); // [d, n]
    let freedom = (n - 1) as f64;
    let (values, vectors) =
        if n < d { leading(&gram(&data, d), n, k) } else { leading(&gram(&columns, n), d, k) };
    // An eigenvector u of X·Xᵀ makes the component Xᵀu / √λ.
    let mut components = if n < d { times_transposed(&vectors, &columns, n) } else { vectors }; // [k, d]
    for row in components.chunks_exact_mut(d) {
        orient(row);
    }
    let scores = times_transposed(&data, &components, d); // [n, d] · [d, k] -> [n, k]
    let total_variance = dot(&data, &data) / freedom;
    let variance = values.into_iter().map(|value| value.max(0.0) / freedom).collect();
    Ok(Pca { mean, components, variance, total_variance, scores })
}

/// t-SNE in two dimensions (van der Maaten & Hinton 2008), exact, from a start at the first two principal
/// components, so that it needs no seed: the same features give the same projection.
///
/// Neighbourhoods are preserved; the distances between clusters and their sizes mean little.
///
/// # Errors
/// As [`pca`], and for more than [`MOST_TSNE_ROWS`] rows.
pub fn tsne(features: &[f32], d: usize, settings: &TsneSettings) -> Result<Vec<[f64; 2]>> {
    let n = rows("t-SNE", features, d)?;
    if n > MOST_TSNE_ROWS {
        return Err(
            Error::input("t-SNE", format!("found {n} rows")).expected(format!("at most {MOST_TSNE_ROWS}"))
        );
    }
    let first = pca(features, d, settings.dimensions.max(2))?;
    let k = first.variance.len();
    let p = affinities(&first.scores, k, settings.perplexity.clamp(1.0, ((n - 1) as f64 / 3.0).max(1.0)));
    let axis = |axis: usize| first.scores.iter().skip(axis).step_by(k).copied().collect::<Vec<_>>();
    let second = if k > 1 { axis(1) } else { vec![0.0; n] };
    let spread = first.variance[0].sqrt();
    let scale = if spread > 0.0 { 1e-4 / spread } else { 0.0 };
    let start = [axis(0), second].map(|axis| axis.into_iter().map(|value| value * scale).collect());
    let [x, y] = descend(&p, n, start, settings);
    Ok(x.into_iter().zip(y).map(|(x, y)| [x, y]).collect())
}

/// The `k` largest eigenvalues of a symmetric `[m, m]` matrix without negative ones, and their vectors as
/// rows.
fn leading(a: &[f64], m: usize, k: usize) -> (Vec<f64>, Vec<f64>) {
    let width = (k + 10).min(m); // some more than asked for: the last ones converge slowly
    let mut random = rng(0, Purpose::Start, m as u64, k as u64);
    // [width, m]
    let mut basis: Vec<f64> = (0..width * m).map(|_| StandardNormal.sample(&mut random)).collect();
    let mut values: Vec<f64> = Vec::new();
    for _ in 0..200 {
        orthonormalise(&mut basis, m);
        let image = times_transposed(&basis, a, m); // [width, m], as A is symmetric
        let (found, turn) = jacobi(times_transposed(&basis, &image, m), width);
        let largest = found.first().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
        let stands = values.iter().zip(&found).take(k).all(|(old, new)| (old - new).abs() <= 1e-13 * largest);
        let stands = stands && !values.is_empty();
        // Of the rotated basis the vectors, of their images the next basis.
        let next = if stands { &basis } else { &image };
        let columns = transposed(next, m);
        let rotated = times_transposed(&turn, &columns, width); // [width, m]
        values = found;
        basis = rotated;
        if stands {
            break;
        }
    }
    orthonormalise(&mut basis, m);
    values.truncate(k);
    basis.truncate(k * m);
    (values, basis)
}

/// Gram–Schmidt, twice: once is not enough where rows are nearly parallel (Giraud et al. 2005). A row that
/// the others span becomes 0.
fn orthonormalise(basis: &mut [f64], m: usize) {
    for i in 0..basis.len() / m {
        let (before, row) = basis.split_at_mut(i * m);
        let row = &mut row[..m];
        let norm = dot(row, row).sqrt();
        for _ in 0..2 {
            before.chunks_exact(m).for_each(|other| add(row, -dot(row, other), other));
        }
        let left = dot(row, row).sqrt();
        let scale = if left > norm * 1e-12 { 1.0 / left } else { 0.0 };
        row.iter_mut().for_each(|value| *value *= scale);
    }
}

/// Length 1, and the entry of the largest magnitude (the first of several) positive.
fn orient(row: &mut [f64]) {
    let norm = dot(row, row).sqrt();
    let largest = row
        .iter()
        .fold(0.0f64, |best, &value| if value.abs() > best.abs() * (1.0 + 1e-9) { value } else { best });
    let scale = if norm > 0.0 { 1.0f64.copysign(largest) / norm } else { 0.0 };
    row.iter_mut().for_each(|value| *value *= scale);
}

/// The joint probabilities pᵢⱼ, `[n, n]`, of rows `[n, k]`: for each row a Gaussian whose entropy is the
/// logarithm of the perplexity.
fn affinities(rows: &[f64], k: usize, perplexity: f64) -> Vec<f32> {
    let n = rows.len() / k;
    let mut p = vec![0.0f32; n * n];
    p.par_chunks_mut(n).enumerate().for_each(|(i, out)| {
        let own = &rows[i * k..(i + 1) * k];
        let distance = |row: &[f64]| own.iter().zip(row).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let distances: Vec<f64> = rows.chunks_exact(k).map(distance).collect();
        conditional(&distances, i, perplexity)
            .into_iter()
            .zip(out)
            .for_each(|(value, out)| *out = value as f32);
    });
    for i in 0..n {
        for j in 0..i {
            let mean = (p[i * n + j] + p[j * n + i]) / (2.0 * n as f32);
            (p[i * n + j], p[j * n + i]) = (mean, mean);
        }
    }
    p
}

/// The probabilities of row `i`'s neighbours from squared distances, by bisection over the Gaussian's
/// precision.
fn conditional(distances: &[f64], i: usize, perplexity: f64) -> Vec<f64> {
    let others = || distances.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, d)| *d);
    let nearest = others().fold(f64::INFINITY, f64::min);
    let mean = others().map(|d| d - nearest).sum::<f64>() / (distances.len() - 1) as f64;
    let mut p = vec![0.0; distances.len()];
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, if mean > 0.0 { 1.0 / mean } else { 1.0 });
    for _ in 0..200 {
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (j, (p, d)) in p.iter_mut().zip(distances).enumerate() {
            *p = if j == i { 0.0 } else { (-beta * (d - nearest)).exp() };
            sum += *p;
            weighted += *p * (d - nearest);
        }
        p.iter_mut().for_each(|p| *p /= sum);
        // The entropy in nats minus its target.
        let excess = sum.ln() + beta * weighted / sum - perplexity.ln();
        if excess.abs() < 1e-6 {
            break;
        }
        if excess > 0.0 {
            low = beta
        } else {
            high = beta
        }
        beta = if high.is_finite() { (low + high) / 2.0 } else { beta * 2.0 };
    }
    p
}

/// Steps with the lower momentum and exaggeration.
const EXPLORATION: usize = 250;

/// Gradient descent with momentum and a gain per coordinate (van der Maaten & Hinton 2008, section 3.4).
fn descend(p: &[f32], n: usize, start: [Vec<f64>; 2], settings: &TsneSettings) -> [Vec<f64>; 2] {
    let rate = settings.learning_rate.unwrap_or((n as f64 / settings.early_exaggeration / 4.0).max(50.0));
    let exploration = EXPLORATION.min(settings.iterations / 4);
    let mut at = start;
    let (mut speed, mut gain) = ([vec![0.0f64; n], vec![0.0; n]], [vec![1.0f64; n], vec![1.0; n]]);
    for iteration in 0..settings.iterations {
        let early = iteration < exploration;
        if iteration == exploration {
            (speed, gain) = ([vec![0.0; n], vec![0.0; n]], [vec![1.0; n], vec![1.0; n]]);
        }
        let (exaggeration, momentum) = if early { (settings.early_exaggeration, 0.5) } else { (1.0, 0.8) };
        let slope = gradient(p, n, &at, exaggeration);
        for axis in 0..2 {
            for i in 0..n {
                let (slope, speed, gain) = (slope[axis][i], &mut speed[axis][i], &mut gain[axis][i]);
                *gain = if slope * *speed < 0.0 { *gain + 0.2 } else { (*gain * 0.8).max(0.01) };
                *speed = momentum * *speed - rate * *gain * slope;
                at[axis][i] += *speed;
            }
            let mean = at[axis].iter().sum::<f64>() / n as f64;
            at[axis].iter_mut().for_each(|value| *value -= mean);
        }
    }
    at
}

/// ∂KL/∂yᵢ = 4 Σⱼ (pᵢⱼ − wᵢⱼ/Z) wᵢⱼ (yᵢ − yⱼ) with wᵢⱼ = 1 / (1 + |yᵢ − yⱼ|²) and Z = Σ wᵢⱼ over all i ≠ j.
fn gradient(p: &[f32], n: usize, at: &[Vec<f64>; 2], exaggeration: f64) -> [Vec<f64>; 2] {
    let level = Level::detect();
    let [x, y] = [0, 1].map(|axis| at[axis].iter().map(|&value| value as f32).collect::<Vec<_>>());
    let forces: Vec<[f64; 5]> = (0..n)
        .into_par_iter()
        .with_min_len(64)
        .map(|i| forces(level, &p[i * n..(i + 1) * n], &x, &y, i))
        .collect();
    // Without each row's own weight, which is 1.
    let z = forces.iter().map(|force| force[0] - 1.0).sum::<f64>().max(f64::MIN_POSITIVE);
    let slope = |attraction: usize| {
        forces
            .iter()
            .map(|force| 4.0 * (exaggeration * force[attraction] - force[attraction + 1] / z))
            .collect()
    };
    [slope(1), slope(3)]
}

/// Rows per unit of work of a thread.
const LANES: usize = 16;

vectorized! {
    /// Σ w, Σ p·w·Δx, Σ w²·Δx, Σ p·w·Δy, Σ w²·Δy over all rows, row `i` itself included (with p = 0 and Δ =
    /// 0).
    fn forces(p: &[f32], x: &[f32], y: &[f32], i: usize) -> [f64; 5] {
        let (own_x, own_y) = (x[i], y[i]);
        let mut sums = [[0.0f32; LANES]; 5];
        let mut chunk = |p: &[f32; LANES], x: &[f32; LANES], y: &[f32; LANES], there: &[f32; LANES]| {
            for lane in 0..LANES {
                let (dx, dy) = (own_x - x[lane], own_y - y[lane]);
                let w = there[lane] / (1.0 + (dx * dx + dy * dy));
                let (pull, push) = (p[lane] * w, w * w);
                sums[0][lane] += w;
                sums[1][lane] += pull * dx;
                sums[2][lane] += push * dx;
                sums[3][lane] += pull * dy;
                sums[4][lane] += push * dy;
            }
        };
        let ((p, p_rest), (x, x_rest), (y, y_rest)) = (p.as_chunks(), x.as_chunks(), y.as_chunks());
        for ((p, x), y) in p.iter().zip(x).zip(y) {
            chunk(p, x, y, &[1.0; LANES]);
        }
        let filled = |rest: &[f32]| {
            let mut full = [0.0; LANES];
            full[..rest.len()].copy_from_slice(rest);
            full
        };
        let there = std::array::from_fn(|lane| if lane < p_rest.len() { 1.0 } else { 0.0 });
        chunk(&filled(p_rest), &filled(x_rest), &filled(y_rest), &there);
        sums.map(|lanes| lanes.iter().map(|&value| f64::from(value)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::fixture::{all_close, close, fixture, indices, numbers, singles};

    #[test]
    fn components_are_those_of_scikit_learn() {
        for case in fixture()["pca"].as_array().unwrap() {
            let (d, k) = (case["d"].as_u64().unwrap() as usize, case["k"].as_u64().unwrap() as usize);
            let found = pca(&singles(&case["features"]), d, k).unwrap();
            all_close("variance", &found.variance, &numbers(&case["variance"]), 1e-9);
            close("total", found.total_variance, case["total_variance"].as_f64().unwrap(), 1e-9);
            all_close("components", &found.components, &numbers(&case["components"]), 1e-6);
            all_close("scores", &found.scores, &numbers(&case["scores"]), 1e-5);
        }
    }

    #[test]
    fn more_components_than_there_are_and_constant_features_are_no_trouble() {
        let found = pca(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0], 3, 50).unwrap();
        assert_eq!(found.variance.len(), 2);
        close("the one direction", found.variance[0], 24.0, 1e-9);
        close("no other", found.variance[1], 0.0, 1e-9);
        let constant = pca(&[4.0; 40], 4, 2).unwrap();
        assert!(constant.scores.iter().chain(&constant.components).all(|value| *value == 0.0));
        let flat = tsne(&[4.0; 40], 4, &TsneSettings::default()).unwrap();
        assert!(flat.iter().flatten().all(|value| value.is_finite()));
        assert_eq!(tsne(&[1.0, 2.0], 1, &TsneSettings::default()).unwrap().len(), 2);
        assert!(pca(&[1.0, 2.0], 2, 1).unwrap_err().to_string().contains("found 1 rows"));
        assert!(pca(&[1.0, 2.0, 3.0], 2, 1).unwrap_err().to_string().contains("3 values in rows of 2"));
        assert!(pca(&[1.0, f32::NAN], 1, 1).unwrap_err().to_string().contains("row 1 has NaN in column 0"));
    }

    /// KL(P‖Q), which t-SNE minimises.
    fn divergence(p: &[f32], at: &[[f64; 2]]) -> f64 {
        let n = at.len();
        let w = |i: usize, j: usize| {
            if i == j {
                0.0
            } else {
                1.0 / (1.0 + (at[i][0] - at[j][0]).powi(2) + (at[i][1] - at[j][1]).powi(2))
            }
        };
        let pairs = || (0..n).flat_map(|i| (0..n).map(move |j| (i, j)));
        let z: f64 = pairs().map(|(i, j)| w(i, j)).sum();
        let term = |(i, j): (usize, usize)| {
            let p = f64::from(p[i * n + j]);
            if p > 0.0 { p * (p * z / w(i, j)).ln() } else { 0.0 }
        };
        pairs().filter(|(i, j)| i != j).map(term).sum()
    }

    #[test]
    fn tsne_is_as_good_as_scikit_learns_and_does_not_depend_on_threads() {
        let case = &fixture()["tsne"];
        let (features, d) = (singles(&case["features"]), case["d"].as_u64().unwrap() as usize);
        let perplexity = case["perplexity"].as_f64().unwrap();
        let settings = TsneSettings { perplexity, ..TsneSettings::default() };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| tsne(&features, d, &settings).unwrap())
        };
        let found = run(1);
        assert_eq!(found, run(3));
        let p =
            affinities(&features.iter().map(|&value| f64::from(value)).collect::<Vec<_>>(), d, perplexity);
        close("Σ p", p.iter().map(|&p| f64::from(p)).sum(), 1.0, 1e-5);
        let (own, theirs) = (divergence(&p, &found), case["divergence"].as_f64().unwrap());
        // scikit-learn's own runs from other starts differ by as much.
        assert!(own < theirs * 1.06, "{own} against {theirs}");
        let classes = indices(&case["classes"]);
        let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
        for (i, &own) in found.iter().enumerate() {
            let others = (0..found.len()).filter(|&j| j != i);
            let nearest =
                others.min_by(|&a, &b| distance(own, found[a]).total_cmp(&distance(own, found[b]))).unwrap();
            assert_eq!(classes[i], classes[nearest], "row {i} lies in a foreign cluster");
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_divergence() {
        let features: Vec<f64> = (0..30).map(|i| f64::from(i * i % 17)).collect();
        let p = affinities(&features, 3, 3.0);
        let at =
            [0, 1].map(|axis| (0..10).map(|i| f64::from((i * 7 + axis * 3) % 10) / 5.0).collect::<Vec<_>>());
        let found = gradient(&p, 10, &at, 1.0);
        for (axis, i) in [(0, 0), (1, 4), (0, 9)] {
            let moved = |step: f64| {
                let mut at = at.clone();
                at[axis][i] += step;
                divergence(&p, &(0..10).map(|i| [at[0][i], at[1][i]]).collect::<Vec<_>>())
            };
            close("slope", found[axis][i], (moved(1e-5) - moved(-1e-5)) / 2e-5, 1e-5);
        }
    }
}
