//! Curves of each class against the rest: ROC, precision and recall.

use super::data::ClassCurve;
use super::table::{cell, csv};
use crate::plot::{
    Curve, Dash, Drawing, Figure, Format, Legend, Paint, Panel, Scale, Spec, Swatch, draw_curve, drawable,
    legend, no_data,
};

/// Receiver operating characteristic of each class against the rest.
pub(crate) fn roc(curves: &[ClassCurve]) -> Figure {
    let kind = Kind {
        name: "roc",
        title: "ROC curves",
        caption: "Each class against the rest: true positive rate over false positive rate. \
                  In brackets: area under the curve (AUC). Dashed: chance level.",
        x: "false positive rate",
        y: "true positive rate",
        area: "AUC",
        diagonal: true,
    };
    unit_square(&kind, curves)
}

/// Precision over recall of each class against the rest.
pub(crate) fn precision_recall(curves: &[ClassCurve]) -> Figure {
    let kind = Kind {
        name: "precision_recall",
        title: "Precision–recall curves",
        caption: "Each class against the rest: precision over recall. In brackets: average precision (AP).",
        x: "recall",
        y: "precision",
        area: "AP",
        diagonal: false,
    };
    unit_square(&kind, curves)
}

/// A kind of curve in the unit square.
struct Kind {
    name: &'static str,
    title: &'static str,
    caption: &'static str,
    /// Title of the axis, and with underscores the column of the CSV file.
    x: &'static str,
    y: &'static str,
    /// What the number in brackets is.
    area: &'static str,
    /// Whether the diagonal is chance level.
    diagonal: bool,
}

fn unit_square(kind: &Kind, curves: &[ClassCurve]) -> Figure {
    let area = kind.area;
    let header = ["class", &kind.x.replace(' ', "_"), &kind.y.replace(' ', "_")];
    let table = csv(
        header,
        curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|p| [curve.class.clone(), cell(p.0), cell(p.1)])),
    );
    Figure::new(kind.name, kind.title, kind.caption, table, |look| {
        if !curves.iter().any(|curve| curve.points.iter().any(|p| drawable(p.0) && drawable(p.1))) {
            return no_data(look, "no probabilities were recorded");
        }
        // The class with the greatest area first, as the lines lie.
        let mut order: Vec<usize> = (0..curves.len()).collect();
        order.sort_by(|&a, &b| curves[b].area.total_cmp(&curves[a].area).then(a.cmp(&b)));
        let label = |curve: &ClassCurve| match curve.area.is_finite() {
            true => format!("{} ({area} {:.3})", curve.class, curve.area),
            false => curve.class.clone(),
        };
        let entries: Vec<Legend> = order
            .iter()
            .map(|&index| {
                Legend::new(Swatch::Line(Dash::of_series(index)), Paint::Series(index), label(&curves[index]))
            })
            .collect();
        let mut d = Drawing::new(look.width, 0.0);
        let side = if look.narrow { look.width } else { 480.0 };
        let spec = Spec {
            outer: (0.0, 0.0, side, side),
            title: kind.y,
            x: Scale::linear(0.0, 1.0),
            x_format: Some(Format::Percent),
            x_title: kind.x,
            y: Scale::linear(0.0, 1.0),
            y_format: Format::Percent,
            left: None,
            right: 12.0,
            strip: false,
        };
        let panel = Panel::draw(&mut d, look, &spec);
        if kind.diagonal {
            d.rule((panel.x0, panel.y1), (panel.x1, panel.y0), Paint::Muted, 1.2, Dash::Dashed);
        }
        for &index in order.iter().rev() {
            let dash = Dash::of_series(index);
            draw_curve(
                &mut d,
                &panel,
                Curve { dash, ..Curve::new(&curves[index].points, Paint::Series(index)) },
            );
        }
        let below = if look.narrow {
            side + 10.0 + legend(&mut d, look, 0.0, side + 10.0, look.width, &entries)
        } else {
            // One column; its room is too small for two entries beside one another.
            let x = side + 24.0;
            let mut y = panel.y0;
            for entry in entries.chunks(1) {
                y += legend(&mut d, look, x, y, look.width - x, entry) - 3.0;
            }
            y
        };
        d.height = side.max(below);
        d
    })
}
