//! Several runs beside one another: curves, numbers, and where they disagree.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Options;
use super::gallery::{full_name, image, short_path};
use super::numbers::{Rows, estimate};
use super::sections::{epoch_points, images_of, warning_list};
use super::warnings::{FEW_GROUPS, Warning};
use crate::error::{Error, Result};
use crate::page::html::{
    Section, Table, count, decimals, details, document, escape, html, list, number, percent,
    percent_interval, share, significant, text, thousands, whole,
};
use crate::page::output::{Output, Stage, Written};
use crate::page::thumbnails::{Thumbnail, Thumbnails};
use crate::report::figures::{self, Estimate, RunCurves, RunMetrics};
use crate::run_folder::read::{Evaluated, RunFiles};
use crate::run_folder::trained::Trained;
use crate::stats::bootstrap::{self, Difference, Interval, Metric, MetricIntervals, Settings};
use crate::stats::hypothesis::{holm, mcnemar_counts};

/// Longest side of a thumbnail.
const THUMBNAIL: usize = 64;
/// Images that the page shows where runs disagree, at most; the file names all.
const SHOWN: usize = 300;
/// The page of a comparison, in its folder.
pub const COMPARISON: &str = "compare.html";
/// Runs that are compared pair by pair, at most.
const PAIRED: usize = 8;

/// One of the runs.
struct Side<'a> {
    /// Its place among the runs, which gives its colour.
    index: usize,
    name: String,
    files: &'a RunFiles,
    evaluated: Option<&'a Evaluated>,
    rows: Option<Rows<'a>>,
    intervals: Option<MetricIntervals>,
    trained: Option<Trained>,
}

/// Writes a page that compares `runs` into the folder `out`, which is made if it is not there:
/// `compare.html`, with `plots/` and `tables/` beside it.
///
/// What is compared is the test split where all runs have it evaluated, else the validation split where all
/// have that. Differences are paired over the images that both runs were evaluated on: those of one name in
/// the same data (the same fingerprint, or the same root), with the same true class.
///
/// # Errors
/// There are fewer than two runs; one is no run folder or is named twice; a file cannot be written.
pub fn compare(runs: &[PathBuf], out: &Path, options: &Options) -> Result<Written> {
    if runs.len() < 2 {
        return Err(Error::input("runs to compare", format!("found {}", runs.len()))
            .expected("two or more run folders"));
    }
    for (index, run) in runs.iter().enumerate() {
        let same = |other: &PathBuf| {
            other == run || matches!((other.canonicalize(), run.canonicalize()), (Ok(a), Ok(b)) if a == b)
        };
        if runs[..index].iter().any(same) {
            return Err(Error::at(run, "is named twice").expected("different runs"));
        }
    }
    let files: Vec<RunFiles> = runs.iter().map(|run| RunFiles::open(run)).collect::<Result<_>>()?;
    std::fs::create_dir_all(out).map_err(|error| Error::io("create", out, error))?;
    let mut output = Output::default();
    let (html, warnings) = document_of(&files, options, &mut output)?;
    output.write(out, COMPARISON, &html, options.progress, warnings)
}

fn document_of(files: &[RunFiles], options: &Options, output: &mut Output) -> Result<(String, Vec<String>)> {
    let (sides, split) = sides(files, options)?;
    let pairs = pairs(&sides, options)?;
    let warnings = warnings(&sides, split, &pairs)?;
    let mut sections = vec![numbers(&sides, &pairs, split, &warnings, output)];
    sections.extend(differences(&sides, &pairs, output));
    sections.extend(curves(&sides, output));
    sections.extend(disagreements(&sides, options, output)?);
    sections.push(configurations(&sides, output));

    let names: Vec<String> = sides.iter().map(|side| side.name.clone()).collect();
    let title = format!("{} compared", count(sides.len(), "run", "runs"));
    let head = format!(
        "<header><p class=\"kicker\">Comparison</p><h1>{}</h1><p class=\"sub\">{}</p></header>",
        escape(&title),
        escape(&list(&names))
    );
    let foot = "Made by mien from the files of the run folders. Figures lie beside this page in <code>plots/</code>, tables in <code>tables/</code>; the \
                page works without them.";
    let html = document(&format!("{title}: {}", list(&names)), &head, &sections, foot);
    Ok((html, warnings.into_iter().map(|warning| format!("{}: {}", warning.title, warning.text)).collect()))
}

