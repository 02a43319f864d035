use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::{Verbosity, print};
use crate::faces::draw::{DrawConfig, Style, write_set};

/// Draw a labelled set of faces: OUT/{train,valid,test}/{class}/*.png.
///
/// The faces are made of curves and noise, no photograph is used: expressions by facial action units,
/// persons, poses, light and backgrounds at random. No person is in two splits.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A new folder.
    out: PathBuf,
    /// Images of each class, over all splits.
    #[arg(long, value_name = "N", default_value_t = 300)]
    per_class: usize,
    /// Side of the square images in pixels.
    #[arg(long, value_name = "S", default_value_t = 48)]
    size: usize,
    /// Same seed, same images.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// photo or cartoon.
    #[arg(long, value_name = "STYLE", default_value = "photo")]
    style: Style,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let config =
        DrawConfig { per_class: args.per_class, size: args.size, seed: args.seed, style: args.style };
    let bar = crate::cli::console::bar(args.verbosity.is_chatty(), "drawing faces");
    bar.set_length((args.per_class * crate::data::EMOTIONS.len()) as u64);
    let set = write_set(&args.out, &config, &|| bar.inc(1));
    bar.finish_and_clear();
    let set = set?;
    if args.verbosity.json {
        let value = serde_json::json!({ "out": args.out, "train": set.train, "valid": set.valid, "test": set.test, "persons": set.persons });
        print(&value.to_string());
    } else if !args.verbosity.quiet {
        let (all, out) = (set.train + set.valid + set.test, args.out.display());
        print(&format!(
            "{all} faces of {} persons in {out}: train {}, valid {}, test {}",
            set.persons, set.train, set.valid, set.test
        ));
    }
    Ok(ExitCode::SUCCESS)
}
