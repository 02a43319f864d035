//! Hostile files for [`decode`]: small valid images of every format, damaged in ways that keep enough of the
//! structure to get past the first checks (check sums are put right again, lengths are edited, parts are
//! repeated), and files made up from nothing but the rules of a format. Whatever comes, the answer is an
//! image within the limits or one line that says what is wrong.
//!
//! Each case is a function of its number, so that a failure is reproduced by that number alone.
//!
//! More than 600 lines, as it is used by tests alone and every format's damage is made with the same few
//! helpers.

use std::path::Path;

use chacha20::ChaCha8Rng;
use rand::{Rng, RngExt};

use crate::image::RgbImage;
use crate::image::decode::{MAX_BYTES, MAX_SIDE, decode};
use crate::image::encode::encode_png;
use crate::random::{Purpose, rng};

/// Sizes, counts and offsets that are likely to be mishandled.
const EDGES: [u32; 24] = [
    0, 1, 2, 3, 4, 7, 8, 12, 16, 17, 255, 256, 4097, 8192, 8193, 16383, 32767, 32768, 65535, 65536,
    0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
];

/// Every valid image there is to start from.
pub fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending != "rgb"));
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    seeds.push(encode_png(&RgbImage::new(5, 4, (0..60).map(|i| i * 4).collect())));
    seeds
}

/// The file of one case.
pub fn case(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let r = &mut rng(0xdec0de, Purpose::Draw, number, 0);
    let mut file = match r.random_range(0..10) {
        0 => random_png(r),
        1 => random_tiff(r),
        2 if r.random() => random_bmp(r),
        2 => random_webp(r, seeds),
        _ => one_of(r, seeds).clone(),
    };
    for _ in 0..r.random_range(0..4) {
        let damaged = match format_of(&file) {
            _ if one_in(r, 3) => None,
            b'P' => damage_png(r, &file),
            b'J' => damage_jpeg(r, &file, seeds),
            b'B' => damage_numbers(
                r,
                &file,
                &[(2, 4), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4), (34, 4), (46, 4)],
            ),
            b'T' => damage_tiff(r, &file),
            b'W' => damage_webp(r, &file, seeds),
            _ => None,
        };
        file = damaged.unwrap_or_else(|| damage_bytes(r, file, seeds));
    }
    file
}

/// Whether the answer to a file is one that a caller can live with; otherwise what is wrong with it.
pub fn judge(file: &[u8]) -> Result<(), String> {
    match decode(file) {
        Ok(image) => {
            let (width, height) = (image.width, image.height);
            let sizes_fit = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
            if !sizes_fit || image.pixels.len() != width * height * 3 || image.pixels.len() > MAX_BYTES {
                return Err(format!("an image of {width}x{height} with {} bytes", image.pixels.len()));
            }
        }
        Err(error) => {
            let text = error.to_string();
            if text.is_empty() || text.len() > 500 || text.contains(char::is_control) {
                return Err(format!("not one short line: {text:?}"));
            }
        }
    }
    Ok(())
}

// ---- Any format

fn one_of<'a, T>(r: &mut ChaCha8Rng, choices: &'a [T]) -> &'a T {
    &choices[r.random_range(0..choices.len())]
}

fn one_in(r: &mut ChaCha8Rng, count: u32) -> bool {
    r.random_range(0..count) == 0
}

fn noise(r: &mut ChaCha8Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| r.random()).collect()
}

fn format_of(file: &[u8]) -> u8 {
    match file {
        [0x89, b'P', ..] => b'P',
        [0xff, 0xd8, ..] => b'J',
        [b'B', b'M', ..] => b'B',
        [b'I', b'I', ..] | [b'M', b'M', ..] => b'T',
        [b'R', b'I', b'F', b'F', ..] => b'W',
        _ => 0,
    }
}

/// A number that is small, extreme, or near the length of what it may point into.
fn number(r: &mut ChaCha8Rng, length: usize) -> u32 {
    match r.random_range(0..4) {
        0 => r.random_range(0..64),
        1 => (length as u32).wrapping_add(r.random_range(0..17)).wrapping_sub(8),
        2 => r.random_range(0..length as u32 + 1),
        _ => *one_of(r, &EDGES),
    }
}

/// The low `size` bytes of a number in either order.
fn in_bytes(value: u32, size: usize, little: bool) -> Vec<u8> {
    let mut bytes = u64::from(value).to_le_bytes()[..size].to_vec();
    if !little {
        bytes.reverse();
    }
    bytes
}

