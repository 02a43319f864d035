use rand::RngExt;

use super::*;
use crate::error::Result;
use crate::random::{Purpose, rng};
use crate::stats::fixture::{close, fixture, indices, numbers as list};

fn rows<'a>(groups: &'a [usize], truth: &'a [usize], classes: usize) -> Rows<'a> {
    Rows { groups, truth, classes }
}

fn settings(replicates: usize, seed: u64) -> Settings {
    Settings { replicates, seed, ..Settings::default() }
}

/// Groups of the sizes 1 to `most`; each has its own chance to be right, so that its rows are alike.
fn clustered(groups: usize, most: u64, seed: u64) -> (Vec<usize>, Vec<f64>) {
    let mut random = rng(seed, Purpose::Draw, 0, 0);
    let (mut owners, mut right) = (Vec::new(), Vec::new());
    for group in 0..groups {
        // 0.7 on average, but 0.95 or 0.45 within the group.
        let chance = if random.random_bool(0.5) { 0.95 } else { 0.45 };
        for _ in 0..random.random_range(1..=most) {
            owners.push(group);
            right.push(f64::from(u8::from(random.random_bool(chance))));
        }
    }
    (owners, right)
}

#[test]
fn groups_are_numbered_and_an_empty_key_is_alone() {
    assert_eq!(group_indices(&["b", "", "a", "b", "", "a"]), [0, 1, 2, 0, 3, 2]);
}

#[test]
fn estimates_are_those_of_the_metrics_and_lie_in_their_intervals() {
    let table = &fixture()["bootstrap"];
    let (truth, predicted) = (indices(&table["truth"]), indices(&table["predicted"]));
    let groups: Vec<usize> = (0..truth.len()).collect();
    let found = metric_intervals(rows(&groups, &truth, 4), &predicted, &settings(500, 1)).unwrap();
    close("accuracy", found.accuracy.estimate, table["accuracy"].as_f64().unwrap(), 1e-12);
    close("balanced", found.balanced_accuracy.estimate, table["balanced_accuracy"].as_f64().unwrap(), 1e-12);
    close("macro F1", found.macro_f1.estimate, table["macro_f1"].as_f64().unwrap(), 1e-12);
    for (class, expected) in list(&table["recall"]).into_iter().enumerate() {
        let one = found.per_class[class];
        close("recall", one.recall.estimate, expected, 1e-12);
        for interval in [one.precision, one.recall, one.f1, found.accuracy, found.macro_f1] {
            assert!(interval.low < interval.estimate && interval.estimate < interval.high, "{interval:?}");
        }
    }
}

/// scipy's own draws differ, so that the ends agree as far as 20,000 replicates let them.
#[test]
fn the_ends_are_those_of_scipy() {
    let table = &fixture()["bootstrap"];
    let values = list(&table["values"]);
    let groups: Vec<usize> = (0..values.len()).collect();
    let mean = |weights: &[f64]| {
        let sum = |power: i32| values.iter().zip(weights).map(|(v, w)| v.powi(power) * w).sum::<f64>();
        let n: f64 = weights.iter().sum();
        vec![sum(1) / n, sum(2) / n - (sum(1) / n).powi(2)]
    };
    for (method, name) in [(Method::Percentile, "percentile"), (Method::Bca, "BCa")] {
        let found = intervals(&groups, &Settings { method, ..settings(20_000, 3) }, mean).unwrap();
        for (statistic, interval) in ["mean", "variance"].iter().zip(found) {
            let expected = list(&table[name][statistic]);
            let tolerance = 0.04 * (expected[1] - expected[0]);
            close(&format!("{name} {statistic} low"), interval.low, expected[0], tolerance);
            close(&format!("{name} {statistic} high"), interval.high, expected[1], tolerance);
        }
    }
}

