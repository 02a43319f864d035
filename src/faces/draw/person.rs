//! Who is drawn (identity, fixed for a person) and how the image was taken (different for each image).
//! Neither knows the emotion.

use chacha20::ChaCha8Rng;
use rand::RngExt;

use super::canvas::{Rgb, blend, luma, scaled};
use super::dice::{between, chance, one_of};

/// How the hair lies on the forehead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hairline {
    Fringe,
    Swept,
    Parted,
    High,
    Receding,
    Bald,
    Scarf,
}

/// What hair there is behind the face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    None,
    Bob,
    Long,
    Bun,
    Afro,
}

/// What grows on the chin and the upper lip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beard {
    None,
    Stubble,
    Moustache,
    Goatee,
    Full,
}

/// Spectacles and their shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glasses {
    None,
    Round,
    Square,
}

/// One person: lengths in face units.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) width: f32,
    pub(super) jaw: f32,
    pub(super) chin: f32,
    pub(super) chin_width: f32,
    pub(super) eye_x: f32,
    pub(super) eye_y: f32,
    pub(super) eye_width: f32,
    pub(super) upper_lid: f32,
    pub(super) lower_lid: f32,
    pub(super) slant: f32,
    pub(super) iris: Rgb,
    pub(super) brow_y: f32,
    pub(super) brow_thickness: f32,
    pub(super) brow_length: f32,
    pub(super) brow_arch: f32,
    pub(super) brow_tilt: f32,
    pub(super) brow: Rgb,
    pub(super) nose_y: f32,
    pub(super) nose_width: f32,
    pub(super) mouth_y: f32,
    pub(super) mouth_width: f32,
    pub(super) mouth_curve: f32,
    pub(super) upper_lip: f32,
    pub(super) lower_lip: f32,
    pub(super) lips: Rgb,
    pub(super) skin: Rgb,
    pub(super) blush: f32,
    pub(super) freckles: bool,
    /// 0 young, 1 old: lines and grey hair.
    pub(super) age: f32,
    pub(super) hairline: Hairline,
    pub(super) back: Back,
    pub(super) curly: bool,
    /// Which side the parting is on: -1 or 1.
    pub(super) part: f32,
    pub(super) volume: f32,
    pub(super) hair: Rgb,
    pub(super) beard: Beard,
    pub(super) glasses: Glasses,
    pub(super) frame: Rgb,
    pub(super) earring: Option<Rgb>,
    pub(super) texture: u32,
}

/// Skin tones from very light to very dark.
const SKIN: [Rgb; 7] = [
    [0.98, 0.86, 0.78],
    [0.95, 0.78, 0.66],
    [0.88, 0.67, 0.52],
    [0.76, 0.54, 0.39],
    [0.62, 0.42, 0.29],
    [0.48, 0.31, 0.22],
    [0.37, 0.24, 0.175],
];
const HAIR: [Rgb; 8] = [
    [0.08, 0.07, 0.08],
    [0.13, 0.09, 0.07],
    [0.22, 0.14, 0.09],
    [0.36, 0.22, 0.13],
    [0.50, 0.23, 0.11],
    [0.62, 0.43, 0.22],
    [0.85, 0.68, 0.40],
    [0.70, 0.36, 0.16],
];
const IRIS: [Rgb; 6] = [
    [0.26, 0.15, 0.08],
    [0.36, 0.22, 0.10],
    [0.45, 0.34, 0.15],
    [0.30, 0.46, 0.30],
    [0.27, 0.47, 0.66],
    [0.45, 0.53, 0.58],
];
const CLOTH: [Rgb; 10] = [
    [0.20, 0.30, 0.48],
    [0.62, 0.22, 0.24],
    [0.24, 0.43, 0.36],
    [0.90, 0.88, 0.84],
    [0.18, 0.18, 0.21],
    [0.83, 0.62, 0.25],
    [0.50, 0.36, 0.55],
    [0.45, 0.62, 0.72],
    [0.86, 0.56, 0.50],
    [0.55, 0.55, 0.52],
];

