//! Confusion matrices.

use super::table::cell;
use crate::plot::{Anchor, Drawing, Figure, Item, Look, Paint, Text, count, no_data, percent, width};
use crate::text::csv_line;

/// The confusion matrix: rows are true classes, columns predicted classes. `normalised`: each row as
/// fractions of its sum.
pub(crate) fn confusion(counts: &[Vec<u64>], classes: &[String], normalised: bool) -> Figure {
    let size = classes.len();
    let at = |truth: usize, predicted: usize| {
        counts.get(truth).and_then(|row| row.get(predicted)).copied().unwrap_or(0)
    };
    let totals: Vec<u64> =
        (0..size).map(|truth| (0..size).map(|predicted| at(truth, predicted)).sum()).collect();
    let share = |truth: usize, predicted: usize| {
        if totals[truth] > 0 { at(truth, predicted) as f64 / totals[truth] as f64 } else { f64::NAN }
    };
    let mut table =
        csv_line(&std::iter::once("truth".to_string()).chain(classes.iter().cloned()).collect::<Vec<_>>());
    for (truth, class) in classes.iter().enumerate() {
        let row = (0..size).map(|predicted| {
            if normalised { cell(share(truth, predicted)) } else { at(truth, predicted).to_string() }
        });
        table.push_str(&csv_line(&std::iter::once(class.clone()).chain(row).collect::<Vec<_>>()));
    }
    let (name, title, caption) = if normalised {
        (
            "confusion_normalised",
            "Confusion matrix, normalised by true class",
            "Rows: true class; columns: predicted class. Cells are percentages of the row; empty cells are \
             zero.",
        )
    } else {
        (
            "confusion",
            "Confusion matrix, counts",
            "Rows: true class; columns: predicted class. Cells are numbers of images; empty cells are zero.",
        )
    };
    let highest = (0..size).flat_map(|t| (0..size).map(move |p| at(t, p))).max().unwrap_or(0);
    Figure::new(name, title, caption, Some(table), |look| {
        if highest == 0 {
            return no_data(look, "no images were evaluated");
        }
        let grid = MatrixGrid::new(look, classes);
        let mut d = Drawing::new(grid.width, 0.0);
        d.text(
            Text::new(
                0.0,
                look.small + 1.0,
                "rows: true class, columns: predicted class",
                look.small,
                Paint::Muted,
            )
            .fit(grid.width),
        );
        let top = look.small + 12.0;
        for truth in 0..size {
            let y = top + truth as f64 * grid.cell;
            if grid.labelled(truth) {
                let baseline = y + grid.cell / 2.0 + 0.36 * grid.label;
                d.text(
                    Text::new(grid.left - 8.0, baseline, &classes[truth], grid.label, Paint::Text)
                        .anchor(Anchor::End)
                        .fit(grid.left - 8.0),
                );
            }
            for predicted in 0..size {
                let (images, part) = (at(truth, predicted), share(truth, predicted));
                let x = grid.left + predicted as f64 * grid.cell;
                let step = Paint::ramp_step(if normalised { part } else { images as f64 / highest as f64 });
                let tip = if look.narrow {
                    String::new()
                } else {
                    format!(
                        "true {}, predicted {}: {} of {} ({})",
                        classes[truth],
                        classes[predicted],
                        count(images),
                        count(totals[truth]),
                        percent(part)
                    )
                };
                let paint = if images == 0 { Paint::Band } else { Paint::Ramp(step) };
                let inner = grid.cell - grid.gap;
                d.items.push(Item::Rect {
                    x,
                    y,
                    w: inner,
                    h: inner,
                    radius: grid.gap,
                    paint,
                    opacity: 1.0,
                    tip,
                });
                let text = match (images, normalised) {
                    (0, _) => String::new(),
                    (_, false) => images.to_string(),
                    (_, true) if grid.cell > 46.0 => {
                        if part == 1.0 {
                            "100".to_string()
                        } else {
                            format!("{:.1}", part * 100.0)
                        }
                    }
                    (_, true) => format!("{:.0}", part * 100.0),
                };
                let letters = (grid.cell * 0.4)
                    .min(13.0)
                    .min((grid.cell - grid.gap - 3.0) / width(&text, 1.0, false).max(0.1));
                if letters >= 6.5 {
                    let (x, y) = (x + inner / 2.0, y + inner / 2.0 + 0.36 * letters);
                    d.text(Text::new(x, y, text, letters, Paint::RampText(step)).anchor(Anchor::Middle));
                }
            }
        }
        let mut bottom = grid.column_labels(&mut d, classes, top + size as f64 * grid.cell);
        bottom += 12.0;
        let most = if normalised { "100%".to_string() } else { count(highest) };
        let x = grid.left + width("0", look.small, false) + 8.0;
        let step = ((grid.width - x - width(&most, look.small, false) - 8.0) / 33.0).min(4.0);
        d.text(Text::new(x - 8.0, bottom + 9.5, "0", look.small, Paint::Muted).anchor(Anchor::End));
        for index in 0..33 {
            // A hair wider than the step, so that no seam shows.
            d.rect(x + index as f64 * step, bottom, step + 0.4, 10.0, Paint::Ramp(index));
        }
        d.text(Text::new(x + 33.0 * step + 8.0, bottom + 9.5, most, look.small, Paint::Muted));
        d.height = bottom + 16.0;
        d
    })
}

