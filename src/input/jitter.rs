//! Colour jitter: brightness, contrast, saturation and hue, as torchvision's `ColorJitter` does them to
//! Pillow images (`torchvision/transforms/_functional_pil.py`; Pillow's `ImageEnhance` and `Image.blend`).
//!
//! The levels stay f32 in `[0, 255]` between the operations, where Pillow truncates to 8 bits after each;
//! each operation clips as 8-bit arithmetic would. Hue is computed in f32 too, where Pillow's HSV has 8 bits
//! a channel.
//!
//! A row is `[C, n]`: n pixels, C = 3 planes R G B, or C = 1 for a grey image, whose three channels are
//! equal.

use crate::simd::Level;

/// Pillow's weights of R, G and B in L (ITU-R 601-2): 19595, 38470 and 7471 of 65536, `Convert.c`.
const LUMA: [f32; 3] = [19595.0 / 65536.0, 38470.0 / 65536.0, 7471.0 / 65536.0];

/// One operation of the colour jitter with its drawn strength.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Blends with black: `factor * level`. 1 changes nothing. Factor ≥ 0.
    Brightness(f32),
    /// Blends with the rounded mean L of the whole image: `mean + factor * (level - mean)`. 1 changes
    /// nothing. Factor ≥ 0.
    Contrast(f32),
    /// Blends with the pixel's own L: `L + factor * (level - L)`. 1 changes nothing. Factor ≥ 0.
    Saturation(f32),
    /// Turns the hue by this part of the full circle, -0.5 to 0.5. 0 changes nothing.
    Hue(f32),
}

impl Jitter {
    /// Whether the operation leaves every image as it is.
    pub fn is_identity(self) -> bool {
        match self {
            Self::Brightness(factor) | Self::Contrast(factor) | Self::Saturation(factor) => factor == 1.0,
            Self::Hue(shift) => shift == 0.0,
        }
    }

    /// Whether the operation changes grey pixels (R = G = B).
    pub fn changes_grey(self) -> bool {
        matches!(self, Self::Brightness(_) | Self::Contrast(_))
    }
}

/// Applies one operation to a row `[C, n]`, C = 1 or 3. `mean` is the image's mean L (see [`mean_level`])
/// before the operation; only contrast reads it.
pub(crate) fn apply(level: Level, operation: Jitter, mean: f32, row: &mut [f32], channels: usize) {
    match operation {
        Jitter::Brightness(factor) => blend(level, row, factor, 0.0),
        Jitter::Contrast(factor) => blend(level, row, factor, mean),
        // Saturation and hue leave grey as it is.
        Jitter::Saturation(_) | Jitter::Hue(_) if channels == 1 => {}
        Jitter::Saturation(factor) => {
            let (red, green, blue) = planes(row);
            saturate(level, red, green, blue, factor);
        }
        Jitter::Hue(shift) => {
            let (red, green, blue) = planes(row);
            turn_hue(level, red, green, blue, shift);
        }
    }
}

/// The sum of L over a row `[C, n]`, C = 1 or 3.
pub(crate) fn sum_luma(level: Level, row: &[f32], channels: usize) -> f64 {
    let n = row.len() / channels;
    let (red, rest) = row.split_at(n);
    f64::from(if channels == 1 {
        sum(level, red)
    } else {
        sum_weighted(level, red, &rest[..n], &rest[n..2 * n])
    })
}

/// The level that contrast blends with: the mean of L over the image, rounded as Pillow does (`int(mean +
/// 0.5)`).
pub(crate) fn mean_level(sum: f64, pixels: usize) -> f32 {
    (sum / pixels as f64 + 0.5).floor() as f32
}

/// Splits a row `[3, n]` into its planes.
fn planes(row: &mut [f32]) -> (&mut [f32], &mut [f32], &mut [f32]) {
    let n = row.len() / 3;
    let (red, rest) = row.split_at_mut(n);
    let (green, blue) = rest.split_at_mut(n);
    (red, green, &mut blue[..n])
}

// `f32::min` and `f32::max` spend extra instructions on NaN, which cannot occur here; these are one
// instruction each.
#[inline(always)]
fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn clip(value: f32) -> f32 {
    min(max(value, 0.0), 255.0)
}

#[inline(always)]
fn luma(red: f32, green: f32, blue: f32) -> f32 {
    red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
}

vectorized! {
    /// `other + factor * (level - other)`, clipped.
    fn blend(row: &mut [f32], factor: f32, other: f32) {
        for value in row {
            *value = clip(other + factor * (*value - other));
        }
    }
}

vectorized! {
    fn saturate(red: &mut [f32], green: &mut [f32], blue: &mut [f32], factor: f32) {
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            let grey = luma(*red, *green, *blue);
            *red = clip(grey + factor * (*red - grey));
            *green = clip(grey + factor * (*green - grey));
            *blue = clip(grey + factor * (*blue - grey));
        }
    }
}

