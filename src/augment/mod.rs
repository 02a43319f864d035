//! Augmented copies of a data set, written before training: exactly what `mien augment` does.
//!
//! [`offline`] walks the source and writes the copies; [`operations`] are Pillow's and OpenCV's to the bit,
//! [`profile`] says which are done how strongly and how often, [`check`] whether a copy still shows what its
//! original shows.

pub mod check;
pub mod offline;
pub mod operations;
pub mod profile;
