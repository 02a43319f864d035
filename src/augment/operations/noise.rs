//! Gaussian noise.

use rand::Rng;

use super::Scratch;
use crate::image::Bitmap;

/// Adds noise to each level of each channel: `clip(round(level + n))`, n ~ N(0, `sigma`), all independent. No
/// noise for a sigma that is not above 0.
///
/// The noise depends on `rng`, which gives one number, on sigma and on the position in the image alone:
/// numbers are hashed from their position, and what they stand for is found with integers and with additions,
/// multiplications and divisions of f64, which give the same bits everywhere.
pub fn noise(image: &mut Bitmap, sigma: f64, rng: &mut impl Rng, scratch: &mut Scratch) {
    let key = rng.next_u64();
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

/// Noise beyond this clips every level, so that it is counted as this.
const FARTHEST: usize = 255;
/// Slots of the table: one for each whole number from -255 to 255, and one to have a power of 2.
const SLOTS: usize = 2 * FARTHEST + 2;
/// The parts of 2³² that a slot stands for.
const SHARE: u64 = (1 << 32) / SLOTS as u64;
const SLOT_BITS: u32 = SLOTS.ilog2();

/// N(0, sigma), rounded to whole numbers, for drawing in constant time: A. J. Walker's alias method. A slot
/// is drawn, then either its own number or the one other that it holds. The probabilities are exact to 2⁻³².
pub(super) struct Table {
    sigma: f64,
    /// The upper 23 bits: how much of its share belongs to the slot's own number; the lower 9 bits: the other
    /// number.
    slots: [u32; SLOTS],
}

impl Default for Table {
    fn default() -> Self {
        Self { sigma: 0.0, slots: [0; SLOTS] }
    }
}

impl Table {
    /// Makes the table for this sigma, unless it is there already.
    fn set(&mut self, sigma: f64) {
        if self.sigma == sigma {
            return;
        }
        self.sigma = sigma;
        let mut left = weights(sigma);
        let mut poor = [0; SLOTS]; // slots with less than their share, filled from one end, rich ones from the other
        let (mut poors, mut rich) = (0, SLOTS);
        for (slot, &weight) in left.iter().enumerate() {
            if weight < SHARE {
                poor[poors] = slot;
                poors += 1;
            } else {
                rich -= 1;
                poor[rich] = slot;
            }
            self.slots[slot] = slot as u32;
        }
        // Each poor slot is filled up by a rich one, which may become poor by it.
        while poors > 0 && rich < SLOTS {
            poors -= 1;
            let (from, to) = (poor[rich], poor[poors]);
            self.slots[to] = (left[to] as u32) << SLOT_BITS | from as u32;
            left[from] -= SHARE - left[to];
            if left[from] < SHARE {
                rich += 1;
                poor[poors] = from;
                poors += 1;
            }
        }
    }
}

#[inline(always)]
fn pick(slots: &[u32; SLOTS], random: u32) -> u32 {
    let own = random >> (32 - SLOT_BITS);
    let slot = slots[own as usize];
    let part = random & (SHARE as u32 - 1);
    if part < slot >> SLOT_BITS { own } else { slot & (SLOTS as u32 - 1) }
}

/// The probabilities of -255 to 255, and of nothing, in parts of 2³².
fn weights(sigma: f64) -> [u64; SLOTS] {
    // How much lies between 0 and x, rounded, so that the parts sum to the whole.
    let within = |x: f64| (half_mass(x / sigma) * (1u64 << 32) as f64 + 0.5) as u64;
    let mut weights = [0; SLOTS];
    let mut inner = within(0.5);
    weights[FARTHEST] = 2 * inner;
    for n in 1..=FARTHEST {
        let outer = if n == FARTHEST { 1 << 31 } else { within(n as f64 + 0.5) };
        weights[FARTHEST - n] = outer - inner;
        weights[FARTHEST + n] = outer - inner;
        inner = outer;
    }
    weights
}

/// The probability that N(0, 1) lies between 0 and x ≥ 0: `exp(-x²/2) / √(2π) * (x + x³/3 + x⁵/15 + …)`.
fn half_mass(x: f64) -> f64 {
    const FAR: f64 = 6.5; // 4e-11 lies beyond
    const ROOT: f64 = 0.398_942_280_401_432_7; // 1 / √(2π)
    if x >= FAR {
        return 0.5;
    }
    let square = x * x;
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    while term > sum * 1e-17 {
        odd += 2.0;
        term *= square / odd;
        sum += term;
    }
    // exp(y) = exp(y / 64)^64
    let small = square / -128.0;
    let mut exponential = 1.0;
    for n in (1..=14).rev() {
        exponential = 1.0 + exponential * small / f64::from(n);
    }
    for _ in 0..6 {
        exponential *= exponential;
    }
    ROOT * exponential * sum
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, random};
    use super::*;
    use crate::random::{Purpose, rng};
    use crate::simd::Level;

    const SIGMAS: [f64; 8] = [1e-300, 0.05, 0.3, 1.0, 3.7, 10.0, 60.0, 1e9];

    /// The density of N(0, sigma) over (from, to) by Simpson's rule.
    fn mass(from: f64, to: f64, sigma: f64) -> f64 {
        let density = |x: f64| (-0.5 * (x / sigma).powi(2)).exp() / (sigma * std::f64::consts::TAU.sqrt());
        let (parts, mut sum) = (2000, 0.0);
        let step = (to - from) / f64::from(parts);
        for i in 0..=parts {
            let weight = if i == 0 || i == parts { 1.0 } else { f64::from(2 + i % 2 * 2) };
            sum += weight * density(from + step * f64::from(i));
        }
        sum * step / 3.0
    }

    #[test]
    fn the_table_is_the_rounded_normal_distribution() {
        let mut table = Table::default();
        for sigma in SIGMAS {
            table.set(sigma);
            let mut parts = [0u64; SLOTS];
            for (own, &slot) in table.slots.iter().enumerate() {
                let share = u64::from(slot >> SLOT_BITS);
                parts[own] += share;
                parts[slot as usize & (SLOTS - 1)] += SHARE - share;
            }
            assert_eq!(parts, weights(sigma), "{sigma}");
            assert_eq!(parts.iter().sum::<u64>(), 1 << 32);
            assert_eq!(parts[SLOTS - 1], 0);
            if (0.05..100.0).contains(&sigma) {
                for n in -254..=254 {
                    let expected = if sigma < 0.1 {
                        f64::from(n == 0)
                    } else {
                        mass(f64::from(n) - 0.5, f64::from(n) + 0.5, sigma)
                    };
                    let ours = parts[(n + 255) as usize] as f64 / (1u64 << 32) as f64;
                    assert!((ours - expected).abs() < 2e-9, "{n} of {sigma}: {ours}, {expected}");
                }
            }
        }
        table.set(1e9);
        let parts = weights(1e9);
        assert!(parts[0] > (1 << 31) - 1000 && parts[0] == parts[510]);
        assert_eq!(weights(1e-300)[FARTHEST], 1 << 32);
    }

    /// Noise without clipping: on mid-grey, less its level.
    fn drawn(w: usize, h: usize, channels: usize, sigma: f64, a: u64) -> Vec<f64> {
        let mut image = Bitmap::new(w, h, channels, vec![128; w * h * channels]);
        noise(&mut image, sigma, &mut rng(3, Purpose::Draw, a, 0), &mut Scratch::default());
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
    fn add_noise(level: u8, noise: f64) -> u8 {
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
                    noise(&mut ours, sigma, &mut Fixed(key), &mut at(level));
                    for (i, (&before, &after)) in source.pixels.iter().zip(&ours.pixels).enumerate() {
                        let noise =
                            f64::from(pick(&table.slots, hash(i as u32, [key as u32, (key >> 32) as u32])))
                                - 255.0;
                        // Any place within the whole number's range gives the same.
                        for offset in [0.0, -0.49, 0.49] {
                            assert_eq!(after, add_noise(before, noise + offset));
                        }
                    }
                }
            }
        }
    }

    struct Fixed(u64);

    impl rand::TryRng for Fixed {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(self.0 as u32)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(self.0)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(self.0 as u8);
            Ok(())
        }
    }

    #[test]
    fn the_stream_stays_what_it_is() {
        let mut image = Bitmap::new(12, 1, 1, vec![100; 12]);
        noise(&mut image, 10.0, &mut Fixed(0x1234_5678_9abc_def0), &mut Scratch::default());
        assert_eq!(image.pixels, [110, 95, 102, 104, 110, 91, 93, 98, 101, 81, 90, 122]);
    }
}
