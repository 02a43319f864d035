//! What an operation that moves pixels shows where it has moved the image away.

use serde::{Deserialize, Serialize};

/// What an operation that moves pixels shows beyond the edge of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Border {
    /// Outside pixels are black.
    Black,
    /// The image mirrored about the centres of its outermost pixels: `dcb|abcd|cba`.
    #[default]
    Reflect101,
    /// The outermost pixels again and again: `aaa|abcd|ddd`.
    Replicate,
}

/// The position that reflect-101 shows at `position` of a line of `length` pixels.
pub(super) fn reflect(position: i64, length: usize) -> usize {
    let last = length as i64 - 1;
    let mirrored = last - (last - position.abs()).abs(); // once at either end
    if mirrored >= 0 {
        return mirrored as usize;
    }
    if last == 0 {
        return 0;
    }
    let position = position.rem_euclid(2 * last);
    position.min(2 * last - position) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_have_the_names_of_the_configuration() {
        for (border, name) in
            [(Border::Black, "black"), (Border::Reflect101, "reflect101"), (Border::Replicate, "replicate")]
        {
            assert_eq!(serde_json::to_string(&border).unwrap(), format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Border>(&format!("\"{name}\"")).unwrap(), border);
        }
        assert_eq!(Border::default(), Border::Reflect101);
    }

    #[test]
    fn reflections_never_end() {
        let shown: Vec<usize> = (-5..11).map(|position| reflect(position, 4)).collect();
        assert_eq!(shown, [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]);
        assert!((-5..5).all(|position| reflect(position, 1) == 0));
    }
}
