//! What the offline augmenter may do to an image: operations with their ranges and probabilities, and the
//! limits that a copy must keep. Operations that the trainer has too go by the names they have there
//! (`augment.transform.*`).

use std::path::Path;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::operations::{self, Border, Scratch};
use crate::error::{Error, Result};
use crate::image::Bitmap;
use crate::image::encode::Subsampling;
use crate::random::{Purpose, rng};

const SAFE: &str = include_str!("../../recipes/augment-safe.toml");
const REFERENCE: &str = include_str!("../../recipes/augment-reference.toml");

/// The operations, their ranges and the limits. Every key is explained in `recipes/augment-safe.toml`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Fewest and most operations of one copy.
    pub operations_per_copy: [usize; 2],
    /// What lies outside of an image.
    pub border: Border,
    /// How JPEG is written.
    pub jpeg: Jpeg,
    /// What a copy must keep of its original.
    pub limits: Limits,
    /// What is done, how strongly and how often.
    pub operations: Operations,
}

/// How JPEG is written, whatever the operation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Jpeg {
    /// 1 to 100, on libjpeg's scale.
    pub quality: u8,
    /// Of the chroma.
    pub subsampling: Subsampling,
}

/// A copy beyond one of these is drawn anew.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest share of newly clipped pixels, 0 to 1.
    pub saturated: f64,
    /// Least structural similarity, -1 to 1.
    pub similarity: f64,
    /// Largest share of the copy that lies outside of the original, 0 to 1.
    pub border: f64,
    /// Whether a copy must differ from its original and from the other copies of it.
    pub distinct: bool,
    /// Draws for one copy before it is given up.
    pub attempts: u32,
}

/// One table for each operation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // named as in `Operation`
pub struct Operations {
    pub brightness: Factor,
    pub contrast: Factor,
    pub sharpness: Factor,
    pub flip: Plain,
    pub rotation: Turn,
    pub affine: TurnAndScale,
    pub perspective: Reach,
    pub blur: Kernels,
    pub noise: Sigma,
    pub saturation: Factor,
    pub hue: HueShift,
    pub translate: Reach,
}

/// An operation without a strength.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// Relative probability.
    pub weight: f64,
}

/// An operation that blends by a factor; 1 changes nothing.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Relative probability.
    pub weight: f64,
    /// Least and largest factor.
    pub factor: [f64; 2],
}

/// A rotation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Relative probability.
    pub weight: f64,
    /// Least and largest angle in degrees, counter-clockwise.
    pub angle: [f64; 2],
}

/// A rotation with a change of scale.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TurnAndScale {
    /// Relative probability.
    pub weight: f64,
    /// Least and largest angle in degrees, counter-clockwise.
    pub angle: [f64; 2],
    /// Least and largest scale.
    pub scale: [f64; 2],
}

/// An operation that moves pixels by up to a part of the image's side.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Relative probability.
    pub weight: f64,
    /// Largest shift as a part of the side.
    pub shift: f64,
}

/// A turn of the hue.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct HueShift {
    /// Relative probability.
    pub weight: f64,
    /// Least and largest shift as a part of the full circle.
    pub shift: [f64; 2],
}

/// A blur.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Kernels {
    /// Relative probability.
    pub weight: f64,
    /// Sides of the kernel to draw from: 3, 5, 7.
    pub kernels: Vec<usize>,
    /// An image whose shorter side is at most this takes one of `small_kernels`.
    pub small_side: usize,
    /// Sides of the kernel for small images.
    pub small_kernels: Vec<usize>,
}

/// Noise.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sigma {
    /// Relative probability.
    pub weight: f64,
    /// Least and largest standard deviation in levels.
    pub sigma: [f64; 2],
}

/// One operation with what was drawn for it: all that is needed to do it again.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "name", rename_all = "lowercase")]
#[allow(missing_docs)] // the functions of `operations` say what each parameter is
pub enum Operation {
    Brightness { factor: f64 },
    Contrast { factor: f64 },
    Sharpness { factor: f64 },
    Flip,
    Rotation { angle: f64 },
    Affine { angle: f64, scale: f64 },
    Perspective { corners: [[f32; 2]; 4] },
    Blur { kernel: usize },
    Noise { sigma: f64, seed: u32 },
    Saturation { factor: f32 },
    Hue { shift: f32 },
    Translate { right: i64, down: i64 },
}

