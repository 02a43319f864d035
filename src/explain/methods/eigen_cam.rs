//! Eigen-CAM: the first principal component of the features, whatever the class (Muhammad and Yeasin,
//! "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020, arXiv:2008.00299).

use super::entry::{Entry, Evidence};
use crate::error::Result;

pub(super) const ENTRY: Entry =
    Entry { name: "eigen_cam", title: "Eigen-CAM", needs_gradient: false, is_class_specific: false, weigh };

/// A Vᵀ's first component, σ₁ u₁ of A = U Σ Vᵀ with A as `[n, C]`, found by power iteration on A Aᵀ. Features
/// after a ReLU are not negative, nor then is their first component: that fixes the sign.
fn weigh(evidence: &Evidence) -> Result<Vec<f32>> {
    let (features, area) = (evidence.features, evidence.places());
    let mut gram = vec![0.0f64; area * area];
    for channel in features.chunks_exact(area) {
        for (row, a) in channel.iter().enumerate() {
            let products = gram[row * area..][..area].iter_mut().zip(channel);
            products.for_each(|(sum, b)| *sum += f64::from(*a) * f64::from(*b));
        }
    }
    // The sum of the rows is rarely orthogonal to the first component: a good start.
    let mut vector: Vec<f64> = gram.chunks_exact(area).map(|row| row.iter().sum()).collect();
    let mut eigenvalue = 0.0;
    for _ in 0..10_000 {
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Ok(vec![0.0; area]);
        }
        vector.iter_mut().for_each(|v| *v /= norm);
        let next: Vec<f64> = gram.chunks_exact(area).map(|row| dot(row, &vector)).collect();
        eigenvalue = dot(&next, &vector);
        let residual = next.iter().zip(&vector).map(|(n, v)| (n - eigenvalue * v).abs()).fold(0.0, f64::max);
        if residual <= 1e-12 * eigenvalue {
            break;
        }
        vector = next;
    }
    let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    let sign = if vector.iter().sum::<f64>() < 0.0 { -1.0 } else { 1.0 };
    let factor = sign * eigenvalue.max(0.0).sqrt() / norm;
    Ok(vector.iter().map(|v| (v * factor).max(0.0) as f32).collect())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::super::entry::testing::{FEATURES, map_of};
    use super::*;

    #[test]
    fn the_map_is_the_first_principal_component() {
        // A Aᵀ = [[5, 3], [3, 9]]: eigenvalue 7 + √13, eigenvector (3, 2 + √13)
        let eigenvalue = 7.0 + 13f64.sqrt();
        let (x, y) = (3.0, 2.0 + 13f64.sqrt());
        let scale = eigenvalue.sqrt() / (x * x + y * y).sqrt();
        let map = map_of(&ENTRY, &FEATURES);
        assert!((f64::from(map[0]) - x * scale).abs() < 1e-6, "{map:?}");
        assert!((f64::from(map[1]) - y * scale).abs() < 1e-6, "{map:?}");
        assert_eq!(map_of(&ENTRY, &[0.0; 4]), [0.0; 2]);
    }
}
