//! Class names: the seven emotions with their usual variants, and classes that come from the folders or from
//! the user.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub use crate::emotions::{EMOTIONS, canonical};
use crate::error::{Error, Result};
use crate::text::{count, nearest, quoted_list, shell_quoted};

/// The classes of a data set, and the class that each label (folder name, list entry) stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// The names, in the order of the class index.
    pub names: Vec<String>,
    by_label: HashMap<String, usize>,
}

impl Classes {
    /// The class index of a label that was among those given to [`resolve`].
    pub fn index(&self, label: &str) -> Option<usize> {
        self.by_label.get(label).copied()
    }
}

/// Decides the classes from the labels found at `place` and the user's own list `wanted` (empty: none given).
///
/// Without a list: labels that are all emotions give the emotions present, in the order of [`EMOTIONS`];
/// labels that are all something else are the classes themselves, sorted (case does not matter). With a
/// list: exactly those, in the user's order.
///
/// # Errors
/// Some labels are emotions and some are not; a label is not in the user's list; the list names a class
/// twice; there are fewer than `at_least` classes.
pub fn resolve<'a>(
    place: &Path,
    labels: impl IntoIterator<Item = &'a str>,
    wanted: &[String],
    at_least: usize,
) -> Result<Classes> {
    let mut labels: Vec<&str> = labels.into_iter().collect();
    labels.sort_unstable();
    labels.dedup();
    let classes =
        if wanted.is_empty() { from_labels(place, &labels)? } else { from_list(place, &labels, wanted)? };
    if classes.names.len() < at_least {
        return Err(Error::at(
            place,
            format!(
                "found {} ({})",
                count(classes.names.len(), "class", "classes"),
                quoted_list(&classes.names)
            ),
        )
        .expected(format!("at least {at_least} classes"))
        .hint(
            "Use a folder with one folder per class, or with train, valid and test folders of class folders",
        ));
    }
    Ok(classes)
}

fn from_labels(place: &Path, labels: &[&str]) -> Result<Classes> {
    let (known, unknown): (Vec<&str>, Vec<&str>) =
        labels.iter().copied().partition(|label| canonical(label).is_some());
    if unknown.is_empty() {
        let present: Vec<usize> = (0..EMOTIONS.len())
            .filter(|&emotion| known.iter().any(|label| canonical(label) == Some(emotion)))
            .collect();
        let names = present.iter().map(|&emotion| EMOTIONS[emotion].to_owned()).collect();
        let index = |label: &str| present.iter().position(|&emotion| canonical(label) == Some(emotion));
        let by_label = known.iter().filter_map(|label| Some(((*label).to_owned(), index(label)?))).collect();
        return Ok(Classes { names, by_label });
    }
    if !known.is_empty() {
        let noun = if unknown.len() == 1 { "class" } else { "classes" };
        let rename = match unknown.iter().find_map(|label| Some((label, nearest(label, EMOTIONS)?))) {
            Some((label, emotion)) => format!("If `{label}` means `{emotion}`, rename it; otherwise"),
            None if unknown.len() == 1 => "Rename or remove it, or".into(),
            None => "Rename or remove them, or".into(),
        };
        let all = labels.join(",");
        return Err(Error::at(
            place,
            format!("unknown {noun} {} among the emotions {}", quoted_list(&unknown), quoted_list(&known)),
        )
        .expected(format!("only {}", EMOTIONS.join(", ")))
        .hint(format!("{rename} list all classes: --classes {}", shell_quoted(&all))));
    }
    let mut by_key: BTreeMap<String, &str> = BTreeMap::new();
    for label in &unknown {
        by_key.entry(label.trim().to_lowercase()).or_insert(label);
    }
    let mut names: Vec<String> = by_key.values().map(|name| name.trim().to_owned()).collect();
    names.sort_unstable();
    let by_label = unknown
        .iter()
        .filter_map(|label| {
            let key = label.trim().to_lowercase();
            Some(((*label).to_owned(), names.iter().position(|name| name.to_lowercase() == key)?))
        })
        .collect();
    Ok(Classes { names, by_label })
}

