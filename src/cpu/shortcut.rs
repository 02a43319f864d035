//! The gradient of a shortcut, past the layers that it leaves out.

use std::sync::{Arc, Mutex, PoisonError};

/// Where a residual block ends, x is added to its last layer's output; where it begins, its first convolution
/// reads the same x. The engine would add up the two gradients by x in a pass of its own. So the last layer's
/// backward pass leaves the one here, and the first convolution's, which always runs after it, adds it while
/// it writes the other.
#[derive(Clone, Debug, Default)]
pub struct Shortcut(Arc<Mutex<Option<Vec<f32>>>>);

impl Shortcut {
    pub(super) fn put(&self, gradient: Vec<f32>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
    }

    pub(super) fn take(&self) -> Option<Vec<f32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
