//! Images per class and split.

use super::data::SplitCounts;
use crate::plot::{
    Anchor, Dash, Drawing, Figure, Item, Legend, Paint, Swatch, Text, count, legend, no_data, width,
};
use crate::text::csv_line;

/// Images per class and split.
pub(crate) fn class_counts(classes: &[String], splits: &[SplitCounts]) -> Figure {
    let at = |split: &SplitCounts, class: usize| split.counts.get(class).copied().unwrap_or(0);
    let header: Vec<String> =
        std::iter::once("class".to_string()).chain(splits.iter().map(|split| split.split.clone())).collect();
    let mut table = csv_line(&header);
    for (index, class) in classes.iter().enumerate() {
        let row = splits.iter().map(|split| at(split, index).to_string());
        table.push_str(&csv_line(&std::iter::once(class.clone()).chain(row).collect::<Vec<_>>()));
    }
    let caption = "Number of images of each class in each split.";
    Figure::new("class_counts", "Images per class", caption, Some(table), |look| {
        let most = splits
            .iter()
            .flat_map(|split| (0..classes.len()).map(move |class| at(split, class)))
            .max()
            .unwrap_or(0);
        if most == 0 {
            return no_data(look, "no images");
        }
        let mut d = Drawing::new(look.width, 0.0);
        let entries: Vec<Legend> = splits
            .iter()
            .enumerate()
            .map(|(index, split)| {
                let total: u64 = (0..classes.len()).map(|class| at(split, class)).sum();
                Legend::new(Swatch::Box, Paint::Series(index), format!("{} ({})", split.split, count(total)))
            })
            .collect();
        let first = legend(&mut d, look, 0.0, 0.0, look.width, &entries) + 6.0;
        let mut top = first;
        let longest = classes.iter().map(|class| width(class, look.small, false)).fold(0.0, f64::max);
        let left = longest.min(if look.narrow { 110.0 } else { 180.0 }) + 12.0;
        let bar = if splits.len() == 1 { 18.0 } else { 14.0 };
        let letters = look.small - 1.0;
        let numbers = width(&count(most), letters, false);
        for (class, name) in classes.iter().enumerate() {
            let height = splits.len() as f64 * bar;
            let baseline = top + height / 2.0 + 0.36 * look.small;
            d.text(
                Text::new(left - 12.0, baseline, name, look.small, Paint::Text)
                    .anchor(Anchor::End)
                    .fit(left - 12.0),
            );
            for (index, split) in splits.iter().enumerate() {
                let images = at(split, class);
                let y = top + index as f64 * bar;
                let length = images as f64 / most as f64 * (look.width - left - numbers - 10.0);
                d.items.push(Item::Rect {
                    x: left,
                    y: y + 0.5,
                    w: if images > 0 { length.max(1.0) } else { 0.0 },
                    h: bar - 1.0,
                    radius: 1.5,
                    paint: Paint::Series(index),
                    opacity: 1.0,
                    tip: format!("{name}, {}: {}", split.split, count(images)),
                });
                let text = Text::new(
                    left + length + 6.0,
                    y + bar / 2.0 + 0.36 * letters,
                    count(images),
                    letters,
                    Paint::Muted,
                );
                d.text(text);
            }
            top += (height + 10.0).max(look.small + 8.0);
        }
        d.rule((left, first - 4.0), (left, top - 6.0), Paint::Axis, 1.0, Dash::Solid);
        d.height = top;
        d
    })
}
