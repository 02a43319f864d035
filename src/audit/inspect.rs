//! What one pass over an image file yields: hashes, size, brightness, a fingerprint, and statistics that have
//! nothing to do with the face.

use std::fs;

use super::similar::Fingerprint;
use crate::data::Origin;
use crate::data::store::{expand, hash_pixels};
use crate::image::RgbImage;
use crate::image::decode::{decode, format};
use crate::image::jpeg_segments::{header, is_frame_header};

/// Statistics of an image that say nothing about a face: [`COLOUR`] of its colours, then [`JPEG`] of its
/// file.
pub(super) type Features = [f32; COLOUR + JPEG];

/// Means and standard deviations of R, G, B and two colour differences, five quantiles of the brightness, the
/// fractions of black and of white pixels, and whether the image is grey.
pub(super) const COLOUR: usize = 6 + 4 + 5 + 2 + 1;

/// Whether the file is a JPEG, the logarithms of eight means of each quantisation table from low to high
/// frequencies, and the chroma subsampling.
pub(super) const JPEG: usize = 1 + 2 * BANDS + 2;

const BANDS: usize = 8;

/// What is kept of an image.
pub(super) struct Inspected {
    pub(super) hash: [u8; 32],
    pub(super) pixel_hash: [u8; 32],
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) grey: bool,
    /// The standard deviation of the brightness, in grey levels.
    pub(super) deviation: f64,
    pub(super) format: &'static str,
    pub(super) fingerprint: Fingerprint,
    pub(super) features: Features,
}

/// Reads, hashes and decodes an image. The error is the reason, without the path.
pub(super) fn inspect(origin: &Origin) -> Result<Inspected, String> {
    match origin {
        Origin::File(path) => {
            let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
            let image = decode(&bytes).map_err(|error| error.to_string())?;
            let kind = format(&bytes).map_or("other", |format| format.name);
            inspected(*blake3::hash(&bytes).as_bytes(), &image, kind, &bytes)
        }
        Origin::Pixels { .. } => {
            let image = image(origin)?;
            inspected(hash_pixels(&image), &image, "table", &[])
        }
    }
}

/// The decoded image. The error is the reason, without the path.
pub(super) fn image(origin: &Origin) -> Result<RgbImage, String> {
    match origin {
        Origin::File(path) => {
            let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
            decode(&bytes).map_err(|error| error.to_string())
        }
        Origin::Pixels { .. } => {
            expand(origin).ok_or_else(|| "has fewer pixels than its size requires".into())
        }
    }
}

fn inspected(
    hash: [u8; 32],
    image: &RgbImage,
    format: &'static str,
    file: &[u8],
) -> Result<Inspected, String> {
    if image.pixels.is_empty() {
        return Err("has no pixels".into());
    }
    let grey = image.is_grey();
    let brightness = histogram(image);
    let mut features = [0.0; COLOUR + JPEG];
    colour_features(image, grey, &brightness, &mut features[..COLOUR]);
    jpeg_features(file, &mut features[COLOUR..]);
    Ok(Inspected {
        hash,
        pixel_hash: hash_pixels(image),
        width: image.width,
        height: image.height,
        grey,
        deviation: deviation(&brightness),
        format,
        fingerprint: Fingerprint::of(image),
        features,
    })
}

/// Pixels of each brightness.
fn histogram(image: &RgbImage) -> [u32; 256] {
    let mut counts = [0; 256];
    for p in image.pixels.chunks_exact(3) {
        counts[((u32::from(p[0]) * 77 + u32::from(p[1]) * 150 + u32::from(p[2]) * 29) >> 8) as usize] += 1;
    }
    counts
}

fn deviation(histogram: &[u32; 256]) -> f64 {
    let moment = |power: i32| {
        histogram.iter().enumerate().map(|(v, &n)| (v as f64).powi(power) * f64::from(n)).sum::<f64>()
    };
    let n = moment(0);
    (moment(2) / n - (moment(1) / n).powi(2)).max(0.0).sqrt()
}

