//! Explanations and reports from the command line: every file that they promise, from runs on drawn faces.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use program::{json, ok, output, text};
use serde_json::Value;
use tempfile::TempDir;

/// Runs the program, which must fail; its last line on standard error must contain all of `parts`.
fn fails(arguments: &[&str], parts: &[&str]) {
    let output = output(arguments);
    let error = text(&output.stderr);
    assert!(!output.status.success(), "mien {} succeeded: {}", arguments.join(" "), text(&output.stdout));
    assert!(!error.contains("panicked"), "mien {}: {error}", arguments.join(" "));
    let last = error.trim_end().lines().next_back().unwrap_or_default();
    parts.iter().for_each(|part| {
        assert!(last.contains(part), "mien {}: '{part}' is not in: {error}", arguments.join(" "))
    });
}

/// Drawn faces and a run on them with its report; made once, and only read.
struct Made {
    temp: TempDir,
}

impl Made {
    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let made = Made { temp: TempDir::new().expect("a temporary folder") };
    ok(&["draw", &made.text("faces"), "--per-class", "20", "--size", "48", "--quiet"]);
    train(&made.text("faces"), &made.path("run"), &["--tensorboard", "--maps", "4"]);
    made
});

fn train(faces: &str, run: &Path, more: &[&str]) {
    let run = run.display().to_string();
    let quick = [
        "--model",
        "vgg16_bn_cbam",
        "--width",
        "0.0625",
        "--input-size",
        "64",
        "--batch-size",
        "16",
        "--epochs",
        "2",
    ];
    let rest = ["--learning-rate", "0.02", "--device", "cpu", "--no-early-stopping", "--quiet"];
    ok(&[&["train", faces, "--out", &run], &quick[..], &rest[..], more].concat());
}

/// A temporary folder with a copy of the run.
fn copy_of_the_run() -> (TempDir, String) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target)
            } else {
                assert!(fs::copy(entry.path(), target).is_ok())
            }
        }
    }
    let temp = TempDir::new().unwrap();
    let run = temp.path().join("run");
    copy(&MADE.path("run"), &run);
    let text = run.display().to_string();
    (temp, text)
}

/// Every string of a value that names a file, by its ending.
fn files(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("explain/") => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| files(item, found)),
        Value::Object(items) => items.values().for_each(|item| files(item, found)),
        _ => {}
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn training_writes_its_report_maps_and_features() {
    let run = MADE.path("run");
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
    for attribute in ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "@import", "url(http"] {
        assert!(!page.contains(attribute), "the page needs the network: {attribute}");
    }
    let plots = names(&run.join("plots"));
    let figures = [
        "learning_curves",
        "combined_curves",
        "trends",
        "batch_losses",
        "batches_epoch_001",
        "batches_epoch_002",
        "confusion",
        "confusion_normalised",
        "per_class",
        "roc",
        "precision_recall",
        "reliability",
        "confusions",
        "class_counts",
        "projection_t_sne",
    ];
    for figure in figures {
        for ending in ["svg", "png"] {
            assert!(
                plots.contains(&format!("{figure}.{ending}")),
                "{figure}.{ending} is not among {plots:?}"
            );
        }
    }
    assert!(names(&run.join("tables")).iter().all(|name| name.ends_with(".csv")));
    assert!(names(&run.join("tables")).len() > 10);
    let index = json(&run.join("explain/explain.json"));
    assert_eq!(index["method"], "grad_cam");
    assert_eq!(index["class_means"].as_array().unwrap().len(), 7);
    let mut listed = Vec::new();
    files(&index, &mut listed);
    listed.sort();
    let there: Vec<String> =
        names(&run.join("explain")).iter().map(|name| format!("explain/{name}")).collect();
    let expected: Vec<String> = there.into_iter().filter(|name| name != "explain/explain.json").collect();
    listed.dedup();
    assert_eq!(listed, expected, "the index and the folder differ");
    assert!(run.join("eval/test_features.safetensors").exists());
    assert_eq!(names(&run.join("tensorboard")).len(), 1);
}

#[test]
fn a_report_is_reproducible_and_needs_no_data() {
    let (temp, run) = copy_of_the_run();
    let page = temp.path().join("run/report.html");
    ok(&["report", &run]);
    let first = fs::read(&page).unwrap();
    fs::remove_file(&page).unwrap();
    let said = ok(&["report", &run]);
    assert!(said.contains("report.html"), "{said}");
    assert!(fs::read(&page).unwrap() == first, "the page differs");
    // The images it shows are kept in the run folder.
    let config = temp.path().join("run/config.toml");
    let moved = fs::read_to_string(&config).unwrap().replace(&MADE.text("faces"), "/nowhere/faces");
    fs::write(&config, moved).unwrap();
    let said: Value = serde_json::from_str(&ok(&["report", &run, "--json"])).unwrap();
    assert!(said["bytes"].as_u64().unwrap() > 100_000, "{said}");
    ok(&["report", &run, "--projection", "pca", "--quiet"]);
    assert!(temp.path().join("run/plots/projection_pca.png").exists());
}

