//! What every part of a face is painted with: the view from face units to pixels, shapes, lines and spots.
//!
//! Face units: the origin is the middle of the head, x to the image's right, y down; the head reaches from
//! about -0.95 to 0.95 and is about 1.4 wide. [`View`] turns these into pixels; it bulges the face a little
//! towards the viewer, so that features shift when the head turns (yaw, pitch).

use super::canvas::{Canvas, Point, Rgb, at, blend, mix, open_curve, scaled, sin_cos, stroke};
use super::config::Style;
use super::expression::{Expression, Units, middle};
use super::person::{Person, Shot};

/// From face units to pixels.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) roll: (f32, f32),
    pub(super) yaw: (f32, f32),
    pub(super) pitch: (f32, f32),
    pub(super) scale: f32,
    pub(super) centre: Point,
}

impl View {
    /// The pixel of a place on the face; `lift` is how far it stands out from the smooth face.
    pub(super) fn lifted(&self, p: Point, lift: f32) -> Point {
        let z = 0.5 * (1.0 - (p.x * p.x) / 0.64 - (p.y * p.y) / 1.3).max(0.0) + lift;
        self.turned(p.x * self.yaw.1 + z * self.yaw.0, p.y * self.pitch.1 + z * self.pitch.0)
    }

    pub(super) fn place(&self, p: Point) -> Point {
        self.lifted(p, 0.0)
    }

    /// The pixel of a place behind the face (neck, hair), `depth` behind its outline.
    pub(super) fn behind(&self, p: Point, depth: f32) -> Point {
        self.turned(p.x * self.yaw.1 - depth * self.yaw.0, p.y * self.pitch.1 - depth * self.pitch.0)
    }

    fn turned(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.roll;
        at(self.centre.x + self.scale * (x * cos - y * sin), self.centre.y + self.scale * (x * sin + y * cos))
    }

    /// The face units of a pixel, as if the face were flat and looked straight ahead.
    pub(super) fn unplaced(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.roll;
        let (dx, dy) = ((x - self.centre.x) / self.scale, (y - self.centre.y) / self.scale);
        at(dx * cos + dy * sin, dy * cos - dx * sin)
    }
}

/// One image being painted: who is on it, how it is taken, and what is on the canvas so far.
pub(super) struct Painter<'a> {
    pub(super) canvas: Canvas,
    pub(super) view: View,
    pub(super) person: &'a Person,
    pub(super) shot: &'a Shot,
    pub(super) style: Style,
    pub(super) sides: &'a [Units; 2],
    /// The mean of both halves.
    pub(super) au: Units,
}

impl<'a> Painter<'a> {
    pub(super) fn new(
        person: &'a Person,
        shot: &'a Shot,
        expression: &'a Expression,
        style: Style,
        size: usize,
    ) -> Self {
        let side = size as f32;
        let view = View {
            roll: sin_cos(shot.roll),
            yaw: sin_cos(shot.yaw),
            pitch: sin_cos(shot.pitch),
            scale: side * shot.scale,
            centre: at(side * (0.5 + shot.shift.0), side * (0.49 + shot.shift.1)),
        };
        Self {
            canvas: Canvas::new(size),
            view,
            person,
            shot,
            style,
            sides: &expression.sides,
            au: middle(expression),
        }
    }

    pub(super) fn photo(&self) -> bool {
        self.style == Style::Photo
    }

    /// Dark colour for lines on `colour`: a shade of it in a photo, nearly black in a cartoon.
    pub(super) fn line_colour(&self, colour: Rgb) -> Rgb {
        if self.photo() { scaled(colour, 0.5) } else { blend(scaled(colour, 0.3), [0.10, 0.06, 0.08], 0.6) }
    }

    /// The polygon of face places.
    pub(super) fn on_face(&self, points: &[Point]) -> Vec<Point> {
        points.iter().map(|&p| self.view.place(p)).collect()
    }

