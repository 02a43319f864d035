//! The features before the last layer, projected to two dimensions.

use super::entry::Build;
use crate::error::Result;
use crate::page::html::{json, percent, thousands};
use crate::page::output::{Output, Stage};
use crate::report::figures::{self, Projected};
use crate::report::numbers::neighbours_alike;
use crate::report::options::Projection;
use crate::report::run::Run;
use crate::report::section::{Content, Entry};
use crate::run_folder::read::Evaluated;
use crate::stats::projection::{TsneSettings, pca, tsne};
use crate::text::base64;

/// Longest side of a thumbnail over a point of the projection.
const SMALL: usize = 64;
/// Bytes of JPEG for the points of the projection: this keeps a page of any run below 15 MB.
const POINT_BYTES: usize = 5 << 20;

pub(super) const FEATURES: Entry<Build> = Entry { id: "features", title: "Features", build };

fn build(run: &Run, output: &mut Output) -> Result<Option<Content>> {
    let Some(primary) = run.primary else { return Ok(None) };
    let Some(features) = &primary.features else { return Ok(None) };
    let (classes, width) = (&primary.evaluation.classes, features.width);
    let index = |name: &str| classes.iter().position(|class| class == name);
    // Predictions with a known true class, evenly spaced where there are too many.
    let usable: Vec<(usize, usize, usize, usize)> = features
        .rows
        .iter()
        .enumerate()
        .filter_map(|(at, &row)| {
            let prediction = &primary.predictions[row];
            Some((at, row, index(prediction.truth.as_deref()?)?, index(&prediction.predicted)?))
        })
        .collect();
    let most = run.options.points.min(usable.len());
    let chosen: Vec<_> = (0..most).map(|place| usable[place * usable.len() / most]).collect();
    if chosen.len() < 3 {
        return Ok(None);
    }
    let values: Vec<f32> = chosen
        .iter()
        .flat_map(|&(at, ..)| features.values[at * width..(at + 1) * width].iter().copied())
        .collect();
    let stage = Stage::new("projecting features", 1, run.options.progress);
    let (method, places) = match run.options.projection {
        Projection::Tsne => ("t-SNE", tsne(&values, width, &TsneSettings::default())?),
        Projection::Pca => {
            let found = pca(&values, width, 2)?;
            let k = found.variance.len();
            (
                "PCA",
                found
                    .scores
                    .chunks_exact(k.max(1))
                    .map(|row| [row[0], row.get(1).copied().unwrap_or(0.0)])
                    .collect(),
            )
        }
    };
    stage.step();
    let points: Vec<Projected> = places
        .iter()
        .zip(&chosen)
        .map(|(&[x, y], &(_, row, class, predicted))| Projected { x, y, class, predicted, row })
        .collect();
    let truths: Vec<usize> = chosen.iter().map(|&(_, _, truth, _)| truth).collect();
    let alike = neighbours_alike(&places, &truths).unwrap_or(f64::NAN);
    let lead = format!(
        "Each point is one of {} images, placed by its features before the last layer of the model, \
         projected by {method}: for <strong>{}</strong> of them, the nearest neighbour in the projection has \
         the same class.",
        thousands(points.len()),
        percent(alike)
    );
    let hint = "<p class=\"quiet hint\">Hover over a point, or tap it, to see its image.</p>";
    let body = format!(
        "<div id=\"projection\">{}</div>{hint}<script type=\"application/json\" id=\"points\">{}</script>",
        output.figure(figures::projection(method, &points, classes)),
        json(&point_images(run, primary, &points)?)
    );
    Ok(Some(Content { lead, body }))
}

/// What the page shows on hovering over a point, by row: (JPEG, true class, predicted class, confidence,
/// path).
fn point_images(run: &Run, primary: &Evaluated, points: &[Projected]) -> Result<serde_json::Value> {
    let names: Vec<&str> = points.iter().map(|point| primary.predictions[point.row].path.as_str()).collect();
    let stage = Stage::new("thumbnails of the points", names.len(), run.options.progress);
    let thumbnails = run.images.thumbnails(&names, SMALL, &stage)?;
    let classes = &primary.evaluation.classes;
    let mut bytes = 0;
    let mut by_row = serde_json::Map::new();
    for (point, thumbnail) in points.iter().zip(thumbnails) {
        let prediction = &primary.predictions[point.row];
        bytes += thumbnail.as_ref().map_or(0, |thumbnail| thumbnail.jpeg.len());
        let jpeg = thumbnail.filter(|_| bytes <= POINT_BYTES).map(|thumbnail| base64(&thumbnail.jpeg));
        let confidence = percent(f64::from(prediction.probabilities[point.predicted]));
        let entry = serde_json::json!([
            jpeg,
            classes[point.class],
            classes[point.predicted],
            confidence,
            prediction.path
        ]);
        by_row.insert(point.row.to_string(), entry);
    }
    Ok(serde_json::Value::Object(by_row))
}
