//! The files of an evaluation in a run folder, and its table for the terminal.
//!
//! JSON for programs, CSV (RFC 4180: names with commas, quotes and line breaks survive) for people and data
//! frames. Everything that is shown of a run is made from these files, so that it can be made again later.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::metrics::{Metrics, confusions};
use crate::error::{Error, Result};
use crate::files::{csv_error, read_json, write_atomic, write_csv, write_json};
use crate::text::{cut_end, cut_front};

/// What a model says about one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The image, as its data set names it.
    pub path: String,
    /// Its group (see the data module): what no split may cut.
    pub group: String,
    /// Its split.
    pub split: String,
    /// Its true class, where it is known.
    pub truth: Option<String>,
    /// The class that the model, or the vote of several, says.
    pub predicted: String,
    /// `[K]`, in the order of the classes.
    pub probabilities: Vec<f32>,
}

/// What was evaluated on what, with which result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The model's name.
    pub model: String,
    /// The data set.
    pub data: String,
    /// The split.
    pub split: String,
    /// The K classes in index order.
    pub classes: Vec<String>,
    /// Whether a group crosses the splits, so that the numbers flatter the model.
    pub leakage: bool,
    /// What the logits were divided by before the softmax; 1 without calibration.
    pub temperature: f32,
    /// The numbers.
    pub metrics: Metrics,
}

/// How many of the commonest confusions go into `_confusions.csv`.
pub const MOST_CONFUSIONS: usize = 10;

/// Columns of `_predictions.csv` before those of the probabilities, `p_` and the class.
const PREDICTION_COLUMNS: [&str; 7] =
    ["path", "group", "split", "truth", "predicted", "correct", "confidence"];

/// The widest line of [`summary_table`] for seven classes; a confusion matrix that needs more is left out.
const TABLE_WIDTH: usize = 100;

/// Writes an evaluation into `folder`, which is created if need be, each file whole or not at all:
///
/// - `{name}_predictions.csv`: path, group, split, truth, predicted, correct, confidence (the probability of
///   the predicted class), `p_{class}`…; truth and correct are empty where the truth is not known;
/// - `{name}_per_class.csv`: class, precision, recall, f1, support;
/// - `{name}_confusion.csv`: counts; a row per true class, a column per predicted one;
/// - `{name}_confusions.csv`: truth, predicted, count, `share_of_truth`; the [`MOST_CONFUSIONS`] commonest
///   confusions;
/// - `{name}.json`: the [`Evaluation`]; written last, so where it is the others are too.
///
/// Returns the paths in this order. Files of the same names are replaced. A probability reads back with the
/// same bits.
///
/// # Errors
/// [`Error::Input`] if the parts do not fit each other (classes, lengths, the number of samples);
/// [`Error::Io`].
pub fn write_evaluation(
    folder: &Path,
    name: &str,
    evaluation: &Evaluation,
    predictions: &[Prediction],
) -> Result<Vec<PathBuf>> {
    if name.is_empty() || name.contains(['/', '\\']) {
        return Err(Error::input("evaluation", format!("found the name \"{name}\""))
            .expected("a part of a file name"));
    }
    let place = format!("evaluation {name}");
    check_evaluation(&place, evaluation)?;
    for prediction in predictions {
        check_prediction(&format!("{place}, {}", prediction.path), &evaluation.classes, prediction)?;
    }
    let labelled = predictions.iter().filter(|prediction| prediction.truth.is_some()).count() as u64;
    if labelled != evaluation.metrics.n {
        return Err(Error::input(place, format!("found {labelled} predictions with a known truth"))
            .expected(format!("{}, the samples of the metrics", evaluation.metrics.n)));
    }

    fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
    let file = |ending: &str| folder.join(format!("{name}{ending}"));
    let paths = ["_predictions.csv", "_per_class.csv", "_confusion.csv", "_confusions.csv", ".json"]
        .map(file)
        .into_iter()
        .collect();
    write_csv(&file("_predictions.csv"), prediction_records(&evaluation.classes, predictions))?;
    write_csv(&file("_per_class.csv"), per_class_records(&evaluation.metrics))?;
    write_csv(&file("_confusion.csv"), confusion_records(evaluation))?;
    write_csv(&file("_confusions.csv"), confusions_records(&evaluation.metrics))?;
    write_json(&file(".json"), evaluation)?;
    Ok(paths)
}

