//! Tests of [`decode`] against Pillow, on damaged files and on hostile ones.

use std::path::{Path, PathBuf};

use super::error::DecodeError;
use super::{JPEG, MAX_SIDE, PNG, claimed_size, decode, format, is_image_path};
use crate::image::RgbImage;

/// How far a JPEG's values may be from libjpeg-turbo's: (any value, the mean). See [`decode`].
const WITH_CHROMA: (u8, f64) = (5, 0.45);
const WITHOUT_CHROMA: (u8, f64) = (1, 0.03);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// Every image of the folder: name, bytes, and what Pillow makes of it.
fn fixtures() -> Vec<(String, Vec<u8>, RgbImage)> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str().unwrap().strip_suffix(".rgb").map(String::from)
        })
        .collect();
    names.sort();
    assert!(names.len() > 50, "the fixtures are incomplete: {}", names.len());
    names
        .into_iter()
        .map(|name| {
            let raw = fixture(&format!("{name}.rgb"));
            let side = |at: usize| u32::from_le_bytes(*raw[at..].first_chunk().unwrap()) as usize;
            let expected = RgbImage::new(side(0), side(4), raw[8..].to_vec());
            (name.clone(), fixture(&name), expected)
        })
        .collect()
}

fn error_of(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

/// A PNG of one pixel's worth of header, with any sizes and any compressed data.
fn png_file(width: u32, height: u32, depth: u8, colour: u8, data: &[u8]) -> Vec<u8> {
    let mut file = PNG.magic.to_vec();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([depth, colour, 0, 0, 0]);
    for (kind, body) in [(b"IHDR", &header[..]), (b"IDAT", data), (b"IEND", &[])] {
        let checked = [&kind[..], body].concat();
        file.extend((body.len() as u32).to_be_bytes());
        file.extend(&checked);
        file.extend(crc32(&checked).to_be_bytes());
    }
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

#[test]
fn every_fixture_is_what_pillow_makes_of_it() {
    for (name, bytes, expected) in fixtures() {
        let found = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((found.width, found.height), (expected.width, expected.height), "{name}");
        if !name.ends_with(".jpg") {
            assert!(found == expected, "{name} differs");
            continue;
        }
        let differences: Vec<u8> =
            found.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).collect();
        let worst = *differences.iter().max().unwrap();
        let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / differences.len() as f64;
        let plain = ["grey.jpg", "rgb.jpg", "cmyk.jpg", "cmyk-unmarked.jpg"].contains(&&name[..]);
        let (most, most_mean) = if plain { WITHOUT_CHROMA } else { WITH_CHROMA };
        assert!(worst <= most && mean <= most_mean, "{name}: up to {worst}, on average {mean:.4}");
    }
}

#[test]
fn formats_are_told_apart_by_content() {
    let page = b"\n<!DOCTYPE html><html><body>404</body></html>";
    assert!(format(&fixture("rgb8.png")) == Ok(PNG));
    assert_eq!(decode(b""), Err(DecodeError::EmptyFile));
    assert_eq!(
        error_of(page),
        "not an image: it looks like an HTML page; the download may have been answered with an error page"
    );
    assert_eq!(error_of(b"just a few words\n"), "not an image: it looks like text");
    assert_eq!(error_of(b"BMW builds cars, and this is no image"), "not an image: it looks like text");
    assert_eq!(error_of(b"{\"error\": 404}"), "not an image: it looks like JSON text");
    assert_eq!(error_of(&[0; 5000]), "not an image: it looks like nothing but zero bytes");
    assert_eq!(error_of(b"PK\x03\x04\0\0"), "not an image: it looks like a ZIP archive");
    assert!(error_of(b"version https://git-lfs.github.com/spec/v1\noid ...").contains("git lfs pull"));
    assert_eq!(
        error_of(b"GIF89a\x01\0\x01\0"),
        "unsupported: a GIF image; convert it to JPEG, PNG, BMP, WebP or TIFF"
    );
}

#[test]
fn a_jpeg_or_png_cut_off_anywhere_is_an_error() {
    let whole =
        ["grey.jpg", "420-odd.jpg", "progressive.jpg", "restart.jpg", "cmyk.jpg", "exif6.jpg", "grey8.png"];
    for name in whole.into_iter().chain(["interlaced-rgb8.png", "exif8-after.png", "palette8-trns.png"]) {
        let bytes = fixture(name);
        for length in 0..bytes.len() {
            let found = decode(&bytes[..length]);
            assert!(
                found.is_err(),
                "{name}: {length} of {} bytes were decoded as a whole image",
                bytes.len()
            );
        }
        assert!(error_of(&bytes[..bytes.len() - 3]).starts_with("truncated"), "{name}");
    }
}

#[test]
fn the_size_is_read_from_the_header_without_decoding() {
    for name in ["444.jpg", "exif1.jpg", "grey8.png", "rgb8.png"] {
        let bytes = fixture(name);
        let image = decode(&bytes).unwrap();
        assert_eq!(claimed_size(&bytes), Some((image.width, image.height)), "{name}");
    }
    assert_eq!(claimed_size(b"\xff\xd8\xff"), None);
    assert_eq!(claimed_size(b"\xff\xd8\xff\xe0\0\0\xff"), None);
    assert_eq!(claimed_size(b"BM"), None);
}

#[test]
fn a_bmp_tiff_or_webp_without_all_its_pixels_is_an_error() {
    for name in
        ["rgb.bmp", "palette.bmp", "rgb.tif", "rgb-lzw.tif", "cmyk.tif", "lossless.webp", "lossy.webp"]
    {
        let bytes = fixture(name);
        for length in 0..bytes.len() * 2 / 3 {
            assert!(decode(&bytes[..length]).is_err(), "{name}: {length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn no_damaged_byte_makes_a_panic() {
    for (name, bytes, _) in fixtures() {
        // Every byte of the headers, and places all over the rest.
        let step = (bytes.len() / 60).max(1);
        for at in (0..bytes.len()).filter(|&at| at < 60 || at % step == 0) {
            let mut damaged = bytes.clone();
            for value in [0, 0xff, bytes[at] ^ 1] {
                damaged[at] = value;
                if let Ok(image) = decode(&damaged) {
                    assert!(image.width <= MAX_SIDE && image.height <= MAX_SIDE, "{name}, byte {at}");
                }
            }
        }
    }
}

#[test]
fn a_png_with_a_wrong_checksum_is_corrupt() {
    let mut bytes = fixture("rgb8.png");
    let at = bytes.windows(4).position(|four| four == b"IEND").unwrap();
    bytes[at + 4] ^= 1;
    assert!(error_of(&bytes).starts_with("corrupt PNG"), "{}", error_of(&bytes));
    let mut bytes = fixture("gamma.png");
    let at = bytes.windows(4).position(|four| four == b"gAMA").unwrap();
    bytes[at + 8] ^= 1;
    assert!(error_of(&bytes).starts_with("corrupt PNG"), "{}", error_of(&bytes));
}

#[test]
fn the_header_is_believed_before_the_pixels_are_allocated() {
    let limit = "too large: 60000x60000 pixels; the limit is 8192x8192 pixels and 256 MiB of samples";
    assert_eq!(error_of(&png_file(60000, 60000, 8, 2, &[])), limit);
    // 8192x8192 pixels of eight bytes: each side is allowed, the whole is not.
    assert!(matches!(decode(&png_file(8192, 8192, 16, 6, &[])), Err(DecodeError::TooLarge { .. })));
    assert_eq!(error_of(&png_file(0, 5, 8, 2, &[])).split(':').next(), Some("corrupt PNG"));

    let mut jpeg = fixture("grey.jpg");
    let at = jpeg.windows(4).position(|four| four == [0xff, 0xc0, 0, 11]).unwrap();
    jpeg[at + 5..at + 9].copy_from_slice(&[60000u16.to_be_bytes(), 60000u16.to_be_bytes()].concat());
    assert_eq!(error_of(&jpeg), limit);
    jpeg[at + 5..at + 9].copy_from_slice(&[0, 0, 0, 9]);
    assert_eq!(error_of(&jpeg), "corrupt JPEG: the header says 9x0 pixels");

    let mut bmp = fixture("rgb.bmp");
    bmp[18..26].copy_from_slice(&[60000u32.to_le_bytes(), 60000u32.to_le_bytes()].concat());
    assert_eq!(error_of(&bmp), limit);
}

#[test]
fn a_png_that_swells_beyond_its_header_is_stopped() {
    // 64 MiB of zeros in 64 KiB of data, for an image of one pixel and as a text.
    let mut bomb = Vec::new();
    let mut encoder = png::Encoder::new(&mut bomb, 8192, 8192);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::High);
    encoder.write_header().unwrap().write_image_data(&vec![0; 8192 * 8192]).unwrap();
    assert!(bomb.len() < 1 << 18, "{} bytes", bomb.len());
    let whole = decode(&bomb).unwrap();
    assert_eq!((whole.width, whole.height), (8192, 8192));
    // The same data under a header that says 1x1.
    bomb[16..24].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    let sum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&sum.to_be_bytes());
    if let Ok(image) = decode(&bomb) {
        assert_eq!(image.pixels, [0; 3]);
    }
}

#[test]
fn a_broken_block_of_metadata_is_ignored() {
    let bytes = fixture("exif6.jpg");
    let at = bytes.windows(6).position(|six| six == b"Exif\0\0").unwrap();
    let mut broken = bytes.clone();
    broken[at + 6..at + 10].copy_from_slice(b"what");
    let (turned, as_stored) = (decode(&bytes).unwrap(), decode(&broken).unwrap());
    assert_eq!((turned.width, turned.height), (as_stored.height, as_stored.width));
    assert_eq!(as_stored, decode(&fixture("exif1.jpg")).unwrap());
}

#[test]
fn files_are_found_by_their_endings() {
    for name in ["a.jpg", "a.JPEG", "b/c.Png", "x.tif", "x.TIFF", "x.jpe", "x.jfif", "x.webp", "x.bmp"] {
        assert!(is_image_path(Path::new(name)), "{name}");
    }
    for name in ["a.txt", "jpg", ".jpg", "a.jpg.part", "a.gif", "folder/"] {
        assert!(!is_image_path(Path::new(name)), "{name}");
    }
}

#[test]
fn photographs_are_decoded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/london-faces-256/happy");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return eprintln!("skipped: {} is missing", folder.display());
    };
    for entry in entries.map(|entry| entry.unwrap().path()).filter(|path| is_image_path(path)) {
        let bytes = std::fs::read(&entry).unwrap();
        let image = decode(&bytes).unwrap();
        assert_eq!((image.width, image.height, image.is_grey()), (256, 256, false), "{}", entry.display());
        assert_eq!(
            decode(&bytes[..bytes.len() / 2]),
            Err(DecodeError::Truncated(JPEG.name)),
            "{}",
            entry.display()
        );
    }
}
