//! Class activation maps, and how faithful they are.

use std::fmt::Write;
use std::str::FromStr;

use super::entry::Build;
use crate::error::Result;
use crate::explain::index::{Faithfulness, Index, Judged};
use crate::explain::methods::Method;
use crate::page::html::{Table, count, decimals, escape, link, number, percent, text, thousands};
use crate::page::output::Output;
use crate::page::thumbnails::{Thumbnail, shrink};
use crate::report::figures::{self, PerturbationCurve};
use crate::report::images::{image, short_path};
use crate::report::run::Run;
use crate::report::section::{Content, Entry};

/// Longest side of a map.
const SIDE: usize = 176;
/// Maps shown at most.
const SHOWN: usize = 60;

pub(super) const MAPS: Entry<Build> = Entry { id: "maps", title: "Activation maps", build };

fn build(run: &Run, output: &mut Output) -> Result<Option<Content>> {
    let Some(explain) = &run.files.explain else { return Ok(None) };
    let thumbnail = |relative: Option<&String>| {
        let path = run.files.file(relative?)?;
        shrink(&path, SIDE).ok()
    };
    let mut body = String::new();
    let shown: Vec<_> = explain.maps.iter().take(SHOWN).collect();
    if !shown.is_empty() {
        body.push_str("<div class=\"maps\">");
        for map in &shown {
            let parts: Vec<(&str, Thumbnail)> =
                [("image", &map.image), ("map", &map.overlay), ("attention", &map.attention)]
                    .into_iter()
                    .filter_map(|(name, relative)| Some((name, thumbnail(relative.as_ref())?)))
                    .collect();
            let truth = map
                .truth
                .as_ref()
                .map_or_else(String::new, |truth| format!("<span class=\"was\">{}</span> ", escape(truth)));
            let verdict = match &map.truth {
                Some(truth) if *truth == map.predicted => "classified correctly".to_owned(),
                Some(_) => format!("→ <b>{}</b>", escape(&map.predicted)),
                None => format!("predicted as <b>{}</b>", escape(&map.predicted)),
            };
            let of = if map.class.is_empty() || map.class == map.predicted {
                String::new()
            } else {
                format!("; map for {}", escape(&map.class))
            };
            let probability =
                map.probability.map(|p| format!(", {}", percent(f64::from(p)))).unwrap_or_default();
            let images: String = if parts.is_empty() {
                image(None, "no map")
            } else {
                parts.iter().map(|(name, thumbnail)| image(Some(thumbnail), name)).collect()
            };
            let _ = write!(
                body,
                "<figure class=\"map\"><div>{images}</div><figcaption>{truth}\
                 <span class=\"taken\">{verdict}{probability}{of}</span>\
                 <span class=\"path\" title=\"{}\">{}</span></figcaption></figure>",
                escape(&map.path),
                short_path(&map.path)
            );
        }
        body.push_str("</div>");
    }
    let hidden = explain.maps.len() - shown.len();
    if hidden > 0 {
        let _ = write!(
            body,
            "<p class=\"quiet\">{} more in the folder <code>explain/</code>.</p>",
            thousands(hidden)
        );
    }
    body += &class_means(run, explain);
    body += &grids(run, explain);
    if let Some(faithfulness) = &explain.faithfulness {
        body += &faithfulness_part(faithfulness, output);
    }
    Ok((!body.is_empty()).then(|| Content { lead: lead(explain), body }))
}

fn lead(explain: &Index) -> String {
    let method = if explain.method.is_empty() {
        String::new()
    } else {
        format!(" ({})", escape(&method_title(&explain.method)))
    };
    let mut lead = format!("Class activation maps{method}: bright regions support the predicted class.");
    let scores = explain.faithfulness.as_ref().map(|found| &found.methods[..]).unwrap_or_default();
    let deletion =
        |name: &str| scores.iter().find(|score| score.method == name).and_then(|score| score.deletion_auc);
    if let (Some(own), Some(random)) = (deletion(&explain.method), deletion("random")) {
        let verdict = if own < random {
            "the maps show what the prediction depends on"
        } else {
            "<strong>the maps are no better than chance</strong>"
        };
        let _ = write!(
            lead,
            " Deleting the brightest pixels first leaves a mean probability of {}, deleting pixels in random \
             order {}: {verdict}.",
            percent(own),
            percent(random)
        );
    }
    lead
}

