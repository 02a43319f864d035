//! The seven emotions and the names under which data sets keep them. Drawn faces have these
//! classes, and the class folders of a data set are matched to them.

/// The seven basic emotions, in the order of their class index.
pub const EMOTIONS: [&str; 7] = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];

/// Names under which data sets keep each emotion, besides its own; in the order of [`EMOTIONS`].
const VARIANTS: [&[&str]; 7] = [
    &["anger", "angriness"],
    &["disgusted", "disgusting"],
    &["fearful", "fearfull", "fearfulness", "afraid", "scared"],
    &["happiness", "joy", "joyful"],
    &["neutrality", "neutral face"],
    &["sadness"],
    &["surprised", "suprise", "suprised", "surprising"],
];

/// The index in [`EMOTIONS`] of a name in any case, or of one of its usual variants (`Anger`, `happiness`,
/// …).
pub fn canonical(name: &str) -> Option<usize> {
    let name = name.trim().to_lowercase();
    (0..EMOTIONS.len()).find(|&index| EMOTIONS[index] == name || VARIANTS[index].contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_in_any_case_is_its_emotion() {
        for (name, emotion) in [
            ("angry", "angry"),
            ("Anger", "angry"),
            ("DISGUSTED", "disgust"),
            ("Fearful", "fear"),
            ("happiness", "happy"),
            (" Neutral ", "neutral"),
            ("sadness", "sad"),
            ("Surprised", "surprise"),
        ] {
            assert_eq!(canonical(name).map(|index| EMOTIONS[index]), Some(emotion), "{name}");
        }
        assert_eq!(canonical("contempt"), None);
        assert_eq!(canonical(""), None);
    }
}
