//! `mien augment` on real runs: the same bytes for any number of threads and after any interruption, nothing
//! lost or overwritten, hostile files quarantined, and every copy what its line of the manifest says.
//!
//! Longer than other files, as all tests use the same few helpers and run the same program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicBool;

use mien::augment::offline::{Originals, QUARANTINE, Request, Summary, augment};
use mien::augment::operations::Scratch;
use mien::augment::profile::{Operation, Profile};
use mien::data::manifest::MANIFEST;
use mien::error::Result;
use mien::faces::draw::{DrawConfig, Style, write_set};
use mien::image::Bitmap;
use mien::image::RgbImage;
use mien::image::decode::decode;
use mien::image::encode::encode_png;
use serde_json::Value;
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Drawn faces as train, valid and test folders.
    fn faces(&self, per_class: usize) -> PathBuf {
        let folder = self.path("faces");
        write_set(&folder, &DrawConfig { per_class, size: 32, seed: 1, style: Style::Photo }, &|| {})
            .unwrap();
        folder
    }
}

fn request(source: &Path, output: &Path) -> Request {
    Request {
        source: source.to_owned(),
        output: output.to_owned(),
        copies: 2,
        profile: Profile::safe(),
        seed: 42,
        threads: 2,
        resume: false,
        emotions: Vec::new(),
        originals: Originals::Copy,
        group_regex: None,
    }
}

fn make(request: &Request) -> Result<Summary> {
    augment(request, &|_| {}, &AtomicBool::new(false))
}

