//! What the augmenter writes down: its settings, a line for each file, and what it could not use.
//!
//! While it works the lines go to a journal, in the order of the sources whatever the number of threads; at
//! the end they become the manifest and the list of what could not be used. A journal that breaks off is the
//! beginning of the full one, so that a resumed run continues where it ends.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::request::Originals;
use crate::augment::profile::{Operation, Profile};
use crate::data::manifest::{JOURNAL, MANIFEST, SETTINGS};
use crate::error::{Error, Result};
use crate::files::{read_json, write_atomic, write_json};

/// What could not be used, in the output's root; not there if everything could.
pub const QUARANTINE: &str = "mien-quarantine.jsonl";

/// Who writes the files, with a number that counts up when the same settings give other bytes.
pub(super) const PROGRAM: &str = concat!("mien ", env!("CARGO_PKG_VERSION"), " augment 1");

/// All that decides about the bytes of an output.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) program: String,
    pub(super) source: String,
    /// Images in the source and a hash of their names.
    pub(super) images: usize,
    pub(super) names: String,
    pub(super) copies: u32,
    pub(super) seed: u64,
    pub(super) emotions: Vec<String>,
    pub(super) group_regex: Option<String>,
    pub(super) originals: Originals,
    pub(super) profile: Profile,
}

impl Settings {
    pub(super) fn read(output: &Path) -> Result<Option<Self>> {
        let path = output.join(SETTINGS);
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    pub(super) fn write(&self, output: &Path) -> Result<()> {
        write_json(&output.join(SETTINGS), self)
    }

    /// Checks that an interrupted run with the settings `self` may be continued with `now`.
    ///
    /// # Errors
    /// The first difference, as one line.
    pub(super) fn check_resume(&self, now: &Self, output: &Path) -> Result<()> {
        let differs = |what: &str, then: String, now: String| {
            Err(Error::at(output, format!("was started with {what} {then}, but is resumed with {now}"))
                .expected("the same settings and the same source")
                .hint("Resume with those, or choose a new output folder"))
        };
        if self.source != now.source {
            return differs("the source", self.source.clone(), now.source.clone());
        }
        if self.program != now.program {
            return differs("the program version", self.program.clone(), now.program.clone());
        }
        if (self.images, &self.names) != (now.images, &now.names) {
            let of = |settings: &Self| {
                format!("{} images ({})", settings.images, &settings.names[..8.min(settings.names.len())])
            };
            return differs("a source of", of(self), of(now));
        }
        for (what, then, now) in [
            ("-n", self.copies.to_string(), now.copies.to_string()),
            ("--seed", self.seed.to_string(), now.seed.to_string()),
            ("--emotion", self.emotions.join(","), now.emotions.join(",")),
            (
                "--group-regex",
                self.group_regex.clone().unwrap_or_default(),
                now.group_regex.clone().unwrap_or_default(),
            ),
            ("--originals", self.originals.to_string(), now.originals.to_string()),
        ] {
            if then != now {
                let shown = |text: String| if text.is_empty() { "not given".into() } else { text };
                return differs(what, shown(then), shown(now));
            }
        }
        if self.profile != now.profile {
            return differs(
                "a --profile",
                format!("whose values are in {SETTINGS}"),
                "one that differs from it".into(),
            );
        }
        Ok(())
    }
}

/// One line of the journal: a file that was written, or something that could not be.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
pub(super) struct Line {
    /// The written file, relative to the output, `/` separated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<String>,
    /// The original, relative to the source.
    pub(super) source: String,
    /// The bytes of the two names in hexadecimal digits, where they are not Unicode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_bytes: Option<String>,
    /// The group of the original and all its copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<String>,
    /// 0: the original itself; 1 and up: an augmented copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) copy: Option<u32>,
    /// Why there is no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// What was done, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operations: Option<Vec<Operation>>,
    /// Draws until the limits were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<u64>,
    /// `original`, `png`, or `jpeg` with quality and subsampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) codec: Option<String>,
    /// BLAKE3, its first 16 bytes in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) program: Option<String>,
}

/// The journal of an interrupted run, read along with the walk over the source.
pub(super) struct Past {
    file: BufReader<File>,
    next: Option<Line>,
    /// Where the last complete block of lines ends, in bytes.
    complete: u64,
    read: u64,
    is_damaged: bool,
    path: PathBuf,
}

impl Past {
    /// Opens the journal, or the manifest of a finished output.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path, error)),
        };
        let mut past = Self {
            file: BufReader::new(file),
            next: None,
            complete: 0,
            read: 0,
            is_damaged: false,
            path: path.to_owned(),
        };
        past.advance()?;
        Ok(Some(past))
    }

    /// Reads the next line; one that was cut off ends the journal.
    fn advance(&mut self) -> Result<Option<Line>> {
        let taken = self.next.take();
        let mut text = Vec::new();
        self.file.read_until(b'\n', &mut text).map_err(|error| Error::io("read", &self.path, error))?;
        if text.ends_with(b"\n") {
            self.next = serde_json::from_slice(&text).ok();
            self.is_damaged |= self.next.is_none();
            self.read += text.len() as u64;
        }
        Ok(taken)
    }

    /// The lines of the source `name`, which has `copies`, if they are next and complete. A finished manifest
    /// lacks what could not be made, so that its lines are `all_there` whatever their number.
    pub(super) fn take(&mut self, name: &str, copies: u32, all_there: bool) -> Result<Option<Vec<Line>>> {
        if self.next.as_ref().is_none_or(|line| line.source != name) {
            return Ok(None);
        }
        let mut lines = Vec::new();
        while self.next.as_ref().is_some_and(|line| line.source == name) {
            // The line in hand has been counted; what follows it has not.
            let end = self.read;
            lines.extend(self.advance()?);
            let is_unusable = lines[0].output.is_none();
            let is_last = self.next.as_ref().is_none_or(|line| line.source != name);
            if is_unusable || (all_there && is_last) || lines.len() == 1 + copies as usize {
                self.complete = end;
                return Ok(Some(lines));
            }
        }
        Ok(None)
    }

    /// The source of the next line, if there is one; an error if there is a line that cannot be read.
    ///
    /// # Errors
    /// The file has a line that is none of the augmenter's.
    pub(super) fn rest(&mut self) -> Result<Option<String>> {
        if let Some(line) = &self.next {
            return Ok(Some(line.source.clone()));
        }
        let length =
            self.file.get_ref().metadata().map_err(|error| Error::io("read", &self.path, error))?.len();
        if self.read < length || self.is_damaged {
            return Err(Error::at(&self.path, format!("is damaged near byte {}", self.read))
                .expected("the lines that mien wrote")
                .hint("Augment into a new folder"));
        }
        Ok(None)
    }

    /// The bytes of the complete blocks that were taken.
    pub(super) fn complete(&self) -> u64 {
        self.complete
    }
}

