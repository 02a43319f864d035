//! The shortcut probe: how well a linear classifier predicts source and class without seeing a face.
//!
//! Its features are colour statistics and JPEG quantisation tables. What it can predict, a network can
//! predict too, and may learn instead of expressions. No group is in both training and test folds, so that
//! the probe cannot recognise a photo.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::inspect::{COLOUR, Inspected, JPEG};
use super::options::Options;
use crate::error::Result;
use crate::random::{Purpose, rng};
use crate::stats::bootstrap::{Interval, Rows, Settings, group_indices, metric_intervals};
use crate::stats::logistic::{Folds, LabelledRows, LogisticSettings, cross_validated};

/// What the probe found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Images in the sample that the probe was fitted to.
    pub images: usize,
    /// How well each target is predicted from each kind of features.
    pub told: Vec<Told>,
    /// How well the source alone predicts the class, where there is more than one source.
    pub source_tells_class: Option<SourceTellsClass>,
}

/// How well one target is predicted from one kind of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The target: `source` or `class`.
    pub what: String,
    /// The features: `colour`, `jpeg` or `both`.
    pub from: String,
    /// The values of the target that have enough images.
    pub values: Vec<String>,
    /// Images with one of these values.
    pub images: usize,
    /// Cross-validated accuracy with its 95 % confidence interval by group.
    pub accuracy: Interval,
    /// Cross-validated balanced accuracy with its 95 % confidence interval by group.
    pub balanced_accuracy: Interval,
    /// The accuracy of always predicting the most common value.
    pub majority: f64,
    /// The balanced accuracy of chance: 1 / number of values.
    pub chance: f64,
}

/// How well the source alone predicts the class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceTellsClass {
    /// The accuracy of always predicting the most common class of the source.
    pub accuracy: f64,
    /// The accuracy of always predicting the most common class.
    pub majority: f64,
    /// The largest fraction of a class's images that one source contributes, averaged over the classes.
    pub largest_share: f64,
}

/// Folds of the cross-validation.
const FOLDS: usize = 5;

/// Values with fewer images than this are left out.
const FEWEST: usize = 10;

/// Fits the probe to a random sample of the images without augmented copies. `None` where there is nothing to
/// predict.
pub(super) fn run(
    images: &[Image],
    inspected: &[Inspected],
    classes: &[String],
    options: &Options,
    progress: &dyn Fn(usize, usize),
) -> Result<Option<Probe>> {
    let mut chosen: Vec<usize> = (0..images.len()).filter(|&index| !images[index].copy).collect();
    chosen.shuffle(&mut rng(options.seed, Purpose::Probe, 0, 0));
    chosen.truncate(options.probe_images);
    chosen.sort_unstable();
    let all: Vec<usize> = (0..images.len()).filter(|&index| !images[index].copy).collect();
    let sources = sources(images, options);
    let class_of = |index: usize| Some(images[index].class);
    let source_of = |index: usize| sources.of.get(index).copied().flatten();
    let inputs = [("colour", 0..COLOUR), ("jpeg", COLOUR..COLOUR + JPEG), ("both", 0..COLOUR + JPEG)];
    let total = 2 * inputs.len();
    let mut told = Vec::new();
    for (round, (from, columns)) in inputs.into_iter().enumerate() {
        for (half, what) in ["source", "class"].into_iter().enumerate() {
            // Where one of the two predicts nothing, both together are no more than the other.
            if from == "both" && told.iter().filter(|one: &&Told| one.what == what).count() < 2 {
                continue;
            }
            let target = match what {
                "source" => Target { of: &source_of, names: &sources.names },
                _ => Target { of: &class_of, names: classes },
            };
            let found = predict(&chosen, images, inspected, &target, columns.clone(), options.seed)?;
            told.extend(found.map(|one| Told { what: what.into(), from: from.into(), ..one }));
            progress(2 * round + half + 1, total);
        }
    }
    let source_tells_class =
        (sources.names.len() > 1).then(|| knowing_the_source(&all, images, &source_of, classes.len()));
    if told.is_empty() && source_tells_class.is_none() {
        return Ok(None);
    }
    Ok(Some(Probe { images: chosen.len(), told, source_tells_class }))
}

/// Where each image comes from.
struct Sources {
    names: Vec<String>,
    of: Vec<Option<usize>>,
}

