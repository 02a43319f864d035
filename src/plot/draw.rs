//! A drawing: marks with colours by meaning, written as SVG for the page (colours are CSS variables) or for a
//! file (fixed colours).

use std::fmt::Write;

use super::color::{self, LIGHT, RAMP, RAMP_LIGHT, SERIES, hex, text_on};
use super::text::{coordinate, width};
use crate::text::escape;

/// A colour by its purpose, so that the page can use another one in the dark theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Surface,
    Text,
    Muted,
    Grid,
    Axis,
    Band,
    Neutral,
    /// Categorical colour; the number may be greater than the palette.
    Series(usize),
    /// Step of the heat map's ramp, 0 to [`RAMP`] − 1.
    Ramp(usize),
    /// Text on that step.
    RampText(usize),
}

impl Paint {
    /// The step of the ramp for a share of 0 to 1.
    pub fn ramp_step(share: f64) -> usize {
        if share.is_finite() { (share.clamp(0.0, 1.0) * (RAMP - 1) as f64).round() as usize } else { 0 }
    }

    fn fixed(self) -> String {
        match self {
            Self::Surface => "#ffffff".into(),
            Self::Text => "#1c2127".into(),
            Self::Muted => "#5b6570".into(),
            Self::Grid => "#e6e9ed".into(),
            Self::Axis => "#aab2bc".into(),
            Self::Band => "#f3f5f7".into(),
            Self::Neutral => "#7d8793".into(),
            Self::Series(index) => hex(LIGHT[index % SERIES]),
            Self::Ramp(step) => hex(RAMP_LIGHT[step.min(RAMP - 1)]),
            Self::RampText(step) => hex(text_on(RAMP_LIGHT[step.min(RAMP - 1)])),
        }
    }

    fn variable(self) -> String {
        match self {
            Self::Surface => "var(--plot-surface)".into(),
            Self::Text => "var(--plot-text)".into(),
            Self::Muted => "var(--plot-muted)".into(),
            Self::Grid => "var(--plot-grid)".into(),
            Self::Axis => "var(--plot-axis)".into(),
            Self::Band => "var(--plot-band)".into(),
            Self::Neutral => "var(--plot-neutral)".into(),
            Self::Series(index) => series_color(index),
            Self::Ramp(step) => format!("var(--plot-ramp-{})", step.min(RAMP - 1)),
            Self::RampText(step) => format!("var(--plot-on-{})", step.min(RAMP - 1)),
        }
    }
}

/// The colour of the class or run with this index, as CSS: `var(--plot-1)` to `var(--plot-8)`, then from the
/// first again.
pub fn series_color(index: usize) -> String {
    format!("var(--plot-{})", index % color::SERIES + 1)
}

/// Which point of a text its x means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Dash pattern of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dash {
    Solid,
    Dashed,
    Dotted,
    Mixed,
}

impl Dash {
    /// Lines that share a colour of the palette get different dashes.
    pub fn of_series(index: usize) -> Self {
        [Self::Solid, Self::Dashed, Self::Dotted, Self::Mixed][index / SERIES % 4]
    }

    fn array(self) -> Option<&'static str> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some("6 4"),
            Self::Dotted => Some("1 4"),
            Self::Mixed => Some("7 3 1 3"),
        }
    }
}

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Shape {
    /// Points that share a colour of the palette get different shapes.
    pub fn of_series(index: usize) -> Self {
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond][index / SERIES % 4]
    }
}

/// One mark.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Lines, each through its points.
    Line { runs: Vec<Vec<(f64, f64)>>, paint: Paint, width: f64, dash: Dash, opacity: f64, tip: String },
    /// A closed outline, filled.
    Area { outline: Vec<(f64, f64)>, paint: Paint, opacity: f64 },
    /// A rectangle; with an opacity of 0 it is a hover area.
    Rect { x: f64, y: f64, w: f64, h: f64, radius: f64, paint: Paint, opacity: f64, tip: String },
    /// A mark at one point.
    Symbol {
        shape: Shape,
        x: f64,
        y: f64,
        r: f64,
        paint: Paint,
        opacity: f64,
        ring: Option<Paint>,
        tip: String,
        row: Option<usize>,
    },
    /// A text on its baseline, turned by `angle` degrees around its anchor.
    Text(Text),
}

/// A text on its baseline.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub x: f64,
    pub y: f64,
    pub text: String,
    pub size: f64,
    pub paint: Paint,
    pub bold: bool,
    pub anchor: Anchor,
    pub angle: f64,
    /// The whole text where `text` was cut.
    pub tip: String,
}

