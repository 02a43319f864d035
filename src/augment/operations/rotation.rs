//! Rotation about the centre, as Pillow's `Image.rotate` with bilinear resampling.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::operation::{Apply, Configured, Keys, between};
use super::scratch::Scratch;
use super::warp::pillow;
use crate::error::Result;
use crate::image::Bitmap;

/// The table `[operations.rotation]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Least and greatest angle in degrees, counter-clockwise, within -180 to 180.
    pub angle: [f64; 2],
}

/// A rotation as it was drawn for one copy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Degrees, counter-clockwise if positive.
    pub angle: f64,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 1.0, angle: [-10.0, 10.0] }
    }

    fn reference() -> Self {
        Self { weight: 1.0, angle: [-15.0, 15.0] }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        keys.range("angle", self.angle, [-180.0, 180.0])
    }

    fn draw(&self, _: usize, _: usize, rng: &mut impl Rng) -> Drawn {
        Drawn { angle: between(self.angle, rng) }
    }
}

impl Apply for Drawn {
    const IS_GEOMETRIC: bool = true;

    fn apply(&self, image: &mut Bitmap, border: Border, scratch: &mut Scratch) -> usize {
        let matrix = turn(image.width, image.height, self.angle);
        pillow::warp(image, matrix, border, scratch)
    }

    fn label(&self) -> String {
        format!("by {:+.1}°", self.angle)
    }
}

/// The inverse map of Pillow's `Image.rotate`: x and y of the source for those of the target, `[a b c d e
/// f]`.
fn turn(width: usize, height: usize, angle: f64) -> [f64; 6] {
    let (sin, cos) = (-angle.rem_euclid(360.0).to_radians()).sin_cos();
    let [cos, sin, minus_sin] = [cos, sin, -sin].map(round_to_15_digits);
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    [cos, sin, cos * -x + sin * -y + x, minus_sin, cos, minus_sin * -x + cos * -y + y]
}

/// Python's `round(value, 15)`, for values from -1 to 1: the nearest decimal of 15 digits, then the nearest
/// f64.
fn round_to_15_digits(value: f64) -> f64 {
    use std::io::Write;
    let mut text = [0u8; 32];
    let mut rest = &mut text[..];
    let written = write!(rest, "{value:.15}");
    let length = 32 - rest.len();
    let parsed = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.parse().ok());
    parsed.filter(|_| written.is_ok()).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SIZES, random, shown};
    use super::*;

    /// Pillow's rotation from its definition, with the border's pixels where neighbours are beyond the image.
    fn rotated(image: &Bitmap, angle: f64, border: Border) -> Vec<f64> {
        let Bitmap { width: w, height: h, channels, .. } = *image;
        let m = turn(w, h, angle);
        let mut levels = Vec::new();
        for i in 0..image.pixels.len() {
            let (x, y) = ((i / channels % w) as f64 + 0.5, (i / channels / w) as f64 + 0.5);
            let (x, y) = (m[0] * x + m[1] * y + m[2] - 0.5, m[3] * x + m[4] * y + m[5] - 0.5);
            let level = |dx: i64, dy: i64| {
                let (x, y) =
                    (shown(x.floor() as i64 + dx, w, border), shown(y.floor() as i64 + dy, h, border));
                x.zip(y).map_or(0.0, |(x, y)| f64::from(image.pixels[(y * w + x) * channels + i % channels]))
            };
            let (dx, dy) = (x - x.floor(), y - y.floor());
            let top = level(0, 0) * (1.0 - dx) + level(1, 0) * dx;
            let bottom = level(0, 1) * (1.0 - dx) + level(1, 1) * dx;
            levels.push(top * (1.0 - dy) + bottom * dy);
        }
        levels
    }

    #[test]
    fn the_other_borders_of_the_rotation_are_what_they_say() {
        let mut scratch = Scratch::default();
        for (w, h) in SIZES {
            for channels in [1, 3] {
                let image = random(w, h, channels);
                for border in [Border::Reflect101, Border::Replicate] {
                    for angle in [12.3, -61.0, 90.0, 170.0] {
                        let mut ours = image.clone();
                        Drawn { angle }.apply(&mut ours, border, &mut scratch);
                        for (&ours, expected) in ours.pixels.iter().zip(rotated(&image, angle, border)) {
                            // Truncated, in an order of additions of its own.
                            let difference = expected - f64::from(ours);
                            assert!(
                                (-1e-9..1.0 + 1e-9).contains(&difference),
                                "{image:?}: {angle}: {ours} for {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn decimals_are_rounded_as_python_does() {
        assert_eq!(round_to_15_digits(6.123233995736766e-17), 0.0);
        assert_eq!(round_to_15_digits(0.965_925_826_289_068_3), 0.965_925_826_289_068);
        assert_eq!(round_to_15_digits(-1.0), -1.0);
        assert_eq!(round_to_15_digits(-0.258_819_045_102_520_74), -0.258_819_045_102_521);
    }
}
