//! Metrics of several runs.

use super::data::{Estimate, RunMetrics};
use super::estimates::{Facet, side_by_side, stacked};
use super::table::{cell, csv};
use crate::plot::{Drawing, Figure, Format, Item, Paint, Scale, Shape, no_data};

/// Metrics of several runs with their intervals, one small chart per metric.
pub(crate) fn metrics_side_by_side(runs: &[RunMetrics]) -> Figure {
    let mut metrics: Vec<String> = Vec::new();
    for (name, _) in runs.iter().flat_map(|run| &run.metrics) {
        if !metrics.contains(name) {
            metrics.push(name.clone());
        }
    }
    let table = csv(
        ["run", "metric", "value", "low", "high"],
        runs.iter().flat_map(|run| {
            run.metrics
                .iter()
                .map(|(name, e)| [run.run.clone(), name.clone(), cell(e.value), cell(e.low), cell(e.high)])
        }),
    );
    let caption = "Dots: estimates; bars: confidence intervals. Each metric has an axis of its own.";
    Figure::new("metrics_side_by_side", "Metrics of each run", caption, table, |look| {
        let missing = Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        let facets: Vec<Facet> = metrics
            .iter()
            .filter_map(|metric| {
                let rows: Vec<(Estimate, Paint, Shape)> = runs
                    .iter()
                    .enumerate()
                    .map(|(index, run)| {
                        let found = run
                            .metrics
                            .iter()
                            .find(|(name, _)| name == metric)
                            .map_or(missing, |(_, estimate)| *estimate);
                        (found, Paint::Series(index), Shape::of_series(index))
                    })
                    .collect();
                let scale = Scale::around(
                    rows.iter().flat_map(|(e, _, _)| [e.value, e.low, e.high]),
                    false,
                    None,
                    4,
                )?;
                Some(Facet { title: metric.clone(), scale, format: Format::Number, rows })
            })
            .collect();
        if facets.is_empty() {
            return no_data(look, "no run has metrics");
        }
        let names: Vec<String> = runs.iter().map(|run| run.run.clone()).collect();
        if look.narrow {
            return stacked(look, &names, &facets);
        }
        // Two metrics beside one another, then the next two below.
        let mut d = Drawing::new(look.width, 0.0);
        for pair in facets.chunks(2) {
            append(&mut d, side_by_side(look, &names, pair, facets.len().min(2)));
        }
        d
    })
}

/// Puts a drawing below another.
fn append(above: &mut Drawing, below: Drawing) {
    let down = if above.height > 0.0 { above.height + 18.0 } else { 0.0 };
    for mut item in below.items {
        match &mut item {
            Item::Line { runs, .. } => runs.iter_mut().flatten().for_each(|point| point.1 += down),
            Item::Area { outline, .. } => outline.iter_mut().for_each(|point| point.1 += down),
            Item::Rect { y, .. } | Item::Symbol { y, .. } => *y += down,
            Item::Text(text) => text.y += down,
        }
        above.items.push(item);
    }
    above.height = down + below.height;
}
