//! `mien train`: a new run, or an interrupted one resumed.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::console;
use super::exit_codes::Exit;
use super::flags::{Overrides, name_setting};
use super::shared::{Command, Verbosity, print, shown, stop_on_ctrl_c};
use crate::config::{Composed, Origin, Override, RunConfig};
use crate::device::{self, DeviceConfig};
use crate::error::Error;
use crate::eval::files::read_evaluation;
use crate::eval::table::summary_table;
use crate::model::ModelName;
use crate::model::files::download;
use crate::report::PAGE;
use crate::run;
use crate::run_folder::is_run;
use crate::run_folder::names::EVAL;
use crate::train::fit::Outcome;

const EXAMPLES: &str = "\
Examples:
  mien train faces/
  mien train faces/ --model resnet50 --input-size 224 --epochs 40 --group-regex '^(\\d+)_'
  mien train faces/ --recipe recipes/reference.toml --set train.momentum=0.95 --check
  mien train --resume runs/vgg16_cbam-real";

/// Train a model on labelled faces, or resume a run
///
/// DATA is a folder of class folders (mien splits them), a folder with train, valid and test folders of them,
/// a list (.csv or .jsonl with path, label and optionally split and group), or fer2013.csv.
///
/// Settings come from the defaults, then --recipe, then --set, then the flags; later ones win. `mien config`
/// prints all of them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Labelled images to train on.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// New run folder [default: runs/MODEL-TYPE, numbered if it exists].
    #[arg(short, long, value_name = "RUN", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// TOML file of settings.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    recipe: Option<PathBuf>,
    /// Resume an interrupted run; its losses are as if it had not been interrupted.
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Check everything with one training step on one batch, and exit; write nothing.
    #[arg(long, conflicts_with = "resume")]
    check: bool,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        if let Some(folder) = &self.resume {
            return resume(self, folder);
        }
        let data = self.data.as_deref().unwrap_or_else(|| "".as_ref());
        let root = std::path::absolute(data).map_err(|e| Error::io("read", data, e))?;
        let root = Override {
            key: "data.root".into(),
            value: root.display().to_string().into(),
            from: Origin::Flag("DATA".into()),
        };
        let overrides = [&[root], &self.overrides.0[..]].concat();
        let Composed { config, origins } = Composed::new(self.recipe.as_deref(), &overrides)?;
        let folder = self.out.clone().unwrap_or_else(|| run::default_folder(&config));
        train(config, &folder, self.check, self.verbosity).map_err(|error| {
            error.downcast::<Error>().map_or_else(|other| other, |error| name_setting(error, &origins).into())
        })
    }
}

/// Trains `config` in `folder` and prints the result.
pub(super) fn train(config: RunConfig, folder: &Path, check: bool, verbosity: Verbosity) -> Result<Exit> {
    config.validate()?;
    if !check {
        refuse_taken(folder)?;
    }
    let stop = stop_on_ctrl_c();
    if config.train.weights == "imagenet" {
        // What is wrong with the rest is told before half a gigabyte is fetched.
        if config.model.width != 1.0 {
            return Err(Error::setting(
                "--weights (train.weights)",
                format!("found imagenet with --width {}", config.model.width),
            )
            .expected("--width 1, for which these weights were trained")
            .into());
        }
        std::fs::metadata(&config.data.root).map_err(|e| Error::io("read", &config.data.root, e))?;
        drop(device::open(&config.device)?);
        fetch_weights(config.model.name, verbosity, stop)?;
    }
    let loading = verbosity.loading();
    let prepared = run::prepare(config, &loading.progress())?;
    drop(loading);
    if check {
        let loss = prepared.try_one_batch()?;
        if verbosity.json {
            let summary = prepared.source.dataset.summary();
            print(&serde_json::json!({ "check": "passed", "loss": loss, "data": summary }).to_string());
            return Ok(Exit::Done);
        }
        for (key, value) in prepared.header() {
            print(&format!("{key:>10}  {value}"));
        }
        let warnings = prepared.source.dataset.warnings.iter().chain(&prepared.source.dataset.left_out);
        warnings.for_each(|text| print(&format!("      note  {text}")));
        print(&format!("check passed: one training step, loss {loss:.4}"));
        return Ok(Exit::Done);
    }
    let outcome = prepared.train(folder, verbosity.sink().as_mut(), stop)?;
    finish(folder, outcome, verbosity)
}

