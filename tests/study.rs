//! Audits and studies from the command line: planted duplicates are found, a clean list trains, a study
//! compares on one fixed test set and continues after an interruption.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::{Place, fails, json, ok, output, text};
use serde_json::Value;

/// Drawn faces of 32×32 in the folder `name`, and its path.
fn draw(place: &Place, name: &str, per_class: &str, style: &str, seed: &str) -> String {
    let out = place.text(name);
    let (set, drawing) = (["--per-class", per_class, "--size", "32"], ["--style", style, "--seed", seed]);
    ok(&[&["draw", &out][..], &set, &drawing, &["--quiet"]].concat());
    out
}

/// The images of a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn an_audit_finds_planted_duplicates_and_its_clean_list_trains() {
    let place = Place::new();
    let faces = draw(&place, "faces", "20", "photo", "1");
    let happy = files(&place.path("faces/train/happy"));
    // The same image in two splits, the same with two labels, and a file that is not an image.
    fs::copy(&happy[0], place.path("faces/test/happy/other-name.png")).unwrap();
    fs::copy(&happy[1], place.path("faces/train/sad/mislabelled.png")).unwrap();
    fs::write(place.path("faces/train/sad/broken.jpg"), b"no image").unwrap();

    let out = place.text("audit");
    let list = place.text("clean.csv");
    let found = output(&["audit", &faces, "--out", &out, "--write-list", &list]);
    let said = text(&found.stdout);
    assert_eq!(found.status.code(), Some(3), "{said}{}", text(&found.stderr));
    assert!(
        said.contains("ERROR") && said.contains("1 pair of exact duplicates with different labels"),
        "{said}"
    );
    let report = json(&place.path("audit/audit.json"));
    let topics: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|f| f["topic"].as_str().unwrap()).collect();
    for topic in ["exact_across_splits", "two_labels", "unreadable"] {
        assert!(topics.contains(&topic), "{topic} is not among {topics:?}");
    }
    assert_eq!(report["unreadable"][0]["name"], "train/sad/broken.jpg");
    let pairs = fs::read_to_string(place.path("audit/pairs.csv")).unwrap();
    assert!(pairs.contains("other-name.png") && pairs.contains("mislabelled.png"), "{pairs}");
    let page = fs::read_to_string(place.path("audit/audit.html")).unwrap();
    assert!(page.contains("other-name.png") && !page.contains("src=\"http"));

    // Training refuses the data as they are, and takes the list.
    let run = place.text("run");
    let quick = [
        "--model",
        "vgg16_bn",
        "--width",
        "0.0625",
        "--head",
        "gap",
        "--input-size",
        "32",
        "--batch-size",
        "8",
        "--epochs",
        "1",
    ];
    let rest = ["--device", "cpu", "--no-report", "--quiet", "--max-unreadable", "0.1"];
    let train = |data: &str, run: &str| {
        [&["train", data, "--out", run][..], &quick, &rest]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let refused = train(&faces, &run);
    fails(
        &refused.iter().map(String::as_str).collect::<Vec<_>>(),
        &["1 group crosses splits", "other-name.png"],
    );
    let taken = train(&list, &run);
    ok(&taken.iter().map(String::as_str).collect::<Vec<_>>());
    // The list itself has no errors.
    let again: Value = serde_json::from_slice(&output(&["audit", &list, "--json"]).stdout).unwrap();
    assert!(
        again["findings"].as_array().unwrap().iter().all(|finding| finding["severity"] != "error"),
        "{}",
        again["findings"]
    );

    fails(&["audit", &faces, "--write-list", &list], &["clean.csv", "already exists"]);
    fails(&["audit", &place.text("nowhere")], &["nowhere", "no such file or folder"]);
    fails(&["audit", &faces, "--out", &out], &["the folder is not empty"]);
    fails(&["audit", &faces, "--near-correlation", "2"], &["--near-correlation"]);
}

