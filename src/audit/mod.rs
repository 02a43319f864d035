//! Looking a data set over before anything is trained on it: duplicates, leaks, odd files, shortcuts,
//! doubtful labels.
//!
//! [`run`] finds and reads the images of one or more roots once and returns an [`Audit`]; [`files`] and
//! [`page`] write it down. Nothing is changed in the data. The result depends on the files, the options and
//! the seed alone.

pub mod files;
pub mod label_noise;
mod look;
pub mod page;
pub mod probe;
pub mod similar;
mod weigh;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::look::Seen;
use self::similar::{Look, Near};
use crate::data::classes::{EMOTIONS, canonical, resolve};
use crate::data::groups;
use crate::data::layout::{self, Entry};
use crate::data::manifest::{ManifestLine, read_manifest};
use crate::data::{Layout, Leak, Origin, Split};
use crate::error::{Error, Result};

/// What to look at and what to call odd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Data roots: folders, lists or tables, as `mien train` takes them.
    pub roots: Vec<PathBuf>,
    /// The classes, where they are not the seven emotions or all labels that are found.
    pub classes: Vec<String>,
    /// A regular expression that finds an image's group in its file name or path.
    pub group_regex: Option<String>,
    /// What a near duplicate is; `None`: only exact ones are looked for.
    pub near: Option<Near>,
    /// An image with a shorter side is tiny.
    pub smallest_side: usize,
    /// An image whose brightness varies less (standard deviation in grey levels) is blank.
    pub flattest: f64,
    /// How many images, drawn at random, the shortcut probe looks at; 0: there is no probe.
    pub probe_images: usize,
    /// Run folders whose predictions say which labels are doubtful.
    pub runs: Vec<PathBuf>,
    /// What random draws are keyed by.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            classes: Vec::new(),
            group_regex: None,
            near: Some(Near::default()),
            smallest_side: 32,
            flattest: 4.0,
            probe_images: 20_000,
            runs: Vec::new(),
            seed: 42,
        }
    }
}

/// What the audit is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading and decoding.
    Reading,
    /// Looking for near duplicates.
    Comparing,
    /// Fitting the shortcut probe.
    Probing,
}

/// Told how far a stage is: the stage, what is done, of how much. Called from any thread.
pub type Progress<'a> = &'a (dyn Fn(Stage, usize, usize) + Sync);

/// One image that could be read.
#[derive(Clone, Debug)]
pub struct Image {
    /// Index into [`Options::roots`].
    pub root: usize,
    /// Path below the root, `/` separated.
    pub name: String,
    /// Where its bytes are.
    pub origin: Origin,
    /// Index into [`Audit::classes`].
    pub class: usize,
    /// The split it was found in, where the root has splits.
    pub split: Option<Split>,
    /// What must not be cut by a split: its key and its exact content joined.
    pub group: String,
    /// The data set that its name tells.
    pub source: Option<String>,
    /// Whether it is an augmented copy.
    pub copy: bool,
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether R = G = B everywhere.
    pub grey: bool,
    /// Whether there is nothing to be seen.
    pub blank: bool,
    /// BLAKE3 of the file's bytes.
    pub hash: [u8; 32],
    /// BLAKE3 of the decoded image.
    pub pixel_hash: [u8; 32],
}

/// How two images are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The same bytes.
    Content,
    /// The same pixels in other bytes.
    Pixels,
    /// Nearly the same pixels.
    Near,
    /// Nearly the same pixels, mirrored.
    Mirrored,
}

impl Kind {
    /// Whether every pixel is the same.
    pub fn is_exact(self) -> bool {
        matches!(self, Self::Content | Self::Pixels)
    }

    /// In a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Self::Content => "same file",
            Self::Pixels => "same pixels",
            Self::Near => "near copy",
            Self::Mirrored => "mirrored near copy",
        }
    }
}

/// Where the two images of a pair lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// In one split of one root, or in a root without splits.
    WithinSplit,
    /// In two splits of one root.
    AcrossSplits,
    /// In two roots.
    AcrossSets,
}

