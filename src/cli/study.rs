use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;

use super::{INTERRUPTED, Verbosity, print, shown, stop_on_ctrl_c};
use crate::error::Error;
use crate::run::study::{Ended, Listener, run_study};
use crate::run_folder::events::Event;
use crate::study::PAGE;
use crate::study::plan::Plan;

/// Do augmented or synthetic faces help? Train every variant with several seeds and compare them honestly.
///
/// STUDY.toml names the real images, the synthetic ones, and what to compare: the four dataset
/// types, numbers of synthetic images added to the real ones (dose), or variants of your own. All
/// are evaluated on one fixed set of real test images. The result is a table with intervals and
/// paired comparisons (study.csv, study.json), and a page (study.html); beside it stands what
/// a leaky split would have claimed.
///
/// The same command goes on with a study that was interrupted; finished runs are not trained again.
///
/// A plan:
///   real = "faces/"
///   synthetic = "drawn/"
///   recipe = "recipes/demo.toml"
///   variants = ["real", "augmented", "synthetic"]
///   seeds = [1, 2, 3]
///   dose = [100, 400]
///   [augment]
///   copies = 2
///   [set]
///   "train.epochs" = 10
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The plan.
    #[arg(value_name = "STUDY.toml")]
    plan: PathBuf,
    /// The study's folder, new or that of this study [default: studies/ and the plan's name].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where to compute; several, as cuda:0,cuda:1, train at the same time.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "auto")]
    device: Vec<String>,
    /// Tell what would be trained, and stop.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let plan = Plan::load(&args.plan)?;
    let jobs = plan.jobs();
    if args.dry_run {
        plan.check_paths()?;
        jobs.iter().for_each(|job| print(&job.name()));
        return Ok(ExitCode::SUCCESS);
    }
    if args.device.is_empty() || args.device.iter().any(String::is_empty) {
        return Err(Error::input("--device", "names no device")
            .expected("auto, cpu, or what was built in")
            .into());
    }
    let name = args.plan.file_stem().unwrap_or_default();
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("studies").join(name));
    let stop = stop_on_ctrl_c();
    let bar = crate::cli::console::spinner(args.verbosity.is_chatty(), "");
    let teller = Teller {
        bar: bar.clone(),
        verbosity: args.verbosity,
        done: AtomicUsize::new(0),
        started: Instant::now(),
    };
    let ended = run_study(&plan, &out, &args.device, &teller, stop);
    bar.finish_and_clear();
    match ended? {
        Ended::Interrupted => {
            eprintln!("interrupted; go on with the same command");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Ended::Finished(results) => {
            if args.verbosity.json {
                print(&serde_json::to_string(&results)?);
            } else {
                print(&results.table());
                print(&format!("look at it  {}", shown(&out.join(PAGE))));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Tells a person how far a study is.
struct Teller {
    bar: ProgressBar,
    verbosity: Verbosity,
    /// Steps that the bar counts.
    done: AtomicUsize,
    started: Instant,
}

impl Teller {
    fn line(&self, text: &str) {
        if self.verbosity.is_chatty() {
            self.bar.suspend(|| print(text));
        }
    }
}

impl Listener for Teller {
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
                    "{name}, epoch {}, loss {:.4}, steps in all",
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
        self.line(&format!("[{number}/{of}] {name} is done ({minutes:.1} min since the start)"));
    }
}
