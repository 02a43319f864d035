//! The originals of a loading: where they may lie, what was found there, and what reading it once gave.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::config::DataConfig;
use super::groups::GroupRule;
use super::layout::Entry;
use super::manifest::ManifestLine;
use super::origin::Unreadable;
use super::split::Split;
use super::store::{self, Budget, Content};
use crate::error::{Error, Result};
use crate::text::count;

/// What the images are loaded for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    Train,
    Evaluate,
}

/// What holds throughout one loading.
pub(super) struct Loading<'a> {
    pub(super) config: &'a DataConfig,
    /// Of the split and of the subset.
    pub(super) seed: u64,
    pub(super) aim: Aim,
    pub(super) roots: Roots<'a>,
    /// Memory that decoded images may still take.
    pub(super) budget: Budget,
}

impl<'a> Loading<'a> {
    pub(super) fn new(config: &'a DataConfig, seed: u64, aim: Aim) -> Self {
        Self { config, seed, aim, roots: Roots::new(config, aim), budget: Budget::new(config.cache_mb) }
    }
}

/// The folders besides `root`.
pub(super) struct Roots<'a> {
    /// Synthetic images to train on, apart from `root`.
    pub(super) synthetic: Option<&'a Path>,
    /// The augmenter's output, where it is not the folder that is trained on.
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

    /// Whether an image is one of those that are trained on, and that copies are made from.
    pub(super) fn is_home(&self, image: &Original) -> bool {
        self.synthetic.is_none() || image.found.synthetic
    }

    /// Whether an image is one of `root`, which gives validation and test.
    pub(super) fn is_base(&self, image: &Original) -> bool {
        self.synthetic.is_none() || !image.found.synthetic
    }
}

fn same_place(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What the user should know about the images.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) left_out: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// An original as it was found.
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) class: usize,
    pub(super) synthetic: bool,
    pub(super) manifest: Option<ManifestLine>,
}

/// An original that could be read.
pub(super) struct Original {
    pub(super) found: Found,
    pub(super) content: Content,
    /// What it shares with the other images of its group, unless that is the same content.
    pub(super) key: Option<String>,
    pub(super) rule: GroupRule,
    /// What it is used for; `None`: not used.
    pub(super) split: Option<Split>,
}

/// Reports to the caller how many files have been read.
pub(super) struct Steps<'a> {
    done: AtomicUsize,
    total: usize,
    progress: &'a (dyn Fn(usize, usize) + Sync),
}

impl<'a> Steps<'a> {
    pub(super) fn new(total: usize, progress: &'a (dyn Fn(usize, usize) + Sync)) -> Self {
        Self { done: AtomicUsize::new(0), total, progress }
    }

    pub(super) fn advance(&self, by: usize) {
        if by > 0 {
            let before = self.done.fetch_add(by, Ordering::Relaxed);
            (self.progress)(before + by, self.total);
        }
    }
}

/// Reads every original once: hash and decode, in parallel.
pub(super) fn read_originals(
    found: Vec<Found>,
    budget: &Budget,
    steps: &Steps,
    notes: &mut Notes,
) -> Vec<Original> {
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
                images.push(Original { found, content, key: None, rule: GroupRule::Content, split: None })
            }
            Err(reason) => notes.unreadable.push(Unreadable { name: found.entry.name, reason }),
        }
    }
    images
}

/// Refuses more unreadable files among `total` than the configuration tolerates.
pub(super) fn check_unreadable(config: &DataConfig, unreadable: &[Unreadable], total: usize) -> Result<()> {
    if unreadable.len() as f64 <= config.max_unreadable * total as f64 {
        return Ok(());
    }
    let first: Vec<String> =
        unreadable.iter().take(5).map(|file| format!("{} ({})", file.name, file.reason)).collect();
    let fraction = unreadable.len() as f64 / total as f64;
    let more = if unreadable.len() > first.len() { ", …" } else { "" };
    let files = count(total, "file", "files");
    // Rounded up, so that the suggested value is enough.
    let enough = ((fraction * 1000.0).ceil() / 1000.0).min(1.0);
    Err(Error::at(
        &config.root,
        format!(
            "{} of {files} ({:.1} %) cannot be read: {}{more}",
            unreadable.len(),
            100.0 * fraction,
            first.join(", ")
        ),
    )
    .expected(format!("at most {} %", 100.0 * config.max_unreadable))
    .hint(format!("Repair or remove these files, or tolerate them with --max-unreadable {enough}")))
}