fn overwrite(file: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in file.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// Bits, bytes, numbers and stretches anywhere, without regard for what they mean.
fn damage_bytes(r: &mut ChaCha8Rng, mut file: Vec<u8>, seeds: &[Vec<u8>]) -> Vec<u8> {
    let length = file.len();
    if length == 0 {
        return noise(r, 8);
    }
    // Half of the time in the head, where the headers are.
    let span = if r.random() { length.min(64) } else { length };
    let at = r.random_range(0..span);
    let stretch = at..length.min(at + r.random_range(1..64));
    match r.random_range(0..9) {
        0 => file[at] ^= 1 << r.random_range(0..8),
        1 => file[at] = *one_of(r, &[0, 1, 0x7f, 0x80, 0xfe, 0xff]),
        2 => file.truncate(r.random_range(0..length)),
        3 => {
            let (size, little) = (*one_of(r, &[1, 2, 4, 8]), r.random());
            let value = number(r, length);
            overwrite(&mut file, at, &in_bytes(value, size, little));
        }
        4 => drop(file.drain(stretch)),
        5 => {
            let count = r.random_range(1..40);
            let inserted = noise(r, count);
            file.splice(at..at, inserted);
        }
        6 => {
            let again = file[stretch].repeat(r.random_range(1..6));
            file.splice(at..at, again);
        }
        7 => {
            let fill = *one_of(r, &[0, 0xff, 0x55]);
            file[stretch].fill(fill);
        }
        _ => {
            let other = one_of(r, seeds);
            file.truncate(at);
            file.extend(&other[r.random_range(0..other.len())..]);
        }
    }
    file
}

/// One of the header's fields (offset, size; little-endian) gets another number.
fn damage_numbers(r: &mut ChaCha8Rng, file: &[u8], fields: &[(usize, usize)]) -> Option<Vec<u8>> {
    let mut file = file.to_vec();
    let (at, size) = *one_of(r, fields);
    let value = number(r, file.len());
    overwrite(&mut file, at, &in_bytes(value, size, true));
    Some(file)
}

/// Damages, repeats, drops or moves one part of a file that consists of parts.
fn damage_parts(r: &mut ChaCha8Rng, parts: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    let chosen = r.random_range(0..parts.len());
    match r.random_range(0..6) {
        0 => parts.insert(chosen, parts[chosen].clone()),
        1 => drop(parts.remove(chosen)),
        2 => {
            let other = r.random_range(0..parts.len());
            parts.swap(chosen, other);
        }
        3 => {
            let length = r.random_range(0..parts[chosen].1.len() + 1);
            parts[chosen].1.truncate(length);
        }
        _ if !parts[chosen].1.is_empty() => {
            let body = &mut parts[chosen].1;
            let at = r.random_range(0..body.len());
            let (size, little) = (*one_of(r, &[1, 1, 2, 4]), r.random());
            let value = if r.random() { r.next_u32() } else { number(r, body.len()) };
            overwrite(body, at, &in_bytes(value, size, little));
        }
        _ => {}
    }
}

/// An EXIF block (also the head of a TIFF) whose types, counts and offsets may be anything.
fn random_exif(r: &mut ChaCha8Rng) -> Vec<u8> {
    let little: bool = r.random();
    let mut block = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
    let directory = if one_in(r, 5) { number(r, 100) } else { 8 };
    block.extend(in_bytes(directory, 4, little));
    let count = r.random_range(0..8);
    let claimed = if one_in(r, 5) { number(r, 12) } else { count };
    block.extend(in_bytes(claimed, 2, little));
    for _ in 0..count {
        let tag = *one_of(r, &[0x112, 0x112, 0x8769, 0x8825, 0xa005, 0x2bc, 0x100, 320]);
        let (kind, count) = (r.random_range(0..15), if r.random() { 1 } else { number(r, 100) });
        let value = if r.random() { r.random_range(0..10) } else { number(r, 100) };
        for (value, size) in [(tag, 2), (kind, 2), (count, 4), (value, 4)] {
            block.extend(in_bytes(value, size, little));
        }
    }
    let next = number(r, 100);
    block.extend(in_bytes(next, 4, little));
    let tail = r.random_range(0..60);
    block.extend(noise(r, tail));
    block
}

// ---- PNG

/// A PNG of these chunks (kind, body), with their lengths and check sums.
fn png_of(chunks: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in chunks {
        file.extend((body.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend(kind);
        file.extend(body);
        let sum = !file[start..].iter().fold(!0, |crc, &byte| {
            (0..8).fold(
                crc ^ u32::from(byte),
                |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
            )
        });
        file.extend(sum.to_be_bytes());
    }
    file
}

fn damage_png(r: &mut ChaCha8Rng, file: &[u8]) -> Option<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut rest = &file[8.min(file.len())..];
    while let Some(length) = rest.first_chunk().map(|four| u32::from_be_bytes(*four) as usize) {
        let body = rest.get(8..8 + length)?;
        chunks.push((rest[4..8].to_vec(), body.to_vec()));
        rest = rest.get(12 + length..)?;
    }
    if chunks.is_empty() {
        return None;
    }
    match r.random_range(0..4) {
        0 => {
            let at = r.random_range(0..chunks.len() + 1);
            let chunk = random_chunk(r);
            chunks.insert(at, chunk);
        }
        1 => {
            let header = &mut chunks[0].1;
            let value = number(r, 16);
            match r.random_range(0..4) {
                0 => overwrite(header, 0, &value.to_be_bytes()),
                1 => overwrite(header, 4, &value.to_be_bytes()),
                _ => overwrite(header, r.random_range(8..13), &[*one_of(r, &[0, 1, 2, 3, 4, 6, 8, 16])]),
            }
        }
        _ => damage_parts(r, &mut chunks),
    }
    Some(png_of(&chunks))
}

/// An ancillary chunk, or a palette, or a part of an animation.
fn random_chunk(r: &mut ChaCha8Rng) -> (Vec<u8>, Vec<u8>) {
    const KINDS: [&[u8; 4]; 20] = [
        b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"iCCP", b"eXIf", b"tEXt",
        b"zTXt", b"iTXt", b"acTL", b"fcTL", b"fdAT", b"IDAT", b"cICP", b"mDCV", b"IEND",
    ];
    let kind = *one_of(r, &KINDS);
    let length = r.random_range(0..40);
    let mut body = match kind {
        b"PLTE" => {
            let colours = r.random_range(0..258);
            noise(r, colours * 3)
        }
        b"eXIf" => random_exif(r),
        b"acTL" => [number(r, 3).to_be_bytes(), number(r, 3).to_be_bytes()].concat(),
        b"fcTL" => {
            let numbers: Vec<u8> = (0..5).flat_map(|_| number(r, 12).to_be_bytes()).collect();
            [numbers, noise(r, 6)].concat()
        }
        b"zTXt" => [&b"Raw profile type exif\0\0"[..], &zlib(&noise(r, length))].concat(),
        b"iTXt" => [&b"XML:com.adobe.xmp\0\x01\0\0\0"[..], &zlib(&noise(r, length))].concat(),
        b"tEXt" => [&b"Raw profile type exif\0\nexif\n 40\n"[..], &noise(r, length)].concat(),
        _ => noise(r, length),
    };
    if one_in(r, 6) {
        body.truncate(r.random_range(0..body.len() + 1));
    }
    (kind.to_vec(), body)
}

/// The bytes as a zlib stream without compression.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = bytes.chunks(65535).count().max(1);
    for i in 0..blocks {
        let block = &bytes[(i * 65535).min(bytes.len())..((i + 1) * 65535).min(bytes.len())];
        stream.push(u8::from(i + 1 == blocks));
        stream.extend((block.len() as u16).to_le_bytes());
        stream.extend((!(block.len() as u16)).to_le_bytes());
        stream.extend(block);
    }
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65521;
        (a, (b + a) % 65521)
    });
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