/// Draws a person.
pub(super) fn person(rng: &mut ChaCha8Rng) -> Person {
    let tone = between(rng, 0.0, 5.999);
    let mut skin = blend(SKIN[tone as usize], SKIN[tone as usize + 1], tone.fract());
    let warmth = between(rng, -0.025, 0.025);
    skin = [skin[0] + warmth, skin[1], skin[2] - warmth];

    let masculine = chance(rng, 0.5);
    let age = if chance(rng, 0.35) { between(rng, 0.5, 1.0) } else { between(rng, 0.0, 0.4) };
    // Dark skin comes with dark hair and eyes, mostly.
    let hair_choices = if tone > 2.2 { 3 } else { HAIR.len() };
    let grey = if age > 0.6 { between(rng, 0.0, 1.0) } else { 0.0 };
    let hair = blend(one_of(rng, &HAIR[..hair_choices]), [0.80, 0.79, 0.78], grey);
    let iris = one_of(rng, &IRIS[..if tone > 2.2 { 3 } else { IRIS.len() }]);

    // A brow must be seen: darker than the skin, however light the hair.
    let mut brow = scaled(hair, 0.75);
    while luma(brow) > 0.48 * luma(skin) {
        brow = scaled(brow, 0.9);
    }
    let natural = blend(skin, [0.62, 0.22, 0.22], 0.42);
    let lips = if !masculine && chance(rng, 0.45) {
        let stick =
            one_of(rng, &[[0.72, 0.10, 0.16], [0.80, 0.28, 0.32], [0.55, 0.10, 0.22], [0.86, 0.40, 0.42]]);
        blend(natural, stick, 0.75)
    } else {
        scaled(natural, 0.94)
    };

    use Hairline::{Bald, Fringe, High, Parted, Receding, Scarf, Swept};
    let hairline = if masculine {
        one_of(rng, &[Fringe, Swept, Swept, High, High, High, Receding, Receding, Bald])
    } else {
        one_of(rng, &[Fringe, Fringe, Swept, Swept, Parted, Parted, High, High, Scarf])
    };
    let curly = chance(rng, if tone > 3.0 { 0.6 } else { 0.25 });
    let back = match hairline {
        Bald | Scarf | Receding => Back::None,
        High if curly && tone > 2.0 => Back::Afro,
        High if !masculine => Back::Bun,
        _ if masculine => one_of(rng, &[Back::None, Back::None, Back::None, Back::None, Back::Bob]),
        _ => one_of(rng, &[Back::Bob, Back::Long, Back::Long]),
    };
    let beard = if masculine && chance(rng, 0.5) {
        one_of(
            rng,
            &[Beard::Stubble, Beard::Stubble, Beard::Moustache, Beard::Goatee, Beard::Full, Beard::Full],
        )
    } else {
        Beard::None
    };
    let glasses =
        if chance(rng, 0.2) { one_of(rng, &[Glasses::Round, Glasses::Square]) } else { Glasses::None };

    Person {
        width: between(rng, 0.63, 0.74),
        jaw: between(rng, 0.72, 0.86) + if masculine { 0.05 } else { 0.0 },
        chin: between(rng, 0.90, 1.02),
        chin_width: between(rng, 0.26, 0.38) + if masculine { 0.05 } else { 0.0 },
        eye_x: between(rng, 0.295, 0.345),
        eye_y: between(rng, -0.10, -0.03),
        eye_width: between(rng, 0.155, 0.19),
        upper_lid: between(rng, 0.078, 0.098),
        lower_lid: between(rng, 0.060, 0.075),
        slant: between(rng, -0.02, 0.03),
        iris,
        brow_y: between(rng, -0.25, -0.21),
        brow_thickness: between(rng, 0.05, 0.075) + if masculine { 0.015 } else { 0.0 },
        brow_length: between(rng, 0.92, 1.1),
        brow_arch: between(rng, 0.015, 0.05),
        brow_tilt: between(rng, -0.012, 0.012),
        brow,
        nose_y: between(rng, 0.20, 0.28),
        nose_width: between(rng, 0.105, 0.16),
        mouth_y: between(rng, 0.50, 0.57),
        mouth_width: between(rng, 0.225, 0.28),
        mouth_curve: between(rng, -0.02, 0.02),
        upper_lip: between(rng, 0.035, 0.06),
        lower_lip: between(rng, 0.05, 0.08),
        lips,
        skin,
        blush: between(rng, 0.0, 0.35),
        freckles: tone < 2.0 && chance(rng, 0.2),
        age,
        hairline,
        back,
        curly,
        part: if chance(rng, 0.5) { 1.0 } else { -1.0 },
        volume: between(rng, 0.05, 0.12),
        hair: if hairline == Scarf { one_of(rng, &CLOTH) } else { hair },
        beard,
        glasses,
        frame: one_of(rng, &[[0.10, 0.10, 0.12], [0.36, 0.20, 0.12], [0.55, 0.48, 0.35], [0.20, 0.25, 0.40]]),
        earring: (!masculine && chance(rng, 0.35))
            .then(|| one_of(rng, &[[0.90, 0.75, 0.35], [0.85, 0.86, 0.88], [0.30, 0.60, 0.62]])),
        texture: rng.random(),
    }
}

