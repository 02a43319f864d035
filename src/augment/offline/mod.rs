//! The offline augmenter: copies of every original and N augmented versions of each, with a manifest by which the trainer keeps a
//! copy with its original.
//!
//! ```text
//! source (one folder at a time) ─► workers: read, decode, draw, check, encode, place ─► journal (in order) ─► manifest
//! ```
//!
//! What a copy looks like depends on (seed, path below the source, copy number) alone: neither the number of threads nor an
//! interruption changes a byte. Nothing is deleted and nothing overwritten; what cannot be used is listed with the reason.

mod estimate;
mod journal;
mod maker;
mod place;
mod preview;
mod source;
mod worker;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use regex::Regex;
use serde::{Deserialize, Serialize};

pub use self::estimate::{Estimate, estimate};
use self::journal::{Journal, Line, PROGRAM, Past, Settings};
pub use self::journal::{QUARANTINE, SETTINGS};
pub use self::maker::REASONS;
use self::place::{Placer, WORKSHOP};
pub use self::preview::preview;
use self::source::{Listing, Notes, Source};
pub use self::worker::Counts;
use self::worker::{Worker, portable};
use super::profile::Profile;
use crate::data::Split;
use crate::data::classes::{canonical, list};
use crate::data::manifest::{JOURNAL, MANIFEST};
use crate::error::{Error, Result};
use crate::fsutil::create_new_dir;

/// Sources that a thread takes at a time.
const BATCH: usize = 32;

/// How the originals come into the output.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Originals {
    /// Byte for byte.
    #[default]
    Copy,
    /// As hard links: no space, but a change of one is a change of both.
    Hardlink,
    /// As copies that share the disk's blocks until one is changed (Btrfs, XFS, APFS).
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

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Class folders, train/valid/test folders of them (then only train is augmented), or a folder of pictures.
    pub source: PathBuf,
    /// A new folder outside of the source.
    pub output: PathBuf,
    /// Augmented copies of each original.
    pub copies: u32,
    /// What is done to them.
    pub profile: Profile,
    /// Same seed, same bytes.
    pub seed: u64,
    /// Threads; the result does not depend on them.
    pub threads: usize,
    /// Go on with an interrupted run.
    pub resume: bool,
    /// Only these classes get copies; empty: all.
    pub emotions: Vec<String>,
    /// How the originals come into the output.
    pub originals: Originals,
    /// What of a file name tells the person or photo.
    pub group_regex: Option<String>,
}

/// A checked request.
pub(super) struct Plan {
    output: PathBuf,
    copies: u32,
    profile: Profile,
    seed: u64,
    originals: Originals,
    group_regex: Option<Regex>,
}

/// What the source holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Pictures by label and split, and whether they get copies; sorted.
    pub classes: Vec<SurveyedClass>,
    /// All pictures.
    pub pictures: usize,
    /// Those that get copies.
    pub augmented: usize,
    /// What was found besides, in words.
    pub notes: Vec<String>,
    /// A hash of the pictures' paths below the source.
    names: String,
}

/// One class folder of the source.
#[derive(Clone, Debug)]
pub struct SurveyedClass {
    /// The folder's name; empty for a flat folder.
    pub label: String,
    /// The split it lies in.
    pub split: Option<Split>,
    /// Its pictures.
    pub pictures: usize,
    /// Whether they get copies.
    pub augmented: bool,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What the source holds.
    pub survey: Survey,
    /// What was written.
    pub counts: Counts,
    /// How long it took.
    pub seconds: f64,
    /// The output.
    pub output: PathBuf,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// The source is being listed: so many pictures so far.
    Listing(usize),
    /// So many sources of so many are done.
    Done(usize, usize),
}

/// Writes the copies. `stop` ends it after the files in hand; the output can then be resumed.
///
/// # Errors
/// The request cannot be fulfilled (bad folders, settings that differ from those of the run to resume); a file cannot be written; another
/// file is in the way; the user stopped it. That a source cannot be read is no error: it is counted and listed.
pub fn augment(request: &Request, progress: &dyn Fn(Progress), stop: &AtomicBool) -> Result<Summary> {
    let start = Instant::now();
    let (source, plan) = open(request)?;
    let augmented = augmented_classes(&source, &request.emotions)?;
    let survey = survey(&source, &augmented, progress, stop)?;
    let _lock = begin(request, &source, &plan, &survey)?;
    let counts = write_all(request, &source, &plan, &augmented, survey.pictures, progress, stop)?;
    Ok(Summary { survey, counts, seconds: start.elapsed().as_secs_f64(), output: plan.output })
}

