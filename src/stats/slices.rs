//! The index of the largest value of a slice, and checks of lengths and values that many functions share.

use crate::error::{Error, Result};

/// The index of the largest value; the lowest of several; 0 for an empty row. NaN is never the largest.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, &value) in row.iter().enumerate() {
        if value > best.1 {
            best = (index, value);
        }
    }
    best.0
}

/// Checks that a flat `[n, d]` slice has whole rows of finite values; returns n. `place` begins the error.
pub(super) fn rows(place: &str, features: &[f32], d: usize) -> Result<usize> {
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

/// Checks a length. `place` begins the error, `what` names the values.
pub(super) fn same_length(place: &str, what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::input(place, format!("found {found} {what}")).expected(format!("{expected}")))
}

/// Checks that every index is below `limit`.
pub(super) fn below(place: &str, what: &str, indices: &[usize], limit: usize) -> Result<()> {
    match indices.iter().enumerate().find(|(_, index)| **index >= limit) {
        None => Ok(()),
        Some((row, index)) => Err(Error::input(place, format!("the {what} of row {row} is {index}"))
            .expected(format!("an index below {limit}"))),
    }
}
