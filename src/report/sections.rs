//! The page of one run, section by section.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::gallery::{self, full_name, image, short_path};
use super::numbers::{Rows, class_scores, neighbours_alike};
use super::warnings::{self, Warning};
use super::{Options, Page, Projection};
use crate::data::Split;
use crate::error::Result;
use crate::eval::metrics;
use crate::page::html::{
    Cell, Section, Table, count, decimals, details, document, duration, escape, html, json, link, list,
    number, percent, percent_interval, share, significant, text, thousands, whole,
};
use crate::page::output::{Output, Stage};
use crate::page::thumbnails::{Thumbnail, Thumbnails, shrink};
use crate::report::figures::{
    self, BatchPoint, ConfusedPair, EpochPoint, PerturbationCurve, Projected, SplitCounts,
};
use crate::run_folder::events::EpochRecord;
use crate::run_folder::read::{Ending, Evaluated, Explain, Faithfulness, RunFiles};
use crate::stats::bootstrap::MetricIntervals;
use crate::stats::projection::{TsneSettings, pca, tsne};
use crate::text::base64;

/// Longest side of a thumbnail in the gallery.
const THUMBNAIL: usize = 96;
/// Longest side of a thumbnail over a point of the projection.
const SMALL: usize = 64;
/// Longest side of a class activation map.
const MAP: usize = 176;
/// Maps that the page shows, at most.
const MAPS: usize = 60;
/// Sample images of each class.
const SAMPLES: usize = 6;
/// Bytes of JPEG for the points of the projection: what keeps a page of any run below 15 MB.
const POINT_BYTES: usize = 5 << 20;
/// Other evaluations that are shown in full, at most.
const OTHERS: usize = 8;

/// What the sections are made from.
struct Run<'a> {
    files: &'a RunFiles,
    options: &'a Options<'a>,
    primary: Option<&'a Evaluated>,
    rows: Option<Rows<'a>>,
    intervals: Option<MetricIntervals>,
    images: Thumbnails,
}

pub(super) fn page(files: &RunFiles, options: &Options, output: &mut Output) -> Result<Page> {
    let primary = files.primary();
    let rows = primary.and_then(Rows::of);
    let intervals = match (&rows, primary) {
        (Some(rows), Some(primary)) => {
            Some(rows.intervals(primary.evaluation.classes.len(), options.replicates)?)
        }
        _ => None,
    };
    let images = images_of(files, primary);
    let run = Run { files, options, primary, rows, intervals, images };
    let warnings = warnings::of(files, run.rows.as_ref(), run.intervals.as_ref());

    let mut sections = vec![summary(&run, &warnings)];
    sections.extend(data(&run, output)?);
    sections.extend(training(&run, output));
    sections.extend(results(&run, output));
    sections.extend(probabilities(&run, output)?);
    sections.extend(mistakes(&run, output)?);
    sections.extend(maps(&run, output));
    sections.extend(features(&run, output)?);
    sections.push(configuration(&run, output));

    let model = files.setting("model.name").unwrap_or_default();
    let size = files.setting("input.size").unwrap_or_default();
    let head = format!(
        "<header><p class=\"kicker\">Training run</p><h1>{}</h1><p class=\"sub\">{}, {size}×{size} pixels · {}</p></header>",
        escape(&files.name),
        escape(&model),
        escape(&files.setting("data.root").unwrap_or_default())
    );
    let foot = "Made by mien from the files of the run folder. Figures lie beside this page in <code>plots/</code>, tables in <code>tables/</code>; the \
                page works without them.";
    let html = document(&files.name, &head, &sections, foot);
    let warnings =
        warnings.into_iter().map(|warning| format!("{}: {}", warning.title, warning.text)).collect();
    Ok(Page { html, warnings })
}

/// The images of an evaluation, or of the run's data.
pub(super) fn images_of(files: &RunFiles, evaluated: Option<&Evaluated>) -> Thumbnails {
    let own_root = files.data.as_ref().map(|data| data.root.display().to_string());
    let root =
        evaluated.map(|one| one.evaluation.data.clone()).or_else(|| own_root.clone()).unwrap_or_default();
    // A fingerprint tells data sets apart better than a place.
    let key = match &files.data {
        Some(data) if own_root.as_ref() == Some(&root) => data.fingerprint.clone(),
        _ => root.clone(),
    };
    Thumbnails::of(Path::new(&root), &key, &files.folder)
}

// ---- summary ----

