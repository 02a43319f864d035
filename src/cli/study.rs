//! `mien study`: variants of training data compared over several seeds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;

use super::console;
use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, name_device, print, shown, stop_on_ctrl_c};
use crate::error::Error;
use crate::run::study::{Ended, Listener, run_study};
use crate::run_folder::events::Event;
use crate::study::PAGE;
use crate::study::plan::Plan;

const EXAMPLES: &str = "\
Examples:
  mien study study.toml --dry-run
  mien study study.toml --device cuda:0,cuda:1

A plan:
  real = \"faces/\"
  synthetic = \"drawn/\"
  recipe = \"recipes/demo.toml\"
  variants = [\"real\", \"augmented\", \"synthetic\"]
  seeds = [1, 2, 3]
  dose = [100, 400]            # synthetic images added to the real training images
  [augment]
  copies = 2
  [set]                        # settings of all runs
  \"train.epochs\" = 10";

/// Compare real, augmented and synthetic training data over several seeds
///
/// STUDY.toml names the real images, the synthetic ones and what to compare: the four dataset types, numbers
/// of synthetic images added to the real ones (dose), or variants of your own. All are evaluated on the same
/// held-out real images. The results are a table with confidence intervals and paired comparisons (study.csv,
/// study.json) and a page (study.html), which also shows what a leaky split would have claimed.
///
/// To resume an interrupted study, run the same command; finished runs are not trained again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Plan of the study.
    #[arg(value_name = "STUDY.toml")]
    plan: PathBuf,
    /// Folder of the study, new or to be resumed [default: studies/NAME, after the plan file].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Devices to compute on; runs are trained in parallel on several, such as cuda:0,cuda:1.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "auto")]
    device: Vec<String>,
    /// List the runs that would be trained, and exit.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        let plan = Plan::load(&self.plan).map_err(Error::into_setting)?;
        if self.dry_run {
            plan.check_paths()?;
            plan.jobs().iter().for_each(|job| print(&job.name()));
            return Ok(Exit::Done);
        }
        if self.device.is_empty() || self.device.iter().any(String::is_empty) {
            let found = format!("found \"{}\"", self.device.join(","));
            return Err(Error::setting("--device", found)
                .expected("auto, cpu, or devices that are built in, such as cuda:0,cuda:1")
                .into());
        }
        let name = self.plan.file_stem().unwrap_or_default();
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from("studies").join(name));
        let stop = stop_on_ctrl_c();
        let bar = console::spinner(self.verbosity.is_chatty(), "");
        let progress = Progress {
            bar: bar.clone(),
            verbosity: self.verbosity,
            done: AtomicUsize::new(0),
            started: Instant::now(),
        };
        let ended = run_study(&plan, &out, &self.device, &progress, stop).map_err(name_device);
        bar.finish_and_clear();
        match ended? {
            Ended::Interrupted => {
                Err(Error::Interrupted("interrupted; to resume, run the same command".into()).into())
            }
            Ended::Finished(results) => {
                if self.verbosity.json {
                    print(&serde_json::to_string(&results)?);
                } else {
                    print(&results.table());
                    print(&format!("page  {}", shown(&out.join(PAGE))));
                }
                Ok(Exit::Done)
            }
        }
    }
}

/// Shows the progress of a study.
struct Progress {
    bar: ProgressBar,
    verbosity: Verbosity,
    /// Steps that the bar counts.
    done: AtomicUsize,
    started: Instant,
}

impl Progress {
    fn line(&self, text: &str) {
        if self.verbosity.is_chatty() {
            self.bar.suspend(|| print(text));
        }
    }
}

impl Listener for Progress {
    fn working(&self, what: &str, done: usize, of: usize) {
        let how_far = if of > 0 { format!(" {done} of {of}") } else { String::new() };
        self.bar.set_message(format!("{what}{how_far}"));
    }

    fn begins(&self, number: usize, of: usize, name: &str, device: &str) {
        self.line(&format!("[{number}/{of}] {name} on {device}"));
    }

    fn event(&self, name: &str, event: &Event) {
        if self.verbosity.json {
            return;
        }
        match event {
            Event::Step(step) => {
                self.bar.set_position(self.done.fetch_add(1, Ordering::Relaxed) as u64 + 1);
                self.bar.set_message(format!(
                    "{name}, epoch {}, loss {:.4}, total steps",
                    step.epoch, step.epoch_loss
                ));
            }
            Event::Epoch(record) => self.bar.set_message(format!(
                "{name}, epoch {}: {:.1} %",
                record.epoch,
                100.0 * record.val_accuracy
            )),
            Event::Notice { text } => self.line(&format!("        {name}: {text}")),
            _ => {}
        }
    }

    fn ends(&self, number: usize, of: usize, name: &str) {
        let minutes = self.started.elapsed().as_secs_f64() / 60.0;
        self.line(&format!("[{number}/{of}] {name} done after {minutes:.1} min in total"));
    }
}
