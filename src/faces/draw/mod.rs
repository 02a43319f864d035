//! Drawn faces: a labelled set that needs no data from outside, for the demo, the tests and the first trial.
//!
//! An image is a parametric drawing. The emotion moves the face by action units (FACS, see `expression.rs`);
//! everything else (identity, pose, light, background, noise) is drawn independently of it. Several images
//! show one person, and the person is the group that no split may cut.
//!
//! ```text
//! person.rs (who, which shot), expression.rs (which action units)
//!   ─► face.rs: scene, hair, skin, nose, beard, mouth, eyes, photograph
//!   ─► set.rs: OUT/{train,valid,test}/{class}/*.png
//! ```

mod beard;
mod canvas;
mod config;
mod dice;
mod expression;
mod eyes;
mod face;
mod hair;
mod mouth;
mod nose;
mod painter;
mod person;
mod photograph;
mod scene;
mod set;
mod skin;

pub use self::config::{DrawConfig, MIN_PER_CLASS, Style};
pub use self::face::{face, face_in};
pub use self::set::{DrawnSet, write_set};
