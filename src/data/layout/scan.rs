//! Which layout a root has, and its images.

use std::fs;
use std::path::Path;

use super::fer2013::read_fer2013;
use super::folders::scan_folder;
use super::found::{EXPECTED, Scan};
use super::list::{is_list, list_entries, read_csv, read_jsonl};
use crate::error::{Error, Result};
use crate::files::csv_error;
use crate::text::quoted_list;

/// Finds the images of `root`.
///
/// # Errors
/// The root is missing, has an unknown layout, mixes two layouts, has no class folders or no images; a list
/// is malformed.
pub fn scan(root: &Path) -> Result<Scan> {
    let about = fs::metadata(root).map_err(|error| Error::io("read", root, error))?;
    let mut scan = if about.is_dir() { scan_folder(root)? } else { scan_file(root)? };
    if scan.entries.is_empty() && scan.unreadable.is_empty() {
        let labels: Vec<&String> = scan.labels.iter().collect();
        let inside = if labels.is_empty() { String::new() } else { format!(" in {}", quoted_list(&labels)) };
        return Err(Error::at(root, format!("there are no images{inside}"))
            .expected(EXPECTED)
            .hint(scan.left_out.join("; ")));
    }
    // Two names that differ only in bytes that are not UTF-8 look the same; their paths differ.
    scan.entries.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.origin.path().cmp(&b.origin.path())));
    scan.unreadable.sort();
    Ok(scan)
}

fn scan_file(path: &Path) -> Result<Scan> {
    if !is_list(path) {
        return Err(Error::at(path, "unknown kind of file").expected(EXPECTED));
    }
    let rows = if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jsonl")) {
        read_jsonl(path)?
    } else {
        let malformed = |error| csv_error(path, error).expected("a CSV file in UTF-8 with one header line");
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(malformed)?;
        let header = reader.headers().map_err(malformed)?.clone();
        let column = |names: &[&str]| {
            header.iter().position(|title| {
                names.contains(&title.trim_start_matches('\u{feff}').to_lowercase().as_str())
            })
        };
        if let (Some(emotion), Some(pixels)) = (column(&["emotion"]), column(&["pixels"])) {
            return read_fer2013(path, reader, emotion, pixels, column(&["usage"]));
        }
        let (Some(file), Some(label)) = (column(&["path"]), column(&["label"])) else {
            return Err(Error::at(
                path,
                format!("found the columns {}", quoted_list(&header.iter().collect::<Vec<_>>())),
            )
            .expected("path and label (optional: split, group), or emotion and pixels (optional: Usage)"));
        };
        read_csv(path, reader, [Some(file), Some(label), column(&["split"]), column(&["group"])])?
    };
    list_entries(path, rows)
}
