//! What a study is to compare: a TOML file into a list of runs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::RUNS;
use crate::data::DatasetType;
use crate::error::{Error, Result};
use crate::files::write_atomic;

/// Keys that the study sets itself for every run.
const OWNED: [&str; 6] =
    ["train.seed", "data.split_seed", "data.root", "data.dataset_type", "data.augmented", "data.synthetic"];

/// Keys that decide who is in the test set, which must be the same for all variants.
const FIXED: [&str; 6] = [
    "data.classes",
    "data.group_regex",
    "data.split",
    "data.resplit",
    "data.drop_leaking",
    "data.allow_leakage",
];

/// The name of the runs that follow the leaky protocol.
pub const LEAKY: &str = "leaky";

const DEFAULT_SEEDS: [u64; 3] = [1, 2, 3];
const DEFAULT_SPLIT_SEED: u64 = 42;

/// A study: which variants are trained with which seeds and compared on one fixed test set of real images.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The real images; the test set comes from them. Absolute, as all paths here.
    pub real: PathBuf,
    /// The synthetic images.
    pub synthetic: Option<PathBuf>,
    /// The recipe of all variants.
    pub recipe: Option<PathBuf>,
    /// Each variant is trained once with each.
    pub seeds: Vec<u64>,
    /// What the one split of the real images is drawn by.
    pub split_seed: u64,
    /// What is compared, beside the doses.
    pub variants: Vec<Variant>,
    /// Whether the leaky protocol (augment, then split at random) is run as well, to show what it would have
    /// claimed.
    pub leaky: bool,
    /// Numbers of synthetic images that are added to the real training set, a variant each; ascending.
    pub dose: Vec<usize>,
    /// The variant that every other is compared with.
    pub baseline: String,
    /// How augmented copies are made.
    pub augment: Augment,
    /// Changes to the recipe for all variants, by key.
    pub set: Vec<(String, Value)>,
}

/// How augmented copies are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Copies of each image.
    pub copies: usize,
    /// `safe`, `reference` or the path of a profile.
    pub profile: String,
}

impl Default for Augment {
    fn default() -> Self {
        Self { copies: 2, profile: "safe".into() }
    }
}

/// One way of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What it is trained on.
    pub dataset_type: DatasetType,
    /// Its changes to the recipe, by key.
    pub set: Vec<(String, Value)>,
}

/// What a run is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One of the dataset types.
    Typed(DatasetType),
    /// The real training set and so many synthetic images.
    Dose(usize),
    /// Real images and their copies, split at random: copies of one image on both sides.
    Leaky,
}

/// One run of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its variant.
    pub variant: String,
    /// Its seed.
    pub seed: u64,
    /// What it is trained on.
    pub kind: Kind,
    /// Changes to the recipe in order: a later one wins.
    pub changes: Vec<(String, Value)>,
}

impl Job {
    /// The name of its run: `real-s1`.
    pub fn name(&self) -> String {
        run_name(&self.variant, self.seed)
    }

    /// Its run folder within the study's.
    pub fn folder(&self, out: &Path) -> PathBuf {
        out.join(RUNS).join(self.name())
    }
}

