//! The named flags of `mien train`: one table maps each to its configuration key.

use clap::builder::{ArgAction, StyledStr};
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use toml::Value;

use crate::config::{Override, parse_value};
use crate::model::zoo;

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
    value: &'static str,
    heading: &'static str,
    help: &'static str,
}

const DATA: &str = "Data";
const MODEL: &str = "Model";
const AUGMENT: &str = "Augmentation";
const TRAIN: &str = "Training";
const DEVICE: &str = "Device";
const REPORT: &str = "Report";

const fn flag(
    heading: &'static str,
    name: &'static str,
    key: &'static str,
    kind: Kind,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, key, kind, value, heading, help }
}

const FLAGS: &[Flag] = &[
    flag(
        DATA,
        "dataset-type",
        "data.dataset_type",
        Text,
        "TYPE",
        "real, augmented, synthetic or synthetic-augmented",
    ),
    flag(
        DATA,
        "synthetic",
        "data.synthetic",
        Path,
        "DIR",
        "Train on the synthetic images of DIR; validate and test on DATA",
    ),
    flag(
        DATA,
        "augmented",
        "data.augmented",
        Path,
        "DIR",
        "The augmenter's output, where it is not DATA itself",
    ),
    flag(
        DATA,
        "classes",
        "data.classes",
        Texts,
        "A,B,…",
        "The classes, by folder name [default: from the folders]",
    ),
    flag(
        DATA,
        "group-regex",
        "data.group_regex",
        Text,
        "REGEX",
        "What of a file name tells the person or photo: first capture group",
    ),
    flag(
        DATA,
        "split",
        "data.split",
        Numbers,
        "T,V,E",
        "Shares of train, validation and test [default: 0.8,0.1,0.1]",
    ),
    flag(
        DATA,
        "split-seed",
        "data.split_seed",
        Plain,
        "N",
        "Seed of the split alone [default: that of --seed]",
    ),
    flag(DATA, "resplit", "data.resplit", Switch, "", "Split anew even where the data come with splits"),
    flag(
        DATA,
        "drop-leaking",
        "data.drop_leaking",
        Switch,
        "",
        "Leave out images whose group is in a later split too",
    ),
    flag(
        DATA,
        "allow-leakage",
        "data.allow_leakage",
        Switch,
        "",
        "Train although groups cross splits; reports are stamped with it",
    ),
    flag(
        DATA,
        "max-unreadable",
        "data.max_unreadable",
        Plain,
        "SHARE",
        "Share of unreadable files that is let pass [default: 0.01]",
    ),
    flag(
        DATA,
        "debug-subset",
        "data.debug_subset",
        Plain,
        "N",
        "Train on N images only, drawn evenly from the classes",
    ),
    flag(DATA, "cache-mb", "data.cache_mb", Plain, "MIB", "Memory for decoded images [default: 2048]"),
    flag(
        MODEL,
        "model",
        "model.name",
        Text,
        "NAME",
        "", // the zoo says it
    ),
    flag(MODEL, "width", "model.width", Plain, "X", "Multiplier of all channel counts [default: 1.0]"),
    flag(
        MODEL,
        "head",
        "model.head",
        Text,
        "HEAD",
        "fc (three linear layers, default) or gap (average pool, one layer)",
    ),
    flag(
        MODEL,
        "dropout",
        "model.dropout",
        Plain,
        "P",
        "Dropout in the head [default: 0.5; MobileNetV3: 0.2]",
    ),
    flag(MODEL, "input-size", "input.size", Plain, "N", "Side of the square input in pixels [default: 256]"),
    flag(
        MODEL,
        "weights",
        "train.weights",
        Path,
        "FILE",
        "Weights to start from: .safetensors, .pth, or imagenet [default: none]",
    ),
    flag(
        MODEL,
        "feature-extract",
        "train.feature_extract",
        Switch,
        "",
        "Freeze what comes from --weights; train the new layers",
    ),
    flag(AUGMENT, "mixup", "augment.mix.enabled", Switch, "", "MixUp and CutMix [default: on]"),
    flag(AUGMENT, "flip", "augment.transform.flip", Plain, "P", "Probability of mirroring [default: 0.5]"),
    flag(AUGMENT, "rotation", "augment.transform.rotation", Plain, "DEG", "Largest rotation [default: 15]"),
    flag(AUGMENT, "translate", "augment.transform.translate", Plain, "SHARE", "Largest shift [default: 0.1]"),
    flag(TRAIN, "epochs", "train.epochs", Plain, "N", "Times through the training data [default: 25]"),
    flag(TRAIN, "batch-size", "train.batch_size", Plain, "N", "Images in a batch [default: 32]"),
    flag(
        TRAIN,
        "accumulation",
        "train.accumulation",
        Plain,
        "N",
        "Batches whose gradients make one update [default: 1]",
    ),
    flag(
        TRAIN,
        "learning-rate",
        "train.learning_rate",
        Plain,
        "X",
        "Learning rate before schedules [default: 0.001]",
    ),
    flag(TRAIN, "weight-decay", "train.weight_decay", Plain, "X", "Weight decay [default: 0.0001]"),
    flag(TRAIN, "optimizer", "train.optimizer", Text, "NAME", "sgd (momentum 0.9, default), adam or adamw"),
    flag(TRAIN, "scheduler", "train.schedule.kind", Text, "NAME", "cosine (default), step, plateau or none"),
    flag(
        TRAIN,
        "warmup",
        "train.warmup",
        Plain,
        "EPOCHS",
        "The learning rate rises from nothing over so many epochs [default: 0]",
    ),
    flag(
        TRAIN,
        "auto-lr",
        "train.auto_lr",
        Switch,
        "",
        "Halve the rate when the validation loss is up on 5 epochs before [default: on]",
    ),
    flag(
        TRAIN,
        "ema",
        "train.ema",
        Switch,
        "",
        "Average the weights; validation and best model use the averages [default: on]",
    ),
    flag(TRAIN, "ema-decay", "train.ema_decay", Plain, "X", "Decay of that average [default: 0.999]"),
    flag(
        TRAIN,
        "early-stopping",
        "train.early_stopping",
        Switch,
        "",
        "Stop when the validation loss no longer falls [default: on]",
    ),
    flag(TRAIN, "patience", "train.patience", Plain, "N", "Epochs it waits for that [default: 8]"),
    flag(
        TRAIN,
        "label-smoothing",
        "train.label_smoothing",
        Plain,
        "X",
        "Share of the label spread over all classes [default: 0.1]",
    ),
    flag(
        TRAIN,
        "balance",
        "train.balance",
        Text,
        "HOW",
        "For unbalanced classes: none (default), class-weights or sampling",
    ),
    flag(
        TRAIN,
        "gradient-clip",
        "train.gradient_clip",
        Plain,
        "X",
        "Largest norm of the gradient; 0 is off [default: 0]",
    ),
    flag(
        TRAIN,
        "monitor",
        "train.monitor",
        Text,
        "WHAT",
        "Best model by val-loss (default), val-accuracy or val-macro-f1",
    ),
    flag(
        TRAIN,
        "save-every",
        "train.save_every",
        Plain,
        "N",
        "Keep a checkpoint every N epochs; 0 keeps best and last [default: 5]",
    ),
    flag(
        TRAIN,
        "save-minutes",
        "train.save_minutes",
        Plain,
        "M",
        "Save the last state every M minutes within an epoch [default: 15]",
    ),
    flag(TRAIN, "seed", "train.seed", Plain, "N", "Seed of every random draw [default: 42]"),
    flag(
        DEVICE,
        "device",
        "device.name",
        Text,
        "NAME",
        "auto (default), cpu, or cuda, rocm, metal, vulkan, wgpu, libtorch where built in",
    ),
    flag(DEVICE, "precision", "device.precision", Text, "NAME", "auto (default), f32, bf16 or f16"),
    flag(DEVICE, "workers", "device.workers", Plain, "N", "Threads that prepare batches [default: 2]"),
    flag(
        REPORT,
        "report",
        "report.page",
        Switch,
        "",
        "End with a page about the run, report.html [default: on]",
    ),
    flag(
        REPORT,
        "maps",
        "report.maps",
        Plain,
        "N",
        "At most so many right and wrong answers with maps on it [default: 12]",
    ),
    flag(
        REPORT,
        "tensorboard",
        "report.tensorboard",
        Switch,
        "",
        "Write curves for TensorBoard as well, to RUN/tensorboard",
    ),
];

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
                .help("Set any key of the configuration, as recipes/reference.toml lists them"),
        );
        for flag in FLAGS {
            let arg = Arg::new(flag.name).long(flag.name).help_heading(flag.heading);
            if flag.kind != Switch {
                // The last of two wins, so that a script's defaults can be overridden.
                let help = if flag.key == "model.name" { zoo::help() } else { flag.help.to_owned() };
                let arg = arg.value_name(flag.value).help(help).allow_hyphen_values(true);
                command = command.arg(arg.overrides_with(flag.name));
                continue;
            }
            let off = format!("no-{}", flag.name);
            let help = StyledStr::from(format!("{}; --{off} turns it off", flag.help));
            command = command.arg(arg.help(help).action(ArgAction::SetTrue).overrides_with(off.clone())).arg(
                Arg::new(off.clone())
                    .long(off)
                    .hide(true)
                    .action(ArgAction::SetTrue)
                    .overrides_with(flag.name),
            );
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let invalid = |error: crate::error::Error| {
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{error}\n"))
        };
        let mut changes = Vec::new();
        for text in matches.get_many::<String>("set").into_iter().flatten() {
            changes.push(Override::parse(text).map_err(invalid)?);
        }
        for flag in FLAGS {
            let value = match flag.kind {
                Switch if matches.get_flag(flag.name) => Value::Boolean(true),
                Switch if matches.get_flag(&format!("no-{}", flag.name)) => Value::Boolean(false),
                Switch => continue,
                kind => match matches.get_one::<String>(flag.name) {
                    Some(text) => value(kind, text),
                    None => continue,
                },
            };
            changes.push(Override { key: flag.key.into(), value, from: format!("--{}", flag.name) });
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

/// A number as a float, so that `1,0,0` is a list of shares too; anything else as it is, to be refused with
/// its key.
fn float(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use clap::Args;

    fn parse(arguments: &[&str]) -> Overrides {
        let command = Overrides::augment_args(Command::new("train"));
        Overrides::from_arg_matches(&command.get_matches_from([&["train"], arguments].concat())).unwrap()
    }

    #[test]
    fn every_flag_names_a_key_that_exists() {
        for flag in FLAGS {
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
            let changes = parse(&[&format!("--{}", flag.name), text]);
            let config =
                RunConfig::compose(None, &changes.0).unwrap_or_else(|e| panic!("--{}: {e}", flag.name));
            assert_ne!(config, RunConfig::default(), "--{} changes nothing", flag.name);
        }
        for flag in FLAGS.iter().filter(|flag| flag.kind == Switch) {
            let on = RunConfig::compose(None, &parse(&[&format!("--{}", flag.name)]).0).unwrap();
            let off = RunConfig::compose(None, &parse(&[&format!("--no-{}", flag.name)]).0).unwrap();
            assert_ne!(on, off, "--{}", flag.name);
        }
    }

    #[test]
    fn the_last_of_a_switch_and_its_opposite_wins() {
        let config = RunConfig::compose(None, &parse(&["--no-ema", "--ema"]).0).unwrap();
        assert!(config.train.ema);
        let config = RunConfig::compose(None, &parse(&["--ema", "--no-ema"]).0).unwrap();
        assert!(!config.train.ema);
    }
}
