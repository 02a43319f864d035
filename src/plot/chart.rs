//! Parts of charts: panels with axes, curves, legends, and labels at the ends of lines.

use super::draw::{Anchor, Dash, Drawing, Item, Paint, Shape, Text};
use super::scale::{Format, Scale, Tick};
use super::text::width;
use super::thin::{by_column, simplify};

/// Width and sizes of letters of one layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    pub width: f64,
    /// Font size of headings and labels, in pixels.
    pub size: f64,
    /// Font size of ticks and notes, in pixels.
    pub small: f64,
    pub narrow: bool,
}

impl Look {
    pub const WIDE: Self = Self { width: 760.0, size: 13.0, small: 12.0, narrow: false };
    pub const NARROW: Self = Self { width: 360.0, size: 12.5, small: 11.5, narrow: true };
}

/// Description of a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec<'a> {
    /// Left, top, width and height, including headings and labels.
    pub outer: (f64, f64, f64, f64),
    /// Heading on the left above; names the y axis.
    pub title: &'a str,
    pub x: Scale,
    /// `None`: no tick labels (the panel underneath has them).
    pub x_format: Option<Format>,
    pub x_title: &'a str,
    pub y: Scale,
    pub y_format: Format,
    /// Room for the tick labels on the left; `None`: as much as they need.
    pub left: Option<f64>,
    /// Room on the right, for labels of lines or a second axis.
    pub right: f64,
    /// Whether there is room between heading and plot for notes about places on the x axis.
    pub strip: bool,
}

/// A plot area with its axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    pub x0: f64,
    pub y0: f64,
    pub x1: f64,
    pub y1: f64,
    pub xs: Scale,
    pub ys: Scale,
}

impl Panel {
    /// Draws heading, grid, axis and ticks.
    pub fn draw(d: &mut Drawing, look: Look, spec: &Spec) -> Self {
        let (left, top, w, h) = spec.outer;
        let gutter = spec.left.unwrap_or_else(|| Self::gutter(look, spec.y, spec.y_format, h));
        let heading = if spec.title.is_empty() { 8.0 } else { look.size + 12.0 };
        let below = if spec.x_format.is_some() { look.small + 8.0 } else { 4.0 }
            + if spec.x_title.is_empty() { 0.0 } else { look.small + 6.0 };
        let panel = Self {
            x0: left + gutter,
            y0: top + heading + if spec.strip { look.small + 12.0 } else { 0.0 },
            x1: left + w - spec.right.max(6.0),
            y1: top + h - below,
            xs: spec.x,
            ys: spec.y,
        };
        if !spec.title.is_empty() {
            d.text(Text::new(left, top + look.size, spec.title, look.size, Paint::Text).bold().fit(w));
        }
        for tick in spec.y.ticks(spec.y_format, Self::y_ticks(panel.y1 - panel.y0)) {
            let y = panel.y(tick.value);
            d.rule((panel.x0, y), (panel.x1, y), Paint::Grid, 1.0, Dash::Solid);
            d.text(
                Text::new(panel.x0 - 8.0, y + 0.36 * look.small, tick.label, look.small, Paint::Muted)
                    .anchor(Anchor::End)
                    .fit(gutter - 8.0),
            );
        }
        d.rule((panel.x0, panel.y1), (panel.x1, panel.y1), Paint::Axis, 1.0, Dash::Solid);
        if let Some(format) = spec.x_format {
            for tick in panel.x_ticks(look, format) {
                let x = panel.x(tick.value);
                d.rule((x, panel.y1), (x, panel.y1 + 4.0), Paint::Axis, 1.0, Dash::Solid);
                // A label at the very end must not leave the panel's own place.
                let half = width(&tick.label, look.small, false) / 2.0;
                let x = x.clamp(left + half, (left + w - half).max(left + half));
                d.text(
                    Text::new(x, panel.y1 + look.small + 6.0, tick.label, look.small, Paint::Muted)
                        .anchor(Anchor::Middle),
                );
            }
        }
        if !spec.x_title.is_empty() {
            let y = top + h - 3.0;
            d.text(
                Text::new((panel.x0 + panel.x1) / 2.0, y, spec.x_title, look.small, Paint::Muted)
                    .anchor(Anchor::Middle)
                    .fit(panel.x1 - panel.x0),
            );
        }
        panel
    }

