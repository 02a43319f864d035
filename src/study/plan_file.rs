//! STUDY.toml: from the file to a [`Plan`] and back.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::plan::{Augment, LEAKY, Plan, Variant, built_in};
use crate::data::DatasetType;
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::text::{nearest, one_line};

/// Configuration keys that the study sets itself for every run.
const OWNED: [&str; 6] =
    ["train.seed", "data.split_seed", "data.root", "data.dataset_type", "data.augmented", "data.synthetic"];

/// Configuration keys that decide which images are in the test set, which must be the same for all variants.
const FIXED: [&str; 6] = [
    "data.classes",
    "data.group_regex",
    "data.split",
    "data.resplit",
    "data.drop_leaking",
    "data.allow_leakage",
];

const DEFAULT_SEEDS: [u64; 3] = [1, 2, 3];
const DEFAULT_SPLIT_SEED: u64 = 42;

impl Plan {
    /// Reads a plan. Its paths are relative to the folder of the file. Whether they exist is not checked: see
    /// [`Plan::check_paths`].
    ///
    /// # Errors
    /// The file cannot be read; it is not TOML; a key is unknown or missing; a value is invalid.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
        let absolute = std::path::absolute(path).map_err(|error| Error::io("read", path, error))?;
        let file: File = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
        resolve(file, &path.display().to_string(), absolute.parent().unwrap_or(Path::new("")))
    }

    /// Writes the plan with all paths and defaults filled in; [`Plan::load`] reads the same plan back.
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
}

/// The file, key by key.
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

/// What the TOML reader says, with the line, the key and the nearest known key.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map(|span| span.start.min(text.len()));
    let line = start.map(|start| text[..start].matches('\n').count());
    let place = line
        .map_or_else(|| path.display().to_string(), |line| format!("{}, line {}", path.display(), line + 1));
    let problem = one_line(error.message());
    // serde's wording: unknown field `x`, expected one of `a`, `b`
    let names: Vec<&str> = problem.split('`').skip(1).step_by(2).collect();
    if let (true, [found, known @ ..]) = (problem.starts_with("unknown field"), names.as_slice()) {
        let error = Error::input(place, format!("unknown key '{found}'"))
            .expected(format!("one of {}", known.join(", ")));
        return match nearest(found, known.iter().copied()) {
            Some(near) => error.hint(format!("Did you mean {near}?")),
            None => error,
        };
    }
    // The key of a value is the last one that begins a line up to it.
    let before = || line.into_iter().flat_map(|line| text.lines().take(line + 1));
    let key = before().filter_map(|line| Some(line.split_once('=')?.0.trim())).last();
    let place = match key {
        Some(key) if error.message().contains("invalid") => format!("{place}: {key}"),
        _ => place,
    };
    let problem = problem
        .replace("expected u64", "expected a whole number")
        .replace("expected usize", "expected a whole number");
    Error::input(place, problem.replace("a sequence", "a list").replace("a map", "a table"))
        .hint("`mien study --help` describes the file")
}

/// A value that is not among those that are possible.
fn unknown(place: String, what: &str, found: &str, known: &[&str]) -> Error {
    let error = Error::input(place, format!("unknown {what} '{found}'"))
        .expected(format!("one of {}", known.join(", ")));
    match nearest(found, known.iter().copied()) {
        Some(near) => error.hint(format!("Did you mean {near}?")),
        None => error,
    }
}

