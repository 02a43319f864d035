//! A model that starts from the weights of another.

use std::collections::HashSet;
use std::path::Path;

use burn::tensor::Device;

use super::card::CARD;
use super::tensor_file::{Problems, TensorFile, is_aside};
use crate::error::{Error, Result};
use crate::model::network::Model;
use crate::model::params::{Params, tensor};

/// Which tensors [`load_pretrained`] took from the file, and which start anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// Names of the tensors that came from the file.
    pub loaded: HashSet<String>,
    /// Names of those that were newly initialised.
    pub fresh: Vec<String>,
}

/// A model that starts from the weights of `path`.
///
/// Every tensor is loaded where it fits. Newly initialised are: the last layer when the classes differ (their
/// number, or their names where the file is a model of mien; `classes` are those of the data, none if they do
/// not matter); parts that the published model lacks, such as attention, and the head then, which reads
/// another map; a head of another kind.
///
/// # Errors
/// The file cannot be read, or any other tensor is missing, unexpected or of another shape: all are named.
pub fn load_pretrained(
    model: &Model,
    classes: &[String],
    path: &Path,
    seed: u64,
    device: &Device,
) -> Result<(Params, Transfer)> {
    let file = TensorFile::open(path)?;
    // A reference checkpoint or one of ours may carry its tensors beside others; only the model's own count
    // here.
    let names: HashSet<String> = file.names().into_iter().filter(|name| !is_aside(name)).collect();
    let mut params = model.init(seed, true, device);
    let specs = model.specs();
    // Parts that published weights do not have, where this file does not have them either.
    let new_parts =
        model.addition_prefix().filter(|prefix| !names.iter().any(|name| name.starts_with(prefix)));
    let heads_differ = {
        let ours: HashSet<&str> =
            specs.iter().map(|spec| spec.name.as_str()).filter(|name| model.in_head(name)).collect();
        let theirs: HashSet<&str> =
            names.iter().map(String::as_str).filter(|name| model.in_head(name)).collect();
        ours != theirs
    };
    let last = format!("{}.", model.last_layer());
    // A model of mien says what its outputs stand for; of another file, only their number is known.
    let others = file.metadata(CARD).is_some() && file.card()?.classes != classes;
    let classes_differ = (others && !classes.is_empty())
        || specs
            .iter()
            .filter(|spec| spec.name.starts_with(&last))
            .any(|spec| file.shape(&spec.name).is_some_and(|shape| shape.first() != spec.shape.first()));
    let starts_anew = |name: &str| {
        new_parts.is_some_and(|prefix| name.starts_with(prefix))
            || ((new_parts.is_some() || heads_differ) && model.in_head(name))
            || (classes_differ && name.starts_with(&last))
    };

    let mut problems = Problems::default();
    let mut transfer = Transfer { loaded: HashSet::new(), fresh: Vec::new() };
    for spec in specs {
        match file.shape(&spec.name) {
            _ if starts_anew(&spec.name) => transfer.fresh.push(spec.name.clone()),
            Some(shape) if shape == spec.shape => _ = transfer.loaded.insert(spec.name.clone()),
            Some(shape) => problems.shape(&spec.name, &spec.shape, &shape),
            None => problems.missing.push(spec.name.clone()),
        }
    }
    let ours: HashSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut extra: Vec<_> =
        names.iter().filter(|name| !ours.contains(name.as_str()) && !starts_anew(name)).cloned().collect();
    extra.sort();
    problems.unexpected = extra;
    problems.check(path)?;

    for param in params.iter_mut().filter(|param| transfer.loaded.contains(&param.name)) {
        let values = file.values(&param.name)?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::at(path, format!("its tensor {} holds {value}", param.name))
                .expected("finite numbers"));
        }
        param.value = tensor(values, device);
    }
    Ok((params, transfer))
}
