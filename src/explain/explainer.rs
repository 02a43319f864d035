//! Computes class activation maps: features and logits, the gradient of one logit with respect to the
//! features, and what a method makes of them.
//!
//! Shapes: B images, C channels, h w the size of the map, S the input's side, K classes.

use burn::tensor::{Tensor, TensorData};

use super::map::Map;
use super::methods::{Evidence, Method};
use crate::cpu::ComputeType;
use crate::error::{Error, Result};
use crate::eval::evaluate::batch_logits;
use crate::model::Model;
use crate::model::files::weights::LoadedModel;
use crate::model::layers::Pass;
use crate::model::params::{Params, host_values};

/// Computes class activation maps of a model.
pub struct Explainer<'a> {
    model: &'a Model,
    params: &'a Params,
    /// The same parameters as leaves of a graph, none of which needs a gradient.
    graph: Params,
    /// Side of the input in pixels.
    pub size: usize,
    /// Number format of the expensive products.
    pub compute: ComputeType,
    /// Images in a forward pass, for what needs many of them.
    pub batch_size: usize,
}

/// Features and logits of some images.
pub struct Activations {
    /// `[B, C, h, w]`
    pub features: Vec<f32>,
    /// B, C, h, w.
    pub shape: [usize; 4],
    /// `[B][K]`: the raw logits, before temperature and softmax.
    pub logits: Vec<Vec<f32>>,
}

/// What the methods share: it is computed once for all of them.
struct Computed {
    activations: Activations,
    /// `[B, C, h, w]`; empty where no method needs it.
    gradients: Vec<f32>,
}

impl<'a> Explainer<'a> {
    /// Explains a loaded model, for input of the size on its card.
    pub fn new(loaded: &'a LoadedModel, compute: ComputeType, batch_size: usize) -> Self {
        Self::of(&loaded.model, &loaded.params, loaded.card.input_size, compute, batch_size)
    }

    /// Explains a model with these parameters, for input of `size` × `size` pixels.
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

    /// The model and its parameters.
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
        // The graph begins at the features: the backbone is not differentiated.
        let data = TensorData::new(activations.features.clone(), activations.shape);
        let features = Tensor::<4>::from_data(data, &device).require_grad();
        let pass = Pass::eval(&self.graph).with_compute(self.compute);
        let logits = self.model.head(features.clone(), &pass); // [B, K]
        let [_, count] = logits.dims();
        let mut chosen = vec![0.0f32; batch * count];
        classes.iter().enumerate().for_each(|(row, class)| chosen[row * count + class] = 1.0);
        // Images do not interact, so that the gradient of the sum holds that of each.
        let sum = (logits * Tensor::<2>::from_data(TensorData::new(chosen, [batch, count]), &device)).sum();
        let mut gradients = sum.backward();
        let gradient = features
            .grad_remove(&mut gradients)
            .ok_or_else(|| Error::Compute("the head does not use the features".into()))?;
        host_values(gradient)
    }

    /// A map of each image for its class, `[B]`. `images` is `[B, 3, S, S]`, normalised.
    ///
    /// # Errors
    /// The device fails.
    pub fn maps(&self, method: Method, images: &[f32], classes: &[usize]) -> Result<Vec<Map>> {
        Ok(self.all_maps(&[method], images, classes)?.swap_remove(0))
    }

    /// The maps of several methods, `[methods][B]`; features and gradients are computed once.
    ///
    /// # Errors
    /// The device fails.
    pub fn all_maps(&self, methods: &[Method], images: &[f32], classes: &[usize]) -> Result<Vec<Vec<Map>>> {
        let activations = self.activations(images)?;
        let gradients = if methods.iter().any(|method| method.needs_gradient()) {
            self.gradients(&activations, classes)?
        } else {
            Vec::new()
        };
        let computed = Computed { activations, gradients };
        methods.iter().map(|method| self.weigh(*method, images, classes, &computed)).collect()
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

    /// The spatial attention of the model's attention blocks, in the order of the forward pass:
    /// `[blocks][B]`, values 0…1. Empty for a model without such blocks.
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
        computed: &Computed,
    ) -> Result<Vec<Map>> {
        let Computed { activations, gradients } = computed;
        let [batch, channels, height, width] = activations.shape;
        let (per_map, per_image) = (channels * height * width, 3 * self.size * self.size);
        let one = |index: usize| -> Result<Map> {
            let logits = |inputs: Vec<f32>| {
                let rows = batch_logits(self.model, self.params, inputs, self.size, self.compute)?;
                Ok(rows.into_iter().map(|row| row[classes[index]]).collect())
            };
            let evidence = Evidence {
                features: &activations.features[index * per_map..][..per_map],
                gradient: gradients.get(index * per_map..(index + 1) * per_map).unwrap_or_default(),
                map_size: [height, width],
                image: &images[index * per_image..][..per_image],
                image_size: self.size,
                batch_size: self.batch_size,
                logits: &logits,
            };
            Ok(Map { width, height, values: method.weigh(&evidence)? })
        };
        (0..batch).map(one).collect()
    }
}
