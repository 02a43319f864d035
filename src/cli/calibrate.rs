//! `mien calibrate`: temperature scaling.

use std::path::PathBuf;

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, Compute, Verbosity, must_be_run, print};
use crate::eval::calibration::CalibrationChange;
use crate::run::calibrate;

const EXAMPLES: &str = "\
Example:
  mien calibrate runs/vgg16_cbam-real";

/// Calibrate a model's probabilities by temperature scaling
///
/// The temperature that minimises the loss on the validation split divides the logits before the softmax. It
/// changes the confidence of predictions, but no predicted class. It is stored in the run's best model and
/// used by predict, eval and export.
///
/// The expected calibration error (ECE) is printed before and after: on the validation split, which the
/// temperature was fitted on, and on the held-out test split.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Run folder.
    run: PathBuf,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        must_be_run(&self.run)?;
        let resources = self.compute.open()?;
        let loading = self.verbosity.loading();
        let verbosity = self.verbosity.result_only();
        let calibration = calibrate(&self.run, &resources, &loading.progress(), verbosity.sink().as_mut())?;
        drop(loading);
        if self.verbosity.json {
            print(&serde_json::to_string(&calibration)?);
        } else if !self.verbosity.quiet {
            print(&format!("temperature  {:.4} (was {:.4})", calibration.temperature, calibration.before));
            let row = |name: &str, change: &CalibrationChange| {
                let [[e0, e1], [l0, l1], [b0, b1]] = [change.ece, change.loss, change.brier];
                print(&format!(
                    "{name:>11}  ECE {e0:.4} → {e1:.4}   loss {l0:.4} → {l1:.4}   Brier {b0:.4} → {b1:.4}   \
                     ({} images)",
                    change.n
                ));
            };
            row("valid", &calibration.valid);
            if let Some(test) = &calibration.test {
                row("test", test);
            }
        }
        Ok(Exit::Done)
    }
}
