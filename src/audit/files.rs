//! Writing an audit down: `audit.json`, tables, and a clean list that `mien train` takes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::weigh::connected;
use super::{Audit, Image};
use crate::data::Origin;
use crate::error::{Error, Result};
use crate::files::{write_csv, write_json};

/// Writes into `folder`, which is created if need be, each file whole or not at all:
///
/// - `pairs.csv`: kind, relation, same_label, hash_distance, correlation, and root, path, split, label and
///   group of a and of b;
/// - `odd.csv`: what, root, path, reason; unreadable, blank, tiny and mis-sized files;
/// - `labels.csv`, where runs were given: path, split, label, suggested, self_confidence, margin, doubtful;
///   the least believed first;
/// - `audit.json`: the [`Audit`] without its images and pairs; written last.
///
/// Returns the paths. Files of the same names are replaced.
///
/// # Errors
/// [`Error::Io`].
pub fn write(folder: &Path, audit: &Audit) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
    let mut paths = vec![folder.join("pairs.csv"), folder.join("odd.csv")];
    write_csv(&paths[0], pair_records(audit))?;
    write_csv(&paths[1], odd_records(audit))?;
    if audit.label_noise.is_some() {
        let path = folder.join("labels.csv");
        write_csv(&path, label_records(audit))?;
        paths.push(path);
    }
    let path = folder.join("audit.json");
    write_json(&path, audit)?;
    paths.push(path);
    Ok(paths)
}

/// What a clean list holds and lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanList {
    /// Images in it.
    pub kept: usize,
    /// Images left out, by reason.
    pub left_out: BTreeMap<String, usize>,
}