/// The operations' names, in the order of [`Operations`] and [`Operation`].
pub const NAMES: [&str; 12] = [
    "brightness",
    "contrast",
    "sharpness",
    "flip",
    "rotation",
    "affine",
    "perspective",
    "blur",
    "noise",
    "saturation",
    "hue",
    "translate",
];

impl Operation {
    /// Its place in [`NAMES`].
    pub fn index(&self) -> usize {
        match self {
            Self::Brightness { .. } => 0,
            Self::Contrast { .. } => 1,
            Self::Sharpness { .. } => 2,
            Self::Flip => 3,
            Self::Rotation { .. } => 4,
            Self::Affine { .. } => 5,
            Self::Perspective { .. } => 6,
            Self::Blur { .. } => 7,
            Self::Noise { .. } => 8,
            Self::Saturation { .. } => 9,
            Self::Hue { .. } => 10,
            Self::Translate { .. } => 11,
        }
    }

    /// Whether it moves pixels and leaves their levels alone.
    pub fn is_geometric(&self) -> bool {
        use Operation::{Affine, Flip, Perspective, Rotation, Translate};
        matches!(self, Flip | Rotation { .. } | Affine { .. } | Perspective { .. } | Translate { .. })
    }

    /// Changes an image. Returns how many of its pixels now lie outside of the original.
    pub fn apply(&self, image: &mut Bitmap, border: Border, scratch: &mut Scratch) -> usize {
        match *self {
            Self::Brightness { factor } => operations::brightness(image, factor),
            Self::Contrast { factor } => operations::contrast(image, factor),
            Self::Sharpness { factor } => operations::sharpness(image, factor, scratch),
            Self::Flip => operations::flip(image),
            Self::Rotation { angle } => return operations::rotation(image, angle, border, scratch),
            Self::Affine { angle, scale } => return operations::affine(image, angle, scale, border, scratch),
            Self::Perspective { corners } => return operations::perspective(image, corners, border, scratch),
            Self::Blur { kernel } => operations::blur(image, kernel, scratch),
            Self::Noise { sigma, seed } => {
                operations::noise(image, sigma, &mut rng(seed.into(), Purpose::Noise, 0, 0), scratch);
            }
            Self::Saturation { factor } => operations::saturation(image, factor, scratch),
            Self::Hue { shift } => operations::hue(image, shift, scratch),
            Self::Translate { right, down } => {
                return operations::translate(image, right, down, border, scratch);
            }
        }
        0
    }

    /// What was drawn, in a few characters.
    pub fn label(&self) -> String {
        match self {
            Self::Brightness { factor } | Self::Contrast { factor } | Self::Sharpness { factor } => {
                format!("{factor:.2}")
            }
            Self::Saturation { factor } => format!("{factor:.2}"),
            Self::Flip => String::new(),
            Self::Rotation { angle } => format!("{angle:.1} deg"),
            Self::Affine { angle, scale } => format!("{angle:.1} x{scale:.2}"),
            Self::Perspective { corners } => format!("{:.1} px", corners[0][0].max(corners[0][1])),
            Self::Blur { kernel } => format!("{kernel}x{kernel}"),
            Self::Noise { sigma, .. } => format!("sigma {sigma:.0}"),
            Self::Hue { shift } => format!("{shift:+.2}"),
            Self::Translate { right, down } => format!("{right:+} {down:+}"),
        }
    }
}

impl Profile {
    /// The default: what leaves the expression intact.
    pub fn safe() -> Self {
        Self::built_in(SAFE)
    }

    /// The reference augmenter's ranges and black borders, without limits.
    pub fn reference() -> Self {
        Self::built_in(REFERENCE)
    }

    fn built_in(text: &str) -> Self {
        toml::from_str(text).expect("the built-in profiles are read by the tests")
    }

