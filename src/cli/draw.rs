//! `mien draw`: a labelled data set of drawn faces.

use std::path::PathBuf;

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, print, shown};
use crate::data::EMOTIONS;
use crate::faces::draw::{DrawConfig, Style, write_set};

const EXAMPLES: &str = "\
Examples:
  mien draw faces/
  mien draw cartoons/ --style cartoon --per-class 1000 --size 64 --seed 7";

/// Draw a labelled data set of synthetic faces
///
/// The images go to OUT/{train,valid,test}/CLASS/*.png. The faces are made of curves and noise, not of
/// photographs: expressions follow facial action units; identity, pose, light and background are random. No
/// person is in two splits.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// New folder for the images.
    out: PathBuf,
    /// Images per class, all splits together.
    #[arg(long, value_name = "N", default_value_t = 300)]
    per_class: usize,
    /// Side of the square images, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 48)]
    size: usize,
    /// Seed of the drawing; the same seed draws the same images.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Style of the drawing: photo or cartoon.
    #[arg(long, value_name = "STYLE", default_value = "photo")]
    style: Style,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        let config =
            DrawConfig { per_class: self.per_class, size: self.size, seed: self.seed, style: self.style };
        let bar = self.verbosity.bar("drawing faces");
        bar.set_length((self.per_class * EMOTIONS.len()) as u64);
        let set = write_set(&self.out, &config, &|| bar.inc(1));
        bar.finish_and_clear();
        let set = set?;
        if self.verbosity.json {
            let value = serde_json::json!({
                "out": self.out, "train": set.train, "valid": set.valid, "test": set.test,
                "persons": set.persons,
            });
            print(&value.to_string());
        } else if !self.verbosity.quiet {
            print(&format!(
                "{} faces of {} people in {}: train {}, valid {}, test {}",
                set.train + set.valid + set.test,
                set.persons,
                shown(&self.out),
                set.train,
                set.valid,
                set.test
            ));
        }
        Ok(Exit::Done)
    }
}
