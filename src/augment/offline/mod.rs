//! The offline augmenter: copies of every original and N augmented versions of each, with a manifest by which
//! the trainer keeps a copy with its original.
//!
//! ```text
//! source (one folder at a time) ─► workers: read, decode, draw, check, encode, place ─► journal (in order) ─► manifest
//! ```
//!
//! What a copy looks like depends on (seed, path below the source, copy number) alone: neither the number of
//! threads nor an interruption changes a byte. Nothing is deleted and nothing overwritten; what cannot be
//! used is listed with the reason.

mod estimate;
mod journal;
mod maker;
mod place;
mod preview;
mod read;
mod source;
mod worker;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use regex::Regex;
use serde::{Deserialize, Serialize};

pub use self::estimate::{Estimate, estimate};
pub use self::journal::QUARANTINE;
use self::journal::{Journal, Line, PROGRAM, Past, Settings, count_problems};
pub use self::maker::REASONS;
use self::place::{Placer, WORKSHOP};
pub use self::preview::preview;
use self::read::Memory;
use self::source::{Listing, Notes, Source};
pub use self::worker::Counts;
use self::worker::{Worker, portable};
use super::profile::Profile;
use crate::data::Split;
use crate::data::classes::{EMOTIONS, canonical};
use crate::data::manifest::{JOURNAL, MANIFEST};
use crate::error::{Error, Result};
use crate::files;
use crate::text::quoted_list;

/// Sources that a thread takes at a time.
const BATCH: usize = 16;
/// Batches for each thread that may be at work or wait for an earlier one.
const IN_FLIGHT: usize = 64;

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
    /// Class folders, train/valid/test folders of them (then only train is augmented), or a folder of images.
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
    /// Images by label and split, and whether they get copies; sorted.
    pub classes: Vec<SurveyedClass>,
    /// All images.
    pub images: usize,
    /// Those that get copies.
    pub augmented: usize,
    /// What was found besides, in words.
    pub notes: Vec<String>,
    /// A hash of the images' paths below the source.
    names: String,
}

/// One class folder of the source.
#[derive(Clone, Debug)]
pub struct SurveyedClass {
    /// The folder's name; empty for a flat folder.
    pub label: String,
    /// The split it lies in.
    pub split: Option<Split>,
    /// Its images.
    pub images: usize,
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
    /// The source is being listed: so many images so far.
    Listing(usize),
    /// So many sources of so many are done.
    Done(usize, usize),
}

/// Writes the copies. `stop` ends it after the files in hand; the output can then be resumed.
///
/// # Errors
/// The request cannot be fulfilled (bad folders, settings that differ from those of the run to resume); a
/// file cannot be written; another file is in the way; the user stopped it. That a source cannot be read is
/// no error: it is counted and listed.
pub fn augment(request: &Request, progress: &dyn Fn(Progress), stop: &AtomicBool) -> Result<Summary> {
    let start = Instant::now();
    let (source, plan, augmented, survey) = open(request, progress, stop)?;
    if survey.augmented == 0 {
        return Err(Error::at(&request.source, "holds no image that would get a copy")
            .expected("images of the chosen classes in train, or outside of splits"));
    }
    let _lock = begin(request, &source, &plan, &survey)?;
    let counts = write_all(request, &source, &plan, &augmented, survey.images, progress, stop)?;
    Ok(Summary { survey, counts, seconds: start.elapsed().as_secs_f64(), output: plan.output })
}

/// The copies of each original that an interrupted run was to write to `output`; none if there is no such
/// run.
///
/// # Errors
/// Its settings cannot be read.
pub fn copies_before(output: &Path) -> Result<Option<u32>> {
    Ok(Settings::read(output)?.map(|settings| settings.copies))
}

// ------------------------------------------------------------------------------------------------------------- before writing

/// Checks the request and counts the images: the source, what to do with it, for each class folder whether
/// its images get copies, and the counts.
fn open(
    request: &Request,
    progress: &dyn Fn(Progress),
    stop: &AtomicBool,
) -> Result<(Source, Plan, Vec<bool>, Survey)> {
    let (source, plan) = check(request)?;
    let augmented = augmented_classes(&source, &request.emotions)?;
    let survey = survey(&source, &augmented, progress, stop)?;
    Ok((source, plan, augmented, survey))
}

