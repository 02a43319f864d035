//! Class activation maps. Every method weighs the last convolutional map by what it means for one class.
//!
//! Shapes: B images, C channels, h w the size of the map, n = h·w, S the input's side, K classes.
//! `A_k` is channel k of the features, `G_k` the gradient of the class's raw logit with respect to it.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::overlay::stretch;
use crate::cpu::ComputeType;
use crate::error::{Error, Result};
use crate::eval::evaluate::batch_logits;
use crate::model::Model;
use crate::model::files::weights::LoadedModel;
use crate::model::layers::Pass;
use crate::model::params::{Params, host_values};

/// How a map is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Channels weighed by their mean gradient (Selvaraju et al., ICCV 2017, arXiv:1610.02391).
    GradCam,
    /// Positive gradients weighed by a ratio of their powers (Chattopadhay et al., WACV 2018,
    /// arXiv:1710.11063, equations 10 and 19).
    #[serde(rename = "grad_cam_plus_plus")]
    GradCamPlusPlus,
    /// Features times gradient at each place, without averaging (Draelos and Carin, 2020, arXiv:2011.08891).
    HiresCam,
    /// Features times positive gradient at each place (Jiang et al., IEEE TIP 2021).
    LayerCam,
    /// The first principal component of the features, whatever the class (Muhammad and Yeasin, IJCNN 2020,
    /// arXiv:2008.00299).
    EigenCam,
    /// Channels weighed by the logit of the image seen through them; no gradient (Wang et al., CVPRW 2020,
    /// arXiv:1910.01279).
    ScoreCam,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::GradCam,
        Self::GradCamPlusPlus,
        Self::HiresCam,
        Self::LayerCam,
        Self::EigenCam,
        Self::ScoreCam,
    ];

    /// The name in options and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GradCam => "grad_cam",
            Self::GradCamPlusPlus => "grad_cam_plus_plus",
            Self::HiresCam => "hires_cam",
            Self::LayerCam => "layer_cam",
            Self::EigenCam => "eigen_cam",
            Self::ScoreCam => "score_cam",
        }
    }

    /// The name as papers write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::GradCam => "Grad-CAM",
            Self::GradCamPlusPlus => "Grad-CAM++",
            Self::HiresCam => "HiRes-CAM",
            Self::LayerCam => "Layer-CAM",
            Self::EigenCam => "Eigen-CAM",
            Self::ScoreCam => "Score-CAM",
        }
    }

    /// Whether the map differs between classes.
    pub fn is_of_a_class(self) -> bool {
        self != Self::EigenCam
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = Error;

    /// Takes `grad_cam`, `grad-cam`, `GradCAM`; `grad-cam++` too.
    fn from_str(name: &str) -> Result<Self> {
        let plain = |name: &str| name.to_lowercase().replace("++", "plusplus").replace(['-', '_', ' '], "");
        Self::ALL.into_iter().find(|method| plain(method.as_str()) == plain(name)).ok_or_else(|| {
            let known = Self::ALL
                .map(|method| method.as_str().replace('_', "-").replace("-plus-plus", "++"))
                .join(", ");
            Error::input("--method", format!("there is no method '{name}'"))
                .expected(format!("one of {known}"))
        })
    }
}

/// A map at the size of the features: how much each place speaks for the class; 0 or more, in no unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width]`, row-major.
    pub values: Vec<f32>,
}

impl Map {
    /// The same with its largest value at 1; a map of zeros stays one.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let largest = self.values.iter().copied().fold(0.0, f32::max);
        let factor = if largest > 0.0 { 1.0 / largest } else { 0.0 };
        Self { values: self.values.iter().map(|value| value * factor).collect(), ..*self }
    }

    /// The same with its least value at 0 and its largest at 1; a map without differences becomes zeros.
    #[must_use]
    pub fn unit_range(&self) -> Self {
        let low = self.values.iter().copied().fold(f32::INFINITY, f32::min);
        Self { values: self.values.iter().map(|value| value - low).collect(), ..*self }.normalized()
    }

    fn mirrored(&self) -> Self {
        let values = self.values.chunks_exact(self.width).flat_map(|row| row.iter().rev().copied()).collect();
        Self { values, ..*self }
    }
}

