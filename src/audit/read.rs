//! From roots to images: which files there are, what each holds, and which belong together.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::found::{Odd, Root};
use super::image::Image;
use super::inspect::{Inspected, inspect};
use super::options::{Options, Progress, Stage};
use crate::data::classes::{EMOTIONS, canonical, resolve};
use crate::data::groups;
use crate::data::layout::{self, Entry};
use crate::data::manifest::{ManifestLine, read_manifest};
use crate::error::{Error, Result};

/// What a scan of the roots found.
pub(super) struct Scan {
    pub(super) roots: Vec<Root>,
    pub(super) classes: Vec<String>,
    pub(super) unreadable: Vec<Odd>,
    entries: Vec<FoundEntry>,
    /// The group of each readable image by its list or manifest.
    pub(super) given_groups: Vec<Option<String>>,
}

/// An image that was found.
struct FoundEntry {
    root: usize,
    entry: Entry,
    class: usize,
    manifest: Option<ManifestLine>,
}

/// Lists the images of all roots and resolves their classes.
pub(super) fn scan(options: &Options) -> Result<Scan> {
    if options.roots.is_empty() {
        return Err(
            Error::input("audit", "found no data set").expected("one or more folders, lists or tables")
        );
    }
    let mut found = Scan {
        roots: Vec::new(),
        classes: Vec::new(),
        unreadable: Vec::new(),
        entries: Vec::new(),
        given_groups: Vec::new(),
    };
    let mut labels: Vec<(usize, String)> = Vec::new(); // of each entry: the class's name
    for (root, path) in options.roots.iter().enumerate() {
        let scan = layout::scan(path)?;
        let classes = resolve(path, scan.labels.iter().map(String::as_str), &options.classes, 1)?;
        let mut manifest = read_manifest(path)?.unwrap_or_default();
        found.classes.extend(
            classes.names.iter().filter(|name| !found.classes.contains(name)).cloned().collect::<Vec<_>>(),
        );
        found.unreadable.extend(scan.unreadable.into_iter().map(|file| Odd {
            root,
            name: file.name,
            reason: file.reason,
        }));
        for entry in scan.entries {
            let Some(class) = classes.index(&entry.label) else {
                return Err(Error::at(
                    path,
                    format!("the label '{}' of {} is not a class", entry.label, entry.name),
                )
                .expected(format!("one of {}", classes.names.join(", "))));
            };
            labels.push((root, classes.names[class].clone()));
            let manifest = manifest.remove(&entry.name);
            found.entries.push(FoundEntry { root, entry, class: 0, manifest });
        }
        let (left_out, warnings) = (scan.left_out, scan.warnings);
        found.roots.push(Root {
            path: path.clone(),
            layout: scan.layout,
            images: 0,
            copies: 0,
            left_out,
            warnings,
        });
    }
    if found.classes.iter().all(|class| canonical(class).is_some()) {
        found.classes.sort_by_key(|class| EMOTIONS.iter().position(|emotion| emotion == class));
    }
    let index: HashMap<&str, usize> =
        found.classes.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    for (entry, (_, label)) in found.entries.iter_mut().zip(&labels) {
        entry.class = index[label.as_str()];
    }
    Ok(found)
}

/// Reads every image once. Files that cannot be read are added to the unreadable ones.
pub(super) fn read(
    found: &mut Scan,
    options: &Options,
    progress: Progress,
) -> Result<(Vec<Image>, Vec<Inspected>)> {
    let entries = std::mem::take(&mut found.entries);
    let (done, of) = (AtomicUsize::new(0), entries.len());
    let one = |found: FoundEntry| {
        let seen = inspect(&found.entry.origin);
        progress(Stage::Reading, done.fetch_add(1, Ordering::Relaxed) + 1, of);
        (found, seen)
    };
    let read: Vec<_> = entries.into_par_iter().map(one).collect();
    let (mut images, mut all) = (Vec::with_capacity(of), Vec::with_capacity(of));
    for (FoundEntry { root, entry, class, manifest }, seen) in read {
        let seen = match seen {
            Ok(seen) => seen,
            Err(reason) => {
                found.unreadable.push(Odd { root, name: entry.name, reason });
                continue;
            }
        };
        let copy = match &manifest {
            Some(line) => line.copy > 0,
            None => groups::copy_of(&entry.name).is_some(),
        };
        found.roots[root].images += 1;
        found.roots[root].copies += usize::from(copy);
        found.given_groups.push(entry.group.or(manifest.map(|line| line.group)));
        images.push(Image {
            root,
            source: groups::source(&entry.name).map(str::to_owned),
            name: entry.name,
            origin: entry.origin,
            class,
            split: entry.split,
            group: String::new(),
            copy,
            width: seen.width,
            height: seen.height,
            grey: seen.grey,
            blank: seen.deviation < options.flattest,
            hash: seen.hash,
            pixel_hash: seen.pixel_hash,
        });
        all.push(seen);
    }
    found.unreadable.sort_by(|a, b| (a.root, &a.name).cmp(&(b.root, &b.name)));
    match found.roots.iter().find(|root| root.images == 0) {
        Some(root) => {
            Err(Error::at(&root.path, "has no readable image")
                .expected("at least one image that can be decoded"))
        }
        None => Ok((images, all)),
    }
}

/// Gives every image its group, by the same rules as `mien train`. An augmented copy without a manifest
/// belongs to the file that its name refers to.
pub(super) fn name_groups(
    images: &mut [Image],
    given: &[Option<String>],
    regex: Option<&regex::Regex>,
    roots: usize,
) {
    let copied: HashSet<(usize, &str)> =
        images.iter().filter_map(|image| Some((image.root, groups::copy_of(&image.name)?.0))).collect();
    let key = |(image, given): (&Image, &Option<String>)| {
        let own = || match regex {
            Some(regex) => groups::regex_key(regex, &image.name),
            None => groups::name_key(&image.name).map(|(_, key)| key),
        };
        let stem =
            groups::copy_of(&image.name).map_or(groups::without_extension(&image.name), |(stem, _)| stem);
        let original = || copied.contains(&(image.root, stem)).then(|| stem.to_owned());
        let key = given.clone().or_else(own).or_else(original)?;
        // The same number or photo name in two data sets means two groups.
        Some(if roots > 1 { format!("{}/{key}", image.root) } else { key })
    };
    let keys: Vec<Option<String>> = images.iter().zip(given).map(key).collect();
    let keys: Vec<Option<&str>> = keys.iter().map(Option::as_deref).collect();
    let contents: Vec<_> = images.iter().map(|image| [image.hash, image.pixel_hash]).collect();
    let numbers = groups::unite(&keys, &contents);
    let hashes: Vec<[u8; 32]> = images.iter().map(|image| image.hash).collect();
    let names = groups::name_groups(&numbers, &keys, &hashes);
    images.iter_mut().zip(numbers).for_each(|(image, number)| image.group.clone_from(&names[number]));
}