/// Writes a CSV list with path, label, group and, where the root has splits, split: every readable image that
/// shows something, but
///
/// - no augmented copies;
/// - none of several exact duplicates whose labels differ: nobody knows which is right;
/// - one of each set of duplicates, exact or near, with one label: that of the most decisive split (test
///   before valid before train), of these the largest, of these the first by name;
/// - of a group or a chain of near duplicates that crosses splits only the images in its most decisive split.
///
/// Near duplicates share a group in the list, so that splitting anew does not part them. Images are named as
/// from the list's folder where they lie below it, and by their whole path elsewhere.
///
/// # Errors
/// [`Error::Input`] for more than one root and for a root whose images are rows of a table; [`Error::Io`].
pub fn write_list(path: &Path, audit: &Audit) -> Result<CleanList> {
    let [root] = audit.roots.as_slice() else {
        return Err(
            Error::input("--write-list", format!("found {} data roots", audit.roots.len())).expected("one")
        );
    };
    if let Some(image) = audit.images.iter().find(|image| image.origin.path().is_none()) {
        return Err(Error::at(&root.path, format!("{} is a row of a table", image.name))
            .expected("images in files, which a list can name"));
    }
    let (kept, left_out) = choose(audit);
    let list = CleanList { kept: kept.len(), left_out };
    let with_splits = kept.iter().any(|(index, _)| audit.images[*index].split.is_some());
    let mut header = vec!["path", "label", "group"];
    header.extend(with_splits.then_some("split"));
    let absolute = std::path::absolute(path).map_err(|error| Error::io("find", path, error))?;
    let folder = absolute.parent().unwrap_or(Path::new(""));
    let mut records = vec![header.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for (index, group) in kept {
        let image = &audit.images[index];
        let mut record = vec![listed_path(image, folder)?, audit.classes[image.class].clone(), group];
        record.extend(image.split.filter(|_| with_splits).map(|split| split.name().to_owned()));
        records.push(record);
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
    }
    write_csv(path, records)?;
    Ok(list)
}

/// The images of a clean list with their groups, in order, and how many are left out why.
fn choose(audit: &Audit) -> (Vec<(usize, String)>, BTreeMap<String, usize>) {
    let images = &audit.images;
    let n = images.len();
    let side = audit.options.smallest_side;
    let mut reasons: Vec<Option<&str>> = images
        .iter()
        .map(|image| match image {
            Image { copy: true, .. } => Some("augmented copy"),
            Image { blank: true, .. } => Some("nothing to be seen"),
            Image { width, height, .. } if *width.min(height) < side => Some("too small"),
            _ => None,
        })
        .collect();

    // Exact duplicates with several labels.
    let exact = || audit.pairs.iter().filter(|pair| pair.kind.is_exact());
    let same = connected(n, exact().map(|pair| (pair.a, pair.b)));
    let mut torn = vec![false; n];
    exact().filter(|pair| !pair.same_label).for_each(|pair| torn[same[pair.a]] = true);
    for (reason, &first) in reasons.iter_mut().zip(&same) {
        if torn[first] {
            reason.get_or_insert("the same image has two labels");
        }
    }

    // One of each set of duplicates with one label.
    let usable = |pair: &&super::Pair| reasons[pair.a].is_none() && reasons[pair.b].is_none();
    let alike: Vec<&super::Pair> = audit.pairs.iter().filter(usable).collect();
    let sets = connected(n, alike.iter().filter(|pair| pair.same_label).map(|pair| (pair.a, pair.b)));
    let rank = |index: usize| {
        let image = &images[index];
        (image.split, image.width * image.height, std::cmp::Reverse(&image.name))
    };
    let mut best: HashMap<usize, usize> = HashMap::new();
    for index in (0..n).filter(|&index| reasons[index].is_none()) {
        let kept = best.entry(sets[index]).or_insert(index);
        if rank(index) > rank(*kept) {
            *kept = index;
        }
    }
    let links: Vec<(usize, usize)> = alike.iter().map(|pair| (pair.a, pair.b)).collect();
    for index in 0..n {
        if best.get(&sets[index]).is_some_and(|&kept| kept != index) {
            reasons[index].get_or_insert("duplicate of one that is kept");
        }
    }

    // Groups and chains of near duplicates in one split.
    let mut by_group: HashMap<&str, usize> = HashMap::new();
    let in_group = |(index, image): (usize, &Image)| (index, image.group.clone());
    let mut all_links = links;
    for (index, image) in images.iter().enumerate() {
        all_links.push((*by_group.entry(&image.group).or_insert(index), index));
    }
    let joined = connected(n, all_links.into_iter());
    let mut last: HashMap<usize, Option<crate::data::Split>> = HashMap::new();
    for index in (0..n).filter(|&index| reasons[index].is_none()) {
        let split = last.entry(joined[index]).or_default();
        *split = (*split).max(images[index].split);
    }
    for index in 0..n {
        if reasons[index].is_none() && images[index].split < last[&joined[index]] {
            reasons[index] = Some("its group is in a more decisive split");
        }
    }
    let mut left_out = BTreeMap::new();
    reasons.iter().flatten().for_each(|reason| *left_out.entry((*reason).to_owned()).or_default() += 1);
    if !audit.unreadable.is_empty() {
        left_out.insert("unreadable".into(), audit.unreadable.len());
    }
    let names: Vec<String> = images.iter().enumerate().map(in_group).map(|(_, group)| group).collect();
    let kept = (0..n)
        .filter(|&index| reasons[index].is_none())
        .map(|index| (index, names[joined[index]].clone()))
        .collect();
    (kept, left_out)
}

fn listed_path(image: &Image, folder: &Path) -> Result<String> {
    let Origin::File(file) = &image.origin else {
        return Err(Error::input(&image.name, "is a row of a table"));
    };
    let file = std::path::absolute(file).map_err(|error| Error::io("find", file, error))?;
    let shown = file.strip_prefix(folder).unwrap_or(&file);
    let text = shown.to_str().filter(|text| text.trim() == *text);
    text.map(str::to_owned).ok_or_else(|| {
        Error::at(&file, "has a name that a list cannot hold")
            .expected("UTF-8 without spaces at its ends")
            .hint("Rename it")
    })
}

type Record = Vec<String>;

fn header(columns: &[&str]) -> std::iter::Once<Record> {
    std::iter::once(columns.iter().map(|column| (*column).to_owned()).collect())
}

fn pair_records(audit: &Audit) -> impl Iterator<Item = Record> {
    let columns = [
        "kind",
        "relation",
        "same_label",
        "hash_distance",
        "correlation",
        "root_a",
        "path_a",
        "split_a",
        "label_a",
        "group_a",
        "root_b",
        "path_b",
        "split_b",
        "label_b",
        "group_b",
    ];
    header(&columns).chain(audit.pairs.iter().map(|pair| {
        let mut record = vec![
            pair.kind.name().to_owned(),
            pair.relation.name().to_owned(),
            pair.same_label.to_string(),
            pair.hash_distance.to_string(),
            format!("{:.4}", pair.correlation),
        ];
        for index in [pair.a, pair.b] {
            let image = &audit.images[index];
            let split = image.split.map_or(String::new(), |split| split.name().to_owned());
            let root = audit.roots[image.root].path.display().to_string();
            record.extend([
                root,
                image.name.clone(),
                split,
                audit.classes[image.class].clone(),
                image.group.clone(),
            ]);
        }
        record
    }))
}

fn odd_records(audit: &Audit) -> impl Iterator<Item = Record> {
    let kinds = [
        ("unreadable", &audit.unreadable),
        ("blank", &audit.blank),
        ("tiny", &audit.tiny),
        ("mis-sized", &audit.mis_sized),
    ];
    let rows = kinds.into_iter().flat_map(|(what, odd)| odd.iter().map(move |odd| (what, odd)));
    header(&["what", "root", "path", "reason"]).chain(rows.map(|(what, odd)| {
        vec![
            what.to_owned(),
            audit.roots[odd.root].path.display().to_string(),
            odd.name.clone(),
            odd.reason.clone(),
        ]
    }))
}

fn label_records(audit: &Audit) -> impl Iterator<Item = Record> {
    let issues = audit.label_noise.iter().flat_map(|noise| &noise.issues);
    header(&["path", "split", "label", "suggested", "self_confidence", "margin", "doubtful"]).chain(
        issues.map(|issue| {
            vec![
                issue.name.clone(),
                issue.split.clone(),
                issue.label.clone(),
                issue.suggested.clone(),
                format!("{:.6}", issue.self_confidence),
                format!("{:.6}", issue.margin),
                issue.doubtful.to_string(),
            ]
        }),
    )
}
