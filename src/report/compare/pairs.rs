//! Runs compared pair by pair, on the images that both were evaluated on.

use std::collections::HashMap;

use super::sides::{Side, same_data};
use crate::error::Result;
use crate::report::options::Options;
use crate::stats::bootstrap::{self, Difference, Metric, Settings};
use crate::stats::hypothesis::mcnemar_counts;

/// Runs that are compared pair by pair, at most.
pub(super) const PAIRED: usize = 8;

/// Two runs on the images that both were evaluated on, as counts of these images.
pub(super) struct Pair {
    pub(super) a: usize,
    pub(super) b: usize,
    /// Images in common.
    pub(super) common: usize,
    /// Whether one of them has images that the other has not.
    pub(super) partial: bool,
    pub(super) both_right: u64,
    pub(super) only_a: u64,
    pub(super) only_b: u64,
    pub(super) both_wrong: u64,
    /// Same prediction, correct or not.
    pub(super) agree: u64,
    pub(super) difference: Option<Difference>,
    pub(super) groups: usize,
    pub(super) p: f64,
}

/// All pairs among the first [`PAIRED`] runs that share images.
pub(super) fn pairs(sides: &[Side], options: &Options) -> Result<Vec<Pair>> {
    let mut found = Vec::new();
    let few = &sides[..sides.len().min(PAIRED)];
    for (a, first) in few.iter().enumerate() {
        for (b, second) in few.iter().enumerate().skip(a + 1) {
            if let Some(pair) = pair(first, second, (a, b), options)? {
                found.push(pair);
            }
        }
    }
    Ok(found)
}

fn pair(first: &Side, second: &Side, (a, b): (usize, usize), options: &Options) -> Result<Option<Pair>> {
    let (Some(x), Some(y)) = (&first.rows, &second.rows) else { return Ok(None) };
    let (Some(ex), Some(ey)) = (first.evaluated, second.evaluated) else { return Ok(None) };
    if !same_data(first, second) || ex.evaluation.classes != ey.evaluation.classes {
        return Ok(None);
    }
    let places: HashMap<&str, usize> =
        y.predictions.iter().enumerate().map(|(at, row)| (row.path.as_str(), at)).collect();
    let common: Vec<(usize, usize)> = (0..x.rows.len())
        .filter_map(|at| Some((at, *places.get(x.predictions[at].path.as_str())?)))
        .filter(|&(at, other)| x.truth[at] == y.truth[other])
        .collect();
    if common.is_empty() {
        return Ok(None);
    }
    let keys: Vec<&str> = common.iter().map(|&(at, _)| x.predictions[at].group.as_str()).collect();
    let groups = bootstrap::group_indices(&keys);
    let truth: Vec<usize> = common.iter().map(|&(at, _)| x.truth[at]).collect();
    let said_a: Vec<usize> = common.iter().map(|&(at, _)| x.predicted[at]).collect();
    let said_b: Vec<usize> = common.iter().map(|&(_, at)| y.predicted[at]).collect();
    let mut cells = [0u64; 4]; // both wrong, only b, only a, both right
    for ((truth, a), b) in truth.iter().zip(&said_a).zip(&said_b) {
        cells[usize::from(truth == a) * 2 + usize::from(truth == b)] += 1;
    }
    let agree = said_a.iter().zip(&said_b).filter(|(a, b)| a == b).count() as u64;
    let settings = Settings { replicates: options.replicates, ..Settings::default() };
    let rows = bootstrap::Rows { groups: &groups, truth: &truth, classes: ex.evaluation.classes.len() };
    let difference = bootstrap::paired_difference(rows, &[said_a], &[said_b], Metric::Accuracy, &settings)?;
    let [both_wrong, only_b, only_a, both_right] = cells;
    let partial = common.len() < x.rows.len() || common.len() < y.rows.len();
    Ok(Some(Pair {
        a,
        b,
        common: common.len(),
        partial,
        both_right,
        only_a,
        only_b,
        both_wrong,
        agree,
        difference: Some(difference),
        groups: groups.iter().max().map_or(0, |last| last + 1),
        p: mcnemar_counts(only_a, only_b).exact,
    }))
}
