//! From the configuration to a [`Dataset`]: find, read, group, split, check for leaks, add the copies.

use std::path::Path;

use super::classes::{self, Classes};
use super::config::DataConfig;
use super::copies::{self, FoundCopy, OutsideOriginal, ReadCopy};
use super::dataset::{Dataset, Sample};
use super::grouping;
use super::images::{self, Aim, Found, Loading, Notes, Original, Steps};
use super::layout::{self, Layout};
use super::leaks;
use super::split::Split;
use super::splitting;
use super::store::{Budget, Content, ImageStore};
use super::subset;
use crate::error::{Error, Result};
use crate::text::quoted_list;

/// Finds the data, reads every file once (in parallel: hash and decode), makes groups and splits, and checks
/// that no group crosses a split. `progress(done, total)` is called from any thread as files are read.
///
/// The result depends on the configuration, the seed, and the files' names and contents alone.
///
/// # Errors
/// Nothing usable at a root; unknown or missing classes; more unreadable files than allowed; groups that
/// cross splits (unless `allow_leakage` or `drop_leaking` is set); copies that belong to no original; a file
/// name that `group_regex` does not match.
pub fn load(
    config: &DataConfig,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Dataset, ImageStore)> {
    config.validate()?;
    load_for(Loading::new(config, seed, Aim::Train), progress)
}

/// Loads the images of `root` for an evaluation: with the configuration and the seed of a run, exactly its
/// splits.
///
/// Unlike [`load`] it needs no train and no validation images, accepts a single class, keeps classes of
/// `config.classes` that have no images, adds neither copies nor synthetic images, takes no subset, and
/// reports leaks without refusing them. A flat folder becomes a test set as a whole with `config.split =
/// [0.0, 0.0, 1.0]`.
///
/// # Errors
/// As [`load`], as far as it applies.
pub fn load_for_evaluation(
    config: &DataConfig,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Dataset, ImageStore)> {
    config.validate()?;
    load_for(Loading::new(config, seed, Aim::Evaluate), progress)
}

