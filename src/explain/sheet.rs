//! Many images on one sheet: rows of images with their maps, captions, and a colour bar.

use std::fmt::Write;

use crate::error::Result;
use crate::image::RgbImage;
use crate::image::resize::resize;
use crate::plot::{colormap, pixels};
use crate::text::{cut_middle, escape};

/// Side of a shown image.
const CELL: usize = 160;
const GAP: usize = 8;
/// Between two entries.
const GUTTER: usize = 28;
const MARGIN: usize = 28;
/// Above the first row.
const HEADER: usize = 92;
/// Below a row, for two lines of text.
const CAPTION: usize = 50;
/// A sheet becomes no wider than this, unless one entry is.
const WIDEST: usize = 1500;
/// Width and height of the colour bar.
const BAR: [usize; 2] = [200, 12];

/// An image with its maps side by side, and a caption of two lines.
pub struct Entry {
    /// The image, then its maps; of any size.
    pub images: Vec<RgbImage>,
    /// The first line of the caption.
    pub title: String,
    /// The second line of the caption.
    pub about: String,
    /// Whether the image is misclassified: the caption is red.
    pub is_wrong: bool,
}

/// Lays entries out in rows, below a title and the names of the images of an entry (`image`, `Grad-CAM`…).
///
/// # Errors
/// The text cannot be drawn.
pub fn sheet(title: &str, names: &[&str], entries: &[Entry]) -> Result<RgbImage> {
    let most = entries.iter().map(|entry| entry.images.len()).max().unwrap_or(1).max(1);
    let entry_width = most * (CELL + GAP) - GAP;
    let columns = ((WIDEST - 2 * MARGIN + GUTTER) / (entry_width + GUTTER)).clamp(1, entries.len().max(1));
    let rows = entries.len().div_ceil(columns);
    let inner = (columns * (entry_width + GUTTER) - GUTTER).max(3 * BAR[0]);
    let (width, height) = (inner + 2 * MARGIN, HEADER + rows * (CELL + CAPTION) + MARGIN / 2);
    let place = |index: usize| {
        (MARGIN + (index % columns) * (entry_width + GUTTER), HEADER + (index / columns) * (CELL + CAPTION))
    };

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"Inter\" font-size=\"13\">\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    let mut text = |x: usize, y: usize, style: &str, words: &str| {
        // Writing to a string does not fail.
        let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" {style}>{}</text>", escape(words));
    };
    text(MARGIN, 38, "font-size=\"18\" font-weight=\"600\" fill=\"#1b1f27\"", title);
    text(MARGIN, 64, "fill=\"#5d6675\"", &format!("Left to right: {}", names.join(", ")));
    let right = width - MARGIN - BAR[0];
    text(right, 62, "fill=\"#5d6675\" font-size=\"12\"", "lowest");
    text(right + BAR[0], 62, "fill=\"#5d6675\" font-size=\"12\" text-anchor=\"end\"", "highest");
    for (index, entry) in entries.iter().enumerate() {
        let (left, top) = place(index);
        let color = if entry.is_wrong { "fill=\"#b3261e\"" } else { "fill=\"#1b1f27\"" };
        text(left, top + CELL + 17, color, &shortened(&entry.title, entry_width));
        text(
            left,
            top + CELL + 34,
            "fill=\"#5d6675\" font-size=\"11\"",
            &shortened(&entry.about, entry_width * 6 / 5),
        );
    }
    svg.push_str("</svg>");

    let (width, height, pixels) = pixels(&svg, 1.0)?;
    let mut sheet = RgbImage::new(width as usize, height as usize, pixels);
    for x in 0..BAR[0] {
        let color = colormap(x as f32 / (BAR[0] - 1) as f32);
        (0..BAR[1]).for_each(|y| set(&mut sheet, right + x, 34 + y, color));
    }
    for (index, entry) in entries.iter().enumerate() {
        let (left, top) = place(index);
        for (column, image) in entry.images.iter().enumerate() {
            paste(&mut sheet, left + column * (CELL + GAP), top, image);
        }
    }
    Ok(sheet)
}

/// Text that fits into `width` pixels; the middle of a longer one is left out, as file names differ at both
/// ends.
fn shortened(text: &str, width: usize) -> String {
    cut_middle(text, width * 2 / 15) // a letter takes 7.5 pixels at most on average
}

/// Puts an image into the cell at (left, top), as large as fits, in the middle.
fn paste(sheet: &mut RgbImage, left: usize, top: usize, image: &RgbImage) {
    let longest = image.width.max(image.height).max(1);
    let side = |length: usize| (length * CELL / longest).max(1);
    let shown = resize(image, side(image.width), side(image.height));
    let (left, top) = (left + (CELL - shown.width) / 2, top + (CELL - shown.height) / 2);
    for y in 0..shown.height {
        for x in 0..shown.width {
            let at = (y * shown.width + x) * 3;
            set(sheet, left + x, top + y, [shown.pixels[at], shown.pixels[at + 1], shown.pixels[at + 2]]);
        }
    }
}

fn set(sheet: &mut RgbImage, x: usize, y: usize, color: [u8; 3]) {
    let at = (y * sheet.width + x) * 3;
    sheet.pixels[at..at + 3].copy_from_slice(&color);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_on_the_sheet() {
        let red = RgbImage::new(4, 8, [200, 0, 0].repeat(32));
        let blue = RgbImage::new(400, 300, [0, 0, 200].repeat(120_000));
        let entry = || Entry {
            images: vec![red.clone(), blue.clone()],
            title: "a <b> & \"c\" that is much longer than its place on the sheet allows it to be".into(),
            about: String::new(),
            is_wrong: true,
        };
        let entries: Vec<Entry> = (0..7).map(|_| entry()).collect();
        let sheet = sheet("title", &["image", "map"], &entries).unwrap();
        let count = |color: [u8; 3]| sheet.pixels.chunks_exact(3).filter(|pixel| **pixel == color).count();
        assert_eq!(count([200, 0, 0]), 7 * CELL / 2 * CELL);
        assert_eq!(count([0, 0, 200]), 7 * CELL * (CELL * 3 / 4));
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("short", 100), "short");
        let long = shortened("beginning-and-so-on-up-to-the-end", 105);
        assert_eq!(long.chars().count(), 14, "{long}");
        assert!(long.starts_with("beginn") && long.ends_with("the-end"), "{long}");
    }
}