    /// `safe`, `reference`, or the profile of a TOML file, which names only what differs from its `base`
    /// (`safe` if not said).
    ///
    /// # Errors
    /// There is no such file; it is no TOML; a key is unknown; a value is out of range.
    pub fn load(name: &str) -> Result<Self> {
        match name {
            "safe" => return Ok(Self::safe()),
            "reference" => return Ok(Self::reference()),
            _ => {}
        }
        let path = Path::new(name);
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::input("--profile", format!("there is no profile or file `{name}`"))
                    .expected("safe, reference or a TOML file")
            }
            _ => Error::io("read", path, error),
        })?;
        Self::parse(&text).map_err(|error| match error {
            Error::Input { place, problem, expected, hint } => {
                Error::Input { place: format!("{name}: {place}"), problem, expected, hint }
            }
            other => other,
        })
    }

    fn parse(text: &str) -> Result<Self> {
        let wrong = |error: toml::de::Error| {
            let line =
                error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
            let place = if line > 0 { format!("line {line}") } else { "profile".into() };
            Error::input(place, error.message().split_whitespace().collect::<Vec<_>>().join(" "))
                .hint("recipes/augment-safe.toml lists every key")
        };
        let mut own: Table = toml::from_str(text).map_err(wrong)?;
        let base = match own.remove("base") {
            None => SAFE,
            Some(Value::String(name)) if name == "safe" => SAFE,
            Some(Value::String(name)) if name == "reference" => REFERENCE,
            Some(other) => {
                return Err(
                    Error::input("base", format!("found {other}")).expected("\"safe\" or \"reference\"")
                );
            }
        };
        let mut merged: Table = toml::from_str(base).expect("the built-in profiles are read by the tests");
        merge(&mut merged, own);
        let profile: Self = Value::Table(merged).try_into().map_err(wrong)?;
        profile.validate()?;
        Ok(profile)
    }

    /// Checks every value's range.
    ///
    /// # Errors
    /// [`Error::Input`] that names the first key whose value is out of range.
    pub fn validate(&self) -> Result<()> {
        let weights = self.weights();
        for (name, weight) in NAMES.iter().zip(weights) {
            within(&format!("operations.{name}.weight"), weight, 0.0, 1e9)?;
        }
        let on = weights.iter().filter(|weight| **weight > 0.0).count();
        let [fewest, most] = self.operations_per_copy;
        if fewest < 1 || most < fewest || most > on {
            return Err(Error::input("operations_per_copy", format!("found [{fewest}, {most}]")).expected(
                format!("1 <= fewest <= most <= {on}, the number of operations with a weight above 0"),
            ));
        }
        let all = &self.operations;
        range("operations.brightness.factor", all.brightness.factor, 0.0, 10.0)?;
        range("operations.contrast.factor", all.contrast.factor, 0.0, 10.0)?;
        range("operations.sharpness.factor", all.sharpness.factor, 0.0, 10.0)?;
        range("operations.saturation.factor", all.saturation.factor, 0.0, 10.0)?;
        range("operations.rotation.angle", all.rotation.angle, -180.0, 180.0)?;
        range("operations.affine.angle", all.affine.angle, -180.0, 180.0)?;
        range("operations.affine.scale", all.affine.scale, 0.1, 10.0)?;
        range("operations.noise.sigma", all.noise.sigma, 0.0, 255.0)?;
        range("operations.hue.shift", all.hue.shift, -0.5, 0.5)?;
        within("operations.perspective.shift", all.perspective.shift, 0.0, 0.4)?;
        within("operations.translate.shift", all.translate.shift, 0.0, 1.0)?;
        for (key, kernels) in [("kernels", &all.blur.kernels), ("small_kernels", &all.blur.small_kernels)] {
            if kernels.is_empty() || kernels.iter().any(|kernel| ![3, 5, 7].contains(kernel)) {
                return Err(Error::input(format!("operations.blur.{key}"), format!("found {kernels:?}"))
                    .expected("some of 3, 5, 7"));
            }
        }
        if !(1..=100).contains(&self.jpeg.quality) {
            return Err(
                Error::input("jpeg.quality", format!("found {}", self.jpeg.quality)).expected("1 to 100")
            );
        }
        within("limits.saturated", self.limits.saturated, 0.0, 1.0)?;
        within("limits.similarity", self.limits.similarity, -1.0, 1.0)?;
        within("limits.border", self.limits.border, 0.0, 1.0)?;
        if !(1..=10_000).contains(&self.limits.attempts) {
            return Err(Error::input("limits.attempts", format!("found {}", self.limits.attempts))
                .expected("1 to 10000"));
        }
        Ok(())
    }

    /// The weights in the order of [`NAMES`].
    pub fn weights(&self) -> [f64; 12] {
        let all = &self.operations;
        [
            all.brightness.weight,
            all.contrast.weight,
            all.sharpness.weight,
            all.flip.weight,
            all.rotation.weight,
            all.affine.weight,
            all.perspective.weight,
            all.blur.weight,
            all.noise.weight,
            all.saturation.weight,
            all.hue.weight,
            all.translate.weight,
        ]
    }

    /// Draws the operations of one copy of an image of `width` × `height` pixels.
    pub fn draw(&self, width: usize, height: usize, rng: &mut impl Rng) -> Vec<Operation> {
        let [fewest, most] = self.operations_per_copy;
        let count = rng.random_range(fewest..=most);
        let mut weights = self.weights();
        let mut drawn = Vec::with_capacity(count);
        for _ in 0..count {
            let index = choose(&weights, rng);
            weights[index] = 0.0;
            drawn.push(self.draw_one(index, width, height, rng));
        }
        drawn
    }

    /// Draws the parameters of the operation `NAMES[index]`.
    pub fn draw_one(&self, index: usize, width: usize, height: usize, rng: &mut impl Rng) -> Operation {
        let all = &self.operations;
        let mut between = |[low, high]: [f64; 2]| low + (high - low) * rng.random::<f64>();
        match NAMES[index] {
            "brightness" => Operation::Brightness { factor: between(all.brightness.factor) },
            "contrast" => Operation::Contrast { factor: between(all.contrast.factor) },
            "sharpness" => Operation::Sharpness { factor: between(all.sharpness.factor) },
            "flip" => Operation::Flip,
            "rotation" => Operation::Rotation { angle: between(all.rotation.angle) },
            "affine" => {
                Operation::Affine { angle: between(all.affine.angle), scale: between(all.affine.scale) }
            }
            "perspective" => {
                let (right, bottom) = (width as f64, height as f64);
                let shift = right * all.perspective.shift;
                let mut inward = || between([0.0, shift.min(0.4 * bottom)]);
                let corners = [
                    [inward(), inward()],
                    [right - inward(), inward()],
                    [inward(), bottom - inward()],
                    [right - inward(), bottom - inward()],
                ];
                Operation::Perspective { corners: corners.map(|corner| corner.map(|value| value as f32)) }
            }
            "blur" => {
                let kernels = if width.min(height) <= all.blur.small_side {
                    &all.blur.small_kernels
                } else {
                    &all.blur.kernels
                };
                Operation::Blur { kernel: kernels[rng.random_range(0..kernels.len())] }
            }
            "noise" => Operation::Noise { sigma: between(all.noise.sigma), seed: rng.random() },
            "saturation" => Operation::Saturation { factor: between(all.saturation.factor) as f32 },
            "hue" => Operation::Hue { shift: between(all.hue.shift) as f32 },
            _ => {
                let mut pixels = |side: usize| {
                    let reach = all.translate.shift * side as f64;
                    between([-reach, reach]).round() as i64
                };
                Operation::Translate { right: pixels(width), down: pixels(height) }
            }
        }
    }
}

