//! The default configuration as a table of keys, and what can be told of each key from it.

use serde::Deserialize;
use toml::{Table, Value};

use super::keys::{KEYS, Key, find};
use super::read::{Problem, Reader};
use super::settings::RunConfig;
use crate::text::either;

/// The default configuration as TOML.
pub(super) fn defaults() -> Table {
    match Value::try_from(RunConfig::default()) {
        Ok(Value::Table(table)) => table,
        _ => unreachable!("the default configuration is a TOML table (see the tests)"),
    }
}

/// Reads a whole configuration.
pub(super) fn read(table: &Table) -> Result<RunConfig, Problem> {
    RunConfig::deserialize(Reader(&Value::Table(table.clone())))
}

/// Every key with a value of its own, dotted; a section without keys as itself.
pub(super) fn flatten(table: &Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                flat.extend(flatten(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)))
            }
            value => flat.push((key.clone(), value.clone())),
        }
    }
    flat.sort_by_key(|(key, _)| !decides_others(key));
    flat
}

/// Whether a key comes first, wherever it was written: a `kind` decides which of its neighbours may be there,
/// a model what its dropout is unless that is set.
pub(super) fn decides_others(key: &str) -> bool {
    key.ends_with(".kind") || key == "model.name"
}

/// The section of a known key, and the key's name in it.
pub(super) fn section<'t, 'k>(table: &'t mut Table, key: &'k str) -> (&'t mut Table, &'k str) {
    let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
    let section = path.split('.').fold(table, |table, part| {
        let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
        inner.as_table_mut().expect("a known key's sections are tables")
    });
    (section, last)
}

/// The value of a known key.
pub(super) fn value<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?);
    parts.fold(first, |value, part| value?.as_table()?.get(part))
}

/// The values that a known key can have, where it is an enumeration.
pub(super) fn choices(key: &str) -> Vec<&'static str> {
    let mut table = defaults();
    let (section, last) = section(&mut table, key);
    section.insert(last.to_owned(), Value::String("?".to_owned()));
    match read(&table) {
        Err(Problem::Choice(names)) => names,
        _ => Vec::new(),
    }
}

impl Key {
    /// The description with the choices: `optimizer: sgd, adam or adamw`.
    pub(crate) fn describe(&self) -> String {
        let choices = choices(self.name);
        if choices.is_empty() || choices.iter().all(|name| self.about.contains(name)) {
            self.about.to_owned()
        } else {
            format!("{}: {}", self.about, either(&choices))
        }
    }

    /// The default as a flag's value would be written: `25`, `0.8,0.1,0.1`, `on`; `None` where there is none.
    pub(crate) fn default_text(&self) -> Option<String> {
        match value(&defaults(), self.name)? {
            Value::Boolean(is) => Some(if *is { "on" } else { "off" }.to_owned()),
            value => Some(flag_text(value)).filter(|text| !text.is_empty()),
        }
    }

    /// The default in TOML; `None` for a key that has none.
    pub(super) fn default_toml(&self) -> Option<String> {
        if self.example.is_some() {
            return None;
        }
        value(&defaults(), self.name).map(toml_text)
    }
}

/// A value as it is written after a flag: no quotes, commas in lists.
pub(super) fn flag_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(flag_text).collect::<Vec<_>>().join(","),
        value => toml_text(value),
    }
}

/// A value as TOML. A number that comes from an f32 is written with the digits that an f32 needs.
pub(super) fn toml_text(value: &Value) -> String {
    match value {
        Value::Float(number) if f64::from(*number as f32) == *number => format!("{:?}", *number as f32),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(toml_text).collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

/// Whether `name` is a section, as `train` and `train.schedule` are.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The sections without those within others.
pub(super) fn sections() -> Vec<&'static str> {
    let mut names: Vec<&str> = KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0)).collect();
    names.dedup();
    names
}

/// Whether `name` is a key.
pub(super) fn is_key(name: &str) -> bool {
    find(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_keys_has_every_key_of_the_configuration() {
        for (name, _) in flatten(&defaults()) {
            assert!(is_key(&name), "{name} is not in the table of keys");
        }
        for key in KEYS {
            let has_default = value(&defaults(), key.name).is_some();
            assert!(has_default || key.example.is_some(), "{} has neither default nor example", key.name);
        }
    }

    #[test]
    fn choices_are_those_that_serde_reads() {
        assert_eq!(choices("data.dataset_type"), ["real", "augmented", "synthetic", "synthetic-augmented"]);
        assert_eq!(choices("train.schedule.kind"), ["cosine", "step", "plateau", "none"]);
        assert!(choices("model.name").contains(&"vgg16_cbam"));
        assert!(choices("train.epochs").is_empty() && choices("device.name").is_empty());
        assert_eq!(find("train.optimizer").unwrap().describe(), "optimizer: sgd, adam or adamw");
    }

    #[test]
    fn defaults_are_written_as_a_person_would() {
        let text = |key: &str| find(key).unwrap().default_text().unwrap_or_default();
        let keys = ["train.epochs", "data.split", "train.ema", "augment.transform.hue", "train.weights"];
        assert_eq!(keys.map(text), ["25", "0.8,0.1,0.1", "on", "0.1", ""]);
        assert_eq!(text("train.weight_decay"), "0.0001");
    }
}
