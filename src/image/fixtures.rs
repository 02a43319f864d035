//! What Pillow and torchvision made of synthetic images: `scripts/transform_fixtures.py`.

use std::path::Path;

use serde::Deserialize;

use crate::image::RgbImage;

#[derive(Deserialize)]
pub struct Step {
    pub name: String,
    pub values: Vec<f32>,
}

pub struct Case {
    pub source: RgbImage,
    pub steps: Vec<Step>,
    pub result: RgbImage,
}

impl Case {
    pub fn only(&self, names: &[&str]) -> bool {
        self.steps.iter().all(|step| names.contains(&step.name.as_str()))
    }

    pub fn describe(&self) -> String {
        let steps = self.steps.iter().map(|step| format!("{} {:?}", step.name, step.values));
        format!("{:?}: {}", self.source, steps.collect::<Vec<_>>().join(", "))
    }
}

pub fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct Entry {
        source: String,
        from: [usize; 2],
        steps: Vec<Step>,
        result: String,
        to: [usize; 2],
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transform");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let entries: Vec<Entry> = serde_json::from_slice(&read("index.json")).unwrap();
    let read_image = |name: &str, [width, height]: [usize; 2]| RgbImage::new(width, height, read(name));
    let case = |entry: Entry| Case {
        source: read_image(&entry.source, entry.from),
        steps: entry.steps,
        result: read_image(&entry.result, entry.to),
    };
    let cases: Vec<Case> = entries.into_iter().map(case).collect();
    assert!(!cases.is_empty());
    cases
}

/// A small image of slopes and noise.
pub fn noise(width: usize, height: usize, grey: bool) -> RgbImage {
    use rand::RngExt;
    let mut random = crate::random::rng(5, crate::random::Purpose::Draw, width as u64, height as u64);
    let mut level = |i: usize| (i * 130 / (width * height)) as u8 + random.random_range(0..120);
    if grey {
        return RgbImage::from_grey(width, height, &(0..width * height).map(level).collect::<Vec<u8>>());
    }
    RgbImage::new(width, height, (0..width * height * 3).map(|i| level(i / 3)).collect())
}
