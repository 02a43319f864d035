//! Duplicates: pairs of images, exact and near, and the clusters that pairs connect.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::found::{Audit, Cluster, PairCounts};
use super::image::{Image, Kind, Pair, Relation};
use super::similar::{self, Fingerprint, Near};

/// All pairs of duplicates, sorted. Of exact duplicates the first takes part in the search for near ones. A
/// copy and its original are no near duplicates: they are made to be alike.
pub(super) fn pairs(
    images: &[Image],
    fingerprints: &[Fingerprint],
    near: Option<&Near>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Pair> {
    let mut first: HashMap<&[u8; 32], usize> = HashMap::with_capacity(images.len());
    let mut firsts = Vec::new();
    let mut pairs = Vec::new();
    for (b, image) in images.iter().enumerate() {
        let a = *first.entry(&image.pixel_hash).or_insert(b);
        if a == b {
            firsts.push(b);
        } else if !(image.blank && images[a].blank) {
            let kind = if images[a].hash == image.hash { Kind::Content } else { Kind::Pixels };
            pairs.push(pair(images, a, b, kind, 0, 1.0));
        }
    }
    let Some(near) = near else { return pairs };
    firsts.retain(|&index| !images[index].blank && fingerprints[index].has_detail());
    let compared: Vec<Fingerprint> = firsts.iter().map(|&index| fingerprints[index].clone()).collect();
    for found in similar::pairs(&compared, near, progress) {
        let (a, b) = (firsts[found.a], firsts[found.b]);
        let made_alike = (images[a].copy || images[b].copy) && images[a].group == images[b].group;
        if !made_alike {
            let kind = if found.mirrored { Kind::Mirrored } else { Kind::Near };
            pairs.push(pair(images, a, b, kind, found.hash_distance, found.correlation));
        }
    }
    pairs.sort_by_key(|pair| (pair.a, pair.b));
    pairs
}

fn pair(images: &[Image], a: usize, b: usize, kind: Kind, hash_distance: u32, correlation: f64) -> Pair {
    let (first, second) = (&images[a], &images[b]);
    let relation = if first.root != second.root {
        Relation::AcrossSets
    } else if first.split != second.split {
        Relation::AcrossSplits
    } else {
        Relation::WithinSplit
    };
    Pair { a, b, kind, relation, same_label: first.class == second.class, hash_distance, correlation }
}

/// Counts pairs, exact or near ones, by where the two images are.
pub(super) fn counts(pairs: &[Pair], exact: bool) -> PairCounts {
    let mut counts = PairCounts::default();
    for pair in pairs.iter().filter(|pair| pair.kind.is_exact() == exact) {
        *match pair.relation {
            Relation::WithinSplit => &mut counts.within_split,
            Relation::AcrossSplits => &mut counts.across_splits,
            Relation::AcrossSets => &mut counts.across_sets,
        } += 1;
        counts.two_labels += usize::from(!pair.same_label);
    }
    counts
}

/// For each image the smallest index of those that pairs connect it with; itself where there is none.
pub(super) fn connected(images: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Vec<usize> {
    fn root(parents: &mut [usize], mut index: usize) -> usize {
        while parents[index] != index {
            parents[index] = parents[parents[index]];
            index = parents[index];
        }
        index
    }
    let mut parents: Vec<usize> = (0..images).collect();
    for (a, b) in pairs {
        let (a, b) = (root(&mut parents, a), root(&mut parents, b));
        parents[a.max(b)] = a.min(b);
    }
    (0..images).map(|index| root(&mut parents, index)).collect()
}

/// Sets of images that pairs connect.
pub(super) fn clusters(audit: &Audit) -> Vec<Cluster> {
    let of = connected(audit.images.len(), audit.pairs.iter().map(|pair| (pair.a, pair.b)));
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    of.iter().enumerate().for_each(|(index, &first)| members.entry(first).or_default().push(index));
    let cluster = |members: Vec<usize>| {
        let image = |&index: &usize| &audit.images[index];
        let distinct =
            |key: fn(&Image) -> usize| members.iter().map(image).map(key).collect::<BTreeSet<_>>().len();
        let places: BTreeSet<_> = members.iter().map(image).map(|image| (image.root, image.split)).collect();
        let roots: BTreeSet<usize> = places.iter().map(|(root, _)| *root).collect();
        let exact =
            members.iter().map(image).all(|one| one.pixel_hash == audit.images[members[0]].pixel_hash);
        Cluster {
            images: members.len(),
            exact,
            two_labels: distinct(|image| image.class) > 1,
            across_splits: places.len() > roots.len(),
            members: members.iter().take(Cluster::SHOWN).map(|&index| audit.member(index)).collect(),
        }
    };
    members.into_values().filter(|members| members.len() > 1).map(cluster).collect()
}