impl Text {
    pub fn new(x: f64, y: f64, text: impl Into<String>, size: f64, paint: Paint) -> Self {
        Self {
            x,
            y,
            text: text.into(),
            size,
            paint,
            bold: false,
            anchor: Anchor::Start,
            angle: 0.0,
            tip: String::new(),
        }
    }

    pub fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// Cut to `room`; the whole text is shown on hover.
    pub fn fit(mut self, room: f64) -> Self {
        let short = super::text::fit(&self.text, self.size, self.bold, room);
        if short != self.text {
            self.tip = std::mem::replace(&mut self.text, short);
        }
        self
    }

    pub fn width(&self) -> f64 {
        width(&self.text, self.size, self.bold)
    }

    /// The corners of the bounding box, in order.
    #[cfg(test)]
    pub fn corners(&self) -> [(f64, f64); 4] {
        let w = self.width();
        let left = match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -w / 2.0,
            Anchor::End => -w,
        };
        let (top, bottom) = (-0.74 * self.size, 0.21 * self.size);
        let (sin, cos) = self.angle.to_radians().sin_cos();
        [(left, top), (left + w, top), (left + w, bottom), (left, bottom)]
            .map(|(dx, dy)| (self.x + cos * dx - sin * dy, self.y + sin * dx + cos * dy))
    }
}

/// Marks on a canvas; the unit is the CSS pixel.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    pub width: f64,
    pub height: f64,
    pub items: Vec<Item>,
}

impl Drawing {
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, items: Vec::new() }
    }

    pub fn text(&mut self, text: Text) {
        if !text.text.is_empty() {
            self.items.push(Item::Text(text));
        }
    }

    /// A thin straight line.
    pub fn rule(&mut self, from: (f64, f64), to: (f64, f64), paint: Paint, width: f64, dash: Dash) {
        self.items.push(Item::Line {
            runs: vec![vec![from, to]],
            paint,
            width,
            dash,
            opacity: 1.0,
            tip: String::new(),
        });
    }

    pub fn rect(&mut self, x: f64, y: f64, w: f64, h: f64, paint: Paint) {
        self.items.push(Item::Rect { x, y, w, h, radius: 0.0, paint, opacity: 1.0, tip: String::new() });
    }

    pub fn dot(&mut self, x: f64, y: f64, r: f64, paint: Paint, tip: impl Into<String>) {
        self.items.push(Item::Symbol {
            shape: Shape::Circle,
            x,
            y,
            r,
            paint,
            opacity: 1.0,
            ring: Some(Paint::Surface),
            tip: tip.into(),
            row: None,
        });
    }

    /// An invisible rectangle that shows `tip` on hover.
    pub fn hover(&mut self, x: f64, y: f64, w: f64, h: f64, tip: String) {
        self.items.push(Item::Rect { x, y, w, h, radius: 0.0, paint: Paint::Surface, opacity: 0.0, tip });
    }

    /// The marks as SVG elements.
    fn body(&self, color: &dyn Fn(Paint) -> String) -> String {
        let mut out = String::new();
        for item in &self.items {
            write_item(&mut out, item, color);
        }
        out
    }
}

/// An inline `<svg>` for the page.
pub(crate) fn page_svg(drawing: &Drawing, class: &str, title: &str, caption: &str) -> String {
    let (w, h) = (coordinate(drawing.width, 0), coordinate(drawing.height.ceil(), 0));
    format!(
        "<svg class=\"figure {class}\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
         role=\"img\" aria-label=\"{}\" stroke-linejoin=\"round\" \
         stroke-linecap=\"round\"><desc>{}</desc>{}</svg>\n",
        escape(title),
        escape(caption),
        drawing.body(&Paint::variable)
    )
}