impl Relation {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::WithinSplit => "within a split",
            Self::AcrossSplits => "across splits",
            Self::AcrossSets => "across data sets",
        }
    }
}

/// Two images that are the same, or nearly. Of many exact duplicates each is paired with the first alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Index into [`Audit::images`].
    pub a: usize,
    /// Index into [`Audit::images`], larger than `a`.
    pub b: usize,
    /// How they are the same.
    pub kind: Kind,
    /// Where they lie.
    pub relation: Relation,
    /// Whether they have one label.
    pub same_label: bool,
    /// Bits in which the perceptual hashes differ.
    pub hash_distance: u32,
    /// Correlation of the small grey images.
    pub correlation: f64,
}

/// Pairs of each kind, by where the two lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCounts {
    /// Pairs in one split.
    pub within_split: usize,
    /// Pairs in two splits of a root.
    pub across_splits: usize,
    /// Pairs in two roots.
    pub across_sets: usize,
    /// Pairs of any of these with two labels.
    pub two_labels: usize,
}

/// Images that duplicates, exact or near, connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// How many images.
    pub images: usize,
    /// Whether all of them are the same to the pixel.
    pub exact: bool,
    /// Whether they have more than one label.
    pub two_labels: bool,
    /// Whether they lie in more than one split of a root.
    pub across_splits: bool,
    /// The first [`Cluster::SHOWN`] of them: root, name, split and label.
    pub members: Vec<Member>,
}

impl Cluster {
    /// How many members a cluster names.
    pub const SHOWN: usize = 20;
}

/// One image in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Index into the roots.
    pub root: usize,
    /// Path below the root.
    pub name: String,
    /// Its split.
    pub split: Option<Split>,
    /// Its class.
    pub label: String,
}

/// An image or file with something odd about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Odd {
    /// Index into the roots.
    pub root: usize,
    /// Path below the root.
    pub name: String,
    /// What is odd.
    pub reason: String,
}

/// What one root holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// As the user gave it.
    pub path: PathBuf,
    /// How it keeps its images.
    pub layout: Layout,
    /// Images that could be read.
    pub images: usize,
    /// Augmented copies among them.
    pub copies: usize,
    /// What was found and is no image.
    pub left_out: Vec<String>,
    /// What else the scan told.
    pub warnings: Vec<String>,
}

/// Images per class of one root, split and source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Index into the roots.
    pub root: usize,
    /// The split.
    pub split: Option<Split>,
    /// The data set that the file names tell.
    pub source: Option<String>,
    /// `[K]`
    pub counts: Vec<usize>,
}

/// How many images have one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Images.
    pub images: usize,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Worth a look before training.
    Warning,
    /// What is measured with these data is wrong.
    Error,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // each name says it; the finding's text says more
pub enum Topic {
    Unreadable,
    ExactAcrossSplits,
    NearAcrossSplits,
    AcrossSets,
    CutGroups,
    TwoLabels,
    NearTwoLabels,
    ExactWithinSplit,
    NearWithinSplit,
    Blank,
    Tiny,
    MisSized,
    MixedColour,
    MissingClass,
    SourceTold,
    ClassTold,
    SourceTellsClass,
    LabelNoise,
    Scan,
}

/// One line of the summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How much it matters.
    pub severity: Severity,
    /// How many images, pairs or groups.
    pub count: usize,
    /// One sentence with the number.
    pub text: String,
}