/// The features of some of an evaluation's images, averaged over the map: what two-dimensional images of a
/// data set are made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// Their rows in the predictions, from 0.
    pub rows: Vec<usize>,
    /// `[rows][C]`
    pub values: Vec<Vec<f32>>,
}

/// Writes `{name}_features.safetensors` into `folder`: `features` f32 `[n, C]` and `rows` i64 `[n]`. Without
/// rows nothing is written.
///
/// # Errors
/// [`Error::Io`].
pub fn write_embeddings(folder: &Path, name: &str, embeddings: &Embeddings) -> Result<Option<PathBuf>> {
    let Some(first) = embeddings.values.first() else { return Ok(None) };
    let features: Vec<u8> =
        embeddings.values.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    let rows: Vec<u8> = embeddings.rows.iter().flat_map(|row| (*row as i64).to_le_bytes()).collect();
    let view = |dtype, shape, bytes| safetensors::tensor::TensorView::new(dtype, shape, bytes);
    let (n, channels) = (embeddings.values.len(), first.len());
    let path = folder.join(format!("{name}_features.safetensors"));
    let bytes = view(safetensors::Dtype::F32, vec![n, channels], &features)
        .and_then(|features| {
            Ok([("features", features), ("rows", view(safetensors::Dtype::I64, vec![n], &rows)?)])
        })
        .and_then(|tensors| safetensors::serialize(tensors, None))
        .map_err(|error| Error::Compute(format!("{}: {error}", path.display())))?;
    write_atomic(&path, |out| out.write_all(&bytes))?;
    Ok(Some(path))
}

/// Reads what [`write_evaluation`] wrote as `{name}.json`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] with the path if the file is not JSON, lacks a field or does not fit
/// itself.
pub fn read_evaluation(path: &Path) -> Result<Evaluation> {
    let evaluation = read_json(path)?;
    check_evaluation(&path.display().to_string(), &evaluation)?;
    Ok(evaluation)
}

/// Writes predictions alone, as [`write_evaluation`] does in `{name}_predictions.csv`; for images whose truth
/// is not known.
///
/// # Errors
/// [`Error::Input`] for a class that is not in `classes` and a wrong number of probabilities; [`Error::Io`].
pub fn write_predictions(path: &Path, classes: &[String], predictions: &[Prediction]) -> Result<()> {
    let place = path.display();
    check_classes(&place.to_string(), classes)?;
    for prediction in predictions {
        check_prediction(&format!("{place}, {}", prediction.path), classes, prediction)?;
    }
    write_csv(path, prediction_records(classes, predictions))
}

/// Reads the classes and the predictions of a `{name}_predictions.csv`. The columns `correct` and
/// `confidence` follow from the others and are not read.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] with the path and the line if the file is not as [`write_evaluation`]
/// writes it.
pub fn read_predictions(path: &Path) -> Result<(Vec<String>, Vec<Prediction>)> {
    let file = File::open(path).map_err(|error| Error::io("read", path, error))?;
    let mut reader = csv::Reader::from_reader(file);
    let classes = classes_of(path, reader.headers().map_err(|error| csv_error(path, error))?)?;
    let mut predictions = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(path, error))?;
        let place = format!("{}, line {}", path.display(), record.position().map_or(0, csv::Position::line));
        predictions.push(prediction_of(&place, &classes, &record)?);
    }
    Ok((classes, predictions))
}

/// The evaluation as text for a terminal: the numbers per class, those of the whole, the confusion matrix.
///
/// At most 100 columns wide with up to seven classes; a matrix that would be wider is left out. A class
/// without samples shows an en dash.
pub fn summary_table(evaluation: &Evaluation) -> String {
    let mut lines = heading(evaluation);
    lines.push(String::new());
    lines.extend(per_class_table(&evaluation.metrics));
    lines.push(String::new());
    lines.extend(overall_table(&evaluation.metrics));
    lines.push(String::new());
    lines.extend(confusion_table(&evaluation.metrics));
    lines.join("\n") + "\n"
}

// ---- checks ----

