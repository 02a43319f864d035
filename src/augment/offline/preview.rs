//! One image of what a profile does: a row for each operation, a column for each of some sample images.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::maker::{Maker, key_of};
use super::progress::{Progress, Watcher};
use super::read::{Memory, read_image};
use super::request::{Plan, Request};
use super::source::Notes;
use super::survey::Job;
use crate::augment::profile::{NAMES, Operation};
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::image::Bitmap;
use crate::image::RgbImage;
use crate::image::decode::format_names;
use crate::image::encode::Encoder;
use crate::image::resize::resize;
use crate::plot;
use crate::random::{Purpose, rng};
use crate::text::{count, cut_end, escape};

/// Larger images, in bytes of pixels, are not shown, as all samples are in memory at once.
const LARGEST: usize = 24 << 20;
/// Sample images.
const COLUMNS: usize = 8;
/// Side of a shown image, in pixels.
const CELL: usize = 144;
/// Between images, and around the sheet.
const GAP: usize = 16;
/// Width of the operations' names.
const MARGIN: usize = 112;
/// Height of a line of text.
const LINE: usize = 18;
/// Height of the title.
const TITLE: usize = 32;

const INK: &str = "#1c2127";
const PALE: &str = "#5b6570";
const ALARM: &str = "#b41f2b";

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
        return Err(Error::at(path, "already exists")
            .expected("a new file")
            .hint("Nothing is overwritten: choose another name"));
    }
    let watcher = Watcher::new(progress, stop);
    let job = Job::open(request, watcher)?;
    if job.survey.augmented == 0 {
        return Err(Error::at(&job.source.root, "contains no images to augment")
            .expected("images of the chosen classes in train, or outside split folders"));
    }
    let samples = samples(&job, watcher)?;
    let name = job.source.root.file_name().unwrap_or_default().to_string_lossy();
    let title = format!(
        "{name}: each operation on {}, and what seed {} draws first for them",
        count(samples.len(), "image", "images"),
        job.plan.seed
    );
    let sheet = draw(&job.plan, &samples, &title)?;
    let mut file = Vec::new();
    Encoder::default().png(&sheet, &mut file);
    write_atomic(path, |out| out.write_all(&file))
}

/// An image of the source.
struct Sample {
    image: Bitmap,
    /// Its part of the random key.
    key: u64,
}

