//! mien trains, explains and compares facial-emotion classifiers.
//!
//! The modules in the order in which data pass through them: [`data`] finds, groups, splits and decodes
//! images; [`augment`] varies them; [`model`] holds the networks; [`train`] the loop; [`eval`] the metrics;
//! [`report`] what is shown. [`config`] composes the parts' settings, and [`run`] ties all of it to a run
//! folder.
//!
//! ```no_run
//! use mien::device::{self, DeviceConfig};
//! use mien::eval::evaluate::{batch_logits, softmax};
//!
//! # fn main() -> mien::error::Result<()> {
//! let device = device::open(&DeviceConfig::default())?;
//! let model = mien::model::files::weights::load_model("runs/vgg16_cbam-real/best.safetensors".as_ref(), &device.device)?;
//! let size = model.card.input_size;
//! let images = vec![0.0; 3 * size * size]; // [1, 3, size, size], normalised
//! let logits = batch_logits(&model.model, &model.params, images, size, device.compute)?;
//! println!("{:?}", softmax(&logits[0], model.card.temperature));
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

#[macro_use]
mod simd;

pub mod audit;
pub mod augment;
pub mod cli;
pub mod config;
pub mod cpu;
pub mod data;
pub mod device;
pub mod emotions;
pub mod error;
pub mod eval;
pub mod explain;
pub mod faces;
pub mod files;
pub mod image;
pub mod input;
pub mod memory;
pub mod model;
mod page;
pub mod plot;
pub mod random;
pub mod report;
pub mod run;
pub mod run_folder;
pub mod stats;
pub mod study;
mod text;
pub mod train;
