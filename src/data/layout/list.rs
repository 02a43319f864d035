//! Lists: CSV and JSONL with path and label, and perhaps split and group.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::super::origin::{Origin, Unreadable};
use super::super::split::{Split, split_of};
use super::found::{Entry, Layout, Scan};
use crate::error::{Error, Result};
use crate::files::csv_error;
use crate::text::count;

/// Whether a file is a list, by its ending.
pub(super) fn is_list(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|end| matches!(end.to_lowercase().as_str(), "csv" | "jsonl"))
}

/// One row of a list; missing and empty cells are `None`.
#[derive(Deserialize)]
pub(super) struct Row {
    #[serde(skip)]
    line: u64,
    path: Option<String>,
    label: Option<String>,
    split: Option<String>,
    group: Option<String>,
}

pub(super) fn read_csv(
    path: &Path,
    mut reader: csv::Reader<fs::File>,
    columns: [Option<usize>; 4],
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(path, error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let [path, label, split, group] = columns.map(|column| Some(record.get(column?)?.to_owned()));
        rows.push(Row { line, path, label, split, group });
    }
    Ok(rows)
}

pub(super) fn read_jsonl(path: &Path) -> Result<Vec<Row>> {
    let file = fs::File::open(path).map_err(|error| Error::io("read", path, error))?;
    let mut rows = Vec::new();
    for (index, text) in BufReader::new(file).lines().enumerate() {
        let text = text.map_err(|error| Error::io("read", path, error))?;
        if text.trim().is_empty() {
            continue;
        }
        let line = index as u64 + 1;
        let malformed = |problem: String| {
            Error::input(format!("{} line {line}", path.display()), problem).expected(
                r#"an object like {"path": "a.jpg", "label": "happy", "split": "train", "group": "p1"}"#,
            )
        };
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let mut row = Row { line, path: None, label: None, split: None, group: None };
        for (key, value) in object {
            let cell = match key.to_lowercase().as_str() {
                "path" => &mut row.path,
                "label" => &mut row.label,
                "split" => &mut row.split,
                "group" => &mut row.group,
                _ => continue,
            };
            *cell = match value {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text),
                serde_json::Value::Number(number) => Some(number.to_string()),
                _ => return Err(malformed(format!("`{key}` is neither a string nor a number"))),
            };
        }
        rows.push(row);
    }
    Ok(rows)
}