/// A model that is asked for its reasons.
pub struct Explainer<'a> {
    model: &'a Model,
    params: &'a Params,
    /// The same numbers as leaves of a graph, none of which needs a gradient.
    graph: Params,
    /// Side of the input in pixels.
    pub size: usize,
    /// Number format of the expensive products.
    pub compute: ComputeType,
    /// Images at a time, for what needs many passes.
    pub batch_size: usize,
}

/// What a model makes of some images.
pub struct Activations {
    /// `[B, C, h, w]`
    pub features: Vec<f32>,
    /// B, C, h, w.
    pub shape: [usize; 4],
    /// `[B][K]`, raw.
    pub logits: Vec<Vec<f32>>,
}

impl<'a> Explainer<'a> {
    /// Asks `loaded`.
    pub fn new(loaded: &'a LoadedModel, compute: ComputeType, batch_size: usize) -> Self {
        Self::of(&loaded.model, &loaded.params, loaded.card.input_size, compute, batch_size)
    }

    /// Asks a model with these numbers, for input of `size` pixels.
    pub fn of(
        model: &'a Model,
        params: &'a Params,
        size: usize,
        compute: ComputeType,
        batch_size: usize,
    ) -> Self {
        let mut graph = params.clone();
        graph.freeze(|_| true);
        Self { model, params, graph: graph.for_training(), size, compute, batch_size: batch_size.max(1) }
    }

    /// The model and its numbers.
    pub fn parts(&self) -> (&'a Model, &'a Params) {
        (self.model, self.params)
    }

    fn input(&self, images: &[f32]) -> Tensor<4> {
        let shape = [images.len() / (3 * self.size * self.size), 3, self.size, self.size];
        Tensor::from_data(TensorData::new(images.to_vec(), shape), &self.params.device())
    }

