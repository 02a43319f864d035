//! Dot plots of estimates with their intervals, in facets with axes of their own.

use super::data::Estimate;
use crate::plot::{
    Anchor, Dash, Drawing, Format, Item, Look, Paint, Scale, Shape, Text, drawable, number, width,
};

/// A column of estimates with an axis of its own.
pub(super) struct Facet {
    pub(super) title: String,
    pub(super) scale: Scale,
    pub(super) format: Format,
    pub(super) rows: Vec<(Estimate, Paint, Shape)>,
}

/// Facets beside one another with the rows' names on the left.
pub(super) fn side_by_side(look: Look, names: &[String], facets: &[Facet], columns: usize) -> Drawing {
    const ROW: f64 = 26.0;
    let longest = names.iter().map(|name| width(name, look.small, false)).fold(0.0, f64::max);
    let left = longest.min(190.0) + 14.0;
    let column = (look.width - left) / columns as f64;
    let width_used = left + column * facets.len() as f64;
    let mut d = Drawing::new(look.width, 0.0);
    let top = look.size + 16.0;
    for (index, name) in names.iter().enumerate() {
        let y = top + (index as f64 + 0.5) * ROW;
        if index % 2 == 0 {
            d.rect(0.0, y - ROW / 2.0, width_used, ROW, Paint::Band);
        }
        d.text(
            Text::new(left - 10.0, y + 0.36 * look.small, name, look.small, Paint::Text)
                .anchor(Anchor::End)
                .fit(left - 10.0),
        );
    }
    for (index, facet) in facets.iter().enumerate() {
        let x0 = left + index as f64 * column;
        let place = Place { x0: x0 + 12.0, x1: x0 + column - 12.0, top, row: ROW };
        estimates(&mut d, look, names, facet, place);
    }
    d.height = top + names.len() as f64 * ROW + look.small + 12.0;
    d
}

/// Facets below one another, each with the rows' names.
pub(super) fn stacked(look: Look, names: &[String], facets: &[Facet]) -> Drawing {
    const ROW: f64 = 24.0;
    let longest = names.iter().map(|name| width(name, look.small, false)).fold(0.0, f64::max);
    let left = longest.min(150.0) + 10.0;
    let mut d = Drawing::new(look.width, 0.0);
    let mut top = look.size + 14.0;
    for facet in facets {
        for (index, name) in names.iter().enumerate() {
            let y = top + (index as f64 + 0.5) * ROW;
            if index % 2 == 0 {
                d.rect(0.0, y - ROW / 2.0, look.width, ROW, Paint::Band);
            }
            d.text(
                Text::new(left - 8.0, y + 0.36 * look.small, name, look.small, Paint::Text)
                    .anchor(Anchor::End)
                    .fit(left - 8.0),
            );
        }
        let place = Place { x0: left + 8.0, x1: look.width - 8.0, top, row: ROW };
        estimates(&mut d, look, names, facet, place);
        d.height = top + names.len() as f64 * ROW + look.small + 12.0;
        top = d.height + look.size + 22.0;
    }
    d
}

/// Where a facet is drawn: between `x0` and `x1`, its first row at `top`, each row `row` high.
#[derive(Clone, Copy)]
struct Place {
    x0: f64,
    x1: f64,
    top: f64,
    row: f64,
}

/// Dots with intervals in rows, the values as numbers on the right.
fn estimates(d: &mut Drawing, look: Look, names: &[String], facet: &Facet, place: Place) {
    let Place { x0, x1, top, row } = place;
    let write = |value: f64| match facet.format {
        Format::Percent if value.abs() < 100.0 => format!("{:.1}", value * 100.0),
        _ if (0.001..10.0).contains(&value.abs()) => format!("{value:.3}"),
        _ => number(value),
    };
    let written: Vec<String> = facet
        .rows
        .iter()
        .map(|(e, _, _)| if drawable(e.value) { write(e.value) } else { "–".to_string() })
        .collect();
    let numbers = written.iter().map(|text| width(text, look.small, false)).fold(0.0, f64::max);
    let (end, bottom) = (x1 - numbers - 14.0, top + facet.rows.len() as f64 * row);
    let x = |value: f64| x0 + facet.scale.unit(value).clamp(0.0, 1.0) * (end - x0);
    d.text(Text::new(x0, top - 9.0, &facet.title, look.size, Paint::Text).bold().fit(x1 - x0));
    // Few ticks, so that those of neighbours cannot touch.
    let ticks = (1..=4).rev().map(|most| facet.scale.ticks(facet.format, most)).find(|ticks| {
        ticks.windows(2).all(|pair| {
            let room = x(pair[1].value) - x(pair[0].value);
            room >= (width(&pair[0].label, look.small, false) + width(&pair[1].label, look.small, false))
                / 2.0
                + 12.0
        })
    });
    for tick in ticks.unwrap_or_default() {
        let at = x(tick.value);
        d.rule((at, top), (at, bottom), Paint::Grid, 1.0, Dash::Solid);
        let half = width(&tick.label, look.small, false) / 2.0;
        let middle = at.clamp(x0 - 12.0 + half, (x1 - half).max(x0 - 12.0 + half));
        d.text(
            Text::new(middle, bottom + look.small + 5.0, tick.label, look.small, Paint::Muted)
                .anchor(Anchor::Middle),
        );
    }
    for (index, ((estimate, paint, shape), text)) in facet.rows.iter().zip(written).enumerate() {
        let y = top + (index as f64 + 0.5) * row;
        d.text(Text::new(x1, y + 0.36 * look.small, &text, look.small, Paint::Muted).anchor(Anchor::End));
        if !drawable(estimate.value) {
            continue;
        }
        let interval = drawable(estimate.low) && drawable(estimate.high);
        if interval {
            d.items.push(Item::Line {
                runs: vec![vec![(x(estimate.low), y), (x(estimate.high), y)]],
                paint: *paint,
                width: 3.0,
                dash: Dash::Solid,
                opacity: 0.45,
                tip: String::new(),
            });
        }
        let range = if interval {
            format!(", interval {} to {}", write(estimate.low), write(estimate.high))
        } else {
            String::new()
        };
        let name = names.get(index).map_or("", String::as_str);
        d.items.push(Item::Symbol {
            shape: *shape,
            x: x(estimate.value),
            y,
            r: 4.5,
            paint: *paint,
            opacity: 1.0,
            ring: Some(Paint::Surface),
            tip: format!("{name}: {} {text}{range}", facet.title),
            row: None,
        });
    }
}
