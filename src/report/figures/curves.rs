//! Curves over epochs.

use super::{EpochPoint, Figure, RunCurves, cell, csv};
use crate::plot::{
    Anchor, Curve, Dash, Drawing, Format, Legend, Look, Paint, Panel, Scale, Spec, Swatch, Text, bounds,
    draw_curve, drawable, end_labels, end_labels_fit, legend, marker, no_data, number, percent, strip, width,
};

const TRAIN: Paint = Paint::Series(0);
const VALID: Paint = Paint::Series(1);

/// So many epochs get a place for the pointer each; beyond, they would be too thin to hit.
const HOVERED: usize = 200;

/// So many changes of the learning rate are marked with triangles; more, as schedules make them, with small
/// ticks.
const FEW: usize = 12;

/// A column of an epoch.
type Value = fn(&EpochPoint) -> f64;

/// Loss, accuracy and learning rate over the epochs, with a summary.
pub fn learning_curves(points: &[EpochPoint], best_epoch: Option<u32>) -> Figure {
    let caption = format!(
        "Training and validation over {}. {}",
        epochs(points.len()),
        marks_explained(points, best_epoch)
    );
    Figure::new("learning_curves", "Learning curves", caption, epochs_csv(points), |look| {
        if !any(points) {
            return no_data(look, "no epoch has ended");
        }
        let (w, h) = if look.narrow { (look.width, 220.0) } else { ((look.width - 24.0) / 2.0, 264.0) };
        let place = |index: usize, top: f64| {
            if look.narrow {
                (0.0, top + index as f64 * (h + 12.0), w, h)
            } else {
                ((index % 2) as f64 * (w + 24.0), top + (index / 2) as f64 * (h + 12.0), w, h)
            }
        };
        let mut d = Drawing::new(look.width, 0.0);
        let top = legend(&mut d, look, 0.0, 0.0, look.width, &legend_of(points)) + 4.0;
        let epochs = epoch_scale(points);
        let losses: [Value; 2] = [|p| p.train_loss, |p| p.valid_loss];
        let accuracies: [Value; 2] = [|p| p.train_accuracy, |p| p.valid_accuracy];
        let panels: [(&str, &[Value], Scale, Format); 3] = [
            ("Loss", &losses, loss_scale(points, &losses), Format::Number),
            ("Accuracy", &accuracies, accuracy_scale(points, &accuracies), Format::Percent),
            ("Learning rate", &[|p| p.learning_rate], rate_scale(points), Format::Number),
        ];
        for (index, (title, values, scale, format)) in panels.into_iter().enumerate() {
            let spec = Spec {
                outer: place(index, top),
                title,
                x: epochs,
                x_format: Some(Format::Integer),
                x_title: "epoch",
                y: scale,
                y_format: format,
                left: None,
                right: 8.0,
                strip: true,
            };
            let panel = Panel::draw(&mut d, look, &spec);
            marks(&mut d, look, &panel, points, best_epoch);
            for (index, value) in values.iter().enumerate() {
                let paint = if values.len() == 1 { Paint::Series(2) } else { [TRAIN, VALID][index] };
                if values.len() == 1 && changes(points).len() <= FEW {
                    draw_curve(&mut d, &panel, Curve::new(&stairs(&column(points, *value)), paint));
                } else {
                    series(&mut d, &panel, points, *value, paint);
                }
            }
            if let (Some(best), [_, valid]) = (find(points, best_epoch), values) {
                best_dot(&mut d, &panel, best, valid(best));
            }
            hover(&mut d, look, &panel, points);
        }
        let bottom = summary(&mut d, look, place(3, top), points, best_epoch);
        d.height = (place(3, top).1 + if look.narrow { 0.0 } else { h }).max(bottom);
        d
    })
}

