//! The images on which the runs disagree.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::comparison::{Build, Comparison};
use super::sides::{Side, same_data, swatch};
use crate::error::Result;
use crate::page::html::{Table, escape, list, number, percent, share, text, thousands, whole};
use crate::page::output::{Output, Stage};
use crate::page::thumbnails::{Thumbnail, Thumbnails};
use crate::report::images::{full_name, image, images_of, short_path};
use crate::report::numbers::Rows;
use crate::report::options::Options;
use crate::report::section::{Content, Entry};

/// Longest side of a thumbnail.
const THUMBNAIL: usize = 64;
/// Images that the page shows at most; the file lists all of them.
const SHOWN: usize = 300;

pub(super) const DISAGREEMENTS: Entry<Build> = Entry { id: "disagreements", title: "Disagreements", build };

/// An image that all runs were evaluated on, with the prediction of each.
struct Answers<'a> {
    path: &'a str,
    group: &'a str,
    truth: usize,
    /// Class and probability, per run.
    said: Vec<(usize, f64)>,
}

impl Answers<'_> {
    /// Which runs are correct.
    fn pattern(&self) -> Vec<bool> {
        self.said.iter().map(|(class, _)| *class == self.truth).collect()
    }
}

fn build(comparison: &Comparison, output: &mut Output) -> Result<Option<Content>> {
    let Comparison { sides, options, .. } = comparison;
    // The runs that were evaluated on the same data as the first.
    let count_of_all = sides.len();
    let Some(first) = sides.iter().find(|side| side.rows.is_some()) else { return Ok(None) };
    let classes_of = |side: &Side| side.evaluated.map(|evaluated| evaluated.evaluation.classes.clone());
    let sides: Vec<&Side> = sides
        .iter()
        .filter(|side| side.rows.is_some() && same_data(first, side) && classes_of(first) == classes_of(side))
        .collect();
    let all_of_them = sides.len() == count_of_all;
    let (sides, classes) = (sides.as_slice(), &classes_of(first).unwrap_or_default());
    let rows: Vec<&Rows> = sides.iter().filter_map(|side| side.rows.as_ref()).collect();
    if sides.len() < 2 {
        return Ok(None);
    }
    let places: Vec<HashMap<&str, usize>> = rows
        .iter()
        .map(|rows| rows.predictions.iter().enumerate().map(|(at, row)| (row.path.as_str(), at)).collect())
        .collect();
    let answers = |at: usize| {
        let (path, truth) = (rows[0].predictions[at].path.as_str(), rows[0].truth[at]);
        let said = |(rows, places): (&&Rows, &HashMap<&str, usize>)| {
            let at = *places.get(path)?;
            (rows.truth[at] == truth).then(|| (rows.predicted[at], rows.confidence(at)))
        };
        let said = rows.iter().zip(&places).map(said).collect::<Option<Vec<_>>>()?;
        Some(Answers { path, group: &rows[0].predictions[at].group, truth, said })
    };
    let all: Vec<Answers> = (0..rows[0].rows.len()).filter_map(answers).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let differing: Vec<&Answers> =
        all.iter().filter(|one| one.said.iter().any(|(class, _)| *class != one.said[0].0)).collect();
    let nobody = all.iter().filter(|one| one.pattern().iter().all(|right| !right)).count();
    let lead = format!(
        "{} disagree on {} of {} images; {} {} misclassified by all of them.",
        if all_of_them {
            "The runs".to_owned()
        } else {
            escape(&list(&sides.iter().map(|side| side.name.clone()).collect::<Vec<_>>()))
        },
        thousands(differing.len()),
        thousands(all.len()),
        thousands(nobody),
        if nobody == 1 { "is" } else { "are" }
    );
    write_answers(sides, classes, &differing, output);
    let chosen = in_turn(&differing, SHOWN);
    let names: Vec<&str> = chosen.iter().map(|one| one.path).collect();
    let thumbnails = thumbnails(sides, &names, options)?;
    let mut body = patterns(sides, &all, output);
    if !chosen.is_empty() {
        if chosen.len() < differing.len() {
            let _ = write!(
                body,
                "<p>{} are shown, in turn from each combination of correct runs; the file below lists all of \
                 them.</p>",
                thousands(chosen.len())
            );
        }
        body += &answer_table(sides, classes, &chosen, &thumbnails);
        body.push_str(
            "<p class=\"files\">\
             <a href=\"tables/disagreements.csv\" download>All disagreements as CSV</a></p>",
        );
    }
    Ok(Some(Content { lead, body }))
}

/// At most `budget`, in turn from each combination of correct runs; within a combination, those on which the
/// runs are most confident come first.
fn in_turn<'a>(all: &[&'a Answers<'a>], budget: usize) -> Vec<&'a Answers<'a>> {
    let mut patterns: BTreeMap<Vec<bool>, Vec<&Answers>> = BTreeMap::new();
    for one in all {
        patterns.entry(one.pattern()).or_default().push(one);
    }
    let sure = |one: &Answers| one.said.iter().map(|(_, confidence)| confidence).sum::<f64>();
    for list in patterns.values_mut() {
        list.sort_by(|a, b| sure(b).total_cmp(&sure(a)).then_with(|| a.path.cmp(b.path)));
    }
    let rounds = patterns.values().map(Vec::len).max().unwrap_or(0);
    (0..rounds)
        .flat_map(|round| patterns.values().filter_map(move |list| list.get(round).copied()))
        .take(budget)
        .collect()
}

