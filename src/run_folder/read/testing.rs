//! Small run folders for tests.

use std::fs;
use std::path::Path;

use safetensors::Dtype;

use crate::eval::files::{Evaluation, Prediction};

use super::super::names::{CONFIG, DATA, EPOCHS, EVAL, EVENTS, TRAINED};
use crate::data::testing::write_image;
use crate::eval::files::write_evaluation;
use crate::eval::metrics::compute_for;

pub(crate) const CLASSES: [&str; 3] = ["angry", "happy", "<sad>"];

/// A row of the test split: path, group, truth, predicted, confidence.
pub(crate) type Row<'a> = (&'a str, &'a str, usize, usize, f32);

/// Twelve images of six groups, three of them misclassified.
pub(crate) const ROWS: [Row; 12] = [
    ("test/angry/1.png", "g1", 0, 0, 0.9),
    ("test/angry/2.png", "g1", 0, 1, 0.95),
    ("test/angry/3.png", "g2", 0, 0, 0.8),
    ("test/angry/4.png", "g2", 0, 0, 0.7),
    ("test/happy/1.png", "g3", 1, 1, 0.9),
    ("test/happy/2.png", "g3", 1, 1, 0.5),
    ("test/happy/\"><script>alert(1)</script>.png", "g4", 1, 2, 0.6),
    ("test/happy/ä顔🙂.png", "g4", 1, 1, 0.9),
    ("test/<sad>/1.png", "g5", 2, 2, 0.9),
    ("test/<sad>/2.png", "g5", 2, 0, 0.4),
    ("test/<sad>/3.png", "g6", 2, 2, 0.9),
    ("test/<sad>/4.png", "g6", 2, 2, 0.9),
];

/// The predictions of such rows.
pub(crate) fn predictions(rows: &[Row]) -> Vec<Prediction> {
    let one = |&(path, group, truth, predicted, confidence): &Row| {
        let mut probabilities = vec![(1.0 - confidence) / 2.0; 3];
        probabilities[predicted] = confidence;
        let (truth, predicted) = (Some(CLASSES[truth].to_owned()), CLASSES[predicted].to_owned());
        Prediction {
            path: path.into(),
            group: group.into(),
            split: "test".into(),
            truth,
            predicted,
            probabilities,
        }
    };
    rows.iter().map(one).collect()
}

/// Writes an evaluation of a run.
pub(crate) fn write_rows(run: &Path, data: &Path, name: &str, rows: &[Row]) {
    let classes = CLASSES.map(String::from).to_vec();
    let (predictions, targets): (Vec<_>, Vec<_>) =
        (predictions(rows), rows.iter().map(|row| row.2).collect());
    let said: Vec<usize> = rows.iter().map(|row| row.3).collect();
    let probabilities: Vec<&[f32]> = predictions.iter().map(|row| row.probabilities.as_slice()).collect();
    let metrics = compute_for(&said, &probabilities, &targets, &classes).unwrap();
    let (model, data) = ("run".into(), data.display().to_string());
    let evaluation =
        Evaluation { model, data, split: name.into(), classes, leakage: false, temperature: 1.0, metrics };
    write_evaluation(&run.join(EVAL), name, &evaluation, &predictions).unwrap();
}

/// A run folder with everything but maps: three epochs, of which the second was the best, and its data
/// beside it.
pub(crate) fn write_run(run: &Path, data: &Path, rows: &[Row]) {
    fs::create_dir_all(run).unwrap();
    let root = data.display();
    fs::write(
        run.join(CONFIG),
        format!("[data]\nroot = \"{root}\"\n[model]\nname = \"vgg16_bn\"\n[train]\nepochs = 3\n"),
    )
    .unwrap();
    let summary = format!(
        r#"{{"root":"{root}","layout":"split-folders","dataset_type":"real",
        "classes":["angry","happy","<sad>"],
        "counts":{{"train":[8,8,8],"valid":[4,4,4],"test":[4,4,4]}},
        "groups":{{"train":12,"valid":6,"test":6}},"group_rules":{{"regex":36}},
        "group_regex":null,"augmented":0,"synthetic":0,"duplicates":0,"seed":1,
        "fingerprint":"abcdef0123456789","leakage":false,
        "leaking_groups":0,"leaks":[],"unreadable":[],"left_out":[],"warnings":[]}}"#
    );
    fs::write(run.join(DATA), summary).unwrap();
    let mut events = String::from(
        "{\"event\":\"start\",\"run\":\"run\",\"header\":[[\"device\",\"cpu\"]],\"from_step\":0}\n",
    );
    for step in 1..=6 {
        events += &format!(
            "{{\"event\":\"step\",\"step\":{step},\"epoch\":{},\"batch\":1,\"loss\":{},\
             \"accuracy\":0.5,\"epoch_loss\":1.0,\"epoch_accuracy\":0.5,\
             \"learning_rate\":0.01,\"images\":4,\"seconds\":0.1,\"waited\":0.0}}\n",
            (step + 1) / 2,
            1.0 / f64::from(step)
        );
    }
    events += "{\"event\":\"end\",\"reason\":\"finished\",\"seconds\":12.5}\n";
    fs::write(run.join(EVENTS), events).unwrap();
    let epochs = "epoch,step,train_loss,train_accuracy,val_loss,val_accuracy,val_macro_f1,learning_rate,\
                  images_per_second,seconds,best\n\
                  1,2,1.0,0.5,0.9,0.5,0.5,0.01,10.0,4.0,true\n\
                  2,4,0.5,0.7,0.7,0.7,0.7,0.01,10.0,4.0,true\n\
                  3,6,0.2,0.9,0.8,0.7,0.7,0.001,10.0,4.0,false\n";
    fs::write(run.join(EPOCHS), epochs).unwrap();
    let hash = "0".repeat(64);
    fs::write(run.join(TRAINED), format!("{hash}\tt1\n{hash}\tt2\n")).unwrap();
    write_rows(run, data, "test", rows);
    write_features(&run.join("eval/test_features.safetensors"), rows.len(), 4);
    for (number, (path, ..)) in rows.iter().enumerate().filter(|(_, row)| !row.0.contains(['"', '<'])) {
        write_image(data, path, number as u32);
    }
}

/// Features of all rows.
pub(crate) fn write_features(path: &Path, n: usize, width: usize) {
    let values: Vec<u8> = (0..n * width).flat_map(|at| ((at * at % 17) as f32).to_le_bytes()).collect();
    let rows: Vec<u8> = (0..n as i64).flat_map(i64::to_le_bytes).collect();
    let view =
        |dtype, shape: Vec<usize>, bytes| safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap();
    let tensors =
        [("features", view(Dtype::F32, vec![n, width], &values)), ("rows", view(Dtype::I64, vec![n], &rows))];
    fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}
