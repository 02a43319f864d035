//! From an emotion to the shape of a face, by the Facial Action Coding System.
//!
//! Source: P. Ekman, W. V. Friesen, J. C. Hager, *Facial Action Coding System: The Manual* (2002, first
//! edition 1978) for what each action unit (AU) does to a face; the prototypes are those of EMFACS (Ekman &
//! Friesen 1983) as commonly listed:
//!
//! | emotion  | action units      | sometimes also |
//! |----------|-------------------|----------------|
//! | angry    | 4 5 7 23          | 24, 10 + 25 (bared teeth) |
//! | disgust  | 9 15 16           | 10, 4          |
//! | fear     | 1 2 4 5 7 20 26   | 25             |
//! | happy    | 6 12              | 25             |
//! | neutral  | none              |                |
//! | sad      | 1 4 15            | 17             |
//! | surprise | 1 2 5 26          |                |
//!
//! What the units move here (face units, see `face.rs`; y down):
//!
//! | unit | name               | in the drawing |
//! |------|--------------------|----------------|
//! | 1    | inner brow raiser  | inner brow up; wrinkles in the middle of the forehead |
//! | 2    | outer brow raiser  | middle and outer brow up; wrinkles across the forehead |
//! | 4    | brow lowerer       | brow down (inner end less with AU 1), together; lines between them |
//! | 5    | upper lid raiser   | upper lid up: white above the iris |
//! | 6    | cheek raiser       | lower lid up, cheeks rounder, crow's feet |
//! | 7    | lid tightener      | lower lid up and straight, upper lid a little down |
//! | 9    | nose wrinkler      | nose wings, upper lip, lower lid up; inner brow down; wrinkles |
//! | 10   | upper lip raiser   | upper lip up, squarer; fold beside the nose |
//! | 12   | lip corner puller  | corners out and up; folds from nose to mouth |
//! | 15   | lip corner depressor | corners down |
//! | 16   | lower lip depressor | lower lip down and out: lower teeth |
//! | 17   | chin raiser        | lower lip and chin up, the middle of the mouth with them |
//! | 20   | lip stretcher      | corners straight out; the opening square |
//! | 23   | lip tightener      | lips thin, mouth narrower |
//! | 24   | lip pressor        | lips thinner still |
//! | 25   | lips part          | a gap |
//! | 26   | jaw drop           | a tall gap, chin down |

use chacha20::ChaCha8Rng;

use super::dice::{between, chance};

/// Strengths of the action units, 0 (none) to about 1 (FACS intensity D–E), indexed by the unit's number.
pub(super) type Units = [f32; 28];

/// The units of both halves of a face: index 0 is the half on the image's left.
pub(super) struct Expression {
    pub(super) sides: [Units; 2],
}

/// Always there: (unit, strength at full intensity).
const PROTOTYPES: [&[(usize, f32)]; 7] = [
    &[(4, 1.0), (5, 0.6), (7, 0.75), (23, 1.0)],
    &[(9, 1.0), (15, 0.75), (16, 0.8)],
    &[(1, 0.95), (2, 0.6), (4, 0.7), (5, 1.0), (7, 0.3), (20, 1.0), (26, 0.35)],
    &[(6, 0.9), (12, 1.0)],
    &[],
    &[(1, 1.0), (4, 0.75), (15, 1.0)],
    &[(1, 1.0), (2, 1.0), (5, 0.9), (26, 1.0)],
];

