//! The command line: a file for each command, and a line for it in `COMMANDS`. A command turns arguments
//! into a library call and prints what comes back; it holds no logic.
//!
//! **Invariant:** only this module prints to standard output, and only [`main`] decides the exit code (and a
//! second Ctrl-C).
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::exit)] // denied to the rest of the library

mod audit;
mod augment;
mod calibrate;
mod config;
pub mod console;
mod demo;
mod draw;
mod eval;
mod exit_codes;
mod explain;
mod export;
mod flags;
mod info;
mod predict;
mod report;
mod shared;
mod study;
mod train;
mod wrong_use;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::ArgMatches;

use self::exit_codes::Exit;
use crate::error::Error;

/// A command of the table.
struct Entry {
    name: &'static str,
    /// Adds the arguments and their help.
    arguments: fn(clap::Command) -> clap::Command,
    run: fn(&ArgMatches) -> Result<Exit>,
}

const fn entry<A: shared::Command>(name: &'static str) -> Entry {
    Entry { name, arguments: A::augment_args, run: |matches| A::from_arg_matches(matches)?.run() }
}

/// Every command, in the order of a project's work, under the headings of the help.
const COMMANDS: &[(&str, &[Entry])] = &[
    ("Start here", &[entry::<demo::Args>("demo")]),
    (
        "Data",
        &[
            entry::<draw::Args>("draw"),
            entry::<augment::Args>("augment"),
            entry::<audit::Args>("audit"),
            entry::<info::Args>("info"),
        ],
    ),
    (
        "Train",
        &[entry::<train::Args>("train"), entry::<study::Args>("study"), entry::<config::Args>("config")],
    ),
    (
        "Evaluate",
        &[
            entry::<eval::Args>("eval"),
            entry::<calibrate::Args>("calibrate"),
            entry::<explain::Args>("explain"),
            entry::<report::Args>("report"),
        ],
    ),
    ("Use", &[entry::<predict::Args>("predict"), entry::<export::Args>("export")]),
];

fn entries() -> impl Iterator<Item = &'static Entry> {
    COMMANDS.iter().flat_map(|(_, entries)| *entries)
}

/// The whole command line as clap knows it: every command with its arguments and help.
pub fn command() -> clap::Command {
    let root = clap::Command::new("mien")
        .bin_name("mien")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Train, explain and compare facial-emotion classifiers.")
        .long_about(
            "Train, explain and compare facial-emotion classifiers.\n\nStart with `mien demo`: it draws \
             faces, trains a small model on them and evaluates it, in a few minutes on any machine.",
        )
        .after_help(exit_codes::HELP)
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true);
    let root = entries()
        .fold(root, |root, entry| root.subcommand((entry.arguments)(clap::Command::new(entry.name))));
    let template = help_template(&root);
    root.help_template(template)
}

