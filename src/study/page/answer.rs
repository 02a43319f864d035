//! The answer: what the comparisons say, and what to know before believing it.

use crate::page::html::{Section, count, escape, list, thousands};
use crate::study::results::Results;
use crate::study::words::level;

pub(super) fn answer(results: &Results) -> Section {
    let answers = results.answers();
    let lead = match answers.as_slice() {
        [] => "There is nothing to compare yet.".to_owned(),
        [one] => escape(one),
        _ => {
            let clear: Vec<String> = results
                .comparisons
                .iter()
                .filter(|one| one.clear)
                .map(|one| {
                    let direction = if one.accuracy.difference.estimate > 0.0 { "better" } else { "worse" };
                    format!("'{}' ({direction})", one.variant)
                })
                .collect();
            let of =
                format!("{} with '{}'", count(answers.len(), "comparison", "comparisons"), results.baseline);
            if clear.is_empty() {
                escape(&format!("None of {of} shows a significant difference in accuracy."))
            } else {
                let show = if clear.len() == 1 { "shows" } else { "show" };
                escape(&format!(
                    "{} of {of} {show} a significant difference in accuracy: {}.",
                    clear.len(),
                    list(&clear)
                ))
            }
        }
    };
    let mut body = warning_list(results);
    if answers.len() > 1 {
        let items: String = answers.iter().map(|answer| format!("<li>{}</li>", escape(answer))).collect();
        body += &format!("<ul>{items}</ul>");
    }
    let planned = results.variants.iter().map(|variant| variant.runs.len()).sum::<usize>()
        + results.claim.as_ref().map_or(0, |claim| claim.runs.len());
    let missing =
        if results.missing.is_empty() { "all".into() } else { format!("{} missing", results.missing.len()) };
    let seeds = results.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let tiles = [
        ("test images", thousands(results.images), "real, the same for every variant".to_owned()),
        ("test groups", thousands(results.groups), "photos or persons".into()),
        ("seeds", thousands(results.seeds.len()), seeds),
        ("finished runs", thousands(planned), missing),
    ];
    let tiles: String = tiles
        .iter()
        .map(|(what, value, more)| {
            format!(
                "<div class=\"tile\"><dt>{what}</dt><dd>{value}<small>{}</small></dd></div>",
                escape(more)
            )
        })
        .collect();
    body += &format!("<dl class=\"tiles\">{tiles}</dl>");
    body += &format!(
        "<p class=\"quiet\">Each variant is trained once with each seed and tested on the same images. Each \
         {} confidence interval (CI) is the wider of two: the bootstrap over groups of images and seeds ({} \
         replicates), and Student’s interval from the jackknife over groups and the variance over seeds, \
         because a bootstrap over few seeds or few groups is too narrow. p values are corrected for the \
         number of variants by Holm’s method.</p>",
        level(results.level).replace(' ', "\u{a0}"),
        thousands(results.replicates)
    );
    Section { id: "answer", title: "Answer", lead, body }
}

fn warning_list(results: &Results) -> String {
    let items: String = results
        .warnings
        .iter()
        .map(|warning| {
            let class = if warning.grave { "grave" } else { "note" };
            format!("<li class=\"{class}\"><b>{}.</b> {}</li>", escape(&warning.title), escape(&warning.text))
        })
        .collect();
    if items.is_empty() {
        items
    } else {
        format!("<ul class=\"warnings\" aria-label=\"Warnings\">{items}</ul>")
    }
}
