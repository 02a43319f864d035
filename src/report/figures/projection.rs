//! Features projected to two dimensions.

use super::data::Projected;
use super::table::{cell, csv, slug};
use crate::plot::{
    Drawing, Figure, Item, Legend, Paint, Shape, Swatch, bounds, count, drawable, legend, no_data,
};

/// Features projected to two dimensions; each mark carries its row as `data-row`.
pub(crate) fn projection(method: &str, points: &[Projected], classes: &[String]) -> Figure {
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
        "Features of {} images, projected by {method}; images that lie close together look similar to the \
         model. Colour and shape: true class. Ring: misclassified ({wrong}), in the colour of the predicted \
         class. The axes have no unit.",
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
                        format!("{} → {}", name_of(point.class), name_of(point.predicted))
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
