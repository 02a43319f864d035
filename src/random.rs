//! Random generators that are keyed, never shared.
//!
//! **Invariant:** every draw depends on (seed, purpose, indices) alone, so that the number of threads, the
//! order of work and a restart change nothing.

use chacha20::ChaCha8Rng;
use rand::SeedableRng;

/// What a stream of random numbers is for. The number is part of the key: no two purposes share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Which group goes into which split.
    Split = 1,
    /// The order of the samples in an epoch.
    Order = 2,
    /// The augmentation of one sample in one epoch.
    Sample = 3,
    /// MixUp and CutMix of one batch.
    Mix = 4,
    /// Dropout masks of one step.
    Dropout = 5,
    /// Initial weights of a model.
    Weights = 6,
    /// The persons and images of drawn faces.
    Draw = 7,
    /// The images of a debugging subset.
    Subset = 8,
    /// The operations of one augmented copy.
    Augment = 9,
    /// The noise that one of the operations of a copy adds.
    Noise = 10,
    /// One replicate of a bootstrap.
    Bootstrap = 11,
    /// Which group goes into which fold of a cross-validation.
    Folds = 12,
    /// The starting point of an iterative decomposition.
    Start = 13,
    /// Which images an audit's probe uses.
    Probe = 14,
    /// Random maps, and the noise of imputed pixels.
    Explain = 15,
}

/// The generator for one (seed, purpose, a, b).
///
/// `a` and `b` are what the draw is about: (epoch, sample index), (step, 0), (person, image)…
pub fn rng(seed: u64, purpose: Purpose, a: u64, b: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn each_part_of_the_key_changes_the_stream() {
        let first = |seed, purpose, a, b| rng(seed, purpose, a, b).next_u64();
        let base = first(1, Purpose::Order, 0, 0);
        assert_eq!(base, first(1, Purpose::Order, 0, 0));
        for other in [
            first(2, Purpose::Order, 0, 0),
            first(1, Purpose::Sample, 0, 0),
            first(1, Purpose::Order, 1, 0),
            first(1, Purpose::Order, 0, 1),
        ] {
            assert_ne!(base, other);
        }
    }
}