vectorized! {
    /// RGB → HSV, hue + shift, → RGB, without leaving the scale of the levels. The way back is the form
    /// without cases: with the hue h in sextants, R = low + chroma * clamp(|h - 3| - 1, 0, 1), G and B with 2
    /// - |h - 2| and 2 - |h - 4|.
    fn turn_hue(red: &mut [f32], green: &mut [f32], blue: &mut [f32], shift: f32) {
        let turn = (shift * 6.0 - 1.0).rem_euclid(6.0) + 1.0; // the shift in sextants, 1 to 7
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            let (r, g, b) = (*red, *green, *blue);
            let high = max(max(r, g), b);
            let low = min(min(r, g), b);
            let chroma = high - low;
            let (difference, start) = if high == r {
                (g - b, turn)
            } else if high == g {
                (b - r, turn + 2.0)
            } else {
                (r - g, turn + 4.0)
            };
            // Grey has no hue; any will do, since the chroma of 0 multiplies it away. The sum is -1..1 + 1..7
            // + 0..4, that is 0 to 12.
            let hue = difference / max(chroma, 1e-6) + start;
            let hue = hue - if hue >= 6.0 { 6.0 } else { 0.0 };
            *red = low + chroma * unit((hue - 3.0).abs() - 1.0);
            *green = low + chroma * unit(2.0 - (hue - 2.0).abs());
            *blue = low + chroma * unit(2.0 - (hue - 4.0).abs());
        }
    }
}

#[inline(always)]
fn unit(value: f32) -> f32 {
    min(max(value, 0.0), 1.0)
}

// A fixed number of partial sums, so that the compiler may use vectors without changing the order of the
// additions.
const LANES: usize = 16;

vectorized! {
    fn sum(row: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let mut chunks = row.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum += value;
            }
        }
        sums.iter().sum::<f32>() + chunks.remainder().iter().sum::<f32>()
    }
}

