//! Whole pages of runs and of comparisons, from made-up run folders.

use std::fs;
use std::path::PathBuf;

use super::compare::COMPARISON;
use super::*;
use crate::run_folder::read::testing::{ROWS, Row, write_rows, write_run};

const QUICK: Options =
    Options { projection: Projection::Pca, gallery: 400, points: 2000, replicates: 50, progress: None };

const FEW: &str = "Few groups: The images come from only 6 groups (one person or photo each): \
                   the confidence intervals are rough.";

fn run() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    write_run(&run, &folder.path().join("data"), &ROWS);
    (folder, run)
}

fn page_of(run: &Path) -> String {
    write(run, &QUICK).unwrap();
    fs::read_to_string(run.join(PAGE)).unwrap()
}

/// The values of an attribute in a page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    page.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn the_page_of_a_run_has_every_section_figure_and_table() {
    let (_folder, run) = run();
    let written = write(&run, &QUICK).unwrap();
    let page = fs::read_to_string(&written.page).unwrap();
    assert_eq!(page.len(), written.bytes);
    for id in
        ["summary", "data", "training", "results", "probabilities", "mistakes", "features", "configuration"]
    {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    assert!(
        page.contains("The best epoch is 2 of 3; after it the validation loss rises"),
        "the lead of the section is computed"
    );
    assert!(page.contains("3 of 12 images are misclassified, in 3 confused pairs"));
    for name in [
        "learning_curves",
        "combined_curves",
        "trends",
        "batch_losses",
        "batches_epoch_002",
        "confusion",
        "confusion_normalised",
        "per_class",
    ] {
        assert!(
            run.join(format!("plots/{name}.svg")).is_file()
                && run.join(format!("plots/{name}.png")).is_file(),
            "{name}"
        );
    }
    for name in ["roc", "precision_recall", "reliability", "confusions", "class_counts", "projection_pca"] {
        assert!(run.join(format!("plots/{name}.svg")).is_file(), "{name}");
    }
    let misclassified = fs::read_to_string(run.join("tables/misclassified.csv")).unwrap();
    assert!(
        misclassified.starts_with(
            "path,group,truth,predicted,confidence,p of the truth\ntest/angry/2.png,g1,angry,happy,0.9"
        ),
        "{misclassified}"
    );
    assert!(
        !written.warnings.iter().any(|text| text.contains("missing or damaged")),
        "{:?}",
        written.warnings
    );
}

#[test]
fn links_lead_to_files_and_nothing_is_loaded_from_elsewhere() {
    let (_folder, run) = run();
    let page = page_of(&run);
    for place in values(&page, "href").into_iter().chain(values(&page, "src")) {
        assert!(!place.contains("http") && !place.starts_with('/'), "{place}");
        if let Some(anchor) = place.strip_prefix('#') {
            assert!(page.contains(&format!("id=\"{anchor}\"")), "{place}");
        } else if !place.starts_with("data:") {
            assert!(run.join(place).is_file(), "{place}");
        }
    }
    assert!(
        !page.replace("url(data:", "").contains("url(") && !page.contains("@import"),
        "no style asks for a file"
    );
}

#[test]
fn texts_from_files_are_escaped() {
    let (_folder, run) = run();
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    fs::write(run.join("config.toml"), config + "note = \"</pre><script>alert(2)</script>\"\n").unwrap();
    let page = page_of(&run);
    assert!(!page.contains("<script>alert") && !page.contains("<sad>"));
    assert!(page.contains("&lt;sad&gt;") && page.contains("ä顔🙂.png"));
    // The only scripts are the two of the page and the data of the points.
    assert_eq!(page.matches("<script").count(), 3);
}

#[test]
fn the_page_is_deterministic_and_survives_the_loss_of_the_data() {
    let (folder, run) = run();
    let first = page_of(&run);
    let figure = fs::read(run.join("plots/roc.png")).unwrap();
    assert_eq!(page_of(&run), first);
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    assert!(first.contains("src=\"data:image/jpeg"));
    assert_eq!(page_of(&run), first, "thumbnails were kept");
    assert_eq!(fs::read(run.join("plots/roc.png")).unwrap(), figure);
    fs::remove_dir_all(run.join("report")).unwrap();
    let without = page_of(&run);
    assert!(!without.contains("src=\"data:image/jpeg") && without.contains("have been moved or deleted"));
}

#[test]
fn a_run_with_missing_files_still_has_a_page() {
    let names = [
        "data.json",
        "events.jsonl",
        "metrics.csv",
        "trained.tsv",
        "eval/test.json",
        "eval/test_predictions.csv",
        "eval/test_features.safetensors",
    ];
    for name in names {
        let (_folder, run) = run();
        fs::remove_file(run.join(name)).unwrap();
        assert!(page_of(&run).contains("<h2"), "{name}");
    }
    let (_folder, run) = run();
    for name in names {
        fs::remove_file(run.join(name)).unwrap();
    }
    fs::remove_dir_all(run.join("eval")).unwrap();
    let page = page_of(&run);
    assert!(page.contains("Not evaluated") && page.contains("there is no such file"));
}

