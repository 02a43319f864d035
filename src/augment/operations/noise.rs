//! Gaussian noise on every level of every channel.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::border::Border;
use super::normal::{FARTHEST, SLOTS, pick};
use super::operation::{Apply, Configured, Keys, between};
use super::scratch::Scratch;
use crate::error::Result;
use crate::image::Bitmap;
use crate::random::{Purpose, rng};

/// The table `[operations.noise]` of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often it is drawn, relative to the other weights; 0 turns it off.
    pub weight: f64,
    /// Least and greatest standard deviation in levels, within 0 to 255.
    pub sigma: [f64; 2],
}

/// Noise of one image.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Standard deviation in levels; no noise if it is not above 0.
    pub sigma: f64,
    /// All that the noise depends on besides sigma and the position in the image.
    pub seed: u32,
}

impl Configured for Settings {
    type Drawn = Drawn;

    fn safe() -> Self {
        Self { weight: 1.0, sigma: [10.0, 10.0] }
    }

    fn reference() -> Self {
        Self { weight: 1.0, sigma: [10.0, 10.0] }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn check(&self, keys: Keys) -> Result<()> {
        keys.range("sigma", self.sigma, [0.0, 255.0])
    }

    fn draw(&self, _: usize, _: usize, rng: &mut impl Rng) -> Drawn {
        Drawn { sigma: between(self.sigma, rng), seed: rng.random() }
    }
}

impl Apply for Drawn {
    fn apply(&self, image: &mut Bitmap, _: Border, scratch: &mut Scratch) -> usize {
        let key = rng(self.seed.into(), Purpose::Noise, 0, 0).next_u64();
        add_noise(image, self.sigma, key, scratch);
        0
    }

    fn label(&self) -> String {
        format!("σ {:.0}", self.sigma)
    }
}

/// Adds noise to each level of each channel: `clip(round(level + n))`, n ~ N(0, `sigma`), all independent.
///
/// Numbers are hashed from their position and `key`, and what they stand for is found with integers and with
/// additions, multiplications and divisions of f64, which give the same bits everywhere.
fn add_noise(image: &mut Bitmap, sigma: f64, key: u64, scratch: &mut Scratch) {
    // As the level is whole, rounding the sum is rounding the noise; halves do not occur.
    if sigma > 0.0 {
        scratch.noise.set(sigma);
        add(scratch.level, &mut image.pixels, &scratch.noise.slots, [key as u32, (key >> 32) as u32]);
    }
}

vectorized! {
    fn add(levels: &mut [u8], slots: &[u32; SLOTS], key: [u32; 2]) {
        for (position, level) in levels.iter_mut().enumerate() {
            let noise = pick(slots, hash(position as u32, key)) as i16 - FARTHEST as i16;
            *level = (i16::from(*level) + noise).clamp(0, 255) as u8;
        }
    }
}

/// 32 random bits of a position: one round of a hash with one half of the key, then, with the other half, the
/// three of `triple32` of C. Wellons' hash-prospector. Images whose positions overlap after the first half
/// have nothing in common after the second.
#[inline(always)]
fn hash(position: u32, key: [u32; 2]) -> u32 {
    let mut x = position.wrapping_add(key[0]).wrapping_mul(0x9e37_79b1);
    x = (x ^ (x >> 15)).wrapping_add(key[1]);
    x = (x ^ (x >> 17)).wrapping_mul(0xed5a_d4bb);
    x = (x ^ (x >> 11)).wrapping_mul(0xac4c_1b51);
    x = (x ^ (x >> 15)).wrapping_mul(0x3184_8bab);
    x ^ (x >> 14)
}

#[cfg(test)]
mod tests {
    use super::super::normal::{Table, mass};
    use super::super::testing::{at, random};
    use super::*;
    use crate::simd::Level;

    /// Noise without clipping: on mid-grey, less its level.
    fn drawn(w: usize, h: usize, channels: usize, sigma: f64, a: u64) -> Vec<f64> {
        let mut image = Bitmap::new(w, h, channels, vec![128; w * h * channels]);
        let key = rng(3, Purpose::Draw, a, 0).next_u64();
        add_noise(&mut image, sigma, key, &mut Scratch::default());
        image.pixels.iter().map(|&level| f64::from(level) - 128.0).collect()
    }