/// The name of a method as papers write it; `random` and unknown names as they are.
fn method_title(name: &str) -> String {
    Method::from_str(name).map_or_else(|_| name.replace('_', " "), |method| method.title().to_owned())
}

fn class_means(run: &Run, explain: &Index) -> String {
    let mut out = String::new();
    for mean in &explain.class_means {
        let Some(thumbnail) = run.files.file(&mean.image).and_then(|path| shrink(&path, SIDE).ok()) else {
            continue;
        };
        let class = escape(&mean.class);
        let _ = write!(
            out,
            "<figure class=\"map\"><div>{}</div><figcaption><span class=\"was\">{class}</span> \
             <span class=\"taken\">mean of {}</span></figcaption></figure>",
            image(Some(&thumbnail), &format!("mean map of {class}")),
            count(mean.count, "image", "images")
        );
    }
    if out.is_empty() {
        out
    } else {
        format!("<h3>Mean map of each class</h3><div class=\"maps\">{out}</div>")
    }
}

/// The overview images: links where the maps themselves are shown, otherwise images.
fn grids(run: &Run, explain: &Index) -> String {
    const LARGE: usize = 1000;
    let mut out = String::new();
    for (name, relative) in &explain.grids {
        let Some(path) = run.files.file(relative).filter(|path| path.is_file()) else { continue };
        let name = match name.as_str() {
            "right" => "correctly classified".to_owned(),
            "wrong" => "misclassified".to_owned(),
            other => escape(other),
        };
        let href = link(relative);
        if !explain.maps.is_empty() {
            let _ = write!(out, "<a href=\"{href}\">overview, {name}</a> ");
        } else if let Ok(thumbnail) = shrink(&path, LARGE) {
            let _ = write!(
                out,
                "<figure class=\"grid\">{}<figcaption>{name}</figcaption></figure>",
                image(Some(&thumbnail), &name)
            );
        }
    }
    if explain.maps.is_empty() || out.is_empty() { out } else { format!("<p class=\"files\">{out}</p>") }
}

fn faithfulness_part(faithfulness: &Judged, output: &mut Output) -> String {
    let mut table = Table::new(
        "faithfulness",
        "Deletion, insertion and ROAD scores of each method",
        &["method", "deletion AUC ↓", "insertion AUC ↑", "ROAD ↑"],
    );
    for score in &faithfulness.methods {
        let value = |value: Option<f64>| {
            value.map_or_else(|| number("–", f64::NAN), |value| number(decimals(value, 3), value))
        };
        table.push(vec![
            text(method_title(&score.method)),
            value(score.deletion_auc),
            value(score.insertion_auc),
            value(score.road),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "<h3>Are the maps faithful?</h3><p>Pixels are deleted (or inserted) in the order of the map while \
         the probability of the class is recorded; mean over {}{}. Lower is better for deletion, higher for \
         insertion and ROAD; a useful method beats the random order.</p>",
        count(faithfulness.images, "image", "images"),
        if faithfulness.baseline.is_empty() {
            String::new()
        } else {
            format!(", deleted pixels replaced by {}", escape(&faithfulness.baseline))
        }
    );
    out += &output.table(&table);
    type Curve = fn(&Faithfulness) -> (&[[f64; 2]], Option<f64>);
    let kinds: [(&str, Curve); 3] = [
        ("deletion", |score| (&score.deletion, score.deletion_auc)),
        ("insertion", |score| (&score.insertion, score.insertion_auc)),
        ("ROAD", |score| (&score.road_curve, score.road)),
    ];
    for (kind, of) in kinds {
        let curves: Vec<PerturbationCurve> = faithfulness
            .methods
            .iter()
            .filter(|score| !of(score).0.is_empty())
            .map(|score| PerturbationCurve {
                method: score.method.clone(),
                title: method_title(&score.method),
                area: of(score).1.unwrap_or(f64::NAN),
                points: of(score).0.iter().map(|&[x, y]| (x, y)).collect(),
            })
            .collect();
        if !curves.is_empty() {
            out += &output.figure(figures::perturbation(kind, &curves));
        }
    }
    out
}
