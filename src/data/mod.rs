//! Data: from a folder or a list to samples with classes, groups and splits.
//!
//! ```text
//! layout ─► images, store (read, hash, decode once) ─► grouping ─► splitting ─► leaks ─► copies ─► subset
//!                                                                          load ─► Dataset + ImageStore
//! ```
//!
//! [`load`] does all of it. A *group* is what no split may cut: one original and its augmented copies, one
//! person, one source photo; exact duplicates always share one. [`groups`] and [`split`] work on plain names,
//! hashes and counts; `grouping` and `splitting` apply them to the images that were read.
//!
//! **Invariant:** whatever cannot be used is counted and named in the [`Dataset`], never dropped in silence.

pub mod classes;
pub mod config;
mod copies;
mod dataset;
mod grouping;
pub mod groups;
mod images;
pub mod layout;
mod leaks;
mod load;
pub mod manifest;
mod origin;
pub mod split;
mod splitting;
pub mod store;
mod subset;
#[cfg(test)]
pub(crate) mod testing;

pub use self::classes::EMOTIONS;
pub use self::config::{DataConfig, DatasetType};
pub use self::dataset::{DataSummary, Dataset, GroupCounts, Sample, SplitCounts};
pub use self::groups::GroupRule;
pub use self::layout::Layout;
pub use self::leaks::Leak;
pub use self::load::{load, load_for_evaluation};
pub use self::origin::{Origin, Unreadable};
pub use self::split::Split;
pub use self::store::ImageStore;