/// The plan that a file describes. `place` names the file in messages; paths are relative to `folder`.
fn resolve(file: File, place: &str, folder: &Path) -> Result<Plan> {
    let at = |key: &str| format!("{place}: {key}");
    let real = file.real.ok_or_else(|| {
        Error::input(at("real"), "the key is missing")
            .expected("real = \"FOLDER\", the real images")
            .hint("The test set is taken from them")
    })?;
    let real = folder.join(real);
    let synthetic = file.synthetic.map(|path| folder.join(path));
    let recipe = file.recipe.map(|path| folder.join(path));

    let seeds = file.seeds.unwrap_or_else(|| DEFAULT_SEEDS.to_vec());
    let mut seen = HashSet::new();
    if let Some(twice) = seeds.iter().find(|seed| !seen.insert(**seed)) {
        return Err(Error::input(at("seeds"), format!("duplicate seed {twice}")).expected("each seed once"));
    }
    if seeds.is_empty() {
        return Err(Error::input(at("seeds"), "the list is empty")
            .expected("at least one seed; use three or more to measure the variation between seeds"));
    }

    let variants = variants(file.variants, file.variant, synthetic.is_some(), &at)?;
    let mut dose = file.dose;
    dose.sort_unstable();
    if let Some(pair) = dose.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::input(at("dose"), format!("duplicate dose {}", pair[0]))
            .expected("each number of images once"));
    }
    if !dose.is_empty() && synthetic.is_none() {
        return Err(Error::input(at("dose"), "there are no synthetic images to add")
            .expected("the key synthetic = \"FOLDER\" as well")
            .hint("Add the key, or remove dose"));
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
        let arms = plan.arms();
        let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        if !names.contains(&baseline.as_str()) {
            return Err(unknown(at("baseline"), "variant", &baseline, &names));
        }
        plan.baseline = baseline;
    }
    if plan.arms().len() < 2 && !plan.leaky {
        return Err(Error::input(at("variants"), format!("there is only '{}'", plan.baseline))
            .expected("at least two variants")
            .hint("Add a dataset type, or a [[variant]] with changes to the recipe"));
    }
    Ok(plan)
}

/// The dataset types of the key `variants`, or those that the data allow; then the named variants.
fn variants(
    typed: Option<Vec<String>>,
    named: Vec<VariantFile>,
    synthetic: bool,
    at: &dyn Fn(&str) -> String,
) -> Result<Vec<Variant>> {
    let read = |key: &str, text: &str| {
        let kind: DatasetType = text.parse().map_err(|_| {
            let known = ["real", "augmented", "synthetic", "synthetic-augmented"];
            unknown(at(key), "dataset type", text, &known)
        })?;
        if kind.is_synthetic() && !synthetic {
            return Err(Error::input(at(key), format!("'{kind}' needs synthetic images"))
                .expected("the key synthetic = \"FOLDER\" as well")
                .hint("Add the key, or remove the variant"));
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
            return Err(Error::input(place, format!("{key} changes the test set"))
                .expected("the same test set for every variant")
                .hint("Put the key in [set], which holds for all variants"));
        }
        found.push(Variant { name, dataset_type, set });
    }
    // Names are folders, and some file systems ignore case.
    let mut seen = HashSet::new();
    if let Some(twice) = found.iter().find(|variant| !seen.insert(variant.name.to_lowercase())) {
        return Err(Error::input(at("variants"), format!("duplicate variant '{}'", twice.name))
            .expected("different names, also when case is ignored"));
    }
    if found.is_empty() {
        return Err(Error::input(at("variants"), "the list is empty").expected("at least one variant"));
    }
    Ok(found)
}

fn check_name(name: &str, at: &dyn Fn(&str) -> String) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if name.is_empty() || name.len() > 80 || !name.chars().all(plain) || name.starts_with(['.', '-']) {
        return Err(Error::input(at("variant"), format!("invalid name '{}'", name.escape_debug()))
            .expected("1 to 80 letters, digits, '.', '_' or '-', beginning with a letter or digit"));
    }
    if name.eq_ignore_ascii_case(LEAKY) || name.to_ascii_lowercase().starts_with("dose-") {
        return Err(Error::input(at("variant"), format!("the name '{name}' is reserved"))
            .expected("another name")
            .hint("Use the keys leaky and dose for such runs"));
    }
    Ok(())
}

