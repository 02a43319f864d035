//! What a run shows: events and the sinks that take them, figures, and the page.

pub mod config;
pub mod console;
pub mod events;
pub mod figures;
pub mod page;
pub mod read;
pub mod tensorboard;
