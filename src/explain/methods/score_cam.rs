//! Score-CAM: channels weighted by the logit of the image seen through them; no gradient, but a forward pass
//! for each channel (Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
//! Networks", CVPRW 2020, arXiv:1910.01279).

use rayon::prelude::*;

use super::entry::{Entry, Evidence};
use crate::error::Result;
use crate::explain::map::{Map, stretch};

pub(super) const ENTRY: Entry =
    Entry { name: "score_cam", title: "Score-CAM", needs_gradient: false, is_class_specific: true, weigh };

fn weigh(evidence: &Evidence) -> Result<Vec<f32>> {
    Ok(evidence.weighted_sum(&weights(evidence)?))
}

/// The softmax over channels of the class's logit for the image masked by each channel, which is enlarged and
/// stretched to 0…1. (The paper subtracts a baseline's logit from each; it cancels in the softmax.) A
/// constant channel masks nothing and has no weight. `[C]`
fn weights(evidence: &Evidence) -> Result<Vec<f64>> {
    let Evidence { features, map_size: [height, width], image, image_size: size, .. } = *evidence;
    let area = evidence.places();
    let range = |channel: &[f32]| {
        let (low, high) = channel
            .iter()
            .fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)));
        (high > low).then_some((low, high))
    };
    let varying: Vec<(usize, &[f32], (f32, f32))> = features
        .chunks_exact(area)
        .enumerate()
        .filter_map(|(place, channel)| Some((place, channel, range(channel)?)))
        .collect();
    let mut logits = Vec::with_capacity(varying.len());
    for part in varying.chunks(evidence.batch_size) {
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
        logits.extend((evidence.logits)(masked)?.into_iter().map(f64::from));
    }
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    let mut weights = vec![0.0; features.len() / area];
    for ((place, ..), logit) in varying.iter().zip(&logits) {
        weights[*place] = (logit - largest).exp() / sum;
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::super::entry::testing::FEATURES;
    use super::*;

    #[test]
    fn channels_are_weighted_by_the_softmax_of_their_logits() {
        // A third channel is constant. The logit of a masked image is the sum of its pixels: the masks are
        // [0, 1] and [1, 0] over an image of [ln 3, 0] in each of its planes, so that the logits are 0 and 6
        // ln 3.
        let features = [&FEATURES[..], &[7.0, 7.0]].concat();
        let image = [3f32.ln(), 0.0, 3f32.ln(), 0.0].repeat(3);
        let logits =
            |masked: Vec<f32>| Ok(masked.chunks_exact(12).map(|one| one.iter().sum::<f32>()).collect());
        let evidence = Evidence {
            features: &features,
            gradient: &[],
            map_size: [1, 2],
            image: &image,
            image_size: 2,
            batch_size: 1,
            logits: &logits,
        };
        let found = weights(&evidence).unwrap();
        let high = 3f64.powi(6);
        assert!((found[0] - 1.0 / (1.0 + high)).abs() < 1e-6, "{found:?}");
        assert!((found[1] - high / (1.0 + high)).abs() < 1e-6 && found[2] == 0.0, "{found:?}");
    }
}
