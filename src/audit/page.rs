//! The audit as one self-contained HTML file, in the style of a run's report.

use std::collections::HashMap;
use std::path::Path;

use super::found::{Audit, Finding, Odd, PairCounts, Severity};
use super::image::{Pair, Relation};
use super::inspect;
use super::label_noise::Issue;
use crate::data::Split;
use crate::error::Result;
use crate::files::write_atomic;
use crate::image::encode::Encoder;
use crate::page::html::{
    Cell, Section, Table, count, decimals, document, escape, html as cell, number, percent, percent_interval,
    share, text, thousands, whole,
};
use crate::page::thumbnails::Thumbnail;

/// Number of pairs shown of each kind.
const PAIRS: usize = 60;

/// Number of doubtful labels shown.
const LABELS: usize = 120;

/// Number of unusual files and of groups across splits that are listed.
const NAMED: usize = 100;

/// Length of a thumbnail's longer side in pixels.
const SIDE: usize = 96;

/// Writes the page. Its thumbnails are read from the data; a box stands for an image that no longer exists.
///
/// # Errors
/// [`crate::error::Error::Io`] where the file cannot be written.
pub fn write(path: &Path, audit: &Audit) -> Result<()> {
    let page = html(audit);
    write_atomic(path, |out| out.write_all(page.as_bytes()))
}

/// The page as HTML.
pub fn html(audit: &Audit) -> String {
    let mut images = Images { audit, encoder: Encoder::default() };
    let mut sections = vec![summary(audit), data(audit)];
    sections.extend(duplicates(audit, &mut images));
    sections.extend(groups(audit));
    sections.extend(odd_files(audit));
    sections.extend(shortcuts(audit));
    sections.extend(labels(audit, &mut images));
    let roots: Vec<String> = audit.roots.iter().map(|root| root.path.display().to_string()).collect();
    let roots = roots.join(", ");
    let head = format!("<header><p class=\"kicker\">Audit</p><h1>{0}</h1></header>", escape(&roots));
    let foot = format!(
        "Made by mien {}. All pairs are listed in pairs.csv, all unusual files in odd.csv.",
        env!("CARGO_PKG_VERSION")
    );
    document(&format!("Audit of {roots}"), &head, &sections, &foot)
}

/// Makes thumbnails.
struct Images<'a> {
    audit: &'a Audit,
    encoder: Encoder,
}

impl Images<'_> {
    /// An `<img>`, or a box where there is no image.
    fn image(&mut self, index: usize, alt: &str) -> String {
        let image = inspect::image(&self.audit.images[index].origin).ok();
        match image.and_then(|image| Thumbnail::of(&image, SIDE, &mut self.encoder)) {
            Some(thumbnail) => {
                let (width, height, alt) = (thumbnail.width, thumbnail.height, escape(alt));
                format!(
                    "<img src=\"{}\" width=\"{width}\" height=\"{height}\" alt=\"{alt}\" loading=\"lazy\">",
                    thumbnail.url()
                )
            }
            None => "<span class=\"missing\">file missing</span>".into(),
        }
    }
}

/// A short text that is not wrapped in a narrow table.
fn short(text: &str) -> Cell {
    cell(format!("<span style=\"white-space:nowrap\">{}</span>", escape(text)), text)
}

fn summary(audit: &Audit) -> Section {
    let tile = |what: &str, value: String, more: &str| {
        format!("<div class=\"tile\"><dt>{what}</dt><dd>{value}<small>{}</small></dd></div>", escape(more))
    };
    let pairs = |counts: PairCounts| {
        let all = counts.within_split + counts.across_splits + counts.across_sets;
        (
            thousands(all),
            format!(
                "{} across splits, {} across data sets",
                thousands(counts.across_splits),
                thousands(counts.across_sets)
            ),
        )
    };
    let ((exact, exact_more), (near, near_more)) = (pairs(audit.exact), pairs(audit.near));
    let tiles = [
        tile(
            "Images",
            thousands(audit.images.len()),
            &format!("{} unreadable", thousands(audit.unreadable.len())),
        ),
        tile("Exact duplicates", exact, &exact_more),
        tile("Near duplicates", near, &near_more),
        tile("Groups across splits", thousands(audit.cut_group_count), "a person, a photo, an original"),
    ];
    let line = |finding: &Finding| {
        let (class, word) = match finding.severity {
            Severity::Error => ("grave", "Error"),
            Severity::Warning => ("note", "Warning"),
            Severity::Note => ("note", "Note"),
        };
        format!("<li class=\"{class}\"><b>{word}</b> {}</li>", escape(&finding.text))
    };
    let lines: String = audit.findings.iter().map(line).collect();
    let body = format!("<dl class=\"tiles\">{}</dl><ul class=\"warnings\">{lines}</ul>", tiles.concat());
    let lead = match audit.severity() {
        Severity::Error => "Results measured on these data would be wrong: fix the errors first.",
        Severity::Warning => "There are no errors, but check the warnings before training.",
        Severity::Note => "No problems were found.",
    };
    Section { id: "summary", title: "Summary", lead: lead.into(), body }
}

