//! The named flags of `mien train`: one table maps each to its configuration key, from which its help and its
//! default come; and messages about a key get the flag's name from it.

use clap::builder::ArgAction;
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use toml::Value;

use crate::config::{Origin, Origins, Override, find_key, key_at, parse_value};
use crate::error::Error;

/// How a flag's value becomes the key's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A number or a word.
    Plain,
    /// A text, whatever it looks like.
    Text,
    /// A path, made absolute so that the run can be resumed from anywhere.
    Path,
    /// A list of texts with commas between.
    Texts,
    /// A list of numbers with commas between.
    Numbers,
    /// `--flag` sets true, `--no-flag` false.
    Switch,
}
use Kind::{Numbers, Path, Plain, Switch, Text, Texts};

struct Flag {
    name: &'static str,
    key: &'static str,
    kind: Kind,
    /// What stands for its value in the help.
    value: &'static str,
}

const fn flag(name: &'static str, key: &'static str, kind: Kind, value: &'static str) -> Flag {
    Flag { name, key, kind, value }
}

/// The flags under their headings.
const FLAGS: &[(&str, &[Flag])] = &[
    (
        "Data",
        &[
            flag("dataset-type", "data.dataset_type", Text, "TYPE"),
            flag("synthetic", "data.synthetic", Path, "DIR"),
            flag("augmented", "data.augmented", Path, "DIR"),
            flag("classes", "data.classes", Texts, "A,B,…"),
            flag("group-regex", "data.group_regex", Text, "REGEX"),
            flag("split", "data.split", Numbers, "TRAIN,VALID,TEST"),
            flag("split-seed", "data.split_seed", Plain, "N"),
            flag("resplit", "data.resplit", Switch, ""),
            flag("drop-leaking", "data.drop_leaking", Switch, ""),
            flag("allow-leakage", "data.allow_leakage", Switch, ""),
            flag("max-unreadable", "data.max_unreadable", Plain, "FRACTION"),
            flag("debug-subset", "data.debug_subset", Plain, "N"),
            flag("cache-mb", "data.cache_mb", Plain, "MIB"),
        ],
    ),
    (
        "Model",
        &[
            flag("model", "model.name", Text, "NAME"),
            flag("width", "model.width", Plain, "X"),
            flag("head", "model.head", Text, "HEAD"),
            flag("dropout", "model.dropout", Plain, "P"),
            flag("input-size", "input.size", Plain, "PIXELS"),
            flag("weights", "train.weights", Path, "FILE"),
            flag("feature-extract", "train.feature_extract", Switch, ""),
        ],
    ),
    (
        "Augmentation",
        &[
            flag("mixup", "augment.mix.enabled", Switch, ""),
            flag("flip", "augment.transform.flip", Plain, "P"),
            flag("rotation", "augment.transform.rotation", Plain, "DEGREES"),
            flag("translate", "augment.transform.translate", Plain, "FRACTION"),
        ],
    ),
    (
        "Training",
        &[
            flag("epochs", "train.epochs", Plain, "N"),
            flag("batch-size", "train.batch_size", Plain, "N"),
            flag("accumulation", "train.accumulation", Plain, "N"),
            flag("learning-rate", "train.learning_rate", Plain, "X"),
            flag("weight-decay", "train.weight_decay", Plain, "X"),
            flag("optimizer", "train.optimizer", Text, "NAME"),
            flag("scheduler", "train.schedule.kind", Text, "NAME"),
            flag("warmup", "train.warmup", Plain, "EPOCHS"),
            flag("auto-lr", "train.auto_lr", Switch, ""),
            flag("ema", "train.ema", Switch, ""),
            flag("ema-decay", "train.ema_decay", Plain, "X"),
            flag("early-stopping", "train.early_stopping", Switch, ""),
            flag("patience", "train.patience", Plain, "EPOCHS"),
            flag("label-smoothing", "train.label_smoothing", Plain, "X"),
            flag("balance", "train.balance", Text, "METHOD"),
            flag("gradient-clip", "train.gradient_clip", Plain, "NORM"),
            flag("monitor", "train.monitor", Text, "METRIC"),
            flag("save-every", "train.save_every", Plain, "N"),
            flag("save-minutes", "train.save_minutes", Plain, "MINUTES"),
            flag("seed", "train.seed", Plain, "N"),
        ],
    ),
    (
        "Device",
        &[
            flag("device", "device.name", Text, "NAME"),
            flag("precision", "device.precision", Text, "FORMAT"),
            flag("workers", "device.workers", Plain, "N"),
        ],
    ),
    (
        "Report",
        &[
            flag("report", "report.page", Switch, ""),
            flag("maps", "report.maps", Plain, "N"),
            flag("tensorboard", "report.tensorboard", Switch, ""),
        ],
    ),
];

