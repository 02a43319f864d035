//! What the figures over epochs share: columns, axes, the marks of the best epoch and of the learning rate.

use super::data::EpochPoint;
use super::table::{cell, csv};
use crate::plot::{
    Dash, Drawing, Legend, Look, Paint, Panel, Scale, Swatch, bounds, drawable, marker, number, percent,
    strip,
};

pub(super) const TRAIN: Paint = Paint::Series(0);
pub(super) const VALID: Paint = Paint::Series(1);

/// Up to this many epochs have a hover area each; with more, the areas would be too thin to hit.
const HOVERED: usize = 200;

/// Up to this many changes of the learning rate are marked with triangles; more, as schedules make them, with
/// small ticks.
pub(super) const FEW: usize = 12;

/// A column of an epoch.
pub(super) type Value = fn(&EpochPoint) -> f64;

pub(super) fn any(points: &[EpochPoint]) -> bool {
    points
        .iter()
        .any(|p| [p.train_loss, p.valid_loss, p.train_accuracy, p.valid_accuracy].into_iter().any(drawable))
}

pub(super) fn column(points: &[EpochPoint], value: Value) -> Vec<(f64, f64)> {
    points.iter().map(|point| (f64::from(point.epoch), value(point))).collect()
}

pub(super) fn find(points: &[EpochPoint], epoch: Option<u32>) -> Option<&EpochPoint> {
    points.iter().find(|point| Some(point.epoch) == epoch)
}

pub(super) fn epoch_scale(points: &[EpochPoint]) -> Scale {
    let (lo, hi) = bounds(points.iter().map(|point| f64::from(point.epoch))).unwrap_or((1.0, 1.0));
    Scale::linear(lo, hi)
}

/// From 0, or logarithmic where a few values dwarf the others.
pub(super) fn loss_scale(points: &[EpochPoint], values: &[Value]) -> Scale {
    let mut all: Vec<f64> = points
        .iter()
        .flat_map(|point| values.iter().map(move |value| value(point)))
        .filter(|&value| drawable(value))
        .collect();
    all.sort_by(f64::total_cmp);
    let dwarfed =
        all.first().is_some_and(|&least| least > 0.0) && all[all.len() - 1] > 50.0 * all[all.len() / 2];
    let log = if dwarfed { Scale::log_around(all.iter().copied()) } else { None };
    log.or_else(|| Scale::around(all, true, None, 5)).unwrap_or(Scale::linear(0.0, 1.0))
}

pub(super) fn accuracy_scale(points: &[EpochPoint], values: &[Value]) -> Scale {
    let all = || points.iter().flat_map(|point| values.iter().map(move |value| value(point)));
    let zero = bounds(all()).is_some_and(|(lo, _)| lo < 0.6);
    Scale::around(all(), zero, Some(1.0), 5).unwrap_or(Scale::linear(0.0, 1.0))
}

/// Epochs whose learning rate differs from that of the epoch before: (epoch, before, after).
pub(super) fn changes(points: &[EpochPoint]) -> Vec<(u32, f64, f64)> {
    points
        .windows(2)
        .filter(|pair| {
            let (a, b) = (pair[0].learning_rate, pair[1].learning_rate);
            a.is_finite() && b.is_finite() && (a - b).abs() > 1e-9 * a.abs().max(b.abs())
        })
        .map(|pair| (pair[1].epoch, pair[0].learning_rate, pair[1].learning_rate))
        .collect()
}

pub(super) fn marks_explained(points: &[EpochPoint], best_epoch: Option<u32>) -> String {
    let changes = match changes(points).len() {
        0 => "The learning rate was constant.".to_string(),
        1 => "The learning rate changed once (triangle).".to_string(),
        n @ 2..=FEW => format!("The learning rate changed {n} times (triangles)."),
        n => format!("The learning rate changed {n} times (small ticks at the top)."),
    };
    match best_epoch {
        Some(epoch) => format!("Best epoch: {epoch}. {changes}"),
        None => changes,
    }
}

pub(super) fn change_entry(points: &[EpochPoint]) -> Option<Legend> {
    let swatch = match changes(points).len() {
        0 => return None,
        1..=FEW => Swatch::Mark,
        _ => Swatch::Tick,
    };
    Some(Legend::new(swatch, Paint::Muted, "learning rate changed"))
}

