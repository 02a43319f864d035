//! The features of a frozen network, computed once: while nothing below the head learns, an image without
//! random transforms gives the same features in every epoch. They are computed as an evaluation computes
//! them: Pillow's resize in place of the training transforms' single sampling pass, which differ by a level
//! here and there where an image is enlarged.

use std::collections::HashMap;

use super::checkpoint::State;
use super::job::Job;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::eval::session::Session;
use crate::input::transform::TransformConfig;
use crate::run_folder::events::{Event, Sink};

/// What may be kept, in bytes.
const BUDGET: usize = 2 << 30;

/// The features of samples that do not change while the head is trained.
pub struct Frozen {
    rows: HashMap<usize, Vec<f32>>,
    shape: [usize; 3],
    /// Whether the training samples are among them; the validation samples are.
    pub has_train: bool,
}

impl Frozen {
    /// The features of some samples, `[B, C, h, w]`, with their shape.
    pub fn gather(&self, samples: &[usize]) -> (Vec<f32>, [usize; 4]) {
        let [channels, height, width] = self.shape;
        let values = samples.iter().flat_map(|sample| self.rows[sample].iter().copied()).collect();
        (values, [samples.len(), channels, height, width])
    }
}

/// Computes the features that will not change: those of the validation split, and of the training split where
/// no random transform touches its images and there is memory for them. `None` where something below the head
/// learns, or there is no memory.
///
/// # Errors
/// An image cannot be read any more, the device fails, or it was interrupted.
pub fn prepare(job: &Job, state: &State, sink: &mut dyn Sink) -> Result<Option<Frozen>> {
    let mut below = state.params.iter().filter(|param| !job.model.in_head(&param.name));
    if !job.config.feature_extract || !below.all(|param| param.frozen) {
        return Ok(None);
    }
    let dataset = &job.source.dataset;
    let mut samples = dataset.indices(Split::Valid);
    let is_still = *job.transform == TransformConfig::none() && !job.mix.enabled;
    let params = state.evaluated();
    let session = Session { model: job.model, params: &params, resources: job.resources };
    let (first, shape) = session.features(&job.source, &samples[..samples.len().min(1)], &mut |_| Ok(()))?;
    let bytes_of = |count: usize| count * first.first().map_or(0, Vec::len) * size_of::<f32>();
    let train = dataset.indices(Split::Train);
    let has_train = is_still && bytes_of(samples.len() + train.len()) <= BUDGET;
    if (is_still && !has_train) || bytes_of(samples.len()) > BUDGET {
        let size = bytes_of(samples.len() + if is_still { train.len() } else { 0 }) >> 20;
        let text = format!(
            "all frozen features would take {size} MB, more than {} MB: not all are kept",
            BUDGET >> 20
        );
        sink.event(&Event::Notice { text })?;
    }
    if bytes_of(samples.len()) > BUDGET {
        return Ok(None);
    }
    if has_train {
        samples.extend(train);
    }
    let bytes = bytes_of(samples.len());
    let of = samples.len();
    let (rows, _) = session.features(&job.source, &samples, &mut |done| {
        if job.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Interrupted("interrupted before the first step".into()));
        }
        sink.event(&Event::Evaluating { done, of })
    })?;
    let which = if has_train { "training and validation" } else { "validation" };
    let text = format!("the frozen features of {of} {which} images are kept ({} MB)", bytes >> 20);
    sink.event(&Event::Notice { text })?;
    Ok(Some(Frozen { rows: samples.into_iter().zip(rows).collect(), shape, has_train }))
}
