//! Levels and pixels: Pillow's blending, rounding to a level, planes and back.

/// Added to a number of up to 51 bits, it leaves the number, rounded half to even, in the lowest bits.
pub(super) const TO_INTEGER: f64 = (3u64 << 51) as f64;

/// Pillow's `Image.blend` of a level with that of a degenerate image (`Blend.c`): `d + factor * (level - d)`
/// in f32, clipped and truncated. What lies between the two, for a factor of 0 to 1, is not changed by
/// clipping.
#[inline(always)]
pub(super) fn blended(level: u8, other: u8, factor: f32) -> u8 {
    truncated(f32::from(other) + factor * f32::from(i16::from(level) - i16::from(other)))
}

vectorized! {
    /// [`blended`] for each level, all with the same degenerate image.
    pub(super) fn blend_with(levels: &mut [u8], other: u8, factor: f32) {
        for level in levels {
            *level = blended(*level, other, factor);
        }
    }
}

/// The level, clipped and without what is behind the point; 0 for NaN. The same as `level as u8`, which
/// compilers do not turn into vector instructions.
#[inline(always)]
pub(super) fn truncated(level: f32) -> u8 {
    let level = if level > 0.0 { level } else { 0.0 };
    let level = if level < 255.0 { level } else { 255.0 };
    // SAFETY: 0 to 255, and NaN has become 0.
    unsafe { level.to_int_unchecked::<i32>() as u8 }
}

/// As [`truncated`].
#[inline(always)]
pub(super) fn truncated_exactly(level: f64) -> u8 {
    let level = if level > 0.0 { level } else { 0.0 };
    let level = if level < 255.0 { level } else { 255.0 };
    // SAFETY: 0 to 255, and NaN has become 0.
    unsafe { level.to_int_unchecked::<i32>() as u8 }
}

vectorized! {
    /// Pixels `[n, 3]` to planes `[3, n]`.
    pub(super) fn deinterleave(pixels: &[u8], planes: &mut [u8]) {
        let (red, rest) = planes.split_at_mut(pixels.len() / 3);
        let (green, blue) = rest.split_at_mut(pixels.len() / 3);
        for (((pixel, red), green), blue) in pixels.as_chunks::<3>().0.iter().zip(red).zip(green).zip(blue) {
            [*red, *green, *blue] = *pixel;
        }
    }
}

vectorized! {
    /// Planes `[3, n]` to pixels `[n, 3]`.
    pub(super) fn interleave(planes: &[u8], pixels: &mut [u8]) {
        let (red, rest) = planes.split_at(pixels.len() / 3);
        let (green, blue) = rest.split_at(pixels.len() / 3);
        let pixels = pixels.as_chunks_mut::<3>().0.iter_mut();
        for (((pixel, &red), &green), &blue) in pixels.zip(red).zip(green).zip(blue) {
            *pixel = [red, green, blue];
        }
    }
}