/// The runs with the evaluation of each that is compared, and its split if it is one and the same.
fn sides<'a>(files: &'a [RunFiles], options: &Options) -> Result<(Vec<Side<'a>>, Option<&'static str>)> {
    let split =
        ["test", "valid"].into_iter().find(|split| files.iter().all(|run| run.evaluation(split).is_some()));
    let mut found = Vec::new();
    for (index, run) in files.iter().enumerate() {
        // Two folders of one name are told apart by their paths.
        let twice = files.iter().filter(|other| other.name == run.name).count() > 1;
        let name = if twice { run.folder.display().to_string() } else { run.name.clone() };
        let evaluated = split.map_or_else(|| run.primary(), |split| run.evaluation(split));
        let rows = evaluated.and_then(Rows::of);
        let intervals = match (&rows, evaluated) {
            (Some(rows), Some(evaluated)) => {
                Some(rows.intervals(evaluated.evaluation.classes.len(), options.replicates)?)
            }
            _ => None,
        };
        found.push(Side { index, name, files: run, evaluated, rows, intervals, trained: run.trained()? });
    }
    Ok((found, split))
}

/// Whether images of one name are one image.
fn same_data(a: &Side, b: &Side) -> bool {
    let (Some(x), Some(y)) = (a.evaluated, b.evaluated) else { return false };
    let own = |side: &Side, evaluated: &Evaluated| {
        side.files
            .data
            .as_ref()
            .filter(|data| data.root.display().to_string() == evaluated.evaluation.data)
            .map(|data| data.fingerprint.clone())
    };
    let fingerprints = (own(a, x), own(b, y));
    x.evaluation.data == y.evaluation.data || matches!(fingerprints, (Some(a), Some(b)) if a == b)
}

/// Two runs on the images that both were evaluated on.
struct Pair {
    a: usize,
    b: usize,
    /// Images in common.
    common: usize,
    /// Whether each has images that the other has not.
    partial: bool,
    both_right: u64,
    only_a: u64,
    only_b: u64,
    both_wrong: u64,
    /// Same answer, right or wrong.
    agree: u64,
    difference: Option<Difference>,
    groups: usize,
    p: f64,
}

fn pairs(sides: &[Side], options: &Options) -> Result<Vec<Pair>> {
    let mut found = Vec::new();
    let few = &sides[..sides.len().min(PAIRED)];
    for (a, first) in few.iter().enumerate() {
        for (b, second) in few.iter().enumerate().skip(a + 1) {
            if let Some(pair) = pair(first, second, (a, b), options)? {
                found.push(pair);
            }
        }
    }
    Ok(found)
}

fn pair(first: &Side, second: &Side, (a, b): (usize, usize), options: &Options) -> Result<Option<Pair>> {
    let (Some(x), Some(y)) = (&first.rows, &second.rows) else { return Ok(None) };
    let (Some(ex), Some(ey)) = (first.evaluated, second.evaluated) else { return Ok(None) };
    if !same_data(first, second) || ex.evaluation.classes != ey.evaluation.classes {
        return Ok(None);
    }
    let places: HashMap<&str, usize> =
        y.predictions.iter().enumerate().map(|(at, row)| (row.path.as_str(), at)).collect();
    let common: Vec<(usize, usize)> = (0..x.rows.len())
        .filter_map(|at| Some((at, *places.get(x.predictions[at].path.as_str())?)))
        .filter(|&(at, other)| x.truth[at] == y.truth[other])
        .collect();
    if common.is_empty() {
        return Ok(None);
    }
    let keys: Vec<&str> = common.iter().map(|&(at, _)| x.predictions[at].group.as_str()).collect();
    let groups = bootstrap::group_indices(&keys);
    let truth: Vec<usize> = common.iter().map(|&(at, _)| x.truth[at]).collect();
    let said_a: Vec<usize> = common.iter().map(|&(at, _)| x.predicted[at]).collect();
    let said_b: Vec<usize> = common.iter().map(|&(_, at)| y.predicted[at]).collect();
    let mut cells = [0u64; 4]; // both wrong, only b, only a, both right
    for ((truth, a), b) in truth.iter().zip(&said_a).zip(&said_b) {
        cells[usize::from(truth == a) * 2 + usize::from(truth == b)] += 1;
    }
    let agree = said_a.iter().zip(&said_b).filter(|(a, b)| a == b).count() as u64;
    let settings = Settings { replicates: options.replicates, ..Settings::default() };
    let classes = ex.evaluation.classes.len();
    let difference = bootstrap::paired_difference(
        &groups,
        &truth,
        &[said_a],
        &[said_b],
        classes,
        Metric::Accuracy,
        &settings,
    )?;
    let [both_wrong, only_b, only_a, both_right] = cells;
    let partial = common.len() < x.rows.len() || common.len() < y.rows.len();
    Ok(Some(Pair {
        a,
        b,
        common: common.len(),
        partial,
        both_right,
        only_a,
        only_b,
        both_wrong,
        agree,
        difference: Some(difference),
        groups: groups.iter().max().map_or(0, |last| last + 1),
        p: mcnemar_counts(only_a, only_b).exact,
    }))
}

