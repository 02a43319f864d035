//! What moves pixels with bilinear interpolation, by Pillow's arithmetic or by OpenCV's, to the bit.
//!
//! Row by row: the places of the target's pixels in the source, then the squares of four source pixels around
//! them, then the levels between the four.

pub(super) mod buffers;
pub(super) mod opencv;
pub(super) mod pillow;
mod squares;
