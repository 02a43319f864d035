use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Result;

use super::predict::find_images;
use super::{Compute, INTERRUPTED, SplitArg, Verbosity, print, shown, stop_on_ctrl_c};
use crate::data::layout;
use crate::error::Error;
use crate::explain::folder::{Settings, Target};
use crate::explain::index::{Faithfulness, Index};
use crate::explain::methods::Method;
use crate::files::unused_path;
use crate::model::files::weights::{LoadedModel, load_model};
use crate::run::Samples;
use crate::run::explain::{Request, Scope, explain_data, explain_files, explain_run};
use crate::run_folder::is_run;
use crate::run_folder::model_file;
use crate::run_folder::names::EXPLAIN;

/// Show where a model looks: class activation maps over images, and whether they are right.
///
/// Given a run alone, its best model is explained on the run's own test images, into RUN/explain:
/// a grid of wrong and one of right answers, the mean map of each class, every map as an image and
/// as raw numbers (.npy), and explain.json. Given images, folders or patterns, those are
/// explained, into a new folder; a folder of labelled classes is treated as a run's test images.
///
/// Methods: grad-cam, grad-cam++, hires-cam, layer-cam, eigen-cam (the same for every class) and
/// score-cam (slow: a pass through the model for each channel). `--method all` takes all of them.
///
/// --judge N measures on N images whether the maps are right: the probability as the pixels that
/// a map marks are taken away (deletion: lower is better) or put in (insertion: higher is better),
/// and ROAD (higher is better), beside a map of random values.
///
/// Examples:
///   mien explain runs/vgg16_cbam-real
///   mien explain runs/vgg16_cbam-real photo.jpg --method grad-cam --method layer-cam --class happy
///   mien explain runs/vgg16_cbam-real --judge 50
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// A run folder (its best model) or a model file.
    model: PathBuf,
    /// Images, folders, patterns, or one folder or list of labelled data.
    #[arg(value_name = "IMAGE|DATA")]
    images: Vec<PathBuf>,
    /// The method of the maps; may be given several times, or `all`.
    #[arg(short, long = "method", value_name = "NAME", default_value = "grad-cam")]
    methods: Vec<String>,
    /// The class that the maps explain: `predicted`, `true` (the label), or the name of a class.
    #[arg(short, long, value_name = "CLASS", default_value = "predicted")]
    class: String,
    /// At most so many wrong, and so many right answers.
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    grid: usize,
    /// At most so many images of each class for its mean map.
    #[arg(long, value_name = "N", default_value_t = 20)]
    means: usize,
    /// Judge the methods on so many images.
    #[arg(long, value_name = "N", default_value_t = 0)]
    judge: usize,
    /// Average each map with that of the mirrored image.
    #[arg(long)]
    smooth: bool,
    /// Which images of a run or of DATA [default: test, or valid where there is no test split; all of DATA].
    #[arg(long, value_enum)]
    split: Option<SplitArg>,
    /// A new folder for the maps of images [default: explain, with a number where that is taken].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of the random map and of ROAD's noise.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let file = model_file(&args.model).ok_or_else(|| {
        Error::at(&args.model, "is neither a run folder nor a model file")
            .expected("a run folder or a .safetensors file of mien")
    })?;
    let methods = parse_methods(&args.methods)?;
    let resources = args.compute.open()?;
    let loaded = load_model(&file, &resources.device.device)?;
    let target = parse_class(&args.class, &loaded)?;
    let settings = Settings { methods: methods.clone(), target, smooth: args.smooth, seed: args.seed };
    let samples = args.split.map(Samples::from);
    // Score-CAM is judged only where it is asked for: it takes hundreds of passes for each image.
    let judged_methods = if args.methods == ["grad-cam"] {
        Method::ALL.into_iter().filter(|method| *method != Method::SCORE_CAM).collect()
    } else {
        methods
    };
    let scope = Scope { samples, grid: args.grid, means: args.means, judged: args.judge, judged_methods };

    let request = Request { scope: &scope, settings: &settings, resources: &resources };

    let stop = stop_on_ctrl_c();
    let bar = crate::cli::console::bar(args.verbosity.is_chatty(), "explaining");
    let mut progress = |what: &'static str, done: usize, of: usize| {
        bar.set_message(what);
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        if stop.load(Ordering::Relaxed) {
            Err(Error::Interrupted("stopped; nothing was written".into()))
        } else {
            Ok(())
        }
    };
    let loading = args.verbosity.loading();
    let mut failures = 0;
    let (out, made) = match args.images.as_slice() {
        [] if is_run(&args.model) => {
            if args.out.is_some() {
                return Err(Error::input("--out", "a run is explained into its own folder")
                    .hint("Leave --out away")
                    .into());
            }
            let made = explain_run(&args.model, &request, &loading.progress(), &mut progress);
            (args.model.join(EXPLAIN), made)
        }
        [] => {
            return Err(Error::at(&args.model, "is no run, and there is nothing to explain")
                .expected("images after the model")
                .into());
        }
        [data] if is_labelled(data, &loaded) => {
            let out = new_folder(args)?;
            let made = explain_data(&out, &loaded, data, &request, &loading.progress(), &mut progress);
            (out, made)
        }
        images => {
            if args.judge > 0 || args.split.is_some() {
                let hint = "Give a run, or a folder of labelled images, for --judge and --split";
                return Err(Error::input("IMAGE", "these images have no labels and splits")
                    .hint(hint)
                    .into());
            }
            let (out, files) = (new_folder(args)?, find_images(images)?);
            let mut unusable = |error: &Error| {
                failures += 1;
                bar.suspend(|| eprintln!("error: {error}"));
            };
            let made = explain_files(&out, &loaded, &files, &request, &mut unusable, &mut progress);
            (out, made)
        }
    };
    drop(loading);
    bar.finish_and_clear();
    let index = match made {
        Err(Error::Interrupted(text)) => {
            eprintln!("{text}");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        other => other?,
    };
    tell(&index, &out, args)?;
    if failures > 0 {
        eprintln!("error: {failures} of the images could not be read");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(index: &Index, out: &Path, args: &Args) -> Result<()> {
    if args.verbosity.json {
        print(&serde_json::to_string(index)?);
        return Ok(());
    }
    if args.verbosity.quiet {
        return Ok(());
    }
    let means = match index.class_means.len() {
        0 => String::new(),
        n => format!(", mean maps of {n} classes"),
    };
    print(&format!(
        "{} images explained with {}{means}: {}",
        index.maps.len(),
        index.methods.join(", "),
        shown(out)
    ));
    for (name, path) in &index.grids {
        let file = Path::new(path).file_name().unwrap_or_default();
        print(&format!("{name:<8} {}", shown(&out.join(file))));
    }
    if let Some(judged) = &index.faithfulness {
        print(&format!("\nAre the maps right? Means over {} images, ± standard error", judged.images));
        print("method                deletion ↓         insertion ↑        ROAD ↑");
        for row in &judged.methods {
            let Faithfulness { method, standard_errors: [d, i, r], .. } = row;
            let [deletion_auc, insertion_auc, road] =
                [row.deletion_auc, row.insertion_auc, row.road].map(Option::unwrap_or_default);
            print(&format!(
                "{method:<20}  {deletion_auc:.3} ± {d:.3}      {insertion_auc:.3} ± {i:.3}     {road:+.3} ± {r:.3}"
            ));
        }
    }
    Ok(())
}

fn parse_methods(names: &[String]) -> Result<Vec<Method>, Error> {
    if names.iter().any(|name| name == "all") {
        return Ok(Method::ALL.to_vec());
    }
    let mut methods = Vec::new();
    for name in names.iter().flat_map(|names| names.split(',')) {
        let method = name.parse()?;
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(methods)
}

fn parse_class(name: &str, loaded: &LoadedModel) -> Result<Target, Error> {
    match name {
        "predicted" => Ok(Target::Predicted),
        "true" => Ok(Target::True),
        name => {
            let classes = &loaded.card.classes;
            let class =
                classes.iter().position(|class| class.eq_ignore_ascii_case(name)).ok_or_else(|| {
                    Error::input("--class", format!("the model has no class '{name}'"))
                        .expected(format!("predicted, true, or one of {}", classes.join(", ")))
                })?;
            Ok(Target::Class(class))
        }
    }
}

/// Whether a path holds images by class, for classes that the model knows; lists always do.
fn is_labelled(path: &Path, loaded: &LoadedModel) -> bool {
    let is_list = path.extension().is_some_and(|ending| ending == "csv" || ending == "jsonl");
    let knows = |label: &String| {
        let emotion = crate::data::classes::canonical(label).map(|emotion| crate::data::EMOTIONS[emotion]);
        loaded
            .card
            .classes
            .iter()
            .any(|class| class.eq_ignore_ascii_case(label) || Some(class.as_str()) == emotion)
    };
    is_list
        || (path.is_dir()
            && layout::scan(path).is_ok_and(|scan| !scan.labels.is_empty() && scan.labels.iter().all(knows)))
}

fn new_folder(args: &Args) -> Result<PathBuf, Error> {
    match &args.out {
        Some(out) if out.symlink_metadata().is_ok() => Err(Error::at(out, "is there already")
            .expected("a new folder")
            .hint("Nothing is overwritten: choose another name")),
        Some(out) => Ok(out.clone()),
        None => Ok(unused_path(Path::new(EXPLAIN))),
    }
}