fn summary(run: &Run, warnings: &[Warning]) -> Section {
    let files = run.files;
    let mut tiles = Vec::new();
    let mut lead = "Nothing is evaluated yet.".to_owned();
    if let Some(primary) = run.primary {
        let (evaluation, metrics) = (&primary.evaluation, &primary.evaluation.metrics);
        let interval = run
            .intervals
            .as_ref()
            .map_or(metrics.accuracy_interval, |found| [found.accuracy.low, found.accuracy.high]);
        let groups = run
            .rows
            .as_ref()
            .map(|rows| format!(" of {}", count(rows.group_count(), "group", "groups")))
            .unwrap_or_default();
        lead = format!(
            "Of {} {} images{groups}, <strong>{} are recognised</strong> (95&nbsp;% interval {}); always answering with the commonest class would \
             reach {}.",
            thousands(metrics.n as usize),
            escape(&evaluation.split),
            percent(metrics.accuracy),
            percent_interval(interval),
            percent(metrics.majority_baseline)
        );
        let macro_f1 = run.intervals.as_ref().map(|found| range(found.macro_f1.low, found.macro_f1.high));
        let balanced = run
            .intervals
            .as_ref()
            .map(|found| percent_interval([found.balanced_accuracy.low, found.balanced_accuracy.high]));
        tiles.push((
            format!("Accuracy, {}", evaluation.split),
            percent(metrics.accuracy),
            percent_interval(interval),
        ));
        tiles.push((
            "Balanced accuracy".into(),
            percent(metrics.balanced_accuracy),
            balanced.unwrap_or_default(),
        ));
        tiles.push(("Macro F1".into(), decimals(metrics.macro_f1, 3), macro_f1.unwrap_or_default()));
        let calibrated = if evaluation.temperature == 1.0 {
            "not calibrated".into()
        } else {
            format!("temperature {}", significant(evaluation.temperature.into()))
        };
        tiles.push(("Calibration error".into(), percent(metrics.ece), calibrated));
    }
    if let Some(best) = files.best_epoch() {
        let planned = files.setting("train.epochs").unwrap_or_else(|| files.epochs.len().to_string());
        tiles.push((
            "Best epoch".into(),
            format!("{} of {planned}", best.epoch),
            format!("validation loss {}", significant(best.val_loss)),
        ));
    }
    if let Ending::Finished { seconds } | Ending::EarlyStopped { seconds } | Ending::Interrupted { seconds } =
        files.end
    {
        let device = files
            .header
            .iter()
            .find(|(key, _)| key == "device")
            .map(|(_, value)| value.clone())
            .unwrap_or_default();
        tiles.push(("Training time".into(), duration(seconds), device));
    }
    let tiles: String = tiles
        .iter()
        .map(|(name, value, note)| {
            format!(
                "<div class=\"tile\"><dt>{}</dt><dd>{}<small>{}</small></dd></div>",
                escape(name),
                escape(value),
                escape(note)
            )
        })
        .collect();
    let mut body = format!("<dl class=\"tiles\">{tiles}</dl>{}", warning_list(warnings));
    if !files.header.is_empty() {
        let rows: String = files
            .header
            .iter()
            .map(|(key, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(key), escape(value)))
            .collect();
        let resumed = if files.resumed > 0 {
            format!("<div><dt>resumed</dt><dd>{}</dd></div>", count(files.resumed, "time", "times"))
        } else {
            String::new()
        };
        let _ = write!(body, "<dl class=\"facts\">{rows}{resumed}</dl>");
    }
    Section { id: "summary", title: "Summary", lead, body }
}

/// The warnings, visibly.
pub(super) fn warning_list(warnings: &[Warning]) -> String {
    if warnings.is_empty() {
        return "<p class=\"quiet\">There is nothing to warn of.</p>".into();
    }
    let items: String = warnings
        .iter()
        .map(|warning| {
            let class = if warning.grave { "grave" } else { "note" };
            format!(
                "<li class=\"{class}\"><b>{}.</b> {}</li>",
                escape(&warning.title),
                with_code(&warning.text)
            )
        })
        .collect();
    format!("<ul class=\"warnings\" aria-label=\"Warnings\">{items}</ul>")
}

/// Escapes a text; what stands in it between backticks is code.
fn with_code(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escape(text); // a backtick alone
    }
    let part = |(index, part): (usize, &&str)| {
        if index % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) }
    };
    parts.iter().enumerate().map(part).collect()
}

fn range(low: f64, high: f64) -> String {
    format!("{} to {}", decimals(low, 3), decimals(high, 3))
}

// ---- data ----

fn data(run: &Run, output: &mut Output) -> Result<Option<Section>> {
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
        "the classes are equally large".to_owned()
    } else {
        let named = |number: usize| {
            totals.iter().position(|n| *n == number).map_or("", |at| data.classes[at].as_str())
        };
        format!(
            "the largest class, {}, has {} images, the smallest, {}, {}",
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
    let mut facts = vec![("Root", data.root.display().to_string()), ("Groups known by", list(&rules))];
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
    Ok(Some(Section { id: "data", title: "Data", lead, body }))
}

fn purpose(split: Split) -> &'static str {
    match split {
        Split::Train => "training",
        Split::Valid => "validation",
        Split::Test => "the test",
    }
}