fn write_answers(sides: &[&Side], classes: &[String], differing: &[&Answers], output: &mut Output) {
    let mut file = Table::new("disagreements", "", &["path", "group", "truth"]);
    for side in sides {
        file.column(&side.name);
        file.column(&format!("confidence of {}", side.name));
    }
    for one in differing {
        let said =
            one.said.iter().flat_map(|(class, confidence)| [text(&classes[*class]), number("", *confidence)]);
        file.push(
            [text(one.path), text(one.group), text(&classes[one.truth])].into_iter().chain(said).collect(),
        );
    }
    output.hidden_table(&file);
}

/// From the data, or from the thumbnails that any of the runs has kept.
fn thumbnails(sides: &[&Side], names: &[&str], options: &Options) -> Result<Vec<Option<Thumbnail>>> {
    let mut found: Vec<Option<Thumbnail>> = vec![None; names.len()];
    for side in sides {
        let missing: Vec<usize> = (0..names.len()).filter(|&at| found[at].is_none()).collect();
        let wanted: Vec<&str> = missing.iter().map(|&at| names[at]).collect();
        let stage = Stage::new("thumbnails", wanted.len(), options.progress);
        let images: Thumbnails = images_of(side.files, side.evaluated);
        for (at, thumbnail) in missing.into_iter().zip(images.thumbnails(&wanted, THUMBNAIL, &stage)?) {
            found[at] = thumbnail;
        }
    }
    Ok(found)
}

fn who(sides: &[&Side], pattern: &[bool]) -> String {
    let right: Vec<String> =
        sides.iter().zip(pattern).filter(|(_, right)| **right).map(|(side, _)| side.name.clone()).collect();
    match right.len() {
        0 => "none".into(),
        n if n == sides.len() => "all".into(),
        _ => list(&right),
    }
}

/// How often each combination of runs is correct.
fn patterns(sides: &[&Side], all: &[Answers], output: &mut Output) -> String {
    let mut counts: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(one.pattern()).or_default() += 1;
    }
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(pattern, number)| (std::cmp::Reverse(*number), pattern.clone()));
    let mut table =
        Table::new("agreement", "Which runs are correct, over all images", &["right", "images", "share"])
            .show_as("right", "correct");
    for (pattern, number) in &rows {
        table.push(vec![text(who(sides, pattern)), whole(*number), share(*number as f64 / all.len() as f64)]);
    }
    output.table(&table)
}

fn answer_table(
    sides: &[&Side],
    classes: &[String],
    chosen: &[&Answers],
    thumbnails: &[Option<Thumbnail>],
) -> String {
    let mut options: BTreeMap<String, usize> = BTreeMap::new();
    chosen.iter().for_each(|one| *options.entry(who(sides, &one.pattern())).or_default() += 1);
    let truths: String = classes
        .iter()
        .enumerate()
        .filter(|(index, _)| chosen.iter().any(|one| one.truth == *index))
        .map(|(index, class)| format!("<option value=\"{index}\">{}</option>", escape(class)))
        .collect();
    let patterns: Vec<(&String, &usize)> = options.iter().collect();
    let who_options: String = patterns
        .iter()
        .enumerate()
        .map(|(index, (who, n))| format!("<option value=\"{index}\">{} ({n})</option>", escape(who)))
        .collect();
    let mut out = format!(
        "<form class=\"controls\" id=\"answers-controls\" aria-label=\"Filter the images\">\
         <label>True class <select name=\"truth\"><option value=\"\">any</option>{truths}</select></label>\
         <label>Correct runs <select name=\"pattern\"><option \
         value=\"\">any</option>{who_options}</select></label><button type=\"reset\">Reset</button><output \
         aria-live=\"polite\"></output></form><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Predictions of each run\"><table class=\"answers\" id=\"answers\"><thead><tr><th \
         scope=\"col\">true class</th><th scope=\"col\">image</th>"
    );
    for side in sides {
        let _ = write!(out, "<th scope=\"col\">{}{}</th>", swatch(side.index), escape(&side.name));
    }
    out.push_str("</tr></thead><tbody>");
    for (place, (one, thumbnail)) in chosen.iter().zip(thumbnails).enumerate() {
        let pattern = who(sides, &one.pattern());
        let index = patterns.iter().position(|(who, _)| **who == pattern).unwrap_or(0);
        let truth = escape(&classes[one.truth]);
        let _ = write!(
            out,
            "<tr data-i=\"{place}\" data-t=\"{}\" data-w=\"{index}\"><th scope=\"row\">{truth}</th>\
             <td>{}<span class=\"path\" title=\"{}\">{}</span></td>",
            one.truth,
            image(thumbnail.as_ref(), &truth),
            escape(&full_name(one.path, one.group)),
            short_path(one.path)
        );
        for (class, confidence) in &one.said {
            let (mark, style) = if *class == one.truth { ("✓", "right") } else { ("✗", "wrong") };
            let _ = write!(
                out,
                "<td><span class=\"{style}\">{mark}</span> {} <span class=\"quiet\">{}</span></td>",
                escape(&classes[*class]),
                percent(*confidence)
            );
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}
