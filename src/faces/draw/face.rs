//! Paints a person with an expression, back to front.
//!
//! Face units: the origin is the middle of the head, x to the image's right, y down; the head reaches from
//! about -0.95 to 0.95 and is about 1.4 wide. [`View`] turns these into pixels; it bulges the face a little
//! towards the viewer, so that features shift when the head turns (yaw, pitch).

use chacha20::ChaCha8Rng;
use rand::Rng;

use super::Style;
use super::canvas::{
    Canvas, Mask, Point, Rgb, at, blend, closed_curve, ellipse, luma, mix, noise, open_curve, scaled,
    sin_cos, smoothstep, stroke,
};
use super::expression::{
    Expression, Units, brow_moves, corner_moves, lid_moves, middle, mouth_moves, roundness,
};
use super::person::{Back, Beard, Glasses, Hairline, Person, Scenery, Shot};

/// Paints the whole image; `grain` is only for the sensor's noise.
pub fn paint(
    person: &Person,
    shot: &Shot,
    expression: &Expression,
    style: Style,
    size: usize,
    grain: &mut ChaCha8Rng,
) -> Canvas {
    let mut p = Painter::new(person, shot, expression, style, size);
    p.background();
    p.back_hair();
    p.body();
    p.ears();
    p.head();
    p.skin_lines();
    p.nose();
    p.beard();
    p.mouth();
    for side in 0..2 {
        p.eye(side);
    }
    p.front_hair();
    for side in 0..2 {
        p.brow(side);
    }
    p.glasses();
    p.develop(grain);
    p.canvas
}

/// From face units to pixels.
#[derive(Clone, Copy)]
struct View {
    roll: (f32, f32),
    yaw: (f32, f32),
    pitch: (f32, f32),
    scale: f32,
    centre: Point,
}

impl View {
    /// The pixel of a place on the face; `lift` is how far it stands out from the smooth face.
    fn lifted(&self, p: Point, lift: f32) -> Point {
        let z = 0.5 * (1.0 - (p.x * p.x) / 0.64 - (p.y * p.y) / 1.3).max(0.0) + lift;
        self.turned(p.x * self.yaw.1 + z * self.yaw.0, p.y * self.pitch.1 + z * self.pitch.0)
    }

    fn place(&self, p: Point) -> Point {
        self.lifted(p, 0.0)
    }

    /// The pixel of a place behind the face (neck, hair), `depth` behind its outline.
    fn behind(&self, p: Point, depth: f32) -> Point {
        self.turned(p.x * self.yaw.1 - depth * self.yaw.0, p.y * self.pitch.1 - depth * self.pitch.0)
    }

    fn turned(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.roll;
        at(self.centre.x + self.scale * (x * cos - y * sin), self.centre.y + self.scale * (x * sin + y * cos))
    }

    /// The face units of a pixel, as if the face were flat and looked straight ahead.
    fn unplaced(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.roll;
        let (dx, dy) = ((x - self.centre.x) / self.scale, (y - self.centre.y) / self.scale);
        at(dx * cos + dy * sin, dy * cos - dx * sin)
    }
}

struct Painter<'a> {
    canvas: Canvas,
    view: View,
    person: &'a Person,
    shot: &'a Shot,
    style: Style,
    sides: &'a [Units; 2],
    /// The mean of both halves.
    au: Units,
}