    #[test]
    fn mean_spread_and_tails_are_those_of_the_normal_distribution() {
        let sigma = 10.0;
        let values = drawn(1024, 512, 3, sigma, 0);
        let n = values.len() as f64;
        let moment = |power: i32| values.iter().map(|v| v.powi(power)).sum::<f64>() / n;
        let variance = moment(2);
        // Rounding adds 1/12. Each limit is five standard errors.
        assert!(moment(1).abs() < 5.0 * sigma / n.sqrt(), "{}", moment(1));
        assert!(
            (variance - sigma * sigma - 1.0 / 12.0).abs() < 5.0 * variance * (2.0 / n).sqrt(),
            "{variance}"
        );
        assert!((moment(3) / variance.powf(1.5)).abs() < 5.0 * (6.0 / n).sqrt());
        assert!((moment(4) / variance.powi(2) - 3.0).abs() < 5.0 * (24.0 / n).sqrt() + 0.001);
        assert!(values.iter().any(|v| v.abs() > 4.5 * sigma));

        let (mut chi, mut cells) = (0.0, 0);
        for level in -45..=45 {
            let expected = n * mass(f64::from(level) - 0.5, f64::from(level) + 0.5, sigma);
            let found = values.iter().filter(|&&v| v == f64::from(level)).count() as f64;
            chi += (found - expected).powi(2) / expected;
            cells += 1;
        }
        let freedom = f64::from(cells);
        assert!((chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "chi² {chi} of {cells} cells");
    }

    #[test]
    fn neighbours_channels_and_images_are_independent() {
        let (first, second) = (drawn(256, 256, 3, 10.0, 0), drawn(256, 256, 3, 10.0, 1));
        let correlation = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (a.len().min(b.len()) as f64 * 100.0)
        };
        let limit = 5.0 / (first.len() as f64 - 1000.0).sqrt();
        for lag in [1, 2, 3, 4, 6, 16, 64, 256, 765, 768, 771] {
            let found = correlation(&first, &first[lag..]);
            assert!(found.abs() < limit, "lag {lag}: {found}");
            let squares: Vec<f64> = first.iter().map(|v| (v * v - 100.0) / 14.2).collect();
            let found = correlation(&squares, &squares[lag..]);
            assert!(found.abs() < limit, "squares, lag {lag}: {found}");
        }
        assert!(correlation(&first, &second).abs() < limit);
        // Keys that differ in one bit, in either half.
        let hashed = |key: [u32; 2]| {
            (0..65536).map(|i| f64::from(hash(i, key)) / 2f64.powi(32) * 34.6 - 17.3).collect::<Vec<_>>()
        };
        let base = hashed([77, 99]);
        for key in
            [[77 ^ (1 << 31), 99], [77, 98], [77, 99 ^ (1 << 31)], [76, 98], [76, 100], [75, 99 ^ (1 << 31)]]
        {
            for lag in [0, 1, 2] {
                let found = correlation(&base, &hashed(key)[lag..]);
                assert!(found.abs() < 5.0 / 256.0, "{key:?}, lag {lag}: {found}");
            }
        }
    }

    /// What the noise does to a level, with the noise as a real number.
    fn noisy(level: u8, noise: f64) -> u8 {
        (f64::from(level) + noise).round_ties_even().clamp(0.0, 255.0) as u8
    }

    #[test]
    fn levels_are_clipped_and_not_wrapped() {
        let mut table = Table::default();
        for sigma in [10.0, 60.0, 1e9] {
            table.set(sigma);
            for source in [
                random(100, 37, 3),
                Bitmap::new(64, 64, 1, vec![255; 4096]),
                Bitmap::new(64, 64, 1, vec![0; 4096]),
            ] {
                let key = 0x1234_5678_9abc_def0u64;
                for level in Level::available() {
                    let mut ours = source.clone();
                    add_noise(&mut ours, sigma, key, &mut at(level));
                    for (i, (&before, &after)) in source.pixels.iter().zip(&ours.pixels).enumerate() {
                        let noise =
                            f64::from(pick(&table.slots, hash(i as u32, [key as u32, (key >> 32) as u32])))
                                - 255.0;
                        // Any place within the whole number's range gives the same.
                        for offset in [0.0, -0.49, 0.49] {
                            assert_eq!(after, noisy(before, noise + offset));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_stream_stays_what_it_is() {
        let mut image = Bitmap::new(12, 1, 1, vec![100; 12]);
        add_noise(&mut image, 10.0, 0x1234_5678_9abc_def0, &mut Scratch::default());
        assert_eq!(image.pixels, [110, 95, 102, 104, 110, 91, 93, 98, 101, 81, 90, 122]);
    }
}
