use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use super::{Verbosity, print, shown};
use crate::config::{Override, RunConfig};
use crate::faces::draw::{DrawConfig, Style, write_set};
use crate::files::{create_new_dir, unused_path};

/// The demo's settings, with the measured time and accuracy in its header.
const RECIPE: &str = include_str!("../../recipes/demo.toml");

/// Draw faces, train a small model on them, evaluate it: the whole of mien in a few minutes, without data,
/// download or GPU.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A new folder for the faces and the run [default: mien-demo, with a number where that is taken].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Same seed, same result.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Images of each class, over all splits.
    #[arg(long, value_name = "N", default_value_t = 300)]
    per_class: usize,
    /// Times through the training data [default: as the demo's recipe has it].
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| unused_path(Path::new("mien-demo")));
    create_new_dir(&out)?;
    let (faces, folder) = (out.join("faces"), out.join("run"));
    let config = DrawConfig { per_class: args.per_class, size: 64, seed: args.seed, style: Style::Photo };
    let bar = crate::cli::console::bar(args.verbosity.is_chatty(), "drawing faces");
    bar.set_length((args.per_class * crate::data::EMOTIONS.len()) as u64);
    let set = write_set(&faces, &config, &|| bar.inc(1));
    bar.finish_and_clear();
    let set = set?;
    if args.verbosity.is_chatty() {
        let all = set.train + set.valid + set.test;
        print(&format!("drew {all} faces of {} persons, seven emotions: {}", set.persons, shown(&faces)));
    }
    let mut overrides = vec![change("data.root", std::path::absolute(&faces)?.display().to_string())];
    overrides.push(change("train.seed", i64::try_from(args.seed)?));
    if let Some(epochs) = args.epochs {
        overrides.push(change("train.epochs", i64::try_from(epochs)?));
    }
    let config = RunConfig::compose_text(Some(("recipes/demo.toml", RECIPE)), &overrides)?;
    let code = super::train::train(config, &folder, false, args.verbosity)?;
    if args.verbosity.is_chatty() && code == ExitCode::SUCCESS {
        print(&format!("next        mien train {} --help", "YOUR-FACES"));
    }
    Ok(code)
}

fn change(key: &str, value: impl Into<toml::Value>) -> Override {
    Override { key: key.into(), value: value.into(), from: "mien demo".into() }
}
