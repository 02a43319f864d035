//! The nose.

use super::canvas::{Point, at, blend, closed_curve, ellipse, open_curve, scaled};
use super::painter::Painter;

impl Painter<'_> {
    pub(super) fn nose(&mut self) {
        let person = self.person;
        let skin = person.skin;
        let up = 0.045 * self.au[9] + 0.015 * self.au[10];
        let (w, y) = (person.nose_width * (1.0 + 0.12 * self.au[9]), person.nose_y - up);
        let lift = 0.16;
        let line = self.line_colour(skin);
        if self.photo() {
            // One flank lies in shadow, the ridge and tip catch light.
            let dark = if self.shot.light.0 > 0.0 { -1.0 } else { 1.0 };
            let flank = [
                at(dark * 0.05, person.eye_y + 0.02),
                at(dark * 0.10, y - 0.12),
                at(dark * (w + 0.02), y - 0.01),
                at(dark * 0.04, y),
                at(dark * 0.015, y - 0.15),
            ];
            let pixels: Vec<Point> =
                closed_curve(&flank).iter().map(|&p| self.view.lifted(p, 0.08)).collect();
            let mask = self.canvas.polygon(&pixels);
            self.canvas.fill(&mask, 0.28, scaled(skin, 0.62));
            self.spot(at(0.0, y + 0.055), w * 1.25, 0.06, 0.5, scaled(skin, 0.5));
            for (dy, ry, opacity) in [(-0.18, 0.16, 0.30), (-0.04, 0.06, 0.40)] {
                let tip = self.view.lifted(at(-0.01 * dark, y + dy), lift);
                let mask = self.canvas.spot(tip, 0.055 * self.view.scale, ry * self.view.scale, at(1.0, 0.0));
                self.canvas.fill(&mask, opacity, blend(skin, [1.0, 0.98, 0.95], 0.55));
            }
        }
        for sign in [-1.0, 1.0] {
            let wing = open_curve(&[
                at(sign * w * 0.82, y - 0.075),
                at(sign * w, y - 0.01),
                at(sign * w * 0.78, y + 0.035),
            ]);
            let pixels: Vec<Point> = wing.iter().map(|&p| self.view.lifted(p, 0.08)).collect();
            self.line(&pixels, |t| 0.024 * (0.4 + 2.4 * t * (1.0 - t)), 0.75, line);
            let hole = self.view.lifted(at(sign * w * 0.42, y + 0.022), 0.1);
            let hole = ellipse(hole, 0.036 * self.view.scale, 0.018 * self.view.scale);
            let mask = self.canvas.polygon(&hole);
            self.canvas.fill(&mask, 0.8, scaled(skin, 0.32));
        }
        let base = open_curve(&[at(-w * 0.4, y + 0.03), at(0.0, y + 0.05), at(w * 0.4, y + 0.03)]);
        let pixels: Vec<Point> = base.iter().map(|&p| self.view.lifted(p, 0.12)).collect();
        self.line(&pixels, |_| 0.018, 0.6, line);
    }
}