fn check_evaluation(place: &str, evaluation: &Evaluation) -> Result<()> {
    let Evaluation { classes, metrics, temperature, .. } = evaluation;
    let k = classes.len();
    check_classes(place, classes)?;
    if !metrics.per_class.iter().map(|class| &class.class).eq(classes) {
        return Err(Error::input(place, format!("the classes {classes:?} are not those of the metrics")));
    }
    if metrics.confusion.len() != k || metrics.confusion.iter().any(|row| row.len() != k) {
        return Err(
            Error::input(place, "the confusion matrix has another size").expected(format!("{k} x {k}"))
        );
    }
    if !(temperature.is_finite() && *temperature > 0.0) {
        return Err(Error::input(place, format!("the temperature is {temperature}"))
            .expected("a finite number above 0"));
    }
    Ok(())
}

fn check_classes(place: &str, classes: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    match classes.iter().find(|class| class.is_empty() || !seen.insert(class.as_str())) {
        None => Ok(()),
        Some(class) => Err(Error::input(place, format!("found the class {class:?}"))
            .expected("classes with a name, none of them twice")),
    }
}

fn check_prediction(place: &str, classes: &[String], prediction: &Prediction) -> Result<()> {
    let Prediction { truth, predicted, probabilities, .. } = prediction;
    if let Some(class) = truth.iter().chain([predicted]).find(|class| !classes.contains(class)) {
        return Err(
            Error::input(place, format!("found the class {class:?}")).expected(format!("one of {classes:?}"))
        );
    }
    if probabilities.len() != classes.len() {
        return Err(Error::input(place, format!("found {} probabilities", probabilities.len()))
            .expected(format!("{}, one per class", classes.len())));
    }
    match probabilities.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => {
            Err(Error::input(place, format!("found the probability {value}")).expected("a finite number"))
        }
    }
}

// ---- CSV ----

type Record = Vec<String>;

fn strings<const N: usize>(texts: [&str; N]) -> Record {
    texts.map(String::from).to_vec()
}

fn prediction_records(classes: &[String], predictions: &[Prediction]) -> impl Iterator<Item = Record> {
    let mut header = strings(PREDICTION_COLUMNS);
    header.extend(classes.iter().map(|class| format!("p_{class}")));
    std::iter::once(header).chain(predictions.iter().map(|prediction| {
        let Prediction { path, group, split, truth, predicted, probabilities } = prediction;
        let correct = truth.as_ref().map(|truth| (truth == predicted).to_string()).unwrap_or_default();
        let confidence = classes.iter().zip(probabilities).find(|(class, _)| *class == predicted);
        let confidence = confidence.map(|(_, value)| exact(*value)).unwrap_or_default();
        let truth = truth.clone().unwrap_or_default();
        let mut record =
            vec![path.clone(), group.clone(), split.clone(), truth, predicted.clone(), correct, confidence];
        record.extend(probabilities.iter().map(|&value| exact(value)));
        record
    }))
}

fn per_class_records(metrics: &Metrics) -> impl Iterator<Item = Record> {
    std::iter::once(strings(["class", "precision", "recall", "f1", "support"])).chain(
        metrics.per_class.iter().map(|class| {
            let numbers = [class.precision, class.recall, class.f1].map(|value| value.to_string());
            [class.class.clone()].into_iter().chain(numbers).chain([class.support.to_string()]).collect()
        }),
    )
}

fn confusion_records(evaluation: &Evaluation) -> impl Iterator<Item = Record> {
    let header = std::iter::once("truth".to_string()).chain(evaluation.classes.iter().cloned()).collect();
    let rows = evaluation.classes.iter().zip(&evaluation.metrics.confusion);
    std::iter::once(header).chain(
        rows.map(|(class, row)| {
            std::iter::once(class.clone()).chain(row.iter().map(u64::to_string)).collect()
        }),
    )
}

fn confusions_records(metrics: &Metrics) -> impl Iterator<Item = Record> {
    let header = strings(["truth", "predicted", "count", "share_of_truth"]);
    std::iter::once(header).chain(
        confusions(metrics, MOST_CONFUSIONS)
            .into_iter()
            .map(|one| vec![one.truth, one.predicted, one.count.to_string(), one.share_of_truth.to_string()]),
    )
}

/// The shortest decimal that reads back with the same bits, with an exponent where it is very small.
fn exact(value: f32) -> String {
    format!("{value:?}")
}

