//! The groups of the originals: each gets a group key by the first rule that applies; images with the same
//! key or the same content form a group.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;

use super::copies::Sources;
use super::groups::{self, GroupRule};
use super::images::{Loading, Notes, Original};
use crate::error::{Error, Result};
use crate::text::{count, quoted_list, thousands};

/// Gives every image its group key.
///
/// # Errors
/// The regex does not match some of the file names of `root`.
pub(super) fn set_keys(
    images: &mut [Original],
    sources: &Sources,
    regex: Option<&Regex>,
    loading: &Loading,
    notes: &mut Notes,
) -> Result<()> {
    let mut unmatched = Vec::new();
    let total = images.len();
    for (index, image) in images.iter_mut().enumerate() {
        let in_base = loading.roots.is_base(image);
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
                    unmatched.push(entry.name.as_str());
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
        let pattern = regex.map_or("", Regex::as_str);
        let shown = quoted_list(&unmatched[..unmatched.len().min(3)]);
        let what = if unmatched.len() == total {
            format!("any of the {} file names", thousands(total))
        } else {
            format!("{} of {} file names", thousands(unmatched.len()), thousands(total))
        };
        return Err(Error::input(
            "data.group_regex (--group-regex)",
            format!("`{pattern}` does not match {what}, e.g. {shown}"),
        )
        .expected("a match in every file name, or in its path below the root")
        .hint(r"Add an alternative for these names, as in '^(\d+)_|^(.+)\.'"));
    }
    let by_manifest = images.iter().filter(|image| image.rule == GroupRule::Manifest).count();
    if regex.is_some() && by_manifest > 0 {
        let what = count(by_manifest, "image takes its group", "images take their groups");
        notes
            .warnings
            .push(format!("{what} from the augmenter's manifest, which overrides data.group_regex"));
    }
    Ok(())
}

/// A group number for each of these images.
pub(super) fn number_groups(images: &[&Original]) -> Vec<usize> {
    let keys: Vec<Option<&str>> = images.iter().map(|image| image.key.as_deref()).collect();
    let contents: Vec<_> =
        images.iter().map(|image| [image.content.hash, image.content.pixel_hash]).collect();
    groups::unite(&keys, &contents)
}

/// The group's name of every image. Images that are not used do not connect groups of others.
pub(super) fn name_groups(images: &[Original]) -> Vec<String> {
    let used: Vec<usize> = (0..images.len()).filter(|&index| images[index].split.is_some()).collect();
    let chosen: Vec<&Original> = used.iter().map(|&index| &images[index]).collect();
    let numbers = number_groups(&chosen);
    let keys: Vec<Option<&str>> = chosen.iter().map(|image| image.key.as_deref()).collect();
    let hashes: Vec<[u8; 32]> = chosen.iter().map(|image| image.content.hash).collect();
    let names = groups::name_groups(&numbers, &keys, &hashes);
    let mut of_image = vec![String::new(); images.len()];
    for (index, number) in used.into_iter().zip(numbers) {
        of_image[index].clone_from(&names[number]);
    }
    of_image
}

/// How many used images got their group by which rule, and how many are exact duplicates of another. The same
/// image under two classes is worth a warning.
pub(super) fn count_rules_and_duplicates(
    images: &[Original],
    notes: &mut Notes,
) -> (BTreeMap<GroupRule, usize>, usize) {
    let mut rules = BTreeMap::new();
    let mut by_pixels: HashMap<[u8; 32], Vec<&Original>> = HashMap::new();
    let mut used = 0;
    for image in images.iter().filter(|image| image.split.is_some()) {
        *rules.entry(image.rule).or_insert(0) += 1;
        by_pixels.entry(image.content.pixel_hash).or_default().push(image);
        used += 1;
    }
    // One name of each of the first two classes.
    let conflict = |same: &Vec<&Original>| {
        let name = |image: &Original| image.found.entry.name.clone();
        let other = same.iter().find(|image| image.found.class != same[0].found.class)?;
        Some((name(same[0]), name(other)))
    };
    let conflicts: Vec<(String, String)> = by_pixels.values().filter_map(conflict).collect();
    if let Some((one, other)) = conflicts.iter().min() {
        let what = count(conflicts.len(), "image appears", "images appear");
        notes.warnings.push(format!("{what} under more than one class, e.g. {one} and {other} are the same"));
    }
    (rules, used - by_pixels.len())
}
