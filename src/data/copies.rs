//! Augmented copies: telling them apart from originals, finding the original of each, choosing those to
//! train on.
//!
//! **Invariant:** a copy is only ever in train, and only if its original is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::classes::Classes;
use super::groups;
use super::images::{Found, Loading, Notes, Original, Roots, Steps};
use super::layout::{Entry, Scan};
use super::manifest::{MANIFEST, read_manifest};
use super::origin::Unreadable;
use super::split::Split;
use super::store::{self, Budget, Content};
use crate::error::{Error, Result};
use crate::text::count;

/// An augmented copy as it was found.
pub(super) struct FoundCopy {
    pub(super) entry: Entry,
    pub(super) class: usize,
    original: Link,
}

/// What links a copy to its original.
enum Link {
    /// The manifest's `source`.
    Source(String),
    /// Its own path without `_aug_<n>` and extension.
    Stem(String),
}

/// A copy that could be read.
pub(super) struct ReadCopy {
    pub(super) copy: FoundCopy,
    /// Index of its original.
    pub(super) original: usize,
    pub(super) content: Content,
}

/// A root's originals and copies.
#[derive(Default)]
pub(super) struct Parted {
    originals: Vec<Found>,
    copies: Vec<FoundCopy>,
    has_manifest: bool,
}

/// Tells the originals of a root from its copies: by its manifest, or without one by the names that the
/// augmenter gives.
pub(super) fn part(
    root: &Path,
    scan: Scan,
    classes: &Classes,
    synthetic: bool,
    notes: &mut Notes,
) -> Result<Parted> {
    let mut manifest = read_manifest(root)?;
    notes.unreadable.extend(scan.unreadable);
    notes.left_out.extend(scan.left_out.into_iter().map(|note| format!("{}: {note}", root.display())));
    notes.warnings.extend(scan.warnings.into_iter().map(|note| format!("{}: {note}", root.display())));
    let mut parted = Parted { has_manifest: manifest.is_some(), ..Parted::default() };
    let mut unlisted: Vec<String> = Vec::new();
    for entry in scan.entries {
        let Some(class) = classes.index(&entry.label) else {
            return Err(Error::at(
                root,
                format!("{} has the label `{}`, which is not a class", entry.name, entry.label),
            ));
        };
        let Some(lines) = &mut manifest else {
            match groups::copy_of(&entry.name) {
                Some((stem, _)) => {
                    let original = Link::Stem(stem.to_owned());
                    parted.copies.push(FoundCopy { entry, class, original });
                }
                None => parted.originals.push(Found { entry, class, synthetic, manifest: None }),
            }
            continue;
        };
        match lines.remove(&entry.name) {
            Some(line) if line.copy == 0 => {
                parted.originals.push(Found { entry, class, synthetic, manifest: Some(line) })
            }
            Some(line) => parted.copies.push(FoundCopy { entry, class, original: Link::Source(line.source) }),
            None => unlisted.push(entry.name),
        }
    }
    if let Some(first) = unlisted.first() {
        let what = count(
            unlisted.len(),
            "image is not in the manifest and not used",
            "images are not in the manifest and not used",
        );
        notes.warnings.push(format!("{}: {what}, e.g. {first}", root.display()));
    }
    let missing = manifest.unwrap_or_default();
    if let Some(first) = missing.keys().min() {
        let what = count(
            missing.len(),
            "file listed in the manifest is missing",
            "files listed in the manifest are missing",
        );
        notes.warnings.push(format!("{}: {what}, e.g. {first}", root.display()));
    }
    Ok(parted)
}

