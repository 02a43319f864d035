//! Groups: what no split may cut. One original with all its copies, one person, one source photo.

use std::collections::HashMap;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::emotions::canonical;

/// Where an image's group key came from; the first that applies is taken, in this order.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum GroupRule {
    /// The list's `group` column.
    List,
    /// The group that the augmenter's manifest gives.
    Manifest,
    /// The user's regular expression.
    Regex,
    /// The source photo in the file name of an ExpW face, as MMAFEDB names them.
    ExpwPhoto,
    /// The person in the file name of a drawn face.
    DrawnPerson,
    /// A group of its own for each exact content.
    Content,
}

/// The group that file names of known data sets give: MMAFEDB's ExpW faces
/// (`10012Exp0fighting_people_350.jpg`: the photo `fighting_people_350`) and drawn faces
/// (`drawn-p00012_03.png`: the person `drawn-p00012`).
///
/// `name` is a file name or a path with `/`.
pub fn name_key(name: &str) -> Option<(GroupRule, String)> {
    let stem = stem(name);
    if let Some(photo) = expw_photo(stem) {
        return Some((GroupRule::ExpwPhoto, photo.to_owned()));
    }
    let person = stem.strip_prefix("drawn-p")?.split('_').next()?;
    let numbered = !person.is_empty() && person.bytes().all(|byte| byte.is_ascii_digit());
    numbered.then(|| (GroupRule::DrawnPerson, format!("drawn-p{person}")))
}

/// The first capture (or, without one, the whole match) of `regex` in the file name, else in the whole path.
/// An empty match is none.
pub fn regex_key(regex: &Regex, name: &str) -> Option<String> {
    let find = |text: &str| {
        let captures = regex.captures(text)?;
        let key = captures.iter().skip(1).flatten().next().or_else(|| captures.get(0))?.as_str();
        (!key.is_empty()).then(|| key.to_owned())
    };
    find(file_name(name)).or_else(|| find(name))
}

/// The data set that an image comes from, by its file name: `ExpW`, `FER2013` (`Angry.31888.jpg`) or
/// `drawn`.
///
/// MMAFEDB mixes the first two, which have very different class proportions: a network can gain accuracy by
/// recognising the source.
pub fn source(name: &str) -> Option<&'static str> {
    let stem = stem(name);
    match name_key(name) {
        Some((GroupRule::ExpwPhoto, _)) => Some("ExpW"),
        Some((GroupRule::DrawnPerson, _)) => Some("drawn"),
        _ => {
            let (emotion, number) = stem.split_once('.')?;
            let row = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            (row && canonical(emotion).is_some()).then_some("FER2013")
        }
    }
}

/// The original's path without extension and the copy's number, for a path named as the augmenter names
/// copies: `happy/a_aug_2.png` gives `("happy/a", 2)`.
pub fn copy_of(name: &str) -> Option<(&str, u32)> {
    let path = without_extension(name);
    let (original, number) = path.rsplit_once("_aug_")?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || original.is_empty() || original.ends_with('/') {
        return None;
    }
    Some((original, number.parse().ok()?))
}

/// A path with `/` without the extension of its last part.
pub fn without_extension(name: &str) -> &str {
    let folder = name.len() - file_name(name).len();
    name.get(..folder + stem(name).len()).unwrap_or(name)
}

/// Joins images into groups: those with the same key, and those with the same content.
///
/// `keys[i]` is the key of image `i` (none: its content alone decides), `contents[i]` its hashes, any of
/// which makes two images exact duplicates. Returns a group number per image; numbers count from 0 in the
/// order of first appearance.
pub fn unite<const N: usize>(keys: &[Option<&str>], contents: &[[[u8; 32]; N]]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..keys.len()).collect();
    let mut by_key: HashMap<&str, usize> = HashMap::new();
    for (index, key) in keys.iter().enumerate() {
        if let Some(key) = key {
            join(&mut parents, *by_key.entry(key).or_insert(index), index);
        }
    }
    for which in 0..N {
        let mut by_content: HashMap<&[u8; 32], usize> = HashMap::with_capacity(contents.len());
        for (index, hashes) in contents.iter().enumerate() {
            join(&mut parents, *by_content.entry(&hashes[which]).or_insert(index), index);
        }
    }
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    (0..keys.len())
        .map(|index| {
            let next = numbers.len();
            *numbers.entry(root(&mut parents, index)).or_insert(next)
        })
        .collect()
}

