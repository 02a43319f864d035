//! Table cells that several sections share.

use crate::page::html::{Cell, escape, html, number, percent_interval};
use crate::stats::bootstrap::Interval;
use crate::study::compare::is_clear;
use crate::study::results::{Change, Results, VariantResult};
use crate::study::words::{kind_text, p_text, points};

pub(super) fn name_cell(index: usize, name: &str) -> Cell {
    let color = crate::plot::series_color(index);
    html(
        unbroken(&format!("<span class=\"swatch\" style=\"background:{color}\"></span>{}", escape(name))),
        name,
    )
}

pub(super) fn ends(value: Interval) -> String {
    format!("{} to {}", value.low, value.high)
}

pub(super) fn kind_cell(variant: &VariantResult) -> Cell {
    let kind = kind_text(variant.kind);
    html(unbroken(&escape(&kind)), kind)
}

/// HTML on one line: the table scrolls instead.
pub(super) fn unbroken(html: &str) -> String {
    format!("<span style=\"white-space:nowrap\">{html}</span>")
}

pub(super) fn between(value: Interval) -> Cell {
    html(unbroken(&percent_interval([value.low, value.high])), ends(value))
}

/// The change, its interval, p.
pub(super) fn change_cells(change: &Change, level: f64) -> [Cell; 3] {
    let Interval { estimate, low, high } = change.difference;
    let shown = points(estimate);
    let shown = if is_clear(change, level) { format!("<strong>{shown}</strong>") } else { shown };
    [
        html(format!("<span class=\"n\">{shown}</span>"), estimate.to_string()),
        html(unbroken(&format!("{} to {}", points(low), points(high))), ends(change.difference)),
        number(p_text(change.p_holm), change.p_holm),
    ]
}

pub(super) fn place(results: &Results, name: &str) -> usize {
    results.variants.iter().position(|variant| variant.name == name).unwrap_or(0)
}
