//! A study as one HTML file that needs nothing else, with its figures and tables beside it.
//!
//! The same results give the same page, byte for byte. It says no more than the numbers carry: what cannot be
//! told from so many seeds and groups is called that.

use std::collections::BTreeSet;
use std::path::Path;

use super::PAGE;
use super::figures::{self, Axis, Block, Row};
use super::plan::{Kind, Plan};
use super::results::{
    Change, Comparison, Quality, Results, VariantResult, counted, is_clear, kind_text, level, p_text, points,
};
use crate::error::Result;
use crate::page::html::{
    Cell, Section, Table, count, decimals, details, document, duration, escape, html, list, number, percent,
    percent_interval, share, significant, text, thousands, whole,
};
use crate::page::output::{Output, Written};
use crate::stats::bootstrap::Interval;

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

type OfVariant = fn(&VariantResult) -> Interval;
type OfRun = fn(&super::results::RunResult) -> f64;
type OfComparison = fn(&Comparison) -> &Change;

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
    let foot = "Made by mien from the run folders of the study. Figures lie beside this page in <code>plots/</code>, tables in <code>tables/</code>, \
                all numbers in <code>study.json</code> and <code>study.csv</code>; the page works without them.";
    document(&format!("Study: {}", list(&names)), &head, &sections, foot)
}

fn question(results: &Results) -> String {
    let others = results.variants.iter().filter(|variant| variant.name != results.baseline).count();
    match results.comparisons.as_slice() {
        [] if others == 0 => format!("How well does '{}' do?", results.baseline),
        [] => "What do the variants reach?".into(),
        [one] => format!("Does '{}' do better than '{}'?", one.variant, one.baseline),
        _ => format!("Which variant does better than '{}'?", results.baseline),
    }
}

// ---- the answer ----

