//! The program as users run it: real runs on drawn faces and on real photographs, killed and resumed, and
//! every kind of bad input.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use program::{Place, fails, json, mien, ok, output, text, train};
use serde_json::Value;

/// Losses by update, of all step events.
fn losses(run: &Path) -> Vec<(u64, f64)> {
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["event"] == "step")
        .map(|e| (e["step"].as_u64().unwrap(), e["loss"].as_f64().unwrap()))
        .collect()
}

#[test]
fn train_eval_predict_and_info_work_on_one_run() {
    let place = Place::new();
    let (faces, run) = (place.faces(), place.text("run"));
    let said = ok(&train(&faces, &run, &[]));
    assert!(
        said.contains("vgg16_bn_cbam") && said.contains("macro F1") && said.contains("epoch   train loss"),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "no bars or colours where the output is no terminal");
    for file in [
        "config.toml",
        "data.json",
        "events.jsonl",
        "metrics.csv",
        "best.safetensors",
        "checkpoints/last.safetensors",
        "checkpoints/epoch-001.safetensors",
        "eval/test.json",
        "eval/test_predictions.csv",
        "eval/test_confusion.csv",
        "eval/test_per_class.csv",
        "eval/valid.json",
    ] {
        assert!(place.path("run").join(file).is_file(), "{file} is missing");
    }
    assert_eq!(fs::read_to_string(place.path("run/metrics.csv")).unwrap().lines().count(), 3);
    assert_eq!(losses(&place.path("run")).len(), 14);
    let metrics = &json(&place.path("run/eval/test.json"))["metrics"];
    assert_eq!(metrics["n"], 7);
    assert_eq!(metrics["confusion"].as_array().unwrap().len(), 7);

    // Evaluating the best model again gives the same numbers; a checkpoint is a model, too; two make an
    // ensemble.
    let again: Value = serde_json::from_str(&ok(&["eval", &run, "--json"])).unwrap();
    assert_eq!(&again["metrics"], metrics);
    let checkpoint = format!("{run}/checkpoints/epoch-001.safetensors");
    let said = ok(&["eval", &run, &checkpoint, "--split", "all", "--out", &place.text("joint")]);
    assert!(said.contains("majority vote") && said.contains("mean probability"), "{said}");
    assert!(place.path("joint/all-mean-probability.json").is_file());
    // Other data: a folder without splits is a test set as a whole.
    ok(&["eval", &run, &format!("{faces}/test"), "--out", &place.text("other")]);
    assert_eq!(json(&place.path("other/test-test.json"))["metrics"]["accuracy"], metrics["accuracy"]);

    // Predictions: a file, a folder, a pattern.
    let folder = format!("{faces}/test/happy");
    let image = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path().display().to_string();
    let said = ok(&["predict", &run, &image]);
    assert_eq!(said.lines().count(), 1);
    assert_eq!(said.matches('%').count(), 3, "top three: {said}");
    let pattern = format!("{faces}/test/*/*.png");
    let said = ok(&["predict", &run, &pattern, "--json"]);
    assert_eq!(said.lines().count(), 7);
    for line in said.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let top: Vec<f64> =
            value["top"].as_array().unwrap().iter().map(|top| top["probability"].as_f64().unwrap()).collect();
        assert!(top.len() == 3 && top[0] >= top[1] && top[1] >= top[2] && top[0] <= 1.0);
    }
    assert_eq!(ok(&["predict", &run, &folder, "--top", "1"]).lines().count(), 1);

    for (what, expected) in [
        (run.as_str(), "fingerprint"),
        (&format!("{run}/best.safetensors"), "parameters"),
        (&faces, "leakage  none"),
    ] {
        let said = ok(&["info", what]);
        assert!(said.contains(expected), "{said}");
    }

    // The folder is taken now, and finished.
    fails(&train(&faces, &run, &[]), &["the folder is not empty", "--resume"]);
    fails(&["train", "--resume", &run], &["the run has already ended (finished)"]);
    fails(&["train", "--resume", &run, "--epochs", "9"], &["a resumed run keeps its settings"]);
}

