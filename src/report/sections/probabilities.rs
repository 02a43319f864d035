//! Calibration, ROC and precision–recall curves.

use std::fmt::Write;

use super::entry::Build;
use crate::error::Result;
use crate::page::html::{Table, decimals, number, percent, significant, text, whole};
use crate::page::output::Output;
use crate::report::figures;
use crate::report::run::Run;
use crate::report::section::{Content, Entry};

pub(super) const PROBABILITIES: Entry<Build> = Entry { id: "probabilities", title: "Probabilities", build };

fn build(run: &Run, output: &mut Output) -> Result<Option<Content>> {
    let (Some(rows), Some(primary)) = (&run.rows, run.primary) else { return Ok(None) };
    let evaluation = &primary.evaluation;
    let (confidence, accuracy) = rows.confidence_and_accuracy();
    let verdict = match confidence - accuracy {
        gap if gap.abs() < 0.01 => "the two agree".to_owned(),
        gap if gap > 0.0 => format!("the model is overconfident by {} points", decimals(gap * 100.0, 1)),
        gap => format!("the model is underconfident by {} points", decimals(-gap * 100.0, 1)),
    };
    let temperature = f64::from(evaluation.temperature);
    let calibrated = if temperature == 1.0 {
        "The probabilities are not calibrated".to_owned()
    } else {
        format!("The probabilities are calibrated with temperature {}", significant(temperature))
    };
    let lead = format!(
        "The mean confidence is {} and the accuracy {}: {verdict}. {calibrated}.",
        percent(confidence),
        percent(accuracy)
    );

    let now = rows.reliability(1.0);
    let figure = if temperature == 1.0 {
        figures::reliability(&now, None)
    } else {
        figures::reliability(&rows.reliability(temperature), Some(&now))
    };
    let mut body = output.figure(figure);
    if let Some(calibration) = &run.files.calibration {
        let mut table = Table::new(
            "calibration",
            "Effect of the last calibration",
            &["split", "images", "ECE", "ECE after", "loss", "loss after", "Brier", "Brier after"],
        );
        for (name, change) in [("valid", Some(&calibration.valid)), ("test", calibration.test.as_ref())] {
            let Some(change) = change else { continue };
            let pairs = [change.ece, change.loss, change.brier]
                .into_iter()
                .flatten()
                .map(|value| number(decimals(value, 4), value));
            table.push([text(name), whole(change.n as usize)].into_iter().chain(pairs).collect());
        }
        body += &output.table(&table);
        let _ = write!(
            body,
            "<p class=\"quiet\">Temperature {} before, {} after, fitted on the validation split.</p>",
            significant(calibration.before.into()),
            significant(calibration.temperature.into())
        );
    }
    let (roc, precision_recall) =
        (rows.roc(&evaluation.classes)?, rows.precision_recall(&evaluation.classes)?);
    let mut areas = Table::new(
        "areas",
        "Area under the curves, one class against the rest",
        &["class", "ROC AUC", "average precision"],
    );
    for class in &evaluation.classes {
        let area = |curves: &[figures::ClassCurve]| {
            let area = curves.iter().find(|curve| curve.class == *class).map_or(f64::NAN, |curve| curve.area);
            number(decimals(area, 3), area)
        };
        areas.push(vec![text(class), area(&roc), area(&precision_recall)]);
    }
    let _ = write!(
        body,
        "<div class=\"pair\">{}{}</div>",
        output.figure(figures::roc(&roc)),
        output.figure(figures::precision_recall(&precision_recall))
    );
    body += &output.table(&areas);
    Ok(Some(Content { lead, body }))
}