impl Plan {
    /// Reads a plan. Its paths are relative to its own place. Whether the data are there is not looked at,
    /// see [`Plan::check_paths`].
    ///
    /// # Errors
    /// The file cannot be read; it is no TOML; a key is unknown or missing; a value makes no sense.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
        let absolute = std::path::absolute(path).map_err(|error| Error::io("read", path, error))?;
        let file: File = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
        resolve(file, &path.display().to_string(), absolute.parent().unwrap_or(Path::new("")))
    }

    /// That everything the plan names is there.
    ///
    /// # Errors
    /// The first path that is not, by its key.
    pub fn check_paths(&self) -> Result<()> {
        let profile = PathBuf::from(&self.augment.profile);
        let profile = (self.needs_copies() && !built_in(&self.augment.profile)).then_some(&profile);
        let named = [
            ("real", Some(&self.real)),
            ("synthetic", self.synthetic.as_ref()),
            ("recipe", self.recipe.as_ref()),
            ("augment.profile", profile),
        ];
        for (key, path) in named {
            if let Some(path) = path.filter(|path| !path.exists()) {
                return Err(Error::input(
                    format!("the study's {key}"),
                    format!("there is no {}", path.display()),
                )
                .expected("something that is there")
                .hint("Paths are relative to the file that names them"));
            }
        }
        Ok(())
    }

    /// Writes the plan with everything resolved; [`Plan::load`] reads the same plan back.
    ///
    /// # Errors
    /// A path is not Unicode; the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let variant = |variant: &Variant| VariantFile {
            name: variant.name.clone(),
            dataset_type: Some(variant.dataset_type.to_string()),
            set: variant.set.iter().cloned().collect(),
        };
        let file = File {
            real: Some(self.real.clone()),
            synthetic: self.synthetic.clone(),
            recipe: self.recipe.clone(),
            seeds: Some(self.seeds.clone()),
            split_seed: Some(self.split_seed),
            variants: None,
            leaky: Some(self.leaky),
            dose: self.dose.clone(),
            baseline: Some(self.baseline.clone()),
            augment: self.augment.clone(),
            set: self.set.iter().cloned().collect(),
            variant: self.variants.iter().map(variant).collect(),
        };
        let text = toml::to_string(&file)
            .map_err(|error| Error::at(path, format!("cannot write the study: {error}")))?;
        write_atomic(path, |out| out.write_all(text.as_bytes()))
    }

    /// Every run: all variants with the first seed, then all with the next, so that a study that is stopped
    /// early has compared like with like.
    pub fn jobs(&self) -> Vec<Job> {
        let mut arms = self.arms();
        if self.leaky {
            arms.push(Arm { name: LEAKY.into(), kind: Kind::Leaky, set: &[] });
        }
        let job = |seed: u64, arm: &Arm| Job {
            variant: arm.name.clone(),
            seed,
            kind: arm.kind,
            changes: self.set.iter().chain(arm.set).cloned().collect(),
        };
        self.seeds.iter().flat_map(|&seed| arms.iter().map(move |arm| job(seed, arm))).collect()
    }

    /// Whether augmented copies must be made.
    pub fn needs_copies(&self) -> bool {
        self.leaky || self.variants.iter().any(|variant| variant.dataset_type.is_augmented())
    }

    /// What is compared, in order: the variants, then the doses that are runs of their own.
    pub(super) fn arms(&self) -> Vec<Arm<'_>> {
        let variants = self.variants.iter().map(|variant| Arm {
            name: variant.name.clone(),
            kind: Kind::Typed(variant.dataset_type),
            set: &variant.set,
        });
        let doses = self
            .dose
            .iter()
            .filter(|&&images| images > 0 || self.plain_real().is_none())
            .map(|&images| Arm { name: dose_name(images), kind: Kind::Dose(images), set: &[] });
        variants.chain(doses).collect()
    }

    /// The variant that stands for a dose: nothing added is the plain real training set.
    pub(super) fn dose_variant(&self, images: usize) -> String {
        match self.plain_real() {
            Some(variant) if images == 0 => variant.name.clone(),
            _ => dose_name(images),
        }
    }

    fn plain_real(&self) -> Option<&Variant> {
        self.variants
            .iter()
            .find(|variant| variant.dataset_type == DatasetType::Real && variant.set.is_empty())
    }
}

/// What is compared, whatever its kind.
pub(super) struct Arm<'a> {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its own changes.
    pub(super) set: &'a [(String, Value)],
}

pub(super) fn run_name(variant: &str, seed: u64) -> String {
    format!("{variant}-s{seed}")
}

