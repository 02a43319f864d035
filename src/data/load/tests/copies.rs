//! Loads with augmented copies and synthetic images.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use super::folders::{
    SEED, config, folders, folders_from, loaded, names, no_group_crosses, refused, says, split_folders,
};
use crate::data::manifest::MANIFEST;
use crate::data::testing::{write, write_image};
use crate::data::{
    DataConfig, Dataset, DatasetType, GroupRule, Sample, Split, groups, layout, load_for_evaluation,
};

/// Appends the manifest's line of one output.
fn list(root: &Path, output: &str, source: &str, copy: u32) {
    let path = root.join(MANIFEST);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let line =
        serde_json::json!({ "output": output, "source": source, "group": source, "copy": copy, "seed": 1 });
    fs::write(path, format!("{before}{line}\n")).unwrap();
}

/// What the augmenter makes of `from`: every original under its own name, and two copies of each.
fn augment(from: &Path, to: &Path, with_manifest: bool) {
    let scan = layout::scan(from).unwrap();
    for (index, entry) in scan.entries.iter().enumerate() {
        let bytes = fs::read(entry.origin.path().unwrap()).unwrap();
        write(to, &entry.name, bytes);
        if with_manifest {
            list(to, &entry.name, &entry.name, 0);
        }
        for copy in 1..=2 {
            let output = format!("{}_aug_{copy}.png", groups::without_extension(&entry.name));
            write_image(to, &output, 100_000 + 10 * index as u32 + copy);
            if with_manifest {
                list(to, &output, &entry.name, copy);
            }
        }
    }
}

fn augmented(root: &Path) -> DataConfig {
    DataConfig { dataset_type: DatasetType::Augmented, ..config(root) }
}

/// Copies are in train only, each with its original.
fn copies_follow(dataset: &Dataset, expected: usize) {
    let key = |stem: &str, sample: &Sample| {
        (groups::file_name(stem).to_owned(), sample.class, sample.group.clone(), sample.split)
    };
    let (copies, originals): (Vec<&Sample>, Vec<&Sample>) =
        dataset.samples.iter().partition(|sample| sample.augmented);
    let originals: HashSet<_> =
        originals.iter().map(|s| key(groups::without_extension(&s.name), s)).collect();
    assert_eq!(copies.len(), expected);
    for copy in copies {
        assert_eq!(copy.split, Split::Train);
        let (stem, _) = groups::copy_of(&copy.name).unwrap();
        assert!(originals.contains(&key(stem, copy)), "{} is not with its original", copy.name);
    }
    no_group_crosses(dataset);
}

#[test]
fn the_augmenters_output_trains_with_and_without_its_copies_on_one_split() {
    let (from, to) = (folders(20), tempfile::tempdir().unwrap());
    augment(from.path(), to.path(), true);
    let real = loaded(&config(to.path()));
    assert_eq!(real.samples.len(), 40);
    assert!(says(&real.left_out, "80 augmented copies are not used"), "{:?}", real.left_out);
    assert_eq!(real.group_rules, BTreeMap::from([(GroupRule::Manifest, 40)]));

    let both = loaded(&augmented(to.path()));
    copies_follow(&both, 64);
    assert!(
        says(&both.left_out, "16 augmented copies not used, as the originals are not in train"),
        "{:?}",
        both.left_out
    );
    let plain = loaded(&config(from.path()));
    for split in [Split::Valid, Split::Test] {
        assert_eq!(names(&both, split), names(&real, split));
        assert_eq!(names(&both, split), names(&plain, split));
    }
    assert_eq!(both.summary().augmented, 64);
}