fn data(audit: &Audit) -> Section {
    let mut header = vec!["data set", "split", "source"];
    header.extend(audit.classes.iter().map(String::as_str));
    header.push("total");
    let mut table = Table::new("balance", "Images per class", &header);
    for row in &audit.balance {
        let mut cells = vec![
            text(audit.roots[row.root].path.display().to_string()),
            short(row.split.map_or("–", Split::name)),
            short(row.source.as_deref().unwrap_or("–")),
        ];
        cells.extend(row.counts.iter().map(|&count| whole(count)));
        cells.push(whole(row.counts.iter().sum()));
        table.push(cells);
    }
    let mut sizes = Table::new("sizes", "Most common sizes", &["size", "images", "fraction"]);
    for size in audit.sizes.iter().take(10) {
        let name = format!("{} × {}", size.width, size.height);
        sizes.push(vec![
            text(name),
            whole(size.images),
            share(size.images as f64 / audit.images.len().max(1) as f64),
        ]);
    }
    let formats: Vec<String> =
        audit.formats.iter().map(|(name, &n)| format!("{} {name}", thousands(n))).collect();
    let facts = format!(
        "<p class=\"quiet\">{}; {} greyscale, {} colour.</p>",
        escape(&formats.join(", ")),
        thousands(audit.grey),
        thousands(audit.colour)
    );
    let lead = "Images per class, by split and by source: the public data set that a file name points to.";
    Section {
        id: "data",
        title: "Data",
        lead: lead.into(),
        body: table.html() + "<h3>Sizes</h3>" + &sizes.html() + &facts,
    }
}

fn duplicates(audit: &Audit, images: &mut Images) -> Option<Section> {
    if audit.pairs.is_empty() {
        return None;
    }
    let mut body = String::new();
    let mut show = |title: &str, explained: &str, pick: &dyn Fn(&Pair) -> bool| {
        let mut all: Vec<&Pair> = audit.pairs.iter().filter(|pair| pick(pair)).collect();
        all.sort_by(|a, b| b.correlation.total_cmp(&a.correlation)); // stable
        if all.is_empty() {
            return;
        }
        let shown = if all.len() > PAIRS { format!(" The first {PAIRS} are shown.") } else { String::new() };
        let figures: String = all.iter().take(PAIRS).map(|pair| figure(pair, images)).collect();
        body += &format!(
            "<h3>{} ({})</h3><p class=\"quiet\">{}{shown}</p><div class=\"maps\">{figures}</div>",
            escape(title),
            thousands(all.len()),
            escape(explained)
        );
    };
    let exact = |pair: &Pair| pair.kind.is_exact();
    show("Identical images with different labels", "At least one of the two labels is wrong.", &|pair| {
        exact(pair) && !pair.same_label
    });
    show(
        "Identical images in different splits",
        "Leakage: evaluation uses images seen in training.",
        &|pair| exact(pair) && pair.same_label && pair.relation == Relation::AcrossSplits,
    );
    show(
        "Near duplicates in different splits",
        "Leakage: evaluation uses near copies of training images.",
        &|pair| !exact(pair) && pair.relation == Relation::AcrossSplits,
    );
    show(
        "Near duplicates with different labels",
        "Often two photos of one person, sometimes one photo labelled twice: compare them.",
        &|pair| !exact(pair) && !pair.same_label && pair.relation != Relation::AcrossSplits,
    );
    show("Duplicates across data sets", "The data sets are not independent.", &|pair| {
        pair.same_label && pair.relation == Relation::AcrossSets
    });
    show(
        "Duplicates within a split",
        "They count more than once, in training and in the metrics.",
        &|pair| pair.same_label && pair.relation == Relation::WithinSplit,
    );
    let lead = format!(
        "{} of duplicates, in {}.",
        count(audit.pairs.len(), "pair", "pairs"),
        count(audit.cluster_count, "cluster", "clusters")
    );
    Some(Section { id: "duplicates", title: "Duplicates", lead, body })
}

fn figure(pair: &Pair, images: &mut Images) -> String {
    let side = |index: usize| {
        let member = images.audit.member(index);
        let split = member.split.map_or(String::new(), |split| format!("{split}, "));
        (
            member.name.clone(),
            format!(
                "{split}<b>{}</b><span class=\"path\">{}</span>",
                escape(&member.label),
                escape(&member.name)
            ),
        )
    };
    let ((name_a, a), (name_b, b)) = (side(pair.a), side(pair.b));
    let alike = if pair.kind.is_exact() {
        String::new()
    } else {
        format!(", correlation {}", decimals(pair.correlation, 3))
    };
    let both = images.image(pair.a, &name_a) + &images.image(pair.b, &name_b);
    format!(
        "<figure class=\"map\"><div>{both}</div><figcaption>{}{alike}: {a} and {b}</figcaption></figure>",
        escape(pair.kind.name())
    )
}

