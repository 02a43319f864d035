//! The sections of the page of a run: one file each, in the order of [`SECTIONS`].

mod configuration;
mod data;
mod entry;
mod features;
mod maps;
mod mistakes;
mod probabilities;
mod results;
mod summary;
mod training;

use self::entry::Build;
use crate::report::section::Entry;

/// All sections in their order on the page; those without content are left out.
pub(super) const SECTIONS: &[Entry<Build>] = &[
    summary::SUMMARY,
    data::DATA,
    training::TRAINING,
    results::RESULTS,
    probabilities::PROBABILITIES,
    mistakes::MISTAKES,
    maps::MAPS,
    features::FEATURES,
    configuration::CONFIGURATION,
];