#[test]
fn runs_are_compared() {
    let (temp, run) = copy_of_the_run();
    let other = temp.path().join("other");
    train(&MADE.text("faces"), &other, &["--no-report", "--seed", "7"]);
    let out = temp.path().join("comparison").display().to_string();
    let third = MADE.text("run");
    ok(&["report", &run, &other.display().to_string(), &third, "--out", &out, "--quiet"]);
    let html = names(Path::new(&out)).into_iter().find(|name| name.ends_with(".html")).expect("a page");
    let page = fs::read_to_string(Path::new(&out).join(html)).unwrap();
    assert!(page.contains("other"), "the page does not name the runs");
    assert!(names(&Path::new(&out).join("plots")).contains(&"curves_overlaid.svg".to_owned()));
    fails(&["report", &run, &MADE.text("faces")], &["faces", "is not a run folder"]);
    fails(&["report", &run, "--out", &out], &["--out", "Leave --out out"]);
}

#[test]
fn a_run_is_explained_with_every_method_and_the_methods_are_judged() {
    let (temp, run) = copy_of_the_run();
    let folder = temp.path().join("run/explain");
    fs::write(folder.join("old.png"), "left by an earlier version").unwrap();
    let said =
        ok(&["explain", &run, "--method", "all", "--judge", "2", "--grid", "2", "--means", "1", "--smooth"]);
    assert!(said.contains("random"), "{said}");
    assert!(!folder.join("old.png").exists(), "the old explanations are still there");
    assert!(
        names(temp.path().join("run").as_path())
            .iter()
            .all(|name| !name.contains(".part") && !name.contains(".old"))
    );
    let index = json(&folder.join("explain.json"));
    let methods = index["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 6);
    assert!(index["maps"].as_array().unwrap().len() <= 4);
    for map in index["maps"].as_array().unwrap() {
        assert_eq!(map["overlays"].as_object().unwrap().len(), 6);
        assert!(map["attention"].is_string(), "CBAM's attention is missing");
        let bytes =
            fs::read(temp.path().join("run").join(map["raw"]["score_cam"].as_str().unwrap())).unwrap();
        // 64 / 32 = 2 places a side.
        assert!(text(&bytes[..80]).contains("'shape': (2, 2,)"), "{}", text(&bytes[..80]));
        assert_eq!(bytes.len(), 128 + 16);
    }
    let judged = index["faithfulness"]["methods"].as_array().unwrap();
    assert_eq!(judged.len(), 7);
    for row in judged {
        let curve = row["deletion"].as_array().unwrap();
        assert_eq!((curve.len(), curve[0][0].as_f64(), curve[16][0].as_f64()), (17, Some(0.0), Some(1.0)));
        let insertion = row["insertion"].as_array().unwrap();
        // Deletion begins with what insertion ends with: the whole image.
        assert!((curve[0][1].as_f64().unwrap() - insertion[16][1].as_f64().unwrap()).abs() < 1e-6);
        let area = row["deletion_auc"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&area), "{row}");
    }
    // The same seed gives the same numbers.
    let once_more: Value = serde_json::from_str(&ok(&[
        "explain", &run, "--method", "all", "--judge", "2", "--grid", "2", "--means", "1", "--smooth",
        "--json",
    ]))
    .unwrap();
    assert_eq!(once_more, index);
}

#[test]
fn images_are_explained_and_bad_ones_named() {
    let temp = TempDir::new().unwrap();
    let run = MADE.text("run");
    let place = |name: &str| temp.path().join(name).display().to_string();
    let faces: Vec<PathBuf> = walk(&MADE.path("faces/test"));
    fs::create_dir(temp.path().join("in")).unwrap();
    fs::copy(&faces[0], temp.path().join("in/a photo.png")).unwrap();
    fs::write(temp.path().join("in/broken.jpg"), b"no image").unwrap();
    let found = output(&[
        "explain",
        &run,
        &place("in"),
        "--out",
        &place("maps"),
        "--class",
        "HAPPY",
        "--method",
        "layer-cam,grad-cam++",
    ]);
    let error = text(&found.stderr);
    assert!(
        !found.status.success()
            && error.contains("broken.jpg")
            && error.contains("1 image could not be read"),
        "{error}"
    );
    let index = json(&temp.path().join("maps/explain.json"));
    assert_eq!(index["maps"].as_array().unwrap().len(), 1);
    assert_eq!(index["maps"][0]["class"], "happy");
    assert_eq!(index["maps"][0]["true"], Value::Null);
    assert!(temp.path().join("maps/all.png").exists());

    let image = faces[0].display().to_string();
    fails(&["explain", &run, &image, "--out", &place("maps")], &["maps", "already exists"]);
    fails(
        &["explain", &run, &image, "--class", "bored", "--out", &place("x")],
        &["--class", "bored", "happy"],
    );
    fails(&["explain", &run, &image, "--method", "cam", "--out", &place("x")], &["--method", "score-cam"]);
    fails(&["explain", &run, &image, "--judge", "3", "--out", &place("x")], &["--judge", "no labels"]);
    fails(&["explain", &run, &place("in/broken.jpg"), "--out", &place("x")], &["nothing to explain"]);
    fails(&["explain", &place("in"), &image], &["neither a run folder nor a model file"]);
    assert!(
        !temp.path().join("x").exists() && names(temp.path()).iter().all(|name| !name.contains(".part")),
        "something was left behind"
    );
    // A folder of classes is data with labels.
    ok(&[
        "explain",
        &run,
        &MADE.text("faces"),
        "--split",
        "test",
        "--grid",
        "3",
        "--means",
        "0",
        "--out",
        &place("data"),
        "--quiet",
    ]);
    let index = json(&temp.path().join("data/explain.json"));
    assert!(index["maps"].as_array().unwrap().iter().all(|map| map["true"].is_string()));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() { files.extend(walk(&entry.path())) } else { files.push(entry.path()) }
    }
    files.sort();
    files
}
