//! `explain.json`: what a folder of explanations holds.
//!
//! Every field may be missing in a file that another version wrote. Paths are relative to the folder that
//! holds the folder of explanations, with `/` as separator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The name of the index within the folder of explanations.
pub const INDEX: &str = "explain.json";

/// The index of a folder of explanations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Index {
    /// The name of the first method, whose maps are the overlays and the class means.
    pub method: String,
    /// The names of all methods.
    pub methods: Vec<String>,
    /// The split that the images are from, where they are from a data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// One entry per image.
    pub maps: Vec<MapEntry>,
    /// One entry per class that has images.
    pub class_means: Vec<ClassMean>,
    /// Sheets of all images by name: `right` and `wrong`, or `all`.
    pub grids: BTreeMap<String, String>,
    /// How faithful the methods are, if that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faithfulness: Option<Judged>,
}

/// The maps of one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MapEntry {
    /// The image, as its data set or the user names it.
    pub path: String,
    /// Its true class, where it is known.
    #[serde(rename = "true", skip_serializing_if = "Option::is_none")]
    pub truth: Option<String>,
    /// The class that the model predicts.
    pub predicted: String,
    /// The class that the maps explain.
    pub class: String,
    /// The probability of that class, in `0..=1`.
    pub probability: Option<f32>,
    /// File of the image itself.
    pub image: Option<String>,
    /// File of the first method's heat map over the image.
    pub overlay: Option<String>,
    /// Files of the heat maps over the image, by method.
    pub overlays: BTreeMap<String, String>,
    /// Files of the raw maps by method: `.npy`, f32, `[h, w]` as the features.
    pub raw: BTreeMap<String, String>,
    /// File of the spatial attention of the last attention block over the image, for models that have such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// File of the spatial attention of all attention blocks side by side, in the order of the forward pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_blocks: Option<String>,
}

/// The mean map of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassMean {
    /// Name of the class.
    pub class: String,
    /// Number of images averaged.
    pub count: usize,
    /// File of the mean heat map over the mean image.
    pub image: String,
}

/// How faithful the methods are: see [`super::faithful`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Judged {
    /// Number of images that the means are over.
    pub images: usize,
    /// What deleted pixels are replaced with.
    pub baseline: String,
    /// One entry per method, then `random`.
    pub methods: Vec<Faithfulness>,
}

/// The faithfulness of one method, averaged over images. Curves are pairs of a fraction of the pixels and the
/// class's mean probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faithfulness {
    /// The method's name, or `random`.
    pub method: String,
    /// Area under the deletion curve, in `0..=1`; lower is better.
    pub deletion_auc: Option<f64>,
    /// Area under the insertion curve, in `0..=1`; higher is better.
    pub insertion_auc: Option<f64>,
    /// ROAD score, in `-0.5..=0.5`; higher is better.
    pub road: Option<f64>,
    /// Standard errors of these three over the images.
    pub standard_errors: [f64; 3],
    /// By the fraction of pixels deleted.
    pub deletion: Vec<[f64; 2]>,
    /// By the fraction of pixels inserted.
    pub insertion: Vec<[f64; 2]>,
    /// By the fraction of the most important pixels that is imputed.
    pub road_curve: Vec<[f64; 2]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_another_version_is_read_as_far_as_it_goes() {
        let text = r#"{"methods": ["grad_cam"], "maps": [{"path": "a.png", "true": "sad", "later": 1}],
            "faithfulness": {"methods": [{"method": "random", "deletion": [[0.0, 0.9], [1.0, 0.1]]}]}}"#;
        let index: Index = serde_json::from_str(text).unwrap();
        assert_eq!((index.maps[0].truth.as_deref(), index.maps[0].probability), (Some("sad"), None));
        let judged = &index.faithfulness.unwrap().methods[0];
        assert_eq!((judged.deletion[1], judged.road), ([1.0, 0.1], None));
    }
}
