//! What each original is used for: its split as given, or drawn by group where none is given.

use super::config::DataConfig;
use super::grouping::number_groups;
use super::groups;
use super::images::{Aim, Loading, Notes, Original};
use super::split::{self, GroupSizes, Split};
use crate::error::{Error, Result};
use crate::text::{count, list};

/// Gives every original its split, `classes` being their number.
///
/// # Errors
/// Training has no train images or no validation images.
pub(super) fn split_originals(
    images: &mut [Original],
    classes: usize,
    loading: &Loading,
    notes: &mut Notes,
) -> Result<()> {
    let base: Vec<usize> = (0..images.len()).filter(|&index| loading.roots.is_base(&images[index])).collect();
    let given =
        !loading.config.resplit && base.iter().any(|&index| images[index].found.entry.split.is_some());
    if given {
        keep_given(images, &base, classes, loading, notes);
    } else {
        assign(images, &base, classes, loading.config.split, loading.seed);
    }
    if loading.aim == Aim::Train {
        check_splits(images, &base, given, loading)?;
    }
    if let Some(root) = loading.roots.synthetic {
        drop_real_train(images, &base, loading.config, notes);
        take_synthetic(images, root, loading.config, notes);
    }
    Ok(())
}

/// Keeps the splits that the data comes with; where validation or test is missing, its part is taken from
/// train.
fn keep_given(images: &mut [Original], base: &[usize], classes: usize, loading: &Loading, notes: &mut Notes) {
    let config = loading.config;
    for &index in base {
        images[index].split = images[index].found.entry.split;
    }
    let has = |split| base.iter().any(|&index| images[index].split == Some(split));
    let [_, valid, test] = config.split;
    let missing =
        [0.0, if has(Split::Valid) { 0.0 } else { valid }, if has(Split::Test) { 0.0 } else { test }];
    let taken: f64 = missing.iter().sum();
    // An evaluation's fractions of [0, 0, 1] are for data without any splits: train images never become test
    // images.
    if taken > 0.0 && taken < 1.0 && has(Split::Train) {
        let splits = [Split::Valid, Split::Test].into_iter().filter(|&split| missing[split as usize] > 0.0);
        let (names, parts): (Vec<String>, Vec<String>) = splits
            .map(|split| (split.to_string(), format!("{} % for {split}", 100.0 * missing[split as usize])))
            .unzip();
        notes.warnings.push(format!(
            "{}: there is no {} split; taken from train, by group: {}",
            config.root.display(),
            names.join(" or "),
            list(&parts)
        ));
        let train: Vec<usize> =
            base.iter().copied().filter(|&index| images[index].split == Some(Split::Train)).collect();
        assign(images, &train, classes, [1.0 - taken, missing[1], missing[2]], loading.seed);
    }
}

/// Splits the images `which` by group.
fn assign(images: &mut [Original], which: &[usize], classes: usize, fractions: [f64; 3], seed: u64) {
    let chosen: Vec<&Original> = which.iter().map(|&index| &images[index]).collect();
    let numbers = number_groups(&chosen);
    let hashes: Vec<[u8; 32]> = chosen.iter().map(|image| image.content.hash).collect();
    let ids = groups::smallest_hashes(&numbers, &hashes);
    let mut sizes: Vec<GroupSizes> =
        ids.into_iter().map(|id| GroupSizes { id, per_class: vec![0; classes] }).collect();
    for (image, &number) in chosen.iter().zip(&numbers) {
        sizes[number].per_class[image.found.class] += 1;
    }
    let splits = split::assign(&sizes, fractions, seed);
    for (&index, number) in which.iter().zip(numbers) {
        images[index].split = Some(splits[number]);
    }
}

/// Training needs images to train on and images to validate on.
fn check_splits(images: &[Original], base: &[usize], given: bool, loading: &Loading) -> Result<()> {
    let config = loading.config;
    for split in [Split::Train, Split::Valid] {
        let needed = split == Split::Valid || loading.roots.synthetic.is_none();
        if needed && !base.iter().any(|&index| images[index].split == Some(split)) {
            let [train, valid, test] = config.split;
            let hint = if given {
                format!("Add images to {split}, or ignore the existing splits with --resplit")
            } else {
                format!("Raise the fraction of {split} in --split {train},{valid},{test}, or add images")
            };
            return Err(Error::at(&config.root, format!("there are no {split} images"))
                .expected("train images and valid images")
                .hint(hint));
        }
    }
    Ok(())
}

/// Where a synthetic root is trained on, the train images of the real root are not used.
fn drop_real_train(images: &mut [Original], base: &[usize], config: &DataConfig, notes: &mut Notes) {
    let mut unused = 0;
    for &index in base {
        if images[index].split == Some(Split::Train) {
            images[index].split = None;
            unused += 1;
        }
    }
    if unused > 0 {
        let what = count(unused, "train image", "train images");
        notes.left_out.push(format!(
            "{}: {what} not used (dataset_type {})",
            config.root.display(),
            config.dataset_type
        ));
    }
}

/// Trains on the synthetic root: on its train split where it has splits, else on all of it.
fn take_synthetic(images: &mut [Original], root: &std::path::Path, config: &DataConfig, notes: &mut Notes) {
    let mut unused = 0;
    for image in images.iter_mut().filter(|image| image.found.synthetic) {
        let split = if config.resplit { None } else { image.found.entry.split };
        image.split = (split.unwrap_or(Split::Train) == Split::Train).then_some(Split::Train);
        unused += usize::from(image.split.is_none());
    }
    if unused > 0 {
        let what = count(unused, "validation or test image", "validation and test images");
        notes.left_out.push(format!(
            "{}: {what} not used: validation and test come from {}",
            root.display(),
            config.root.display()
        ));
    }
}
