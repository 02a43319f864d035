//! A run from a configuration to its folder: what the commands call.
//!
//! [`mod@prepare`] loads the data and makes the model, [`train`] trains and resumes, [`evaluate`] measures on
//! any data, [`mod@calibrate`] fits the temperature, [`explain`] writes class activation maps, and [`study`]
//! runs many of these.
//!
//! **Invariant:** a run folder is never overwritten, and one program at a time trains in it; every file is
//! written beside its place and renamed (`events.jsonl` is appended to, and rewound to the checkpoint by a
//! resume).

pub mod calibrate;
pub mod evaluate;
pub mod explain;
pub mod prepare;
pub mod study;
pub mod train;

pub use self::calibrate::calibrate;
pub use self::evaluate::{Samples, Subject, evaluate_split, evaluation_data};
pub use self::prepare::{LoadProgress, Prepared, prepare, read_run};
pub use self::train::{default_folder, resume};
