//! A trained model at work: the shortest way from a model file to the emotion in an image.

use std::path::Path;

use crate::device::{self, DeviceConfig, OpenDevice};
use crate::error::{Error, Result};
use crate::eval::evaluate::{batch_logits, model_input, read_image, softmax};
use crate::image::RgbImage;
use crate::model::files::weights::{LoadedModel, load_model};
use crate::run_folder::names::BEST;
use crate::run_folder::{is_run, model_file};

/// A trained model, ready to classify images.
///
/// ```no_run
/// # fn main() -> mien::Result<()> {
/// let classifier = mien::Classifier::open("runs/vgg16_cbam-real")?;
/// let answer = classifier.classify_file("face.jpg")?;
/// println!("{} ({:.0} %)", answer.class(), 100.0 * answer.probability());
/// # Ok(())
/// # }
/// ```
pub struct Classifier {
    loaded: LoadedModel,
    device: OpenDevice,
}

impl Classifier {
    /// Opens a run folder (its best model), a checkpoint or a model file of mien, on the best device of this
    /// build.
    ///
    /// # Errors
    /// There is no model at `path`, it cannot be read, or no device can be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(path, &DeviceConfig::default())
    }

    /// As [`Classifier::open`], on a device of your choice.
    ///
    /// # Errors
    /// As for [`Classifier::open`].
    pub fn open_on(path: impl AsRef<Path>, config: &DeviceConfig) -> Result<Self> {
        let path = path.as_ref();
        let file = model_file(path).ok_or_else(|| no_model(path))?;
        let device = device::open(config)?;
        let loaded = load_model(&file, &device.device)?;
        Ok(Self { loaded, device })
    }

    /// The names of the classes, in the order of the model's outputs.
    pub fn classes(&self) -> &[String] {
        &self.loaded.card.classes
    }

    /// The model with its description: input size, normalisation, temperature, provenance.
    pub fn model(&self) -> &LoadedModel {
        &self.loaded
    }

    /// Classifies an image of a face of any size; it is resized to the model's input.
    ///
    /// # Errors
    /// The device fails.
    pub fn classify(&self, image: &RgbImage) -> Result<Classification> {
        self.answer(model_input(image, &self.loaded.card))
    }

    /// Classifies an image file: JPEG, PNG, BMP, WebP or TIFF.
    ///
    /// # Errors
    /// The file cannot be read or is no image; the device fails.
    pub fn classify_file(&self, path: impl AsRef<Path>) -> Result<Classification> {
        self.answer(read_image(path.as_ref(), &self.loaded.card)?.1)
    }

    /// `[3, S, S]`, normalised.
    fn answer(&self, input: Vec<f32>) -> Result<Classification> {
        let LoadedModel { model, params, card, .. } = &self.loaded;
        let logits = batch_logits(model, params, input, card.input_size, self.device.compute)?;
        let probabilities = softmax(&logits[0], card.temperature);
        let mut ranked: Vec<(String, f32)> = card.classes.iter().cloned().zip(probabilities).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(Classification { ranked })
    }
}

/// What is said of a path without a model.
fn no_model(path: &Path) -> Error {
    if !path.exists() {
        return Error::at(path, "no such file or folder").expected("a run folder or a model file of mien");
    }
    let problem = if is_run(path) { format!("the run has no {BEST} yet") } else { "holds no model".into() };
    Error::at(path, problem).expected("a run folder with its best model, or a .safetensors file of mien")
}

/// What a model says of an image: every class with its probability (calibrated, where the model is), the
/// likeliest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    ranked: Vec<(String, f32)>,
}

impl Classification {
    /// The name of the likeliest class.
    pub fn class(&self) -> &str {
        &self.ranked[0].0
    }

    /// The probability of the likeliest class, 0 to 1.
    pub fn probability(&self) -> f32 {
        self.ranked[0].1
    }

    /// All classes with their probabilities, the likeliest first.
    pub fn ranked(&self) -> &[(String, f32)] {
        &self.ranked
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::files::weights::{ModelCard, save_model};
    use crate::model::{Model, ModelConfig};
    use burn::tensor::Device;

    fn saved() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let config = ModelConfig { width: 0.0625, ..ModelConfig::default() };
        let classes = ["happy", "sad", "neutral"].map(str::to_owned).to_vec();
        let params = Model::new(&config, 3, 32).unwrap().init(1, false, &Device::flex());
        save_model(&path, &params, &ModelCard::new(config, classes, 32, [0.5; 3], [0.25; 3])).unwrap();
        (folder, path)
    }

    #[test]
    fn a_classifier_ranks_its_classes_the_same_from_pixels_and_from_a_file() {
        let (folder, path) = saved();
        let classifier = Classifier::open(&path).unwrap();
        let image = crate::image::fixtures::noise(40, 30, false);
        let file = folder.path().join("face.png");
        std::fs::write(&file, crate::image::encode::encode_png(&image)).unwrap();
        let answer = classifier.classify(&image).unwrap();
        assert_eq!(answer, classifier.classify_file(&file).unwrap());
        assert_eq!((answer.ranked().len(), answer.class()), (3, answer.ranked()[0].0.as_str()));
        let sum: f32 = answer.ranked().iter().map(|(_, probability)| probability).sum();
        assert!((sum - 1.0).abs() < 1e-5 && answer.ranked().is_sorted_by(|a, b| a.1 >= b.1));
    }

    #[test]
    fn a_path_without_a_model_is_one_clear_line() {
        let (folder, _) = saved();
        let error = |path: &Path| Classifier::open(path).err().unwrap().to_string();
        assert!(error(&folder.path().join("none")).contains("no such file or folder"));
        assert!(error(folder.path()).contains("holds no model"));
    }
}