/// Any kind of pixel, interlaced or not, with rows of noise; sometimes too few or too many of them.
fn random_png(r: &mut ChaCha8Rng) -> Vec<u8> {
    // Colour type, channels, depths.
    const KINDS: [(u8, u32, &[u8]); 5] = [
        (0, 1, &[1, 2, 4, 8, 16]),
        (2, 3, &[8, 16]),
        (3, 1, &[1, 2, 4, 8]),
        (4, 2, &[8, 16]),
        (6, 4, &[8, 16]),
    ];
    const ADAM7: [(u32, u32, u32, u32); 7] =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let (colour, channels, depths) = *one_of(r, &KINDS);
    let depth = *one_of(r, depths);
    let (width, height, interlaced): (u32, u32, bool) =
        (r.random_range(1..30), r.random_range(1..30), r.random());
    let mut rows = Vec::new();
    for &(x, y, dx, dy) in if interlaced { &ADAM7[..] } else { &[(0, 0, 1, 1)] } {
        let (w, h) = (width.saturating_sub(x).div_ceil(dx), height.saturating_sub(y).div_ceil(dy));
        for _ in 0..if w == 0 { 0 } else { h } {
            rows.push(if one_in(r, 300) { r.random() } else { r.random_range(0..5) });
            rows.extend(noise(r, (w * channels * u32::from(depth)).div_ceil(8) as usize));
        }
    }
    if one_in(r, 6) {
        rows.truncate(r.random_range(0..rows.len()));
    } else if one_in(r, 6) {
        rows.extend(noise(r, 50));
    }
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([depth, colour, 0, 0, u8::from(interlaced)]);
    let mut chunks = vec![(b"IHDR".to_vec(), header)];
    if colour == 3 {
        let colours = r.random_range(1..257);
        chunks.push((b"PLTE".to_vec(), noise(r, colours * 3)));
    }
    for _ in 0..r.random_range(0..3) {
        chunks.push(random_chunk(r));
    }
    let data = zlib(&rows);
    let cut = r.random_range(0..data.len());
    chunks.extend([&data[..cut], &data[cut..]].map(|part| (b"IDAT".to_vec(), part.to_vec())));
    if one_in(r, 3) {
        chunks.push(random_chunk(r));
    }
    chunks.push((b"IEND".to_vec(), Vec::new()));
    png_of(&chunks)
}

