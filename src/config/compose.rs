//! Defaults, a recipe and changes into one configuration, which remembers who set what: a message about a key
//! names the flag, `--set` or the recipe that set it.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::defaults::{
    choices, decides_others, defaults, flag_text, flatten, is_key, is_section, read, section, sections,
    toml_text, value,
};
use super::keys::KEYS;
use super::read::Problem;
use super::settings::RunConfig;
use crate::data::config::SPLIT_FRACTIONS;
use crate::error::{Error, Result};
use crate::model::ModelName;
use crate::text::{either, nearest, one_line};

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag or an argument of the command line: `--epochs`, `DATA`.
    Flag(String),
    /// `--set`.
    Set,
    /// A recipe, or another part of the program, by its name.
    Named(String),
}

impl Origin {
    /// The key as a message names it: `--epochs (train.epochs)`, `--set train.epochs`, `my.toml,
    /// train.epochs`.
    pub fn place(&self, key: &str) -> String {
        match self {
            Self::Flag(name) => format!("{name} ({key})"),
            Self::Set => format!("--set {key}"),
            Self::Named(name) => format!("{name}, {key}"),
        }
    }

    /// A value as it was written there.
    fn shown(&self, value: &Value) -> String {
        match value {
            Value::Array(_) if matches!(self, Self::Flag(_)) => flag_text(value),
            value => toml_text(value),
        }
    }
}

/// One changed key: `train.epochs = 5`, and where that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The dotted key, such as `train.epochs`.
    pub key: String,
    /// The value that it is given, as TOML.
    pub value: Value,
    /// Where it was written.
    pub from: Origin,
}

impl Override {
    /// Reads `key=value` as it is given to `--set`; the value is TOML, or a text where it is none.
    ///
    /// # Errors
    /// There is no `=`.
    pub fn parse(text: &str) -> Result<Self> {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            Error::setting("--set", format!("found \"{text}\"")).expected("KEY=VALUE, such as train.epochs=5")
        })?;
        Ok(Self { key: key.trim().to_owned(), value: parse_value(value.trim()), from: Origin::Set })
    }
}

/// A TOML value, or the text itself where it is none.
pub(crate) fn parse_value(text: &str) -> Value {
    let parsed =
        toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Who set which key; a key that nobody set has its default.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where a key was set, if it was.
    pub fn of(&self, key: &str) -> Option<&Origin> {
        self.0.get(key)
    }
}

/// A configuration and who set what in it.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The configuration, not validated yet.
    pub config: RunConfig,
    /// Where each changed key was set.
    pub origins: Origins,
}

impl Composed {
    /// Composes a configuration: defaults, then the recipe, then the overrides in their order.
    ///
    /// # Errors
    /// As [`RunConfig::compose`].
    pub fn new(recipe: Option<&Path>, overrides: &[Override]) -> Result<Self> {
        let mut changes = match recipe {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
                parse_recipe(&path.display().to_string(), &text)?
            }
        };
        changes.extend(deciding_first(overrides));
        Self::of(changes)
    }

    fn of(changes: Vec<Override>) -> Result<Self> {
        let (mut table, mut config) = (defaults(), RunConfig::default());
        let mut origins = Origins::default();
        for change in changes {
            if !is_key(&change.key) {
                if is_empty_section(&change) {
                    continue;
                }
                return Err(unknown_key(&change));
            }
            set(&mut table, &change);
            // Read after each change, so that what is wrong is known to be this one.
            config = read(&table).map_err(|problem| explain(problem, &change, &table))?;
            origins.0.insert(change.key, change.from);
        }
        Ok(Self { config, origins })
    }
}

impl RunConfig {
    /// Composes the configuration: defaults, then the recipe, then the overrides in their order. Nothing is
    /// validated yet.
    ///
    /// # Errors
    /// The recipe cannot be read; a key is unknown (the message names the nearest one); a value has the wrong
    /// type or is none of the choices.
    pub fn compose(recipe: Option<&Path>, overrides: &[Override]) -> Result<Self> {
        Composed::new(recipe, overrides).map(|composed| composed.config)
    }