    /// Features and logits of normalised images `[B, 3, S, S]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn activations(&self, images: &[f32]) -> Result<Activations> {
        let pass = Pass::eval(self.params).with_compute(self.compute);
        let features = self.model.features(self.input(images), &pass); // [B, C, h, w]
        let logits = self.model.head(features.clone(), &pass); // [B, K]
        let (shape, [_, classes]) = (features.dims(), logits.dims());
        let logits = host_values(logits)?.chunks_exact(classes).map(<[f32]>::to_vec).collect();
        Ok(Activations { features: host_values(features)?, shape, logits })
    }

    /// The gradient of each image's logit of its class with respect to its features: `[B, C, h, w]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn gradients(&self, activations: &Activations, classes: &[usize]) -> Result<Vec<f32>> {
        let [batch, ..] = activations.shape;
        let device = self.params.device().autodiff();
        // The graph begins at the features: nothing behind them is differentiated.
        let data = TensorData::new(activations.features.clone(), activations.shape);
        let features = Tensor::<4>::from_data(data, &device).require_grad();
        let logits = self.model.head(features.clone(), &Pass::eval(&self.graph).with_compute(self.compute)); // [B, K]
        let [_, count] = logits.dims();
        let mut chosen = vec![0.0f32; batch * count];
        classes.iter().enumerate().for_each(|(row, class)| chosen[row * count + class] = 1.0);
        // Images do not see each other, so that the gradient of the sum holds that of each.
        let sum = (logits * Tensor::<2>::from_data(TensorData::new(chosen, [batch, count]), &device)).sum();
        let mut gradients = sum.backward();
        let gradient = features
            .grad_remove(&mut gradients)
            .ok_or_else(|| Error::Compute("the head does not use the features".into()))?;
        host_values(gradient)
    }

    /// A map of each image for its class. `images` is `[B, 3, S, S]`, normalised.
    ///
    /// # Errors
    /// The device fails.
    pub fn maps(&self, method: Method, images: &[f32], classes: &[usize]) -> Result<Vec<Map>> {
        let activations = self.activations(images)?;
        let gradients = match method {
            Method::EigenCam | Method::ScoreCam => Vec::new(),
            _ => self.gradients(&activations, classes)?,
        };
        self.weigh(method, images, classes, &activations, &gradients)
    }

    /// The maps of several methods, `[methods][B]`; features and gradients are computed once.
    ///
    /// # Errors
    /// The device fails.
    pub fn all_maps(&self, methods: &[Method], images: &[f32], classes: &[usize]) -> Result<Vec<Vec<Map>>> {
        let activations = self.activations(images)?;
        let gradients = self.gradients(&activations, classes)?;
        methods.iter().map(|method| self.weigh(*method, images, classes, &activations, &gradients)).collect()
    }

    /// The same as [`Explainer::maps`], each averaged with the map of the mirrored image, mirrored back.
    ///
    /// # Errors
    /// The device fails.
    pub fn smooth_maps(&self, method: Method, images: &[f32], classes: &[usize]) -> Result<Vec<Map>> {
        let mirrored: Vec<f32> =
            images.chunks_exact(self.size).flat_map(|row| row.iter().rev().copied()).collect();
        let pairs =
            self.maps(method, images, classes)?.into_iter().zip(self.maps(method, &mirrored, classes)?);
        let mean = |(map, other): (Map, Map)| {
            let values =
                map.values.iter().zip(&other.mirrored().values).map(|(a, b)| (a + b) / 2.0).collect();
            Map { values, ..map }
        };
        Ok(pairs.map(mean).collect())
    }

    /// Where the attention blocks of the model look, from the input on, as far as it has such: `[blocks][B]`,
    /// each value 0…1.
    ///
    /// # Errors
    /// The device fails.
    pub fn attention(&self, images: &[f32]) -> Result<Vec<Vec<Map>>> {
        let pass = Pass::eval(self.params).with_compute(self.compute);
        let block = |attention: Tensor<4>| -> Result<Vec<Map>> {
            let [_, _, height, width] = attention.dims();
            let values = host_values(attention)?;
            Ok(values
                .chunks_exact(height * width)
                .map(|values| Map { width, height, values: values.to_vec() })
                .collect())
        };
        self.model.attention(self.input(images), &pass).into_iter().map(block).collect()
    }

    fn weigh(
        &self,
        method: Method,
        images: &[f32],
        classes: &[usize],
        activations: &Activations,
        gradients: &[f32],
    ) -> Result<Vec<Map>> {
        let [batch, channels, height, width] = activations.shape;
        let (area, per_map, per_image) =
            (height * width, channels * height * width, 3 * self.size * self.size);
        let one = |index: usize| -> Result<Map> {
            let features = &activations.features[index * per_map..][..per_map];
            let gradient = gradients.get(index * per_map..(index + 1) * per_map).unwrap_or_default();
            let values = match method {
                Method::GradCam => grad_cam(features, gradient, area),
                Method::GradCamPlusPlus => grad_cam_plus_plus(features, gradient, area),
                Method::HiresCam => hires_cam(features, gradient, area),
                Method::LayerCam => layer_cam(features, gradient, area),
                Method::EigenCam => eigen_cam(features, area),
                Method::ScoreCam => {
                    let image = &images[index * per_image..][..per_image];
                    let scores = self.scores(image, features, [height, width], classes[index])?;
                    weighted(features, &scores, area)
                }
            };
            Ok(Map { width, height, values })
        };
        (0..batch).map(one).collect()
    }

    /// Score-CAM's weights: the softmax over channels of the class's logit for the image seen through each
    /// channel, which is enlarged and stretched to 0…1. (The paper takes a baseline's logit off each score;
    /// the softmax does not see it.) A channel that is the same everywhere shows nothing and weighs nothing.
    fn scores(
        &self,
        image: &[f32],
        features: &[f32],
        [height, width]: [usize; 2],
        class: usize,
    ) -> Result<Vec<f64>> {
        let (size, area) = (self.size, height * width);
        let range = |channel: &[f32]| {
            let (low, high) = channel
                .iter()
                .fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)));
            (high > low).then_some((low, high))
        };
        let seen: Vec<(usize, &[f32], (f32, f32))> = features
            .chunks_exact(area)
            .enumerate()
            .filter_map(|(place, channel)| Some((place, channel, range(channel)?)))
            .collect();
        let mut logits = Vec::with_capacity(seen.len());
        for part in seen.chunks(self.batch_size) {
            let masked: Vec<f32> = part
                .par_iter()
                .flat_map_iter(|(_, channel, (low, high))| {
                    let unit = channel.iter().map(|value| (value - low) / (high - low)).collect();
                    let mask = stretch(&Map { width, height, values: unit }, size, size);
                    image
                        .chunks_exact(size * size)
                        .flat_map(move |plane| {
                            plane.iter().zip(&mask).map(|(pixel, mask)| pixel * mask).collect::<Vec<f32>>()
                        })
                        .collect::<Vec<f32>>()
                })
                .collect();
            let rows = batch_logits(self.model, self.params, masked, size, self.compute)?;
            logits.extend(rows.into_iter().map(|row| f64::from(row[class])));
        }
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        let mut weights = vec![0.0; features.len() / area];
        for ((place, ..), logit) in seen.iter().zip(&logits) {
            weights[*place] = (logit - largest).exp() / sum;
        }
        Ok(weights)
    }
}

