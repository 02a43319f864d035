//! The threads of a run: one lists the source, several make files, one writes the journal in order.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};

use super::counts::Counts;
use super::journal::{Journal, Line, Past, count_problems};
use super::place::{Placer, WORKSHOP};
use super::progress::{Progress, Watcher};
use super::read::Memory;
use super::source::{Listing, Notes};
use super::survey::Job;
use super::worker::{Worker, portable};
use crate::data::manifest::{JOURNAL, MANIFEST};
use crate::error::{Error, Result};

/// Sources that a thread takes at a time.
const BATCH: usize = 16;
/// Batches for each thread that may be at work or wait for an earlier one.
const IN_FLIGHT: usize = 64;

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
    job: &'a Job,
    stop: &'a AtomicBool,
    failed: AtomicBool,
    memory: Memory,
    /// Whether the output is finished and only verified.
    is_finished: bool,
}

impl Shared<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }
}

/// Writes what a job asks for with `threads` threads.
///
/// # Errors
/// A file cannot be read or written, or a different file is in its place; the user stopped it.
pub(super) fn write_all(job: &Job, threads: usize, watcher: Watcher) -> Result<Counts> {
    let plan = &job.plan;
    let output = &plan.output;
    let is_finished = output.join(MANIFEST).exists();
    let past = Past::open(&output.join(if is_finished { MANIFEST } else { JOURNAL }))?;
    let workshop = output.join(WORKSHOP);
    if workshop.exists() {
        fs::remove_dir_all(&workshop).map_err(|error| Error::io("remove", &workshop, error))?;
    }
    let placers: Vec<Placer> =
        (0..threads).map(|number| Placer::new(output, number)).collect::<Result<_>>()?;

    let shared = Shared {
        job,
        stop: watcher.stop,
        failed: AtomicBool::new(false),
        memory: Memory::new(),
        is_finished,
    };
    let (to_workers, batches) = sync_channel::<Batch>(2 * threads);
    let (to_journal, done) = channel::<Done>();
    // One token a batch, given back when the batch is in the journal: a slow one does not let the others run
    // away from it.
    let (token_back, tokens) = channel::<()>();
    (0..IN_FLIGHT * threads).for_each(|_| _ = token_back.send(()));
    let batches = Mutex::new(batches);
    let (listed, collected) = std::thread::scope(|scope| {
        let shared = &shared;
        let lister = scope.spawn(move || list_batches(shared, past, to_workers, tokens));
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
        let collected = collect(shared, &done, token_back, watcher);
        workers.into_iter().for_each(|worker| _ = worker.join());
        let listed = lister
            .join()
            .unwrap_or_else(|_| Err(Error::Compute("listing the source failed (a bug in mien)".into())));
        (listed, collected)
    });
    let (mut counts, journal, journaled) = collected?;
    listed?;
    fs::remove_dir_all(&workshop).map_err(|error| Error::io("remove", &workshop, error))?;
    if watcher.has_stopped() {
        return Err(Error::Interrupted(
            "stopped; to continue, run the same command again with --resume".into(),
        ));
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
    shared: &Shared,
    mut past: Option<Past>,
    to_workers: SyncSender<Batch>,
    tokens: Receiver<()>,
) -> Result<()> {
    let (job, is_finished) = (shared.job, shared.is_finished);
    let mut number = 0;
    let mut journaled = 0;
    let mut visit = |listing: Listing| {
        let listing = Arc::new(listing);
        let copies = job.copies(&listing);
        if !listing.files.is_empty() {
            let folder = job.plan.output.join(&listing.below);
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
    let flow = job
        .source
        .walk(&mut Notes::default(), &mut visit)
        .inspect_err(|_| shared.failed.store(true, Ordering::Relaxed))?;
    // Every line of a finished manifest belongs to an image of the source, or it was not read to its end.
    if is_finished
        && flow.is_continue()
        && let Some(past) = &mut past
        && let Some(name) = past.rest()?
    {
        return Err(Error::at(
            &job.plan.output.join(MANIFEST),
            format!("the lines for {name} are missing or out of order"),
        )
        .expected("the manifest as mien wrote it")
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
                Err(Error::at(&path, "augmenting this image crashed (a bug in mien)")
                    .hint("Remove it from the source to continue, and please report it"))
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
    shared: &Shared,
    done: &Receiver<Done>,
    token_back: Sender<()>,
    watcher: Watcher,
) -> Result<(Counts, Option<Journal>, u64)> {
    let (output, images) = (&shared.job.plan.output, shared.job.survey.images);
    let mut counts = Counts::default();
    let mut journal: Option<Journal> = None;
    let mut waiting: BTreeMap<usize, Done> = BTreeMap::new();
    let (mut next, mut sources, mut journaled) = (0, 0, 0);
    let mut outcome = Ok(());
    let mut token_back = Some(token_back);
    for item in done {
        sources += item.sources;
        watcher.report(Progress::Done(sources, images));
        waiting.insert(item.number, item);
        while let Some(item) = waiting.remove(&next) {
            next += 1;
            journaled = item.journaled;
            if let Some(tokens) = &token_back {
                _ = tokens.send(());
            }
            let written = item.result.and_then(|(lines, batch)| {
                counts.add(&batch);
                if lines.is_empty() || shared.is_finished {
                    return Ok(());
                }
                if journal.is_none() {
                    journal = Some(Journal::open(output, journaled)?);
                }
                journal.as_mut().map_or(Ok(()), |journal| journal.append(&lines))
            });
            // A resumed run would take lines after a gap for the beginning: nothing more is written.
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