/// The originals to read, and the copies that may be trained on. Copies that the dataset type excludes are
/// counted.
pub(super) fn choose_parts(
    base: Parted,
    synthetic: Option<Parted>,
    augmented: Option<Parted>,
    loading: &Loading,
    notes: &mut Notes,
) -> Result<(Vec<Found>, Vec<FoundCopy>)> {
    let Loading { config, roots, .. } = loading;
    let home = roots.synthetic.unwrap_or(&config.root);
    let mut found = Vec::new();
    let mut sources: Vec<(&Path, Parted)> = vec![(&config.root, base)];
    sources.extend(roots.synthetic.zip(synthetic));
    sources.extend(roots.augmented.zip(augmented));
    let with_copies = roots.augmented.unwrap_or(home);
    let mut wanted = Vec::new();
    for (root, part) in sources {
        if Some(root) != roots.augmented {
            found.extend(part.originals);
        } else if !part.originals.is_empty() {
            let what = count(part.originals.len(), "original is", "originals are");
            notes.left_out.push(format!(
                "{}: {what} not used: originals come from {}",
                root.display(),
                home.display()
            ));
        }
        if roots.with_copies && root == with_copies {
            if part.copies.is_empty() {
                return Err(Error::at(
                    root,
                    format!("has no augmented copies, which --dataset-type {} needs", config.dataset_type),
                )
                .expected(format!("the output folder of `mien augment`, with its {MANIFEST}"))
                .hint("Make copies with `mien augment`, or name the folder that has them with --augmented"));
            }
            if !part.has_manifest {
                notes.warnings.push(format!(
                    "{}: there is no {MANIFEST}; copies are matched to their originals by name (NAME_aug_N)",
                    root.display()
                ));
            }
            wanted = part.copies;
        } else if let Some(first) = part.copies.first() {
            let what =
                count(part.copies.len(), "augmented copy is not used", "augmented copies are not used");
            let note = format!(
                "{}: {what} (dataset_type {}), e.g. {}",
                root.display(),
                config.dataset_type,
                first.entry.name
            );
            // Without a manifest only the name says that it is a copy.
            if part.has_manifest { notes.left_out.push(note) } else { notes.warnings.push(note) }
        }
    }
    Ok((found, wanted))
}

/// An original in the augmenter's output, where that is not the root that was augmented.
pub(super) struct OutsideOriginal {
    source: String,
    group: String,
    path: Option<PathBuf>,
}

/// The sources that the manifest of `augmented` names, by name; none without a manifest.
pub(super) fn list_outside_originals(augmented: &Path) -> Result<Vec<OutsideOriginal>> {
    let mut by_source: BTreeMap<String, OutsideOriginal> = BTreeMap::new();
    for line in read_manifest(augmented)?.unwrap_or_default().into_values() {
        let path = (line.copy == 0).then(|| augmented.join(&line.output));
        let original = by_source.entry(line.source.clone()).or_insert(OutsideOriginal {
            source: line.source,
            group: line.group,
            path: None,
        });
        original.path = original.path.take().or(path);
    }
    Ok(by_source.into_values().collect())
}

/// What the manifests say about the images.
#[derive(Default)]
pub(super) struct Sources {
    /// The images that are the original `source`.
    images: HashMap<String, Vec<usize>>,
    /// The manifest's group of an image.
    pub(super) groups: HashMap<usize, String>,
}

/// Finds the image of every source in the manifests. In a separate folder the augmenter's copy of the
/// original identifies it by content, so that it does not matter from which folder the augmenter started;
/// where that file is missing, the name does.
pub(super) fn link_sources(
    images: &[Original],
    outside: Vec<OutsideOriginal>,
    roots: &Roots,
    steps: &Steps,
) -> Sources {
    let mut sources = Sources::default();
    let home = || images.iter().enumerate().filter(|(_, image)| roots.is_home(image));
    for (index, image) in images.iter().enumerate() {
        if let Some(line) = &image.found.manifest {
            sources.groups.insert(index, line.group.clone());
            if roots.is_home(image) && roots.augmented.is_none() {
                sources.images.entry(line.source.clone()).or_default().push(index);
            }
        }
    }
    if outside.is_empty() {
        return sources;
    }
    let mut by_hash: HashMap<[u8; 32], Vec<usize>> = HashMap::new();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (index, image) in home() {
        by_hash.entry(image.content.hash).or_default().push(index);
        by_name.insert(&image.found.entry.name, index);
    }
    let hashes: Vec<Option<[u8; 32]>> = outside
        .par_iter()
        .map(|original| {
            steps.advance(1);
            store::hash_file(original.path.as_deref()?)
        })
        .collect();
    for (original, hash) in outside.into_iter().zip(hashes) {
        let named = by_name.get(original.source.as_str()).copied();
        let same = match hash {
            Some(hash) => by_hash.get(&hash).cloned().unwrap_or_default(),
            None => named.into_iter().collect(),
        };
        for &index in &same {
            sources.groups.entry(index).or_insert_with(|| original.group.clone());
        }
        // Of several images with one content the one with the right name is meant.
        let meant = same.iter().copied().find(|&index| Some(index) == named);
        sources.images.insert(original.source, meant.map_or(same, |index| vec![index]));
    }
    sources
}

