//! Calibration: the temperature that suits the validation split.

use std::path::Path;
use std::sync::Arc;

use super::evaluate::{Chosen, Samples, Subject, evaluation_data, judge, logits_of, tell_leakage};
use super::prepare::LoadProgress;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::eval::calibration::{Calibration, CalibrationChange, fit_temperature};
use crate::eval::evaluate::softmax;
use crate::eval::metrics;
use crate::eval::session::Resources;
use crate::files::write_json;
use crate::model::files::weights::{load_model, save_model};
use crate::run_folder::events::Sink;
use crate::run_folder::lock;
use crate::run_folder::names::{BEST, CALIBRATION, EVAL};

/// Finds the temperature that suits the validation split, stores it in the run's best model and evaluates
/// that anew.
///
/// # Errors
/// There is no such run or its data are not there any more; the split tells nothing; a file cannot be
/// written.
pub fn calibrate(
    folder: &Path,
    resources: &Resources,
    progress: LoadProgress,
    sink: &mut dyn Sink,
) -> Result<Calibration> {
    let _lock = lock(folder)?;
    let file = folder.join(BEST);
    let mut loaded = load_model(&file, &resources.device.device)?;
    let source = evaluation_data(Some(folder), None, &loaded.card, progress)?;
    let dataset = Arc::clone(&source.dataset);
    let mut splits = vec![Split::Valid];
    if !dataset.indices(Split::Test).is_empty() {
        splits.push(Split::Test);
    }
    // The temperature changes nothing about the logits: they are computed once.
    let mut computed = Vec::with_capacity(splits.len());
    for split in splits {
        let chosen =
            Chosen { samples: Samples::Of(split), name: split.name(), indices: dataset.indices(split) };
        let (logits, embeddings) = logits_of(&loaded, &source, &chosen.indices, resources, sink)?;
        let targets: Vec<usize> = chosen.indices.iter().map(|&index| dataset.samples[index].class).collect();
        computed.push((chosen, logits, targets, embeddings));
    }
    let (_, logits, targets, _) = &computed[0];
    let before = loaded.card.temperature;
    let temperature = fit_temperature(logits, targets)? as f32;
    let change = |logits: &[Vec<f32>], targets: &[usize]| -> Result<CalibrationChange> {
        let at = |temperature| {
            let probabilities: Vec<Vec<f32>> = logits.iter().map(|row| softmax(row, temperature)).collect();
            metrics::compute(&probabilities, targets, &dataset.classes)
        };
        let (old, new) = (at(before)?, at(temperature)?);
        Ok(CalibrationChange {
            n: old.n,
            ece: [old.ece, new.ece],
            loss: [old.loss, new.loss],
            brier: [old.brier, new.brier],
        })
    };
    let valid = change(logits, targets)?;
    let test = computed.get(1).map(|(_, logits, targets, _)| change(logits, targets)).transpose()?;
    loaded.card.temperature = temperature;
    save_model(&file, &loaded.params, &loaded.card)?;
    let calibration = Calibration { before, temperature, valid, test };
    let eval = folder.join(EVAL);
    std::fs::create_dir_all(&eval).map_err(|e| Error::io("create", &eval, e))?;
    write_json(&eval.join(CALIBRATION), &calibration)?;
    // The run's own results are those of its model as it is now.
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (chosen, logits, _, embeddings) in computed {
        let subjects = [Subject { name: name.clone(), loaded: &loaded, run: Some(folder) }];
        let leakage = tell_leakage(&subjects, &dataset, &chosen, sink)?;
        judge(&subjects, &dataset, &chosen, leakage, &[logits], vec![embeddings])?
            .write(&eval, chosen.name)?;
    }
    Ok(calibration)
}
