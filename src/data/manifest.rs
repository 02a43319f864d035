//! The augmenter's manifest: which file is a copy of which original.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// The manifest's name in the root of the augmenter's output.
pub const MANIFEST: &str = "mien-manifest.jsonl";

/// The manifest so far, while the augmenter is running; it also has lines for files that could not be used.
pub const JOURNAL: &str = "mien-manifest.jsonl.part";

/// The augmenter's settings, in the root of its output from the start.
pub const SETTINGS: &str = "mien-augment.json";

/// The fields of a line that the loader needs; others are for people.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ManifestLine {
    /// The written file, relative to the manifest's folder, `/` separated.
    pub output: String,
    /// The original, relative to the root that was augmented.
    pub source: String,
    /// The group of the original and all its copies.
    pub group: String,
    /// 0: the original itself; 1 and up: an augmented copy.
    pub copy: u32,
}

/// Reads the manifest of `root`, by output path; `None` if there is none. The last line about an output wins.
///
/// # Errors
/// The file cannot be read; a line is malformed (it is named); the augmenter has not finished.
pub fn read_manifest(root: &Path) -> Result<Option<HashMap<String, ManifestLine>>> {
    let path = root.join(MANIFEST);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            if root.join(JOURNAL).exists() || root.join(SETTINGS).exists() {
                return Err(Error::at(root, "the augmentation of this folder is not finished")
                    .hint("Finish it with the same `mien augment` command and --resume"));
            }
            return Ok(None);
        }
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let mut lines = HashMap::new();
    for (index, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let mut line: ManifestLine = serde_json::from_str(text).map_err(|error| {
            Error::input(format!("{} line {}", path.display(), index + 1), error.to_string())
                .expected("an object with output, source, group and copy")
                .hint("If `mien augment` was interrupted, finish with the same command and --resume")
        })?;
        line.output = tidy(&line.output);
        line.source = tidy(&line.source);
        lines.insert(line.output.clone(), line);
    }
    Ok(Some(lines))
}

/// A relative path without a leading `./`.
fn tidy(path: &str) -> String {
    path.strip_prefix("./").unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<HashMap<String, ManifestLine>>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST), text).unwrap();
        read_manifest(folder.path())
    }

    #[test]
    fn lines_are_read_by_output_and_other_fields_are_ignored() {
        let lines = read(concat!(
            r#"{"output":"./a/1.png","source":"a/1.png","group":"g","copy":0,"#,
            r#""seed":7,"operation":{"blur":3}}"#,
            "\n\n",
            r#"{"output":"a/1_aug_1.png","source":"a/1.png","group":"g","copy":1}"#,
            "\n"
        ));
        let lines = lines.unwrap().unwrap();
        assert_eq!(lines["a/1.png"].source, "a/1.png");
        assert_eq!(lines["a/1_aug_1.png"].copy, 1);
    }

    #[test]
    fn a_cut_line_is_an_error_that_names_it() {
        let line = r#"{"output":"a/1.png","source":"a/1.png","group":"g","copy":0}"#;
        let error = read(&format!("{line}\n{{\"output\":\"a/1_a")).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("--resume"), "{error}");
        assert!(read("{}").unwrap_err().to_string().contains("missing field `output`"));
    }

    #[test]
    fn an_unfinished_output_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(JOURNAL), "").unwrap();
        assert!(read_manifest(folder.path()).unwrap_err().to_string().contains("--resume"));
    }

    #[test]
    fn a_folder_without_one_has_none() {
        assert_eq!(read_manifest(tempfile::tempdir().unwrap().path()).unwrap(), None);
    }
}
