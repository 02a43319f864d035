//! The most frequent confusions.

use super::data::ConfusedPair;
use super::table::{cell, csv};
use crate::plot::{Anchor, Drawing, Figure, Item, Paint, Text, count, no_data, percent, width};

/// The most frequent confusions as bars, at most ten.
pub(crate) fn confusions(pairs: &[ConfusedPair]) -> Figure {
    let table = csv(
        ["truth", "predicted", "count", "share_of_truth"],
        pairs.iter().map(|p| [p.truth.clone(), p.predicted.clone(), p.count.to_string(), cell(p.share)]),
    );
    let caption = "True class → predicted class: number of images, and their share of the true class.";
    Figure::new("confusions", "Most frequent confusions", caption, table, |look| {
        let shown: Vec<&ConfusedPair> = pairs.iter().filter(|pair| pair.count > 0).take(10).collect();
        if shown.is_empty() {
            return no_data(look, "no images were misclassified");
        }
        let names: Vec<String> =
            shown.iter().map(|pair| format!("{} → {}", pair.truth, pair.predicted)).collect();
        let most = shown.iter().map(|pair| pair.count).max().unwrap_or(1) as f64;
        let values: Vec<String> = shown
            .iter()
            .map(|pair| {
                if pair.share.is_finite() {
                    format!("{} ({})", count(pair.count), percent(pair.share))
                } else {
                    count(pair.count)
                }
            })
            .collect();
        let longest = names.iter().map(|name| width(name, look.small, false)).fold(0.0, f64::max);
        let numbers = values.iter().map(|value| width(value, look.small, false)).fold(0.0, f64::max);
        let left = if look.narrow { 0.0 } else { longest.min(330.0) + 12.0 };
        let row = if look.narrow { 42.0 } else { 32.0 };
        let mut d = Drawing::new(look.width, row * shown.len() as f64);
        for (index, pair) in shown.iter().enumerate() {
            let top = index as f64 * row;
            let bar = if look.narrow { top + look.small + 7.0 } else { top + 6.0 };
            let (x, y, anchor) = if look.narrow {
                (0.0, top + look.small, Anchor::Start)
            } else {
                (left - 12.0, top + 16.0 + 0.36 * look.small, Anchor::End)
            };
            let room = if look.narrow { look.width } else { left - 12.0 };
            d.text(Text::new(x, y, &names[index], look.small, Paint::Text).anchor(anchor).fit(room));
            let length = (pair.count as f64 / most * (look.width - left - numbers - 14.0)).max(2.0);
            let h = if look.narrow { 14.0 } else { 20.0 };
            d.items.push(Item::Rect {
                x: left,
                y: bar,
                w: length,
                h,
                radius: 3.0,
                paint: Paint::Series(0),
                opacity: 1.0,
                tip: format!("{}: {}", names[index], values[index]),
            });
            let baseline = bar + h / 2.0 + 0.36 * look.small;
            d.text(Text::new(left + length + 8.0, baseline, &values[index], look.small, Paint::Muted));
        }
        d
    })
}
