//! Explains many images into a folder: a map each, sheets of the classified and the misclassified images,
//! means per class, how faithful the methods are, and the index `explain.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::explainer::Explainer;
use super::faithful::Judge;
use super::index::{ClassMean, INDEX, Index, Judged, MapEntry};
use super::map::Map;
use super::methods::Method;
use super::npy;
use super::overlay::{Mean, overlay};
use super::sheet::{Entry, sheet};
use crate::error::{Error, Result};
use crate::eval::evaluate::softmax;
use crate::files::{write_atomic, write_json};
use crate::image::encode::Encoder;
use crate::image::{Bitmap, RgbImage};
use crate::model::files::weights::ModelCard;
use crate::stats::argmax;

/// Which class a map explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The class that the model predicts for the image.
    Predicted,
    /// The labelled class; the predicted one for an image without a label.
    True,
    /// The class of this index.
    Class(usize),
}

/// Which maps are made, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Methods, at least one; the first makes the overlays and the class means.
    pub methods: Vec<Method>,
    /// Which class the maps explain.
    pub target: Target,
    /// Whether each map is averaged with that of the mirrored image, mirrored back.
    pub smooth: bool,
    /// Seed of the random maps and of ROAD's noise.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { methods: vec![Method::GRAD_CAM], target: Target::Predicted, smooth: false, seed: 42 }
    }
}

/// An image to explain.
pub struct Subject {
    /// The image's name in the index.
    pub name: String,
    /// Index of the labelled class, where there is a label.
    pub truth: Option<usize>,
    /// The image as its file holds it.
    pub image: RgbImage,
    /// The input of the model: `[3, S, S]`, normalised.
    pub input: Vec<f32>,
}

/// Writes explanations into a new folder.
pub struct Writer<'a> {
    explainer: &'a Explainer<'a>,
    card: &'a ModelCard,
    settings: &'a Settings,
    folder: PathBuf,
    /// Prefix of the paths in the index.
    prefix: String,
    index: Index,
    encoder: Encoder,
}

impl<'a> Writer<'a> {
    /// Writes into `folder`, which must exist and be empty; paths in the index are `{prefix}/…`.
    pub fn new(
        explainer: &'a Explainer<'a>,
        card: &'a ModelCard,
        settings: &'a Settings,
        folder: &Path,
        prefix: &str,
        split: Option<&str>,
    ) -> Self {
        let methods: Vec<String> = settings.methods.iter().map(ToString::to_string).collect();
        let index = Index {
            method: methods[0].clone(),
            methods,
            split: split.map(ToOwned::to_owned),
            ..Index::default()
        };
        Self {
            explainer,
            card,
            settings,
            folder: folder.to_owned(),
            prefix: prefix.to_owned(),
            index,
            encoder: Encoder::default(),
        }
    }

    fn class(&self, subject: &Subject, predicted: usize) -> usize {
        match self.settings.target {
            Target::Predicted => predicted,
            Target::True => subject.truth.unwrap_or(predicted),
            Target::Class(class) => class,
        }
    }

    /// The maps of one image for a class, a method each.
    fn maps(&self, methods: &[Method], input: &[f32], class: usize) -> Result<Vec<Map>> {
        let maps = if self.settings.smooth {
            methods
                .iter()
                .map(|method| self.explainer.smooth_maps(*method, input, &[class]))
                .collect::<Result<Vec<_>>>()?
        } else {
            self.explainer.all_maps(methods, input, &[class])?
        };
        Ok(maps.into_iter().flatten().collect())
    }

    fn write_image(&mut self, name: &str, image: &RgbImage) -> Result<String> {
        let mut bytes = Vec::new();
        self.encoder.png(&Bitmap::from_rgb(image.clone()), &mut bytes);
        write_atomic(&self.folder.join(name), |out| out.write_all(&bytes))?;
        Ok(format!("{}/{name}", self.prefix))
    }

