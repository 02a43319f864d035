//! Faces: so far those that are drawn, which need no data from outside.

pub mod draw;
