//! Batches, prepared on worker threads ahead of the model.
//!
//! Of n workers, worker w makes the batches w, w + n, w + 2n, …; the consumer takes them in turn. So the
//! order is fixed and memory is bounded (at most two batches per worker).
//!
//! **Invariant:** the number of workers changes nothing but the speed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::mix::{MixConfig, Mixed, mix};
use super::transform::{Drawn, Normalization, Scratch, TransformConfig, eval_pixels, train_pixels};
use crate::data::{Dataset, ImageStore};
use crate::error::{Error, Result};
use crate::random::{Purpose, rng};

/// What batches are made from.
pub struct BatchSource {
    /// The data set that places and targets are indices of.
    pub dataset: Arc<Dataset>,
    /// The images of its samples, by the same index.
    pub store: Arc<ImageStore>,
    /// Side of the square input, in pixels.
    pub size: usize,
    /// Mean and standard deviation of each channel.
    pub normalization: Normalization,
}

/// One position in an epoch: which sample, and what its random transforms are keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into the dataset.
    pub sample: usize,
    /// How often the sample came earlier in this epoch (balanced sampling repeats samples).
    pub repeat: u32,
}

/// How images become input.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Random transforms and mixing, drawn from (seed, epoch, sample) and (seed, epoch, batch).
    Train {
        /// Transforms of single images.
        transform: TransformConfig,
        /// MixUp and CutMix of the batch.
        mix: MixConfig,
        /// Seed of the run.
        seed: u64,
        /// The epoch, counted from 0.
        epoch: u64,
    },
    /// Only resized and normalised.
    Eval,
    /// No images, only targets and indices: for features that were computed before.
    Targets,
}

/// The input of one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[B, 3, size, size]`, normalised; empty with [`Mode::Targets`].
    pub images: Vec<f32>,
    /// `[B, C, h, w]` and its shape, where features were computed before.
    pub features: Option<(Vec<f32>, [usize; 4])>,
    /// `[B]`, class indices.
    pub targets: Vec<usize>,
    /// `[B]`, indices into the dataset.
    pub samples: Vec<usize>,
    /// MixUp or CutMix, where this batch was mixed.
    pub mixed: Option<Mixed>,
}

/// What is done about classes of different size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Nothing: every sample counts the same.
    #[default]
    None,
    /// Each class is weighted in the loss by N / (K · n), with n of the N samples and K classes, as
    /// scikit-learn's `class_weight="balanced"`.
    ClassWeights,
    /// Every class is sampled equally often.
    Sampling,
}

/// The order of an epoch: a shuffle, or with [`Balance::Sampling`] as many samples with every class equally
/// often. Depends on (seed, epoch) alone.
pub fn epoch_order(
    samples: &[usize],
    class_of: impl Fn(usize) -> usize,
    balance: Balance,
    seed: u64,
    epoch: u64,
) -> Vec<Place> {
    let mut rng = rng(seed, Purpose::Order, epoch, 0);
    if balance != Balance::Sampling {
        let mut order = samples.to_vec();
        order.shuffle(&mut rng);
        return order.into_iter().map(|sample| Place { sample, repeat: 0 }).collect();
    }
    let mut classes: Vec<Vec<usize>> = Vec::new();
    for &sample in samples {
        let class = class_of(sample);
        if classes.len() <= class {
            classes.resize(class + 1, Vec::new());
        }
        classes[class].push(sample);
    }
    classes.retain(|members| !members.is_empty());
    balanced(&mut classes, samples.len(), &mut rng)
}

/// Goes through each class in shuffled rounds, so that no sample repeats before all have come once.
fn balanced(classes: &mut [Vec<usize>], count: usize, rng: &mut impl Rng) -> Vec<Place> {
    let mut given = vec![0usize; classes.len()];
    let mut order = Vec::with_capacity(count);
    for position in 0..count {
        // Equal turns; the classes of the remaining positions are drawn.
        let class = if position < count / classes.len() * classes.len() {
            position % classes.len()
        } else {
            rng.random_range(0..classes.len())
        };
        let (round, turn) = (given[class] / classes[class].len(), given[class] % classes[class].len());
        if turn == 0 {
            classes[class].shuffle(rng);
        }
        order.push(Place { sample: classes[class][turn], repeat: round as u32 });
        given[class] += 1;
    }
    order.shuffle(rng);
    order
}

/// Where the batches of `count` samples begin and end. A last batch of one joins the batch before it: batch
/// norm has no statistics of a single value.
pub fn bounds(count: usize, batch_size: usize) -> Vec<std::ops::Range<usize>> {
    let mut bounds: Vec<_> =
        (0..count).step_by(batch_size).map(|start| start..(start + batch_size).min(count)).collect();
    if bounds.len() > 1 && bounds.last().is_some_and(|last| last.len() == 1) {
        bounds.pop();
        bounds.last_mut().expect("there was more than one batch").end = count;
    }
    bounds
}