    /// Explains images one by one, each into files of its own, and puts all of them on a sheet, `{grid}.png`.
    /// `done` is called after each image.
    ///
    /// # Errors
    /// The device fails, a file cannot be written, or `done` fails.
    pub fn explain(
        &mut self,
        grid: &str,
        title: &str,
        subjects: impl Iterator<Item = Result<Subject>>,
        done: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut entries = Vec::new();
        let mut blocks = 0;
        for (number, subject) in subjects.enumerate() {
            let subject = subject?;
            let stem = format!("{grid}_{:03}", number + 1);
            let (entry, attention) = self.explain_one(&stem, &subject)?;
            blocks = attention;
            entries.push(entry);
            done()?;
        }
        if entries.is_empty() {
            return Ok(());
        }
        let mut names = vec!["image"];
        names.extend(self.settings.methods.iter().map(|method| method.title()));
        if blocks > 0 {
            names.push("spatial attention of the last block");
        }
        let file = format!("{grid}.png");
        let path = self.write_image(&file, &sheet(title, &names, &entries)?)?;
        self.index.grids.insert(grid.to_owned(), path);
        Ok(())
    }

    fn explain_one(&mut self, stem: &str, subject: &Subject) -> Result<(Entry, usize)> {
        let logits = self.explainer.activations(&subject.input)?.logits.swap_remove(0);
        let probabilities = softmax(&logits, self.card.temperature);
        let predicted = argmax(&probabilities);
        let class = self.class(subject, predicted);
        let mut cells = vec![subject.image.clone()];
        let (mut overlays, mut raw) = (BTreeMap::new(), BTreeMap::new());
        let maps = self.maps(&self.settings.methods, &subject.input, class)?;
        for (method, map) in self.settings.methods.iter().zip(maps) {
            let shown = overlay(&subject.image, &map);
            overlays.insert(method.to_string(), self.write_image(&format!("{stem}_{method}.png"), &shown)?);
            let file = format!("{stem}_{method}.npy");
            npy::write(&self.folder.join(&file), &[map.height, map.width], &map.values)?;
            raw.insert(method.to_string(), format!("{}/{file}", self.prefix));
            cells.push(shown);
        }
        let attention = self.explainer.attention(&subject.input)?;
        let attention: Vec<RgbImage> =
            attention.iter().map(|maps| overlay(&subject.image, &maps[0])).collect();
        cells.extend(attention.last().cloned());
        let last = attention
            .last()
            .map(|last| self.write_image(&format!("{stem}_attention.png"), last))
            .transpose()?;
        let blocks = beside(&attention)
            .map(|strip| self.write_image(&format!("{stem}_attention_blocks.png"), &strip))
            .transpose()?;
        let name = |class: usize| self.card.classes[class].clone();
        let is_wrong = subject.truth.is_some_and(|truth| truth != predicted);
        let sure = format!("{:.0} %", 100.0 * probabilities[predicted]);
        let mut title = match subject.truth.filter(|_| is_wrong) {
            Some(truth) => format!("{} → {}, {sure}", name(truth), name(predicted)),
            None => format!("{}, {sure}", name(predicted)),
        };
        if class != predicted && self.settings.methods.iter().any(|method| method.is_class_specific()) {
            title += &format!(" (maps: {})", name(class));
        }
        let image = self.write_image(&format!("{stem}.png"), &subject.image)?;
        self.index.maps.push(MapEntry {
            path: subject.name.clone(),
            truth: subject.truth.map(name),
            predicted: name(predicted),
            class: name(class),
            probability: Some(probabilities[class]),
            image: Some(image),
            overlay: overlays.get(&self.index.method).cloned(),
            overlays,
            raw,
            attention: last,
            attention_blocks: blocks,
        });
        Ok((Entry { images: cells, title, about: subject.name.clone(), is_wrong }, attention.len()))
    }

    /// The mean map of a class over its images, as `mean_{class number}.png`.
    ///
    /// # Errors
    /// As for [`Writer::explain`].
    pub fn class_mean(
        &mut self,
        class: usize,
        subjects: impl Iterator<Item = Result<Subject>>,
        done: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut mean = Mean::new(self.explainer.size);
        for subject in subjects {
            let subject = subject?;
            let maps = self.maps(&self.settings.methods[..1], &subject.input, class)?;
            maps.iter().for_each(|map| mean.add(&subject.image, map));
            done()?;
        }
        if let Some(shown) = mean.overlay() {
            let image = self.write_image(&format!("mean_{class}.png"), &shown)?;
            self.index.class_means.push(ClassMean {
                class: self.card.classes[class].clone(),
                count: mean.count(),
                image,
            });
        }
        Ok(())
    }

