//! What is behind the head: background, neck and shoulders.

use super::canvas::{Rgb, at, blend, closed_curve, ellipse, luma, mix, noise, scaled, smoothstep};
use super::painter::{Painter, side_points};
use super::person::{Hairline, Scenery};

impl Painter<'_> {
    pub(super) fn background(&mut self) {
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

    pub(super) fn body(&mut self) {
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
}
