//! The command line: a file per command. Arguments in, library call, what is printed; no logic.

mod audit;
mod augment;
mod calibrate;
pub mod console;
mod demo;
mod draw;
mod eval;
mod explain;
mod export;
mod flags;
mod info;
mod predict;
mod report;
mod study;
mod train;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};

use crate::cli::console::{Console, JsonLines, Quiet};
use crate::data::Split;
use crate::device::{self, DeviceConfig};
use crate::error::Error;
use crate::eval::session::Resources;
use crate::run::Samples;
use crate::run_folder::events::Sink;

/// Trains, explains and compares facial-emotion classifiers.
///
/// Start with `mien demo`: it draws faces, trains a small model on them and evaluates it, in a few minutes on
/// any machine.
#[derive(Parser)]
#[command(name = "mien", version, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Train(Box<train::Args>),
    Eval(eval::Args),
    Predict(predict::Args),
    Explain(explain::Args),
    Info(info::Args),
    Audit(audit::Args),
    Augment(Box<augment::Args>),
    Report(report::Args),
    Study(study::Args),
    Calibrate(calibrate::Args),
    Export(export::Args),
    Draw(draw::Args),
}

/// Runs the program with its arguments.
///
/// # Errors
/// Whatever the command could not do, as one line.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitCode> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no failure; a reader that closes early (`|
            // head`) is none either.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return Ok(ExitCode::from(if asked { 0 } else { 2 }));
        }
    };
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Study(args) => study::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Augment(args) => augment::run(&args),
        Command::Draw(args) => draw::run(&args),
    }
}

/// How much is said.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Verbosity {
    /// Say nothing but warnings, errors and the result.
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Write events and results as JSON, one object a line.
    #[arg(long)]
    json: bool,
}

impl Verbosity {
    fn sink(self) -> Box<dyn Sink> {
        match self {
            Self { json: true, .. } => Box::new(JsonLines),
            Self { quiet: true, .. } => Box::new(Quiet),
            _ => Box::new(Console::new()),
        }
    }

    /// Whether bars and tables for people are wanted.
    fn is_chatty(self) -> bool {
        !self.json && !self.quiet
    }

    /// A bar over the loading of images, for as long as it lives.
    fn loading(self) -> Loading {
        Loading(crate::cli::console::bar(self.is_chatty(), "reading images"))
    }
}

struct Loading(indicatif::ProgressBar);

impl Loading {
    fn progress(&self) -> impl Fn(usize, usize) + Sync + '_ {
        |done, of| {
            self.0.set_length(of as u64);
            self.0.set_position(done as u64);
            if done == of {
                self.0.finish_and_clear();
            }
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How an evaluation computes.
#[derive(Clone, Debug, clap::Args)]
struct Compute {
    /// Images at a time.
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// auto, cpu, or what was built in.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Threads that prepare batches.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
}

impl Compute {
    /// Opens the device.
    fn open(&self) -> Result<Resources> {
        if self.batch_size == 0 {
            return Err(Error::input("--batch-size", "found 0").expected("1 or more").into());
        }
        let config =
            DeviceConfig { name: self.device.clone(), workers: self.workers, ..DeviceConfig::default() };
        let device = device::open(&config)?;
        Ok(Resources { device, batch_size: self.batch_size, workers: self.workers })
    }
}

/// A split, or everything.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SplitArg {
    Train,
    Valid,
    Test,
    All,
}

impl From<SplitArg> for Samples {
    fn from(split: SplitArg) -> Self {
        match split {
            SplitArg::Train => Self::Of(Split::Train),
            SplitArg::Valid => Self::Of(Split::Valid),
            SplitArg::Test => Self::Of(Split::Test),
            SplitArg::All => Self::All,
        }
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C asks to stop after the present step; a second Ctrl-C ends the program at once.
fn stop_on_ctrl_c() -> &'static AtomicBool {
    // A handler may be there already when a command runs two trainings; then it is this one.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step and saving; press Ctrl-C again to end at once");
    });
    &STOP
}

/// The exit code of a program that was asked to stop (128 + SIGINT).
const INTERRUPTED: u8 = 130;

/// Prints to standard output; a reader that has gone away (`| head`) is no error.
fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(' ') { format!("'{text}'") } else { text }
}
