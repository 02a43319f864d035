//! From the configuration to a [`Dataset`]: find, read, group, split, check, add the copies.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::Rng;
use rayon::prelude::*;
use regex::Regex;

use super::classes;
use super::copies::{self, Found, FoundCopy, Sources};
use super::groups::{self, GroupRule};
use super::layout;
use super::split::{self, GroupCounts};
use super::store::{self, Budget, Content, ImageStore};
use super::{DataConfig, Dataset, Leak, Sample, Split, Unreadable};
use crate::error::{Error, Result};
use crate::random::{Purpose, rng};
use crate::text::{count, quoted_list};

/// Finds the data, reads every file once (in parallel: hash and decode), makes groups and splits, and checks
/// that no group crosses a split. `progress(done, total)` is called from any thread as files are read.
///
/// The result depends on the configuration, the seed and the files' names and contents alone.
///
/// # Errors
/// Nothing usable at a root; unknown or missing classes; more unreadable files than allowed; groups that
/// cross splits (unless `allow_leakage` or `drop_leaking` is set); copies that belong to nothing; a file that
/// `group_regex` does not match.
pub fn load(
    config: &DataConfig,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Dataset, ImageStore)> {
    load_for(config, seed, Aim::Train, progress)
}

/// Loads the images of `root` for an evaluation: with the configuration and the seed of a run, its very
/// splits.
///
/// Other than [`load`] it needs no train images and no validation images, takes a single class, keeps classes
/// of `config.classes` that have no images, adds neither copies nor synthetic images nor takes a subset, and
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
    load_for(config, seed, Aim::Evaluate, progress)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    Train,
    Evaluate,
}

/// What is told to the user beside the images.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) left_out: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// An original that could be read.
pub(super) struct Image {
    pub(super) found: Found,
    pub(super) content: Content,
    /// What it shares with the images of its group, beside an equal content.
    pub(super) key: Option<String>,
    pub(super) rule: GroupRule,
    /// What it is used for; `None`: not used.
    pub(super) split: Option<Split>,
}

/// The folders beside `root`.
pub(super) struct Roots<'a> {
    /// Synthetic images to train on, apart from `root`.
    pub(super) synthetic: Option<&'a Path>,
    /// The augmenter's output, where it is another folder than the one that is trained on.
    pub(super) augmented: Option<&'a Path>,
    /// Whether copies are trained on.
    pub(super) with_copies: bool,
}

impl<'a> Roots<'a> {
    fn new(config: &'a DataConfig, aim: Aim) -> Self {
        let train = aim == Aim::Train;
        let apart = |root: &&'a PathBuf, from: &Path| !same_place(root, from);
        let synthetic = config.synthetic.as_ref().filter(|root| train && apart(root, &config.root));
        let home = synthetic.unwrap_or(&config.root);
        // In an evaluation the copies of synthetic images say nothing about the real ones.
        let relevant = train || config.synthetic.is_none();
        let augmented = config.augmented.as_ref().filter(|root| relevant && apart(root, home));
        Self {
            synthetic: synthetic.map(PathBuf::as_path),
            augmented: augmented.map(PathBuf::as_path),
            with_copies: train && config.dataset_type.is_augmented(),
        }
    }

    /// Whether an image is one of those that are trained on, and of which there are copies.
    pub(super) fn is_home(&self, image: &Image) -> bool {
        self.synthetic.is_none() || image.found.synthetic
    }

    /// Whether an image is one of `root`, which gives validation and test.
    fn is_base(&self, image: &Image) -> bool {
        self.synthetic.is_none() || !image.found.synthetic
    }
}

