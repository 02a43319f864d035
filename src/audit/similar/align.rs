//! How alike two fingerprints are: their correlation as they lie, and after the best small shift and zoom.

use std::ops::Range;

use super::fingerprint::{PIXELS, SIDE};
use crate::simd::Level;

vectorized! {
    /// Σ a·a, Σ b·b and Σ a·b.
    fn products(a: &[i8], b: &[i8]) -> [i32; 3] {
        let mut sums = [0i32; 3];
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (i32::from(a), i32::from(b));
            sums[0] += a * a;
            sums[1] += b * b;
            sums[2] += a * b;
        }
        sums
    }
}

/// The correlation of two details without alignment. Their means are 0.
pub(super) fn correlation(level: Level, a: &[i8], b: &[i8]) -> f64 {
    let [aa, bb, ab] = products(level, a, b).map(f64::from);
    ab / (aa * bb).sqrt()
}

/// A detail that others are aligned to by the inverse compositional method (Baker & Matthews 2004):
/// everything that depends on the template alone is computed once.
pub(super) struct Template {
    values: [f32; PIXELS],
    /// By how much each pixel changes with a shift right, a shift down and an enlargement.
    slopes: [[f32; PIXELS]; 3],
    /// The inverse of the slopes' products, `[3, 3]`.
    inverse: [[f32; 3]; 3],
}

/// Where a pixel of the template lies in the other image: `zoom · (x − centre) + centre + shift`.
#[derive(Clone, Copy)]
struct Placing {
    shift: [f32; 2],
    zoom: f32,
}

/// Steps of alignment. Copies need three or four.
const STEPS: usize = 6;

/// By how much the correlation may still be below the threshold after each step; copies that are found at all
/// are closer.
const HOPEFUL: [f64; STEPS - 1] = [0.22, 0.1, 0.05, 0.03, 0.02];

/// The centre of a small image.
const CENTRE: f32 = (SIDE - 1) as f32 / 2.0;

/// Limits of the search: a shift by a sixth of the width, and a zoom by a quarter.
const FARTHEST: f32 = SIDE as f32 / 6.0;
const LARGEST_ZOOM: f32 = 1.25;

impl Template {
    pub(super) fn new(detail: &[i8]) -> Self {
        let values: [f32; PIXELS] = std::array::from_fn(|at| f32::from(detail[at]));
        let mut slopes = [[0.0; PIXELS]; 3];
        for y in 0..SIDE {
            for x in 0..SIDE {
                let difference = |low: usize, high: usize, span: usize| {
                    if span == 0 { 0.0 } else { (values[high] - values[low]) / span as f32 }
                };
                let (left, right) = (x.saturating_sub(1), (x + 1).min(SIDE - 1));
                let (up, down) = (y.saturating_sub(1), (y + 1).min(SIDE - 1));
                let across = difference(y * SIDE + left, y * SIDE + right, right - left);
                let along = difference(up * SIDE + x, down * SIDE + x, down - up);
                slopes[0][y * SIDE + x] = across;
                slopes[1][y * SIDE + x] = along;
                slopes[2][y * SIDE + x] = (x as f32 - CENTRE) * across + (y as f32 - CENTRE) * along;
            }
        }
        let product = |i: usize, j: usize| slopes[i].iter().zip(&slopes[j]).map(|(a, b)| a * b).sum::<f32>();
        let inverse = inverse(std::array::from_fn(|i| std::array::from_fn(|j| product(i, j))));
        Self { values, slopes, inverse }
    }

    /// The correlation with another detail at the best alignment that a few steps find. Gives up early where
    /// the first steps leave it far below `wanted`.
    pub(super) fn align(&self, level: Level, other: &[i8], wanted: f64) -> f64 {
        let mut placing = Placing { shift: [0.0; 2], zoom: 1.0 };
        let (mut best, mut moved) = (-1.0, [0.0; PIXELS]);
        for step in 0..STEPS {
            let inside = warp(level, other, placing, &mut moved);
            let Some((correlation, pull)) = compare(level, &self.values, &moved, &inside, &self.slopes)
            else {
                break;
            };
            if correlation <= best + 1e-4 {
                break;
            }
            best = correlation;
            if best >= wanted || (step > 0 && best < wanted - HOPEFUL[step - 1]) {
                break;
            }
            let step: [f32; 3] = std::array::from_fn(|i| (0..3).map(|j| self.inverse[i][j] * pull[j]).sum());
            // The step is the template's: the other image is moved by its inverse.
            let shrunk = 1.0 + step[2].clamp(-0.2, 0.2);
            let zoom = placing.zoom / shrunk;
            let shift = std::array::from_fn(|axis| placing.shift[axis] - zoom * step[axis]);
            if shift.iter().any(|shift: &f32| shift.abs() > FARTHEST)
                || !(1.0 / LARGEST_ZOOM..=LARGEST_ZOOM).contains(&zoom)
            {
                break;
            }
            placing = Placing { shift, zoom };
        }
        best
    }
}

/// The pixels of the template that lie within the other image.
struct Inside {
    /// 1 for a column within, 0 for one outside: whole rows are summed faster than parts of them.
    columns: [f32; SIDE],
    rows: Range<usize>,
}

