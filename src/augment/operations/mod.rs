//! The operations of the offline augmenter: each changes one 8-bit image in place.
//!
//! An operation is one file here: its table in a profile with the ranges of its keys and its values in the
//! profiles `safe` and `reference`, how its parameters are drawn and applied, and what the preview writes
//! below an example. To add one, write the file and add its line to the table below.
//!
//! [`brightness`], [`contrast`], [`sharpness`], [`flip`] and [`rotation`] give the bytes of Pillow 11.2.1;
//! [`blur`], [`affine`] and [`perspective`] those of opencv-python-headless 4.11.0.86
//! (`scripts/augment_fixtures.py`). [`saturation`] and [`hue`] are the trainer's own, and those that the
//! trainer has too go by the names they have there (`augment.transform.*`).
//!
//! **Invariant:** no operation fails or panics, whatever its parameters, and the same parameters give the
//! same bytes on every processor.
//!
//! Legend: w, h the image's width and height; C its channels. The place of a pixel is its centre; the image
//! covers half a pixel around the outermost places.

#[macro_use]
mod table;

pub mod affine;
pub mod blur;
mod border;
pub mod brightness;
mod colour;
pub mod contrast;
pub mod flip;
pub mod hue;
pub mod noise;
mod normal;
mod operation;
pub mod perspective;
mod pixels;
pub mod rotation;
pub mod saturation;
mod scratch;
pub mod sharpness;
pub mod translate;
mod warp;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use rand::Rng;
use serde::{Deserialize, Serialize};

pub use self::border::Border;
pub(super) use self::operation::Keys;
use self::operation::{Apply, Configured};
pub use self::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;

// The table. Its order is that of profiles and manifests, and the order in which operations are drawn: a new
// line goes to the end, so that the same seed goes on giving the same copies.
operations! {
    Brightness = brightness,
    Contrast = contrast,
    Sharpness = sharpness,
    Flip = flip,
    Rotation = rotation,
    Affine = affine,
    Perspective = perspective,
    Blur = blur,
    Noise = noise,
    Saturation = saturation,
    Hue = hue,
    Translate = translate,
}