/// A whole SVG file with title and caption above the marks.
pub(crate) fn file_svg(drawing: &Drawing, title: &str, caption: &str) -> String {
    const EDGE: f64 = 24.0;
    let mut head = Drawing::new(drawing.width, 0.0);
    let mut y = 0.0;
    for line in super::text::wrap(title, 18.0, true, drawing.width) {
        y += 22.0;
        head.text(Text::new(0.0, y - 4.0, line, 18.0, Paint::Text).bold());
    }
    for line in super::text::wrap(caption, 12.5, false, drawing.width) {
        y += 18.0;
        head.text(Text::new(0.0, y - 3.0, line, 12.5, Paint::Muted));
    }
    y += 14.0;
    let (w, h) = (drawing.width + 2.0 * EDGE, (drawing.height + y + 2.0 * EDGE).ceil());
    let (w, h) = (coordinate(w, 0), coordinate(h, 0));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
         role=\"img\" aria-label=\"{}\" \
         font-family=\"Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\" \
         stroke-linejoin=\"round\" stroke-linecap=\"round\"><desc>{}</desc>\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
         <g transform=\"translate({EDGE} {EDGE})\">{}</g>\
         <g transform=\"translate({EDGE} {})\">{}</g></svg>\n",
        escape(title),
        escape(caption),
        head.body(&Paint::fixed),
        coordinate(EDGE + y, 2),
        drawing.body(&Paint::fixed)
    )
}

fn write_item(out: &mut String, item: &Item, color: &dyn Fn(Paint) -> String) {
    let close = |out: &mut String, name: &str, tip: &str| {
        if tip.is_empty() {
            out.push_str("/>");
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "><title>{}</title></{name}>", escape(tip));
        }
    };
    let n = |value: f64| coordinate(value, 1);
    match item {
        Item::Line { runs, paint, width, dash, opacity, tip } => {
            let data: String = runs.iter().filter(|run| run.len() > 1).map(|run| path(run)).collect();
            if data.is_empty() {
                return;
            }
            let _ = write!(
                out,
                "<path d=\"{data}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"",
                color(*paint),
                coordinate(*width, 2)
            );
            if let Some(array) = dash.array() {
                let _ = write!(out, " stroke-dasharray=\"{array}\"");
            }
            if *opacity < 1.0 {
                let _ = write!(out, " stroke-opacity=\"{}\"", coordinate(*opacity, 2));
            }
            close(out, "path", tip);
        }
        Item::Area { outline, paint, opacity } => {
            let _ = write!(
                out,
                "<path d=\"{}z\" fill=\"{}\" fill-opacity=\"{}\"/>",
                path(outline),
                color(*paint),
                coordinate(*opacity, 2)
            );
        }
        Item::Rect { x, y, w, h, radius, paint, opacity, tip } => {
            let _ = write!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"",
                coordinate(*x, 2),
                coordinate(*y, 2),
                coordinate(w.max(0.0), 2),
                coordinate(h.max(0.0), 2),
                color(*paint)
            );
            if *radius > 0.0 {
                let _ = write!(out, " rx=\"{}\"", n(*radius));
            }
            if *opacity < 1.0 {
                let _ = write!(out, " fill-opacity=\"{}\"", coordinate(*opacity, 2));
            }
            close(out, "rect", tip);
        }
        Item::Symbol { shape, x, y, r, paint, opacity, ring, tip, row } => {
            let name = match shape {
                Shape::Circle => {
                    let _ = write!(out, "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"", n(*x), n(*y), n(*r));
                    "circle"
                }
                // Of equal visual weight: a square lies within the circle, a triangle reaches beyond it.
                Shape::Square => {
                    corners(out, *x, *y, &[(-0.89, -0.89), (0.89, -0.89), (0.89, 0.89), (-0.89, 0.89)], *r)
                }
                Shape::Triangle => corners(out, *x, *y, &[(0.0, -1.3), (1.2, 0.8), (-1.2, 0.8)], *r),
                Shape::Diamond => {
                    corners(out, *x, *y, &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)], *r)
                }
            };
            let _ = write!(out, " fill=\"{}\"", color(*paint));
            if *opacity < 1.0 {
                let _ = write!(out, " fill-opacity=\"{}\"", coordinate(*opacity, 2));
            }
            if let Some(ring) = ring {
                let thickness = if *ring == Paint::Surface { 1.0 } else { 1.8 };
                let _ = write!(out, " stroke=\"{}\" stroke-width=\"{thickness}\"", color(*ring));
            }
            if let Some(row) = row {
                let _ = write!(out, " class=\"point\" data-row=\"{row}\"");
            }
            close(out, name, tip);
        }
        Item::Text(text) => {
            let _ =
                write!(out, "<text x=\"{}\" y=\"{}\" font-size=\"{}\"", n(text.x), n(text.y), n(text.size));
            if text.bold {
                out.push_str(" font-weight=\"600\"");
            }
            match text.anchor {
                Anchor::Start => {}
                Anchor::Middle => out.push_str(" text-anchor=\"middle\""),
                Anchor::End => out.push_str(" text-anchor=\"end\""),
            }
            if text.angle != 0.0 {
                let _ = write!(out, " transform=\"rotate({} {} {})\"", n(text.angle), n(text.x), n(text.y));
            }
            let _ = write!(out, " fill=\"{}\">{}", color(text.paint), escape(&text.text));
            if !text.tip.is_empty() {
                let _ = write!(out, "<title>{}</title>", escape(&text.tip));
            }
            out.push_str("</text>");
        }
    }
}

