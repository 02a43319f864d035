//! Beard and moustache.

use super::canvas::{at, blend, closed_curve, mix, open_curve};
use super::painter::{Painter, bumpy, side_points};
use super::person::Beard;

impl Painter<'_> {
    pub(super) fn beard(&mut self) {
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
}
