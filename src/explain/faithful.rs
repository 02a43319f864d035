//! Whether a map is faithful to the model: how the probability changes when the pixels that it highlights are
//! removed, or are all that is left.
//!
//! - Deletion: pixels are replaced by those of a blurred image, those with the largest map values first. A
//!   faithful map makes the probability fall early: a smaller area under the curve is better (Petsiuk et al.,
//!   BMVC 2018, arXiv:1806.07421; they delete to grey).
//! - Insertion: the reverse, from the blurred image to the original. A larger area is better.
//! - ROAD: pixels are imputed from their neighbours, so that the removal itself leaves no edge for the model
//!   to see (Rong et al., ICML 2022, arXiv:2202.00449). The score is how much more the probability falls
//!   without the most important pixels than without the least important ones, halved, averaged over
//!   fractions of 20, 40, 60 and 80 %. Higher is better; 0 is chance.
//!
//! A random map is the baseline: a method that does no better tells nothing about the model.

use rand::RngExt;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;

use super::explainer::Explainer;
use super::index::Faithfulness;
use super::map::{Map, stretch};
use super::methods::Method;
use crate::error::Result;
use crate::eval::evaluate::{batch_logits, softmax};
use crate::model::Model;
use crate::model::params::Params;
use crate::random::{Purpose, rng};

/// Steps of deletion and insertion; with the start each curve has one point more.
pub const STEPS: usize = 16;
/// Fractions of the pixels that ROAD imputes.
const SHARES: [f64; 4] = [0.2, 0.4, 0.6, 0.8];
/// Weights of direct and diagonal neighbours in ROAD's imputation.
const DIRECT: f64 = 1.0 / 6.0;
const DIAGONAL: f64 = 1.0 / 12.0;
/// Standard deviation of the noise that ROAD adds to what it imputes, in units of the normalised input.
const NOISE: f64 = 0.01;

/// Sums over images.
struct Sums {
    deletion: Vec<f64>,
    insertion: Vec<f64>,
    road: Vec<f64>,
    scores: Vec<[f64; 3]>,
}

/// Measures the faithfulness of methods, and of a random map as the baseline, image by image.
pub struct Judge<'a> {
    explainer: &'a Explainer<'a>,
    model: (&'a Model, &'a Params),
    temperature: f32,
    methods: Vec<Method>,
    seed: u64,
    sums: Vec<Sums>,
    images: u64,
}

impl<'a> Judge<'a> {
    /// Measures `methods` by the probabilities of the model behind `explainer`, at a temperature.
    pub fn new(explainer: &'a Explainer<'a>, temperature: f32, methods: &[Method], seed: u64) -> Self {
        let empty = || Sums {
            deletion: vec![0.0; STEPS + 1],
            insertion: vec![0.0; STEPS + 1],
            road: vec![0.0; SHARES.len() + 1],
            scores: Vec::new(),
        };
        let sums = (0..=methods.len()).map(|_| empty()).collect();
        Self {
            explainer,
            model: explainer.parts(),
            temperature,
            methods: methods.to_vec(),
            seed,
            sums,
            images: 0,
        }
    }

    /// Measures all methods on one image: `image` is `[3, S, S]`, normalised; `class` is the one that the
    /// maps explain; `key` makes the random draws differ between images.
    ///
    /// # Errors
    /// The device fails.
    pub fn add(&mut self, image: &[f32], class: usize, key: u64) -> Result<()> {
        let maps = self.explainer.all_maps(&self.methods, image, &[class])?;
        let mut maps: Vec<Map> = maps.into_iter().flatten().collect();
        let Some(&Map { width, height, .. }) = maps.first() else { return Ok(()) };
        let mut random = rng(self.seed, Purpose::Explain, key, 0);
        maps.push(Map {
            width,
            height,
            values: (0..width * height).map(|_| random.random::<f32>()).collect(),
        });
        let size = self.explainer.size;
        let blurred = blur(image, size);
        for (method, map) in maps.iter().enumerate() {
            let order = ranking(&stretch(map, size, size));
            let deletion = self.curve(image, &blurred, &order, class)?;
            let insertion = self.curve(&blurred, image, &order, class)?;
            let (most, least) = self.road(image, &order, class, key)?;
            let score = most.iter().zip(&least).map(|(most, least)| (least - most) / 2.0).sum::<f64>()
                / SHARES.len() as f64;
            let sums = &mut self.sums[method];
            sums.scores.push([area(&deletion), area(&insertion), score]);
            add(&mut sums.road[1..], &most);
            sums.road[0] += deletion[0];
            add(&mut sums.deletion, &deletion);
            add(&mut sums.insertion, &insertion);
        }
        self.images += 1;
        Ok(())
    }

