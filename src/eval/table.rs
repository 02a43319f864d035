//! An evaluation as text for the terminal.

use super::files::Evaluation;
use super::metrics::Metrics;
use crate::text::{cut_end, cut_front};

/// The widest line of [`summary_table`] for seven classes; a wider confusion matrix is omitted.
const TABLE_WIDTH: usize = 100;

/// The evaluation as text for a terminal: metrics per class, overall metrics, the confusion matrix.
///
/// At most 100 columns wide with up to seven classes; a wider matrix is omitted. A class without
/// samples shows an en dash.
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
        lines.push(format!("calibrated with temperature {temperature}"));
    }
    if *leakage {
        lines.push("LEAKAGE: groups cross splits; these numbers are too optimistic".into());
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
    let mut lines = vec!["confusion matrix: rows are true classes, columns predicted ones".to_string()];
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
    use crate::eval::files::testing::sample;
    use crate::eval::metrics::compute;

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
calibrated with temperature 1.5
LEAKAGE: groups cross splits; these numbers are too optimistic

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

confusion matrix: rows are true classes, columns predicted ones
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
