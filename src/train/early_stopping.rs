//! Stopping when the validation loss has not fallen for a while.

use serde::{Deserialize, Serialize};

/// Counts epochs without a better loss; saved with every checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    best: Option<f64>,
    waited: usize,
}

impl EarlyStopping {
    /// Takes the loss of an epoch; true when `patience` epochs in a row were no better than the best before
    /// them.
    pub fn observe(&mut self, loss: f64, patience: usize) -> bool {
        if self.best.is_none_or(|best| loss < best) {
            self.best = Some(loss);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        self.waited >= patience
    }

    /// Epochs since the best loss.
    pub fn waited(&self) -> usize {
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_after_patience_epochs_without_a_better_loss() {
        let mut stopping = EarlyStopping::default();
        let stops: Vec<bool> =
            [1.0, 0.9, 0.9, 1.1, 0.8, 0.9, 0.9, 0.9].iter().map(|loss| stopping.observe(*loss, 3)).collect();
        assert_eq!(stops, [false, false, false, false, false, false, false, true]);
    }
}