/// relu(Σ_k w_k A_k): `[C, n] -> [n]`
fn weighted(features: &[f32], weights: &[f64], area: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; area];
    for (channel, weight) in features.chunks_exact(area).zip(weights) {
        sums.iter_mut().zip(channel).for_each(|(sum, value)| *sum += weight * f64::from(*value));
    }
    sums.into_iter().map(|sum| sum.max(0.0) as f32).collect()
}

/// w_k = mean of G_k.
fn grad_cam(features: &[f32], gradient: &[f32], area: usize) -> Vec<f32> {
    let mean = |channel: &[f32]| channel.iter().map(|g| f64::from(*g)).sum::<f64>() / area as f64;
    weighted(features, &gradient.chunks_exact(area).map(mean).collect::<Vec<_>>(), area)
}

/// w_k = Σ α relu(G_k) with α = G² / (2 G² + G³ Σ A_k), and 0 where G is 0.
fn grad_cam_plus_plus(features: &[f32], gradient: &[f32], area: usize) -> Vec<f32> {
    let weight = |(channel, gradient): (&[f32], &[f32])| {
        let total: f64 = channel.iter().map(|a| f64::from(*a)).sum();
        let alpha = |g: f64| g * g / (2.0 * g * g + g * g * g * total);
        gradient.iter().map(|g| f64::from(*g)).filter(|g| *g > 0.0).map(|g| alpha(g) * g).sum()
    };
    let weights: Vec<f64> =
        features.chunks_exact(area).zip(gradient.chunks_exact(area)).map(weight).collect();
    weighted(features, &weights, area)
}

/// relu(Σ_k G_k A_k)
fn hires_cam(features: &[f32], gradient: &[f32], area: usize) -> Vec<f32> {
    let at = |place: usize| {
        let products =
            (place..features.len()).step_by(area).map(|i| f64::from(features[i]) * f64::from(gradient[i]));
        products.sum::<f64>().max(0.0) as f32
    };
    (0..area).map(at).collect()
}

/// relu(Σ_k relu(G_k) A_k)
fn layer_cam(features: &[f32], gradient: &[f32], area: usize) -> Vec<f32> {
    let positive: Vec<f32> = gradient.iter().map(|g| g.max(0.0)).collect();
    hires_cam(features, &positive, area)
}

