//! The program as a child process, for the tests that run it as users do.
#![allow(dead_code)] // each test file takes what it needs

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub fn mien(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mien"));
    command.args(arguments).stdin(Stdio::null());
    command
}

pub fn output(arguments: &[&str]) -> Output {
    mien(arguments).output().expect("the program starts")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the program, which must succeed, and returns its standard output.
pub fn ok(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(
        output.status.success(),
        "mien {}: {}{}",
        arguments.join(" "),
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// The exit code of a wrong argument, flag or setting.
pub const WRONG_USE: i32 = 2;

/// As [`fails`], with this exit code.
pub fn fails_with(code: i32, arguments: &[&str], parts: &[&str]) {
    let output = fails(arguments, parts);
    assert_eq!(output.status.code(), Some(code), "mien {}: {}", arguments.join(" "), text(&output.stderr));
}

/// Runs the program, which must fail with one line on standard error that holds all of `parts`.
pub fn fails(arguments: &[&str], parts: &[&str]) -> Output {
    let output = output(arguments);
    let error = text(&output.stderr);
    assert!(!output.status.success(), "mien {} succeeded: {}", arguments.join(" "), text(&output.stdout));
    assert!(!error.contains("panicked"), "mien {}: {error}", arguments.join(" "));
    assert_eq!(
        error.trim_end().lines().count(),
        1,
        "mien {}: more than one line: {error}",
        arguments.join(" ")
    );
    for part in parts {
        assert!(error.contains(part), "mien {}: '{part}' is not in: {error}", arguments.join(" "));
    }
    output
}

/// The content of a JSON file.
pub fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Flags of a run that takes seconds.
pub const QUICK: [&str; 21] = [
    "--model",
    "vgg16_bn_cbam",
    "--width",
    "0.0625",
    "--head",
    "gap",
    "--input-size",
    "32",
    "--batch-size",
    "8",
    "--epochs",
    "2",
    "--learning-rate",
    "0.02",
    "--save-every",
    "1",
    "--device",
    "cpu",
    "--no-early-stopping",
    "--no-auto-lr",
    "--no-report",
];

/// A folder that is deleted in the end.
pub struct Place {
    temp: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { temp: TempDir::new().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Ten drawn faces a class, as train, valid and test folders.
    pub fn faces(&self) -> String {
        ok(&["draw", &self.text("faces"), "--per-class", "10", "--size", "32", "--quiet"]);
        self.text("faces")
    }
}

/// The arguments of such a run.
pub fn train<'a>(data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", data, "--out", out][..], &QUICK, more].concat()
}
