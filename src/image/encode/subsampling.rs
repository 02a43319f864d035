//! How finely a JPEG keeps colour.

use serde::{Deserialize, Serialize};

/// How finely a JPEG keeps the colours of an RGB image; the lightness is always kept in full.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subsampling {
    /// One colour for each pixel.
    #[serde(rename = "4:4:4")]
    S444,
    /// One colour for two pixels side by side, their average.
    #[serde(rename = "4:2:2")]
    S422,
    /// One colour for a square of four pixels, their average.
    #[serde(rename = "4:2:0")]
    S420,
}

impl std::fmt::Display for Subsampling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::S444 => "4:4:4",
            Self::S422 => "4:2:2",
            Self::S420 => "4:2:0",
        })
    }
}

impl Subsampling {
    /// Pixels per colour: across and down.
    pub(super) fn factors(self) -> (usize, usize) {
        match self {
            Self::S444 => (1, 1),
            Self::S422 => (2, 1),
            Self::S420 => (2, 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsampling_has_its_usual_names() {
        for (subsampling, name) in
            [(Subsampling::S444, "4:4:4"), (Subsampling::S422, "4:2:2"), (Subsampling::S420, "4:2:0")]
        {
            assert_eq!(serde_json::to_value(subsampling).unwrap(), name);
        }
    }
}
