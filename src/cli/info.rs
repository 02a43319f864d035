//! `mien info`: what a data set, a run or a model is.

use std::path::PathBuf;

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, name_flag, print, row, shown};
use crate::data::{DataConfig, DataSummary, Split, load_for_evaluation};
use crate::model::Model;
use crate::model::files::weights::TensorFile;
use crate::run::read_run;
use crate::run_folder::names::{EPOCHS, EVAL};
use crate::run_folder::{is_run, model_file};
use crate::text::thousands;

const EXAMPLES: &str = "\
Examples:
  mien info faces/ --group-regex '^(\\d+)_'
  mien info runs/vgg16_cbam-real
  mien info runs/vgg16_cbam-real/best.safetensors";

/// Describe a data set, a run or a model
///
/// For data: images per class and split, groups, duplicates and leakage. For a run: its data, its epochs and
/// its accuracy. For a model: architecture, classes, input size and temperature.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Data set, run folder or model file.
    path: PathBuf,
    /// For data: regex on file names whose first capture group identifies the person.
    #[arg(long, value_name = "REGEX")]
    group_regex: Option<String>,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        if is_run(&self.path) {
            describe_run(self)?;
        } else if let Some(file) = model_file(&self.path) {
            describe_model(self, &file)?;
        } else {
            describe_data(self)?;
        }
        Ok(Exit::Done)
    }
}

fn describe_model(args: &Args, file: &std::path::Path) -> Result<()> {
    let opened = TensorFile::open(file)?;
    let card = opened.card()?;
    if args.verbosity.json {
        print(&serde_json::to_string(&card)?);
        return Ok(());
    }
    let model = Model::new(&card.model, card.classes.len(), card.input_size)?;
    row(
        "model",
        &format!(
            "{} (width {}, {} parameters)",
            card.model.name,
            card.model.width,
            thousands(model.parameter_count())
        ),
    );
    row("classes", &card.classes.join(", "));
    row("input", &format!("{0}×{0}, mean {1:?}, std {2:?}", card.input_size, card.mean, card.std));
    row(
        "calibrated",
        &if card.temperature == 1.0 { "no".into() } else { format!("temperature {}", card.temperature) },
    );
    row("written by", &card.program);
    for (key, value) in &card.provenance {
        row(key, value);
    }
    Ok(())
}

fn describe_run(args: &Args) -> Result<()> {
    let (config, data) = read_run(&args.path)?;
    let history = std::fs::read_to_string(args.path.join(EPOCHS)).unwrap_or_default();
    if args.verbosity.json {
        let epochs = history.lines().count().saturating_sub(1);
        print(&serde_json::json!({ "config": config, "data": data, "epochs": epochs }).to_string());
        return Ok(());
    }
    row("run", &shown(&args.path));
    row(
        "model",
        &format!("{} (width {}), input {}", config.model.name, config.model.width, config.input.size),
    );
    describe_summary(&data);
    row("epochs", &format!("{} of {}", history.lines().count().saturating_sub(1), config.train.epochs));
    for split in ["valid", "test"] {
        let path = args.path.join(EVAL).join(format!("{split}.json"));
        if path.exists() {
            let metrics = crate::eval::files::read_evaluation(&path)?.metrics;
            let [low, high] = metrics.accuracy_interval.map(|share| 100.0 * share);
            let text = format!(
                "accuracy {:.1} % ({low:.1}–{high:.1}), macro F1 {:.3}",
                100.0 * metrics.accuracy,
                metrics.macro_f1
            );
            row(split, &text);
        }
    }
    Ok(())
}

fn describe_data(args: &Args) -> Result<()> {
    let config = DataConfig {
        root: args.path.clone(),
        group_regex: args.group_regex.clone(),
        ..DataConfig::default()
    };
    config.validate().map_err(|error| name_flag(error, &[("data.group_regex", "--group-regex")]))?;
    let loading = args.verbosity.loading();
    let (dataset, _) = load_for_evaluation(&config, 42, &loading.progress())?;
    drop(loading);
    let summary = dataset.summary();
    if args.verbosity.json {
        print(&serde_json::to_string(&summary)?);
        return Ok(());
    }
    row("data", &shown(&args.path));
    describe_summary(&summary);
    for text in summary.warnings.iter().chain(&summary.left_out) {
        row("note", text);
    }
    for file in summary.unreadable.iter().take(10) {
        row("unreadable", &format!("{}: {}", file.name, file.reason));
    }
    Ok(())
}

fn describe_summary(data: &DataSummary) {
    let width = data.classes.iter().map(String::len).max().unwrap_or(0).max(8);
    let line = |name: &str, numbers: &[usize]| {
        let cells: Vec<String> = numbers.iter().map(|n| format!("{:>8}", thousands(*n))).collect();
        format!("{name:<width$}{}", cells.concat())
    };
    row("images", &format!("{:<width$}{:>8}{:>8}{:>8}", "", "train", "valid", "test"));
    for (k, class) in data.classes.iter().enumerate() {
        row("", &line(class, &Split::ALL.map(|split| data.counts.of(split)[k])));
    }
    row("", &line("all", &Split::ALL.map(|split| data.counts.of(split).iter().sum())));
    row("", &line("groups", &[data.groups.train, data.groups.valid, data.groups.test]));
    row("duplicates", &format!("{} images are exact duplicates of another", data.duplicates));
    row(
        "leakage",
        &if data.leakage {
            format!("{} groups are in more than one split", data.leaking_groups)
        } else {
            "none".into()
        },
    );
    row("fingerprint", &data.fingerprint);
}
