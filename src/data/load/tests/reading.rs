//! Loads from every kind of root, unreadable files, and what a load says about itself.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::folders::{SEED, config, folders, loaded, no_group_crosses, refused, says, split_folders};
use crate::data::testing::{image, png, write, write_image};
use crate::data::{DataConfig, DataSummary, GroupRule, groups, load, load_for_evaluation};

#[test]
fn one_class_and_unknown_folders_are_refused() {
    let root = folders(5);
    fs::create_dir_all(root.path().join("contempt")).unwrap();
    assert!(refused(&config(root.path())).contains("unknown class `contempt`"));
    fs::remove_dir_all(root.path().join("contempt")).unwrap();
    fs::remove_dir_all(root.path().join("sad")).unwrap();
    assert!(refused(&config(root.path())).contains("found 1 class (`happy`)"));
}

#[test]
fn files_that_cannot_be_read_are_listed_and_too_many_are_refused() {
    let root = folders(20);
    let whole = png(&image(5));
    write(root.path(), "sad/cut.png", &whole[..whole.len() / 2]);
    write(root.path(), "sad/text.jpg", "this is not an image");
    write(root.path(), "sad/empty.png", "");
    let text = refused(&config(root.path()));
    assert!(text.contains("3 of 43 files (7.0 %) cannot be read"), "{text}");
    assert!(
        text.contains("sad/cut.png (")
            && text.contains("sad/text.jpg (")
            && text.contains("expected at most 1 %")
            && text.contains("--max-unreadable 0.07"),
        "{text}"
    );
    let dataset = loaded(&DataConfig { max_unreadable: 0.07, ..config(root.path()) });
    let listed: Vec<&str> = dataset.unreadable.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(listed, ["sad/cut.png", "sad/empty.png", "sad/text.jpg"]);
    assert!(dataset.unreadable.iter().all(|file| !file.reason.is_empty()));
    assert_eq!(dataset.samples.len(), 40);
}

#[test]
fn lists_bring_their_own_groups_and_splits() {
    let root = folders(20);
    let mut text = "path,label,group\n".to_owned();
    for number in 0..20 {
        for class in ["happy", "sad"] {
            text += &format!("{class}/{number:03}.png,{class},p{}\n", number / 2);
        }
    }
    write(root.path(), "list.csv", &text);
    let dataset = loaded(&config(&root.path().join("list.csv")));
    assert_eq!(dataset.group_rules, BTreeMap::from([(GroupRule::List, 40)]));
    assert_eq!(dataset.summary().groups.train, 8);
    no_group_crosses(&dataset);
    let leaky = text
        .lines()
        .map(|line| format!("{line},{}\n", if line.starts_with("happy/001") { "test" } else { "train" }));
    let leaky: String = leaky.collect::<String>().replacen("group,train", "group,split", 1);
    write(root.path(), "leaky.csv", leaky);
    assert!(
        refused(&config(&root.path().join("leaky.csv")))
            .contains("`p0` is in train (happy/000.png) and test (happy/001.png)")
    );
}

#[test]
fn fer2013_is_loaded_and_its_duplicates_across_splits_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let row = |emotion: u8, value: usize, usage: &str| {
        let pixels: Vec<String> = (0..48 * 48).map(|at| ((at + value) % 256).to_string()).collect();
        format!("{emotion},{},{usage}\n", pixels.join(" "))
    };
    let mut text = "emotion,pixels,Usage\n".to_owned();
    for (index, usage) in ["Training", "Training", "PublicTest", "PrivateTest"].iter().enumerate() {
        text += &row(3, index, usage);
        text += &row(6, 100 + index, usage);
    }
    write(root.path(), "fer2013.csv", &text);
    let config = config(&root.path().join("fer2013.csv"));
    let (dataset, store) = load(&config, SEED, &|_, _| {}).unwrap();
    assert_eq!(dataset.classes, ["happy", "neutral"]);
    assert_eq!(dataset.counts().train, [2, 2]);
    let image = store.get(1).unwrap();
    assert_eq!(
        (image.width, image.height, &image.pixels[..6]),
        (48, 48, &[100, 100, 100, 101, 101, 101][..])
    );
    text += &row(3, 0, "PrivateTest");
    write(root.path(), "fer2013.csv", &text);
    let text = refused(&config);
    assert!(text.contains("1 group crosses splits") && text.contains("fer2013.csv:000002"), "{text}");
}

