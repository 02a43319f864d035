//! `mien config`: the reference recipe.

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, print};
use crate::config::reference;

const EXAMPLES: &str = "\
Examples:
  mien config > mine.toml
  mien train faces/ --recipe mine.toml";

/// Print a recipe with every setting, its default and its meaning
///
/// The output is a TOML file for `mien train --recipe FILE`. A recipe needs only the settings that differ
/// from the defaults; `--set KEY=VALUE` changes any of them for one run.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        print(reference().trim_end());
        Ok(Exit::Done)
    }
}