/// Checks the request as far as that needs no walk.
fn check(request: &Request) -> Result<(Source, Plan)> {
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

/// For each class folder, whether its images get copies.
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
            format!("one of {}", quoted_list(&found))
        };
        return Err(Error::input("--emotion", format!("found `{unknown}`")).expected(expected));
    }
    let of_class = |index| {
        let (label, split) = source.class(index);
        matches!(split, None | Some(Split::Train))
            && (emotions.is_empty() || emotions.iter().any(|wanted| same(label, wanted)))
    };
    Ok((0..source.class_count()).map(of_class).collect())
}

/// Counts the images.
fn survey(
    source: &Source,
    augmented: &[bool],
    progress: &dyn Fn(Progress),
    stop: &AtomicBool,
) -> Result<Survey> {
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
        return Err(Error::at(&source.root, "holds no images")
            .expected("JPEG, PNG, BMP, WebP or TIFF files")
            .hint(notes.join("; ")));
    }
    let mut classes: BTreeMap<(Option<Split>, String), SurveyedClass> = BTreeMap::new();
    for (index, images) in counts.into_iter().enumerate() {
        let (label, split) = source.class(index);
        let class = SurveyedClass { label: label.to_owned(), split, images, augmented: augmented[index] };
        classes.insert((split, label.to_owned()), class);
    }
    let classes: Vec<SurveyedClass> = classes.into_values().collect();
    Ok(Survey {
        augmented: classes.iter().filter(|class| class.augmented).map(|class| class.images).sum(),
        classes,
        images: all,
        notes,
        names: names.finalize().to_hex()[..32].to_owned(),
    })
}

/// An error if the output is neither new nor, with `resume`, that of an earlier run.
fn check_output(output: &Path, resume: bool) -> Result<Option<Settings>> {
    if let Some(before) = Settings::read(output)? {
        if resume {
            return Ok(Some(before));
        }
        let finished = output.join(MANIFEST).exists();
        let state =
            if finished { "holds a finished augmentation" } else { "holds an interrupted augmentation" };
        return Err(Error::at(output, state)
            .expected("a new or an empty folder")
            .hint("Go on with it by --resume, or choose another output: nothing is overwritten"));
    }
    let entries = match fs::read_dir(output) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(Error::at(output, "a file is there").expected("a new or an empty folder"));
        }
        Err(error) => return Err(Error::io("read", output, error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| Error::io("read", output, error))?.file_name();
        let name = name.to_string_lossy();
        // A run that was killed before it had its settings leaves these.
        let is_own = name == LOCK || (name.starts_with('.') && name.ends_with(".tmp"));
        if !is_own {
            return Err(Error::at(output, "the folder is not empty")
                .expected("a new or an empty folder")
                .hint("Nothing is overwritten: choose another name or move the folder away"));
        }
    }
    Ok(None)
}

/// Makes the output ready: a new folder with its settings, or that of an interrupted run with the same. Keeps
/// others out until dropped.
fn begin(request: &Request, source: &Source, plan: &Plan, survey: &Survey) -> Result<Lock> {
    let settings = Settings {
        program: PROGRAM.into(),
        source: source.root.display().to_string(),
        images: survey.images,
        names: survey.names.clone(),
        copies: plan.copies,
        seed: plan.seed,
        emotions: tidy_emotions(&request.emotions),
        group_regex: request.group_regex.clone(),
        originals: plan.originals,
        profile: plan.profile.clone(),
    };
    let output = &plan.output;
    check_output(output, request.resume)?;
    fs::create_dir_all(output).map_err(|error| Error::io("create", output, error))?;
    let lock = Lock::take(output)?;
    // Looked at again, now that nobody else can begin here.
    match check_output(output, request.resume)? {
        Some(before) => before.check_resume(&settings, output)?,
        None => settings.write(output)?,
    }
    Ok(lock)
}

