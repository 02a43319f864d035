//! HTML: links, formatted numbers, tables (which are also CSV files), figures, sections and the document
//! around them.

use std::fmt::Write;

use crate::plot::{Figure, PAGE_CSS, font_css};
use crate::text::csv_line;
pub(crate) use crate::text::{count, duration, escape, list, thousands};

/// A relative path as a URL: every byte that is not plain is percent-encoded.
pub(crate) fn link(path: &str) -> String {
    let mut url = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                url.push(char::from(byte))
            }
            _ => {
                let _ = write!(url, "%{byte:02X}"); // writing to a String cannot fail
            }
        }
    }
    url
}

/// A JSON value for a `<script>` element, which no text in it can close.
pub(crate) fn json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

// ---- numbers ----

/// What stands for an unknown number.
pub(crate) const NO_VALUE: &str = "–";

/// `0.9523` as `95.2%`.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}%", share * 100.0) } else { NO_VALUE.into() }
}

/// The interval of a share: `91.0 to 97.8%`.
pub(crate) fn percent_interval([low, high]: [f64; 2]) -> String {
    if low.is_finite() && high.is_finite() {
        format!("{:.1} to {:.1}%", low * 100.0, high * 100.0)
    } else {
        NO_VALUE.into()
    }
}

/// A number with `places` decimals; a dash where it is not finite.
pub(crate) fn decimals(value: f64, places: usize) -> String {
    if value.is_finite() { format!("{value:.places$}").replace('-', "\u{2212}") } else { NO_VALUE.into() }
}

/// Three significant digits, with an exponent where the number is very small.
pub(crate) fn significant(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => NO_VALUE.into(),
        0.0 => "0".into(),
        size if size < 1e-3 => format!("{value:.2e}").replace('-', "\u{2212}"),
        size => {
            let places = (2 - size.log10().floor() as i64).clamp(0, 5) as usize;
            decimals(value, places)
        }
    }
}

// ---- tables ----

/// A cell: what the page shows, and what the CSV file holds.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    html: String,
    csv: String,
    number: bool,
}

/// A text.
pub(crate) fn text(text: impl AsRef<str>) -> Cell {
    let text = text.as_ref();
    Cell { html: escape(text), csv: text.to_owned(), number: false }
}

/// A number, rounded on the page and in full in the file.
pub(crate) fn number(shown: impl Into<String>, value: f64) -> Cell {
    let csv = if value.is_finite() { value.to_string() } else { String::new() };
    Cell { html: escape(&shown.into()), csv, number: true }
}

/// A whole number.
pub(crate) fn whole(value: usize) -> Cell {
    Cell { html: thousands(value), csv: value.to_string(), number: true }
}

/// A share, shown as a percentage.
pub(crate) fn share(value: f64) -> Cell {
    number(percent(value), value)
}

/// HTML for the page and another text for the CSV file.
pub(crate) fn html(html: impl Into<String>, csv: impl Into<String>) -> Cell {
    Cell { html: html.into(), csv: csv.into(), number: false }
}

/// The heading of a column: in the CSV file, and on the page.
#[derive(Clone, Debug)]
struct Heading {
    column: String,
    shown: String,
}

impl Heading {
    fn of(title: &str) -> Self {
        Self { column: title.to_owned(), shown: title.to_owned() }
    }
}

/// A table of the page and a file of `tables/`.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// File stem.
    pub(crate) name: String,
    caption: String,
    header: Vec<Heading>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(name: impl Into<String>, caption: &str, header: &[&str]) -> Self {
        let header = header.iter().map(|title| Heading::of(title)).collect();
        Self { name: name.into(), caption: caption.to_owned(), header, rows: Vec::new() }
    }

    pub(crate) fn column(&mut self, title: &str) {
        self.header.push(Heading::of(title));
    }

    /// Shows another heading on the page than the file has: names of columns in files stay.
    pub(crate) fn show_as(mut self, column: &str, shown: &str) -> Self {
        for heading in self.header.iter_mut().filter(|heading| heading.column == column) {
            shown.clone_into(&mut heading.shown);
        }
        self
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table in a box that scrolls sideways, reachable by keyboard. The first column names the row.
    pub(crate) fn html(&self) -> String {
        let mut out = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\
             <table><caption>{0}</caption><thead><tr>",
            escape(&self.caption)
        );
        let numeric = |column: usize| {
            !self.rows.is_empty()
                && self
                    .rows
                    .iter()
                    .all(|row| row.get(column).is_none_or(|cell| cell.number || cell.html.is_empty()))
        };
        for (column, heading) in self.header.iter().enumerate() {
            let class = if numeric(column) { " class=\"n\"" } else { "" };
            out.push_str(&format!("<th scope=\"col\"{class}>{}</th>", escape(&heading.shown)));
        }
        out.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            out.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let class = if cell.number { " class=\"n\"" } else { "" };
                match column {
                    0 => out.push_str(&format!("<th scope=\"row\"{class}>{}</th>", cell.html)),
                    _ => out.push_str(&format!("<td{class}>{}</td>", cell.html)),
                }
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table></div>");
        out
    }

    /// RFC 4180, with a header.
    pub(crate) fn csv(&self) -> String {
        let mut out =
            csv_line(&self.header.iter().map(|heading| heading.column.as_str()).collect::<Vec<_>>());
        for row in &self.rows {
            let fields: Vec<&str> = row.iter().map(|cell| cell.csv.as_str()).collect();
            out.push_str(&csv_line(&fields));
        }
        out
    }
}