fn flags() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().flat_map(|(_, flags)| *flags)
}

/// The key's description, beginning with a capital, and its default.
fn help(flag: &Flag) -> String {
    let key = find_key(flag.key).expect("the flags' keys are known (see the tests)");
    let about = key.describe();
    let mut letters = about.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let mut text: String = first.chain(letters).collect();
    if let Some(default) = key.default_text() {
        text += &format!(" [default: {default}");
        if flag.kind == Switch && default == "on" {
            text += &format!("; turn off with --no-{}", flag.name);
        }
        text += "]";
    }
    text
}

/// An error that the library says about a key, with where the key was set: by which flag, by `--set` or in
/// which recipe; a key that was not set is named with the flag that would set it.
pub(super) fn name_setting(error: Error, origins: &Origins) -> Error {
    let Some(key) = error.place().and_then(key_at).map(|key| key.name) else {
        return error;
    };
    let by_flag =
        || flags().find(|flag| flag.key == key).map(|flag| Origin::Flag(format!("--{}", flag.name)));
    let origin = origins.of(key).cloned().or_else(by_flag);
    let place = origin.map_or_else(|| key.to_owned(), |from| from.place(key));
    error.with_place(place).into_setting()
}

/// The changes that the flags and `--set` ask for, `--set` first.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides(pub Vec<Override>);

