//! A class activation map: a small grid of numbers, and how it is enlarged.

/// A map at the resolution of the features: how much each place supports the class; 0 or more, without a
/// unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Columns of the map.
    pub width: usize,
    /// Rows of the map.
    pub height: usize,
    /// `[height, width]`, row-major.
    pub values: Vec<f32>,
}

impl Map {
    /// The same, scaled so that its largest value is 1; a map of zeros stays as it is.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let largest = self.values.iter().copied().fold(0.0, f32::max);
        let factor = if largest > 0.0 { 1.0 / largest } else { 0.0 };
        Self { values: self.values.iter().map(|value| value * factor).collect(), ..*self }
    }

    /// The same, shifted and scaled so that its smallest value is 0 and its largest 1; a constant map
    /// becomes zeros.
    #[must_use]
    pub fn unit_range(&self) -> Self {
        let low = self.values.iter().copied().fold(f32::INFINITY, f32::min);
        Self { values: self.values.iter().map(|value| value - low).collect(), ..*self }.normalized()
    }

    /// The same, flipped left to right.
    pub(super) fn mirrored(&self) -> Self {
        let values = self.values.chunks_exact(self.width).flat_map(|row| row.iter().rev().copied()).collect();
        Self { values, ..*self }
    }
}

/// The map at `width` × `height`, bilinear with half-pixel centres (torch's `interpolate(mode="bilinear",
/// align_corners=False)`): `[height, width]`, row-major.
pub fn stretch(map: &Map, width: usize, height: usize) -> Vec<f32> {
    let columns = taps(map.width, width);
    let mut out = Vec::with_capacity(width * height);
    for (top, bottom, down) in taps(map.height, height) {
        let (above, below) =
            (&map.values[top * map.width..][..map.width], &map.values[bottom * map.width..][..map.width]);
        out.extend(columns.iter().map(|&(left, right, across)| {
            let upper = above[left] + (above[right] - above[left]) * across;
            let lower = below[left] + (below[right] - below[left]) * across;
            upper + (lower - upper) * down
        }));
    }
    out
}

/// For each of `target` pixels the two of `source` that it lies between, and the share of the second.
fn taps(source: usize, target: usize) -> Vec<(usize, usize, f32)> {
    let tap = |place: usize| {
        let at = ((place as f64 + 0.5) * source as f64 / target as f64 - 0.5).clamp(0.0, (source - 1) as f64);
        let first = at.floor() as usize;
        (first, (first + 1).min(source - 1), (at - first as f64) as f32)
    };
    (0..target).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, height: usize, values: &[f32]) -> Map {
        Map { width, height, values: values.to_vec() }
    }

    #[test]
    fn a_map_of_zeros_stays_one() {
        let map = map(2, 1, &[0.0; 2]);
        assert_eq!(map.normalized(), map);
    }

    #[test]
    fn stretching_is_torchs_bilinear() {
        // torch.nn.functional.interpolate(torch.tensor([[[[0., 4.], [8., 12.]]]]), size=(2, 4),
        // mode="bilinear")
        let wide = stretch(&map(2, 2, &[0.0, 4.0, 8.0, 12.0]), 4, 2);
        assert_eq!(wide, [0.0, 1.0, 3.0, 4.0, 8.0, 9.0, 11.0, 12.0]);
        assert_eq!(stretch(&map(1, 1, &[5.0]), 2, 3), [5.0; 6]);
        // Reducing takes the two nearest as well: (1 + 2) / 2.
        assert_eq!(stretch(&map(4, 1, &[0.0, 1.0, 2.0, 3.0]), 1, 1), [1.5]);
    }
}
