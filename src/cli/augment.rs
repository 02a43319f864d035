use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use indicatif::ProgressBar;

use super::{INTERRUPTED, Verbosity, print, shown, stop_on_ctrl_c};
use crate::augment::offline::{
    self, Estimate, Originals, Progress, QUARANTINE, REASONS, Request, Summary, Survey,
};
use crate::augment::profile::{NAMES, Profile};
use crate::cli::console;
use crate::data::Split;
use crate::error::Error;
use crate::text::{duration, thousands};

/// Copies of each original, where nobody says how many.
const DEFAULT_COPIES: u32 = 2;
/// The exit code of a run that came to its end but could not use every file.
const INCOMPLETE: u8 = 3;

/// Write augmented copies of a data set: every original, and N changed versions of each.
///
/// SOURCE is a folder of class folders, a folder with train, valid and test folders of them (then
/// only train is augmented), or one folder of images. OUTPUT must be new. A copy of a.png is
/// a_aug_1.png beside it; mien-manifest.jsonl says what was done to each file, and by it
/// `mien train OUTPUT --dataset-type augmented` keeps every copy with its original.
///
/// Same seed, same bytes: for any number of threads, and after an interruption (--resume). Nothing
/// is deleted or overwritten. An image that cannot be used is listed in
/// OUTPUT/mien-quarantine.jsonl; the exit code is then 3.
///
/// Examples:
///   mien augment faces/ faces-augmented/ -n 3
///   mien augment faces/ --preview preview.png
///   mien augment faces/ rare/ --emotion disgust --emotion fear -n 5 --profile mine.toml
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The originals.
    source: PathBuf,
    /// A new folder for originals and copies.
    #[arg(required_unless_present_any = ["preview", "dry_run"])]
    output: Option<PathBuf>,
    /// Augmented copies of each original [default: 2; asked for on a terminal].
    #[arg(short = 'n', long, value_name = "N")]
    copies: Option<u32>,
    /// What is done, how strongly, how often: safe, reference or a TOML file (recipes/augment-safe.toml
    /// explains it).
    #[arg(long, value_name = "PROFILE", default_value = "safe")]
    profile: String,
    /// Same seed, same bytes.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Threads [default: as many as the machine has cores].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Complete an interrupted run, or check a finished one.
    #[arg(long)]
    resume: bool,
    /// Say what would be written and how large; write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write one image, a row for each operation over sample images, and nothing else.
    #[arg(long, value_name = "FILE.png")]
    preview: Option<PathBuf>,
    /// Only images of this class get copies; may be given several times [default: all].
    #[arg(long = "emotion", value_name = "CLASS")]
    emotions: Vec<String>,
    /// How originals come into OUTPUT: copy, hardlink or reflink.
    #[arg(long, value_name = "HOW", default_value = "copy", value_parser = originals)]
    originals: Originals,
    /// What of a file name tells the person or photo; the copies' groups in the manifest.
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

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let profile = Profile::load(&args.profile)?;
    let only_look = args.preview.is_some() || args.dry_run;
    let copies = match args.copies {
        Some(copies) => copies,
        None => match args.output.as_deref().filter(|_| args.resume).map(offline::copies_before) {
            Some(before) => before?.unwrap_or(DEFAULT_COPIES),
            None if only_look || !args.verbosity.is_chatty() => DEFAULT_COPIES,
            None => ask_copies()?,
        },
    };
    // Where nothing is written, the name stands for an output that is not there.
    let beside = || {
        let source = args.source.canonicalize().unwrap_or_else(|_| args.source.clone());
        let mut name = source.file_name().unwrap_or_default().to_owned();
        name.push("-augmented");
        source.with_file_name(name)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let request = Request {
        source: args.source.clone(),
        output: args.output.clone().unwrap_or_else(beside),
        copies,
        profile,
        seed: args.seed,
        threads: args.threads.unwrap_or(cores),
        resume: args.resume,
        emotions: args.emotions.clone(),
        originals: args.originals,
        group_regex: args.group_regex.clone(),
    };
    if args.resume && !request.output.exists() {
        eprintln!("note: there is nothing to resume at {}; beginning anew", shown(&request.output));
    }
    let stop = stop_on_ctrl_c();
    let outcome = if only_look { look(args, &request, stop) } else { write(args, &request, stop) };
    match outcome {
        Err(Error::Interrupted(text)) => {
            eprintln!("{text}");
            Ok(ExitCode::from(INTERRUPTED))
        }
        other => Ok(other?),
    }
}

fn look(args: &Args, request: &Request, stop: &AtomicBool) -> Result<ExitCode, Error> {
    if let Some(path) = &args.preview {
        let bar = Bar::new(args.verbosity, "looking for samples");
        offline::preview(request, path, &bar.progress(), stop)?;
        drop(bar);
        if args.verbosity.is_chatty() {
            print(&format!("preview of `{}`: {}", args.profile, shown(path)));
        }
    }
    if args.dry_run {
        let bar = Bar::new(args.verbosity, "trying a sample");
        let estimate = offline::estimate(request, &bar.progress(), stop)?;
        drop(bar);
        say_estimate(args, request, &estimate);
    }
    Ok(ExitCode::SUCCESS)
}

fn write(args: &Args, request: &Request, stop: &AtomicBool) -> Result<ExitCode, Error> {
    let bar = Bar::new(args.verbosity, "augmenting");
    let summary = offline::augment(request, &bar.progress(), stop)?;
    drop(bar);
    say_summary(args, &summary);
    let problems = summary.counts.quarantined + summary.counts.given_up;
    Ok(ExitCode::from(if problems > 0 { INCOMPLETE } else { 0 }))
}

/// Asks how many copies, where there is someone to ask.
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
            _ => eprintln!("a whole number from 1 to 1000, please"),
        }
    }
    Err(Error::input("-n", "no number was given").expected("1 to 1000").into())
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

fn row(key: &str, value: &str) {
    print(&format!("{key:>12}  {value}"));
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
            "originals": estimate.survey.images, "copies": estimate.copies, "original_bytes": estimate.original_bytes,
            "copy_bytes": estimate.copy_bytes, "free_bytes": estimate.free, "seconds": estimate.seconds, "sample": estimate.sampled,
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
    row(
        "drawn anew",
        &format!("about {refused:.1} % of the draws, by a sample of {} images", estimate.sampled),
    );
    row(
        "time",
        &format!(
            "about {} with {} threads, and the disk's time",
            duration(estimate.seconds),
            request.threads
        ),
    );
    if let Some(free) = estimate.free {
        let total = estimate.copy_bytes
            + if request.originals == Originals::Copy { estimate.original_bytes } else { 0 };
        let verdict = if total > free { ": NOT ENOUGH" } else { "" };
        row("free there", &format!("{}{verdict}", size(free)));
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
            "output": summary.output, "originals": counts.originals, "copies": counts.copies, "kept": counts.kept, "bytes": counts.bytes,
            "operations": by_name(&NAMES, &counts.operations), "refused_draws": by_name(&REASONS, &counts.refused),
            "given_up": counts.given_up, "quarantined": counts.quarantined, "seconds": summary.seconds, "notes": summary.survey.notes,
        });
        print(&value.to_string());
        return;
    }
    if problems {
        let unusable = format!(
            "{} images could not be used, {} copies could not be made",
            counts.quarantined, counts.given_up
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
        row("kept", &format!("{} files of an earlier run, each checked", thousands(counts.kept)));
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
        row("drawn anew", &format!("{}: {}", thousands(refused), reasons.collect::<Vec<_>>().join(", ")));
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
