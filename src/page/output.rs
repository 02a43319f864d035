//! The files of a page: figures as SVG and PNG, tables as CSV, and the page itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::html::{self, Table};
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::plot::Figure;

/// Folder of the figures, next to a page.
pub const PLOTS: &str = "plots";
/// Folder of the tables, next to a page.
pub const TABLES: &str = "tables";

/// Called with the step at hand, how much of it is done and how much there is to do; from any thread.
pub type Progress<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);

/// What was written, and what the reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Path of the page.
    pub page: PathBuf,
    /// Size of the page in bytes.
    pub bytes: usize,
    /// Number of figures, each written as SVG and PNG.
    pub figures: usize,
    /// Number of tables, each written as CSV.
    pub tables: usize,
    /// The warnings of the page, a line each.
    pub warnings: Vec<String>,
}

/// Figures and tables of a page, collected while it is made.
#[derive(Default)]
pub(crate) struct Output {
    figures: Vec<Figure>,
    tables: Vec<(String, String)>,
}

impl Output {
    /// Adds a figure; returns its HTML.
    pub(crate) fn figure(&mut self, figure: Figure) -> String {
        let html = html::figure(&figure);
        self.file(figure);
        html
    }

    /// Adds a figure that the page does not show.
    pub(crate) fn file(&mut self, figure: Figure) {
        if let Some(csv) = &figure.csv {
            self.tables.push((figure.name.clone(), csv.clone()));
        }
        self.figures.push(figure);
    }

    /// Adds a table; returns its HTML.
    pub(crate) fn table(&mut self, table: &Table) -> String {
        self.tables.push((table.name.clone(), table.csv()));
        let name = html::link(&table.name);
        format!("{}<p class=\"files\"><a href=\"{TABLES}/{name}.csv\" download>CSV</a></p>", table.html())
    }

    /// Adds a table that the page does not show.
    pub(crate) fn hidden_table(&mut self, table: &Table) {
        self.tables.push((table.name.clone(), table.csv()));
    }

    /// Writes everything; the page last, so that where it is, the other files are, too.
    pub(crate) fn write(
        self,
        folder: &Path,
        page: &str,
        html: &str,
        progress: Option<Progress>,
        warnings: Vec<String>,
    ) -> Result<Written> {
        let (plots, tables) = (folder.join(PLOTS), folder.join(TABLES));
        for folder in [&plots, &tables] {
            fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
        }
        let stage = Stage::new("drawing figures", self.figures.len(), progress);
        self.figures.par_iter().try_for_each(|figure| {
            put(&plots.join(format!("{}.svg", figure.name)), figure.svg().as_bytes())?;
            put(&plots.join(format!("{}.png", figure.name)), &figure.png()?)?;
            stage.step();
            Ok(())
        })?;
        for (name, csv) in &self.tables {
            put(&tables.join(format!("{name}.csv")), csv.as_bytes())?;
        }
        let path = folder.join(page);
        put(&path, html.as_bytes())?;
        Ok(Written {
            page: path,
            bytes: html.len(),
            figures: self.figures.len(),
            tables: self.tables.len(),
            warnings,
        })
    }
}

/// Writes a file atomically, unless it has this content already: a page that is made again touches nothing.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    write_atomic(path, |out| out.write_all(bytes))
}

/// A step of the work, counted from any thread.
pub(crate) struct Stage<'a> {
    what: &'a str,
    of: usize,
    done: AtomicUsize,
    progress: Option<Progress<'a>>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(what: &'a str, of: usize, progress: Option<Progress<'a>>) -> Self {
        Self { what, of, done: AtomicUsize::new(0), progress }
    }

    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self::new("", 0, None)
    }

    pub(crate) fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(progress) = self.progress {
            progress(self.what, done, self.of);
        }
    }
}
