use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use super::flags::Overrides;
use super::{INTERRUPTED, Verbosity, print, shown, stop_on_ctrl_c};
use crate::cli::console;
use crate::config::{Override, RunConfig};
use crate::error::Error;
use crate::eval::files::read_evaluation;
use crate::eval::table::summary_table;
use crate::model::ModelName;
use crate::model::files::download;
use crate::report::PAGE;
use crate::run;
use crate::train::fit::Outcome;

/// Train a model on a folder of labelled faces, or go on with a run.
///
/// DATA is a folder of class folders (split by the program), a folder with train, valid and
/// test folders of them, a list (.csv or .jsonl with path, label and optionally split and group),
/// or fer2013.csv. The defaults are those of recipes/reference.toml.
///
/// Examples:
///   mien train faces/
///   mien train faces/ --model resnet50 --input-size 224 --epochs 40 --group-regex '^(\d+)_'
///   mien train --resume runs/vgg16_cbam-real
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The data.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// The new run folder [default: runs/MODEL-TYPE].
    #[arg(short, long, value_name = "RUN", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// A TOML file of settings; flags and --set win over it.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    recipe: Option<PathBuf>,
    /// Go on with an interrupted run: the same losses as if it had never stopped.
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Do everything up to one batch through the whole step, then stop; nothing is written.
    #[arg(long, conflicts_with = "resume")]
    check: bool,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(folder) = &args.resume {
        return resume(args, folder);
    }
    let data = args.data.as_deref().unwrap_or_else(|| "".as_ref());
    let root = std::path::absolute(data).map_err(|e| Error::io("read", data, e))?;
    let root =
        Override { key: "data.root".into(), value: root.display().to_string().into(), from: "DATA".into() };
    let overrides = [&[root], &args.overrides.0[..]].concat();
    let config = RunConfig::compose(args.recipe.as_deref(), &overrides)?;
    let folder = args.out.clone().unwrap_or_else(|| run::default_folder(&config));
    train(config, &folder, args.check, args.verbosity)
}

/// Trains `config` in `folder` and prints the result.
pub(super) fn train(
    config: RunConfig,
    folder: &std::path::Path,
    check: bool,
    verbosity: Verbosity,
) -> Result<ExitCode> {
    if !check {
        refuse_taken(folder)?;
    }
    let stop = stop_on_ctrl_c();
    if config.train.weights == "imagenet" {
        // What is wrong with the rest is told before half a gigabyte is fetched.
        config.validate()?;
        if config.model.width != 1.0 {
            return Err(Error::input("--weights imagenet", format!("found --width {}", config.model.width))
                .expected("width 1, which these weights were trained with")
                .into());
        }
        std::fs::metadata(&config.data.root).map_err(|e| Error::io("read", &config.data.root, e))?;
        drop(crate::device::open(&config.device)?);
        match fetch_weights(config.model.name, verbosity, stop) {
            Err(Error::Interrupted(text)) => {
                eprintln!("{text}");
                return Ok(ExitCode::from(INTERRUPTED));
            }
            other => other?,
        }
    }
    let loading = verbosity.loading();
    let prepared = run::prepare(config, &loading.progress())?;
    drop(loading);
    if check {
        let loss = prepared.try_one_batch()?;
        if verbosity.json {
            let summary = prepared.source.dataset.summary();
            print(&serde_json::json!({ "check": "passed", "loss": loss, "data": summary }).to_string());
            return Ok(ExitCode::SUCCESS);
        }
        for (key, value) in prepared.header() {
            print(&format!("{key:>10}  {value}"));
        }
        let warnings = prepared.source.dataset.warnings.iter().chain(&prepared.source.dataset.left_out);
        warnings.for_each(|text| print(&format!("      note  {text}")));
        print(&format!("check passed: one batch went through the whole step, loss {loss:.4}"));
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = prepared.train(folder, verbosity.sink().as_mut(), stop)?;
    finish(folder, outcome, verbosity)
}

/// Brings the ImageNet weights into the cache, if they are not there.
fn fetch_weights(model: ModelName, verbosity: Verbosity, stop: &AtomicBool) -> Result<(), Error> {
    if let Err(place) = download::find_imagenet(model)? {
        let (file, remote) = download::imagenet(model);
        let bar = console::byte_bar(verbosity.is_chatty(), &format!("fetching {file}"));
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
            print(&format!("fetched {} to {}", remote.url, shown(&place)));
        }
    }
    Ok(())
}

/// A run folder that is taken is told before the data are read, which may take minutes.
fn refuse_taken(folder: &std::path::Path) -> Result<()> {
    let taken = crate::run_folder::is_run(folder)
        || folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        let hint = if crate::run_folder::is_run(folder) {
            format!("Go on with it: mien train --resume {}; or choose another --out", shown(folder))
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

fn resume(args: &Args, folder: &std::path::Path) -> Result<ExitCode> {
    let stop = stop_on_ctrl_c();
    if let Some(change) = args.overrides.0.iter().find(|change| !change.key.starts_with("device.")) {
        return Err(Error::input(&change.from, "a resumed run keeps its settings")
            .expected("--device, --precision and --workers at most")
            .hint("Start another run with it: mien train DATA --weights RUN/best.safetensors")
            .into());
    }
    // The device's keys are checked by the same code as for a new run.
    let wanted = RunConfig::compose(None, &args.overrides.0)?.device;
    let given = |key: &str| args.overrides.0.iter().any(|change| change.key == key);
    let change = |device: &mut crate::device::DeviceConfig| {
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
    let outcome = run::resume(folder, change, &loading.progress(), args.verbosity.sink().as_mut(), stop)?;
    finish(folder, outcome, args.verbosity)
}

fn finish(folder: &std::path::Path, outcome: Outcome, verbosity: Verbosity) -> Result<ExitCode> {
    if outcome == Outcome::Interrupted {
        eprintln!("interrupted; the state is saved. Go on with: mien train --resume {}", shown(folder));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let eval = folder.join(crate::run_folder::names::EVAL);
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
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("run folder  {}", shown(folder)));
    let page = folder.join(PAGE);
    if page.exists() {
        print(&format!("look at it  {}", shown(&page)));
    }
    print(&format!("use it      mien predict {} IMAGE…", shown(folder)));
    Ok(ExitCode::SUCCESS)
}
