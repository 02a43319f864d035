//! Settings and data of the runs.

use std::collections::BTreeMap;

use super::comparison::{Build, Comparison};
use crate::error::Result;
use crate::page::html::{Table, count, details, escape, html, text, whole};
use crate::page::output::Output;
use crate::report::section::{Content, Entry};

pub(super) const CONFIGURATIONS: Entry<Build> = Entry { id: "configuration", title: "Configuration", build };

fn build(comparison: &Comparison, output: &mut Output) -> Result<Option<Content>> {
    let sides = &comparison.sides;
    let settings: Vec<BTreeMap<String, String>> = sides
        .iter()
        .map(|side| side.files.settings().into_iter().map(|(key, value, _)| (key, value)).collect())
        .collect();
    let mut keys: Vec<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    keys.sort();
    keys.dedup();
    let table_of = |name: &str, caption: &str, all: bool| {
        let mut table = Table::new(name, caption, &["key"]);
        sides.iter().for_each(|side| table.column(&side.name));
        for key in &keys {
            let values: Vec<Option<&String>> = settings.iter().map(|settings| settings.get(*key)).collect();
            if all || values.iter().any(|value| *value != values[0]) {
                let cells = values.iter().map(|value| text(value.map_or("–", String::as_str)));
                table.push([text(key)].into_iter().chain(cells).collect());
            }
        }
        table
    };
    let differing = table_of("configurations", "Settings that differ", false);
    let lead = if differing.is_empty() {
        "All runs have the same settings.".to_owned()
    } else {
        let differ = keys
            .iter()
            .filter(|key| settings.iter().any(|one| one.get(**key) != settings[0].get(**key)))
            .count();
        format!("{}.", count(differ, "setting differs", "settings differ"))
    };
    let mut body = if differing.is_empty() { String::new() } else { output.table(&differing) };
    let mut data = Table::new(
        "data_of_runs",
        "Data of each run",
        &["run", "root", "fingerprint", "train", "valid", "test", "groups in test"],
    )
    .show_as("root", "path")
    .show_as("groups in test", "test groups");
    for side in sides {
        let Some(found) = &side.files.data else { continue };
        let sum = |counts: &[usize]| whole(counts.iter().sum());
        data.push(vec![
            text(&side.name),
            text(found.root.display().to_string()),
            html(
                format!("<code>{}</code>", escape(found.fingerprint.get(..12).unwrap_or(&found.fingerprint))),
                &found.fingerprint,
            ),
            sum(&found.counts.train),
            sum(&found.counts.valid),
            sum(&found.counts.test),
            whole(found.groups.test),
        ]);
    }
    if !data.is_empty() {
        body += &output.table(&data);
    }
    body += &details("All settings", &table_of("", "All settings", true).html());
    Ok(Some(Content { lead, body }))
}
