//! All figures on random data, with values that cannot be drawn among them: no overlaps, well-formed,
//! deterministic.

use rand::{Rng, RngExt};

use super::*;
use crate::plot::{Figure, Item, PAGE_CSS, font_css, no_text_overlaps};

fn random(seed: u64) -> impl Rng {
    crate::random::rng(seed, crate::random::Purpose::Draw, 0, 0)
}

/// Mostly a share of 1, now and then something that cannot be drawn.
fn value(rng: &mut impl Rng, nasty: bool) -> f64 {
    if nasty && rng.random_bool(0.1) {
        return [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1.0, 0.0, 1e-300]
            [rng.random_range(0..7)];
    }
    rng.random_range(0.0..1.0)
}

fn names(rng: &mut impl Rng, count: usize) -> Vec<String> {
    let letters: Vec<char> =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ äößéñ<&>\"'жщ笑".chars().collect();
    (0..count)
        .map(|index| {
            let length = rng.random_range(1..=20);
            let name: String = (0..length).map(|_| letters[rng.random_range(0..letters.len())]).collect();
            format!("{name}{index}")
        })
        .collect()
}

fn estimate(rng: &mut impl Rng, nasty: bool) -> Estimate {
    let middle = value(rng, nasty);
    Estimate { value: middle, low: middle - 0.1 * value(rng, nasty), high: middle + 0.1 * value(rng, nasty) }
}

/// One figure of each kind from random data.
fn figures(seed: u64) -> Vec<Figure> {
    let rng = &mut random(seed);
    let nasty = seed % 2 == 1;
    let classes = [2, 3, 7, 8, 12, 30][rng.random_range(0..6)];
    let classes = names(rng, classes);
    let scale = 10f64.powi(rng.random_range(-6..6));
    let mut run = |epochs: u32| -> Vec<EpochPoint> {
        (1..=epochs)
            .map(|epoch| EpochPoint {
                epoch,
                train_loss: scale * value(rng, nasty),
                valid_loss: scale * value(rng, nasty),
                train_accuracy: value(rng, nasty),
                valid_accuracy: value(rng, nasty),
                learning_rate: if seed.is_multiple_of(3) {
                    0.1f64.powi((epoch / 9) as i32)
                } else {
                    value(rng, nasty)
                },
            })
            .collect()
    };
    let points = run([0, 1, 2, 13, 120, 500][seed as usize % 6]);
    let runs: Vec<RunCurves> = (0..seed % 9)
        .map(|k| RunCurves {
            run: format!("{}-{k}", "resnet18-mixup-ema".repeat(k as usize % 3)),
            best_epoch: Some(3),
            points: run(4 + k as u32),
        })
        .collect();
    let best = points.get(points.len() / 2).map(|point| point.epoch);
    let steps = [0u64, 1, 40, 700, 5000][seed as usize % 5];
    let batches: Vec<BatchPoint> = (0..steps)
        .map(|step| BatchPoint {
            epoch: (step / (1 + seed % 60)) as u32 + 1,
            step: step + 1,
            loss: scale * value(rng, nasty),
            accuracy: value(rng, nasty),
        })
        .collect();
    let most = 10u64.pow(rng.random_range(0..7));
    let matrix: Vec<Vec<u64>> =
        classes.iter().map(|_| classes.iter().map(|_| rng.random_range(0..=most)).collect()).collect();
    let scores: Vec<ClassScore> = classes
        .iter()
        .map(|class| ClassScore {
            class: class.clone(),
            support: rng.random_range(0..=most),
            precision: estimate(rng, nasty),
            recall: estimate(rng, nasty),
            f1: estimate(rng, nasty),
        })
        .collect();
    let curves: Vec<ClassCurve> = classes
        .iter()
        .map(|class| ClassCurve {
            class: class.clone(),
            area: value(rng, nasty),
            points: (0..200).map(|k| (f64::from(k) / 199.0, value(rng, nasty))).collect(),
        })
        .collect();
    let mut calibration = || Calibration {
        ece: value(rng, nasty),
        bins: (0..15)
            .map(|bin| Bin {
                lower: f64::from(bin) / 15.0,
                upper: f64::from(bin + 1) / 15.0,
                count: rng.random_range(0..=most),
                confidence: value(rng, nasty),
                accuracy: value(rng, nasty),
            })
            .collect(),
    };
    let (before, after) = (calibration(), calibration());
    let pairs: Vec<ConfusedPair> = classes
        .iter()
        .zip(classes.iter().rev())
        .map(|(a, b)| ConfusedPair {
            truth: a.clone(),
            predicted: b.clone(),
            count: rng.random_range(0..=most),
            share: value(rng, nasty),
        })
        .collect();
    let splits: Vec<SplitCounts> = ["train", "valid", "test"]
        .into_iter()
        .take(1 + seed as usize % 3)
        .map(|split| SplitCounts {
            split: split.to_string(),
            counts: classes.iter().map(|_| rng.random_range(0..=most)).collect(),
        })
        .collect();
    let projected: Vec<Projected> = (0..300)
        .map(|row| Projected {
            x: 40.0 * value(rng, nasty),
            y: value(rng, nasty),
            class: rng.random_range(0..classes.len()),
            predicted: rng.random_range(0..classes.len() + 1),
            row,
        })
        .collect();
    let perturbed: Vec<PerturbationCurve> = ["grad_cam", "integrated_gradients", "random", "rise"]
        .into_iter()
        .map(|method| PerturbationCurve {
            method: method.to_string(),
            title: method.replace('_', "-"),
            area: value(rng, nasty),
            points: (0..20).map(|k| (f64::from(k) / 19.0, value(rng, nasty))).collect(),
        })
        .collect();
    let metrics: Vec<RunMetrics> = runs
        .iter()
        .map(|run| RunMetrics {
            run: run.run.clone(),
            metrics: ["accuracy", "loss", "macro F1"]
                .map(|name| (name.to_string(), estimate(rng, nasty)))
                .into_iter()
                .take(1 + seed as usize % 3)
                .collect(),
        })
        .collect();
    vec![
        learning_curves(&points, best),
        combined_curves(&points, best),
        trends(&points, best),
        batch_losses(&batches),
        epoch_batches(1, &batches),
        confusion(&matrix, &classes, false),
        confusion(&matrix, &classes, true),
        per_class(&scores),
        roc(&curves),
        precision_recall(&curves),
        reliability(&before, seed.is_multiple_of(2).then_some(&after)),
        confusions(&pairs),
        class_counts(&classes, &splits),
        projection("t-SNE", &projected, &classes),
        perturbation("deletion", &perturbed),
        curves_overlaid(&runs),
        metrics_side_by_side(&metrics),
    ]
}

