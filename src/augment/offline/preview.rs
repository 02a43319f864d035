//! One image of what a profile does: a row for each operation, a column for each of some sample images.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use font8x8::legacy::BASIC_LEGACY;

use super::maker::{Maker, REASONS, key_of};
use super::read::{Memory, read_image};
use super::source::Notes;
use super::{Progress, Request, open};
use crate::augment::profile::{NAMES, Operation};
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::image::Bitmap;
use crate::image::RgbImage;
use crate::image::encode::Encoder;
use crate::image::resize::resize;
use crate::random::{Purpose, rng};

/// Images of more samples are not shown, as all are in memory at once.
const LARGEST: usize = 24 << 20;
/// Sample images.
const COLUMNS: usize = 8;
/// Side of a shown image, in pixels.
const CELL: usize = 128;
const GAP: usize = 8;
/// Width of the operations' names.
const MARGIN: usize = 112;
/// Height of a line of text.
const LINE: usize = 12;

const PAPER: [u8; 3] = [255, 255, 255];
const INK: [u8; 3] = [32, 36, 44];
const PALE: [u8; 3] = [112, 118, 128];
const ALARM: [u8; 3] = [190, 30, 45];

/// Draws the preview of a request's profile on its source into the new PNG file `path`; nothing else is
/// written.
///
/// # Errors
/// As for [`super::augment`]; there is a file at `path`; none of the samples can be read.
pub fn preview(request: &Request, path: &Path, progress: &dyn Fn(Progress), stop: &AtomicBool) -> Result<()> {
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        return Err(Error::at(path, "a preview is a PNG file").expected("a name that ends in .png"));
    }
    if path.symlink_metadata().is_ok() {
        return Err(Error::at(path, "a file is there")
            .expected("a new file")
            .hint("Nothing is overwritten: choose another name"));
    }
    let (source, plan, augmented, survey) = open(request, progress, stop)?;
    if survey.augmented == 0 {
        return Err(
            Error::at(&source.root, "holds no images that would get copies").expected("images to train on")
        );
    }
    // Evenly over the source; for one that cannot be read, or is huge, the next one.
    let step = survey.augmented.div_ceil(COLUMNS);
    let mut samples: Vec<(Bitmap, u64)> = Vec::new();
    let (memory, mut file) = (Memory::new(), Vec::new());
    let mut seen = 0;
    let _ = source.walk(&mut Notes::default(), &mut |listing| {
        for name in listing.files.iter().filter(|_| augmented[listing.class]) {
            seen += 1;
            if seen > samples.len() * step
                && let Ok(read) = read_image(&listing.path.join(name), &memory, &mut file)
                && read.image.pixels.len() <= LARGEST
            {
                samples.push((read.image, key_of(&listing.below.join(name))));
            }
        }
        let is_over = samples.len() >= COLUMNS || stop.load(Ordering::Relaxed);
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Interrupted("stopped; nothing was written".into()));
    }
    samples.truncate(COLUMNS);
    if samples.is_empty() {
        return Err(Error::at(&source.root, "holds no image that can be read")
            .expected("JPEG, PNG, BMP, WebP or TIFF files"));
    }

    let weights = plan.profile.weights();
    let rows: Vec<usize> = (0..NAMES.len()).filter(|&index| weights[index] > 0.0).collect();
    let height = GAP + (rows.len() + 2) * (CELL + LINE + GAP);
    let mut sheet = Sheet::new(MARGIN + samples.len() * (CELL + GAP) + GAP, height);
    let mut maker = Maker::new(&plan);
    let share = |weight: f64| format!("{:.0} %", 100.0 * weight / weights.iter().sum::<f64>());
    let names = std::iter::once(("original".to_owned(), String::new()))
        .chain(rows.iter().map(|&index| (NAMES[index].to_owned(), share(weights[index]))))
        .chain(std::iter::once(("as drawn".to_owned(), format!("seed {}", plan.seed))));
    for (row, (name, about)) in names.enumerate() {
        let top = GAP + row * (CELL + LINE + GAP);
        sheet.text(GAP, top + CELL / 2 - LINE, &name, INK);
        sheet.text(GAP, top + CELL / 2, &about, PALE);
        for (column, (image, key)) in samples.iter().enumerate() {
            let left = MARGIN + column * (CELL + GAP);
            let operations: Vec<Operation> = match row {
                0 => Vec::new(),
                _ if row <= rows.len() => {
                    let mut random = rng(plan.seed, Purpose::Augment, *key, u64::MAX - row as u64);
                    vec![plan.profile.draw_one(rows[row - 1], image.width, image.height, &mut random)]
                }
                // What a run with this seed begins its draws for the first copy with.
                _ => plan.profile.draw(
                    image.width,
                    image.height,
                    &mut rng(plan.seed, Purpose::Augment, *key, 1),
                ),
            };
            let refused = maker.apply(image, &operations);
            sheet.put(left, top, &maker.copy.to_rgb());
            let label = match operations.as_slice() {
                [] => format!("{}x{}", image.width, image.height),
                [one] if row <= rows.len() => one.label(),
                several => {
                    several.iter().map(|operation| NAMES[operation.index()]).collect::<Vec<_>>().join("+")
                }
            };
            match refused {
                Some(reason) => sheet.text(left, top + CELL + 2, REASONS[reason], ALARM),
                None => sheet.text(left, top + CELL + 2, &label, PALE),
            }
        }
    }
    let mut file = Vec::new();
    Encoder::default().png(&sheet.0, &mut file);
    write_atomic(path, |out| out.write_all(&file))
}

/// The image that is drawn on.
struct Sheet(Bitmap);

impl Sheet {
    fn new(width: usize, height: usize) -> Self {
        Self(Bitmap::new(width, height, 3, PAPER.repeat(width * height)))
    }

    fn set(&mut self, x: usize, y: usize, color: [u8; 3]) {
        if x < self.0.width && y < self.0.height {
            let at = (y * self.0.width + x) * 3;
            self.0.pixels[at..at + 3].copy_from_slice(&color);
        }
    }

    /// Puts an image into the cell at (left, top): small ones enlarged by whole pixels, so that every pixel
    /// is seen; large ones reduced.
    fn put(&mut self, left: usize, top: usize, image: &RgbImage) {
        let longest = image.width.max(image.height).max(1);
        let (shown, factor) = if longest <= CELL {
            (image.clone(), CELL / longest)
        } else {
            let side = |length: usize| (length * CELL / longest).max(1);
            (resize(image, side(image.width), side(image.height)), 1)
        };
        let (width, height) = (shown.width * factor, shown.height * factor);
        let (left, top) = (left + (CELL - width) / 2, top + (CELL - height) / 2);
        for y in 0..height {
            for x in 0..width {
                let at = ((y / factor) * shown.width + x / factor) * 3;
                self.set(left + x, top + y, [shown.pixels[at], shown.pixels[at + 1], shown.pixels[at + 2]]);
            }
        }
    }

    /// Writes a line of text, cut off where the cell ends.
    fn text(&mut self, left: usize, top: usize, text: &str, color: [u8; 3]) {
        for (place, letter) in text.chars().take(CELL / 8).enumerate() {
            let glyph = BASIC_LEGACY.get(letter as usize).unwrap_or(&BASIC_LEGACY['?' as usize]);
            for (y, row) in glyph.iter().enumerate() {
                for x in (0..8).filter(|x| row >> x & 1 == 1) {
                    self.set(left + place * 8 + x, top + y, color);
                }
            }
        }
    }
}