/// All keys, dotted, with their values, sorted by key. Nested tables become parts of the keys.
fn changes(table: &Table, place: &str, refused: &[&str]) -> Result<Vec<(String, Value)>> {
    let mut flat = Vec::new();
    flatten("", table, &mut flat);
    flat.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = flat.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(
            Error::input(place, format!("duplicate key {}", pair[0].0)).expected("one value for each key")
        );
    }
    if let Some((key, _)) = flat.iter().find(|(key, _)| refused.contains(&key.as_str())) {
        return Err(Error::input(place, format!("{key} is set by the study"))
            .expected("other keys of the recipe")
            .hint("Use the study's keys real, synthetic, seeds, split_seed and dataset_type"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::plan::{Job, Kind};

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
    fn a_plan_of_one_line_is_enough() {
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
            "real = 'a'\nsynthetic = 'b'\nseeds = [7]\ndose = [0, 5]\nvariants = ['Synthetic']\nbaseline = \
             'dose-0'",
        );
        assert_eq!(names(&plan.unwrap()), ["synthetic-s7", "dose-0-s7", "dose-5-s7"]);
    }

    #[test]
    fn named_variants_change_the_recipe_after_the_study() {
        let text = "real = 'a'\nseeds = [1]\nrecipe = 'r.toml'\n[set]\n'train.epochs' = 5\ntrain.batch_size \
                    = 8\n\
                    [[variant]]\nname = 'plain'\n[[variant]]\nname = 'resnet'\nset = { 'model.name' = \
                    'resnet18', 'train.epochs' = 9 }\n";
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
    fn a_saved_plan_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elsewhere.toml");
        for text in [
            "real = 'a'",
            "real = 'a'\nsynthetic = '../b'\nrecipe = 'r.toml'\nseeds = [5, 4]\nsplit_seed = 0\ndose = \
             [3]\nbaseline = 'dose-3'\nleaky = false\n\
             [augment]\ncopies = 3\nprofile = 'mine.toml'\n[set]\ntrain.schedule = { kind = 'step', every = \
             3 }\ntrain.learning_rate = 0.1\n\
             [[variant]]\nname = 'z'\ndataset_type = 'synthetic'\n[[variant]]\nname = 'real'\nset = { \
             'data.debug_subset' = 9 }\n",
        ] {
            let plan = load(text).unwrap();
            plan.save(&path).unwrap();
            assert_eq!(Plan::load(&path).unwrap(), plan, "{}", std::fs::read_to_string(&path).unwrap());
        }
    }

    #[test]
    fn invalid_plans_are_refused_in_one_line_that_names_file_and_key() {
        for (text, part) in [
            ("", "study.toml: real: the key is missing"),
            ("real = 'a'\nseed = 1", "study.toml, line 2: unknown key 'seed'; expected one of real"),
            ("real = 'a'\nseeds = []", "seeds: the list is empty"),
            ("real = 'a'\nseeds = [1, 1]", "study.toml: seeds: duplicate seed 1"),
            (
                "real = 'a'\nseeds = [-1]",
                "line 2: seeds: invalid value: integer `-1`, expected a whole number",
            ),
            ("real = 'a'\nvariants = []", "variants: the list is empty"),
            (
                "real = 'a'\nvariants = ['fake']",
                "variants: unknown dataset type 'fake'; expected one of real",
            ),
            ("real = 'a'\nvariants = ['real', 'Real']", "duplicate variant 'real'"),
            ("real = 'a'\nvariants = ['real']", "there is only 'real'"),
            ("real = 'a'\nvariants = ['real', 'synthetic']", "'synthetic' needs synthetic images"),
            ("real = 'a'\ndose = [1]", "there are no synthetic images to add"),
            ("real = 'a'\nsynthetic = 'b'\ndose = [1, 1]", "dose: duplicate dose 1"),
            (
                "real = 'a'\nbaseline = 'best'",
                "baseline: unknown variant 'best'; expected one of real, augmented",
            ),
            ("real = 'a'\n[augment]\ncopies = 0", "augment.copies: found 0"),
            (
                "real = 'a'\n[augment]\nprofil = 'safe'",
                "unknown key 'profil'; expected one of copies, profile. Did you mean profile?",
            ),
            ("real = 'a'\n[set]\n'train.seed' = 5", "set: train.seed is set by the study"),
            ("real = 'a'\n[set]\n'train.epochs' = 5\ntrain.epochs = 6", "duplicate key train.epochs"),
            ("real = 'a'\n[[variant]]\nname = '../x'", "invalid name '../x'"),
            ("real = 'a'\n[[variant]]\nname = 'leaky'", "the name 'leaky' is reserved"),
            ("real = 'a'\n[[variant]]\nname = 'x'\n[[variant]]\nname = 'X'", "duplicate variant 'X'"),
            (
                "real = 'a'\n[[variant]]\nname = 'x'\nset = { 'data.split' = [1, 0, 0] }",
                "data.split changes the test set",
            ),
            ("real = 'a'\n[[variant]]\nname = 'x'\nsets = {}", "unknown key 'sets'"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text:?}: {error}");
        }
    }
}
