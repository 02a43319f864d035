//! Thumbnails: made from the data while they exist, and kept in the run folder so that the page can be made
//! again without the data.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::output::Stage;
use crate::data::{Origin, layout};
use crate::error::{Error, Result};
use crate::image::decode::{claimed_size, decode};
use crate::image::encode::{Encoder, Subsampling};
use crate::image::resize::resize;
use crate::image::{Bitmap, RgbImage};
use crate::run_folder::inside;
use crate::text::base64;

/// Folder of the thumbnails within a run folder.
const KEPT: &str = "report/thumbnails";
const QUALITY: u8 = 80;

/// A JPEG and its size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Thumbnail {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) jpeg: Vec<u8>,
}

impl Thumbnail {
    /// As the `src` of an `<img>`.
    pub(crate) fn url(&self) -> String {
        format!("data:image/jpeg;base64,{}", base64(&self.jpeg))
    }

    /// Shrinks an image so that no side is longer than `side`; never enlarges.
    pub(crate) fn of(image: &RgbImage, side: usize, encoder: &mut Encoder) -> Option<Self> {
        if image.width == 0 || image.height == 0 {
            return None;
        }
        let longest = image.width.max(image.height);
        let scaled = |length: usize| (length * side).div_ceil(longest).max(1);
        let small = if longest > side {
            resize(image, scaled(image.width), scaled(image.height))
        } else {
            RgbImage::new(image.width, image.height, image.pixels.clone())
        };
        let (width, height) = (small.width, small.height);
        let mut jpeg = Vec::new();
        encoder.jpeg(&Bitmap::from_rgb(small), QUALITY, Subsampling::S420, &mut jpeg);
        Some(Self { width, height, jpeg })
    }
}

/// A thumbnail of an image file of the run folder.
pub(crate) fn shrink(path: &Path, side: usize) -> Result<Thumbnail> {
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
    let image = decode(&bytes).map_err(|error| Error::at(path, error.to_string()))?;
    Thumbnail::of(&image, side, &mut Encoder::default())
        .ok_or_else(|| Error::at(path, "the image has no pixels"))
}

/// The images of a data set, found by their names.
pub(crate) struct Thumbnails {
    root: PathBuf,
    place: Place,
    /// Tells one data set's thumbnails from another's.
    key: String,
    kept: PathBuf,
}

enum Place {
    Gone,
    Folder,
    Listed(HashMap<String, Origin>),
}

impl Thumbnails {
    /// The images of the data at `root`; thumbnails are kept in the folder `run`. `key` names the data set.
    pub(crate) fn of(root: &Path, key: &str, run: &Path) -> Self {
        let place = if root.as_os_str().is_empty() {
            Place::Gone
        } else if root.is_dir() {
            Place::Folder
        } else {
            // A list, or a table of pixels. Where it cannot be read any more, there are the kept thumbnails.
            match layout::scan(root) {
                Ok(scan) if root.is_file() => {
                    Place::Listed(scan.entries.into_iter().map(|entry| (entry.name, entry.origin)).collect())
                }
                _ => Place::Gone,
            }
        };
        Self { root: root.to_owned(), place, key: key.to_owned(), kept: run.join(KEPT) }
    }

    /// Whether the data are still there.
    pub(crate) fn are_there(&self) -> bool {
        !matches!(self.place, Place::Gone)
    }