    /// The same with the recipe's name and text.
    ///
    /// # Errors
    /// As [`RunConfig::compose`].
    pub fn compose_text(recipe: Option<(&str, &str)>, overrides: &[Override]) -> Result<Self> {
        let mut changes = match recipe {
            None => Vec::new(),
            Some((name, text)) => parse_recipe(name, text)?,
        };
        changes.extend(deciding_first(overrides));
        Composed::of(changes).map(|composed| composed.config)
    }

    /// Reads what [`RunConfig::save`] has written.
    ///
    /// # Errors
    /// The file cannot be read or is no configuration of this program.
    pub fn load(path: &Path) -> Result<Self> {
        Self::compose(Some(path), &[])
    }
}

fn parse_recipe(name: &str, text: &str) -> Result<Vec<Override>> {
    let table: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let place = line.map_or_else(|| name.to_owned(), |line| format!("{name}, line {line}"));
        Error::setting(place, one_line(error.message())).expected("TOML, as `mien config` prints it")
    })?;
    let change = |(key, value)| Override { key, value, from: Origin::Named(name.to_owned()) };
    Ok(flatten(&table).into_iter().map(change).collect())
}

/// The changes in order, but those first that decide which others may be there.
fn deciding_first(overrides: &[Override]) -> Vec<Override> {
    let (mut first, others): (Vec<_>, Vec<_>) =
        overrides.iter().cloned().partition(|change| decides_others(&change.key));
    first.extend(others);
    first
}

/// Sets one known key. A new `kind` of a section starts from that kind's own defaults.
fn set(table: &mut Table, change: &Override) {
    let (section, last) = section(table, &change.key);
    if last == "kind" && section.get("kind") != Some(&change.value) {
        section.clear();
    }
    if change.key == "model.name" {
        // What stands at the default of the model before becomes that of the new one.
        let default =
            |name: Option<&Value>| name?.as_str()?.parse::<ModelName>().ok().map(|model| model.dropout);
        let (old, new) = (default(section.get("name")), default(Some(&change.value)));
        if let (Some(old), Some(new)) = (old, new)
            && section.get("dropout") == Some(&Value::Float(old))
        {
            section.insert("dropout".to_owned(), Value::Float(new));
        }
    }
    let value = match (section.get(last), &change.value) {
        // Where a number with a fraction is meant, a whole one will do.
        (Some(Value::Float(_)), Value::Integer(whole)) => Value::Float(*whole as f64),
        (Some(Value::String(_)), Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) => {
            Value::String(change.value.to_string())
        }
        _ => change.value.clone(),
    };
    section.insert(last.to_owned(), value);
}

/// What is wrong with a change, in a line.
fn explain(problem: Problem, change: &Override, table: &Table) -> Error {
    let Override { key, value: found, from } = change;
    let error = Error::setting(from.place(key), format!("found {}", from.shown(found)));
    let names = match &problem {
        Problem::Choice(names) => names.clone(),
        _ => choices(key),
    };
    if !names.is_empty() {
        let written = flag_text(found);
        let meant = nearest(&written, names.iter().copied());
        let hint = meant.map_or_else(String::new, |name| format!("Did you mean \"{name}\"?"));
        return error.expected(format!("one of {}", names.join(", "))).hint(hint);
    }
    match problem {
        Problem::Type(expected) => error.expected(expected_type(key, &expected)),
        Problem::Field => {
            let kind_key = key.rsplit_once('.').map_or_else(String::new, |(path, _)| format!("{path}.kind"));
            let kind = value(table, &kind_key).map_or_else(String::new, flag_text);
            Error::setting(from.place(key), format!("there is no such setting for {kind_key} = \"{kind}\""))
                .expected(format!("{kind_key} {}", either(&kinds_with(&kind_key, change))))
                .hint(format!("Set {kind_key} too, or leave {key} out"))
        }
        Problem::Other(text) => {
            // It may name the key already, which the place names, too.
            let named = text.split_once(": ").filter(|(place, _)| place.split(' ').next() == Some(key));
            let text = named.map_or(text.as_str(), |(_, rest)| rest).to_owned();
            Error::setting(from.place(key), text)
        }
        Problem::Choice(_) => error,
    }
}

