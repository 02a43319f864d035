//! Figures over classes: confusion matrices, scores with intervals, bars.

use super::{ClassScore, ConfusedPair, Estimate, Figure, RunMetrics, SplitCounts, cell, csv};
use crate::plot::{
    Anchor, Dash, Drawing, Format, Item, Legend, Look, Paint, Scale, Shape, Swatch, Text, bounds, count,
    csv_line, drawable, legend, no_data, number, percent, width,
};

/// The confusion matrix: rows are true classes, columns predicted ones. `normalised`: each row as shares of
/// its class.
pub fn confusion(counts: &[Vec<u64>], classes: &[String], normalised: bool) -> Figure {
    let size = classes.len();
    let at = |truth: usize, predicted: usize| {
        counts.get(truth).and_then(|row| row.get(predicted)).copied().unwrap_or(0)
    };
    let totals: Vec<u64> =
        (0..size).map(|truth| (0..size).map(|predicted| at(truth, predicted)).sum()).collect();
    let share = |truth: usize, predicted: usize| {
        if totals[truth] > 0 { at(truth, predicted) as f64 / totals[truth] as f64 } else { f64::NAN }
    };
    let mut table =
        csv_line(&std::iter::once("truth".to_string()).chain(classes.iter().cloned()).collect::<Vec<_>>());
    for (truth, class) in classes.iter().enumerate() {
        let row = (0..size).map(|predicted| {
            if normalised { cell(share(truth, predicted)) } else { at(truth, predicted).to_string() }
        });
        table.push_str(&csv_line(&std::iter::once(class.clone()).chain(row).collect::<Vec<_>>()));
    }
    let (name, title, caption) = if normalised {
        (
            "confusion_normalised",
            "Confusion matrix, shares of each class",
            "Each row is a true class, each column a prediction; numbers are percent of the row. Empty cells: none.",
        )
    } else {
        (
            "confusion",
            "Confusion matrix, counts",
            "Each row is a true class, each column a prediction; numbers are images. Empty cells: none.",
        )
    };
    let highest = (0..size).flat_map(|t| (0..size).map(move |p| at(t, p))).max().unwrap_or(0);
    Figure::new(name, title, caption, Some(table), |look| {
        if highest == 0 {
            return no_data(look, "no image was evaluated");
        }
        let grid = MatrixGrid::new(look, classes);
        let mut d = Drawing::new(grid.width, 0.0);
        d.text(
            Text::new(
                0.0,
                look.small + 1.0,
                "rows: true class, columns: predicted class",
                look.small,
                Paint::Muted,
            )
            .fit(grid.width),
        );
        let top = look.small + 12.0;
        for truth in 0..size {
            let y = top + truth as f64 * grid.cell;
            if grid.labelled(truth) {
                let baseline = y + grid.cell / 2.0 + 0.36 * grid.label;
                d.text(
                    Text::new(grid.left - 8.0, baseline, &classes[truth], grid.label, Paint::Text)
                        .anchor(Anchor::End)
                        .fit(grid.left - 8.0),
                );
            }
            for predicted in 0..size {
                let (images, part) = (at(truth, predicted), share(truth, predicted));
                let x = grid.left + predicted as f64 * grid.cell;
                let step = Paint::ramp_step(if normalised { part } else { images as f64 / highest as f64 });
                let tip = if look.narrow {
                    String::new()
                } else {
                    format!(
                        "true {}, predicted {}: {} of {} ({})",
                        classes[truth],
                        classes[predicted],
                        count(images),
                        count(totals[truth]),
                        percent(part)
                    )
                };
                let paint = if images == 0 { Paint::Band } else { Paint::Ramp(step) };
                let inner = grid.cell - grid.gap;
                d.items.push(Item::Rect {
                    x,
                    y,
                    w: inner,
                    h: inner,
                    radius: grid.gap,
                    paint,
                    opacity: 1.0,
                    tip,
                });
                let text = match (images, normalised) {
                    (0, _) => String::new(),
                    (_, false) => images.to_string(),
                    (_, true) if grid.cell > 46.0 => {
                        if part == 1.0 {
                            "100".to_string()
                        } else {
                            format!("{:.1}", part * 100.0)
                        }
                    }
                    (_, true) => format!("{:.0}", part * 100.0),
                };
                let letters = (grid.cell * 0.4)
                    .min(13.0)
                    .min((grid.cell - grid.gap - 3.0) / width(&text, 1.0, false).max(0.1));
                if letters >= 6.5 {
                    let (x, y) = (x + inner / 2.0, y + inner / 2.0 + 0.36 * letters);
                    d.text(Text::new(x, y, text, letters, Paint::RampText(step)).anchor(Anchor::Middle));
                }
            }
        }
        let mut bottom = grid.column_labels(&mut d, classes, top + size as f64 * grid.cell);
        bottom += 12.0;
        let most = if normalised { "100%".to_string() } else { count(highest) };
        let x = grid.left + width("0", look.small, false) + 8.0;
        let step = ((grid.width - x - width(&most, look.small, false) - 8.0) / 33.0).min(4.0);
        d.text(Text::new(x - 8.0, bottom + 9.5, "0", look.small, Paint::Muted).anchor(Anchor::End));
        for index in 0..33 {
            // A hair wider than the step, so that no seam shows.
            d.rect(x + index as f64 * step, bottom, step + 0.4, 10.0, Paint::Ramp(index));
        }
        d.text(Text::new(x + 33.0 * step + 8.0, bottom + 9.5, most, look.small, Paint::Muted));
        d.height = bottom + 16.0;
        d
    })
}

