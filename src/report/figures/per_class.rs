//! Precision, recall and F1 of each class.

use super::data::{ClassScore, Estimate};
use super::estimates::{Facet, side_by_side, stacked};
use super::table::{cell, csv};
use crate::plot::{Figure, Format, Paint, Scale, Shape, bounds, count, no_data};

/// One of a class's scores.
type Score = fn(&ClassScore) -> Estimate;

/// Precision, recall and F1 per class with their intervals.
pub(crate) fn per_class(rows: &[ClassScore]) -> Figure {
    let table = csv(
        [
            "class",
            "support",
            "precision",
            "precision_low",
            "precision_high",
            "recall",
            "recall_low",
            "recall_high",
            "f1",
            "f1_low",
            "f1_high",
        ],
        rows.iter().map(|row| {
            let [p, r, f] =
                [row.precision, row.recall, row.f1].map(|e| [cell(e.value), cell(e.low), cell(e.high)]);
            let ([p, pl, ph], [r, rl, rh], [f, fl, fh]) = (p, r, f);
            [row.class.clone(), row.support.to_string(), p, pl, ph, r, rl, rh, f, fl, fh]
        }),
    );
    let caption = "Dots: estimates; bars: confidence intervals. In brackets: images of each class.";
    Figure::new("per_class", "Precision, recall and F1 per class", caption, table, |look| {
        let metrics: [(&str, Score); 3] =
            [("Precision", |row| row.precision), ("Recall", |row| row.recall), ("F1", |row| row.f1)];
        let all: Vec<f64> = rows
            .iter()
            .flat_map(|row| metrics.iter().map(move |(_, of)| of(row)))
            .flat_map(|e| [e.value, e.low, e.high])
            .collect();
        let Some((lo, _)) = bounds(all.iter().copied()) else {
            return no_data(look, "no classes were evaluated");
        };
        let scale =
            Scale::around([lo.max(0.0), 1.0], lo < 0.5, Some(1.0), 4).unwrap_or(Scale::linear(0.0, 1.0));
        let names: Vec<String> =
            rows.iter().map(|row| format!("{} ({})", row.class, count(row.support))).collect();
        let facets = metrics.iter().enumerate().map(|(index, (title, of))| Facet {
            title: (*title).to_string(),
            scale,
            format: Format::Percent,
            rows: rows.iter().map(|row| (of(row), Paint::Series(index), Shape::Circle)).collect(),
        });
        let facets: Vec<Facet> = facets.collect();
        if look.narrow {
            stacked(look, &names, &facets)
        } else {
            side_by_side(look, &names, &facets, facets.len())
        }
    })
}
