//! `mien explain`: class activation maps and their faithfulness.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{
    Command, Compute, SplitArg, Verbosity, advance, find_images, must_be_model, must_be_new, print, shown,
    stop_on_ctrl_c,
};
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
use crate::run_folder::names::EXPLAIN;
use crate::text::{count, nearest};

const EXAMPLES: &str = "\
Examples:
  mien explain runs/vgg16_cbam-real
  mien explain runs/vgg16_cbam-real photo.jpg --method grad-cam --method layer-cam --class happy
  mien explain runs/vgg16_cbam-real --judge 50";

/// Show where a model looks, with class activation maps, and measure their faithfulness
///
/// For a run alone, maps of its test images are written to RUN/explain: a grid of misclassified and one of
/// correctly classified images, the mean map of each class, every map as an image and as numbers (.npy), and
/// explain.json. Given images, folders or patterns, their maps are written to a new folder; a folder of
/// labelled classes is treated like the test images of a run.
///
/// Methods: grad-cam, grad-cam++, hires-cam, layer-cam, eigen-cam (independent of the class) and score-cam
/// (slow: one forward pass per channel). `--method all` takes all of them.
///
/// --judge N measures faithfulness on N images, compared with a random map: the probability of the class as
/// the pixels that the map marks are removed (deletion: lower is better) or inserted (insertion: higher is
/// better), and ROAD (higher is better).
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Run folder (its best model) or model file.
    model: PathBuf,
    /// Images, folders or patterns, or one folder or list of labelled data.
    #[arg(value_name = "IMAGE|DATA")]
    images: Vec<PathBuf>,
    /// Method of the maps; may be repeated; all: every method.
    #[arg(short, long = "method", value_name = "NAME", default_value = "grad-cam")]
    methods: Vec<String>,
    /// Class to explain: predicted, true (the label) or the name of a class.
    #[arg(short, long, value_name = "CLASS", default_value = "predicted")]
    class: String,
    /// Misclassified images to explain, at most, and as many correctly classified ones.
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    grid: usize,
    /// Images per class to average for its mean map, at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    means: usize,
    /// Images to measure the faithfulness of the methods on; 0: do not measure.
    #[arg(long, value_name = "N", default_value_t = 0)]
    judge: usize,
    /// Average each map with that of the mirrored image.
    #[arg(long)]
    smooth: bool,
    /// Images of a run or of DATA to explain [default: test, else valid; all of DATA].
    #[arg(long, value_enum)]
    split: Option<SplitArg>,
    /// New folder for the maps of images [default: explain, numbered if it exists].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of the random map and of the noise of ROAD.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        let file = must_be_model(&self.model)?;
        let methods = parse_methods(&self.methods)?;
        let resources = self.compute.open()?;
        let loaded = load_model(&file, &resources.device.device)?;
        let target = parse_class(&self.class, &loaded)?;
        let settings = Settings { methods: methods.clone(), target, smooth: self.smooth, seed: self.seed };
        let samples = self.split.map(Samples::from);
        // Score-CAM is judged only where it is asked for: it takes hundreds of passes for each image.
        let judged_methods = if self.methods == ["grad-cam"] {
            Method::ALL.iter().copied().filter(|method| *method != Method::SCORE_CAM).collect()
        } else {
            methods
        };
        let scope = Scope { samples, grid: self.grid, means: self.means, judged: self.judge, judged_methods };

        let request = Request { scope: &scope, settings: &settings, resources: &resources };
        let stop = stop_on_ctrl_c();
        let bar = self.verbosity.bar("explaining");
        let mut progress = |what: &'static str, done: usize, of: usize| {
            advance(&bar, what, done, of);
            if stop.load(Ordering::Relaxed) {
                Err(Error::Interrupted("stopped; nothing was written".into()))
            } else {
                Ok(())
            }
        };
        let loading = self.verbosity.loading();
        let mut failures = 0;
        let (out, made) = match self.images.as_slice() {
            [] if is_run(&self.model) => {
                if self.out.is_some() {
                    return Err(Error::setting("--out", "the maps of a run are written into its folder")
                        .hint("Leave --out out")
                        .into());
                }
                let made = explain_run(&self.model, &request, &loading.progress(), &mut progress);
                (self.model.join(EXPLAIN), made)
            }
            [] => {
                return Err(Error::setting("IMAGE", "there are no images to explain")
                    .expected("images after the model file, or a run folder")
                    .into());
            }
            [data] if is_labelled(data, &loaded) => {
                let out = new_folder(self)?;
                let made = explain_data(&out, &loaded, data, &request, &loading.progress(), &mut progress);
                (out, made)
            }
            images => {
                if self.judge > 0 || self.split.is_some() {
                    let flag = if self.judge > 0 { "--judge" } else { "--split" };
                    return Err(Error::setting(flag, "these images have no labels and no splits")
                        .expected("a run folder, or a folder of labelled images")
                        .into());
                }
                let (out, files) = (new_folder(self)?, find_images(images)?);
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
        let index = made?;
        tell(&index, &out, self)?;
        if failures > 0 {
            eprintln!("error: {} could not be read", count(failures, "image", "images"));
            return Ok(Exit::Failed);
        }
        Ok(Exit::Done)
    }
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
        print(&format!("\nfaithfulness of the maps: mean over {} images ± standard error", judged.images));
        print("method                deletion ↓         insertion ↑        ROAD ↑");
        for row in &judged.methods {
            let Faithfulness { method, standard_errors: [d, i, r], .. } = row;
            let [deletion_auc, insertion_auc, road] =
                [row.deletion_auc, row.insertion_auc, row.road].map(Option::unwrap_or_default);
            print(&format!(
                "{method:<20}  {deletion_auc:.3} ± {d:.3}      {insertion_auc:.3} ± {i:.3}     \
                 {road:+.3} ± {r:.3}"
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
                    let names = classes.iter().map(String::as_str).chain(["predicted", "true"]);
                    let meant = nearest(name, names);
                    let hint = meant.map_or_else(String::new, |name| format!("Did you mean \"{name}\"?"));
                    Error::setting("--class", format!("found \"{name}\""))
                        .expected(format!("one of predicted, true, {}", classes.join(", ")))
                        .hint(hint)
                })?;
            Ok(Target::Class(class))
        }
    }
}

/// Whether a path is labelled data: class folders of classes that the model knows, or a list.
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
        Some(out) => must_be_new(out, "a new folder for --out").map(|()| out.clone()),
        None => Ok(unused_path(Path::new(EXPLAIN))),
    }
}
