//! Simulated studies: run folders with the predictions of models of a chosen accuracy.

use std::fs;
use std::path::Path;

use rand::RngExt;

use super::names::RUNS;
use super::plan::Plan;
use crate::eval::files::{Evaluation, Prediction, write_evaluation};
use crate::eval::metrics::compute_for;
use crate::random::{Purpose, rng};

pub(crate) const CLASSES: [&str; 3] = ["angry", "happy", "<sad>"];

/// A test set and how much models of one accuracy differ on it.
#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) number: u64,
    pub(crate) groups: usize,
    pub(crate) per_group: usize,
    /// Standard deviation of the accuracy from seed to seed.
    pub(crate) seeds: f64,
    /// Standard deviation of a variant's accuracy from group to group.
    pub(crate) spread: f64,
}

fn normal(key: [u64; 3]) -> f64 {
    let mut random = rng(key[0], Purpose::Draw, key[1], key[2]);
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

impl World {
    /// What a model of the variant says that is right with the given probability, give or take.
    pub(crate) fn predictions(&self, variant: u64, seed: u64, accuracy: f64) -> Vec<Prediction> {
        let world = 100 * self.number + variant;
        let luck = self.seeds * normal([world, 1, seed]);
        let mut rows = Vec::new();
        for group in 0..self.groups {
            let share = accuracy + luck + self.spread * normal([world, 2, group as u64]);
            for image in 0..self.per_group {
                let row = (group * self.per_group + image) as u64;
                let mut random = rng(world, Purpose::Draw, 3 + seed, row);
                let truth = (group + image) % 3;
                let other = (truth + random.random_range(1..3)) % 3;
                let said = if random.random::<f64>() < share { truth } else { other };
                let mut probabilities = vec![0.1; 3];
                probabilities[said] = 0.8;
                rows.push(Prediction {
                    path: format!("test/{}/{row:04}.png", CLASSES[truth]),
                    group: format!("g{group}"),
                    split: "test".into(),
                    truth: Some(CLASSES[truth].into()),
                    predicted: CLASSES[said].into(),
                    probabilities,
                });
            }
        }
        rows
    }
}

pub(crate) fn evaluation_of(rows: &[Prediction]) -> Evaluation {
    let classes = CLASSES.map(String::from).to_vec();
    let index = |name: &str| CLASSES.iter().position(|class| *class == name).unwrap();
    let truth: Vec<usize> = rows.iter().map(|row| index(row.truth.as_deref().unwrap())).collect();
    let said: Vec<usize> = rows.iter().map(|row| index(&row.predicted)).collect();
    let probabilities: Vec<&[f32]> = rows.iter().map(|row| row.probabilities.as_slice()).collect();
    let metrics = compute_for(&said, &probabilities, &truth, &classes).unwrap();
    let (model, data, split) = ("vgg16_bn".into(), "faces".into(), "test".into());
    Evaluation { model, data, split, classes, leakage: false, temperature: 1.0, metrics }
}

/// A run folder as training leaves it: 90 training images, two epochs, 60 seconds.
pub(crate) fn write_run(out: &Path, name: &str, rows: &[Prediction]) {
    let run = out.join(RUNS).join(name);
    write_evaluation(&run.join("eval"), "test", &evaluation_of(rows), rows).unwrap();
    let own = name.split("-s").next().unwrap_or_default();
    fs::write(run.join("config.toml"), format!("[model]\nname = \"{own}<b>\"\n[train]\nepochs = 2\n"))
        .unwrap();
    let summary = r#"{"root":"faces","layout":"split-folders","dataset_type":"real",
        "classes":["angry","happy","<sad>"],"counts":{"train":[30,30,30],"valid":[4,4,4],"test":[4,4,4]},
        "groups":{"train":12,"valid":6,"test":6},"group_rules":{"regex":36},"group_regex":null,"augmented":0,
        "synthetic":0,"duplicates":0,"seed":1,"fingerprint":"abcdef0123456789","leakage":false,
        "leaking_groups":0,"leaks":[],"unreadable":[],"left_out":[],"warnings":[]}"#;
    fs::write(run.join("data.json"), summary).unwrap();
    let mut events = String::from("{\"event\":\"start\",\"run\":\"run\",\"header\":[],\"from_step\":0}\n");
    let images = if own == "augmented" { 270 } else { 90 };
    for step in 1..=2 {
        events += &format!(
            "{{\"event\":\"step\",\"step\":{step},\"epoch\":{step},\"batch\":1,\"loss\":1.0,\
             \"accuracy\":0.5,\"epoch_loss\":1.0,\"epoch_accuracy\":0.5,\
             \"learning_rate\":0.01,\"images\":{images},\"seconds\":0.1,\"waited\":0.0}}\n"
        );
    }
    fs::write(
        run.join("events.jsonl"),
        events + "{\"event\":\"end\",\"reason\":\"finished\",\"seconds\":60.0}\n",
    )
    .unwrap();
    let epochs = "epoch,step,train_loss,train_accuracy,val_loss,val_accuracy,val_macro_f1,learning_rate,\
                  images_per_second,seconds,best\n\
                  1,1,1.0,0.5,0.9,0.5,0.5,0.01,10.0,4.0,true\n2,2,0.5,0.7,0.7,0.7,0.7,0.01,10.0,4.0,true\n";
    fs::write(run.join("metrics.csv"), epochs).unwrap();
}

pub(crate) const WORLD: World = World { number: 1, groups: 20, per_group: 15, seeds: 0.01, spread: 0.02 };

/// The plan of `text` with all its runs, of the accuracy that `accuracy` gives each.
pub(crate) fn study(text: &str, world: World, accuracy: impl Fn(&str) -> f64) -> (tempfile::TempDir, Plan) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    fs::write(&path, text).unwrap();
    let plan = Plan::load(&path).unwrap();
    for (index, job) in plan.jobs().iter().enumerate() {
        let variant =
            plan.jobs().iter().position(|other| other.variant == job.variant).unwrap_or(index) as u64;
        write_run(folder.path(), &job.name(), &world.predictions(variant, job.seed, accuracy(&job.variant)));
    }
    (folder, plan)
}