fn classes_of(path: &Path, header: &csv::StringRecord) -> Result<Vec<String>> {
    let expected = || format!("{},p_<class>,…", PREDICTION_COLUMNS.join(","));
    let wrong =
        |problem: String| Error::input(format!("{}, line 1", path.display()), problem).expected(expected());
    let fixed = PREDICTION_COLUMNS.len();
    if !header.iter().take(fixed).eq(PREDICTION_COLUMNS) {
        return Err(wrong(format!("found the columns {:?}", header.iter().take(fixed).collect::<Vec<_>>())));
    }
    let class = |column: &str| {
        column.strip_prefix("p_").map(String::from).ok_or_else(|| wrong(format!("found {column:?}")))
    };
    let classes = header.iter().skip(fixed).map(class).collect::<Result<Vec<_>>>()?;
    check_classes(&path.display().to_string(), &classes)?;
    Ok(classes)
}

fn prediction_of(place: &str, classes: &[String], record: &csv::StringRecord) -> Result<Prediction> {
    let field = |column: usize| record.get(column).unwrap_or_default().to_string();
    let probability = |text: &str| {
        text.parse()
            .map_err(|_| Error::input(place, format!("found the probability {text:?}")).expected("a number"))
    };
    let prediction = Prediction {
        path: field(0),
        group: field(1),
        split: field(2),
        truth: Some(field(3)).filter(|truth| !truth.is_empty()),
        predicted: field(4),
        probabilities: record
            .iter()
            .skip(PREDICTION_COLUMNS.len())
            .map(probability)
            .collect::<Result<_>>()?,
    };
    check_prediction(place, classes, &prediction)?;
    Ok(prediction)
}

// ---- the table ----

const NO_VALUE: &str = "–";

fn heading(evaluation: &Evaluation) -> Vec<String> {
    let Evaluation { model, data, split, classes, leakage, temperature, metrics } = evaluation;
    let room = TABLE_WIDTH - "model  ".len();
    let mut lines = vec![
        format!("model  {}", shorten_front(model, room)),
        format!("data   {}", shorten_front(data, room)),
        format!("split  {}: {} samples, {} classes", shorten(split, 40), metrics.n, classes.len()),
    ];
    if *temperature != 1.0 {
        lines.push(format!("logits divided by the temperature {temperature}"));
    }
    if *leakage {
        lines.push("LEAKAGE: groups cross the splits; these numbers flatter the model".into());
    }
    lines
}

fn per_class_table(metrics: &Metrics) -> Vec<String> {
    let width = label_width(metrics, 16);
    let mut lines = vec![format!(
        "{:width$}  {:>9}  {:>9}  {:>9}  {:>9}",
        "class", "precision", "recall", "F1", "support"
    )];
    for class in &metrics.per_class {
        let [precision, recall, f1] = [class.precision, class.recall, class.f1]
            .map(|value| if class.support == 0 { NO_VALUE.to_string() } else { format!("{value:.3}") });
        let name = shorten(&class.class, width);
        lines.push(format!("{name:width$}  {precision:>9}  {recall:>9}  {f1:>9}  {:>9}", class.support));
    }
    lines
}

fn overall_table(metrics: &Metrics) -> Vec<String> {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let [low, high] = metrics.accuracy_interval.map(|share| format!("{:.2}", 100.0 * share));
    let baseline = percent(metrics.majority_baseline);
    let empty = metrics.per_class.iter().filter(|class| class.support == 0).count();
    let macro_note = match empty {
        0 => String::new(),
        _ => format!("  (0 for {empty} of {} classes: no samples)", metrics.per_class.len()),
    };
    let mut rows = vec![
        (
            "accuracy".to_string(),
            format!(
                "{}  (95 % interval {low} to {high}; largest class {baseline})",
                percent(metrics.accuracy)
            ),
        ),
        ("macro F1".into(), format!("{:.3}{macro_note}", metrics.macro_f1)),
        ("balanced accuracy".into(), percent(metrics.balanced_accuracy)),
    ];
    rows.extend(
        metrics.top_k.iter().filter(|(k, _)| *k == 2).map(|(k, share)| (format!("top-{k}"), percent(*share))),
    );
    rows.push(("ECE".into(), format!("{:.3}", metrics.ece)));
    rows.push(("loss".into(), format!("{:.3}", metrics.loss)));
    rows.iter().map(|(name, value)| format!("{name:<19}{value}")).collect()
}

