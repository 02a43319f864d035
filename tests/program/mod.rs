//! The program as a child process, for the tests that run it as users do.
#![allow(dead_code)] // each test file takes what it needs

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

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
    fails(arguments, parts);
    assert_eq!(output(arguments).status.code(), Some(code), "mien {}", arguments.join(" "));
}

/// Runs the program, which must fail with one line on standard error that holds all of `parts`.
pub fn fails(arguments: &[&str], parts: &[&str]) {
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
}

/// The content of a JSON file.
pub fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
