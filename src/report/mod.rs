//! What a run shows: events and the sinks that take them.

pub mod console;
pub mod events;
