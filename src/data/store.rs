//! The images in memory: decoded at their own size, as far as they fit the budget; the others are decoded at
//! each use.

use std::borrow::Cow;
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::origin::Origin;
use crate::error::{Error, Result};
use crate::image::RgbImage;
use crate::image::decode::decode;

/// A decoded image as it is kept.
#[derive(Clone, Debug, PartialEq)]
enum Stored {
    Rgb(RgbImage),
    /// Three equal channels, kept once.
    Grey {
        width: usize,
        height: usize,
        pixels: Vec<u8>,
    },
}

impl Stored {
    fn new(image: RgbImage) -> Self {
        if image.is_grey() {
            let pixels = image.pixels.chunks_exact(3).map(|rgb| rgb[0]).collect();
            return Self::Grey { width: image.width, height: image.height, pixels };
        }
        // The decoder may have reserved more than it filled; the budget counts what is filled.
        let mut image = image;
        image.pixels.shrink_to_fit();
        Self::Rgb(image)
    }

    /// Bytes of memory, including what an image takes in addition to its pixels.
    fn bytes(&self) -> usize {
        let pixels = match self {
            Self::Rgb(image) => image.pixels.len(),
            Self::Grey { pixels, .. } => pixels.len(),
        };
        pixels + size_of::<Slot>()
    }
}

/// Bytes that may still be kept.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    pub(super) fn new(megabytes: usize) -> Self {
        Self(AtomicUsize::new(megabytes.saturating_mul(1 << 20)))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What reading an image once gives.
#[derive(Debug)]
pub(super) struct Content {
    /// BLAKE3 of the file's bytes or of the row's pixels.
    pub hash: [u8; 32],
    /// BLAKE3 of the decoded image: the same for one image in two file formats.
    pub pixel_hash: [u8; 32],
    kept: Option<Stored>,
}

impl Content {
    /// Forgets an image that is not used after all.
    pub(super) fn release(self, budget: &Budget) {
        if let Some(stored) = self.kept {
            budget.give_back(stored.bytes());
        }
    }
}

/// Reads, hashes and decodes an image, and keeps it while the budget lasts. The error is the reason alone.
pub(super) fn read(origin: &Origin, budget: &Budget) -> Result<Content, String> {
    match origin {
        Origin::File(path) => {
            let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
            let hash = *blake3::hash(&bytes).as_bytes();
            let image = decode(&bytes).map_err(|error| error.to_string())?;
            drop(bytes);
            let pixel_hash = hash_pixels(&image);
            let stored = Stored::new(image);
            let kept = budget.take(stored.bytes()).then_some(stored);
            Ok(Content { hash, pixel_hash, kept })
        }
        Origin::Pixels { .. } => {
            let image = expand(origin).ok_or("has fewer pixels than its size requires")?;
            let hash = hash_pixels(&image);
            Ok(Content { hash, pixel_hash: hash, kept: None })
        }
    }
}

/// The hash of a file's bytes.
pub(super) fn hash_file(path: &std::path::Path) -> Option<[u8; 32]> {
    Some(*blake3::hash(&fs::read(path).ok()?).as_bytes())
}

pub(crate) fn hash_pixels(image: &RgbImage) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(image.width as u64).to_le_bytes());
    hasher.update(&(image.height as u64).to_le_bytes());
    hasher.update(&image.pixels);
    *hasher.finalize().as_bytes()
}

/// The RGB image of pixels in memory; `None` for a file.
pub(crate) fn expand(origin: &Origin) -> Option<RgbImage> {
    match origin {
        Origin::File(_) => None,
        Origin::Pixels { width, height, buffer, start } => {
            let grey = buffer.get(*start..start + width * height)?;
            Some(RgbImage::from_grey(*width, *height, grey))
        }
    }
}

struct Slot {
    origin: Origin,
    name: String,
    hash: [u8; 32],
    stored: OnceLock<Stored>,
}

/// The images of a [`Dataset`](super::Dataset), by sample index. May be shared between threads.
pub struct ImageStore {
    slots: Vec<Slot>,
    budget: Budget,
}

impl ImageStore {
    pub(super) fn new(images: impl IntoIterator<Item = (String, Origin, Content)>, budget: Budget) -> Self {
        let slot = |(name, origin, content): (String, Origin, Content)| Slot {
            origin,
            name,
            hash: content.hash,
            stored: content.kept.map_or_else(OnceLock::new, OnceLock::from),
        };
        Self { slots: images.into_iter().map(slot).collect(), budget }
    }

    /// The image of a sample. A kept colour image is lent; a grey one is expanded to three channels; others
    /// are decoded, and kept if the budget still allows it.
    ///
    /// # Errors
    /// The file is gone, cannot be decoded, or is not what it was when the data was loaded.
    ///
    /// # Panics
    /// If `index` is not the index of a sample.
    pub fn get(&self, index: usize) -> Result<Cow<'_, RgbImage>> {
        let slot = &self.slots[index];
        if let Some(stored) = slot.stored.get() {
            return Ok(match stored {
                Stored::Rgb(image) => Cow::Borrowed(image),
                Stored::Grey { width, height, pixels } => {
                    Cow::Owned(RgbImage::from_grey(*width, *height, pixels))
                }
            });
        }
        if let Some(image) = expand(&slot.origin) {
            return Ok(Cow::Owned(image));
        }
        let Origin::File(path) = &slot.origin else {
            return Err(Error::input(&slot.name, "has fewer pixels than its size requires"));
        };
        let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
        if *blake3::hash(&bytes).as_bytes() != slot.hash {
            return Err(Error::at(path, "has changed since the data was loaded")
                .hint("Start again, and do not change the data during a run"));
        }
        let image = decode(&bytes).map_err(|error| Error::at(path, error.to_string()))?;
        drop(bytes);
        self.keep(slot, &image);
        Ok(Cow::Owned(image))
    }

    /// How many images the store can give.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many images need no decoding at their next use.
    pub fn in_memory(&self) -> usize {
        self.slots.iter().filter(|slot| slot.stored.get().is_some() || slot.origin.path().is_none()).count()
    }

    fn keep(&self, slot: &Slot, image: &RgbImage) {
        // Asked in this order a full budget costs no look at the pixels, and a colour image that does not fit
        // no copy.
        let grey_bytes = image.pixels.len() / 3 + size_of::<Slot>();
        if self.budget.0.load(Ordering::Relaxed) < grey_bytes {
            return;
        }
        let bytes = if image.is_grey() { grey_bytes } else { image.pixels.len() + size_of::<Slot>() };
        if self.budget.take(bytes) && slot.stored.set(Stored::new(image.clone())).is_err() {
            self.budget.give_back(bytes);
        }
    }
}

