//! The head itself: ears, skin with light and cheeks, and the lines of age and of the action units.

use super::canvas::{Point, at, blend, closed_curve, ellipse, luma, mix, noise, scaled};
use super::expression::corner_moves;
use super::painter::{Painter, side_points};
use super::person::{Back, Hairline};

impl Painter<'_> {
    pub(super) fn ears(&mut self) {
        if self.person.hairline == Hairline::Scarf || matches!(self.person.back, Back::Bob | Back::Long) {
            return;
        }
        let skin = self.person.skin;
        for sign in [-1.0, 1.0] {
            let x = sign * self.person.width;
            let ear = self.behind(&ellipse(at(x, 0.05), 0.105, 0.19), 0.08);
            let line = self.line_colour(skin);
            self.shape(&ear, |_, _| scaled(skin, 0.93), line);
            let inner = self.behind(&ellipse(at(x * 1.01, 0.05), 0.055, 0.12), 0.08);
            let mask = self.canvas.polygon(&inner);
            self.canvas.fill(&mask, 0.4, scaled(skin, 0.62));
            if let Some(metal) = self.person.earring {
                let ring = self.behind(&ellipse(at(x * 1.06, 0.27), 0.045, 0.045), 0.08);
                let mask = self.canvas.polygon(&ring);
                self.canvas.fill(&mask, 1.0, metal);
            }
        }
    }

    /// How far the jaw has dropped.
    pub(super) fn drop(&self) -> f32 {
        0.13 * self.au[26] - 0.02 * self.au[17]
    }

    pub(super) fn head_outline(&self) -> Vec<Point> {
        let person = self.person;
        let (w, drop) = (person.width, self.drop());
        let cheek = 0.02 * self.au[6] + 0.02 * self.au[12];
        closed_curve(&side_points(&[
            (0.0, -0.96),
            (w * 0.62, -0.84),
            (w * 0.96, -0.45),
            (w, -0.05),
            (w * 0.97 + cheek, 0.26),
            (w * person.jaw, 0.60 + 0.4 * drop),
            (person.chin_width, person.chin - 0.10 + drop),
            (0.0, person.chin + drop),
        ]))
    }

    pub(super) fn head(&mut self) {
        let person = self.person;
        let outline = self.on_face(&self.head_outline());
        let (lx, ly) = self.shot.light;
        let (strength, photo, skin, width, texture) =
            (self.shot.light_strength, self.photo(), person.skin, person.width, person.texture);
        let view = &self.view;
        let mask = self.canvas.polygon(&outline);
        self.canvas.paint(&mask, 1.0, |x, y| {
            let p = view.unplaced(x, y);
            let (nx, ny) = (p.x / width, p.y / 0.98);
            let facing = (1.0 - nx * nx - ny * ny).max(0.0).sqrt();
            let light = lx * nx + ly * ny;
            if photo {
                let grain = 0.03 * (noise(texture, p.x * 6.0, p.y * 6.0) - 0.5);
                let shade = 0.90 + 0.12 * facing + strength * light + grain;
                // Shadows on skin are redder than the skin.
                let red = ((1.0 - shade) * 0.10).clamp(-0.02, 0.06);
                [skin[0] * (shade + red), skin[1] * shade, skin[2] * (shade - 0.5 * red)]
            } else {
                scaled(skin, if light + 0.4 * facing < -0.08 { 0.86 } else { 1.03 })
            }
        });
        if !photo {
            let line = self.line_colour(skin);
            self.outline(&outline, 0.035, line);
        }

        // Cheeks: blush, and the bulge of a raised cheek with its light from above.
        let rosy = blend(skin, scaled([0.85, 0.30, 0.28], (1.3 * luma(skin)).clamp(0.45, 1.0)), 0.45);
        for sign in [-1.0, 1.0] {
            let au = &self.sides[usize::from(sign > 0.0)];
            let raised = au[6] * 0.6 + au[12] * 0.4;
            self.spot(
                at(sign * 0.40, 0.24 - 0.05 * raised),
                0.24,
                0.18,
                (self.person.blush + 0.45 * raised).min(0.8),
                rosy,
            );
            if raised > 0.05 && photo {
                self.spot(
                    at(sign * 0.38, 0.15 - 0.03 * raised),
                    0.13,
                    0.07,
                    0.35 * raised,
                    blend(skin, [1.0, 0.97, 0.93], 0.5),
                );
            }
        }
        if photo {
            self.spot(at(0.0, -0.55), 0.42, 0.25, 0.16, blend(skin, [1.0; 3], 0.6));
            self.spot(
                at(0.0, person.chin - 0.12 + self.drop()),
                0.14,
                0.09,
                0.22,
                blend(skin, [1.0; 3], 0.5),
            );
        }
        if person.freckles {
            for i in 0..26 {
                let place = |k: u32| noise(texture ^ k, i as f32 * 5.0, 0.5) - 0.5;
                let dot = at(place(7) * 1.0, 0.15 + place(8) * 0.28);
                self.spot(dot, 0.022, 0.022, 0.5, blend(skin, [0.55, 0.30, 0.15], 0.7));
            }
        }
    }

    /// Lines of age and of the action units.
    pub(super) fn skin_lines(&mut self) {
        let person = self.person;
        let age = person.age;
        let au = self.au;

        // Forehead: across when the brows go up.
        let raised = au[1].max(au[2]);
        for (i, y) in [-0.46, -0.54, -0.62].into_iter().enumerate() {
            let reach = mix(0.16, 0.34, au[2].min(1.0).max(0.5 * age));
            let bow = 0.03 * au[2] - 0.035 * (au[1] - au[2]).max(0.0);
            let strength = 0.6 * raised - 0.12 * i as f32 + 0.25 * age;
            self.crease(&[at(-reach, y + bow), at(0.0, y - 0.5 * bow), at(reach, y + bow)], 0.022, strength);
        }
        // Between the brows: upright when they come together.
        let together = au[4] * 0.9 + 0.25 * au[9] + 0.1 * age;
        for sign in [-1.0, 1.0] {
            let y = person.eye_y - 0.13 - 0.05 * au[1];
            self.crease(
                &[at(sign * 0.05, y + 0.05), at(sign * 0.062, y - 0.03), at(sign * 0.05, y - 0.13)],
                0.026,
                together,
            );
        }
        // The bridge of the nose: across when it is wrinkled.
        for (i, dy) in [0.02, 0.075].into_iter().enumerate() {
            let (y, reach) = (person.eye_y + dy, 0.085 + 0.015 * i as f32);
            self.crease(&[at(-reach, y + 0.035), at(0.0, y - 0.01), at(reach, y + 0.035)], 0.028, au[9]);
        }
        for (side, sign) in [(0, -1.0), (1, 1.0)] {
            let au = self.sides[side];
            if au[9] > 0.05 {
                // Lines run down both flanks of a wrinkled nose.
                let y = person.eye_y + 0.10;
                self.crease(
                    &[at(sign * 0.09, y), at(sign * 0.13, y + 0.08), at(sign * 0.14, y + 0.15)],
                    0.024,
                    0.8 * au[9],
                );
            }
            // From the wing of the nose to the corner of the mouth.
            let (out, down) = corner_moves(&au);
            let fold = 0.75 * au[12] + 0.8 * au[9] + 0.5 * au[10] + 0.3 * au[20] + 0.25 * au[15] + 0.4 * age;
            let wing = at(sign * (person.nose_width + 0.03), person.nose_y - 0.02 - 0.05 * au[9]);
            let corner =
                at(sign * (person.mouth_width + out + 0.085), person.mouth_y + down.min(0.06) + 0.01);
            let bulge = 0.035 * au[12] + 0.04 * au[9];
            let half = at(0.5 * (wing.x + corner.x) + sign * bulge, 0.5 * (wing.y + corner.y) - 0.02);
            self.crease(&[wing, half, corner], 0.024, fold);
            // Crow's feet.
            let eye = at(sign * (person.eye_x + person.eye_width + 0.05), person.eye_y + 0.02);
            for dy in [-0.05, 0.0, 0.05] {
                self.crease(
                    &[
                        eye,
                        at(eye.x + sign * 0.05, eye.y + 0.9 * dy),
                        at(eye.x + sign * 0.09, eye.y + 1.4 * dy),
                    ],
                    0.018,
                    0.75 * au[6] + 0.25 * (age - 0.3).max(0.0),
                );
            }
            // Pouches at pulled-down corners.
            let end = at(sign * (person.mouth_width + out + 0.03), person.mouth_y + down);
            self.crease(
                &[
                    at(end.x, end.y - 0.02),
                    at(end.x + sign * 0.035, end.y + 0.05),
                    at(end.x + sign * 0.02, end.y + 0.10),
                ],
                0.024,
                0.8 * au[15],
            );
        }
        // The chin, pushed up.
        let y = person.chin - 0.19;
        self.crease(
            &[at(-0.1, y + 0.02), at(0.0, y - 0.02), at(0.1, y + 0.02)],
            0.026,
            0.7 * au[17] + 0.35 * au[15],
        );
    }
}