fn from_list(place: &Path, labels: &[&str], wanted: &[String]) -> Result<Classes> {
    let names: Vec<String> = wanted
        .iter()
        .map(|name| canonical(name).map_or_else(|| name.trim().to_owned(), |e| EMOTIONS[e].to_owned()))
        .collect();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(Error::input(CLASSES, "one of the names is empty")
                .expected("names with commas between them, for example happy,sad"));
        }
        if let Some(earlier) = names[..index].iter().position(|other| same(other, name)) {
            return Err(Error::input(
                CLASSES,
                format!("`{}` and `{}` are the same class", wanted[earlier], wanted[index]),
            )
            .expected("each class once"));
        }
    }
    let index = |label: &str| names.iter().position(|name| same(name, label));
    let unknown: Vec<&str> = labels.iter().copied().filter(|label| index(label).is_none()).collect();
    if !unknown.is_empty() {
        let (noun, it) = if unknown.len() == 1 { ("class", "it") } else { ("classes", "them") };
        return Err(Error::at(place, format!("unknown {noun} {}", quoted_list(&unknown)))
            .expected(format!("only {}", quoted_list(&names)))
            .hint(format!("Add {it} to {CLASSES}, or remove {it} from the data")));
    }
    let by_label = labels.iter().filter_map(|label| Some(((*label).to_owned(), index(label)?))).collect();
    Ok(Classes { names, by_label })
}

/// The key and the flag of the user's list.
const CLASSES: &str = "data.classes (--classes)";

/// Whether two labels name one class: equal but for case, or variants of one emotion.
fn same(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
        || canonical(a).is_some_and(|emotion| canonical(b) == Some(emotion))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(labels: &[&str], wanted: &[&str]) -> Result<Vec<String>> {
        let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        resolve(Path::new("data"), labels.iter().copied(), &wanted, 2).map(|classes| classes.names)
    }

    fn message(labels: &[&str], wanted: &[&str]) -> String {
        names(labels, wanted).expect_err("must be refused").to_string()
    }

    #[test]
    fn emotions_come_in_canonical_order_whatever_their_folders_are_called() {
        let labels = ["surprised", "Sadness", "neutral", "joy", "AFRAID", "Disgusted", "anger"];
        assert_eq!(names(&labels, &[]).unwrap(), EMOTIONS);
        assert_eq!(names(&["sad", "Happiness"], &[]).unwrap(), ["happy", "sad"]);
    }

    #[test]
    fn two_names_of_one_emotion_are_one_class() {
        let classes = resolve(Path::new("data"), ["Happy", "happiness", "sad"], &[], 2).unwrap();
        assert_eq!(classes.names, ["happy", "sad"]);
        assert_eq!(
            (classes.index("Happy"), classes.index("happiness"), classes.index("sad")),
            (Some(0), Some(0), Some(1))
        );
    }

    #[test]
    fn an_unknown_folder_among_emotions_is_named_with_the_way_out() {
        let text = message(&["happy", "contempt", "sad"], &[]);
        assert!(text.contains("unknown class `contempt` among the emotions `happy`, `sad`"), "{text}");
        assert!(text.contains("--classes contempt,happy,sad"), "{text}");
        assert!(message(&["hapy", "sad"], &[]).contains("If `hapy` means `happy`, rename it"));
        let text = message(&["my own", "sad"], &[]);
        assert!(text.contains("--classes 'my own,sad'"), "{text}");
    }

    #[test]
    fn folders_that_are_not_emotions_are_the_classes_sorted() {
        assert_eq!(names(&["dog", "Cat", "ape", "cat"], &[]).unwrap(), ["Cat", "ape", "dog"]);
    }

    #[test]
    fn listed_classes_keep_the_users_order_and_resolve_variants() {
        assert_eq!(
            names(&["Happiness", "contempt", "SAD"], &["contempt", "sadness", "happy"]).unwrap(),
            ["contempt", "sad", "happy"]
        );
        assert!(message(&["happy", "sad", "fear"], &["happy", "sad"]).contains("`fear`"));
        assert!(message(&["happy"], &["happy", "joy"]).contains("`happy` and `joy` are the same class"));
    }

    #[test]
    fn one_class_is_refused() {
        assert!(message(&["happy"], &[]).contains("found 1 class (`happy`); expected at least 2 classes"));
    }
}
