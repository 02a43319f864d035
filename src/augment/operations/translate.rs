//! Translation by whole pixels.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::border::{Border, reflect};
use super::operation::{Apply, Configured, Keys, between};
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;

/// The table `[operations.translate]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// How far the image moves at most, as a part of its sides, 0 to 1.
    pub shift: f64,
}

/// A shift as it was drawn for one copy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Pixels to the right; negative ones to the left.
    pub right: i64,
    /// Pixels down; negative ones up.
    pub down: i64,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 0.0, shift: 0.1 }
    }

    fn reference() -> Self {
        Self { weight: 0.0, shift: 0.1 }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        keys.within("shift", self.shift, [0.0, 1.0])
    }

    fn draw(&self, width: usize, height: usize, rng: &mut impl Rng) -> Drawn {
        let mut pixels = |side: usize| {
            let reach = self.shift * side as f64;
            between([-reach, reach], rng).round() as i64
        };
        Drawn { right: pixels(width), down: pixels(height) }
    }
}

impl Apply for Drawn {
    const IS_GEOMETRIC: bool = true;

    fn apply(&self, image: &mut Bitmap, border: Border, scratch: &mut Scratch) -> usize {
        if image.pixels.is_empty() {
            return 0;
        }
        let (channels, width, height, stride) = (image.channels, image.width, image.height, image.stride());
        // No image is larger than this, and nothing overflows.
        let [right, down] = [self.right, self.down].map(|distance| distance.clamp(-(1 << 40), 1 << 40));
        let from = |position: usize, distance: i64, length: usize| {
            let position = position as i64 - distance;
            match border {
                _ if (0..length as i64).contains(&position) => Some(position as usize),
                Border::Black => None,
                Border::Reflect101 => Some(reflect(position, length)),
                Border::Replicate => Some(position.clamp(0, length as i64 - 1) as usize),
            }
        };
        // The columns that have a place inside, as one piece.
        let begin = right.clamp(0, width as i64) as usize;
        let end = (width as i64 + right).clamp(begin as i64, width as i64) as usize;
        let target = &mut scratch.target;
        target.take_shape_of(image);
        for (y, row) in target.pixels.chunks_exact_mut(stride).enumerate() {
            let Some(y) = from(y, down, height) else {
                row.fill(0);
                continue;
            };
            let source = &image.pixels[y * stride..][..stride];
            if begin < end {
                let first = (begin as i64 - right) as usize * channels;
                row[begin * channels..end * channels]
                    .copy_from_slice(&source[first..][..(end - begin) * channels]);
            }
            for x in (0..begin).chain(end..width) {
                let pixel = &mut row[x * channels..][..channels];
                match from(x, right, width) {
                    Some(x) => pixel.copy_from_slice(&source[x * channels..][..channels]),
                    None => pixel.fill(0),
                }
            }
        }
        std::mem::swap(image, target);
        let rows = height - down.unsigned_abs().min(height as u64) as usize;
        width * height - (end - begin) * rows
    }

    fn label(&self) -> String {
        format!("right {:+}, down {:+} px", self.right, self.down)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BORDERS, SIZES, random, shown};
    use super::*;

    #[test]
    fn translation_moves_whole_pixels() {
        for (w, h) in SIZES {
            for channels in [1, 3] {
                let image = random(w, h, channels);
                for (right, down) in
                    [(0, 0), (1, 0), (-3, 2), (40, -1), (-200, 300), (i64::MIN, 0), (0, i64::MAX)]
                {
                    for border in BORDERS {
                        let mut ours = image.clone();
                        let uncovered =
                            Drawn { right, down }.apply(&mut ours, border, &mut Scratch::default());
                        let mut outside = 0;
                        for (i, &level) in ours.pixels.iter().enumerate() {
                            let (x, y) = ((i / channels % w) as i128, (i / channels / w) as i128);
                            let far = |v: i128| v.clamp(-(1 << 40), 1 << 40) as i64;
                            let (x, y) = (far(x - i128::from(right)), far(y - i128::from(down)));
                            let inside = (0..w as i64).contains(&x) && (0..h as i64).contains(&y);
                            outside += usize::from(!inside);
                            if (right, down) == (right.clamp(-999, 999), down.clamp(-999, 999)) {
                                let place = shown(x, w, border).zip(shown(y, h, border));
                                let expected = place
                                    .map_or(0, |(x, y)| image.pixels[(y * w + x) * channels + i % channels]);
                                assert_eq!(level, expected, "{image:?} by {right}, {down}, {border:?}");
                            }
                        }
                        assert_eq!(uncovered, outside / channels, "{image:?} by {right}, {down}");
                    }
                }
            }
        }
    }
}