/// The classes' own names, each once, in a fixed order.
fn tidy_emotions(emotions: &[String]) -> Vec<String> {
    let name = |name: &String| {
        canonical(name).map_or_else(|| name.trim().to_lowercase(), |index| EMOTIONS[index].to_owned())
    };
    let mut names: Vec<String> = emotions.iter().map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The file that keeps other programs out of an output.
const LOCK: &str = ".mien-augment.lock";

struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    fn take(output: &Path) -> Result<Self> {
        let path = output.join(LOCK);
        match files::lock(&path)? {
            // The one who had it may have taken the file away between our opening and our locking it: then it
            // is no lock.
            Some(file) if path.exists() => Ok(Self { _file: file, path }),
            _ => Err(Error::at(output, "another mien is writing here").hint("Wait for it, or stop it first")),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Without it nothing is lost: a file that nobody holds keeps nobody out.
        let _ = fs::remove_file(&self.path);
    }
}

// -------------------------------------------------------------------------------------------------------------------- writing

/// Sources for one thread.
struct Batch {
    number: usize,
    listing: Arc<Listing>,
    copies: u32,
    /// The file's index in the listing, and its lines if an earlier run has done it.
    items: Vec<(usize, Option<Vec<Line>>)>,
    /// Bytes of the journal in which the batches up to this one stand.
    journaled: u64,
}

/// What became of a batch.
struct Done {
    number: usize,
    sources: usize,
    journaled: u64,
    result: Result<(Vec<u8>, Counts)>,
    /// Whether it was broken off: what follows must not be noted.
    is_cut: bool,
}

/// What all threads share.
struct Shared<'a> {
    plan: &'a Plan,
    stop: &'a AtomicBool,
    failed: AtomicBool,
    memory: Memory,
}

impl Shared<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }
}

fn write_all(
    request: &Request,
    source: &Source,
    plan: &Plan,
    augmented: &[bool],
    images: usize,
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
    let placers: Vec<Placer> =
        (0..request.threads).map(|number| Placer::new(output, number)).collect::<Result<_>>()?;

    let shared = Shared { plan, stop, failed: AtomicBool::new(false), memory: Memory::new() };
    let (to_workers, batches) = sync_channel::<Batch>(2 * request.threads);
    let (to_journal, done) = channel::<Done>();
    // One token a batch, given back when the batch is in the journal: a slow one does not let the others run
    // away from it.
    let (token_back, tokens) = channel::<()>();
    (0..IN_FLIGHT * request.threads).for_each(|_| _ = token_back.send(()));
    let batches = Mutex::new(batches);
    let (listed, collected) = std::thread::scope(|scope| {
        let shared = &shared;
        let lister = scope
            .spawn(move || list_batches(source, shared, augmented, past, is_finished, to_workers, tokens));
        let workers: Vec<_> = placers
            .iter()
            .map(|placer| {
                let (to_journal, batches) = (to_journal.clone(), &batches);
                scope.spawn(move || {
                    work(Worker::new(plan, &shared.memory, placer), batches, &to_journal, shared)
                })
            })
            .collect();
        drop(to_journal);
        let collected = collect(output, is_finished, images, &done, token_back, shared, progress);
        workers.into_iter().for_each(|worker| _ = worker.join());
        let listed = lister
            .join()
            .unwrap_or_else(|_| Err(Error::Compute("the source's listing broke off (a bug)".into())));
        (listed, collected)
    });
    let (mut counts, journal, journaled) = collected?;
    listed?;
    fs::remove_dir_all(&workshop).map_err(|error| Error::io("remove", &workshop, error))?;
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Interrupted("stopped; go on with the same command and --resume".into()));
    }
    if is_finished {
        (counts.quarantined, counts.given_up) = count_problems(output)?;
        return Ok(counts);
    }
    let journal = journal.map_or_else(|| Journal::open(output, journaled), Ok)?;
    journal.finish(output, counts.quarantined + counts.given_up > 0)?;
    Ok(counts)
}

