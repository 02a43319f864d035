//! Data, model, device and start weights, ready to train.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::RunConfig;
use crate::data::{self, DataSummary, Dataset, ImageStore, Split};
use crate::device::{self, OpenDevice};
use crate::error::{Error, Result};
use crate::eval::session::Resources;
use crate::files::read_json;
use crate::input::batches::BatchSource;
use crate::input::normalization::Normalization;
use crate::model::Model;
use crate::model::files::download;
use crate::model::files::weights::{ModelCard, load_pretrained};
use crate::model::params::Params;
use crate::run_folder::names::{CONFIG, DATA};
use crate::run_folder::{LEAKAGE, is_run};
use crate::text::thousands;

/// Called with images read and images in all, from any thread.
pub type LoadProgress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Data, model and device, ready to train.
pub struct Prepared {
    /// The whole configuration; it has been validated.
    pub config: RunConfig,
    /// The samples, and where batches of them come from.
    pub source: Arc<BatchSource>,
    /// The model's layers; its weights are taken by the training.
    pub model: Model,
    /// What inference needs to know of the model, for its files.
    pub card: ModelCard,
    /// Where and how to compute.
    pub resources: Resources,
    /// Where the weights came from, in words.
    pub start: String,
    /// How many numbers are trained.
    pub(super) trained: usize,
    /// The start weights; taken by the training, and not made at all where a run goes on.
    pub(super) params: Option<Params>,
}

/// Loads the data, opens the device and makes the model with its start weights.
///
/// # Errors
/// Whatever is wrong with the configuration, the data, the device or the weights.
pub fn prepare(config: RunConfig, progress: LoadProgress) -> Result<Prepared> {
    let mut prepared = prepare_data(config, progress)?;
    let (params, start) =
        start_weights(&prepared.config, &prepared.model, &prepared.card.classes, &prepared.resources.device)?;
    prepared.trained = params.count_trained();
    (prepared.params, prepared.start) = (Some(params), start);
    Ok(prepared)
}

/// The same without start weights.
pub(super) fn prepare_data(config: RunConfig, progress: LoadProgress) -> Result<Prepared> {
    config.validate()?;
    let device = device::open(&config.device)?;
    let (dataset, store) = data::load(&config.data, config.split_seed(), progress)?;
    let train = dataset.indices(Split::Train).len();
    if config.train.batch_size > train {
        return Err(Error::input("train.batch_size", format!("found {}", config.train.batch_size))
            .expected(format!("at most {train}, the number of training images"))
            .hint("Choose a smaller --batch-size"));
    }
    let model = Model::new(&config.model, dataset.classes.len(), config.input.size)?;
    let normalization = config.input.normalization;
    let classes = dataset.classes.clone();
    let mut card = ModelCard::new(
        config.model.clone(),
        classes,
        config.input.size,
        normalization.mean,
        normalization.std,
    );
    card.provenance.insert("data".into(), dataset.fingerprint());
    card.provenance.insert("leakage".into(), (!dataset.leaks.is_empty()).to_string());
    let source = batch_source(dataset, store, &card);
    let (start, trained, params) = ("those of the checkpoint".into(), model.parameter_count(), None);
    let (batch_size, workers) = (config.train.batch_size, config.device.workers);
    let resources = Resources { device, batch_size, workers };
    Ok(Prepared { config, source, model, card, resources, start, trained, params })
}

pub(super) fn batch_source(dataset: Dataset, store: ImageStore, card: &ModelCard) -> Arc<BatchSource> {
    let normalization = Normalization { mean: card.mean, std: card.std };
    let (dataset, store) = (Arc::new(dataset), Arc::new(store));
    Arc::new(BatchSource { dataset, store, size: card.input_size, normalization })
}

fn start_weights(
    config: &RunConfig,
    model: &Model,
    classes: &[String],
    device: &OpenDevice,
) -> Result<(Params, String)> {
    let train = &config.train;
    if train.weights.is_empty() {
        return Ok((model.init(train.seed, false, &device.device), "from scratch".into()));
    }
    let path = if train.weights == "imagenet" { imagenet(config)? } else { PathBuf::from(&train.weights) };
    let (mut params, transfer) = load_pretrained(model, classes, &path, train.seed, &device.device)?;
    if train.feature_extract {
        params.freeze(|name| transfer.loaded.contains(name));
        if params.count_trained() == 0 {
            return Err(Error::input(
                "train.feature_extract",
                "every weight comes from the file, so there is none to train",
            )
            .hint("Leave --feature-extract out"));
        }
    }
    let fresh: HashSet<&str> =
        transfer.fresh.iter().filter_map(|name| name.rsplit_once('.')).map(|(layer, _)| layer).collect();
    let fresh = match fresh.len() {
        0 => String::new(),
        1 => format!(", new: {}", fresh.into_iter().next().unwrap_or_default()),
        n => format!(", new: {n} layers"),
    };
    let frozen = if train.feature_extract { ", frozen" } else { "" };
    Ok((params, format!("{}{frozen}{fresh}", path.display())))
}

/// ImageNet weights in the user's cache.
fn imagenet(config: &RunConfig) -> Result<PathBuf> {
    let (_, remote) = download::imagenet(config.model.name)?;
    download::find_imagenet(config.model.name)?.map_err(|place| {
        Error::at(&place, "the ImageNet weights are not there")
            .expected(format!("torchvision's file of {} bytes", remote.bytes))
            .hint(format!("Put {} there, or give --weights FILE", remote.url))
    })
}

impl Prepared {
    /// What will be trained on what and where, a line each.
    pub fn header(&self) -> Vec<(String, String)> {
        let (config, dataset) = (&self.config, &self.source.dataset);
        let counts = dataset.counts();
        let sum = |split| counts.of(split).iter().sum::<usize>();
        let groups = dataset.summary().groups;
        let mut lines = vec![
            (
                "data",
                format!(
                    "{} ({} images, {} classes)",
                    config.data.root.display(),
                    dataset.samples.len(),
                    dataset.classes.len()
                ),
            ),
            ("classes", dataset.classes.join(", ")),
            (
                "splits",
                format!(
                    "train {}, valid {}, test {} images; {}, {}, {} groups",
                    sum(Split::Train),
                    sum(Split::Valid),
                    sum(Split::Test),
                    groups.train,
                    groups.valid,
                    groups.test
                ),
            ),
            (
                "model",
                format!(
                    "{}, {} parameters ({} trained), input {}×{}",
                    config.model.name,
                    thousands(self.model.parameter_count()),
                    thousands(self.trained),
                    config.input.size,
                    config.input.size
                ),
            ),
            ("weights", self.start.clone()),
            ("device", self.resources.device.to_string()),
        ];
        if !dataset.leaks.is_empty() {
            lines.push((
                LEAKAGE,
                format!(
                    "{} groups are in more than one split: every accuracy below is too good",
                    dataset.leaks.len()
                ),
            ));
        }
        lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// A run's configuration and data summary.
///
/// # Errors
/// `folder` is no run folder.
pub fn read_run(folder: &Path) -> Result<(RunConfig, DataSummary)> {
    if !is_run(folder) {
        return Err(Error::at(folder, format!("there is no {CONFIG}")).expected("the folder of a run"));
    }
    Ok((RunConfig::load(&folder.join(CONFIG))?, read_json(&folder.join(DATA))?))
}

/// The first digits of a fingerprint, for messages.
pub(super) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}