fn load_for(loading: Loading, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<(Dataset, ImageStore)> {
    let config = loading.config;
    let regex = config.group_regex()?;
    let mut notes = Notes::default();

    // Find the originals and the copies of every root.
    let Finds { layout, classes, originals, copies, outside } = find(&loading, &mut notes)?;
    let found = originals.len() + notes.unreadable.len();
    let with_copies = found + copies.len();
    let steps = Steps::new(originals.len() + outside.len() + copies.len(), progress);

    // Read every original once.
    let mut originals = images::read_originals(originals, &loading.budget, &steps, &mut notes);
    images::check_unreadable(config, &notes.unreadable, found)?;

    // Group, split, check for leaks.
    let sources = copies::link_sources(&originals, outside, &loading.roots, &steps);
    grouping::set_keys(&mut originals, &sources, regex.as_ref(), &loading, &mut notes)?;
    splitting::split_originals(&mut originals, classes.names.len(), &loading, &mut notes)?;
    let group_names = grouping::name_groups(&originals);
    let leaks = leaks::settle_leaks(&mut originals, &group_names, &loading, &mut notes)?;
    subset::check_subset(config, classes.names.len())?;

    // Add the copies of what is trained on.
    let copies = copies::choose_copies(copies, &originals, &sources, &loading.roots, &steps, &mut notes)?;
    let copies = copies::read_copies(copies, &originals, &loading.budget, &steps, &mut notes);
    images::check_unreadable(config, &notes.unreadable, with_copies)?;

    // Put together.
    let (group_rules, duplicates) = grouping::count_rules_and_duplicates(&originals, &mut notes);
    let mut used = assemble(originals, copies, &group_names, &loading.budget);
    if let (Some(size), Aim::Train) = (config.debug_subset, loading.aim) {
        let classes = classes.names.len();
        used = subset::take_subset(used, size, classes, loading.seed, &loading.budget, &mut notes);
    }
    used.sort_by(|(a, _), (b, _)| {
        let key = |sample: &Sample| (sample.split, sample.synthetic);
        (key(a), &a.name, a.origin.path()).cmp(&(key(b), &b.name, b.origin.path()))
    });
    let (samples, contents): (Vec<Sample>, Vec<Content>) = used.into_iter().unzip();
    notes.unreadable.sort();
    notes.unreadable.dedup();
    let mut dataset = Dataset {
        classes: classes.names,
        samples,
        unreadable: notes.unreadable,
        left_out: notes.left_out,
        warnings: notes.warnings,
        leaks,
        layout,
        group_rules,
        duplicates,
        config: config.clone(),
        seed: loading.seed,
    };
    check_classes(&mut dataset, loading.aim)?;
    let images =
        dataset.samples.iter().zip(contents).map(|(s, content)| (s.name.clone(), s.origin.clone(), content));
    let store = ImageStore::new(images, loading.budget);
    Ok((dataset, store))
}

/// What lies at the roots; nothing of it is read yet.
struct Finds {
    layout: Layout,
    classes: Classes,
    originals: Vec<Found>,
    /// The copies that may be trained on.
    copies: Vec<FoundCopy>,
    /// The originals that the manifest of a separate augmented root names.
    outside: Vec<OutsideOriginal>,
}

fn find(loading: &Loading, notes: &mut Notes) -> Result<Finds> {
    let Loading { config, roots, .. } = loading;
    let scan = layout::scan(&config.root)?;
    let layout = scan.layout;
    let at_least = if loading.aim == Aim::Train { 2 } else { 1 };
    let classes =
        classes::resolve(&config.root, scan.labels.iter().map(String::as_str), &config.classes, at_least)?;
    let is_synthetic = config.dataset_type.is_synthetic();
    let part_other = |root: &Path, notes: &mut Notes| {
        let scan = layout::scan(root)?;
        let classes = classes::resolve(root, scan.labels.iter().map(String::as_str), &classes.names, 1)?;
        copies::part(root, scan, &classes, is_synthetic, notes)
    };
    let base = copies::part(&config.root, scan, &classes, is_synthetic && roots.synthetic.is_none(), notes)?;
    let synthetic = roots.synthetic.map(|root| part_other(root, notes)).transpose()?;
    let augmented =
        roots.augmented.filter(|_| roots.with_copies).map(|root| part_other(root, notes)).transpose()?;
    let (originals, copies) = copies::choose_parts(base, synthetic, augmented, loading, notes)?;
    let outside = roots.augmented.map(copies::list_outside_originals).transpose()?.unwrap_or_default();
    Ok(Finds { layout, classes, originals, copies, outside })
}

/// The samples that are used, with their content.
fn assemble(
    originals: Vec<Original>,
    copies: Vec<ReadCopy>,
    group_names: &[String],
    budget: &Budget,
) -> Vec<(Sample, Content)> {
    let mut used = Vec::with_capacity(originals.len() + copies.len());
    for ReadCopy { copy: FoundCopy { entry, class, .. }, original, content } in copies {
        let sample = Sample {
            name: entry.name,
            origin: entry.origin,
            class,
            group: group_names[original].clone(),
            split: Split::Train,
            augmented: true,
            synthetic: originals[original].found.synthetic,
            hash: content.hash,
        };
        used.push((sample, content));
    }
    for (Original { found, content, split, .. }, group) in originals.into_iter().zip(group_names) {
        let Some(split) = split else {
            content.release(budget);
            continue;
        };
        let sample = Sample {
            name: found.entry.name,
            origin: found.entry.origin,
            class: found.class,
            group: group.clone(),
            split,
            augmented: false,
            synthetic: found.synthetic,
            hash: content.hash,
        };
        used.push((sample, content));
    }
    used
}

/// Every class must have train images; one without validation or test images is worth a warning.
fn check_classes(dataset: &mut Dataset, aim: Aim) -> Result<()> {
    let counts = dataset.counts();
    let without = |split: Split| -> Vec<String> {
        let counts = counts.of(split).iter().zip(&dataset.classes);
        counts.filter(|(number, _)| **number == 0).map(|(_, name)| name.clone()).collect()
    };
    let missing = without(Split::Train);
    if aim == Aim::Train && !missing.is_empty() {
        let (noun, verb) = if missing.len() == 1 { ("class", "has") } else { ("classes", "have") };
        let root = dataset.config.synthetic.as_ref().unwrap_or(&dataset.config.root);
        return Err(Error::at(root, format!("{noun} {} {verb} no train images", quoted_list(&missing)))
            .expected("train images of every class")
            .hint("Add some, or remove the class: its folder and its name in --classes"));
    }
    for split in [Split::Valid, Split::Test] {
        let missing = without(split);
        let empty = missing.len() == dataset.classes.len();
        if empty && (aim == Aim::Evaluate || (split == Split::Test && dataset.config.split[2] == 0.0)) {
            continue;
        }
        if !missing.is_empty() {
            dataset.warnings.push(format!("{split} has no images of {}", quoted_list(&missing)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