impl std::fmt::Debug for ImageStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImageStore({} images, {} in memory)", self.len(), self.in_memory())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn colourful(side: usize, seed: u8) -> RgbImage {
        let pixels = (0..side * side * 3).map(|at| (at as u8).wrapping_mul(7).wrapping_add(seed)).collect();
        RgbImage::new(side, side, pixels)
    }

    fn grey(side: usize, value: u8) -> RgbImage {
        RgbImage::from_grey(side, side, &vec![value; side * side])
    }

    fn write_png(path: &Path, image: &RgbImage) {
        let file = fs::File::create(path).unwrap();
        let mut encoder = png::Encoder::new(file, image.width as u32, image.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&image.pixels).unwrap();
    }

    /// A store over PNG files of the given images, with a budget in bytes for what is kept.
    fn store(folder: &Path, images: &[RgbImage], budget: usize) -> (ImageStore, Vec<PathBuf>) {
        let budget = Budget(AtomicUsize::new(budget));
        let mut paths = Vec::new();
        let mut stored = Vec::new();
        for (index, image) in images.iter().enumerate() {
            let path = folder.join(format!("{index}.png"));
            write_png(&path, image);
            let origin = Origin::File(path.clone());
            let content = read(&origin, &budget).unwrap();
            stored.push((format!("{index}.png"), origin, content));
            paths.push(path);
        }
        (ImageStore::new(stored, budget), paths)
    }

    #[test]
    fn images_come_back_the_same_from_memory_and_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        let images = [colourful(9, 1), grey(8, 77), colourful(7, 3)];
        for budget in [0, 400, 1 << 20] {
            let (store, _) = store(folder.path(), &images, budget);
            for _ in 0..2 {
                for (index, image) in images.iter().enumerate() {
                    assert_eq!(*store.get(index).unwrap(), *image, "budget {budget}");
                }
            }
        }
    }

    #[test]
    fn the_budget_is_kept_and_grey_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let images: Vec<RgbImage> = (0..10).map(|value| grey(100, value)).collect();
        let (store, _) = store(folder.path(), &images, 3 * (10_000 + size_of::<Slot>()));
        assert_eq!(store.in_memory(), 3);
        images.iter().enumerate().for_each(|(index, image)| assert_eq!(*store.get(index).unwrap(), *image));
        assert_eq!(store.in_memory(), 3);
        let (store, paths) = super::tests::store(folder.path(), &images, 0);
        fs::remove_file(&paths[0]).unwrap();
        assert!(store.get(0).unwrap_err().to_string().contains("no such file"));
    }

    #[test]
    fn what_was_given_back_is_used_for_images_decoded_later() {
        let folder = tempfile::tempdir().unwrap();
        let one = 100 * 100 * 3 + size_of::<Slot>();
        let budget = Budget(AtomicUsize::new(one));
        let mut stored = Vec::new();
        for seed in 0..2 {
            let path = folder.path().join(format!("{seed}.png"));
            write_png(&path, &colourful(100, seed));
            let origin = Origin::File(path);
            let content = read(&origin, &budget).unwrap();
            stored.push((seed.to_string(), origin, content));
        }
        stored.remove(0).2.release(&budget);
        let store = ImageStore::new(stored, budget);
        assert_eq!(store.in_memory(), 0);
        assert_eq!(*store.get(0).unwrap(), colourful(100, 1));
        assert_eq!(store.in_memory(), 1);
        assert!(matches!(store.get(0).unwrap(), Cow::Borrowed(_)));
    }

    #[test]
    fn a_file_that_changed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (store, paths) = store(folder.path(), &[grey(8, 1)], 0);
        write_png(&paths[0], &grey(8, 2));
        assert!(store.get(0).unwrap_err().to_string().contains("has changed since the data was loaded"));
    }

    #[test]
    fn pixels_in_memory_are_hashed_as_the_image_they_show() {
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin::Pixels { width: 8, height: 8, buffer: vec![5; 100].into(), start: 36 };
        let budget = Budget::new(1);
        let row = read(&origin, &budget).unwrap();
        let path = folder.path().join("a.png");
        write_png(&path, &grey(8, 5));
        assert_eq!(row.pixel_hash, read(&Origin::File(path), &budget).unwrap().pixel_hash);
        let store = ImageStore::new([("row".to_owned(), origin, row)], budget);
        assert_eq!(*store.get(0).unwrap(), grey(8, 5));
        let short = Origin::Pixels { width: 8, height: 8, buffer: vec![5; 10].into(), start: 0 };
        assert!(read(&short, &Budget::new(1)).is_err());
    }
}
