//! mien trains, explains and compares facial-emotion classifiers.
//!
//! ```no_run
//! # fn main() -> mien::Result<()> {
//! let classifier = mien::Classifier::open("runs/vgg16_cbam-real")?;
//! println!("{}", classifier.classify_file("face.jpg")?.class());
//! # Ok(())
//! # }
//! ```
//!
//! # Train
//!
//! What `mien train faces/ --epochs 5` does: compose a configuration, prepare data and model, train into a
//! folder.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! use mien::run_folder::events::Silent;
//! use mien::{Override, RunConfig};
//!
//! # fn main() -> mien::Result<()> {
//! let changes = [Override::parse("data.root=faces")?, Override::parse("train.epochs=5")?];
//! let config = RunConfig::compose(None, &changes)?;
//! let prepared = mien::run::prepare(config, &|_done, _total| ())?;
//! prepared.train(Path::new("runs/mine"), &mut Silent, &AtomicBool::new(false))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Read a run
//!
//! Everything that a run leaves can be read again, with nothing but its folder.
//!
//! ```no_run
//! # fn main() -> mien::Result<()> {
//! let run = mien::RunFiles::open("runs/mine".as_ref())?;
//! for epoch in &run.epochs {
//!     println!("{} {:.4} {:.4}", epoch.epoch, epoch.train_loss, epoch.val_loss);
//! }
//! if let Some(test) = run.primary() {
//!     println!("accuracy {:.3}", test.evaluation.metrics.accuracy);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The rooms
//!
//! From the bottom up; each uses only those before it. [`image`] holds pixels and codecs, [`faces`] draws
//! faces, [`data`] finds, groups and splits samples, [`model`] holds the networks, [`input`] makes batches,
//! [`mod@augment`] writes augmented copies, [`eval`] has the metrics, [`explain`] the class activation maps,
//! [`run_folder`] the format of a run, [`train`] the loop, [`config`] composes the parts' settings, and
//! [`run`] ties all of it together.
#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr, clippy::exit))]

#[macro_use]
mod simd;

pub mod audit;
pub mod augment;
mod classifier;
#[doc(hidden)]
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
mod files;
pub mod image;
pub mod input;
#[doc(hidden)]
pub mod memory;
pub mod model;
mod page;
mod plot;
pub mod random;
mod report;
pub mod run;
pub mod run_folder;
pub mod stats;
mod study;
mod text;
pub mod train;

pub use self::classifier::{Classification, Classifier};
pub use self::config::{Override, RunConfig};
pub use self::error::{Error, Result};
pub use self::image::RgbImage;
pub use self::run_folder::read::RunFiles;
