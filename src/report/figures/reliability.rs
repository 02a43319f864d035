//! Reliability diagrams.

use super::data::Calibration;
use super::table::{cell, csv};
use crate::plot::{
    Curve, Dash, Drawing, Figure, Format, Item, Legend, Paint, Panel, Scale, Spec, Swatch, count, draw_curve,
    drawable, legend, no_data, percent,
};

/// Accuracy over confidence, with the share of images at each confidence; optionally before and after
/// calibration.
pub(crate) fn reliability(before: &Calibration, after: Option<&Calibration>) -> Figure {
    let sets: Vec<(&str, &Calibration)> = match after {
        Some(after) => vec![("before calibration", before), ("after calibration", after)],
        None => vec![("model", before)],
    };
    let table = csv(
        ["set", "lower", "upper", "count", "confidence", "accuracy"],
        sets.iter().flat_map(|(name, set)| {
            set.bins.iter().map(|b| {
                [
                    (*name).to_string(),
                    cell(b.lower),
                    cell(b.upper),
                    b.count.to_string(),
                    cell(b.confidence),
                    cell(b.accuracy),
                ]
            })
        }),
    );
    let caption = "Accuracy against confidence, per confidence bin; on the dashed line, the model is \
                   perfectly calibrated. ECE, the expected calibration error: mean distance from that line, \
                   weighted by images. Below: share of images in each bin.";
    Figure::new("reliability", "Reliability diagram", caption, table, |look| {
        if sets.iter().all(|(_, set)| set.bins.iter().all(|bin| bin.count == 0)) {
            return no_data(look, "no images were evaluated");
        }
        let mut d = Drawing::new(look.width, 0.0);
        let entries: Vec<Legend> = sets
            .iter()
            .enumerate()
            .map(|(index, (name, set))| {
                Legend::new(
                    Swatch::Line(Dash::Solid),
                    Paint::Series(index),
                    format!("{name}, ECE {}", percent(set.ece)),
                )
            })
            .collect();
        let w = if look.narrow { look.width } else { 520.0 };
        let (x, top) = if look.narrow {
            (0.0, legend(&mut d, look, 0.0, 0.0, look.width, &entries) + 4.0)
        } else {
            legend(&mut d, look, w + 24.0, 28.0, look.width - w - 24.0, &entries);
            (0.0, 0.0)
        };
        let (high, low) = if look.narrow { (300.0, 110.0) } else { (420.0, 130.0) };
        let spread: Vec<Vec<f64>> = sets
            .iter()
            .map(|(_, set)| {
                let total = set.bins.iter().map(|bin| bin.count).sum::<u64>().max(1) as f64;
                set.bins.iter().map(|bin| bin.count as f64 / total).collect()
            })
            .collect();
        let shares = Scale::around(spread.iter().flatten().copied(), true, Some(1.0), 3)
            .unwrap_or(Scale::linear(0.0, 1.0));
        let left = Panel::gutter(look, Scale::linear(0.0, 1.0), Format::Percent, high).max(Panel::gutter(
            look,
            shares,
            Format::Percent,
            low,
        ));
        let spec = Spec {
            outer: (x, top, w, high),
            title: "Accuracy",
            x: Scale::linear(0.0, 1.0),
            x_format: None,
            x_title: "",
            y: Scale::linear(0.0, 1.0),
            y_format: Format::Percent,
            left: Some(left),
            right: 12.0,
            strip: false,
        };
        let panel = Panel::draw(&mut d, look, &spec);
        d.rule((panel.x0, panel.y1), (panel.x1, panel.y0), Paint::Muted, 1.2, Dash::Dashed);
        for (index, (name, set)) in sets.iter().enumerate() {
            let points: Vec<(f64, f64)> = set
                .bins
                .iter()
                .filter(|bin| bin.count > 0)
                .map(|bin| (bin.confidence, bin.accuracy))
                .collect();
            let known: Vec<(f64, f64)> =
                points.iter().copied().filter(|p| drawable(p.0) && drawable(p.1)).collect();
            for (confidence, accuracy) in &known {
                let (x, y) = (panel.x(*confidence), panel.y(*accuracy));
                d.items.push(Item::Line {
                    runs: vec![vec![(x, y), (x, panel.y(*confidence))]],
                    paint: Paint::Series(index),
                    width: 5.0,
                    dash: Dash::Solid,
                    opacity: 0.22,
                    tip: String::new(),
                });
            }
            draw_curve(&mut d, &panel, Curve::new(&known, Paint::Series(index)));
            for bin in set
                .bins
                .iter()
                .filter(|bin| bin.count > 0 && drawable(bin.confidence) && drawable(bin.accuracy))
            {
                let tip = format!(
                    "{name}, confidence {} to {}: {} images, confidence {}, accuracy {}",
                    percent(bin.lower),
                    percent(bin.upper),
                    count(bin.count),
                    percent(bin.confidence),
                    percent(bin.accuracy)
                );
                d.dot(panel.x(bin.confidence), panel.y(bin.accuracy), 4.5, Paint::Series(index), tip);
            }
        }
        let lower = Spec {
            outer: (x, top + high + 14.0, w, low + 20.0),
            title: "Share of images",
            x_format: Some(Format::Percent),
            x_title: "confidence",
            y: shares,
            ..spec
        };
        let panel = Panel::draw(&mut d, look, &lower);
        for (index, ((_, set), spread)) in sets.iter().zip(&spread).enumerate() {
            for (bin, share) in
                set.bins.iter().zip(spread).filter(|(bin, _)| drawable(bin.lower) && drawable(bin.upper))
            {
                let (from, to) = (panel.x(bin.lower) + 1.5, panel.x(bin.upper) - 1.5);
                let part = (to - from) / sets.len() as f64;
                let (x, y) = (from + index as f64 * part, panel.y(*share));
                d.items.push(Item::Rect {
                    x,
                    y,
                    w: (part - 1.0).max(1.0),
                    h: panel.y1 - y,
                    radius: 0.0,
                    paint: Paint::Series(index),
                    opacity: 1.0,
                    tip: format!("{} images ({})", count(bin.count), percent(*share)),
                });
            }
        }
        d.height = top + high + low + 34.0;
        d
    })
}
