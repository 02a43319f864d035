//! The mouth: lips, teeth and tongue, from the action units.

use super::canvas::{Point, at, blend, ellipse, mix, scaled};
use super::expression::{corner_moves, mouth_moves, roundness};
use super::painter::Painter;

impl Painter<'_> {
    pub(super) fn mouth_shape(&self) -> Mouth {
        let person = self.person;
        let moves = mouth_moves(&self.au);
        let corner = |side: usize| {
            let (out, down) = corner_moves(&self.sides[side]);
            at(person.mouth_width + out, down - person.mouth_curve)
        };
        Mouth {
            y: person.mouth_y,
            left: corner(0),
            right: corner(1),
            above: moves.above,
            below: moves.below,
            upper_lip: person.upper_lip * moves.upper_lip,
            lower_lip: person.lower_lip * moves.lower_lip,
            round: roundness(&self.au),
            square: moves.square,
        }
    }

    pub(super) fn mouth(&mut self) {
        let person = self.person;
        let mouth = self.mouth_shape();
        let (lips, skin) = (person.lips, person.skin);
        let steps: Vec<f32> = (0..=24).map(|i| i as f32 / 12.0 - 1.0).collect();
        let view = self.view;
        let edge = |f: &dyn Fn(f32) -> Point| -> Vec<Point> {
            steps.iter().map(|&t| view.lifted(f(t), 0.03)).collect()
        };
        let (upper, lower) = (edge(&|t| mouth.upper(t)), edge(&|t| mouth.lower(t)));
        let (top, bottom) = (edge(&|t| mouth.top(t)), edge(&|t| mouth.bottom(t)));
        let between = |a: &[Point], b: &[Point]| -> Vec<Point> {
            a.iter().copied().chain(b.iter().rev().copied()).collect()
        };

        if self.photo() {
            // The shadow under the lower lip.
            let under = at(0.0, mouth.bottom(0.0).y + 0.045);
            self.spot(under, 0.17, 0.055, 0.4, scaled(skin, 0.6));
        }
        let upper_lip = self.canvas.polygon(&between(&top, &upper));
        let lower_lip = self.canvas.polygon(&between(&lower, &bottom));
        self.canvas.fill(&upper_lip, 1.0, scaled(lips, 0.86));
        self.canvas.fill(&lower_lip, 1.0, lips);
        if self.photo() {
            let shine = at(0.0, mouth.lower(0.0).y + 0.45 * mouth.lower_lip);
            self.spot(shine, 0.09, 0.028, 0.45, blend(lips, [1.0; 3], 0.5));
        }

        let gap = mouth.above + mouth.below;
        if gap > 0.012 {
            let opening = self.canvas.polygon(&between(&upper, &lower));
            self.canvas.fill(&opening, 1.0, [0.24, 0.06, 0.07]);
            // Tongue, then teeth: upper ones when the upper lip is up, lower ones when the lower lip is down.
            let floor = mouth.y + mouth.below;
            if self.au[26] > 0.3 {
                let tongue = ellipse(at(0.0, floor + 0.02), 0.13, 0.11);
                let tongue = self.canvas.polygon(&self.on_face(&tongue)).within(&opening);
                self.canvas.fill(&tongue, 0.9, [0.72, 0.30, 0.31]);
            }
            let tooth = [0.95, 0.93, 0.89];
            let upper_teeth = 0.03
                + 0.10 * self.au[12] * self.au[25]
                + 0.03 * self.au[26]
                + 0.05 * self.au[10] * self.au[25];
            let lower_teeth = 0.085 * self.au[16] + 0.05 * self.au[20];
            let rim = |edge: &dyn Fn(f32) -> Point, depth: f32| -> Vec<Point> {
                steps
                    .iter()
                    .map(|&t| edge(t * 0.93))
                    .map(|p| view.lifted(at(p.x, p.y + depth), 0.03))
                    .collect()
            };
            let (from, to) = (rim(&|t| mouth.upper(t), 0.0), rim(&|t| mouth.upper(t), upper_teeth));
            let mask = self.canvas.polygon(&between(&from, &to)).within(&opening);
            self.canvas.fill(&mask, 1.0, tooth);
            if lower_teeth > 0.01 {
                let (from, to) = (rim(&|t| mouth.lower(t), -lower_teeth), rim(&|t| mouth.lower(t), 0.0));
                let mask = self.canvas.polygon(&between(&from, &to)).within(&opening);
                self.canvas.fill(&mask, 1.0, scaled(tooth, 0.93));
            }
        }
        let line = blend(scaled(lips, 0.35), [0.15, 0.04, 0.05], 0.4);
        let thick = 0.026 + 0.008 * self.au[23].max(self.au[24]);
        self.line(&upper, |t| thick * (0.55 + 1.8 * t * (1.0 - t)), 0.9, line);
        if gap > 0.03 {
            self.line(&lower, |t| 0.018 * (0.4 + 2.0 * t * (1.0 - t)), 0.7, line);
        }
        for corner in [mouth.upper(-1.0), mouth.upper(1.0)] {
            self.spot(corner, 0.04, 0.04, 0.6, scaled(skin, 0.45));
        }
        if !self.photo() {
            let line = self.line_colour(lips);
            self.line(&bottom, |t| 0.02 * 4.0 * t * (1.0 - t), 0.8, line);
        }
    }
}

/// The mouth in face units; corners as (half width, down), the middle as distances from the closed line.
pub(super) struct Mouth {
    pub(super) y: f32,
    left: Point,
    pub(super) right: Point,
    above: f32,
    below: f32,
    upper_lip: f32,
    lower_lip: f32,
    round: f32,
    square: f32,
}

impl Mouth {
    /// The closed line at `t` from -1 (left corner) to 1: straight in the middle, bent to the corners.
    fn closed(&self, t: f32) -> Point {
        let corner = if t < 0.0 { self.left } else { self.right };
        at(t * corner.x, self.y + corner.y * mix(t.abs(), t * t, 0.75))
    }

    /// How much of the middle's opening is left at `t`: parabola, square or half an ellipse.
    fn open(&self, t: f32) -> f32 {
        let rest = 1.0 - t * t;
        let ellipse = rest.max(0.0).sqrt();
        let square = 1.0 - t * t * t * t * t * t;
        mix(mix(rest, square, self.square), ellipse, self.round)
    }

    /// The upper edge of the opening.
    fn upper(&self, t: f32) -> Point {
        let p = self.closed(t);
        at(p.x, p.y - self.above * self.open(t))
    }

    /// The lower edge of the opening.
    fn lower(&self, t: f32) -> Point {
        let p = self.closed(t);
        at(p.x, p.y + self.below.max(-self.above) * self.open(t))
    }

    /// The upper edge of the upper lip, with Cupid's bow.
    pub(super) fn top(&self, t: f32) -> Point {
        let p = self.upper(t);
        let bow = 1.0 - 0.25 * (1.0 - (t / 0.22) * (t / 0.22)).max(0.0);
        at(p.x, p.y - self.upper_lip * bow * (1.0 - t * t).max(0.0).sqrt().min(1.2 * (1.0 - t.abs()) + 0.15))
    }

    /// The lower edge of the lower lip.
    pub(super) fn bottom(&self, t: f32) -> Point {
        let p = self.lower(t);
        at(p.x, p.y + self.lower_lip * (1.0 - t * t).max(0.0).sqrt() * (1.0 - 0.35 * t * t))
    }
}