/// A Vᵀ's first component, σ₁ u₁ of A = U Σ Vᵀ with A as `[n, C]`, found by power iteration on A Aᵀ; features
/// after a ReLU have one whose values are all positive, and that is its sign.
fn eigen_cam(features: &[f32], area: usize) -> Vec<f32> {
    let mut gram = vec![0.0f64; area * area];
    for channel in features.chunks_exact(area) {
        for (row, a) in channel.iter().enumerate() {
            let products = gram[row * area..][..area].iter_mut().zip(channel);
            products.for_each(|(sum, b)| *sum += f64::from(*a) * f64::from(*b));
        }
    }
    // The sum of the rows leans to the first component.
    let mut vector: Vec<f64> = gram.chunks_exact(area).map(|row| row.iter().sum()).collect();
    let mut eigenvalue = 0.0;
    for _ in 0..10_000 {
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm == 0.0 {
            return vec![0.0; area];
        }
        vector.iter_mut().for_each(|v| *v /= norm);
        let next: Vec<f64> = gram.chunks_exact(area).map(|row| dot(row, &vector)).collect();
        eigenvalue = dot(&next, &vector);
        let residual = next.iter().zip(&vector).map(|(n, v)| (n - eigenvalue * v).abs()).fold(0.0, f64::max);
        if residual <= 1e-12 * eigenvalue {
            break;
        }
        vector = next;
    }
    let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    let sign = if vector.iter().sum::<f64>() < 0.0 { -1.0 } else { 1.0 };
    let factor = sign * eigenvalue.max(0.0).sqrt() / norm;
    vector.iter().map(|v| (v * factor).max(0.0) as f32).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_the_usual_spellings() {
        for method in Method::ALL {
            assert_eq!(method.as_str().parse::<Method>().unwrap(), method);
            assert_eq!(method.title().parse::<Method>().unwrap(), method);
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
        }
        assert!("cam".parse::<Method>().unwrap_err().to_string().contains("grad-cam++"));
    }

    // Two channels of two places; the expected numbers are worked out by hand from the definitions.
    const FEATURES: [f32; 4] = [1.0, 3.0, 2.0, 0.0];
    const GRADIENT: [f32; 4] = [2.0, 0.0, -1.0, 0.5];

    #[test]
    fn each_method_weighs_as_its_paper_says() {
        // w = [1, -0.25]: [1 - 0.5, 3 - 0]
        assert_eq!(grad_cam(&FEATURES, &GRADIENT, 2), [0.5, 3.0]);
        // [2·1 - 1·2, 0·3 + 0.5·0]
        assert_eq!(hires_cam(&FEATURES, &GRADIENT, 2), [0.0, 0.0]);
        // [2·1 + 0, 0]
        assert_eq!(layer_cam(&FEATURES, &GRADIENT, 2), [2.0, 0.0]);
        // α = 4 / (8 + 8·4) = 0.1, w = 0.2; α = 0.25 / (0.5 + 0.125·2) = 1/3, w = 1/6
        let map = grad_cam_plus_plus(&FEATURES, &GRADIENT, 2);
        assert!((map[0] - (0.2 + 2.0 / 6.0)).abs() < 1e-6 && (map[1] - 0.6).abs() < 1e-6, "{map:?}");
        // A Aᵀ = [[5, 3], [3, 9]]: eigenvalue 7 + √13, eigenvector (3, 2 + √13)
        let eigenvalue = 7.0 + 13f64.sqrt();
        let (x, y) = (3.0, 2.0 + 13f64.sqrt());
        let scale = eigenvalue.sqrt() / (x * x + y * y).sqrt();
        let map = eigen_cam(&FEATURES, 2);
        assert!(
            (f64::from(map[0]) - x * scale).abs() < 1e-6 && (f64::from(map[1]) - y * scale).abs() < 1e-6,
            "{map:?}"
        );
    }

    #[test]
    fn features_of_zeros_make_maps_of_zeros() {
        for map in [
            grad_cam(&[0.0; 4], &GRADIENT, 2),
            grad_cam_plus_plus(&[0.0; 4], &GRADIENT, 2),
            eigen_cam(&[0.0; 4], 2),
        ] {
            assert_eq!(map, [0.0, 0.0]);
        }
        let map = Map { width: 2, height: 1, values: vec![0.0; 2] };
        assert_eq!(map.normalized(), map);
    }
}
