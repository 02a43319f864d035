//! Why a model predicts what it does: class activation maps, how faithful they are, and images of them.
//!
//! A map is made from the features of an image and the gradient of one logit with respect to them
//! ([`explainer`]); each of the [`methods`] is only its way of weighting the two. [`faithful`] measures
//! whether what a map highlights matters to the model, [`overlay`] and [`sheet`] draw, and [`folder`]
//! explains many images: their maps, class means, and the [`index`] of all of it.

pub mod explainer;
pub mod faithful;
pub mod folder;
pub mod index;
pub mod map;
pub mod methods;
pub mod npy;
pub mod overlay;
pub mod sheet;
