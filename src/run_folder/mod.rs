//! The run folder: its names, the events of a run, and reading all of it again.
//!
//! **Invariant:** the one owner of the run folder's format. Whoever reads a run needs no more than its
//! folder.

pub mod events;
mod folder;
pub mod names;
pub mod read;
pub mod tensorboard;
pub mod trained;

pub use self::folder::{LEAKAGE, is_run, lock, model_file};
pub(crate) use self::folder::{folder_name, inside};
