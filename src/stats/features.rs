//! The distance between two sets of features, and the spread of one.
//!
//! Legend: n rows, d features.

use serde::{Deserialize, Serialize};

use super::linalg::{centred, eigenvalues, gram, half, times_transposed, transposed};
use super::projection::pca;
use super::slices::{below, rows, same_length};
use crate::error::{Error, Result};

/// The spread of the rows of a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassSpread {
    /// Number of rows of the class.
    pub rows: u64,
    /// The mean Euclidean distance between two of them; 0 for fewer than two.
    pub mean_distance: f64,
}

/// The squared Fréchet distance |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½) between Gaussians fitted to `[na, d]`
/// and `[nb, d]` features (Dowson & Landau 1982): with Inception features this is the FID of Heusel et al.
/// 2017.
///
/// With few rows it is biased upwards, above all where a set has fewer rows than features: compare only
/// values for the same number of rows. [`frechet_distance_after_pca`] needs fewer rows.
///
/// # Errors
/// [`Error::Input`] for fewer than two rows, values that are not whole rows of `d`, and one that is not
/// finite.
pub fn frechet_distance(a: &[f32], b: &[f32], d: usize) -> Result<f64> {
    let place = "Fréchet distance";
    let (n, m) = (rows(place, a, d)?, rows(place, b, d)?);
    if n < 2 || m < 2 {
        return Err(Error::input(place, format!("found {n} and {m} rows")).expected("at least two of each"));
    }
    let ((mean_a, a), (mean_b, b)) = (centred(a, d), centred(b, d));
    let (freedom_a, freedom_b) = ((n - 1) as f64, (m - 1) as f64);
    let between: f64 = mean_a.iter().zip(&mean_b).map(|(a, b)| (a - b).powi(2)).sum();
    let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let traces = squares(&a) / freedom_a + squares(&b) / freedom_b;
    // tr (Σa Σb)^½ is the sum of the singular values of R·Sᵀ for any R, S with Σa = RᵀR and Σb = SᵀS: the
    // rows themselves where they are few, Cholesky's factors where the features are.
    let cross = if n.min(m) <= d {
        let product = times_transposed(&a, &b, d); // [n, m]
        let smaller = if n <= m { gram(&product, m) } else { gram(&transposed(&product, m), n) };
        roots(smaller, n.min(m)) / (freedom_a * freedom_b).sqrt()
    } else {
        let factor = |rows: &[f64]| half(&gram(&transposed(rows, d), rows.len() / d), d); // [rank, d]
        let (first, second) = (factor(&a), factor(&b));
        if first.is_empty() || second.is_empty() {
            0.0
        } else {
            let product = times_transposed(&first, &second, d);
            let rank = first.len() / d;
            roots(gram(&product, second.len() / d), rank) / (freedom_a * freedom_b).sqrt()
        }
    };
    Ok((between + traces - 2.0 * cross).max(0.0)) // rounding can bring it just below 0
}

/// [`frechet_distance`] in the first `k` principal components of both sets together, which omits the
/// d − k dimensions of least variance.
///
/// # Errors
/// As [`frechet_distance`].
pub fn frechet_distance_after_pca(a: &[f32], b: &[f32], d: usize, k: usize) -> Result<f64> {
    let both = pca(&[a, b].concat(), d, k)?;
    let k = both.variance.len();
    let scores: Vec<f32> = both.scores.iter().map(|&value| value as f32).collect();
    let (a, b) = scores.split_at(a.len() / d * k);
    frechet_distance(a, b, k)
}

/// The spread of each class, from `[n, d]` features and n class indices below `classes`.
///
/// # Errors
/// [`Error::Input`] for lengths that do not fit, an index that is not a class, a value that is not finite.
pub fn mean_pairwise_distances(
    features: &[f32],
    d: usize,
    targets: &[usize],
    classes: usize,
) -> Result<Vec<ClassSpread>> {
    let place = "pairwise distances";
    let n = rows(place, features, d)?;
    same_length(place, "targets", targets.len(), n)?;
    below(place, "target", targets, classes)?;
    let spread = |class: usize| {
        let own: Vec<f32> = features
            .chunks_exact(d)
            .zip(targets)
            .filter(|(_, target)| **target == class)
            .flat_map(|(row, _)| row)
            .copied()
            .collect();
        let (_, centred) = centred(&own, d); // smaller numbers lose fewer digits below
        let n = own.len() / d;
        let products = gram(&centred, d);
        let distance = |i: usize, j: usize| {
            (products[i * n + i] + products[j * n + j] - 2.0 * products[i * n + j]).max(0.0).sqrt()
        };
        let sum: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| distance(i, j)).sum();
        let pairs = n * n.saturating_sub(1) / 2;
        ClassSpread { rows: n as u64, mean_distance: if pairs > 0 { sum / pairs as f64 } else { 0.0 } }
    };
    Ok((0..classes).map(spread).collect())
}

/// The sum of the roots of the eigenvalues of an `[n, n]` matrix that has no negative ones but for rounding.
fn roots(matrix: Vec<f64>, n: usize) -> f64 {
    eigenvalues(matrix, n).into_iter().map(|value| value.max(0.0).sqrt()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::fixture::{close, fixture, indices, numbers, singles};

    #[test]
    fn the_distance_is_that_of_scipys_matrix_root() {
        for case in fixture()["frechet"].as_array().unwrap() {
            let d = case["d"].as_u64().unwrap() as usize;
            let (a, b) = (singles(&case["a"]), singles(&case["b"]));
            let expected = case["distance"].as_f64().unwrap();
            close("distance", frechet_distance(&a, &b, d).unwrap(), expected, 1e-6 * expected);
            close("the other way", frechet_distance(&b, &a, d).unwrap(), expected, 1e-6 * expected);
            assert!(frechet_distance(&a, &a, d).unwrap() < 1e-6);
            close(
                "after all components",
                frechet_distance_after_pca(&a, &b, d, d).unwrap(),
                expected,
                1e-4 * expected,
            );
            assert!(frechet_distance_after_pca(&a, &b, d, 2).unwrap() < expected);
        }
    }

    #[test]
    fn a_shift_alone_gives_its_square() {
        let a: Vec<f32> = (0..60).map(|i| (i * i % 13) as f32).collect();
        let b: Vec<f32> = a.iter().enumerate().map(|(at, value)| value + [3.0, 4.0][at % 2]).collect();
        close("distance", frechet_distance(&a, &b, 2).unwrap(), 25.0, 1e-9);
        let constant = [2.0f32; 10];
        close("constant", frechet_distance(&constant, &[5.0; 10], 2).unwrap(), 18.0, 1e-9);
        assert!(frechet_distance(&a[..2], &b, 2).unwrap_err().to_string().contains("found 1 and 30 rows"));
    }

    #[test]
    fn the_spread_is_that_of_scipys_pdist() {
        let case = &fixture()["spread"];
        let d = case["d"].as_u64().unwrap() as usize;
        let found =
            mean_pairwise_distances(&singles(&case["features"]), d, &indices(&case["targets"]), 4).unwrap();
        for (found, expected) in found.iter().zip(numbers(&case["mean_distance"])) {
            close("mean distance", found.mean_distance, expected, 1e-6);
        }
        assert_eq!(found[3], ClassSpread { rows: 0, mean_distance: 0.0 });
    }
}