/// Every file below a folder with its content.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else if path.is_file() {
                found.insert(
                    path.strip_prefix(root).unwrap().to_string_lossy().into_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn save(folder: &Path, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// An image of slopes, different for each seed.
fn image(width: usize, height: usize, seed: usize) -> RgbImage {
    let level = |i: usize| ((i * 7 + i / (width * 3) * (seed + 3) + seed * 40) % 200 + 20) as u8;
    RgbImage::new(width, height, (0..width * height * 3).map(level).collect())
}

fn png(seed: usize) -> Vec<u8> {
    encode_png(&image(20, 18, seed))
}

fn mien(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mien"));
    command.arg("augment").args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    mien(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn fails(arguments: &[&str], parts: &[&str]) {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{arguments:?}: {error}");
    for part in parts {
        assert!(error.contains(part), "{arguments:?}: '{part}' is not in: {error}");
    }
}

// ---- same bytes

#[test]
fn the_output_does_not_depend_on_the_number_of_threads() {
    let place = Place::new();
    let faces = place.faces(20);
    let mut trees = Vec::new();
    for threads in [1, 2, 7] {
        let output = place.path(&format!("out-{threads}"));
        let summary = make(&Request { threads, ..request(&faces, &output) }).unwrap();
        assert_eq!((summary.counts.originals, summary.counts.copies), (140, 2 * summary.survey.augmented));
        trees.push(tree(&output));
    }
    assert!(trees[0] == trees[1] && trees[0] == trees[2]);
    let other = place.path("other-seed");
    make(&Request { seed: 43, ..request(&faces, &other) }).unwrap();
    assert!(tree(&other) != trees[0]);
    assert_eq!(lines(&other.join(MANIFEST)).len(), trees[0].len() - 2, "a line for every image");
}

#[test]
fn the_copies_of_an_image_do_not_depend_on_other_files() {
    let place = Place::new();
    for (root, names) in [("one", &["b.png"][..]), ("three", &["a.png", "b.png", "c.png"])] {
        for name in names {
            save(&place.path(root).join("happy"), name, &png(name.as_bytes()[0].into()));
        }
        make(&request(&place.path(root), &place.path(&format!("{root}-out")))).unwrap();
    }
    let (one, three) = (tree(&place.path("one-out")), tree(&place.path("three-out")));
    for name in ["happy/b.png", "happy/b_aug_1.png", "happy/b_aug_2.png"] {
        assert!(one[name] == three[name], "{name}");
    }
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let place = Place::new();
    let faces = place.faces(60);
    // One file that cannot be used, so that the list of those is part of the comparison.
    save(&faces.join("train/fear"), "cut.jpg", b"\xff\xd8\xff\xe0 no more");
    let whole = place.path("whole");
    let summary = make(&Request { copies: 6, ..request(&faces, &whole) }).unwrap();
    assert_eq!(summary.counts.quarantined, 1);
    let expected = tree(&whole);
    let parts = place.path("parts");
    let arguments = [text(&faces), text(&parts), "-n", "6", "--resume", "--quiet"];
    // Killed at several moments, the first when hardly anything is there; then left alone.
    let mut killed_in_the_middle = 0;
    for delay in [0, 5, 10, 20, 40, 80] {
        let mut child = mien(&arguments).stderr(Stdio::null()).spawn().unwrap();
        while !parts.join("mien-augment.json").exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        std::thread::sleep(std::time::Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        killed_in_the_middle += usize::from(parts.exists() && !parts.join(MANIFEST).exists());
    }
    assert!(killed_in_the_middle > 0, "every run had come to its end before it was killed");
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let found = tree(&parts);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(found == expected);
    // Once more: nothing to do, everything is checked.
    let again = make(&Request { copies: 6, resume: true, ..request(&faces, &parts) }).unwrap();
    assert_eq!(
        (again.counts.originals, again.counts.copies, again.counts.kept),
        (0, 0, summary.counts.originals + summary.counts.copies)
    );
    assert!(tree(&parts) == expected);
}

#[test]
fn a_stopped_run_resumes_from_a_journal_cut_anywhere() {
    let place = Place::new();
    let faces = place.faces(10);
    save(&faces.join("train/sad"), "empty.png", b"");
    let whole = place.path("whole");
    make(&request(&faces, &whole)).unwrap();
    let expected = tree(&whole);

    let stopped = place.path("stopped");
    let stop = AtomicBool::new(false);
    let error = augment(
        &request(&faces, &stopped),
        &|_| stop.store(true, std::sync::atomic::Ordering::Relaxed),
        &stop,
    );
    assert!(error.unwrap_err().to_string().contains("stopped"));

    // The journal as it may be after a crash: cut at any byte, and files beyond it already there.
    let manifest = fs::read(whole.join(MANIFEST)).unwrap();
    for cut in [0, 1, manifest.len() / 3, manifest.len() / 2 + 17, manifest.len() - 1, manifest.len()] {
        fs::remove_file(whole.join(MANIFEST)).unwrap();
        let _ = fs::remove_file(whole.join(QUARANTINE));
        fs::write(whole.join("mien-manifest.jsonl.part"), &manifest[..cut]).unwrap();
        let victims: Vec<String> = expected
            .keys()
            .filter(|name| name.contains("happy") && name.contains("_aug_1"))
            .cloned()
            .collect();
        fs::remove_file(whole.join(&victims[0])).unwrap();
        fs::write(whole.join(&victims[1]), b"").unwrap();
        make(&Request { resume: true, ..request(&faces, &whole) }).unwrap();
        assert!(tree(&whole) == expected, "cut at {cut}");
    }
}

// ---- what the manifest says

/// Does again what a line says and compares with the file.
fn check_line(source: &Path, output: &Path, profile: &Profile, line: &Value) {
    let name = |key: &str| line[key].as_str().unwrap();
    let written = fs::read(output.join(name("output"))).unwrap();
    assert_eq!(line["output_hash"], blake3::hash(&written).to_hex()[..32]);
    assert_eq!(line["bytes"], written.len());
    let original = fs::read(source.join(name("source"))).unwrap();
    assert_eq!(line["source_hash"], blake3::hash(&original).to_hex()[..32]);
    if line["copy"] == 0 {
        assert!(
            written == original && name("output") == name("source"),
            "an original is copied byte for byte"
        );
        return;
    }
    let mut image = Bitmap::from_rgb(decode(&original).unwrap());
    let channels = image.channels;
    let operations: Vec<Operation> = serde_json::from_value(line["operations"].clone()).unwrap();
    assert!(!operations.is_empty());
    for operation in &operations {
        operation.apply(&mut image, profile.border, &mut Scratch::default());
    }
    let found = Bitmap::from_rgb(decode(&written).unwrap());
    assert_eq!(found.channels, channels, "grey stays grey: {line}");
    if name("codec") == "png" {
        assert!(found == image, "{line}");
    } else {
        assert_eq!(name("codec"), "jpeg 95 4:4:4");
        let distance: u64 =
            found.pixels.iter().zip(&image.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(distance < 4 * image.pixels.len() as u64, "{line}: {distance}");
    }
}

#[test]
fn every_copy_is_what_its_manifest_line_says_for_every_format() {
    let place = Place::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode");
    let mut kinds = 0;
    for entry in fs::read_dir(fixtures).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        if !name.ends_with(".rgb") && !name.ends_with(".json") && decode(&bytes).is_ok() {
            save(&place.path("all/happy"), &name, &bytes);
            kinds += 1;
        }
    }
    assert!(kinds > 40);
    let mut profile = Profile::safe();
    profile.operations_per_copy = [1, 3];
    // These images are tiny, and some are blank or all white: what is looked at here is the bytes.
    (profile.limits.similarity, profile.limits.saturated, profile.limits.border) = (-1.0, 1.0, 1.0);
    profile.limits.distinct = false;
    let (source, output) = (place.path("all"), place.path("out"));
    let summary =
        make(&Request { profile: profile.clone(), copies: 3, ..request(&source, &output) }).unwrap();
    assert_eq!((summary.counts.originals, summary.counts.copies), (kinds, 3 * kinds));
    let manifest = lines(&output.join(MANIFEST));
    assert_eq!(manifest.len(), 4 * kinds);
    manifest.iter().for_each(|line| check_line(&source, &output, &profile, line));
}

#[test]
fn copies_keep_the_limits_and_rejected_draws_are_counted() {
    let place = Place::new();
    let (faces, output) = (place.faces(10), place.path("out"));
    let mut profile = Profile::safe();
    profile.limits.border = 0.05;
    profile.limits.similarity = 0.9;
    let summary = make(&Request { profile: profile.clone(), copies: 4, ..request(&faces, &output) }).unwrap();
    assert!(summary.counts.refused[1] > 0 && summary.counts.refused[2] > 0, "{:?}", summary.counts);
    let manifest = lines(&output.join(MANIFEST));
    let attempts: u64 = manifest.iter().filter_map(|line| line["attempts"].as_u64()).sum();
    let refused: usize = summary.counts.refused.iter().sum();
    assert_eq!(attempts as usize, summary.counts.copies + refused, "each draw is either kept or counted");
    for line in &manifest {
        check_line(&faces, &output, &profile, line);
        let angle = |operation: &Value| {
            operation["name"] == "rotation" && operation["angle"].as_f64().unwrap().abs() > 9.0
        };
        assert!(
            !line["operations"].as_array().is_some_and(|all| all.iter().any(angle)),
            "10 degrees uncover 7 %: {line}"
        );
    }
    // Distinct: no two files of one original are equal.
    let mut by_source: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    manifest.iter().for_each(|line| {
        by_source
            .entry(line["source"].as_str().unwrap())
            .or_default()
            .push(line["output_hash"].as_str().unwrap())
    });
    for (source, mut hashes) in by_source {
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count, "{source}");
    }
}

#[test]
fn a_copy_that_keeps_no_limit_is_given_up_and_quarantined() {
    let place = Place::new();
    save(&place.path("faces/happy"), "blank.png", &encode_png(&RgbImage::from_grey(16, 16, &[0; 256])));
    save(&place.path("faces/happy"), "face.png", &png(1));
    let mut profile = Profile::safe();
    profile.operations.noise.weight = 0.0; // all others leave black as it is
    let output = place.path("out");
    let summary = make(&Request { profile, ..request(&place.path("faces"), &output) }).unwrap();
    assert_eq!((summary.counts.originals, summary.counts.copies, summary.counts.given_up), (2, 2, 2));
    let list = lines(&output.join(QUARANTINE));
    assert_eq!(list.len(), 2);
    assert!(
        list[0]["problem"].as_str().unwrap().contains("same as the original or another copy"),
        "{}",
        list[0]
    );
    assert_eq!((&list[0]["source"], &list[1]["copy"]), (&"happy/blank.png".into(), &2.into()));
}

// ---- what is written

#[test]
fn only_train_images_of_the_chosen_classes_get_copies() {
    let place = Place::new();
    let (faces, output) = (place.faces(10), place.path("out"));
    make(&Request { emotions: vec!["Happiness".into()], ..request(&faces, &output) }).unwrap();
    let originals = tree(&faces);
    let written = tree(&output);
    assert!(
        originals.iter().all(|(name, bytes)| written.get(name) == Some(bytes)),
        "all originals are there"
    );
    let copies: Vec<&String> = written.keys().filter(|name| name.contains("_aug_")).collect();
    assert!(!copies.is_empty() && copies.iter().all(|name| name.starts_with("train/happy/")), "{copies:?}");
    fails(&[text(&faces), text(&place.path("no")), "--emotion", "bored"], &["--emotion", "bored", "happy"]);
}

#[test]
fn a_flat_folder_of_images_stays_flat() {
    let place = Place::new();
    for name in ["a.png", "b.png"] {
        save(&place.path("flat"), name, &png(name.as_bytes()[0].into()));
    }
    let output = place.path("out");
    make(&Request { copies: 1, ..request(&place.path("flat"), &output) }).unwrap();
    let images: Vec<String> = tree(&output).into_keys().filter(|name| name.ends_with("png")).collect();
    assert_eq!(images, ["a.png", "a_aug_1.png", "b.png", "b_aug_1.png"]);
    fails(&[text(&place.path("flat")), text(&place.path("no")), "--emotion", "happy"], &["no class folders"]);
}

#[test]
fn the_trainer_keeps_copies_in_the_split_of_their_original() {
    let place = Place::new();
    for (class, from) in [("happy", 0), ("sad", 30)] {
        for person in from..from + 30 {
            for shot in 0..2 {
                save(
                    &place.path("faces").join(class),
                    &format!("{person:03}_{shot}.png"),
                    &png(person * 2 + shot),
                );
            }
        }
    }
    let output = place.path("out");
    make(&Request { group_regex: Some(r"^(\d+)_".into()), ..request(&place.path("faces"), &output) })
        .unwrap();
    for line in lines(&output.join(MANIFEST)) {
        assert_eq!(
            line["group"].as_str().unwrap(),
            &line["source"].as_str().unwrap().split('/').next_back().unwrap()[..3]
        );
    }
    let config = |root: PathBuf, augmented| mien::data::DataConfig {
        root,
        augmented,
        dataset_type: mien::data::DatasetType::Augmented,
        ..mien::data::DataConfig::default()
    };
    let with = |augmented: Option<PathBuf>, root: PathBuf| {
        let (dataset, _) = mien::data::load(&config(root, augmented), 7, &|_, _| {}).unwrap();
        dataset.summary()
    };
    // The output itself, and the originals with the output beside them.
    for summary in [with(None, output.clone()), with(Some(output.clone()), place.path("faces"))] {
        assert!(!summary.leakage, "{:?}", summary.warnings);
        let train: usize = summary.counts.of(mien::data::Split::Train).iter().sum();
        let held: usize = summary
            .counts
            .of(mien::data::Split::Valid)
            .iter()
            .chain(summary.counts.of(mien::data::Split::Test))
            .sum();
        assert_eq!(train, 3 * (120 - held), "each original of train with its two copies; {held} held out");
        assert!(held > 10);
    }
}

// ---- safety

#[test]
fn an_output_that_overlaps_the_source_or_is_not_empty_is_refused() {
    let place = Place::new();
    let faces = place.faces(3);
    let before = tree(&faces);
    fails(&[text(&faces), text(&faces.join("out"))], &["is inside the source"]);
    fails(&[text(&faces), text(&faces)], &["is the source"]);
    fails(&[text(&faces), text(&place.path(""))], &["contains the source"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&faces, place.path("link")).unwrap();
        fails(&[text(&faces), text(&place.path("link").join("new/out"))], &["is inside the source"]);
    }
    save(&place.path("taken"), "letter.txt", b"dear");
    fails(
        &[text(&faces), text(&place.path("taken"))],
        &["the folder is not empty", "Nothing is overwritten"],
    );
    fails(&[text(&faces), text(&place.path("taken")), "--resume"], &["the folder is not empty"]);
    fails(&[text(&place.path("none")), text(&place.path("out"))], &["cannot read", "no such file"]);
    assert_eq!(tree(&place.path("taken")).len(), 1);
    assert!(tree(&faces) == before, "the source is unchanged");
}

#[test]
fn a_finished_output_is_neither_overwritten_nor_augmented_again() {
    let place = Place::new();
    let (faces, out) = (place.faces(3), place.path("out"));
    make(&request(&faces, &out)).unwrap();
    let before = tree(&out);
    fails(&[text(&faces), text(&out), "-n", "2"], &["already contains a finished augmentation", "--resume"]);
    fails(&[text(&out), text(&place.path("twice"))], &["it is already augmented"]);
    let resume = |more: &[&str], parts: &[&str]| {
        fails(&[&[text(&faces), text(&out), "--resume"], more].concat(), parts);
    };
    resume(&["--seed", "43"], &["started with --seed 42", "43"]);
    resume(&["-n", "3"], &["-n 2", "3"]);
    resume(&["--profile", "reference"], &["--profile"]);
    resume(&["--emotion", "sad"], &["--emotion not given", "sad"]);
    save(&faces.join("train/sad"), "new.png", &png(5));
    resume(&[], &["a source of 21 images", "22"]);
    fs::remove_file(faces.join("train/sad/new.png")).unwrap();
    assert!(tree(&out) == before);
    // Somebody has worked on a copy: it is not touched, and said.
    let copy = before.keys().find(|name| name.contains("_aug_1")).unwrap();
    fs::write(out.join(copy), b"mine").unwrap();
    resume(&[], &[copy, "a different file is in the place"]);
    assert_eq!(fs::read(out.join(copy)).unwrap(), b"mine");
}

#[cfg(unix)]
#[test]
fn links_to_a_folder_around_them_or_to_the_output_are_refused() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    save(&place.path("faces/happy"), "a.png", &png(1));
    save(&place.path("faces/sad"), "b.png", &png(2));
    let (faces, output) = (place.path("faces"), place.path("out"));
    symlink(".", faces.join("round")).unwrap();
    fails(&[text(&faces), text(&output)], &["round", "back to a folder"]);
    fs::remove_file(faces.join("round")).unwrap();
    fs::create_dir(&output).unwrap();
    symlink(&output, faces.join("zprevious")).unwrap();
    fails(&[text(&faces), text(&output)], &["zprevious", "is a link to the output folder"]);
    assert!(tree(&output).is_empty());
}

#[test]
fn resume_verifies_a_finished_output() {
    let place = Place::new();
    let (faces, output) = (place.faces(5), place.path("out"));
    save(&faces.join("train/fear"), "cut.png", &png(1)[..40]);
    make(&request(&faces, &output)).unwrap();
    let again = || make(&Request { resume: true, ..request(&faces, &output) });
    // What could not be used the first time is still said.
    assert_eq!(again().unwrap().counts.quarantined, 1);
    // A copy is missing and cannot be made again.
    let manifest = fs::read_to_string(output.join(MANIFEST)).unwrap();
    let line = lines(&output.join(MANIFEST)).into_iter().find(|line| line["copy"] == 1).unwrap();
    let (copy, source) =
        (output.join(line["output"].as_str().unwrap()), faces.join(line["source"].as_str().unwrap()));
    let (copy_bytes, source_bytes) = (fs::read(&copy).unwrap(), fs::read(&source).unwrap());
    fs::remove_file(&copy).unwrap();
    for other in [&png(9), &b"gone"[..]] {
        fs::write(&source, other).unwrap();
        let error = again().unwrap_err().to_string();
        assert!(error.contains(line["source"].as_str().unwrap()) && error.contains("Restore it"), "{error}");
        assert!(!copy.exists());
    }
    fs::write(&source, &source_bytes).unwrap();
    assert_eq!(again().unwrap().counts.copies, 1);
    assert_eq!(fs::read(&copy).unwrap(), copy_bytes);
    // A damaged line is not passed over.
    fs::write(output.join(MANIFEST), manifest.replacen("\"copy\":1", "\"copy\":?", 1)).unwrap();
    let error = again().unwrap_err().to_string();
    assert!(error.contains("is damaged") && error.contains(MANIFEST), "{error}");
}

#[test]
fn an_interrupted_output_is_neither_a_source_nor_a_data_set() {
    let place = Place::new();
    let (faces, output) = (place.faces(3), place.path("out"));
    make(&request(&faces, &output)).unwrap();
    fs::remove_file(output.join(MANIFEST)).unwrap();
    fails(&[text(&output), text(&place.path("twice"))], &["it is already augmented"]);
    let said = Command::new(env!("CARGO_BIN_EXE_mien")).args(["info", text(&output)]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("not augmented to the end"));
    // Killed before it had its settings: only what it writes them with is there.
    let begun = place.path("begun");
    save(&begun, ".1234-0.tmp", b"{");
    assert!(make(&request(&faces, &begun)).is_ok());
}

#[test]
fn copies_of_files_with_wrong_endings_get_different_names() {
    let place = Place::new();
    let happy = place.path("faces/happy");
    for (name, seed) in [("x.jpg", 1), ("x_jpg.png", 2), ("x_jpg_aug_5.png", 3)] {
        save(&happy, name, &png(seed));
    }
    let output = place.path("out");
    let summary = make(&request(&place.path("faces"), &output)).unwrap();
    assert_eq!((summary.counts.originals, summary.counts.copies), (3, 6));
    let mut names: Vec<String> = lines(&output.join(MANIFEST))
        .iter()
        .map(|line| line["output"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 9);
}

#[test]
fn hostile_files_are_quarantined_and_the_others_augmented() {
    let place = Place::new();
    let (source, output) = (place.path("faces"), place.path("out"));
    let happy = source.join("happy");
    let good = png(1);
    let jpeg = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode/444.jpg")).unwrap();
    save(&happy, "good.png", &good);
    save(&happy, "a.jpg", &jpeg);
    save(&happy, "a.png", &png(2));
    save(&happy, "png-in-truth.jpg", &png(3));
    save(&happy, "jpeg-in-truth.png", &jpeg);
    save(&happy, "cut.jpg", &jpeg[..jpeg.len() * 2 / 3]);
    save(&happy, "cut.png", &good[..good.len() - 20]);
    save(&happy, "empty.png", b"");
    save(&happy, "zeros.jpg", &[0; 4096]);
    save(&happy, "page.jpg", b"<!doctype html><html>404</html>");
    // Headers that claim 60,000 x 60,000 pixels.
    let mut bomb = jpeg.clone();
    let frame = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    save(&happy, "bomb.jpg", &bomb);
    let mut bomb = good.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let sum = crc32fast::hash(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&sum.to_be_bytes());
    save(&happy, "bomb.png", &bomb);
    save(&happy, &format!("{}.png", "n".repeat(251)), &png(4));
    save(&happy, "notes.txt", b"no image");
    save(&happy, ".hidden.png", &good);
    let mut unusable =
        vec!["bomb.jpg", "bomb.png", "cut.jpg", "cut.png", "empty.png", "page.jpg", "zeros.jpg"];
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        symlink(&source, happy.join("loop")).unwrap();
        symlink("nowhere.png", happy.join("broken.png")).unwrap();
        symlink("good.png", happy.join("linked.png")).unwrap();
        fs::write(happy.join(std::ffi::OsStr::from_bytes(b"caf\xe9.png")), png(6)).unwrap();
        let fifo = std::ffi::CString::new(happy.join("pipe.png").as_os_str().as_bytes()).unwrap();
        // SAFETY: the path ends in a zero byte.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        unusable.push("broken.png");
    }
    let long = format!("{}.png", "n".repeat(251));
    unusable.push(&long);
    unusable.sort_unstable();

    let output_said = run(&[text(&source), text(&output), "-n", "2"]);
    let said = String::from_utf8_lossy(&output_said.stdout).into_owned();
    assert_eq!(output_said.status.code(), Some(3), "{}", String::from_utf8_lossy(&output_said.stderr));
    assert!(said.contains(&format!("{} images could not be used", unusable.len())), "{said}");
    assert!(
        said.contains("1 file in the class folders is no image")
            || said.contains("2 files in the class folders"),
        "{said}"
    );
    #[cfg(unix)]
    assert!(said.contains("links back to a folder that contains it"), "{said}");
    let list = lines(&output.join(QUARANTINE));
    let names: Vec<&str> =
        list.iter().map(|line| line["source"].as_str().unwrap().strip_prefix("happy/").unwrap()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, unusable);
    let reason = |name: &str| {
        list[names.iter().position(|n| *n == name).unwrap()]["problem"].as_str().unwrap().to_owned()
    };
    assert!(reason("cut.jpg").contains("truncated"), "{}", reason("cut.jpg"));
    assert!(reason("empty.png").contains("empty"));
    assert!(reason("bomb.png").contains("too large") && reason("bomb.jpg").contains("too large"));
    assert!(reason("page.jpg").contains("HTML"));
    assert!(reason(&long).contains("too long"));

    let written = tree(&output);
    for name in [
        "a_aug_1.jpg",
        "a_aug_1.png",
        "png-in-truth_jpg_aug_2.png",
        "jpeg-in-truth_png_aug_2.jpg",
        "good_aug_1.png",
    ] {
        assert!(written.contains_key(&format!("happy/{name}")), "{name}: {:?}", written.keys());
    }
    assert!(
        !written.keys().any(|name| name.contains("hidden") || name.contains("loop") || name.contains("pipe"))
    );
    let manifest = lines(&output.join(MANIFEST));
    let copies = manifest.iter().filter(|line| line["copy"] != 0).count();
    assert_eq!(copies, 2 * manifest.iter().filter(|line| line["copy"] == 0).count());
    #[cfg(unix)]
    {
        let odd = manifest.iter().find(|line| line["output_bytes"].is_string() && line["copy"] == 1).unwrap();
        assert_eq!(odd["output_bytes"].as_str().unwrap(), "68617070792f636166e95f6175675f312e706e67");
        assert!(odd["output"].as_str().unwrap().contains('\u{fffd}'));
    }
    let again = make(&Request { resume: true, ..request(&source, &output) }).unwrap();
    assert_eq!(again.counts.kept, manifest.len(), "resuming checks every file, those of odd names too");
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_of_one_line_and_resume_completes_the_output() {
    let place = Place::new();
    let faces = place.faces(10);
    let (whole, full) = (place.path("whole"), place.path("full"));
    make(&Request { copies: 5, ..request(&faces, &whole) }).unwrap();
    // No file may grow beyond 8 KiB, which the journal does and the images do not.
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' augment '{}' '{}' -n 5 --quiet",
        env!("CARGO_BIN_EXE_mien"),
        faces.display(),
        full.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.lines().count() == 1 && error.contains("mien-manifest.jsonl.part"), "{error}");
    // Until it is complete, nobody trains on it.
    let output = Command::new(env!("CARGO_BIN_EXE_mien")).args(["info", text(&full)]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("not augmented to the end"));
    make(&Request { copies: 5, resume: true, ..request(&faces, &full) }).unwrap();
    assert!(tree(&whole) == tree(&full));
}

#[cfg(unix)]
#[test]
fn a_second_process_in_the_same_output_is_refused() {
    let place = Place::new();
    let (faces, output) = (place.faces(3), place.path("out"));
    make(&request(&faces, &output)).unwrap();
    let held = fs::File::create(output.join(".mien-augment.lock")).unwrap();
    held.lock().unwrap();
    fails(&[text(&faces), text(&output), "--resume"], &["another mien process is writing here"]);
}

#[cfg(unix)]
#[test]
fn hard_links_share_the_file_of_the_original() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let (faces, output) = (place.faces(3), place.path("out"));
    make(&Request { originals: Originals::Hardlink, ..request(&faces, &output) }).unwrap();
    for name in tree(&faces).keys() {
        let inode = |root: &Path| fs::metadata(root.join(name)).unwrap().ino();
        assert_eq!(inode(&faces), inode(&output), "{name}");
    }
}

// ---- looking before writing

#[test]
fn a_dry_run_writes_nothing_and_estimates_the_size() {
    let place = Place::new();
    let (faces, output) = (place.faces(40), place.path("out"));
    let said = run(&[text(&faces), text(&output), "-n", "3", "--dry-run", "--json"]);
    assert!(said.status.success() && !output.exists());
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    let summary = make(&Request { copies: 3, ..request(&faces, &output) }).unwrap();
    assert_eq!(said["originals"], summary.counts.originals);
    assert_eq!(said["copies"], summary.counts.copies);
    let estimate = said["copy_bytes"].as_f64().unwrap() + said["original_bytes"].as_f64().unwrap();
    let ratio = estimate / summary.counts.bytes as f64;
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
    // What the real run would refuse, it refuses; without an output it needs none, from inside of the source
    // too.
    fails(&[text(&faces), text(&output), "--dry-run"], &["already contains a finished augmentation"]);
    let inside = mien(&[".", "--dry-run", "--quiet"]).current_dir(&faces).output().unwrap();
    assert!(inside.status.success(), "{}", String::from_utf8_lossy(&inside.stderr));
}

#[test]
fn a_preview_is_one_image_and_overwrites_nothing() {
    let place = Place::new();
    let faces = place.faces(4);
    let sheet = place.path("preview.png");
    let said = run(&[text(&faces), "--preview", text(&sheet)]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let image = decode(&fs::read(&sheet).unwrap()).unwrap();
    assert!(image.width > 1000 && image.height > 1000);
    fails(&[text(&faces), "--preview", text(&sheet)], &["already exists"]);
    assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 2, "the faces and the preview");
}

#[test]
fn wrong_arguments_are_errors_of_one_line() {
    let place = Place::new();
    let faces = place.faces(3);
    let out = place.path("out");
    let with = |more: &[&str], parts: &[&str]| fails(&[&[text(&faces), text(&out)], more].concat(), parts);
    with(&["-n", "0"], &["-n", "found 0", "1 to 1000"]);
    with(&["--threads", "0"], &["--threads"]);
    with(&["--threads", "9000000"], &["--threads", "1 to 1024"]);
    with(&["--preview", "sheet.jpg"], &["ends in .png"]);
    with(&["--profile", "mild"], &["mild", "safe, reference or the path of a TOML file"]);
    with(&["--group-regex", "("], &["--group-regex"]);
    save(&place.path(""), "mine.toml", b"[operations.blur]\nkernels = [2]\n");
    with(&["--profile", text(&place.path("mine.toml"))], &["mine.toml", "operations.blur.kernels"]);
    fs::create_dir(place.path("nothing")).unwrap();
    fails(&[text(&place.path("nothing")), text(&out)], &["is empty"]);
    fails(&[text(&place.path("mine.toml")), text(&out)], &["is not a folder"]);
    assert!(!out.exists());
}