#[test]
fn the_seed_decides_and_the_number_of_threads_does_not() {
    let (groups, right) = clustered(60, 6, 5);
    let predicted: Vec<usize> = right.iter().map(|&right| right as usize).collect();
    let truth = vec![1; right.len()];
    let run = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| metric_intervals(rows(&groups, &truth, 2), &predicted, &settings(300, seed)).unwrap())
    };
    assert_eq!(run(1, 9), run(3, 9));
    assert_ne!(run(1, 9), run(1, 10));
}

/// The interval by group contains the true value about as often as its level says; the one that assumes
/// independent rows does not.
#[test]
fn intervals_by_group_have_the_nominal_coverage_and_intervals_by_row_do_not() {
    let (sets, mut by_group, mut by_bca, mut by_row) = (400, 0, 0, 0);
    for set in 0..sets {
        let (groups, right) = clustered(80, 9, 1000 + set);
        let mean = |weights: &[f64]| {
            let n: f64 = weights.iter().sum();
            vec![right.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() / n]
        };
        let holds = |groups: &[usize], method| {
            let found = intervals(groups, &Settings { method, ..settings(300, set) }, mean).unwrap()[0];
            u32::from(found.low <= 0.7 && 0.7 <= found.high)
        };
        let rows: Vec<usize> = (0..right.len()).collect();
        by_group += holds(&groups, Method::Percentile);
        by_bca += holds(&groups, Method::Bca);
        by_row += holds(&rows, Method::Percentile);
    }
    let share = |count: u32| f64::from(count) / sets as f64;
    eprintln!("coverage: group {}, BCa {}, rows {}", share(by_group), share(by_bca), share(by_row));
    assert!((0.90..=0.98).contains(&share(by_group)), "{}", share(by_group));
    assert!((0.90..=0.98).contains(&share(by_bca)), "{}", share(by_bca));
    assert!(share(by_row) < 0.88, "{}", share(by_row));
}

#[test]
fn false_positives_have_the_nominal_rate_and_a_real_difference_is_found() {
    let (sets, mut false_alarms, mut found) = (400, 0, 0);
    for set in 0..sets {
        let (groups, a) = clustered(80, 5, 5000 + set);
        // Each side is right or wrong on its own within the same groups: no difference but for chance.
        let mut random = rng(set, Purpose::Draw, 1, 0);
        let mut other = |gain: f64| -> Vec<f64> {
            a.iter()
                .map(|&a| {
                    if random.random_bool(0.6) {
                        a
                    } else {
                        f64::from(u8::from(random.random_bool(0.7 + gain)))
                    }
                })
                .collect()
        };
        let (base, same, better) = (other(0.0), other(0.0), other(0.25));
        let p = |b: Vec<f64>| {
            paired_mean_difference(&groups, std::slice::from_ref(&base), &[b], &settings(400, set))
                .unwrap()
                .p_value
        };
        false_alarms += u32::from(p(same) < 0.05);
        found += u32::from(p(better) < 0.05);
    }
    let share = |count: u32| f64::from(count) / sets as f64;
    eprintln!("paired: false {}, power {}", share(false_alarms), share(found));
    assert!(share(false_alarms) < 0.08, "{}", share(false_alarms));
    assert!(share(found) > 0.8, "{}", share(found));
}

/// Seeds that differ by chance: a bootstrap over the rows alone would find a difference between the sides.
#[test]
fn variation_between_seeds_is_no_significant_difference() {
    let (sets, mut with_seeds, mut rows_alone) = (200, 0, 0);
    for set in 0..sets {
        let mut random = rng(set, Purpose::Draw, 2, 0);
        let groups: Vec<usize> = (0..400).collect();
        let mut side = || -> Vec<Vec<f64>> {
            let mut one = || {
                let chance = random.random_range(0.62..0.78);
                (0..400).map(|_| f64::from(u8::from(random.random_bool(chance)))).collect()
            };
            (0..5).map(|_| one()).collect()
        };
        let (a, b) = (side(), side());
        let means = |side: &[Vec<f64>]| {
            vec![(0..400).map(|row| side.iter().map(|seed| seed[row]).sum::<f64>() / 5.0).collect()]
        };
        let p = |a: &[Vec<f64>], b: &[Vec<f64>]| {
            paired_mean_difference(&groups, a, b, &settings(300, set)).unwrap().p_value
        };
        with_seeds += u32::from(p(&a, &b) < 0.05);
        rows_alone += u32::from(p(&means(&a), &means(&b)) < 0.05);
    }
    let share = |count: u32| f64::from(count) / sets as f64;
    eprintln!("seeds: {} rows alone {}", share(with_seeds), share(rows_alone));
    assert!(share(with_seeds) < 0.12, "{}", share(with_seeds));
    assert!(share(rows_alone) > 0.2, "{}", share(rows_alone));
}

