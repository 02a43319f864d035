//! The figures of a study: values and differences as dots with intervals, and the dose curve.

use crate::plot::{
    Anchor, Curve, Dash, Drawing, Figure, Format, Item, Look, Paint, Panel, Scale, Shape, Spec, Text,
    draw_curve, drawable, no_data, width,
};
use crate::stats::bootstrap::Interval;
use crate::text::csv_line;

/// A row: a value, its interval, and the seeds that it is the mean of.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) value: Interval,
    /// The value of each seed.
    pub(super) seeds: Vec<f64>,
    /// Its colour; `None`: grey.
    pub(super) series: Option<usize>,
}

/// Rows under a heading; headings may be empty.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// What the axis shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Axis {
    /// Fractions, written in percent.
    Share,
    /// Differences of fractions, in percentage points, with a line at 0.
    Points,
}

impl Axis {
    fn write(self, value: f64) -> String {
        match self {
            Self::Share => format!("{:.1}", value * 100.0),
            Self::Points => super::words::points(value),
        }
    }
}

/// Dots with intervals, blocks of rows below one another on one axis.
pub(super) fn intervals(name: &str, title: &str, caption: &str, axis: Axis, blocks: &[Block]) -> Figure {
    let mut csv = csv_line(&["group", "name", "value", "low", "high", "seeds"].map(String::from));
    for block in blocks {
        for row in &block.rows {
            let [value, low, high] =
                [row.value.estimate, row.value.low, row.value.high].map(|value| value.to_string());
            let seeds = row.seeds.iter().map(f64::to_string).collect::<Vec<_>>().join(";");
            csv.push_str(&csv_line(&[block.title.clone(), row.name.clone(), value, low, high, seeds]));
        }
    }
    Figure::new(name, title, caption, Some(csv), |look| draw(look, axis, blocks))
}

fn draw(look: Look, axis: Axis, blocks: &[Block]) -> Drawing {
    const ROW: f64 = 28.0;
    let rows = || blocks.iter().flat_map(|block| &block.rows);
    let reach = rows().flat_map(|row| {
        [row.value.estimate, row.value.low, row.value.high].into_iter().chain(row.seeds.clone())
    });
    let zero = (axis == Axis::Points).then_some(0.0);
    let Some(scale) = Scale::around(reach.chain(zero), false, Some(1.0), 5) else {
        return no_data(look, "there is nothing to show yet");
    };
    let names = rows().map(|row| width(&row.name, look.small, false)).fold(0.0, f64::max);
    let left = names.min(if look.narrow { 104.0 } else { 190.0 }) + 12.0;
    let label = |row: &Row| {
        let Interval { estimate, low, high } = row.value;
        let value = axis.write(estimate);
        if look.narrow { value } else { format!("{value}  ({} to {})", axis.write(low), axis.write(high)) }
    };
    let numbers = rows().map(|row| width(&label(row), look.small, false)).fold(0.0, f64::max);
    let (x0, x1) = (left + 8.0, look.width - numbers - 18.0);
    let x = |value: f64| x0 + scale.unit(value).clamp(0.0, 1.0) * (x1 - x0);
    // The axis counts in percent or points, which is the same.
    let ticks = (1..=6).rev().map(|most| scale.ticks(Format::Percent, most)).find(|ticks| {
        ticks.windows(2).all(|pair| {
            x(pair[1].value) - x(pair[0].value) >= width(&pair[0].label, look.small, false) + 16.0
        })
    });
    let ticks = ticks.unwrap_or_default();

    let mut d = Drawing::new(look.width, 0.0);
    let mut top = 2.0;
    for block in blocks.iter().filter(|block| !block.rows.is_empty()) {
        if !block.title.is_empty() {
            d.text(
                Text::new(0.0, top + look.size, &block.title, look.size, Paint::Text).bold().fit(look.width),
            );
            top += look.size + 10.0;
        }
        let bottom = top + block.rows.len() as f64 * ROW;
        for index in (0..block.rows.len()).step_by(2) {
            d.rect(0.0, top + index as f64 * ROW, look.width, ROW, Paint::Band);
        }
        for tick in &ticks {
            let at = x(tick.value);
            let is_zero = axis == Axis::Points && tick.value.abs() < 1e-9;
            let (paint, weight) = if is_zero { (Paint::Muted, 1.5) } else { (Paint::Grid, 1.0) };
            d.rule((at, top), (at, bottom), paint, weight, Dash::Solid);
            let text = match axis {
                Axis::Share => tick.label.clone(),
                Axis::Points => tick.label.trim_end_matches('%').to_owned(),
            };
            let half = width(&text, look.small, false) / 2.0;
            let middle = at.clamp(half, look.width - half);
            d.text(
                Text::new(middle, bottom + look.small + 5.0, text, look.small, Paint::Muted)
                    .anchor(Anchor::Middle),
            );
        }
        for (index, row) in block.rows.iter().enumerate() {
            let line = Line { y: top + (index as f64 + 0.5) * ROW, name_end: left, label: &label(row) };
            mark(&mut d, look, row, &line, &x);
        }
        d.height = bottom + look.small + 12.0;
        top = d.height + 10.0;
    }
    d
}

