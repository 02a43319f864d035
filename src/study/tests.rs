//! The comparison as a whole, on simulated studies.

use std::fs;

use super::compare::compare;
use super::names::evaluation;
use super::numbers::{Uncertain, mean, recall_of, statistics};
use super::plan::{Arm, Kind, LEAKY};
use super::results::{Cost, Quality, QualityClass, SeedTest};
use super::testing::*;
use super::*;
use crate::data::DatasetType;
use crate::eval::files::{Prediction, read_evaluation, read_predictions, write_evaluation};
use crate::stats::bootstrap::{self, Metric};
use crate::stats::hypothesis::{holm, t_interval};

const QUICK: Settings =
    Settings { replicates: 400, level: 0.95, seed: 0, method: bootstrap::Method::Percentile };

fn read(out: &Path, plan: &Plan) -> Results {
    compare_runs(out, plan, &QUICK).unwrap()
}

fn side(world: World, variant: u64, seeds: u64, accuracy: f64) -> (Side<'static>, TestSet) {
    let mut test = None;
    let runs = (1..=seeds)
        .map(|seed| {
            let mut predictions = world.predictions(variant, seed, accuracy);
            predictions.sort_by(|a, b| a.path.cmp(&b.path));
            let (evaluation, settings) = (evaluation_of(&predictions), Vec::new());
            let run =
                Loaded { name: "run".into(), seed, evaluation, predictions, cost: Cost::default(), settings };
            let test = test.get_or_insert_with(|| TestSet::of(&run).unwrap());
            test.check(&run).unwrap();
            RunNumbers::new(run, test)
        })
        .collect();
    let arm = Arm { name: variant.to_string(), kind: Kind::Typed(DatasetType::Real), set: &[] };
    (Side { arm, runs }, test.unwrap())
}

/// The share of `studies` made-up studies without any effect whose p is below 0.05, and that whose
/// interval of a value leaves the true one out; and the former for the bootstrap alone.
fn wrong(world: World, seeds: u64, studies: u64) -> [f64; 3] {
    let few = Settings { replicates: 200, ..QUICK };
    let mut found = [0.0; 3];
    for number in 0..studies {
        let world = World { number, ..world };
        let ((a, test), (b, _)) = (side(world, 0, seeds, 0.6), side(world, 1, seeds, 0.6));
        let comparison = compare(&a, &b, &test, &few).unwrap();
        found[0] += f64::from(u8::from(comparison.accuracy.p < 0.05));
        let value = b.value(Metric::Accuracy, &test, &few).unwrap();
        found[1] += f64::from(u8::from(value.low > 0.6 || value.high < 0.6));
        let (a, b) = (a.predicted(), b.predicted());
        let alone = bootstrap::paired_difference(test.rows(), &a, &b, Metric::Accuracy, &few).unwrap();
        found[2] += f64::from(u8::from(alone.p_value < 0.05));
    }
    found.map(|count| count / studies as f64)
}

/// The claim of the module: with few seeds, few groups and both, no effect is found where there is none
/// in about one study of twenty, where the bootstrap alone errs far more often.
#[test]
fn false_positives_are_as_rare_as_the_level_says() {
    let world = World { number: 0, groups: 12, per_group: 10, seeds: 0.0, spread: 0.0 };
    let few_seeds = World { groups: 60, seeds: 0.12, ..world };
    let few_groups = World { groups: 5, per_group: 30, spread: 0.08, ..world };
    let both = World { seeds: 0.05, spread: 0.08, ..world };
    let studies = 100;
    // 0.05 and three standard errors of such a share.
    let limit = 0.05 + 3.0 * (0.05f64 * 0.95 / studies as f64).sqrt();
    for (name, world, seeds) in [
        ("two seeds", few_seeds, 2),
        ("three seeds", few_seeds, 3),
        ("five groups", few_groups, 3),
        ("both", both, 3),
        ("one", world, 1),
    ] {
        let [found, outside, alone] = wrong(world, seeds, studies);
        eprintln!(
            "{name}: {found:.3} false findings ({alone:.3} of the bootstrap alone), {outside:.3} of \
             intervals wrong"
        );
        // Two seeds that agree by chance hide their spread: one value's interval is then too narrow,
        // which a warning says.
        assert!(found <= limit && (outside <= limit || seeds == 2), "{name}: {found} {outside}");
        assert!(name != "two seeds" || alone > limit, "{alone}");
    }
}

