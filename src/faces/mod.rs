//! Faces: the drawn ones that need no data from outside.

pub mod draw;
