//! What happens to an image between its file and the model, on the host: from 8-bit RGB to normalised `[3,
//! size, size]` f32, and from samples to batches.
//!
//! [`transform`] has the two entry points, one for training and one for evaluation; `sample` does flip,
//! rotation and enlargement in one pass; [`jitter`] has the operations of the colour jitter, `normalization`
//! the last step, [`mix`] MixUp and CutMix; [`batches`] prepares batches ahead of the model; [`config`] has
//! the configuration sections for all of this.
//!
//! **Invariant:** what is drawn for an image depends on (seed, epoch, index) alone, for a batch on (seed,
//! epoch, batch); there is no shared random state, and only [`mix`] sees more than one image.

pub mod batches;
pub mod config;
pub mod jitter;
pub mod mix;
pub mod normalization;
mod sample;
pub mod transform;