/// Where the cells of a matrix lie.
struct MatrixGrid {
    width: f64,
    left: f64,
    cell: f64,
    gap: f64,
    /// Size of the letters of row and column labels.
    label: f64,
    upright: bool,
    longest: f64,
    every: usize,
}

impl MatrixGrid {
    fn new(look: Look, classes: &[String]) -> Self {
        let size = classes.len().max(1) as f64;
        let longest = classes.iter().map(|class| width(class, look.small, false)).fold(0.0, f64::max);
        let left = longest.min(if look.narrow { 84.0 } else { 150.0 }).max(20.0) + 8.0;
        let cell = ((look.width - left) / size).clamp(if look.narrow { 11.0 } else { 14.0 }, 80.0);
        let label = look.small.min(cell - 2.0).max(9.0);
        let upright = longest <= cell - 6.0;
        Self {
            width: (left + cell * size).max(look.width),
            left,
            cell,
            gap: if cell > 24.0 { 2.0 } else { 1.0 },
            label,
            upright,
            longest,
            every: (label * 1.05 / cell).ceil().max(1.0) as usize,
        }
    }

    fn labelled(&self, index: usize) -> bool {
        index.is_multiple_of(self.every)
    }

    /// Upright where they fit, else slanted; gives the y below them.
    fn column_labels(&self, d: &mut Drawing, classes: &[String], top: f64) -> f64 {
        // Slanted labels need 1.41 times their height from one to the next.
        let every = if self.upright { 1 } else { (self.label * 1.3 / self.cell).ceil().max(1.0) as usize };
        for (index, class) in classes.iter().enumerate().step_by(every) {
            let x = self.left + (index as f64 + 0.5) * self.cell;
            if self.upright {
                d.text(
                    Text::new(x, top + 6.0 + self.label, class, self.label, Paint::Text)
                        .anchor(Anchor::Middle),
                );
            } else {
                let mut text = Text::new(
                    x + 0.3 * self.label,
                    top + 5.0 + 0.6 * self.label,
                    class,
                    self.label,
                    Paint::Text,
                )
                .anchor(Anchor::End);
                text.angle = -45.0;
                // The end must stay on the canvas and the foot must not grow without bound.
                d.text(text.fit(((x - 4.0) * 1.38).min(150.0)));
            }
        }
        if self.upright {
            top + self.label + 8.0
        } else {
            top + 0.72 * self.longest.min(150.0) + 1.3 * self.label + 4.0
        }
    }
}

/// One of a class's scores.
type Score = fn(&ClassScore) -> Estimate;