// ---- warnings ----

fn warnings(sides: &[Side], split: Option<&str>, pairs: &[Pair]) -> Result<Vec<Warning>> {
    let mut found = Vec::new();
    let mut warn =
        |grave: bool, title: &str, text: String| found.push(Warning { grave, title: title.into(), text });
    for side in sides {
        match side.evaluated {
            None => warn(true, "Nothing is evaluated", format!("{} has no evaluation.", side.name)),
            Some(evaluated)
                if evaluated.evaluation.leakage
                    || side.files.data.as_ref().is_some_and(|data| data.leakage) =>
            {
                warn(
                    true,
                    "Leakage",
                    format!(
                        "{} has seen images or groups of its evaluation in training: its numbers are too good.",
                        side.name
                    ),
                );
            }
            Some(_) => {}
        }
    }
    match split {
        Some("test") => {}
        Some(_) => warn(
            true,
            "No test split",
            "Not all runs have a test: they are compared on the validation split, by which each chose its best epoch.".into(),
        ),
        None => {
            let of: Vec<String> =
                sides.iter().filter_map(|side| Some(format!("{}: {}", side.name, side.evaluated?.evaluation.split))).collect();
            warn(true, "Different splits", format!("There is no split that all runs were evaluated on ({}).", of.join("; ")));
        }
    }
    let groups = sides.iter().filter_map(|side| side.rows.as_ref()).map(Rows::group_count).min();
    if let Some(groups) = groups.filter(|groups| *groups < FEW_GROUPS) {
        let text = format!(
            "There are {} of images (persons, photos): the intervals are rough.",
            count(groups, "group", "groups")
        );
        warn(false, "Few groups", text);
    }
    for (a, first) in sides.iter().enumerate() {
        for (b, second) in sides.iter().enumerate().skip(a + 1) {
            let (Some(x), Some(y)) = (&first.rows, &second.rows) else { continue };
            match pairs.iter().find(|pair| (pair.a, pair.b) == (a, b)) {
                Some(pair) if pair.partial => warn(
                    true,
                    "The test sets differ",
                    format!(
                        "{} and {} share {} of {} and {} images; only these are compared one by one.",
                        first.name,
                        second.name,
                        thousands(pair.common),
                        thousands(x.rows.len()),
                        thousands(y.rows.len())
                    ),
                ),
                None if b < PAIRED => warn(
                    true,
                    "The test sets differ",
                    format!(
                        "{} and {} were evaluated on other images or other classes: their numbers cannot be compared.",
                        first.name, second.name
                    ),
                ),
                _ => {}
            }
        }
    }
    if sides.len() > PAIRED {
        warn(false, "Many runs", format!("Only the first {PAIRED} runs are compared pair by pair."));
    }
    for side in sides {
        for other in sides {
            if !std::ptr::eq(side, other)
                && let Some(seen) = trained_on(side, other)
                && seen > 0
            {
                warn(
                    true,
                    "Trained on the other's test",
                    format!(
                        "{} was trained on {} of {}, or on other images of their groups.",
                        side.name,
                        count(seen, "test image", "test images"),
                        other.name
                    ),
                );
            }
        }
        for notice in &side.files.notices {
            warn(true, "A file is missing or damaged", format!("{}: {notice}", side.name));
        }
    }
    found.sort_by_key(|warning| !warning.grave); // stable
    Ok(found)
}