#[test]
fn a_study_compares_on_one_test_set_and_continues_after_an_interruption() {
    let place = Place::new();
    draw(&place, "real", "20", "photo", "1");
    draw(&place, "drawn", "10", "cartoon", "2");
    let plan = place.path("study.toml");
    fs::write(
        &plan,
        "real = \"real\"\nsynthetic = \"drawn\"\nseeds = [1, 2]\ndose = [14]\n[augment]\ncopies = \
         1\n[set]\n\"train.epochs\" = 1\n\
         \"model.name\" = \"vgg16_bn\"\n\"model.width\" = 0.0625\n\"model.head\" = \"gap\"\n\"input.size\" = \
         32\n\"train.batch_size\" = 16\n\
         \"train.learning_rate\" = 0.02\n",
    )
    .unwrap();
    let (plan, out) = (plan.display().to_string(), place.text("out"));
    let listed = ok(&["study", &plan, "--dry-run"]);
    let names: Vec<&str> = listed.lines().collect();
    // Four dataset types, one dose and the leaky protocol, with two seeds.
    assert_eq!(names.len(), 12, "{names:?}");
    let said = ok(&["study", &plan, "--out", &out, "--device", "cpu"]);
    assert!(said.contains("synthetic-augmented") && said.contains("95 %"), "{said}");
    let results = json(&place.path("out/study.json"));
    assert_eq!(results["variants"].as_array().unwrap().len(), 5);
    assert_eq!(results["comparisons"].as_array().unwrap().len(), 4);
    assert!(results["missing"].as_array().unwrap().is_empty());
    assert_eq!(results["claim"]["runs"].as_array().unwrap().len(), 2);
    assert_eq!(json(&place.path("out/quality.json"))["images"], 70);
    let page = fs::read_to_string(place.path("out/study.html")).unwrap();
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
    assert!(fs::read_to_string(place.path("out/study.csv")).unwrap().lines().count() == 6);

    // All runs have the same test images, and a larger dose is the real training set with so many more.
    let tested = |run: &str| -> Vec<String> {
        let table =
            fs::read_to_string(place.path(&format!("out/runs/{run}/eval/test_predictions.csv"))).unwrap();
        table.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
    };
    let real = tested("real-s1");
    for run in names.iter().filter(|name| !name.starts_with("leaky")) {
        assert_eq!(tested(run), real, "{run}");
    }
    let trained = |run: &str| -> u64 {
        let data = json(&place.path(&format!("out/runs/{run}/data.json")));
        data["counts"]["train"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum()
    };
    assert_eq!(trained("dose-14-s1"), trained("real-s1") + 14);
    assert_eq!(trained("augmented-s1"), 2 * trained("real-s1"));

    // A lost run is trained again, to the same numbers; the others are not touched.
    let before = fs::metadata(place.path("out/runs/real-s2/best.safetensors")).unwrap().modified().unwrap();
    let metrics = fs::read(place.path("out/runs/augmented-s2/eval/test.json")).unwrap();
    fs::remove_dir_all(place.path("out/runs/augmented-s2")).unwrap();
    ok(&["study", &plan, "--out", &out, "--device", "cpu", "--quiet"]);
    assert_eq!(fs::read(place.path("out/runs/augmented-s2/eval/test.json")).unwrap(), metrics);
    assert_eq!(
        fs::metadata(place.path("out/runs/real-s2/best.safetensors")).unwrap().modified().unwrap(),
        before
    );
    // All but the seconds.
    assert!(
        json(&place.path("out/study.json"))["comparisons"] == results["comparisons"],
        "the comparisons differ"
    );

    // Another plan does not take the folder.
    let changed = fs::read_to_string(&plan).unwrap().replace("seeds = [1, 2]", "seeds = [1, 3]");
    fs::write(&plan, changed).unwrap();
    fails(&["study", &plan, "--out", &out], &["another study is in this folder"]);
    fs::write(&plan, "real = \"real\"\nsedes = [1]\n").unwrap();
    fails(&["study", &plan, "--out", &out], &["sedes"]);
}
