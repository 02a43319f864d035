//! A study as one self-contained HTML file, with its figures and tables in folders next to it.
//!
//! The same results give the same page, byte for byte. It claims no more than the numbers support: a
//! difference that the seeds and groups do not establish is called not significant.

mod answer;
mod cells;
mod claim;
mod differences;
mod dose;
mod numbers;
mod settings;
mod synthetic;

#[cfg(test)]
mod tests;

use std::path::Path;

use self::answer::answer;
use self::claim::claim;
use self::differences::{classes, differences};
use self::dose::dose;
use self::numbers::numbers;
use self::settings::{cost, settings};
use self::synthetic::synthetic;
use super::names::PAGE;
use super::plan::Plan;
use super::results::Results;
use crate::error::Result;
use crate::page::html::{count, document, escape, list};
use crate::page::output::{Output, Written};

/// Writes `study.html` into `out`, with `plots/` and `tables/` beside it.
///
/// # Errors
/// A file cannot be written.
pub fn write(out: &Path, results: &Results, plan: &Plan) -> Result<Written> {
    let mut output = Output::default();
    let html = document_of(results, plan, &mut output);
    let warnings =
        results.warnings.iter().map(|warning| format!("{}: {}", warning.title, warning.text)).collect();
    output.write(out, PAGE, &html, None, warnings)
}

fn document_of(results: &Results, plan: &Plan, output: &mut Output) -> String {
    let mut sections = vec![answer(results), numbers(results, output)];
    sections.extend(differences(results, output));
    sections.extend(classes(results, output));
    sections.extend(claim(results, output));
    sections.extend(dose(results, output));
    sections.extend(results.quality.as_ref().map(|quality| synthetic(results, quality, output)));
    sections.push(cost(results, output));
    sections.push(settings(results, plan, output));
    let names: Vec<String> = results.variants.iter().map(|variant| variant.name.clone()).collect();
    let sub = format!(
        "{}, tested on {} of {}",
        list(&names),
        count(results.images, "real image", "real images"),
        count(results.groups, "group", "groups")
    );
    let head = format!(
        "<header><p class=\"kicker\">Study</p><h1>{}</h1><p class=\"sub\">{}</p></header>",
        escape(&question(results)),
        escape(&sub)
    );
    let foot = "Made by mien from the run folders of the study. Figures are in <code>plots/</code>, tables \
                in <code>tables/</code>, all numbers in <code>study.json</code> and <code>study.csv</code>; \
                the page does not need them.";
    document(&format!("Study: {}", list(&names)), &head, &sections, foot)
}

fn question(results: &Results) -> String {
    let others = results.variants.iter().filter(|variant| variant.name != results.baseline).count();
    match results.comparisons.as_slice() {
        [] if others == 0 => format!("How accurate is '{}'?", results.baseline),
        [] => "How accurate are the variants?".into(),
        [one] => format!("Is '{}' more accurate than '{}'?", one.variant, one.baseline),
        _ => format!("Which variants are more accurate than '{}'?", results.baseline),
    }
}
