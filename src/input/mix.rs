//! MixUp (Zhang et al., ICLR 2018, arXiv:1710.09412) and CutMix (Yun et al., ICCV 2019, arXiv:1905.04899):
//! two images of a batch combined, with both labels. The only augmentation that sees a whole batch.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::random::{Purpose, rng};

/// How often batches are mixed, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixConfig {
    /// Whether batches are mixed at all.
    pub enabled: bool,
    /// Probability of MixUp for a batch.
    pub mixup: f64,
    /// Both parameters of MixUp's beta distribution.
    pub mixup_alpha: f64,
    /// Probability of CutMix for a batch.
    pub cutmix: f64,
    /// Both parameters of CutMix's beta distribution.
    pub cutmix_alpha: f64,
}

impl Default for MixConfig {
    fn default() -> Self {
        Self { enabled: true, mixup: 0.5, mixup_alpha: 0.2, cutmix: 0.25, cutmix_alpha: 1.0 }
    }
}

impl MixConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value out of its range.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [("mixup", self.mixup), ("cutmix", self.cutmix)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::input(format!("augment.mix.{key}"), format!("found {value}"))
                    .expected("a probability, 0 to 1"));
            }
        }
        if self.mixup + self.cutmix > 1.0 {
            let (mixup, cutmix) = (self.mixup, self.cutmix);
            return Err(Error::input("augment.mix.mixup", format!("found {mixup}, and cutmix {cutmix}"))
                .expected("probabilities that sum to 1 at most"));
        }
        for (key, value) in [("mixup_alpha", self.mixup_alpha), ("cutmix_alpha", self.cutmix_alpha)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::input(format!("augment.mix.{key}"), format!("found {value}"))
                    .expected("a number above 0"));
            }
        }
        Ok(())
    }
}

/// How a batch was mixed: image i is `lambda` of itself and `1 - lambda` of image `partner[i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// The part of the image itself that is left, and the weight of its own label: 0 to 1.
    pub lambda: f32,
    /// The image that each was mixed with, `[B]`, indices into the batch.
    pub partner: Vec<usize>,
}

/// Mixes a batch in place, or leaves it plain, as drawn from (seed, epoch, batch).
///
/// `images` is `[B, 3, size, size]`, normalised.
pub fn mix(
    images: &mut [f32],
    size: usize,
    config: &MixConfig,
    seed: u64,
    epoch: u64,
    batch: u64,
) -> Option<Mixed> {
    let count = images.len() / (3 * size * size);
    if !config.enabled || count < 2 {
        return None;
    }
    let mut rng = rng(seed, Purpose::Mix, epoch, batch);
    let kind: f64 = rng.random();
    let alpha = match kind {
        k if k < config.mixup => config.mixup_alpha,
        k if k < config.mixup + config.cutmix => config.cutmix_alpha,
        _ => return None,
    };
    let lambda = Beta::new(alpha, alpha).expect("validate() has checked alpha").sample(&mut rng);
    let mut partner: Vec<usize> = (0..count).collect();
    partner.shuffle(&mut rng);

    if kind < config.mixup {
        let lambda = lambda as f32;
        mixup(images, lambda, &partner);
        return Some(Mixed { lambda, partner });
    }
    let area = cut(size, lambda, rng.random_range(0..size), rng.random_range(0..size));
    cutmix(images, size, &area, &partner);
    Some(Mixed { lambda: area.lambda, partner })
}

/// Blends each image of a batch with its partner's, in place: `lambda` of itself and the rest of the other.
/// Any layout `[B, ...]`.
pub fn mixup(images: &mut [f32], lambda: f32, partner: &[usize]) {
    let original = images.to_vec();
    let image = (images.len() / partner.len().max(1)).max(1);
    for (mixed, &other) in images.chunks_exact_mut(image).zip(partner) {
        let other = &original[other * image..][..image];
        mixed
            .iter_mut()
            .zip(other)
            .for_each(|(value, other)| *value = *value * lambda + other * (1.0 - lambda));
    }
}

/// Pastes the box `area` of each image's partner over it, in place: `[B, 3, size, size]`.
pub fn cutmix(images: &mut [f32], size: usize, area: &Cut, partner: &[usize]) {
    let original = images.to_vec();
    let image = 3 * size * size;
    for (mixed, &other) in images.chunks_exact_mut(image).zip(partner) {
        let other = &original[other * image..][..image];
        for (mixed, other) in mixed.chunks_exact_mut(size * size).zip(other.chunks_exact(size * size)) {
            for row in area.top..area.bottom {
                let span = row * size + area.left..row * size + area.right;
                mixed[span.clone()].copy_from_slice(&other[span]);
            }
        }
    }
}