/// Where a row is drawn, and the text at its right.
struct Line<'a> {
    /// Its middle.
    y: f64,
    /// Where its name ends.
    name_end: f64,
    label: &'a str,
}

fn mark(d: &mut Drawing, look: Look, row: &Row, line: &Line, x: &dyn Fn(f64) -> f64) {
    let &Line { y, name_end: left, label } = line;
    let paint = row.series.map_or(Paint::Neutral, Paint::Series);
    let shape = row.series.map_or(Shape::Circle, Shape::of_series);
    let baseline = y + 0.36 * look.small;
    d.text(Text::new(left, baseline, &row.name, look.small, Paint::Text).anchor(Anchor::End).fit(left));
    d.text(Text::new(look.width - 2.0, baseline, label, look.small, Paint::Muted).anchor(Anchor::End));
    let Interval { estimate, low, high } = row.value;
    if !drawable(estimate) {
        return;
    }
    if drawable(low) && drawable(high) {
        let runs = vec![vec![(x(low), y), (x(high), y)]];
        d.items.push(Item::Line {
            runs,
            paint,
            width: 3.0,
            dash: Dash::Solid,
            opacity: 0.45,
            tip: String::new(),
        });
    }
    // With one seed, the mean is that seed's value.
    for &seed in row.seeds.iter().filter(|_| row.seeds.len() > 1) {
        d.rule((x(seed), y - 7.0), (x(seed), y + 7.0), paint, 1.5, Dash::Solid);
    }
    d.items.push(Item::Symbol {
        shape,
        x: x(estimate),
        y,
        r: 5.0,
        paint,
        opacity: 1.0,
        ring: Some(Paint::Surface),
        tip: format!("{}: {label}", row.name),
        row: None,
    });
}

/// Accuracy by the number of synthetic images added: (images, accuracy, accuracy of each seed).
pub(super) fn dose(title: &str, caption: &str, points: &[(usize, Interval, Vec<f64>)]) -> Figure {
    let mut csv = csv_line(&["synthetic_images", "accuracy", "low", "high", "seeds"].map(String::from));
    for (images, value, seeds) in points {
        let seeds = seeds.iter().map(f64::to_string).collect::<Vec<_>>().join(";");
        let [value, low, high] = [value.estimate, value.low, value.high].map(|value| value.to_string());
        csv.push_str(&csv_line(&[images.to_string(), value, low, high, seeds]));
    }
    Figure::new("dose", title, caption, Some(csv), |look| {
        let reach = points
            .iter()
            .flat_map(|(_, value, seeds)| [value.low, value.high].into_iter().chain(seeds.clone()));
        let (Some(xs), Some(ys)) = (
            Scale::around(points.iter().map(|point| point.0 as f64), true, None, 5),
            Scale::around(reach, false, Some(1.0), 5),
        ) else {
            return no_data(look, "no finished dose yet");
        };
        let height = if look.narrow { 240.0 } else { 320.0 };
        let mut d = Drawing::new(look.width, height);
        let spec = Spec {
            outer: (0.0, 0.0, look.width, height),
            title: "Accuracy",
            x: xs,
            x_format: Some(Format::Integer),
            x_title: "synthetic images added",
            y: ys,
            y_format: Format::Percent,
            left: None,
            right: 12.0,
            strip: false,
        };
        let panel = Panel::draw(&mut d, look, &spec);
        let line: Vec<(f64, f64)> =
            points.iter().map(|(images, value, _)| (*images as f64, value.estimate)).collect();
        draw_curve(&mut d, &panel, Curve::new(&line, Paint::Series(0)));
        for (images, value, seeds) in points {
            let x = panel.x(*images as f64);
            let runs = vec![vec![(x, panel.y(value.low)), (x, panel.y(value.high))]];
            d.items.push(Item::Line {
                runs,
                paint: Paint::Series(0),
                width: 3.0,
                dash: Dash::Solid,
                opacity: 0.45,
                tip: String::new(),
            });
            for seed in seeds.iter().filter(|_| seeds.len() > 1) {
                d.rule(
                    (x - 6.0, panel.y(*seed)),
                    (x + 6.0, panel.y(*seed)),
                    Paint::Series(0),
                    1.5,
                    Dash::Solid,
                );
            }
            let tip = format!(
                "{images} added: {} % ({} to {})",
                Axis::Share.write(value.estimate),
                Axis::Share.write(value.low),
                Axis::Share.write(value.high)
            );
            d.dot(x, panel.y(value.estimate), 5.0, Paint::Series(0), tip);
        }
        d
    })
}