    /// Room that the tick labels of a y axis need.
    pub fn gutter(look: Look, scale: Scale, format: Format, height: f64) -> f64 {
        let widest = (2..=Self::y_ticks(height).max(2))
            .flat_map(|most| scale.ticks(format, most))
            .map(|tick| width(&tick.label, look.small, false))
            .fold(0.0, f64::max);
        (widest + 10.0).max(24.0)
    }

    fn y_ticks(height: f64) -> usize {
        ((height / 26.0) as usize).clamp(2, 7)
    }

    /// As many ticks as their labels have room.
    fn x_ticks(&self, look: Look, format: Format) -> Vec<Tick> {
        let span = self.x1 - self.x0;
        for most in (1..=((span / 36.0) as usize).clamp(1, 14)).rev() {
            let ticks = self.xs.ticks(format, most);
            let free = ticks.windows(2).all(|pair| {
                let room = self.x(pair[1].value) - self.x(pair[0].value);
                let half = |tick: &Tick| width(&tick.label, look.small, false) / 2.0;
                // The ends may be pushed inwards by half a label.
                half(&pair[0]) + half(&pair[1]) + 14.0 <= room
            });
            if free {
                return ticks;
            }
        }
        Vec::new()
    }

    pub fn x(&self, value: f64) -> f64 {
        self.x0 + self.xs.unit(value) * (self.x1 - self.x0)
    }

    pub fn y(&self, value: f64) -> f64 {
        self.y1 - self.ys.unit(value) * (self.y1 - self.y0)
    }
}

/// A line through values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Curve<'a> {
    pub points: &'a [(f64, f64)],
    pub paint: Paint,
    pub width: f64,
    pub dash: Dash,
    pub opacity: f64,
}

impl<'a> Curve<'a> {
    pub fn new(points: &'a [(f64, f64)], paint: Paint) -> Self {
        Self { points, paint, width: 2.0, dash: Dash::Solid, opacity: 1.0 }
    }
}

/// Draws a line with gaps where a value cannot be drawn; a value between two gaps becomes a dot. Thinned to
/// what can be seen.
pub(crate) fn draw_curve(d: &mut Drawing, panel: &Panel, curve: Curve) {
    let pixels: Vec<(f64, f64)> = curve
        .points
        .iter()
        .map(|&(x, y)| (panel.x(x), panel.y(y).clamp(panel.y0, panel.y1)))
        .map(|(x, y)| if x.is_finite() && y.is_finite() { (x, y) } else { (f64::NAN, f64::NAN) })
        .collect();
    let mut runs = Vec::new();
    for run in pixels.split(|point| point.0.is_nan()) {
        match run {
            [] => {}
            [(x, y)] => d.dot(*x, *y, 3.0, curve.paint, ""),
            _ => runs.push(simplify(&by_column(run), 0.15)),
        }
    }
    d.items.push(Item::Line {
        runs,
        paint: curve.paint,
        width: curve.width,
        dash: curve.dash,
        opacity: curve.opacity,
        tip: String::new(),
    });
}

/// The symbol of an entry of a legend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Swatch {
    Line(Dash),
    /// A thin and faint line, for raw values behind a mean.
    Thin,
    Point(Shape),
    Box,
    /// A small triangle that points down, as in the strip.
    Mark,
    /// A short upright line, as in the strip.
    Tick,
}

/// An entry of a legend.
#[derive(Clone, Debug)]
pub(crate) struct Legend {
    pub swatch: Swatch,
    pub paint: Paint,
    pub label: String,
}

impl Legend {
    pub fn new(swatch: Swatch, paint: Paint, label: impl Into<String>) -> Self {
        Self { swatch, paint, label: label.into() }
    }
}

