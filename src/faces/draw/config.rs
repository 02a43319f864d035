//! What to draw, and in which style.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The smallest `per_class`: three persons, one for each split.
pub const MIN_PER_CLASS: usize = 3;

/// How the drawings look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Shaded skin, textures, uneven light, blur and sensor noise.
    #[default]
    Photo,
    /// Flat saturated colours with outlines.
    Cartoon,
}

impl FromStr for Style {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "photo" => Ok(Self::Photo),
            "cartoon" => Ok(Self::Cartoon),
            _ => Err(Error::input("--style", format!("unknown style `{text}`")).expected("photo or cartoon")),
        }
    }
}

/// How many faces to draw, how large and in which style.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrawConfig {
    /// Images of each emotion, over all splits; at least [`MIN_PER_CLASS`].
    pub per_class: usize,
    /// Pixels per side, 32 to 1024.
    pub size: usize,
    /// Seed of the persons and of the images; the same seed gives the same pixels.
    pub seed: u64,
    /// Whether the drawings look like photos or like cartoons.
    pub style: Style,
}

impl Default for DrawConfig {
    fn default() -> Self {
        Self { per_class: 300, size: 48, seed: 1, style: Style::Photo }
    }
}

impl DrawConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first value out of its range, by its flag.
    pub fn validate(&self) -> Result<()> {
        if self.per_class < MIN_PER_CLASS {
            return Err(Error::input("--per-class", format!("found {}", self.per_class))
                .expected(format!("{MIN_PER_CLASS} or more"))
                .hint("Each of train, valid and test needs a person of its own"));
        }
        if !(32..=1024).contains(&self.size) {
            return Err(Error::input("--size", format!("found {} pixels", self.size)).expected("32 to 1024"));
        }
        Ok(())
    }

    /// How many images of each emotion a person shows: two, or one in a set of fewer than 20, which needs its
    /// persons for the splits.
    pub(super) fn rounds(&self) -> usize {
        if self.per_class < 20 { 1 } else { 2 }
    }

    /// Persons in (train, valid, test): a tenth, at least one, each for the last two.
    pub(super) fn persons(&self) -> [usize; 3] {
        let all = self.per_class.div_ceil(self.rounds());
        let tenth = ((all + 5) / 10).max(1);
        [all - 2 * tenth, tenth, tenth]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_has_one_name_everywhere() {
        for (style, name) in [(Style::Photo, "photo"), (Style::Cartoon, "cartoon")] {
            assert_eq!(name.parse::<Style>().unwrap(), style);
            assert_eq!(serde_json::to_value(style).unwrap(), name);
        }
        assert!("oil".parse::<Style>().unwrap_err().to_string().contains("photo or cartoon"));
    }
}
