//! How a run is watched and stopped.

use std::sync::atomic::{AtomicBool, Ordering};

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// The source is being listed: images found so far.
    Listing(usize),
    /// Images that are done, and how many there are.
    Done(usize, usize),
}

/// Whoever watches a run and may stop it.
#[derive(Clone, Copy)]
pub(super) struct Watcher<'a> {
    progress: &'a dyn Fn(Progress),
    pub(super) stop: &'a AtomicBool,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(progress: &'a dyn Fn(Progress), stop: &'a AtomicBool) -> Self {
        Self { progress, stop }
    }

    pub(super) fn report(self, progress: Progress) {
        (self.progress)(progress);
    }

    pub(super) fn has_stopped(self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
