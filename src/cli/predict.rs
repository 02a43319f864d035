//! `mien predict`: the most probable classes of images.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, find_images, must_be_model, name_device, print};
use crate::device::{self, DeviceConfig};
use crate::error::Error;
use crate::eval::evaluate::{batch_logits, read_image, softmax};
use crate::model::files::weights::load_model;

const EXAMPLES: &str = "\
Examples:
  mien predict runs/vgg16_cbam-real photo.jpg
  mien predict model.safetensors 'faces/*.jpg' --top 1 --json";

/// Predict the emotion in images, with the most probable classes
///
/// IMAGE is a file, a folder (all images below it) or a pattern such as 'faces/*.jpg'. Images that cannot be
/// read are named; the others are predicted, and the exit code is 1.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Run folder (its best model) or model file.
    model: PathBuf,
    /// Images, folders or patterns.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Number of classes to print for each image.
    #[arg(long, value_name = "N", default_value_t = 3)]
    top: usize,
    /// Device to compute on: auto, cpu, or one that is built in, such as cuda or cuda:1.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Images per batch.
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch_size: usize,
    #[command(flatten)]
    verbosity: Verbosity,
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        for (flag, value) in [("--top", self.top), ("--batch-size", self.batch_size)] {
            if value == 0 {
                return Err(Error::setting(flag, "found 0").expected("1 or more").into());
            }
        }
        let file = must_be_model(&self.model)?;
        let images = find_images(&self.images)?;
        let config = DeviceConfig { name: self.device.clone(), ..DeviceConfig::default() };
        let device = device::open(&config).map_err(name_device)?;
        let loaded = load_model(&file, &device.device)?;
        let width =
            images.iter().map(|path| path.display().to_string().chars().count()).max().unwrap_or(0).min(60);
        let mut failures = 0;
        for batch in images.chunks(self.batch_size) {
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
                print(&line(path, &probabilities, &loaded.card.classes, self, width));
            }
        }
        if failures > 0 {
            eprintln!("error: {failures} of {} images could not be read", images.len());
            return Ok(Exit::Failed);
        }
        Ok(Exit::Done)
    }
}

/// One image's prediction: `path  happy 97.1 %  neutral 2.0 %  …`, or a JSON object.
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