/// What is behind the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenery {
    Plain,
    Gradient,
    Wall,
    Stripes,
    Lights,
    Cloudy,
}

/// How one image was taken.
#[derive(Clone, Debug)]
pub(super) struct Shot {
    /// Radians.
    pub(super) roll: f32,
    /// Radians; positive looks to the image's right.
    pub(super) yaw: f32,
    /// Radians; positive looks down.
    pub(super) pitch: f32,
    /// Face unit, as a part of the image's side.
    pub(super) scale: f32,
    pub(super) shift: (f32, f32),
    /// Where the eyes look, -1 to 1.
    pub(super) gaze: (f32, f32),
    /// Direction of the light on the face: (right, down).
    pub(super) light: (f32, f32),
    pub(super) light_strength: f32,
    /// Gradient of brightness across the image: (right, down).
    pub(super) slope: (f32, f32),
    pub(super) brightness: f32,
    pub(super) contrast: f32,
    /// Positive warm, negative cold.
    pub(super) temperature: f32,
    pub(super) blur: f32,
    pub(super) noise: f32,
    pub(super) grey: bool,
    pub(super) scenery: Scenery,
    pub(super) backdrop: [Rgb; 2],
    pub(super) cloth: Rgb,
    pub(super) texture: u32,
}

/// Draws the circumstances of one image.
pub(super) fn shot(rng: &mut ChaCha8Rng) -> Shot {
    use Scenery::{Cloudy, Gradient, Lights, Plain, Stripes, Wall};
    let backdrop = std::array::from_fn(|_| {
        let base = between(rng, 0.18, 0.88);
        let hue: Rgb = std::array::from_fn(|_| base + between(rng, -0.16, 0.16));
        hue.map(|v| v.clamp(0.05, 0.97))
    });
    Shot {
        roll: between(rng, -0.11, 0.11),
        yaw: between(rng, -0.24, 0.24),
        pitch: between(rng, -0.08, 0.10),
        scale: between(rng, 0.425, 0.475),
        shift: (between(rng, -0.035, 0.035), between(rng, -0.03, 0.03)),
        gaze: (between(rng, -0.6, 0.6), between(rng, -0.3, 0.4)),
        light: (between(rng, -0.75, 0.75), between(rng, -0.7, 0.05)),
        light_strength: between(rng, 0.12, 0.38),
        slope: (between(rng, -0.12, 0.12), between(rng, -0.09, 0.09)),
        brightness: between(rng, 0.82, 1.12),
        contrast: between(rng, 0.78, 1.15),
        temperature: between(rng, -0.07, 0.07),
        blur: if chance(rng, 0.4) { between(rng, 0.0, 0.11) } else { 0.0 },
        noise: between(rng, 0.003, 0.022),
        grey: chance(rng, 0.12),
        scenery: one_of(rng, &[Plain, Gradient, Gradient, Wall, Stripes, Lights, Lights, Cloudy, Cloudy]),
        backdrop,
        cloth: one_of(rng, &CLOTH),
        texture: rng.random(),
    }
}
