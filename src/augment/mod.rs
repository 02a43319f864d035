//! What happens to one image between its file and the model, on the host, from 8-bit RGB to normalised `[3, size, size]` f32.
//!
//! [`transform`] holds the configuration and the two entry points, one for training and one for evaluation; [`geometry`] resizes
//! and samples; [`color`] holds the four operations of the colour jitter. Nothing here draws on a shared random state: a training
//! sample depends on the image and its drawn parameters alone.
//!
//! [`offline`] writes augmented copies of a data set: [`operations`] are Pillow's and OpenCV's to the bit, [`profile`] says which are
//! done how strongly and how often, [`check`] whether a copy still shows what its original shows.

pub mod check;
pub mod color;
pub mod geometry;
pub mod mix;
pub mod offline;
pub mod operations;
pub mod profile;
pub mod transform;

#[cfg(test)]
mod fixtures;