/// The kinds whose settings the changed key is one of.
fn kinds_with(kind_key: &str, change: &Override) -> Vec<&'static str> {
    let fits = |kind: &&str| {
        let mut table = defaults();
        let value = Value::String((*kind).to_owned());
        set(&mut table, &Override { key: kind_key.to_owned(), value, from: Origin::Set });
        set(&mut table, change);
        !matches!(read(&table), Err(Problem::Field))
    };
    choices(kind_key).into_iter().filter(fits).collect()
}

/// serde's words for a type in a user's.
fn expected_type(key: &str, expected: &str) -> String {
    let kind = match expected {
        _ if key == "data.split" => return SPLIT_FRACTIONS.to_owned(),
        "usize" | "u64" | "u32" => "a whole number, 0 or more",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "path string" => "a path",
        "a sequence" => "a list",
        "an array of length 3" => "a list of three numbers",
        other => other,
    };
    match value(&defaults(), key) {
        Some(Value::Boolean(_)) | None => kind.to_owned(),
        Some(default) => format!("{kind}, such as {}", toml_text(default)),
    }
}

/// A section that stands in a recipe without any key is none of its faults.
fn is_empty_section(change: &Override) -> bool {
    matches!(&change.value, Value::Table(table) if table.is_empty()) && is_section(&change.key)
}