/// How many images that `other` was evaluated on `side` has seen in training: the same group in the same
/// data, else the same content. `None` where nothing is known.
fn trained_on(side: &Side, other: &Side) -> Option<usize> {
    let (trained, rows) = (side.trained.as_ref()?, other.rows.as_ref()?);
    // Groups are named within a data set.
    let roots = [side, other].map(|side| side.files.data.as_ref().map(|data| data.root.clone()));
    if same_data(side, other) || matches!(&roots, [Some(a), Some(b)] if a == b) {
        return Some(rows.predictions.iter().filter(|row| trained.groups.contains(&row.group)).count());
    }
    let images = images_of(other.files, other.evaluated);
    let seen = |row: &&&crate::eval::files::Prediction| {
        images
            .bytes(&row.path)
            .is_some_and(|bytes| trained.hashes.contains(blake3::hash(&bytes).to_hex().as_str()))
    };
    images.are_there().then(|| rows.predictions.par_iter().filter(seen).count())
}

// ---- numbers ----

fn numbers(
    sides: &[Side],
    pairs: &[Pair],
    split: Option<&str>,
    warnings: &[Warning],
    output: &mut Output,
) -> Section {
    let mut table = Table::new(
        "compared",
        "Metrics of each run",
        &[
            "run",
            "images",
            "groups",
            "accuracy",
            "95 % interval",
            "balanced accuracy",
            "macro F1",
            "macro F1 95 %",
            "ECE",
            "loss",
            "best epoch",
        ],
    );
    for (index, side) in sides.iter().enumerate() {
        let name = html(format!("{}{}", swatch(index), escape(&side.name)), &side.name);
        let Some(evaluated) = side.evaluated else {
            table.push(vec![name]);
            continue;
        };
        let metrics = &evaluated.evaluation.metrics;
        let interval = side
            .intervals
            .as_ref()
            .map_or(metrics.accuracy_interval, |found| [found.accuracy.low, found.accuracy.high]);
        let between = |interval: Option<&Interval>| {
            interval.map_or_else(
                || text(""),
                |found| {
                    html(
                        format!("{} to {}", decimals(found.low, 3), decimals(found.high, 3)),
                        format!("{} to {}", found.low, found.high),
                    )
                },
            )
        };
        table.push(vec![
            name,
            whole(metrics.n as usize),
            side.rows.as_ref().map_or_else(|| text(""), |rows| whole(rows.group_count())),
            share(metrics.accuracy),
            html(escape(&percent_interval(interval)), format!("{} to {}", interval[0], interval[1])),
            share(metrics.balanced_accuracy),
            number(decimals(metrics.macro_f1, 3), metrics.macro_f1),
            between(side.intervals.as_ref().map(|found| &found.macro_f1)),
            number(decimals(metrics.ece, 3), metrics.ece),
            number(decimals(metrics.loss, 3), metrics.loss),
            side.files.best_epoch().map_or_else(|| text(""), |epoch| whole(epoch.epoch)),
        ]);
    }
    let metrics: Vec<RunMetrics> = sides.iter().filter_map(run_metrics).collect();
    let mut body = warning_list(warnings);
    if !metrics.is_empty() {
        body += &output.figure(figures::metrics_side_by_side(&metrics));
    }
    body += &output.table(&table);
    Section { id: "numbers", title: "Numbers", lead: numbers_lead(sides, pairs, split), body }
}

/// The colour of a run in the figures.
fn swatch(index: usize) -> String {
    format!("<span class=\"swatch\" style=\"background:{}\"></span>", crate::plot::series_color(index))
}

fn run_metrics(side: &Side) -> Option<RunMetrics> {
    let metrics = &side.evaluated?.evaluation.metrics;
    let [low, high] = metrics.accuracy_interval;
    let known = side.intervals.as_ref();
    let with =
        |value: f64, found: Option<&Interval>| found.map_or_else(|| super::numbers::bare(value), estimate);
    Some(RunMetrics {
        run: side.name.clone(),
        metrics: vec![
            (
                "accuracy".into(),
                known.map_or(Estimate { value: metrics.accuracy, low, high }, |found| {
                    estimate(&found.accuracy)
                }),
            ),
            (
                "balanced accuracy".into(),
                with(metrics.balanced_accuracy, known.map(|found| &found.balanced_accuracy)),
            ),
            ("macro F1".into(), with(metrics.macro_f1, known.map(|found| &found.macro_f1))),
        ],
    })
}