#[test]
fn a_simulated_effect_is_found_and_reported() {
    let (folder, plan) =
        study("real = 'a'\nleaky = false", WORLD, |variant| if variant == "real" { 0.55 } else { 0.75 });
    let results = read(folder.path(), &plan);
    let [comparison] = results.comparisons.as_slice() else { panic!() };
    assert!(
        comparison.clear
            && comparison.accuracy.difference.low > 0.1
            && comparison.accuracy.difference.high < 0.3
    );
    assert!(comparison.classes.iter().all(|class| class.recall.difference.estimate > 0.05));
    assert!(
        comparison.mcnemar.iter().all(|test| test.only_variant > test.only_baseline && test.p_holm < 0.05)
    );
    let answer = &results.answers()[0];
    assert!(
        answer.starts_with("Adding augmented copies raised accuracy by ")
            && answer.contains("3 seeds and 20 groups"),
        "{answer}"
    );
    let (folder, plan) = study("real = 'a'\nleaky = false", WORLD, |_| 0.6);
    let results = read(folder.path(), &plan);
    assert!(!results.comparisons[0].clear);
    let answer = &results.answers()[0];
    assert!(answer.contains("not significant with 3 seeds and 20 groups."), "{answer}");
}

#[test]
fn the_numbers_are_those_of_the_evaluations() {
    let (folder, plan) = study("real = 'a'", WORLD, |_| 0.6);
    let results = read(folder.path(), &plan);
    assert_eq!((results.images, results.groups, results.variants.len()), (300, 20, 2));
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    for variant in &results.variants {
        let mut mean = [0.0; 3];
        for run in &variant.runs {
            let metrics =
                read_evaluation(&evaluation(&folder.path().join(RUNS).join(&run.run))).unwrap().metrics;
            let expected = [metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1];
            for (index, found) in [run.accuracy, run.balanced_accuracy, run.macro_f1].into_iter().enumerate()
            {
                close(found, expected[index]);
                mean[index] += found / 3.0;
            }
        }
        for (mean, value) in
            mean.into_iter().zip([variant.accuracy, variant.balanced_accuracy, variant.macro_f1])
        {
            close(value.estimate, mean);
            assert!(
                value.low < mean && mean < value.high && value.low > 0.4 && value.high < 0.8,
                "{value:?}"
            );
        }
        let cost = Cost { train_images: Some(90.0), epochs: Some(2.0), seconds: Some(60.0), ..variant.cost };
        assert_eq!(variant.cost, cost);
    }
    let metrics = read_evaluation(&evaluation(&folder.path().join("runs/augmented-s1"))).unwrap().metrics;
    let cells: Vec<i64> = metrics.confusion.iter().flatten().map(|&n| n as i64).collect();
    let found = statistics(&cells, 3);
    for (class, expected) in metrics.per_class.iter().enumerate() {
        close(found[recall_of(class)], expected.recall);
        close(found[recall_of(class) + 1], expected.f1);
    }
    let seen = |name: &str| results.variant(name).unwrap().cost.images_seen;
    assert_eq!((seen("real"), seen("augmented")), (Some(180.0), Some(540.0)));
    assert!(
        results
            .warnings
            .iter()
            .any(|warning| warning.text.contains("'augmented' saw 3.0 times as many images"))
    );
}