// ---- JPEG

/// The segments of a JPEG: (marker, body), where a scan's body goes on with its compressed data; nothing if
/// it is broken.
fn jpeg_segments(file: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut segments = Vec::new();
    let mut at = 2;
    while *file.get(at)? == 0xff && file.get(at + 1)? != &0xd9 {
        let length = usize::from(u16::from_be_bytes(*file.get(at + 2..)?.first_chunk()?));
        let mut end = at + 2 + length;
        if file[at + 1] == 0xda {
            while !matches!(file.get(end..end + 2)?, [0xff, next] if !matches!(next, 0 | 0xd0..=0xd7)) {
                end += 1;
            }
        }
        segments.push((file[at..at + 4].to_vec(), file.get(at + 4..end)?.to_vec()));
        at = end;
    }
    Some(segments)
}

fn damage_jpeg(r: &mut ChaCha8Rng, file: &[u8], seeds: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut segments = jpeg_segments(file)?;
    if segments.is_empty() {
        return None;
    }
    let at = r.random_range(0..segments.len());
    let frame = segments.iter().position(|(head, _)| matches!(head[1], 0xc0..=0xc2));
    match r.random_range(0..8) {
        // The frame header: precision, height, width, count, then (id, sampling, table) a component.
        0 | 1 => {
            let body = &mut segments[frame?].1;
            let value = number(r, 64);
            match r.random_range(0..4) {
                0 => overwrite(body, 1, &in_bytes(value, 2, false)),
                1 => overwrite(body, 3, &in_bytes(value, 2, false)),
                2 => overwrite(
                    body,
                    7 + 3 * r.random_range(0..4),
                    &[*one_of(r, &[0x11, 0x12, 0x21, 0x22, 0x41, 0x14, 0x44, 0x13, 0])],
                ),
                _ => overwrite(body, 5, &[r.random_range(0..6)]),
            }
        }
        2 => segments[frame?].0[1] = 0xc0 + r.random_range(0..16),
        3 => {
            let (marker, body) = match r.random_range(0..5) {
                0 => (0xdd, in_bytes(number(r, 8), 2, false)),
                1 => (0xe1, [&b"Exif\0\0"[..], &random_exif(r)].concat()),
                2 => (0xee, [&b"Adobe\0\x64\0\0\0\0"[..], &[r.random_range(0..4)]].concat()),
                3 => (0xdc, noise(r, 2)),
                _ => (r.random(), noise(r, 20)),
            };
            segments.insert(at, (vec![0xff, marker, 0, body.len() as u8 + 2], body));
        }
        // A segment of another file in the place of this one's.
        4 => {
            let others = jpeg_segments(
                seeds.iter().filter(|seed| format_of(seed) == b'J').nth(r.random_range(0..20))?,
            )?;
            segments[at] = one_of(r, &others).clone();
        }
        // A restart marker, or noise, in the compressed data.
        5 | 6 => {
            let scan = segments.iter().rposition(|(head, _)| head[1] == 0xda)?;
            let body = &mut segments[scan].1;
            let at = r.random_range(0..body.len());
            match r.random_range(0..3) {
                0 => drop(body.splice(at..at, [0xff, 0xd0 + r.random_range(0..8)])),
                1 => overwrite(body, at, &noise(r, 3)),
                _ => body.truncate(at),
            }
        }
        _ => damage_parts(r, &mut segments),
    }
    // The lengths are put right, but for the scans', whose bodies hold more.
    let mut file = vec![0xff, 0xd8];
    for (mut head, body) in segments {
        if head[1] != 0xda && !one_in(r, 20) {
            overwrite(&mut head, 2, &in_bytes(body.len() as u32 + 2, 2, false));
        }
        file.extend([head, body].concat());
    }
    file.extend([0xff, 0xd9]);
    Some(file)
}

