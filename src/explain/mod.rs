//! What a model looks at: class activation maps, whether they are right, and images of them.
//!
//! A map needs the features of an image and the gradient of one logit with respect to them ([`cam`]); each
//! method is only its way of weighing the two. [`faithful`] measures whether what a map marks matters to the
//! model, [`image`] and [`sheet`] draw, and [`folder`] explains a run: the maps of its right and wrong
//! predictions, means per class, and their index `explain/explain.json`.

pub mod cam;
pub mod faithful;
pub mod folder;
pub mod npy;
pub mod overlay;
pub mod sheet;
