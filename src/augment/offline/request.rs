//! What is asked for, and checking it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::source::Source;
use crate::augment::profile::Profile;
use crate::error::{Error, Result};

/// How the originals get into the output.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Originals {
    /// As copies, byte for byte.
    #[default]
    Copy,
    /// As hard links: they take no space, but a change to one is a change to both.
    Hardlink,
    /// As copies that share the disk's blocks until one of them is changed (Btrfs, XFS, APFS).
    Reflink,
}

impl std::fmt::Display for Originals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Copy => "copy",
            Self::Hardlink => "hardlink",
            Self::Reflink => "reflink",
        })
    }
}

/// What to augment, how, and where to.
#[derive(Clone, Debug)]
pub struct Request {
    /// Class folders, train/valid/test folders of them (then only train is augmented), or a folder of images.
    pub source: PathBuf,
    /// A new folder outside the source.
    pub output: PathBuf,
    /// Augmented copies of each original, 1 to 1000.
    pub copies: u32,
    /// Which operations are applied, how strongly and how often.
    pub profile: Profile,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Threads, 1 to 1024; the result does not depend on their number.
    pub threads: usize,
    /// Continue an interrupted run, or verify a finished one.
    pub resume: bool,
    /// Classes whose images get copies; all if empty.
    pub emotions: Vec<String>,
    /// How the originals get into the output.
    pub originals: Originals,
    /// A regular expression whose first capture group, in a file's name, identifies the person or photo.
    pub group_regex: Option<String>,
}

/// A checked request.
pub(super) struct Plan {
    pub(super) output: PathBuf,
    pub(super) copies: u32,
    pub(super) profile: Profile,
    pub(super) seed: u64,
    pub(super) originals: Originals,
    pub(super) group_regex: Option<Regex>,
}

/// Checks the request as far as that needs no walk.
pub(super) fn check(request: &Request) -> Result<(Source, Plan)> {
    if request.copies == 0 || request.copies > 1000 {
        return Err(Error::input("-n", format!("found {}", request.copies))
            .expected("1 to 1000 augmented copies of each original"));
    }
    if !(1..=1024).contains(&request.threads) {
        return Err(Error::input("--threads", format!("found {}", request.threads)).expected("1 to 1024"));
    }
    request.profile.validate()?;
    let regex = |text: &String| {
        Regex::new(text).map_err(|error| {
            let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            Error::input("--group-regex", format!("`{text}`: {reason}")).expected(
                "a regular expression whose first group identifies the person or photo, such as '^(\\d+)_'",
            )
        })
    };
    let group_regex = request.group_regex.as_ref().map(regex).transpose()?;
    let root = request.source.canonicalize().map_err(|error| Error::io("read", &request.source, error))?;
    let output = future_path(&request.output)?;
    let overlaps = if output == root {
        "is"
    } else if output.starts_with(&root) {
        "is inside"
    } else if root.starts_with(&output) {
        "contains"
    } else {
        ""
    };
    if !overlaps.is_empty() {
        let problem = format!("{overlaps} the source {}", request.source.display());
        return Err(Error::at(&request.output, problem)
            .expected("an output folder outside the source")
            .hint("Choose another output folder"));
    }
    let source = Source::open(&root, &output)?;
    let plan = Plan {
        output,
        copies: request.copies,
        profile: request.profile.clone(),
        seed: request.seed,
        originals: request.originals,
        group_regex,
    };
    Ok((source, plan))
}

/// The path without links of something that may not be there yet.
fn future_path(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|error| Error::io("read", path, error))?;
    let mut missing: Vec<OsString> = Vec::new();
    let mut there = absolute.as_path();
    loop {
        match there.canonicalize() {
            Ok(mut found) => {
                found.extend(missing.iter().rev());
                return Ok(found);
            }
            Err(error) => match (there.file_name(), there.parent(), there.symlink_metadata().is_ok()) {
                (Some(name), Some(parent), false) => {
                    missing.push(name.to_owned());
                    there = parent;
                }
                _ => return Err(Error::io("read", there, error)),
            },
        }
    }
}