#[test]
fn texts_do_not_overlap_and_stay_on_the_canvas() {
    for seed in 0..60 {
        for figure in figures(seed) {
            for drawing in figure.drawings() {
                if let Err(problem) = no_text_overlaps(drawing) {
                    panic!("seed {seed}, {} at {} wide: {problem}", figure.name, drawing.width);
                }
            }
        }
    }
}

#[test]
fn svg_is_well_formed_without_ids_and_uses_known_variables_only() {
    for seed in 0..6 {
        for figure in figures(seed) {
            let page = figure.page_svg();
            for svg in [format!("<div>{page}</div>"), figure.svg()] {
                let document = resvg::usvg::roxmltree::Document::parse(&svg)
                    .unwrap_or_else(|error| panic!("{}: {error}", figure.name));
                assert!(document.descendants().all(|node| node.attribute("id").is_none()));
                assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{}", figure.name);
                for number in document.descendants().filter_map(|node| node.attribute("x")) {
                    assert!(
                        number.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 2),
                        "{number}"
                    );
                }
            }
            assert_eq!(page.matches("role=\"img\"").count(), 2);
            for variable in page.split("var(").skip(1).filter_map(|rest| rest.split(')').next()) {
                assert!(PAGE_CSS.contains(&format!("{variable}:")), "{variable}");
            }
            assert!(!figure.svg().contains("var("));
        }
    }
    assert!(!font_css().contains("http"));
}

#[test]
fn figures_are_deterministic() {
    for (a, b) in figures(3).into_iter().zip(figures(3)) {
        assert_eq!((a.svg(), a.page_svg(), &a.csv), (b.svg(), b.page_svg(), &b.csv));
    }
    let (a, b) = (learning_curves(&[], None), learning_curves(&[], None));
    assert_eq!(a.png().unwrap(), b.png().unwrap());
}

