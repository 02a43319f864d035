//! Several runs on one page: metrics, paired differences, learning curves, and the images on which they
//! disagree.

mod comparison;
mod configurations;
mod curves;
mod differences;
mod disagreements;
mod numbers;
mod pairs;
mod sides;
mod warnings;

use std::path::{Path, PathBuf};

use self::comparison::{Build, Comparison};
use super::options::Options;
use super::section::{Entry, build_all, foot};
use super::warnings::Warning;
use crate::error::{Error, Result};
use crate::page::html::{count, document, escape, list};
use crate::page::output::{Output, Written};
use crate::run_folder::read::RunFiles;

/// File name of the page of a comparison, within its folder.
pub const COMPARISON: &str = "compare.html";

/// All sections in their order on the page; those without content are left out.
const SECTIONS: &[Entry<Build>] = &[
    numbers::NUMBERS,
    differences::DIFFERENCES,
    curves::CURVES,
    disagreements::DISAGREEMENTS,
    configurations::CONFIGURATIONS,
];

/// Writes a page that compares `runs` into the folder `out`, which is created if it does not exist:
/// `compare.html`, with `plots/` and `tables/` next to it.
///
/// The runs are compared on the test split if all were evaluated on it, otherwise on the validation split if
/// all were evaluated on that. Differences are paired over the images that both runs were evaluated on: those
/// of the same name in the same data (the same fingerprint, or the same path), with the same true class.
///
/// # Errors
/// There are fewer than two runs; one is not a run folder or is given twice; a file cannot be written.
pub fn compare(runs: &[PathBuf], out: &Path, options: &Options) -> Result<Written> {
    if runs.len() < 2 {
        return Err(Error::input("runs to compare", count(runs.len(), "run", "runs"))
            .expected("two or more run folders"));
    }
    for (index, run) in runs.iter().enumerate() {
        let same = |other: &PathBuf| {
            other == run || matches!((other.canonicalize(), run.canonicalize()), (Ok(a), Ok(b)) if a == b)
        };
        if runs[..index].iter().any(same) {
            return Err(Error::at(run, "is given twice").expected("different runs"));
        }
    }
    let files: Vec<RunFiles> = runs.iter().map(|run| RunFiles::open(run)).collect::<Result<_>>()?;
    std::fs::create_dir_all(out).map_err(|error| Error::io("create", out, error))?;
    let comparison = Comparison::of(&files, options)?;
    let mut output = Output::default();
    let sections = build_all(SECTIONS, |build| build(&comparison, &mut output))?;

    let names: Vec<&str> = comparison.sides.iter().map(|side| side.name.as_str()).collect();
    let title = format!("{} compared", count(names.len(), "run", "runs"));
    let head = format!(
        "<header><p class=\"kicker\">Comparison</p><h1>{}</h1><p class=\"sub\">{}</p></header>",
        escape(&title),
        escape(&list(&names))
    );
    let html = document(&format!("{title}: {}", list(&names)), &head, &sections, &foot("the run folders"));
    let warnings = comparison.warnings.iter().map(Warning::line).collect();
    output.write(out, COMPARISON, &html, options.progress, warnings)
}