/// Evenly spaced images of the source; in place of one that cannot be read, or is huge, the next one.
fn samples(job: &Job, watcher: Watcher) -> Result<Vec<Sample>> {
    let step = job.survey.augmented.div_ceil(COLUMNS);
    let mut samples: Vec<Sample> = Vec::new();
    let (memory, mut file) = (Memory::new(), Vec::new());
    let mut seen = 0;
    let _ = job.source.walk(&mut Notes::default(), &mut |listing| {
        for name in listing.files.iter().filter(|_| job.copies(&listing) > 0) {
            seen += 1;
            if seen > samples.len() * step
                && let Ok(read) = read_image(&listing.path.join(name), &memory, &mut file)
                && read.image.pixels.len() <= LARGEST
            {
                samples.push(Sample { image: read.image, key: key_of(&listing.below.join(name)) });
            }
        }
        let is_over = samples.len() >= COLUMNS || watcher.has_stopped();
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if watcher.has_stopped() {
        return Err(Error::Interrupted("stopped; nothing was written".into()));
    }
    samples.truncate(COLUMNS);
    if samples.is_empty() {
        return Err(Error::at(&job.source.root, "contains no image that can be read")
            .expected(format!("{} files", format_names())));
    }
    Ok(samples)
}

/// What a row shows.
#[derive(Clone, Copy)]
enum Row {
    Original,
    /// One operation, by its place in [`NAMES`].
    Operation(usize),
    /// What a run with this seed draws first for the first copy.
    AsDrawn,
}

fn draw(plan: &Plan, samples: &[Sample], title: &str) -> Result<Bitmap> {
    let weights = plan.profile.weights();
    let operations = (0..NAMES.len()).filter(|&index| weights[index] > 0.0).map(Row::Operation);
    let rows: Vec<Row> = [Row::Original].into_iter().chain(operations).chain([Row::AsDrawn]).collect();
    let width = MARGIN + samples.len() * (CELL + GAP);
    let height = TITLE + GAP + rows.len() * (CELL + LINE + GAP);
    let mut texts = Texts::new(width, height);
    texts.line([GAP, TITLE - 8], title, Style { size: 15.0, bold: true, color: INK, room: width - 2 * GAP });
    let mut images: Vec<([usize; 2], RgbImage)> = Vec::new();
    let mut maker = Maker::new(plan);
    for (number, row) in rows.into_iter().enumerate() {
        let top = TITLE + GAP + number * (CELL + LINE + GAP);
        let (name, about) = match row {
            Row::Original => ("original", String::new()),
            Row::Operation(index) => (
                NAMES[index],
                format!("{:.0} % of draws", 100.0 * weights[index] / weights.iter().sum::<f64>()),
            ),
            Row::AsDrawn => ("first draw", format!("seed {}", plan.seed)),
        };
        let style = Style { size: 13.0, bold: true, color: INK, room: MARGIN - GAP };
        texts.line([GAP, top + CELL / 2], name, style);
        let style = Style { size: 11.0, bold: false, color: PALE, ..style };
        texts.line([GAP, top + CELL / 2 + LINE], &about, style);
        for (column, Sample { image, key }) in samples.iter().enumerate() {
            let left = MARGIN + column * (CELL + GAP);
            let operations = match row {
                Row::Original => Vec::new(),
                Row::Operation(index) => {
                    let mut random = rng(plan.seed, Purpose::Augment, *key, u64::MAX - number as u64);
                    vec![plan.profile.draw_one(index, image.width, image.height, &mut random)]
                }
                Row::AsDrawn => {
                    let mut random = rng(plan.seed, Purpose::Augment, *key, 1);
                    plan.profile.draw(image.width, image.height, &mut random)
                }
            };
            let rejection = maker.apply(image, &operations);
            images.push(([left, top], maker.copy.to_rgb()));
            let (label, color) = match (rejection, row) {
                (Some(rejection), _) => (rejection.reason().to_owned(), ALARM),
                (None, Row::Original) => (format!("{} × {} px", image.width, image.height), PALE),
                (None, Row::Operation(_)) => (operations[0].label(), PALE),
                (None, Row::AsDrawn) => (named(&operations), PALE),
            };
            let style = Style { size: 11.0, bold: false, color, room: CELL };
            texts.line([left, top + CELL + LINE - 4], &label, style);
        }
    }
    let mut sheet = texts.draw()?;
    images.iter().for_each(|(corner, image)| put(&mut sheet, *corner, image));
    Ok(sheet)
}

/// `flip + blur`
fn named(operations: &[Operation]) -> String {
    operations.iter().map(|operation| NAMES[operation.index()]).collect::<Vec<_>>().join(" + ")
}

/// The texts of the sheet, as an SVG that the embedded font draws.
struct Texts {
    svg: String,
}

/// How a line of text looks.
#[derive(Clone, Copy)]
struct Style {
    size: f64,
    bold: bool,
    color: &'static str,
    /// Pixels to the right of its beginning; what does not fit is cut off.
    room: usize,
}

impl Texts {
    fn new(width: usize, height: usize) -> Self {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"Inter\"><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
        );
        Self { svg }
    }

    /// Adds a line that begins at `[x, y]`, y being its baseline.
    fn line(&mut self, [x, y]: [usize; 2], text: &str, style: Style) {
        let Style { size, bold, color, room } = style;
        let mut shown = text.to_owned();
        while plot::width(&shown, size, bold) > room as f64 && shown.chars().count() > 1 {
            shown = cut_end(text, shown.chars().count() - 1);
        }
        let weight = if bold { 600 } else { 400 };
        // Writing to a String cannot fail.
        let _ = write!(
            self.svg,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"{color}\">\
             {}</text>",
            escape(&shown)
        );
    }

    fn draw(mut self) -> Result<Bitmap> {
        self.svg += "</svg>";
        let (width, height, pixels) = plot::pixels(&self.svg, 1.0)?;
        Ok(Bitmap::new(width as usize, height as usize, 3, pixels))
    }
}

/// Puts an image into the cell at `[left, top]`: small ones enlarged by whole pixels, so that every pixel is
/// seen; large ones reduced.
fn put(sheet: &mut Bitmap, [left, top]: [usize; 2], image: &RgbImage) {
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
            let from = ((y / factor) * shown.width + x / factor) * 3;
            let to = ((top + y) * sheet.width + left + x) * 3;
            sheet.pixels[to..to + 3].copy_from_slice(&shown.pixels[from..from + 3]);
        }
    }
}
