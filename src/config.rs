//! The whole configuration of a run, composed of the parts' own: defaults, then a recipe, then `--set` and
//! the named flags.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::data::DataConfig;
use crate::device::DeviceConfig;
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::input::mix::MixConfig;
use crate::input::transform::{Normalization, TransformConfig};
use crate::model::{Model, ModelConfig};
use crate::report::config::ReportConfig;
use crate::text::one_line;
use crate::train::config::TrainConfig;

/// Everything that can be set. The defaults are those of the reference recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Which data, and how they are split.
    pub data: DataConfig,
    /// What the model sees.
    pub input: InputConfig,
    /// Which model.
    pub model: ModelConfig,
    /// How training images are varied.
    pub augment: AugmentConfig,
    /// How to train.
    pub train: TrainConfig,
    /// Where to compute.
    pub device: DeviceConfig,
    /// What a run leaves beside its numbers.
    pub report: ReportConfig,
}

/// What the model sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputConfig {
    /// Images are resized to a square of this side, aspect not kept.
    pub size: usize,
    /// Mean and standard deviation of each channel.
    pub normalization: Normalization,
}

impl Default for InputConfig {
    fn default() -> Self {
        Self { size: 256, normalization: Normalization::default() }
    }
}

/// How training images are varied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Each image.
    pub transform: TransformConfig,
    /// Two images of a batch into one.
    pub mix: MixConfig,
}

/// Keys that have no default value and so do not show in the default configuration.
const OPTIONAL_KEYS: [&str; 8] = [
    "data.split_seed",
    "data.augmented",
    "data.synthetic",
    "data.group_regex",
    "data.debug_subset",
    "train.schedule.every",
    "train.schedule.factor",
    "train.schedule.patience",
];

/// One changed key: `train.epochs = 5`, and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Dotted key.
    pub key: String,
    /// Its new value.
    pub value: Value,
    /// The flag it came from, for messages.
    pub from: String,
}

impl Override {
    /// Reads `key=value` as it is given to `--set`; the value is TOML, or a text where it is none.
    ///
    /// # Errors
    /// There is no `=`.
    pub fn parse(text: &str) -> Result<Self> {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            Error::input("--set", format!("found '{text}'")).expected("key=value, for example train.epochs=5")
        })?;
        Ok(Self { key: key.trim().to_owned(), value: parse_value(value.trim()), from: "--set".into() })
    }
}

/// A TOML value, or the text itself where it is none.
pub fn parse_value(text: &str) -> Value {
    let parsed =
        toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

impl RunConfig {
    /// Composes the configuration: defaults, then the recipe, then the overrides in their order. Nothing is
    /// validated yet.
    ///
    /// # Errors
    /// The recipe cannot be read; a key is unknown (the message names the nearest one); a value has the wrong
    /// type.
    pub fn compose(recipe: Option<&Path>, overrides: &[Override]) -> Result<Self> {
        let recipe = match recipe {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
                Some((path.display().to_string(), text))
            }
        };
        Self::compose_text(recipe.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), overrides)
    }

    /// The same with the recipe's name and text.
    ///
    /// # Errors
    /// As [`RunConfig::compose`].
    pub fn compose_text(recipe: Option<(&str, &str)>, overrides: &[Override]) -> Result<Self> {
        let mut config = defaults();
        let known = known_keys(&config);
        if let Some((name, text)) = recipe {
            let table: Table = toml::from_str(text)
                .map_err(|e| Error::input(name, one_line(e.message())).expected("a TOML recipe"))?;
            for (key, value) in flatten(&table) {
                set(&mut config, &known, &Override { key, value, from: name.to_owned() })?;
            }
        }
        // A `kind` decides which of its neighbours may be there, so it comes first, wherever it was written.
        let (kinds, others): (Vec<_>, Vec<_>) =
            overrides.iter().partition(|change| change.key.ends_with(".kind"));
        for change in kinds.into_iter().chain(others) {
            set(&mut config, &known, change)?;
        }
        Value::Table(config)
            .try_into()
            .map_err(|e: toml::de::Error| Error::input("configuration", one_line(e.message())))
    }

    /// Checks every value that can be checked without data or device.
    ///
    /// # Errors
    /// The first value out of its range, by its key.
    pub fn validate(&self) -> Result<()> {
        self.data.validate()?;
        if self.input.size < Model::MIN_INPUT_SIZE || self.input.size > 4096 {
            return Err(
                Error::input("input.size", format!("found {}", self.input.size)).expected("32 to 4096")
            );
        }
        self.input.normalization.validate()?;
        self.model.validate()?;
        self.augment.transform.validate()?;
        self.augment.mix.validate()?;
        self.train.validate()?;
        self.device.validate()
    }

    /// What the split is drawn by.
    pub fn split_seed(&self) -> u64 {
        self.data.split_seed.unwrap_or(self.train.seed)
    }

    /// As TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Compute(format!("cannot write the configuration: {e}")))
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = self.to_toml()?;
        write_atomic(path, |out| out.write_all(text.as_bytes()))
    }

    /// Reads what [`RunConfig::save`] has written.
    ///
    /// # Errors
    /// The file cannot be read or is no configuration of this program.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        toml::from_str(&text)
            .map_err(|e| Error::at(path, one_line(e.message())).expected("the configuration of a run"))
    }
}

