//! The page of a run, or of several runs compared: one HTML file that needs nothing else, neither a network
//! nor a file next to it. Every figure is also written as SVG and PNG, and every table as CSV.
//!
//! **Invariant:** the same files give the same page, byte for byte: nothing in it depends on the time, the
//! machine or the order of threads.
//!
//! A new section is one file of `sections/` (or `compare/`) and one line of its table; a new warning is one
//! function and one line of `warnings.rs`.

mod compare;
pub mod config;
mod figures;
mod gallery;
mod images;
mod numbers;
mod options;
mod run;
mod section;
mod sections;
mod warnings;

use std::path::Path;

pub use self::compare::compare;
pub use self::options::{Options, Projection};
use self::run::Run;
use self::section::{build_all, foot};
use self::sections::SECTIONS;
use self::warnings::Warning;
use crate::error::Result;
use crate::page::html::{document, escape};
use crate::page::output::{Output, Written};
use crate::run_folder::read::RunFiles;

/// File name of the page of a run, within its folder.
pub const PAGE: &str = "report.html";

/// Writes `report.html` of a run into its folder, with `plots/` and `tables/` next to it. Thumbnails are kept
/// in `report/thumbnails/`, so that the page can be made again when the data are gone.
///
/// # Errors
/// `run` is not a run folder; a file cannot be written. A missing or damaged part of the run is not an error:
/// the page warns of it.
pub fn write(run: &Path, options: &Options) -> Result<Written> {
    let files = RunFiles::open(run)?;
    let run_of_page = Run::of(&files, options)?;
    let mut output = Output::default();
    let sections = build_all(SECTIONS, |build| build(&run_of_page, &mut output))?;

    let size = files.setting("input.size").unwrap_or_default();
    let head = format!(
        "<header><p class=\"kicker\">Training run</p><h1>{}</h1>\
         <p class=\"sub\">{}, {size}×{size} pixels · {}</p></header>",
        escape(&files.name),
        escape(&files.setting("model.name").unwrap_or_default()),
        escape(&files.setting("data.root").unwrap_or_default())
    );
    let html = document(&files.name, &head, &sections, &foot("the run folder"));
    let warnings = warnings::of(&run_of_page).iter().map(Warning::line).collect();
    output.write(run, PAGE, &html, options.progress, warnings)
}

#[cfg(test)]
mod tests;
