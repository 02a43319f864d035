//! Widths of text, shortening, wrapping, and numbers as people read them.

use crate::text::group_digits;

/// Advance widths of U+0020..=U+007E in thousandths of the font size: Inter Regular 4.
#[rustfmt::skip]
const ADVANCES: [u16; 95] = [
    281, 288, 466, 633, 642, 982, 644, 300, 365, 365, 501, 662, 288, 460, 288, 360, 631, 407, 610,
    618, 646, 593, 620, 566, 619, 620, 288, 302, 662, 662, 662, 511, 966, 690, 654, 730, 722, 601,
    590, 746, 743, 269, 571, 672, 565, 903, 753, 765, 639, 765, 644, 642, 646, 744, 690, 985, 682,
    679, 629, 365, 360, 365, 471, 456, 323, 562, 612, 571, 612, 583, 370, 613, 591, 242, 242, 549,
    242, 876, 591, 600, 612, 612, 376, 528, 327, 591, 562, 818, 546, 562, 552, 426, 333, 426, 662,
];

/// Estimated width of `text`, in the unit of `size`: exact up to kerning for ASCII in the embedded font,
/// generous for other characters, so that the text fits in the usual fallback fonts, too. Shaping the text
/// with a font library would give a width for one font only, and the page is also read in others.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let thousandths: u32 = text
        .chars()
        .map(|character| match character {
            ' '..='~' => u32::from(ADVANCES[character as usize - 0x20]),
            '\u{300}'..='\u{36f}' => 0, // combining
            '…' | '—' => 900,
            '\u{400}'..='\u{4ff}' => 740,
            // Wide scripts and emoji are as wide as they are high.
            '\u{1100}'.. if !('\u{1e00}'..='\u{2e7f}').contains(&character) => 1000,
            _ => 680,
        })
        .sum();
    f64::from(thousandths) / 1000.0 * size * if bold { 1.06 } else { 1.03 }
}

/// `text`, cut at the end with an ellipsis where it is wider than `room`.
pub(crate) fn fit(text: &str, size: f64, bold: bool, room: f64) -> String {
    if width(text, size, bold) <= room {
        return text.to_string();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while !kept.is_empty() {
        kept.pop();
        let short: String = kept.iter().collect::<String>().trim_end().to_string() + "…";
        if width(&short, size, bold) <= room {
            return short;
        }
    }
    String::new()
}

/// Lines at most `room` wide, broken at spaces; a word that is wider than `room` is cut.
pub(crate) fn wrap(text: &str, size: f64, bold: bool, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = fit(word, size, bold, room);
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, bold) <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// A coordinate with at most `decimals` decimals and no trailing zeros.
pub(crate) fn coordinate(value: f64, decimals: usize) -> String {
    let text = format!("{:.*}", decimals, if value.is_finite() { value } else { 0.0 });
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

/// A number with three significant digits: `0.0131`, `1.86`, `12,300`, `1.5e-5`; "–" if it is not finite.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_string();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_string();
    }
    if !(0.999e-4..1e6).contains(&size) {
        let text = format!("{value:.1e}");
        return minus(&text.replace(".0e", "e"));
    }
    let decimals = (2 - size.log10().floor() as i64).clamp(0, 6) as usize;
    minus(&thousands(&coordinate(value, decimals)))
}

/// A share as a percentage with at most one decimal: `95.2%`, `100%`; "–" if it is not finite or absurdly
/// large.
pub(crate) fn percent(value: f64) -> String {
    if value.abs() < 1e6 { minus(&format!("{}%", coordinate(value * 100.0, 1))) } else { "–".to_string() }
}

/// A count with separators: `12,300`.
pub(crate) fn count(value: u64) -> String {
    group_digits(&value.to_string())
}

/// Thousands separators in a plain decimal number.
pub(crate) fn thousands(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) =
        rest.split_once('.').map_or((rest, None), |(whole, fraction)| (whole, Some(fraction)));
    let grouped = group_digits(whole);
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

/// `text` with a typographic minus in place of a leading hyphen.
pub(crate) fn minus(text: &str) -> String {
    text.strip_prefix('-').map_or_else(|| text.to_string(), |rest| format!("−{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, text) in [
            (0.0131, "0.0131"),
            (1.8621, "1.86"),
            (12345.6, "12,346"),
            (0.000015, "1.5e-5"),
            (1e-5, "1e-5"),
            (-0.5, "−0.5"),
            (100.0, "100"),
            (2e7, "2e7"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(
            (percent(0.95238), percent(1.0), percent(f64::INFINITY)),
            ("95.2%".into(), "100%".into(), "–".into())
        );
        assert_eq!((count(1234567), count(999)), ("1,234,567".into(), "999".into()));
        assert_eq!(
            (coordinate(1.204, 2), coordinate(-0.001, 2), coordinate(f64::NAN, 2)),
            ("1.2".into(), "0".into(), "0".into())
        );
    }

    #[test]
    fn text_is_cut_and_wrapped_to_its_room() {
        assert_eq!(fit("happy", 12.0, false, 100.0), "happy");
        let short = fit("a very long class name", 12.0, false, 60.0);
        assert!(short.ends_with('…') && width(&short, 12.0, false) <= 60.0, "{short}");
        assert_eq!(fit("happy", 12.0, false, 1.0), "");
        let lines = wrap("one two three four five six", 12.0, false, 60.0);
        assert!(lines.len() > 1 && lines.iter().all(|line| width(line, 12.0, false) <= 60.0), "{lines:?}");
        assert_eq!(lines.join(" "), "one two three four five six");
    }
}
