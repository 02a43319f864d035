//! What the offline augmenter may do to an image: which operations, how strongly and how often, and the
//! limits that a copy must keep.

use std::path::Path;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::operations::{Border, Keys};
pub use super::operations::{NAMES, Operation, Operations};
use crate::error::{Error, Result};
use crate::image::encode::Subsampling;
use crate::text::{nearest, one_line};

/// Where every key of a profile is explained.
const KEYS_EXPLAINED: &str = "recipes/augment-safe.toml explains every key";

/// Which operations are applied, how strongly and how often, and what a copy must keep of its original. Every
/// key is explained in `recipes/augment-safe.toml`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Fewest and most operations in one copy; 1 or more, at most as many as have a weight above 0.
    pub operations_per_copy: [usize; 2],
    /// What an operation that moves pixels shows beyond the edge of the image.
    pub border: Border,
    /// How copies of JPEG files are written.
    pub jpeg: Jpeg,
    /// What a copy must keep of its original; a draw beyond a limit is rejected and drawn again.
    pub limits: Limits,
    /// One table for each operation.
    pub operations: Operations,
}

/// How copies of JPEG files are written, whatever the operation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Jpeg {
    /// 1 to 100, on libjpeg's scale.
    pub quality: u8,
    /// How finely colour is kept; `4:4:4` is in full.
    pub subsampling: Subsampling,
}

/// What a copy must keep of its original. A draw beyond one of these limits is rejected and drawn again.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest fraction of pixels that are clipped (0 or 255) in the copy but not in the original, 0 to 1.
    pub saturated: f64,
    /// Lowest structural similarity (SSIM) to the original after the same moves, -1 to 1.
    pub similarity: f64,
    /// Largest fraction of the copy that shows what lies outside the original, 0 to 1.
    pub border: f64,
    /// Whether a copy must differ from its original and from the other copies of it.
    pub distinct: bool,
    /// Draws for one copy before it is given up, 1 to 10,000.
    pub attempts: u32,
}

impl Profile {
    /// The default: changes that leave the expression intact.
    pub fn safe() -> Self {
        Self {
            operations_per_copy: [1, 1],
            border: Border::Reflect101,
            jpeg: Jpeg { quality: 95, subsampling: Subsampling::S444 },
            limits: Limits { saturated: 0.05, similarity: 0.6, border: 0.15, distinct: true, attempts: 50 },
            operations: Operations::safe(),
        }
    }

    /// The ranges and the black borders of the reference augmenter, without limits.
    pub fn reference() -> Self {
        Self {
            border: Border::Black,
            limits: Limits { saturated: 1.0, similarity: -1.0, border: 1.0, distinct: false, attempts: 1 },
            operations: Operations::reference(),
            ..Self::safe()
        }
    }

    /// The built-in profile of this name.
    fn built_in(name: &str) -> Option<Self> {
        match name {
            "safe" => Some(Self::safe()),
            "reference" => Some(Self::reference()),
            _ => None,
        }
    }

    /// `safe`, `reference`, or the profile of a TOML file, which needs only the keys that differ from its
    /// `base` (`safe` by default).
    ///
    /// # Errors
    /// There is no such file; it is not TOML; a key is unknown; a value is out of range.
    pub fn load(name: &str) -> Result<Self> {
        if let Some(profile) = Self::built_in(name) {
            return Ok(profile);
        }
        let path = Path::new(name);
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let hint = nearest(name, ["safe", "reference"]);
                Error::input("--profile", format!("there is no profile or file `{name}`"))
                    .expected("safe, reference or the path of a TOML file")
                    .hint(hint.map_or(String::new(), |near| format!("Did you mean `{near}`?")))
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
        let mut own: Table = toml::from_str(text).map_err(|error| {
            let line =
                error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
            let place = if line > 0 { format!("line {line}") } else { "profile".into() };
            Error::input(place, one_line(error.message())).hint(KEYS_EXPLAINED)
        })?;
        let base = match own.remove("base") {
            None => Self::safe(),
            Some(value) => value.as_str().and_then(Self::built_in).ok_or_else(|| {
                Error::input("base", format!("found {value}")).expected("\"safe\" or \"reference\"")
            })?,
        };
        let mut merged = Table::try_from(base).map_err(|error| Error::input("profile", one_line(error)))?;
        merge(&mut merged, own, "")?;
        // Names and kinds are right by now; left are choices and lengths.
        let profile: Self = Value::Table(merged).try_into().map_err(|error: toml::de::Error| {
            Error::input("profile", one_line(error)).hint(KEYS_EXPLAINED)
        })?;
        profile.validate()?;
        Ok(profile)
    }