/// Draws a legend at (`x`, `y`), at most `room` wide; returns its height. Entries that do not fit in one row
/// are set in columns.
pub(crate) fn legend(d: &mut Drawing, look: Look, x: f64, y: f64, room: f64, entries: &[Legend]) -> f64 {
    const SIGN: f64 = 26.0;
    const GAP: f64 = 18.0;
    let line = look.small + 8.0;
    let widest = entries.iter().map(|entry| width(&entry.label, look.small, false)).fold(0.0, f64::max);
    // In columns as soon as one row does not do.
    let total: f64 = entries.iter().map(|entry| SIGN + width(&entry.label, look.small, false) + GAP).sum();
    let column = if total - GAP <= room { None } else { Some((SIGN + widest + GAP).min(room)) };
    let columns = column.map_or(1, |column| ((room + GAP) / column).floor().max(1.0) as usize);
    let (mut left, mut top) = (x, y);
    for (index, entry) in entries.iter().enumerate() {
        if let Some(column) = column {
            left = x + (index % columns) as f64 * column;
            top = y + (index / columns) as f64 * line;
        }
        draw_swatch(d, entry, left, top + line / 2.0);
        let text = Text::new(
            left + SIGN,
            top + line / 2.0 + 0.36 * look.small,
            &entry.label,
            look.small,
            Paint::Text,
        )
        .fit(column.unwrap_or(room) - SIGN);
        left += SIGN + text.width() + GAP;
        d.text(text);
    }
    if entries.is_empty() { 0.0 } else { top - y + line + 4.0 }
}

fn draw_swatch(d: &mut Drawing, entry: &Legend, x: f64, y: f64) {
    let paint = entry.paint;
    let point = |shape, ring| Item::Symbol {
        shape,
        x: x + 9.0,
        y,
        r: 4.5,
        paint,
        opacity: 1.0,
        ring,
        tip: String::new(),
        row: None,
    };
    match entry.swatch {
        Swatch::Line(dash) => d.rule((x, y), (x + 18.0, y), paint, 2.5, dash),
        Swatch::Thin => {
            d.items.push(Item::Line {
                runs: vec![vec![(x, y), (x + 18.0, y)]],
                paint,
                width: 1.2,
                dash: Dash::Solid,
                opacity: 0.5,
                tip: String::new(),
            });
        }
        Swatch::Point(shape) => d.items.push(point(shape, None)),
        Swatch::Box => d.items.push(Item::Rect {
            x: x + 3.0,
            y: y - 5.5,
            w: 12.0,
            h: 11.0,
            radius: 2.0,
            paint,
            opacity: 1.0,
            tip: String::new(),
        }),
        Swatch::Tick => d.rule((x + 9.0, y - 4.0), (x + 9.0, y + 4.0), paint, 1.2, Dash::Solid),
        Swatch::Mark => marker(d, x + 9.0, y + 3.0, paint, String::new()),
    }
}

/// A small triangle that points down at (`x`, `y`).
pub(crate) fn marker(d: &mut Drawing, x: f64, y: f64, paint: Paint, tip: String) {
    d.items.push(Item::Area {
        outline: vec![(x - 4.0, y - 6.5), (x + 4.0, y - 6.5), (x, y)],
        paint,
        opacity: 1.0,
    });
    if !tip.is_empty() {
        d.hover(x - 5.0, y - 8.0, 10.0, 10.0, tip);
    }
}

/// Writes notes about places on the x axis above the plot; a note that has no room next to those before it is
/// left out.
pub(crate) fn strip(d: &mut Drawing, look: Look, panel: &Panel, notes: &[(f64, String, Paint)]) {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (x, note, paint) in notes {
        let half = width(note, look.small, false) / 2.0;
        if 2.0 * half > panel.x1 - panel.x0 {
            continue;
        }
        let middle = x.clamp(panel.x0 + half, panel.x1 - half);
        let span = (middle - half - 6.0, middle + half + 6.0);
        if taken.iter().all(|other| span.1 <= other.0 || span.0 >= other.1) {
            d.text(Text::new(middle, panel.y0 - 12.0, note, look.small, *paint).anchor(Anchor::Middle));
            taken.push(span);
        }
    }
}