fn defaults() -> Table {
    match Value::try_from(RunConfig::default()) {
        Ok(Value::Table(table)) => table,
        _ => unreachable!("the default configuration is a TOML table (see the tests)"),
    }
}

/// Every key with a value of its own, dotted.
fn flatten(table: &Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                flat.extend(flatten(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)))
            }
            value => flat.push((key.clone(), value.clone())),
        }
    }
    // `kind` decides which of its neighbours may be there, so it comes first.
    flat.sort_by_key(|(key, _)| !key.ends_with(".kind"));
    flat
}

fn known_keys(defaults: &Table) -> Vec<String> {
    flatten(defaults).into_iter().map(|(key, _)| key).chain(OPTIONAL_KEYS.map(str::to_owned)).collect()
}

/// Sets one key. A new `kind` of a table starts from that kind's own defaults.
fn set(config: &mut Table, known: &[String], change: &Override) -> Result<()> {
    if !known.contains(&change.key) {
        return Err(unknown_key(known, change));
    }
    let parts: Vec<&str> = change.key.split('.').collect();
    let (last, path) = parts.split_last().expect("a split text has a part");
    let mut table = config;
    for part in path {
        let inner = table.entry(*part).or_insert_with(|| Value::Table(Table::new()));
        table = inner.as_table_mut().expect("a known key's parents are tables");
    }
    if *last == "kind" && table.get("kind") != Some(&change.value) {
        table.clear();
    }
    let value = match (table.get(*last), &change.value) {
        // Where a number with a fraction is meant, a whole one will do.
        (Some(Value::Float(_)), Value::Integer(whole)) => Value::Float(*whole as f64),
        (Some(Value::String(_)), Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) => {
            Value::String(change.value.to_string())
        }
        _ => change.value.clone(),
    };
    if let Some(old) = table.get(*last)
        && old.type_str() != value.type_str()
    {
        let found = format!("{} is {} {}", change.key, article(value.type_str()), value);
        return Err(Error::input(&change.from, found)
            .expected(format!("{}, for example {old}", article(old.type_str()))));
    }
    table.insert((*last).to_owned(), value);
    Ok(())
}

fn article(kind: &str) -> String {
    match kind {
        "integer" => "a whole number".into(),
        "float" => "a number".into(),
        "boolean" => "true or false".into(),
        "string" => "a text".into(),
        "array" => "a list".into(),
        other => format!("a {other}"),
    }
}