/// clap has no headings for commands; they come from the table, the texts from the commands themselves.
fn help_template(root: &clap::Command) -> String {
    let (header, literal) = (root.get_styles().get_header(), root.get_styles().get_literal());
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n\n".to_owned();
    for (heading, entries) in COMMANDS {
        text += &format!("{header}{heading}:{header:#}\n");
        for entry in *entries {
            let about = root.find_subcommand(entry.name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text += &format!("  {literal}{:<10}{literal:#}  {about}\n", entry.name);
        }
        text += "\n";
    }
    text + &format!("{header}Options:{header:#}\n{{options}}{{after-help}}")
}

/// Runs the program with its arguments, the first being its own name. An error is printed as one line.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            match (error.downcast_ref::<clap::Error>(), error.downcast_ref::<Error>()) {
                // clap prints help and version to standard output. A reader that closes early (`| head`) is
                // no failure.
                (Some(error), _) => _ = error.print(),
                (_, Some(Error::Interrupted(text))) => eprintln!("{text}"),
                _ => eprintln!("error: {error}"),
            }
            exit_codes::of(&error).into()
        }
    }
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<Exit> {
    let matches = command().try_get_matches_from(arguments).map_err(wrong_use::explain)?;
    let (name, matches) = matches.subcommand().expect("a command is required");
    let entry = entries().find(|entry| entry.name == name).expect("clap knows the commands of the table");
    (entry.run)(matches)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use clap::builder::StyledStr;

    use super::*;

    const WIDTH: usize = 100;

    /// Every command with the text of its `--help` at [`WIDTH`] columns.
    fn helps() -> Vec<(clap::Command, String)> {
        let mut root = command().term_width(WIDTH);
        root.build();
        let names: Vec<String> = root.get_subcommands().map(|one| one.get_name().to_owned()).collect();
        let mut all = vec![root.clone()];
        all.extend(names.iter().filter_map(|name| root.find_subcommand(name)).cloned());
        let render = |mut command: clap::Command| {
            let help = command.render_long_help().to_string();
            (command, help)
        };
        all.into_iter().filter(|command| command.get_name() != "help").map(render).collect()
    }

    fn text(styled: Option<&StyledStr>) -> String {
        styled.map(ToString::to_string).unwrap_or_default()
    }

    /// A phrase without a full stop, or sentences with one.
    fn ends_properly(text: &str) -> bool {
        let last = text.chars().last();
        let is_open = last.is_some_and(|last| last.is_alphanumeric() || ")]…`'".contains(last));
        is_open != (text.contains(". ") || text.ends_with('.'))
    }

    #[test]
    fn clap_finds_no_fault_with_the_command_line() {
        command().debug_assert();
    }

    #[test]
    fn help_lists_every_command_under_a_heading() {
        let (root, help) = helps().remove(0);
        let commands: Vec<_> = root.get_subcommands().filter(|one| one.get_name() != "help").collect();
        assert_eq!(commands.len(), entries().count());
        for one in commands {
            let line = format!("\n  {:<10}  {}\n", one.get_name(), text(one.get_about()));
            assert_eq!(help.matches(&line).count(), 1, "{line}{help}");
        }
        for (heading, _) in COMMANDS {
            assert!(help.contains(&format!("\n{heading}:\n")), "{heading}: {help}");
        }
        assert!(help.contains("--version") && help.contains("Exit codes:") && help.contains("mien demo"));
    }

    #[test]
    fn help_of_every_command_has_a_summary_and_examples_that_can_be_pasted() {
        for (one, help) in helps().into_iter().skip(1) {
            let (name, about) = (one.get_name(), text(one.get_about()));
            assert!(about.len() > 20 && ends_properly(&about) && !about.ends_with('.'), "{name}: {about}");
            assert!(help.starts_with(&about), "{name}: {help}");
            let after = text(one.get_after_help());
            let examples: Vec<&str> =
                after.lines().filter(|line| line.starts_with(&format!("  mien {name}"))).collect();
            assert!(after.starts_with("Example") && !examples.is_empty(), "{name} has no example: {after}");
            for example in examples {
                assert!(help.contains(example), "{name}: {example} is broken over lines");
                if example.contains("&&") {
                    continue;
                }
                // The examples must be commands that the program takes.
                let words = example.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
                let words = words.take_while(|word| word != ">");
                command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }

    #[test]
    fn help_describes_every_flag_and_argument_in_words_of_its_own() {
        for (one, help) in helps() {
            // What clap says of --help is not ours, and differs between the long and the short help.
            let mut said: HashMap<String, String> = HashMap::new();
            for arg in one.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help") {
                let place = format!("{} {}", one.get_name(), arg.get_id());
                let about = text(arg.get_help());
                assert!(about.len() > 8, "{place} has no help: {about:?}");
                assert!(ends_properly(&about), "{place}: {about:?}");
                assert!(!about.starts_with(char::is_lowercase), "{place}: {about:?}");
                let name = arg.get_long().map_or_else(
                    || arg.get_value_names().unwrap_or_default()[0].to_string(),
                    |long| format!("--{long}"),
                );
                assert!(help.contains(&name), "{place}: {name} is not in {help}");
                let start: String = about.chars().take(20).collect();
                assert!(help.contains(&start), "{place}: {start} is not in {help}");
                let sense = about.split(" [default").next().unwrap_or_default().to_owned();
                if let Some(other) = said.insert(sense, name.clone()) {
                    panic!("{place}: {other} and {name} say the same");
                }
            }
        }
    }

    #[test]
    fn help_fits_its_width() {
        for (one, help) in helps() {
            for line in help.lines() {
                assert!(line.chars().count() <= WIDTH, "{}: {line}", one.get_name());
            }
        }
    }
}