/// The best epoch as a dashed line, changes of the learning rate as triangles; few changes get a line and a
/// note, too.
pub(super) fn marks(
    d: &mut Drawing,
    look: Look,
    panel: &Panel,
    points: &[EpochPoint],
    best_epoch: Option<u32>,
) {
    let mut notes = Vec::new();
    if let Some(best) = find(points, best_epoch) {
        let x = panel.x(f64::from(best.epoch));
        d.rule((x, panel.y0), (x, panel.y1), Paint::Muted, 1.0, Dash::Dashed);
        notes.push((x, format!("best: epoch {}", best.epoch), Paint::Text));
    }
    let changes = changes(points);
    let mut before = f64::NEG_INFINITY;
    for (epoch, from, to) in &changes {
        let x = panel.x(f64::from(*epoch));
        let few = changes.len() <= FEW;
        if x - before < if few { 9.0 } else { 3.0 } {
            continue;
        }
        before = x;
        if !few {
            d.rule((x, panel.y0 - 5.0), (x, panel.y0 - 1.0), Paint::Axis, 1.0, Dash::Solid);
            continue;
        }
        if changes.len() <= 6 {
            d.rule((x, panel.y0), (x, panel.y1), Paint::Axis, 1.0, Dash::Dotted);
            notes.push((x, number(*to), Paint::Muted));
        }
        marker(
            d,
            x,
            panel.y0,
            Paint::Muted,
            format!("epoch {epoch}: learning rate {} → {}", number(*from), number(*to)),
        );
    }
    strip(d, look, panel, &notes);
}

/// Hover areas over the plot that show the numbers of an epoch.
pub(super) fn hover(d: &mut Drawing, look: Look, panel: &Panel, points: &[EpochPoint]) {
    if look.narrow || points.len() > HOVERED {
        return;
    }
    let xs: Vec<f64> = points.iter().map(|point| panel.x(f64::from(point.epoch))).collect();
    for (index, point) in points.iter().enumerate() {
        let from = if index == 0 { panel.x0 } else { (xs[index - 1] + xs[index]) / 2.0 };
        let to = xs.get(index + 1).map_or(panel.x1, |next| (xs[index] + next) / 2.0);
        let tip = format!(
            "epoch {}: loss {} training, {} validation; accuracy {} training, {} validation; learning rate \
             {}",
            point.epoch,
            number(point.train_loss),
            number(point.valid_loss),
            percent(point.train_accuracy),
            percent(point.valid_accuracy),
            number(point.learning_rate)
        );
        d.hover(from, panel.y0, to - from, panel.y1 - panel.y0, tip);
    }
}

pub(super) fn epochs_csv(points: &[EpochPoint]) -> Option<String> {
    csv(
        ["epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate"],
        points.iter().map(|p| {
            [
                p.epoch.to_string(),
                cell(p.train_loss),
                cell(p.valid_loss),
                cell(p.train_accuracy),
                cell(p.valid_accuracy),
                cell(p.learning_rate),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(epoch: u32, rate: f64) -> EpochPoint {
        EpochPoint {
            epoch,
            train_loss: 1.0,
            valid_loss: 2.0,
            train_accuracy: 0.5,
            valid_accuracy: 0.4,
            learning_rate: rate,
        }
    }

    #[test]
    fn changes_of_the_learning_rate_are_found() {
        let points = [point(1, 0.1), point(2, 0.1), point(3, 0.01), point(4, f64::NAN), point(5, 0.01)];
        assert_eq!(changes(&points), [(3, 0.1, 0.01)]);
        assert!(
            marks_explained(&points, Some(2)).starts_with("Best epoch: 2. The learning rate changed once")
        );
    }

    #[test]
    fn a_spike_makes_the_loss_logarithmic() {
        let mut points: Vec<_> = (1..50).map(|epoch| point(epoch, 0.1)).collect();
        let values: [Value; 2] = [|p| p.train_loss, |p| p.valid_loss];
        assert!(!loss_scale(&points, &values).log);
        points[7].train_loss = 1e6;
        assert!(loss_scale(&points, &values).log);
    }
}
