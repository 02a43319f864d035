//! Loads with given, missing and crossing splits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::folders::{SEED, config, folders, loaded, names, no_group_crosses, refused, says, split_folders};
use crate::data::testing::write_image;
use crate::data::{DataConfig, GroupRule, Layout, Split, load, load_for_evaluation};

#[test]
fn a_flat_root_is_split_by_class_and_the_result_is_in_order() {
    let root = folders(50);
    let dataset = loaded(&config(root.path()));
    assert_eq!(dataset.classes, ["happy", "sad"]);
    let counts = dataset.counts();
    assert_eq!((counts.train, counts.valid, counts.test), (vec![40, 40], vec![5, 5], vec![5, 5]));
    assert!(dataset.samples.is_sorted_by_key(|sample| (sample.split, sample.name.clone())));
    assert_eq!(dataset.group_rules, BTreeMap::from([(GroupRule::Content, 100)]));
    assert!(dataset.warnings.is_empty() && dataset.left_out.is_empty() && dataset.leaks.is_empty());
    no_group_crosses(&dataset);
}

#[test]
fn the_split_depends_on_seed_and_content_alone() {
    let (one, other) = (folders(40), tempfile::tempdir().unwrap());
    for number in (0..40).rev() {
        write_image(other.path(), &format!("Happiness/x{}.png", 99 - number), number);
        write_image(other.path(), &format!("sadness/deep/er/{number}.png"), 10_000 + number);
    }
    let test = |root: &Path| {
        let dataset = loaded(&config(root));
        let mut hashes: Vec<_> =
            dataset.indices(Split::Test).iter().map(|&index| dataset.samples[index].hash).collect();
        hashes.sort_unstable();
        hashes
    };
    assert_eq!(test(one.path()), test(other.path()), "not on names or the order of the files");
    let again = loaded(&config(one.path()));
    assert_eq!(loaded(&config(one.path())).fingerprint(), again.fingerprint());
    let reseeded = load(&config(one.path()), SEED + 1, &|_, _| {}).unwrap().0;
    assert_ne!(reseeded.fingerprint(), again.fingerprint());
}

#[test]
fn given_splits_are_kept() {
    let dataset = loaded(&config(split_folders(6, 2, 3).path()));
    assert_eq!(dataset.layout, Layout::SplitFolders);
    assert_eq!(dataset.counts().of(Split::Train), [6, 6]);
    assert_eq!(dataset.counts().of(Split::Valid), [2, 2]);
    assert_eq!(dataset.counts().of(Split::Test), [3, 3]);
    assert!(dataset.warnings.is_empty(), "{:?}", dataset.warnings);
}

#[test]
fn missing_splits_are_taken_from_train_with_a_warning() {
    let dataset = loaded(&config(split_folders(40, 0, 0).path()));
    assert_eq!(dataset.counts().train, [32, 32]);
    assert_eq!(dataset.counts().valid, [4, 4]);
    assert!(
        says(
            &dataset.warnings,
            "no valid or test split; taken from train, by group: 10 % for valid and 10 % for test"
        ),
        "{:?}",
        dataset.warnings
    );

    let dataset = loaded(&config(split_folders(40, 0, 5).path()));
    assert_eq!(dataset.counts().train, [36, 36]);
    assert!(names(&dataset, Split::Test).iter().all(|name| name.starts_with("test/")));
    assert_eq!(dataset.counts().test, [5, 5]);

    assert!(refused(&config(split_folders(0, 5, 5).path())).contains("there are no train images"));
}

#[test]
fn a_class_needs_train_images_and_should_have_valid_and_test_images() {
    let root = split_folders(4, 2, 2);
    fs::remove_dir_all(root.path().join("valid/sad")).unwrap();
    assert!(says(&loaded(&config(root.path())).warnings, "valid has no images of `sad`"));
    fs::create_dir_all(root.path().join("train/fear")).unwrap();
    assert!(refused(&config(root.path())).contains("class `fear` has no train images"));
    let wanted = DataConfig { classes: vec!["sad".into(), "happy".into()], ..config(root.path()) };
    assert!(refused(&wanted).contains("`fear`"));
    fs::remove_dir_all(root.path().join("train/fear")).unwrap();
    assert_eq!(loaded(&wanted).classes, ["sad", "happy"]);
}

#[test]
fn groups_that_cross_given_splits_are_refused_allowed_dropped_or_split_again() {
    let root = split_folders(10, 3, 3);
    write_image(root.path(), "train/happy/1Exp0crowd.png", 700);
    write_image(root.path(), "valid/happy/2Exp0crowd.png", 701);
    write_image(root.path(), "test/sad/3Exp4crowd.png", 702);
    fs::copy(root.path().join("train/sad/000.png"), root.path().join("test/sad/again.png")).unwrap();
    let base = config(root.path());
    let text = refused(&base);
    assert!(text.contains("2 groups cross splits"), "{text}");
    let named = concat!(
        "`crowd` is in train (train/happy/1Exp0crowd.png), valid (valid/happy/2Exp0crowd.png) ",
        "and test (test/sad/3Exp4crowd.png)"
    );
    assert!(text.contains(named) && text.contains("--allow-leakage") && text.contains("--resplit"), "{text}");

    let allowed = loaded(&DataConfig { allow_leakage: true, ..base.clone() });
    assert_eq!((allowed.leaks.len(), allowed.samples.len()), (2, 36));
    assert!(allowed.summary().leakage && says(&allowed.warnings, "2 groups cross splits"));

    let dropped = loaded(&DataConfig { drop_leaking: true, ..base.clone() });
    assert!(dropped.leaks.is_empty() && !dropped.summary().leakage);
    assert!(says(&dropped.left_out, "dropped 2 train images and 1 valid image"), "{:?}", dropped.left_out);
    assert_eq!(names(&dropped, Split::Test).len(), 8, "the test set stays whole");
    no_group_crosses(&dropped);

    let anew = loaded(&DataConfig { resplit: true, ..base.clone() });
    assert_eq!(anew.samples.len(), 36);
    no_group_crosses(&anew);

    let evaluated = load_for_evaluation(&base, SEED, &|_, _| {}).unwrap().0;
    assert_eq!(evaluated.leaks.len(), 2);
}
