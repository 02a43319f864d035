//! `mien report`: the page of a run, or of several.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, advance, must_be_run, print, shown};
use crate::error::Error;
use crate::explain::index::INDEX;
use crate::files::unused_path;
use crate::report::{self, Options, Projection};
use crate::run_folder::names::EXPLAIN;

const EXAMPLES: &str = "\
Examples:
  mien report runs/vgg16_cbam-real
  mien report runs/real runs/augmented runs/synthetic --out comparison/";

/// Write the HTML report of a run, or one that compares several runs
///
/// report.html is a single file that needs no network. Every figure is also written as PNG and SVG to plots/,
/// every table as CSV to tables/. `mien train` ends with it; it can be regenerated at any time from the run
/// folder, and from the images if they have not moved.
///
/// For several runs: learning curves, metrics with confidence intervals, paired differences, and the images
/// on which the runs disagree.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Run folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Folder for a comparison [default: comparison, numbered if it exists].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Projection of the features to two dimensions.
    #[arg(long, value_enum, default_value = "tsne")]
    projection: ProjectionArg,
    /// Misclassified images to show, at most.
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

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        for folder in &self.runs {
            must_be_run(folder)?;
        }
        let bar = self.verbosity.bar("");
        let progress = |what: &str, done: usize, of: usize| advance(&bar, what, done, of);
        let projection = match self.projection {
            ProjectionArg::Tsne => Projection::Tsne,
            ProjectionArg::Pca => Projection::Pca,
        };
        let options =
            Options { projection, gallery: self.gallery, progress: Some(&progress), ..Options::default() };
        let written = match self.runs.as_slice() {
            [one] if self.out.is_some() => {
                return Err(Error::setting("--out", "the report of one run is written into its folder")
                    .expected(format!("{} alone, or several runs to compare", shown(one)))
                    .hint("Leave --out out")
                    .into());
            }
            [one] => report::write(one, &options),
            several => {
                let out = self.out.clone().unwrap_or_else(|| unused_path(Path::new("comparison")));
                report::compare(several, &out, &options)
            }
        };
        bar.finish_and_clear();
        let written = written?;
        if self.verbosity.json {
            let crate::page::output::Written { page, bytes, figures, tables, warnings } = &written;
            let report = serde_json::json!({
                "page": page, "bytes": bytes, "figures": figures, "tables": tables, "warnings": warnings
            });
            print(&report.to_string());
            return Ok(Exit::Done);
        }
        written.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        print(&shown(&written.page));
        if self.verbosity.is_chatty() {
            print(&format!(
                "{:.1} MB, with {} figures and {} tables next to it",
                written.bytes as f64 / 1e6,
                written.figures,
                written.tables
            ));
            if let [one] = self.runs.as_slice()
                && !one.join(EXPLAIN).join(INDEX).exists()
            {
                print(&format!(
                    "no class activation maps yet; to add them: mien explain {0} && mien report {0}",
                    shown(one)
                ));
            }
        }
        Ok(Exit::Done)
    }
}