/// An index, with a probability proportional to its weight.
fn choose(weights: &[f64], rng: &mut impl Rng) -> usize {
    let mut place = rng.random::<f64>() * weights.iter().sum::<f64>();
    let mut chosen = 0;
    for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        chosen = index; // the last one stands where rounding leaves the place beyond the end
        if place < weight {
            break;
        }
        place -= weight;
    }
    chosen
}

/// Lays `own` over `base`, table by table.
fn merge(base: &mut Table, own: Table) {
    for (key, value) in own {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn within(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::input(key, format!("found {value}")).expected(format!("{low} to {high}")))
}

fn range(key: &str, [first, last]: [f64; 2], low: f64, high: f64) -> Result<()> {
    if low <= first && first <= last && last <= high {
        return Ok(());
    }
    Err(Error::input(key, format!("found [{first}, {last}]"))
        .expected(format!("[least, largest] within {low} to {high}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_built_in_profiles_are_valid_and_hold_what_the_reference_has() {
        Profile::safe().validate().unwrap();
        let reference = Profile::reference();
        reference.validate().unwrap();
        assert_eq!(reference.operations.brightness.factor, [0.7, 1.3]);
        assert_eq!(reference.operations.sharpness.factor, [0.7, 1.5]);
        assert_eq!(reference.operations.rotation.angle, [-15.0, 15.0]);
        assert_eq!(reference.border, Border::Black);
        assert_eq!(Profile::safe().border, Border::Reflect101);
    }

    #[test]
    fn a_file_names_only_what_differs_and_a_wrong_key_is_named() {
        let own = "base = \"reference\"\noperations_per_copy = [1, 3]\n[operations.hue]\nweight = 1\n";
        let profile = Profile::parse(own).unwrap();
        let mut expected = Profile::reference();
        expected.operations_per_copy = [1, 3];
        expected.operations.hue.weight = 1.0;
        assert_eq!(profile, expected);
        assert_eq!(Profile::parse("").unwrap(), Profile::safe());
        for (text, parts) in [
            ("[operations.blurr]\nweight = 1", &["unknown field `blurr`", "blur"][..]),
            ("[operations.blur]\nkernels = [4]", &["operations.blur.kernels", "[4]"]),
            ("operations_per_copy = [0, 1]", &["operations_per_copy", "[0, 1]"]),
            ("operations_per_copy = [1, 10]", &["operations_per_copy", "<= 9"]),
            ("[operations.affine]\nscale = [1.1, 0.9]", &["operations.affine.scale", "[1.1, 0.9]"]),
            ("[operations.noise]\nsigma = [1.0, nan]", &["operations.noise.sigma"]),
            ("[jpeg]\nquality = 0", &["jpeg.quality"]),
            ("[jpeg]\nquality = 95\n quality = 9", &["line 3"]),
            ("base = \"mild\"", &["base", "mild"]),
        ] {
            let error = Profile::parse(text).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error}");
        }
        let error = Profile::load("no-such-profile").unwrap_err().to_string();
        assert!(error.contains("safe, reference or a TOML file"), "{error}");
    }

    #[test]
    fn operations_are_drawn_as_often_as_their_weights_say() {
        let profile = Profile::reference();
        let mut counts = BTreeMap::new();
        for copy in 0..20_000 {
            let drawn = profile.draw(48, 48, &mut rng(1, Purpose::Augment, 0, copy));
            *counts.entry(drawn[0].index()).or_insert(0usize) += 1;
        }
        for (index, weight) in profile.weights().into_iter().enumerate() {
            let expected = 20_000.0 * weight / 10.0;
            let found = counts.get(&index).copied().unwrap_or(0) as f64;
            assert!(
                (found - expected).abs() <= 4.5 * expected.sqrt(),
                "{}: {found} of {expected}",
                NAMES[index]
            );
        }
    }

    #[test]
    fn several_operations_differ_and_each_is_within_its_range() {
        let mut profile = Profile::safe();
        profile.operations_per_copy = [2, 5];
        for copy in 0..500 {
            let drawn = profile.draw(50, 40, &mut rng(1, Purpose::Augment, 0, copy));
            assert!((2..=5).contains(&drawn.len()));
            let mut kinds: Vec<usize> = drawn.iter().map(Operation::index).collect();
            kinds.sort_unstable();
            kinds.dedup();
            assert_eq!(kinds.len(), drawn.len());
            for operation in drawn {
                match operation {
                    Operation::Blur { kernel } => assert_eq!(kernel, 3, "a small image"),
                    Operation::Rotation { angle } => assert!(angle.abs() <= 10.0),
                    Operation::Perspective { corners: [a, b, c, d] } => {
                        assert!((0.0..=2.5).contains(&a[0]) && (47.5..=50.0).contains(&b[0]));
                        assert!((37.5..=40.0).contains(&c[1]) && (37.5..=40.0).contains(&d[1]));
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn an_operation_read_from_the_manifest_does_the_same() {
        let profile = Profile::safe();
        for (index, name) in NAMES.into_iter().enumerate() {
            let operation = profile.draw_one(index, 48, 48, &mut rng(3, Purpose::Augment, 0, 0));
            assert_eq!(operation.index(), index);
            let text = serde_json::to_string(&operation).unwrap();
            assert!(text.contains(&format!("\"name\":\"{name}\"")), "{text}");
            assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), operation);
        }
    }
}
