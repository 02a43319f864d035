//! Charts: a small set of marks with colours by meaning, written as SVG and PNG.
//!
//! A [`Figure`] is laid out twice, for a wide and for a narrow page. On the page its colours are CSS
//! variables ([`PAGE_CSS`]), so that it follows the light and the dark theme; in files they are fixed, light,
//! on white.
//!
//! Written here because `plotters` draws fixed colours at one fixed size: a figure of a page must take its
//! colours from CSS, carry hover texts and rows of data, and have a narrow layout.
//!
//! **Invariant:** the same figure gives the same bytes on every machine.

mod chart;
mod color;
mod draw;
mod raster;
mod scale;
mod text;
mod thin;

pub use color::colormap;
pub use draw::series_color;
pub use raster::font_css;
pub(crate) use raster::pixels;

pub(crate) use chart::{
    Curve, Legend, Look, Panel, Spec, Swatch, draw_curve, end_labels, end_labels_fit, legend, marker,
    no_data, strip,
};
#[cfg(test)]
pub(crate) use draw::no_text_overlaps;
pub(crate) use draw::{Anchor, Dash, Drawing, Item, Paint, Shape, Text};
pub(crate) use scale::{Format, Scale, bounds, drawable, write_value};
pub(crate) use text::{count, number, percent, width};
pub(crate) use thin::envelope;

use crate::error::Result;

/// The style sheet that [`Figure::page_svg`] needs; it goes once into the `<style>` of the page.
///
/// It sets variables on `:root`, for light, for dark (`prefers-color-scheme: dark`, unless `<html
/// data-theme="light">`; or `<html data-theme="dark">`), and light again in print: `--plot-surface` (ground
/// of a figure), `--plot-text`, `--plot-muted`, `--plot-grid`, `--plot-axis`, `--plot-band` (faint fill),
/// `--plot-good`, `--plot-bad`, `--plot-neutral`, `--plot-1` … `--plot-8` (categories), `--plot-ramp-0` …
/// `--plot-ramp-32` (heat map, few to many) and `--plot-on-0` … `--plot-on-32` (text on it). `.figure.wide`
/// gives way to `.figure.narrow` below 640 px.
pub const PAGE_CSS: &str = include_str!("page.css");

/// A chart with its title and caption.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Stem of the names of its files, for example `learning_curves`.
    pub name: String,
    /// What the figure shows, in one line.
    pub title: String,
    /// What is drawn and how to read it, in one or two sentences.
    pub caption: String,
    /// The data behind it as a whole CSV file with a header.
    pub csv: Option<String>,
    wide: Drawing,
    narrow: Drawing,
}

impl Figure {
    /// Lays out a figure in both widths.
    pub(crate) fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        caption: impl Into<String>,
        csv: Option<String>,
        draw: impl Fn(Look) -> Drawing,
    ) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            caption: caption.into(),
            csv,
            wide: draw(Look::WIDE),
            narrow: draw(Look::NARROW),
        }
    }

    /// Two inline `<svg>` elements, one for wide and one for narrow pages; [`PAGE_CSS`] shows one of them.
    /// Title and caption are not drawn (they are the accessible name and description) and there are no ids,
    /// so figures cannot clash.
    pub fn page_svg(&self) -> String {
        draw::page_svg(&self.wide, "wide", &self.title, &self.caption)
            + &draw::page_svg(&self.narrow, "narrow", &self.title, &self.caption)
    }

    /// A whole SVG file: light, with title and caption.
    pub fn svg(&self) -> String {
        draw::file_svg(&self.wide, &self.title, &self.caption)
    }

    /// The figure as a PNG, two pixels per unit of the SVG.
    ///
    /// # Errors
    /// The image does not fit into memory.
    pub fn png(&self) -> Result<Vec<u8>> {
        raster::png(&self.svg())
    }

    #[cfg(test)]
    pub(crate) fn drawings(&self) -> [&Drawing; 2] {
        [&self.wide, &self.narrow]
    }
}
