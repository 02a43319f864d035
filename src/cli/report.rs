use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use super::{Verbosity, print, shown};
use crate::error::Error;
use crate::explain::index::INDEX;
use crate::files::unused_path;
use crate::report::{self, Options, Projection};
use crate::run_folder::names::EXPLAIN;

/// Make the page of a run, report.html, or one that compares several runs.
///
/// The page needs no network and no file beside it. Every figure is written as PNG and SVG to plots/
/// and every table as CSV to tables/, too. It is made from the files of the run folder, and from
/// the images while they are still where they were; so it can be made again at any time.
/// `mien train` ends with it.
///
/// With several runs: their curves over one another, their metrics side by side with intervals,
/// paired differences, and the images on which they disagree.
///
/// Examples:
///   mien report runs/vgg16_cbam-real
///   mien report runs/real runs/augmented runs/synthetic --out comparison/
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Run folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// A folder for a comparison [default: comparison, with a number where that is taken].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How features are drawn in two dimensions.
    #[arg(long, value_enum, default_value = "tsne")]
    projection: ProjectionArg,
    /// At most so many wrong answers as images.
    #[arg(long, value_name = "N", default_value_t = Options::default().gallery)]
    gallery: usize,
    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProjectionArg {
    Tsne,
    Pca,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    for folder in &args.runs {
        if !crate::run_folder::is_run(folder) {
            return Err(Error::at(folder, "is no run folder")
                .expected("a folder that `mien train` has written")
                .into());
        }
    }
    let bar = crate::cli::console::bar(args.verbosity.is_chatty(), "");
    let progress = |what: &str, done: usize, of: usize| {
        bar.set_message(what.to_owned());
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let projection = match args.projection {
        ProjectionArg::Tsne => Projection::Tsne,
        ProjectionArg::Pca => Projection::Pca,
    };
    let options =
        Options { projection, gallery: args.gallery, progress: Some(&progress), ..Options::default() };
    let written = match args.runs.as_slice() {
        [one] if args.out.is_some() => {
            return Err(Error::input(
                "--out",
                format!("the page of a run is written into it: {}", one.display()),
            )
            .hint("Leave --out away, or give several runs to compare")
            .into());
        }
        [one] => report::write(one, &options),
        several => {
            let out = args.out.clone().unwrap_or_else(|| unused_path(Path::new("comparison")));
            report::compare(several, &out, &options)
        }
    };
    bar.finish_and_clear();
    let written = written?;
    if args.verbosity.json {
        let crate::page::output::Written { page, bytes, figures, tables, warnings } = &written;
        let report = serde_json::json!({ "page": page, "bytes": bytes, "figures": figures, "tables": tables, "warnings": warnings });
        print(&report.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    written.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    print(&shown(&written.page));
    if args.verbosity.is_chatty() {
        print(&format!(
            "{:.1} MB, with {} figures and {} tables beside it",
            written.bytes as f64 / 1e6,
            written.figures,
            written.tables
        ));
        if let [one] = args.runs.as_slice()
            && !one.join(EXPLAIN).join(INDEX).exists()
        {
            print(&format!(
                "it has no class activation maps yet: mien explain {}, then make it again",
                shown(one)
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}
