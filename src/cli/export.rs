//! `mien export`: a model for other programs.

use std::path::PathBuf;

use anyhow::Result;

use super::exit_codes::Exit;
use super::shared::{Command, Verbosity, must_be_model, must_be_new, print, shown};
use crate::device::{self, DeviceConfig};
use crate::model::files::export::{Format, export};
use crate::model::files::weights::load_model;
use crate::text::either;

const EXAMPLES: &str = "\
Examples:
  mien export runs/vgg16_cbam-real --format onnx
  mien export model.safetensors --format pth --out model.pth";

/// Export a model for PyTorch, ONNX or safetensors
///
/// pth: a state dict for torch.load and load_state_dict(strict=True). safetensors: the same tensors, with the
/// model's description in the metadata. onnx: a graph from normalised images [B, 3, S, S] to logits and
/// probabilities, for ONNX Runtime and others.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Run folder (its best model) or model file.
    model: PathBuf,
    /// Format to write: safetensors, pth or onnx.
    #[arg(short, long, value_name = "FORMAT", value_parser = format)]
    format: Format,
    /// New file [default: next to the model, with the extension of the format].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn format(text: &str) -> Result<Format, String> {
    Format::ALL
        .into_iter()
        .find(|format| format.name() == text)
        .ok_or_else(|| format!("expected {}", either(&Format::ALL.map(Format::name))))
}

impl Command for Args {
    fn run(&self) -> Result<Exit> {
        let file = must_be_model(&self.model)?;
        let out = self.out.clone().unwrap_or_else(|| file.with_extension(self.format.name()));
        must_be_new(&out, "a new file for --out")?;
        let device = device::open(&DeviceConfig { name: "cpu".into(), ..DeviceConfig::default() })?;
        let model = load_model(&file, &device.device)?;
        export(&model, self.format, &out)?;
        let bytes = std::fs::metadata(&out).map_or(0, |about| about.len());
        if self.verbosity.json {
            let value = serde_json::json!({
                "model": file, "format": self.format.name(), "out": out, "bytes": bytes
            });
            print(&value.to_string());
        } else if !self.verbosity.quiet {
            print(&format!("{} ({:.1} MB)", shown(&out), bytes as f64 / 1e6));
        }
        Ok(Exit::Done)
    }
}