/// All that was found. `audit.json` holds everything but images and pairs, which are in `pairs.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// What was asked.
    pub options: Options,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// What the roots hold.
    pub roots: Vec<Root>,
    /// The K classes.
    pub classes: Vec<String>,
    /// Class counts by root, split and source; augmented copies are not counted.
    pub balance: Vec<Balance>,
    /// Images by file format.
    pub formats: BTreeMap<String, usize>,
    /// The sizes, the commonest first, at most [`Audit::SHOWN`].
    pub sizes: Vec<Size>,
    /// Images without colour.
    pub grey: usize,
    /// Images with colour.
    pub colour: usize,
    /// Files that could not be used.
    pub unreadable: Vec<Odd>,
    /// Images with nothing to be seen.
    pub blank: Vec<Odd>,
    /// Images too small to show a face.
    pub tiny: Vec<Odd>,
    /// Images of a size unlike that of the others.
    pub mis_sized: Vec<Odd>,
    /// Pairs of exact duplicates.
    pub exact: PairCounts,
    /// Pairs of near duplicates.
    pub near: PairCounts,
    /// How many clusters of duplicates there are.
    pub cluster_count: usize,
    /// The clusters, those that matter most first, at most [`Audit::SHOWN`].
    pub clusters: Vec<Cluster>,
    /// How many groups are in more than one split of a root.
    pub cut_group_count: usize,
    /// The first [`Audit::SHOWN`] of them.
    pub cut_groups: Vec<Leak>,
    /// How well simple statistics tell source and class.
    pub probe: Option<probe::Probe>,
    /// Which labels models do not believe.
    pub label_noise: Option<label_noise::LabelNoise>,
    /// Every image that could be read, by root and name.
    #[serde(skip)]
    pub images: Vec<Image>,
    /// Every pair, sorted by (a, b).
    #[serde(skip)]
    pub pairs: Vec<Pair>,
}

impl Audit {
    /// How many entries of a long list are kept.
    pub const SHOWN: usize = 1000;

    /// The worst finding's.
    pub fn severity(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Note)
    }

    /// An image in words.
    pub fn member(&self, index: usize) -> Member {
        let Image { root, name, split, class, .. } = &self.images[index];
        Member { root: *root, name: name.clone(), split: *split, label: self.classes[*class].clone() }
    }
}

/// Reads and judges the images of all roots. Files that cannot be read are findings, not errors.
///
/// # Errors
/// [`Error::Input`] or [`Error::Io`] where a root is not there, of no known layout or without an image that
/// can be read; where classes do not fit; for a bad expression; for runs without predictions.
pub fn run(options: &Options, progress: Progress) -> Result<Audit> {
    let regex = options.group_regex.as_deref().map(regex::Regex::new).transpose();
    let regex = regex.map_err(|error| Error::input("--group-regex", error.to_string().replace('\n', " ")))?;
    let mut found = find(options)?;
    let (mut images, seen) = read(&mut found, options, progress)?;
    name_groups(&mut images, &found.given_groups, regex.as_ref(), options.roots.len());
    let looks: Vec<Look> = seen.iter().map(|seen| seen.look.clone()).collect();
    let comparing = |done: usize, of: usize| progress(Stage::Comparing, done, of);
    let pairs = weigh::pairs(&images, &looks, options.near.as_ref(), &comparing);
    drop(looks);
    let probe = match options.probe_images {
        0 => None,
        most => probe::run(&images, &seen, &found.classes, options, most, &|done, of| {
            progress(Stage::Probing, done, of)
        })?,
    };
    let formats = seen.iter().fold(BTreeMap::new(), |mut formats: BTreeMap<String, usize>, seen| {
        *formats.entry(seen.format.to_owned()).or_default() += 1;
        formats
    });
    let label_noise = label_noise::from_runs(&options.runs)?;
    Ok(weigh::weigh(options, found, images, pairs, formats, probe, label_noise))
}

/// What the scan of the roots gave.
struct Found {
    roots: Vec<Root>,
    classes: Vec<String>,
    unreadable: Vec<Odd>,
    entries: Vec<FoundEntry>,
    /// For each image that could be read, the group of its list or manifest.
    given_groups: Vec<Option<String>>,
}

/// An image that was found.
struct FoundEntry {
    root: usize,
    entry: Entry,
    class: usize,
    manifest: Option<ManifestLine>,
}

fn find(options: &Options) -> Result<Found> {
    if options.roots.is_empty() {
        return Err(
            Error::input("audit", "found no data root").expected("one or more folders, lists or tables")
        );
    }
    let mut found = Found {
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
                    format!("label `{}` of {} has no class", entry.label, entry.name),
                ));
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

