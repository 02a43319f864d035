//! The models that can be named in a configuration. A new one is its own file and its line in [`ALL`].

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use super::entry::{Entry, Plan, Remote};
use super::{mobilenet, resnet, vgg};
use crate::error::{Error, Result};
use crate::text::nearest;

/// Every model, in the order of the documentation; the first is the default.
pub const ALL: &[&Entry] = &[
    &vgg::VGG16_CBAM,
    &vgg::VGG16,
    &resnet::RESNET50,
    &vgg::VGG16_BN,
    &vgg::VGG16_BN_CBAM,
    &resnet::RESNET18,
    &resnet::RESNET34,
    &mobilenet::MOBILENET_V3_SMALL,
];

/// A model of the zoo by its name; dereferences to its [`Entry`].
#[derive(Clone, Copy)]
pub struct ModelName(&'static Entry);

impl ModelName {
    /// All of them, in the order of [`ALL`].
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        ALL.iter().map(|entry| Self(entry))
    }

    /// The name as it is written in configurations.
    pub fn as_str(self) -> &'static str {
        self.0.name
    }

    /// What is known of it.
    pub fn entry(self) -> &'static Entry {
        self.0
    }
}

/// The names of all models, in the order of [`ALL`].
pub(crate) const NAMES: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut place = 0;
    while place < ALL.len() {
        names[place] = ALL[place].name;
        place += 1;
    }
    names
};

impl Default for ModelName {
    fn default() -> Self {
        Self(ALL[0])
    }
}

impl Deref for ModelName {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        self.0
    }
}

impl PartialEq for ModelName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ModelName {}

impl fmt::Debug for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name)
    }
}

impl FromStr for ModelName {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::all().find(|model| model.name == name).ok_or_else(|| {
            let meant = nearest(name, NAMES);
            let hint = meant.map_or_else(String::new, |meant| format!("Did you mean \"{meant}\"?"));
            Error::setting("--model (model.name)", format!("found \"{}\"", name.escape_debug()))
                .expected(format!("one of {}", NAMES.join(", ")))
                .hint(hint)
        })
    }
}

impl Serialize for ModelName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let model = Self::all().find(|model| model.name == name);
        model.ok_or_else(|| serde::de::Error::unknown_variant(&name, &NAMES))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_entry_has_a_name_of_its_own_and_sound_facts() {
        let names: HashSet<_> = ALL.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), ALL.len());
        for entry in ALL {
            let Entry { name, about, heads, stride, smallest_input, dropout, .. } = **entry;
            assert_eq!(name.parse::<ModelName>().unwrap().entry().name, name);
            assert!(!about.is_empty() && about.len() <= 80 && !about.ends_with('.'), "{name}: {about}");
            assert!(!heads.is_empty() && stride > 0 && smallest_input >= stride, "{name}");
            assert!((0.0..1.0).contains(&dropout), "{name}");
            if let Some(Remote { file, folder, bytes, sha256 }) = entry.weights {
                let digits = sha256.len() == 64 && sha256.bytes().all(|digit| digit.is_ascii_hexdigit());
                assert!(digits && sha256.to_lowercase() == sha256 && file.contains(&sha256[..8]), "{name}");
                assert!(folder.starts_with("https://") && !folder.ends_with('/'), "{name}");
                // Four bytes for each number, and the description.
                assert!(bytes.abs_diff(4 * entry.parameters as u64) < 1 << 20, "{name}: {bytes}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_all() {
        let error = "vgg15".parse::<ModelName>().unwrap_err().to_string();
        let start = "--model (model.name): found \"vgg15\"; expected one of vgg16_cbam,";
        assert!(error.starts_with(start), "{error}");
        assert!(
            error.ends_with("Did you mean \"vgg16\"?") && error.contains("mobilenet_v3_small"),
            "{error}"
        );
        assert!(!"convnext".parse::<ModelName>().unwrap_err().to_string().contains("Did you mean"));
        assert!(serde_json::from_str::<ModelName>("\"vgg16_bn\"").unwrap().as_str() == "vgg16_bn");
        assert!(
            serde_json::from_str::<ModelName>("\"vgg15\"").unwrap_err().to_string().contains("vgg16_cbam")
        );
    }
}