/// Room on the right for labels at the ends of lines; `None` if a legend is better: on a narrow page, or with
/// too many or too long labels.
pub(crate) fn end_labels_fit(look: Look, labels: &[String], height: f64) -> Option<f64> {
    let widest = labels.iter().map(|label| width(label, look.small, true)).fold(0.0, f64::max);
    let fits =
        !look.narrow && widest <= 0.24 * look.width && labels.len() as f64 * look.small * 1.5 <= 0.7 * height;
    fits.then_some(widest + 24.0)
}

/// Writes labels to the right of the plot at the heights where lines end, moved apart where they would
/// overlap.
pub(crate) fn end_labels(d: &mut Drawing, look: Look, panel: &Panel, labels: &[(f64, Paint, String)]) {
    let gap = look.small * 1.35;
    let mut order: Vec<&(f64, Paint, String)> = labels.iter().filter(|label| label.0.is_finite()).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ends: Vec<f64> = order.iter().map(|label| label.0).collect();
    for ((end, paint, text), y) in order.into_iter().zip(spread(&ends, gap, panel.y0, panel.y1)) {
        let (end, y) = (end.clamp(panel.y0, panel.y1), y);
        d.rule((panel.x1 + 3.0, end), (panel.x1 + 13.0, y), *paint, 1.0, Dash::Solid);
        d.text(Text::new(panel.x1 + 16.0, y + 0.36 * look.small, text, look.small, Paint::Text));
    }
}

/// Moves ascending positions apart to at least `gap`, as near to where they were as the order from the top
/// allows, inside `lo..=hi` if they have room there.
pub(crate) fn spread(ascending: &[f64], gap: f64, lo: f64, hi: f64) -> Vec<f64> {
    let mut places: Vec<f64> = ascending.to_vec();
    // Blocks that touch take the mean of their wishes (pool adjacent violators).
    let mut blocks: Vec<(f64, usize)> = Vec::new(); // mean of (wish − index·gap), members
    for (index, wish) in ascending.iter().enumerate() {
        blocks.push((wish - index as f64 * gap, 1));
        while let [.., (a, m), (b, n)] = blocks[..]
            && a > b
        {
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a * m as f64 + b * n as f64) / (m + n) as f64, m + n));
        }
    }
    let last = hi - gap * ascending.len().saturating_sub(1) as f64;
    let mut index = 0;
    for (base, members) in blocks {
        for _ in 0..members {
            places[index] = base.min(last).max(lo) + index as f64 * gap;
            index += 1;
        }
    }
    places
}

/// Placeholder of a figure that has no data.
pub(crate) fn no_data(look: Look, why: &str) -> Drawing {
    let mut d = Drawing::new(look.width, 140.0);
    d.items.push(Item::Rect {
        x: 0.0,
        y: 0.0,
        w: look.width,
        h: 140.0,
        radius: 8.0,
        paint: Paint::Band,
        opacity: 1.0,
        tip: String::new(),
    });
    d.text(Text::new(look.width / 2.0, 66.0, "no data", 16.0, Paint::Muted).bold().anchor(Anchor::Middle));
    d.text(
        Text::new(look.width / 2.0, 88.0, why, look.small, Paint::Muted)
            .anchor(Anchor::Middle)
            .fit(look.width - 40.0),
    );
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_labels_are_moved_apart_in_order_within_the_panel() {
        assert_eq!(spread(&[10.0, 50.0], 12.0, 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(spread(&[50.0, 50.0], 12.0, 0.0, 100.0), [44.0, 56.0]);
        for seed in 0..500u64 {
            let mut wishes: Vec<f64> =
                (0..seed % 7 + 1).map(|k| ((seed * 7919 + k * 104_729) % 1000) as f64 / 10.0).collect();
            wishes.sort_by(f64::total_cmp);
            let places = spread(&wishes, 14.0, 0.0, 100.0);
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 14.0 - 1e-9), "{wishes:?} {places:?}");
            assert!(places[0] >= 0.0 && places[places.len() - 1] <= 100.0 + 1e-9);
        }
    }
}