    /// The means over all images, in the order of the methods, `random` last; empty without images.
    pub fn finish(self) -> Vec<Faithfulness> {
        if self.images == 0 {
            return Vec::new();
        }
        let n = self.images as f64;
        let names = self.methods.iter().map(|method| method.as_str()).chain(["random"]);
        let step = |sums: Vec<f64>| {
            let last = (sums.len() - 1) as f64;
            sums.into_iter().enumerate().map(|(place, sum)| [place as f64 / last, sum / n]).collect()
        };
        let result = |(name, sums): (&str, Sums)| {
            let mean = [0, 1, 2].map(|which| sums.scores.iter().map(|s| s[which]).sum::<f64>() / n);
            let error = [0, 1, 2].map(|which| {
                let squares: f64 = sums.scores.iter().map(|s| (s[which] - mean[which]).powi(2)).sum();
                (squares / (n - 1.0).max(1.0) / n).sqrt()
            });
            let shares = [0.0].into_iter().chain(SHARES);
            Faithfulness {
                method: name.into(),
                deletion_auc: Some(mean[0]),
                insertion_auc: Some(mean[1]),
                road: Some(mean[2]),
                standard_errors: error,
                deletion: step(sums.deletion),
                insertion: step(sums.insertion),
                road_curve: shares.zip(&sums.road).map(|(share, sum)| [share, sum / n]).collect(),
            }
        };
        names.zip(self.sums).map(result).collect()
    }

    /// The class's probability as the pixels of `from` become those of `to`, in the order of `order`.
    fn curve(&self, from: &[f32], to: &[f32], order: &[usize], class: usize) -> Result<Vec<f64>> {
        let area = order.len();
        let versions: Vec<Vec<f32>> = (0..=STEPS)
            .into_par_iter()
            .map(|step| {
                let mut image = from.to_vec();
                for &place in &order[..step * area / STEPS] {
                    (0..3).for_each(|channel| image[channel * area + place] = to[channel * area + place]);
                }
                image
            })
            .collect();
        self.probabilities(&versions, class)
    }

    /// The class's probability without the most, and without the least important pixels, for each of
    /// [`SHARES`].
    fn road(&self, image: &[f32], order: &[usize], class: usize, key: u64) -> Result<(Vec<f64>, Vec<f64>)> {
        let size = self.explainer.size;
        let cases: Vec<(bool, usize)> =
            [true, false].into_iter().flat_map(|most| (0..SHARES.len()).map(move |s| (most, s))).collect();
        let versions: Vec<Vec<f32>> = cases
            .into_par_iter()
            .map(|(most, share)| {
                let count = (SHARES[share] * order.len() as f64).round() as usize;
                let removed = if most { &order[..count] } else { &order[order.len() - count..] };
                let mut random =
                    rng(self.seed, Purpose::Explain, key, 1 + share as u64 + if most { 0 } else { 100 });
                impute(image, size, removed, &mut random)
            })
            .collect();
        let mut all = self.probabilities(&versions, class)?;
        let least = all.split_off(SHARES.len());
        Ok((all, least))
    }

