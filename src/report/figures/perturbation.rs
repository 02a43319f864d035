//! Faithfulness of class activation maps: deletion, insertion and ROAD curves.

use super::data::PerturbationCurve;
use super::table::{cell, csv, slug};
use crate::plot::{
    Curve, Dash, Drawing, Figure, Format, Legend, Paint, Panel, Scale, Spec, Swatch, bounds, draw_curve,
    end_labels, end_labels_fit, legend, no_data, number,
};

/// Mean probability of the class as images are perturbed in the order of the maps of several methods.
pub(crate) fn perturbation(kind: &str, curves: &[PerturbationCurve]) -> Figure {
    let table = csv(
        ["method", "fraction", "probability"],
        curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|p| [curve.method.clone(), cell(p.0), cell(p.1)])),
    );
    let sense = match slug(kind).as_str() {
        "deletion" => {
            "The most important pixels are removed first: the faster the curve falls, the better the map."
        }
        "insertion" => {
            "The most important pixels are inserted first: the faster the curve rises, the better the map."
        }
        "road" => {
            "The most important pixels are replaced by a blend of their neighbours: the faster the curve \
             falls, the better the map."
        }
        _ => "The most important pixels are changed first.",
    };
    let number_is = if slug(kind) == "road" { "ROAD score" } else { "area under the curve" };
    let caption = format!("{sense} In brackets: {number_is}. Grey, dashed: pixels in random order.");
    Figure::new(
        format!("perturbation_{}", slug(kind)),
        format!("Faithfulness of the maps: {kind}"),
        caption,
        table,
        |look| {
            let all = || curves.iter().flat_map(|curve| curve.points.iter().copied());
            let (Some(xs), Some(ys)) =
                (bounds(all().map(|p| p.0)), Scale::around(all().map(|p| p.1), true, Some(1.0), 5))
            else {
                return no_data(look, "no curve was computed");
            };
            let label = |curve: &PerturbationCurve| {
                if curve.area.is_finite() {
                    format!("{} ({})", curve.title, number(curve.area))
                } else {
                    curve.title.clone()
                }
            };
            let labels: Vec<String> = curves.iter().map(label).collect();
            let height = if look.narrow { 280.0 } else { 360.0 };
            let style = |index: usize| {
                if curves[index].method == "random" {
                    (Paint::Neutral, Dash::Dashed)
                } else {
                    // The reference does not use up a colour.
                    let own = curves[..index].iter().filter(|curve| curve.method != "random").count();
                    (Paint::Series(own), Dash::of_series(own))
                }
            };
            let mut d = Drawing::new(look.width, 0.0);
            let direct = end_labels_fit(look, &labels, height - 80.0);
            let top = if direct.is_some() {
                0.0
            } else {
                let entries: Vec<Legend> = (0..curves.len())
                    .map(|index| Legend::new(Swatch::Line(style(index).1), style(index).0, &labels[index]))
                    .collect();
                legend(&mut d, look, 0.0, 0.0, look.width, &entries) + 4.0
            };
            let spec = Spec {
                outer: (0.0, top, look.width, height),
                title: "Probability of the class",
                x: Scale::linear(xs.0, xs.1),
                x_format: Some(Format::Percent),
                x_title: "share of pixels changed",
                y: ys,
                y_format: Format::Percent,
                left: None,
                right: direct.unwrap_or(14.0),
                strip: false,
            };
            let panel = Panel::draw(&mut d, look, &spec);
            let mut ends = Vec::new();
            for (index, curve) in curves.iter().enumerate() {
                let (paint, dash) = style(index);
                draw_curve(&mut d, &panel, Curve { dash, ..Curve::new(&curve.points, paint) });
                if let Some(last) = curve.points.iter().rev().find(|p| panel.y(p.1).is_finite()) {
                    ends.push((panel.y(last.1), paint, labels[index].clone()));
                }
            }
            if direct.is_some() {
                end_labels(&mut d, look, &panel, &ends);
            }
            d.height = top + height;
            d
        },
    )
}
