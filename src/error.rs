//! One error type for the library: each message is a single line that says what went wrong, where, what was
//! expected, what was found and what to do.

use std::path::{Path, PathBuf};

/// Short for `std::result::Result<T, mien::Error>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in the library.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {}", path.display(), explain_io(source))]
    Io {
        /// What was tried, as a verb: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// The user's input (a file, a folder, a setting) is not what it must be.
    #[error("{place}: {problem}{}{}", join("; expected ", expected), join(". ", hint))]
    Input {
        /// Where: a path, a configuration key, a command-line flag.
        place: String,
        /// What was found there.
        problem: String,
        /// What would have been right; may be empty.
        expected: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// The computation itself failed (a loss that is not finite, a device that is not there).
    #[error("{0}")]
    Compute(String),

    /// The user asked to stop (Ctrl-C); the state was saved.
    #[error("{0}")]
    Interrupted(String),
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    /// An [`Error::Input`] with nothing but the place and the problem; add to it with [`Error::expected`] and
    /// [`Error::hint`].
    pub fn input(place: impl ToString, problem: impl Into<String>) -> Self {
        Self::Input {
            place: place.to_string(),
            problem: problem.into(),
            expected: String::new(),
            hint: String::new(),
        }
    }

    /// An [`Error::Input`] at a path.
    pub fn at(path: &Path, problem: impl Into<String>) -> Self {
        Self::input(path.display(), problem)
    }

    /// Says what would have been right.
    #[must_use]
    pub fn expected(mut self, text: impl Into<String>) -> Self {
        if let Self::Input { expected, .. } = &mut self {
            *expected = text.into();
        }
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Input { hint, .. } = &mut self {
            *hint = text.into();
        }
        self
    }
}

fn join(separator: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{separator}{text}") }
}

/// The operating system's words, with what to do for the errors that users meet most.
fn explain_io(source: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match source.kind() {
        ErrorKind::StorageFull => "the disk is full; free some space and go on".into(),
        ErrorKind::PermissionDenied => "permission denied; check who may write there".into(),
        ErrorKind::NotFound => "no such file or folder".into(),
        _ => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_error_is_one_line_with_place_problem_expectation_and_hint() {
        let error =
            Error::input("--epochs", "found 0").expected("1 or more").hint("Leave it out for the default");
        assert_eq!(error.to_string(), "--epochs: found 0; expected 1 or more. Leave it out for the default");
    }

    #[test]
    fn a_full_disk_says_so() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert!(Error::io("write", "run/last", full).to_string().contains("the disk is full"));
    }
}
