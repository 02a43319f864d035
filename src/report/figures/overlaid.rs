//! The curves of several runs in the same axes.

use super::data::{EpochPoint, RunCurves};
use super::epochs::{Value, accuracy_scale, any, column, epoch_scale, find, loss_scale};
use super::table::{cell, csv};
use crate::plot::{
    Curve, Dash, Drawing, Figure, Format, Legend, Paint, Panel, Spec, Swatch, draw_curve, end_labels,
    end_labels_fit, legend, no_data, write_value,
};

/// Loss and accuracy of several runs in the same axes.
pub(crate) fn curves_overlaid(runs: &[RunCurves]) -> Figure {
    let table = csv(
        ["run", "epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate"],
        runs.iter().flat_map(|run| {
            run.points.iter().map(|p| {
                [
                    run.run.clone(),
                    p.epoch.to_string(),
                    cell(p.train_loss),
                    cell(p.valid_loss),
                    cell(p.train_accuracy),
                    cell(p.valid_accuracy),
                    cell(p.learning_rate),
                ]
            })
        }),
    );
    let caption = "Solid: validation. Thin: training. A dot marks the best epoch of each run.";
    Figure::new("curves_overlaid", "Learning curves of all runs", caption, table, |look| {
        let all: Vec<EpochPoint> = runs.iter().flat_map(|run| run.points.iter().copied()).collect();
        if !any(&all) {
            return no_data(look, "no run has completed an epoch");
        }
        let mut d = Drawing::new(look.width, 0.0);
        let names: Vec<String> = runs.iter().map(|run| run.run.clone()).collect();
        let height = if look.narrow { 230.0 } else { 270.0 };
        let direct = end_labels_fit(look, &names, height - 80.0);
        let top = if direct.is_some() {
            0.0
        } else {
            let entries: Vec<Legend> = names
                .iter()
                .enumerate()
                .map(|(index, name)| {
                    Legend::new(Swatch::Line(Dash::of_series(index)), Paint::Series(index), name)
                })
                .collect();
            legend(&mut d, look, 0.0, 0.0, look.width, &entries) + 4.0
        };
        let losses: [Value; 2] = [|p| p.train_loss, |p| p.valid_loss];
        let accuracies: [Value; 2] = [|p| p.train_accuracy, |p| p.valid_accuracy];
        let (loss, accuracy) = (loss_scale(&all, &losses), accuracy_scale(&all, &accuracies));
        let left = Panel::gutter(look, loss, Format::Number, height).max(Panel::gutter(
            look,
            accuracy,
            Format::Percent,
            height,
        ));
        for (index, (title, values, scale, format)) in
            [("Loss", losses, loss, Format::Number), ("Accuracy", accuracies, accuracy, Format::Percent)]
                .into_iter()
                .enumerate()
        {
            let spec = Spec {
                outer: (0.0, top + index as f64 * (height + 12.0), look.width, height),
                title,
                x: epoch_scale(&all),
                x_format: Some(Format::Integer),
                x_title: "epoch",
                y: scale,
                y_format: format,
                left: Some(left),
                right: direct.unwrap_or(10.0),
                strip: false,
            };
            let panel = Panel::draw(&mut d, look, &spec);
            let mut labels = Vec::new();
            for (index, run) in runs.iter().enumerate() {
                let (paint, dash) = (Paint::Series(index), Dash::of_series(index));
                let train = column(&run.points, values[0]);
                draw_curve(
                    &mut d,
                    &panel,
                    Curve { width: 1.0, opacity: 0.45, dash, ..Curve::new(&train, paint) },
                );
            }
            for (index, run) in runs.iter().enumerate() {
                let (paint, dash) = (Paint::Series(index), Dash::of_series(index));
                let valid = column(&run.points, values[1]);
                draw_curve(&mut d, &panel, Curve { dash, ..Curve::new(&valid, paint) });
                if let Some(best) = find(&run.points, run.best_epoch) {
                    let value = values[1](best);
                    let tip = format!("{}: epoch {}, {}", run.run, best.epoch, write_value(value, format));
                    if panel.y(value).is_finite() {
                        d.dot(panel.x(f64::from(best.epoch)), panel.y(value), 4.5, paint, tip);
                    }
                }
                if let Some(last) = valid.iter().rev().find(|point| panel.y(point.1).is_finite()) {
                    let (x, y) = (panel.x(last.0), panel.y(last.1));
                    if direct.is_some() && panel.x1 - x > 3.0 {
                        d.rule((x, y), (panel.x1, y), paint, 1.0, Dash::Dotted);
                    }
                    labels.push((panel.y(last.1), paint, run.run.clone()));
                }
            }
            if direct.is_some() {
                end_labels(&mut d, look, &panel, &labels);
            }
            d.height = spec.outer.1 + height;
        }
        d
    })
}
