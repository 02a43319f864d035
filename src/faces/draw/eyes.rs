//! Eyes, brows and glasses.

use super::canvas::{Mask, Point, at, blend, closed_curve, ellipse, open_curve, scaled, smoothstep};
use super::expression::{brow_moves, lid_moves};
use super::painter::Painter;
use super::person::Glasses;

impl Painter<'_> {
    pub(super) fn eye(&mut self, side: usize) {
        let person = self.person;
        let sign = side as f32 * 2.0 - 1.0;
        let au = self.sides[side];
        let (up, squeeze) = lid_moves(&au);
        let (above, below) = ((person.upper_lid + up).max(0.012), (person.lower_lid - squeeze).max(-0.03));
        let (cx, cy, w) = (person.eye_x, person.eye_y, person.eye_width);
        // t from -1 (inner corner) to 1 (outer corner).
        let corner = |t: f32| cy - person.slant * t + 0.012 * (1.0 - t * t);
        let upper = |t: f32, extra: f32| {
            // The highest point of the upper lid lies a little inwards; AU 1 + 4 hang its outer part.
            let lid = (1.0 - t * t) * (1.0 - 0.12 * t * (1.0 + 2.0 * au[1].min(au[4]))) * 0.6
                + 0.4 * (1.0 - t * t * t * t);
            at(sign * (cx + w * t), corner(t) - (above + extra) * lid)
        };
        let lower = |t: f32, extra: f32| {
            at(
                sign * (cx + w * t),
                corner(t) + (below + extra) * (0.6 * (1.0 - t * t) + 0.4 * (1.0 - t * t * t * t)),
            )
        };
        let steps: Vec<f32> = (0..=16).map(|i| i as f32 / 8.0 - 1.0).collect();
        let view = self.view;
        let line_of =
            |f: &dyn Fn(f32) -> Point| -> Vec<Point> { steps.iter().map(|&t| view.place(f(t))).collect() };
        let (lid, under) = (line_of(&|t| upper(t, 0.0)), line_of(&|t| lower(t, 0.0)));
        let crease = line_of(&|t| upper(t, 0.04 + 0.2 * (0.07 - up).max(0.0)));
        let opening: Vec<Point> = lid.iter().copied().chain(under.iter().rev().copied()).collect();
        let skin = person.skin;
        let dark = self.line_colour(skin);

        // Socket and lid.
        if self.photo() {
            self.spot(at(sign * (cx - 0.02), cy - 0.05), w * 1.5, 0.19, 0.22, scaled(skin, 0.6));
        }
        let lid_skin: Vec<Point> = crease.iter().copied().chain(lid.iter().rev().copied()).collect();
        let mask = self.canvas.polygon(&lid_skin);
        self.canvas.fill(&mask, 0.35, scaled(skin, 0.72));
        self.line(&crease, |t| 0.014 * 4.0 * t * (1.0 - t), 0.55, dark);

        // The eyeball, seen through the opening.
        let opening = self.canvas.polygon(&opening);
        self.canvas.fill(&opening, 1.0, [0.95, 0.94, 0.92]);
        let gaze = self.shot.gaze;
        let middle = self.view.place(at(sign * cx + 0.045 * gaze.0, cy + 0.012 + 0.022 * gaze.1));
        let r = 0.088 * self.view.scale;
        let disc = |p: &Self, radius: f32, dx: f32, dy: f32| -> Mask {
            p.canvas
                .polygon(&ellipse(at(middle.x + dx * r, middle.y + dy * r), radius * r, radius * r))
                .within(&opening)
        };
        let masks = [disc(self, 1.0, 0.0, 0.0), disc(self, 0.84, 0.0, 0.0), disc(self, 0.48, 0.0, 0.0)];
        let glint = disc(self, 0.24, if self.shot.light.0 > 0.0 { 0.35 } else { -0.35 }, -0.38);
        self.canvas.fill(&masks[0], 1.0, scaled(person.iris, 0.45));
        self.canvas.fill(&masks[1], 1.0, person.iris);
        self.canvas.fill(&masks[2], 1.0, [0.04, 0.03, 0.04]);
        self.canvas.fill(&glint, 0.95, [1.0; 3]);
        // The upper lid's shadow on the eyeball.
        let shade: Vec<Point> = lid
            .iter()
            .copied()
            .chain(lid.iter().rev().map(|p| at(p.x, p.y + 0.03 * self.view.scale)))
            .collect();
        let shade = self.canvas.polygon(&shade).within(&opening);
        self.canvas.fill(&shade, 0.35, [0.25, 0.2, 0.2]);

        // Lashes and the lower rim; a raised cheek or tight lid puts a furrow below.
        let lash =
            if self.photo() { blend(scaled(skin, 0.2), [0.08, 0.05, 0.05], 0.6) } else { [0.07, 0.04, 0.06] };
        self.line(&lid, |t| 0.036 * (0.45 + 0.75 * t), 0.95, lash);
        self.line(&under, |t| 0.018 * (0.4 + 0.6 * t), 0.6, blend(lash, skin, 0.25));
        let furrow = line_of(&|t| lower(t * 0.85, 0.05 - 0.01 * au[6]));
        let strength = 0.7 * au[6] + 0.5 * au[7] + 0.5 * au[9] + 0.35 * person.age;
        self.line(&furrow, |t| 0.02 * 4.0 * t * (1.0 - t), (0.7 * strength).min(0.8), dark);
    }

    pub(super) fn brow(&mut self, side: usize) {
        let person = self.person;
        let sign = side as f32 * 2.0 - 1.0;
        let moves = brow_moves(&self.sides[side]);
        let reach = person.eye_width * person.brow_length;
        let y = person.eye_y + person.brow_y;
        let rest = [
            at(person.eye_x - reach * 1.12, y + 0.01 - person.brow_tilt),
            at(person.eye_x + reach * 0.25, y - person.brow_arch),
            at(person.eye_x + reach * 1.22, y + 0.035 + person.brow_tilt),
        ];
        let points: Vec<Point> =
            rest.iter().zip(moves).map(|(p, (out, down))| at(sign * (p.x + out), p.y + down)).collect();
        let pixels = self.on_face(&open_curve(&points));
        let thickness = person.brow_thickness;
        self.line(
            &pixels,
            |t| thickness * (1.0 - 0.75 * t * t) * smoothstep(-0.15, 0.12, t),
            if self.photo() { 0.92 } else { 1.0 },
            person.brow,
        );
    }

    pub(super) fn glasses(&mut self) {
        let person = self.person;
        if person.glasses == Glasses::None {
            return;
        }
        let (w, y) = (person.eye_width + 0.05, person.eye_y + 0.025);
        for sign in [-1.0, 1.0] {
            let centre = at(sign * person.eye_x, y);
            let rim = if person.glasses == Glasses::Round {
                ellipse(centre, w, 0.165)
            } else {
                let (x, top, bottom) = (w * 1.03, y - 0.14, y + 0.15);
                let corner = |dx: f32, y: f32| at(centre.x + dx, y);
                closed_curve(&[
                    corner(-x * 0.9, top),
                    corner(0.0, top),
                    corner(x * 0.9, top),
                    corner(x, y),
                    corner(x * 0.8, bottom),
                    corner(0.0, bottom + 0.01),
                    corner(-x * 0.8, bottom),
                    corner(-x, y),
                ])
            };
            let pixels: Vec<Point> = rim.iter().map(|&p| self.view.lifted(p, 0.08)).collect();
            let lens = self.canvas.polygon(&pixels);
            self.canvas.fill(&lens, 0.07, [0.85, 0.92, 1.0]);
            self.outline(&pixels, 0.028, person.frame);
            let arm: Vec<Point> = [at(centre.x + sign * w, y - 0.04), at(sign * person.width, y - 0.03)]
                .iter()
                .map(|&p| self.view.lifted(p, 0.04))
                .collect();
            self.line(&arm, |_| 0.026, 0.9, person.frame);
        }
        let gap = person.eye_x - w;
        let bridge = open_curve(&[at(-gap, y - 0.03), at(0.0, y - 0.055), at(gap, y - 0.03)]);
        let bridge: Vec<Point> = bridge.iter().map(|&p| self.view.lifted(p, 0.1)).collect();
        self.line(&bridge, |_| 0.026, 0.95, person.frame);
    }
}
