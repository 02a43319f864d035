//! One augmented copy: drawn, made, checked and encoded, in memory.

use std::path::Path;

use super::counts::{REASONS, Rejection};
use super::request::Plan;
use crate::augment::check::{self, newly_saturated, similarity};
use crate::augment::operations;
use crate::augment::profile::{Jpeg, Limits, Operation};
use crate::image::Bitmap;
use crate::image::decode::{Format, JPEG};
use crate::image::encode::Encoder;
use crate::random::{Purpose, rng};

/// A copy that keeps the limits.
pub(super) struct Made {
    /// What was done, in order.
    pub(super) operations: Vec<Operation>,
    /// Draws it took.
    pub(super) attempts: u32,
    /// Of the encoded file.
    pub(super) hash: blake3::Hash,
}

/// One thread's buffers.
pub(super) struct Maker<'a> {
    plan: &'a Plan,
    encoder: Encoder,
    operations: operations::Scratch,
    check: check::Scratch,
    /// The last copy.
    pub(super) copy: Bitmap,
    aligned: Bitmap,
    /// The last copy as a file.
    pub(super) encoded: Vec<u8>,
    /// Rejected draws, in the order of [`REASONS`].
    pub(super) refused: [usize; REASONS.len()],
}

impl<'a> Maker<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            encoder: Encoder::default(),
            operations: operations::Scratch::default(),
            check: check::Scratch::default(),
            copy: Bitmap::default(),
            aligned: Bitmap::default(),
            encoded: Vec::new(),
            refused: [0; REASONS.len()],
        }
    }

    /// Draws operations until their result keeps the limits; leaves it encoded in `self.encoded`. Returns the
    /// operations, the number of draws and the file's hash, or why every draw was rejected. The result
    /// depends on the image, the seed, `key` and `copy` alone.
    pub(super) fn make(
        &mut self,
        image: &Bitmap,
        original: Format,
        key: u64,
        copy: u32,
        others: &[blake3::Hash],
    ) -> Result<Made, String> {
        let profile = &self.plan.profile;
        let mut random = rng(self.plan.seed, Purpose::Augment, key, copy.into());
        let mut refused = [0; REASONS.len()];
        for attempt in 1..=profile.limits.attempts {
            let operations = profile.draw(image.width, image.height, &mut random);
            let reason = match self.apply(image, &operations) {
                Some(reason) => reason,
                None => {
                    encode(&mut self.encoder, &self.copy, original, &profile.jpeg, &mut self.encoded);
                    let hash = blake3::hash(&self.encoded);
                    if !(profile.limits.distinct && (others.contains(&hash) || self.copy == *image)) {
                        return Ok(Made { operations, attempts: attempt, hash });
                    }
                    Rejection::Duplicate
                }
            };
            refused[reason as usize] += 1;
            self.refused[reason as usize] += 1;
        }
        let reasons = REASONS
            .iter()
            .zip(refused)
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!("{count} {reason}"));
        let reasons: Vec<String> = reasons.collect();
        Err(format!("all {} draws were rejected: {}", profile.limits.attempts, reasons.join(", ")))
    }

    /// Makes `self.copy` of `image`. Returns the reason if the result does not keep a limit.
    pub(super) fn apply(&mut self, image: &Bitmap, operations: &[Operation]) -> Option<Rejection> {
        let (border, limits) = (self.plan.profile.border, &self.plan.profile.limits);
        self.copy.copy_from(image);
        let uncovered: usize = operations
            .iter()
            .map(|operation| operation.apply(&mut self.copy, border, &mut self.operations))
            .sum();
        if uncovered as f64 > limits.border * (image.width * image.height) as f64 {
            return Some(Rejection::Border);
        }
        let Limits { saturated, similarity: least, .. } = *limits;
        // Moves alone leave the levels as they are (to the interpolation).
        if operations.iter().all(Operation::is_geometric) || (saturated >= 1.0 && least <= -1.0) {
            return None;
        }
        let mut reference = image;
        if operations.iter().any(Operation::is_geometric) {
            self.aligned.copy_from(image);
            for operation in operations.iter().filter(|operation| operation.is_geometric()) {
                operation.apply(&mut self.aligned, border, &mut self.operations);
            }
            reference = &self.aligned;
        }
        if newly_saturated(reference, &self.copy) > saturated {
            return Some(Rejection::Clipped);
        }
        (similarity(reference, &self.copy, &mut self.check) < least).then_some(Rejection::Dissimilar)
    }
}

/// Writes an image in the codec of its original: JPEG stays JPEG, anything else becomes PNG.
fn encode(encoder: &mut Encoder, image: &Bitmap, original: Format, jpeg: &Jpeg, out: &mut Vec<u8>) {
    if original == JPEG {
        encoder.jpeg(image, jpeg.quality, jpeg.subsampling, out);
    } else {
        encoder.png(image, out);
    }
}

/// The part of the random key that stands for a source: it depends on its path below the root and nothing
/// else.
pub(super) fn key_of(below: &Path) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in below.components() {
        hasher.update(part.as_os_str().as_encoded_bytes());
        hasher.update(b"/");
    }
    let hash = hasher.finalize();
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}