/// The box that CutMix pastes, in pixels: rows `top..bottom`, columns `left..right`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// The first row of the box, in pixels.
    pub top: usize,
    /// The row after the last.
    pub bottom: usize,
    /// The first column of the box, in pixels.
    pub left: usize,
    /// The column after the last.
    pub right: usize,
    /// Fraction of the image outside the box, 0 to 1.
    pub lambda: f32,
}

/// A box of about `1 - lambda` of the area around (x, y), clipped to the image; lambda is then recomputed
/// from the clipped box.
pub fn cut(size: usize, lambda: f64, x: usize, y: usize) -> Cut {
    let side = (size as f64 * (1.0 - lambda).sqrt()) as usize;
    let (left, right) = (x.saturating_sub(side / 2), (x + side / 2).min(size));
    let (top, bottom) = (y.saturating_sub(side / 2), (y + side / 2).min(size));
    let share = ((right - left) * (bottom - top)) as f32 / (size * size) as f32;
    Cut { top, bottom, left, right, lambda: 1.0 - share }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 8;

    /// Image i is filled with the number i.
    fn batch(count: usize) -> Vec<f32> {
        (0..count * 3 * SIZE * SIZE).map(|i| (i / (3 * SIZE * SIZE)) as f32).collect()
    }

    fn only(mixup: f64, cutmix: f64) -> MixConfig {
        MixConfig { mixup, cutmix, ..MixConfig::default() }
    }

    #[test]
    fn mixup_blends_with_the_partner() {
        let mut images = batch(4);
        let mixed = mix(&mut images, SIZE, &only(1.0, 0.0), 1, 0, 0).unwrap();
        for (i, image) in images.chunks_exact(3 * SIZE * SIZE).enumerate() {
            let expected = mixed.lambda * i as f32 + (1.0 - mixed.lambda) * mixed.partner[i] as f32;
            assert!(image.iter().all(|value| (value - expected).abs() < 1e-6));
        }
    }

    #[test]
    fn cutmix_lambda_is_the_fraction_that_is_left() {
        for epoch in 0..50 {
            let mut images = batch(4);
            let mixed = mix(&mut images, SIZE, &only(0.0, 1.0), 1, epoch, 0).unwrap();
            for (i, image) in
                images.chunks_exact(3 * SIZE * SIZE).enumerate().filter(|(i, _)| mixed.partner[*i] != *i)
            {
                let own =
                    image.iter().filter(|value| **value == i as f32).count() as f32 / image.len() as f32;
                assert!((own - mixed.lambda).abs() < 1e-6, "{own} {}", mixed.lambda);
                assert!(image.iter().all(|value| *value == i as f32 || *value == mixed.partner[i] as f32));
            }
        }
    }

    #[test]
    fn batches_are_mixed_with_the_configured_probabilities() {
        let config = MixConfig::default();
        let plain = (0..2000)
            .filter(|batch_number| mix(&mut batch(2), SIZE, &config, 3, 0, *batch_number).is_none())
            .count();
        assert!((400..600).contains(&plain), "{plain} of 2000 stay plain; 500 expected");
    }

    #[test]
    fn a_draw_depends_on_seed_epoch_and_batch_only() {
        let draw = |seed, epoch, number| mix(&mut batch(6), SIZE, &only(1.0, 0.0), seed, epoch, number);
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        assert_ne!(draw(1, 2, 3), draw(1, 2, 4));
        assert_ne!(draw(1, 2, 3), draw(1, 3, 3));
        assert_ne!(draw(1, 2, 3), draw(2, 2, 3));
    }

    #[test]
    fn nothing_is_mixed_where_it_is_off_or_a_batch_has_one_image() {
        assert!(mix(&mut batch(4), SIZE, &MixConfig { enabled: false, ..only(1.0, 0.0) }, 1, 0, 0).is_none());
        assert!(mix(&mut batch(1), SIZE, &only(1.0, 0.0), 1, 0, 0).is_none());
    }

    #[test]
    fn bad_probabilities_are_named() {
        let text = only(0.8, 0.4).validate().unwrap_err().to_string();
        assert!(text.contains("mixup") && text.contains("cutmix 0.4") && text.contains("sum to 1"), "{text}");
        assert!(MixConfig { mixup_alpha: 0.0, ..MixConfig::default() }.validate().is_err());
    }
}