fn unknown_key(change: &Override) -> Error {
    let key = &change.key;
    let place = change.from.place(key);
    if is_section(key) {
        let first = KEYS.iter().find(|known| known.name.starts_with(&format!("{key}.")));
        let example = first.map_or("", |known| known.name);
        return Error::setting(place, format!("found {}; this is a section", change.value))
            .expected(format!("one of its keys, such as {example}"));
    }
    let last = key.rsplit('.').next().unwrap_or_default();
    let distance = |known: &&str| {
        let tail = known.rsplit('.').next().unwrap_or_default();
        strsim::levenshtein(known, key).min(strsim::levenshtein(tail, last) + usize::from(tail != last))
    };
    let known = KEYS.iter().map(|key| key.name);
    let nearest = known.min_by_key(distance).filter(|key| distance(key) <= 1 + last.len() / 3);
    let section = key.split('.').next().unwrap_or_default();
    let error = Error::setting(place, "there is no such key");
    match nearest {
        Some(name) => error.expected("a key that `mien config` lists").hint(format!("Did you mean {name}?")),
        None if is_section(section) => error.expected("a key that `mien config` lists"),
        None => {
            let names = sections();
            let meant = crate::text::nearest(section, names.iter().copied());
            let hint = meant.map_or_else(String::new, |name| format!("Did you mean [{name}]?"));
            Error::setting(change.from.place(key), format!("there is no section [{section}]"))
                .expected(format!("one of {}", names.join(", ")))
                .hint(hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::schedule::{Schedule, Step};

    fn with(changes: &[&str]) -> Result<RunConfig> {
        let changes: Result<Vec<_>> = changes.iter().map(|text| Override::parse(text)).collect();
        RunConfig::compose(None, &changes?)
    }

    #[test]
    fn a_model_brings_its_own_dropout_unless_that_is_set() {
        let dropout = |changes: &[&str]| with(changes).unwrap().model.dropout;
        assert_eq!(dropout(&["model.name=vgg16"]), 0.5);
        assert_eq!(dropout(&["model.name=mobilenet_v3_small"]), 0.2);
        assert_eq!(dropout(&["model.dropout=0.5", "model.name=mobilenet_v3_small"]), 0.5);
        let recipe = ("my.toml", "[model]\ndropout = 0.3\n");
        let change = Override::parse("model.name=mobilenet_v3_small").unwrap();
        assert_eq!(RunConfig::compose_text(Some(recipe), &[change]).unwrap().model.dropout, 0.3);
        let recipe = ("my.toml", "[model]\ndropout = 0.5\nname = \"mobilenet_v3_small\"\n");
        assert_eq!(RunConfig::compose_text(Some(recipe), &[]).unwrap().model.dropout, 0.5);
    }

    #[test]
    fn overrides_win_over_the_recipe_and_the_recipe_over_defaults() {
        let recipe = ("my.toml", "[train]\nepochs = 3\nbatch_size = 8\n[model]\nname = \"resnet50\"\n");
        let change = Override::parse("train.epochs=5").unwrap();
        let config = RunConfig::compose_text(Some(recipe), &[change]).unwrap();
        assert_eq!((config.train.epochs, config.train.batch_size), (5, 8));
        assert_eq!(config.model.name.as_str(), "resnet50");
        assert_eq!(config.train.learning_rate, 0.001);
    }

    #[test]
    fn values_may_be_written_loosely() {
        let config = with(&[
            "train.learning_rate=1",
            "data.group_regex=^(\\d+)_",
            "train.weights=7",
            "data.debug_subset=100",
        ])
        .unwrap();
        assert_eq!(config.train.learning_rate, 1.0);
        assert_eq!(config.data.group_regex.as_deref(), Some("^(\\d+)_"));
        assert_eq!(config.train.weights, "7");
        assert_eq!(config.data.debug_subset, Some(100));
    }

    #[test]
    fn another_kind_of_schedule_starts_from_its_defaults() {
        let config = with(&["train.schedule.kind=step", "train.schedule.every=3"]).unwrap();
        assert_eq!(config.train.schedule, Step { every: 3, factor: 0.1 }.into());
        let config = with(&["train.schedule.every=3", "train.schedule.kind=step"]).unwrap();
        assert_eq!(config.train.schedule, Step { every: 3, factor: 0.1 }.into());
        let recipe = ("r", "[train.schedule]\nkind = \"step\"\nevery = 3\n");
        let change = Override::parse("train.schedule.kind=cosine").unwrap();
        assert_eq!(
            RunConfig::compose_text(Some(recipe), &[change]).unwrap().train.schedule,
            Schedule::default()
        );
    }

    #[test]
    fn errors_in_recipes_name_file_and_key() {
        let error = |text: &str| {
            let error = RunConfig::compose_text(Some(("my.toml", text)), &[]).unwrap_err();
            assert!(matches!(error, Error::Setting { .. }));
            error.to_string()
        };
        for (text, expected) in [
            (
                "[train]\nepoch = 3\n",
                "my.toml, train.epoch: there is no such key; expected a key that `mien config` lists. \
                 Did you mean train.epochs?",
            ),
            (
                "[train]\nepochs = \"many\"\n",
                "my.toml, train.epochs: found \"many\"; expected a whole number, 0 or more, such as 25",
            ),
            (
                "[training]\n",
                "my.toml, training: there is no section [training]; expected one of data, input, model, \
                 augment, train, device, report. Did you mean [train]?",
            ),
            (
                "train = 5\n",
                "my.toml, train: found 5; this is a section; expected one of its keys, such as train.epochs",
            ),
            ("[data]\nclasses = 3\n", "my.toml, data.classes: found 3; expected a list, such as []"),
            ("[train]\nema = 1\n", "my.toml, train.ema: found 1; expected true or false"),
        ] {
            assert_eq!(error(text), expected);
        }
        let syntax = error("[train\nepochs = 3\n");
        assert!(syntax.starts_with("my.toml, line 1: ") && !syntax.contains('\n'), "{syntax}");
        RunConfig::compose_text(Some(("my.toml", "[train]\n[train.schedule]\n")), &[]).unwrap();
    }

    #[test]
    fn where_a_key_was_set_is_remembered() {
        let set = Override::parse("train.epochs=3").unwrap();
        let flag = Override { from: Origin::Flag("--epochs".into()), ..set.clone() };
        let composed = Composed::new(None, &[set, flag]).unwrap();
        assert_eq!(composed.origins.of("train.epochs"), Some(&Origin::Flag("--epochs".into())));
        assert_eq!(composed.origins.of("train.seed"), None);
    }

    #[test]
    fn what_is_saved_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut config =
            with(&["train.schedule.kind=plateau", "data.group_regex=x", "device.precision=bf16"]).unwrap();
        config.data.root = "/some/where".into();
        config.augment.transform.hue = 0.123_456_79;
        config.save(&path).unwrap();
        assert_eq!(RunConfig::load(&path).unwrap(), config);
    }
}
