//! Loss and accuracy of every batch.

use super::data::BatchPoint;
use super::table::{cell, csv};
use crate::plot::{
    Anchor, Curve, Dash, Drawing, Figure, Format, Item, Legend, Look, Paint, Panel, Scale, Spec, Swatch,
    Text, draw_curve, drawable, envelope, legend, no_data, strip,
};

/// Loss and accuracy of every batch of the run, with the boundaries between epochs.
pub(crate) fn batch_losses(points: &[BatchPoint]) -> Figure {
    let caption = "Training loss and accuracy of each batch. Where there are more batches than pixels, the \
                   band spans the minimum to the maximum and the line is the mean; otherwise the thin line \
                   is each batch and the thick line a moving average.";
    Figure::new("batch_losses", "Loss and accuracy per batch", caption, batches_csv(points), |look| {
        draw(look, points, true)
    })
}

/// Loss and accuracy of every batch of one epoch; `points` may hold other epochs too.
pub(crate) fn epoch_batches(epoch: u32, points: &[BatchPoint]) -> Figure {
    let own: Vec<BatchPoint> = points.iter().copied().filter(|point| point.epoch == epoch).collect();
    let caption = "Training loss and accuracy of each batch (thin) and their moving average (thick).";
    let (name, title) = (format!("batches_epoch_{epoch:03}"), format!("Batches of epoch {epoch}"));
    Figure::new(name, title, caption, batches_csv(&own), |look| draw(look, &own, false))
}

fn draw(look: Look, points: &[BatchPoint], borders: bool) -> Drawing {
    let losses: Vec<f64> = points.iter().map(|point| point.loss).collect();
    let accuracies: Vec<f64> = points.iter().map(|point| point.accuracy).collect();
    if !losses.iter().chain(&accuracies).any(|&value| drawable(value)) {
        return no_data(look, "no batches were recorded");
    }
    let mut d = Drawing::new(look.width, 0.0);
    let dense = points.len() as f64 > look.width * 0.8;
    let entries = if dense {
        [
            Legend::new(Swatch::Line(Dash::Solid), Paint::Neutral, "mean"),
            Legend::new(Swatch::Box, Paint::Axis, "minimum to maximum"),
        ]
    } else {
        [
            Legend::new(Swatch::Line(Dash::Solid), Paint::Neutral, "moving average"),
            Legend::new(Swatch::Thin, Paint::Neutral, "each batch"),
        ]
    };
    let top = legend(&mut d, look, 0.0, 0.0, look.width, &entries);
    let height = if look.narrow { 190.0 } else { 220.0 };
    let loss = Scale::around(losses.iter().copied(), true, None, 5).unwrap_or(Scale::linear(0.0, 1.0));
    let accuracy =
        Scale::around(accuracies.iter().copied(), true, Some(1.0), 5).unwrap_or(Scale::linear(0.0, 1.0));
    let left = [
        Panel::gutter(look, loss, Format::Number, height),
        Panel::gutter(look, accuracy, Format::Percent, height),
        48.0,
    ]
    .into_iter()
    .fold(0.0, f64::max);
    for (index, (title, values, scale, format)) in
        [("Loss", &losses, loss, Format::Number), ("Accuracy", &accuracies, accuracy, Format::Percent)]
            .into_iter()
            .enumerate()
    {
        let lower = index == 1;
        let spec = Spec {
            outer: (
                0.0,
                top + index as f64 * (height + 8.0),
                look.width,
                height + if lower { 36.0 } else { 0.0 },
            ),
            title,
            x: Scale::linear(1.0, points.len() as f64),
            x_format: lower.then_some(Format::Integer),
            x_title: if lower { "batch" } else { "" },
            y: scale,
            y_format: format,
            left: Some(left),
            right: 10.0,
            strip: borders && !lower,
        };
        let panel = Panel::draw(&mut d, look, &spec);
        if borders {
            epoch_borders(&mut d, look, &panel, points, !lower);
        }
        lines(&mut d, &panel, values, dense, Paint::Series(index * 2));
        d.height = spec.outer.1 + spec.outer.3;
    }
    d
}

fn lines(d: &mut Drawing, panel: &Panel, values: &[f64], dense: bool, paint: Paint) {
    let mean: Vec<(f64, f64)> = if dense {
        let parts = envelope(values, ((panel.x1 - panel.x0) / 1.5) as usize);
        let edge = |part: &(f64, f64, f64, f64), value: f64| (panel.x(part.0 + 1.0), panel.y(value));
        let outline: Vec<_> = parts
            .iter()
            .map(|part| edge(part, part.3))
            .chain(parts.iter().rev().map(|part| edge(part, part.1)))
            .collect();
        if outline.len() > 2 {
            d.items.push(Item::Area { outline, paint, opacity: 0.25 });
        }
        parts.iter().map(|part| (part.0 + 1.0, part.2)).collect()
    } else {
        let raw: Vec<(f64, f64)> =
            values.iter().enumerate().map(|(index, &value)| (index as f64 + 1.0, value)).collect();
        draw_curve(d, panel, Curve { width: 1.2, opacity: 0.5, ..Curve::new(&raw, paint) });
        let half = (values.len() / 40).clamp(1, 12);
        (0..values.len())
            .map(|index| {
                let near: Vec<f64> = values[index.saturating_sub(half)..(index + half + 1).min(values.len())]
                    .iter()
                    .copied()
                    .filter(|&value| drawable(value))
                    .collect();
                (index as f64 + 1.0, near.iter().sum::<f64>() / near.len() as f64)
            })
            .collect()
    };
    draw_curve(d, panel, Curve { width: 1.8, ..Curve::new(&mean, paint) });
}

/// A thin line at each epoch's first batch and, above, the epochs' numbers as far as they have room.
fn epoch_borders(d: &mut Drawing, look: Look, panel: &Panel, points: &[BatchPoint], notes: bool) {
    let starts: Vec<usize> = (0..points.len())
        .filter(|&index| index == 0 || points[index].epoch != points[index - 1].epoch)
        .collect();
    // Borders closer than this would be a grey veil.
    let stride = starts.len().div_ceil(((panel.x1 - panel.x0) / 12.0) as usize).max(1);
    let mut numbers = Vec::new();
    for (place, &start) in starts.iter().enumerate().step_by(stride) {
        let x = panel.x(start as f64 + 0.5).max(panel.x0);
        if place > 0 {
            d.rule((x, panel.y0), (x, panel.y1), Paint::Axis, 1.0, Dash::Dotted);
        }
        let end = starts.get(place + stride).map_or(panel.x1, |&next| panel.x(next as f64 + 0.5));
        numbers.push(((x + end) / 2.0, points[start].epoch.to_string(), Paint::Muted));
    }
    if notes {
        strip(d, look, panel, &numbers);
        d.text(
            Text::new(panel.x0 - 8.0, panel.y0 - 12.0, "epoch", look.small, Paint::Muted).anchor(Anchor::End),
        );
    }
}

fn batches_csv(points: &[BatchPoint]) -> Option<String> {
    csv(
        ["step", "epoch", "loss", "accuracy"],
        points.iter().map(|p| [p.step.to_string(), p.epoch.to_string(), cell(p.loss), cell(p.accuracy)]),
    )
}