/// One seed and groups of one size: the jackknife is the variance of the groups' means, and Student's
/// interval theirs.
#[test]
fn with_one_seed_the_interval_is_that_of_the_groups() {
    let world = World { spread: 0.1, ..WORLD };
    let ((a, test), (b, _)) = (side(world, 0, 1, 0.5), side(world, 1, 1, 0.6));
    let mut means = vec![0.0; test.group_count()];
    for (row, &group) in test.groups.iter().enumerate() {
        let right = |side: &Side| f64::from(u8::from(side.runs[0].right[row]));
        means[group] += (right(&b) - right(&a)) / world.per_group as f64;
    }
    let expected = t_interval(&means, 0.95).unwrap();
    let (found, p) = Uncertain::of(0, Some(&a), &b).student(0.95);
    for (a, b) in
        [(found.estimate, expected.estimate), (found.low, expected.low), (found.high, expected.high)]
    {
        assert!((a - b).abs() < 1e-9, "{found:?} {expected:?}");
    }
    assert_eq!(p < 0.05, found.low > 0.0 || found.high < 0.0);
}

/// Welch's t test of `scipy.stats.ttest_ind([0.5, 0.6, 0.7], [0.8, 0.85, 0.95], equal_var=False)`.
#[test]
fn where_only_seeds_vary_the_p_value_is_welchs() {
    let uncertain = |a: [f64; 3], b: [f64; 3]| {
        let part = |values: [f64; 3]| {
            let variance = values.iter().map(|value| (value - mean(&values)).powi(2)).sum::<f64>() / 2.0;
            (variance / 3.0, 2.0)
        };
        Uncertain { estimate: mean(&b) - mean(&a), sources: vec![(0.0, 9.0), part(a), part(b)] }
    };
    let (interval, p) = uncertain([0.5, 0.6, 0.7], [0.8, 0.85, 0.95]).student(0.95);
    assert!((p - 0.024_018_108_461_534_84).abs() < 1e-9, "{p}");
    assert!(
        (interval.low - 0.059_332_484_296).abs() < 1e-9 && (interval.high - 0.474_000_849_037).abs() < 1e-9,
        "{interval:?}"
    );
    assert_eq!(uncertain([0.5; 3], [0.5; 3]).student(0.95).1, 1.0);
}

#[test]
fn p_values_are_corrected_over_the_whole_study() {
    let text = "real = 'a'\nsynthetic = 'b'\nleaky = false";
    let (folder, plan) = study(text, WORLD, |variant| if variant == "synthetic" { 0.45 } else { 0.6 });
    let results = read(folder.path(), &plan);
    assert_eq!(results.comparisons.len(), 3);
    let all: Vec<f64> = results.comparisons.iter().map(|one| one.accuracy.p).collect();
    let corrected: Vec<f64> = results.comparisons.iter().map(|one| one.accuracy.p_holm).collect();
    assert_eq!(corrected, holm(&all));
    let tests: Vec<SeedTest> = results.comparisons.iter().flat_map(|one| one.mcnemar.clone()).collect();
    assert_eq!(tests.len(), 9);
    let p: Vec<f64> = tests.iter().map(|test| test.p).collect();
    assert_eq!(tests.iter().map(|test| test.p_holm).collect::<Vec<_>>(), holm(&p));
    let clear: Vec<&str> =
        results.comparisons.iter().filter(|one| one.clear).map(|one| one.variant.as_str()).collect();
    assert_eq!(clear, ["synthetic"]);
    assert!(
        results.answers()[1].contains("lowered accuracy by")
            && results.answers()[1].contains("corrected for 3 comparisons")
    );
}

#[test]
fn with_one_seed_the_variation_is_called_unknown() {
    let (folder, plan) =
        study("real = 'a'\nseeds = [5]", WORLD, |variant| if variant == "real" { 0.4 } else { 0.8 });
    let results = read(folder.path(), &plan);
    assert!(results.comparisons[0].clear);
    let answer = &results.answers()[0];
    assert!(
        answer.contains("with one seed the variation between seeds is unknown") && !answer.contains("raised"),
        "{answer}"
    );
    assert!(
        results.warnings[0].text.contains("the variation between seeds is unknown"),
        "{:?}",
        results.warnings
    );
}