fn dose_name(images: usize) -> String {
    format!("dose-{images}")
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    real: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    synthetic: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<PathBuf>,
    seeds: Option<Vec<u64>>,
    split_seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variants: Option<Vec<String>>,
    leaky: Option<bool>,
    #[serde(default)]
    dose: Vec<usize>,
    baseline: Option<String>,
    #[serde(default)]
    augment: Augment,
    #[serde(default)]
    set: Table,
    #[serde(default)]
    variant: Vec<VariantFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantFile {
    name: String,
    dataset_type: Option<String>,
    #[serde(default)]
    set: Table,
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place =
        line.map_or_else(|| path.display().to_string(), |line| format!("{}, line {line}", path.display()));
    let problem = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    Error::input(place, problem).expected("a study, as `mien study --help` describes it")
}

/// The plan that a file means. `place` names the file in messages, `folder` is what its paths are relative
/// to.
fn resolve(file: File, place: &str, folder: &Path) -> Result<Plan> {
    let at = |key: &str| format!("{place}: {key}");
    let real = file.real.ok_or_else(|| {
        Error::input(at("real"), "is not set")
            .expected("the folder of the real images")
            .hint("The test set is taken from it")
    })?;
    let real = folder.join(real);
    let synthetic = file.synthetic.map(|path| folder.join(path));
    let recipe = file.recipe.map(|path| folder.join(path));

    let seeds = file.seeds.unwrap_or_else(|| DEFAULT_SEEDS.to_vec());
    let mut seen = HashSet::new();
    if let Some(twice) = seeds.iter().find(|seed| !seen.insert(**seed)) {
        return Err(Error::input(at("seeds"), format!("{twice} is there twice")).expected("different seeds"));
    }
    if seeds.is_empty() {
        return Err(Error::input(at("seeds"), "the list is empty")
            .expected("at least one seed; three or more show the spread"));
    }

    let variants = variants(file.variants, file.variant, synthetic.is_some(), &at)?;
    let mut dose = file.dose;
    dose.sort_unstable();
    if let Some(pair) = dose.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::input(at("dose"), format!("{} is there twice", pair[0]))
            .expected("different numbers of images"));
    }
    if !dose.is_empty() && synthetic.is_none() {
        return Err(Error::input(at("dose"), "there are no synthetic images to add")
            .expected("synthetic = \"FOLDER\" as well")
            .hint("Name the folder, or leave the doses out"));
    }

    let mut augment = file.augment;
    if augment.copies == 0 || augment.copies > 1000 {
        return Err(
            Error::input(at("augment.copies"), format!("found {}", augment.copies)).expected("1 to 1000")
        );
    }
    if !built_in(&augment.profile) {
        augment.profile = folder.join(&augment.profile).to_string_lossy().into_owned();
    }
    let set = changes(&file.set, &at("set"), &OWNED)?;
    let leaky =
        file.leaky.unwrap_or_else(|| variants.iter().any(|one| one.dataset_type == DatasetType::Augmented));

    let mut plan = Plan {
        real,
        synthetic,
        recipe,
        seeds,
        split_seed: file.split_seed.unwrap_or(DEFAULT_SPLIT_SEED),
        baseline: variants[0].name.clone(),
        variants,
        leaky,
        dose,
        augment,
        set,
    };
    if let Some(baseline) = file.baseline {
        let names: Vec<String> = plan.arms().into_iter().map(|arm| arm.name).collect();
        if !names.contains(&baseline) {
            return Err(Error::input(at("baseline"), format!("there is no variant '{baseline}'"))
                .expected(format!("one of {}", names.join(", "))));
        }
        plan.baseline = baseline;
    }
    if plan.arms().len() < 2 && !plan.leaky {
        return Err(Error::input(at("variants"), format!("there is only '{}'", plan.baseline))
            .expected("two or more variants")
            .hint("Add one, or a [[variant]] with changes to the recipe"));
    }
    Ok(plan)
}

/// The dataset types that are asked for, or those that can be made; then the named variants.
fn variants(
    typed: Option<Vec<String>>,
    named: Vec<VariantFile>,
    synthetic: bool,
    at: &dyn Fn(&str) -> String,
) -> Result<Vec<Variant>> {
    let read = |key: &str, text: &str| {
        let kind: DatasetType = text.parse().map_err(|_| {
            Error::input(at(key), format!("found '{text}'"))
                .expected("real, augmented, synthetic or synthetic-augmented")
                .hint("Other variants are [[variant]] tables")
        })?;
        if kind.is_synthetic() && !synthetic {
            return Err(Error::input(at(key), format!("'{kind}' needs synthetic images"))
                .expected("synthetic = \"FOLDER\" as well")
                .hint("Name the folder, or leave the variant out"));
        }
        Ok(kind)
    };
    let kinds = match typed {
        Some(texts) => texts.iter().map(|text| read("variants", text)).collect::<Result<_>>()?,
        None if !named.is_empty() => Vec::new(),
        None if synthetic => {
            vec![
                DatasetType::Real,
                DatasetType::Augmented,
                DatasetType::Synthetic,
                DatasetType::SyntheticAugmented,
            ]
        }
        None => vec![DatasetType::Real, DatasetType::Augmented],
    };
    let mut found: Vec<Variant> = kinds
        .into_iter()
        .map(|kind| Variant { name: kind.to_string(), dataset_type: kind, set: Vec::new() })
        .collect();
    for VariantFile { name, dataset_type, set } in named {
        check_name(&name, at)?;
        let place = format!("variant '{name}'");
        let dataset_type =
            read(&format!("{place}: dataset_type"), dataset_type.as_deref().unwrap_or("real"))?;
        let place = at(&format!("{place}: set"));
        let set = changes(&set, &place, &OWNED)?;
        if let Some((key, _)) = set.iter().find(|(key, _)| FIXED.contains(&key.as_str())) {
            return Err(Error::input(place, format!("{key} decides which images are tested on"))
                .expected("the same test set for every variant")
                .hint("Put it under [set], for all variants"));
        }
        found.push(Variant { name, dataset_type, set });
    }
    // Names are folders, and some file systems do not tell large letters from small ones.
    let mut seen = HashSet::new();
    if let Some(twice) = found.iter().find(|variant| !seen.insert(variant.name.to_lowercase())) {
        return Err(Error::input(at("variants"), format!("'{}' is there twice", twice.name))
            .expected("a name for each"));
    }
    if found.is_empty() {
        return Err(Error::input(at("variants"), "the list is empty").expected("at least one variant"));
    }
    Ok(found)
}

