//! Classes, splits and groups of the data, sample images, and files that were left out.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::entry::{Build, THUMBNAIL};
use crate::data::Split;
use crate::error::Result;
use crate::page::html::{Table, count, details, escape, list, text, thousands, whole};
use crate::page::output::{Output, Stage};
use crate::report::figures::{self, SplitCounts};
use crate::report::images::{full_name, image, no_images};
use crate::report::run::Run;
use crate::report::section::{Content, Entry};

/// Sample images of each class.
const SAMPLES: usize = 6;

pub(super) const DATA: Entry<Build> = Entry { id: "data", title: "Data", build };

fn build(run: &Run, output: &mut Output) -> Result<Option<Content>> {
    let Some(data) = &run.files.data else { return Ok(None) };
    let used: Vec<Split> =
        Split::ALL.into_iter().filter(|&split| data.counts.of(split).iter().sum::<usize>() > 0).collect();
    let sum = |split: Split| data.counts.of(split).iter().sum::<usize>();
    let groups = |split: Split| match split {
        Split::Train => data.groups.train,
        Split::Valid => data.groups.valid,
        Split::Test => data.groups.test,
    };
    let parts: Vec<String> =
        used.iter().map(|&split| format!("{} for {}", thousands(sum(split)), purpose(split))).collect();
    let totals: Vec<usize> = (0..data.classes.len())
        .map(|class| used.iter().map(|&split| data.counts.of(split)[class]).sum())
        .collect();
    let (most, least) =
        (totals.iter().copied().max().unwrap_or(0), totals.iter().copied().min().unwrap_or(0));
    let balance = if most == least {
        "all classes have the same number of images".to_owned()
    } else {
        let named = |number: usize| {
            totals.iter().position(|n| *n == number).map_or("", |at| data.classes[at].as_str())
        };
        format!(
            "the largest class, {}, has {} images and the smallest, {}, has {}",
            escape(named(most)),
            thousands(most),
            escape(named(least)),
            thousands(least)
        )
    };
    let lead = format!(
        "{} images in {} classes: {}; {balance}.",
        thousands(totals.iter().sum()),
        data.classes.len(),
        list(&parts)
    );

    let splits: Vec<SplitCounts> = used
        .iter()
        .map(|split| SplitCounts {
            split: split.name().into(),
            counts: data.counts.of(*split).iter().map(|n| *n as u64).collect(),
        })
        .collect();
    let mut body = output.figure(figures::class_counts(&data.classes, &splits));

    let mut table = Table::new("data", "Images per class and split", &["class"]);
    used.iter().for_each(|split| table.column(split.name()));
    table.column("all");
    for (class, name) in data.classes.iter().enumerate() {
        let counts = used.iter().map(|&split| whole(data.counts.of(split)[class]));
        table.push([text(name)].into_iter().chain(counts).chain([whole(totals[class])]).collect());
    }
    let all = used.iter().map(|&split| whole(sum(split))).chain([whole(totals.iter().sum())]);
    table.push([text("all")].into_iter().chain(all).collect());
    let in_groups = used.iter().map(|&split| whole(groups(split))).chain([text("")]);
    table.push([text("groups")].into_iter().chain(in_groups).collect());
    body += &output.table(&table);

    let rules: Vec<String> = data
        .group_rules
        .iter()
        .map(|(rule, n)| {
            format!(
                "{} ({})",
                serde_json::to_value(rule)
                    .ok()
                    .and_then(|v| v.as_str().map(String::from))
                    .unwrap_or_default(),
                thousands(*n)
            )
        })
        .collect();
    let mut facts = vec![("Path", data.root.display().to_string()), ("Images grouped by", list(&rules))];
    for (title, number) in [
        ("Augmented copies", data.augmented),
        ("Synthetic images", data.synthetic),
        ("Exact duplicates", data.duplicates),
    ] {
        if number > 0 {
            facts.push((title, thousands(number)));
        }
    }
    facts.push(("Fingerprint", data.fingerprint.clone()));
    let facts: String = facts
        .iter()
        .map(|(key, value)| format!("<div><dt>{key}</dt><dd>{}</dd></div>", escape(value)))
        .collect();
    let _ = write!(body, "<dl class=\"facts\">{facts}</dl>");

    body += &samples(run)?;
    body += &left_out(run, output);
    Ok(Some(Content { lead, body }))
}

