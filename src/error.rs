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

    /// The user's input (a file, a folder, numbers) is not what it must be.
    #[error("{}", line(place, problem, expected, hint))]
    Input {
        /// Where: a path, or a configuration key or flag where the data do not fit the setting.
        place: String,
        /// What was found there.
        problem: String,
        /// What would have been right; may be empty.
        expected: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// The program is used wrongly: an argument, a flag or a setting is wrong whatever the data are.
    #[error("{}", line(place, problem, expected, hint))]
    Setting {
        /// Where: a flag with its key, an argument, or a file with a key in it.
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

    /// An [`Error::Setting`] with nothing but the place and the problem.
    pub fn setting(place: impl ToString, problem: impl Into<String>) -> Self {
        Self::input(place, problem).into_setting()
    }

    /// The same error, but an [`Error::Input`] becomes an [`Error::Setting`]: for files that are settings.
    #[must_use]
    pub fn into_setting(self) -> Self {
        match self {
            Self::Input { place, problem, expected, hint } => {
                Self::Setting { place, problem, expected, hint }
            }
            other => other,
        }
    }

    /// The place that an [`Error::Input`] or [`Error::Setting`] names.
    pub fn place(&self) -> Option<&str> {
        match self {
            Self::Input { place, .. } | Self::Setting { place, .. } => Some(place),
            _ => None,
        }
    }

    /// Names another place: where the user wrote what the library knows by a key.
    #[must_use]
    pub fn with_place(mut self, name: impl Into<String>) -> Self {
        if let Self::Input { place, .. } | Self::Setting { place, .. } = &mut self {
            *place = name.into();
        }
        self
    }

    /// An [`Error::Input`] at a path.
    pub fn at(path: &Path, problem: impl Into<String>) -> Self {
        Self::input(path.display(), problem)
    }

    /// Says what would have been right.
    #[must_use]
    pub fn expected(mut self, text: impl Into<String>) -> Self {
        if let Self::Input { expected, .. } | Self::Setting { expected, .. } = &mut self {
            *expected = text.into();
        }
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Input { hint, .. } | Self::Setting { hint, .. } = &mut self {
            *hint = text.into();
        }
        self
    }
}

/// `PLACE: PROBLEM; expected EXPECTED. HINT`, with no full stop at its end and none twice.
fn line(place: &str, problem: &str, expected: &str, hint: &str) -> String {
    let mut text = format!("{place}: {}", problem.trim_end_matches('.'));
    for (separator, part) in [("; expected ", expected), (". ", hint)] {
        if !part.is_empty() {
            text += separator;
            text += part.trim_end_matches('.');
        }
    }
    text
}

/// The operating system's words, with what to do for the errors that users meet most.
fn explain_io(source: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match source.kind() {
        ErrorKind::StorageFull => "the disk is full; free some space and try again".into(),
        ErrorKind::PermissionDenied => "permission denied; check the permissions".into(),
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
    fn no_full_stop_stands_twice_or_at_the_end() {
        let error = Error::setting("DATA", "there is none.").expected("a folder.").hint("Give one.");
        assert_eq!(error.to_string(), "DATA: there is none; expected a folder. Give one");
    }

    #[test]
    fn an_input_error_becomes_a_setting_error_and_a_place_is_renamed() {
        let error = Error::input("train.epochs", "found 0").into_setting().with_place("--epochs");
        assert!(matches!(error, Error::Setting { .. }));
        assert_eq!(error.place(), Some("--epochs"));
        assert!(matches!(Error::Compute("x".into()).into_setting(), Error::Compute(_)));
    }

    #[test]
    fn a_full_disk_says_so() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert!(Error::io("write", "run/last", full).to_string().contains("the disk is full"));
    }
}
