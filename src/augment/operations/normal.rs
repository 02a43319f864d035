//! Whole numbers with the rounded normal distribution, drawn in constant time from 32 random bits.

/// Noise beyond this clips every level, so that it is counted as this.
pub(super) const FARTHEST: usize = 255;
/// Slots of the table: one for each whole number from -255 to 255, and one to have a power of 2.
pub(super) const SLOTS: usize = 2 * FARTHEST + 2;
/// The parts of 2³² that a slot stands for.
const SHARE: u64 = (1 << 32) / SLOTS as u64;
const SLOT_BITS: u32 = SLOTS.ilog2();

/// N(0, sigma), rounded to whole numbers, for drawing in constant time: A. J. Walker's alias method. A slot
/// is drawn, then either its own number or the one other that it holds. The probabilities are exact to 2⁻³².
pub(super) struct Table {
    sigma: f64,
    /// The upper 23 bits: how much of its share belongs to the slot's own number; the lower 9 bits: the other
    /// number.
    pub(super) slots: [u32; SLOTS],
}

impl Default for Table {
    fn default() -> Self {
        Self { sigma: 0.0, slots: [0; SLOTS] }
    }
}

impl Table {
    /// Makes the table for this sigma, unless it is there already.
    pub(super) fn set(&mut self, sigma: f64) {
        if self.sigma == sigma {
            return;
        }
        self.sigma = sigma;
        let mut left = weights(sigma);
        // Slots with less than their share, filled from one end, and rich ones, filled from the other.
        let mut poor = [0; SLOTS];
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
pub(super) fn pick(slots: &[u32; SLOTS], random: u32) -> u32 {
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

/// The density of N(0, sigma) over (from, to) by Simpson's rule.
#[cfg(test)]
pub(super) fn mass(from: f64, to: f64, sigma: f64) -> f64 {
    let density = |x: f64| (-0.5 * (x / sigma).powi(2)).exp() / (sigma * std::f64::consts::TAU.sqrt());
    let (parts, mut sum) = (2000, 0.0);
    let step = (to - from) / f64::from(parts);
    for i in 0..=parts {
        let weight = if i == 0 || i == parts { 1.0 } else { f64::from(2 + i % 2 * 2) };
        sum += weight * density(from + step * f64::from(i));
    }
    sum * step / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGMAS: [f64; 8] = [1e-300, 0.05, 0.3, 1.0, 3.7, 10.0, 60.0, 1e9];

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
}
