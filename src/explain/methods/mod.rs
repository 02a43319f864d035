//! Class activation methods: each is a file with its paper and its weighting function, and a line here.

mod eigen_cam;
mod entry;
mod grad_cam;
mod grad_cam_plus_plus;
mod hires_cam;
mod layer_cam;
mod score_cam;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::entry::Entry;
pub use self::entry::Evidence;
use crate::error::{Error, Result};
use crate::text::nearest;

/// A class activation method of the table [`Method::ALL`].
#[derive(Clone, Copy)]
pub struct Method(&'static Entry);

impl Method {
    /// Every method, in the order of help texts and tables.
    pub const ALL: &'static [Self] = &[
        Self::GRAD_CAM,
        Self(&grad_cam_plus_plus::ENTRY),
        Self(&hires_cam::ENTRY),
        Self(&layer_cam::ENTRY),
        Self(&eigen_cam::ENTRY),
        Self::SCORE_CAM,
    ];

    /// The default: fast, and the best known.
    pub const GRAD_CAM: Self = Self(&grad_cam::ENTRY);
    /// The slow one: a forward pass for each channel of the features.
    pub const SCORE_CAM: Self = Self(&score_cam::ENTRY);

    /// The name in options and files: `grad_cam`.
    pub fn as_str(self) -> &'static str {
        self.0.name
    }

    /// The name as papers write it: `Grad-CAM`.
    pub fn title(self) -> &'static str {
        self.0.title
    }

    /// Whether the method reads the gradient of the class's logit.
    pub fn needs_gradient(self) -> bool {
        self.0.needs_gradient
    }

    /// Whether the map depends on the class.
    pub fn is_class_specific(self) -> bool {
        self.0.is_class_specific
    }

    /// The map of one image for one class: `[h, w]`, row-major, 0 or more.
    ///
    /// # Errors
    /// The device fails.
    pub fn weigh(self, evidence: &Evidence) -> Result<Vec<f32>> {
        (self.0.weigh)(evidence)
    }

    /// The name on the command line: `grad-cam++`.
    fn option(self) -> String {
        self.as_str().replace('_', "-").replace("-plus-plus", "++")
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Method {}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = Error;

    /// Accepts `grad_cam`, `grad-cam` and `GradCAM`; also `grad-cam++`.
    fn from_str(name: &str) -> Result<Self> {
        let plain = |name: &str| name.to_lowercase().replace("++", "plusplus").replace(['-', '_', ' '], "");
        Self::ALL.iter().copied().find(|method| plain(method.as_str()) == plain(name)).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().copied().map(Self::option).collect();
            let error = Error::input("--method", format!("unknown method '{name}'"))
                .expected(format!("all or one of {}", known.join(", ")));
            match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("Did you mean {near}?")),
                None => error,
            }
        })
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_the_usual_spellings() {
        for &method in Method::ALL {
            for name in [method.as_str(), method.title(), &method.option()] {
                assert_eq!(name.parse::<Method>().unwrap(), method);
            }
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
            assert_eq!(serde_json::from_value::<Method>(method.as_str().into()).unwrap(), method);
        }
        assert!("cam".parse::<Method>().unwrap_err().to_string().contains("grad-cam++"));
        assert!("grid-cam".parse::<Method>().unwrap_err().to_string().contains("Did you mean grad-cam?"));
    }
}
