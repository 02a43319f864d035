//! A debugging subset of the train images: stratified by class, seeded.

use rand::Rng;

use super::config::DataConfig;
use super::dataset::Sample;
use super::images::Notes;
use super::split::Split;
use super::store::{Budget, Content};
use crate::error::{Error, Result};
use crate::random::{Purpose, rng};
use crate::text::thousands;

/// Refuses a subset with fewer images than there are classes.
pub(super) fn check_subset(config: &DataConfig, classes: usize) -> Result<()> {
    match config.debug_subset.filter(|size| *size < classes) {
        None => Ok(()),
        Some(size) => Err(Error::input("data.debug_subset (--debug-subset)", format!("found {size}"))
            .expected(format!("at least {classes}, one image for each class"))),
    }
}

/// Keeps `size` train images: classes in the same proportions as in the whole (largest remainders), at least
/// one of each class if `size` allows.
pub(super) fn take_subset(
    used: Vec<(Sample, Content)>,
    size: usize,
    classes: usize,
    seed: u64,
    budget: &Budget,
    notes: &mut Notes,
) -> Vec<(Sample, Content)> {
    let (mut train, mut kept): (Vec<_>, Vec<_>) =
        used.into_iter().partition(|(sample, _)| sample.split == Split::Train);
    let all = train.len();
    if size >= all {
        kept.extend(train);
        return kept;
    }
    let mut totals = vec![0; classes];
    train.iter().for_each(|(sample, _)| totals[sample.class] += 1);
    let mut left = quotas(&totals, size);
    train.sort_by_cached_key(|(sample, _)| {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| sample.hash[at + byte]));
        (rng(seed, Purpose::Subset, word(0), word(8)).next_u64(), sample.name.clone())
    });
    for (sample, content) in train {
        if left[sample.class] > 0 {
            left[sample.class] -= 1;
            kept.push((sample, content));
        } else {
            content.release(budget);
        }
    }
    notes.left_out.push(format!("debug subset: {} of {} train images used", thousands(size), thousands(all)));
    kept
}

/// `size` divided in proportion to `totals`; a class that has images gets at least one where `size` is large
/// enough.
fn quotas(totals: &[usize], size: usize) -> Vec<usize> {
    let all: usize = totals.iter().sum();
    let mut quotas: Vec<usize> = totals.iter().map(|&total| total * size / all.max(1)).collect();
    for (quota, &total) in quotas.iter_mut().zip(totals) {
        *quota = (*quota).max(usize::from(total > 0));
    }
    // The sum may now be off by up to one per class, either way: correct it where the error is largest.
    let error = |quotas: &[usize], class: usize| {
        totals[class] as f64 * size as f64 / all.max(1) as f64 - quotas[class] as f64
    };
    while quotas.iter().sum::<usize>() != size {
        let over = quotas.iter().sum::<usize>() > size;
        let classes = 0..totals.len();
        let best = if over {
            let floor = usize::from(quotas.iter().filter(|&&quota| quota > 0).count() <= size);
            classes
                .filter(|&class| quotas[class] > floor)
                .min_by(|&a, &b| error(&quotas, a).total_cmp(&error(&quotas, b)))
        } else {
            classes
                .filter(|&class| quotas[class] < totals[class])
                .max_by(|&a, &b| error(&quotas, a).total_cmp(&error(&quotas, b)))
        };
        match best {
            Some(class) if over => quotas[class] -= 1,
            Some(class) => quotas[class] += 1,
            None => break,
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_add_up_and_leave_no_class_out() {
        assert_eq!(quotas(&[50, 150], 20), [5, 15]);
        assert_eq!(quotas(&[1, 1000, 0], 10), [1, 9, 0]);
        assert_eq!(quotas(&[1, 1, 1, 997], 4), [1, 1, 1, 1]);
        assert_eq!(quotas(&[10, 10, 10], 2).iter().sum::<usize>(), 2);
        assert_eq!(quotas(&[33, 33, 34], 10).iter().sum::<usize>(), 10);
    }
}