// ---- figures and sections ----

/// A figure with its title, caption and the files beside the page.
pub(crate) fn figure(figure: &Figure) -> String {
    figure_of(figure, &figure.page_svg())
}

/// The same where the SVG is drawn already.
pub(crate) fn figure_of(figure: &Figure, svg: &str) -> String {
    let name = link(&figure.name);
    let table = if figure.csv.is_some() {
        format!(" <a href=\"tables/{name}.csv\" download>CSV</a>")
    } else {
        String::new()
    };
    format!(
        "<figure class=\"plot\">{svg}<figcaption><b>{}</b> {}<span class=\"files\">\
         <a href=\"plots/{name}.svg\" download>SVG</a> <a href=\"plots/{name}.png\" download>PNG</a>{table}\
         </span></figcaption></figure>",
        escape(&figure.title),
        escape(&figure.caption)
    )
}

/// A section of the page.
pub(crate) struct Section {
    /// Its anchor: plain letters.
    pub(crate) id: &'static str,
    /// Its heading, and its name in the navigation.
    pub(crate) title: &'static str,
    /// What is to be seen and what it means for this run, in one sentence (HTML).
    pub(crate) lead: String,
    /// The rest (HTML).
    pub(crate) body: String,
}

/// A part that opens on a click.
pub(crate) fn details(summary: &str, body: &str) -> String {
    format!("<details><summary>{}</summary>{body}</details>", escape(summary))
}

/// The whole document. `head` is HTML that comes before the sections.
pub(crate) fn document(title: &str, head: &str, sections: &[Section], foot: &str) -> String {
    let links: String =
        sections.iter().map(|s| format!("<a href=\"#{}\">{}</a>", s.id, escape(s.title))).collect();
    let sections: String = sections
        .iter()
        .map(|s| {
            let lead =
                if s.lead.is_empty() { String::new() } else { format!("<p class=\"lead\">{}</p>", s.lead) };
            format!(
                "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\
                 <h2 id=\"{0}-title\">{1}</h2>{lead}{2}</section>\n",
                s.id,
                escape(s.title),
                s.body
            )
        })
        .collect();
    let (title, fonts) = (escape(title), font_css());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         font-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n\
         <style>\n{fonts}{PAGE_CSS}\n{STYLE}</style>\n<script>{EARLY}</script>\n</head>\n\
         <body>\n<a class=\"skip\" href=\"#main\">Skip to content</a>\n\
         <nav aria-label=\"Sections\"><div class=\"links\">{links}</div>\
         <button type=\"button\" id=\"theme\" hidden>Theme</button></nav>\n\
         <main id=\"main\">\n{head}\n{sections}</main>\n<footer>{foot}</footer>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Runs before anything is drawn: marks that scripts run, and applies the theme that the reader chose.
const EARLY: &str = "document.documentElement.classList.add('js');\
    try{const t=localStorage.getItem('mien-theme');\
    if(t==='light'||t==='dark')document.documentElement.dataset.theme=t}catch{}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_in_html_json_and_links() {
        assert_eq!(escape("<script>\"a\" & 'b'"), "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;");
        assert_eq!(escape("été 顔 🙂"), "été 顔 🙂");
        assert_eq!(escape("a\u{202e}gpj.exe\u{0}\n"), "a\u{fffd}gpj.exe\u{fffd} ");
        assert_eq!(json(&serde_json::json!({ "a": "</script><!--" })), r#"{"a":"\u003c/script>\u003c!--"}"#);
        assert_eq!(link("plots/ä \"x\".svg"), "plots/%C3%A4%20%22x%22.svg");
        let mut table = Table::new("t", "<caption>", &["<a>", "b"]);
        table.push(vec![text("x\",<i>\n"), whole(1200)]);
        assert!(
            !table.html().contains("<i>")
                && !table.html().contains("<a>")
                && !table.html().contains("><caption><caption>")
        );
        assert_eq!(table.csv(), "<a>,b\n\"x\"\",<i>\n\",1200\n");
        let table = table.show_as("b", "images");
        assert!(table.html().contains(">images</th>") && table.csv().starts_with("<a>,b\n"));
    }

    #[test]
    fn numbers_are_rounded_for_the_page() {
        assert_eq!(percent(0.95238), "95.2%");
        assert_eq!([percent(f64::NAN), decimals(f64::INFINITY, 2), significant(f64::NAN)], [NO_VALUE; 3]);
        assert_eq!(
            [0.0, 0.5, 12.345, 1234.5, 0.00012].map(significant),
            ["0", "0.500", "12.3", "1234", "1.20e\u{2212}4"]
        );
        assert_eq!([5.0, 65.0, 5025.0].map(duration), ["5.0 s", "1 min 5 s", "1 h 23 min"]);
        assert_eq!(count(1, "image", "images") + &count(12_000, "image", "images"), "1 image12,000 images");
        assert_eq!(list(&["a", "b", "c"].map(String::from)), "a, b and c");
    }
}
