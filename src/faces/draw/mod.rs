//! Drawn faces: a labelled set that needs no data from outside, for the demo, the tests and the first trial.
//!
//! An image is a parametric drawing. The emotion moves the face by action units (FACS, see `expression.rs`);
//! everything else (who it is, pose, light, background, noise) is drawn independently of it. Many images show
//! one person, and the person is the group of every split.

mod canvas;
mod expression;
mod face;
mod person;

use std::path::Path;
use std::str::FromStr;

use chacha20::ChaCha8Rng;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::image::RgbImage;
use crate::random::{Purpose, rng};

/// The seven emotions in index order.
pub const EMOTIONS: [&str; 7] = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];

/// The smallest `per_class`: three persons, one for each split.
pub const MIN_PER_CLASS: usize = 3;

/// How the drawings look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Shaded skin, textures, uneven light, blur and sensor noise.
    #[default]
    Photo,
    /// Flat saturated colours with outlines.
    Cartoon,
}

impl FromStr for Style {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "photo" => Ok(Self::Photo),
            "cartoon" => Ok(Self::Cartoon),
            _ => Err(Error::input("style", format!("found '{text}'")).expected("photo or cartoon")),
        }
    }
}

/// What to draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrawConfig {
    /// Images of each emotion, over all splits; at least [`MIN_PER_CLASS`].
    pub per_class: usize,
    /// Pixels per side, 32 to 1024.
    pub size: usize,
    /// Another seed, other persons and images.
    pub seed: u64,
    /// How the drawings look.
    pub style: Style,
}

impl Default for DrawConfig {
    fn default() -> Self {
        Self { per_class: 300, size: 48, seed: 1, style: Style::Photo }
    }
}

impl DrawConfig {
    /// How many images of each emotion a person shows: two, or one in a set of fewer than 20, which needs its
    /// persons for the splits.
    fn rounds(&self) -> usize {
        if self.per_class < 20 { 1 } else { 2 }
    }

    /// Persons in (train, valid, test): a tenth, at least one, each for the last two.
    fn persons(&self) -> [usize; 3] {
        let all = self.per_class.div_ceil(self.rounds());
        let tenth = ((all + 5) / 10).max(1);
        [all - 2 * tenth, tenth, tenth]
    }
}

/// What [`write_set`] wrote: images in each split, and persons in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnSet {
    /// Images.
    pub train: usize,
    /// Images.
    pub valid: usize,
    /// Images.
    pub test: usize,
    /// Persons; each is in one split only.
    pub persons: usize,
}

/// Draws image number `image` of person `person` with the expression of `class` (an index of [`EMOTIONS`]) as
/// a photo.
///
/// The same arguments give the same pixels on every machine. Pose, light and background depend on (seed,
/// person, image) only: another class is the same shot with another expression.
///
/// # Panics
/// If `class` is not below 7.
pub fn face(seed: u64, person: u64, image: u64, class: usize, size: usize) -> RgbImage {
    face_in(Style::Photo, seed, person, image, class, size)
}

/// [`face`] in any style.
pub fn face_in(style: Style, seed: u64, person: u64, image: u64, class: usize, size: usize) -> RgbImage {
    assert!(class < EMOTIONS.len(), "face: class {class}, expected 0..7");
    let who = person::person(&mut rng(seed, Purpose::Draw, person, u64::MAX));
    let mut image_rng = rng(seed, Purpose::Draw, person, image);
    let shot = person::shot(&mut image_rng);
    let expression = expression::express(&mut image_rng, class);
    // The noise has a stream of its own, so that it does not depend on how many numbers the expression took.
    let mut grain = rng(seed, Purpose::Draw, person, image);
    grain.set_stream(1);
    let canvas = face::paint(&who, &shot, &expression, style, size, &mut grain);
    let bytes = canvas.pixels.iter().flatten().map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
    RgbImage::new(size, size, bytes)
}