/// Precision, recall and F1 per class with their intervals.
pub fn per_class(rows: &[ClassScore]) -> Figure {
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
    let caption = "Dots: the estimate; bars: its confidence interval. The number of images of each class stands behind its name.";
    Figure::new("per_class", "Precision, recall and F1 per class", caption, table, |look| {
        let metrics: [(&str, Score); 3] =
            [("Precision", |row| row.precision), ("Recall", |row| row.recall), ("F1", |row| row.f1)];
        let all: Vec<f64> = rows
            .iter()
            .flat_map(|row| metrics.iter().map(move |(_, of)| of(row)))
            .flat_map(|e| [e.value, e.low, e.high])
            .collect();
        let Some((lo, _)) = bounds(all.iter().copied()) else {
            return no_data(look, "no class was evaluated");
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

/// A column of estimates with an axis of its own.
struct Facet {
    title: String,
    scale: Scale,
    format: Format,
    rows: Vec<(Estimate, Paint, Shape)>,
}

/// Facets beside one another with the rows' names on the left.
fn side_by_side(look: Look, names: &[String], facets: &[Facet], columns: usize) -> Drawing {
    const ROW: f64 = 26.0;
    let longest = names.iter().map(|name| width(name, look.small, false)).fold(0.0, f64::max);
    let left = longest.min(190.0) + 14.0;
    let column = (look.width - left) / columns as f64;
    let width_used = left + column * facets.len() as f64;
    let mut d = Drawing::new(look.width, 0.0);
    let top = look.size + 16.0;
    for (index, name) in names.iter().enumerate() {
        let y = top + (index as f64 + 0.5) * ROW;
        if index % 2 == 0 {
            d.rect(0.0, y - ROW / 2.0, width_used, ROW, Paint::Band);
        }
        d.text(
            Text::new(left - 10.0, y + 0.36 * look.small, name, look.small, Paint::Text)
                .anchor(Anchor::End)
                .fit(left - 10.0),
        );
    }
    for (index, facet) in facets.iter().enumerate() {
        let x0 = left + index as f64 * column;
        estimates(&mut d, look, names, facet, (x0 + 12.0, x0 + column - 12.0), top, ROW);
    }
    d.height = top + names.len() as f64 * ROW + look.small + 12.0;
    d
}

/// Facets below one another, each with the rows' names.
fn stacked(look: Look, names: &[String], facets: &[Facet]) -> Drawing {
    const ROW: f64 = 24.0;
    let longest = names.iter().map(|name| width(name, look.small, false)).fold(0.0, f64::max);
    let left = longest.min(150.0) + 10.0;
    let mut d = Drawing::new(look.width, 0.0);
    let mut top = look.size + 14.0;
    for facet in facets {
        for (index, name) in names.iter().enumerate() {
            let y = top + (index as f64 + 0.5) * ROW;
            if index % 2 == 0 {
                d.rect(0.0, y - ROW / 2.0, look.width, ROW, Paint::Band);
            }
            d.text(
                Text::new(left - 8.0, y + 0.36 * look.small, name, look.small, Paint::Text)
                    .anchor(Anchor::End)
                    .fit(left - 8.0),
            );
        }
        estimates(&mut d, look, names, facet, (left + 8.0, look.width - 8.0), top, ROW);
        d.height = top + names.len() as f64 * ROW + look.small + 12.0;
        top = d.height + look.size + 22.0;
    }
    d
}

/// Dots with intervals in rows, the values as numbers on the right.
fn estimates(
    d: &mut Drawing,
    look: Look,
    names: &[String],
    facet: &Facet,
    (x0, x1): (f64, f64),
    top: f64,
    row: f64,
) {
    let write = |value: f64| match facet.format {
        Format::Percent if value.abs() < 100.0 => format!("{:.1}", value * 100.0),
        _ if (0.001..10.0).contains(&value.abs()) => format!("{value:.3}"),
        _ => number(value),
    };
    let written: Vec<String> = facet
        .rows
        .iter()
        .map(|(e, _, _)| if drawable(e.value) { write(e.value) } else { "–".to_string() })
        .collect();
    let numbers = written.iter().map(|text| width(text, look.small, false)).fold(0.0, f64::max);
    let (end, bottom) = (x1 - numbers - 14.0, top + facet.rows.len() as f64 * row);
    let x = |value: f64| x0 + facet.scale.unit(value).clamp(0.0, 1.0) * (end - x0);
    d.text(Text::new(x0, top - 9.0, &facet.title, look.size, Paint::Text).bold().fit(x1 - x0));
    // Few ticks, so that those of neighbours cannot touch.
    let ticks = (1..=4).rev().map(|most| facet.scale.ticks(facet.format, most)).find(|ticks| {
        ticks.windows(2).all(|pair| {
            let room = x(pair[1].value) - x(pair[0].value);
            room >= (width(&pair[0].label, look.small, false) + width(&pair[1].label, look.small, false))
                / 2.0
                + 12.0
        })
    });
    for tick in ticks.unwrap_or_default() {
        let at = x(tick.value);
        d.rule((at, top), (at, bottom), Paint::Grid, 1.0, Dash::Solid);
        let half = width(&tick.label, look.small, false) / 2.0;
        let middle = at.clamp(x0 - 12.0 + half, (x1 - half).max(x0 - 12.0 + half));
        d.text(
            Text::new(middle, bottom + look.small + 5.0, tick.label, look.small, Paint::Muted)
                .anchor(Anchor::Middle),
        );
    }
    for (index, ((estimate, paint, shape), text)) in facet.rows.iter().zip(written).enumerate() {
        let y = top + (index as f64 + 0.5) * row;
        d.text(Text::new(x1, y + 0.36 * look.small, &text, look.small, Paint::Muted).anchor(Anchor::End));
        if !drawable(estimate.value) {
            continue;
        }
        let interval = drawable(estimate.low) && drawable(estimate.high);
        if interval {
            d.items.push(Item::Line {
                runs: vec![vec![(x(estimate.low), y), (x(estimate.high), y)]],
                paint: *paint,
                width: 3.0,
                dash: Dash::Solid,
                opacity: 0.45,
                tip: String::new(),
            });
        }
        let range = if interval {
            format!(", interval {} to {}", write(estimate.low), write(estimate.high))
        } else {
            String::new()
        };
        let name = names.get(index).map_or("", String::as_str);
        d.items.push(Item::Symbol {
            shape: *shape,
            x: x(estimate.value),
            y,
            r: 4.5,
            paint: *paint,
            opacity: 1.0,
            ring: Some(Paint::Surface),
            tip: format!("{name}: {} {text}{range}", facet.title),
            row: None,
        });
    }
}

/// Metrics of several runs with their intervals, one small chart per metric.
pub fn metrics_side_by_side(runs: &[RunMetrics]) -> Figure {
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
    let caption = "Dots: the value on the same test images; bars: its confidence interval. Each metric has its own axis.";
    Figure::new("metrics_side_by_side", "Metrics side by side", caption, table, |look| {
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

/// The commonest confusions as bars, at most ten.
pub fn confusions(pairs: &[ConfusedPair]) -> Figure {
    let table = csv(
        ["truth", "predicted", "count", "share_of_truth"],
        pairs.iter().map(|p| [p.truth.clone(), p.predicted.clone(), p.count.to_string(), cell(p.share)]),
    );
    let caption = "True class → what it was taken for: images, and their share of the true class.";
    Figure::new("confusions", "The commonest confusions", caption, table, |look| {
        let shown: Vec<&ConfusedPair> = pairs.iter().filter(|pair| pair.count > 0).take(10).collect();
        if shown.is_empty() {
            return no_data(look, "no image was confused");
        }
        let names: Vec<String> =
            shown.iter().map(|pair| format!("{} → {}", pair.truth, pair.predicted)).collect();
        let most = shown.iter().map(|pair| pair.count).max().unwrap_or(1) as f64;
        let values: Vec<String> = shown
            .iter()
            .map(|pair| {
                if pair.share.is_finite() {
                    format!("{} ({})", count(pair.count), percent(pair.share))
                } else {
                    count(pair.count)
                }
            })
            .collect();
        let longest = names.iter().map(|name| width(name, look.small, false)).fold(0.0, f64::max);
        let numbers = values.iter().map(|value| width(value, look.small, false)).fold(0.0, f64::max);
        let left = if look.narrow { 0.0 } else { longest.min(330.0) + 12.0 };
        let row = if look.narrow { 42.0 } else { 32.0 };
        let mut d = Drawing::new(look.width, row * shown.len() as f64);
        for (index, pair) in shown.iter().enumerate() {
            let top = index as f64 * row;
            let bar = if look.narrow { top + look.small + 7.0 } else { top + 6.0 };
            let (x, y, anchor) = if look.narrow {
                (0.0, top + look.small, Anchor::Start)
            } else {
                (left - 12.0, top + 16.0 + 0.36 * look.small, Anchor::End)
            };
            let room = if look.narrow { look.width } else { left - 12.0 };
            d.text(Text::new(x, y, &names[index], look.small, Paint::Text).anchor(anchor).fit(room));
            let length = (pair.count as f64 / most * (look.width - left - numbers - 14.0)).max(2.0);
            let h = if look.narrow { 14.0 } else { 20.0 };
            d.items.push(Item::Rect {
                x: left,
                y: bar,
                w: length,
                h,
                radius: 3.0,
                paint: Paint::Series(0),
                opacity: 1.0,
                tip: format!("{}: {}", names[index], values[index]),
            });
            let baseline = bar + h / 2.0 + 0.36 * look.small;
            d.text(Text::new(left + length + 8.0, baseline, &values[index], look.small, Paint::Muted));
        }
        d
    })
}

/// Images per class and split.
pub fn class_counts(classes: &[String], splits: &[SplitCounts]) -> Figure {
    let at = |split: &SplitCounts, class: usize| split.counts.get(class).copied().unwrap_or(0);
    let header: Vec<String> =
        std::iter::once("class".to_string()).chain(splits.iter().map(|split| split.split.clone())).collect();
    let mut table = csv_line(&header);
    for (index, class) in classes.iter().enumerate() {
        let row = splits.iter().map(|split| at(split, index).to_string());
        table.push_str(&csv_line(&std::iter::once(class.clone()).chain(row).collect::<Vec<_>>()));
    }
    let caption = "Images of each class in each split.";
    Figure::new("class_counts", "Images per class", caption, Some(table), |look| {
        let most = splits
            .iter()
            .flat_map(|split| (0..classes.len()).map(move |class| at(split, class)))
            .max()
            .unwrap_or(0);
        if most == 0 {
            return no_data(look, "no images");
        }
        let mut d = Drawing::new(look.width, 0.0);
        let entries: Vec<Legend> = splits
            .iter()
            .enumerate()
            .map(|(index, split)| {
                let total: u64 = (0..classes.len()).map(|class| at(split, class)).sum();
                Legend::new(Swatch::Box, Paint::Series(index), format!("{} ({})", split.split, count(total)))
            })
            .collect();
        let first = legend(&mut d, look, 0.0, 0.0, look.width, &entries) + 6.0;
        let mut top = first;
        let longest = classes.iter().map(|class| width(class, look.small, false)).fold(0.0, f64::max);
        let left = longest.min(if look.narrow { 110.0 } else { 180.0 }) + 12.0;
        let bar = if splits.len() == 1 { 18.0 } else { 14.0 };
        let letters = look.small - 1.0;
        let numbers = width(&count(most), letters, false);
        for (class, name) in classes.iter().enumerate() {
            let height = splits.len() as f64 * bar;
            let baseline = top + height / 2.0 + 0.36 * look.small;
            d.text(
                Text::new(left - 12.0, baseline, name, look.small, Paint::Text)
                    .anchor(Anchor::End)
                    .fit(left - 12.0),
            );
            for (index, split) in splits.iter().enumerate() {
                let images = at(split, class);
                let y = top + index as f64 * bar;
                let length = images as f64 / most as f64 * (look.width - left - numbers - 10.0);
                d.items.push(Item::Rect {
                    x: left,
                    y: y + 0.5,
                    w: if images > 0 { length.max(1.0) } else { 0.0 },
                    h: bar - 1.0,
                    radius: 1.5,
                    paint: Paint::Series(index),
                    opacity: 1.0,
                    tip: format!("{name}, {}: {}", split.split, count(images)),
                });
                let text = Text::new(
                    left + length + 6.0,
                    y + bar / 2.0 + 0.36 * letters,
                    count(images),
                    letters,
                    Paint::Muted,
                );
                d.text(text);
            }
            top += (height + 10.0).max(look.small + 8.0);
        }
        d.rule((left, first - 4.0), (left, top - 6.0), Paint::Axis, 1.0, Dash::Solid);
        d.height = top;
        d
    })
}