    pub(super) fn behind(&self, points: &[Point], depth: f32) -> Vec<Point> {
        points.iter().map(|&p| self.view.behind(p, depth)).collect()
    }

    /// Fills a polygon of pixels, with an outline in a cartoon.
    pub(super) fn shape(&mut self, polygon: &[Point], colour: impl Fn(f32, f32) -> Rgb, line: Rgb) {
        let mask = self.canvas.polygon(polygon);
        self.canvas.paint(&mask, 1.0, colour);
        if !self.photo() {
            self.outline(polygon, 0.03, line);
        }
    }

    pub(super) fn outline(&mut self, polygon: &[Point], width: f32, line: Rgb) {
        let mut closed = polygon.to_vec();
        closed.extend_from_slice(&polygon[..2.min(polygon.len())]);
        self.line(&closed, |_| width, 1.0, line);
    }

    /// A stroke along pixels; `width(t)` in face units.
    pub(super) fn line(&mut self, pixels: &[Point], width: impl Fn(f32) -> f32, opacity: f32, colour: Rgb) {
        let scale = self.view.scale;
        let mask = self.canvas.polygon(&stroke(pixels, |t| width(t) * scale));
        self.canvas.fill(&mask, opacity, colour);
    }

    /// A line on the skin through places of the face, thin at both ends.
    pub(super) fn crease(&mut self, points: &[Point], width: f32, opacity: f32) {
        if opacity > 0.02 {
            let pixels = self.on_face(&open_curve(points));
            let colour = self.line_colour(self.person.skin);
            let opacity = opacity.min(1.0) * if self.photo() { 0.75 } else { 0.85 };
            self.line(&pixels, |t| width * 4.0 * t * (1.0 - t) + 0.2 * width, opacity, colour);
        }
    }

    /// A soft spot on the face; radii in face units.
    pub(super) fn spot(&mut self, centre: Point, rx: f32, ry: f32, opacity: f32, colour: Rgb) {
        let (sin, cos) = self.view.roll;
        let scale = self.view.scale;
        let mask = self.canvas.spot(self.view.place(centre), rx * scale, ry * scale, at(cos, sin));
        self.canvas.fill(&mask, opacity, colour);
    }
}

/// The places of a shape that is the same on both sides, from those of its right half, first and last on the
/// middle line or near it.
pub(super) fn side_points(right: &[(f32, f32)]) -> Vec<Point> {
    let left = right.iter().rev().filter(|p| p.0 != 0.0).map(|&(x, y)| at(-x, y));
    right.iter().map(|&(x, y)| at(x, y)).chain(left).collect()
}

/// Curls: bumps of `height`, about `pitch` long, all along a closed outline.
pub(super) fn bumpy(points: &[Point], height: f32, pitch: f32) -> Vec<Point> {
    if height == 0.0 {
        return points.to_vec();
    }
    let next = |i: usize| points[(i + 1) % points.len()];
    let length = |a: Point, b: Point| ((b.x - a.x) * (b.x - a.x) + (b.y - a.y) * (b.y - a.y)).sqrt();
    let all: f32 = points.iter().enumerate().map(|(i, &p)| length(p, next(i))).sum();
    let pitch = all / (all / pitch).round().max(1.0); // comes out even at the seam
    let mut gone = 0.0;
    let mut curls = Vec::new();
    for (i, &a) in points.iter().enumerate() {
        let b = next(i);
        let piece = length(a, b);
        let steps = (piece / pitch * 8.0).ceil();
        for step in 0..steps as usize {
            let t = step as f32 / steps;
            let turn = (gone + t * piece) / pitch * 0.5 * std::f32::consts::TAU;
            let out = height * (sin_cos(turn).0.abs() * 2.0 - 1.0) / piece;
            curls.push(at(mix(a.x, b.x, t) + out * (b.y - a.y), mix(a.y, b.y, t) - out * (b.x - a.x)));
        }
        gone += piece;
    }
    curls
}
