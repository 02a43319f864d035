//! Rotation with a change of scale, as OpenCV's `warpAffine` by `getRotationMatrix2D`.

use std::f64::consts::PI;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::operation::{Apply, Configured, Keys, between};
use super::scratch::Scratch;
use super::warp::opencv::{place, to_integer, warp};
use crate::error::Result;
use crate::image::Bitmap;

/// The table `[operations.affine]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Least and greatest angle in degrees, counter-clockwise, within -180 to 180.
    pub angle: [f64; 2],
    /// Least and greatest scale, within 0.1 to 10; above 1 enlarges.
    pub scale: [f64; 2],
}

/// One rotation with its scale.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Degrees, counter-clockwise if positive.
    pub angle: f64,
    /// Above 0; above 1 enlarges.
    pub scale: f64,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 1.0, angle: [-10.0, 10.0], scale: [0.9, 1.1] }
    }

    fn reference() -> Self {
        Self { weight: 1.0, angle: [-15.0, 15.0], scale: [0.9, 1.1] }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        keys.range("angle", self.angle, [-180.0, 180.0])?;
        keys.range("scale", self.scale, [0.1, 10.0])
    }

    fn draw(&self, _: usize, _: usize, rng: &mut impl Rng) -> Drawn {
        Drawn { angle: between(self.angle, rng), scale: between(self.scale, rng) }
    }
}

impl Apply for Drawn {
    const IS_GEOMETRIC: bool = true;

    /// `warpAffine(image, getRotationMatrix2D((w / 2, h / 2), angle, scale), (w, h))`.
    fn apply(&self, image: &mut Bitmap, border: Border, scratch: &mut Scratch) -> usize {
        let matrix = invert(turn_and_scale(image.width, image.height, self.angle, self.scale));
        // OpenCV's `AB_BITS`: ten bits after the point, of which five are kept, rounded.
        let fixed = |value: f64| to_integer(value * 1024.0);
        let mut steps = std::mem::take(&mut scratch.warp.steps);
        for (steps, factor) in steps.iter_mut().zip([matrix[0], matrix[3]]) {
            steps.clear();
            steps.extend((0..image.width).map(|x| fixed(factor * x as f64)));
        }
        let uncovered = warp(image, border, scratch, |level, row, [x, y]| {
            let row = row as f64;
            place(level, &steps[0], fixed(matrix[1] * row + matrix[2]), x);
            place(level, &steps[1], fixed(matrix[4] * row + matrix[5]), y);
        });
        scratch.warp.steps = steps;
        uncovered
    }

    fn label(&self) -> String {
        format!("by {:+.1}°, scale {:.2}", self.angle, self.scale)
    }
}

/// OpenCV's `getRotationMatrix2D((w / 2, h / 2), angle, scale)`.
pub(super) fn turn_and_scale(width: usize, height: usize, angle: f64, scale: f64) -> [f64; 6] {
    let (sin, cos) = (angle * (PI / 180.0)).sin_cos();
    let (a, b) = (cos * scale, sin * scale);
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    [a, b, (1.0 - a) * x - b * y, -b, a, b * x + (1.0 - a) * y]
}

/// As `warpAffine` inverts its matrix.
fn invert(m: [f64; 6]) -> [f64; 6] {
    let determinant = m[0] * m[4] - m[1] * m[3];
    let d = if determinant != 0.0 { 1.0 / determinant } else { 0.0 };
    let [a, b, c, e] = [m[4] * d, m[1] * -d, m[3] * -d, m[0] * d];
    [a, b, -a * m[2] - b * m[5], c, e, -c * m[2] - e * m[5]]
}