fn same_place(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn load_for(
    config: &DataConfig,
    seed: u64,
    aim: Aim,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Dataset, ImageStore)> {
    config.validate()?;
    let regex = config.group_regex()?;
    let roots = Roots::new(config, aim);
    let mut notes = Notes::default();

    // Find the originals and the copies of every root.
    let scan = layout::scan(&config.root)?;
    let layout = scan.layout;
    let at_least = if aim == Aim::Train { 2 } else { 1 };
    let classes =
        classes::resolve(&config.root, scan.labels.iter().map(String::as_str), &config.classes, at_least)?;
    let is_synthetic = config.dataset_type.is_synthetic();
    let part_other = |root: &Path, notes: &mut Notes| {
        let scan = layout::scan(root)?;
        let classes = classes::resolve(root, scan.labels.iter().map(String::as_str), &classes.names, 1)?;
        copies::part(root, scan, &classes, is_synthetic, notes)
    };
    let base =
        copies::part(&config.root, scan, &classes, is_synthetic && roots.synthetic.is_none(), &mut notes)?;
    let synthetic = roots.synthetic.map(|root| part_other(root, &mut notes)).transpose()?;
    let outside =
        roots.augmented.filter(|_| roots.with_copies).map(|root| part_other(root, &mut notes)).transpose()?;
    let (found, copies) = copies::choose_parts(base, synthetic, outside, &roots, config, &mut notes)?;

    // Read every original once.
    let outside_originals =
        roots.augmented.map(copies::list_outside_originals).transpose()?.unwrap_or_default();
    let steps = Steps {
        done: AtomicUsize::new(0),
        total: found.len() + outside_originals.len() + copies.len(),
        progress,
    };
    let budget = Budget::new(config.cache_mb);
    let looked_at = found.len() + notes.unreadable.len();
    let mut images = read_originals(found, &budget, &steps, &mut notes);
    check_unreadable(config, &notes.unreadable, looked_at)?;

    // Group, split, check.
    let sources = copies::link_sources(&images, outside_originals, &roots, &steps);
    set_keys(&mut images, &sources, regex.as_ref(), &roots, config)?;
    let by_manifest = images.iter().filter(|image| image.rule == GroupRule::Manifest).count();
    if regex.is_some() && by_manifest > 0 {
        let what = count(by_manifest, "image has its group", "images have their groups");
        notes
            .warnings
            .push(format!("{what} from the augmenter's manifest, where data.group_regex does not count"));
    }
    split_base(&mut images, classes.names.len(), &roots, config, seed, aim, &mut notes)?;
    if let Some(root) = roots.synthetic {
        take_synthetic(&mut images, root, config, &mut notes);
    }
    let group_names = name_groups(&images);
    let leaks = settle_leaks(&mut images, &group_names, config, aim, &mut notes)?;
    if aim == Aim::Train
        && config.drop_leaking
        && !images.iter().any(|image| image.split == Some(Split::Valid))
    {
        return Err(Error::input(
            "data.drop_leaking",
            "leaves no valid images: every group of valid is in test too",
        )
        .expected("images to watch the training by")
        .hint("Split anew with --resplit"));
    }
    if let Some(size) = config.debug_subset.filter(|size| *size < classes.names.len()) {
        return Err(Error::input("data.debug_subset", format!("found {size}"))
            .expected("one image of each class or more"));
    }

    // Add the copies of what is trained on.
    let copies_found = copies.len();
    let copies = copies::choose_copies(copies, &images, &sources, &roots, &steps, &mut notes)?;
    let copies = copies::read_copies(copies, &images, &budget, &steps, &mut notes);
    check_unreadable(config, &notes.unreadable, looked_at + copies_found)?;

    // Put together.
    let (group_rules, duplicates) = tell_groups(&images, &mut notes);
    let mut used = assemble(images, copies, &group_names, &budget);
    if let (Some(size), Aim::Train) = (config.debug_subset, aim) {
        used = take_subset(used, size, classes.names.len(), seed, &budget, &mut notes);
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
        seed,
    };
    check_classes(&mut dataset, aim)?;
    let images =
        dataset.samples.iter().zip(contents).map(|(s, content)| (s.name.clone(), s.origin.clone(), content));
    let store = ImageStore::new(images, budget);
    Ok((dataset, store))
}

// -------------------------------------------------------------------------------------------------------------- reading

/// Tells the caller how far the reading is.
pub(super) struct Steps<'a> {
    done: AtomicUsize,
    total: usize,
    progress: &'a (dyn Fn(usize, usize) + Sync),
}

impl Steps<'_> {
    pub(super) fn advance(&self, by: usize) {
        if by > 0 {
            let before = self.done.fetch_add(by, Ordering::Relaxed);
            (self.progress)(before + by, self.total);
        }
    }
}

fn read_originals(found: Vec<Found>, budget: &Budget, steps: &Steps, notes: &mut Notes) -> Vec<Image> {
    let read: Vec<_> = found
        .into_par_iter()
        .map(|found| {
            let content = store::read(&found.entry.origin, budget);
            steps.advance(1);
            (found, content)
        })
        .collect();
    let mut images = Vec::with_capacity(read.len());
    for (found, content) in read {
        match content {
            Ok(content) => {
                images.push(Image { found, content, key: None, rule: GroupRule::Content, split: None })
            }
            Err(reason) => notes.unreadable.push(Unreadable { name: found.entry.name, reason }),
        }
    }
    images
}

fn check_unreadable(config: &DataConfig, unreadable: &[Unreadable], total: usize) -> Result<()> {
    if unreadable.len() as f64 <= config.max_unreadable * total as f64 {
        return Ok(());
    }
    let first: Vec<String> =
        unreadable.iter().take(5).map(|file| format!("{} ({})", file.name, file.reason)).collect();
    let percent = 100.0 * unreadable.len() as f64 / total as f64;
    let more = if unreadable.len() > first.len() { ", …" } else { "" };
    let files = count(unreadable.len(), "file", "files");
    Err(Error::at(
        &config.root,
        format!("{files} of {total} ({percent:.1} %) cannot be used: {}{more}", first.join(", ")),
    )
    .expected(format!("at most {} %", 100.0 * config.max_unreadable))
    .hint("Repair or remove them, or raise data.max_unreadable"))
}

