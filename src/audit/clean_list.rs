//! A list of the images that are safe to train and evaluate on, for `mien train`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::duplicates::connected;
use super::found::Audit;
use super::image::{Image, Pair};
use crate::data::{Origin, Split};
use crate::error::{Error, Result};
use crate::files::write_csv;

/// What a clean list contains and leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanList {
    /// Images in the list.
    pub kept: usize,
    /// Images left out, by reason.
    pub left_out: BTreeMap<String, usize>,
}

/// Writes a CSV list with path, label, group and, where the root has splits, split: every readable image
/// that is neither blank nor too small, but
///
/// - no augmented copies;
/// - no exact duplicates with different labels: nothing says which label is right;
/// - of duplicates with the same label, exact or near, only one: that of the split that evaluation depends on
///   most (test before valid before train), of these the largest, of these the first by name;
/// - of a group or a chain of near duplicates that crosses splits, only the images of that split.
///
/// Near duplicates share a group in the list, so that another split does not separate them. Paths are
/// relative to the list's folder for images below it, and absolute elsewhere.
///
/// # Errors
/// [`Error::Input`] for more than one root and for a root whose images are rows of a table; [`Error::Io`].
pub fn write(path: &Path, audit: &Audit) -> Result<CleanList> {
    let [root] = audit.roots.as_slice() else {
        return Err(Error::input("--write-list", format!("found {} data sets", audit.roots.len()))
            .expected("one data set"));
    };
    if let Some(image) = audit.images.iter().find(|image| image.origin.path().is_none()) {
        return Err(Error::at(
            &root.path,
            format!("{} is a row of a CSV file, not an image file", image.name),
        )
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

/// The images of a clean list with their groups, in order, and the number left out by reason.
fn choose(audit: &Audit) -> (Vec<(usize, String)>, BTreeMap<String, usize>) {
    let images = &audit.images;
    let n = images.len();
    let side = audit.options.smallest_side;
    let mut reasons: Vec<Option<&str>> = images
        .iter()
        .map(|image| match image {
            Image { copy: true, .. } => Some("augmented copy"),
            Image { blank: true, .. } => Some("blank"),
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
            reason.get_or_insert("identical images have different labels");
        }
    }

    // One of each set of duplicates with one label.
    let usable = |pair: &&Pair| reasons[pair.a].is_none() && reasons[pair.b].is_none();
    let alike: Vec<&Pair> = audit.pairs.iter().filter(usable).collect();
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
            reasons[index].get_or_insert("duplicate of a kept image");
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
    let mut last: HashMap<usize, Option<Split>> = HashMap::new();
    for index in (0..n).filter(|&index| reasons[index].is_none()) {
        let split = last.entry(joined[index]).or_default();
        *split = (*split).max(images[index].split);
    }
    for index in 0..n {
        if reasons[index].is_none() && images[index].split < last[&joined[index]] {
            reasons[index] = Some("its group is kept in another split");
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
        return Err(Error::input(&image.name, "is a row of a CSV file, not an image file"));
    };
    let file = std::path::absolute(file).map_err(|error| Error::io("find", file, error))?;
    let shown = file.strip_prefix(folder).unwrap_or(&file);
    let text = shown.to_str().filter(|text| text.trim() == *text);
    text.map(str::to_owned).ok_or_else(|| {
        Error::at(&file, "has a name that a CSV list cannot hold")
            .expected("UTF-8 without leading or trailing spaces")
            .hint("Rename the file")
    })
}
