//! Learning curves: loss, accuracy and learning rate per epoch, with a summary.

use super::data::EpochPoint;
use super::epochs::{
    FEW, TRAIN, VALID, Value, accuracy_scale, any, change_entry, changes, column, epoch_scale, epochs_csv,
    find, hover, loss_scale, marks, marks_explained,
};
use crate::plot::{
    Anchor, Curve, Dash, Drawing, Figure, Format, Legend, Look, Paint, Panel, Scale, Spec, Swatch, Text,
    bounds, draw_curve, drawable, legend, no_data, number, percent,
};

/// Loss, accuracy and learning rate over the epochs, with a summary.
pub(crate) fn learning_curves(points: &[EpochPoint], best_epoch: Option<u32>) -> Figure {
    let caption = format!(
        "Training and validation over {}. {}",
        epochs(points.len()),
        marks_explained(points, best_epoch)
    );
    Figure::new("learning_curves", "Learning curves", caption, epochs_csv(points), |look| {
        if !any(points) {
            return no_data(look, "no epoch has been completed");
        }
        let (w, h) = if look.narrow { (look.width, 220.0) } else { ((look.width - 24.0) / 2.0, 264.0) };
        let place = |index: usize, top: f64| {
            if look.narrow {
                (0.0, top + index as f64 * (h + 12.0), w, h)
            } else {
                ((index % 2) as f64 * (w + 24.0), top + (index / 2) as f64 * (h + 12.0), w, h)
            }
        };
        let mut d = Drawing::new(look.width, 0.0);
        let top = legend(&mut d, look, 0.0, 0.0, look.width, &legend_of(points)) + 4.0;
        let epochs = epoch_scale(points);
        let losses: [Value; 2] = [|p| p.train_loss, |p| p.valid_loss];
        let accuracies: [Value; 2] = [|p| p.train_accuracy, |p| p.valid_accuracy];
        let panels: [(&str, &[Value], Scale, Format); 3] = [
            ("Loss", &losses, loss_scale(points, &losses), Format::Number),
            ("Accuracy", &accuracies, accuracy_scale(points, &accuracies), Format::Percent),
            ("Learning rate", &[|p| p.learning_rate], rate_scale(points), Format::Number),
        ];
        for (index, (title, values, scale, format)) in panels.into_iter().enumerate() {
            let spec = Spec {
                outer: place(index, top),
                title,
                x: epochs,
                x_format: Some(Format::Integer),
                x_title: "epoch",
                y: scale,
                y_format: format,
                left: None,
                right: 8.0,
                strip: true,
            };
            let panel = Panel::draw(&mut d, look, &spec);
            marks(&mut d, look, &panel, points, best_epoch);
            for (index, value) in values.iter().enumerate() {
                let paint = if values.len() == 1 { Paint::Series(2) } else { [TRAIN, VALID][index] };
                if values.len() == 1 && changes(points).len() <= FEW {
                    draw_curve(&mut d, &panel, Curve::new(&stairs(&column(points, *value)), paint));
                } else {
                    series(&mut d, &panel, points, *value, paint);
                }
            }
            if let (Some(best), [_, valid]) = (find(points, best_epoch), values) {
                best_dot(&mut d, &panel, best, valid(best));
            }
            hover(&mut d, look, &panel, points);
        }
        let bottom = summary(&mut d, look, place(3, top), points, best_epoch);
        d.height = (place(3, top).1 + if look.narrow { 0.0 } else { h }).max(bottom);
        d
    })
}

/// A small table that sums the curves up; gives the y below it.
fn summary(
    d: &mut Drawing,
    look: Look,
    place: (f64, f64, f64, f64),
    points: &[EpochPoint],
    best_epoch: Option<u32>,
) -> f64 {
    let (left, top, w, _) = place;
    let last = points[points.len() - 1];
    let mut rows = vec![("Epochs", points.len().to_string())];
    if let Some(best) = find(points, best_epoch) {
        rows.push(("Best epoch", best.epoch.to_string()));
        rows.push(("Validation loss at best epoch", number(best.valid_loss)));
        rows.push(("Validation accuracy at best epoch", percent(best.valid_accuracy)));
    }
    rows.push(("Final validation accuracy", percent(last.valid_accuracy)));
    rows.push(("Final training accuracy", percent(last.train_accuracy)));
    if let Some((lo, hi)) = bounds(points.iter().map(|point| point.learning_rate)) {
        let range = if lo == hi { number(lo) } else { format!("{} to {}", number(lo), number(hi)) };
        rows.push(("Learning rate", range));
    }
    d.text(Text::new(left, top + look.size, "Summary", look.size, Paint::Text).bold());
    let mut y = top + look.size + 12.0;
    for (name, value) in rows {
        d.rule((left, y), (left + w, y), Paint::Grid, 1.0, Dash::Solid);
        let value = Text::new(left + w, y + 17.0, value, look.small, Paint::Text).bold().anchor(Anchor::End);
        d.text(Text::new(left, y + 17.0, name, look.small, Paint::Muted).fit(w - value.width() - 8.0));
        d.text(value);
        y += 26.0;
    }
    y
}

fn epochs(count: usize) -> String {
    if count == 1 { "1 epoch".to_string() } else { format!("{count} epochs") }
}

fn rate_scale(points: &[EpochPoint]) -> Scale {
    let all = || points.iter().map(|point| point.learning_rate);
    let wide = bounds(all().filter(|&rate| rate > 0.0)).is_some_and(|(lo, hi)| hi > 20.0 * lo);
    let log =
        if wide && all().all(|rate| rate > 0.0 || !drawable(rate)) { Scale::log_around(all()) } else { None };
    log.or_else(|| Scale::around(all(), true, None, 4)).unwrap_or(Scale::linear(0.0, 1.0))
}

fn legend_of(points: &[EpochPoint]) -> Vec<Legend> {
    let mut entries = vec![
        Legend::new(Swatch::Line(Dash::Solid), TRAIN, "training"),
        Legend::new(Swatch::Line(Dash::Solid), VALID, "validation"),
    ];
    entries.extend(change_entry(points));
    entries
}

fn series(d: &mut Drawing, panel: &Panel, points: &[EpochPoint], value: Value, paint: Paint) {
    let all = column(points, value);
    draw_curve(d, panel, Curve::new(&all, paint));
    if (2..=16).contains(&points.len()) {
        for (x, y) in all.into_iter().filter(|point| panel.y(point.1).is_finite()) {
            d.dot(panel.x(x), panel.y(y), 2.8, paint, "");
        }
    }
}

/// Each value holds until the next point.
fn stairs(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let before = std::iter::once(None).chain(points.iter().map(|point| Some(point.1)));
    points
        .iter()
        .zip(before)
        .flat_map(|(&(x, y), before)| before.map(|y| (x, y)).into_iter().chain([(x, y)]))
        .collect()
}

fn best_dot(d: &mut Drawing, panel: &Panel, best: &EpochPoint, value: f64) {
    if panel.y(value).is_finite() {
        d.dot(
            panel.x(f64::from(best.epoch)),
            panel.y(value),
            5.0,
            VALID,
            format!("best: epoch {}", best.epoch),
        );
    }
}
