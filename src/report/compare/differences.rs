//! Paired differences between runs, with tests and tables of agreement.

use std::fmt::Write;

use super::comparison::{Build, Comparison};
use crate::error::Result;
use crate::page::html::{Table, decimals, html, number, percent, text, thousands, whole};
use crate::page::output::Output;
use crate::report::section::{Content, Entry};
use crate::stats::bootstrap::Interval;
use crate::stats::hypothesis::holm;

pub(super) const DIFFERENCES: Entry<Build> = Entry { id: "differences", title: "Differences", build };

fn build(comparison: &Comparison, output: &mut Output) -> Result<Option<Content>> {
    let Comparison { sides, pairs, .. } = comparison;
    if pairs.is_empty() {
        return Ok(None);
    }
    let adjusted = holm(&pairs.iter().map(|pair| pair.p).collect::<Vec<_>>());
    let mut table = Table::new(
        "differences",
        "Paired differences in accuracy, in percentage points",
        &["A", "B", "images", "groups", "B − A", "95 % interval", "p (McNemar)", "p (Holm)"],
    )
    .show_as("95 % interval", "95% CI");
    let mut matrices = String::new();
    for (pair, adjusted) in pairs.iter().zip(adjusted) {
        let (a, b) = (&sides[pair.a], &sides[pair.b]);
        let Some(difference) = &pair.difference else { continue };
        let points = |value: f64| decimals(value * 100.0, 1);
        let Interval { estimate, low, high } = difference.difference;
        let p = |p: f64| number(if p < 0.001 { "< 0.001".into() } else { decimals(p, 3) }, p);
        table.push(vec![
            text(&a.name),
            text(&b.name),
            whole(pair.common),
            whole(pair.groups),
            number(points(estimate), estimate),
            html(format!("{} to {}", points(low), points(high)), format!("{low} to {high}")),
            p(pair.p),
            p(adjusted),
        ]);
        let mut matrix = Table::new(
            format!("agreement_{}_{}", pair.a + 1, pair.b + 1),
            &format!("A: {}, B: {}", a.name, b.name),
            &["", "B right", "B wrong"],
        )
        .show_as("B right", "B correct");
        let of = |cell: u64| {
            html(
                format!(
                    "{} <small>{}</small>",
                    thousands(cell as usize),
                    percent(cell as f64 / pair.common as f64)
                ),
                cell.to_string(),
            )
        };
        matrix.push(vec![html("A correct", "A right"), of(pair.both_right), of(pair.only_a)]);
        matrix.push(vec![text("A wrong"), of(pair.only_b), of(pair.both_wrong)]);
        let _ = write!(
            matrices,
            "<div>{}<p class=\"quiet\">Same prediction for {} of the images.</p></div>",
            matrix.html(),
            percent(pair.agree as f64 / pair.common as f64)
        );
        output.hidden_table(&matrix);
    }
    let clear = pairs
        .iter()
        .filter(|pair| {
            pair.difference
                .as_ref()
                .is_some_and(|found| found.difference.low > 0.0 || found.difference.high < 0.0)
        })
        .count();
    let lead = match (pairs.len(), clear) {
        (1, 0) => "The runs do not differ significantly in accuracy: the 95% confidence interval of the \
                   difference includes 0."
            .to_owned(),
        (1, _) => "The runs differ significantly in accuracy: the 95% confidence interval of the difference \
                   excludes 0."
            .to_owned(),
        (all, clear) => format!(
            "{clear} of {all} pairs of runs {} significantly in accuracy: the 95% confidence interval of the \
             difference excludes 0.",
            if clear == 1 { "differs" } else { "differ" }
        ),
    };
    let body = format!(
        "{}<p class=\"quiet\">Both runs of a pair are evaluated on the same images. Confidence intervals: \
         paired bootstrap over groups. McNemar's exact test uses the images that only one of the two runs \
         classifies correctly, and takes images as independent; Holm's correction accounts for the number of \
         pairs. None of them says how much a run would vary with another seed.</p><h3>Agreement</h3><div \
         class=\"pair\">{matrices}</div>",
        output.table(&table)
    );
    Ok(Some(Content { lead, body }))
}