/// Writes a set of drawn faces as PNG files
/// `OUT/{train,valid,test}/{class}/drawn-p{person:05}_{number:02}.png`.
///
/// 80/10/10 by person: nobody is in two splits. Every split shows every emotion, all emotions equally often,
/// and so does each person, so that who it is tells nothing about the emotion. `progress` is called after
/// each file, from any thread.
///
/// # Errors
/// If `out` has anything in it, a value of `config` is out of range, or a file cannot be written.
pub fn write_set(out: &Path, config: &DrawConfig, progress: &(dyn Fn() + Sync)) -> Result<DrawnSet> {
    check(config)?;
    create_empty(out)?;
    let persons = config.persons();
    for split in SPLITS {
        for class in EMOTIONS {
            let folder = out.join(split).join(class);
            std::fs::create_dir_all(&folder).map_err(|source| Error::io("create", &folder, source))?;
        }
    }

    let rounds = config.rounds();
    let all: usize = persons.iter().sum();
    // (split, person, number). The first person, in train, shows less where the count does not come out even.
    let jobs: Vec<(usize, usize, usize)> = (0..all)
        .flat_map(|person| {
            let left = if person == 0 { rounds * all - config.per_class } else { 0 };
            let split =
                if person < persons[0] { 0 } else { 1 + usize::from(person >= persons[0] + persons[1]) };
            (0..(rounds - left) * EMOTIONS.len()).map(move |number| (split, person, number))
        })
        .collect();
    jobs.par_iter().try_for_each(|&(split, person, number)| {
        let class = number % EMOTIONS.len();
        let image = face_in(config.style, config.seed, person as u64, number as u64, class, config.size);
        let path =
            out.join(SPLITS[split]).join(EMOTIONS[class]).join(format!("drawn-p{person:05}_{number:02}.png"));
        write_png(&path, &image)?;
        progress();
        Ok(())
    })?;

    let count = |split: usize| jobs.iter().filter(|job| job.0 == split).count();
    Ok(DrawnSet { train: count(0), valid: count(1), test: count(2), persons: all })
}

const SPLITS: [&str; 3] = ["train", "valid", "test"];

fn check(config: &DrawConfig) -> Result<()> {
    if config.per_class < MIN_PER_CLASS {
        return Err(Error::input("per-class", format!("found {}", config.per_class))
            .expected(format!("{MIN_PER_CLASS} or more"))
            .hint("Each of train, valid and test needs a person of its own"));
    }
    if !(32..=1024).contains(&config.size) {
        return Err(Error::input("size", format!("found {} pixels", config.size)).expected("32 to 1024"));
    }
    Ok(())
}

/// Makes `out`, or accepts it if it is an empty folder.
fn create_empty(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).map_err(|source| Error::io("create", out, source))?;
    let mut entries = std::fs::read_dir(out).map_err(|source| Error::io("read", out, source))?;
    if entries.next().is_some() {
        return Err(Error::at(out, "the folder is not empty")
            .expected("a new or empty folder")
            .hint("Name another; nothing was written"));
    }
    Ok(())
}

/// Writes the file beside its place and renames it, so that no half-written image ever bears the name.
fn write_png(path: &Path, image: &RgbImage) -> Result<()> {
    let part = path.with_extension("png.part");
    let failed = |source: std::io::Error| Error::io("write", path, source);
    let file = std::io::BufWriter::new(std::fs::File::create(&part).map_err(failed)?);
    let mut encoder = png::Encoder::new(file, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let encode = || -> Result<(), png::EncodingError> {
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&image.pixels)?;
        writer.finish()
    };
    encode().map_err(|error| match error {
        png::EncodingError::IoError(source) => failed(source),
        other => failed(std::io::Error::other(other)),
    })?;
    std::fs::rename(&part, path).map_err(failed)
}

