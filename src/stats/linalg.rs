//! Symmetric matrices in f64, row-major in flat slices, and products of features.
//!
//! **Invariant:** sums have a fixed order (eight partial sums, whatever vectors the processor has), and
//! threads share whole rows, so that results are bit for bit the same on every machine.
//!
//! Own code, 274 lines, because of this invariant, which no crate promises, and because it is small:
//! nalgebra 0.34 adds 22 crates and takes 58 s of one core to build, and does not use threads for
//! eigenvalues.

use rayon::prelude::*;

use crate::simd::Level;

/// Partial sums of a dot product: one register of AVX-512, two of AVX2.
const LANES: usize = 8;

/// Rows that are multiplied by another in one pass.
const ROWS: usize = 4;

/// Columns per unit of work of a thread.
const COLUMNS: usize = 256;

vectorized! {
    fn dot_at(a: &[f64], b: &[f64]) -> f64 {
        let mut sums = [0.0; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        sums.iter().sum::<f64>() + rest
    }
}

vectorized! {
    /// [`dot_at`] of `b` with each of some rows `[·, d]`, which reads `b` once; bit for bit the same.
    fn dots_at(rows: &[f64], b: &[f64], out: &mut [f64; ROWS]) {
        let d = b.len();
        let (b, b_rest) = b.as_chunks::<LANES>();
        let mut sums = [[0.0; LANES]; ROWS];
        let full: [&[[f64; LANES]]; ROWS] =
            std::array::from_fn(|row| rows[row * d..(row + 1) * d].as_chunks().0);
        for (at, b) in b.iter().enumerate() {
            for row in 0..ROWS {
                let a = &full[row][at];
                for lane in 0..LANES {
                    sums[row][lane] += a[lane] * b[lane];
                }
            }
        }
        for row in 0..ROWS {
            let a_rest = &rows[(row + 1) * d - b_rest.len()..(row + 1) * d];
            let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
            out[row] = sums[row].iter().sum::<f64>() + rest;
        }
    }
}

vectorized! {
    /// `row -= a·x + b·y` with the terms (a, x) and (b, y), and then Σ rowᵢ zᵢ: one pass over memory for
    /// both.
    fn update_and_dot(row: &mut [f64], terms: [(f64, &[f64]); 2], z: &[f64]) -> f64 {
        let [(a, x), (b, y)] = terms;
        let mut sums = [0.0; LANES];
        let (row, row_rest) = row.as_chunks_mut::<LANES>();
        let (x, x_rest) = x.as_chunks::<LANES>();
        let (y, y_rest) = y.as_chunks::<LANES>();
        let (z, z_rest) = z.as_chunks::<LANES>();
        for (((row, x), y), z) in row.iter_mut().zip(x).zip(y).zip(z) {
            for lane in 0..LANES {
                row[lane] -= a * x[lane] + b * y[lane];
                sums[lane] += row[lane] * z[lane];
            }
        }
        let mut rest = 0.0;
        for (((row, x), y), z) in row_rest.iter_mut().zip(x_rest).zip(y_rest).zip(z_rest) {
            *row -= a * x + b * y;
            rest += *row * z;
        }
        sums.iter().sum::<f64>() + rest
    }
}

vectorized! {
    fn add_at(target: &mut [f64], factor: f64, values: &[f64]) {
        for (target, value) in target.iter_mut().zip(values) {
            *target += factor * value;
        }
    }
}

/// The scalar product `Σ aᵢ bᵢ` of two slices of one length.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    dot_at(Level::detect(), a, b)
}

/// `target += factor · values`.
pub fn add(target: &mut [f64], factor: f64, values: &[f64]) {
    add_at(Level::detect(), target, factor, values);
}

/// The means of the columns of `[n, d]`, and the rows minus these means.
pub fn centred(features: &[f32], d: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (features.len() / d).max(1) as f64;
    let mut mean = vec![0.0; d];
    for row in features.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value));
    }
    mean.iter_mut().for_each(|mean| *mean /= n);
    let rows = features
        .chunks_exact(d)
        .flat_map(|row| row.iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean));
    let rows = rows.collect();
    (mean, rows)
}

