//! `mien audit`: what is wrong with a data set.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, advance, must_be_new, print, shown};
use crate::audit::similar::Near;
use crate::audit::{self, Audit, Options, Severity, Stage};
use crate::error::Error;
use crate::files::create_new_dir;

const EXAMPLES: &str = "\
Examples:
  mien audit faces/
  mien audit faces/ --write-list clean.csv && mien train clean.csv
  mien audit real/ synthetic/ --out audit/
  mien audit faces/ --run runs/fold1 --run runs/fold2";

/// Check a data set for duplicates, leakage, odd files, shortcuts and doubtful labels
///
/// The audit finds exact duplicates (bytes, pixels) and near duplicates (perceptual hash, then correlation),
/// also mirrored, within and across splits and data sets; groups that cross splits; one image with two
/// labels; unreadable, blank, tiny, mis-sized and unexpectedly grey files; the class balance per split and
/// source; and how well a linear model predicts source and class from colour statistics and JPEG tables
/// alone. With --run it ranks the labels that trained models find least plausible.
///
/// The exit code is 3 if there are errors: leakage, one image with two labels, or unreadable files.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Data sets: folders, lists or fer2013.csv.
    #[arg(required = true, value_name = "DATA")]
    roots: Vec<PathBuf>,
    /// New folder for audit.json, pairs.csv, odd.csv and audit.html [default: print the summary only].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a list for `mien train` without leakage and with one image of each set of duplicates.
    #[arg(long, value_name = "FILE.csv")]
    write_list: Option<PathBuf>,
    /// Run whose predictions show which labels are doubtful; may be repeated, as for cross-validation.
    #[arg(long = "run", value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Regex on file names whose first capture group identifies the person.
    #[arg(long, value_name = "REGEX")]
    group_regex: Option<String>,
    /// Names of the class folders [default: all folders].
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    classes: Vec<String>,
    /// Largest distance of the 64-bit hashes of near duplicates, in bits.
    #[arg(long, value_name = "BITS", default_value_t = Near::default().hash_distance)]
    near_distance: u32,
    /// Smallest correlation of the pixels of near duplicates.
    #[arg(long, value_name = "R", default_value_t = Near::default().correlation)]
    near_correlation: f64,
    /// Find exact duplicates only.
    #[arg(long)]
    exact_only: bool,
    /// Images, drawn at random, to fit the shortcut probe on; 0: no probe.
    #[arg(long, value_name = "N", default_value_t = Options::default().probe_images)]
    probe: usize,
    /// Seed of the draws of the probe.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        if self.near_distance > 32 {
            return Err(Error::setting("--near-distance", format!("found {}", self.near_distance))
                .expected("0 to 32 bits")
                .into());
        }
        if !(0.0..=1.0).contains(&self.near_correlation) {
            return Err(Error::setting("--near-correlation", format!("found {}", self.near_correlation))
                .expected("0 to 1")
                .into());
        }
        if let Some(list) = &self.write_list {
            must_be_new(list, "a new file for --write-list")?;
        }
        if let Some(out) = &self.out {
            create_new_dir(out)?;
        }
        let near =
            Near { hash_distance: self.near_distance, correlation: self.near_correlation, ..Near::default() };
        let options = Options {
            roots: self.roots.clone(),
            classes: self.classes.clone(),
            group_regex: self.group_regex.clone(),
            near: (!self.exact_only).then_some(near),
            probe_images: self.probe,
            runs: self.runs.clone(),
            seed: self.seed,
            ..Options::default()
        };
        let bar = self.verbosity.bar("");
        let found = audit::run(&options, &|stage, done, of| {
            let what = match stage {
                Stage::Reading => "reading",
                Stage::Comparing => "comparing",
                Stage::Probing => "probing",
            };
            advance(&bar, what, done, of);
        });
        bar.finish_and_clear();
        let found = found?;
        if let Some(out) = &self.out {
            audit::files::write(out, &found)?;
            audit::page::write(&out.join(PAGE), &found)?;
        }
        let list = self.write_list.as_ref().map(|path| audit::clean_list::write(path, &found)).transpose()?;
        if self.verbosity.json {
            print(&serde_json::to_string(&found)?);
        } else {
            summary(&found);
            if let Some(out) = &self.out {
                print(&format!("\npage        {}", shown(&out.join(PAGE))));
            }
            if let (Some(list), Some(path)) = (&list, &self.write_list) {
                let left: Vec<String> =
                    list.left_out.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
                let left = if left.is_empty() { "nothing".to_owned() } else { left.join(", ") };
                print(&format!("clean list  {} with {} images; left out: {left}", shown(path), list.kept));
            }
        }
        Ok(if found.severity() == Severity::Error { Exit::Findings } else { Exit::Done })
    }
}

const PAGE: &str = "audit.html";

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
        print("no findings");
    }
}
