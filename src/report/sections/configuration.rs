//! The settings of the run, and which of them differ from the reference recipe.

use super::entry::Build;
use crate::error::Result;
use crate::page::html::{Table, details, escape, html, text};
use crate::page::output::Output;
use crate::report::run::Run;
use crate::report::section::{Content, Entry};

pub(super) const CONFIGURATION: Entry<Build> = Entry { id: "configuration", title: "Configuration", build };

fn build(run: &Run, output: &mut Output) -> Result<Option<Content>> {
    let settings = run.files.settings();
    let changed: Vec<String> = settings
        .iter()
        .filter(|(key, _, other)| *other == Some(true) || (other.is_none() && key != "data.root"))
        .map(|(key, ..)| key.clone())
        .collect();
    let mut table = Table::new("configuration", "Configuration", &["key", "value", "default"]);
    let mut rows = Table::new("", "Settings that differ from the reference recipe", &["key", "value"]);
    for (key, value, other) in &settings {
        let mark = match other {
            Some(true) => html("<b class=\"changed\">changed</b>", "no"),
            Some(false) => html("default", "yes"),
            None => html("set", "no"),
        };
        if changed.contains(key) {
            rows.push(vec![text(key), text(value)]);
        }
        table.push(vec![text(key), text(value), mark]);
    }
    let lead = match changed.len() {
        0 => "All settings have the values of the reference recipe.".to_owned(),
        1 => format!("1 of {} settings differs from the reference recipe.", settings.len()),
        n => format!("{n} of {} settings differ from the reference recipe.", settings.len()),
    };
    let mut body = if rows.is_empty() { String::new() } else { rows.html() };
    body += &details("All settings", &output.table(&table));
    body += &details(
        "config.toml",
        &format!("<pre tabindex=\"0\">{}</pre>", escape_lines(&run.files.config_text)),
    );
    Ok(Some(Content { lead, body }))
}

/// Escapes a text of several lines.
fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}