/// A·Bᵀ for `[n, d]` and `[m, d]` -> `[n, m]`.
pub fn times_transposed(a: &[f64], b: &[f64], d: usize) -> Vec<f64> {
    products(a, b, d, |_| b.len() / d)
}

/// `[n, d]` -> `[d, n]`.
pub fn transposed(a: &[f64], d: usize) -> Vec<f64> {
    let n = a.len() / d;
    let mut out = vec![0.0; a.len()];
    for (i, row) in a.chunks_exact(d).enumerate() {
        row.iter().enumerate().for_each(|(j, &value)| out[j * n + i] = value);
    }
    out
}

/// A·Aᵀ of `[n, d]` -> `[n, n]`: half the work of [`times_transposed`].
pub fn gram(a: &[f64], d: usize) -> Vec<f64> {
    let n = a.len() / d;
    let mut product = products(a, a, d, |last| last + 1);
    for i in 0..n {
        for j in 0..i {
            product[j * n + i] = product[i * n + j];
        }
    }
    product
}

/// A·Bᵀ `[n, m]`, of each row at least the first `needed(row)` columns.
fn products(a: &[f64], b: &[f64], d: usize, needed: impl Fn(usize) -> usize + Sync) -> Vec<f64> {
    let (n, m, level) = (a.len() / d, b.len() / d, Level::detect());
    let mut product = vec![0.0; n * m];
    product.par_chunks_mut((ROWS * m).max(1)).zip(a.par_chunks(ROWS * d)).enumerate().for_each(
        |(block, (out, rows))| {
            let count = rows.len() / d;
            let columns = needed(block * ROWS + count - 1);
            for (column, b) in b.chunks_exact(d).take(columns).enumerate() {
                let mut sums = [0.0; ROWS];
                match count {
                    ROWS => dots_at(level, rows, b, &mut sums),
                    _ => sums
                        .iter_mut()
                        .zip(rows.chunks_exact(d))
                        .for_each(|(sum, row)| *sum = dot_at(level, row, b)),
                }
                (0..count).for_each(|row| out[row * m + column] = sums[row]);
            }
        },
    );
    product
}

/// All eigenvalues of a symmetric `[n, n]` matrix, the largest first: Householder's tridiagonal form (Golub &
/// Van Loan 2013, algorithm 8.3.1), then implicit QL steps with Wilkinson's shift (section 8.3.5).
pub fn eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let (mut diagonal, mut off_diagonal) = tridiagonal(&mut a, n);
    for l in 0..n {
        // A handful of steps per eigenvalue is the rule; the bound only keeps a matrix with NaN from looping
        // for ever.
        for _ in 0..100 {
            let small = |m: usize| {
                off_diagonal[m].abs() <= f64::EPSILON * (diagonal[m].abs() + diagonal[m + 1].abs())
            };
            let m = (l..n - 1).find(|&m| small(m)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            ql_step(&mut diagonal, &mut off_diagonal, l, m);
        }
    }
    diagonal.sort_by(|a, b| b.total_cmp(a));
    diagonal
}

/// Eigenvalues, the largest first, and eigenvectors (rows of `[n, n]`) of a small symmetric matrix: Jacobi's
/// rotations, cycle by cycle (Golub & Van Loan 2013, algorithm 8.5.3).
pub fn jacobi(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    let total: f64 = a.iter().map(|value| value * value).sum();
    for _ in 0..60 {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= total * 1e-29 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]));
    let values = order.iter().map(|&i| a[i * n + i]).collect();
    (values, order.iter().flat_map(|&i| vectors[i * n..(i + 1) * n].to_vec()).collect())
}

