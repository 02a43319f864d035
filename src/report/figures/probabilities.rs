//! Figures over probabilities and features.

use super::{Calibration, ClassCurve, Figure, PerturbationCurve, Projected, cell, csv, slug};
use crate::plot::{
    Curve, Dash, Drawing, Format, Item, Legend, Paint, Panel, Scale, Shape, Spec, Swatch, bounds, count,
    draw_curve, drawable, end_labels, end_labels_fit, legend, no_data, number, percent,
};

/// Receiver operating characteristic of each class against all others.
pub fn roc(curves: &[ClassCurve]) -> Figure {
    let caption = "Each class against all others: share of its images that are found (up) at the share of other images taken for it \
                   (right). In brackets the area under the curve. Dashed: guessing.";
    square("roc", "ROC curves", caption, ["false positive rate", "true positive rate"], "AUC", curves, true)
}

/// Precision over recall of each class.
pub fn precision_recall(curves: &[ClassCurve]) -> Figure {
    let caption = "Each class against all others: share of right ones among those predicted (up) at the share of its images that are \
                   found (right). In brackets the average precision.";
    square("precision_recall", "Precision and recall", caption, ["recall", "precision"], "AP", curves, false)
}

fn square(
    name: &str,
    title: &str,
    caption: &str,
    axes: [&str; 2],
    area: &str,
    curves: &[ClassCurve],
    diagonal: bool,
) -> Figure {
    let header = ["class", &axes[0].replace(' ', "_"), &axes[1].replace(' ', "_")];
    let table = csv(
        header,
        curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|p| [curve.class.clone(), cell(p.0), cell(p.1)])),
    );
    Figure::new(name, title, caption, table, |look| {
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
            title: axes[1],
            x: Scale::linear(0.0, 1.0),
            x_format: Some(Format::Percent),
            x_title: axes[0],
            y: Scale::linear(0.0, 1.0),
            y_format: Format::Percent,
            left: None,
            right: 12.0,
            strip: false,
        };
        let panel = Panel::draw(&mut d, look, &spec);
        if diagonal {
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

/// Accuracy over confidence, with the number of images at each confidence; optionally before and after
/// calibration.
pub fn reliability(before: &Calibration, after: Option<&Calibration>) -> Figure {
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
    let caption = "Accuracy of the images whose confidence lies in each bin; on the dashed line, confidence and accuracy agree. ECE: mean \
                   distance from it, in points. Below: how the images spread over the bins.";
    Figure::new("reliability", "Reliability", caption, table, |look| {
        if sets.iter().all(|(_, set)| set.bins.iter().all(|bin| bin.count == 0)) {
            return no_data(look, "no image was evaluated");
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

/// Features in two dimensions; each mark carries its row as `data-row`.
pub fn projection(method: &str, points: &[Projected], classes: &[String]) -> Figure {
    let name_of = |class: usize| classes.get(class).map_or_else(|| format!("class {class}"), Clone::clone);
    let table = csv(
        ["row", "x", "y", "class", "predicted"],
        points
            .iter()
            .map(|p| [p.row.to_string(), cell(p.x), cell(p.y), name_of(p.class), name_of(p.predicted)]),
    );
    let shown: Vec<&Projected> = points.iter().filter(|p| drawable(p.x) && drawable(p.y)).collect();
    let wrong = shown.iter().filter(|p| p.class != p.predicted).count();
    let caption = format!(
        "Features of {} images by {method}; near points look alike to the model. Colour and shape: the true class. A ring: predicted \
         wrongly, in the colour of the prediction ({wrong}). The axes have no unit.",
        count(shown.len() as u64)
    );
    Figure::new(
        format!("projection_{}", slug(method)),
        format!("Features in two dimensions ({method})"),
        caption,
        table,
        |look| {
            let (Some(xs), Some(ys)) = (bounds(shown.iter().map(|p| p.x)), bounds(shown.iter().map(|p| p.y)))
            else {
                return no_data(look, "no features were recorded");
            };
            let mut d = Drawing::new(look.width, 0.0);
            let used: Vec<usize> =
                (0..classes.len()).filter(|class| shown.iter().any(|p| p.class == *class)).collect();
            let entries: Vec<Legend> = used
                .iter()
                .map(|&class| {
                    Legend::new(Swatch::Point(Shape::of_series(class)), Paint::Series(class), &classes[class])
                })
                .collect();
            let top = legend(&mut d, look, 0.0, 0.0, look.width, &entries) + 4.0;
            // One scale for both directions: distances must be comparable.
            let height = if look.narrow { 340.0 } else { 540.0 };
            let (w, h) = (look.width - 24.0, height - 24.0);
            let unit = (w / (xs.1 - xs.0).max(1e-12)).min(h / (ys.1 - ys.0).max(1e-12));
            let (cx, cy) = ((xs.0 + xs.1) / 2.0, (ys.0 + ys.1) / 2.0);
            d.items.push(Item::Rect {
                x: 0.0,
                y: top,
                w: look.width,
                h: height,
                radius: 6.0,
                paint: Paint::Band,
                opacity: 1.0,
                tip: String::new(),
            });
            let r = match shown.len() {
                0..=150 => 4.5,
                151..=600 => 3.6,
                _ => 2.8,
            };
            // Wrong ones last, on top.
            for wrong in [false, true] {
                for point in shown.iter().filter(|p| (p.class != p.predicted) == wrong) {
                    let tip = if wrong {
                        format!("{}, predicted {}", name_of(point.class), name_of(point.predicted))
                    } else {
                        name_of(point.class)
                    };
                    d.items.push(Item::Symbol {
                        shape: Shape::of_series(point.class),
                        x: look.width / 2.0 + (point.x - cx) * unit,
                        y: top + height / 2.0 - (point.y - cy) * unit,
                        r: if wrong { r + 1.0 } else { r },
                        paint: Paint::Series(point.class),
                        opacity: if wrong { 1.0 } else { 0.75 },
                        ring: wrong.then_some(Paint::Series(point.predicted)),
                        tip,
                        row: Some(point.row),
                    });
                }
            }
            d.height = top + height;
            d
        },
    )
}

/// Mean probability of the class while images are changed along the maps of several methods.
pub fn perturbation(kind: &str, curves: &[PerturbationCurve]) -> Figure {
    let table = csv(
        ["method", "fraction", "probability"],
        curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|p| [curve.method.clone(), cell(p.0), cell(p.1)])),
    );
    let sense = match slug(kind).as_str() {
        "deletion" => {
            "The most important pixels are removed first: the sooner the curve falls, the better the map."
        }
        "insertion" => {
            "The most important pixels are shown first: the sooner the curve rises, the better the map."
        }
        "road" => {
            "The most important pixels are replaced by a blend of their neighbours: the sooner the curve falls, the better the map."
        }
        _ => "Images are changed along the map, the most important pixels first.",
    };
    let caption = format!("{sense} Numbers: area under the curve. Grey and dashed: a random order.");
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
                    format!("{} ({})", curve.method, number(curve.area))
                } else {
                    curve.method.clone()
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
                x_title: "share of the image that was changed",
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
