//! Perspective: each corner moves inward, as OpenCV's `warpPerspective`.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::operation::{Apply, Configured, Keys, between};
use super::scratch::Scratch;
use super::warp::opencv::{project, warp};
use crate::error::Result;
use crate::image::Bitmap;

/// The table `[operations.perspective]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// How far a corner moves at most, in x and in y, as a part of the image's width, 0 to 0.4.
    pub shift: f64,
}

/// One change of perspective.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Where the corners (0, 0), (w, 0), (0, h) and (w, h) go, each as x, y in pixels.
    pub corners: [[f32; 2]; 4],
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 1.0, shift: 0.05 }
    }

    fn reference() -> Self {
        Self { weight: 1.0, shift: 0.05 }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        keys.within("shift", self.shift, [0.0, 0.4])
    }

    fn draw(&self, width: usize, height: usize, rng: &mut impl Rng) -> Drawn {
        let (right, bottom) = (width as f64, height as f64);
        let shift = right * self.shift;
        let mut inward = || between([0.0, shift.min(0.4 * bottom)], rng);
        let corners = [
            [inward(), inward()],
            [right - inward(), inward()],
            [inward(), bottom - inward()],
            [right - inward(), bottom - inward()],
        ];
        Drawn { corners: corners.map(|corner| corner.map(|value| value as f32)) }
    }
}

impl Apply for Drawn {
    const IS_GEOMETRIC: bool = true;

    /// `warpPerspective(image, getPerspectiveTransform(before, corners), (w, h))`. Corners between which no
    /// image can lie give an image without meaning.
    fn apply(&self, image: &mut Bitmap, border: Border, scratch: &mut Scratch) -> usize {
        let (width, height) = (image.width, image.height);
        let matrix = invert(homography(width, height, self.corners));
        // OpenCV works in blocks of up to 1024 pixels and begins each with the sum for its first column; the
        // order of the additions is part of the result.
        let block = (1024 / height.clamp(1, 16)).min(width.max(1));
        warp(image, border, scratch, |level, row, [x, y]| {
            for (i, (x, y)) in x.chunks_mut(block).zip(y.chunks_mut(block)).enumerate() {
                let start =
                    |k: usize| matrix[k] * (i * block) as f64 + matrix[k + 1] * row as f64 + matrix[k + 2];
                project(level, [0, 3, 6].map(|k| (start(k), matrix[k])), x, y);
            }
        })
    }

    fn label(&self) -> String {
        let [x, y] = self.corners[0];
        format!("top left by {x:.1}, {y:.1} px")
    }
}

/// OpenCV's `getPerspectiveTransform` from the corners of the image to `corners`: some products in f32, the
/// solution in f64.
pub(super) fn homography(width: usize, height: usize, corners: [[f32; 2]; 4]) -> [f64; 9] {
    let (w, h) = (width as f32, height as f32);
    let mut a = [[0.0; 8]; 8];
    let mut b = [0.0; 8];
    for (i, ([x, y], [u, v])) in [[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]].into_iter().zip(corners).enumerate()
    {
        a[i] = [x, y, 1.0, 0.0, 0.0, 0.0, -x * u, -y * u].map(f64::from);
        a[i + 4] = [0.0, 0.0, 0.0, x, y, 1.0, -x * v, -y * v].map(f64::from);
        [b[i], b[i + 4]] = [u, v].map(f64::from);
    }
    let mut matrix = [0.0; 9];
    matrix[..8].copy_from_slice(&solve(a, b).unwrap_or_default());
    matrix[8] = 1.0;
    matrix
}

/// OpenCV's solution by LU decomposition (`matrix_operations`, `LUImpl`), in its order. None where there is
/// no solution.
fn solve(mut a: [[f64; 8]; 8], mut b: [f64; 8]) -> Option<[f64; 8]> {
    for i in 0..8 {
        let mut pivot = i;
        for row in i + 1..8 {
            if a[row][i].abs() > a[pivot][i].abs() {
                pivot = row;
            }
        }
        if a[pivot][i].abs() < f64::EPSILON * 100.0 {
            return None;
        }
        a.swap(i, pivot);
        b.swap(i, pivot);
        let (line, value) = (a[i], b[i]);
        let d = -1.0 / line[i];
        for (below, other) in a.iter_mut().zip(&mut b).skip(i + 1) {
            let factor = below[i] * d;
            for (element, pivot) in below.iter_mut().zip(line).skip(i + 1) {
                *element += factor * pivot;
            }
            *other += factor * value;
        }
    }
    for i in (0..8).rev() {
        let mut sum = b[i];
        for (factor, known) in a[i].iter().zip(b).skip(i + 1) {
            sum -= factor * known;
        }
        b[i] = sum / a[i][i];
    }
    Some(b)
}

/// OpenCV's inverse of a 3 × 3 matrix; all 0 where there is none.
fn invert(m: [f64; 9]) -> [f64; 9] {
    let minor = |a: usize, b: usize, c: usize, d: usize| m[a] * m[b] - m[c] * m[d];
    let determinant = m[0] * minor(4, 8, 5, 7) - m[1] * minor(3, 8, 5, 6) + m[2] * minor(3, 7, 4, 6);
    if determinant == 0.0 {
        return [0.0; 9];
    }
    let d = 1.0 / determinant;
    let minors = [
        [minor(4, 8, 5, 7), minor(2, 7, 1, 8), minor(1, 5, 2, 4)],
        [minor(5, 6, 3, 8), minor(0, 8, 2, 6), minor(2, 3, 0, 5)],
        [minor(3, 7, 4, 6), minor(1, 6, 0, 7), minor(0, 4, 1, 3)],
    ];
    std::array::from_fn(|i| minors[i / 3][i % 3] * d)
}