// ---- BMP, TIFF, WebP

fn random_bmp(r: &mut ChaCha8Rng) -> Vec<u8> {
    let header = *one_of(r, &[12u32, 40, 40, 40, 52, 56, 64, 108, 124]);
    let (width, height): (i32, i32) = (r.random_range(1..40), r.random_range(-20..40));
    let (depth, method) =
        (*one_of(r, &[1u16, 2, 4, 4, 8, 8, 16, 24, 32]), *one_of(r, &[0u32, 0, 1, 2, 3, 4, 5, 6]));
    let colours = r.random_range(0..300);
    let mut rest = header.to_le_bytes().to_vec();
    if header == 12 {
        rest.extend([width as u16, height as u16, 1, depth].map(u16::to_le_bytes).concat());
    } else {
        rest.extend([width, height].map(i32::to_le_bytes).concat());
        rest.extend([1, depth].map(u16::to_le_bytes).concat());
        rest.extend([method, 0, 0, 0, colours, 0].map(u32::to_le_bytes).concat());
        let masks = if r.random() {
            [0x7c00, 0x3e0, 0x1f, 0x8000]
        } else {
            std::array::from_fn(|_| r.next_u32() >> r.random_range(0..32))
        };
        rest.extend(masks.map(u32::to_le_bytes).concat());
        rest.resize((header as usize).max(if method == 3 { 52 } else { 0 }), 0);
    }
    let colours = if one_in(r, 4) { 0 } else { colours as usize };
    rest.extend(noise(r, colours * 4));
    let offset = if one_in(r, 6) { number(r, rest.len()) } else { rest.len() as u32 + 14 };
    // Run lengths are mostly small numbers, with zeros for the escapes.
    for _ in 0..r.random_range(0..1500) {
        rest.push(if r.random() { r.random() } else { r.random_range(0..5) });
    }
    [&b"BM"[..], &(rest.len() as u32 + 14).to_le_bytes(), &[0; 4], &offset.to_le_bytes(), &rest].concat()
}

/// A TIFF of these entries (tag, type, values), over `data`, which begins at byte 16.
fn tiff_of(little: bool, big: bool, entries: &[(u32, u32, Vec<u32>)], data: &[u8]) -> Vec<u8> {
    let (version, word) = if big { (43, 8) } else { (42, 4) };
    let n = |value: u32, size: usize| in_bytes(value, size, little);
    let mut file = [if little { b"II" } else { b"MM" }.to_vec(), n(version, 2)].concat();
    let mut tail = data.to_vec();
    let mut table = n(entries.len() as u32, if big { 8 } else { 2 });
    for (tag, kind, values) in entries {
        let size = match kind {
            3 => 2,
            4 | 13 => 4,
            16 => 8,
            _ => 1,
        };
        let mut bytes: Vec<u8> = values.iter().flat_map(|&value| n(value, size)).collect();
        if bytes.len() > word {
            let at = 16 + tail.len() as u32;
            tail.append(&mut bytes);
            bytes = n(at, word);
        }
        bytes.resize(word, 0);
        table.extend([n(*tag, 2), n(*kind, 2), n(values.len() as u32, word), bytes].concat());
    }
    if big {
        file.extend([n(8, 2), n(0, 2)].concat());
    }
    file.extend(n(16 + tail.len() as u32, word));
    file.resize(16, 0);
    [file, tail, table, n(0, word)].concat()
}

