//! The CSV files behind the figures.

use crate::text::csv_line;

/// A whole CSV file.
pub(super) fn csv<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Option<String> {
    let mut out = csv_line(&header.map(str::to_string));
    for row in rows {
        out.push_str(&csv_line(&row));
    }
    Some(out)
}

/// A number for a CSV file; nothing where it is not finite.
pub(super) fn cell(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

/// A name as part of a file's name: ASCII letters and digits, `_` for the rest.
pub(super) fn slug(name: &str) -> String {
    let text: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    text.trim_matches('_').to_string()
}
