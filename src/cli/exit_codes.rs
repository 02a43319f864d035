//! How the program ends: the exit codes, and which error has which.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::config::key_at;
use crate::error::Error;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done = 0,
    /// A file, the data, the device or the training failed.
    Failed = 1,
    /// An argument, a flag or a setting is wrong.
    WrongUse = 2,
    /// The command did its work and found problems in the data.
    Findings = 3,
    /// 128 + SIGINT.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The end of `mien --help`.
pub(super) const HELP: &str = "\
Exit codes:
  0    Done
  1    Failed: a file, the data, the device or the training
  2    Wrong use: an argument, a flag or a setting
  3    Done, with findings: `mien audit` found errors, or `mien augment` could not use every image
  130  Interrupted with Ctrl-C

Run `mien COMMAND --help` for the options of a command and examples.";

/// The exit code of an error.
pub(super) fn of(error: &anyhow::Error) -> Exit {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        return if asked { Exit::Done } else { Exit::WrongUse };
    }
    match error.downcast_ref::<Error>() {
        Some(Error::Setting { .. }) => Exit::WrongUse,
        // What the library knows by a flag or a key was written by the user.
        Some(Error::Input { place, .. }) if place.starts_with('-') || key_at(place).is_some() => {
            Exit::WrongUse
        }
        Some(Error::Interrupted(_)) => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_use_failures_and_interruptions_have_codes_of_their_own() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        for (error, exit) in [
            (Error::setting("--top", "found 0"), Exit::WrongUse),
            (Error::input("--group-regex", "found \"(\""), Exit::WrongUse),
            (Error::input("train.epochs", "found 0"), Exit::WrongUse),
            (Error::input("faces/", "there are no images"), Exit::Failed),
            (Error::io("read", "faces/", missing), Exit::Failed),
            (Error::Compute("the loss is NaN".into()), Exit::Failed),
            (Error::Interrupted("stopped".into()), Exit::Interrupted),
        ] {
            assert_eq!(of(&error.into()), exit);
        }
        let codes = [Exit::Done, Exit::Failed, Exit::WrongUse, Exit::Findings, Exit::Interrupted];
        for code in codes {
            assert!(HELP.contains(&format!("\n  {:<3}  ", code as u8)), "{code:?}");
        }
    }
}