fn answer(results: &Results) -> Section {
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
                escape(&format!("Of {of}, none shows a difference of accuracy that chance does not explain."))
            } else {
                escape(&format!(
                    "Of {of}, {} of accuracy {} not explained by chance: {}.",
                    count(clear.len(), "difference", "differences"),
                    if clear.len() == 1 { "is" } else { "are" },
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
        ("groups of them", thousands(results.groups), "photos or persons: what is drawn".into()),
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
        "<p class=\"quiet\">Each variant is trained once with each seed and tested on the same images. An interval shall hold the true value in \
         {} of such studies; it is the wider of a bootstrap over groups of images and seeds ({} replicates) and of Student’s interval from the jackknife \
         over groups and the variance over seeds, because a bootstrap of few seeds or few groups is too sure of itself. p values are corrected by \
         Holm’s method for the number of variants.</p>",
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

// ---- numbers ----

fn numbers(results: &Results, output: &mut Output) -> Section {
    let interval = level(results.level);
    let mut table = Table::new(
        "variants",
        "Means over the seeds, on the same test images",
        &[
            "variant",
            "trained on",
            "seeds",
            "accuracy",
            &interval,
            "balanced accuracy",
            "macro F1",
            "change of accuracy",
            &interval,
            "p (Holm)",
        ],
    );
    for (index, variant) in results.variants.iter().enumerate() {
        let mut row = vec![name_cell(index, &variant.name), kind_cell(variant), whole(variant.runs.len())];
        row.extend([
            share(variant.accuracy.estimate),
            between(variant.accuracy),
            share(variant.balanced_accuracy.estimate),
        ]);
        row.push(number(decimals(variant.macro_f1.estimate, 3), variant.macro_f1.estimate));
        match results.comparisons.iter().find(|comparison| comparison.variant == variant.name) {
            Some(comparison) => row.extend(change_cells(&comparison.accuracy, results.level)),
            None if variant.name == results.baseline => row.extend([text("baseline"), text(""), text("")]),
            None => row.extend([text(""), text(""), text("")]),
        }
        table.push(row);
    }
    let metrics: [(&str, OfVariant, OfRun); 3] = [
        ("Accuracy, %", |one| one.accuracy, |run| run.accuracy),
        ("Balanced accuracy, %", |one| one.balanced_accuracy, |run| run.balanced_accuracy),
        ("Macro F1, in hundredths", |one| one.macro_f1, |run| run.macro_f1),
    ];
    let blocks: Vec<Block> = metrics
        .iter()
        .map(|(title, value, of_run)| Block {
            title: (*title).into(),
            rows: results
                .variants
                .iter()
                .enumerate()
                .map(|(index, variant)| Row {
                    name: variant.name.clone(),
                    value: value(variant),
                    seeds: variant.runs.iter().map(of_run).collect(),
                    series: Some(index),
                })
                .collect(),
        })
        .collect();
    let figure = figures::intervals(
        "variants",
        "Each variant on the same test images",
        &format!(
            "Dots: the mean over the seeds; short upright lines: the seeds; bars: the {interval} interval. Two bars that overlap may still differ, because the images are the same: see the differences."
        ),
        Axis::Share,
        &blocks,
    );
    let mut runs =
        Table::new("runs", "Every run", &["run", "seed", "accuracy", "balanced accuracy", "macro F1"]);
    for run in results.variants.iter().flat_map(|variant| &variant.runs) {
        runs.push(vec![
            text(&run.run),
            number(run.seed.to_string(), run.seed as f64),
            share(run.accuracy),
            share(run.balanced_accuracy),
            number(decimals(run.macro_f1, 3), run.macro_f1),
        ]);
    }
    let body = output.table(&table) + &output.figure(figure) + &details("Every run", &output.table(&runs));
    let best = results.variants.iter().max_by(|a, b| a.accuracy.estimate.total_cmp(&b.accuracy.estimate));
    let lead = best.map_or_else(String::new, |best| {
        format!(
            "The highest mean accuracy is that of <strong>{}</strong>, {} ({} {}). The highest of several is likely to be so by luck in part.",
            escape(&best.name),
            percent(best.accuracy.estimate),
            interval,
            percent_interval([best.accuracy.low, best.accuracy.high])
        )
    });
    Section { id: "numbers", title: "Numbers", lead, body }
}

fn name_cell(index: usize, name: &str) -> Cell {
    let color = crate::plot::series_color(index);
    html(
        unbroken(&format!("<span class=\"swatch\" style=\"background:{color}\"></span>{}", escape(name))),
        name,
    )
}

fn ends(value: Interval) -> String {
    format!("{} to {}", value.low, value.high)
}

fn kind_cell(variant: &VariantResult) -> Cell {
    let kind = kind_text(variant.kind);
    html(unbroken(&escape(&kind)), kind)
}

/// HTML on one line: the table scrolls instead.
fn unbroken(html: &str) -> String {
    format!("<span style=\"white-space:nowrap\">{html}</span>")
}

fn between(value: Interval) -> Cell {
    html(unbroken(&percent_interval([value.low, value.high])), ends(value))
}

/// The change, its interval, p.
fn change_cells(change: &Change, level: f64) -> [Cell; 3] {
    let Interval { estimate, low, high } = change.difference;
    let shown = points(estimate);
    let shown = if is_clear(change, level) { format!("<strong>{shown}</strong>") } else { shown };
    [
        html(format!("<span class=\"n\">{shown}</span>"), estimate.to_string()),
        html(unbroken(&format!("{} to {}", points(low), points(high))), ends(change.difference)),
        number(p_text(change.p_holm), change.p_holm),
    ]
}

// ---- differences ----

fn differences(results: &Results, output: &mut Output) -> Option<Section> {
    if results.comparisons.is_empty() {
        return None;
    }
    let interval = level(results.level);
    let metrics: [(&str, OfComparison); 3] = [
        ("accuracy", |one| &one.accuracy),
        ("balanced accuracy", |one| &one.balanced_accuracy),
        ("macro F1", |one| &one.macro_f1),
    ];
    let mut table = Table::new(
        "differences",
        &format!("Changes from '{}', in points", results.baseline),
        &["variant", "of", "change", &interval, "p (Holm)", "p alone"],
    );
    let mut blocks = Vec::new();
    for (title, of) in metrics {
        let mut rows = Vec::new();
        for comparison in &results.comparisons {
            let (index, change) = (place(results, &comparison.variant), of(comparison));
            let mut row = vec![name_cell(index, &comparison.variant), text(title)];
            row.extend(change_cells(change, results.level));
            row.push(number(p_text(change.p), change.p));
            table.push(row);
            rows.push(Row {
                name: comparison.variant.clone(),
                value: change.difference,
                seeds: Vec::new(),
                series: Some(index),
            });
        }
        blocks.push(Block { title: format!("Change of {title}, points"), rows });
    }
    let figure = figures::intervals(
        "differences",
        &format!("Differences from '{}'", results.baseline),
        &format!(
            "Dots: the change in points, paired image by image; bars: its {interval} interval, not corrected for the number of variants. A bar across 0: either direction is possible."
        ),
        Axis::Points,
        &blocks,
    );
    let mut mcnemar = Table::new(
        "mcnemar",
        "McNemar's exact test, seed by seed",
        &["variant", "seed", "only the baseline right", "only the variant right", "p", "p (Holm)"],
    );
    for comparison in &results.comparisons {
        for test in &comparison.mcnemar {
            mcnemar.push(vec![
                text(&comparison.variant),
                number(test.seed.to_string(), test.seed as f64),
                whole(test.only_baseline as usize),
                whole(test.only_variant as usize),
                number(p_text(test.p), test.p),
                number(p_text(test.p_holm), test.p_holm),
            ]);
        }
    }
    let clear = results.comparisons.iter().filter(|one| one.clear).count();
    let lead = format!(
        "Of {} of accuracy, {clear} {} more than chance explains (p below {} after Holm’s correction, printed bold below).",
        count(results.comparisons.len(), "difference", "differences"),
        if clear == 1 { "is" } else { "are" },
        (1.0 - results.level).abs().mul_add(1000.0, 0.5).floor() / 1000.0
    );
    let body = output.figure(figure)
        + &output.table(&table)
        + "<p class=\"quiet\">Accuracy is what the study asks about; balanced accuracy and macro F1 are corrected each among themselves.</p>"
        + "<h3>The two runs of each seed</h3><p class=\"quiet\">McNemar’s test looks at the images that only one of the two runs recognises, as if images \
           were independent and these two runs were all that matters. Images of one group are not independent and another seed gives another run, so it finds \
           differences too easily: read it beside the intervals above, not in their place.</p>"
        + &if mcnemar.is_empty() { "<p>No seed has both runs.</p>".into() } else { output.table(&mcnemar) };
    Some(Section { id: "differences", title: "Differences", lead, body })
}

fn place(results: &Results, name: &str) -> usize {
    results.variants.iter().position(|variant| variant.name == name).unwrap_or(0)
}

// ---- classes ----

fn classes(results: &Results, output: &mut Output) -> Option<Section> {
    if results.comparisons.is_empty() {
        return None;
    }
    let interval = level(results.level);
    let mut table = Table::new(
        "class_changes",
        &format!("Changes of each class from '{}', in points", results.baseline),
        &["variant", "class", "images", "recall", &interval, "p (Holm)", "F1", &interval, "p (Holm)"],
    );
    let (mut blocks, mut clear, mut all) = (Vec::new(), 0, 0);
    for comparison in &results.comparisons {
        let index = place(results, &comparison.variant);
        let mut rows = Vec::new();
        for class in &comparison.classes {
            all += 1;
            clear += usize::from(is_clear(&class.recall, results.level));
            let mut row =
                vec![name_cell(index, &comparison.variant), text(&class.class), whole(class.images)];
            row.extend(change_cells(&class.recall, results.level));
            row.extend(change_cells(&class.f1, results.level));
            table.push(row);
            rows.push(Row {
                name: format!("{} ({})", class.class, class.images),
                value: class.recall.difference,
                seeds: Vec::new(),
                series: Some(index),
            });
        }
        blocks.push(Block { title: format!("{}: change of recall, points", comparison.variant), rows });
    }
    let figure = figures::intervals(
        "class_changes",
        &format!("Recall of each class, against '{}'", results.baseline),
        &format!(
            "Dots: the change of recall in points; bars: the {interval} interval of each alone. Behind the class: its test images."
        ),
        Axis::Points,
        &blocks,
    );
    let lead = format!(
        "Of {}, {clear} {} more than chance explains after correction for all of them.",
        count(all, "change of a class’s recall", "changes of a class’s recall"),
        if clear == 1 { "is" } else { "are" }
    );
    let note = format!(
        "<p class=\"quiet\">A class has fewer images than the whole, so that its intervals are wider. Of {all} intervals of {interval}, about {} \
         leave out 0 by chance alone.</p>",
        decimals((1.0 - results.level) * all as f64, 1)
    );
    Some(Section {
        id: "classes",
        title: "Classes",
        lead,
        body: output.figure(figure) + &note + &output.table(&table),
    })
}

// ---- the leaky split ----

fn claim(results: &Results, output: &mut Output) -> Option<Section> {
    let claim = results.claim.as_ref()?;
    let honest = results.variant(&claim.beside)?;
    let gap = claim.accuracy - claim.honest;
    let lead = format!(
        "With copies made first and all images split at random afterwards, one would have claimed <strong>{}</strong>; ‘{}’, tested on groups that it has \
         never seen, has <strong>{}</strong>: {} points {}.",
        percent(claim.accuracy),
        escape(&claim.beside),
        percent(claim.honest),
        points(gap.abs()).trim_start_matches('+'),
        if gap >= 0.0 { "less" } else { "more" }
    );
    let of_claim = |value: f64, [low, high]: [f64; 2]| Interval { estimate: value, low, high };
    let mut rows: Vec<Row> = claim
        .runs
        .iter()
        .map(|run| Row {
            name: format!("claimed, seed {}", run.seed),
            value: of_claim(run.accuracy, run.interval),
            seeds: Vec::new(),
            series: None,
        })
        .collect();
    rows.push(Row {
        name: format!("{}, by group", claim.beside),
        value: honest.accuracy,
        seeds: honest.runs.iter().map(|run| run.accuracy).collect(),
        series: Some(place(results, &claim.beside)),
    });
    let figure = figures::intervals(
        "claim",
        "What a leaky split would have claimed",
        "Grey: accuracy of each leaky run on its own random split, with the interval that is usually printed (Wilson, images taken for independent). In \
         colour: the mean on the fixed test set, whose groups are never in training.",
        Axis::Share,
        &[Block { title: "Accuracy, %".into(), rows }],
    );
    let mut table =
        Table::new("claim", "The leaky runs", &["run", "images", "accuracy", "95 % as printed", "macro F1"]);
    for run in &claim.runs {
        table.push(vec![
            text(&run.run),
            whole(run.images),
            share(run.accuracy),
            between(of_claim(run.accuracy, run.interval)),
            number(decimals(run.macro_f1, 3), run.macro_f1),
        ]);
    }
    let note = "<p class=\"quiet\">In a random split after augmenting, copies of one photo and images of one person lie on both sides, so that remembering is \
                taken for recognising. The two numbers are of different test images: the gap is no exact measure of the leak, and the claimed number is no \
                estimate for new faces.</p>";
    Some(Section {
        id: "claim",
        title: "Leaky split",
        lead,
        body: output.figure(figure) + &output.table(&table) + note,
    })
}

// ---- dose ----

fn dose(results: &Results, output: &mut Output) -> Option<Section> {
    if results.dose.is_empty() {
        return None;
    }
    let curve: Vec<_> = results
        .dose
        .iter()
        .map(|point| (point.images, point.accuracy, point.seeds.iter().map(|(_, value)| *value).collect()))
        .collect();
    let interval = level(results.level);
    let figure = figures::dose(
        "Accuracy by the number of synthetic images added",
        &format!(
            "Dots: the mean over the seeds; short lines: the seeds; bars: the {interval} interval. The line only joins the dots."
        ),
        &curve,
    );
    let mut table = Table::new(
        "doses",
        "Doses",
        &["synthetic images", "variant", "accuracy", &interval, "change of accuracy", &interval, "p (Holm)"],
    );
    for point in &results.dose {
        let mut row = vec![
            whole(point.images),
            text(&point.variant),
            share(point.accuracy.estimate),
            between(point.accuracy),
        ];
        match results.comparisons.iter().find(|comparison| comparison.variant == point.variant) {
            Some(comparison) => row.extend(change_cells(&comparison.accuracy, results.level)),
            None => row.extend([
                text(if point.variant == results.baseline { "baseline" } else { "" }),
                text(""),
                text(""),
            ]),
        }
        table.push(row);
    }
    let doses = || {
        results.comparisons.iter().filter(|comparison| {
            results.variant(&comparison.variant).is_some_and(|variant| matches!(variant.kind, Kind::Dose(_)))
        })
    };
    let clear = doses().filter(|comparison| comparison.clear).count();
    let lead = match (doses().count(), clear) {
        (0, _) => "No dose can be compared yet.".to_owned(),
        (_, 0) => escape(&format!("No dose can be told from '{}'.", results.baseline)),
        (all, clear) => escape(&format!(
            "{clear} of {} {} from '{}' by more than chance explains.",
            count(all, "dose", "doses"),
            if clear == 1 { "differs" } else { "differ" },
            results.baseline
        )),
    };
    Some(Section { id: "dose", title: "Dose", lead, body: output.figure(figure) + &output.table(&table) })
}

// ---- synthetic images ----

fn synthetic(results: &Results, quality: &Quality, output: &mut Output) -> Section {
    let mut table = Table::new(
        "quality",
        "Synthetic images by class",
        &["class", "images", "show what is meant", "diversity", "diversity of real ones", "ratio"],
    );
    for class in &quality.per_class {
        let ratio = class.diversity / class.real_diversity;
        table.push(vec![
            text(&class.class),
            whole(class.images),
            share(class.intended),
            number(significant(class.diversity), class.diversity),
            number(significant(class.real_diversity), class.real_diversity),
            number(decimals(ratio, 2), ratio),
        ]);
    }
    let lead = format!(
        "A model trained on real faces takes {} of {} for what they are meant to show.",
        percent(quality.intended),
        count(quality.images, "synthetic image", "synthetic images")
    );
    let judge = results.variants.iter().flat_map(|variant| &variant.runs).find(|run| {
        Path::new(&quality.model).file_name().is_some_and(|name| name.to_str() == Some(run.run.as_str()))
    });
    let judge = judge.map_or_else(String::new, |run| {
        format!(
            " It recognises {} of the real test images itself, so that not every disagreement is the images’ fault.",
            percent(run.accuracy)
        )
    });
    let body = format!(
        "<p>The model is <code>{}</code>.{judge} The Fréchet distance of its features between synthetic and real images is {}; between two halves of the \
         real images, divided by group, it is {}. Diversity is the mean distance of two images of a class in these features: a ratio far below 1 means that \
         the synthetic images are more alike than real ones.</p>{}",
        escape(&quality.model),
        significant(quality.frechet),
        significant(quality.frechet_real),
        output.table(&table)
    );
    Section { id: "synthetic", title: "Synthetic images", lead, body }
}

// ---- cost ----

fn cost(results: &Results, output: &mut Output) -> Section {
    let mut table = Table::new(
        "cost",
        "Training of one run, means over the seeds",
        &["variant", "training images", "epochs", "images seen", "time"],
    );
    let rounded = |value: Option<f64>| {
        value.map_or_else(|| text(""), |value| number(thousands(value.round() as usize), value))
    };
    for (index, variant) in results.variants.iter().enumerate() {
        let cost = variant.cost;
        let epochs =
            cost.epochs.map_or_else(|| text(""), |value| number(decimals(value, 1).replace(".0", ""), value));
        let time = cost.seconds.map_or_else(|| text(""), |value| number(duration(value), value));
        table.push(vec![
            name_cell(index, &variant.name),
            rounded(cost.train_images),
            epochs,
            rounded(cost.images_seen),
            time,
        ]);
    }
    let seconds: f64 =
        results.variants.iter().flat_map(|variant| &variant.runs).filter_map(|run| run.cost.seconds).sum();
    let lead = if seconds > 0.0 {
        format!("Training the compared runs took {} in all.", duration(seconds))
    } else {
        "The run folders do not say how long training took.".into()
    };
    let note = "<p class=\"quiet\">A variant with more images sees more of them in the same number of epochs: what looks like better data may be longer training.</p>";
    Section { id: "cost", title: "Cost", lead, body: output.table(&table) + note }
}

// ---- settings ----

fn settings(results: &Results, plan: &Plan, output: &mut Output) -> Section {
    let fact = |what: &str, value: String| format!("<div><dt>{what}</dt><dd>{}</dd></div>", escape(&value));
    let path = |path: Option<&std::path::PathBuf>| {
        path.map_or_else(|| "none".to_owned(), |path| path.display().to_string())
    };
    let seeds = plan.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let changes =
        plan.set.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ");
    let mut body = format!(
        "<dl class=\"facts\">{}{}{}{}{}{}{}</dl>",
        fact("real images", path(Some(&plan.real))),
        fact("synthetic images", path(plan.synthetic.as_ref())),
        fact("recipe", path(plan.recipe.as_ref())),
        fact("changed for all", if changes.is_empty() { "nothing".into() } else { changes }),
        fact("seeds", seeds),
        fact("split by", format!("seed {}", plan.split_seed)),
        fact("copies", format!("{} of each image, profile {}", plan.augment.copies, plan.augment.profile))
    );
    let mut variants = Table::new(
        "settings_of_variants",
        "What sets the variants apart",
        &["variant", "trained on", "changes"],
    );
    for (index, variant) in results.variants.iter().enumerate() {
        let changes = variant
            .changes
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect::<Vec<_>>()
            .join(", ");
        variants.push(vec![name_cell(index, &variant.name), kind_cell(variant), text(changes)]);
    }
    body += &output.table(&variants);
    let keys: BTreeSet<&str> =
        results.variants.iter().flat_map(|variant| &variant.settings).map(|(key, _)| key.as_str()).collect();
    let value = |variant: &VariantResult, key: &str| {
        variant.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let table_of = |name: &str, caption: &str, all: bool| {
        let mut table = Table::new(name, caption, &["key"]);
        results.variants.iter().for_each(|variant| table.column(&variant.name));
        for &key in &keys {
            let values: Vec<Option<String>> =
                results.variants.iter().map(|variant| value(variant, key)).collect();
            if all || values.iter().any(|value| *value != values[0]) {
                let cells = values.iter().map(|value| text(value.as_deref().unwrap_or("–")));
                table.push(std::iter::once(text(key)).chain(cells).collect());
            }
        }
        table
    };
    let differing = table_of("settings", "Settings that differ, of the first run of each variant", false);
    if !differing.is_empty() {
        body += &output.table(&differing);
    }
    if !keys.is_empty() {
        body += &details("All settings", &table_of("", "All settings", true).html());
    }
    let lead = format!(
        "{} were planned with {}.",
        counted(plan.arms().len(), "variant"),
        counted(plan.seeds.len(), "seed")
    );
    let lead = if plan.arms().len() == 1 { lead.replace(" were ", " was ") } else { lead };
    Section { id: "settings", title: "Settings", lead, body }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::results::testing::{WORLD, study};
    use super::super::results::{Quality, QualityClass};
    use super::*;

    const ALL: &str = "real = 'a<b>'\nsynthetic = 'b'\ndose = [0, 50, 200]\n[set]\n'train.weights' = '</script><script>alert(1)</script>'\n\
                       [[variant]]\nname = 'resnet'\nset = { 'model.name' = '<img>' }\n";

    fn made(text: &str) -> (tempfile::TempDir, Plan, String) {
        let text = text
            .replace("[set]", "variants = ['real', 'augmented', 'synthetic', 'synthetic-augmented']\n[set]");
        let (folder, plan) = study(&text, WORLD, |variant| match variant {
            "leaky" => 0.93,
            "synthetic" => 0.45,
            "dose-200" => 0.64,
            _ => 0.6,
        });
        let class = |class: &str, intended| QualityClass {
            class: class.into(),
            images: 50,
            intended,
            diversity: 6.0,
            real_diversity: 11.5,
        };
        let quality = Quality {
            images: 150,
            intended: 0.81,
            per_class: vec![class("angry", 0.7), class("happy", 0.95), class("<sad>", 0.78)],
            frechet: 12.3,
            frechet_real: 3.1,
            model: "runs/real-s1".into(),
        };
        crate::files::write_json(&folder.path().join(super::super::QUALITY), &quality).unwrap();
        super::super::write(folder.path(), &plan).unwrap();
        let page = fs::read_to_string(folder.path().join(PAGE)).unwrap();
        (folder, plan, page)
    }

    fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
        page.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    /// Every element is closed in the order in which it was opened.
    fn check_nesting(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = page;
        while let Some(start) = rest.find('<') {
            rest = &rest[start + 1..];
            let end = rest.find('>').unwrap();
            let (tag, after) = (&rest[..end], &rest[end + 1..]);
            let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
            rest = after;
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "near {}", &after[..after.len().min(80)]);
            } else if !tag.starts_with('!')
                && !tag.ends_with('/')
                && !["meta", "link", "img", "input", "br"].contains(&name)
            {
                open.push(name);
                if name == "script" || name == "style" {
                    rest = &rest[rest.find(&format!("</{name}")).unwrap()..];
                }
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn a_study_becomes_a_page_with_every_section_and_file() {
        let (folder, _, page) = made(ALL);
        check_nesting(&page);
        for id in
            ["answer", "numbers", "differences", "classes", "claim", "dose", "synthetic", "cost", "settings"]
        {
            assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
        }
        for part in [
            "Of 6 comparisons with &#39;real&#39;, 1 difference of accuracy is not explained by chance: &#39;synthetic&#39; (worse).",
            "no difference can be told from 3 seeds and 20 groups",
            "one would have claimed <strong>9",
            "takes 81.0% of 150 synthetic images for what they are meant to show",
            "saw 3.0 times the images",
        ] {
            assert!(page.contains(part), "{part}");
        }
        // Links are to files that are there, and nothing comes from elsewhere.
        for place in values(&page, "href").into_iter().chain(values(&page, "src")) {
            assert!(!place.contains("http") && !place.starts_with('/'), "{place}");
            if let Some(anchor) = place.strip_prefix('#') {
                assert!(page.contains(&format!("id=\"{anchor}\"")), "{place}");
            } else if !place.starts_with("data:") {
                assert!(folder.path().join(place).is_file(), "{place}");
            }
        }
        assert!(!page.replace("url(data:", "").contains("url(") && !page.contains("@import"));
        let csv = fs::read_to_string(folder.path().join("tables/mcnemar.csv")).unwrap();
        assert_eq!(csv.lines().count(), 1 + 6 * 3, "{csv}");
        let csv = fs::read_to_string(folder.path().join("tables/class_changes.csv")).unwrap();
        assert!(csv.lines().count() == 1 + 6 * 3 && csv.contains("<sad>"), "{csv}");
        for name in [super::super::RESULTS, super::super::TABLE] {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
    }

    #[test]
    fn no_text_of_a_plan_or_a_run_becomes_markup() {
        let (_folder, _, page) = made(ALL);
        for text in ["<sad>", "<script>alert", "<img>", "a<b>", "real<b>"] {
            assert!(!page.contains(text), "{text}");
        }
        assert!(
            page.contains("&lt;sad&gt;")
                && page.contains("&lt;script&gt;alert(1)")
                && page.contains("real&lt;b&gt;")
        );
        assert_eq!(page.matches("<script").count(), 2);
    }

    #[test]
    fn the_same_runs_give_the_same_bytes() {
        let (folder, plan, page) = made(ALL);
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        let before =
            ["study.json", "study.csv", "plots/differences.png", "tables/class_changes.csv"].map(read);
        super::super::write(folder.path(), &plan).unwrap();
        assert!(fs::read_to_string(folder.path().join(PAGE)).unwrap() == page);
        assert!(
            ["study.json", "study.csv", "plots/differences.png", "tables/class_changes.csv"].map(read)
                == before
        );
    }

    #[test]
    fn little_makes_a_page_too() {
        let (folder, plan) = study("real = 'a'\nseeds = [1]", WORLD, |_| 0.6);
        let page = |plan: &Plan| {
            super::super::write(folder.path(), plan).unwrap();
            let page = fs::read_to_string(folder.path().join(PAGE)).unwrap();
            check_nesting(&page);
            page
        };
        let one = page(&plan);
        assert!(
            one.contains("seed-to-seed variation is unknown")
                && !one.contains("id=\"dose\"")
                && !one.contains("id=\"synthetic\"")
        );
        for run in ["augmented-s1", "leaky-s1"] {
            fs::remove_dir_all(folder.path().join("runs").join(run)).unwrap();
        }
        let alone = page(&plan);
        assert!(
            alone.contains("There is nothing to compare yet.") && alone.contains("augmented-s1, leaky-s1")
        );
    }

    #[test]
    fn labels_of_figures_do_not_touch() {
        let value = |estimate: f64| Interval { estimate, low: estimate - 0.04, high: estimate + 0.05 };
        let row = |name: &str, at: f64| Row {
            name: name.into(),
            value: value(at),
            seeds: vec![at - 0.01, at + 0.02],
            series: Some(0),
        };
        let blocks = [
            Block {
                title: "first".into(),
                rows: vec![row("a", 0.5), row(&"a long name of a variant ".repeat(3), 0.91)],
            },
            Block { title: "second".into(), rows: vec![row("b", 0.03)] },
        ];
        let points =
            [(0, value(0.5), vec![0.5, 0.52]), (100, value(0.55), vec![]), (10_000, value(0.6), vec![])];
        for figure in [
            figures::intervals("x", "title", "caption", Axis::Share, &blocks),
            figures::intervals("x", "title", "caption", Axis::Points, &blocks),
            figures::intervals("x", "title", "caption", Axis::Points, &[]),
            figures::dose("title", "caption", &points),
            figures::dose("title", "caption", &points[..1]),
        ] {
            for drawing in figure.drawings() {
                crate::plot::no_text_overlaps(drawing).unwrap();
            }
        }
    }
}
