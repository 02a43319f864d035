//! Several models on the same samples: the majority vote and the mean probability.
//!
//! Legend: M members, N samples, K classes.

use serde::{Deserialize, Serialize};

use super::metrics::check_row;
use crate::error::{Error, Result};
use crate::stats::argmax;

/// The combined predictions of the members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// `[N, K]`: the mean of the members' probabilities.
    pub mean_probability: Vec<Vec<f32>>,
    /// `[N]`: the class with the most votes; of several, the one with the larger mean probability, then the
    /// lowest index.
    pub votes: Vec<usize>,
    /// `[N, K]`: the fraction of the members that vote for each class.
    pub vote_shares: Vec<Vec<f32>>,
    /// Fraction of the samples on which all members agree.
    pub agreement: f64,
}

/// Combines the members' probabilities, `[M, N, K]`; each member votes for its most probable class (ties: the
/// lowest index).
///
/// The prediction by mean probability is [`argmax`] of a row of `mean_probability`.
///
/// # Errors
/// [`Error::Input`] for no members, no samples, members of different shapes and values that are not
/// probabilities; [`Error::Compute`] for a value that is not finite.
pub fn ensemble(members: &[Vec<Vec<f32>>]) -> Result<Ensemble> {
    let (n, k) = shape(members)?;
    let m = members.len() as f64;
    let mut result =
        Ensemble { mean_probability: vec![], votes: vec![], vote_shares: vec![], agreement: 0.0 };
    let mut agreed = 0usize;
    for sample in 0..n {
        let mut sum = vec![0.0f64; k];
        let mut votes = vec![0usize; k];
        for member in members {
            let row = &member[sample];
            votes[argmax(row)] += 1;
            for (sum, &value) in sum.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        let mean: Vec<f32> = sum.iter().map(|sum| (sum / m) as f32).collect();
        result.votes.push(winner(&votes, &mean));
        agreed += usize::from(votes.contains(&members.len()));
        result.vote_shares.push(votes.iter().map(|&count| (count as f64 / m) as f32).collect());
        result.mean_probability.push(mean);
    }
    result.agreement = agreed as f64 / n as f64;
    Ok(result)
}

/// The class with the most votes, ties by `mean`, then by index.
fn winner(votes: &[usize], mean: &[f32]) -> usize {
    let most = votes.iter().max().copied().unwrap_or(0);
    let tied =
        votes.iter().zip(mean).map(|(&count, &mean)| if count == most { mean } else { f32::NEG_INFINITY });
    argmax(&tied.collect::<Vec<_>>())
}

/// (N, K), the same for all members.
fn shape(members: &[Vec<Vec<f32>>]) -> Result<(usize, usize)> {
    let Some(first) = members.first() else {
        return Err(Error::input("ensemble", "found no members").expected("one or more"));
    };
    let n = first.len();
    let k = first.first().map_or(0, Vec::len);
    if k == 0 {
        return Err(Error::input("ensemble", format!("found {n} samples and {k} classes"))
            .expected("at least one of each"));
    }
    for (number, member) in members.iter().enumerate() {
        if member.len() != n {
            return Err(Error::input(
                format!("ensemble, member {number}"),
                format!("found {} samples", member.len()),
            )
            .expected(format!("{n}, as in member 0"))
            .hint("Evaluate all members on the same data and split"));
        }
        for (sample, row) in member.iter().enumerate() {
            check_row(&format!("ensemble, member {number}, sample {sample}"), row, k)?;
        }
    }
    Ok((n, k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vote_and_the_mean_may_differ() {
        let rows = [[0.6f32, 0.4, 0.0], [0.6, 0.4, 0.0], [0.0, 1.0, 0.0]];
        let found = ensemble(&rows.map(|row| vec![row.to_vec()])).unwrap();
        assert_eq!(found.votes, [0]);
        assert_eq!(argmax(&found.mean_probability[0]), 1);
        for (mean, expected) in found.mean_probability[0].iter().zip([0.4, 0.6, 0.0]) {
            assert!((mean - expected).abs() < 1e-6);
        }
        assert_eq!(found.vote_shares[0], [2.0 / 3.0, 1.0 / 3.0, 0.0]);
        assert_eq!(found.agreement, 0.0);
    }

    #[test]
    fn a_tied_vote_goes_to_the_larger_mean_then_to_the_lowest_index() {
        // Class 2 has the largest mean but no vote.
        let rows = [[0.46f32, 0.10, 0.44], [0.06, 0.50, 0.44]];
        assert_eq!(ensemble(&rows.map(|row| vec![row.to_vec()])).unwrap().votes, [1]);
        let rows = [[0.25f32, 0.75], [0.75, 0.25]];
        assert_eq!(ensemble(&rows.map(|row| vec![row.to_vec()])).unwrap().votes, [0]);
    }

    #[test]
    fn agreement_counts_the_samples_on_which_all_agree() {
        let first = vec![vec![0.9f32, 0.1], vec![0.9, 0.1], vec![0.1, 0.9]];
        let second = vec![vec![0.6f32, 0.4], vec![0.4, 0.6], vec![0.2, 0.8]];
        assert_eq!(ensemble(&[first.clone(), second]).unwrap().agreement, 2.0 / 3.0);
        let alone = ensemble(std::slice::from_ref(&first)).unwrap();
        assert_eq!((alone.agreement, alone.votes), (1.0, vec![0, 0, 1]));
        assert_eq!(alone.mean_probability, first);
    }

    #[test]
    fn shapes_that_differ_are_refused() {
        let refused = |members: &[Vec<Vec<f32>>], what: &str| {
            let text = ensemble(members).unwrap_err().to_string();
            assert!(text.contains(what), "{text}");
        };
        let good = vec![vec![0.5f32, 0.5]];
        refused(&[], "no members");
        refused(&[vec![]], "0 samples");
        refused(&[good.clone(), vec![]], "member 1: found 0 samples; expected 1");
        refused(&[good.clone(), vec![vec![1.0]]], "member 1, sample 0: found 1 probabilities; expected 2");
        refused(&[good, vec![vec![f32::NAN, 1.0]]], "NaN");
    }
}
