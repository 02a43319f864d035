use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use super::{Verbosity, print, shown};
use crate::audit::similar::Near;
use crate::audit::{self, Audit, Options, Severity, Stage};
use crate::error::Error;
use crate::files::create_new_dir;

/// Look a data set over before training: duplicates, leaks, odd files, shortcuts, doubtful labels.
///
/// Finds exact duplicates (bytes, pixels) and near ones (perceptual hash, then correlation), within
/// and across splits and data sets, mirrored too; groups that splits cut; one image under two
/// labels; unreadable, blank, tiny, mis-sized and grey files among coloured ones; class balance per
/// split and source; and how well a linear model tells source and class from colour statistics and
/// JPEG tables alone. With --run it ranks the labels that trained models believe least.
///
/// Exit code 3 where something makes numbers wrong (leaks, one image under two labels), 0 otherwise.
///
/// Examples:
///   mien audit faces/
///   mien audit faces/ --write-list clean.csv && mien train clean.csv
///   mien audit real/ synthetic/ --out audit/
///   mien audit faces/ --run runs/fold1 --run runs/fold2
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Data sets: folders, lists or fer2013.csv.
    #[arg(required = true, value_name = "DATA")]
    roots: Vec<PathBuf>,
    /// A new folder for audit.json, pairs.csv, odd.csv and audit.html [default: nothing but the summary is
    /// written].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a clean list for `mien train`: no leaks, one of each set of duplicates.
    #[arg(long, value_name = "FILE.csv")]
    write_list: Option<PathBuf>,
    /// A run (or several, as of cross-validation) whose predictions tell which labels are doubtful.
    #[arg(long = "run", value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// What of a file name tells the person or photo: first capture group.
    #[arg(long, value_name = "REGEX")]
    group_regex: Option<String>,
    /// The classes, by folder name [default: from the folders].
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    classes: Vec<String>,
    /// Bits of 64 in which the hashes of near duplicates may differ.
    #[arg(long, value_name = "BITS", default_value_t = Near::default().hash_distance)]
    near_distance: u32,
    /// Correlation from which on two images are near duplicates.
    #[arg(long, value_name = "R", default_value_t = Near::default().correlation)]
    near_correlation: f64,
    /// Look for exact duplicates only.
    #[arg(long)]
    exact_only: bool,
    /// Images, drawn at random, that the shortcut probe looks at; 0: none.
    #[arg(long, value_name = "N", default_value_t = Options::default().probe_images)]
    probe: usize,
    /// Seed of the probe's draws.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if args.near_distance > 32 || !(0.0..=1.0).contains(&args.near_correlation) {
        return Err(Error::input(
            "--near-distance and --near-correlation",
            format!("found {}, {}", args.near_distance, args.near_correlation),
        )
        .expected("0 to 32 bits, and 0 to 1")
        .into());
    }
    if let Some(list) = args.write_list.as_ref().filter(|list| list.symlink_metadata().is_ok()) {
        return Err(Error::at(list, "is there already")
            .expected("a new file")
            .hint("Nothing is overwritten: choose another name")
            .into());
    }
    if let Some(out) = &args.out {
        create_new_dir(out)?;
    }
    let near =
        Near { hash_distance: args.near_distance, correlation: args.near_correlation, ..Near::default() };
    let options = Options {
        roots: args.roots.clone(),
        classes: args.classes.clone(),
        group_regex: args.group_regex.clone(),
        near: (!args.exact_only).then_some(near),
        probe_images: args.probe,
        runs: args.runs.clone(),
        seed: args.seed,
        ..Options::default()
    };
    let bar = crate::cli::console::bar(args.verbosity.is_chatty(), "");
    let found = audit::run(&options, &|stage, done, of| {
        bar.set_message(match stage {
            Stage::Reading => "reading",
            Stage::Comparing => "comparing",
            Stage::Probing => "probing",
        });
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let found = found?;
    if let Some(out) = &args.out {
        audit::files::write(out, &found)?;
        audit::page::write(&out.join(PAGE), &found)?;
    }
    let list = args.write_list.as_ref().map(|path| audit::clean_list::write(path, &found)).transpose()?;
    if args.verbosity.json {
        print(&serde_json::to_string(&found)?);
    } else {
        summary(&found);
        if let Some(out) = &args.out {
            print(&format!("\nlook at it  {}", shown(&out.join(PAGE))));
        }
        if let (Some(list), Some(path)) = (&list, &args.write_list) {
            let left: Vec<String> =
                list.left_out.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            let left = if left.is_empty() { "nothing".to_owned() } else { left.join(", ") };
            print(&format!("clean list  {} with {} images; left out: {left}", shown(path), list.kept));
        }
    }
    Ok(ExitCode::from(if found.severity() == Severity::Error { WRONG } else { 0 }))
}

const PAGE: &str = "audit.html";
/// The exit code of an audit that found what makes numbers wrong.
const WRONG: u8 = 3;

fn summary(found: &Audit) {
    for root in &found.roots {
        let copies = if root.copies > 0 {
            format!(", {} of them augmented copies", root.copies)
        } else {
            String::new()
        };
        print(&format!("{}: {} images{copies}", shown(Path::new(&root.path)), root.images));
    }
    let totals: Vec<String> = found
        .classes
        .iter()
        .enumerate()
        .map(|(class, name)| {
            format!("{name} {}", found.balance.iter().map(|row| row.counts[class]).sum::<usize>())
        })
        .collect();
    print(&format!("{}\n", totals.join(", ")));
    for finding in &found.findings {
        let mark = match finding.severity {
            Severity::Error => "ERROR   ",
            Severity::Warning => "warning ",
            Severity::Note => "note    ",
        };
        print(&format!("{mark} {}", finding.text));
    }
    if found.findings.is_empty() {
        print("nothing found that speaks against these data");
    }
}