fn groups(audit: &Audit) -> Option<Section> {
    if audit.cut_groups.is_empty() {
        return None;
    }
    let mut table =
        Table::new("cut_groups", "Groups in more than one split", &["group", "splits", "examples"]);
    for leak in audit.cut_groups.iter().take(NAMED) {
        let splits: Vec<&str> = leak.splits.iter().map(|split| split.name()).collect();
        table.push(vec![text(&leak.group), text(splits.join(", ")), text(leak.examples.join(", "))]);
    }
    let lead = format!(
        "{} in more than one split. A group is a person, a photo, or an original with its copies.",
        count(audit.cut_group_count, "group is", "groups are")
    );
    Some(Section {
        id: "groups",
        title: "Groups across splits",
        lead,
        body: table.html() + &more(audit.cut_group_count),
    })
}

fn more(all: usize) -> String {
    if all > NAMED {
        format!("<p class=\"quiet\">The first {NAMED} of {} are listed.</p>", thousands(all))
    } else {
        String::new()
    }
}

fn odd_files(audit: &Audit) -> Option<Section> {
    let kinds: [(&str, &Vec<Odd>); 4] = [
        ("Unreadable files", &audit.unreadable),
        ("Blank images", &audit.blank),
        ("Tiny images", &audit.tiny),
        ("Images of unusual size or aspect ratio", &audit.mis_sized),
    ];
    let mut body = String::new();
    for (title, odd) in kinds.into_iter().filter(|(_, odd)| !odd.is_empty()) {
        let mut table = Table::new("odd", title, &["file", "data set", "problem"]);
        for odd in odd.iter().take(NAMED) {
            table.push(vec![
                text(&odd.name),
                text(audit.roots[odd.root].path.display().to_string()),
                text(&odd.reason),
            ]);
        }
        body += &(format!("<h3>{title} ({})</h3>", thousands(odd.len())) + &table.html() + &more(odd.len()));
    }
    let lead = "Files that cannot be used, or that deserve a look.".into();
    (!body.is_empty()).then_some(Section { id: "odd", title: "Unusual files", lead, body })
}

fn shortcuts(audit: &Audit) -> Option<Section> {
    let probe = audit.probe.as_ref()?;
    let header = [
        "target",
        "features",
        "images",
        "accuracy",
        "95% CI",
        "majority",
        "balanced accuracy",
        "95% CI",
        "chance",
    ];
    let mut table = Table::new("probe", "Linear classifier, cross-validated by group", &header);
    for told in &probe.told {
        let from = match told.from.as_str() {
            "colour" => "colour statistics",
            "jpeg" => "JPEG quantisation",
            _ => "both",
        };
        let interval = |interval: crate::stats::bootstrap::Interval| {
            short(&percent_interval([interval.low, interval.high]))
        };
        table.push(vec![
            short(&told.what),
            short(from),
            whole(told.images),
            share(told.accuracy.estimate),
            interval(told.accuracy),
            share(told.majority),
            share(told.balanced_accuracy.estimate),
            interval(told.balanced_accuracy),
            share(told.chance),
        ]);
    }
    let source = probe.source_tells_class.map_or(String::new(), |known| {
        format!(
            "<p>The source alone, without the image, predicts the class with an accuracy of {} (always the \
             most common class: {}).</p>",
            percent(known.accuracy),
            percent(known.majority)
        )
    });
    let lead = "What can be predicted without seeing the face, a network may learn as a shortcut instead of \
                expressions."
        .into();
    Some(Section { id: "shortcuts", title: "Shortcuts", lead, body: table.html() + &source })
}

fn labels(audit: &Audit, images: &mut Images) -> Option<Section> {
    let noise = audit.label_noise.as_ref()?;
    let by_name: HashMap<&str, usize> =
        audit.images.iter().enumerate().map(|(index, one)| (one.name.as_str(), index)).collect();
    let shot = |issue: &Issue| {
        let image = by_name.get(issue.name.as_str()).map(|&index| images.image(index, &issue.name));
        let image = image.unwrap_or_else(|| "<span class=\"missing\">file missing</span>".into());
        format!(
            "<figure class=\"shot\">{image}<figcaption><span class=\"was\">{}</span> → {}? p(label) = \
             {}<span class=\"path\">{}</span></figcaption></figure>",
            escape(&issue.label),
            escape(&issue.suggested),
            decimals(issue.self_confidence, 3),
            escape(&issue.name)
        )
    };
    let shown: String = noise.issues.iter().filter(|issue| issue.doubtful).take(LABELS).map(shot).collect();
    let mut header = vec!["label"];
    header.extend(noise.classes.iter().map(String::as_str));
    let mut joint = Table::new(
        "joint",
        "Estimated percentage of images by given label (row) and true class (column)",
        &header,
    );
    for (class, row) in noise.classes.iter().zip(&noise.joint) {
        let mut cells = vec![short(class)];
        cells.extend(row.iter().map(|&value| number(decimals(100.0 * value, 2), value)));
        joint.push(cells);
    }
    let lead = format!(
        "Of {}, an estimated {} are mislabelled; {} doubtful (by confident learning). The least plausible \
         come first.",
        count(noise.images, "image", "images"),
        percent(noise.noise),
        count(noise.doubtful, "label is", "labels are")
    );
    let body = format!("<div class=\"gallery\">{shown}</div>{}", joint.html());
    Some(Section { id: "labels", title: "Doubtful labels", lead, body })
}
