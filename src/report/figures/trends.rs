//! Trends: moving averages, the extremes of the validation curves and the final gap to training.

use super::data::EpochPoint;
use super::epochs::{
    TRAIN, VALID, Value, accuracy_scale, any, column, epoch_scale, hover, loss_scale, marks, marks_explained,
};
use super::table::{cell, csv};
use crate::plot::{
    Curve, Dash, Drawing, Figure, Format, Legend, Paint, Panel, Spec, Swatch, Text, draw_curve, drawable,
    legend, no_data, number, write_value,
};

/// Loss and accuracy with moving averages, the best epoch, lowest and highest validation values and the gap
/// at the end.
pub(crate) fn trends(points: &[EpochPoint], best_epoch: Option<u32>) -> Figure {
    let window = window_of(points.len());
    let caption = format!(
        "Thin: each epoch. Thick: centred moving average over {window} epochs. Dots: lowest and highest \
         validation value. The bracket on the right marks the gap between training and validation in the \
         last epoch. {}",
        marks_explained(points, best_epoch)
    );
    let table = csv(
        [
            "epoch",
            "train_loss",
            "train_loss_mean",
            "val_loss",
            "val_loss_mean",
            "train_accuracy",
            "train_accuracy_mean",
            "val_accuracy",
            "val_accuracy_mean",
        ],
        {
            let values: [Value; 4] =
                [|p| p.train_loss, |p| p.valid_loss, |p| p.train_accuracy, |p| p.valid_accuracy];
            let means = values.map(|value| moving_average(&column(points, value), window));
            points.iter().enumerate().map(move |(index, point)| {
                let [a, b, c, e] = std::array::from_fn(|k| (cell(values[k](point)), cell(means[k][index].1)));
                [point.epoch.to_string(), a.0, a.1, b.0, b.1, c.0, c.1, e.0, e.1]
            })
        },
    );
    Figure::new("trends", "Trends", caption, table, |look| {
        if !any(points) {
            return no_data(look, "no epoch has been completed");
        }
        let mut d = Drawing::new(look.width, 0.0);
        let entries = [
            Legend::new(Swatch::Line(Dash::Solid), TRAIN, "training, moving average"),
            Legend::new(Swatch::Line(Dash::Solid), VALID, "validation, moving average"),
            Legend::new(Swatch::Thin, Paint::Neutral, "each epoch"),
        ];
        let top = legend(&mut d, look, 0.0, 0.0, look.width, &entries) + 4.0;
        let (w, h) = if look.narrow { (look.width, 230.0) } else { ((look.width - 24.0) / 2.0, 280.0) };
        let losses: [Value; 2] = [|p| p.train_loss, |p| p.valid_loss];
        let accuracies: [Value; 2] = [|p| p.train_accuracy, |p| p.valid_accuracy];
        let notes = 2.0 * (look.small + 6.0) + 8.0;
        for (index, (title, values, scale, format)) in [
            ("Loss", losses, loss_scale(points, &losses), Format::Number),
            ("Accuracy", accuracies, accuracy_scale(points, &accuracies), Format::Percent),
        ]
        .into_iter()
        .enumerate()
        {
            let (left, y) = if look.narrow {
                (0.0, top + index as f64 * (h + notes + 12.0))
            } else {
                (index as f64 * (w + 24.0), top)
            };
            let spec = Spec {
                outer: (left, y, w, h),
                title,
                x: epoch_scale(points),
                x_format: Some(Format::Integer),
                x_title: "epoch",
                y: scale,
                y_format: format,
                left: None,
                right: 16.0,
                strip: true,
            };
            let panel = Panel::draw(&mut d, look, &spec);
            marks(&mut d, look, &panel, points, best_epoch);
            for (value, paint) in values.into_iter().zip([TRAIN, VALID]) {
                let raw = column(points, value);
                draw_curve(&mut d, &panel, Curve { width: 1.2, opacity: 0.5, ..Curve::new(&raw, paint) });
                draw_curve(
                    &mut d,
                    &panel,
                    Curve { width: 2.4, ..Curve::new(&moving_average(&raw, window), paint) },
                );
            }
            let write = |value: f64| write_value(value, format);
            let valid: Vec<(f64, f64)> =
                column(points, values[1]).into_iter().filter(|p| panel.y(p.1).is_finite()).collect();
            let lowest = valid.iter().min_by(|a, b| a.1.total_cmp(&b.1));
            let highest = valid.iter().max_by(|a, b| a.1.total_cmp(&b.1));
            if let (Some(low), Some(high)) = (lowest, highest) {
                for (x, value) in [low, high] {
                    d.dot(panel.x(*x), panel.y(*value), 4.5, VALID, format!("epoch {x}: {}", write(*value)));
                }
                let text = format!(
                    "Validation: lowest {} (epoch {}), highest {} (epoch {})",
                    write(low.1),
                    low.0,
                    write(high.1),
                    high.0
                );
                d.text(Text::new(left, y + h + look.small + 4.0, text, look.small, Paint::Muted).fit(w));
            }
            let last = points[points.len() - 1];
            let (train, valid) = (values[0](&last), values[1](&last));
            let (from, to) = (panel.y(train), panel.y(valid));
            if from.is_finite() && to.is_finite() {
                let x = panel.x1 + 9.0;
                for (a, b) in
                    [((x, from), (x, to)), ((x - 3.0, from), (x + 3.0, from)), ((x - 3.0, to), (x + 3.0, to))]
                {
                    d.rule(a, b, Paint::Text, 1.4, Dash::Solid);
                }
                let gap = valid - train;
                let gap = if format == Format::Percent {
                    format!("{} points", number(gap * 100.0))
                } else {
                    number(gap)
                };
                let text = format!("Final gap (validation − training): {gap}");
                d.text(
                    Text::new(left, y + h + 2.0 * look.small + 10.0, text, look.small, Paint::Muted).fit(w),
                );
            }
            hover(&mut d, look, &panel, points);
            d.height = y + h + notes;
        }
        d
    })
}

/// A tenth of the epochs, from 3 to 25, odd.
fn window_of(epochs: usize) -> usize {
    (epochs / 10).clamp(3, 25) | 1
}

/// Mean of the values that can be drawn within `window` points around each point; the window is cut at the
/// ends.
fn moving_average(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let half = window / 2;
    (0..points.len())
        .map(|index| {
            // Symmetric at the ends too: a window that hangs over would follow the curve's inside.
            let reach = half.min(index).min(points.len() - 1 - index);
            let near: Vec<f64> = points[index - reach..=index + reach]
                .iter()
                .map(|point| point.1)
                .filter(|&value| drawable(value))
                .collect();
            let mean = if near.is_empty() { f64::NAN } else { near.iter().sum::<f64>() / near.len() as f64 };
            (points[index].0, mean)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_averages_are_symmetric_and_skip_gaps() {
        let raw = [(1.0, 1.0), (2.0, 2.0), (3.0, 6.0), (4.0, f64::NAN), (5.0, 5.0)];
        let means: Vec<f64> = moving_average(&raw, 3).into_iter().map(|point| point.1).collect();
        assert_eq!(means, [1.0, 3.0, 4.0, 5.5, 5.0]);
        assert_eq!((window_of(1), window_of(55), window_of(1000)), (3, 5, 25));
    }
}
