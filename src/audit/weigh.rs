//! From images to findings: pairs, clusters, cut groups, odd files, and how much each matters.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::label_noise::LabelNoise;
use super::probe::{Probe, Told};
use super::similar::{self, Look, Near};
use super::{
    Audit, Balance, Cluster, Finding, Found, Image, Kind, Odd, Options, Pair, PairCounts, Relation, Severity,
    Size, Topic,
};
use crate::data::classes::EMOTIONS;
use crate::data::{Leak, Split};
use crate::text::{count, quoted_list};

/// All pairs of duplicates, sorted. Of exact duplicates the first takes part in the search for near ones. A
/// copy and its original are no near duplicates: they are made to be alike.
pub(super) fn pairs(
    images: &[Image],
    looks: &[Look],
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
    firsts.retain(|&index| !images[index].blank && looks[index].has_detail());
    let compared: Vec<Look> = firsts.iter().map(|&index| looks[index].clone()).collect();
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

/// Puts everything together and says what matters.
pub(super) fn weigh(
    options: &Options,
    found: Found,
    images: Vec<Image>,
    pairs: Vec<Pair>,
    formats: BTreeMap<String, usize>,
    probe: Option<Probe>,
    label_noise: Option<LabelNoise>,
) -> Audit {
    let mut cut_groups = cut_groups(&images, options);
    let cut_group_count = cut_groups.len();
    cut_groups.truncate(Audit::SHOWN);
    let sizes = sizes(&images);
    let odd = |odd: fn(&Image, &Options) -> Option<String>| -> Vec<Odd> {
        let reason = |image: &Image| {
            let reason = odd(image, options)?;
            Some(Odd { root: image.root, name: image.name.clone(), reason })
        };
        images.iter().filter_map(reason).collect()
    };
    let size = |image: &Image| format!("{}x{} pixels", image.width, image.height);
    let mis_sized = |image: &&Image| is_mis_sized(image, &sizes);
    let mis_sized = images.iter().filter(mis_sized);
    let mis_sized = mis_sized
        .map(|image| Odd { root: image.root, name: image.name.clone(), reason: size(image) })
        .collect();
    let grey = images.iter().filter(|image| image.grey).count();
    let mut audit = Audit {
        options: options.clone(),
        findings: Vec::new(),
        balance: balance(&images, found.classes.len()),
        formats,
        grey,
        colour: images.len() - grey,
        unreadable: found.unreadable,
        blank: odd(|image, _| image.blank.then(|| "nothing to be seen".into())),
        tiny: odd(|image, options| {
            let (width, height) = (image.width, image.height);
            (width.min(height) < options.smallest_side).then(|| format!("{width}x{height} pixels"))
        }),
        mis_sized,
        sizes: sizes.into_iter().take(Audit::SHOWN).collect(),
        exact: counts(&pairs, true),
        near: counts(&pairs, false),
        cluster_count: 0,
        clusters: Vec::new(),
        cut_group_count,
        cut_groups,
        probe,
        label_noise,
        roots: found.roots,
        classes: found.classes,
        images,
        pairs,
    };
    let mut clusters = clusters(&audit);
    clusters.sort_by_key(|cluster| {
        std::cmp::Reverse((
            cluster.across_splits,
            cluster.exact && cluster.two_labels,
            cluster.two_labels,
            cluster.images,
        ))
    });
    audit.cluster_count = clusters.len();
    clusters.truncate(Audit::SHOWN);
    audit.clusters = clusters;
    audit.findings = findings(&audit);
    audit
}

fn counts(pairs: &[Pair], exact: bool) -> PairCounts {
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

fn clusters(audit: &Audit) -> Vec<Cluster> {
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

/// Groups that are in more than one split of their root. Augmented copies count too: one in train of a test
/// image is a leak.
fn cut_groups(images: &[Image], options: &Options) -> Vec<Leak> {
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

/// The commonest first.
fn sizes(images: &[Image]) -> Vec<Size> {
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    images.iter().for_each(|image| *counts.entry((image.width, image.height)).or_default() += 1);
    let mut sizes: Vec<Size> =
        counts.into_iter().map(|((width, height), images)| Size { width, height, images }).collect();
    sizes.sort_by_key(|size| std::cmp::Reverse(size.images));
    sizes
}

/// Of a set that has one size by and large, the exceptions; of others, images more than twice as wide as high
/// or the reverse.
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

fn balance(images: &[Image], classes: usize) -> Vec<Balance> {
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

/// By how much the probe must beat the commonest answer, or guessing, before it is worth a warning.
const TOLD_MARGIN: f64 = 0.1;

fn findings(audit: &Audit) -> Vec<Finding> {
    use Severity::{Error, Note, Warning};
    let mut findings = Vec::new();
    let mut tell = |topic: Topic, severity: Severity, number: usize, text: String| {
        if number > 0 {
            findings.push(Finding { topic, severity, count: number, text });
        }
    };
    let (exact, near) = (audit.exact, audit.near);
    let pairs =
        |number: usize, what: &str| count(number, &format!("pair of {what}"), &format!("pairs of {what}"));
    let exact_labels = audit.exact.two_labels;

    tell(Topic::Unreadable, Error, audit.unreadable.len(), {
        format!("{} cannot be read", count(audit.unreadable.len(), "file", "files"))
    });
    let text =
        pairs(exact.across_splits, "exact duplicates") + " across splits: what is tested was trained on";
    tell(Topic::ExactAcrossSplits, Error, exact.across_splits, text);
    let text =
        pairs(near.across_splits, "near duplicates") + " across splits: what is tested was nearly trained on";
    tell(Topic::NearAcrossSplits, Error, near.across_splits, text);
    let text = count(audit.cut_group_count, "group is cut by the splits", "groups are cut by the splits");
    tell(Topic::CutGroups, Error, audit.cut_group_count, text);
    let text = pairs(exact_labels, "exact duplicates") + " under two labels: one of the two is wrong";
    tell(Topic::TwoLabels, Error, exact_labels, text);
    let across = exact.across_sets + near.across_sets;
    let text = pairs(across, "duplicates") + &format!(" across data sets ({} exact)", exact.across_sets);
    tell(Topic::AcrossSets, Warning, across, text);
    let text = pairs(near.two_labels, "near duplicates") + " under two labels: look at them";
    tell(Topic::NearTwoLabels, Warning, near.two_labels, text);
    tell(
        Topic::ExactWithinSplit,
        Warning,
        exact.within_split,
        pairs(exact.within_split, "exact duplicates") + " within a split",
    );
    tell(
        Topic::NearWithinSplit,
        Note,
        near.within_split,
        pairs(near.within_split, "near duplicates") + " within a split",
    );

    let side = audit.options.smallest_side;
    let odd = |number: usize, what: &str| count(number, &format!("image {what}"), &format!("images {what}"));
    tell(Topic::Blank, Warning, audit.blank.len(), odd(audit.blank.len(), "with nothing to be seen"));
    tell(
        Topic::Tiny,
        Warning,
        audit.tiny.len(),
        odd(audit.tiny.len(), &format!("with a side below {side} pixels")),
    );
    let usual = audit
        .sizes
        .first()
        .map_or(String::new(), |size| format!(" (most are {}x{})", size.width, size.height));
    tell(
        Topic::MisSized,
        Note,
        audit.mis_sized.len(),
        odd(audit.mis_sized.len(), "of an unusual size or shape") + &usual,
    );
    let fewer = audit.grey.min(audit.colour);
    let text = format!("grey and colour images are mixed: {} grey, {} in colour", audit.grey, audit.colour);
    tell(Topic::MixedColour, Warning, fewer, text);
    missing_classes(audit, &mut tell);
    probe_findings(audit, &mut tell);
    if let Some(noise) = &audit.label_noise {
        let share = 100.0 * noise.noise;
        let labels = count(noise.doubtful, "label is", "labels are");
        tell(
            Topic::LabelNoise,
            Warning,
            noise.doubtful,
            format!("{labels} doubtful; about {share:.1} % of the labels are wrong"),
        );
    }
    for root in &audit.roots {
        for text in root.left_out.iter().chain(&root.warnings) {
            tell(Topic::Scan, Note, 1, format!("{}: {text}", root.path.display()));
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity)); // stable
    findings
}

/// Classes that a split has none of, and emotions that are no class.
fn missing_classes(audit: &Audit, tell: &mut impl FnMut(Topic, Severity, usize, String)) {
    let mut totals: BTreeMap<(usize, Option<Split>), Vec<usize>> = BTreeMap::new();
    for row in &audit.balance {
        let total = totals.entry((row.root, row.split)).or_insert_with(|| vec![0; audit.classes.len()]);
        total.iter_mut().zip(&row.counts).for_each(|(total, count)| *total += count);
    }
    for ((root, split), total) in totals {
        let missing: Vec<&String> = audit
            .classes
            .iter()
            .zip(&total)
            .filter(|(_, count)| **count == 0)
            .map(|(name, _)| name)
            .collect();
        let place = audit.roots[root].path.display();
        let split = split.map_or(String::new(), |split| format!(", {split}"));
        let text = format!("{place}{split}: no images of {}", quoted_list(&missing));
        tell(Topic::MissingClass, Severity::Warning, missing.len(), text);
    }
    if audit.classes.iter().all(|class| EMOTIONS.contains(&class.as_str())) {
        let missing: Vec<&&str> =
            EMOTIONS.iter().filter(|emotion| !audit.classes.iter().any(|class| class == *emotion)).collect();
        tell(
            Topic::MissingClass,
            Severity::Note,
            missing.len(),
            format!("no class {}", quoted_list(&missing)),
        );
    }
}

fn probe_findings(audit: &Audit, tell: &mut impl FnMut(Topic, Severity, usize, String)) {
    let Some(probe) = &audit.probe else { return };
    let best = |what: &str| {
        let of = probe.told.iter().filter(|told| told.what == what);
        of.max_by(|a: &&Told, b: &&Told| {
            a.balanced_accuracy.estimate.total_cmp(&b.balanced_accuracy.estimate)
        })
    };
    for (what, topic) in [("source", Topic::SourceTold), ("class", Topic::ClassTold)] {
        let Some(told) = best(what) else { continue };
        if told.balanced_accuracy.low <= told.chance + TOLD_MARGIN {
            continue;
        }
        let from = match told.from.as_str() {
            "colour" => "colour statistics alone",
            "jpeg" => "JPEG quantisation alone",
            _ => "colour statistics and JPEG quantisation alone",
        };
        let (found, chance) = (100.0 * told.balanced_accuracy.estimate, 100.0 * told.chance);
        let text = format!(
            "a linear model tells the {what} from {from}: balanced accuracy {found:.1} % (guessing {chance:.1} %)"
        );
        tell(topic, Severity::Warning, told.images, text);
    }
    if let Some(known) = probe.source_tells_class
        && known.accuracy > known.majority + TOLD_MARGIN / 2.0
    {
        let (found, majority) = (100.0 * known.accuracy, 100.0 * known.majority);
        let text = format!(
            "who knows the source alone gives the right class for {found:.1} % (largest class: {majority:.1} %)"
        );
        tell(Topic::SourceTellsClass, Severity::Warning, 1, text);
    }
}