    fn probabilities(&self, versions: &[Vec<f32>], class: usize) -> Result<Vec<f64>> {
        let (model, params) = self.model;
        let mut result = Vec::with_capacity(versions.len());
        for part in versions.chunks(self.explainer.batch_size) {
            let rows =
                batch_logits(model, params, part.concat(), self.explainer.size, self.explainer.compute)?;
            result.extend(rows.iter().map(|row| f64::from(softmax(row, self.temperature)[class])));
        }
        Ok(result)
    }
}

fn add(sums: &mut [f64], values: &[f64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// Area under a curve over 0…1 by the trapezoidal rule.
fn area(curve: &[f64]) -> f64 {
    curve.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum::<f64>() / (curve.len() - 1) as f64
}

/// Places from the largest value to the smallest; equal ones in reading order.
fn ranking(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    order
}

/// An image `[3, S, S]`, blurred: three box blurs with a radius of a 17th of its side, nearly a Gaussian of
/// that standard deviation.
fn blur(image: &[f32], size: usize) -> Vec<f32> {
    let radius = (size / 17).max(1);
    let mut planes = image.to_vec();
    planes.par_chunks_mut(size * size).for_each(|plane| {
        for _ in 0..3 {
            box_blur_rows(plane, size, radius);
            transpose(plane, size);
            box_blur_rows(plane, size, radius);
            transpose(plane, size);
        }
    });
    planes
}

/// The mean over `2 radius + 1` pixels of a row; the last pixel is repeated beyond the ends.
fn box_blur_rows(plane: &mut [f32], size: usize, radius: usize) {
    for row in plane.chunks_exact_mut(size) {
        let at = |place: isize| f64::from(row[place.clamp(0, size as isize - 1) as usize]);
        let radius = radius as isize;
        let mut sum: f64 = (-radius..=radius).map(at).sum();
        let mut means = Vec::with_capacity(size);
        for place in 0..size as isize {
            means.push((sum / (2 * radius + 1) as f64) as f32);
            sum += at(place + radius + 1) - at(place - radius);
        }
        row.copy_from_slice(&means);
    }
}

fn transpose(plane: &mut [f32], size: usize) {
    for y in 0..size {
        for x in 0..y {
            plane.swap(y * size + x, x * size + y);
        }
    }
}

/// The neighbours of a place within the image, with their weights.
fn neighbours(place: usize, size: usize) -> impl Iterator<Item = (usize, f64)> {
    let (y, x) = ((place / size) as isize, (place % size) as isize);
    let offsets = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))).filter(|offset| *offset != (0, 0));
    offsets.filter_map(move |(dy, dx): (isize, isize)| {
        let (y, x) = (y + dy, x + dx);
        let is_inside = (0..size as isize).contains(&y) && (0..size as isize).contains(&x);
        is_inside
            .then_some((y as usize * size + x as usize, if dy == 0 || dx == 0 { DIRECT } else { DIAGONAL }))
    })
}

/// The equation of one removed pixel: `total` times its value is the weighted sum of its neighbours.
struct Equation {
    total: f64,
    /// Removed neighbours, by their number among the removed, and their weights.
    free: Vec<(usize, f64)>,
    /// Known neighbours, by their place, and their weights.
    fixed: Vec<(usize, f64)>,
}

