//! What is known of a model before it is built. A `const` [`Entry`] stands beside each model's code;
//! [`zoo`](super::zoo) lists them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::backbone::Backbone;
use super::params::Path;

/// A model that can be named in a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name in configurations: torchvision's, where the model is torchvision's.
    pub name: &'static str,
    /// What it is, for help and lists: half a line without a full stop.
    pub about: &'static str,
    /// Declares its tensors on a path.
    pub build: fn(&Path, &Plan) -> Arc<dyn Backbone>,
    /// The heads that it offers, the published one first.
    pub heads: &'static [Head],
    /// What `model.dropout` is unless it is set.
    pub dropout: f64,
    /// The smallest side of an input in pixels that leaves something of the last map.
    pub smallest_input: usize,
    /// How many pixels of the input's side make one of the last map's.
    pub stride: usize,
    /// Learned numbers of the published model: width 1, first head, 1000 classes, images of 224 pixels.
    pub parameters: usize,
    /// Weights that were trained on ImageNet; for a model with additions those of the plain one.
    pub weights: Option<Remote>,
    /// Beginnings of tensor names as other programs write them, and as torchvision does.
    pub renamed: &'static [(&'static str, &'static str)],
}

/// A file on a server, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The file's name; torchvision's hold the first eight digits of the SHA-256.
    pub file: &'static str,
    /// The folder that it is in.
    pub folder: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256: 64 hexadecimal digits.
    pub sha256: &'static str,
}

impl Remote {
    /// torchvision's weights (`IMAGENET1K_V1`).
    pub const fn torchvision(file: &'static str, bytes: u64, sha256: &'static str) -> Self {
        Self { file, folder: "https://download.pytorch.org/models", bytes, sha256 }
    }
}

/// What a model is built to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Multiplies all channel counts; 1 as published.
    pub width: f64,
    /// One of the heads that the entry offers.
    pub head: Head,
    /// Dropout probability of the head, 0 to 1 without 1.
    pub dropout: f64,
    /// K, the number of classes.
    pub classes: usize,
    /// Side of the square input in pixels.
    pub input_size: usize,
}

impl Plan {
    /// `published` channels times the width, rounded, at least one.
    pub fn scaled(&self, published: usize) -> usize {
        ((published as f64 * self.width).round() as usize).max(1)
    }
}

/// What turns the last map into logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// The published one: VGG's three linear layers, ResNet's one.
    #[default]
    Fc,
    /// Global average pool and one linear layer; in VGG 15 M parameters in place of 134 M.
    Gap,
}

impl Head {
    /// The name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fc => "fc",
            Self::Gap => "gap",
        }
    }
}
