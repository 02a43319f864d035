//! The files of an evaluation in a run folder.
//!
//! JSON for programs, CSV (RFC 4180: names with commas, quotes and line breaks survive) for people and data
//! frames. Reports are made from these files alone, so that they can be made again later.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::metrics::{Metrics, confusions};
use crate::error::{Error, Result};
use crate::files::{csv_error, read_json, write_atomic, write_csv, write_json};

/// A model's prediction for one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The image, as its data set names it.
    pub path: String,
    /// Its group, which no split may divide (see the data module).
    pub group: String,
    /// Name of its split.
    pub split: String,
    /// Its true class, where it is known.
    pub truth: Option<String>,
    /// The class predicted by the model, or by a vote of several models.
    pub predicted: String,
    /// `[K]`: the probability of each class, in index order.
    pub probabilities: Vec<f32>,
}

/// The evaluation of one model on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Name of the model.
    pub model: String,
    /// Path of the data set.
    pub data: String,
    /// Name of the split.
    pub split: String,
    /// Names of the K classes in index order.
    pub classes: Vec<String>,
    /// Whether a group crosses splits, so that the metrics are too optimistic.
    pub leakage: bool,
    /// The temperature that divides the logits before the softmax; 1 without calibration.
    pub temperature: f32,
    /// Accuracy, F1, calibration error and the others, with the confusion matrix.
    pub metrics: Metrics,
}

/// Number of confusions in `_confusions.csv`, the most frequent ones.
pub const MOST_CONFUSIONS: usize = 10;

/// Columns of `_predictions.csv` before those of the probabilities, `p_` and the class.
const PREDICTION_COLUMNS: [&str; 7] =
    ["path", "group", "split", "truth", "predicted", "correct", "confidence"];

/// Writes an evaluation into `folder`, which is created if need be, each file whole or not at all:
///
/// - `{name}_predictions.csv`: path, group, split, truth, predicted, correct, confidence (the probability of
///   the predicted class), `p_{class}`…; truth and correct are empty where the true class is unknown;
/// - `{name}_per_class.csv`: class, precision, recall, f1, support;
/// - `{name}_confusion.csv`: counts; a row per true class, a column per predicted one;
/// - `{name}_confusions.csv`: truth, predicted, count, `share_of_truth`; the [`MOST_CONFUSIONS`] most
///   frequent confusions;
/// - `{name}.json`: the [`Evaluation`]; written last: if it exists, so do the others.
///
/// Returns the paths in this order. Existing files are replaced. Probabilities read back bit for bit.
///
/// # Errors
/// [`Error::Input`] if the parts are inconsistent (classes, lengths, number of samples);
/// [`Error::Io`].
pub fn write_evaluation(
    folder: &Path,
    name: &str,
    evaluation: &Evaluation,
    predictions: &[Prediction],
) -> Result<Vec<PathBuf>> {
    if name.is_empty() || name.contains(['/', '\\']) {
        return Err(
            Error::input("evaluation", format!("invalid name '{name}'")).expected("a name without slashes")
        );
    }
    let place = format!("evaluation {name}");
    check_evaluation(&place, evaluation)?;
    for prediction in predictions {
        check_prediction(&format!("{place}, {}", prediction.path), &evaluation.classes, prediction)?;
    }
    let labelled = predictions.iter().filter(|prediction| prediction.truth.is_some()).count() as u64;
    if labelled != evaluation.metrics.n {
        return Err(Error::input(place, format!("found {labelled} predictions with a true class"))
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

/// The features of some of an evaluation's images, averaged over the map, for two-dimensional projections of
/// a data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// `[n]`: their rows in the predictions, from 0.
    pub rows: Vec<usize>,
    /// `[n][C]`: one row of features per image.
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
/// [`Error::Io`]; [`Error::Input`] with the path if the file is not JSON, lacks a field or is
/// inconsistent.
pub fn read_evaluation(path: &Path) -> Result<Evaluation> {
    let evaluation = read_json(path)?;
    check_evaluation(&path.display().to_string(), &evaluation)?;
    Ok(evaluation)
}

/// Writes only predictions, as [`write_evaluation`] does in `{name}_predictions.csv`; for images without
/// labels.
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
            .expected("distinct class names that are not empty")),
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

#[cfg(test)]
pub(super) mod testing {
    //! A small evaluation with its predictions.

    use super::*;
    use crate::eval::metrics::compute;

    /// Each class once right; the last sample wrong; one more without a truth.
    pub(crate) fn sample(classes: &[&str]) -> (Evaluation, Vec<Prediction>) {
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
}

#[cfg(test)]
mod tests {
    use super::testing::sample;
    use super::*;

    const AWKWARD: [&str; 3] = ["a,b", "say \"hi\"", "two\nlines"];

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
    fn inconsistent_parts_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (evaluation, predictions) = sample(&["happy", "neutral"]);
        let refused = |name: &str, evaluation: &Evaluation, predictions: &[Prediction], what: &str| {
            let text =
                write_evaluation(folder.path(), name, evaluation, predictions).unwrap_err().to_string();
            assert!(text.contains(what) && !text.contains('\n'), "{text}");
        };
        refused("../test", &evaluation, &predictions, "a name without slashes");
        refused("test", &evaluation, &predictions[1..], "found 2 predictions with a true class; expected 3");
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
            "distinct class names",
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            0,
            "nothing is written before all is checked"
        );
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
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
        refused(&header.replace("p_sad", "p_happy"), "distinct class names");
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
}
