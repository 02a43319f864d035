//! A configuration as dotted keys, beside the defaults.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The reference recipe, which holds the default of every key (a test of the configuration sees to that).
const DEFAULTS: &str = include_str!("../../../recipes/reference.toml");

/// Every key of `config` with its value as it is shown, and whether it differs from the default (`None` where
/// the key has no default), by key.
pub(super) fn settings(config: &Table) -> Vec<(String, String, Option<bool>)> {
    let defaults: BTreeMap<String, Value> =
        toml::from_str(DEFAULTS).map(|table| flatten(&table)).unwrap_or_default().into_iter().collect();
    let other = |key: &str, value: &Value| defaults.get(key).map(|default| !same_value(default, value));
    flatten(config)
        .into_iter()
        .map(|(key, value)| (key.clone(), shown(&value), other(&key, &value)))
        .collect()
}

/// Every key with a value of its own, dotted, by key.
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
    flat
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Integer(b)) | (Value::Integer(b), Value::Float(a)) => *a == *b as f64,
        _ => a == b,
    }
}

pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