// ----------------------------------------------------------------------------------------------------- groups and splits

/// Gives every image its group key, by the first rule that applies.
fn set_keys(
    images: &mut [Image],
    sources: &Sources,
    regex: Option<&Regex>,
    roots: &Roots,
    config: &DataConfig,
) -> Result<()> {
    let mut unmatched = Vec::new();
    let total = images.len();
    for (index, image) in images.iter_mut().enumerate() {
        let in_base = roots.is_base(image);
        let entry = &image.found.entry;
        let named = || groups::name_key(&entry.name).unzip();
        let (rule, key) = if let Some(group) = &entry.group {
            (Some(GroupRule::List), Some(group.clone()))
        } else if let Some(group) = sources.groups.get(&index) {
            (Some(GroupRule::Manifest), Some(group.clone()))
        } else if let Some(regex) = regex {
            match groups::regex_key(regex, &entry.name) {
                Some(key) => (Some(GroupRule::Regex), Some(key)),
                None if in_base => {
                    unmatched.push(entry.name.clone());
                    continue;
                }
                None => named(),
            }
        } else {
            named()
        };
        // A number or a photo in the name of a synthetic image is not that of the real root.
        let apart = !in_base && rule != Some(GroupRule::List);
        let key = key.map(|key| if apart { format!("synthetic/{key}") } else { key });
        image.rule = rule.unwrap_or(GroupRule::Content);
        image.key = key;
    }
    if !unmatched.is_empty() {
        let shown = quoted_list(&unmatched[..unmatched.len().min(3)]);
        let what = count(unmatched.len(), "file", "files");
        return Err(Error::input(
            "data.group_regex",
            format!(
                "`{}` matches nothing in {what} of {}, e.g. {shown}",
                config.group_regex.as_deref().unwrap_or_default(),
                total
            ),
        )
        .expected("a match in every file name, or in its path below the root"));
    }
    Ok(())
}

/// A group number for each of these images.
fn group(images: &[&Image]) -> Vec<usize> {
    let keys: Vec<Option<&str>> = images.iter().map(|image| image.key.as_deref()).collect();
    let contents: Vec<_> =
        images.iter().map(|image| [image.content.hash, image.content.pixel_hash]).collect();
    groups::unite(&keys, &contents)
}

/// The group's name of every image. Images that are not used join no groups of others.
fn name_groups(images: &[Image]) -> Vec<String> {
    let used: Vec<usize> = (0..images.len()).filter(|&index| images[index].split.is_some()).collect();
    let chosen: Vec<&Image> = used.iter().map(|&index| &images[index]).collect();
    let numbers = group(&chosen);
    let keys: Vec<Option<&str>> = chosen.iter().map(|image| image.key.as_deref()).collect();
    let hashes: Vec<[u8; 32]> = chosen.iter().map(|image| image.content.hash).collect();
    let names = groups::name_groups(&numbers, &keys, &hashes);
    let mut of_image = vec![String::new(); images.len()];
    for (index, number) in used.into_iter().zip(numbers) {
        of_image[index].clone_from(&names[number]);
    }
    of_image
}