/// The sources by file name, or else the roots.
fn sources(images: &[Image], options: &Options) -> Sources {
    let mut names: Vec<String> = images.iter().filter_map(|image| image.source.clone()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > 1 {
        let of = |image: &Image| names.iter().position(|name| Some(name) == image.source.as_ref());
        let of = images.iter().map(of).collect();
        return Sources { names, of };
    }
    let names = options.roots.iter().map(|root| root.display().to_string()).collect();
    Sources { names, of: images.iter().map(|image| Some(image.root)).collect() }
}

/// What the probe predicts: a value for each image, as an index into `names`.
struct Target<'a> {
    of: &'a dyn Fn(usize) -> Option<usize>,
    names: &'a [String],
}

/// The cross-validated probe for one target; `None` with fewer than two values of [`FEWEST`] images.
fn predict(
    chosen: &[usize],
    images: &[Image],
    inspected: &[Inspected],
    &Target { of: target, names }: &Target,
    columns: std::ops::Range<usize>,
    seed: u64,
) -> Result<Option<Told>> {
    let mut counts = vec![0; names.len()];
    chosen.iter().filter_map(|&index| target(index)).for_each(|value| counts[value] += 1);
    let kept: Vec<usize> = (0..names.len()).filter(|&value| counts[value] >= FEWEST).collect();
    let value_of = |index: usize| kept.iter().position(|&value| Some(value) == target(index));
    let rows: Vec<(usize, usize)> =
        chosen.iter().filter_map(|&index| Some((index, value_of(index)?))).collect();
    let features: Vec<f32> =
        rows.iter().flat_map(|&(index, _)| inspected[index].features[columns.clone()].to_vec()).collect();
    let varies = features.chunks_exact(columns.len()).any(|row| row != &features[..columns.len()]);
    if kept.len() < 2 || !varies {
        return Ok(None);
    }
    let targets: Vec<usize> = rows.iter().map(|&(_, value)| value).collect();
    let keys: Vec<&str> = rows.iter().map(|&(index, _)| images[index].group.as_str()).collect();
    let groups = group_indices(&keys);
    if groups.iter().max().is_none_or(|&last| last + 1 < FOLDS) {
        return Ok(None);
    }
    let k = kept.len();
    let settings = LogisticSettings { tolerance: 1e-4, ..LogisticSettings::default() };
    let data = LabelledRows { features: &features, d: columns.len(), targets: &targets, classes: k };
    let found = cross_validated(data, &groups, Folds { count: FOLDS, seed }, &settings)?;
    let rows_of = Rows { groups: &groups, truth: &targets, classes: k };
    let settings = Settings { replicates: 1000, seed, ..Settings::default() };
    let intervals = metric_intervals(rows_of, &found.predicted, &settings)?;
    Ok(Some(Told {
        what: String::new(),
        from: String::new(),
        values: kept.iter().map(|&value| names[value].clone()).collect(),
        images: rows.len(),
        accuracy: intervals.accuracy,
        balanced_accuracy: intervals.balanced_accuracy,
        majority: found.majority,
        chance: 1.0 / k as f64,
    }))
}

fn knowing_the_source(
    chosen: &[usize],
    images: &[Image],
    source_of: &dyn Fn(usize) -> Option<usize>,
    classes: usize,
) -> SourceTellsClass {
    let sources = chosen.iter().filter_map(|&index| source_of(index)).max().map_or(0, |last| last + 1);
    let mut counts = vec![vec![0usize; classes]; sources]; // [source, class]
    for &index in chosen {
        if let Some(source) = source_of(index) {
            counts[source][images[index].class] += 1;
        }
    }
    let of_class = |class: usize| counts.iter().map(move |row| row[class]);
    let total: usize = counts.iter().flatten().sum();
    let best: usize = counts.iter().filter_map(|row| row.iter().max()).sum();
    let majority = (0..classes).map(|class| of_class(class).sum::<usize>()).max().unwrap_or(0);
    let shares: Vec<f64> = (0..classes)
        .filter_map(|class| Some((of_class(class).sum::<usize>(), of_class(class).max()?)))
        .filter(|(all, _)| *all > 0)
        .map(|(all, most)| most as f64 / all as f64)
        .collect();
    SourceTellsClass {
        accuracy: best as f64 / total.max(1) as f64,
        majority: majority as f64 / total.max(1) as f64,
        largest_share: shares.iter().sum::<f64>() / shares.len().max(1) as f64,
    }
}
