use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::{Verbosity, print};
use crate::data::{DataConfig, DataSummary, Split, load_for_evaluation};
use crate::model::Model;
use crate::model::files::weights::TensorFile;
use crate::run;
use crate::run_folder::model_file;
use crate::text::thousands;

/// Say what a model, a run or a data set is.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A model file, a run folder, or data.
    path: PathBuf,
    /// For data: what of a file name tells the person or photo.
    #[arg(long, value_name = "REGEX")]
    group_regex: Option<String>,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if crate::run_folder::is_run(&args.path) {
        describe_run(args)?;
    } else if let Some(file) = model_file(&args.path) {
        describe_model(args, &file)?;
    } else {
        describe_data(args)?;
    }
    Ok(ExitCode::SUCCESS)
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
    let (config, data) = run::read_run(&args.path)?;
    let history =
        std::fs::read_to_string(args.path.join(crate::run_folder::names::EPOCHS)).unwrap_or_default();
    if args.verbosity.json {
        print(
            &serde_json::json!({ "config": config, "data": data, "epochs": history.lines().count().saturating_sub(1) })
                .to_string(),
        );
        return Ok(());
    }
    row("run", &args.path.display().to_string());
    row(
        "model",
        &format!("{} (width {}), input {}", config.model.name, config.model.width, config.input.size),
    );
    describe_summary(&data);
    row("epochs", &format!("{} of {}", history.lines().count().saturating_sub(1), config.train.epochs));
    for split in ["valid", "test"] {
        let path = args.path.join(crate::run_folder::names::EVAL).join(format!("{split}.json"));
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
    config.validate()?;
    let loading = args.verbosity.loading();
    let (dataset, _) = load_for_evaluation(&config, 42, &loading.progress())?;
    drop(loading);
    let summary = dataset.summary();
    if args.verbosity.json {
        print(&serde_json::to_string(&summary)?);
        return Ok(());
    }
    row("data", &args.path.display().to_string());
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
    row("duplicates", &format!("{} images have the exact content of an earlier one", data.duplicates));
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

fn row(key: &str, value: &str) {
    print(&format!("{key:>12}  {value}"));
}