impl<'a> Painter<'a> {
    fn new(
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

    fn photo(&self) -> bool {
        self.style == Style::Photo
    }

    /// Dark colour for lines on `colour`: a shade of it in a photo, nearly black in a cartoon.
    fn line_colour(&self, colour: Rgb) -> Rgb {
        if self.photo() { scaled(colour, 0.5) } else { blend(scaled(colour, 0.3), [0.10, 0.06, 0.08], 0.6) }
    }

    /// The polygon of face places.
    fn on_face(&self, points: &[Point]) -> Vec<Point> {
        points.iter().map(|&p| self.view.place(p)).collect()
    }

    fn behind(&self, points: &[Point], depth: f32) -> Vec<Point> {
        points.iter().map(|&p| self.view.behind(p, depth)).collect()
    }

    /// Fills a polygon of pixels, with an outline in a cartoon.
    fn shape(&mut self, polygon: &[Point], colour: impl Fn(f32, f32) -> Rgb, line: Rgb) {
        let mask = self.canvas.polygon(polygon);
        self.canvas.paint(&mask, 1.0, colour);
        if !self.photo() {
            self.outline(polygon, 0.03, line);
        }
    }

    fn outline(&mut self, polygon: &[Point], width: f32, line: Rgb) {
        let mut closed = polygon.to_vec();
        closed.extend_from_slice(&polygon[..2.min(polygon.len())]);
        self.line(&closed, |_| width, 1.0, line);
    }

    /// A stroke along pixels; `width(t)` in face units.
    fn line(&mut self, pixels: &[Point], width: impl Fn(f32) -> f32, opacity: f32, colour: Rgb) {
        let scale = self.view.scale;
        let mask = self.canvas.polygon(&stroke(pixels, |t| width(t) * scale));
        self.canvas.fill(&mask, opacity, colour);
    }

    /// A line on the skin through places of the face, thin at both ends.
    fn crease(&mut self, points: &[Point], width: f32, opacity: f32) {
        if opacity > 0.02 {
            let pixels = self.on_face(&open_curve(points));
            let colour = self.line_colour(self.person.skin);
            let opacity = opacity.min(1.0) * if self.photo() { 0.75 } else { 0.85 };
            self.line(&pixels, |t| width * 4.0 * t * (1.0 - t) + 0.2 * width, opacity, colour);
        }
    }

    /// A soft spot on the face; radii in face units.
    fn spot(&mut self, centre: Point, rx: f32, ry: f32, opacity: f32, colour: Rgb) {
        let (sin, cos) = self.view.roll;
        let scale = self.view.scale;
        let mask = self.canvas.spot(self.view.place(centre), rx * scale, ry * scale, at(cos, sin));
        self.canvas.fill(&mask, opacity, colour);
    }

    // ---- behind the face ----

    fn background(&mut self) {
        let (size, shot, photo) = (self.canvas.size, self.shot, self.photo());
        let [mut a, mut b] = shot.backdrop;
        if !photo {
            // Flat and saturated: away from grey.
            [a, b] = [a, b].map(|c| c.map(|v| (luma(c) + 2.2 * (v - luma(c)) + 0.12).clamp(0.1, 0.97)));
        }
        for y in 0..size {
            for x in 0..size {
                let (u, v) = ((x as f32 + 0.5) / size as f32, (y as f32 + 0.5) / size as f32);
                let tilt = u * shot.light.0 + v;
                let t = match shot.scenery {
                    Scenery::Plain | Scenery::Lights => 0.0,
                    Scenery::Gradient => v,
                    Scenery::Wall => smoothstep(0.66, 0.68, v + 0.15 * u * shot.light.0),
                    Scenery::Stripes => {
                        smoothstep(0.45, 0.55, ((tilt * 5.0).fract() - 0.5).abs() * 2.0) * 0.5
                    }
                    Scenery::Cloudy => noise(shot.texture, u * 3.0, v * 3.0),
                };
                let t = if photo { t } else { smoothstep(0.45, 0.55, t) };
                let grain =
                    if photo { 1.0 + 0.08 * (noise(shot.texture ^ 1, u * 9.0, v * 9.0) - 0.5) } else { 1.0 };
                self.canvas.pixels[y * size + x] = scaled(blend(a, b, t), grain);
            }
        }
        if shot.scenery == Scenery::Lights {
            for i in 0..7 {
                let place = |k: u32| noise(shot.texture ^ k, i as f32 * 7.0, 0.5);
                let side = size as f32;
                let disc = ellipse(
                    at(place(2) * side, place(3) * side * 0.9),
                    side * mix(0.05, 0.16, place(4)),
                    side * 0.1,
                );
                let mask = self.canvas.polygon(&disc);
                self.canvas.fill(&mask, 0.55, blend(b, [1.0; 3], 0.4 * place(5)));
            }
        }
    }

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

    fn back_hair(&mut self) {
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

    fn body(&mut self) {
        let (person, shot) = (self.person, self.shot);
        let scale = self.view.scale;
        let shade = |colour: Rgb| {
            let centre = self.view.centre;
            let light = shot.light.0;
            move |x: f32, _: f32| scaled(colour, 1.0 + 0.2 * light * (x - centre.x) / scale)
        };
        let (skin, cloth) = (shade(scaled(person.skin, 0.86)), shade(shot.cloth));
        let neck = 0.33 + 0.5 * (person.chin_width - 0.26);
        let neck_line = self.line_colour(person.skin);
        let cloth_line = self.line_colour(shot.cloth);
        let shoulders = side_points(&[
            (0.0, 1.22),
            (neck + 0.08, 1.05),
            (0.95, 1.28),
            (1.25, 1.7),
            (1.3, 2.6),
            (0.3, 2.6),
        ]);
        let shoulders = self.behind(&closed_curve(&shoulders), 0.25);
        self.shape(&shoulders, cloth, cloth_line);
        let throat = side_points(&[
            (0.0, 0.3),
            (neck, 0.4),
            (neck * 0.97, 0.95),
            (neck + 0.06, 1.1),
            (0.16, 1.27),
            (0.0, 1.3),
        ]);
        let throat = self.behind(&closed_curve(&throat), 0.2);
        if person.hairline == Hairline::Scarf {
            return; // the scarf covers the neck
        }
        self.shape(&throat, skin, neck_line);
        // The shadow of the chin.
        let shadow = self.behind(&ellipse(at(0.0, 0.9), neck * 1.15, 0.25), 0.1);
        let mask = self.canvas.polygon(&shadow).within(&self.canvas.polygon(&throat));
        self.canvas.fill(&mask, 0.45, scaled(person.skin, 0.55));
    }

    fn ears(&mut self) {
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

    // ---- skin ----

    /// How far the jaw has dropped.
    fn drop(&self) -> f32 {
        0.13 * self.au[26] - 0.02 * self.au[17]
    }

    fn head_outline(&self) -> Vec<Point> {
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

    fn head(&mut self) {
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
    fn skin_lines(&mut self) {
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

    fn nose(&mut self) {
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

    // ---- mouth and beard ----

    fn mouth_shape(&self) -> Mouth {
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

    fn mouth(&mut self) {
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

    fn beard(&mut self) {
        let person = self.person;
        let (mouth, drop) = (self.mouth_shape(), self.drop());
        let hair = blend(person.hair, person.skin, 0.12);
        let opacity = if self.photo() { 0.88 } else { 1.0 };
        let head = self.canvas.polygon(&self.on_face(&self.head_outline()));
        let jaw = |low: f32| {
            let w = person.width;
            side_points(&[
                (0.0, mouth.y + 0.16),
                (mouth.right.x + 0.12, mouth.y + 0.06),
                (w * 0.86, 0.22),
                (w * 1.05, low),
                (w, 0.7),
                (0.5, 1.25),
                (0.0, 1.3),
            ])
        };
        match person.beard {
            Beard::None => return,
            Beard::Stubble => {
                let mask = self.canvas.polygon(&self.on_face(&closed_curve(&jaw(0.2)))).within(&head);
                self.canvas.fill(&mask, 0.22, person.hair);
            }
            Beard::Full => {
                let polygon = self.on_face(&bumpy(&closed_curve(&jaw(0.1)), 0.012, 0.09));
                let mask = self.canvas.polygon(&polygon).within(&head);
                self.canvas.fill(&mask, opacity, hair);
            }
            Beard::Goatee => {
                let y = person.chin + drop;
                let patch = side_points(&[
                    (0.0, mouth.bottom(0.0).y + 0.05),
                    (0.14, y - 0.18),
                    (0.16, y - 0.03),
                    (0.0, y + 0.05),
                ]);
                let mask = self.canvas.polygon(&self.on_face(&closed_curve(&patch))).within(&head);
                self.canvas.fill(&mask, opacity, hair);
            }
            Beard::Moustache => {}
        }
        if matches!(person.beard, Beard::Moustache | Beard::Full | Beard::Goatee) {
            // It rides on the upper lip and hangs a little over the corners.
            let line = [-1.18, -0.8, -0.4, -0.12, 0.12, 0.4, 0.8, 1.18].map(|t: f32| {
                let lip = mouth.top(t.clamp(-1.0, 1.0));
                let hang = 0.09 * (t.abs() - 0.8).max(0.0);
                at(lip.x * t.abs().max(1.0), mix(lip.y, person.nose_y + 0.05, 0.34) + hang)
            });
            let pixels = self.on_face(&open_curve(&line));
            self.line(&pixels, |t| 0.02 + 0.075 * (4.0 * t * (1.0 - t)).sqrt(), opacity, hair);
        }
    }

    // ---- eyes and brows ----

    fn eye(&mut self, side: usize) {
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

    fn brow(&mut self, side: usize) {
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

    // ---- hair in front, glasses ----

    fn front_hair(&mut self) {
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

    fn glasses(&mut self) {
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

    // ---- the photograph ----

    /// Light, colour temperature, blur, noise; a cartoon gets only a little of the first two.
    fn develop(&mut self, grain: &mut ChaCha8Rng) {
        let (shot, size, photo) = (self.shot, self.canvas.size, self.photo());
        let part = if photo { 1.0 } else { 0.35 };
        if photo && shot.blur > 0.0 {
            // The variance of one pass is twice its weight, in square pixels; blur is the weight of one pass
            // at 48 pixels.
            let times = size as f32 / 48.0;
            let all = shot.blur * times * times;
            let passes = (all / 0.25).ceil();
            self.canvas.blur(all / passes, passes as usize);
        }
        let brightness = mix(1.0, shot.brightness, part);
        let contrast = mix(1.0, shot.contrast, part);
        let cast = [1.0 + shot.temperature * part, 1.0, 1.0 - shot.temperature * part];
        for y in 0..size {
            for x in 0..size {
                let (u, v) = ((x as f32 + 0.5) / size as f32 - 0.5, (y as f32 + 0.5) / size as f32 - 0.5);
                let light = brightness * (1.0 + 2.0 * part * (shot.slope.0 * u + shot.slope.1 * v));
                let pixel = &mut self.canvas.pixels[y * size + x];
                for (value, cast) in pixel.iter_mut().zip(cast) {
                    *value = ((*value * light * cast - 0.5) * contrast + 0.5).clamp(0.0, 1.0);
                }
                if shot.grey && photo {
                    *pixel = [luma(*pixel); 3];
                }
                if photo {
                    // The sum of four bytes is nearly normal, with a standard deviation of 0.58 after this
                    // scaling.
                    let normal = |bits: u32| {
                        bits.to_le_bytes().iter().map(|&b| f32::from(b)).sum::<f32>() / 255.0 - 2.0
                    };
                    let all = normal(grain.next_u32());
                    for value in pixel.iter_mut() {
                        let own = if shot.grey { 0.0 } else { normal(grain.next_u32()) };
                        *value += shot.noise * 1.73 * (0.8 * all + 0.6 * own);
                    }
                }
            }
        }
    }
}

/// The mouth in face units; corners as (half width, down), the middle as distances from the closed line.
struct Mouth {
    y: f32,
    left: Point,
    right: Point,
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
    fn top(&self, t: f32) -> Point {
        let p = self.upper(t);
        let bow = 1.0 - 0.25 * (1.0 - (t / 0.22) * (t / 0.22)).max(0.0);
        at(p.x, p.y - self.upper_lip * bow * (1.0 - t * t).max(0.0).sqrt().min(1.2 * (1.0 - t.abs()) + 0.15))
    }

    /// The lower edge of the lower lip.
    fn bottom(&self, t: f32) -> Point {
        let p = self.lower(t);
        at(p.x, p.y + self.lower_lip * (1.0 - t * t).max(0.0).sqrt() * (1.0 - 0.35 * t * t))
    }
}

/// The places of a shape that is the same on both sides, from those of its right half, first and last on the
/// middle line or near it.
fn side_points(right: &[(f32, f32)]) -> Vec<Point> {
    let left = right.iter().rev().filter(|p| p.0 != 0.0).map(|&(x, y)| at(-x, y));
    right.iter().map(|&(x, y)| at(x, y)).chain(left).collect()
}

/// Curls: bumps of `height`, about `pitch` long, all along a closed outline.
fn bumpy(points: &[Point], height: f32, pitch: f32) -> Vec<Point> {
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