fn check_name(name: &str, at: &dyn Fn(&str) -> String) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if name.is_empty() || name.len() > 80 || !name.chars().all(plain) || name.starts_with(['.', '-']) {
        return Err(Error::input(at("variant"), format!("found the name '{}'", name.escape_debug()))
            .expected("1 to 80 letters, digits, '.', '_' and '-', the first a letter or a digit"));
    }
    if name.eq_ignore_ascii_case(LEAKY) || name.to_ascii_lowercase().starts_with("dose-") {
        return Err(Error::input(at("variant"), format!("the name '{name}' is the study's own"))
            .expected("another name")
            .hint("`leaky` and `dose` are keys of their own"));
    }
    Ok(())
}

/// Every key with its value, dotted, by key. Tables within are read as parts of the keys.
fn changes(table: &Table, place: &str, refused: &[&str]) -> Result<Vec<(String, Value)>> {
    let mut flat = Vec::new();
    flatten("", table, &mut flat);
    flat.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = flat.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(
            Error::input(place, format!("{} is there twice", pair[0].0)).expected("one value for each key")
        );
    }
    if let Some((key, _)) = flat.iter().find(|(key, _)| refused.contains(&key.as_str())) {
        return Err(Error::input(place, format!("{key} is set by the study itself"))
            .expected("other keys")
            .hint("The study's own keys are real, synthetic, seeds, split_seed and dataset_type"));
    }
    Ok(flat)
}

fn flatten(prefix: &str, table: &Table, flat: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, flat),
            value => flat.push((key, value.clone())),
        }
    }
}