/// Makes one batch on the calling thread.
///
/// # Errors
/// An image can no longer be read.
pub fn make(
    source: &BatchSource,
    places: &[Place],
    number: usize,
    mode: &Mode,
    scratch: &mut Scratch,
) -> Result<Batch> {
    let size = source.size;
    let shown = if matches!(mode, Mode::Targets) { 0 } else { places.len() };
    let mut images = vec![0.0; shown * 3 * size * size];
    for (place, out) in places.iter().zip(images.chunks_exact_mut(3 * size * size)) {
        let image = source.store.get(place.sample)?;
        match mode {
            Mode::Eval | Mode::Targets => eval_pixels(&image, size, &source.normalization, scratch, out),
            Mode::Train { transform, seed, epoch, .. } => {
                let key = place.sample as u64 | u64::from(place.repeat) << 40;
                let drawn = Drawn::draw(transform, size, &mut rng(*seed, Purpose::Sample, *epoch, key));
                train_pixels(&image, size, &drawn, &source.normalization, scratch, out);
            }
        }
    }
    let mixed = match mode {
        Mode::Train { mix: config, seed, epoch, .. } => {
            mix(&mut images, size, config, *seed, *epoch, number as u64)
        }
        Mode::Eval | Mode::Targets => None,
    };
    let targets = places.iter().map(|place| source.dataset.samples[place.sample].class).collect();
    let samples = places.iter().map(|place| place.sample).collect();
    Ok(Batch { images, features: None, targets, samples, mixed })
}

/// The batches of an epoch, in order, from batch number `first` on.
pub struct Batches {
    workers: Vec<Receiver<Result<Batch>>>,
    taken: usize,
    left: usize,
}

impl Batches {
    /// Starts `workers` threads (at least one). They end when the batches are taken or this value is dropped.
    pub fn start(
        source: &Arc<BatchSource>,
        order: Vec<Place>,
        batch_size: usize,
        first: usize,
        mode: &Mode,
        workers: usize,
    ) -> Self {
        let bounds: Arc<[_]> = bounds(order.len(), batch_size).into();
        let order: Arc<[Place]> = order.into();
        let count = workers.clamp(1, bounds.len().saturating_sub(first).max(1));
        let workers = (0..count)
            .map(|worker| {
                // One batch waits in the channel while the next is being made.
                let (sender, receiver) = sync_channel(1);
                let (source, order, bounds, mode) =
                    (Arc::clone(source), Arc::clone(&order), Arc::clone(&bounds), mode.clone());
                std::thread::spawn(move || {
                    let mut scratch = Scratch::default();
                    for number in (first + worker..bounds.len()).step_by(count) {
                        let batch =
                            make(&source, &order[bounds[number].clone()], number, &mode, &mut scratch);
                        if sender.send(batch).is_err() {
                            return; // no one takes batches any more
                        }
                    }
                });
                receiver
            })
            .collect();
        Self { workers, taken: 0, left: bounds.len().saturating_sub(first) }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;
    fn next(&mut self) -> Option<Result<Batch>> {
        self.left = self.left.checked_sub(1)?;
        let worker = &self.workers[self.taken % self.workers.len()];
        self.taken += 1;
        Some(worker.recv().unwrap_or_else(|_| {
            Err(Error::Compute("a worker thread that prepares batches has panicked".into()))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_holds_every_sample_once_and_depends_on_seed_and_epoch() {
        let samples: Vec<usize> = (10..60).collect();
        let order = |seed, epoch| epoch_order(&samples, |_| 0, Balance::None, seed, epoch);
        let mut sorted: Vec<usize> = order(1, 0).iter().map(|place| place.sample).collect();
        sorted.sort_unstable();
        assert_eq!(sorted, samples);
        assert_eq!(order(1, 0), order(1, 0));
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
    }

    #[test]
    fn balanced_sampling_gives_every_class_the_same_share() {
        // Class 0 has 90 samples, class 1 has 9, class 2 (of index 5) has 1.
        let class = |sample: usize| {
            if sample < 90 {
                0
            } else if sample < 99 {
                1
            } else {
                5
            }
        };
        let order = epoch_order(&(0..100).collect::<Vec<_>>(), class, Balance::Sampling, 1, 0);
        assert_eq!(order.len(), 100);
        for wanted in [0, 1, 5] {
            let share = order.iter().filter(|place| class(place.sample) == wanted).count();
            assert!((33..=34).contains(&share), "class {wanted}: {share}");
        }
        let mut keys: Vec<_> = order.iter().map(|place| (place.sample, place.repeat)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 100, "a repeated sample has a key of its own");
    }

    #[test]
    fn a_last_batch_of_one_joins_the_one_before() {
        assert_eq!(bounds(9, 4), [0..4, 4..9]);
        assert_eq!(bounds(10, 4), [0..4, 4..8, 8..10]);
        assert_eq!(bounds(1, 4), [std::ops::Range { start: 0, end: 1 }]);
        assert!(bounds(0, 4).is_empty());
    }
}
