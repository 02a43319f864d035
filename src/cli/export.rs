use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::{Verbosity, print, shown};
use crate::device::{self, DeviceConfig};
use crate::error::Error;
use crate::model::files::export::{Format, export};
use crate::model::files::weights::load_model;
use crate::run_folder::model_file;

/// Write a model for other programs.
///
/// pth is a state dict for torch.load and load_state_dict(strict=True); safetensors the same with
/// the model's description in its metadata; onnx a graph from normalised images [B, 3, S, S] to
/// logits and probabilities, for onnxruntime and its kin. scripts/check_exports.py compares them.
///
/// Examples:
///   mien export runs/vgg16_cbam-real --format onnx
///   mien export model.safetensors --format pth --out model.pth
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// A run folder (its best model) or a model file.
    model: PathBuf,
    /// safetensors, pth or onnx.
    #[arg(short, long, value_name = "FORMAT", value_parser = format)]
    format: Format,
    /// The new file [default: beside the model, with the format's ending].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn format(text: &str) -> Result<Format, String> {
    Format::ALL
        .into_iter()
        .find(|format| format.name() == text)
        .ok_or_else(|| "expected safetensors, pth or onnx".into())
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let file = model_file(&args.model).ok_or_else(|| {
        Error::at(&args.model, "is neither a run nor a model")
            .expected("a run folder with a best model, or a .safetensors file of mien")
    })?;
    let out = args.out.clone().unwrap_or_else(|| file.with_extension(args.format.name()));
    if out.symlink_metadata().is_ok() {
        return Err(Error::at(&out, "a file is there")
            .expected("a new file")
            .hint("Choose another --out: nothing is overwritten")
            .into());
    }
    let device = device::open(&DeviceConfig { name: "cpu".into(), ..DeviceConfig::default() })?;
    let model = load_model(&file, &device.device)?;
    export(&model, args.format, &out)?;
    let bytes = std::fs::metadata(&out).map_or(0, |about| about.len());
    if args.verbosity.json {
        print(
            &serde_json::json!({ "model": file, "format": args.format.name(), "out": out, "bytes": bytes })
                .to_string(),
        );
    } else if !args.verbosity.quiet {
        print(&format!("{} ({:.1} MB)", shown(&out), bytes as f64 / 1e6));
    }
    Ok(ExitCode::SUCCESS)
}