/// Some images of each class, from as many groups as there are.
fn samples(run: &Run) -> Result<String> {
    let (Some(rows), Some(primary)) = (&run.rows, run.primary) else { return Ok(String::new()) };
    let classes = &primary.evaluation.classes;
    let mut chosen: Vec<(usize, usize)> = Vec::new(); // class, place in rows
    for class in 0..classes.len() {
        let of_class: Vec<usize> = (0..rows.rows.len()).filter(|&at| rows.truth[at] == class).collect();
        let mut seen = BTreeSet::new();
        let (fresh, again): (Vec<usize>, Vec<usize>) =
            of_class.into_iter().partition(|&at| seen.insert(rows.groups[at]));
        // Spread over the groups, not the first of them, which file names often sort by source.
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
        return Ok(no_images(run));
    }
    let mut out =
        format!("<h3>Samples of the {} split</h3><div class=\"samples\">", escape(&primary.evaluation.split));
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

fn no_images(run: &Run) -> String {
    let why = if run.images.are_there() {
        "could not be read"
    } else {
        "are not there any more, and no thumbnails of them were kept"
    };
    format!("<p class=\"quiet\">The images of the data {why}: the page does without them.</p>")
}

/// The files that could not be used, by name.
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

// ---- training ----

pub(super) fn epoch_points(epochs: &[EpochRecord]) -> Vec<EpochPoint> {
    let point = |epoch: &EpochRecord| EpochPoint {
        epoch: epoch.epoch as u32,
        train_loss: epoch.train_loss,
        valid_loss: epoch.val_loss,
        train_accuracy: epoch.train_accuracy,
        valid_accuracy: epoch.val_accuracy,
        learning_rate: epoch.learning_rate,
    };
    epochs.iter().map(point).collect()
}

fn training(run: &Run, output: &mut Output) -> Option<Section> {
    let files = run.files;
    let batches: Vec<BatchPoint> = files
        .steps
        .iter()
        .map(|step| BatchPoint {
            epoch: step.epoch as u32,
            step: step.step,
            loss: step.loss,
            accuracy: step.accuracy,
        })
        .collect();
    if files.epochs.is_empty() && batches.is_empty() {
        return None;
    }
    let points = epoch_points(&files.epochs);
    let best = files.best_epoch().map(|epoch| epoch.epoch as u32);
    let mut body = String::new();
    if !points.is_empty() {
        body += &output.figure(figures::learning_curves(&points, best));
        body += &output.figure(figures::combined_curves(&points, best));
        body += &output.figure(figures::trends(&points, best));
    }
    if !batches.is_empty() {
        body += &output.figure(figures::batch_losses(&batches));
        body += &single_epochs(run, &batches, output);
    }
    if !points.is_empty() {
        body += &details("All epochs as a table", &epoch_table(&files.epochs, output));
    }
    Some(Section { id: "training", title: "Training", lead: training_lead(files), body })
}

fn training_lead(files: &RunFiles) -> String {
    let (Some(best), Some(last)) = (files.best_epoch(), files.epochs.last()) else {
        return "No epoch has been completed yet.".into();
    };
    let after = if best.epoch == last.epoch {
        ", the last one: more epochs might still help".to_owned()
    } else if last.val_loss > best.val_loss * 1.01 {
        format!(
            "; validation loss rises after it, from {} to {}",
            significant(best.val_loss),
            significant(last.val_loss)
        )
    } else {
        "; later ones are about as good".to_owned()
    };
    let gap = best.train_accuracy - best.val_accuracy;
    let gap = if gap > 0.05 {
        format!(
            "; at that point the model is {} points better on the training images than on the validation images",
            decimals(gap * 100.0, 1)
        )
    } else {
        String::new()
    };
    let chosen = match files.setting("train.monitor").as_deref() {
        Some("val-accuracy") => " by validation accuracy",
        Some("val-macro-f1") => " by validation macro F1",
        _ => "",
    };
    format!("The best epoch{chosen} is {} of {}{after}{gap}.", best.epoch, last.epoch)
}

/// The plot of every epoch's batches goes into a file; the page shows the first, the best and the last.
fn single_epochs(run: &Run, batches: &[BatchPoint], output: &mut Output) -> String {
    let epochs: BTreeSet<u32> = batches.iter().map(|batch| batch.epoch).collect();
    let shown: BTreeSet<u32> = [
        epochs.first().copied(),
        run.files.best_epoch().map(|epoch| epoch.epoch as u32),
        epochs.last().copied(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (mut body, mut links) = (String::new(), String::new());
    for &epoch in &epochs {
        let figure = figures::epoch_batches(epoch, batches);
        let _ = write!(links, "<a href=\"plots/{}.svg\">{epoch}</a> ", link(&figure.name));
        if shown.contains(&epoch) {
            body += &output.figure(figure);
        } else {
            output.file(figure);
        }
    }
    details(
        "Each epoch's batches",
        &format!("{body}<p class=\"quiet\">All epochs, as files beside this page: {links}</p>"),
    )
}

fn epoch_table(epochs: &[EpochRecord], output: &mut Output) -> String {
    let header = [
        "epoch",
        "train loss",
        "train accuracy",
        "validation loss",
        "validation accuracy",
        "validation macro F1",
        "learning rate",
        "images/s",
        "seconds",
        "best",
    ];
    let mut table = Table::new("epochs", "Epochs", &header);
    for epoch in epochs {
        table.push(vec![
            whole(epoch.epoch),
            number(significant(epoch.train_loss), epoch.train_loss),
            share(epoch.train_accuracy),
            number(significant(epoch.val_loss), epoch.val_loss),
            share(epoch.val_accuracy),
            number(decimals(epoch.val_macro_f1, 3), epoch.val_macro_f1),
            number(significant(epoch.learning_rate), epoch.learning_rate),
            number(significant(epoch.images_per_second), epoch.images_per_second),
            number(significant(epoch.seconds), epoch.seconds),
            html(if epoch.best { "★" } else { "" }, epoch.best.to_string()),
        ]);
    }
    output.table(&table) + "<p class=\"quiet\">★ the best model so far</p>"
}

// ---- results ----

fn results(run: &Run, output: &mut Output) -> Option<Section> {
    let primary = run.primary?;
    let metrics = &primary.evaluation.metrics;
    let pairs = metrics::confusions(metrics, usize::MAX);
    let mut lead = String::new();
    let mut known: Vec<&metrics::ClassMetrics> =
        metrics.per_class.iter().filter(|class| class.support > 0).collect();
    known.sort_by(|a, b| b.recall.total_cmp(&a.recall));
    if let [first, .., last] = known.as_slice()
        && first.recall > last.recall
    {
        let _ = write!(
            lead,
            "Of the classes of the {} split, {} is recognised best ({} of {}), {} worst ({} of {})",
            escape(&primary.evaluation.split),
            escape(&first.class),
            percent(first.recall),
            thousands(first.support as usize),
            escape(&last.class),
            percent(last.recall),
            thousands(last.support as usize)
        );
        lead.push_str(if pairs.is_empty() { "." } else { "; " });
    }
    match pairs.first() {
        Some(pair) => {
            let support = metrics
                .per_class
                .iter()
                .find(|class| class.class == pair.truth)
                .map_or(0, |class| class.support);
            let the = if lead.is_empty() { "The" } else { "the" };
            let _ = write!(
                lead,
                "{the} commonest mistake is to take <strong>{} for {}</strong> ({} of {}).",
                escape(&pair.truth),
                escape(&pair.predicted),
                thousands(pair.count as usize),
                thousands(support as usize)
            );
        }
        None => lead.push_str("There is no mistake at all."),
    }

    let mut body = output.table(&metrics_table(primary, run.intervals.as_ref()));
    body += &confusion_toggle(primary, "", output);
    body += &output.figure(figures::per_class(&class_scores(primary, run.intervals.as_ref())));
    body += &details(
        "Precision, recall and F1 as a table",
        &output.table(&class_table("per_class_table", primary, run.intervals.as_ref())),
    );
    if let Some(intervals) = &run.intervals {
        let _ = write!(
            body,
            "<p class=\"quiet\">Intervals: 95 %, bootstrap over {} (whole groups are drawn, {} times), as images of one group are alike.</p>",
            count(intervals.groups, "group", "groups"),
            thousands(intervals.replicates)
        );
    }
    if !pairs.is_empty() {
        body += &output.figure(figures::confusions(&confused(&pairs, 10)));
        let mut table = Table::new(
            "confusions_all",
            "All confusions",
            &["truth", "predicted", "count", "share of truth"],
        );
        for pair in &pairs {
            table.push(vec![
                text(&pair.truth),
                text(&pair.predicted),
                whole(pair.count as usize),
                share(pair.share_of_truth),
            ]);
        }
        body += &details(
            &format!("All {}", count(pairs.len(), "confusion", "confusions")),
            &output.table(&table),
        );
    }
    body += &other_evaluations(run, output);
    Some(Section { id: "results", title: "Results", lead, body })
}

fn confused(pairs: &[metrics::Confusion], most: usize) -> Vec<ConfusedPair> {
    let one = |pair: &metrics::Confusion| ConfusedPair {
        truth: pair.truth.clone(),
        predicted: pair.predicted.clone(),
        count: pair.count,
        share: pair.share_of_truth,
    };
    pairs.iter().take(most).map(one).collect()
}

fn metrics_table(evaluated: &Evaluated, intervals: Option<&MetricIntervals>) -> Table {
    let metrics = &evaluated.evaluation.metrics;
    let mut table = Table::new("metrics", "Metrics", &["metric", "value", "95 % interval"]);
    let no = || text("");
    let percents =
        |low: f64, high: f64| html(escape(&percent_interval([low, high])), format!("{low} to {high}"));
    let plain = |low: f64, high: f64| html(range(low, high), format!("{low} to {high}"));
    let [low, high] = metrics.accuracy_interval;
    let mut push = |name: &str, value: Cell, interval: Cell| table.push(vec![text(name), value, interval]);
    push(
        "accuracy",
        share(metrics.accuracy),
        intervals.map_or_else(|| percents(low, high), |i| percents(i.accuracy.low, i.accuracy.high)),
    );
    if intervals.is_some() {
        push(
            "accuracy, as if images were independent (Wilson)",
            share(metrics.accuracy),
            percents(low, high),
        );
    }
    push(
        "balanced accuracy",
        share(metrics.balanced_accuracy),
        intervals.map_or_else(no, |i| percents(i.balanced_accuracy.low, i.balanced_accuracy.high)),
    );
    push(
        "macro F1",
        number(decimals(metrics.macro_f1, 3), metrics.macro_f1),
        intervals.map_or_else(no, |i| plain(i.macro_f1.low, i.macro_f1.high)),
    );
    for (name, value) in [
        ("weighted F1", metrics.weighted_f1),
        ("macro precision", metrics.macro_precision),
        ("macro recall", metrics.macro_recall),
        ("Cohen's kappa", metrics.cohen_kappa),
        ("Matthews' correlation", metrics.mcc),
        ("loss (negative log-likelihood)", metrics.loss),
        ("Brier score", metrics.brier),
        ("calibration error (ECE)", metrics.ece),
    ] {
        push(name, number(decimals(value, 3), value), no());
    }
    for (k, value) in metrics.top_k.iter().filter(|(k, _)| *k > 1) {
        push(&format!("truth among the {k} likeliest"), share(*value), no());
    }
    push("always the commonest class", share(metrics.majority_baseline), no());
    push("images", whole(metrics.n as usize), no());
    table
}

/// Both confusion matrices; which of them shows is decided by two radio buttons and CSS alone.
fn confusion_toggle(evaluated: &Evaluated, prefix: &str, output: &mut Output) -> String {
    let evaluation = &evaluated.evaluation;
    let mut matrix = |normalised| {
        let mut figure = figures::confusion(&evaluation.metrics.confusion, &evaluation.classes, normalised);
        figure.name = format!("{prefix}{}", figure.name);
        output.figure(figure)
    };
    let (counts, rows) = (matrix(false), matrix(true));
    let id = format!("{}confusion", link(prefix).replace(['%', '.', '/'], "-"));
    format!(
        "<fieldset class=\"toggle\"><legend>Confusion matrix</legend><input type=\"radio\" name=\"{id}\" id=\"{id}-n\" checked><label \
         for=\"{id}-n\">counts</label><input type=\"radio\" name=\"{id}\" id=\"{id}-s\"><label for=\"{id}-s\">share of each true class</label><div \
         class=\"first\">{counts}</div><div class=\"second\">{rows}</div></fieldset>"
    )
}

fn class_table(name: &str, evaluated: &Evaluated, intervals: Option<&MetricIntervals>) -> Table {
    let mut table = Table::new(
        name,
        "Precision, recall and F1 per class",
        &["class", "images", "precision", "precision 95 %", "recall", "recall 95 %", "F1", "F1 95 %"],
    );
    for score in class_scores(evaluated, intervals) {
        let mut row = vec![text(&score.class), whole(score.support as usize)];
        for (one, of) in [(score.precision, 1), (score.recall, 1), (score.f1, 0)] {
            let known = one.low.is_finite() && one.high.is_finite();
            let (shown, between) = match of {
                1 => (percent(one.value), percent_interval([one.low, one.high])),
                _ => (decimals(one.value, 3), if known { range(one.low, one.high) } else { String::new() }),
            };
            row.push(number(shown, one.value));
            row.push(html(
                if known { escape(&between) } else { String::new() },
                if known { format!("{} to {}", one.low, one.high) } else { String::new() },
            ));
        }
        table.push(row);
    }
    table
}

/// The evaluations besides the first: a table of all, and each one's matrix.
fn other_evaluations(run: &Run, output: &mut Output) -> String {
    let all = &run.files.evaluations;
    if all.len() < 2 {
        return String::new();
    }
    let mut table = Table::new(
        "evaluations",
        "All evaluations",
        &[
            "evaluation",
            "model",
            "split",
            "images",
            "accuracy",
            "95 % interval",
            "macro F1",
            "ECE",
            "temperature",
            "leakage",
        ],
    );
    for Evaluated { name, evaluation, .. } in all {
        let metrics = &evaluation.metrics;
        let [low, high] = metrics.accuracy_interval;
        table.push(vec![
            text(name),
            text(&evaluation.model),
            text(&evaluation.split),
            whole(metrics.n as usize),
            share(metrics.accuracy),
            html(escape(&percent_interval([low, high])), format!("{low} to {high}")),
            number(decimals(metrics.macro_f1, 3), metrics.macro_f1),
            number(decimals(metrics.ece, 3), metrics.ece),
            number(significant(evaluation.temperature.into()), evaluation.temperature.into()),
            html(
                if evaluation.leakage { "<b class=\"bad\">yes</b>" } else { "no" },
                evaluation.leakage.to_string(),
            ),
        ]);
    }
    let mut out = output.table(&table);
    for evaluated in all.iter().skip(1).take(OTHERS) {
        let name = &evaluated.name;
        let body = confusion_toggle(evaluated, &format!("{name}_"), output)
            + &output.table(&class_table(&format!("{name}_per_class_table"), evaluated, None));
        out += &details(
            &format!(
                "{name}: {} of {}",
                percent(evaluated.evaluation.metrics.accuracy),
                count(evaluated.evaluation.metrics.n as usize, "image", "images")
            ),
            &body,
        );
    }
    out
}

// ---- probabilities ----

fn probabilities(run: &Run, output: &mut Output) -> Result<Option<Section>> {
    let (Some(rows), Some(primary)) = (&run.rows, run.primary) else { return Ok(None) };
    let evaluation = &primary.evaluation;
    let (confidence, accuracy) = rows.confidence_and_accuracy();
    let verdict = match confidence - accuracy {
        gap if gap.abs() < 0.01 => "which fits".to_owned(),
        gap if gap > 0.0 => format!("so it is too sure by {} points", decimals(gap * 100.0, 1)),
        gap => format!("so it is too modest by {} points", decimals(-gap * 100.0, 1)),
    };
    let temperature = f64::from(evaluation.temperature);
    let calibrated = if temperature == 1.0 {
        "the probabilities are not calibrated".to_owned()
    } else {
        format!("the probabilities are calibrated with the temperature {}", significant(temperature))
    };
    let lead = format!(
        "On average the model says it is {} sure, and is right in {}, {verdict}; {calibrated}.",
        percent(confidence),
        percent(accuracy)
    );

    let now = rows.reliability(1.0);
    let figure = if temperature == 1.0 {
        figures::reliability(&now, None)
    } else {
        figures::reliability(&rows.reliability(temperature), Some(&now))
    };
    let mut body = output.figure(figure);
    if let Some(calibration) = &run.files.calibration {
        let mut table = Table::new(
            "calibration",
            "The last calibration, before and after",
            &["split", "images", "ECE", "ECE after", "loss", "loss after", "Brier", "Brier after"],
        );
        for (name, change) in [("valid", Some(&calibration.valid)), ("test", calibration.test.as_ref())] {
            let Some(change) = change else { continue };
            let pairs = [change.ece, change.loss, change.brier]
                .into_iter()
                .flatten()
                .map(|value| number(decimals(value, 4), value));
            table.push([text(name), whole(change.n as usize)].into_iter().chain(pairs).collect());
        }
        body += &output.table(&table);
        let _ = write!(
            body,
            "<p class=\"quiet\">Temperature {} before, {} after, chosen on the validation split.</p>",
            significant(calibration.before.into()),
            significant(calibration.temperature.into())
        );
    }
    let (roc, precision_recall) =
        (rows.roc(&evaluation.classes)?, rows.precision_recall(&evaluation.classes)?);
    let mut areas = Table::new(
        "areas",
        "Area under the curves, each class against the rest",
        &["class", "ROC AUC", "average precision"],
    );
    for class in &evaluation.classes {
        let area = |curves: &[figures::ClassCurve]| {
            let area = curves.iter().find(|curve| curve.class == *class).map_or(f64::NAN, |curve| curve.area);
            number(decimals(area, 3), area)
        };
        areas.push(vec![text(class), area(&roc), area(&precision_recall)]);
    }
    let _ = write!(
        body,
        "<div class=\"pair\">{}{}</div>",
        output.figure(figures::roc(&roc)),
        output.figure(figures::precision_recall(&precision_recall))
    );
    body += &output.table(&areas);
    Ok(Some(Section { id: "probabilities", title: "Probabilities", lead, body }))
}

// ---- mistakes ----

fn mistakes(run: &Run, output: &mut Output) -> Result<Option<Section>> {
    let (Some(rows), Some(primary)) = (&run.rows, run.primary) else { return Ok(None) };
    let classes = &primary.evaluation.classes;
    let all = rows.mistakes();
    if all.is_empty() {
        let lead =
            format!("There is none: all {} are recognised.", count(rows.rows.len(), "image", "images"));
        return Ok(Some(Section { id: "mistakes", title: "Mistakes", lead, body: String::new() }));
    }
    let chosen = gallery::choose(&all, run.options.gallery);
    let names: Vec<&str> = chosen.iter().map(|mistake| mistake.path.as_str()).collect();
    let stage = Stage::new("images of the gallery", names.len(), run.options.progress);
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
        "{} of {} images {} misclassified, in {}; in {} of these cases the model was more than 90&nbsp;% sure.",
        thousands(all.len()),
        thousands(rows.rows.len()),
        if all.len() == 1 { "is" } else { "are" },
        count(pairs.len(), "confused pair", "confused pairs"),
        if sure == 0 { "none".to_owned() } else { thousands(sure) }
    );
    let mut body = if chosen.len() < all.len() {
        format!(
            "<p>{} are shown, fairly over the confused pairs, at least one of each first; the file below names all.</p>",
            thousands(chosen.len())
        )
    } else {
        "<p>All are shown, one of each confused pair first.</p>".to_owned()
    };
    if thumbnails.iter().all(Option::is_none) {
        body += &no_images(run);
    }
    let shots: Vec<_> = chosen.into_iter().zip(thumbnails).collect();
    body += &gallery::html(&shots, classes);
    body += "<p class=\"files\"><a href=\"tables/misclassified.csv\" download>All misclassified images as CSV</a></p>";
    Ok(Some(Section { id: "mistakes", title: "Mistakes", lead, body }))
}

// ---- maps ----

fn maps(run: &Run, output: &mut Output) -> Option<Section> {
    let explain = run.files.explain.as_ref()?;
    let thumbnail = |relative: Option<&String>| {
        let path = run.files.file(relative?)?;
        shrink(&path, MAP).ok()
    };
    let mut body = String::new();
    let shown: Vec<_> = explain.maps.iter().take(MAPS).collect();
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
                Some(truth) if *truth == map.predicted => "recognised".to_owned(),
                Some(_) => format!("taken for <b>{}</b>", escape(&map.predicted)),
                None => format!("the model says <b>{}</b>", escape(&map.predicted)),
            };
            let of = if map.class.is_empty() || map.class == map.predicted {
                String::new()
            } else {
                format!("; map of {}", escape(&map.class))
            };
            let probability = map.probability.map(|p| format!(", {}", percent(p))).unwrap_or_default();
            let images: String = if parts.is_empty() {
                image(None, "no map")
            } else {
                parts.iter().map(|(name, thumbnail)| image(Some(thumbnail), name)).collect()
            };
            let _ = write!(
                body,
                "<figure class=\"map\"><div>{images}</div><figcaption>{truth}<span class=\"taken\">{verdict}{probability}{of}</span><span \
                 class=\"path\" title=\"{}\">{}</span></figcaption></figure>",
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
    (!body.is_empty()).then(|| Section { id: "maps", title: "Maps", lead: maps_lead(explain), body })
}

fn maps_lead(explain: &Explain) -> String {
    let method = if explain.method.is_empty() { "the method's" } else { &explain.method };
    let mut lead = format!(
        "Where the model looks: bright places count for the answer ({} map).",
        escape(&method_name(method))
    );
    let scores = explain.faithfulness.as_ref().map(|found| &found.methods[..]).unwrap_or_default();
    let deletion =
        |name: &str| scores.iter().find(|score| score.method == name).and_then(|score| score.deletion_auc);
    if let (Some(own), Some(random)) = (deletion(&explain.method), deletion("random")) {
        let verdict = if own < random {
            "the maps do show what the answer rests on"
        } else {
            "<strong>the maps tell no more than chance</strong>"
        };
        let _ = write!(
            lead,
            " Hiding the brightest places first leaves a mean probability of {}, hiding random ones {}: {verdict}.",
            percent(own),
            percent(random)
        );
    }
    lead
}

fn method_name(method: &str) -> String {
    match method {
        "grad_cam" => "Grad-CAM".into(),
        "grad_cam_plus_plus" | "grad_cam_pp" => "Grad-CAM++".into(),
        "layer_cam" => "LayerCAM".into(),
        "eigen_cam" => "Eigen-CAM".into(),
        "score_cam" => "Score-CAM".into(),
        other => other.replace('_', " "),
    }
}

fn class_means(run: &Run, explain: &Explain) -> String {
    let mut out = String::new();
    for mean in &explain.class_means {
        let Some(thumbnail) = run.files.file(&mean.image).and_then(|path| shrink(&path, MAP).ok()) else {
            continue;
        };
        let class = escape(&mean.class);
        let _ = write!(
            out,
            "<figure class=\"map\"><div>{}</div><figcaption><span class=\"was\">{class}</span> <span class=\"taken\">mean of {}</span></figcaption></figure>",
            image(Some(&thumbnail), &format!("mean map of {class}")),
            count(mean.count as usize, "image", "images")
        );
    }
    if out.is_empty() {
        out
    } else {
        format!("<h3>Mean map of each class</h3><div class=\"maps\">{out}</div>")
    }
}

/// The overview images are links where the maps themselves are shown, else images.
fn grids(run: &Run, explain: &Explain) -> String {
    const SIDE: usize = 1000;
    let mut out = String::new();
    for (name, relative) in &explain.grids {
        let Some(path) = run.files.file(relative).filter(|path| path.is_file()) else { continue };
        let (name, href) = (escape(name), link(relative));
        if !explain.maps.is_empty() {
            let _ = write!(out, "<a href=\"{href}\">overview: {name}</a> ");
        } else if let Ok(thumbnail) = shrink(&path, SIDE) {
            let _ = write!(
                out,
                "<figure class=\"grid\">{}<figcaption>{name}</figcaption></figure>",
                image(Some(&thumbnail), &name)
            );
        }
    }
    if explain.maps.is_empty() || out.is_empty() { out } else { format!("<p class=\"files\">{out}</p>") }
}

fn faithfulness_part(faithfulness: &Faithfulness, output: &mut Output) -> String {
    let mut table = Table::new(
        "faithfulness",
        "Deletion, insertion and ROAD per method",
        &["method", "deletion AUC ↓", "insertion AUC ↑", "ROAD ↑"],
    );
    for score in &faithfulness.methods {
        let value = |value: Option<f64>| {
            value.map_or_else(|| number("–", f64::NAN), |value| number(decimals(value, 3), value))
        };
        table.push(vec![
            text(method_name(&score.method)),
            value(score.deletion_auc),
            value(score.insertion_auc),
            value(score.road),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "<h3>Do the maps show what counts?</h3><p>Places are hidden (or shown) in the order of the map, and the probability is watched; over {}{}. Lower is \
         better for deletion, higher for the others; a useful method is better than random.</p>",
        count(faithfulness.images as usize, "image", "images"),
        if faithfulness.baseline.is_empty() {
            String::new()
        } else {
            format!(", hidden by {}", escape(&faithfulness.baseline))
        }
    );
    out += &output.table(&table);
    type Curve = fn(&crate::run_folder::read::MethodScore) -> (&[[f64; 2]], Option<f64>);
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

// ---- features ----

fn features(run: &Run, output: &mut Output) -> Result<Option<Section>> {
    let Some(primary) = run.primary else { return Ok(None) };
    let Some(features) = &primary.features else { return Ok(None) };
    let (classes, width) = (&primary.evaluation.classes, features.width);
    let index = |name: &str| classes.iter().position(|class| class == name);
    // Rows with a known truth, spread over the file where there are too many.
    let usable: Vec<(usize, usize, usize, usize)> = features
        .rows
        .iter()
        .enumerate()
        .filter_map(|(at, &row)| {
            let prediction = &primary.predictions[row];
            Some((at, row, index(prediction.truth.as_deref()?)?, index(&prediction.predicted)?))
        })
        .collect();
    let most = run.options.points.min(usable.len());
    let chosen: Vec<_> = (0..most).map(|place| usable[place * usable.len() / most]).collect();
    if chosen.len() < 3 {
        return Ok(None);
    }
    let values: Vec<f32> = chosen
        .iter()
        .flat_map(|&(at, ..)| features.values[at * width..(at + 1) * width].iter().copied())
        .collect();
    let stage = Stage::new("features in two dimensions", 1, run.options.progress);
    let (method, places) = match run.options.projection {
        Projection::Tsne => ("t-SNE", tsne(&values, width, &TsneSettings::default())?),
        Projection::Pca => {
            let found = pca(&values, width, 2)?;
            let k = found.variance.len();
            (
                "PCA",
                found
                    .scores
                    .chunks_exact(k.max(1))
                    .map(|row| [row[0], row.get(1).copied().unwrap_or(0.0)])
                    .collect(),
            )
        }
    };
    stage.step();
    let points: Vec<Projected> = places
        .iter()
        .zip(&chosen)
        .map(|(&[x, y], &(_, row, class, predicted))| Projected { x, y, class, predicted, row })
        .collect();
    let truths: Vec<usize> = chosen.iter().map(|&(_, _, truth, _)| truth).collect();
    let alike = neighbours_alike(&places, &truths).unwrap_or(f64::NAN);
    let lead = format!(
        "Each point is one of {} images, placed by the features that the model's last layer judges ({method}): <strong>{}</strong> have an image of \
         their own class as nearest neighbour here.",
        thousands(points.len()),
        percent(alike)
    );
    let hint = "<p class=\"quiet hint\">Point at a mark, or tap it, to see its image.</p>";
    let body = format!(
        "<div id=\"projection\">{}</div>{hint}<script type=\"application/json\" id=\"points\">{}</script>",
        output.figure(figures::projection(method, &points, classes)),
        json(&point_images(run, primary, &points)?)
    );
    Ok(Some(Section { id: "features", title: "Features", lead, body }))
}

/// What the page shows over a point, by row: (JPEG, truth, predicted, confidence, path).
fn point_images(run: &Run, primary: &Evaluated, points: &[Projected]) -> Result<serde_json::Value> {
    let names: Vec<&str> = points.iter().map(|point| primary.predictions[point.row].path.as_str()).collect();
    let stage = Stage::new("images of the points", names.len(), run.options.progress);
    let thumbnails = run.images.thumbnails(&names, SMALL, &stage)?;
    let classes = &primary.evaluation.classes;
    let mut bytes = 0;
    let mut by_row = serde_json::Map::new();
    for (point, thumbnail) in points.iter().zip(thumbnails) {
        let prediction = &primary.predictions[point.row];
        bytes += thumbnail.as_ref().map_or(0, |thumbnail| thumbnail.jpeg.len());
        let jpeg = thumbnail.filter(|_| bytes <= POINT_BYTES).map(|thumbnail| base64(&thumbnail.jpeg));
        let confidence = percent(f64::from(prediction.probabilities[point.predicted]));
        let entry = serde_json::json!([
            jpeg,
            classes[point.class],
            classes[point.predicted],
            confidence,
            prediction.path
        ]);
        by_row.insert(point.row.to_string(), entry);
    }
    Ok(serde_json::Value::Object(by_row))
}

// ---- configuration ----

fn configuration(run: &Run, output: &mut Output) -> Section {
    let settings = run.files.settings();
    let changed: Vec<String> = settings
        .iter()
        .filter(|(key, _, other)| *other == Some(true) || (other.is_none() && key != "data.root"))
        .map(|(key, ..)| key.clone())
        .collect();
    let mut table = Table::new("configuration", "Configuration", &["key", "value", "default"]);
    let mut rows = Table::new("", "Settings that differ from the reference recipe", &["key", "value"]);
    for (key, value, other) in &settings {
        let mark = match other {
            Some(true) => html("<b class=\"changed\">changed</b>", "no"),
            Some(false) => html("default", "yes"),
            None => html("set", "no"),
        };
        if changed.contains(key) {
            rows.push(vec![text(key), text(value)]);
        }
        table.push(vec![text(key), text(value), mark]);
    }
    let lead = match changed.len() {
        0 => "All settings are those of the reference recipe.".to_owned(),
        n => format!("{n} of {} settings differ from the reference recipe.", settings.len()),
    };
    let mut body = if rows.is_empty() { String::new() } else { rows.html() };
    body += &details("All settings", &output.table(&table));
    body += &details(
        "config.toml",
        &format!("<pre tabindex=\"0\">{}</pre>", escape_lines(&run.files.config_text)),
    );
    Section { id: "configuration", title: "Configuration", lead, body }
}

/// Escapes a text of several lines.
fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}