#[test]
fn a_killed_run_resumes_with_the_same_losses() {
    let place = Place::new();
    let (faces, whole, parts) = (place.faces(), place.text("whole"), place.text("parts"));
    let more = ["--quiet", "--epochs", "4"];
    ok(&train(&faces, &whole, &more));

    // Killed without warning in the middle of an epoch, after the first has been saved.
    let mut child =
        mien(&train(&faces, &parts, &["--json", "--epochs", "4"])).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = 0;
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for line in lines.map_while(Result::ok) {
        seen += usize::from(line.contains("\"event\":\"step\""));
        if seen == 10 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    ok(&["train", "--resume", &parts, "--quiet"]);
    assert_eq!(losses(&place.path("whole")), losses(&place.path("parts")));
    let metrics = |run: &str| json(&place.path(run).join("eval/test.json"))["metrics"].clone();
    assert_eq!(metrics("whole"), metrics("parts"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_finishes_the_step_saves_and_says_how_to_resume() {
    let place = Place::new();
    let (faces, run) = (place.faces(), place.text("run"));
    let mut child = mien(&train(&faces, &run, &["--json", "--epochs", "200"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("\"step\":9,")), "it trains");
    // SAFETY: kill only sends a signal to the child, which has not been waited for yet.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGINT) };
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let error = text(&output.stderr);
    assert!(error.contains(&format!("mien train --resume {run}")), "{error}");
    assert!(rest.iter().any(|line| line.contains("\"reason\":\"interrupted\"")), "{rest:?}");
    let steps = losses(&place.path("run"));
    let info = ok(&["info", &format!("{run}/checkpoints/last.safetensors")]);
    assert!(info.contains("vgg16_bn_cbam") && steps.len() >= 9);
}

#[cfg(unix)]
#[test]
fn a_disk_without_room_is_named_and_leaves_the_last_checkpoint_whole() {
    let place = Place::new();
    let (faces, run) = (place.faces(), place.text("run"));
    // A limit on the size of files stands in for a full disk: writing beyond it fails in the same place.
    let arguments =
        train(&faces, &run, &["--quiet"]).iter().map(|a| format!("'{a}'")).collect::<Vec<_>>().join(" ");
    let limited = |blocks: &str, arguments: &str| {
        let script =
            format!("trap '' XFSZ; ulimit -f {blocks}; exec '{}' {arguments}", env!("CARGO_BIN_EXE_mien"));
        Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap()
    };
    let none = limited("20", &arguments);
    assert!(!none.status.success());
    let error = text(&none.stderr);
    assert!(error.contains("cannot write") && !error.contains("panicked"), "{error}");
    fs::remove_dir_all(place.path("run")).unwrap();

    let mut child = mien(&train(&faces, &run, &["--json", "--epochs", "50"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(
        lines.by_ref().map_while(Result::ok).any(|line| line.contains("last checkpoint")),
        "it has saved"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let last = place.path("run/checkpoints/last.safetensors");
    let before = fs::read(&last).unwrap();
    let full = limited("20", &format!("train --resume '{run}' --quiet"));
    assert!(!full.status.success());
    assert!(text(&full.stderr).contains("cannot write"), "{}", text(&full.stderr));
    assert_eq!(before, fs::read(&last).unwrap(), "the last checkpoint is whole");
    let left: Vec<_> =
        fs::read_dir(place.path("run/checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("part")), "{left:?}");
}

#[test]
fn wrong_data_end_in_one_line() {
    let place = Place::new();
    let (faces, run) = (place.faces(), place.text("run"));
    let check = |data: &str, parts: &[&str]| fails(&train(data, &run, &["--quiet"]), parts);

    check(&place.text("nowhere"), &["nowhere", "no such"]);
    fs::create_dir_all(place.path("empty")).unwrap();
    check(&place.text("empty"), &["empty"]);

    // One class only.
    fs::create_dir_all(place.path("one/happy")).unwrap();
    for entry in fs::read_dir(format!("{faces}/train/happy")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.path("one/happy").join(entry.file_name())).unwrap();
    }
    check(&place.text("one"), &["happy", "at least 2 classes"]);

    // A folder that is no emotion.
    fs::create_dir_all(place.path("faces/train/hungry")).unwrap();
    fs::copy(first(&format!("{faces}/train/happy")), place.path("faces/train/hungry/a.png")).unwrap();
    check(&faces, &["hungry", "--classes"]);
    fs::remove_dir_all(place.path("faces/train/hungry")).unwrap();

    // Unreadable, truncated, and a text that calls itself an image: named, with the reason.
    let whole = fs::read(first(&format!("{faces}/train/sad"))).unwrap();
    fs::write(place.path("faces/train/sad/cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(place.path("faces/train/sad/note.jpg"), "this is a note and no image").unwrap();
    fs::write(place.path("faces/train/sad/zero.jpg"), "").unwrap();
    check(&faces, &["cut.png", "note.jpg", "zero.jpg"]);
    // A tenth of the files may be unreadable, if the user says so; they are listed then.
    ok(&train(&faces, &run, &["--quiet", "--max-unreadable", "0.1", "--epochs", "1"]));
    let unreadable = json(&place.path("run/data.json"))["unreadable"].as_array().unwrap().len();
    assert_eq!(unreadable, 3);

    // A person in two splits.
    fs::copy(first(&format!("{faces}/train/angry")), place.path("faces/test/angry/leak.png")).unwrap();
    let leaky = place.text("leaky-run");
    let tolerant = ["--quiet", "--max-unreadable", "0.1", "--epochs", "1"];
    fails(&train(&faces, &leaky, &tolerant), &["leak.png", "--allow-leakage"]);
    ok(&train(&faces, &leaky, &[&tolerant[..], &["--allow-leakage"]].concat()));
    assert_eq!(json(&place.path("leaky-run/eval/test.json"))["leakage"], true);
}

fn first(folder: &str) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files[0].clone()
}

#[test]
fn an_image_that_cannot_be_read_is_named_and_the_others_are_predicted() {
    let place = Place::new();
    let (faces, run) = (place.faces(), place.text("run"));
    ok(&train(&faces, &run, &["--quiet", "--epochs", "1"]));
    fs::write(place.path("bad.jpg"), "no image").unwrap();
    let good = first(&format!("{faces}/test/sad")).display().to_string();
    let output = output(&["predict", &run, &place.text("bad.jpg"), &good]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("bad.jpg"));
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn an_unwritable_run_folder_is_refused_before_training() {
    let place = Place::new();
    let faces = place.faces();
    fs::write(place.path("file"), "in the way").unwrap();
    fails(&train(&faces, &place.text("file"), &["--quiet"]), &["file"]);
    fails(&train(&faces, &place.text("file/run"), &["--quiet"]), &["file"]);
}

/// Real photographs: two classes, each person in both. Skipped where they are missing.
#[test]
fn real_photographs_train_with_no_person_in_two_splits() {
    let faces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/london-faces-256");
    if !faces.is_dir() {
        eprintln!("skipped: {} is not there", faces.display());
        return;
    }
    let place = Place::new();
    let (data, run) = (faces.display().to_string(), place.text("run"));
    ok(&train(&data, &run, &["--group-regex", r"^(\d+)_", "--quiet", "--epochs", "1"]));
    let summary = json(&place.path("run/data.json"));
    assert_eq!(summary["classes"], serde_json::json!(["happy", "neutral"]));
    let groups = &summary["groups"];
    let sum: u64 = ["train", "valid", "test"].iter().map(|split| groups[split].as_u64().unwrap()).sum();
    assert_eq!(sum, 102, "every person is in one split only: {groups}");
    assert_eq!(summary["leakage"], false);
}

/// The demo at a small size: the whole path from nothing to a result.
#[test]
fn the_demo_runs_from_nothing() {
    let place = Place::new();
    let said = ok(&["demo", "--out", &place.text("demo"), "--per-class", "20", "--epochs", "1"]);
    assert!(said.contains("macro F1") && said.contains("use it"), "{said}");
    assert!(place.path("demo/run/eval/test.json").is_file());
}

/// Two runs that split the same images differently: each has trained on what the other tests on.
#[test]
fn an_ensemble_that_has_seen_the_test_images_is_stamped() {
    let place = Place::new();
    let (faces, one, two) = (format!("{}/train", place.faces()), place.text("one"), place.text("two"));
    for (run, seed) in [(&one, "1"), (&two, "2")] {
        ok(&train(&faces, run, &["--quiet", "--epochs", "1", "--seed", seed]));
    }
    let honest: Value = serde_json::from_str(&ok(&["eval", &one, "--json"])).unwrap();
    assert_eq!(honest["leakage"], false);
    let both = output(&["eval", &one, &two, "--json", "--out", &place.text("both")]);
    assert!(text(&both.stderr).contains("LEAKAGE: two was trained on"), "{}", text(&both.stderr));
    let said = text(&both.stdout);
    assert_eq!(said.lines().count(), 4, "two models, the vote and the mean: {said}");
    assert!(
        said.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["leakage"] == true),
        "{said}"
    );
    // The same folder as foreign data: most of it was trained on.
    let foreign = output(&["eval", &one, &faces, "--json", "--out", &place.text("foreign")]);
    assert!(text(&foreign.stderr).contains("LEAKAGE: one was trained on"), "{}", text(&foreign.stderr));
}

#[test]
fn two_programs_do_not_train_in_one_folder_and_a_missing_evaluation_is_redone() {
    let place = Place::new();
    let (faces, run) = (place.faces(), place.text("run"));
    let mut child =
        mien(&train(&faces, &run, &["--json", "--epochs", "200"])).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(
        lines.by_ref().map_while(Result::ok).any(|line| line.contains("\"event\":\"step\"")),
        "it trains"
    );
    fails(&["train", "--resume", &run], &["another mien is training in this folder"]);
    child.kill().unwrap();
    child.wait().unwrap();

    let done = place.text("done");
    ok(&train(&faces, &done, &["--quiet", "--epochs", "1"]));
    let test = place.path("done/eval/test.json");
    let before = fs::read(&test).unwrap();
    fs::remove_file(&test).unwrap();
    ok(&["train", "--resume", &done, "--quiet"]);
    assert_eq!(before, fs::read(&test).unwrap());
}

/// A model that starts from another one's weights needs that file only at its start.
#[test]
fn a_run_from_weights_resumes_without_them() {
    let place = Place::new();
    let (faces, first, second) = (place.faces(), place.text("first"), place.text("second"));
    ok(&train(&faces, &first, &["--quiet", "--epochs", "1"]));
    let weights = format!("{first}/best.safetensors");
    let mut child = mien(&train(&faces, &second, &["--json", "--epochs", "3", "--weights", &weights]))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("\"step\":9,")), "it trains");
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(place.path("first")).unwrap();
    ok(&["train", "--resume", &second, "--quiet"]);
    assert_eq!(losses(&place.path("second")).len(), 21);
}

#[test]
fn imagenet_weights_that_cannot_be_downloaded_or_are_damaged_end_in_one_line() {
    let place = Place::new();
    let faces = place.faces();
    let try_it = || {
        mien(&train(&faces, &place.text("run"), &["--weights", "imagenet"]))
            .env("XDG_CACHE_HOME", place.path("cache"))
            .env("MIEN_WEIGHTS_URL", "http://127.0.0.1:9/models")
            .output()
            .unwrap()
    };
    let refused = |output: Output, part: &str| {
        let error = text(&output.stderr);
        assert!(
            !output.status.success() && error.trim_end().lines().count() == 1 && error.contains(part),
            "{error}"
        );
        assert!(!place.path("run").exists());
    };
    refused(try_it(), "found imagenet with --width 0.0625");
    let try_it = || {
        mien(&train(&faces, &place.text("run"), &["--weights", "imagenet", "--width", "1", "--head", "fc"]))
            .env("XDG_CACHE_HOME", place.path("cache"))
            .env("MIEN_WEIGHTS_URL", "http://127.0.0.1:9/models")
            .output()
            .unwrap()
    };
    refused(try_it(), "cannot be fetched");
    let own = place.path("cache/mien/vgg16_bn-6c64b313.pth");
    assert!(!own.exists(), "nothing is left");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, b"PK half of it").unwrap();
    refused(try_it(), "13 bytes instead of 553507836");
}

#[test]
fn a_model_is_exported_and_nothing_is_overwritten() {
    let place = Place::new();
    let (faces, run) = (place.faces(), place.text("run"));
    ok(&train(&faces, &run, &["--quiet", "--epochs", "1"]));
    for format in ["pth", "onnx"] {
        let said = ok(&["export", &run, "--format", format]);
        assert!(said.contains(&format!("best.{format}")), "{said}");
        assert!(place.path("run").join(format!("best.{format}")).metadata().unwrap().len() > 100_000);
        fails(&["export", &run, "--format", format], &["already exists", "--out"]);
    }
    ok(&["export", &run, "--format", "safetensors", "--out", &place.text("copy.safetensors")]);
    let predict = |model: &str| ok(&["predict", model, &format!("{faces}/test/happy"), "--json"]);
    assert_eq!(predict(&place.text("copy.safetensors")), predict(&format!("{run}/best.safetensors")));
    // What was exported for torch is a start for training.
    ok(&train(
        &faces,
        &place.text("next"),
        &["--quiet", "--epochs", "1", "--weights", &format!("{run}/best.pth")],
    ));
    fails(&["export", &faces, "--format", "onnx"], &["is neither a run folder nor a model file"]);
    fails(&["predict", &format!("{run}/best.pth"), &faces], &[".pth"]);
}

#[test]
fn calibration_changes_probabilities_and_no_prediction() {
    let place = Place::new();
    let (faces, run) = (place.text("faces"), place.text("run"));
    ok(&["draw", &faces, "--per-class", "30", "--size", "32", "--quiet"]);
    // Learns slowly and evenly: some temperature suits it however the sums are rounded.
    ok(&train(
        &faces,
        &run,
        &["--quiet", "--epochs", "6", "--width", "0.125", "--head", "fc", "--learning-rate", "0.005"],
    ));
    let predict = || -> Vec<(String, f64)> {
        let said = ok(&["predict", &run, &format!("{faces}/test/*/*.png"), "--json"]);
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| {
                (line["top"][0]["class"].to_string(), line["top"][0]["probability"].as_f64().unwrap())
            })
            .collect()
    };
    let before = predict();
    let said: Value = serde_json::from_str(&ok(&["calibrate", &run, "--json"])).unwrap();
    let temperature = said["temperature"].as_f64().unwrap();
    assert!(temperature != 1.0 && said["before"] == 1.0);
    assert!(said["valid"]["loss"][1].as_f64() <= said["valid"]["loss"][0].as_f64(), "{said}");
    let after = predict();
    assert!(before.iter().zip(&after).all(|(before, after)| before.0 == after.0), "no prediction changes");
    let surer =
        |(before, after): (&(String, f64), &(String, f64))| (after.1 > before.1) == (temperature < 1.0);
    assert!(before.iter().zip(&after).all(surer));
    assert_eq!(json(&place.path("run/eval/test.json"))["temperature"].as_f64(), Some(temperature));
    assert!(
        (json(&place.path("run/eval/test.json"))["metrics"]["ece"].as_f64().unwrap()
            - said["test"]["ece"][1].as_f64().unwrap())
        .abs()
            < 1e-9
    );
    assert!(place.path("run/eval/calibration.json").is_file());
    // Again: it is calibrated already.
    let said: Value = serde_json::from_str(&ok(&["calibrate", &run, "--json"])).unwrap();
    assert!((said["temperature"].as_f64().unwrap() / temperature - 1.0).abs() < 1e-3);
    assert!(ok(&["info", &format!("{run}/best.safetensors")]).contains("temperature"));
    fails(&["calibrate", &faces], &["is not a run folder"]);
}