/// Where the cells of a matrix lie.
struct MatrixGrid {
    width: f64,
    left: f64,
    cell: f64,
    gap: f64,
    /// Size of the letters of row and column labels.
    label: f64,
    upright: bool,
    longest: f64,
    every: usize,
}

impl MatrixGrid {
    fn new(look: Look, classes: &[String]) -> Self {
        let size = classes.len().max(1) as f64;
        let longest = classes.iter().map(|class| width(class, look.small, false)).fold(0.0, f64::max);
        let left = longest.min(if look.narrow { 84.0 } else { 150.0 }).max(20.0) + 8.0;
        let cell = ((look.width - left) / size).clamp(if look.narrow { 11.0 } else { 14.0 }, 80.0);
        let label = look.small.min(cell - 2.0).max(9.0);
        let upright = longest <= cell - 6.0;
        Self {
            width: (left + cell * size).max(look.width),
            left,
            cell,
            gap: if cell > 24.0 { 2.0 } else { 1.0 },
            label,
            upright,
            longest,
            every: (label * 1.05 / cell).ceil().max(1.0) as usize,
        }
    }

    fn labelled(&self, index: usize) -> bool {
        index.is_multiple_of(self.every)
    }

    /// Upright where they fit, else slanted; gives the y below them.
    fn column_labels(&self, d: &mut Drawing, classes: &[String], top: f64) -> f64 {
        // Slanted labels need 1.41 times their height from one to the next.
        let every = if self.upright { 1 } else { (self.label * 1.3 / self.cell).ceil().max(1.0) as usize };
        for (index, class) in classes.iter().enumerate().step_by(every) {
            let x = self.left + (index as f64 + 0.5) * self.cell;
            if self.upright {
                d.text(
                    Text::new(x, top + 6.0 + self.label, class, self.label, Paint::Text)
                        .anchor(Anchor::Middle),
                );
            } else {
                let mut text = Text::new(
                    x + 0.3 * self.label,
                    top + 5.0 + 0.6 * self.label,
                    class,
                    self.label,
                    Paint::Text,
                )
                .anchor(Anchor::End);
                text.angle = -45.0;
                // The end must stay on the canvas and the foot must not grow without bound.
                d.text(text.fit(((x - 4.0) * 1.38).min(150.0)));
            }
        }
        if self.upright {
            top + self.label + 8.0
        } else {
            top + 0.72 * self.longest.min(150.0) + 1.3 * self.label + 4.0
        }
    }
}
