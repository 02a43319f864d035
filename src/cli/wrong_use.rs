//! clap's refusal of a command line, as one line in the words of every other error: where, what was found,
//! what is possible, and the nearest name.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::Error;
use crate::text::list;

/// The error to show for `error`: itself, where clap answers with help or the version, else a line.
pub(super) fn explain(error: clap::Error) -> anyhow::Error {
    let asked = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    if asked.contains(&error.kind()) { error.into() } else { line(&error).into() }
}

fn line(error: &clap::Error) -> Error {
    let argument = texts(error, ContextKind::InvalidArg);
    let place = argument.first().map_or("mien", |argument| flag(argument));
    let value = texts(error, ContextKind::InvalidValue).pop().unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => {
            one_of(Error::setting(place, "its value is missing"), error, ContextKind::ValidValue)
        }
        ErrorKind::InvalidValue => {
            let found = Error::setting(place, format!("found \"{value}\""));
            let found = one_of(found, error, ContextKind::ValidValue);
            did_you_mean(found, error, ContextKind::SuggestedValue)
        }
        ErrorKind::ValueValidation => {
            let reason = error.source().map(ToString::to_string).unwrap_or_default();
            Error::setting(place, format!("found \"{value}\"")).expected(expected(&reason))
        }
        ErrorKind::UnknownArgument if place.starts_with('-') => {
            let unknown = Error::setting(place, "there is no such flag")
                .hint(format!("{} lists all flags", help(error)));
            did_you_mean(unknown, error, ContextKind::SuggestedArg)
        }
        ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
            let place = if value.is_empty() { place } else { value.as_str() };
            Error::setting(place, "one argument too many").expected(format!("`{}`", usage(error)))
        }
        ErrorKind::InvalidSubcommand => {
            let found = texts(error, ContextKind::InvalidSubcommand).pop().unwrap_or_default();
            let unknown = Error::setting(found, "there is no such command")
                .hint(format!("{} lists all commands", help(error)));
            did_you_mean(unknown, error, ContextKind::SuggestedSubcommand)
        }
        ErrorKind::MissingRequiredArgument => {
            let is_one = argument.len() == 1;
            let problem = format!("{} {} missing", list(&argument), if is_one { "is" } else { "are" });
            Error::setting(command(error), problem).expected(format!("`{}`", usage(error)))
        }
        ErrorKind::ArgumentConflict => {
            let others = texts(error, ContextKind::PriorArg);
            let others: Vec<&str> = others.iter().map(|other| flag(other)).collect();
            let twice = others.is_empty() || others == [place];
            let problem = if twice {
                "is given more than once".to_owned()
            } else {
                format!("cannot be used with {}", list(&others))
            };
            Error::setting(place, problem)
        }
        // clap's own words for what is left: its first paragraph, on one line.
        _ => {
            let text = error.render().to_string();
            let paragraph = text.split("\n\n").next().unwrap_or_default();
            let words: Vec<&str> = paragraph.split_whitespace().collect();
            let problem = words.join(" ");
            Error::setting(command(error), problem.strip_prefix("error: ").unwrap_or(&problem))
                .hint(format!("{} shows the usage", help(error)))
        }
    }
}

/// What clap adds to an error under `kind`.
fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(many)) => many.clone(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        _ => Vec::new(),
    }
}

/// `--split` of `--split <SPLIT>`; a positional argument stays as it is.
fn flag(argument: &str) -> &str {
    if argument.starts_with('-') { argument.split([' ', '=']).next().unwrap_or(argument) } else { argument }
}

/// `mien predict <MODEL> <IMAGE>...`
fn usage(error: &clap::Error) -> String {
    let text = texts(error, ContextKind::Usage).pop().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().skip(1).collect(); // "Usage:"
    if words.is_empty() { "mien COMMAND".into() } else { words.join(" ") }
}

/// `mien predict`
fn command(error: &clap::Error) -> String {
    let words = |word: &&str| word.starts_with(|first: char| first.is_ascii_lowercase());
    usage(error).split(' ').take_while(words).collect::<Vec<_>>().join(" ")
}

fn help(error: &clap::Error) -> String {
    format!("`{} --help`", command(error))
}

fn one_of(found: Error, error: &clap::Error, kind: ContextKind) -> Error {
    match texts(error, kind) {
        names if names.is_empty() => found.expected("a value"),
        names => found.expected(format!("one of {}", names.join(", "))),
    }
}

/// The nearest name as the hint, if clap has found one; else the hint stays.
fn did_you_mean(found: Error, error: &clap::Error, kind: ContextKind) -> Error {
    match texts(error, kind).first() {
        Some(name) => found.hint(format!("Did you mean {name}?")),
        None => found,
    }
}

/// What a value must be, from the reason for its refusal: one of ours says it ("expected ..."); clap's and
/// the standard library's are of numbers.
fn expected(reason: &str) -> String {
    if let Some(ours) = reason.strip_prefix("expected ") {
        return ours.to_owned();
    }
    if let Some((_, range)) = reason.split_once(" is not in ") {
        return range.replace("..=", " to ").replace("..", " to less than ");
    }
    match reason {
        "invalid float literal" | "cannot parse float from empty string" => "a number".to_owned(),
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "a whole number, 0 or more".to_owned()
        }
        "number too large to fit in target type" | "number too small to fit in target type" => {
            format!("another number: {reason}")
        }
        other => format!("another value: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;

    fn said(arguments: &[&str]) -> String {
        let words = ["mien"].iter().chain(arguments);
        explain(command().try_get_matches_from(words).unwrap_err()).to_string()
    }

    #[test]
    fn a_wrong_command_line_is_one_line_with_place_found_expected_and_the_nearest_name() {
        for (arguments, expected) in [
            (
                &["eval", "run", "--split", "tes"][..],
                "--split: found \"tes\"; expected one of train, valid, test, all. Did you mean test?",
            ),
            (
                &["report", "run", "--projection", "umap"],
                "--projection: found \"umap\"; expected one of tsne, pca",
            ),
            (
                &["export", "run", "--format", "foo"],
                "--format: found \"foo\"; expected safetensors, pth or onnx",
            ),
            (&["draw", "faces", "--seed", "x"], "--seed: found \"x\"; expected a whole number, 0 or more"),
            (&["train", "x", "--modle", "vgg16"], "--modle: there is no such flag. Did you mean --model?"),
            (&["info", "x", "--quux"], "--quux: there is no such flag. `mien info --help` lists all flags"),
            (&["trian"], "trian: there is no such command. Did you mean train?"),
            (&["quux"], "quux: there is no such command. `mien --help` lists all commands"),
            (
                &["predict"],
                "mien predict: <MODEL> and <IMAGE>... are missing; expected \
                 `mien predict <MODEL> <IMAGE>...`",
            ),
            (
                &["predict", "run"],
                "mien predict: <IMAGE>... is missing; expected `mien predict <MODEL> <IMAGE>...`",
            ),
            (&["draw", "a", "b"], "b: one argument too many; expected `mien draw [OPTIONS] <OUT>`"),
            (&["draw", "a", "--seed"], "--seed: its value is missing; expected a value"),
            (&["draw", "a", "--seed", "1", "--seed", "2"], "--seed: is given more than once"),
        ] {
            assert_eq!(said(arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn help_and_version_stay_as_clap_prints_them() {
        for arguments in [&["--help"][..], &["train", "--help"], &["--version"], &[]] {
            let words = ["mien"].iter().chain(arguments);
            let error = explain(command().try_get_matches_from(words).unwrap_err());
            assert!(error.downcast_ref::<clap::Error>().is_some(), "{arguments:?}");
        }
    }
}