    /// Measures how faithful `methods` are, on images.
    ///
    /// # Errors
    /// As for [`Writer::explain`].
    pub fn judge(
        &mut self,
        methods: &[Method],
        subjects: impl Iterator<Item = Result<Subject>>,
        done: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut judge = Judge::new(self.explainer, self.card.temperature, methods, self.settings.seed);
        let mut images = 0;
        for subject in subjects {
            let subject = subject?;
            let logits = self.explainer.activations(&subject.input)?.logits.swap_remove(0);
            judge.add(&subject.input, self.class(&subject, argmax(&logits)), images as u64)?;
            images += 1;
            done()?;
        }
        if images > 0 {
            let baseline = "the blurred image".into();
            self.index.faithfulness = Some(Judged { images, baseline, methods: judge.finish() });
        }
        Ok(())
    }

    /// Writes the index, which completes the folder.
    ///
    /// # Errors
    /// Nothing was explained, or the file cannot be written.
    pub fn finish(self) -> Result<Index> {
        if self.index.maps.is_empty()
            && self.index.class_means.is_empty()
            && self.index.faithfulness.is_none()
        {
            return Err(Error::at(&self.folder, "there is nothing to explain")
                .expected("at least one readable image"));
        }
        write_json(&self.folder.join(INDEX), &self.index)?;
        Ok(self.index)
    }
}

/// Images of one size side by side.
fn beside(images: &[RgbImage]) -> Option<RgbImage> {
    let first = images.first()?;
    let rows = (0..first.height).flat_map(|y| {
        images
            .iter()
            .flat_map(move |image| image.pixels[y * image.width * 3..][..image.width * 3].iter().copied())
    });
    Some(RgbImage::new(first.width * images.len(), first.height, rows.collect()))
}

/// Which misclassified images to show, at most `most`, as indices into `answers` (truth, predicted,
/// confidence): the most confident mistake of each confused pair, the most frequent pair first; then the
/// second of each pair, and so on.
pub fn choose_wrong(answers: &[(usize, usize, f32)], most: usize) -> Vec<usize> {
    let mut pairs: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (index, (truth, predicted, _)) in
        answers.iter().enumerate().filter(|(_, (truth, predicted, _))| truth != predicted)
    {
        pairs.entry((*truth, *predicted)).or_default().push(index);
    }
    let mut pairs: Vec<Vec<usize>> = pairs.into_values().collect();
    pairs.sort_by_key(|members| std::cmp::Reverse(members.len()));
    in_turn(pairs, answers, most)
}

/// Which correctly classified images to show, at most `most`: the most confident of each class in turn.
pub fn choose_right(answers: &[(usize, usize, f32)], most: usize) -> Vec<usize> {
    let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, (truth, ..)) in
        answers.iter().enumerate().filter(|(_, (truth, predicted, _))| truth == predicted)
    {
        classes.entry(*truth).or_default().push(index);
    }
    in_turn(classes.into_values().collect(), answers, most)
}

/// The most confident of each list, then the second of each, and so on.
fn in_turn(mut lists: Vec<Vec<usize>>, answers: &[(usize, usize, f32)], most: usize) -> Vec<usize> {
    for list in &mut lists {
        list.sort_by(|a, b| answers[*b].2.total_cmp(&answers[*a].2).then(a.cmp(b)));
    }
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|turn| lists.iter().filter_map(move |list| list.get(turn).copied()))
        .take(most)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_confused_pair_is_shown_before_any_twice() {
        let answers = [
            (0, 1, 0.5),
            (0, 1, 0.9),
            (0, 0, 1.0),
            (1, 0, 0.4),
            (0, 1, 0.7),
            (2, 2, 0.8),
            (2, 0, 0.6),
            (2, 0, 0.3),
        ];
        assert_eq!(choose_wrong(&answers, 10), [1, 6, 3, 4, 7, 0]);
        assert_eq!(choose_wrong(&answers, 3), [1, 6, 3]);
        assert_eq!(choose_right(&answers, 10), [2, 5]);
    }

    #[test]
    fn images_are_put_side_by_side() {
        let (a, b) = (RgbImage::from_grey(1, 2, &[1, 2]), RgbImage::from_grey(1, 2, &[3, 4]));
        assert_eq!(beside(&[a, b]).unwrap(), RgbImage::from_grey(2, 2, &[1, 3, 2, 4]));
        assert!(beside(&[]).is_none());
    }
}
