//! A whole set of drawn faces, split by person.

use std::path::Path;

use rayon::prelude::*;

use super::config::DrawConfig;
use super::face::face_in;
use crate::emotions::EMOTIONS;
use crate::error::{Error, Result};
use crate::files::create_new_dir;
use crate::image::RgbImage;

/// How many images and persons [`write_set`] has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnSet {
    /// Number of images in the train folder, over all classes.
    pub train: usize,
    /// Number of images in the valid folder.
    pub valid: usize,
    /// Number of images in the test folder.
    pub test: usize,
    /// Number of persons; each is in one split only.
    pub persons: usize,
}

/// Writes a set of drawn faces as PNG files
/// `OUT/{train,valid,test}/{class}/drawn-p{person:05}_{number:02}.png`.
///
/// 80/10/10 by person: nobody is in two splits. Every split shows every emotion equally often, and so does
/// each person, so that identity says nothing about the emotion. `progress` is called after each file, from
/// any thread.
///
/// # Errors
/// The folder `out` is not empty; a value of `config` is out of range; a file cannot be written.
pub fn write_set(out: &Path, config: &DrawConfig, progress: &(dyn Fn() + Sync)) -> Result<DrawnSet> {
    config.validate()?;
    create_new_dir(out)?;
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

/// Writes a temporary file and renames it, so that no half-written image ever has the final name. (Not synced
/// to the disk as `write_atomic` does: a set has thousands of files and is quickly drawn again.)
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;

    use super::*;

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
}