fn random_tiff(r: &mut ChaCha8Rng) -> Vec<u8> {
    let (width, height): (u32, u32) = (r.random_range(1..40), r.random_range(1..40));
    let samples = *one_of(r, &[1u32, 1, 2, 3, 3, 4, 5]);
    let depth = *one_of(r, &[1u32, 2, 4, 8, 8, 8, 16, 16, 32, 64, 12]);
    let planar = *one_of(r, &[1u32, 1, 2]);
    let rows = r.random_range(1..height + 2);
    let length = (width * depth * samples).div_ceil(8) * height + 64;
    let method = *one_of(r, &[1u32, 1, 1, 5, 8, 32773, 32773, 4, 7, 2, 32946, 34712]);
    let mut data = noise(r, length as usize);
    match method {
        8 | 32946 => data = zlib(&data),
        32773 => data.iter_mut().step_by(3).for_each(|byte| *byte = 3 + (*byte & 0x81)),
        _ => {}
    }
    let tiled = one_in(r, 4);
    let (across, down) =
        if tiled { (r.random_range(1..5) * 16, r.random_range(1..5) * 16) } else { (width, rows) };
    let chunks = width.div_ceil(across) * height.div_ceil(down) * if planar == 2 { samples } else { 1 };
    let each = data.len() as u32 / chunks.max(1);
    let offsets = (0..chunks).map(|i| if method == 1 { 16 + i * each } else { 16 }).collect();
    let counts = vec![if method == 1 { each } else { data.len() as u32 }; chunks as usize];
    let mut entries = vec![
        (256, 3, vec![width]),
        (257, 3, vec![height]),
        (258, 3, vec![depth; samples as usize]),
        (259, 3, vec![method]),
        (262, 3, vec![*one_of(r, &[0, 1, 1, 2, 2, 2, 3, 5, 6, 8])]),
        (277, 3, vec![samples]),
        (284, 3, vec![planar]),
    ];
    if tiled {
        entries.extend([(322, 3, vec![across]), (323, 3, vec![down]), (324, 4, offsets), (325, 4, counts)]);
    } else {
        entries.extend([(273, 4, offsets), (278, 3, vec![rows]), (279, 4, counts)]);
    }
    for _ in 0..r.random_range(0..4) {
        entries.push(match r.random_range(0..7) {
            0 => (317, 3, vec![r.random_range(0..4)]),
            1 => (339, 3, vec![r.random_range(0..5); samples as usize]),
            2 => (338, 3, vec![r.random_range(0..3)]),
            3 => (320, 3, (0..768).map(|_| r.random_range(0..65536)).collect()),
            4 => (274, 3, vec![r.random_range(0..10)]),
            5 => (347, 7, vec![0xff; r.random_range(0..5)]),
            _ => (r.random_range(250..350), r.random_range(0..18), vec![number(r, 64); r.random_range(0..4)]),
        });
    }
    if one_in(r, 2) {
        let at = r.random_range(0..entries.len());
        let value = number(r, length as usize);
        match (entries[at].2.first_mut(), r.random_range(0..4)) {
            (_, 0) => drop(entries.remove(at)),
            (_, 1) => entries[at].1 = r.random_range(0..18),
            (Some(first), 2) => *first = value,
            _ => entries[at] = (entries[at].0, 4, vec![value]),
        }
    }
    entries.sort_by_key(|entry| entry.0);
    tiff_of(r.random(), one_in(r, 4), &entries, &data)
}

/// A field of an entry of the first directory gets another number.
fn damage_tiff(r: &mut ChaCha8Rng, file: &[u8]) -> Option<Vec<u8>> {
    let little = file.starts_with(b"II");
    let four: [u8; 4] = *file.get(4..)?.first_chunk()?;
    let directory = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize;
    let count = file.len().checked_sub(directory)? / 12;
    if count == 0 {
        return None;
    }
    let entry = directory + 2 + 12 * r.random_range(0..count.min(20));
    let (field, size) = *one_of(r, &[(0, 2), (2, 2), (4, 4), (8, 2), (8, 4)]);
    let value = if field == 2 { r.random_range(0..19) } else { number(r, file.len()) };
    let mut file = file.to_vec();
    overwrite(&mut file, entry + field, &in_bytes(value, size, little));
    Some(file)
}

fn webp_of(chunks: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let body = riff_chunks(chunks);
    [&b"RIFF"[..], &(body.len() as u32 + 4).to_le_bytes(), b"WEBP", &body].concat()
}

fn riff_chunks(chunks: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, body) in chunks {
        bytes.extend([&kind[..], &(body.len() as u32).to_le_bytes(), body, &[0][..body.len() % 2]].concat());
    }
    bytes
}

fn webp_chunks(file: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut chunks = Vec::new();
    let mut rest = file.get(12..)?;
    while rest.len() >= 8 {
        let length = u32::from_le_bytes(*rest[4..].first_chunk()?) as usize;
        chunks.push((rest[..4].to_vec(), rest.get(8..8 + length)?.to_vec()));
        rest = rest.get(8 + length + length % 2..).unwrap_or_default();
    }
    (!chunks.is_empty()).then_some(chunks)
}

fn damage_webp(r: &mut ChaCha8Rng, file: &[u8], seeds: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut chunks = webp_chunks(file)?;
    if one_in(r, 4) {
        let at = r.random_range(0..chunks.len() + 1);
        chunks.insert(at, random_riff_chunk(r, seeds));
    } else {
        damage_parts(r, &mut chunks);
    }
    let mut file = webp_of(&chunks);
    if one_in(r, 6) {
        let value = number(r, file.len());
        overwrite(&mut file, *one_of(r, &[4, 16, 38]), &value.to_le_bytes());
    }
    Some(file)
}

