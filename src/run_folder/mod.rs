//! The run folder: its names, the events of a run, and reading all of it again.
//!
//! **Invariant:** the one owner of the run folder's format. Whoever reads a run needs no more than its
//! folder.

pub mod events;
pub mod names;
pub mod read;
pub mod tensorboard;
