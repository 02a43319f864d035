//! SVG to PNG by resvg, with the embedded font: no font or library of the machine has an influence on the
//! image.

use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::error::{Error, Result};
use crate::text::base64;

/// Inter 4 by The Inter Project Authors, SIL Open Font License 1.1 (assets/fonts/OFL.txt): Latin, Greek,
/// Cyrillic and signs.
pub(crate) const REGULAR: &[u8] = include_bytes!("../../assets/fonts/Inter-Regular.ttf");
pub(crate) const SEMIBOLD: &[u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.ttf");
const REGULAR_WOFF2: &[u8] = include_bytes!("../../assets/fonts/Inter-Regular.woff2");
const SEMIBOLD_WOFF2: &[u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.woff2");

/// Pixels per unit of the SVG.
const SCALE: f32 = 2.0;

/// Draws a whole SVG file as a PNG, two pixels per unit. Characters that the embedded font lacks become
/// boxes.
///
/// # Errors
/// The SVG is malformed (a defect of the caller), or the image is too large for the memory.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    let (width, height, rgb) = pixels(svg, SCALE)?;
    encode(width, height, &rgb)
        .map_err(|error| Error::Compute(format!("figure: the PNG cannot be written: {error}")))
}

/// Draws a whole SVG file with an opaque background, `scale` pixels per unit: width, height and
/// `[height, width, 3]`.
///
/// # Errors
/// As for [`png`].
pub(crate) fn pixels(svg: &str, scale: f32) -> Result<(u32, u32, Vec<u8>)> {
    let tree = Tree::from_str(svg, options())
        .map_err(|error| Error::Compute(format!("figure: the SVG cannot be read: {error}")))?;
    let size = tree.size();
    let (width, height) = ((size.width() * scale).ceil() as u32, (size.height() * scale).ceil() as u32);
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| {
        Error::Compute(format!("figure: an image of {width} × {height} pixels does not fit into memory"))
    })?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    let rgb = pixels.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    Ok((width, height, rgb))
}

/// The embedded fonts as two `@font-face` rules (67 KB of base64) for a page that looks the same everywhere:
/// family `Inter`, weights 400 and 600.
pub fn font_css() -> &'static str {
    static CSS: OnceLock<String> = OnceLock::new();
    CSS.get_or_init(|| {
        [(400, REGULAR_WOFF2), (600, SEMIBOLD_WOFF2)]
            .map(|(weight, font)| {
                format!(
                    "@font-face{{font-family:Inter;font-weight:{weight};\
                     src:url(data:font/woff2;base64,{}) format('woff2')}}\n",
                    base64(font)
                )
            })
            .concat()
    })
}

fn options() -> &'static Options<'static> {
    static OPTIONS: OnceLock<Options<'static>> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(REGULAR)));
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(SEMIBOLD)));
        fonts.set_sans_serif_family("Inter");
        Options { fontdb: Arc::new(fonts), font_family: "Inter".to_string(), ..Options::default() }
    })
}

fn encode(width: u32, height: u32, rgb: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::Adaptive);
    encoder.write_header()?.write_image_data(rgb)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimated_text_widths_match_the_font() {
        for (text, bold) in [
            ("The quick brown fox, 0123456789%", false),
            ("Validation accuracy", true),
            ("Überraschung Ärger", false),
        ] {
            let weight = if bold { 600 } else { 400 };
            let svg = format!(
                "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='90'>\
                 <text x='9' y='50' font-family='Inter' font-weight='{weight}' \
                 font-size='40'>{text}</text></svg>"
            );
            let tree = Tree::from_str(&svg, options()).unwrap();
            let real = f64::from(tree.root().bounding_box().width());
            let estimate = super::super::text::width(text, 40.0, bold);
            assert!(estimate > real * 0.99 && estimate < real * 1.12, "{text}: {estimate} for {real}");
        }
    }

    #[test]
    fn malformed_svg_is_an_error() {
        assert!(png("<svg").is_err());
    }
}