/// How many sources and how many copies the list of a finished output names as impossible.
pub(super) fn count_problems(output: &Path) -> Result<(usize, usize)> {
    let path = output.join(QUARANTINE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let copies = text
        .lines()
        .filter(|line| serde_json::from_str::<Line>(line).is_ok_and(|line| line.copy.is_some()))
        .count();
    Ok((text.lines().count() - copies, copies))
}

/// The journal that is being written.
pub(super) struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Journal {
    /// Opens the journal of `output` and cuts it to its first `keep` bytes.
    pub(super) fn open(output: &Path, keep: u64) -> Result<Self> {
        let path = output.join(JOURNAL);
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            file.set_len(keep)?;
            Ok(file)
        };
        let file = open().map_err(|error| Error::io("write", &path, error))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), path })
    }

    /// Adds lines, each with its line break.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<()> {
        self.file.write_all(lines).map_err(|error| Error::io("write", &self.path, error))
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|error| Error::io("write", &self.path, error))
    }

    /// Turns the journal into the manifest and, if it has `problems`, the list of what could not be used.
    pub(super) fn finish(mut self, output: &Path, problems: bool) -> Result<()> {
        self.flush()?;
        self.file.get_ref().sync_all().map_err(|error| Error::io("write", &self.path, error))?;
        let manifest = output.join(MANIFEST);
        if !problems {
            return fs::rename(&self.path, &manifest).map_err(|error| Error::io("write", manifest, error));
        }
        let select = |path: &Path, wanted: bool| {
            let journal = File::open(&self.path).map_err(|error| Error::io("read", &self.path, error))?;
            write_atomic(path, |out| {
                let mut journal = BufReader::new(journal);
                let mut line = Vec::new();
                while journal.read_until(b'\n', &mut line)? > 0 {
                    if line.starts_with(b"{\"output\":") == wanted {
                        out.write_all(&line)?;
                    }
                    line.clear();
                }
                Ok(())
            })
        };
        select(&output.join(QUARANTINE), false)?;
        select(&manifest, true)?;
        fs::remove_file(&self.path).map_err(|error| Error::io("remove", &self.path, error))
    }
}
