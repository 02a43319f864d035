//! What every operation declares: its table in a profile, and what is drawn from it for one copy.

use std::fmt::Display;

use rand::{Rng, RngExt};

use super::border::Border;
use super::scratch::Scratch;
use crate::error::{Error, Result};
use crate::image::Bitmap;

/// An operation's table in a profile: how often it is drawn, and from which ranges.
pub trait Configured {
    /// The parameters that are drawn for one copy.
    type Drawn: Apply;

    /// The table of the profile `safe`.
    fn safe() -> Self;

    /// The table of the profile `reference`.
    fn reference() -> Self;

    /// How often the operation is drawn, relative to the weights of all others; 0 turns it off.
    fn weight(&self) -> f64;

    /// Checks every key but `weight`; `keys` makes the errors.
    ///
    /// # Errors
    /// [`Error::Input`] that names the first key whose value is out of range.
    fn check(&self, keys: Keys) -> Result<()>;

    /// Draws the parameters for one copy of an image of `width` × `height` pixels.
    fn draw(&self, width: usize, height: usize, rng: &mut impl Rng) -> Self::Drawn;
}

/// An operation with its parameters: all that is needed to apply it again. Its fields are what the manifest
/// says of it.
pub trait Apply {
    /// Whether it moves pixels and leaves their levels alone.
    const IS_GEOMETRIC: bool = false;

    /// Changes the image. Returns how many of its pixels now show what lies outside the original.
    ///
    /// Never fails or panics, whatever the parameters; an image without pixels stays as it is.
    fn apply(&self, image: &mut Bitmap, border: Border, scratch: &mut Scratch) -> usize;

    /// The parameters in a few characters, for the preview.
    fn label(&self) -> String;
}

/// The keys of one table of a profile, as error messages name them.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    table: &'a str,
    name: &'a str,
}

impl<'a> Keys<'a> {
    /// The keys of the table `[name]`.
    pub(in crate::augment) fn of(name: &'a str) -> Self {
        Self { table: "", name }
    }

    /// The keys of the table `[operations.name]`.
    pub(in crate::augment) fn of_operation(name: &'a str) -> Self {
        Self { table: "operations.", name }
    }

    /// An error if the value of `key` is not within `low` to `high`.
    pub(in crate::augment) fn within<T>(self, key: &str, value: T, [low, high]: [T; 2]) -> Result<()>
    where
        T: PartialOrd + Display + Copy,
    {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        self.wrong(key, value, format!("{low} to {high}"))
    }

    /// An error if the range that `key` holds is not a range within `low` to `high`.
    pub(in crate::augment) fn range(self, key: &str, value: [f64; 2], [low, high]: [f64; 2]) -> Result<()> {
        let [first, last] = value;
        if low <= first && first <= last && last <= high {
            return Ok(());
        }
        self.wrong(
            key,
            format_args!("[{first}, {last}]"),
            format!("[least, greatest], both within {low} to {high}"),
        )
    }

    /// An error about the value of `key`.
    pub(in crate::augment) fn wrong(
        self,
        key: &str,
        found: impl Display,
        expected: impl Into<String>,
    ) -> Result<()> {
        let Self { table, name } = self;
        Err(Error::input(format!("{table}{name}.{key}"), format!("found {found}")).expected(expected))
    }
}

/// A number between the ends of a range, all equally probable.
pub(super) fn between([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}
