//! `mien augment`: copies of a data set, written before training.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use indicatif::ProgressBar;

use super::console;
use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, print, row, shown, stop_on_ctrl_c};
use crate::augment::offline::{
    self, Estimate, Originals, Progress, QUARANTINE, REASONS, Request, Summary, Survey,
};
use crate::augment::profile::{NAMES, Profile};
use crate::data::Split;
use crate::error::Error;
use crate::text::{count, duration, shell_quoted, thousands};

/// Copies of each original, unless the user chooses a number.
const DEFAULT_COPIES: u32 = 2;

const EXAMPLES: &str = "\
Examples:
  mien augment faces/ faces-augmented/ -n 3
  mien augment faces/ --preview preview.png
  mien augment faces/ rare/ --emotion disgust --emotion fear -n 5 --profile mine.toml";

/// Write augmented copies of a data set: every original and N varied copies of it
///
/// SOURCE is a folder of class folders, a folder with train, valid and test folders of them (then only train
/// is augmented), or one folder of images. OUTPUT must be new. Next to a.png, its first copy is a_aug_1.png;
/// mien-manifest.jsonl says what was done to each file, so that `mien train OUTPUT --dataset-type augmented`
/// keeps every copy in the split of its original.
///
/// The same seed gives the same bytes, for any number of threads and after an interruption (--resume).
/// Nothing is deleted or overwritten. Images that cannot be used are listed in OUTPUT/mien-quarantine.jsonl;
/// the exit code is then 3.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Folder of the originals.
    source: PathBuf,
    /// New folder for the originals and the copies.
    #[arg(required_unless_present_any = ["preview", "dry_run"])]
    output: Option<PathBuf>,
    /// Augmented copies of each original [default: 2; a terminal is asked].
    #[arg(short = 'n', long, value_name = "N")]
    copies: Option<u32>,
    /// Operations with their strengths and frequencies: safe, reference or a TOML file (see
    /// recipes/augment-safe.toml).
    #[arg(long, value_name = "PROFILE", default_value = "safe")]
    profile: String,
    /// Seed of every random draw; the same seed gives the same bytes.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Threads to compute with [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Complete an interrupted run, or verify a finished one.
    #[arg(long)]
    resume: bool,
    /// Print what would be written and how large it would be; write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write one image with a row of samples for each operation, and nothing else.
    #[arg(long, value_name = "FILE.png")]
    preview: Option<PathBuf>,
    /// Class to make copies of; may be repeated [default: all classes].
    #[arg(long = "emotion", value_name = "CLASS")]
    emotions: Vec<String>,
    /// How to put the originals into OUTPUT: copy, hardlink or reflink.
    #[arg(long, value_name = "METHOD", default_value = "copy", value_parser = originals)]
    originals: Originals,
    /// Regex on file names whose first capture group identifies the person; sets the groups in the manifest.
    #[arg(long, value_name = "REGEX")]
    group_regex: Option<String>,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn originals(text: &str) -> Result<Originals, String> {
    [Originals::Copy, Originals::Hardlink, Originals::Reflink]
        .into_iter()
        .find(|how| how.to_string() == text)
        .ok_or_else(|| "expected copy, hardlink or reflink".into())
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        let profile = Profile::load(&self.profile).map_err(Error::into_setting)?;
        let only_look = self.preview.is_some() || self.dry_run;
        let copies = match self.copies {
            Some(copies) => copies,
            None => match self.output.as_deref().filter(|_| self.resume).map(offline::copies_before) {
                Some(before) => before?.unwrap_or(DEFAULT_COPIES),
                None if only_look || !self.verbosity.is_chatty() => DEFAULT_COPIES,
                None => ask_copies()?,
            },
        };
        // Where nothing is written, the name stands for an output that is not there.
        let beside = || {
            let source = self.source.canonicalize().unwrap_or_else(|_| self.source.clone());
            let mut name = source.file_name().unwrap_or_default().to_owned();
            name.push("-augmented");
            source.with_file_name(name)
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let request = Request {
            source: self.source.clone(),
            output: self.output.clone().unwrap_or_else(beside),
            copies,
            profile,
            seed: self.seed,
            threads: self.threads.unwrap_or(cores),
            resume: self.resume,
            emotions: self.emotions.clone(),
            originals: self.originals,
            group_regex: self.group_regex.clone(),
        };
        if self.resume && !request.output.exists() {
            eprintln!("note: nothing to resume at {}; starting from the beginning", shown(&request.output));
        }
        let stop = stop_on_ctrl_c();
        Ok(if only_look { look(self, &request, stop) } else { write(self, &request, stop) }?)
    }
}

