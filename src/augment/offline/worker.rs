//! One source: read, decoded, copied, and augmented until its copies keep the limits.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::counts::Counts;
use super::journal::{Line, PROGRAM};
use super::maker::{Made, Maker, key_of};
use super::place::{Placer, in_the_way};
use super::read::{Grant, Memory, ReadImage, read_image};
use super::request::{Originals, Plan};
use super::source::{Listing, copy_name};
use crate::data::groups;
use crate::error::{Error, Result};
use crate::image::Bitmap;
use crate::image::decode::{Format, JPEG};

/// The longest file name of today's file systems, in bytes.
const MAX_NAME: usize = 255;

/// One thread's buffers.
pub(super) struct Worker<'a> {
    plan: &'a Plan,
    memory: &'a Memory,
    placer: &'a Placer,
    maker: Maker<'a>,
    file: Vec<u8>,
    lines: Vec<u8>,
    counts: Counts,
}

/// A source that can be read.
struct Original<'a> {
    /// Path below the source's root, and the bytes of it where they are no Unicode.
    name: String,
    name_bytes: Option<String>,
    hash: blake3::Hash,
    group: String,
    format: Format,
    image: Bitmap,
    grant: Option<Grant<'a>>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(plan: &'a Plan, memory: &'a Memory, placer: &'a Placer) -> Self {
        Self {
            plan,
            memory,
            placer,
            maker: Maker::new(plan),
            file: Vec::new(),
            lines: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The journal's lines and the counts since the last call.
    pub(super) fn take(&mut self) -> (Vec<u8>, Counts) {
        (std::mem::take(&mut self.lines), std::mem::take(&mut self.counts))
    }

    /// Makes the original and `copies` augmented copies of one source, and their lines.
    ///
    /// # Errors
    /// A file cannot be written, or a different file is in its place. A source that cannot be used is not an
    /// error but a line.
    pub(super) fn make(&mut self, listing: &Listing, name: &OsStr, copies: u32) -> Result<()> {
        match self.read(listing, name, copies) {
            Ok(original) => self.make_files(listing, name, copies, original),
            Err(problem) => {
                let below = listing.below.join(name);
                let line = Line {
                    source: portable(&below),
                    source_bytes: raw(&below),
                    problem: Some(problem),
                    ..Line::default()
                };
                self.counts.quarantined += 1;
                self.write_line(&line)
            }
        }
    }

    fn make_files(
        &mut self,
        listing: &Listing,
        name: &OsStr,
        copies: u32,
        original: Original<'a>,
    ) -> Result<()> {
        self.make_original(listing, name, &original)?;
        if copies > 0 {
            self.make_copies(listing, name, copies, &original)?;
        }
        if original.grant.is_some() {
            // Before the memory goes to another large image, the buffers of this one go.
            let (lines, counts) = self.take();
            *self = Self { lines, counts, ..Self::new(self.plan, self.memory, self.placer) };
        }
        Ok(())
    }

    /// Reads and decodes a source, or says in one line why that cannot be.
    fn read(&mut self, listing: &Listing, name: &OsStr, copies: u32) -> Result<Original<'a>, String> {
        if copies > 0 && name.len() + format!("_aug_{copies}~10.jpeg").len() > MAX_NAME {
            return Err(format!(
                "the file name is too long: its {} bytes leave no room for `_aug_{copies}`; rename it",
                name.len()
            ));
        }
        let read = read_image(&listing.path.join(name), self.memory, &mut self.file)?;
        let below = listing.below.join(name);
        let name = portable(&below);
        let hash = blake3::hash(&self.file);
        let by_regex = self.plan.group_regex.as_ref().and_then(|regex| groups::regex_key(regex, &name));
        let group = by_regex
            .or_else(|| groups::name_key(&name).map(|(_, key)| key))
            .unwrap_or_else(|| groups::content_name(hash.as_bytes()));
        let ReadImage { format, image, grant } = read;
        Ok(Original { name_bytes: raw(&below), name, hash, group, format, image, grant })
    }

    fn make_original(&mut self, listing: &Listing, name: &OsStr, original: &Original<'_>) -> Result<()> {
        let target = self.plan.output.join(&listing.below).join(name);
        let is_new = match self.plan.originals {
            Originals::Copy => self.placer.place(&target, &self.file)?,
            Originals::Hardlink => self.placer.link(&listing.path.join(name), &target, &self.file)?,
            Originals::Reflink => self.placer.clone_file(&listing.path.join(name), &target, &self.file)?,
        };
        self.count(is_new, 0, self.file.len());
        let line = Line {
            output: Some(original.name.clone()),
            output_bytes: original.name_bytes.clone(),
            copy: Some(0),
            codec: Some("original".into()),
            output_hash: Some(short(&original.hash)),
            bytes: Some(self.file.len() as u64),
            ..line_of(original)
        };
        self.write_line(&line)
    }

    fn make_copies(
        &mut self,
        listing: &Listing,
        name: &OsStr,
        copies: u32,
        original: &Original<'_>,
    ) -> Result<()> {
        let (base, ending) = copy_name(&listing.files, name, original.format);
        let key = key_of(&listing.below.join(name));
        let mut hashes: Vec<blake3::Hash> = Vec::with_capacity(copies as usize);
        for copy in 1..=copies {
            let made = self.maker.make(&original.image, original.format, key, copy, &hashes);
            self.counts
                .refused
                .iter_mut()
                .zip(std::mem::take(&mut self.maker.refused))
                .for_each(|(sum, count)| *sum += count);
            let Made { operations, attempts, hash } = match made {
                Ok(made) => made,
                Err(reason) => {
                    let line = Line {
                        source: original.name.clone(),
                        source_bytes: original.name_bytes.clone(),
                        copy: Some(copy),
                        problem: Some(reason),
                        ..Line::default()
                    };
                    self.counts.given_up += 1;
                    self.write_line(&line)?;
                    continue;
                }
            };
            hashes.push(hash);
            let mut file = base.clone();
            file.push(format!("_aug_{copy}."));
            file.push(&ending);
            let below = listing.below.join(file);
            let is_new = self.placer.place(&self.plan.output.join(&below), &self.maker.encoded)?;
            self.count(is_new, 1, self.maker.encoded.len());
            operations.iter().for_each(|operation| self.counts.operations[operation.index()] += 1);
            let jpeg = &self.plan.profile.jpeg;
            let line = Line {
                output: Some(portable(&below)),
                output_bytes: raw(&below),
                copy: Some(copy),
                operations: Some(operations),
                attempts: Some(attempts),
                seed: Some(self.plan.seed),
                codec: Some(if original.format == JPEG {
                    format!("jpeg {} {}", jpeg.quality, jpeg.subsampling)
                } else {
                    "png".into()
                }),
                output_hash: Some(short(&hash)),
                bytes: Some(self.maker.encoded.len() as u64),
                ..line_of(original)
            };
            self.write_line(&line)?;
        }
        Ok(())
    }

    /// Checks the files that an earlier run has written for a source; makes again what is missing.
    ///
    /// # Errors
    /// A file is not what the journal says.
    pub(super) fn verify(
        &mut self,
        listing: &Listing,
        name: &OsStr,
        copies: u32,
        lines: &[Line],
    ) -> Result<()> {
        let mut missing = false;
        for line in lines {
            let (Some(output), Some(hash), Some(bytes)) = (&line.output, &line.output_hash, line.bytes)
            else {
                match line.copy {
                    Some(_) => self.counts.given_up += 1,
                    None => self.counts.quarantined += 1,
                }
                continue;
            };
            let path = self.plan.output.join(from_portable(output, line.output_bytes.as_deref()));
            self.file.clear();
            match File::open(&path).and_then(|mut file| file.read_to_end(&mut self.file)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing = true,
                Err(error) => return Err(Error::io("read", path, error)),
                // What a power cut leaves of a file that the disk had not got yet.
                Ok(0) => missing = true,
                Ok(_) if short(&blake3::hash(&self.file)) == *hash => {
                    self.counts.kept += 1;
                    self.counts.bytes += bytes;
                }
                Ok(_) => return Err(in_the_way(&path)),
            }
        }
        if missing {
            self.make_again(listing, name, copies, lines)?;
        }
        Ok(())
    }

    /// Makes what is missing of a source's files. Their lines are in the journal already.
    fn make_again(&mut self, listing: &Listing, name: &OsStr, copies: u32, lines: &[Line]) -> Result<()> {
        let path = listing.path.join(name);
        let changed = |problem: String| {
            Err(Error::at(&path, problem)
                .expected("the original from which missing copies were made")
                .hint("Restore it, or augment into a new folder"))
        };
        let original = match self.read(listing, name, copies) {
            Ok(original) => original,
            Err(problem) => return changed(problem),
        };
        if lines.first().and_then(|line| line.source_hash.as_deref()) != Some(&short(&original.hash)) {
            return changed("has changed since it was augmented".into());
        }
        let (before, counts) = self.take();
        self.make_files(listing, name, copies, original)?;
        let (_, made) = self.take();
        (self.lines, self.counts) = (before, counts);
        self.counts.add(&Counts { kept: 0, bytes: 0, given_up: 0, ..made });
        Ok(())
    }

    fn count(&mut self, is_new: bool, kind: usize, bytes: usize) {
        self.counts.bytes += bytes as u64;
        match (is_new, kind) {
            (false, _) => self.counts.kept += 1,
            (true, 0) => self.counts.originals += 1,
            (true, _) => self.counts.copies += 1,
        }
    }

    fn write_line(&mut self, line: &Line) -> Result<()> {
        serde_json::to_writer(&mut self.lines, line)
            .map_err(|error| Error::Compute(format!("a manifest line: {error}")))?;
        self.lines.push(b'\n');
        Ok(())
    }
}

