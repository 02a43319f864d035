//! `mien demo`: the whole path from nothing to an evaluated model.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, print, shown};
use super::train::train;
use crate::config::{Origin, Override, RunConfig};
use crate::data::EMOTIONS;
use crate::faces::draw::{DrawConfig, Style, write_set};
use crate::files::{create_new_dir, unused_path};

/// The demo's settings, with the measured time and accuracy in its header.
const RECIPE: &str = include_str!("../../recipes/demo.toml");

const EXAMPLES: &str = "\
Example:
  mien demo --out demo/";

/// Draw faces, train a small model on them and evaluate it
///
/// This shows all of mien in a few minutes, without data, download or GPU.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// New folder for the faces and the run [default: mien-demo, numbered if it exists].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of the faces and the training.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Images per class, all splits together.
    #[arg(long, value_name = "N", default_value_t = 300)]
    per_class: usize,
    /// Passes over the training images [default: 8].
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        let out = self.out.clone().unwrap_or_else(|| unused_path(Path::new("mien-demo")));
        create_new_dir(&out)?;
        let (faces, folder) = (out.join("faces"), out.join("run"));
        let config = DrawConfig { per_class: self.per_class, size: 64, seed: self.seed, style: Style::Photo };
        let bar = self.verbosity.bar("drawing faces");
        bar.set_length((self.per_class * EMOTIONS.len()) as u64);
        let set = write_set(&faces, &config, &|| bar.inc(1));
        bar.finish_and_clear();
        let set = set?;
        if self.verbosity.is_chatty() {
            let all = set.train + set.valid + set.test;
            print(&format!("drew {all} faces of {} people, seven emotions: {}", set.persons, shown(&faces)));
        }
        let mut overrides = vec![change("data.root", std::path::absolute(&faces)?.display().to_string())];
        overrides.push(change("train.seed", i64::try_from(self.seed)?));
        if let Some(epochs) = self.epochs {
            overrides.push(change("train.epochs", i64::try_from(epochs)?));
        }
        let config = RunConfig::compose_text(Some(("recipes/demo.toml", RECIPE)), &overrides)?;
        let exit = train(config, &folder, false, self.verbosity)?;
        if self.verbosity.is_chatty() && exit == Exit::Done {
            print("next        mien train YOUR-FACES");
        }
        Ok(exit)
    }
}

fn change(key: &str, value: impl Into<toml::Value>) -> Override {
    Override { key: key.into(), value: value.into(), from: Origin::Named("mien demo".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_tells_the_epochs_of_the_demos_recipe() {
        let config = RunConfig::compose_text(Some(("recipes/demo.toml", RECIPE)), &[]).unwrap();
        let help = <Args as clap::Args>::augment_args(clap::Command::new("demo")).render_help().to_string();
        assert!(
            help.contains(&format!("Passes over the training images [default: {}]", config.train.epochs))
        );
    }
}