#[test]
fn images_of_the_store_belong_to_the_samples_with_and_without_memory() {
    let root = folders(12);
    for cache_mb in [0, 64] {
        let seen = AtomicUsize::new(0);
        let progress = |done: usize, total: usize| {
            assert_eq!(total, 24);
            seen.fetch_max(done, Ordering::Relaxed);
        };
        let (dataset, store) =
            load(&DataConfig { cache_mb, ..config(root.path()) }, SEED, &progress).unwrap();
        assert_eq!(seen.into_inner(), 24);
        assert_eq!((store.len(), store.in_memory()), (24, if cache_mb == 0 { 0 } else { 24 }));
        for (index, sample) in dataset.samples.iter().enumerate() {
            let number: u32 = groups::without_extension(groups::file_name(&sample.name)).parse().unwrap();
            assert_eq!(*store.get(index).unwrap(), image(number + 10_000 * sample.class as u32));
        }
    }
}

#[test]
fn a_debug_subset_is_stratified_and_seeded_and_leaves_validation_and_test_alone() {
    let root = folders(50);
    for number in 0..100 {
        write_image(root.path(), &format!("sad/more{number}.png"), 50_000 + number);
    }
    let whole = loaded(&config(root.path()));
    let subset = DataConfig { debug_subset: Some(20), ..config(root.path()) };
    let dataset = loaded(&subset);
    assert_eq!(dataset.counts().train, [5, 15]);
    assert_eq!(dataset.counts().valid, whole.counts().valid);
    assert!(says(&dataset.left_out, "debug subset: 20 of 160 train images used"));
    assert_eq!(dataset.fingerprint(), loaded(&subset).fingerprint());
    assert_eq!(
        loaded(&DataConfig { debug_subset: Some(500), ..config(root.path()) }).fingerprint(),
        whole.fingerprint()
    );
}

#[test]
fn an_evaluation_needs_no_train_images_and_keeps_the_classes_asked_for() {
    let root = folders(6);
    fs::remove_dir_all(root.path().join("sad")).unwrap();
    let classes = vec!["angry".into(), "happy".into()];
    let all = DataConfig { split: [0.0, 0.0, 1.0], classes, ..config(root.path()) };
    let dataset = load_for_evaluation(&all, SEED, &|_, _| {}).unwrap().0;
    assert_eq!(dataset.classes, ["angry", "happy"]);
    assert_eq!(dataset.counts().test, [0, 6]);
    assert!(load_for_evaluation(&config(split_folders(0, 0, 3).path()), SEED, &|_, _| {}).is_ok());
}

#[test]
fn the_summary_says_what_a_run_used_and_survives_json() {
    let root = folders(20);
    write(root.path(), "sad/notes.txt", "x");
    let summary = loaded(&config(root.path())).summary();
    assert_eq!(summary.counts.train, [16, 16]);
    assert_eq!((summary.groups.train, summary.groups.valid, summary.groups.test), (32, 4, 4));
    assert_eq!(summary.fingerprint.len(), 64);
    assert!(says(&summary.left_out, "1 file in the class folders is not an image"));
    let text = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<DataSummary>(&text).unwrap(), summary);
}

#[test]
fn the_london_faces_split_by_person() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/london-faces-256");
    if !root.is_dir() {
        eprintln!("skipped: {} is not there", root.display());
        return;
    }
    let dataset = loaded(&DataConfig { group_regex: Some(r"^(\d+)_".into()), ..config(&root) });
    assert_eq!(dataset.classes, ["happy", "neutral"]);
    assert_eq!(dataset.samples.len(), 204);
    let groups: HashSet<&str> = dataset.samples.iter().map(|sample| sample.group.as_str()).collect();
    assert_eq!(groups.len(), 102);
    no_group_crosses(&dataset);
    let counts = dataset.counts();
    assert!(counts.train.iter().all(|count| (81..=83).contains(count)), "{counts:?}");
    assert!(counts.valid.iter().chain(&counts.test).all(|count| (9..=11).contains(count)), "{counts:?}");
    assert!(dataset.left_out.is_empty() && dataset.warnings.is_empty() && dataset.unreadable.is_empty());
}
