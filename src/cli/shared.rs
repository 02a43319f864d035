//! What several commands share: flags, progress, printing, and the files that arguments stand for.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clap::ValueEnum;
use indicatif::ProgressBar;

use super::console::{self, Console, JsonLines, Quiet};
use super::exit_codes::Exit;
use crate::config::key_at;
use crate::data::Split;
use crate::device::{self, DeviceConfig};
use crate::error::Error;
use crate::eval::session::Resources;
use crate::image::decode::is_image_path;
use crate::run::Samples;
use crate::run_folder::events::Sink;
use crate::run_folder::{is_run, model_file};
use crate::text::shell_quoted;

/// A command: its arguments, with their help, and what it does with them.
pub(super) trait Command: clap::Args {
    /// Does it.
    fn run(&self) -> Result<Exit>;
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Verbosity {
    /// Print only warnings, errors and the result.
    #[arg(short, long, conflicts_with = "json")]
    pub(super) quiet: bool,
    /// Print events and results as JSON, one object per line.
    #[arg(long)]
    pub(super) json: bool,
}

impl Verbosity {
    pub(super) fn sink(self) -> Box<dyn Sink> {
        match self {
            Self { json: true, .. } => Box::new(JsonLines),
            Self { quiet: true, .. } => Box::new(Quiet),
            _ => Box::new(Console::new()),
        }
    }

    /// The same for a command whose JSON is its result alone, without events.
    pub(super) fn result_only(self) -> Self {
        Self { quiet: !self.is_chatty(), json: false }
    }

    /// Whether bars and tables for people are wanted.
    pub(super) fn is_chatty(self) -> bool {
        !self.json && !self.quiet
    }

    /// A progress bar, hidden where nobody wants it.
    pub(super) fn bar(self, what: &str) -> ProgressBar {
        console::bar(self.is_chatty(), what)
    }

    /// A bar over the loading of images, for as long as it lives.
    pub(super) fn loading(self) -> Loading {
        Loading(self.bar("reading images"))
    }
}

/// Shows on a bar how much of what is done.
pub(super) fn advance(bar: &ProgressBar, what: &str, done: usize, of: usize) {
    bar.set_message(what.to_owned());
    bar.set_length(of as u64);
    bar.set_position(done as u64);
}

pub(super) struct Loading(ProgressBar);

impl Loading {
    pub(super) fn progress(&self) -> impl Fn(usize, usize) + Sync + '_ {
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

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Compute {
    /// Images per batch.
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// Device to compute on: auto, cpu, or one that is built in, such as cuda or cuda:1.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Threads that prepare batches.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
}

impl Compute {
    /// Opens the device.
    pub(super) fn open(&self) -> Result<Resources> {
        if self.batch_size == 0 {
            return Err(Error::setting("--batch-size", "found 0").expected("1 image or more").into());
        }
        let config =
            DeviceConfig { name: self.device.clone(), workers: self.workers, ..DeviceConfig::default() };
        let device = device::open(&config).map_err(name_device)?;
        Ok(Resources { device, batch_size: self.batch_size, workers: self.workers })
    }
}

/// An error about the device, for commands that have flags for it but no configuration.
pub(super) fn name_device(error: Error) -> Error {
    name_flag(error, &[("device.name", "--device"), ("device.workers", "--workers")])
}

/// An error with the flag in place of the key, where a command has the flag alone.
pub(super) fn name_flag(error: Error, flags: &[(&str, &str)]) -> Error {
    let named = error.place().and_then(key_at).map(|key| key.name);
    match flags.iter().find(|(key, _)| named == Some(*key)) {
        Some((_, flag)) => error.with_place(*flag).into_setting(),
        None => error,
    }
}

/// A split, or all images.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SplitArg {
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
pub(super) fn stop_on_ctrl_c() -> &'static AtomicBool {
    // A handler may be there already when a command runs two trainings; then it is this one.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
        eprintln!("\nstopping after this step; press Ctrl-C again to exit at once");
    });
    &STOP
}

/// Prints to standard output; a reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a line of a table of keys and values.
pub(super) fn row(key: &str, value: &str) {
    print(&format!("{key:>12}  {value}"));
}

/// A path as it can be pasted into a shell.
pub(super) fn shown(path: &Path) -> String {
    shell_quoted(&path.display().to_string())
}

/// A path that must be new, because nothing is overwritten.
pub(super) fn must_be_new(path: &Path, what: &str) -> Result<(), Error> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Error::at(path, "already exists").expected(what).hint("Nothing is overwritten; choose another name"))
}

/// The model file that an argument must stand for.
pub(super) fn must_be_model(path: &Path) -> Result<PathBuf, Error> {
    model_file(path).ok_or_else(|| {
        let problem =
            if path.exists() { "is neither a run folder nor a model file" } else { "no such file or folder" };
        Error::at(path, problem)
            .expected("a run folder (with config.toml and best.safetensors) or a .safetensors file of mien")
    })
}

/// Checks that a path is a run folder.
pub(super) fn must_be_run(path: &Path) -> Result<(), Error> {
    if is_run(path) {
        return Ok(());
    }
    let problem = if path.exists() { "is not a run folder" } else { "no such folder" };
    Err(Error::at(path, problem).expected("a folder written by `mien train`"))
}

/// Files as they are, the images below folders, what patterns match; in the given order, each folder sorted.
pub(super) fn find_images(wanted: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for path in wanted {
        let before = images.len();
        if path.is_dir() {
            for entry in walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name() {
                let entry = entry.map_err(|e| Error::at(path, e.to_string()))?;
                if entry.file_type().is_file() && is_image_path(entry.path()) {
                    images.push(entry.into_path());
                }
            }
        } else if path.exists() {
            images.push(path.clone());
        } else {
            let pattern = path.to_string_lossy();
            let matches = glob::glob(&pattern)
                .map_err(|e| Error::at(path, format!("no such file, and not a pattern ({e})")))?;
            images.extend(matches.filter_map(Result::ok).filter(|path| path.is_file()));
        }
        if images.len() == before {
            return Err(Error::at(path, "there are no images")
                .expected("an image, a folder of images or a pattern such as 'faces/*.jpg'")
                .into());
        }
    }
    Ok(images)
}