fn look(args: &Args, request: &Request, stop: &AtomicBool) -> Result<Exit, Error> {
    if let Some(path) = &args.preview {
        let bar = Bar::new(args.verbosity, "choosing sample images");
        offline::preview(request, path, &bar.progress(), stop)?;
        drop(bar);
        if args.verbosity.is_chatty() {
            print(&format!("preview of the profile {}: {}", shell_quoted(&args.profile), shown(path)));
        }
    }
    if args.dry_run {
        let bar = Bar::new(args.verbosity, "trying a sample");
        let estimate = offline::estimate(request, &bar.progress(), stop)?;
        drop(bar);
        say_estimate(args, request, &estimate);
    }
    Ok(Exit::Done)
}

fn write(args: &Args, request: &Request, stop: &AtomicBool) -> Result<Exit, Error> {
    let bar = Bar::new(args.verbosity, "augmenting");
    let summary = offline::augment(request, &bar.progress(), stop)?;
    drop(bar);
    say_summary(args, &summary);
    let problems = summary.counts.quarantined + summary.counts.given_up;
    Ok(if problems > 0 { Exit::Findings } else { Exit::Done })
}

/// Asks how many copies to make, if there is someone to ask.
fn ask_copies() -> Result<u32> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(DEFAULT_COPIES);
    }
    for _ in 0..5 {
        eprint!("How many augmented copies of each image? [{DEFAULT_COPIES}] ");
        std::io::stderr().flush()?;
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(DEFAULT_COPIES);
        }
        match line.trim().parse() {
            Ok(copies) if (1..=1000).contains(&copies) => return Ok(copies),
            _ => eprintln!("please enter a whole number from 1 to 1000"),
        }
    }
    Err(Error::setting("-n", "no number was given").expected("1 to 1000").into())
}

/// A bar for each step.
struct Bar {
    listing: ProgressBar,
    working: ProgressBar,
}

impl Bar {
    fn new(verbosity: Verbosity, what: &str) -> Self {
        let visible = verbosity.is_chatty();
        Self { listing: console::spinner(visible, "finding images"), working: console::bar(visible, what) }
    }

