//! Texts that messages, pages and figures share: numbers with their nouns, lists, one line of many, escaping.

use std::fmt::Display;

/// 1234567 as `1,234,567`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 image`, `1,200 images`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list<S: AsRef<str>>(texts: &[S]) -> String {
    match texts {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Names in back-quotes, separated by commas; beyond eight their number.
pub(crate) fn quoted_list<S: AsRef<str>>(names: &[S]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    let shown: Vec<String> = names.iter().take(8).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = names.len().saturating_sub(8);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// A text without line breaks and without more than one blank in a row.
pub(crate) fn one_line(text: impl Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` in at most `width` characters, its end cut off.
pub(crate) fn cut_end(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `text` in at most `width` characters, its beginning cut off: a path says most at its end.
pub(crate) fn cut_front(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    ['…'].into_iter().chain(text.chars().skip(length + 1 - width.max(1))).collect()
}

/// `text` in at most `width` characters, its middle left out, as file names differ at both ends.
pub(crate) fn cut_middle(text: &str, width: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= width {
        return text.to_owned();
    }
    let tail = width / 2;
    let head = width.saturating_sub(tail + 1);
    letters[..head].iter().chain(['…'].iter()).chain(&letters[letters.len() - tail..]).collect()
}

/// Seconds as `3.2 s`, `1 min 23 s`, `1 h 2 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{:.1} s", seconds.max(0.0)),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Escapes a text for HTML, SVG and XML, between tags as well as within a quoted attribute. Control
/// characters, which would be invisible, those that XML forbids, and those that turn the direction of
/// writing, which can make a name look like another, become the replacement character.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' | '\r' => escaped.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {
                escaped.push('\u{fffd}')
            }
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// `text` as one argument in a shell: as it is where no character has a meaning there, else in single quotes.
pub(crate) fn shell_quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_=+,./:@%".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// RFC 4648, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The name that is nearest to what was written, if any is near: by edits, counted without case and without
/// `-` and `_`.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let wanted = plain(written);
    let distances = names.into_iter().map(|name| (strsim::damerau_levenshtein(&plain(name), &wanted), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + wanted.chars().count() / 3).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1234), "1,234");
        assert_eq!(thousands(165_823_281), "165,823,281");
    }

    #[test]
    fn numbers_have_their_nouns_and_lists_their_and() {
        assert_eq!(count(1, "image", "images") + &count(12_000, "image", "images"), "1 image12,000 images");
        assert_eq!(
            [list::<&str>(&[]), list(&["a"]), list(&["a", "b"]), list(&["a", "b", "c"])],
            ["", "a", "a and b", "a, b and c"]
        );
        assert_eq!(quoted_list(&["a", "b"]), "`a`, `b`");
        assert_eq!(quoted_list(&["x"; 10]), "`x`, `x`, `x`, `x`, `x`, `x`, `x`, `x` and 2 more");
    }

    #[test]
    fn long_texts_are_cut_where_they_say_least() {
        assert_eq!(
            [cut_end("abcdef", 4), cut_front("abcdef", 4), cut_middle("abcdefgh", 5)],
            ["abc…", "…def", "ab…gh"]
        );
        assert_eq!([cut_end("äöü", 3), cut_front("äöü", 3), cut_middle("äöü", 3)], ["äöü"; 3]);
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([3.24, 83.0, 3725.0].map(duration), ["3.2 s", "1 min 23 s", "1 h 2 min"]);
    }

    #[test]
    fn what_could_end_a_tag_or_turn_a_text_is_escaped() {
        assert_eq!(
            escape("<a b=\"c\" d='e'>&\n\u{202e}\u{7}"),
            "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp; \u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn an_argument_can_be_pasted_into_a_shell() {
        assert_eq!(
            ["a/b-1.png", "a b", "it's", ""].map(shell_quoted),
            ["a/b-1.png", "'a b'", r"'it'\''s'", "''"]
        );
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["vgg16", "vgg16_cbam", "resnet18"];
        assert_eq!(nearest("vgg15", names), Some("vgg16"));
        assert_eq!(nearest("VGG16-CBAM", names), Some("vgg16_cbam"));
        assert_eq!(nearest("inception", names), None);
    }
}
