//! The reference recipe: every key with its default and its description.

use super::keys::{KEYS, Key};

const HEADER: &str = "\
# The reference recipe: the values of the Python scripts that mien replaces, and mien's defaults.
#
# Source:    the reference trainer (VGG16 with CBAM, PyTorch); every key is listed here.
# Command:   mien train DATA --recipe recipes/reference.toml
# Hardware:  meant for one GPU; a CPU trains it too (see LOG.md for its speed), with a smaller --input-size in
#            reasonable time.
# Accuracy:  depends on the data; the published best on MMAFEDB's test split is 65.97 % (CAFE, ECCV 2024).
# Written:   by `mien config`
";

/// Columns before a line's comment.
const COLUMN: usize = 30;

/// The reference recipe as TOML, as `mien config` prints it.
pub fn reference() -> String {
    let mut text = HEADER.to_owned();
    let mut section = "";
    for key in KEYS {
        let (path, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if path != section {
            text += &format!("\n[{path}]\n");
            section = path;
        }
        text += &line(key, name);
    }
    text
}

fn line(key: &Key, name: &str) -> String {
    let setting = match (key.default_toml(), key.example) {
        (Some(default), _) => format!("{name} = {default}"),
        (None, example) => format!("# {name} = {}", example.unwrap_or_default()),
    };
    format!("{setting:<COLUMN$}# {}\n", key.describe())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml::Table;

    use super::*;
    use crate::config::defaults::{defaults, flatten, toml_text, value};
    use crate::config::{Override, RunConfig};

    #[test]
    fn the_committed_reference_recipe_is_what_the_program_prints() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/reference.toml");
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(
            committed == reference(),
            "recipes/reference.toml is out of date; regenerate it: mien config > recipes/reference.toml"
        );
        assert_eq!(RunConfig::compose(Some(&path), &[]).unwrap(), RunConfig::default());
        let written = flatten(&toml::from_str::<Table>(&committed).unwrap()).len();
        assert_eq!(written, flatten(&defaults()).len() - 1, "every key but data.root has its default");
    }

    #[test]
    fn every_example_is_a_value_of_its_key() {
        for key in KEYS.iter().filter(|key| key.example.is_some()) {
            let example = key.example.unwrap();
            let kinds: &[&str] = match key.name.strip_prefix("train.schedule.") {
                None => &["cosine"],
                Some("every") => &["step"],
                Some("patience") => &["plateau"],
                Some(_) => &["step", "plateau"],
            };
            for kind in kinds {
                let kind = Override::parse(&format!("train.schedule.kind={kind}")).unwrap();
                let change = Override::parse(&format!("{}={example}", key.name)).unwrap();
                RunConfig::compose(None, &[kind.clone(), change])
                    .unwrap_or_else(|e| panic!("{}: {e}", key.name));
                // What a kind of schedule has by default is told as its example.
                if key.name.starts_with("train.schedule.") {
                    let config = RunConfig::compose(None, &[kind]).unwrap();
                    let table = toml::Table::try_from(config).unwrap();
                    assert_eq!(value(&table, key.name).map(toml_text).as_deref(), Some(example));
                }
            }
        }
    }
}