vectorized! {
    fn sum_weighted(red: &[f32], green: &[f32], blue: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let n = red.len() / LANES * LANES;
        let two = red[..n].chunks_exact(LANES).zip(green[..n].chunks_exact(LANES));
        for ((red, green), blue) in two.zip(blue[..n].chunks_exact(LANES)) {
            for lane in 0..LANES {
                sums[lane] += luma(red[lane], green[lane], blue[lane]);
            }
        }
        let rest = red[n..].iter().zip(&green[n..]).zip(&blue[n..]);
        sums.iter().sum::<f32>() + rest.map(|((&red, &green), &blue)| luma(red, green, blue)).sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::fixtures::{Case, Step, cases};

    fn operation(step: &Step) -> Jitter {
        let value = step.values[0];
        match step.name.as_str() {
            "brightness" => Jitter::Brightness(value),
            "contrast" => Jitter::Contrast(value),
            "saturation" => Jitter::Saturation(value),
            "hue" => Jitter::Hue(value),
            other => panic!("no jitter: {other}"),
        }
    }

    /// The fixture's source as planes, and that after its steps.
    fn jittered(case: &Case, level: Level) -> Vec<f32> {
        let n = case.source.pixels.len() / 3;
        let mut planes: Vec<f32> =
            (0..3 * n).map(|i| f32::from(case.source.pixels[i % n * 3 + i / n])).collect();
        for step in &case.steps {
            let mean = mean_level(sum_luma(level, &planes, 3), n);
            apply(level, operation(step), mean, &mut planes, 3);
        }
        planes
    }

    fn jitter_cases() -> Vec<Case> {
        cases()
            .into_iter()
            .filter(|case| case.only(&["brightness", "contrast", "saturation", "hue"]))
            .collect()
    }

    #[test]
    fn each_operation_and_their_sequences_follow_torchvision() {
        for case in jitter_cases() {
            let ours = jittered(&case, Level::detect());
            let n = ours.len() / 3;
            let differences: Vec<f32> =
                (0..3 * n).map(|i| ours[i] - f32::from(case.result.pixels[i % n * 3 + i / n])).collect();
            let mean = differences.iter().map(|d| d.abs()).sum::<f32>() / differences.len() as f32;
            let (low, high) =
                differences.iter().fold((0.0f32, 0.0f32), |(low, high), &d| (low.min(d), high.max(d)));
            eprintln!("{}: ours - torchvision: mean size {mean:.2}, {low:.2} to {high:.2}", case.describe());
            let (least, most) = match case.steps.as_slice() {
                // Pillow truncates the blend, so that ours lies up to 1 above; it rounds L in saturation. Its
                // hue has 8 bits, that is up to 6 / 255 of the chroma for the hue and again for the shift,
                // both truncated.
                [step] if step.name == "hue" => (-10.0, 10.0),
                [step] if step.name == "saturation" => (-0.11, 1.11),
                [_] => (-0.01, 1.01),
                _ => (-15.0, 15.0),
            };
            assert!(mean < 2.5, "{}: {mean}", case.describe());
            assert!(low >= least && high <= most, "{}: {low} to {high}", case.describe());
        }
    }

    #[test]
    fn the_versions_of_the_code_agree_bit_for_bit() {
        let cases = jitter_cases();
        assert!(cases.len() > 5);
        for case in cases {
            let mut versions = Level::available().map(|level| jittered(&case, level));
            let portable = versions.next().unwrap();
            assert!(versions.all(|version| version == portable), "{}", case.describe());
        }
    }

    /// RGB → HSV, hue + shift, → RGB by the textbook, case by case, in f64.
    fn turned_by_the_book([r, g, b]: [f64; 3], shift: f64) -> [f64; 3] {
        let (high, low) = (r.max(g).max(b), r.min(g).min(b));
        if high == low {
            return [r, g, b];
        }
        let hue = match high {
            _ if high == r => (g - b) / (high - low),
            _ if high == g => (b - r) / (high - low) + 2.0,
            _ => (r - g) / (high - low) + 4.0,
        };
        let hue = (hue + shift * 6.0).rem_euclid(6.0);
        let rising = low + (high - low) * hue.fract();
        let falling = high - (high - low) * hue.fract();
        match hue as u8 {
            0 => [high, rising, low],
            1 => [falling, high, low],
            2 => [low, high, rising],
            3 => [low, falling, high],
            4 => [rising, low, high],
            _ => [high, low, falling],
        }
    }

    #[test]
    fn hue_is_the_textbooks() {
        let levels = [0.0, 1.0, 51.0, 127.5, 200.0, 255.0];
        let pixels: Vec<[f32; 3]> =
            (0..216).map(|i| [levels[i % 6], levels[i / 6 % 6], levels[i / 36]]).collect();
        for shift in [-0.5, -0.1, -0.001, 0.05, 0.1, 1.0 / 6.0, 0.5] {
            let mut planes: Vec<f32> =
                (0..3).flat_map(|c| pixels.iter().map(move |pixel| pixel[c])).collect();
            apply(Level::detect(), Jitter::Hue(shift), 0.0, &mut planes, 3);
            for (i, pixel) in pixels.iter().enumerate() {
                let expected = turned_by_the_book(pixel.map(f64::from), f64::from(shift));
                for c in 0..3 {
                    let ours = f64::from(planes[c * pixels.len() + i]);
                    assert!(
                        (ours - expected[c]).abs() < 1e-3,
                        "{pixel:?} by {shift}: {ours} for {expected:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn full_turns_and_grey_keep_the_color() {
        let original: Vec<f32> = vec![200.0, 10.0, 77.0, 30.0, 250.0, 77.0, 90.0, 130.0, 77.0];
        let mut turned = original.clone();
        for _ in 0..3 {
            apply(Level::detect(), Jitter::Hue(1.0 / 3.0), 0.0, &mut turned, 3);
        }
        assert!(original.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 0.01), "{turned:?}");
        // A third of the circle takes red to green and leaves the grey pixel.
        apply(Level::detect(), Jitter::Hue(1.0 / 3.0), 0.0, &mut turned, 3);
        let expected = [90.0, 130.0, 77.0, 200.0, 10.0, 77.0, 30.0, 250.0, 77.0];
        assert!(expected.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 0.01), "{turned:?}");
    }

    #[test]
    fn one_plane_gives_what_three_equal_planes_give() {
        let plane: Vec<f32> = (0..50).map(|i| (i * 5) as f32).collect();
        for operation in
            [Jitter::Brightness(1.2), Jitter::Contrast(0.8), Jitter::Saturation(1.2), Jitter::Hue(0.1)]
        {
            let (mut one, mut three) = (plane.clone(), plane.repeat(3));
            let mean = |row: &[f32], channels| mean_level(sum_luma(Level::detect(), row, channels), 50);
            let means = [mean(&one, 1), mean(&three, 3)];
            assert_eq!(means[0], means[1]);
            apply(Level::detect(), operation, means[0], &mut one, 1);
            apply(Level::detect(), operation, means[1], &mut three, 3);
            assert!(three.iter().zip(one.iter().cycle()).all(|(a, b)| (a - b).abs() < 1e-3), "{operation:?}");
        }
    }

    #[test]
    fn levels_are_clipped_after_each_operation() {
        let mut row = vec![240.0, 10.0];
        apply(Level::detect(), Jitter::Brightness(1.2), 0.0, &mut row, 1);
        assert_eq!(row, [255.0, 12.0]);
        apply(Level::detect(), Jitter::Contrast(2.0), 100.0, &mut row, 1);
        assert_eq!(row, [255.0, 0.0]);
    }
}