fn unknown_key(known: &[String], change: &Override) -> Error {
    let last = change.key.rsplit('.').next().unwrap_or_default();
    let distance = |key: &String| {
        let tail = key.rsplit('.').next().unwrap_or_default();
        strsim::levenshtein(key, &change.key)
            .min(strsim::levenshtein(tail, last) + usize::from(!key.ends_with(last)))
    };
    let nearest =
        known.iter().min_by_key(|key| distance(key)).filter(|key| distance(key) <= 1 + last.len() / 3);
    let error = Error::input(&change.from, format!("there is no key '{}'", change.key));
    match nearest {
        Some(key) => error.hint(format!("Did you mean '{key}'?")),
        None => error.expected("one of the keys that recipes/reference.toml lists"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelName;
    use crate::train::schedule::{Schedule, Step};

    fn with(changes: &[&str]) -> Result<RunConfig> {
        let changes: Result<Vec<_>> = changes.iter().map(|text| Override::parse(text)).collect();
        RunConfig::compose(None, &changes?)
    }

    #[test]
    fn overrides_win_over_the_recipe_and_the_recipe_over_defaults() {
        let recipe = ("my.toml", "[train]\nepochs = 3\nbatch_size = 8\n[model]\nname = \"resnet50\"\n");
        let change = Override::parse("train.epochs=5").unwrap();
        let config = RunConfig::compose_text(Some(recipe), &[change]).unwrap();
        assert_eq!((config.train.epochs, config.train.batch_size), (5, 8));
        assert_eq!(config.model.name, ModelName::Resnet50);
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
        assert!(with(&["train.schedule.every=3"]).is_err(), "cosine has no such setting");
        let recipe = ("r", "[train.schedule]\nkind = \"step\"\nevery = 3\n");
        let change = Override::parse("train.schedule.kind=cosine").unwrap();
        assert_eq!(
            RunConfig::compose_text(Some(recipe), &[change]).unwrap().train.schedule,
            Schedule::default()
        );
    }

    #[test]
    fn unknown_keys_name_the_right_one() {
        let error = |text: &str| with(&[text]).unwrap_err().to_string();
        assert!(
            error("train.epoch=5").contains("Did you mean 'train.epochs'?"),
            "{}",
            error("train.epoch=5")
        );
        assert!(error("epochs=5").contains("Did you mean 'train.epochs'?"), "{}", error("epochs=5"));
        assert!(error("train.quux=5").contains("recipes/reference.toml"), "{}", error("train.quux=5"));
        assert!(error("train.epochs=many").contains("a whole number"), "{}", error("train.epochs=many"));
        assert!(with(&["train.epochs"]).is_err());
        let recipe =
            RunConfig::compose_text(Some(("my.toml", "[train]\nepoch = 3\n")), &[]).unwrap_err().to_string();
        assert!(recipe.starts_with("my.toml: there is no key 'train.epoch'"), "{recipe}");
    }

    #[test]
    fn what_is_saved_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut config =
            with(&["train.schedule.kind=plateau", "data.group_regex=x", "device.precision=bf16"]).unwrap();
        config.data.root = "/some/where".into();
        config.save(&path).unwrap();
        assert_eq!(RunConfig::load(&path).unwrap(), config);
    }

    #[test]
    fn every_optional_key_exists() {
        for key in OPTIONAL_KEYS {
            let value = if key.contains("factor") { "0.5" } else { "3" };
            let is_text =
                key.starts_with("data.") && !["data.debug_subset", "data.split_seed"].contains(&key);
            let value = if is_text { "'text'" } else { value };
            let kind = if key.ends_with("patience") {
                "train.schedule.kind=plateau"
            } else {
                "train.schedule.kind=step"
            };
            with(&[kind, &format!("{key}={value}")]).unwrap_or_else(|e| panic!("{key}: {e}"));
        }
    }

    #[test]
    fn the_reference_recipe_is_the_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/reference.toml");
        assert_eq!(RunConfig::compose(Some(&path), &[]).unwrap(), RunConfig::default());
        let text = std::fs::read_to_string(path).unwrap();
        let written = flatten(&toml::from_str::<Table>(&text).unwrap()).len();
        assert_eq!(written, flatten(&defaults()).len() - 1, "the recipe writes every key but data.root");
    }
}