#[test]
fn an_output_apart_is_matched_by_content_wherever_the_augmenter_started() {
    let (from, whole, part) =
        (split_folders(8, 2, 2), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    augment(from.path(), whole.path(), true);
    augment(&from.path().join("train"), part.path(), true);
    let real = loaded(&config(from.path()));
    for to in [whole.path(), part.path()] {
        let both = loaded(&DataConfig { augmented: Some(to.into()), ..augmented(from.path()) });
        copies_follow(&both, 32);
        for split in [Split::Valid, Split::Test] {
            assert_eq!(names(&both, split), names(&real, split));
        }
    }
    let foreign = folders_from(900, 5);
    let text = refused(&DataConfig { augmented: Some(part.path().into()), ..augmented(foreign.path()) });
    assert!(
        text.contains("none of 32 augmented copies has its original among the images of the data"),
        "{text}"
    );
}

#[test]
fn the_manifests_groups_override_the_regex() {
    let (from, to) = (folders(12), tempfile::tempdir().unwrap());
    augment(from.path(), to.path(), true);
    let dataset = loaded(&DataConfig { group_regex: Some(r"^(\d)".into()), ..augmented(to.path()) });
    let groups: HashSet<&str> = dataset.samples.iter().map(|sample| sample.group.as_str()).collect();
    assert_eq!(groups.len(), 24);
    assert!(groups.contains("happy/003.png"));
}

#[test]
fn the_manifests_groups_apply_with_and_without_copies() {
    let (from, to) = (folders(40), tempfile::tempdir().unwrap());
    for number in 0..40 {
        for class in ["happy", "sad"] {
            let name = format!("{class}/{number:03}.png");
            write(to.path(), &name, fs::read(from.path().join(&name)).unwrap());
            let copy = format!("{class}/{number:03}_aug_1.png");
            write_image(to.path(), &copy, 90_000 + number + if class == "sad" { 1000 } else { 0 });
            for (output, copy) in [(&name, 0), (&copy, 1)] {
                let group = format!("p{}", number / 4);
                let line =
                    serde_json::json!({ "output": output, "source": name, "group": group, "copy": copy });
                let path = to.path().join(MANIFEST);
                let before = fs::read_to_string(&path).unwrap_or_default();
                fs::write(path, format!("{before}{line}\n")).unwrap();
            }
        }
    }
    let both = DataConfig { augmented: Some(to.path().into()), ..augmented(from.path()) };
    let real = DataConfig { dataset_type: DatasetType::Real, ..both.clone() };
    let (both, real) = (loaded(&both), loaded(&real));
    assert_eq!(real.group_rules, BTreeMap::from([(GroupRule::Manifest, 80)]));
    assert_eq!((real.summary().groups.train, real.summary().groups.valid), (8, 1));
    assert_eq!(names(&real, Split::Test), names(&both, Split::Test));
    assert_eq!(both.summary().augmented, 64);
    assert!(says(&both.left_out, "80 originals are not used: originals come from"), "{:?}", both.left_out);
    no_group_crosses(&both);
}

#[test]
fn files_outside_the_manifest_and_lines_without_files_are_reported() {
    let (from, to) = (folders(20), tempfile::tempdir().unwrap());
    augment(from.path(), to.path(), true);
    write_image(to.path(), "happy/stranger.png", 77_777);
    fs::remove_file(to.path().join("sad/004_aug_2.png")).unwrap();
    let dataset = loaded(&augmented(to.path()));
    assert!(says(&dataset.warnings, "1 image is not in the manifest and not used, e.g. happy/stranger.png"));
    assert!(says(&dataset.warnings, "1 file listed in the manifest is missing, e.g. sad/004_aug_2.png"));
    assert!(!dataset.samples.iter().any(|sample| sample.name.contains("stranger")));
}

#[test]
fn without_a_manifest_copies_are_known_by_name() {
    let (from, to) = (folders(20), tempfile::tempdir().unwrap());
    augment(from.path(), to.path(), false);
    let both = loaded(&augmented(to.path()));
    copies_follow(&both, 64);
    assert!(says(&both.warnings, "matched to their originals by name"), "{:?}", both.warnings);
    let real = loaded(&config(to.path()));
    assert_eq!(real.samples.len(), 40);
    assert!(says(&real.warnings, "80 augmented copies are not used"), "{:?}", real.warnings);
    let apart = loaded(&DataConfig { augmented: Some(to.path().into()), ..augmented(from.path()) });
    copies_follow(&apart, 64);
    fs::remove_file(to.path().join("happy/000.png")).unwrap();
    assert!(says(
        &loaded(&augmented(to.path())).left_out,
        "2 augmented copies not used, as the originals are missing"
    ));
    assert!(refused(&augmented(from.path())).contains("has no augmented copies"));
}

#[test]
fn a_copy_whose_name_fits_two_originals_needs_both_in_train() {
    let (from, to) = (split_folders(6, 2, 2), tempfile::tempdir().unwrap());
    // Flat output: the train, valid and test images 000 and 001 have one name in it.
    for class in ["happy", "sad"] {
        for number in 0..6 {
            write_image(
                to.path(),
                &format!("{class}/{number:03}_aug_1.png"),
                5000 + number + u32::from(class == "sad") * 100,
            );
        }
    }
    let dataset = loaded(&DataConfig { augmented: Some(to.path().into()), ..augmented(from.path()) });
    assert_eq!(dataset.summary().augmented, 8);
    assert!(
        says(&dataset.left_out, "4 augmented copies not used, as the originals are not in train"),
        "{:?}",
        dataset.left_out
    );
}

#[test]
fn a_copy_that_equals_a_test_image_is_left_out() {
    let root = split_folders(6, 2, 2);
    fs::copy(root.path().join("test/sad/001.png"), root.path().join("train/sad/000_aug_1.png")).unwrap();
    write_image(root.path(), "train/sad/000_aug_2.png", 9_999);
    let dataset = loaded(&augmented(root.path()));
    assert_eq!(dataset.summary().augmented, 1);
    assert!(says(&dataset.left_out, "1 augmented copy not used, as it equals a validation or test image"));
}

#[test]
fn synthetic_images_are_trained_on_and_the_real_root_is_tested_on() {
    let (real, made, to) = (folders(20), folders_from(3000, 15), tempfile::tempdir().unwrap());
    augment(made.path(), to.path(), true);
    let plain = loaded(&config(real.path()));
    let synthetic = DataConfig {
        dataset_type: DatasetType::Synthetic,
        synthetic: Some(made.path().into()),
        ..config(real.path())
    };
    let dataset = loaded(&synthetic);
    assert_eq!(dataset.counts().train, [15, 15]);
    assert!(dataset.samples.iter().all(|sample| sample.synthetic == (sample.split == Split::Train)));
    assert!(
        says(&dataset.left_out, "32 train images not used (dataset_type synthetic)"),
        "{:?}",
        dataset.left_out
    );

    let with_copies = DataConfig {
        dataset_type: DatasetType::SyntheticAugmented,
        augmented: Some(to.path().into()),
        ..synthetic.clone()
    };
    let more = loaded(&with_copies);
    assert_eq!(more.counts().train, [45, 45]);
    assert!(more.samples.iter().filter(|sample| sample.augmented).all(|sample| sample.synthetic));
    let output_itself =
        loaded(&DataConfig { synthetic: Some(to.path().into()), augmented: None, ..with_copies.clone() });
    assert_eq!(output_itself.counts().train, [45, 45]);
    for split in [Split::Valid, Split::Test] {
        for other in [&dataset, &more, &output_itself] {
            assert_eq!(
                names(&plain, split),
                names(other, split),
                "all types are evaluated on the same images"
            );
        }
    }
    assert_eq!(
        names(&plain, Split::Test),
        names(&load_for_evaluation(&with_copies, SEED, &|_, _| {}).unwrap().0, Split::Test)
    );

    let itself = loaded(&DataConfig { synthetic: None, ..synthetic.clone() });
    assert_eq!(names(&itself, Split::Test), names(&plain, Split::Test));
    assert!(itself.samples.iter().all(|sample| sample.synthetic));

    let test_image = dataset.samples[dataset.indices(Split::Test)[0]].origin.path().unwrap().to_owned();
    fs::copy(test_image, made.path().join("sad/stolen.png")).unwrap();
    assert!(refused(&synthetic).contains("1 group crosses splits"));
}

#[test]
fn only_the_train_split_of_a_synthetic_root_is_used() {
    let (real, made) = (folders(20), tempfile::tempdir().unwrap());
    for (split, number) in [("train", 4000), ("test", 5000)] {
        for class in [0, 1] {
            let name = format!("{split}/{}/drawn-p00001_0.png", ["happy", "sad"][class as usize]);
            write_image(made.path(), &name, number + class);
        }
    }
    write_image(real.path(), "happy/drawn-p00001_0.png", 1);
    let dataset = loaded(&DataConfig {
        dataset_type: DatasetType::Synthetic,
        synthetic: Some(made.path().into()),
        ..config(real.path())
    });
    assert_eq!(dataset.counts().train, [1, 1]);
    assert!(says(&dataset.left_out, "2 validation and test images not used"), "{:?}", dataset.left_out);
    assert_eq!(dataset.samples[dataset.indices(Split::Train)[0]].group, "synthetic/drawn-p00001");
}
