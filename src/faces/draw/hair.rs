//! Hair behind and in front of the face, and the scarf.

use super::canvas::{Rgb, at, blend, closed_curve, ellipse, mix, noise, open_curve, scaled};
use super::painter::{Painter, bumpy, side_points};
use super::person::{Back, Hairline};

impl Painter<'_> {
    /// Colour of the hair at a pixel: strands and a shine.
    fn hair_colour(&self) -> impl Fn(f32, f32) -> Rgb + use<> {
        let (hair, texture, curly, photo) =
            (self.person.hair, self.person.texture, self.person.curly, self.photo());
        let scarf = self.person.hairline == Hairline::Scarf;
        let (sin, cos) = self.view.roll;
        let (centre, scale) = (self.view.centre, self.view.scale);
        let (lx, ly) = self.shot.light;
        move |x, y| {
            let (dx, dy) = ((x - centre.x) / scale, (y - centre.y) / scale);
            let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
            if !photo {
                return hair;
            }
            let strands = match (scarf, curly) {
                (true, _) => noise(texture, u * 4.0, v * 3.0),
                (_, true) => noise(texture, u * 9.0, v * 9.0),
                _ => noise(texture, u * 13.0, v * 1.5 + u * u),
            };
            let light = 1.0 + 0.25 * (lx * u + ly * v);
            let shine = (0.35 - (v + 0.72).abs()).max(0.0) * 0.5;
            scaled(blend(hair, [1.0, 0.95, 0.9], shine * 0.5), light * mix(0.84, 1.14, strands))
        }
    }

    pub(super) fn back_hair(&mut self) {
        let person = self.person;
        let (w, v) = (person.width, person.volume);
        let curl = if person.curly && person.hairline != Hairline::Scarf { 0.05 } else { 0.0 };
        let (points, depth) = match (person.hairline, person.back) {
            (Hairline::Scarf, _) => (
                side_points(&[
                    (0.0, -1.09),
                    (w + 0.07, -0.6),
                    (w + 0.13, 0.1),
                    (w * 0.9, 0.8),
                    (w + 0.25, 1.3),
                    (0.2, 1.5),
                ]),
                0.1,
            ),
            (_, Back::None) => return,
            (_, Back::Bob) => (
                side_points(&[
                    (0.0, -0.98 - v),
                    (w * 0.8, -0.8),
                    (w + v, -0.3),
                    (w + v + 0.06, 0.25),
                    (w * 0.95, 0.62),
                    (0.2, 0.6),
                ]),
                0.15,
            ),
            (_, Back::Long) => (
                side_points(&[
                    (0.0, -0.98 - v),
                    (w * 0.8, -0.8),
                    (w + v, -0.3),
                    (w + v + 0.04, 0.4),
                    (w + 0.12, 1.1),
                    (w * 0.6, 1.35),
                    (0.2, 1.2),
                ]),
                0.15,
            ),
            (_, Back::Bun) => (ellipse(at(0.1 * person.part, -1.08), 0.30, 0.24), 0.1),
            (_, Back::Afro) => (ellipse(at(0.0, -0.42), w + 0.24 + v, 0.80 + v), 0.1),
        };
        let points = bumpy(&closed_curve(&points), curl, 0.22);
        let pixels = self.behind(&points, depth);
        let colour = self.hair_colour();
        let line = self.line_colour(person.hair);
        self.shape(&pixels, |x, y| scaled(colour(x, y), 0.8), line);
    }

    pub(super) fn front_hair(&mut self) {
        let person = self.person;
        let (w, v, s) = (person.width, person.volume, person.part);
        let colour = self.hair_colour();
        let line = self.line_colour(person.hair);
        if person.hairline == Hairline::Bald {
            return;
        }
        if person.hairline == Hairline::Scarf {
            let outer = closed_curve(&side_points(&[
                (0.0, -1.07),
                (w * 0.75, -0.9),
                (w + 0.09, -0.4),
                (w + 0.11, 0.15),
                (w * 0.92, 0.75),
                (0.36, 1.12),
                (0.0, 1.2),
            ]));
            let drop = self.drop();
            let inner = closed_curve(&side_points(&[
                (0.0, -0.68),
                (w * 0.62, -0.52),
                (w * 0.88, -0.05),
                (w * 0.84, 0.35),
                (0.42, 0.80 + 0.8 * drop),
                (0.0, 0.95 + drop),
            ]));
            // One polygon with a hole: out along the edge, back along the other way round.
            let mut ring = self.on_face(&outer);
            ring.push(ring[0]);
            let hole = self.on_face(&inner);
            ring.push(hole[0]);
            ring.extend(hole.iter().rev());
            let mask = self.canvas.polygon(&ring);
            self.canvas.paint(&mask, 1.0, &colour);
            if !self.photo() {
                self.outline(&hole, 0.03, line);
            }
            return;
        }
        let side = if matches!(person.back, Back::Bob | Back::Long) { 0.12 } else { -0.06 };
        // Over the skull from the left ear to the right, then back along the hairline.
        let v = if person.hairline == Hairline::Receding { 0.03 } else { v };
        let crown = [
            (-w - 0.02, side),
            (-w - 0.5 * v, -0.35),
            (-w * 0.80 - v * 0.5, -0.78),
            (0.0, -0.97 - v),
            (w * 0.80 + v * 0.5, -0.78),
            (w + 0.5 * v, -0.35),
            (w + 0.02, side),
        ];
        let hairline: Vec<(f32, f32)> = match person.hairline {
            Hairline::Fringe => {
                vec![
                    (0.93, -0.25),
                    (0.80, -0.44),
                    (0.40, -0.50),
                    (0.0, -0.49),
                    (-0.40, -0.50),
                    (-0.80, -0.44),
                    (-0.93, -0.25),
                ]
            }
            Hairline::Swept => {
                vec![
                    (0.93, -0.15),
                    (0.85, -0.42),
                    (0.62, -0.63),
                    (0.35, -0.74),
                    (-0.20, -0.60),
                    (-0.70, -0.45),
                    (-0.93, -0.20),
                ]
            }
            Hairline::Parted => {
                vec![
                    (0.93, 0.0),
                    (0.84, -0.35),
                    (0.45, -0.62),
                    (0.0, -0.80),
                    (-0.45, -0.62),
                    (-0.84, -0.35),
                    (-0.93, 0.0),
                ]
            }
            Hairline::Receding => {
                vec![
                    (0.95, -0.35),
                    (0.86, -0.62),
                    (0.55, -0.84),
                    (0.0, -0.76),
                    (-0.55, -0.84),
                    (-0.86, -0.62),
                    (-0.95, -0.35),
                ]
            }
            _ => vec![
                (0.94, -0.25),
                (0.86, -0.52),
                (0.55, -0.70),
                (0.0, -0.73),
                (-0.55, -0.70),
                (-0.86, -0.52),
                (-0.94, -0.25),
            ],
        };
        let mirrored: Vec<(f32, f32)> =
            if s > 0.0 { hairline } else { hairline.iter().rev().map(|&(x, y)| (-x, y)).collect() };
        let edge = |points: &mut dyn Iterator<Item = (f32, f32)>| {
            open_curve(&points.map(|(x, y)| at(x, y)).collect::<Vec<_>>())
        };
        let mut outline = edge(&mut crown.into_iter());
        let line_points = edge(&mut mirrored.into_iter().map(|(x, y)| (x * w, y)));
        outline.extend(line_points);
        let outline = bumpy(&outline, if person.curly { 0.03 } else { 0.0 }, 0.15);
        let pixels = self.on_face(&outline);
        self.shape(&pixels, &colour, line);
    }
}