/// The copies whose original is trained on, with the index of their original.
pub(super) fn choose_copies(
    copies: Vec<FoundCopy>,
    images: &[Original],
    sources: &Sources,
    roots: &Roots,
    steps: &Steps,
    notes: &mut Notes,
) -> Result<Vec<(FoundCopy, usize)>> {
    let mut by_path: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut by_stem: HashMap<(usize, &str), Vec<usize>> = HashMap::new();
    for (index, image) in images.iter().enumerate().filter(|(_, image)| roots.is_home(image)) {
        let path = groups::without_extension(&image.found.entry.name);
        by_path.entry(path).or_default().push(index);
        by_stem.entry((image.found.class, groups::file_name(path))).or_default().push(index);
    }
    let is_trained = |index: usize| images[index].split == Some(Split::Train);
    let found = copies.len();
    let (mut chosen, mut orphans, mut held_back) = (Vec::new(), Vec::new(), Vec::new());
    for copy in copies {
        let originals = match &copy.original {
            Link::Source(source) => sources.images.get(source),
            Link::Stem(stem) => {
                by_path.get(stem.as_str()).or_else(|| by_stem.get(&(copy.class, groups::file_name(stem))))
            }
        };
        // Where a copy may belong to several images it is used only if all of them are trained on.
        match originals.map(Vec::as_slice).unwrap_or_default() {
            [] => orphans.push(copy.entry.name),
            &[first, ref others @ ..]
                if is_trained(first) && others.iter().all(|&index| is_trained(index)) =>
            {
                chosen.push((copy, first))
            }
            _ => held_back.push(copy.entry.name),
        }
    }
    steps.advance(found - chosen.len());
    if found > 0 && orphans.len() == found {
        let place = roots.augmented.or(roots.synthetic);
        return Err(Error::input(
            place.map_or_else(|| "the augmented copies".into(), |root| root.display().to_string()),
            format!(
                "none of {} has its original among the images of the data, e.g. {}",
                count(found, "augmented copy", "augmented copies"),
                orphans[0]
            ),
        )
        .expected("copies made from the images that are trained on")
        .hint("Run `mien augment` on the data, or name its output folder with --augmented"));
    }
    if let Some(first) = held_back.first() {
        let what = count(
            held_back.len(),
            "augmented copy not used, as its original is not in train",
            "augmented copies not used, as the originals are not in train",
        );
        notes.left_out.push(format!("{what}, e.g. {first}"));
    }
    if let Some(first) = orphans.first() {
        let what = count(
            orphans.len(),
            "augmented copy not used, as its original is missing or cannot be read",
            "augmented copies not used, as the originals are missing or cannot be read",
        );
        notes.left_out.push(format!("{what}, e.g. {first}"));
    }
    Ok(chosen)
}

/// Reads the chosen copies; one that equals a validation or test image is left out.
pub(super) fn read_copies(
    copies: Vec<(FoundCopy, usize)>,
    images: &[Original],
    budget: &Budget,
    steps: &Steps,
    notes: &mut Notes,
) -> Vec<ReadCopy> {
    let held_out: HashSet<[u8; 32]> = images
        .iter()
        .filter(|image| matches!(image.split, Some(Split::Valid | Split::Test)))
        .map(|image| image.content.pixel_hash)
        .collect();
    let read: Vec<_> = copies
        .into_par_iter()
        .map(|(copy, original)| {
            let content = store::read(&copy.entry.origin, budget);
            steps.advance(1);
            (copy, original, content)
        })
        .collect();
    let mut usable = Vec::with_capacity(read.len());
    let mut equal = Vec::new();
    for (copy, original, content) in read {
        match content {
            Err(reason) => notes.unreadable.push(Unreadable { name: copy.entry.name, reason }),
            Ok(content) if held_out.contains(&content.pixel_hash) => {
                content.release(budget);
                equal.push(copy.entry.name);
            }
            Ok(content) => usable.push(ReadCopy { copy, original, content }),
        }
    }
    if let Some(first) = equal.first() {
        let what = count(
            equal.len(),
            "augmented copy not used, as it equals a validation or test image",
            "augmented copies not used, as they equal validation or test images",
        );
        notes.left_out.push(format!("{what}, e.g. {first}"));
    }
    usable
}