/// Sometimes there: (probability, units that then come together).
type Sometimes = (f64, &'static [(usize, f32)]);
const OPTIONS: [&[Sometimes]; 7] = [
    &[(0.3, &[(24, 0.8)]), (0.15, &[(10, 0.5), (25, 0.8)])],
    &[(0.6, &[(10, 0.8)]), (0.5, &[(4, 0.4)])],
    &[(0.5, &[(25, 0.5)])],
    &[(0.7, &[(25, 1.0)])],
    &[],
    &[(0.5, &[(17, 0.8)])],
    &[],
];

/// Draws the action units of one image of emotion `class` (0..7): prototype times intensity, each unit and
/// each half a little different.
pub(super) fn express(rng: &mut ChaCha8Rng, class: usize) -> Expression {
    let intensity = between(rng, 0.72, 1.05);
    let mut units: Units = [0.0; 28];
    for &(unit, strength) in PROTOTYPES[class] {
        units[unit] = strength * intensity * between(rng, 0.85, 1.12);
    }
    for &(probability, together) in OPTIONS[class] {
        let present = chance(rng, probability);
        for &(unit, strength) in together {
            units[unit] = if present { strength * intensity * between(rng, 0.7, 1.1) } else { 0.0 };
        }
    }
    let sides = [-1.0, 1.0].map(|sign: f32| {
        let tilt = sign * between(rng, -0.08, 0.08);
        units.map(|strength| strength * (1.0 + tilt + sign * between(rng, -0.05, 0.05)))
    });
    Expression { sides }
}

/// How far the three points of a brow move: inner end, middle, outer end, as (outward, down).
pub(super) fn brow_moves(au: &Units) -> [(f32, f32); 3] {
    let (inner, outer, lower, nose) = (au[1], au[2], au[4], au[9]);
    // With AU 1 the forehead muscle holds the inner end up and AU 4 mostly pulls together: the oblique brow
    // of 1 + 4.
    let held = 1.0 - 0.85 * inner.min(1.0);
    [
        (-0.06 * lower - 0.02 * nose, -0.135 * inner + 0.135 * lower * held + 0.075 * nose),
        (-0.02 * lower, -0.05 * inner - 0.12 * outer + 0.075 * lower * (1.0 - 0.5 * outer) + 0.045 * nose),
        (0.0, -0.085 * outer + 0.035 * lower * (1.0 - outer) + 0.02 * inner * (1.0 - outer)),
    ]
}

/// How far the upper lid moves up and the lower lid moves up.
pub(super) fn lid_moves(au: &Units) -> (f32, f32) {
    let sadness = au[1].min(au[4]) * (1.0 - au[5]).max(0.0); // AU 1 + 4 without 5: the lid hangs
    (
        0.065 * au[5] - 0.018 * au[7] - 0.012 * au[6] - 0.03 * au[9] - 0.02 * sadness,
        0.045 * au[6] + 0.03 * au[7] + 0.035 * au[9],
    )
}

/// How far a corner of the mouth moves (outward, down).
pub(super) fn corner_moves(au: &Units) -> (f32, f32) {
    let round = roundness(au);
    (
        0.09 * au[12] + 0.08 * au[20] - 0.02 * au[15] - 0.06 * au[23] - 0.02 * au[24] - 0.09 * round,
        -0.145 * au[12] + 0.12 * au[15] + 0.02 * au[20] + 0.08 * round + 0.035 * au[26] * (1.0 - round),
    )
}

/// How round the opening of the mouth is: a dropped jaw makes it so, stretched or pulled corners do not.
pub(super) fn roundness(au: &Units) -> f32 {
    (au[26] * (1.0 - au[20]) * (1.0 - au[12])).clamp(0.0, 1.0)
}

/// The middle of the mouth: how far the edges of the opening lie above and below the closed line, and how
/// thick the lips are (times the person's own).
pub(super) struct MouthMoves {
    pub(super) above: f32,
    pub(super) below: f32,
    pub(super) upper_lip: f32,
    pub(super) lower_lip: f32,
    /// 0: the opening ends in points, 1: it is square.
    pub(super) square: f32,
}

/// The moves of the middle of the mouth.
pub(super) fn mouth_moves(au: &Units) -> MouthMoves {
    let smile_gap = au[12] * au[25];
    MouthMoves {
        above: 0.055 * au[9] + 0.04 * au[10] + 0.012 * au[25] + 0.03 * au[26] + 0.05 * au[17] + 0.03 * au[15]
            - 0.02 * au[12]
            - 0.02 * smile_gap,
        below: 0.09 * au[16] + 0.035 * au[25] + 0.29 * au[26] + 0.10 * smile_gap + 0.03 * au[12]
            - 0.05 * au[17]
            - 0.03 * au[15],
        upper_lip: (1.0 - 0.5 * au[23] - 0.25 * au[24] - 0.3 * au[12] - 0.15 * au[20]).max(0.2),
        lower_lip: (1.0 - 0.55 * au[23] - 0.25 * au[24] - 0.15 * au[12] - 0.15 * au[20] + 0.15 * au[16])
            .max(0.2),
        square: (0.9 * au[20] + 0.8 * au[10] + 0.8 * au[9]).clamp(0.0, 1.0),
    }
}

/// The mean of both halves, for what lies in the middle of the face.
pub(super) fn middle(expression: &Expression) -> Units {
    std::array::from_fn(|i| 0.5 * (expression.sides[0][i] + expression.sides[1][i]))
}