/// R with A = Rᵀ·R for a symmetric `[n, n]` matrix without negative eigenvalues, as `[rank, n]`: Cholesky's
/// factor with pivots on the diagonal, cut where nothing but rounding is left (Higham 2002, section 10.3).
pub fn half(a: &[f64], n: usize) -> Vec<f64> {
    // The diagonal of what is not yet factored.
    let mut left: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
    let tolerance = left.iter().copied().fold(0.0, f64::max) * n as f64 * f64::EPSILON;
    let mut factor: Vec<f64> = Vec::new();
    for _ in 0..n {
        let Some(pivot) = (0..n).max_by(|&i, &j| left[i].total_cmp(&left[j]).then(j.cmp(&i))) else { break };
        if left[pivot] <= tolerance {
            break;
        }
        let root = left[pivot].sqrt();
        let mut row = a[pivot * n..(pivot + 1) * n].to_vec();
        row.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, out)| {
            let columns = chunk * COLUMNS..chunk * COLUMNS + out.len();
            factor.chunks_exact(n).for_each(|before| add(out, -before[pivot], &before[columns.clone()]));
        });
        for (value, left) in row.iter_mut().zip(&mut left) {
            // Columns that were pivots are done: all that is left there is rounding.
            *value = if *left == f64::NEG_INFINITY { 0.0 } else { *value / root };
            *left -= *value * *value;
        }
        row[pivot] = root;
        left[pivot] = f64::NEG_INFINITY;
        factor.extend(row);
    }
    factor
}

/// Householder's tridiagonal form: the diagonal, and the values next to it (the last one is 0). `a` is used
/// up.
fn tridiagonal(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let level = Level::detect();
    let (mut diagonal, mut off_diagonal) = (vec![0.0; n], vec![0.0; n]);
    // The reflection before: A ← A − v·wᵀ − w·vᵀ is still to be done on what lies below and right.
    let (mut v, mut w) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..n {
        let (row, below) = a[k * n..].split_at_mut(n);
        let row = &mut row[k..];
        for (at, value) in row.iter_mut().enumerate() {
            *value -= v[k] * w[k + at] + w[k] * v[k + at];
        }
        diagonal[k] = row[0];
        // The row right of the diagonal is reflected onto its first entry.
        let mut next = vec![0.0; n];
        next[k + 1..].copy_from_slice(&row[1..]);
        let (first, rest) =
            (row.get(1).copied().unwrap_or(0.0), row.get(2..).map_or(0.0, |rest| dot(rest, rest)));
        off_diagonal[k] = first;
        let mut scale = 0.0;
        if rest > f64::MIN_POSITIVE {
            off_diagonal[k] = -(first * first + rest).sqrt().copysign(first);
            next[k + 1] -= off_diagonal[k];
            scale = 2.0 / (next[k + 1] * next[k + 1] + rest);
        }
        // With p = scale · A·next the new w is p − (scale/2 · pᵀnext)·next.
        let after = k + 1..n;
        let product = |(row, i): (&mut [f64], usize)| {
            let [v_after, w_after, next_after] = [&v, &w, &next].map(|vector| &vector[after.clone()]);
            let terms = [(v[i], w_after), (w[i], v_after)];
            scale * update_and_dot(level, &mut row[after.clone()], terms, next_after)
        };
        let p: Vec<f64> = below.par_chunks_mut(n).with_min_len(64).zip(k + 1..n).map(product).collect();
        w = [vec![0.0; k + 1], p].concat();
        let shift = scale / 2.0 * dot(&w, &next);
        add(&mut w, -shift, &next);
        v = next;
    }
    (diagonal, off_diagonal)
}

/// One implicit QL step on rows l to m of a tridiagonal matrix.
fn ql_step(diagonal: &mut [f64], off_diagonal: &mut [f64], l: usize, m: usize) {
    let mut g = (diagonal[l + 1] - diagonal[l]) / (2.0 * off_diagonal[l]);
    let r = g.hypot(1.0);
    g = diagonal[m] - diagonal[l] + off_diagonal[l] / (g + r.copysign(g));
    let (mut sine, mut cosine, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (sine * off_diagonal[i], cosine * off_diagonal[i]);
        let r = f.hypot(g);
        off_diagonal[i + 1] = r;
        if r == 0.0 {
            diagonal[i + 1] -= p;
            off_diagonal[m] = 0.0;
            return;
        }
        (sine, cosine) = (f / r, g / r);
        g = diagonal[i + 1] - p;
        let r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
        p = sine * r;
        diagonal[i + 1] = g + p;
        g = cosine * r - b;
    }
    diagonal[l] -= p;
    off_diagonal[l] = g;
    off_diagonal[m] = 0.0;
}

