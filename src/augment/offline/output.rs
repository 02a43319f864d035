//! The output folder before and while it is written to: new, resumed, or refused.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::journal::{PROGRAM, Settings};
use super::request::Request;
use super::survey::Job;
use crate::data::classes::{EMOTIONS, canonical};
use crate::data::manifest::MANIFEST;
use crate::error::{Error, Result};
use crate::files;

/// An error if the output is neither new nor, with `resume`, that of an earlier run.
pub(super) fn check_output(output: &Path, resume: bool) -> Result<Option<Settings>> {
    if let Some(before) = Settings::read(output)? {
        if resume {
            return Ok(Some(before));
        }
        let finished = output.join(MANIFEST).exists();
        let state = if finished { "a finished augmentation" } else { "an interrupted augmentation" };
        let resume = if finished { "Verify it with --resume" } else { "Continue it with --resume" };
        return Err(Error::at(output, format!("already contains {state}"))
            .expected("a new or empty folder")
            .hint(format!("{resume}, or choose another output folder: nothing is overwritten")));
    }
    let entries = match fs::read_dir(output) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(Error::at(output, "is a file").expected("a new or empty folder"));
        }
        Err(error) => return Err(Error::io("read", output, error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| Error::io("read", output, error))?.file_name();
        let name = name.to_string_lossy();
        // A run that was killed before it had its settings leaves these.
        let is_own = name == LOCK || (name.starts_with('.') && name.ends_with(".tmp"));
        if !is_own {
            return Err(Error::at(output, "the folder is not empty")
                .expected("a new or empty folder")
                .hint("Nothing is overwritten: choose another folder, or move this one away"));
        }
    }
    Ok(None)
}

/// Makes the output ready: a new folder with its settings, or that of an interrupted run with the same. Keeps
/// other processes out until dropped.
pub(super) fn begin(request: &Request, job: &Job) -> Result<Lock> {
    let plan = &job.plan;
    let settings = Settings {
        program: PROGRAM.into(),
        source: job.source.root.display().to_string(),
        images: job.survey.images,
        names: job.survey.names.clone(),
        copies: plan.copies,
        seed: plan.seed,
        emotions: tidy_emotions(&request.emotions),
        group_regex: request.group_regex.clone(),
        originals: plan.originals,
        profile: plan.profile.clone(),
    };
    let output = &plan.output;
    check_output(output, request.resume)?;
    fs::create_dir_all(output).map_err(|error| Error::io("create", output, error))?;
    let lock = Lock::take(output)?;
    // Checked again, now that nobody else can begin here.
    match check_output(output, request.resume)? {
        Some(before) => before.check_resume(&settings, output)?,
        None => settings.write(output)?,
    }
    Ok(lock)
}

/// The classes' own names, each once, in a fixed order.
fn tidy_emotions(emotions: &[String]) -> Vec<String> {
    let name = |name: &String| {
        canonical(name).map_or_else(|| name.trim().to_lowercase(), |index| EMOTIONS[index].to_owned())
    };
    let mut names: Vec<String> = emotions.iter().map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The file that keeps other processes out of an output.
const LOCK: &str = ".mien-augment.lock";

/// Held while this process writes to an output.
pub(super) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    fn take(output: &Path) -> Result<Self> {
        let path = output.join(LOCK);
        match files::lock(&path)? {
            // The one who had it may have taken the file away between our opening and our locking it: then it
            // is no lock.
            Some(file) if path.exists() => Ok(Self { _file: file, path }),
            _ => Err(Error::at(output, "another mien process is writing here")
                .hint("Wait for it to finish, or stop it")),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Without it nothing is lost: a file that nobody holds keeps nobody out.
        let _ = fs::remove_file(&self.path);
    }
}
