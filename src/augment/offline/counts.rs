//! What a run has done, in numbers.

use crate::augment::operations::NAMES;

/// Why a draw is rejected, in the order of `Rejection` and [`Counts::refused`].
pub const REASONS: [&str; 4] =
    ["too many clipped pixels", "too dissimilar", "too much border", "same as the original or another copy"];

/// Why a draw is rejected: which limit of the profile it does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// `limits.saturated`.
    Clipped,
    /// `limits.similarity`.
    Dissimilar,
    /// `limits.border`.
    Border,
    /// `limits.distinct`.
    Duplicate,
}

impl Rejection {
    /// In words.
    pub(super) fn reason(self) -> &'static str {
        REASONS[self as usize]
    }
}

/// What became of the originals, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Originals that were copied to the output.
    pub originals: usize,
    /// Augmented copies that were written.
    pub copies: usize,
    /// Files of an earlier run, whose content was verified.
    pub kept: usize,
    /// Size of all these files in bytes.
    pub bytes: u64,
    /// How often each operation was applied, in the order of [`NAMES`].
    pub operations: [usize; NAMES.len()],
    /// Rejected draws by reason, in the order of [`REASONS`].
    pub refused: [usize; REASONS.len()],
    /// Copies that could not be made: no draw kept the limits.
    pub given_up: usize,
    /// Originals that could not be used.
    pub quarantined: usize,
}

impl Counts {
    /// Adds the counts of another batch.
    pub fn add(&mut self, other: &Self) {
        self.originals += other.originals;
        self.copies += other.copies;
        self.kept += other.kept;
        self.bytes += other.bytes;
        self.given_up += other.given_up;
        self.quarantined += other.quarantined;
        self.operations.iter_mut().zip(other.operations).for_each(|(sum, count)| *sum += count);
        self.refused.iter_mut().zip(other.refused).for_each(|(sum, count)| *sum += count);
    }
}