    fn progress(&self) -> impl Fn(Progress) + '_ {
        |progress| match progress {
            Progress::Listing(images) => self.listing.set_position(images as u64),
            Progress::Done(done, of) => {
                self.listing.finish_and_clear();
                self.working.set_length(of as u64);
                self.working.set_position(done as u64);
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.listing.finish_and_clear();
        self.working.finish_and_clear();
    }
}

fn say_survey(survey: &Survey) {
    let of = |split: Option<Split>| -> usize {
        survey.classes.iter().filter(|c| c.split == split).map(|c| c.images).sum()
    };
    let splits: Vec<String> = Split::ALL
        .into_iter()
        .map(|s| (s, of(Some(s))))
        .filter(|(_, n)| *n > 0)
        .map(|(s, n)| format!("{s} {}", thousands(n)))
        .collect();
    let mut text = format!("{} images", thousands(survey.images));
    if !splits.is_empty() {
        text += &format!(" ({})", splits.join(", "));
    }
    if survey.augmented < survey.images {
        text += &format!("; {} get copies", thousands(survey.augmented));
    }
    row("source", &text);
    survey.notes.iter().for_each(|note| row("note", note));
}

fn say_estimate(args: &Args, request: &Request, estimate: &Estimate) {
    let refused = 100.0 * estimate.refused as f64 / (estimate.kept + estimate.refused).max(1) as f64;
    if args.verbosity.json {
        let value = serde_json::json!({
            "originals": estimate.survey.images, "copies": estimate.copies,
            "original_bytes": estimate.original_bytes, "copy_bytes": estimate.copy_bytes,
            "free_bytes": estimate.free, "seconds": estimate.seconds, "sample": estimate.sampled,
            "refused_draws": refused / 100.0, "notes": estimate.survey.notes,
        });
        print(&value.to_string());
        return;
    }
    say_survey(&estimate.survey);
    row(
        "would write",
        &format!(
            "{} originals ({}) and {} copies (about {}) to {}",
            thousands(estimate.survey.images),
            size(estimate.original_bytes),
            thousands(estimate.copies),
            size(estimate.copy_bytes),
            shown(&request.output)
        ),
    );
    row("redrawn", &format!("about {refused:.1} % of the draws, estimated on {} images", estimate.sampled));
    row(
        "time",
        &format!("about {} with {} threads, plus disk time", duration(estimate.seconds), request.threads),
    );
    if let Some(free) = estimate.free {
        let total = estimate.copy_bytes
            + if request.originals == Originals::Copy { estimate.original_bytes } else { 0 };
        let verdict = if total > free { ": NOT ENOUGH" } else { "" };
        row("free space", &format!("{}{verdict}", size(free)));
    }
}

fn say_summary(args: &Args, summary: &Summary) {
    let counts = &summary.counts;
    let quarantine = summary.output.join(QUARANTINE);
    let problems = counts.quarantined + counts.given_up > 0;
    if args.verbosity.json {
        let by_name = |names: &[&str], numbers: &[usize]| -> serde_json::Map<String, serde_json::Value> {
            names
                .iter()
                .zip(numbers)
                .filter(|(_, n)| **n > 0)
                .map(|(name, n)| ((*name).to_owned(), (*n).into()))
                .collect()
        };
        let value = serde_json::json!({
            "output": summary.output, "originals": counts.originals, "copies": counts.copies,
            "kept": counts.kept, "bytes": counts.bytes, "operations": by_name(&NAMES, &counts.operations),
            "refused_draws": by_name(&REASONS, &counts.refused), "given_up": counts.given_up,
            "quarantined": counts.quarantined, "seconds": summary.seconds, "notes": summary.survey.notes,
        });
        print(&value.to_string());
        return;
    }
    if problems {
        let unusable = format!(
            "{} could not be used, {} could not be made",
            count(counts.quarantined, "image", "images"),
            count(counts.given_up, "copy", "copies")
        );
        let text = format!("{unusable}; see {}", shown(&quarantine));
        if args.verbosity.quiet { eprintln!("note: {text}") } else { row("PROBLEMS", &text) }
    }
    if args.verbosity.quiet {
        return;
    }
    say_survey(&summary.survey);
    let files = counts.originals + counts.copies;
    row(
        "written",
        &format!(
            "{} originals and {} copies in {} ({} files/s)",
            thousands(counts.originals),
            thousands(counts.copies),
            duration(summary.seconds),
            thousands((files as f64 / summary.seconds.max(1e-9)) as usize)
        ),
    );
    if counts.kept > 0 {
        row("kept", &format!("{} files of an earlier run, each verified", thousands(counts.kept)));
    }
    row("size", &size(counts.bytes));
    if counts.copies > 0 {
        let done = NAMES.iter().zip(counts.operations).filter(|(_, n)| *n > 0);
        row(
            "operations",
            &done.map(|(name, n)| format!("{name} {}", thousands(n))).collect::<Vec<_>>().join(", "),
        );
    }
    let refused: usize = counts.refused.iter().sum();
    if refused > 0 {
        let reasons = REASONS
            .iter()
            .zip(counts.refused)
            .filter(|(_, n)| *n > 0)
            .map(|(reason, n)| format!("{} {reason}", thousands(n)));
        row("redrawn", &format!("{}: {}", thousands(refused), reasons.collect::<Vec<_>>().join(", ")));
    }
    row("output", &shown(&summary.output));
    if summary.survey.classes.iter().any(|class| !class.label.is_empty()) {
        row("next", &format!("mien train {} --dataset-type augmented", shown(&summary.output)));
    }
}

/// 12345678 -> "12.3 MB".
fn size(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}
