//! The misclassified images.

use std::collections::BTreeSet;

use super::entry::{Build, THUMBNAIL};
use crate::error::Result;
use crate::page::html::{Table, count, number, text, thousands};
use crate::page::output::{Output, Stage};
use crate::report::gallery;
use crate::report::images::no_images;
use crate::report::run::Run;
use crate::report::section::{Content, Entry};

pub(super) const MISTAKES: Entry<Build> = Entry { id: "mistakes", title: "Misclassified images", build };

fn build(run: &Run, output: &mut Output) -> Result<Option<Content>> {
    let (Some(rows), Some(primary)) = (&run.rows, run.primary) else { return Ok(None) };
    let classes = &primary.evaluation.classes;
    let all = rows.mistakes();
    if all.is_empty() {
        let lead =
            format!("None: all {} are classified correctly.", count(rows.rows.len(), "image", "images"));
        return Ok(Some(Content { lead, body: String::new() }));
    }
    let chosen = gallery::choose(&all, run.options.gallery);
    let names: Vec<&str> = chosen.iter().map(|mistake| mistake.path.as_str()).collect();
    let stage = Stage::new("thumbnails of the gallery", names.len(), run.options.progress);
    let thumbnails = run.images.thumbnails(&names, THUMBNAIL, &stage)?;

    let mut file = Table::new(
        "misclassified",
        "",
        &["path", "group", "truth", "predicted", "confidence", "p of the truth"],
    );
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|&a, &b| all[b].confidence.total_cmp(&all[a].confidence));
    for mistake in order.into_iter().map(|at| &all[at]) {
        let truth = f64::from(primary.predictions[mistake.row].probabilities[mistake.truth]);
        file.push(vec![
            text(&mistake.path),
            text(&mistake.group),
            text(&classes[mistake.truth]),
            text(&classes[mistake.predicted]),
            number("", mistake.confidence),
            number("", truth),
        ]);
    }
    output.hidden_table(&file);

    let pairs: BTreeSet<(usize, usize)> =
        all.iter().map(|mistake| (mistake.truth, mistake.predicted)).collect();
    let sure = all.iter().filter(|mistake| mistake.confidence > 0.9).count();
    let lead = format!(
        "{} of {} images {} misclassified, in {}; the confidence is above 90% for {} of them.",
        thousands(all.len()),
        thousands(rows.rows.len()),
        if all.len() == 1 { "is" } else { "are" },
        count(pairs.len(), "confused pair", "confused pairs"),
        if sure == 0 { "none".to_owned() } else { thousands(sure) }
    );
    let mut body = if chosen.len() < all.len() {
        format!(
            "<p>{} are shown, in turn from each confused pair; the file below lists all of them.</p>",
            thousands(chosen.len())
        )
    } else {
        "<p>All are shown, starting with one of each confused pair.</p>".to_owned()
    };
    if thumbnails.iter().all(Option::is_none) {
        body += &no_images(&run.images);
    }
    let shots: Vec<_> = chosen.into_iter().zip(thumbnails).collect();
    body += &gallery::html(&shots, classes);
    body += "<p class=\"files\">\
             <a href=\"tables/misclassified.csv\" download>All misclassified images as CSV</a></p>";
    Ok(Some(Content { lead, body }))
}
