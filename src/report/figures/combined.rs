//! Loss and accuracy in one plot with two axes.

use super::data::EpochPoint;
use super::epochs::{
    TRAIN, VALID, Value, any, change_entry, column, epoch_scale, epochs_csv, hover, loss_scale, marks,
    marks_explained,
};
use crate::plot::{
    Anchor, Curve, Dash, Drawing, Figure, Format, Legend, Paint, Panel, Scale, Spec, Swatch, Text,
    draw_curve, legend, no_data, percent, width,
};

/// Loss and accuracy in one plot, with marks where the learning rate changed.
pub(crate) fn combined_curves(points: &[EpochPoint], best_epoch: Option<u32>) -> Figure {
    let caption = format!(
        "Loss on the left axis, accuracy on the right axis; training dashed, validation solid. {}",
        marks_explained(points, best_epoch)
    );
    Figure::new("combined_curves", "Loss and accuracy", caption, epochs_csv(points), |look| {
        if !any(points) {
            return no_data(look, "no epoch has been completed");
        }
        let mut d = Drawing::new(look.width, 0.0);
        let mut entries = vec![
            Legend::new(Swatch::Line(Dash::Dashed), TRAIN, "loss, training"),
            Legend::new(Swatch::Line(Dash::Solid), TRAIN, "loss, validation"),
            Legend::new(Swatch::Line(Dash::Dashed), VALID, "accuracy, training"),
            Legend::new(Swatch::Line(Dash::Solid), VALID, "accuracy, validation"),
        ];
        entries.extend(change_entry(points));
        let top = legend(&mut d, look, 0.0, 0.0, look.width, &entries) + 4.0;
        let mut losses = loss_scale(points, &[|p| p.train_loss, |p| p.valid_loss]);
        if !losses.log && losses.lo == 0.0 {
            // Four or five steps, so that the grid also stands at round percentages.
            let steps = losses.ticks(Format::Number, 7).len().saturating_sub(1);
            if steps > 0 && steps < 4 {
                losses.hi *= 4.0 / steps as f64;
            }
        }
        let right = width("100%", look.small, false) + 14.0;
        let height = if look.narrow { 300.0 } else { 380.0 };
        let spec = Spec {
            outer: (0.0, top, look.width, height),
            title: "Loss",
            x: epoch_scale(points),
            x_format: Some(Format::Integer),
            x_title: "epoch",
            y: losses,
            y_format: Format::Number,
            left: None,
            right,
            strip: true,
        };
        let panel = Panel::draw(&mut d, look, &spec);
        d.text(
            Text::new(look.width, top + look.size, "Accuracy", look.size, Paint::Text)
                .bold()
                .anchor(Anchor::End),
        );
        let shares = Panel { ys: Scale::linear(0.0, 1.0), ..panel };
        let grid = losses.ticks(Format::Number, 7).len().saturating_sub(1);
        let steps = if !losses.log && (grid == 4 || grid == 5) { grid } else { 4 };
        for step in 0..=steps {
            let share = step as f64 / steps as f64;
            let y = shares.y(share) + 0.36 * look.small;
            d.text(Text::new(panel.x1 + 8.0, y, percent(share), look.small, Paint::Muted));
        }
        marks(&mut d, look, &panel, points, best_epoch);
        let lines: [(&Panel, Value, Paint, Dash); 4] = [
            (&panel, |p| p.train_loss, TRAIN, Dash::Dashed),
            (&panel, |p| p.valid_loss, TRAIN, Dash::Solid),
            (&shares, |p| p.train_accuracy, VALID, Dash::Dashed),
            (&shares, |p| p.valid_accuracy, VALID, Dash::Solid),
        ];
        for (panel, value, paint, dash) in lines {
            draw_curve(&mut d, panel, Curve { dash, ..Curve::new(&column(points, value), paint) });
        }
        hover(&mut d, look, &panel, points);
        d.height = top + height;
        d
    })
}