fn numbers_lead(sides: &[Side], pairs: &[Pair], split: Option<&str>) -> String {
    let accuracy = |side: &Side| side.evaluated.map(|evaluated| evaluated.evaluation.metrics.accuracy);
    let mut order: Vec<(usize, f64)> =
        sides.iter().enumerate().filter_map(|(index, side)| Some((index, accuracy(side)?))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [(first, best), (second, next), ..] = order.as_slice() else {
        return "There is nothing to compare.".into();
    };
    let on = split.map_or_else(|| "its own split".to_owned(), |split| format!("the {split} split"));
    let mut lead = format!(
        "<strong>{}</strong> has the highest accuracy on {on}, {}",
        escape(&sides[*first].name),
        percent(*best)
    );
    let _ = write!(lead, "; next is {} with {}", escape(&sides[*second].name), percent(*next));
    let pair = pairs.iter().find(|pair| [(pair.a, pair.b), (pair.b, pair.a)].contains(&(*first, *second)));
    match pair.and_then(|pair| pair.difference.as_ref()) {
        Some(difference) if difference.difference.low > 0.0 || difference.difference.high < 0.0 => {
            lead.push_str(
                ". The difference is larger than chance explains (its 95&nbsp;% interval does not hold 0).",
            );
        }
        Some(_) => {
            lead.push_str(". <strong>The difference may be chance</strong> (its 95&nbsp;% interval holds 0).")
        }
        None => lead.push_str(". They cannot be paired image by image, so that the difference says little."),
    }
    lead
}

// ---- differences ----

fn differences(sides: &[Side], pairs: &[Pair], output: &mut Output) -> Option<Section> {
    if pairs.is_empty() {
        return None;
    }
    let adjusted = holm(&pairs.iter().map(|pair| pair.p).collect::<Vec<_>>());
    let mut table = Table::new(
        "differences",
        "Paired differences of accuracy, in points",
        &["A", "B", "images", "groups", "B − A", "95 % interval", "p (McNemar)", "p (Holm)"],
    );
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
        );
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
        matrix.push(vec![text("A right"), of(pair.both_right), of(pair.only_a)]);
        matrix.push(vec![text("A wrong"), of(pair.only_b), of(pair.both_wrong)]);
        let _ = write!(
            matrices,
            "<div>{}<p class=\"quiet\">The same answer to {} of the images.</p></div>",
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
    let lead = format!(
        "Of {}, {clear} {} clear: the 95&nbsp;% interval of the difference does not hold 0.",
        count(pairs.len(), "pair of runs", "pairs of runs"),
        if clear == 1 { "is" } else { "are" }
    );
    let body = format!(
        "{}<p class=\"quiet\">Both runs of a pair are judged on the same images. Intervals: bootstrap over groups. McNemar's exact test looks at the images \
         that only one of the two recognises, as if images were independent; Holm's correction allows for the number of pairs. Neither says how much a \
         run would change with another seed.</p><h3>Who is right where</h3><div class=\"pair\">{matrices}</div>",
        output.table(&table)
    );
    Some(Section { id: "differences", title: "Differences", lead, body })
}

// ---- curves ----

fn curves(sides: &[Side], output: &mut Output) -> Option<Section> {
    let runs: Vec<RunCurves> = sides
        .iter()
        .map(|side| RunCurves {
            run: side.name.clone(),
            best_epoch: side.files.best_epoch().map(|epoch| epoch.epoch as u32),
            points: epoch_points(&side.files.epochs),
        })
        .collect();
    let lowest = sides
        .iter()
        .filter_map(|side| {
            Some((
                side,
                side.files
                    .epochs
                    .iter()
                    .map(|epoch| (epoch.val_loss, epoch.epoch))
                    .min_by(|a, b| a.0.total_cmp(&b.0))?,
            ))
        })
        .min_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
    let (side, (loss, epoch)) = lowest;
    let lead = format!(
        "The lowest validation loss of all is {}, of {} in epoch {epoch}.",
        significant(loss),
        escape(&side.name)
    );
    Some(Section {
        id: "curves",
        title: "Curves",
        lead,
        body: output.figure(figures::curves_overlaid(&runs)),
    })
}

// ---- disagreements ----

/// An image that all runs were evaluated on, with the answers of each.
struct Answers<'a> {
    path: &'a str,
    group: &'a str,
    truth: usize,
    /// Class and probability, per run.
    said: Vec<(usize, f64)>,
}

impl Answers<'_> {
    /// Which runs are right, one bit each.
    fn pattern(&self) -> Vec<bool> {
        self.said.iter().map(|(class, _)| *class == self.truth).collect()
    }
}

fn disagreements(sides: &[Side], options: &Options, output: &mut Output) -> Result<Option<Section>> {
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
        "{} give different answers to {} of {} images; {} {} recognised by none of them.",
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
                "<p>{} are shown, fairly over the patterns of who is right; the file below names all.</p>",
                thousands(chosen.len())
            );
        }
        body += &answer_table(sides, classes, &chosen, &thumbnails);
        body.push_str("<p class=\"files\"><a href=\"tables/disagreements.csv\" download>All disagreements as CSV</a></p>");
    }
    Ok(Some(Section { id: "disagreements", title: "Disagreements", lead, body }))
}

