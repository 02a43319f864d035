use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::{Compute, Verbosity, print};
use crate::error::Error;
use crate::eval::calibration::CalibrationChange;
use crate::run::calibrate;
use crate::run_folder::is_run;

/// Make a model's probabilities honest: choose a temperature on the validation split.
///
/// The logits are divided by it before softmax. No prediction changes, only how sure the model says
/// it is. The temperature is stored in the run's best model and used by predict, eval and export.
/// The expected calibration error (ECE) is told before and after, on the validation split, on which
/// the temperature was chosen, and on the test split, which tells what to expect.
///
/// Example:
///   mien calibrate runs/vgg16_cbam-real
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The run folder.
    run: PathBuf,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if !is_run(&args.run) {
        return Err(Error::at(&args.run, "is no run folder")
            .expected("a folder that `mien train` has written, with its best model")
            .into());
    }
    let resources = args.compute.open()?;
    let loading = args.verbosity.loading();
    let verbosity = Verbosity { quiet: !args.verbosity.is_chatty(), json: false };
    let calibration = calibrate(&args.run, &resources, &loading.progress(), verbosity.sink().as_mut())?;
    drop(loading);
    if args.verbosity.json {
        print(&serde_json::to_string(&calibration)?);
    } else if !args.verbosity.quiet {
        print(&format!("temperature  {:.4} (was {:.4})", calibration.temperature, calibration.before));
        let row = |name: &str, change: &CalibrationChange| {
            let [[e0, e1], [l0, l1], [b0, b1]] = [change.ece, change.loss, change.brier];
            print(&format!(
                "{name:>11}  ECE {e0:.4} -> {e1:.4}   loss {l0:.4} -> {l1:.4}   Brier {b0:.4} -> {b1:.4}   ({} images)",
                change.n
            ));
        };
        row("valid", &calibration.valid);
        if let Some(test) = &calibration.test {
            row("test", test);
        }
    }
    Ok(ExitCode::SUCCESS)
}