/// Lists the source's images in batches, with what an earlier run has noted of them.
fn list_batches(
    source: &Source,
    shared: &Shared,
    augmented: &[bool],
    mut past: Option<Past>,
    is_finished: bool,
    to_workers: SyncSender<Batch>,
    tokens: Receiver<()>,
) -> Result<()> {
    let mut number = 0;
    let mut journaled = 0;
    let mut visit = |listing: Listing| {
        let listing = Arc::new(listing);
        let copies = if augmented[listing.class] { shared.plan.copies } else { 0 };
        if !listing.files.is_empty() {
            let folder = shared.plan.output.join(&listing.below);
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
            if shared.is_over() || tokens.recv().is_err() || to_workers.send(batch).is_err() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    let flow = source
        .walk(&mut Notes::default(), &mut visit)
        .inspect_err(|_| shared.failed.store(true, Ordering::Relaxed))?;
    // Every line of a finished manifest belongs to an image of the source, or it was not read to its end.
    if is_finished
        && flow.is_continue()
        && let Some(past) = &mut past
        && let Some(name) = past.rest()?
    {
        return Err(Error::at(
            &shared.plan.output.join(MANIFEST),
            format!("has lines of {name} out of their order"),
        )
        .expected("the lines that the augmenter wrote")
        .hint("Augment into a new folder"));
    }
    Ok(())
}

/// One thread: takes batches until there are no more. When it is over it hands them on undone, so that nobody
/// waits for ever.
fn work(mut worker: Worker, batches: &Mutex<Receiver<Batch>>, to_journal: &Sender<Done>, shared: &Shared) {
    loop {
        let next = match batches.lock() {
            Ok(batches) => batches.recv(),
            Err(_) => break,
        };
        let Ok(batch) = next else { break };
        let (listing, copies) = (&batch.listing, batch.copies);
        let mut sources = 0;
        let mut outcome = Ok(());
        for (index, lines) in &batch.items {
            if shared.is_over() {
                break;
            }
            let name = &listing.files[*index];
            let one = || match lines {
                Some(lines) => worker.verify(listing, name, copies, lines),
                None => worker.make(listing, name, copies),
            };
            // Decoders are hardened; should an operation or an encoder break down, the run ends in order and
            // can be resumed.
            outcome = catch_unwind(AssertUnwindSafe(one)).unwrap_or_else(|_| {
                let path = listing.path.join(name);
                Err(Error::at(&path, "the augmenter broke down on this image (a bug)")
                    .hint("Take it out of the source, and report it"))
            });
            if outcome.is_err() {
                shared.failed.store(true, Ordering::Relaxed);
                break;
            }
            sources += 1;
        }
        let is_cut = sources < batch.items.len();
        let result = outcome.map(|()| worker.take());
        if to_journal
            .send(Done { number: batch.number, sources, journaled: batch.journaled, result, is_cut })
            .is_err()
        {
            break;
        }
    }
}

/// Writes the journal in the order of the batches. Returns the sums, the journal if there were lines for it,
/// and how much of an earlier run's journal holds.
fn collect(
    output: &Path,
    is_finished: bool,
    images: usize,
    done: &Receiver<Done>,
    token_back: Sender<()>,
    shared: &Shared,
    progress: &dyn Fn(Progress),
) -> Result<(Counts, Option<Journal>, u64)> {
    let mut counts = Counts::default();
    let mut journal: Option<Journal> = None;
    let mut waiting: BTreeMap<usize, Done> = BTreeMap::new();
    let (mut next, mut sources, mut journaled) = (0, 0, 0);
    let mut outcome = Ok(());
    let mut token_back = Some(token_back);
    for item in done {
        sources += item.sources;
        progress(Progress::Done(sources, images));
        waiting.insert(item.number, item);
        while let Some(item) = waiting.remove(&next) {
            next += 1;
            journaled = item.journaled;
            if let Some(tokens) = &token_back {
                _ = tokens.send(());
            }
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
            if item.is_cut || written.is_err() {
                next = usize::MAX;
            }
            if let Err(error) = written
                && outcome.is_ok()
            {
                outcome = Err(error);
                shared.failed.store(true, Ordering::Relaxed);
            }
        }
        if shared.is_over() {
            token_back = None; // the lister may be waiting for one
        }
    }
    if let Some(journal) = &mut journal {
        let flushed = journal.flush();
        outcome = outcome.and(flushed);
    }
    // A batch that failed while an earlier one was still at work waits for ever: its error is the one to
    // report.
    let late = waiting.into_values().find_map(|item| item.result.err());
    outcome.and(late.map_or(Ok(()), Err))?;
    Ok((counts, journal, journaled))
}
