//! Counts over all images: sizes, class balance, odd images, and groups that cross splits.

use std::collections::BTreeMap;

use super::found::{Balance, Odd, Size};
use super::image::Image;
use super::inspect::Inspected;
use super::options::Options;
use crate::data::{Leak, Split};

/// Images by file format.
pub(super) fn formats(inspected: &[Inspected]) -> BTreeMap<String, usize> {
    let mut formats = BTreeMap::new();
    inspected.iter().for_each(|one| *formats.entry(one.format.to_owned()).or_default() += 1);
    formats
}

/// Images without content.
pub(super) fn blank(images: &[Image]) -> Vec<Odd> {
    images.iter().filter(|image| image.blank).map(|image| odd(image, "blank".into())).collect()
}

/// Images with a side shorter than `side` pixels.
pub(super) fn tiny(images: &[Image], side: usize) -> Vec<Odd> {
    images.iter().filter(|one| one.width.min(one.height) < side).map(|one| odd(one, size(one))).collect()
}

/// Images of an unusual size or aspect ratio.
pub(super) fn mis_sized(images: &[Image], sizes: &[Size]) -> Vec<Odd> {
    images.iter().filter(|one| is_mis_sized(one, sizes)).map(|one| odd(one, size(one))).collect()
}

fn odd(image: &Image, reason: String) -> Odd {
    Odd { root: image.root, name: image.name.clone(), reason }
}

fn size(image: &Image) -> String {
    format!("{}x{} pixels", image.width, image.height)
}

/// Groups that are in more than one split of their root. Augmented copies count too: one in train of a test
/// image is a leak.
pub(super) fn cut_groups(images: &[Image], options: &Options) -> Vec<Leak> {
    let mut examples: BTreeMap<(usize, &str), BTreeMap<Split, &str>> = BTreeMap::new();
    for image in images {
        if let Some(split) = image.split {
            let example =
                examples.entry((image.root, &image.group)).or_default().entry(split).or_insert(&image.name);
            *example = (*example).min(&image.name);
        }
    }
    let leak = |((root, group), of): ((usize, &str), BTreeMap<Split, &str>)| {
        // With several roots the group's name begins with the root's number.
        let group = if options.roots.len() > 1 {
            group.strip_prefix(&format!("{root}/")).unwrap_or(group)
        } else {
            group
        };
        let (splits, examples): (Vec<Split>, Vec<String>) =
            of.into_iter().map(|(split, name)| (split, name.to_owned())).unzip();
        Leak { group: group.to_owned(), splits, examples }
    };
    examples.into_iter().filter(|(_, of)| of.len() > 1).map(leak).collect()
}

/// Images by size, the most common first.
pub(super) fn sizes(images: &[Image]) -> Vec<Size> {
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    images.iter().for_each(|image| *counts.entry((image.width, image.height)).or_default() += 1);
    let mut sizes: Vec<Size> =
        counts.into_iter().map(|((width, height), images)| Size { width, height, images }).collect();
    sizes.sort_by_key(|size| std::cmp::Reverse(size.images));
    sizes
}

/// Where four in five images have one size, the exceptions; elsewhere, images more than twice as wide as
/// high or more than twice as high as wide.
fn is_mis_sized(image: &Image, sizes: &[Size]) -> bool {
    let all: usize = sizes.iter().map(|size| size.images).sum();
    match sizes.first() {
        Some(usual) if usual.images * 5 >= all * 4 => {
            (image.width, image.height) != (usual.width, usual.height)
        }
        _ => image.width > 2 * image.height || image.height > 2 * image.width,
    }
}

/// Root, split and source.
type Place<'a> = (usize, Option<Split>, Option<&'a str>);

/// Images per class of each root, split and source, without augmented copies.
pub(super) fn balance(images: &[Image], classes: usize) -> Vec<Balance> {
    let mut rows: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
    for image in images.iter().filter(|image| !image.copy) {
        let key = (image.root, image.split, image.source.as_deref());
        rows.entry(key).or_insert_with(|| vec![0; classes])[image.class] += 1;
    }
    let row = |((root, split, source), counts): (Place, Vec<usize>)| Balance {
        root,
        split,
        source: source.map(str::to_owned),
        counts,
    };
    rows.into_iter().map(row).collect()
}
