//! Statistics from plain slices: intervals, tests, curves, projections.
//!
//! Nothing here reads files or knows of models. Results depend on the arguments alone: random draws are keyed
//! by seed and replicate, and sums are taken in a fixed order, so that the number of threads changes no bit.

pub mod bootstrap;
pub mod curves;
pub mod distributions;
pub mod features;
pub mod hypothesis;
pub mod label_noise;
mod linalg;
pub mod logistic;
pub mod projection;

#[cfg(test)]
mod fixture;

use crate::error::{Error, Result};

/// That a flat `[n, d]` slice is one: whole rows, all of them finite. Returns n. `place` begins the error.
fn rows(place: &str, features: &[f32], d: usize) -> Result<usize> {
    if d == 0 || !features.len().is_multiple_of(d) {
        return Err(Error::input(place, format!("found {} values in rows of {d}", features.len()))
            .expected("whole rows"));
    }
    match features.iter().position(|value| !value.is_finite()) {
        None => Ok(features.len() / d),
        Some(at) => {
            let (row, column, value) = (at / d, at % d, features[at]);
            Err(Error::input(place, format!("row {row} has {value} in column {column}"))
                .expected("finite numbers"))
        }
    }
}

/// That `found` is as long as it must be. `place` begins the error, `what` names the values.
fn same_length(place: &str, what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::input(place, format!("found {found} {what}")).expected(format!("{expected}")))
}

/// That every index is below `limit`.
fn below(place: &str, what: &str, indices: &[usize], limit: usize) -> Result<()> {
    match indices.iter().enumerate().find(|(_, index)| **index >= limit) {
        None => Ok(()),
        Some((row, index)) => Err(Error::input(place, format!("the {what} of row {row} is {index}"))
            .expected(format!("an index below {limit}"))),
    }
}