fn confusion_table(metrics: &Metrics) -> Vec<String> {
    const MOST_LABEL: usize = 16;
    const MOST_COLUMN: usize = 9;
    let corner = "truth";
    let first = label_width(metrics, MOST_LABEL);
    let digits = metrics.confusion.iter().flatten().map(|count| count.to_string().len()).max().unwrap_or(1);
    let column = label_width(metrics, MOST_COLUMN).max(digits);
    if first + metrics.per_class.len() * (column + 2) > TABLE_WIDTH {
        return vec![format!(
            "confusion matrix: too wide for the terminal ({} classes)",
            metrics.per_class.len()
        )];
    }
    let header =
        metrics.per_class.iter().map(|class| format!("  {:>column$}", shorten(&class.class, column)));
    let mut lines = vec!["confusion matrix: a row per true class, a column per predicted one".to_string()];
    lines.push(format!("{corner:first$}{}", header.collect::<String>()));
    for (class, row) in metrics.per_class.iter().zip(&metrics.confusion) {
        let counts: String = row.iter().map(|count| format!("  {count:>column$}")).collect();
        lines.push(format!("{:first$}{counts}", shorten(&class.class, first)));
    }
    lines
}

/// The longest class name, at least as wide as the heading "truth" and at most `most`.
fn label_width(metrics: &Metrics, most: usize) -> usize {
    metrics
        .per_class
        .iter()
        .map(|class| class.class.chars().count())
        .max()
        .unwrap_or(0)
        .clamp("truth".len(), most)
}

/// `text` in at most `width` characters; line breaks and the like, which would break the table, become `?`.
fn shorten(text: &str, width: usize) -> String {
    cut_end(&visible(text), width)
}

/// As [`shorten`], but the beginning is cut off.
fn shorten_front(text: &str, width: usize) -> String {
    cut_front(&visible(text), width)
}