#[test]
fn each_warning_of_a_run_is_shown() {
    let warns = |change: &dyn Fn(&Path), expected: &str| {
        let (_folder, run) = run();
        change(&run);
        let warnings = write(&run, &QUICK).unwrap().warnings.join("\n");
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    };
    let replace = |file: &'static str, from: &'static str, to: &'static str| {
        move |run: &Path| {
            let text = fs::read_to_string(run.join(file)).unwrap();
            assert!(text.contains(from), "{file}: {from}");
            fs::write(run.join(file), text.replace(from, to)).unwrap();
        }
    };
    warns(&replace("data.json", "\"leakage\":false", "\"leakage\":true"), "Leakage:");
    warns(&replace("eval/test.json", "\"leakage\": false", "\"leakage\": true"), "Leakage:");
    warns(&|_| {}, "Few groups: The test split has 6 groups");
    warns(&replace("data.json", "[8,8,8]", "[80,8,8]"), "Imbalanced classes: angry has 80");
    warns(&replace("data.json", "[8,8,8]", "[8,0,8]"), "no training images of happy");
    warns(
        &replace("data.json", "\"unreadable\":[]", "\"unreadable\":[{\"name\":\"x\",\"reason\":\"y\"}]"),
        "1 unreadable file was",
    );
    warns(
        &replace("data.json", "\"left_out\":[]", "\"left_out\":[\"3 files are no images\"]"),
        "3 files are no images",
    );
    warns(&replace("data.json", "\"regex\":36", "\"content\":36"), "Unknown identities");
    warns(&replace("events.jsonl", "finished", "early stopping"), "Stopped early");
    warns(
        &replace("events.jsonl", "finished", "interrupted"),
        "Interrupted: Training was interrupted after 3 of 3 epochs",
    );
    warns(
        &|run| {
            replace("events.jsonl", "\"event\":\"end\"", "\"event\":\"cut")(run);
            replace("config.toml", "epochs = 3", "epochs = 9")(run);
        },
        "Not finished: Training has not ended (3 of 9 epochs so far)",
    );
    warns(&replace("eval/test.json", "\"ece\": 0.", "\"ece\": 0.9"), "Probabilities are not calibrated");
    warns(
        &|run| {
            let data = run.parent().unwrap().join("data");
            fs::remove_file(run.join("eval/test.json")).unwrap();
            write_rows(run, &data, "valid", &ROWS);
        },
        "No test split",
    );
    warns(
        &|run| {
            let wrong: Vec<Row> =
                ROWS.iter().map(|&(path, group, truth, _, p)| (path, group, truth, 0, p)).collect();
            write_rows(run, &run.parent().unwrap().join("data"), "test", &wrong);
        },
        "No better than chance",
    );
}

#[test]
fn runs_are_compared_on_the_images_that_both_have() {
    let (folder, a) = run();
    let (b, data) = (folder.path().join("b"), folder.path().join("data"));
    let better: Vec<Row> =
        ROWS.iter().map(|&(path, group, truth, _, p)| (path, group, truth, truth, p)).collect();
    write_run(&b, &data, &better);
    let out = folder.path().join("out");
    let written = compare(&[a.clone(), b.clone()], &out, &QUICK).unwrap();
    let page = fs::read_to_string(out.join(COMPARISON)).unwrap();
    assert_eq!(written.warnings, [FEW]);
    assert!(
        page.contains("<strong>b</strong> has the highest accuracy on the test split, 100.0"),
        "the better one is named"
    );
    assert!(page.contains("disagree on 3 of 12 images; 0 are misclassified by all"));
    let disagreements = fs::read_to_string(folder.path().join("out/tables/disagreements.csv")).unwrap();
    assert_eq!(disagreements.lines().count(), 4);
    let agreement = fs::read_to_string(folder.path().join("out/tables/agreement_1_2.csv")).unwrap();
    assert_eq!(agreement, ",B right,B wrong\nA right,9,0\nA wrong,3,0\n");
    for place in values(&page, "href").into_iter().filter(|place| !place.starts_with(['#', 'd'])) {
        assert!(folder.path().join("out").join(place).is_file(), "{place}");
    }
    assert_eq!(compare(&[a, b], &out, &QUICK).unwrap().bytes, page.len());
}

#[test]
fn each_warning_of_a_comparison_is_shown() {
    let (folder, a) = run();
    let (b, data) = (folder.path().join("b"), folder.path().join("data"));
    let out = folder.path().join("out");
    let warnings = || compare(&[a.clone(), b.clone()], &out, &QUICK).unwrap().warnings.join("\n");
    // Some images in common.
    write_run(&b, &data, &ROWS[..8]);
    assert!(
        warnings().contains("Different test images: run and b have 8 images in common (of 12 and 8)"),
        "{}",
        warnings()
    );
    // Other data altogether.
    write_run(&b, &folder.path().join("elsewhere"), &ROWS);
    let text = fs::read_to_string(b.join("data.json")).unwrap().replace("abcdef", "fedcba");
    fs::write(b.join("data.json"), text).unwrap();
    assert!(warnings().contains("their numbers are not comparable"), "{}", warnings());
    // The same images in another place are the same data.
    fs::write(
        b.join("data.json"),
        fs::read_to_string(b.join("data.json")).unwrap().replace("fedcba", "abcdef"),
    )
    .unwrap();
    assert_eq!(warnings(), FEW);
    // b was trained on a group of the test.
    fs::write(b.join("trained.tsv"), format!("{}\tg2\n", "1".repeat(64))).unwrap();
    assert!(warnings().contains("b was trained on 2 test images of run"), "{}", warnings());
    // One has no test.
    fs::remove_file(b.join("eval/test.json")).unwrap();
    write_rows(&b, &data, "valid", &ROWS);
    assert!(warnings().contains("Different splits"), "{}", warnings());
}

#[test]
fn a_comparison_needs_two_different_runs() {
    let (folder, run) = run();
    let refused =
        |runs: &[PathBuf]| compare(runs, &folder.path().join("out"), &QUICK).unwrap_err().to_string();
    assert!(refused(std::slice::from_ref(&run)).contains("two or more"));
    assert!(refused(&[run.clone(), run.join(".")]).contains("given twice"));
    assert!(refused(&[run.clone(), folder.path().join("none")]).contains("no such folder"));
}