fn colour_features(image: &RgbImage, grey: bool, brightness: &[u32; 256], out: &mut [f32]) {
    let n = (image.pixels.len() / 3) as f64;
    let mut sums = [[0.0f64; 2]; 5];
    for p in image.pixels.chunks_exact(3) {
        let [r, g, b] = [0, 1, 2].map(|channel| f64::from(p[channel]));
        for (sums, value) in sums.iter_mut().zip([r, g, b, b - g, r - g]) {
            sums[0] += value;
            sums[1] += value * value;
        }
    }
    let mut at = 0;
    let mut put = |value: f64| {
        out[at] = value as f32;
        at += 1;
    };
    for [sum, squares] in sums {
        put(sum / n);
        put((squares / n - (sum / n).powi(2)).max(0.0).sqrt());
    }
    for level in [0.05, 0.25, 0.5, 0.75, 0.95] {
        let mut left = level * n;
        let reached = |&count: &u32| {
            left -= f64::from(count);
            left < 0.0
        };
        put(brightness.iter().position(reached).unwrap_or(255) as f64);
    }
    put(f64::from(brightness[0]) / n);
    put(f64::from(brightness[255]) / n);
    put(f64::from(u8::from(grey)));
}

/// Zeros for a file that is no JPEG.
fn jpeg_features(file: &[u8], out: &mut [f32]) {
    let Some(header) = jpeg_header(file) else { return };
    out[0] = 1.0;
    for (which, id) in header.tables.into_iter().enumerate() {
        let Some(table) = id.and_then(|id| header.quantisation.get(usize::from(id))) else { continue };
        for (band, values) in table.chunks_exact(64 / BANDS).enumerate() {
            let mean = values.iter().map(|&value| f32::from(value)).sum::<f32>() / values.len() as f32;
            out[1 + which * BANDS + band] = mean.max(1.0).ln();
        }
    }
    let [across, down] = header.sampling;
    (out[1 + 2 * BANDS], out[2 + 2 * BANDS]) = (f32::from(across), f32::from(down));
}

/// What a JPEG's header says about its compression.
struct JpegHeader {
    /// Tables by their number, in zigzag order.
    quantisation: [[u16; 64]; 4],
    /// The numbers of the luma table and of the first chroma table.
    tables: [Option<u8>; 2],
    /// Chroma subsampling: how much finer luma is sampled, across and down.
    sampling: [u8; 2],
}

fn jpeg_header(file: &[u8]) -> Option<JpegHeader> {
    if !file.starts_with(b"\xff\xd8") {
        return None;
    }
    let mut found = JpegHeader { quantisation: [[0; 64]; 4], tables: [None; 2], sampling: [1; 2] };
    for segment in header(file) {
        let body = segment.body();
        if segment.marker == 0xdb {
            read_tables(body, &mut found.quantisation);
        } else if is_frame_header(segment.marker) {
            // Number, sampling and table of each component.
            let components = segment.frame().map_or(&[][..], |frame| frame.components);
            let component = |index: usize| components.get(3 * index..3 * index + 3);
            let factor = |index: usize| component(index).map(|part| [part[1] >> 4, part[1] & 15]);
            found.tables = [0, 1].map(|index| component(index).map(|part| part[2] & 3));
            if let (Some(light), Some(colour)) = (factor(0), factor(1)) {
                found.sampling = [0, 1].map(|axis| light[axis] / colour[axis].max(1));
            }
        }
    }
    Some(found)
}

fn read_tables(mut body: &[u8], tables: &mut [[u16; 64]; 4]) {
    while let Some((&head, rest)) = body.split_first() {
        let (wide, table) = (head >> 4 != 0, &mut tables[usize::from(head & 3)]);
        let bytes = if wide { 128 } else { 64 };
        let Some(values) = rest.get(..bytes) else { return };
        for (at, value) in table.iter_mut().enumerate() {
            *value = if wide {
                u16::from_be_bytes([values[2 * at], values[2 * at + 1]])
            } else {
                u16::from(values[at])
            };
        }
        body = &rest[bytes..];
    }
}