pub(super) fn list_entries(list_path: &Path, rows: Vec<Row>) -> Result<Scan> {
    let folder = list_path.parent().unwrap_or(Path::new(""));
    let cell = |cell: Option<String>| cell.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let mut scan = Scan::new(Layout::List);
    let mut seen: HashMap<String, (u64, String, Option<Split>)> = HashMap::new();
    let mut repeated = 0;
    let mut with_split: Option<(u64, bool)> = None;
    for row in rows {
        let at =
            |problem: String| Error::input(format!("{} line {}", list_path.display(), row.line), problem);
        let path = cell(row.path).ok_or_else(|| at("there is no path".into()))?;
        let label = cell(row.label).ok_or_else(|| at("there is no label".into()))?;
        let split = cell(row.split).map(|text| {
            split_of(&text).ok_or_else(|| at(format!("unknown split `{text}`")).expected(SPLITS))
        });
        let split = split.transpose()?;
        match with_split {
            None => with_split = Some((row.line, split.is_some())),
            Some((first, given)) if given != split.is_some() => {
                let (this, other) = if given { ("no", "has one") } else { ("a", "has none") };
                return Err(at(format!("there is {this} split here, while line {first} {other}"))
                    .expected("a split on every line or on none"));
            }
            Some(_) => {}
        }
        let name = path.replace('\\', "/");
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        if let Some((line, other, other_split)) = seen.get(&name) {
            if *other != label || *other_split != split {
                return Err(at(format!("{name} is also on line {line}, with another label or split"))
                    .expected("each image once"));
            }
            repeated += 1;
            continue;
        }
        seen.insert(name.clone(), (row.line, label.clone(), split));
        scan.labels.insert(label.clone());
        let file = folder.join(if cfg!(windows) { &path } else { &name });
        // Opening a pipe or a device would wait for ever: only plain files go on.
        match fs::metadata(&file) {
            Ok(about) if about.is_file() => {
                scan.entries.push(Entry {
                    name,
                    origin: Origin::File(file),
                    label,
                    split,
                    group: cell(row.group),
                });
            }
            Ok(_) => scan.unreadable.push(Unreadable { name, reason: "not a file".into() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                scan.unreadable.push(Unreadable { name, reason: "no such file".into() });
            }
            Err(error) => scan.unreadable.push(Unreadable { name, reason: error.to_string() }),
        }
    }
    if repeated > 0 {
        scan.left_out.push(count(repeated, "line repeats an earlier one", "lines repeat earlier ones"));
    }
    Ok(scan)
}

const SPLITS: &str = "train, valid (val, validation) or test";

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::super::testing::{names, refused, tree};
    use super::*;
    use crate::data::testing::write;

    #[test]
    fn a_csv_list_is_read_whatever_its_columns_order() {
        let root = tree(&["faces/a.png", "faces/b.png"]);
        write(
            root.path(),
            "list.csv",
            "\u{feff}Group,LABEL, Path ,Split,age\np1,Happy,faces/a.png,train,3\n,sad,./faces/b.png,val,4\n",
        );
        let scan = scan(&root.path().join("list.csv")).unwrap();
        assert_eq!(scan.layout, Layout::List);
        assert_eq!(names(&scan), ["faces/a.png", "faces/b.png"]);
        assert_eq!(scan.entries[0].group.as_deref(), Some("p1"));
        assert_eq!(scan.entries[1].group, None);
        assert_eq!((scan.entries[0].split, scan.entries[1].split), (Some(Split::Train), Some(Split::Valid)));
        assert!(scan.entries[1].origin.path().unwrap().is_file());
    }

    #[test]
    fn a_jsonl_list_is_read_with_the_same_keys() {
        let root = tree(&["a.png", "b.png"]);
        let text = concat!(
            r#"{"path":"a.png","label":"happy","group":7,"more":[1]}"#,
            "\n\n",
            r#"{"Label":1,"path":"b.png"}"#
        );
        write(root.path(), "list.jsonl", text);
        let scan = scan(&root.path().join("list.jsonl")).unwrap();
        assert_eq!(scan.entries[0].group.as_deref(), Some("7"));
        assert_eq!(scan.entries[1].label, "1");
        write(root.path(), "bad.jsonl", "{\"path\":\"a.png\",\"label\":\"x\"}\n{\"path\":");
        assert!(refused(&root.path().join("bad.jsonl")).contains("bad.jsonl line 2"));
        write(root.path(), "odd.jsonl", r#"{"path":["a.png"],"label":"x"}"#);
        assert!(refused(&root.path().join("odd.jsonl")).contains("`path` is neither a string nor a number"));
    }

    #[test]
    fn a_list_with_bad_lines_is_refused_by_line() {
        let root = tree(&["a.png", "b.png"]);
        for (text, says) in [
            ("file,label\na.png,happy\n", "found the columns `file`, `label`"),
            ("path,label\n,happy\n", "line 2: there is no path"),
            ("path,label\na.png,\n", "line 2: there is no label"),
            ("path,label,split\na.png,happy,dev\n", "line 2: unknown split `dev`"),
            (
                "path,label,split\na.png,happy,train\nb.png,sad,\n",
                "line 3: there is no split here, while line 2 has one",
            ),
            ("path,label\na.png,happy\na.png,sad\n", "line 3: a.png is also on line 2"),
            ("path,label\n", "there are no images"),
        ] {
            write(root.path(), "list.csv", text);
            let found = refused(&root.path().join("list.csv"));
            assert!(found.contains(says), "{found}");
        }
    }

    #[test]
    fn missing_files_of_a_list_are_named() {
        let root = tree(&["a.png", "folder/b.png"]);
        write(root.path(), "list.csv", "path,label\na.png,happy\ngone.png,sad\nfolder,sad\na.png,happy\n");
        let scan = scan(&root.path().join("list.csv")).unwrap();
        let reasons: Vec<_> =
            scan.unreadable.iter().map(|file| (file.name.as_str(), file.reason.as_str())).collect();
        assert_eq!(reasons, [("folder", "not a file"), ("gone.png", "no such file")]);
        assert_eq!(scan.left_out, ["1 line repeats an earlier one"]);
    }
}
