//! One face: who it is, how it is taken, which expression, and the order in which it is painted.

use chacha20::ChaCha8Rng;

use super::canvas::Canvas;
use super::config::Style;
use super::expression::{self, Expression};
use super::painter::Painter;
use super::person::{self, Person, Shot};
use crate::emotions::EMOTIONS;
use crate::image::RgbImage;
use crate::random::{Purpose, rng};

/// Draws image number `image` of person `person` with the expression of `class` (an index of [`EMOTIONS`]) as
/// a photo.
///
/// The same arguments give the same pixels on every machine. Pose, light and background depend on (seed,
/// person, image) only: another class is the same shot with another expression.
///
/// # Panics
/// If `class` is not below 7.
pub fn face(seed: u64, person: u64, image: u64, class: usize, size: usize) -> RgbImage {
    face_in(Style::Photo, seed, person, image, class, size)
}

/// [`face`] in any style.
pub fn face_in(style: Style, seed: u64, person: u64, image: u64, class: usize, size: usize) -> RgbImage {
    assert!(class < EMOTIONS.len(), "face: class {class}, expected 0..7");
    let who = person::person(&mut rng(seed, Purpose::Draw, person, u64::MAX));
    let mut image_rng = rng(seed, Purpose::Draw, person, image);
    let shot = person::shot(&mut image_rng);
    let expression = expression::express(&mut image_rng, class);
    // The noise has a stream of its own, so that it does not depend on how many numbers the expression took.
    let mut grain = rng(seed, Purpose::Draw, person, image);
    grain.set_stream(1);
    let canvas = paint(&who, &shot, &expression, style, size, &mut grain);
    let bytes = canvas.pixels.iter().flatten().map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
    RgbImage::new(size, size, bytes)
}

/// Paints the whole image, back to front; `grain` is only for the sensor's noise.
fn paint(
    person: &Person,
    shot: &Shot,
    expression: &Expression,
    style: Style,
    size: usize,
    grain: &mut ChaCha8Rng,
) -> Canvas {
    let mut p = Painter::new(person, shot, expression, style, size);
    p.background();
    p.back_hair();
    p.body();
    p.ears();
    p.head();
    p.skin_lines();
    p.nose();
    p.beard();
    p.mouth();
    for side in 0..2 {
        p.eye(side);
    }
    p.front_hair();
    for side in 0..2 {
        p.brow(side);
    }
    p.glasses();
    p.develop(grain);
    p.canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean absolute difference of two images, in grey levels.
    fn difference(a: &RgbImage, b: &RgbImage) -> f32 {
        a.pixels.iter().zip(&b.pixels).map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>()
            / a.pixels.len() as f32
    }

    #[test]
    fn the_same_arguments_give_the_same_pixels_and_each_argument_counts() {
        let base = face(1, 2, 3, 4, 48);
        assert_eq!(base, face(1, 2, 3, 4, 48));
        for other in [face(9, 2, 3, 4, 48), face(1, 9, 3, 4, 48), face(1, 2, 9, 4, 48), face(1, 2, 3, 0, 48)]
        {
            assert!(difference(&base, &other) > 1.0);
        }
        assert_ne!(base, face_in(Style::Cartoon, 1, 2, 3, 4, 48));
    }

    #[test]
    fn the_pixels_are_the_same_on_every_machine() {
        // FNV-1a over the bytes. It changes with every change to the drawing: set it anew then, on purpose.
        let sum = |image: RgbImage| {
            image
                .pixels
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
        };
        assert_eq!(sum(face(1, 2, 3, 4, 48)), PHOTO_SUM, "photo");
        assert_eq!(sum(face_in(Style::Cartoon, 5, 6, 7, 3, 64)), CARTOON_SUM, "cartoon");
    }

    #[test]
    fn another_class_is_the_same_shot_with_another_expression() {
        for person in 0..6 {
            let faces: Vec<RgbImage> = (0..7).map(|class| face(1, person, 0, class, 48)).collect();
            for a in 0..7 {
                for b in 0..a {
                    let found = difference(&faces[a], &faces[b]);
                    assert!(
                        found > 0.8,
                        "person {person}: {} and {} look alike ({found})",
                        EMOTIONS[a],
                        EMOTIONS[b]
                    );
                }
                // The top row is background: the class must not show there.
                assert_eq!(
                    faces[a].pixels[..24],
                    faces[0].pixels[..24],
                    "person {person}: class {a} changes the background"
                );
            }
        }
    }

    #[test]
    fn raw_pixels_do_not_tell_the_emotion() {
        let draw = |person: u64, class: usize| -> Vec<f32> {
            face(1, person, class as u64, class, 48).pixels.iter().map(|&v| f32::from(v) / 255.0).collect()
        };
        let means: Vec<Vec<f32>> = (0..7)
            .map(|class| {
                let mut mean = vec![0.0; 48 * 48 * 3];
                for person in 0..30 {
                    for (sum, value) in mean.iter_mut().zip(draw(person, class)) {
                        *sum += value / 30.0;
                    }
                }
                mean
            })
            .collect();
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        let mut right = 0;
        for person in 30..42 {
            for class in 0..7 {
                let image = draw(person, class);
                let nearest = (0..7)
                    .min_by(|&a, &b| distance(&means[a], &image).total_cmp(&distance(&means[b], &image)));
                right += usize::from(nearest == Some(class));
            }
        }
        assert!(right < 42, "the nearest class mean finds {right} of 84");
    }

    #[test]
    fn every_size_can_be_drawn() {
        for size in [32, 97, 256] {
            let image = face(3, 1, 1, 6, size);
            assert_eq!((image.width, image.height, image.pixels.len()), (size, size, size * size * 3));
        }
    }

    const PHOTO_SUM: u64 = 8_049_158_740_419_402_811;
    const CARTOON_SUM: u64 = 4_598_021_881_043_586_622;
}