/// Loss and accuracy in one plot, with the places where the learning rate changed.
pub fn combined_curves(points: &[EpochPoint], best_epoch: Option<u32>) -> Figure {
    let caption = format!(
        "Loss on the left axis, accuracy on the right one; training dashed, validation solid. {}",
        marks_explained(points, best_epoch)
    );
    Figure::new("combined_curves", "Loss and accuracy", caption, epochs_csv(points), |look| {
        if !any(points) {
            return no_data(look, "no epoch has ended");
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

/// Loss and accuracy with moving averages, the best epoch, lowest and highest validation values and the gap
/// at the end.
pub fn trends(points: &[EpochPoint], best_epoch: Option<u32>) -> Figure {
    let window = window_of(points.len());
    let caption = format!(
        "Thin: each epoch. Thick: centred moving average over {window} epochs. Dots: the lowest and the highest validation value. \
         The bracket on the right is the gap between training and validation in the last epoch. {}",
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
            return no_data(look, "no epoch has ended");
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
            let write = |value: f64| crate::plot::write_value(value, format);
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
                let text = format!("Gap at the end (validation − training): {gap}");
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

/// Validation loss and accuracy of several runs over one another.
pub fn curves_overlaid(runs: &[RunCurves]) -> Figure {
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
    let caption = "Validation solid, training thin; a dot marks each run's best epoch.";
    Figure::new("curves_overlaid", "Runs over one another", caption, table, |look| {
        let all: Vec<EpochPoint> = runs.iter().flat_map(|run| run.points.iter().copied()).collect();
        if !any(&all) {
            return no_data(look, "no run has a finished epoch");
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
                    let tip = format!(
                        "{}: epoch {}, {}",
                        run.run,
                        best.epoch,
                        crate::plot::write_value(value, format)
                    );
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

fn epochs(count: usize) -> String {
    if count == 1 { "1 epoch".to_string() } else { format!("{count} epochs") }
}

fn any(points: &[EpochPoint]) -> bool {
    points
        .iter()
        .any(|p| [p.train_loss, p.valid_loss, p.train_accuracy, p.valid_accuracy].into_iter().any(drawable))
}

fn column(points: &[EpochPoint], value: Value) -> Vec<(f64, f64)> {
    points.iter().map(|point| (f64::from(point.epoch), value(point))).collect()
}

fn find(points: &[EpochPoint], epoch: Option<u32>) -> Option<&EpochPoint> {
    points.iter().find(|point| Some(point.epoch) == epoch)
}

fn epoch_scale(points: &[EpochPoint]) -> Scale {
    let (lo, hi) = bounds(points.iter().map(|point| f64::from(point.epoch))).unwrap_or((1.0, 1.0));
    Scale::linear(lo, hi)
}

/// From 0, or logarithmic where a few values dwarf the others.
fn loss_scale(points: &[EpochPoint], values: &[Value]) -> Scale {
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

fn accuracy_scale(points: &[EpochPoint], values: &[Value]) -> Scale {
    let all = || points.iter().flat_map(|point| values.iter().map(move |value| value(point)));
    let zero = bounds(all()).is_some_and(|(lo, _)| lo < 0.6);
    Scale::around(all(), zero, Some(1.0), 5).unwrap_or(Scale::linear(0.0, 1.0))
}

fn rate_scale(points: &[EpochPoint]) -> Scale {
    let all = || points.iter().map(|point| point.learning_rate);
    let wide = bounds(all().filter(|&rate| rate > 0.0)).is_some_and(|(lo, hi)| hi > 20.0 * lo);
    let log =
        if wide && all().all(|rate| rate > 0.0 || !drawable(rate)) { Scale::log_around(all()) } else { None };
    log.or_else(|| Scale::around(all(), true, None, 4)).unwrap_or(Scale::linear(0.0, 1.0))
}

/// Epochs whose learning rate differs from that of the epoch before: (epoch, before, after).
fn changes(points: &[EpochPoint]) -> Vec<(u32, f64, f64)> {
    points
        .windows(2)
        .filter(|pair| {
            let (a, b) = (pair[0].learning_rate, pair[1].learning_rate);
            a.is_finite() && b.is_finite() && (a - b).abs() > 1e-9 * a.abs().max(b.abs())
        })
        .map(|pair| (pair[1].epoch, pair[0].learning_rate, pair[1].learning_rate))
        .collect()
}

fn marks_explained(points: &[EpochPoint], best_epoch: Option<u32>) -> String {
    let changes = match changes(points).len() {
        0 => "The learning rate stayed the same.".to_string(),
        1 => "The learning rate changed once (triangle).".to_string(),
        n @ 2..=FEW => format!("The learning rate changed {n} times (triangles)."),
        n => format!("The learning rate changed {n} times (small ticks above)."),
    };
    match best_epoch {
        Some(epoch) => format!("Best epoch: {epoch}. {changes}"),
        None => changes,
    }
}

fn change_entry(points: &[EpochPoint]) -> Option<Legend> {
    let swatch = match changes(points).len() {
        0 => return None,
        1..=FEW => Swatch::Mark,
        _ => Swatch::Tick,
    };
    Some(Legend::new(swatch, Paint::Muted, "learning rate changed"))
}

fn legend_of(points: &[EpochPoint]) -> Vec<Legend> {
    let mut entries = vec![
        Legend::new(Swatch::Line(Dash::Solid), TRAIN, "training"),
        Legend::new(Swatch::Line(Dash::Solid), VALID, "validation"),
    ];
    entries.extend(change_entry(points));
    entries
}

/// The best epoch as a dashed line, changes of the learning rate as triangles; few changes get a line and a
/// note, too.
fn marks(d: &mut Drawing, look: Look, panel: &Panel, points: &[EpochPoint], best_epoch: Option<u32>) {
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

fn series(d: &mut Drawing, panel: &Panel, points: &[EpochPoint], value: Value, paint: Paint) {
    let all = column(points, value);
    draw_curve(d, panel, Curve::new(&all, paint));
    if (2..=16).contains(&points.len()) {
        for (x, y) in all.into_iter().filter(|point| panel.y(point.1).is_finite()) {
            d.dot(panel.x(x), panel.y(y), 2.8, paint, "");
        }
    }
}

/// Each value holds until the next point.
fn stairs(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let before = std::iter::once(None).chain(points.iter().map(|point| Some(point.1)));
    points
        .iter()
        .zip(before)
        .flat_map(|(&(x, y), before)| before.map(|y| (x, y)).into_iter().chain([(x, y)]))
        .collect()
}

fn best_dot(d: &mut Drawing, panel: &Panel, best: &EpochPoint, value: f64) {
    if panel.y(value).is_finite() {
        d.dot(
            panel.x(f64::from(best.epoch)),
            panel.y(value),
            5.0,
            VALID,
            format!("best: epoch {}", best.epoch),
        );
    }
}

/// Places over the plot that show an epoch's numbers under the pointer.
fn hover(d: &mut Drawing, look: Look, panel: &Panel, points: &[EpochPoint]) {
    if look.narrow || points.len() > HOVERED {
        return;
    }
    let xs: Vec<f64> = points.iter().map(|point| panel.x(f64::from(point.epoch))).collect();
    for (index, point) in points.iter().enumerate() {
        let from = if index == 0 { panel.x0 } else { (xs[index - 1] + xs[index]) / 2.0 };
        let to = xs.get(index + 1).map_or(panel.x1, |next| (xs[index] + next) / 2.0);
        let tip = format!(
            "epoch {}: loss {} training, {} validation; accuracy {} training, {} validation; learning rate {}",
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

/// A small table of what the curves say; gives the y below it.
fn summary(
    d: &mut Drawing,
    look: Look,
    place: (f64, f64, f64, f64),
    points: &[EpochPoint],
    best_epoch: Option<u32>,
) -> f64 {
    let (left, top, w, _) = place;
    let last = points[points.len() - 1];
    let mut rows = vec![("Epochs", points.len().to_string())];
    if let Some(best) = find(points, best_epoch) {
        rows.push(("Best epoch", best.epoch.to_string()));
        rows.push(("Validation loss there", number(best.valid_loss)));
        rows.push(("Validation accuracy there", percent(best.valid_accuracy)));
    }
    rows.push(("Validation accuracy at the end", percent(last.valid_accuracy)));
    rows.push(("Training accuracy at the end", percent(last.train_accuracy)));
    if let Some((lo, hi)) = bounds(points.iter().map(|point| point.learning_rate)) {
        let range = if lo == hi { number(lo) } else { format!("{} to {}", number(lo), number(hi)) };
        rows.push(("Learning rate", range));
    }
    d.text(Text::new(left, top + look.size, "Summary", look.size, Paint::Text).bold());
    let mut y = top + look.size + 12.0;
    for (name, value) in rows {
        d.rule((left, y), (left + w, y), Paint::Grid, 1.0, Dash::Solid);
        let value = Text::new(left + w, y + 17.0, value, look.small, Paint::Text).bold().anchor(Anchor::End);
        d.text(Text::new(left, y + 17.0, name, look.small, Paint::Muted).fit(w - value.width() - 8.0));
        d.text(value);
        y += 26.0;
    }
    y
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

fn epochs_csv(points: &[EpochPoint]) -> Option<String> {
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
    fn moving_averages_are_symmetric_and_skip_gaps() {
        let raw = [(1.0, 1.0), (2.0, 2.0), (3.0, 6.0), (4.0, f64::NAN), (5.0, 5.0)];
        let means: Vec<f64> = moving_average(&raw, 3).into_iter().map(|point| point.1).collect();
        assert_eq!(means, [1.0, 3.0, 4.0, 5.5, 5.0]);
        assert_eq!((window_of(1), window_of(55), window_of(1000)), (3, 5, 25));
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