/// A number between `low` and `high`.
fn between(rng: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// True with the given probability.
fn chance(rng: &mut ChaCha8Rng, probability: f64) -> bool {
    rng.random_bool(probability)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;

    use super::*;

    /// Mean absolute difference of two images, in grey levels.
    fn difference(a: &RgbImage, b: &RgbImage) -> f32 {
        a.pixels.iter().zip(&b.pixels).map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>()
            / a.pixels.len() as f32
    }

    #[test]
    fn the_same_arguments_give_the_same_pixels_and_each_argument_counts() {
        let base = face(1, 2, 3, 4, 48);
        assert_eq!(base, face(1, 2, 3, 4, 48));
        for other in [face(9, 2, 3, 4, 48), face(1, 9, 3, 4, 48), face(1, 2, 9, 4, 48), face(1, 2, 3, 0, 48)]
        {
            assert!(difference(&base, &other) > 1.0);
        }
        assert_ne!(base, face_in(Style::Cartoon, 1, 2, 3, 4, 48));
    }

    #[test]
    fn the_pixels_are_the_same_on_every_machine() {
        // FNV-1a over the bytes. It changes with every change to the drawing: set it anew then, on purpose.
        let sum = |image: RgbImage| {
            image
                .pixels
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
        };
        assert_eq!(sum(face(1, 2, 3, 4, 48)), PHOTO_SUM, "photo");
        assert_eq!(sum(face_in(Style::Cartoon, 5, 6, 7, 3, 64)), CARTOON_SUM, "cartoon");
    }

    #[test]
    fn another_class_is_the_same_shot_with_another_expression() {
        for person in 0..6 {
            let faces: Vec<RgbImage> = (0..7).map(|class| face(1, person, 0, class, 48)).collect();
            for a in 0..7 {
                for b in 0..a {
                    let found = difference(&faces[a], &faces[b]);
                    assert!(
                        found > 0.8,
                        "person {person}: {} and {} look alike ({found})",
                        EMOTIONS[a],
                        EMOTIONS[b]
                    );
                }
                // The top row is background: the class must not show there.
                assert_eq!(
                    faces[a].pixels[..24],
                    faces[0].pixels[..24],
                    "person {person}: class {a} changes the background"
                );
            }
        }
    }

    #[test]
    fn raw_pixels_do_not_tell_the_emotion() {
        let draw = |person: u64, class: usize| -> Vec<f32> {
            face(1, person, class as u64, class, 48).pixels.iter().map(|&v| f32::from(v) / 255.0).collect()
        };
        let means: Vec<Vec<f32>> = (0..7)
            .map(|class| {
                let mut mean = vec![0.0; 48 * 48 * 3];
                for person in 0..30 {
                    for (sum, value) in mean.iter_mut().zip(draw(person, class)) {
                        *sum += value / 30.0;
                    }
                }
                mean
            })
            .collect();
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        let mut right = 0;
        for person in 30..42 {
            for class in 0..7 {
                let image = draw(person, class);
                let nearest = (0..7)
                    .min_by(|&a, &b| distance(&means[a], &image).total_cmp(&distance(&means[b], &image)));
                right += usize::from(nearest == Some(class));
            }
        }
        assert!(right < 42, "the nearest class mean finds {right} of 84");
    }

    /// The files of a set: (split, class, person).
    fn files(out: &Path) -> Vec<(String, String, String)> {
        let inside = |folder: PathBuf| -> Vec<PathBuf> {
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut found = Vec::new();
        for split in inside(out.to_owned()) {
            for class in inside(split.clone()) {
                for file in inside(class.clone()) {
                    let file = name(&file);
                    assert!(file.starts_with("drawn-p") && file.ends_with(".png"), "{file}");
                    found.push((name(&split), name(&class), file[7..12].to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn a_set_is_split_by_person_and_balanced() {
        for (per_class, expected) in [(3, [1, 1, 1]), (12, [10, 1, 1]), (21, [17, 2, 2])] {
            let out = tempfile::tempdir().unwrap();
            let done = std::sync::atomic::AtomicUsize::new(0);
            let count = || {
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            };
            let set =
                write_set(out.path(), &DrawConfig { per_class, size: 32, ..DrawConfig::default() }, &count)
                    .unwrap();
            assert_eq!([set.train, set.valid, set.test], expected.map(|n| n * 7), "{per_class} per class");
            let files = files(out.path());
            assert_eq!((files.len(), done.into_inner()), (per_class * 7, per_class * 7));

            let mut split_of = BTreeMap::new();
            let mut classes_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            let mut cells: BTreeMap<(&str, &str), usize> = BTreeMap::new();
            for (split, class, person) in &files {
                assert_eq!(
                    split_of.entry(person).or_insert(split),
                    &split,
                    "person {person} is in two splits"
                );
                classes_of.entry(person).or_default().insert(class);
                *cells.entry((split, class)).or_default() += 1;
            }
            assert_eq!(split_of.len(), set.persons);
            assert!(classes_of.values().all(|classes| classes.len() == 7), "each person shows each emotion");
            for ((split, class), count) in cells {
                let index = SPLITS.iter().position(|name| *name == split).unwrap();
                assert_eq!(count, expected[index], "{split}/{class}");
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_before_anything_is_written() {
        let out = tempfile::tempdir().unwrap();
        let refuse = |config: DrawConfig| write_set(out.path(), &config, &|| ()).unwrap_err().to_string();
        assert!(
            refuse(DrawConfig { per_class: 2, ..DrawConfig::default() })
                .contains("per-class: found 2; expected 3 or more")
        );
        assert!(refuse(DrawConfig { size: 31, ..DrawConfig::default() }).contains("expected 32 to 1024"));
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
        std::fs::write(out.path().join("mine.txt"), "mine").unwrap();
        assert!(refuse(DrawConfig::default()).contains("not empty"));
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_style_has_one_name_everywhere() {
        for (style, name) in [(Style::Photo, "photo"), (Style::Cartoon, "cartoon")] {
            assert_eq!(name.parse::<Style>().unwrap(), style);
            assert_eq!(serde_json::to_value(style).unwrap(), name);
        }
        assert!("oil".parse::<Style>().unwrap_err().to_string().contains("photo or cartoon"));
    }

    #[test]
    fn every_size_can_be_drawn() {
        for size in [32, 97, 256] {
            let image = face(3, 1, 1, 6, size);
            assert_eq!((image.width, image.height, image.pixels.len()), (size, size, size * size * 3));
        }
    }

    const PHOTO_SUM: u64 = 8_049_158_740_419_402_811;
    const CARTOON_SUM: u64 = 4_598_021_881_043_586_622;
}
