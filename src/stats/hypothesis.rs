//! Hypothesis tests and confidence intervals with closed forms.

use serde::{Deserialize, Serialize};

use super::bootstrap::Interval;
use super::distributions::{binomial_cdf, binomial_pmf, t_quantile};
use super::slices::same_length;
use crate::error::{Error, Result};

/// McNemar's test of two classifiers on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Rows that only the first classifies correctly.
    pub only_a: u64,
    /// Rows that only the second classifies correctly.
    pub only_b: u64,
    /// Two-sided p value of the exact binomial test: valid, but often conservative.
    pub exact: f64,
    /// The mid-p value (Fagerland, Lydersen & Laake 2013), whose error rate is closer to the nominal one; the
    /// one to report.
    pub mid_p: f64,
}

/// McNemar's test (McNemar 1947), from whether a and b classify each of N rows correctly.
///
/// It assumes independent rows. Where groups have several rows, use
/// [`super::bootstrap::paired_difference`].
///
/// # Errors
/// [`Error::Input`] for lengths that differ.
pub fn mcnemar(a_right: &[bool], b_right: &[bool]) -> Result<McNemar> {
    same_length("McNemar's test", "outcomes", b_right.len(), a_right.len())?;
    let count = |pick: fn(bool, bool) -> bool| {
        a_right.iter().zip(b_right).filter(|&(&a, &b)| pick(a, b)).count() as u64
    };
    Ok(mcnemar_counts(count(|a, b| a && !b), count(|a, b| b && !a)))
}

/// McNemar's test from the numbers of rows that only one of the two classifies correctly.
pub fn mcnemar_counts(only_a: u64, only_b: u64) -> McNemar {
    let (fewer, n) = (only_a.min(only_b), only_a + only_b);
    let tail = binomial_cdf(fewer, n, 0.5);
    let exact = (2.0 * tail).min(1.0);
    let mid_p = if only_a == only_b {
        1.0 - 0.5 * binomial_pmf(fewer, n, 0.5)
    } else {
        2.0 * tail - binomial_pmf(fewer, n, 0.5)
    };
    // Without a row on which the two differ there is nothing to test.
    McNemar { only_a, only_b, exact, mid_p: if n == 0 { 1.0 } else { mid_p } }
}

/// p values adjusted for multiple comparisons by Holm's method (1979), which controls the family-wise error
/// rate. In the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let (order, m) = (ascending(p_values), p_values.len());
    let mut adjusted = vec![0.0; m];
    let mut largest = 0.0f64;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max((m - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// p values adjusted for multiple comparisons by the method of Benjamini & Hochberg (1995), which controls
/// the false discovery rate. In the order given.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let (order, m) = (ascending(p_values), p_values.len());
    let mut adjusted = vec![0.0; m];
    let mut smallest = 1.0f64;
    for (rank, &index) in order.iter().enumerate().rev() {
        smallest = smallest.min(m as f64 / (rank + 1) as f64 * p_values[index]);
        adjusted[index] = smallest;
    }
    adjusted
}

/// The 97.5 % quantile of the standard normal distribution: half of a 95 % interval, in standard errors.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// Wilson's score interval (Wilson 1927) for the proportion of `successes` in `n` trials, low and high;
/// `[0, 1]` without trials. `z` is the normal quantile of the upper end: [`Z_95`] for 95 %.
pub fn wilson_interval(successes: u64, n: u64, z: f64) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (share, n) = (successes as f64 / n as f64, n as f64);
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    // At a share of 0 or 1 rounding can leave the interval's end a hair outside.
    [((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0)]
}

/// The mean of a few values (one per seed) and Student's interval for it.
///
/// # Errors
/// [`Error::Input`] for fewer than two values: one says nothing about the spread.
pub fn t_interval(values: &[f64], level: f64) -> Result<Interval> {
    let n = values.len() as f64;
    if values.len() < 2 || !(level > 0.0 && level < 1.0) {
        return Err(Error::input(
            "t interval",
            format!("found {} values and the level {level}", values.len()),
        )
        .expected("at least two values and a level between 0 and 1"));
    }
    let estimate = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - estimate).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t_quantile((1.0 + level) / 2.0, n - 1.0) * (variance / n).sqrt();
    Ok(Interval { estimate, low: estimate - half, high: estimate + half })
}