fn rows<'a>(values: &'a [f32; PIXELS], inside: &Inside) -> &'a [[f32; SIDE]] {
    &values.as_chunks().0[inside.rows.clone()]
}

vectorized! {
    /// The other image in the template's place, linear between pixels. Pixels outside have no meaning.
    fn warp(other: &[i8], placing: Placing, moved: &mut [f32; PIXELS]) -> Inside {
        let place =
            |axis: usize, at: usize| placing.zoom * (at as f32 - CENTRE) + CENTRE + placing.shift[axis];
        let within = |place: f32| (0.0..=(SIDE - 1) as f32).contains(&place);
        let mut across = [(0usize, 0.0f32); SIDE];
        let mut columns = [0.0; SIDE];
        for x in 0..SIDE {
            let place = place(0, x);
            let whole = (place.max(0.0) as usize).min(SIDE - 2);
            (across[x], columns[x]) = ((whole, place - whole as f32), f32::from(u8::from(within(place))));
        }
        let (mut top, mut end) = (SIDE, 0);
        for y in 0..SIDE {
            let place = place(1, y);
            if !within(place) {
                continue;
            }
            (top, end) = (top.min(y), y + 1);
            let row = (place as usize).min(SIDE - 2);
            let down = place - row as f32;
            let mut mixed = [0.0f32; SIDE];
            let (above, below) = (&other[row * SIDE..][..SIDE], &other[(row + 1) * SIDE..][..SIDE]);
            for x in 0..SIDE {
                let (above, below) = (f32::from(above[x]), f32::from(below[x]));
                mixed[x] = above + down * (below - above);
            }
            for (value, (column, right)) in moved[y * SIDE..][..SIDE].iter_mut().zip(across) {
                *value = mixed[column] + right * (mixed[column + 1] - mixed[column]);
            }
        }
        Inside { columns, rows: top.min(end)..end }
    }
}

/// The correlation of two images over a part, and Σ slope · (moved − template) with both brought to one mean
/// and deviation. `None` where the part is small or one of the two is flat there.
fn compare(
    level: Level,
    template: &[f32; PIXELS],
    moved: &[f32; PIXELS],
    inside: &Inside,
    slopes: &[[f32; PIXELS]; 3],
) -> Option<(f64, [f32; 3])> {
    let n = inside.columns.iter().sum::<f32>() * inside.rows.len() as f32;
    if n < (PIXELS / 2) as f32 {
        return None;
    }
    let [a, b, aa, bb, ab] = moments(level, template, moved, inside);
    let [spread_a, spread_b] = [aa / n - (a / n).powi(2), bb / n - (b / n).powi(2)];
    if spread_a < 1.0 || spread_b < 1.0 {
        return None;
    }
    let correlation = (ab / n - a / n * (b / n)) / (spread_a * spread_b).sqrt();
    let gain = (spread_a / spread_b).sqrt();
    let pull = pull(level, template, moved, inside, slopes, [gain, a / n - gain * b / n]);
    Some((f64::from(correlation), pull))
}

vectorized! {
    /// Σ a, Σ b, Σ a², Σ b², Σ ab over a part.
    fn moments(a: &[f32; PIXELS], b: &[f32; PIXELS], inside: &Inside) -> [f32; 5] {
        let mut sums = [[0.0f32; SIDE]; 5];
        for (a, b) in rows(a, inside).iter().zip(rows(b, inside)) {
            for x in 0..SIDE {
                sums[0][x] += a[x];
                sums[1][x] += b[x];
                sums[2][x] += a[x] * a[x];
                sums[3][x] += b[x] * b[x];
                sums[4][x] += a[x] * b[x];
            }
        }
        sums.map(|columns| columns.iter().zip(&inside.columns).map(|(sum, within)| sum * within).sum())
    }
}

vectorized! {
    /// Σ slope · (gain · moved + offset − template) over a part; `scale` is gain and offset.
    fn pull(
        template: &[f32; PIXELS],
        moved: &[f32; PIXELS],
        inside: &Inside,
        slopes: &[[f32; PIXELS]; 3],
        scale: [f32; 2],
    ) -> [f32; 3] {
        let [gain, offset] = scale;
        let [template, moved] = [template, moved].map(|values| rows(values, inside));
        let [right, down, larger] = [0, 1, 2].map(|which| rows(&slopes[which], inside));
        let mut sums = [[0.0f32; SIDE]; 3];
        let slopes = right.iter().zip(down).zip(larger);
        for ((template, moved), ((right, down), larger)) in template.iter().zip(moved).zip(slopes) {
            for x in 0..SIDE {
                let error = gain * moved[x] + offset - template[x];
                sums[0][x] += right[x] * error;
                sums[1][x] += down[x] * error;
                sums[2][x] += larger[x] * error;
            }
        }
        sums.map(|columns| columns.iter().zip(&inside.columns).map(|(sum, within)| sum * within).sum())
    }
}

/// The inverse of a symmetric positive matrix; zeros where there is none.
fn inverse(m: [[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let minor = |i: usize, j: usize| {
        let (a, b, c, d) = ((i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f32 = (0..3).map(|j| m[0][j] * minor(0, j)).sum();
    if determinant.abs() < 1e-6 {
        return [[0.0; 3]; 3];
    }
    std::array::from_fn(|i| std::array::from_fn(|j| minor(j, i) / determinant))
}