/// Replaces the `removed` pixels of `[3, S, S]`: each becomes the weighted mean of its neighbours, all at
/// once, by conjugate gradients on that system (it is symmetric and positive), and a little noise. If
/// every pixel is removed, all become the mean of the image.
fn impute(image: &[f32], size: usize, removed: &[usize], random: &mut impl rand::Rng) -> Vec<f32> {
    let area = size * size;
    let normal = Normal::new(0.0, NOISE).expect("a constant above 0");
    let mut unknown = vec![usize::MAX; area];
    removed.iter().enumerate().for_each(|(index, place)| unknown[*place] = index);
    let rows: Vec<Equation> = removed
        .iter()
        .map(|place| {
            let total = neighbours(*place, size).map(|(_, weight)| weight).sum();
            let (mut free, mut fixed) = (Vec::new(), Vec::new());
            for (other, weight) in neighbours(*place, size) {
                match unknown[other] {
                    usize::MAX => fixed.push((other, weight)),
                    index => free.push((index, weight)),
                }
            }
            Equation { total, free, fixed }
        })
        .collect();
    let mut out = image.to_vec();
    for plane in out.chunks_exact_mut(area) {
        let start = f64::from(plane.iter().sum::<f32>()) / area as f64;
        let target: Vec<f64> = rows
            .iter()
            .map(|row| row.fixed.iter().map(|(place, weight)| weight * f64::from(plane[*place])).sum())
            .collect();
        let apply = |x: &[f64]| -> Vec<f64> {
            let row = |(index, Equation { total, free, .. }): (usize, &Equation)| {
                total * x[index] - free.iter().map(|(other, weight)| weight * x[*other]).sum::<f64>()
            };
            rows.iter().enumerate().map(row).collect()
        };
        let x = if removed.len() == area {
            vec![start; area]
        } else {
            conjugate_gradients(apply, &target, start)
        };
        for (place, value) in removed.iter().zip(x) {
            plane[*place] = (value + normal.sample(random)) as f32;
        }
    }
    out
}

/// Solves A x = b for a symmetric, positive A, from a constant, to a thousandth of the first residual.
fn conjugate_gradients(apply: impl Fn(&[f64]) -> Vec<f64>, target: &[f64], start: f64) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut x = vec![start; target.len()];
    let mut residual: Vec<f64> = target.iter().zip(apply(&x)).map(|(b, ax)| b - ax).collect();
    let mut direction = residual.clone();
    let first = dot(&residual, &residual);
    let mut length = first;
    for _ in 0..target.len().min(2_000) {
        if length <= first * 1e-6 || length == 0.0 {
            break;
        }
        let image = apply(&direction);
        let step = length / dot(&direction, &image);
        x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
        residual.iter_mut().zip(&image).for_each(|(r, a)| *r -= step * a);
        let next = dot(&residual, &residual);
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + next / length * *d);
        length = next;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_rankings() {
        assert_eq!(area(&[1.0, 0.0]), 0.5);
        assert_eq!(area(&[1.0, 1.0, 0.0]), 0.75);
        assert_eq!(ranking(&[1.0, 3.0, 1.0, 2.0]), [1, 3, 0, 2]);
    }

    #[test]
    fn a_blur_keeps_the_mean_and_flattens() {
        let size = 34;
        let image: Vec<f32> =
            (0..3 * size * size).map(|place| if place % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let flat = blur(&image, size);
        // Stripes of one pixel nearly vanish; at the borders, where the last one is repeated, less so.
        let inner = flat.iter().enumerate().filter(|(place, _)| (8..26).contains(&(place % size)));
        assert!(inner.map(|(_, value)| value.abs()).fold(0.0, f32::max) < 0.01);
        assert!(flat.iter().all(|value| value.abs() < 0.5));
        assert_eq!(blur(&vec![0.5; 3 * size * size], size), vec![0.5; 3 * size * size]);
    }

    #[test]
    fn imputed_pixels_continue_a_slope() {
        // A plane is the solution wherever a removed region is enclosed: its neighbours' mean is its own
        // value.
        let size = 12;
        let plane = |place: usize| (place % size) as f32 * 0.5 + (place / size) as f32 * 0.25;
        let image: Vec<f32> = (0..3).flat_map(|_| (0..size * size).map(plane)).collect();
        let removed: Vec<usize> = (3..9).flat_map(|y| (4..8).map(move |x| y * size + x)).collect();
        let out = impute(&image, size, &removed, &mut rng(1, Purpose::Explain, 0, 0));
        for (place, (found, expected)) in out.iter().zip(&image).enumerate() {
            assert!((found - expected).abs() < 0.05, "{place}: {found} {expected}");
        }
        assert_ne!(out, image, "the noise is missing");
        let all: Vec<usize> = (0..size * size).collect();
        let gone = impute(&image, size, &all, &mut rng(1, Purpose::Explain, 0, 0));
        assert!(gone.iter().all(|value| (value - 4.125).abs() < 0.06));
    }
}