impl clap::Args for Overrides {
    fn augment_args(command: Command) -> Command {
        let mut command = command.arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("Set a key of the configuration (`mien config` lists all keys); may be repeated"),
        );
        for (heading, flags) in FLAGS {
            for flag in *flags {
                let arg = Arg::new(flag.name).long(flag.name).help_heading(*heading).help(help(flag));
                if flag.kind != Switch {
                    // The last of two wins, so that a script's defaults can be overridden.
                    let arg = arg.value_name(flag.value).allow_hyphen_values(true);
                    command = command.arg(arg.overrides_with(flag.name));
                    continue;
                }
                let off = format!("no-{}", flag.name);
                command = command.arg(arg.action(ArgAction::SetTrue).overrides_with(off.clone())).arg(
                    Arg::new(off.clone())
                        .long(off)
                        .hide(true)
                        .action(ArgAction::SetTrue)
                        .overrides_with(flag.name),
                );
            }
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let invalid =
            |error: Error| clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{error}\n"));
        let mut changes = Vec::new();
        for text in matches.get_many::<String>("set").into_iter().flatten() {
            changes.push(Override::parse(text).map_err(invalid)?);
        }
        for flag in flags() {
            let mut name = format!("--{}", flag.name);
            let value = match flag.kind {
                Switch if matches.get_flag(flag.name) => Value::Boolean(true),
                Switch if matches.get_flag(&format!("no-{}", flag.name)) => {
                    name = format!("--no-{}", flag.name);
                    Value::Boolean(false)
                }
                Switch => continue,
                kind => match matches.get_one::<String>(flag.name) {
                    Some(text) => value(kind, text),
                    None => continue,
                },
            };
            changes.push(Override { key: flag.key.into(), value, from: Origin::Flag(name) });
        }
        Ok(Self(changes))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn value(kind: Kind, text: &str) -> Value {
    let parts = || text.split(',').map(str::trim);
    match kind {
        Plain | Switch => parse_value(text),
        Text => Value::String(text.to_owned()),
        Path => {
            // `imagenet` stands for a file in the cache; an empty path cannot be made absolute, and its own
            // check will name it.
            if text == "imagenet" {
                return Value::String(text.to_owned());
            }
            let path =
                std::path::absolute(text).map_or_else(|_| text.to_owned(), |path| path.display().to_string());
            Value::String(path)
        }
        Texts => Value::Array(parts().map(|part| Value::String(part.to_owned())).collect()),
        Numbers => Value::Array(parts().map(float).collect()),
    }
}

/// A number as a float, so that `1,0,0` is a list of fractions too; anything else as it is, to be refused
/// with its key.
fn float(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Composed, RunConfig};
    use clap::Args;

    fn parse(arguments: &[&str]) -> Result<Overrides, clap::Error> {
        let command = Overrides::augment_args(Command::new("train"));
        let matches = command.try_get_matches_from([&["train"], arguments].concat())?;
        Overrides::from_arg_matches(&matches)
    }

    fn compose(arguments: &[&str]) -> RunConfig {
        RunConfig::compose(None, &parse(arguments).unwrap().0)
            .unwrap_or_else(|e| panic!("{arguments:?}: {e}"))
    }

    /// What the user reads about wrong flags, as `mien train` composes and checks them.
    fn error(arguments: &[&str]) -> String {
        let root = Override::parse("data.root=faces").unwrap();
        let changes = match parse(arguments) {
            Ok(overrides) => [&[root], &overrides.0[..]].concat(),
            Err(error) => return error.to_string().trim_end().trim_start_matches("error: ").to_owned(),
        };
        match Composed::new(None, &changes) {
            Err(error) => error.to_string(),
            Ok(Composed { config, origins }) => {
                name_setting(config.validate().expect_err("nothing is wrong"), &origins).to_string()
            }
        }
    }

    #[test]
    fn every_flag_sets_its_key() {
        for flag in flags() {
            let text = match (flag.name, flag.kind) {
                (_, Switch) => continue,
                ("dataset-type", _) => "augmented",
                ("model", _) => "resnet18",
                ("head", _) => "gap",
                ("optimizer", _) => "adam",
                ("scheduler", _) => "step",
                ("balance", _) => "sampling",
                ("monitor", _) => "val-accuracy",
                ("precision", _) => "f32",
                ("split", _) => "0.7,0.2,0.1",
                (_, Plain) => "3",
                _ => "x",
            };
            let config = compose(&[&format!("--{}", flag.name), text]);
            assert_ne!(config, RunConfig::default(), "--{} changes nothing", flag.name);
        }
        for flag in flags().filter(|flag| flag.kind == Switch) {
            let [on, off] = ["", "no-"].map(|no| compose(&[&format!("--{no}{}", flag.name)]));
            assert_ne!(on, off, "--{}", flag.name);
        }
    }

    #[test]
    fn the_last_of_a_switch_and_its_opposite_wins() {
        assert!(compose(&["--no-ema", "--ema"]).train.ema);
        assert!(!compose(&["--ema", "--no-ema"]).train.ema);
    }

    #[test]
    fn help_tells_choices_and_defaults_as_the_configuration_has_them() {
        let of = |name: &str| help(flags().find(|flag| flag.name == name).unwrap());
        assert_eq!(of("optimizer"), "Optimizer: sgd, adam or adamw [default: sgd]");
        assert_eq!(of("epochs"), "Passes over the training images [default: 25]");
        assert!(
            of("split").ends_with("[default: 0.8,0.1,0.1]")
                && of("ema").ends_with("[default: on; turn off with --no-ema]")
        );
        assert!(!of("synthetic").contains("default"));
    }

    #[test]
    fn errors_name_flag_and_key_what_was_found_and_what_is_possible() {
        let schedule = "expected one of cosine, step, plateau, none. Did you mean \"cosine\"?";
        let step = ["--scheduler", "step", "--set"];
        for (arguments, expected) in [
            (
                &["--dataset-type", "aug"][..],
                "--dataset-type (data.dataset_type): found \"aug\"; expected one of real, \
              augmented, synthetic, synthetic-augmented. Did you mean \"augmented\"?",
            ),
            (
                &["--split", "0.8,0.2"],
                "--split (data.split): found 0.8,0.2; expected three numbers, train, valid, test, \
              that sum to 1, such as 0.8,0.1,0.1",
            ),
            (&["--split", "0.8,0.2,0.2"], "--split (data.split): found 0.8,0.2,0.2; expected three numbers"),
            (&["--split", "a,b,c"], "--split (data.split): found a,b,c; expected three numbers"),
            (
                &["--max-unreadable", "2"],
                "--max-unreadable (data.max_unreadable): found 2; expected a fraction, 0 to 1",
            ),
            (&["--debug-subset", "0"], "--debug-subset (data.debug_subset): found 0; expected 1 or more"),
            (
                &["--debug-subset", "few"],
                "--debug-subset (data.debug_subset): found \"few\"; expected a whole number, 0 or \
              more",
            ),
            (
                &["--cache-mb", "-1"],
                "--cache-mb (data.cache_mb): found -1; expected a whole number, 0 or more, such as 2048",
            ),
            (
                &["--group-regex", "("],
                "--group-regex (data.group_regex): found \"(\", not a regex (unclosed group); expected \
              a regex whose first capture group",
            ),
            (
                &["--synthetic", "x"],
                "--synthetic (data.synthetic): is set, but data.dataset_type is \"real\"; expected",
            ),
            (
                &["--allow-leakage", "--drop-leaking"],
                "--allow-leakage (data.allow_leakage): contradicts --drop-leaking \
              (data.drop_leaking)",
            ),
            (&["--width", "0"], "--width (model.width): found 0; expected a number above 0, at most 8"),
            (&["--width", "wide"], "--width (model.width): found \"wide\"; expected a number, such as 1.0"),
            (
                &["--head", "gpa"],
                "--head (model.head): found \"gpa\"; expected one of fc, gap. Did you mean \"gap\"?",
            ),
            (
                &["--dropout", "1"],
                "--dropout (model.dropout): found 1; expected a number from 0 to less than 1",
            ),
            (&["--input-size", "16"], "--input-size (input.size): found 16; expected 32 to 4096 pixels"),
            (&["--input-size", "1.5"], "--input-size (input.size): found 1.5; expected a whole number"),
            (&["--flip", "2"], "--flip (augment.transform.flip): found 2; expected 0 to 1"),
            (&["--rotation", "-5"], "--rotation (augment.transform.rotation): found -5; expected 0 to 180"),
            (&["--epochs", "0"], "--epochs (train.epochs): found 0; expected 1 or more"),
            (
                &["--epochs", "many"],
                "--epochs (train.epochs): found \"many\"; expected a whole number, 0 or more, such as 25",
            ),
            (
                &["--accumulation", "1000"],
                "--accumulation (train.accumulation): found 1000; expected 1 to 256",
            ),
            (
                &["--learning-rate", "0"],
                "--learning-rate (train.learning_rate): found 0; expected a number above 0",
            ),
            (
                &["--optimizer", "adamm"],
                "--optimizer (train.optimizer): found \"adamm\"; expected one of sgd, adam, adamw. Did \
              you mean \"adam\"?",
            ),
            (
                &["--scheduler", "cosin"],
                "--scheduler (train.schedule.kind): found \"cosin\"; expected one of cosine",
            ),
            (&["--warmup", "-1"], "--warmup (train.warmup): found -1; expected a number of epochs"),
            (&["--patience", "0"], "--patience (train.patience): found 0; expected 1 or more"),
            (
                &["--balance", "weights"],
                "--balance (train.balance): found \"weights\"; expected one of none, class-weights, \
              sampling",
            ),
            (&["--monitor", "loss"], "--monitor (train.monitor): found \"loss\"; expected one of val-loss"),
            (
                &["--feature-extract"],
                "--feature-extract (train.feature_extract): there are no initial weights to freeze; \
              expected --weights (train.weights) as well",
            ),
            (&["--device", "gpu"], "--device (device.name): found \"gpu\"; expected one of auto, cpu, cuda"),
            (
                &["--precision", "f8"],
                "--precision (device.precision): found \"f8\"; expected one of auto, f32, bf16, f16",
            ),
            (&["--workers", "0"], "--workers (device.workers): found 0; expected 1 to 256 threads"),
            (
                &["--maps", "some"],
                "--maps (report.maps): found \"some\"; expected a whole number, 0 or more, such as 12",
            ),
            (
                &["--set", "train.optimizer=adamm"],
                "--set train.optimizer: found \"adamm\"; expected one of sgd, adam, adamw",
            ),
            (
                &["--set", "train.schedule.kind=cosin"],
                &format!("--set train.schedule.kind: found \"cosin\"; {schedule}"),
            ),
            (
                &["--set", "train.schedule.every=3"],
                "--set train.schedule.every: there is no such setting for \
              train.schedule.kind = \"cosine\"; expected train.schedule.kind step",
            ),
            (
                &[&step[..], &["train.schedule.factor=2"]].concat(),
                "--set train.schedule.factor: found 2; expected a number \
              between 0 and 1",
            ),
            (
                &[&step[..], &["train.schedule.every=0"]].concat(),
                "--set train.schedule.every: found 0; expected 1 epoch",
            ),
            (
                &["--set", "train.epoch=5"],
                "--set train.epoch: there is no such key; expected a key that `mien config` \
              lists. Did you mean train.epochs?",
            ),
            (
                &["--set", "epochs=5"],
                "--set epochs: there is no such key; expected a key that `mien config` lists. Did you \
              mean train.epochs?",
            ),
            (
                &["--set", "train.quux=5"],
                "--set train.quux: there is no such key; expected a key that `mien config` lists",
            ),
            (
                &["--set", "optics.lens=5"],
                "--set optics.lens: there is no section [optics]; expected one of data, input",
            ),
            (
                &["--set", "train.epochs"],
                "--set: found \"train.epochs\"; expected KEY=VALUE, such as train.epochs=5",
            ),
            (
                &["--set", "train.momentum=1.5"],
                "--set train.momentum: found 1.5; expected a number from 0 to less than 1",
            ),
            (&["--set", "train.nesterov=yes"], "--set train.nesterov: found \"yes\"; expected true or false"),
            (
                &["--set", "augment.mix.mixup=0.9"],
                "--set augment.mix.mixup: found 0.9, and cutmix 0.25; expected \
              probabilities that sum to 1 at most",
            ),
            (
                &["--set", "input.normalization.std=[1, 0, 1]"],
                "--set input.normalization.std: found 0; expected a number above 0",
            ),
            (
                &["--set", "input.normalization.mean=[1, 2]"],
                "--set input.normalization.mean: found [1, 2]; expected a list \
              of three numbers, such as [0.485, 0.456, 0.406]",
            ),
        ] {
            let error = error(arguments);
            assert!(error.starts_with(expected), "{arguments:?}\n{error}\n{expected}");
            assert!(!error.contains('\n') && !error.ends_with('.'), "{error:?}");
        }
        let model = error(&["--model", "vgg15"]);
        assert!(model.starts_with("--model (model.name): found \"vgg15\"; expected one of "), "{model}");
        assert!(model.ends_with(". Did you mean \"vgg16\"?") && model.contains("vgg16_cbam"), "{model}");
    }

    #[test]
    fn a_default_that_does_not_fit_is_named_with_the_flag_that_would_change_it() {
        let error = Error::input("train.batch_size", "found 32").expected("at most 10");
        let error = name_setting(error, &Origins::default());
        assert_eq!(error.to_string(), "--batch-size (train.batch_size): found 32; expected at most 10");
        assert!(matches!(error, Error::Setting { .. }));
        let other = Error::input("faces/", "there are no images");
        assert!(matches!(name_setting(other, &Origins::default()), Error::Input { .. }));
    }
}