fn purpose(split: Split) -> &'static str {
    match split {
        Split::Train => "training",
        Split::Valid => "validation",
        Split::Test => "testing",
    }
}

/// Some images of each class, from as many groups as possible.
fn samples(run: &Run) -> Result<String> {
    let (Some(rows), Some(primary)) = (&run.rows, run.primary) else { return Ok(String::new()) };
    let classes = &primary.evaluation.classes;
    let mut chosen: Vec<(usize, usize)> = Vec::new(); // class, place in rows
    for class in 0..classes.len() {
        let of_class: Vec<usize> = (0..rows.rows.len()).filter(|&at| rows.truth[at] == class).collect();
        let mut seen = BTreeSet::new();
        let (fresh, again): (Vec<usize>, Vec<usize>) =
            of_class.into_iter().partition(|&at| seen.insert(rows.groups[at]));
        // Evenly spaced over the groups: file names often sort them by source.
        let spread = |from: &[usize], wanted: usize| -> Vec<usize> {
            let taken = wanted.min(from.len());
            (0..taken).map(|index| from[index * from.len() / taken]).collect()
        };
        let mut some = spread(&fresh, SAMPLES);
        let more = SAMPLES - some.len();
        some.extend(spread(&again, more));
        chosen.extend(some.into_iter().map(|at| (class, at)));
    }
    let names: Vec<&str> = chosen.iter().map(|&(_, at)| rows.predictions[at].path.as_str()).collect();
    let stage = Stage::new("sample images", names.len(), run.options.progress);
    let thumbnails = run.images.thumbnails(&names, THUMBNAIL, &stage)?;
    if thumbnails.iter().all(Option::is_none) {
        return Ok(no_images(&run.images));
    }
    let mut out = format!(
        "<h3>Sample images of the {} split</h3><div class=\"samples\">",
        escape(&primary.evaluation.split)
    );
    for (class, name) in classes.iter().enumerate() {
        let _ = write!(out, "<div class=\"sample-row\"><span>{}</span><div>", escape(name));
        for ((_, at), thumbnail) in chosen.iter().zip(&thumbnails).filter(|((of, _), _)| *of == class) {
            let prediction = rows.predictions[*at];
            let title = escape(&full_name(&prediction.path, &prediction.group));
            let _ =
                write!(out, "<span title=\"{title}\">{}</span>", image(thumbnail.as_ref(), &escape(name)));
        }
        out.push_str("</div></div>");
    }
    out.push_str("</div>");
    Ok(out)
}

/// The files that could not be read, by name.
fn left_out(run: &Run, output: &mut Output) -> String {
    const SHOWN: usize = 50;
    let Some(data) = run.files.data.as_ref().filter(|data| !data.unreadable.is_empty()) else {
        return String::new();
    };
    let (mut table, mut file) = (
        Table::new("unreadable", "Unreadable files", &["file", "reason"]),
        Table::new("unreadable", "Unreadable files", &["file", "reason"]),
    );
    for (index, unreadable) in data.unreadable.iter().enumerate() {
        let row = vec![text(&unreadable.name), text(&unreadable.reason)];
        if index < SHOWN {
            table.push(row.clone());
        }
        file.push(row);
    }
    output.hidden_table(&file);
    let more = data.unreadable.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(
            "<p class=\"quiet\">{} more in <a href=\"tables/unreadable.csv\">tables/unreadable.csv</a>.</p>",
            thousands(more)
        )
    } else {
        String::new()
    };
    details(
        &format!("{} left out", count(data.unreadable.len(), "unreadable file", "unreadable files")),
        &(table.html() + &more),
    )
}