/// Splits the images of `root`: as given, or by group where no split is given or one is missing.
fn split_base(
    images: &mut [Image],
    classes: usize,
    roots: &Roots,
    config: &DataConfig,
    seed: u64,
    aim: Aim,
    notes: &mut Notes,
) -> Result<()> {
    let base: Vec<usize> = (0..images.len()).filter(|&index| roots.is_base(&images[index])).collect();
    let given = !config.resplit && base.iter().any(|&index| images[index].found.entry.split.is_some());
    if !given {
        assign(images, &base, classes, config.split, seed);
    } else {
        for &index in &base {
            images[index].split = images[index].found.entry.split;
        }
        let has = |split| base.iter().any(|&index| images[index].split == Some(split));
        let [_, valid, test] = config.split;
        let missing =
            [0.0, if has(Split::Valid) { 0.0 } else { valid }, if has(Split::Test) { 0.0 } else { test }];
        let taken: f64 = missing.iter().sum();
        // An evaluation's shares of [0, 0, 1] are for data without any splits: train images never become test
        // images.
        if taken > 0.0 && taken < 1.0 && has(Split::Train) {
            let shares: Vec<String> = [Split::Valid, Split::Test]
                .into_iter()
                .filter(|&split| missing[split as usize] > 0.0)
                .map(|split| format!("{} % of train's as {split}", 100.0 * missing[split as usize]))
                .collect();
            let root = config.root.display();
            notes.warnings.push(format!("{root}: comes without; taken by group: {}", shares.join(", ")));
            let train: Vec<usize> =
                base.iter().copied().filter(|&index| images[index].split == Some(Split::Train)).collect();
            assign(images, &train, classes, [1.0 - taken, missing[1], missing[2]], seed);
        }
    }
    if aim == Aim::Train {
        for split in [Split::Train, Split::Valid] {
            let needed = split == Split::Valid || roots.synthetic.is_none();
            if needed && !base.iter().any(|&index| images[index].split == Some(split)) {
                return Err(Error::at(&config.root, format!("gives no {split} images"))
                    .expected("images to train on and images to watch the training by")
                    .hint(
                        "Give a root with a train folder, or set data.split, or split anew with data.resplit",
                    ));
            }
        }
    }
    if roots.synthetic.is_some() {
        let mut unused = 0;
        for index in base {
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
    Ok(())
}

/// Splits the images `which` by group.
fn assign(images: &mut [Image], which: &[usize], classes: usize, shares: [f64; 3], seed: u64) {
    let chosen: Vec<&Image> = which.iter().map(|&index| &images[index]).collect();
    let numbers = group(&chosen);
    let hashes: Vec<[u8; 32]> = chosen.iter().map(|image| image.content.hash).collect();
    let ids = groups::smallest_hashes(&numbers, &hashes);
    let mut counts: Vec<GroupCounts> =
        ids.into_iter().map(|id| GroupCounts { id, per_class: vec![0; classes] }).collect();
    for (image, &number) in chosen.iter().zip(&numbers) {
        counts[number].per_class[image.found.class] += 1;
    }
    let splits = split::assign(&counts, shares, seed);
    for (&index, number) in which.iter().zip(numbers) {
        images[index].split = Some(splits[number]);
    }
}

/// Trains on the synthetic root: on its train split where it has splits, else on all of it.
fn take_synthetic(images: &mut [Image], root: &Path, config: &DataConfig, notes: &mut Notes) {
    let mut unused = 0;
    for image in images.iter_mut().filter(|image| image.found.synthetic) {
        let split = if config.resplit { None } else { image.found.entry.split };
        image.split = (split.unwrap_or(Split::Train) == Split::Train).then_some(Split::Train);
        unused += usize::from(image.split.is_none());
    }
    if unused > 0 {
        let what = count(unused, "validation or test image", "validation and test images");
        notes.left_out.push(format!(
            "{}: {what} not used: those come from {}",
            root.display(),
            config.root.display()
        ));
    }
}

/// Finds the groups that cross splits, and refuses them, takes the images out of the lesser split, or lets
/// them be.
fn settle_leaks(
    images: &mut [Image],
    group_names: &[String],
    config: &DataConfig,
    aim: Aim,
    notes: &mut Notes,
) -> Result<Vec<Leak>> {
    let mut leaks = find_leaks(images, group_names);
    if leaks.is_empty() {
        return Ok(leaks);
    }
    let groups = count(leaks.len(), "group crosses splits", "groups cross splits");
    if config.drop_leaking {
        let last: HashMap<&str, Split> = leaks
            .iter()
            .filter_map(|leak| Some((leak.group.as_str(), leak.splits.last().copied()?)))
            .collect();
        let mut dropped = [0; 3];
        for (image, name) in images.iter_mut().zip(group_names) {
            if let (Some(split), Some(&last)) = (image.split, last.get(name.as_str()))
                && split < last
            {
                dropped[split as usize] += 1;
                image.split = None;
            }
        }
        let [train, valid, _] = dropped;
        notes
            .left_out
            .push(format!("{groups}: {train} train and {valid} valid images left out (drop_leaking)"));
        leaks.clear();
    } else if config.allow_leakage || aim == Aim::Evaluate {
        notes
            .warnings
            .push(format!("{groups}: accuracy on valid and test is too good, e.g. {}", describe(&leaks[0])));
    } else {
        let first: Vec<String> = leaks.iter().take(3).map(describe).collect();
        return Err(Error::at(&config.root, format!("{groups}: {}", first.join("; ")))
            .expected("every group (copies, one person, one photo) in one split")
            .hint(concat!(
                "Split anew with --resplit, leave the crossing train and valid images out with --drop-leaking, ",
                "or train anyway with --allow-leakage, which stamps the reports"
            )));
    }
    Ok(leaks)
}

fn describe(leak: &Leak) -> String {
    let places: Vec<String> =
        leak.splits.iter().zip(&leak.examples).map(|(split, name)| format!("{split} ({name})")).collect();
    format!("`{}` is in {}", leak.group, places.join(" and "))
}

fn find_leaks(images: &[Image], group_names: &[String]) -> Vec<Leak> {
    let mut first: BTreeMap<&str, [Option<&str>; 3]> = BTreeMap::new();
    for (image, group) in images.iter().zip(group_names) {
        if let Some(split) = image.split {
            let name = image.found.entry.name.as_str();
            let example = &mut first.entry(group).or_default()[split as usize];
            *example = Some(example.map_or(name, |other| other.min(name)));
        }
    }
    let leak = |(group, examples): (&str, [Option<&str>; 3])| {
        let of: Vec<(Split, &str)> =
            Split::ALL.into_iter().zip(examples).filter_map(|(split, name)| Some((split, name?))).collect();
        (of.len() > 1).then(|| Leak {
            group: group.to_owned(),
            splits: of.iter().map(|&(split, _)| split).collect(),
            examples: of.iter().map(|&(_, name)| name.to_owned()).collect(),
        })
    };
    first.into_iter().filter_map(leak).collect()
}

// ---------------------------------------------------------------------------------------------------------- the result

/// How many used images got their group by which rule, and how many are exact duplicates of another.
fn tell_groups(images: &[Image], notes: &mut Notes) -> (BTreeMap<GroupRule, usize>, usize) {
    let mut rules = BTreeMap::new();
    let mut classes_of: HashMap<[u8; 32], HashSet<usize>> = HashMap::new();
    let mut used = 0;
    for image in images.iter().filter(|image| image.split.is_some()) {
        *rules.entry(image.rule).or_insert(0) += 1;
        classes_of.entry(image.content.pixel_hash).or_default().insert(image.found.class);
        used += 1;
    }
    let torn = classes_of.values().filter(|classes| classes.len() > 1).count();
    if torn > 0 {
        notes.warnings.push(count(
            torn,
            "image is there under more than one class",
            "images are there under more than one class",
        ));
    }
    (rules, used - classes_of.len())
}

fn assemble(
    images: Vec<Image>,
    copies: Vec<(FoundCopy, usize, Content)>,
    group_names: &[String],
    budget: &Budget,
) -> Vec<(Sample, Content)> {
    let mut used = Vec::with_capacity(images.len() + copies.len());
    for (FoundCopy { entry, class, .. }, original, content) in copies {
        let sample = Sample {
            name: entry.name,
            origin: entry.origin,
            class,
            group: group_names[original].clone(),
            split: Split::Train,
            augmented: true,
            synthetic: images[original].found.synthetic,
            hash: content.hash,
        };
        used.push((sample, content));
    }
    for (Image { found, content, split, .. }, group) in images.into_iter().zip(group_names) {
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

/// Keeps `size` train images: each class's share as in the whole (largest remainders), at least one of each
/// class if `size` allows.
fn take_subset(
    used: Vec<(Sample, Content)>,
    size: usize,
    classes: usize,
    seed: u64,
    budget: &Budget,
    notes: &mut Notes,
) -> Vec<(Sample, Content)> {
    let (mut train, mut kept): (Vec<_>, Vec<_>) =
        used.into_iter().partition(|(sample, _)| sample.split == Split::Train);
    let all = train.len();
    if size >= all {
        kept.extend(train);
        return kept;
    }
    let mut totals = vec![0; classes];
    train.iter().for_each(|(sample, _)| totals[sample.class] += 1);
    let mut left = quotas(&totals, size);
    train.sort_by_cached_key(|(sample, _)| {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| sample.hash[at + byte]));
        (rng(seed, Purpose::Subset, word(0), word(8)).next_u64(), sample.name.clone())
    });
    for (sample, content) in train {
        if left[sample.class] > 0 {
            left[sample.class] -= 1;
            kept.push((sample, content));
        } else {
            content.release(budget);
        }
    }
    notes.left_out.push(format!("debug subset: {size} of {all} train images used"));
    kept
}

/// `size` shared out in proportion to `totals`; what is not zero gets at least one where `size` is large
/// enough.
fn quotas(totals: &[usize], size: usize) -> Vec<usize> {
    let all: usize = totals.iter().sum();
    let mut quotas: Vec<usize> = totals.iter().map(|&total| total * size / all.max(1)).collect();
    for (quota, &total) in quotas.iter_mut().zip(totals) {
        *quota = (*quota).max(usize::from(total > 0));
    }
    // At most one more than `size` per class was handed out, or less than it: settle it where the error is
    // largest.
    let error = |quotas: &[usize], class: usize| {
        totals[class] as f64 * size as f64 / all.max(1) as f64 - quotas[class] as f64
    };
    while quotas.iter().sum::<usize>() != size {
        let over = quotas.iter().sum::<usize>() > size;
        let classes = 0..totals.len();
        let best = if over {
            let floor = usize::from(quotas.iter().filter(|&&quota| quota > 0).count() <= size);
            classes
                .filter(|&class| quotas[class] > floor)
                .min_by(|&a, &b| error(&quotas, a).total_cmp(&error(&quotas, b)))
        } else {
            classes
                .filter(|&class| quotas[class] < totals[class])
                .max_by(|&a, &b| error(&quotas, a).total_cmp(&error(&quotas, b)))
        };
        match best {
            Some(class) if over => quotas[class] -= 1,
            Some(class) => quotas[class] += 1,
            None => break,
        }
    }
    quotas
}

/// Every class must be trained on; one that cannot be measured is worth a warning.
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
            .expected("images of every class to train on")
            .hint("Add some, or take the class's folder away and leave it out of --classes"));
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
mod tests {
    use super::super::manifest::MANIFEST;
    use super::super::testing::{image, png, write, write_image};
    use super::super::{DataSummary, DatasetType, Layout};
    use super::*;
    use std::fs;

    const SEED: u64 = 42;

    fn config(root: &Path) -> DataConfig {
        DataConfig { root: root.into(), ..DataConfig::default() }
    }

    fn try_load(config: &DataConfig) -> Result<Dataset> {
        load(config, SEED, &|_, _| {}).map(|(dataset, _)| dataset)
    }

    fn loaded(config: &DataConfig) -> Dataset {
        try_load(config).unwrap()
    }

    fn refused(config: &DataConfig) -> String {
        let text = try_load(config).expect_err("must be refused").to_string();
        assert!(!text.contains('\n'), "one line: {text}");
        text
    }

    /// Names in a split.
    fn names(dataset: &Dataset, split: Split) -> Vec<&str> {
        dataset.indices(split).into_iter().map(|index| dataset.samples[index].name.as_str()).collect()
    }

    fn says(notes: &[String], text: &str) -> bool {
        notes.iter().any(|note| note.contains(text))
    }

    /// Two class folders with `each` different images in each, numbered from `from`.
    fn folders_from(from: u32, each: u32) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for number in 0..each {
            write_image(root.path(), &format!("happy/{number:03}.png"), from + number);
            write_image(root.path(), &format!("sad/{number:03}.png"), from + 10_000 + number);
        }
        root
    }

    fn folders(each: u32) -> tempfile::TempDir {
        folders_from(0, each)
    }

    /// Split folders with these numbers of images in each of two classes.
    fn split_folders(train: u32, valid: u32, test: u32) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let mut next = 0;
        for (split, each) in [("train", train), ("valid", valid), ("test", test)] {
            for number in 0..each {
                for class in ["happy", "sad"] {
                    write_image(root.path(), &format!("{split}/{class}/{number:03}.png"), next);
                    next += 1;
                }
            }
        }
        root
    }

    fn no_group_crosses(dataset: &Dataset) {
        let mut splits: HashMap<&str, Split> = HashMap::new();
        for sample in &dataset.samples {
            assert_eq!(
                *splits.entry(&sample.group).or_insert(sample.split),
                sample.split,
                "group {}",
                sample.group
            );
        }
    }

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
    fn missing_splits_are_taken_from_train_and_said() {
        let dataset = loaded(&config(split_folders(40, 0, 0).path()));
        assert_eq!(dataset.counts().train, [32, 32]);
        assert_eq!(dataset.counts().valid, [4, 4]);
        assert!(
            says(&dataset.warnings, "10 % of train's as valid, 10 % of train's as test"),
            "{:?}",
            dataset.warnings
        );

        let dataset = loaded(&config(split_folders(40, 0, 5).path()));
        assert_eq!(dataset.counts().train, [36, 36]);
        assert!(names(&dataset, Split::Test).iter().all(|name| name.starts_with("test/")));
        assert_eq!(dataset.counts().test, [5, 5]);

        assert!(refused(&config(split_folders(0, 5, 5).path())).contains("gives no train images"));
    }

    #[test]
    fn a_class_must_be_trained_on_and_should_be_measured() {
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
    fn one_class_and_unknown_folders_are_refused() {
        let root = folders(5);
        fs::create_dir_all(root.path().join("contempt")).unwrap();
        assert!(refused(&config(root.path())).contains("class `contempt` is no known emotion"));
        fs::remove_dir_all(root.path().join("contempt")).unwrap();
        fs::remove_dir_all(root.path().join("sad")).unwrap();
        assert!(refused(&config(root.path())).contains("found 1 class (`happy`)"));
    }

    #[test]
    fn files_that_cannot_be_read_are_listed_and_too_many_are_refused() {
        let root = folders(20);
        let whole = png(&image(5));
        write(root.path(), "sad/cut.png", &whole[..whole.len() / 2]);
        write(root.path(), "sad/text.jpg", "this is no image");
        write(root.path(), "sad/empty.png", "");
        let text = refused(&config(root.path()));
        assert!(text.contains("3 files of 43 (7.0 %) cannot be used"), "{text}");
        assert!(
            text.contains("sad/cut.png (")
                && text.contains("sad/text.jpg (")
                && text.contains("expected at most 1 %"),
            "{text}"
        );
        let dataset = loaded(&DataConfig { max_unreadable: 0.07, ..config(root.path()) });
        let listed: Vec<&str> = dataset.unreadable.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(listed, ["sad/cut.png", "sad/empty.png", "sad/text.jpg"]);
        assert!(dataset.unreadable.iter().all(|file| !file.reason.is_empty()));
        assert_eq!(dataset.samples.len(), 40);
    }

    #[test]
    fn duplicates_share_a_group_even_in_two_file_formats_and_classes() {
        let root = folders(30);
        write_image(root.path(), "sad/copy.png", 3);
        let mut other = Vec::new();
        let image = image(3);
        let mut encoder = png::Encoder::new(&mut other, 8, 8);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_filter(png::Filter::Up);
        encoder.add_text_chunk("Title".into(), "the same image".into()).unwrap();
        encoder.write_header().unwrap().write_image_data(&image.pixels).unwrap();
        write(root.path(), "happy/other.png", other);
        let dataset = loaded(&config(root.path()));
        let group = |name: &str| &dataset.samples.iter().find(|sample| sample.name == name).unwrap().group;
        assert_eq!(group("happy/003.png"), group("sad/copy.png"));
        assert_eq!(group("happy/003.png"), group("happy/other.png"));
        assert_ne!(group("happy/003.png"), group("happy/004.png"));
        assert_eq!(dataset.duplicates, 2);
        assert!(says(&dataset.warnings, "1 image is there under more than one class"));
        no_group_crosses(&dataset);
    }

    #[test]
    fn persons_named_by_an_expression_stay_whole() {
        let root = tempfile::tempdir().unwrap();
        for person in 0..30 {
            for shot in 0..3 {
                write_image(root.path(), &format!("happy/{person:03}_{shot}.png"), person * 10 + shot);
                write_image(root.path(), &format!("sad/{person:03}_{shot}.png"), 5000 + person * 10 + shot);
            }
        }
        let config = DataConfig { group_regex: Some(r"^(\d+)_".into()), ..config(root.path()) };
        let dataset = loaded(&config);
        let groups: HashSet<&str> = dataset.samples.iter().map(|sample| sample.group.as_str()).collect();
        assert_eq!(groups.len(), 30);
        assert_eq!(dataset.summary().groups.train, 24);
        assert_eq!(dataset.group_rules, BTreeMap::from([(GroupRule::Regex, 180)]));
        no_group_crosses(&dataset);
        for name in ["happy/x.png", "sad/y.png"] {
            write_image(root.path(), name, name.as_bytes()[0].into());
        }
        let text = refused(&config);
        assert!(
            text.contains("matches nothing in 2 files of 182, e.g. `happy/x.png`, `sad/y.png`"),
            "{text}"
        );
    }

    #[test]
    fn file_names_of_known_sets_group_where_nothing_else_does() {
        let root = folders(10);
        for face in 0..8 {
            write_image(root.path(), &format!("happy/{face}Exp0crowd_7.jpg"), 500 + face);
            write_image(root.path(), &format!("sad/drawn-p00003_{face:02}.png"), 600 + face);
        }
        let dataset = loaded(&config(root.path()));
        let in_group = |group: &str| dataset.samples.iter().filter(|sample| sample.group == group).count();
        assert_eq!((in_group("crowd_7"), in_group("drawn-p00003")), (8, 8));
        let rules = [(GroupRule::ExpwPhoto, 8), (GroupRule::DrawnPerson, 8), (GroupRule::Content, 20)];
        assert_eq!(dataset.group_rules, BTreeMap::from(rules));
        no_group_crosses(&dataset);
    }

    #[test]
    fn groups_that_cross_given_splits_are_refused_allowed_dropped_or_split_anew() {
        let root = split_folders(10, 3, 3);
        write_image(root.path(), "train/happy/1Exp0crowd.png", 700);
        write_image(root.path(), "valid/happy/2Exp0crowd.png", 701);
        write_image(root.path(), "test/sad/3Exp4crowd.png", 702);
        fs::copy(root.path().join("train/sad/000.png"), root.path().join("test/sad/again.png")).unwrap();
        let base = config(root.path());
        let text = refused(&base);
        assert!(text.contains("2 groups cross splits"), "{text}");
        let named = "`crowd` is in train (train/happy/1Exp0crowd.png) and valid (valid/happy/2Exp0crowd.png) and test (test/sad/3Exp4";
        assert!(
            text.contains(named) && text.contains("--allow-leakage") && text.contains("--resplit"),
            "{text}"
        );

        let allowed = loaded(&DataConfig { allow_leakage: true, ..base.clone() });
        assert_eq!((allowed.leaks.len(), allowed.samples.len()), (2, 36));
        assert!(allowed.summary().leakage && says(&allowed.warnings, "2 groups cross splits"));

        let dropped = loaded(&DataConfig { drop_leaking: true, ..base.clone() });
        assert!(dropped.leaks.is_empty() && !dropped.summary().leakage);
        assert!(says(&dropped.left_out, "2 train and 1 valid images left out"), "{:?}", dropped.left_out);
        assert_eq!(names(&dropped, Split::Test).len(), 8, "the test set stays whole");
        no_group_crosses(&dropped);

        let anew = loaded(&DataConfig { resplit: true, ..base.clone() });
        assert_eq!(anew.samples.len(), 36);
        no_group_crosses(&anew);

        let evaluated = load_for_evaluation(&base, SEED, &|_, _| {}).unwrap().0;
        assert_eq!(evaluated.leaks.len(), 2);
    }

    // ------------------------------------------------------------------------------------------------------ augmented copies

    /// Appends the manifest's line of one output.
    fn list(root: &Path, output: &str, source: &str, copy: u32) {
        let path = root.join(MANIFEST);
        let before = fs::read_to_string(&path).unwrap_or_default();
        let line = serde_json::json!({ "output": output, "source": source, "group": source, "copy": copy, "seed": 1 });
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
            says(&both.left_out, "16 augmented copies of images outside of train not used"),
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
        assert!(text.contains("none of 32 copies belongs to an image of the data"), "{text}");
    }

    #[test]
    fn a_manifests_group_goes_before_the_expression() {
        let (from, to) = (folders(12), tempfile::tempdir().unwrap());
        augment(from.path(), to.path(), true);
        let dataset = loaded(&DataConfig { group_regex: Some(r"^(\d)".into()), ..augmented(to.path()) });
        let groups: HashSet<&str> = dataset.samples.iter().map(|sample| sample.group.as_str()).collect();
        assert_eq!(groups.len(), 24);
        assert!(groups.contains("happy/003.png"));
    }

    #[test]
    fn the_manifests_groups_count_with_and_without_copies() {
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
        assert!(says(&both.left_out, "80 originals are not used: those come from"), "{:?}", both.left_out);
        no_group_crosses(&both);
    }

    #[test]
    fn files_beside_the_manifest_and_lines_without_files_are_told() {
        let (from, to) = (folders(20), tempfile::tempdir().unwrap());
        augment(from.path(), to.path(), true);
        write_image(to.path(), "happy/stranger.png", 77_777);
        fs::remove_file(to.path().join("sad/004_aug_2.png")).unwrap();
        let dataset = loaded(&augmented(to.path()));
        assert!(says(
            &dataset.warnings,
            "1 image is not in the manifest and is not used, e.g. happy/stranger.png"
        ));
        assert!(says(&dataset.warnings, "1 file of the manifest is not there, e.g. sad/004_aug_2.png"));
        assert!(!dataset.samples.iter().any(|sample| sample.name.contains("stranger")));
    }

    #[test]
    fn without_a_manifest_names_tell_copies() {
        let (from, to) = (folders(20), tempfile::tempdir().unwrap());
        augment(from.path(), to.path(), false);
        let both = loaded(&augmented(to.path()));
        copies_follow(&both, 64);
        assert!(says(&both.warnings, "matched with their originals by name"), "{:?}", both.warnings);
        let real = loaded(&config(to.path()));
        assert_eq!(real.samples.len(), 40);
        assert!(says(&real.warnings, "80 augmented copies are not used"), "{:?}", real.warnings);
        let apart = loaded(&DataConfig { augmented: Some(to.path().into()), ..augmented(from.path()) });
        copies_follow(&apart, 64);
        fs::remove_file(to.path().join("happy/000.png")).unwrap();
        assert!(says(
            &loaded(&augmented(to.path())).left_out,
            "2 augmented copies whose original is not there"
        ));
        assert!(refused(&augmented(from.path())).contains("holds no augmented copies"));
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
            says(&dataset.left_out, "4 augmented copies of images outside of train"),
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
        assert!(says(&dataset.left_out, "1 augmented copy equal to a validation or test image not used"));
    }

    #[test]
    fn synthetic_images_train_and_the_real_root_measures() {
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
                    "all types measure on one and the same images"
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

    // ----------------------------------------------------------------------------------------------------------- the rest

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
    fn a_debug_subset_is_stratified_and_seeded_and_leaves_the_measuring_alone() {
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
    fn quotas_add_up_and_leave_no_class_out() {
        assert_eq!(quotas(&[50, 150], 20), [5, 15]);
        assert_eq!(quotas(&[1, 1000, 0], 10), [1, 9, 0]);
        assert_eq!(quotas(&[1, 1, 1, 997], 4), [1, 1, 1, 1]);
        assert_eq!(quotas(&[10, 10, 10], 2).iter().sum::<usize>(), 2);
        assert_eq!(quotas(&[33, 33, 34], 10).iter().sum::<usize>(), 10);
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
        assert!(says(&summary.left_out, "1 file in the class folders is no image"));
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
}