/// The indices of the values in ascending order.
fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, rng};
    use crate::stats::distributions::normal_quantile;
    use crate::stats::fixture::{all_close, close, fixture, numbers};
    use rand::RngExt;

    #[test]
    fn mcnemar_is_that_of_statsmodels_and_mid_p_that_of_the_paper() {
        for row in fixture()["mcnemar"].as_array().unwrap() {
            let found = mcnemar_counts(row[0].as_u64().unwrap(), row[1].as_u64().unwrap());
            close(&format!("exact of {row}"), found.exact, row[2].as_f64().unwrap(), 1e-10);
            close(&format!("mid-p of {row}"), found.mid_p, row[3].as_f64().unwrap(), 1e-10);
        }
        let found = mcnemar(&[true, true, false, false, true], &[true, false, true, false, false]).unwrap();
        assert_eq!((found.only_a, found.only_b), (2, 1));
        close("exact", found.exact, 1.0, 1e-10);
        assert!(mcnemar(&[true], &[]).is_err());
        // Fagerland et al. 2013, table 1 (Bentur et al. 2009): 1 and 7 discordant pairs.
        let found = mcnemar_counts(1, 7);
        close("exact", found.exact, 0.0703, 5e-5);
        close("mid-p", found.mid_p, 0.0391, 5e-5);
    }

    #[test]
    fn equal_classifiers_differ_significantly_no_more_often_than_the_level_says() {
        let (sets, mut exact, mut mid_p, mut found) = (4000u64, 0, 0, 0);
        for set in 0..sets {
            let mut random = rng(set, Purpose::Draw, 0, 0);
            let mut test = |chance: f64| {
                let only_b = (0..60).filter(|_| random.random_bool(chance)).count() as u64;
                mcnemar_counts(60 - only_b, only_b)
            };
            let (null, real) = (test(0.5), test(0.75));
            exact += u64::from(null.exact < 0.05);
            mid_p += u64::from(null.mid_p < 0.05);
            found += u64::from(real.mid_p < 0.05);
        }
        let share = |count: u64| count as f64 / sets as f64;
        assert!(share(exact) < 0.05, "{}", share(exact));
        assert!((0.03..0.062).contains(&share(mid_p)), "{}", share(mid_p));
        assert!(share(found) > 0.95, "{}", share(found));
    }

    #[test]
    fn corrections_are_those_of_statsmodels() {
        let table = &fixture()["corrections"];
        let p = numbers(&table["p"]);
        all_close("Holm", &holm(&p), &numbers(&table["holm"]), 1e-14);
        all_close(
            "Benjamini-Hochberg",
            &benjamini_hochberg(&p),
            &numbers(&table["benjamini_hochberg"]),
            1e-14,
        );
        assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
    }

    #[test]
    fn intervals_are_those_of_statsmodels_and_scipy() {
        let table = fixture();
        for row in table["wilson"].as_array().unwrap() {
            let z = normal_quantile((1.0 + row[2].as_f64().unwrap()) / 2.0);
            let found = wilson_interval(row[0].as_u64().unwrap(), row[1].as_u64().unwrap(), z);
            all_close("Wilson", &found, &numbers(&row[3]), 1e-12);
        }
        assert!((normal_quantile(0.975) - Z_95).abs() < 1e-13);
        for row in table["t_interval"].as_array().unwrap() {
            let found = t_interval(&numbers(&row[0]), row[1].as_f64().unwrap()).unwrap();
            all_close("t", &[found.low, found.high], &numbers(&row[2]), 1e-11);
        }
        assert!(t_interval(&[1.0], 0.95).unwrap_err().to_string().contains("found 1 values"));
    }

    /// Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    #[test]
    fn wilson_intervals_are_the_published_ones() {
        for (successes, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = wilson_interval(successes, n, Z_95);
            assert!(
                (found[0] - low).abs() < 5e-5 && (found[1] - high).abs() < 5e-5,
                "{successes}/{n}: {found:?}"
            );
        }
        assert_eq!(wilson_interval(0, 0, Z_95), [0.0, 1.0]);
        assert_eq!(wilson_interval(7, 7, Z_95)[1], 1.0);
    }
}