#[test]
fn different_test_sets_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Vec<Prediction>)| {
        let (folder, plan) = study("real = 'a'", WORLD, |_| 0.6);
        let run = folder.path().join("runs/augmented-s2/eval");
        let mut rows = read_predictions(&run.join("test_predictions.csv")).unwrap().1;
        change(&mut rows);
        write_evaluation(&run, "test", &evaluation_of(&rows), &rows).unwrap();
        compare_runs(folder.path(), &plan, &QUICK).map(|_| ()).map_err(|error| error.to_string())
    };
    let error = refused(&|rows| rows[7].path = "test/other.png".into()).unwrap_err();
    assert!(
        error.starts_with(
            "real-s1 and augmented-s2: their test sets have 300 and 300 images, 299 of them in both"
        ),
        "{error}"
    );
    let error = refused(&|rows| drop(rows.pop())).unwrap_err();
    assert!(error.contains("300 and 299 images") && !error.contains('\n'), "{error}");
    let error = refused(&|rows| rows[0].group = "g9".into()).unwrap_err();
    assert!(error.contains("is in different groups"), "{error}");
    let error = refused(&|rows| rows[0].truth = Some("happy".into())).unwrap_err();
    assert!(error.contains("has different true classes"), "{error}");
    let error = refused(&|rows| rows[1].path = rows[0].path.clone()).unwrap_err();
    assert!(error.contains("duplicate image"), "{error}");
    // Other names and another order of the same are the same.
    refused(&|rows| {
        rows.iter_mut().for_each(|row| row.group.push_str("-x"));
        rows.reverse();
    })
    .unwrap();
}

#[test]
fn unfinished_runs_are_listed_and_the_rest_is_compared() {
    let (folder, plan) = study("real = 'a'", WORLD, |_| 0.6);
    let runs = folder.path().join(RUNS);
    for run in ["real-s2", "leaky-s3"] {
        fs::remove_dir_all(runs.join(run)).unwrap();
    }
    let results = read(folder.path(), &plan);
    assert_eq!(results.missing, ["real-s2", "leaky-s3"]);
    assert_eq!(results.comparisons[0].mcnemar.len(), 2, "seeds that both have");
    assert!(results.answers()[0].contains("3 and 2 seeds"), "{:?}", results.answers());
    assert!(results.table().contains("Not finished: real-s2, leaky-s3."));
    for run in ["real-s1", "real-s3"] {
        fs::remove_file(evaluation(&runs.join(run))).unwrap();
    }
    let results = read(folder.path(), &plan);
    assert!(results.comparisons.is_empty());
    assert!(results.warnings[0].text.starts_with("No run of the baseline 'real'"), "{:?}", results.warnings);
    for seed in 1..4 {
        fs::remove_dir_all(runs.join(format!("augmented-s{seed}"))).unwrap();
    }
    let error = compare_runs(folder.path(), &plan, &QUICK).unwrap_err().to_string();
    assert!(error.contains("no run of the study is finished"), "{error}");
}