#[test]
fn differences_are_those_of_the_metrics() {
    let truth = [0, 0, 0, 1, 1, 2];
    let (a, b) = (vec![0, 0, 1, 1, 0, 0], vec![0, 0, 0, 1, 1, 1]);
    let groups: Vec<usize> = (0..6).collect();
    let difference = |metric| {
        let found = paired_difference(
            rows(&groups, &truth, 3),
            std::slice::from_ref(&a),
            &[b.clone(), a.clone()],
            metric,
            &settings(100, 0),
        )
        .unwrap();
        assert!((found.b - found.a - found.difference.estimate).abs() < 1e-15);
        (found.a, found.b)
    };
    close("accuracy", difference(Metric::Accuracy).0, 0.5, 1e-12);
    close("accuracy", difference(Metric::Accuracy).1, (5.0 / 6.0 + 0.5) / 2.0, 1e-12);
    close("balanced", difference(Metric::BalancedAccuracy).0, (2.0 / 3.0 + 0.5) / 3.0, 1e-12);
    close("F1", difference(Metric::MacroF1).0, (4.0 / 7.0 + 0.5) / 3.0, 1e-12);
    let one = std::slice::from_ref(&a);
    let same =
        paired_difference(rows(&groups, &truth, 3), one, one, Metric::MacroF1, &settings(100, 0)).unwrap();
    assert_eq!((same.p_value, same.difference), (1.0, Interval::default()));
}

#[test]
fn a_missing_class_has_zeros_and_a_perfect_one_no_width() {
    let found = metric_intervals(rows(&[0, 1, 2], &[0, 0, 1], 3), &[0, 0, 1], &settings(200, 0)).unwrap();
    assert_eq!(found.per_class[2], ClassIntervals::default());
    assert_eq!(found.per_class[0].recall, Interval { estimate: 1.0, low: 1.0, high: 1.0 });
    assert_eq!(found.groups, 3);
    let bca = Settings { method: Method::Bca, ..settings(50, 0) };
    assert_eq!(metric_intervals(rows(&[0, 0], &[0, 1], 2), &[0, 0], &bca).unwrap().accuracy.high, 0.5);
}

#[test]
fn invalid_arguments_are_refused() {
    let refused = |outcome: Result<MetricIntervals>, what: &str| {
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains(what) && !text.contains('\n'), "{text}");
    };
    refused(metric_intervals(rows(&[], &[], 2), &[], &settings(9, 0)), "found no rows");
    refused(
        metric_intervals(rows(&[0], &[0, 1], 2), &[0, 1], &settings(9, 0)),
        "found 1 groups of rows; expected 2",
    );
    refused(metric_intervals(rows(&[0], &[2], 2), &[0], &settings(9, 0)), "the truth of row 0 is 2");
    refused(metric_intervals(rows(&[0], &[0], 2), &[0], &settings(0, 0)), "0 replicates");
    refused(metric_intervals(rows(&[7], &[0], 2), &[0], &settings(9, 0)), "found the group 7");
    let text = paired_mean_difference(&[0], &[], &[vec![1.0]], &settings(9, 0)).unwrap_err().to_string();
    assert!(text.contains("0 and 1 seeds"), "{text}");
}