/// Compressed pixels from one of the seeds, or alpha, or metadata.
fn random_riff_chunk(r: &mut ChaCha8Rng, seeds: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    match r.random_range(0..8) {
        0 => {
            let head = *one_of(r, &[0u8, 1, 4, 5, 8, 12, 0x10]);
            let data = noise(r, 32 * 32);
            (b"ALPH".to_vec(), [vec![head], data].concat())
        }
        1 => (b"EXIF".to_vec(), random_exif(r)),
        2 => (b"XMP ".to_vec(), b"tiff:Orientation=\"6".to_vec()),
        _ => {
            let pixels: Vec<_> = seeds
                .iter()
                .filter(|seed| format_of(seed) == b'W')
                .filter_map(|seed| {
                    webp_chunks(seed)?
                        .into_iter()
                        .find(|(kind, _)| kind.starts_with(b"VP8") && kind != b"VP8X")
                })
                .collect();
            let mut chunk = one_of(r, &pixels).clone();
            if r.random() {
                let span = if r.random() { 12 } else { chunk.1.len() };
                let at = r.random_range(0..span);
                chunk.1[at] = r.random();
            }
            chunk
        }
    }
}

/// An extended WebP: a canvas, perhaps animated, perhaps with alpha.
fn random_webp(r: &mut ChaCha8Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let three = |value: u32| value.to_le_bytes()[..3].to_vec();
    let side =
        |r: &mut ChaCha8Rng| if one_in(r, 4) { number(r, 40) } else { *one_of(r, &[10, 16, 31, 31, 39]) };
    let flags = *one_of(r, &[0u8, 0x10, 0x02, 0x12, 0x08, 0x04, 0x3f]);
    let canvas = [vec![flags, 0, 0, 0], three(side(r)), three(side(r))].concat();
    let mut chunks = vec![(b"VP8X".to_vec(), canvas)];
    if flags & 2 != 0 {
        chunks.push((b"ANIM".to_vec(), noise(r, 6)));
    }
    for _ in 0..r.random_range(1..4) {
        let pixels = [random_riff_chunk(r, seeds), random_riff_chunk(r, seeds)];
        if flags & 2 != 0 {
            let head =
                [three(number(r, 4)), three(number(r, 4)), three(side(r)), three(side(r)), noise(r, 4)]
                    .concat();
            chunks.push((b"ANMF".to_vec(), [head, riff_chunks(&pixels[r.random_range(0..2)..])].concat()));
        } else {
            chunks.extend(pixels);
        }
    }
    webp_of(&chunks)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::image::decode::DecodeError;

    const CASES: u64 = if cfg!(debug_assertions) { 20_000 } else { 250_000 };

    /// No case takes anywhere near as long: whatever does hangs.
    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn a_damaged_file_is_an_image_or_an_error_of_one_line() {
        // The workers are not waited for: one that hangs could not be.
        const WORKERS: u64 = 2;
        let (sender, answers) = mpsc::channel();
        for worker in 0..WORKERS {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let seeds = seeds();
                for number in (worker..CASES).step_by(WORKERS as usize) {
                    let answer = catch_unwind(|| judge(&case(&seeds, number)))
                        .unwrap_or_else(|_| Err("a panic".into()));
                    if sender.send((worker, number, answer)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut last = [None; WORKERS as usize];
        let mut count = 0;
        while count < CASES {
            let (worker, number, answer) = answers
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no answer; the last cases answered: {last:?}"));
            assert_eq!(answer, Ok(()), "case {number}");
            last[worker as usize] = Some(number);
            count += 1;
        }
    }

    #[test]
    fn the_cases_get_past_the_first_checks() {
        let seeds = seeds();
        let images = (0..2000).filter(|&number| decode(&case(&seeds, number)).is_ok()).count();
        assert!((300..1700).contains(&images), "{images} of 2000");
    }

    /// The first WebP of the seeds whose pixels are lossy, and its chunk of them.
    fn lossy_pixels() -> (Vec<u8>, Vec<u8>) {
        let chunks = seeds()
            .into_iter()
            .filter(|seed| format_of(seed) == b'W')
            .filter_map(|seed| webp_chunks(&seed))
            .flatten();
        chunks.into_iter().find(|(kind, _)| kind == b"VP8 ").unwrap()
    }

    fn extended(flags: u8, side: u32, more: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let side = (side - 1).to_le_bytes();
        let canvas = [&[flags, 0, 0, 0], &side[..3], &side[..3]].concat();
        webp_of(&[&[(b"VP8X".to_vec(), canvas)], more].concat())
    }

    /// A grey TIFF of 9x9, with these entries in place of the usual ones.
    fn tiff_with(entries: &[(u32, u32, Vec<u32>)]) -> Vec<u8> {
        let usual =
            [(256, 9), (257, 9), (258, 8), (259, 1), (262, 1), (273, 16), (277, 1), (278, 9), (279, 81)];
        let usual = usual.into_iter().map(|(tag, value)| (tag, 4, vec![value]));
        let mut all: Vec<_> = usual.filter(|(tag, ..)| entries.iter().all(|other| other.0 != *tag)).collect();
        all.extend_from_slice(entries);
        all.sort_by_key(|entry| entry.0);
        tiff_of(true, false, &all, &[7; 200])
    }

    #[test]
    fn jpeg_data_inside_a_tiff_file_are_refused() {
        assert!(decode(&tiff_with(&[])).is_ok());
        // These tables are shorter than their own markers, which is a panic in the decoder.
        let tables = tiff_with(&[(259, 3, vec![7]), (347, 7, vec![0xff])]);
        assert!(matches!(decode(&tables), Err(DecodeError::Unsupported(_))), "{:?}", decode(&tables));
    }

    #[test]
    fn the_parts_of_a_tiff_cannot_all_claim_the_whole_file() {
        // Each strip is decompressed again: minutes for a file of 1 MiB that holds nothing but codes without
        // a meaning.
        let rows = |bytes| {
            [(257, 3, vec![4000]), (273, 4, vec![16; 4000]), (278, 3, vec![1]), (279, 4, vec![bytes; 4000])]
        };
        assert!(decode(&tiff_with(&rows(9))).is_ok());
        let error = decode(&tiff_with(&rows(30000))).unwrap_err().to_string();
        assert!(error.starts_with("corrupt TIFF: its parts claim 120000000 of the file's"), "{error}");
    }

    /// Panics of the WebP decoder: an animation's frame with alpha whose pixels are of another size than the
    /// frame.
    #[test]
    fn a_panic_of_a_decoder_is_an_error() {
        let alpha = (b"ALPH".to_vec(), vec![0; 1 + 4 * 4]);
        let head = [0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 0, 0, 0, 0, 0, 0];
        let frame = [&head[..], &riff_chunks(&[alpha, lossy_pixels()])].concat();
        let animated = extended(0x12, 64, &[(b"ANIM".to_vec(), vec![0; 6]), (b"ANMF".to_vec(), frame)]);
        assert_eq!(decode(&animated).unwrap_err().to_string(), "corrupt image: the decoder gave up on it");
    }

    #[test]
    fn a_text_in_a_png_is_not_inflated_without_end() {
        // An orientation behind 4 MiB of blanks is not found: reading stops at 2 MiB.
        let seed = encode_png(&RgbImage::new(2, 1, vec![9; 6]));
        let turned = |blanks: usize| {
            let xmp = [vec![b' '; blanks], b"tiff:Orientation=\"6".to_vec()].concat();
            let body = [&b"XML:com.adobe.xmp\0\x01\0\0\0"[..], &zlib(&xmp)].concat();
            let chunk = png_of(&[(b"iTXt".to_vec(), body)])[8..].to_vec();
            let image = decode(&[&seed[..33], &chunk, &seed[33..]].concat()).unwrap();
            (image.width, image.height)
        };
        assert_eq!(turned(100), (1, 2));
        assert_eq!(turned(4 << 20), (2, 1));
    }

    #[test]
    fn a_webp_cannot_claim_more_than_its_canvas_or_its_file_holds() {
        // Pixels that say 16383x16383 on a canvas of 1x1: 400 MB before the decoder compares the two.
        let (kind, mut pixels) = lossy_pixels();
        assert_eq!(pixels[3..6], [0x9d, 0x01, 0x2a]);
        pixels[6..10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
        let huge = extended(0, 1, &[(kind, pixels)]);
        assert_eq!(decode(&huge), Err(DecodeError::TooLarge { width: 16383, height: 16383 }));
        // Metadata of 4 GiB: ignored, as any that is broken.
        let mut swollen = extended(8, 32, &[lossy_pixels(), (b"EXIF".to_vec(), vec![0; 4])]);
        let at = swollen.windows(4).position(|four| four == b"EXIF").unwrap();
        swollen[at + 4..at + 8].fill(0xff);
        assert!(decode(&swollen).is_ok(), "{:?}", decode(&swollen));
    }

    #[test]
    fn an_error_stays_short_whatever_the_file_lists() {
        let file = tiff_with(&[(258, 3, vec![1; 5000]), (262, 3, vec![8]), (277, 3, vec![5000])]);
        let error = decode(&file).unwrap_err().to_string();
        assert!(error.len() < 300, "{} bytes: {}", error.len(), &error[..300]);
    }
}