/// Downloads the ImageNet weights to the cache, unless they are there.
fn fetch_weights(model: ModelName, verbosity: Verbosity, stop: &AtomicBool) -> Result<(), Error> {
    if let Err(place) = download::find_imagenet(model)? {
        let (file, remote) = download::imagenet(model)?;
        let bar = console::byte_bar(verbosity.is_chatty(), &format!("downloading {file}"));
        let fetched = download::fetch(
            &remote,
            &place,
            &|have, all| {
                bar.set_length(all);
                bar.set_position(have);
            },
            stop,
        );
        bar.finish_and_clear();
        fetched?;
        if verbosity.is_chatty() {
            print(&format!("downloaded {} to {}", remote.url, shown(&place)));
        }
    }
    Ok(())
}

/// A run folder that exists is refused before the data are read, which may take minutes.
fn refuse_taken(folder: &Path) -> Result<()> {
    let taken = is_run(folder) || folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        let hint = if is_run(folder) {
            format!("Choose another --out, or resume it: mien train --resume {}", shown(folder))
        } else {
            "Choose another --out".to_owned()
        };
        return Err(Error::at(folder, "the folder is not empty")
            .expected("a new run folder")
            .hint(hint)
            .into());
    }
    Ok(())
}

/// Keys that do not change what a run computes.
const RESUMABLE: [&str; 3] = ["device.name", "device.precision", "device.workers"];

fn resume(args: &Args, folder: &Path) -> Result<Exit> {
    let stop = stop_on_ctrl_c();
    if let Some(change) = args.overrides.0.iter().find(|change| !RESUMABLE.contains(&&*change.key)) {
        return Err(Error::setting(change.from.place(&change.key), "a resumed run keeps its settings")
            .expected("--device, --precision and --workers only")
            .hint("To start another run from its weights: mien train DATA --weights RUN/best.safetensors")
            .into());
    }
    // The device's keys are checked by the same code as for a new run.
    let Composed { config, origins } = Composed::new(None, &args.overrides.0)?;
    let wanted = config.device;
    let named = |error| name_setting(error, &origins);
    wanted.validate().map_err(named)?;
    let given = |key: &str| args.overrides.0.iter().any(|change| change.key == key);
    let change = |device: &mut DeviceConfig| {
        if given("device.name") {
            device.name.clone_from(&wanted.name);
        }
        if given("device.precision") {
            device.precision = wanted.precision;
        }
        if given("device.workers") {
            device.workers = wanted.workers;
        }
    };
    let loading = args.verbosity.loading();
    let outcome = run::resume(folder, change, &loading.progress(), args.verbosity.sink().as_mut(), stop)
        .map_err(named)?;
    finish(folder, outcome, args.verbosity)
}

fn finish(folder: &Path, outcome: Outcome, verbosity: Verbosity) -> Result<Exit> {
    if outcome == Outcome::Interrupted {
        let text = format!("interrupted; to resume: mien train --resume {}", shown(folder));
        return Err(Error::Interrupted(text).into());
    }
    let eval = folder.join(EVAL);
    for split in ["test", "valid"] {
        let path = eval.join(format!("{split}.json"));
        if path.exists() {
            let evaluation = read_evaluation(&path)?;
            print(&if verbosity.json {
                serde_json::to_string(&evaluation)?
            } else {
                summary_table(&evaluation)
            });
            break;
        }
    }
    if verbosity.json {
        return Ok(Exit::Done);
    }
    print(&format!("run folder  {}", shown(folder)));
    let page = folder.join(PAGE);
    if page.exists() {
        print(&format!("report      {}", shown(&page)));
    }
    print(&format!("use it      mien predict {} IMAGE", shown(folder)));
    Ok(Exit::Done)
}