/// What all lines of an original have in common.
fn line_of(original: &Original<'_>) -> Line {
    Line {
        source: original.name.clone(),
        source_bytes: original.name_bytes.clone(),
        group: Some(original.group.clone()),
        source_hash: Some(short(&original.hash)),
        program: Some(PROGRAM.into()),
        ..Line::default()
    }
}

/// A path with `/`; bytes that are no Unicode become replacement characters.
pub(super) fn portable(below: &Path) -> String {
    crate::data::layout::relative_name(Path::new(""), below)
}

/// The bytes of a path that is not Unicode, in hexadecimal digits.
fn raw(below: &Path) -> Option<String> {
    let bytes = below.as_os_str().as_encoded_bytes();
    below.to_str().is_none().then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The path that [`portable`] and [`raw`] were made of.
fn from_portable(name: &str, bytes: Option<&str>) -> PathBuf {
    #[cfg(unix)]
    if let Some(digits) = bytes {
        use std::os::unix::ffi::OsStringExt;
        let bytes = digits
            .as_bytes()
            .chunks_exact(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        return OsString::from_vec(bytes.collect()).into();
    }
    let _ = bytes;
    OsString::from(name).into()
}

/// A hash's first 16 bytes.
fn short(hash: &blake3::Hash) -> String {
    hash.to_hex()[..32].to_owned()
}