fn visible(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::metrics::compute;

    const AWKWARD: [&str; 3] = ["a,b", "say \"hi\"", "two\nlines"];

    /// Each class once right; the last sample wrong; one more without a truth.
    fn sample(classes: &[&str]) -> (Evaluation, Vec<Prediction>) {
        let classes: Vec<String> = classes.iter().map(|class| class.to_string()).collect();
        let k = classes.len();
        let row = |likely: usize| {
            let mut row = vec![0.3 / (k - 1) as f32; k];
            row[likely] = 0.7;
            row
        };
        let targets: Vec<usize> = (0..k).chain([0]).collect();
        let rows: Vec<Vec<f32>> = (0..k).chain([1]).map(row).collect();
        let mut predictions: Vec<Prediction> = (targets.iter().zip(&rows).enumerate())
            .map(|(index, (&target, row))| Prediction {
                path: format!("folder, with comma/{index} \"x\"\r\n.jpg"),
                group: if index == 0 { String::new() } else { format!(" g{index} ") },
                split: "test".into(),
                truth: Some(classes[target].clone()),
                predicted: classes[if index == k { 1 } else { index }].clone(),
                probabilities: row.clone(),
            })
            .collect();
        let metrics = compute(&rows, &targets, &classes).unwrap();
        predictions.push(Prediction { truth: None, ..predictions[0].clone() });
        let (model, data, split) = ("vgg16_cbam".to_string(), "faces".to_string(), "test".to_string());
        (Evaluation { model, data, split, classes, leakage: false, temperature: 1.0, metrics }, predictions)
    }

    #[test]
    fn predictions_with_awkward_names_and_bits_survive() {
        let folder = tempfile::tempdir().unwrap();
        let (evaluation, mut predictions) = sample(&AWKWARD);
        predictions[0].probabilities =
            vec![f32::from_bits(0x3eaaaaab), f32::from_bits(1), 1.0 - f32::EPSILON / 2.0];
        predictions[1].probabilities = vec![1e-7, -0.0, 1.175_494_4e-38];
        let paths = write_evaluation(folder.path(), "test", &evaluation, &predictions).unwrap();
        let (classes, read) = read_predictions(&paths[0]).unwrap();
        assert_eq!(classes, evaluation.classes);
        assert_eq!(read, predictions);
        let bits = |all: &[Prediction]| {
            all.iter()
                .flat_map(|one| one.probabilities.iter().map(|value| value.to_bits()))
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&read), bits(&predictions));
    }

    #[test]
    fn an_evaluation_survives() {
        let folder = tempfile::tempdir().unwrap();
        let (mut evaluation, predictions) = sample(&AWKWARD);
        evaluation.temperature = 1.37;
        let paths = write_evaluation(&folder.path().join("eval"), "test", &evaluation, &predictions).unwrap();
        let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        let expected = [
            "test_predictions.csv",
            "test_per_class.csv",
            "test_confusion.csv",
            "test_confusions.csv",
            "test.json",
        ];
        assert_eq!(names, expected);
        let mut read = read_evaluation(&paths[4]).unwrap();
        // serde_json without its feature `float_roundtrip` may miss a number's last bit.
        assert!((read.metrics.loss - evaluation.metrics.loss).abs() < 1e-15);
        assert_eq!(read.metrics.confusion, evaluation.metrics.confusion);
        assert_eq!((read.temperature, read.metrics.n), (1.37, 4));
        read.metrics = evaluation.metrics.clone();
        assert_eq!(read, evaluation);
    }

    #[test]
    fn the_csv_files_are_what_a_reader_expects() {
        let folder = tempfile::tempdir().unwrap();
        let (evaluation, mut predictions) = sample(&["happy", "neutral"]);
        predictions.iter_mut().enumerate().for_each(|(index, one)| one.path = format!("{index}.jpg"));
        let paths = write_evaluation(folder.path(), "test", &evaluation, &predictions).unwrap();
        let text = |index: usize| fs::read_to_string(&paths[index]).unwrap();
        assert_eq!(
            text(0),
            "path,group,split,truth,predicted,correct,confidence,p_happy,p_neutral\n\
             0.jpg,,test,happy,happy,true,0.7,0.7,0.3\n\
             1.jpg, g1 ,test,neutral,neutral,true,0.7,0.3,0.7\n\
             2.jpg, g2 ,test,happy,neutral,false,0.7,0.3,0.7\n\
             3.jpg,,test,,happy,,0.7,0.7,0.3\n"
        );
        assert_eq!(
            text(1),
            "class,precision,recall,f1,support\n\
             happy,1,0.5,0.6666666666666666,2\n\
             neutral,0.5,1,0.6666666666666666,1\n"
        );
        assert_eq!(text(2), "truth,happy,neutral\nhappy,1,1\nneutral,0,1\n");
        assert_eq!(text(3), "truth,predicted,count,share_of_truth\nhappy,neutral,1,0.5\n");
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (evaluation, predictions) = sample(&["happy", "neutral"]);
        let refused = |name: &str, evaluation: &Evaluation, predictions: &[Prediction], what: &str| {
            let text =
                write_evaluation(folder.path(), name, evaluation, predictions).unwrap_err().to_string();
            assert!(text.contains(what) && !text.contains('\n'), "{text}");
        };
        refused("../test", &evaluation, &predictions, "a part of a file name");
        refused("test", &evaluation, &predictions[1..], "found 2 predictions with a known truth; expected 3");
        let with = |change: fn(&mut Prediction)| {
            let mut all = predictions.clone();
            all.iter_mut().for_each(|one| one.path = "a.jpg".into());
            change(&mut all[1]);
            all
        };
        refused(
            "test",
            &evaluation,
            &with(|one| one.predicted = "sad".into()),
            "test, a.jpg: found the class \"sad\"",
        );
        refused(
            "test",
            &evaluation,
            &with(|one| one.probabilities = vec![1.0]),
            "found 1 probabilities; expected 2",
        );
        refused(
            "test",
            &evaluation,
            &with(|one| one.probabilities[0] = f32::NAN),
            "found the probability NaN",
        );
        let with = |change: fn(&mut Evaluation)| {
            let mut evaluation = evaluation.clone();
            change(&mut evaluation);
            evaluation
        };
        refused("test", &with(|one| one.temperature = f32::NAN), &predictions, "the temperature is NaN");
        refused("test", &with(|one| one.classes.reverse()), &predictions, "are not those of the metrics");
        refused("test", &with(|one| one.metrics.confusion[1].clear()), &predictions, "expected 2 x 2");
        refused(
            "test",
            &with(|one| one.classes = vec!["happy".into(); 2]),
            &predictions,
            "none of them twice",
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            0,
            "nothing is written before all is checked"
        );
    }

    #[test]
    fn a_wrong_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let header = "path,group,split,truth,predicted,correct,confidence,p_happy,p_sad\n";
        let refused = |text: &str, what: &str| {
            fs::write(&path, text).unwrap();
            let text = read_predictions(&path).unwrap_err().to_string();
            assert!(text.contains("a.csv") && text.contains(what) && !text.contains('\n'), "{text}");
        };
        refused("", "line 1: found the columns []");
        refused("file,label\na,b\n", "line 1: found the columns [\"file\", \"label\"]");
        refused(&header.replace("p_sad", "sad"), "line 1: found \"sad\"");
        refused(&header.replace("p_sad", "p_happy"), "none of them twice");
        let good = "a,g,test,sad,sad,true,0.6,0.4,0.6\n";
        refused(
            &format!("{header}{good}{}", good.replace("0.4", "x")),
            "line 3: found the probability \"x\"",
        );
        refused(&format!("{header}{}", good.replace("0.4", "inf")), "line 2: found the probability inf");
        refused(
            &format!("{header}{}", good.replace("sad,true", "bad,true")),
            "line 2: found the class \"bad\"",
        );
        refused(&format!("{header}{good}a,g\n"), "line: 3");
        assert!(
            read_predictions(&folder.path().join("none")).unwrap_err().to_string().starts_with("cannot read")
        );
        fs::write(&path, "{\"model\": 1}").unwrap();
        assert!(read_evaluation(&path).unwrap_err().to_string().contains("line 1 column"));
    }

    #[test]
    fn the_table_is_this_text() {
        let classes =
            ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"].map(String::from).to_vec();
        let targets = [0, 0, 1, 3, 3, 3, 4, 4, 5, 6];
        let likely = [0, 1, 1, 3, 3, 2, 4, 0, 5, 6];
        let rows = likely
            .map(|likely| [0, 1, 2, 3, 4, 5, 6].map(|class| if class == likely { 0.7f32 } else { 0.05 }));
        let evaluation = Evaluation {
            model: "vgg16_cbam".into(),
            data: "faces".into(),
            split: "test".into(),
            metrics: compute(&rows, &targets, &classes).unwrap(),
            classes,
            leakage: true,
            temperature: 1.5,
        };
        let expected = "\
model  vgg16_cbam
data   faces
split  test: 10 samples, 7 classes
logits divided by the temperature 1.5
LEAKAGE: groups cross the splits; these numbers flatter the model

class     precision     recall         F1    support
angry         0.500      0.500      0.500          2
disgust       0.500      1.000      0.667          1
fear              –          –          –          0
happy         1.000      0.667      0.800          3
neutral       1.000      0.500      0.667          2
sad           1.000      1.000      1.000          1
surprise      1.000      1.000      1.000          1

accuracy           70.00 %  (95 % interval 39.68 to 89.22; largest class 30.00 %)
macro F1           0.662  (0 for 1 of 7 classes: no samples)
balanced accuracy  77.78 %
top-2              80.00 %
ECE                0.000
loss               1.148

confusion matrix: a row per true class, a column per predicted one
truth        angry   disgust      fear     happy   neutral       sad  surprise
angry            1         1         0         0         0         0         0
disgust          0         1         0         0         0         0         0
fear             0         0         0         0         0         0         0
happy            0         0         1         2         0         0         0
neutral          1         0         0         0         1         0         0
sad              0         0         0         0         0         1         0
surprise         0         0         0         0         0         0         1
";
        assert_eq!(summary_table(&evaluation), expected);
        let honest = summary_table(&Evaluation { leakage: false, temperature: 1.0, ..evaluation });
        assert!(!honest.contains("LEAKAGE") && !honest.contains("temperature"));
    }

    #[test]
    fn long_names_and_large_counts_stay_within_the_width() {
        let long = "a very long name of a class, with a \n break";
        let classes: Vec<String> = (0..7).map(|number| format!("{number} {long}")).collect();
        let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
        let (mut evaluation, _) = sample(&classes);
        evaluation.model = "model/".repeat(40);
        evaluation.data = "é".repeat(200);
        evaluation.metrics.confusion[3][3] = 123_456_789;
        let table = summary_table(&evaluation);
        for line in table.lines() {
            assert!(line.chars().count() <= TABLE_WIDTH, "{line}");
        }
        assert!(table.contains("123456789") && table.contains("3 a very…"), "{table}");
        let classes: Vec<String> = (0..40).map(|number| format!("class{number}")).collect();
        let (evaluation, _) = sample(&classes.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(summary_table(&evaluation).contains("too wide for the terminal (40 classes)"));
    }
}