/// A name per group that does not depend on the order of the images: its smallest key, or its smallest
/// content hash.
pub fn name_groups(groups: &[usize], keys: &[Option<&str>], hashes: &[[u8; 32]]) -> Vec<String> {
    let count = groups.iter().max().map_or(0, |last| last + 1);
    let mut key_of: Vec<Option<&str>> = vec![None; count];
    let hash_of = smallest_hashes(groups, hashes);
    for (&group, &key) in groups.iter().zip(keys) {
        key_of[group] = match (key_of[group], key) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    key_of
        .into_iter()
        .zip(hash_of)
        .map(|(key, hash)| key.map_or_else(|| content_name(&hash), str::to_owned))
        .collect()
}

/// The name of a group that only its content identifies: `blake3:` and the first 32 hexadecimal digits.
pub fn content_name(hash: &[u8; 32]) -> String {
    format!("blake3:{}", &blake3::Hash::from(*hash).to_hex()[..32])
}

/// The smallest content hash of every group, `[group]`: it identifies the group, whatever the files are
/// called.
pub fn smallest_hashes(groups: &[usize], hashes: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut smallest = vec![[u8::MAX; 32]; groups.iter().max().map_or(0, |last| last + 1)];
    for (&group, hash) in groups.iter().zip(hashes) {
        smallest[group] = smallest[group].min(*hash);
    }
    smallest
}

/// What follows `Exp` and one digit in an ExpW face's name; what stands before is the number of the face.
fn expw_photo(stem: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(at) = stem[from..].find("Exp").map(|at| from + at) {
        let rest = &stem[at + 3..];
        let starts_a_word = !stem[..at].ends_with(|before: char| before.is_alphabetic());
        if starts_a_word && rest.starts_with(|digit: char| digit.is_ascii_digit()) && rest.len() > 1 {
            return Some(&rest[1..]);
        }
        from = at + 3;
    }
    None
}

/// The last part of a path with `/`.
pub fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn stem(name: &str) -> &str {
    let file = file_name(name);
    file.rsplit_once('.').map_or(file, |(stem, _)| if stem.is_empty() { file } else { stem })
}

fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b)] = a.min(b);
}

fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_of_known_data_sets_give_their_group() {
        for (name, key) in [
            ("train/angry/10012Exp0fighting_people_350.jpg", Some("fighting_people_350")),
            ("7Exp3a.b.png", Some("a.b")),
            ("Happy.99Exp6crying_baby_2.jpg", Some("crying_baby_2")),
            ("drawn-p00012_03.png", Some("drawn-p00012")),
            ("Angry.31888.jpg", None),
            ("Exp4.jpg", None),
            ("myExp4ever.jpg", None),
            ("myExp4 12Exp0photo.jpg", Some("photo")),
            ("Expo1.jpg", None),
            ("drawn-person_1.png", None),
        ] {
            assert_eq!(name_key(name).map(|(_, key)| key).as_deref(), key, "{name}");
        }
    }

    #[test]
    fn file_names_give_their_source() {
        assert_eq!(source("valid/fear/10012Exp0fighting_people_350.jpg"), Some("ExpW"));
        assert_eq!(source("train/angry/Angry.31888.jpg"), Some("FER2013"));
        assert_eq!(source("drawn-p00012_03.png"), Some("drawn"));
        assert_eq!(source("holiday.2024.jpg"), None);
    }

    #[test]
    fn a_regex_is_tried_on_the_file_name_and_then_on_the_path() {
        let person = Regex::new(r"^(\d+)_").unwrap();
        assert_eq!(regex_key(&person, "happy/012_08.jpg").as_deref(), Some("012"));
        assert_eq!(regex_key(&person, "happy/x012_08.jpg"), None);
        assert_eq!(regex_key(&Regex::new(r"p\d+").unwrap(), "happy/p7/1.jpg").as_deref(), Some("p7"));
        assert_eq!(regex_key(&Regex::new(r"^(?:a(\d+)|b(\d+))").unwrap(), "b5.jpg").as_deref(), Some("5"));
        assert_eq!(regex_key(&Regex::new(r"^(x*)").unwrap(), "b5.jpg"), None, "an empty key is none");
    }

    #[test]
    fn copies_are_known_by_name() {
        assert_eq!(copy_of("happy/a.b_aug_12.png"), Some(("happy/a.b", 12)));
        for name in ["happy/a.png", "happy/_aug_1.png", "happy_aug_1/a.png", "a_aug_.png", "a_aug_x1.png"] {
            assert_eq!(copy_of(name), None, "{name}");
        }
        assert_eq!(without_extension("x.y/a.b.png"), "x.y/a.b");
        assert_eq!(without_extension("x.y/.png"), "x.y/.png");
    }

    #[test]
    fn duplicates_join_groups_of_different_keys_through_chains() {
        let (a, b, c, d) = ([1; 32], [2; 32], [3; 32], [4; 32]);
        let keys = [Some("p"), Some("q"), None, Some("r"), Some("q"), None];
        let contents = [[a], [b], [a], [c], [a], [d]];
        assert_eq!(unite(&keys, &contents), [0, 0, 0, 1, 0, 2]);
        let hashes = contents.map(|[hash]| hash);
        let names = name_groups(&[0, 0, 0, 1, 0, 2], &keys, &hashes);
        assert_eq!(names, ["p", "r", "blake3:04040404040404040404040404040404"]);
    }

    #[test]
    fn either_hash_makes_duplicates() {
        let contents = [[[1; 32], [9; 32]], [[2; 32], [9; 32]], [[2; 32], [8; 32]], [[3; 32], [7; 32]]];
        assert_eq!(unite(&[None; 4], &contents), [0, 0, 0, 1]);
    }
}
