//! Sections of a page as entries of a table: a new section is one file and one line.

use crate::error::Result;
use crate::page::html;

/// An entry of a table of sections.
pub(super) struct Entry<B> {
    /// Anchor on the page: plain letters.
    pub(super) id: &'static str,
    /// Heading, and name in the navigation.
    pub(super) title: &'static str,
    /// Function that makes the content; `None` where there is nothing to show.
    pub(super) build: B,
}

/// What a section shows below its heading (HTML).
pub(super) struct Content {
    /// What is to be seen and what it means for this run, in one sentence.
    pub(super) lead: String,
    pub(super) body: String,
}

/// Builds the sections of a table in their order, without the empty ones.
pub(super) fn build_all<B>(
    table: &[Entry<B>],
    mut build: impl FnMut(&B) -> Result<Option<Content>>,
) -> Result<Vec<html::Section>> {
    let mut sections = Vec::new();
    for Entry { id, title, build: function } in table {
        if let Some(Content { lead, body }) = build(function)? {
            sections.push(html::Section { id, title, lead, body });
        }
    }
    Ok(sections)
}

/// What stands at the foot of every page.
pub(super) fn foot(folders: &str) -> String {
    format!(
        "Made by mien from the files of {folders}. The figures are also in <code>plots/</code> and the \
         tables in <code>tables/</code>, next to this page; the page works without them."
    )
}
