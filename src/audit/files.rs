//! The files of an audit: `audit.json` and its tables.

use std::fs;
use std::path::{Path, PathBuf};

use super::found::Audit;
use crate::error::{Error, Result};
use crate::files::{write_csv, write_json};

/// Writes into `folder`, which is created if need be, each file whole or not at all:
///
/// - `pairs.csv`: kind, relation, same_label, hash_distance, correlation, and root, path, split, label and
///   group of a and of b;
/// - `odd.csv`: what, root, path, reason; unreadable, blank, tiny and mis-sized files;
/// - `labels.csv`, where runs were given: path, split, label, suggested, self_confidence, margin, doubtful;
///   the least plausible label first;
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