/// At most `budget`, in turn from each pattern of who is right; within a pattern, those first where the runs
/// are surest.
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

/// From the data, or from what any of the runs has kept.
fn thumbnails(sides: &[&Side], names: &[&str], options: &Options) -> Result<Vec<Option<Thumbnail>>> {
    let mut found: Vec<Option<Thumbnail>> = vec![None; names.len()];
    for side in sides {
        let missing: Vec<usize> = (0..names.len()).filter(|&at| found[at].is_none()).collect();
        let wanted: Vec<&str> = missing.iter().map(|&at| names[at]).collect();
        let stage = Stage::new("images", wanted.len(), options.progress);
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

/// How often which runs are right.
fn patterns(sides: &[&Side], all: &[Answers], output: &mut Output) -> String {
    let mut counts: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(one.pattern()).or_default() += 1;
    }
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(pattern, number)| (std::cmp::Reverse(*number), pattern.clone()));
    let mut table = Table::new("agreement", "Who is right, over all images", &["right", "images", "share"]);
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
        "<form class=\"controls\" id=\"answers-controls\" aria-label=\"Filter the images\"><label>True <select name=\"truth\"><option \
         value=\"\">any</option>{truths}</select></label><label>Right is <select name=\"pattern\"><option \
         value=\"\">anyone</option>{who_options}</select></label><button type=\"reset\">Reset</button><output aria-live=\"polite\"></output></form><div \
         class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Answers of each run\"><table class=\"answers\" id=\"answers\"><thead><tr><th \
         scope=\"col\">true</th><th scope=\"col\">image</th>"
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
            "<tr data-i=\"{place}\" data-t=\"{}\" data-w=\"{index}\"><th scope=\"row\">{truth}</th><td>{}<span class=\"path\" title=\"{}\">{}</span></td>",
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

// ---- configurations ----

fn configurations(sides: &[Side], output: &mut Output) -> Section {
    let settings: Vec<BTreeMap<String, String>> = sides
        .iter()
        .map(|side| side.files.settings().into_iter().map(|(key, value, _)| (key, value)).collect())
        .collect();
    let mut keys: Vec<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    keys.sort();
    keys.dedup();
    let table_of = |name: &str, caption: &str, all: bool| {
        let mut table = Table::new(name, caption, &["key"]);
        sides.iter().for_each(|side| table.column(&side.name));
        for key in &keys {
            let values: Vec<Option<&String>> = settings.iter().map(|settings| settings.get(*key)).collect();
            if all || values.iter().any(|value| *value != values[0]) {
                let cells = values.iter().map(|value| text(value.map_or("–", String::as_str)));
                table.push([text(key)].into_iter().chain(cells).collect());
            }
        }
        table
    };
    let differing = table_of("configurations", "Settings that differ", false);
    let lead = if differing.is_empty() {
        "All runs have the same settings.".to_owned()
    } else {
        let differ = keys
            .iter()
            .filter(|key| settings.iter().any(|one| one.get(**key) != settings[0].get(**key)))
            .count();
        format!("{} differ.", count(differ, "setting", "settings").replace("1 setting", "One setting"))
    };
    let lead = lead.replace("One setting differ.", "One setting differs.");
    let mut body = if differing.is_empty() { String::new() } else { output.table(&differing) };
    let mut data = Table::new(
        "data_of_runs",
        "Data of each run",
        &["run", "root", "fingerprint", "train", "valid", "test", "groups in test"],
    );
    for side in sides {
        let Some(found) = &side.files.data else { continue };
        let sum = |counts: &[usize]| whole(counts.iter().sum());
        data.push(vec![
            text(&side.name),
            text(found.root.display().to_string()),
            html(
                format!("<code>{}</code>", escape(found.fingerprint.get(..12).unwrap_or(&found.fingerprint))),
                &found.fingerprint,
            ),
            sum(&found.counts.train),
            sum(&found.counts.valid),
            sum(&found.counts.test),
            whole(found.groups.test),
        ]);
    }
    if !data.is_empty() {
        body += &output.table(&data);
    }
    body += &details("All settings", &table_of("", "All settings", true).html());
    Section { id: "configuration", title: "Configuration", lead, body }
}
