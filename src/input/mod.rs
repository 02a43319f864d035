//! What happens to an image between its file and the model, on the host: from 8-bit RGB to normalised `[3,
//! size, size]` f32, and from samples to batches.
//!
//! [`transform`] holds the configuration and the two entry points, one for training and one for evaluation;
//! [`sample`] does flip, rotation and enlargement in one pass; [`jitter`] holds the operations of the colour
//! jitter, [`mix`] MixUp and CutMix; [`batches`] makes batches ahead.
//!
//! **Invariant:** what is drawn for an image depends on (seed, epoch, index) alone, for a batch on (seed,
//! epoch, batch); there is no shared random state, and only [`mix`] sees more than one image.

pub mod batches;
pub mod jitter;
pub mod mix;
pub mod sample;
pub mod transform;