fn built_in(profile: &str) -> bool {
    matches!(profile, "safe" | "reference")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Plan> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.toml");
        std::fs::write(&path, text).unwrap();
        Plan::load(&path)
    }

    fn names(plan: &Plan) -> Vec<String> {
        plan.jobs().iter().map(Job::name).collect()
    }

    #[test]
    fn one_line_is_a_study() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.toml");
        std::fs::write(&path, "real = 'faces'").unwrap();
        let plan = Plan::load(&path).unwrap();
        assert_eq!(plan.real, folder.path().join("faces"));
        assert_eq!(
            (plan.seeds.as_slice(), plan.split_seed, plan.baseline.as_str()),
            (&[1, 2, 3][..], 42, "real")
        );
        assert!(plan.leaky && plan.needs_copies());
        assert_eq!(names(&plan)[..4], ["real-s1", "augmented-s1", "leaky-s1", "real-s2"]);
        assert_eq!(plan.jobs().len(), 9);
        assert_eq!(plan.jobs()[0].folder(Path::new("out")), Path::new("out/runs/real-s1"));
        assert!(plan.check_paths().unwrap_err().to_string().contains("faces"));
        std::fs::create_dir(folder.path().join("faces")).unwrap();
        plan.check_paths().unwrap();
    }

    #[test]
    fn with_synthetic_images_there_are_four_types_and_doses() {
        let plan = load("real = 'a'\nsynthetic = 'b'\nseeds = [7]\ndose = [400, 0, 100]").unwrap();
        let expected = [
            "real-s7",
            "augmented-s7",
            "synthetic-s7",
            "synthetic-augmented-s7",
            "dose-100-s7",
            "dose-400-s7",
            "leaky-s7",
        ];
        assert_eq!(names(&plan), expected);
        assert_eq!(plan.jobs()[5].kind, Kind::Dose(400));
        assert_eq!(plan.dose_variant(0), "real", "the plain real run is the dose 0");
        let plan = load(
            "real = 'a'\nsynthetic = 'b'\nseeds = [7]\ndose = [0, 5]\nvariants = ['Synthetic']\nbaseline = 'dose-0'",
        );
        assert_eq!(names(&plan.unwrap()), ["synthetic-s7", "dose-0-s7", "dose-5-s7"]);
    }

    #[test]
    fn named_variants_change_the_recipe_after_the_study() {
        let text = "real = 'a'\nseeds = [1]\nrecipe = 'r.toml'\n[set]\n'train.epochs' = 5\ntrain.batch_size = 8\n\
                    [[variant]]\nname = 'plain'\n[[variant]]\nname = 'resnet'\nset = { 'model.name' = 'resnet18', 'train.epochs' = 9 }\n";
        let plan = load(text).unwrap();
        assert_eq!(
            names(&plan),
            ["plain-s1", "resnet-s1"],
            "named ones instead of the types; nothing augmented, so nothing leaky"
        );
        let changes: Vec<String> =
            plan.jobs()[1].changes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            changes,
            ["train.batch_size=8", "train.epochs=5", "model.name=\"resnet18\"", "train.epochs=9"]
        );
        let both = load(&format!("variants = ['real']\n{text}")).unwrap();
        assert_eq!(names(&both), ["real-s1", "plain-s1", "resnet-s1"]);
    }

    #[test]
    fn what_is_saved_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elsewhere.toml");
        for text in [
            "real = 'a'",
            "real = 'a'\nsynthetic = '../b'\nrecipe = 'r.toml'\nseeds = [5, 4]\nsplit_seed = 0\ndose = [3]\nbaseline = 'dose-3'\nleaky = false\n\
             [augment]\ncopies = 3\nprofile = 'mine.toml'\n[set]\ntrain.schedule = { kind = 'step', every = 3 }\ntrain.learning_rate = 0.1\n\
             [[variant]]\nname = 'z'\ndataset_type = 'synthetic'\n[[variant]]\nname = 'real'\nset = { 'data.debug_subset' = 9 }\n",
        ] {
            let plan = load(text).unwrap();
            plan.save(&path).unwrap();
            assert_eq!(Plan::load(&path).unwrap(), plan, "{}", std::fs::read_to_string(&path).unwrap());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_one_line_that_names_it() {
        for (text, part) in [
            ("", "study.toml: real: is not set"),
            ("real = 'a'\nseed = 1", "line 2: unknown field `seed`"),
            ("real = 'a'\nseeds = []", "seeds: the list is empty"),
            ("real = 'a'\nseeds = [1, 1]", "seeds: 1 is there twice"),
            ("real = 'a'\nseeds = [-1]", "line 2"),
            ("real = 'a'\nvariants = []", "variants: the list is empty"),
            ("real = 'a'\nvariants = ['fake']", "variants: found 'fake'"),
            ("real = 'a'\nvariants = ['real', 'Real']", "'real' is there twice"),
            ("real = 'a'\nvariants = ['real']", "there is only 'real'"),
            ("real = 'a'\nvariants = ['real', 'synthetic']", "'synthetic' needs synthetic images"),
            ("real = 'a'\ndose = [1]", "there are no synthetic images to add"),
            ("real = 'a'\nsynthetic = 'b'\ndose = [1, 1]", "dose: 1 is there twice"),
            (
                "real = 'a'\nbaseline = 'best'",
                "baseline: there is no variant 'best'; expected one of real, augmented",
            ),
            ("real = 'a'\n[augment]\ncopies = 0", "augment.copies: found 0"),
            ("real = 'a'\n[augment]\nprofil = 'safe'", "unknown field `profil`"),
            ("real = 'a'\n[set]\n'train.seed' = 5", "set: train.seed is set by the study itself"),
            ("real = 'a'\n[set]\n'train.epochs' = 5\ntrain.epochs = 6", "train.epochs is there twice"),
            ("real = 'a'\n[[variant]]\nname = '../x'", "found the name '../x'"),
            ("real = 'a'\n[[variant]]\nname = 'leaky'", "the name 'leaky' is the study's own"),
            ("real = 'a'\n[[variant]]\nname = 'x'\n[[variant]]\nname = 'X'", "'X' is there twice"),
            (
                "real = 'a'\n[[variant]]\nname = 'x'\nset = { 'data.split' = [1, 0, 0] }",
                "data.split decides which images",
            ),
            ("real = 'a'\n[[variant]]\nname = 'x'\nsets = {}", "unknown field `sets`"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text:?}: {error}");
        }
    }
}