#[test]
fn a_png_has_two_pixels_per_unit_of_the_svg() {
    let figure = &figures(2)[5];
    let png = figure.png().unwrap();
    let header = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
    let svg = figure.svg();
    let side = |name: &str| -> u32 {
        let text = svg.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        text.parse().unwrap()
    };
    assert_eq!((header.info().width, header.info().height), (2 * side("width"), 2 * side("height")));
}

#[test]
fn figures_without_data_say_so() {
    let nan = f64::NAN;
    let broken = EpochPoint {
        epoch: 1,
        train_loss: nan,
        valid_loss: nan,
        train_accuracy: nan,
        valid_accuracy: nan,
        learning_rate: nan,
    };
    let none = Calibration { bins: Vec::new(), ece: nan };
    for figure in [
        learning_curves(&[], None),
        learning_curves(&[broken], Some(1)),
        combined_curves(&[broken], None),
        trends(&[], None),
        batch_losses(&[]),
        epoch_batches(3, &[]),
        confusion(&[], &[], false),
        confusion(&[vec![0, 0]], &["a".into(), "b".into()], true),
        per_class(&[]),
        roc(&[]),
        precision_recall(&[]),
        reliability(&none, None),
        confusions(&[]),
        class_counts(&[], &[]),
        projection("PCA", &[], &[]),
        perturbation("ROAD", &[]),
        curves_overlaid(&[]),
        metrics_side_by_side(&[]),
    ] {
        assert!(figure.svg().contains(">no data<"), "{}", figure.name);
        assert!(figure.page_svg().contains(">no data<"), "{}", figure.name);
        assert!(figure.csv.as_ref().is_some_and(|csv| csv.ends_with('\n')), "{}", figure.name);
    }
}

#[test]
fn csv_files_hold_the_numbers_of_the_figures() {
    let classes = ["a".to_string(), "b, c".to_string()];
    let counts = confusion(&[vec![3, 1], vec![0, 4]], &classes, false).csv.unwrap();
    assert_eq!(counts, "truth,a,\"b, c\"\na,3,1\n\"b, c\",0,4\n");
    let shares = confusion(&[vec![3, 1], vec![0, 0]], &classes, true).csv.unwrap();
    assert_eq!(shares, "truth,a,\"b, c\"\na,0.75,0.25\n\"b, c\",,\n");
    let curve = ClassCurve { class: "a".into(), area: 0.5, points: vec![(0.0, 0.25), (1.0, f64::NAN)] };
    assert_eq!(roc(&[curve]).csv.unwrap(), "class,false_positive_rate,true_positive_rate\na,0,0.25\na,1,\n");
    let batch = |epoch, step| BatchPoint { epoch, step, loss: 0.5, accuracy: 1.0 };
    let of_two = epoch_batches(2, &[batch(1, 1), batch(2, 2)]);
    assert_eq!(
        (of_two.name.as_str(), of_two.csv.unwrap().as_str()),
        ("batches_epoch_002", "step,epoch,loss,accuracy\n2,2,0.5,1\n")
    );
}

#[test]
fn large_data_give_small_figures_that_keep_the_extremes() {
    let points: Vec<(f64, f64)> =
        (0..10_000).map(|k| (f64::from(k / 100) / 99.0, f64::from(k % 100 + k / 100) / 200.0)).collect();
    let mut sorted = points.clone();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let curve = ClassCurve { class: "a".into(), area: 0.9, points: sorted };
    assert!(roc(&[curve]).svg().len() < 20_000);
    let mut batches: Vec<BatchPoint> = (0..50_000)
        .map(|step| BatchPoint { epoch: step as u32 / 1000 + 1, step, loss: 1.0, accuracy: 0.5 })
        .collect();
    let flat = batch_losses(&batches);
    batches[12_345].loss = 4.0;
    let spiked = batch_losses(&batches);
    assert!(spiked.svg().len() < 80_000, "{}", spiked.svg().len());
    let top = |figure: &Figure| {
        figure.drawings()[0]
            .items
            .iter()
            .filter_map(|item| if let Item::Area { outline, .. } = item { Some(outline) } else { None })
            .map(|outline| {
                let (low, high) = crate::plot::bounds(outline.iter().map(|point| point.1)).unwrap();
                high - low
            })
            .fold(0.0, f64::max)
    };
    assert!(top(&spiked) > top(&flat) + 50.0, "the spike is seen: {} {}", top(&spiked), top(&flat));
}