#[test]
fn a_damaged_evaluation_is_an_error_that_names_it() {
    let (folder, plan) = study("real = 'a'", WORLD, |_| 0.6);
    let path = folder.path().join("runs/real-s3/eval/test_predictions.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.lines().take(100).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let error = compare_runs(folder.path(), &plan, &QUICK).unwrap_err().to_string();
    assert!(error.contains("real-s3") && error.contains("found 99 images"), "{error}");
}

#[test]
fn claim_dose_and_quality_are_there() {
    let text = "real = 'a'\nsynthetic = 'b'\nvariants = ['real', 'augmented']\ndose = [0, 50]";
    let (folder, plan) = study(text, WORLD, |variant| if variant == "leaky" { 0.95 } else { 0.6 });
    let quality = Quality {
        images: 10,
        intended: 0.8,
        per_class: vec![QualityClass {
            class: "angry".into(),
            images: 10,
            intended: 0.8,
            diversity: 1.0,
            real_diversity: 2.0,
        }],
        frechet: 3.0,
        frechet_real: 1.0,
        model: "runs/real-s1".into(),
    };
    crate::files::write_json(&folder.path().join(QUALITY), &quality).unwrap();
    let results = read(folder.path(), &plan);
    let claim = results.claim.as_ref().unwrap();
    assert_eq!((claim.runs.len(), claim.beside.as_str()), (3, "augmented"));
    assert!(claim.accuracy > 0.9 && claim.honest < 0.7);
    assert!(
        results.variant(LEAKY).is_none() && !results.csv().contains(LEAKY),
        "it is compared with nothing"
    );
    let dose: Vec<(usize, &str)> =
        results.dose.iter().map(|point| (point.images, point.variant.as_str())).collect();
    assert_eq!(dose, [(0, "real"), (50, "dose-50")]);
    assert_eq!(results.quality, Some(quality));
    assert!(
        results.answers()[1].starts_with("Adding 50 synthetic images changed accuracy"),
        "{:?}",
        results.answers()
    );
    // What is written as JSON reads back, so no number is missing in it.
    let json = serde_json::to_string(&results).unwrap();
    assert!(!json.contains("null") && serde_json::from_str::<Results>(&json).unwrap() == results);
    assert_eq!(read(folder.path(), &plan), results, "the same again");
}

#[test]
fn tables_hold_every_variant_and_its_numbers() {
    let (folder, plan) = study("real = 'a'\nsynthetic = 'b'", WORLD, |_| 0.6);
    let results = read(folder.path(), &plan);
    let csv = results.csv();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(
        rows.iter().map(|row| row[0].to_owned()).collect::<Vec<_>>(),
        ["real", "augmented", "synthetic", "synthetic-augmented"]
    );
    let cell =
        |row: usize, name: &str| rows[row][header.iter().position(|title| title == name).unwrap()].to_owned();
    assert_eq!(cell(0, "p_holm"), "", "the baseline is compared with nothing");
    assert_eq!(cell(2, "accuracy"), results.variants[2].accuracy.estimate.to_string());
    assert_eq!(cell(2, "p_holm"), results.comparisons[1].accuracy.p_holm.to_string());
    assert_eq!(cell(1, "mcnemar_p").split(';').count(), 3);
    assert_eq!(cell(3, "seconds"), "60");
    let table = results.table();
    assert!(
        table.starts_with("variant ")
            && table.contains("\nsynthetic-augmented ")
            && table.contains("(baseline)"),
        "{table}"
    );
    let wide = table.lines().take(6).map(|line| line.chars().count()).max().unwrap();
    assert!(wide <= 100, "{wide}\n{table}");
}

#[test]
fn a_perfect_score_and_a_single_group_are_uncertain() {
    let world = World { seeds: 0.0, spread: 0.0, ..WORLD };
    let ((a, test), _) = (side(world, 0, 3, 2.0), ());
    let value = a.value(Metric::Accuracy, &test, &QUICK).unwrap();
    assert!(value.estimate == 1.0 && value.high == 1.0 && (0.7..0.95).contains(&value.low), "{value:?}");
    let world = World { groups: 1, per_group: 60, ..world };
    let ((a, test), (b, _)) = (side(world, 0, 3, 0.3), side(world, 1, 3, 0.9));
    let found = compare(&a, &b, &test, &QUICK).unwrap().accuracy;
    assert_eq!((found.difference.low, found.difference.high, found.p), (-1.0, 1.0, 1.0));
}
