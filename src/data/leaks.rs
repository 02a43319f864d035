//! Leakage: groups that are in more than one split.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::images::{Aim, Loading, Notes, Original};
use super::split::Split;
use crate::error::{Error, Result};
use crate::text::{count, list};

/// A group that is in more than one split.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The group's name, as in [`Sample::group`](super::Sample::group).
    pub group: String,
    /// The splits that it is in: two or three, in order.
    pub splits: Vec<Split>,
    /// The name of one image in each of these splits.
    pub examples: Vec<String>,
}

/// Finds the groups that cross splits, and refuses them, drops their images from the earlier split, or lets
/// them be, as the configuration says. `group_names` has the group of each image.
///
/// # Errors
/// Groups cross splits and may not; without their images no validation image is left.
pub(super) fn settle_leaks(
    images: &mut [Original],
    group_names: &[String],
    loading: &Loading,
    notes: &mut Notes,
) -> Result<Vec<Leak>> {
    let leaks = find_leaks(images, group_names);
    if leaks.is_empty() {
        return Ok(leaks);
    }
    let config = loading.config;
    let groups = count(leaks.len(), "group crosses splits", "groups cross splits");
    if config.drop_leaking {
        let [train, valid, _] = drop_leaking(images, group_names, &leaks);
        notes.left_out.push(format!(
            "{groups}: dropped {} and {} (drop_leaking)",
            count(train, "train image", "train images"),
            count(valid, "valid image", "valid images")
        ));
        if loading.aim == Aim::Train && !images.iter().any(|image| image.split == Some(Split::Valid)) {
            return Err(Error::input(
                "data.drop_leaking (--drop-leaking)",
                "leaves no valid images: every group of valid is also in test",
            )
            .expected("some valid images that share no group with test")
            .hint("Ignore the existing splits with --resplit"));
        }
        return Ok(Vec::new());
    }
    if config.allow_leakage || loading.aim == Aim::Evaluate {
        notes.warnings.push(format!(
            "{groups}, so accuracy on valid and test is overestimated, e.g. {}",
            describe(&leaks[0])
        ));
        return Ok(leaks);
    }
    let first: Vec<String> = leaks.iter().take(3).map(describe).collect();
    let more = if leaks.len() > first.len() { "; …" } else { "" };
    Err(Error::at(&config.root, format!("{groups}: {}{more}", first.join("; ")))
        .expected("each group (an image and its copies, one person, one source photo) in a single split")
        .hint(concat!(
            "Ignore the existing splits with --resplit, drop the train and valid images concerned with ",
            "--drop-leaking, or train anyway with --allow-leakage, which marks the run's reports"
        )))
}

/// Drops the images of leaking groups from all but the last split that the group is in; returns how many from
/// each split.
fn drop_leaking(images: &mut [Original], group_names: &[String], leaks: &[Leak]) -> [usize; 3] {
    let last: HashMap<&str, Split> =
        leaks.iter().filter_map(|leak| Some((leak.group.as_str(), leak.splits.last().copied()?))).collect();
    let mut dropped = [0; 3];
    for (image, name) in images.iter_mut().zip(group_names) {
        if let (Some(split), Some(&last)) = (image.split, last.get(name.as_str()))
            && split < last
        {
            dropped[split as usize] += 1;
            image.split = None;
        }
    }
    dropped
}

fn describe(leak: &Leak) -> String {
    let places: Vec<String> =
        leak.splits.iter().zip(&leak.examples).map(|(split, name)| format!("{split} ({name})")).collect();
    format!("`{}` is in {}", leak.group, list(&places))
}

fn find_leaks(images: &[Original], group_names: &[String]) -> Vec<Leak> {
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
