use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use super::{Verbosity, print};
use crate::device::{self, DeviceConfig};
use crate::error::Error;
use crate::eval::evaluate::{batch_logits, read_image, softmax};
use crate::image::decode::is_image_path;
use crate::model::files::weights::load_model;
use crate::run_folder::model_file;

/// Say what emotion images show: the top classes with their probabilities.
///
/// IMAGE is a file, a folder (all images below it) or a pattern such as 'faces/*.jpg'. An image that cannot
/// be read is named; the others are predicted all the same, and the exit code says so.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A run folder (its best model) or a model file.
    model: PathBuf,
    /// Images, folders, patterns.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// How many classes to show.
    #[arg(long, value_name = "N", default_value_t = 3)]
    top: usize,
    /// auto, cpu, or what was built in.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Images at a time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch_size: usize,
    #[command(flatten)]
    verbosity: Verbosity,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let file = model_file(&args.model).ok_or_else(|| {
        Error::at(&args.model, "is neither a run folder nor a model file")
            .expected("a run folder or a .safetensors file of mien")
    })?;
    if args.top == 0 || args.batch_size == 0 {
        return Err(Error::input("--top and --batch-size", "found 0").expected("1 or more").into());
    }
    let images = find_images(&args.images)?;
    let device = device::open(&DeviceConfig { name: args.device.clone(), ..DeviceConfig::default() })?;
    let loaded = load_model(&file, &device.device)?;
    let width =
        images.iter().map(|path| path.display().to_string().chars().count()).max().unwrap_or(0).min(60);
    let mut failures = 0;
    for batch in images.chunks(args.batch_size) {
        let (mut paths, mut input) = (Vec::new(), Vec::new());
        for path in batch {
            match read_image(path, &loaded.card) {
                Ok((_, pixels)) => {
                    input.extend(pixels);
                    paths.push(path);
                }
                Err(error) => {
                    failures += 1;
                    eprintln!("error: {error}");
                }
            }
        }
        if paths.is_empty() {
            continue;
        }
        let rows =
            batch_logits(&loaded.model, &loaded.params, input, loaded.card.input_size, device.compute)?;
        for (path, logits) in paths.into_iter().zip(rows) {
            let probabilities = softmax(&logits, loaded.card.temperature);
            print(&line(path, &probabilities, &loaded.card.classes, args, width));
        }
    }
    if failures > 0 {
        eprintln!("error: {failures} of {} images could not be read", images.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// One image's answer: `path  happy 97.1 %  neutral 2.0 %  …`, or a JSON object.
fn line(path: &Path, probabilities: &[f32], classes: &[String], args: &Args, width: usize) -> String {
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    order.truncate(args.top);
    let path = path.display().to_string();
    if args.verbosity.json {
        let top: Vec<_> = order
            .iter()
            .map(|&k| serde_json::json!({ "class": classes[k], "probability": probabilities[k] }))
            .collect();
        return serde_json::json!({ "path": path, "top": top }).to_string();
    }
    let longest = classes.iter().map(String::len).max().unwrap_or(0);
    let top: Vec<String> = order
        .iter()
        .map(|&k| format!("{:<longest$} {:5.1} %", classes[k], 100.0 * probabilities[k]))
        .collect();
    format!("{path:<width$}  {}", top.join("   "))
}

/// Files as they are, the images below folders, what patterns match; in the given order, each folder sorted.
pub(super) fn find_images(wanted: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for path in wanted {
        let before = images.len();
        if path.is_dir() {
            for entry in walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name() {
                let entry = entry.map_err(|e| Error::at(path, e.to_string()))?;
                if entry.file_type().is_file() && is_image_path(entry.path()) {
                    images.push(entry.into_path());
                }
            }
        } else if path.exists() {
            images.push(path.clone());
        } else {
            let pattern = path.to_string_lossy();
            let matches = glob::glob(&pattern)
                .map_err(|e| Error::at(path, format!("no such file, and no pattern ({e})")))?;
            images.extend(matches.filter_map(Result::ok).filter(|path| path.is_file()));
        }
        if images.len() == before {
            return Err(Error::at(path, "there are no images")
                .expected("an image, a folder of images or a pattern such as 'faces/*.jpg'")
                .into());
        }
    }
    Ok(images)
}
