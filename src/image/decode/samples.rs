//! From samples as files store them to RGB.

/// The high byte of a 16-bit sample in the machine's byte order.
#[inline]
pub(super) fn high(first: u8, second: u8) -> u8 {
    (u16::from_ne_bytes([first, second]) >> 8) as u8
}

/// Pillow's `cmyk2rgb`, with its rounded division by 255.
#[inline]
pub(super) fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - i32::from(k);
    [c, m, y].map(|ink| {
        let product = i32::from(ink) * light + 128;
        (light - (((product >> 8) + product) >> 8)).clamp(0, 255) as u8
    })
}

/// Pillow's 16-bit grey to RGB: whatever does not fit is white.
#[inline]
pub(super) fn clip(value: u16) -> u8 {
    value.min(255) as u8
}

/// Makes RGB of pixels of `N >= 3` bytes in their own buffer.
pub(super) fn pack<const N: usize>(mut samples: Vec<u8>, rgb: impl Fn(&[u8; N]) -> [u8; 3]) -> Vec<u8> {
    let count = samples.len() / N;
    for i in 0..count {
        let pixel: &[u8; N] = samples[i * N..].first_chunk().expect("the buffer holds whole pixels");
        let rgb = rgb(pixel);
        samples[i * 3..i * 3 + 3].copy_from_slice(&rgb);
    }
    samples.truncate(count * 3);
    samples.shrink_to_fit();
    samples
}

/// Makes RGB of pixels of `N < 3` bytes.
pub(super) fn spread<const N: usize>(samples: &[u8], rgb: impl Fn(&[u8; N]) -> [u8; 3]) -> Vec<u8> {
    let mut pixels = vec![0; samples.len() / N * 3];
    for (pixel, sample) in pixels.as_chunks_mut().0.iter_mut().zip(samples.as_chunks::<N>().0) {
        *pixel = rgb(sample);
    }
    pixels
}

/// Makes RGB of `depth`-bit values, the first in the highest bits, in rows of `row` bytes.
pub(super) fn unpack_bits(
    samples: &[u8],
    row: usize,
    width: usize,
    depth: usize,
    rgb: impl Fn(u8) -> [u8; 3],
) -> Vec<u8> {
    let per_byte = 8 / depth;
    let mask = ((1u16 << depth) - 1) as u8;
    let value = |line: &[u8], x: usize| (line[x / per_byte] >> (8 - depth - x % per_byte * depth)) & mask;
    let mut pixels = Vec::with_capacity(samples.len() / row * width * 3);
    for line in samples.chunks_exact(row) {
        (0..width).for_each(|x| pixels.extend(rgb(value(line, x))));
    }
    pixels
}