fn corners(out: &mut String, x: f64, y: f64, offsets: &[(f64, f64)], r: f64) -> &'static str {
    let points: Vec<_> = offsets.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect();
    let _ = write!(out, "<path d=\"{}z\"", path(&points));
    "path"
}

/// `M` and `L` with one decimal: a tenth of a pixel is below what can be seen.
fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::with_capacity(points.len() * 10);
    for (index, (x, y)) in points.iter().enumerate() {
        let _ =
            write!(out, "{}{} {}", if index == 0 { "M" } else { "L" }, coordinate(*x, 1), coordinate(*y, 1));
    }
    out
}

/// Checks that all texts lie on the canvas and that none overlaps another, by their estimated bounding boxes.
///
/// # Errors
/// Names the texts that do not.
#[cfg(test)]
pub(crate) fn no_text_overlaps(drawing: &Drawing) -> Result<(), String> {
    let texts: Vec<&Text> = drawing
        .items
        .iter()
        .filter_map(|item| if let Item::Text(text) = item { Some(text) } else { None })
        .collect();
    for (index, text) in texts.iter().enumerate() {
        let box_ = text.corners();
        if box_
            .iter()
            .any(|&(x, y)| x < -1.0 || y < -1.0 || x > drawing.width + 1.0 || y > drawing.height + 1.0)
        {
            return Err(format!(
                "{:?} leaves the canvas of {} × {}: {box_:?}",
                text.text, drawing.width, drawing.height
            ));
        }
        for other in &texts[..index] {
            if overlap(&box_, &other.corners()) {
                return Err(format!(
                    "{:?} touches {:?}: {box_:?} {:?}",
                    text.text,
                    other.text,
                    other.corners()
                ));
            }
        }
    }
    Ok(())
}

/// Separating axes of two rectangles.
#[cfg(test)]
fn overlap(a: &[(f64, f64); 4], b: &[(f64, f64); 4]) -> bool {
    let axes = [a, b]
        .into_iter()
        .flat_map(|r| [(r[1].0 - r[0].0, r[1].1 - r[0].1), (r[3].0 - r[0].0, r[3].1 - r[0].1)]);
    for (dx, dy) in axes {
        let span = |r: &[(f64, f64); 4]| {
            super::scale::bounds(r.iter().map(|p| p.0 * dx + p.1 * dy)).unwrap_or((0.0, 0.0))
        };
        let (a, b) = (span(a), span(b));
        if a.1 <= b.0 + 1e-9 || b.1 <= a.0 + 1e-9 {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_texts_are_found() {
        let mut d = Drawing::new(200.0, 100.0);
        d.text(Text::new(10.0, 50.0, "happy", 12.0, Paint::Text));
        d.text(Text::new(10.0, 64.0, "sad", 12.0, Paint::Text));
        assert_eq!(no_text_overlaps(&d), Ok(()));
        d.text(Text::new(20.0, 55.0, "fear", 12.0, Paint::Text));
        assert!(no_text_overlaps(&d).unwrap_err().contains("\"fear\" touches"));
        let mut d = Drawing::new(20.0, 100.0);
        d.text(Text::new(10.0, 50.0, "happy", 12.0, Paint::Text));
        assert!(no_text_overlaps(&d).is_err());
    }

    #[test]
    fn text_and_tips_are_escaped_and_colours_follow_the_page() {
        let mut d = Drawing::new(100.0, 40.0);
        d.text(Text::new(0.0, 20.0, "<script>", 12.0, Paint::Text));
        d.dot(50.0, 20.0, 3.0, Paint::Series(9), "a & b");
        let page = page_svg(&d, "wide", "\"title\"", "<caption>");
        assert!(
            page.contains("&lt;script&gt;")
                && page.contains("<title>a &amp; b</title>")
                && page.contains("var(--plot-2)")
        );
        assert!(
            page.contains("aria-label=\"&quot;title&quot;\"")
                && !page.contains("<script>")
                && !page.contains("<caption>")
        );
        assert!(file_svg(&d, "t", "c").contains(&hex(LIGHT[1])));
    }
}
