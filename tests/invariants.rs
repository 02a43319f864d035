//! The rules of ARCHITECTURE.md that can be read off the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Files of `src` that only tests use.
const TEST_FILES: [&str; 5] = ["tests.rs", "testing.rs", "fixtures.rs", "fixture.rs", "corpus.rs"];

/// All Rust files below a folder of `src`, without their tests, with their paths relative to `src`.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root.join(folder), &mut files);
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .filter(|path| !TEST_FILES.iter().any(|name| path.ends_with(name)))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\n").next().unwrap_or_default().to_owned();
            (path.strip_prefix(&root).unwrap().display().to_string(), code)
        })
        .collect()
}

/// Every line of `folder`, but for comments and the excepted files, that holds one of `words`.
fn uses(folder: &str, words: &[&str], except: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, code) in
        sources(folder).into_iter().filter(|(path, _)| !except.iter().any(|e| path.starts_with(e)))
    {
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{path}: {}", line.trim()));
            }
        }
    }
    found
}

#[test]
fn models_know_nothing_of_data_training_and_files() {
    let words = ["crate::data", "crate::train", "crate::augment", "crate::eval", "crate::run", "std::fs"];
    assert_eq!(uses("model", &words, &["model/weights.rs", "model/torch_file.rs"]), [""; 0]);
    assert_eq!(uses("model/weights.rs".trim_end_matches("/weights.rs"), &words[..5], &[]), [""; 0]);
}

#[test]
fn no_part_knows_the_whole_configuration() {
    assert_eq!(uses("", &["crate::config::"], &["cli/", "run.rs", "run/", "config.rs"]), [""; 0]);
}

#[test]
fn only_the_command_line_and_the_console_print_and_exit() {
    let words = ["println!", "print!(", "eprintln!", "stdout()", "process::exit"];
    assert_eq!(uses("", &words, &["cli/", "main.rs", "report/console.rs"]), [""; 0]);
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    assert_eq!(uses("", &[".unwrap()"], &[]), [""; 0]);
}