/// The copies of each original that an interrupted run was to write to `output`; none if there is no such run.
///
/// # Errors
/// Its settings cannot be read.
pub fn copies_before(output: &Path) -> Result<Option<u32>> {
    Ok(Settings::read(output)?.map(|settings| settings.copies))
}

// ------------------------------------------------------------------------------------------------------------- before writing

/// Checks the request as far as that needs no walk.
fn open(request: &Request) -> Result<(Source, Plan)> {
    if request.copies == 0 || request.copies > 1000 {
        return Err(
            Error::input("-n", format!("found {}", request.copies)).expected("1 to 1000 augmented copies of each original")
        );
    }
    if request.threads == 0 {
        return Err(Error::input("--threads", "found 0").expected("1 or more"));
    }
    request.profile.validate()?;
    let regex = |text: &String| {
        Regex::new(text).map_err(|error| {
            let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            Error::input("--group-regex", reason).expected("a regular expression such as '^(\\d+)_'")
        })
    };
    let group_regex = request.group_regex.as_ref().map(regex).transpose()?;
    let root = request.source.canonicalize().map_err(|error| Error::io("read", &request.source, error))?;
    let output = future_path(&request.output)?;
    let apart = |problem: &str| {
        Err(Error::at(&request.output, format!("{problem} the source {}", request.source.display()))
            .expected("an output apart from the source")
            .hint("Choose another output"))
    };
    if output == root {
        return apart("is");
    }
    if output.starts_with(&root) {
        return apart("lies inside of");
    }
    if root.starts_with(&output) {
        return apart("is a folder around");
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

/// For each class folder, whether its pictures get copies.
fn augmented_classes(source: &Source, emotions: &[String]) -> Result<Vec<bool>> {
    let same = |label: &str, wanted: &String| match (canonical(label), canonical(wanted)) {
        (Some(a), Some(b)) => a == b,
        _ => label.trim().eq_ignore_ascii_case(wanted.trim()),
    };
    let labels: Vec<&str> = (0..source.class_count()).map(|index| source.class(index).0).collect();
    if let Some(unknown) = emotions.iter().find(|wanted| !labels.iter().any(|label| same(label, wanted))) {
        let mut found: Vec<&str> = labels.iter().copied().filter(|label| !label.is_empty()).collect();
        found.sort_unstable();
        found.dedup();
        let expected = if found.is_empty() {
            "no --emotion: the source has no class folders".into()
        } else {
            format!("one of {}", list(&found))
        };
        return Err(Error::input("--emotion", format!("found `{unknown}`")).expected(expected));
    }
    let of_class = |index| {
        let (label, split) = source.class(index);
        matches!(split, None | Some(Split::Train)) && (emotions.is_empty() || emotions.iter().any(|wanted| same(label, wanted)))
    };
    Ok((0..source.class_count()).map(of_class).collect())
}

/// Counts the pictures.
fn survey(source: &Source, augmented: &[bool], progress: &dyn Fn(Progress), stop: &AtomicBool) -> Result<Survey> {
    let mut counts = vec![0; source.class_count()];
    let mut names = blake3::Hasher::new();
    let mut notes = Notes::default();
    let mut all = 0;
    let flow = source.walk(&mut notes, &mut |listing| {
        names.update(listing.below.as_os_str().as_encoded_bytes()).update(b"\0");
        for name in &listing.files {
            names.update(name.as_encoded_bytes()).update(b"\0");
        }
        counts[listing.class] += listing.files.len();
        all += listing.files.len();
        progress(Progress::Listing(all));
        Ok(if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if flow.is_break() {
        return Err(Error::Interrupted("stopped before anything was written".into()));
    }
    let notes = notes.into_lines();
    if all == 0 {
        return Err(Error::at(&source.root, "holds no pictures")
            .expected("JPEG, PNG, BMP, WebP or TIFF files")
            .hint(notes.join("; ")));
    }
    let mut classes: BTreeMap<(Option<Split>, String), SurveyedClass> = BTreeMap::new();
    for (index, pictures) in counts.into_iter().enumerate() {
        let (label, split) = source.class(index);
        let class = SurveyedClass { label: label.to_owned(), split, pictures, augmented: augmented[index] };
        classes.insert((split, label.to_owned()), class);
    }
    let classes: Vec<SurveyedClass> = classes.into_values().collect();
    Ok(Survey {
        augmented: classes.iter().filter(|class| class.augmented).map(|class| class.pictures).sum(),
        classes,
        pictures: all,
        notes,
        names: names.finalize().to_hex()[..32].to_owned(),
    })
}

/// Makes the output ready: a new folder with its settings, or that of an interrupted run with the same. Holds it until dropped.
fn begin(request: &Request, source: &Source, plan: &Plan, survey: &Survey) -> Result<File> {
    let settings = Settings {
        program: PROGRAM.into(),
        source: source.root.display().to_string(),
        pictures: survey.pictures,
        names: survey.names.clone(),
        copies: plan.copies,
        seed: plan.seed,
        emotions: request.emotions.clone(),
        group_regex: request.group_regex.clone(),
        originals: plan.originals,
        profile: plan.profile.clone(),
    };
    let output = &plan.output;
    match Settings::read(output)? {
        Some(before) if request.resume => before.check_resume(&settings, output)?,
        Some(_) => {
            let state = if output.join(MANIFEST).exists() {
                "holds a finished augmentation"
            } else {
                "holds an interrupted augmentation"
            };
            return Err(Error::at(output, state)
                .expected("a new or an empty folder")
                .hint("Go on with it by --resume, or choose another output: nothing is overwritten"));
        }
        None => {
            create_new_dir(output)?;
            settings.write(output)?;
        }
    }
    let path = output.join(SETTINGS);
    let file = File::open(&path).map_err(|error| Error::io("read", &path, error))?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(Error::at(output, "another mien is writing here").hint("Wait for it, or stop it first"));
    }
    Ok(file)
}

// -------------------------------------------------------------------------------------------------------------------- writing

/// Sources for one thread.
struct Batch {
    number: usize,
    listing: Arc<Listing>,
    copies: u32,
    /// The file's index in the listing, and its lines if an earlier run has done it.
    items: Vec<(usize, Option<Vec<Line>>)>,
    /// Bytes of the journal that the batches up to this one stand in.
    journaled: u64,
}

/// What became of a batch.
struct Done {
    number: usize,
    sources: usize,
    journaled: u64,
    result: Result<(Vec<u8>, Counts)>,
}

fn write_all(
    request: &Request,
    source: &Source,
    plan: &Plan,
    augmented: &[bool],
    pictures: usize,
    progress: &dyn Fn(Progress),
    stop: &AtomicBool,
) -> Result<Counts> {
    let output = &plan.output;
    let is_finished = output.join(MANIFEST).exists();
    let past = Past::open(&output.join(if is_finished { MANIFEST } else { JOURNAL }))?;
    let workshop = output.join(WORKSHOP);
    if workshop.exists() {
        fs::remove_dir_all(&workshop).map_err(|error| Error::io("remove", &workshop, error))?;
    }
    let placers: Vec<Placer> = (0..request.threads).map(|number| Placer::new(output, number)).collect::<Result<_>>()?;

    let (to_workers, batches) = sync_channel::<Batch>(2 * request.threads);
    let (to_journal, done) = channel::<Done>();
    let batches = Mutex::new(batches);
    let large = Mutex::new(());
    let failed = AtomicBool::new(false);
    let (listed, counts) = std::thread::scope(|scope| {
        let lister = scope.spawn(|| {
            let is_over = || stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
            list_batches(source, plan, augmented, past, is_finished, to_workers, &is_over)
        });
        for placer in &placers {
            let (to_journal, batches, failed, large) = (to_journal.clone(), &batches, &failed, &large);
            scope.spawn(move || work(Worker::new(plan, large, placer), batches, &to_journal, failed));
        }
        drop(to_journal);
        let counts = collect(output, is_finished, pictures, &done, &failed, progress);
        let listed = lister.join().unwrap_or_else(|_| Err(Error::Compute("the source's listing broke off (a bug)".into())));
        (listed, counts)
    });
    let (counts, journal) = counts?;
    listed?;
    fs::remove_dir_all(&workshop).map_err(|error| Error::io("remove", &workshop, error))?;
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Interrupted("stopped; go on with the same command and --resume".into()));
    }
    if let Some(journal) = journal {
        journal.finish(output, counts.quarantined + counts.given_up > 0)?;
    }
    Ok(counts)
}

/// Lists the source's pictures in batches, with what an earlier run has noted of them.
fn list_batches(
    source: &Source,
    plan: &Plan,
    augmented: &[bool],
    mut past: Option<Past>,
    is_finished: bool,
    to_workers: SyncSender<Batch>,
    is_over: &dyn Fn() -> bool,
) -> Result<()> {
    let mut number = 0;
    let mut journaled = 0;
    let mut visit = |listing: Listing| {
        let listing = Arc::new(listing);
        let copies = if augmented[listing.class] { plan.copies } else { 0 };
        if !listing.files.is_empty() {
            let folder = plan.output.join(&listing.below);
            fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        }
        for chunk in (0..listing.files.len()).step_by(BATCH) {
            let mut items = Vec::with_capacity(BATCH);
            for index in chunk..listing.files.len().min(chunk + BATCH) {
                let name = portable(&listing.below.join(&listing.files[index]));
                let lines = match &mut past {
                    Some(past) => past.take(&name, copies, is_finished)?,
                    None => None,
                };
                if lines.is_none() && is_finished {
                    continue; // it is on the list of what could not be used
                }
                if lines.is_none() {
                    past = None; // the journal's end
                }
                journaled = past.as_ref().map_or(journaled, Past::complete);
                items.push((index, lines));
            }
            let batch = Batch { number, listing: Arc::clone(&listing), copies, items, journaled };
            number += 1;
            if is_over() || to_workers.send(batch).is_err() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    source.walk(&mut Notes::default(), &mut visit).map(|_| ())
}

/// One thread: takes batches until there are no more, or until one has failed.
fn work(mut worker: Worker, batches: &Mutex<Receiver<Batch>>, to_journal: &std::sync::mpsc::Sender<Done>, failed: &AtomicBool) {
    loop {
        let next = match batches.lock() {
            Ok(batches) => batches.recv(),
            Err(_) => break,
        };
        let Ok(batch) = next else { break };
        if failed.load(Ordering::Relaxed) {
            continue; // empties the channel, so that the lister does not wait for ever
        }
        let (listing, copies) = (&batch.listing, batch.copies);
        let result = batch.items.iter().try_for_each(|(index, lines)| {
            let name = &listing.files[*index];
            match lines {
                Some(lines) => worker.verify(listing, name, copies, lines),
                None => worker.make(listing, name, copies),
            }
        });
        if result.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        let sources = batch.items.len();
        let result = result.map(|()| worker.take());
        if to_journal.send(Done { number: batch.number, sources, journaled: batch.journaled, result }).is_err() {
            break;
        }
    }
}

/// Writes the journal in the order of the batches. Returns the sums and the journal, if there is one to finish.
fn collect(
    output: &Path,
    is_finished: bool,
    pictures: usize,
    done: &Receiver<Done>,
    failed: &AtomicBool,
    progress: &dyn Fn(Progress),
) -> Result<(Counts, Option<Journal>)> {
    let mut counts = Counts::default();
    let mut journal: Option<Journal> = None;
    let mut waiting: BTreeMap<usize, Done> = BTreeMap::new();
    let (mut next, mut sources, mut journaled) = (0, 0, 0);
    let mut outcome = Ok(());
    for item in done {
        sources += item.sources;
        progress(Progress::Done(sources, pictures));
        waiting.insert(item.number, item);
        while let Some(item) = waiting.remove(&next) {
            next += 1;
            journaled = item.journaled;
            let written = item.result.and_then(|(lines, batch)| {
                counts.add(&batch);
                if lines.is_empty() || is_finished {
                    return Ok(());
                }
                if journal.is_none() {
                    journal = Some(Journal::open(output, journaled)?);
                }
                journal.as_mut().map_or(Ok(()), |journal| journal.append(&lines))
            });
            // What stands after a gap would be taken for the beginning: nothing more is noted.
            if let Err(error) = written
                && outcome.is_ok()
            {
                outcome = Err(error);
                failed.store(true, Ordering::Relaxed);
                next = usize::MAX;
            }
        }
    }
    if let Some(journal) = &mut journal {
        let flushed = journal.flush();
        outcome = outcome.and(flushed);
    }
    // A batch that failed while an earlier one was still at work waits for ever: its error is the one to report.
    let late = waiting.into_values().find_map(|item| item.result.err());
    outcome.and(late.map_or(Ok(()), Err))?;
    if journal.is_none() && !is_finished {
        journal = Some(Journal::open(output, journaled)?);
    }
    Ok((counts, journal))
}