/// Reads every image once. Those that cannot be read go to the unreadable ones.
fn read(found: &mut Found, options: &Options, progress: Progress) -> Result<(Vec<Image>, Vec<Seen>)> {
    let entries = std::mem::take(&mut found.entries);
    let (done, of) = (AtomicUsize::new(0), entries.len());
    let one = |found: FoundEntry| {
        let seen = look::read(&found.entry.origin);
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
            Err(Error::at(&root.path, "holds no image that can be read").expected("images to look over"))
        }
        None => Ok((images, all)),
    }
}

/// Gives every image its group, by the rules that `mien train` goes by. A copy without a manifest follows the
/// file that its name tells.
fn name_groups(images: &mut [Image], given: &[Option<String>], regex: Option<&regex::Regex>, roots: usize) {
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
        // A number or a photo in the names of one set is not that of another.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::testing::{png, write};
    use crate::faces::draw::face;
    use crate::image::Bitmap;
    use crate::image::RgbImage;
    use crate::image::encode::{Encoder, Subsampling};
    use crate::image::resize::resize;

    const SILENT: Progress = &|_, _, _| {};

    fn audit(root: &Path) -> Audit {
        run(&Options { roots: vec![root.to_owned()], ..Options::default() }, SILENT).unwrap()
    }

    fn finding(audit: &Audit, topic: Topic) -> Option<(Severity, usize)> {
        audit
            .findings
            .iter()
            .find(|finding| finding.topic == topic)
            .map(|finding| (finding.severity, finding.count))
    }

    fn jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
        let mut file = Vec::new();
        Encoder::default().jpeg(&Bitmap::from_rgb(image.clone()), quality, Subsampling::S420, &mut file);
        file
    }

    fn mirrored(image: &RgbImage) -> RgbImage {
        let rows = image.pixels.chunks_exact(image.width * 3);
        let pixels = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
        RgbImage::new(image.width, image.height, pixels)
    }

    /// Drawn faces of different people: nothing alike.
    fn set(root: &Path) {
        for (split, from) in [("train", 0), ("valid", 100), ("test", 200)] {
            for number in 0..4 {
                for (class, name) in ["happy", "sad"].into_iter().enumerate() {
                    let person = from + number * 2 + class as u64;
                    let image = face(1, person, 0, 3 + 2 * class, 48);
                    write(root, &format!("{split}/{name}/{person}.png"), png(&image));
                }
            }
        }
    }

    #[test]
    fn a_clean_set_has_no_errors_and_all_of_it_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        set(&root);
        let found = audit(&root);
        assert!(found.severity() < Severity::Error, "{:?}", found.findings);
        assert!(found.pairs.is_empty() && found.cut_groups.is_empty(), "{:?}", found.pairs);
        let list = folder.path().join("clean.csv");
        let clean = files::write_list(&list, &found).unwrap();
        assert_eq!((clean.kept, clean.left_out.len()), (24, 0));
        let again = audit(&list);
        assert_eq!(again.images.len(), 24);
        assert_eq!(
            again.balance.iter().map(|row| (row.split, row.counts.clone())).collect::<Vec<_>>(),
            Split::ALL.map(|split| (Some(split), vec![4, 4]))
        );
    }

    #[test]
    fn duplicates_are_found_by_kind_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        set(root);
        let image = face(1, 0, 0, 3, 48); // train/happy/0.png
        write(root, "test/happy/same.png", png(&image));
        let other = face(1, 1, 0, 5, 48); // train/sad/1.png
        write(root, "train/sad/coded.jpg", jpeg(&other, 75));
        write(root, "valid/sad/mirror.png", png(&mirrored(&other)));
        let third = face(1, 100, 0, 3, 48); // valid/happy/100.png
        write(root, "test/sad/large.png", png(&resize(&third, 96, 96)));
        let found = audit(root);
        let of = |name: &str| {
            let index = found.images.iter().position(|image| image.name == name).unwrap();
            let pairs = found.pairs.iter().filter(move |pair| pair.a == index || pair.b == index);
            pairs.map(|pair| (pair.kind, pair.relation, pair.same_label)).collect::<Vec<_>>()
        };
        assert_eq!(of("test/happy/same.png"), [(Kind::Content, Relation::AcrossSplits, true)]);
        assert_eq!(
            of("train/sad/coded.jpg"),
            [(Kind::Near, Relation::WithinSplit, true), (Kind::Mirrored, Relation::AcrossSplits, true)]
        );
        assert_eq!(of("test/sad/large.png"), [(Kind::Near, Relation::AcrossSplits, false)]);
        assert_eq!(found.exact, PairCounts { across_splits: 1, ..PairCounts::default() });
        assert_eq!(finding(&found, Topic::ExactAcrossSplits), Some((Severity::Error, 1)));
        assert_eq!(finding(&found, Topic::NearAcrossSplits), Some((Severity::Error, 3)));
        assert_eq!(finding(&found, Topic::NearTwoLabels), Some((Severity::Warning, 1)));
        assert_eq!(
            finding(&found, Topic::CutGroups),
            Some((Severity::Error, 1)),
            "an exact duplicate is one group"
        );
        assert_eq!(found.cluster_count, 3);
        assert!(found.clusters.iter().all(|cluster| cluster.across_splits));
        let exact_only =
            run(&Options { roots: vec![root.to_owned()], near: None, ..Options::default() }, SILENT).unwrap();
        assert_eq!((exact_only.pairs.len(), exact_only.near), (1, PairCounts::default()));
        let plain = Some(Near { mirrored: false, ..Near::default() });
        let unmirrored =
            run(&Options { roots: vec![root.to_owned()], near: plain, ..Options::default() }, SILENT)
                .unwrap();
        assert!(
            unmirrored.pairs.iter().all(|pair| pair.kind != Kind::Mirrored) && unmirrored.pairs.len() == 3
        );
    }

    #[test]
    fn the_clean_list_has_no_leak_and_one_of_each() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        set(&root);
        let image = face(1, 0, 0, 3, 48);
        write(&root, "test/happy/same.png", png(&image)); // train/happy/0.png has to go
        write(&root, "train/happy/twin.jpg", jpeg(&face(1, 2, 0, 3, 48), 80)); // of train/happy/2.png
        write(&root, "train/sad/torn.png", png(&face(1, 4, 0, 3, 48))); // and train/happy/4.png: both have to go
        for (split, face) in [("train", 7), ("valid", 8)] {
            // Two faces of one photo, as ExpW names them.
            write(
                &root,
                &format!("{split}/happy/{face}Exp0party_{}.png", 12),
                png(&crate::faces::draw::face(1, 300 + face, 0, 3, 48)),
            );
        }
        write(&root, "train/happy/blank.png", png(&RgbImage::new(48, 48, vec![90; 48 * 48 * 3])));
        write(&root, "train/happy/small.png", png(&resize(&face(1, 400, 0, 3, 48), 16, 16)));
        write(&root, "train/happy/broken.png", b"nothing");
        let found = audit(&root);
        let list = folder.path().join("lists/clean.csv");
        let clean = files::write_list(&list, &found).unwrap();
        let expected = [
            ("duplicate of one that is kept", 2),
            ("its group is in a more decisive split", 1),
            ("nothing to be seen", 1),
            ("the same image has two labels", 2),
            ("too small", 1),
            ("unreadable", 1),
        ];
        assert_eq!(
            clean.left_out.iter().map(|(reason, &n)| (reason.as_str(), n)).collect::<Vec<_>>(),
            expected
        );
        let again = audit(&list);
        assert_eq!(again.images.len(), clean.kept);
        assert!(again.severity() < Severity::Error && again.pairs.is_empty(), "{:?}", again.findings);
        let names: Vec<&str> =
            again.images.iter().map(|image| image.name.rsplit('/').next().unwrap()).collect();
        assert!(names.contains(&"same.png") && names.contains(&"8Exp0party_12.png"));
        assert!(
            !["0.png", "4.png", "torn.png", "7Exp0party_12.png", "blank.png"]
                .iter()
                .any(|gone| names.contains(gone))
        );
    }

    #[test]
    fn odd_files_and_contradicting_labels_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        set(root);
        write(root, "train/happy/broken.jpg", b"\xff\xd8\xff nothing");
        write(root, "train/happy/blank.png", png(&RgbImage::new(48, 48, vec![200; 48 * 48 * 3])));
        write(root, "test/sad/blank.png", png(&RgbImage::new(48, 48, vec![200; 48 * 48 * 3])));
        write(root, "train/sad/tiny.png", png(&resize(&face(1, 400, 0, 3, 48), 20, 20)));
        write(root, "train/sad/wide.png", png(&resize(&face(1, 401, 0, 3, 96), 90, 40)));
        let grey = resize(&face(1, 402, 0, 3, 48), 48, 48);
        let luma: Vec<u8> = grey.pixels.chunks_exact(3).map(|pixel| pixel[1]).collect();
        write(root, "train/sad/grey.png", png(&RgbImage::from_grey(48, 48, &luma)));
        write(root, "train/sad/torn.png", png(&face(1, 0, 0, 3, 48)));
        let found = audit(root);
        let names = |odd: &[Odd]| odd.iter().map(|odd| odd.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found.unreadable), ["train/happy/broken.jpg"]);
        assert_eq!(names(&found.blank), ["test/sad/blank.png", "train/happy/blank.png"]);
        assert_eq!(names(&found.tiny), ["train/sad/tiny.png"]);
        assert_eq!(names(&found.mis_sized), ["train/sad/tiny.png", "train/sad/wide.png"]);
        assert!(found.grey >= 3);
        assert_eq!(finding(&found, Topic::Unreadable), Some((Severity::Error, 1)));
        assert_eq!(
            finding(&found, Topic::TwoLabels),
            Some((Severity::Error, 1)),
            "blank images are not counted"
        );
        for topic in [Topic::Blank, Topic::Tiny, Topic::MixedColour] {
            assert_eq!(finding(&found, topic).unwrap().0, Severity::Warning, "{topic:?}");
        }
        assert!(
            found
                .clusters
                .iter()
                .all(|cluster| cluster.members.iter().all(|member| !member.name.contains("blank")))
        );
    }

    #[test]
    fn blank_images_are_no_cluster_and_a_classless_split_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for number in 0..30u8 {
            let noise: Vec<u8> =
                (0..48 * 48 * 3).map(|at: usize| 100 + ((at * 7 + usize::from(number)) % 3) as u8).collect();
            write(root, &format!("train/happy/{number}.png"), png(&RgbImage::new(48, 48, noise)));
        }
        write(root, "test/sad/face.png", png(&face(1, 5, 0, 5, 48)));
        let found = audit(root);
        assert_eq!((found.blank.len(), found.pairs.len()), (30, 0));
        assert_eq!(finding(&found, Topic::MissingClass), Some((Severity::Warning, 1)));
    }

    /// Every face of one source has a cast of colour, and one class comes from that source alone.
    #[test]
    fn a_shortcut_is_told_and_none_is_told_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let [tinted, plain] = ["tinted", "plain"].map(|name| folder.path().join(name));
        for number in 0..40u64 {
            for (class, name) in ["happy", "sad"].into_iter().enumerate() {
                let person = 2 * number + class as u64;
                let image = face(1, person, 0, 3 + 2 * class, 48);
                let from_expw = class == 0;
                let file = if from_expw {
                    format!("{person}Exp0photo_{person}.jpg")
                } else {
                    format!("Sad.{person}.jpg")
                };
                write(&plain, &format!("{name}/{file}"), jpeg(&image, 75));
                let mut image = image;
                if from_expw {
                    image.pixels.chunks_exact_mut(3).for_each(|pixel| pixel[2] = pixel[2].saturating_add(60));
                }
                write(&tinted, &format!("{name}/{file}"), jpeg(&image, if from_expw { 60 } else { 90 }));
            }
        }
        let found = audit(&tinted);
        for topic in [Topic::SourceTold, Topic::ClassTold, Topic::SourceTellsClass] {
            assert!(finding(&found, topic).is_some(), "{topic:?}: {:?}", found.probe);
        }
        let probe = found.probe.unwrap();
        let jpeg = probe.told.iter().find(|told| told.from == "jpeg" && told.what == "source").unwrap();
        assert!(jpeg.accuracy.estimate > 0.99, "{jpeg:?}");
        assert_eq!(
            (probe.source_tells_class.unwrap().accuracy, probe.source_tells_class.unwrap().majority),
            (1.0, 0.5)
        );
        assert_eq!(
            found.balance.iter().map(|row| row.source.as_deref()).collect::<Vec<_>>(),
            [Some("ExpW"), Some("FER2013")]
        );
        let found = audit(&plain);
        assert_eq!(finding(&found, Topic::ClassTold), None, "{:?}", found.probe);
    }

    #[test]
    fn two_sets_are_compared_and_augmented_copies_are_let_be() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        set(&a);
        let image = face(1, 0, 0, 3, 48);
        write(&a, "train/happy/0_aug_1.png", png(&mirrored(&image)));
        write(&a, "test/happy/200_aug_1.jpg", jpeg(&face(1, 200, 0, 3, 48), 70));
        write(&b, "happy/other.jpg", jpeg(&image, 80));
        write(&b, "sad/own.png", png(&face(1, 900, 0, 5, 48)));
        let found = run(&Options { roots: vec![a.clone(), b], ..Options::default() }, SILENT).unwrap();
        let places: Vec<Relation> = found.pairs.iter().map(|pair| pair.relation).collect();
        assert!(
            !places.is_empty() && places.iter().all(|place| *place == Relation::AcrossSets),
            "{:?}",
            found.pairs
        );
        assert_eq!((found.roots[0].copies, found.roots[0].images, found.roots[1].images), (2, 26, 2));
        assert!(
            files::write_list(&folder.path().join("x.csv"), &found)
                .unwrap_err()
                .to_string()
                .contains("2 data roots")
        );
        // A copy in another split than its original is a leak.
        write(&a, "train/happy/aside_aug_1.png", png(&image));
        assert!(audit(&a).cut_groups.is_empty());
    }

    #[test]
    fn the_same_files_give_the_same_bytes_on_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        set(&root);
        write(&root, "test/happy/same<b>.png", png(&face(1, 0, 0, 3, 48)));
        let written = |threads: usize, out: &str| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| audit(&root));
            let out = folder.path().join(out);
            let mut paths = files::write(&out, &found).unwrap();
            paths.push(out.join("audit.html"));
            page::write(&out.join("audit.html"), &found).unwrap();
            paths.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
        };
        let (one, three) = (written(1, "one"), written(3, "three"));
        assert_eq!(one, three);
        let page = one.last().unwrap();
        assert!(page.contains("same&lt;b&gt;.png") && !page.contains("same<b>"), "names are escaped");
        assert!(page.contains("data:image/jpeg;base64,"));
        assert!(!page.contains("http://") && !page.contains("https://"), "the page needs no network");
        let read: Audit = serde_json::from_str(&one[2]).unwrap();
        assert_eq!((read.exact.across_splits, read.classes.len()), (1, 2));
        assert!(
            one[0].starts_with("kind,relation,same_label") && one[0].contains("same file,across splits,true")
        );
    }

    #[test]
    fn what_cannot_be_looked_over_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |options: Options, what: &str| {
            let text = run(&options, SILENT).unwrap_err().to_string();
            assert!(text.contains(what) && !text.contains('\n'), "{text}");
        };
        refused(Options::default(), "no data root");
        write(folder.path(), "happy/a.png", b"nothing");
        let options = Options { roots: vec![folder.path().to_owned()], ..Options::default() };
        refused(options.clone(), "no image that can be read");
        refused(Options { group_regex: Some("(".into()), ..options }, "--group-regex");
    }
}