/// The rotation that makes `a[p, q]` 0; `vectors` holds the eigenvectors as rows.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let off = a[p * n + q];
    if off == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
    let tangent = 1.0f64.copysign(theta) / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
    for i in 0..n {
        (a[i * n + p], a[i * n + q]) = turn(a[i * n + p], a[i * n + q]);
    }
    for i in 0..n {
        (a[p * n + i], a[q * n + i]) = turn(a[p * n + i], a[q * n + i]);
        (vectors[p * n + i], vectors[q * n + i]) = turn(vectors[p * n + i], vectors[q * n + i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, rng};
    use rand::RngExt;

    fn random(n: usize, d: usize) -> Vec<f64> {
        let mut random = rng(n as u64, Purpose::Draw, d as u64, 0);
        (0..n * d).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    /// [n, n], symmetric, not definite.
    fn symmetric(n: usize) -> Vec<f64> {
        let a = random(n, n);
        (0..n * n).map(|at| a[at] + a[at % n * n + at / n]).collect()
    }

    #[test]
    fn both_eigenvalue_routines_agree_and_the_vectors_are_eigenvectors() {
        for n in [1, 2, 3, 10, 41] {
            let a = symmetric(n);
            let (values, vectors) = jacobi(a.clone(), n);
            for (value, other) in values.iter().zip(eigenvalues(a.clone(), n)) {
                assert!((value - other).abs() < 1e-12 * n as f64, "{n}: {value} {other}");
            }
            for (value, vector) in values.iter().zip(vectors.chunks_exact(n)) {
                for (row, v) in a.chunks_exact(n).zip(vector) {
                    assert!((dot(row, vector) - value * v).abs() < 1e-12 * n as f64);
                }
                assert!((dot(vector, vector) - 1.0).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn a_diagonal_matrix_and_a_block_with_zeros_are_no_trouble() {
        assert_eq!(eigenvalues(vec![2.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 2.0], 3), [5.0, 2.0, 2.0]);
        assert_eq!(eigenvalues(vec![0.0; 16], 4), [0.0; 4]);
        let found = eigenvalues(vec![1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0, 0.0], 3);
        found
            .iter()
            .zip([2.0, 1.0, -2.0])
            .for_each(|(found, expected)| assert!((found - expected).abs() < 1e-14));
    }

    #[test]
    fn the_factor_gives_the_matrix_back_also_where_the_rank_is_less() {
        for (n, d) in [(6, 6), (12, 4), (30, 7)] {
            let a = gram(&random(n, d), d);
            let factor = half(&a, n);
            assert_eq!(factor.len(), n * d, "the rank");
            let columns = transposed(&factor, n); // [n, rank]
            let back = times_transposed(&columns, &columns, d);
            back.iter().zip(&a).for_each(|(found, expected)| assert!((found - expected).abs() < 1e-12));
        }
    }

    #[test]
    fn products_are_those_of_the_definition() {
        let (a, b) = (random(3, 19), random(5, 19));
        let product = times_transposed(&a, &b, 19);
        let expected: f64 = a[19..38].iter().zip(&b[76..]).map(|(a, b)| a * b).sum();
        assert!((product[9] - expected).abs() < 1e-14);
        let own = gram(&a, 19);
        times_transposed(&a, &a, 19).iter().zip(&own).for_each(|(x, y)| assert_eq!(x, y));
        assert_eq!(transposed(&transposed(&a, 19), 3), a);
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let (a, b) = (random(1, 101), random(2, 101));
        let all: Vec<u64> = Level::available().map(|level| dot_at(level, &a, &b[..101]).to_bits()).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
        for level in Level::available() {
            let mut found = [0.0; ROWS];
            dots_at(level, &random(4, 101), &a, &mut found);
            let expected =
                random(4, 101).chunks_exact(101).map(|row| dot_at(level, row, &a)).collect::<Vec<_>>();
            assert_eq!(found, expected[..]);
        }
    }
}