    /// Checks every value's range.
    ///
    /// # Errors
    /// [`Error::Input`] that names the first key whose value is out of range.
    pub fn validate(&self) -> Result<()> {
        self.operations.check()?;
        let on = self.weights().iter().filter(|weight| **weight > 0.0).count();
        let [fewest, most] = self.operations_per_copy;
        if fewest < 1 || most < fewest || most > on {
            return Err(Error::input("operations_per_copy", format!("found [{fewest}, {most}]")).expected(
                format!("1 <= fewest <= most <= {on}, the number of operations with a weight above 0"),
            ));
        }
        Keys::of("jpeg").within("quality", self.jpeg.quality, [1, 100])?;
        let limits = Keys::of("limits");
        limits.within("saturated", self.limits.saturated, [0.0, 1.0])?;
        limits.within("similarity", self.limits.similarity, [-1.0, 1.0])?;
        limits.within("border", self.limits.border, [0.0, 1.0])?;
        limits.within("attempts", self.limits.attempts, [1, 10_000])
    }

    /// The operations' weights in the order of [`NAMES`].
    pub fn weights(&self) -> [f64; NAMES.len()] {
        self.operations.weights()
    }

    /// Draws the operations of one copy of an image of `width` × `height` pixels, in the order in which they
    /// are applied.
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
        self.operations.draw(index, width, height, rng)
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
///
/// # Errors
/// [`Error::Input`] for a key that `base` does not have, or whose value is of another kind there.
fn merge(base: &mut Table, own: Table, table: &str) -> Result<()> {
    for (key, value) in own {
        let place = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
        let Some(there) = base.get_mut(&key) else {
            let known: Vec<&str> = base.keys().map(String::as_str).collect();
            let near = nearest(&key, known.iter().copied());
            return Err(Error::input(place, "unknown key")
                .expected(format!("one of {}", known.join(", ")))
                .hint(near.map_or(KEYS_EXPLAINED.into(), |near| format!("Did you mean `{near}`?"))));
        };
        match (there, value) {
            (Value::Table(inner), Value::Table(value)) => merge(inner, value, &place)?,
            // A whole number is as good as one with a point.
            (there @ Value::Float(_), Value::Integer(value)) => *there = Value::Float(value as f64),
            (there, value) if there.same_type(&value) => *there = value,
            (there, value) => {
                return Err(Error::input(place, format!("found {value}"))
                    .expected(format!("a value like {}", one_line(&*there)))
                    .hint(KEYS_EXPLAINED));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::augment::operations::{blur, perspective, rotation};
    use crate::random::{Purpose, rng};

    #[test]
    fn the_recipes_list_every_key_of_the_built_in_profiles() {
        for (name, recipe, profile) in [
            ("safe", include_str!("../../recipes/augment-safe.toml"), Profile::safe()),
            ("reference", include_str!("../../recipes/augment-reference.toml"), Profile::reference()),
        ] {
            profile.validate().unwrap();
            let read: Result<Profile, _> = toml::from_str(recipe);
            let read = read.unwrap_or_else(|error| panic!("recipes/augment-{name}.toml: {error}"));
            assert_eq!(read, profile, "recipes/augment-{name}.toml");
        }
    }

    #[test]
    fn the_built_in_profiles_hold_what_the_reference_has() {
        let reference = Profile::reference();
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
            ("[operations.blurr]\nweight = 1", &["operations.blurr: unknown key", "mean `blur`"][..]),
            ("[limits]\nsimilar = 1", &["limits.similar: unknown key", "saturated", "mean `similarity`"]),
            ("[operations]\nhue = 1", &["operations.hue: found 1", "a value like"]),
            ("border = \"white\"", &["white", "reflect101"]),
            ("[operations.hue]\nweight = \"1\"", &["operations.hue.weight", "a value like 0.0"]),
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
        assert!(error.contains("safe, reference or the path of a TOML file"), "{error}");
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
                    Operation::Blur(blur::Drawn { kernel }) => assert_eq!(kernel, 3, "a small image"),
                    Operation::Rotation(rotation::Drawn { angle }) => assert!(angle.abs() <= 10.0),
                    Operation::Perspective(perspective::Drawn { corners: [a, b, c, d] }) => {
                        assert!((0.0..=2.5).contains(&a[0]) && (47.5..=50.0).contains(&b[0]));
                        assert!((37.5..=40.0).contains(&c[1]) && (37.5..=40.0).contains(&d[1]));
                    }
                    _ => {}
                }
            }
        }
    }
}
