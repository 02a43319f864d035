//! Checks a data set before anything is trained on it: duplicates, leakage, unusual files, shortcuts,
//! doubtful labels.
//!
//! [`run`] finds and reads the images of one or more roots once and returns an [`Audit`]; [`files`],
//! [`clean_list`] and [`page`] write it. The data are not changed. The result depends on the files, the
//! options and the seed alone.

pub mod clean_list;
mod duplicates;
pub mod files;
mod findings;
mod found;
mod image;
mod inspect;
pub mod label_noise;
mod options;
pub mod page;
pub mod probe;
mod read;
pub mod similar;
mod statistics;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;

pub use self::found::{
    Audit, Balance, Cluster, Finding, Member, Odd, PairCounts, Root, Severity, Size, Topic,
};
pub use self::image::{Image, Kind, Pair, Relation};
pub use self::options::{Options, Progress, Stage};
use self::similar::Fingerprint;
use crate::error::{Error, Result};

/// Audits the images of all roots. Files that cannot be read are findings, not errors.
///
/// # Errors
/// [`Error::Input`] or [`Error::Io`] where a root does not exist, has no known layout or no readable image;
/// where classes do not fit; for an invalid regular expression; for runs without predictions.
pub fn run(options: &Options, progress: Progress) -> Result<Audit> {
    let regex = options.group_regex.as_deref().map(regex::Regex::new).transpose();
    let regex = regex.map_err(|error| Error::input("--group-regex", error.to_string().replace('\n', " ")))?;
    let mut scan = read::scan(options)?;
    let (mut images, inspected) = read::read(&mut scan, options, progress)?;
    read::name_groups(&mut images, &scan.given_groups, regex.as_ref(), options.roots.len());

    let fingerprints: Vec<Fingerprint> = inspected.iter().map(|one| one.fingerprint.clone()).collect();
    let comparing = |done: usize, of: usize| progress(Stage::Comparing, done, of);
    let pairs = duplicates::pairs(&images, &fingerprints, options.near.as_ref(), &comparing);
    drop(fingerprints);
    let probing = |done: usize, of: usize| progress(Stage::Probing, done, of);
    let probe = match options.probe_images {
        0 => None,
        _ => probe::run(&images, &inspected, &scan.classes, options, &probing)?,
    };
    let label_noise = label_noise::from_runs(&options.runs)?;

    let mut cut_groups = statistics::cut_groups(&images, options);
    let cut_group_count = cut_groups.len();
    cut_groups.truncate(Audit::SHOWN);
    let mut sizes = statistics::sizes(&images);
    let mis_sized = statistics::mis_sized(&images, &sizes);
    sizes.truncate(Audit::SHOWN);
    let grey = images.iter().filter(|image| image.grey).count();
    let mut audit = Audit {
        options: options.clone(),
        findings: Vec::new(),
        balance: statistics::balance(&images, scan.classes.len()),
        formats: statistics::formats(&inspected),
        grey,
        colour: images.len() - grey,
        unreadable: scan.unreadable,
        blank: statistics::blank(&images),
        tiny: statistics::tiny(&images, options.smallest_side),
        mis_sized,
        sizes,
        exact: duplicates::counts(&pairs, true),
        near: duplicates::counts(&pairs, false),
        cluster_count: 0,
        clusters: Vec::new(),
        cut_group_count,
        cut_groups,
        probe,
        label_noise,
        roots: scan.roots,
        classes: scan.classes,
        images,
        pairs,
    };
    let mut clusters = duplicates::clusters(&audit);
    clusters.sort_by_key(|one| {
        Reverse((one.across_splits, one.exact && one.two_labels, one.two_labels, one.images))
    });
    audit.cluster_count = clusters.len();
    clusters.truncate(Audit::SHOWN);
    audit.clusters = clusters;
    audit.findings = findings::findings(&audit);
    Ok(audit)
}