    /// Thumbnails of the images with these names, in the same order; `None` where there is neither the image
    /// nor a kept thumbnail.
    ///
    /// # Errors
    /// A thumbnail cannot be written.
    pub(crate) fn thumbnails(
        &self,
        names: &[&str],
        side: usize,
        progress: &Stage,
    ) -> Result<Vec<Option<Thumbnail>>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        fs::create_dir_all(&self.kept).map_err(|error| Error::io("create", &self.kept, error))?;
        let one = |encoder: &mut Encoder, name: &&str| {
            progress.step();
            let path = self.kept.join(self.file_name(name, side));
            if let Some(thumbnail) = read_kept(&path) {
                return Ok(Some(thumbnail));
            }
            let Some(image) = self.image(name) else { return Ok(None) };
            let Some(thumbnail) = Thumbnail::of(&image, side, encoder) else { return Ok(None) };
            keep(&path, &thumbnail.jpeg)?;
            Ok(Some(thumbnail))
        };
        names.par_iter().map_init(Encoder::default, one).collect()
    }

    /// The bytes of an image's file, if it has one.
    pub(crate) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let path = match &self.place {
            Place::Gone => return None,
            Place::Folder => inside(name).then(|| self.root.join(name))?,
            Place::Listed(origins) => origins.get(name)?.path()?.to_owned(),
        };
        fs::read(path).ok()
    }

    fn image(&self, name: &str) -> Option<RgbImage> {
        if let Place::Listed(origins) = &self.place
            && let Origin::Pixels { width, height, buffer, start } = origins.get(name)?
        {
            let grey = buffer.get(*start..start + width * height)?;
            return Some(RgbImage::from_grey(*width, *height, grey));
        }
        decode(&self.bytes(name)?).ok()
    }

    fn file_name(&self, name: &str, side: usize) -> String {
        let hash = blake3::hash(format!("{}\0{name}", self.key).as_bytes()).to_hex();
        format!("{}-{side}.jpg", &hash[..20])
    }
}

/// A kept thumbnail; `None` if there is none or it was cut off.
fn read_kept(path: &Path) -> Option<Thumbnail> {
    let jpeg = fs::read(path).ok()?;
    let whole = jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]);
    let (width, height) = claimed_size(&jpeg).filter(|_| whole)?;
    Some(Thumbnail { width, height, jpeg })
}

/// Written under a temporary name and renamed. Not synced to the disk: there are thousands, a truncated one
/// is found when it is read, and it can be made again.
fn keep(path: &Path, jpeg: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, jpeg).and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        let _ = fs::remove_file(&temporary); // the first error is the one to report
        Error::io("write", path, error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{image, write_image};

    #[test]
    fn thumbnails_stay_when_the_data_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (root, run) = (folder.path().join("data"), folder.path().join("run"));
        write_image(&root, "a/1.png", 1);
        write_image(&root, "a/2.png", 2);
        let names = ["a/1.png", "a/none.png"];
        let made = Thumbnails::of(&root, "k", &run).thumbnails(&names, 96, &Stage::silent()).unwrap();
        let first = made[0].as_ref().unwrap();
        assert_eq!((first.width, first.height, made[1].is_none()), (8, 8, true));
        fs::remove_dir_all(&root).unwrap();
        let gone = Thumbnails::of(&root, "k", &run);
        assert!(!gone.are_there());
        assert_eq!(gone.thumbnails(&names, 96, &Stage::silent()).unwrap(), made);
        assert!(gone.thumbnails(&["a/2.png"], 96, &Stage::silent()).unwrap()[0].is_none());
        // Images of the same names in another data set are different images.
        assert!(
            Thumbnails::of(&root, "other", &run).thumbnails(&names, 96, &Stage::silent()).unwrap()[0]
                .is_none()
        );
        // A truncated one counts as missing.
        for entry in fs::read_dir(run.join(KEPT)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }
        assert!(gone.thumbnails(&names, 96, &Stage::silent()).unwrap()[0].is_none());
    }

    #[test]
    fn names_that_lead_out_of_the_data_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        fs::create_dir(&root).unwrap();
        write_image(folder.path(), "secret.png", 1);
        let images = Thumbnails::of(&root, "k", &folder.path().join("run"));
        let absolute = folder.path().join("secret.png").display().to_string();
        for name in ["../secret.png", absolute.as_str(), ""] {
            assert!(images.bytes(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_thumbnail_is_never_larger_than_asked_nor_than_the_image() {
        let wide = RgbImage::new(400, 3, vec![9; 400 * 3 * 3]);
        let small = Thumbnail::of(&wide, 96, &mut Encoder::default()).unwrap();
        assert_eq!((small.width, small.height), (96, 1));
        assert_eq!(claimed_size(&small.jpeg), Some((96, 1)));
        let same = Thumbnail::of(&image(1), 96, &mut Encoder::default()).unwrap();
        assert_eq!(claimed_size(&same.jpeg), Some((8, 8)));
        assert!(Thumbnail::of(&RgbImage::new(0, 0, Vec::new()), 96, &mut Encoder::default()).is_none());
    }
}
