//! A small painter: anti-aliased filled shapes, strokes and soft spots on a square image of floats.
//!
//! Everything here uses only `+ - * /` and `sqrt`, which IEEE 754 fixes to the last bit, so that a drawing
//! has the same pixels on every machine; [`sin_cos`] replaces the platform's own for the same reason.

/// A colour as displayed (sRGB-encoded), red, green, blue from 0 to 1.
pub(super) type Rgb = [f32; 3];

/// A place: x to the right, y down. In pixels on a canvas, in face units (see `face.rs`) elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// Short for a [`Point`].
pub(super) const fn at(x: f32, y: f32) -> Point {
    Point { x, y }
}

/// `a` at 0, `b` at 1, straight between and beyond.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// [`mix`] for colours.
pub(super) fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)]
}

/// A colour times a factor: below 1 darker.
pub(super) fn scaled(colour: Rgb, factor: f32) -> Rgb {
    colour.map(|value| value * factor)
}

/// The brightness of a colour as it looks (Rec. 601 luma).
pub(super) fn luma(colour: Rgb) -> f32 {
    0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
}

/// 0 below `low`, 1 above `high`, a smooth cubic between.
pub(super) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Sine and cosine of an angle in radians by the Taylor series of the angle's eighth, doubled three times.
pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    let turn = f64::from(angle) / std::f64::consts::TAU;
    let x = (turn - turn.round()) * std::f64::consts::TAU / 8.0; // |x| <= pi / 8
    let x2 = x * x;
    let mut sin = x * (1.0 - x2 / 6.0 * (1.0 - x2 / 20.0 * (1.0 - x2 / 42.0 * (1.0 - x2 / 72.0))));
    let mut cos =
        1.0 - x2 / 2.0 * (1.0 - x2 / 12.0 * (1.0 - x2 / 30.0 * (1.0 - x2 / 56.0 * (1.0 - x2 / 90.0))));
    for _ in 0..3 {
        (sin, cos) = (2.0 * sin * cos, cos * cos - sin * sin);
    }
    (sin as f32, cos as f32)
}

/// Smooth noise from 0 to 1 that changes over about one unit; the same for the same `seed` and place.
pub(super) fn noise(seed: u32, x: f32, y: f32) -> f32 {
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (smoothstep(0.0, 1.0, x - x0), smoothstep(0.0, 1.0, y - y0));
    let corner = |dx: i32, dy: i32| {
        let mut h = seed
            ^ ((x0 as i32 + dx) as u32).wrapping_mul(0x85eb_ca6b)
            ^ ((y0 as i32 + dy) as u32).wrapping_mul(0xc2b2_ae35);
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
        (h ^ (h >> 15)) as f32 / u32::MAX as f32
    };
    mix(mix(corner(0, 0), corner(1, 0), fx), mix(corner(0, 1), corner(1, 1), fx), fy)
}

/// A smooth closed curve through `points` (Catmull–Rom), as a polygon.
pub(super) fn closed_curve(points: &[Point]) -> Vec<Point> {
    let n = points.len();
    (0..n)
        .flat_map(|i| segment(points[(i + n - 1) % n], points[i], points[(i + 1) % n], points[(i + 2) % n]))
        .collect()
}

/// A smooth open curve through `points` (Catmull–Rom), as a line of short pieces.
pub(super) fn open_curve(points: &[Point]) -> Vec<Point> {
    let last = points.len() - 1;
    let mut line: Vec<Point> = (0..last)
        .flat_map(|i| {
            segment(points[i.saturating_sub(1)], points[i], points[i + 1], points[(i + 2).min(last)])
        })
        .collect();
    line.push(points[last]);
    line
}

/// The piece of a Catmull–Rom spline from `b` (included) to `c` (left out).
fn segment(a: Point, b: Point, c: Point, d: Point) -> [Point; 8] {
    std::array::from_fn(|i| {
        let t = i as f32 / 8.0;
        let value = |a: f32, b: f32, c: f32, d: f32| {
            b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
        };
        at(value(a.x, b.x, c.x, d.x), value(a.y, b.y, c.y, d.y))
    })
}

/// An ellipse with its axes along x and y, as a polygon.
pub(super) fn ellipse(centre: Point, rx: f32, ry: f32) -> Vec<Point> {
    (0..32)
        .map(|i| {
            let (sin, cos) = sin_cos(i as f32 / 32.0 * std::f32::consts::TAU);
            at(centre.x + rx * cos, centre.y + ry * sin)
        })
        .collect()
}

/// How much of each pixel a shape covers, 0 to 1, over the part of the canvas that it touches.
pub(super) struct Mask {
    x0: usize,
    y0: usize,
    width: usize,
    height: usize,
    cover: Vec<f32>,
}

impl Mask {
    /// The coverage of a pixel of the canvas.
    fn get(&self, x: usize, y: usize) -> f32 {
        let (column, row) = (x.wrapping_sub(self.x0), y.wrapping_sub(self.y0));
        if column < self.width && row < self.height { self.cover[row * self.width + column] } else { 0.0 }
    }

    /// Only what lies inside `other` too.
    #[must_use]
    pub(super) fn within(mut self, other: &Mask) -> Mask {
        for row in 0..self.height {
            for column in 0..self.width {
                self.cover[row * self.width + column] *= other.get(self.x0 + column, self.y0 + row);
            }
        }
        self
    }
}

/// A square image being painted.
pub(super) struct Canvas {
    /// Pixels per side.
    pub(super) size: usize,
    /// `[size, size]` colours, row-major.
    pub(super) pixels: Vec<Rgb>,
    /// Horizontal sample lines per pixel row.
    lines: usize,
}

impl Canvas {
    /// A black canvas.
    pub(super) fn new(size: usize) -> Self {
        Self { size, pixels: vec![[0.0; 3]; size * size], lines: if size < 128 { 8 } else { 4 } }
    }

    /// The coverage of a closed polygon (pixels; non-zero winding). Exact along x, sampled on `lines` lines
    /// per row along y.
    pub(super) fn polygon(&self, points: &[Point]) -> Mask {
        let bounds = |values: &mut dyn Iterator<Item = f32>| {
            let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
            let end = self.size as f32;
            (low.floor().clamp(0.0, end) as usize, high.ceil().clamp(0.0, end) as usize)
        };
        let (x0, x1) = bounds(&mut points.iter().map(|p| p.x));
        let (y0, y1) = bounds(&mut points.iter().map(|p| p.y));
        let (width, height) = (x1.saturating_sub(x0), y1.saturating_sub(y0));
        let mut mask = Mask { x0, y0, width, height, cover: vec![0.0; width * height] };
        if mask.cover.is_empty() {
            return mask;
        }

        // Where the outline crosses each sample line, with its direction.
        let count = height * self.lines;
        let line_y = |line: usize| y0 as f32 + (line as f32 + 0.5) / self.lines as f32;
        let mut crossings: Vec<(usize, f32, i32)> = Vec::with_capacity(count * 2);
        for (i, &from) in points.iter().enumerate() {
            let to = points[(i + 1) % points.len()];
            let (upper, lower, direction) = if from.y < to.y { (from, to, 1) } else { (to, from, -1) };
            let first =
                |y: f32| ((y - y0 as f32) * self.lines as f32 - 0.5).ceil().clamp(0.0, count as f32) as usize;
            for line in first(upper.y)..first(lower.y) {
                let t = (line_y(line) - upper.y) / (lower.y - upper.y);
                crossings.push((line, mix(upper.x, lower.x, t), direction));
            }
        }
        crossings.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));

        let mut winding = 0;
        for pair in crossings.windows(2) {
            winding += pair[0].2;
            if winding != 0 && pair[0].0 == pair[1].0 {
                let row = pair[0].0 / self.lines * width;
                add_span(
                    &mut mask.cover[row..row + width],
                    pair[0].1 - x0 as f32,
                    pair[1].1 - x0 as f32,
                    1.0 / self.lines as f32,
                );
            }
        }
        mask
    }

    /// A spot that fades from 1 at its centre to 0 at `rx`, `ry` (pixels), turned by the unit vector `axis`.
    pub(super) fn spot(&self, centre: Point, rx: f32, ry: f32, axis: Point) -> Mask {
        let reach = rx.max(ry);
        let clamp = |v: f32| v.clamp(0.0, self.size as f32) as usize;
        let (x0, x1) = (clamp((centre.x - reach).floor()), clamp((centre.x + reach).ceil()));
        let (y0, y1) = (clamp((centre.y - reach).floor()), clamp((centre.y + reach).ceil()));
        let (width, height) = (x1 - x0, y1 - y0);
        let mut cover = Vec::with_capacity(width * height);
        for y in y0..y1 {
            for x in x0..x1 {
                let (dx, dy) = (x as f32 + 0.5 - centre.x, y as f32 + 0.5 - centre.y);
                let (u, v) = ((dx * axis.x + dy * axis.y) / rx, (dy * axis.x - dx * axis.y) / ry);
                let inside = (1.0 - u * u - v * v).max(0.0);
                cover.push(inside * inside);
            }
        }
        Mask { x0, y0, width, height, cover }
    }

    /// Paints `colour(x, y)` (pixel centres) over the image where the mask covers it, `opacity` at full
    /// coverage.
    pub(super) fn paint(&mut self, mask: &Mask, opacity: f32, colour: impl Fn(f32, f32) -> Rgb) {
        for row in 0..mask.height {
            let start = (mask.y0 + row) * self.size + mask.x0;
            for column in 0..mask.width {
                let cover = mask.cover[row * mask.width + column].min(1.0) * opacity;
                if cover > 0.0 {
                    let over = colour((mask.x0 + column) as f32 + 0.5, (mask.y0 + row) as f32 + 0.5);
                    let pixel = &mut self.pixels[start + column];
                    *pixel = blend(*pixel, over, cover);
                }
            }
        }
    }

    /// Paints one colour.
    pub(super) fn fill(&mut self, mask: &Mask, opacity: f32, colour: Rgb) {
        self.paint(mask, opacity, |_, _| colour);
    }

    /// Gaussian-like blur of the whole image: the kernel `[w, 1 - 2w, w]` both ways, `passes` times.
    pub(super) fn blur(&mut self, weight: f32, passes: usize) {
        let size = self.size;
        for _ in 0..passes {
            for (step, stride) in [(1, size), (size, 1)] {
                let before = self.pixels.clone();
                for line in 0..size {
                    for i in 0..size {
                        let here = line * stride + i * step;
                        let (a, b) =
                            (here - step * usize::from(i > 0), here + step * usize::from(i + 1 < size));
                        let sides = blend(before[a], before[b], 0.5);
                        self.pixels[here] = blend(before[here], sides, 2.0 * weight);
                    }
                }
            }
        }
    }
}

/// Adds `weight` times the covered part of each pixel between `from` and `to`.
fn add_span(row: &mut [f32], from: f32, to: f32, weight: f32) {
    let end = row.len() as f32;
    let (from, to) = (from.clamp(0.0, end), to.clamp(0.0, end));
    let last = (to.ceil() as usize).min(row.len());
    for (x, value) in row.iter_mut().enumerate().take(last).skip(from as usize) {
        *value += weight * (to.min(x as f32 + 1.0) - from.max(x as f32)).max(0.0);
    }
}

/// The outline of a stroke along `line`, `width(t)` wide at the part `t` (0 to 1) of its points.
pub(super) fn stroke(line: &[Point], width: impl Fn(f32) -> f32) -> Vec<Point> {
    let last = line.len() - 1;
    let side = |i: usize, sign: f32| {
        let (a, b) = (line[i.saturating_sub(1)], line[(i + 1).min(last)]);
        let (dx, dy) = (b.x - a.x, b.y - a.y);
        let half = sign * 0.5 * width(i as f32 / last as f32) / (dx * dx + dy * dy).sqrt().max(1e-6);
        at(line[i].x - dy * half, line[i].y + dx * half)
    };
    (0..=last).map(|i| side(i, 1.0)).chain((0..=last).rev().map(|i| side(i, -1.0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polygon_covers_its_area() {
        let canvas = Canvas::new(32);
        let area = |points: &[Point]| canvas.polygon(points).cover.iter().sum::<f32>();
        assert!((area(&[at(2.25, 3.0), at(10.75, 3.0), at(10.75, 8.0), at(2.25, 8.0)]) - 42.5).abs() < 1e-3);
        assert!((area(&ellipse(at(16.0, 16.0), 8.0, 5.0)) - 8.0 * 5.0 * std::f32::consts::PI).abs() < 1.5);
        assert_eq!(area(&ellipse(at(-50.0, 16.0), 8.0, 5.0)), 0.0, "outside the canvas");
    }

    #[test]
    fn sin_cos_agrees_with_the_platform() {
        for i in -100..100 {
            let angle = i as f32 * 0.13;
            let (sin, cos) = sin_cos(angle);
            assert!((sin - angle.sin()).abs() < 1e-5 && (cos - angle.cos()).abs() < 1e-5, "{angle}");
        }
    }

    #[test]
    fn blur_keeps_a_flat_image_and_spreads_a_dot() {
        let mut canvas = Canvas::new(9);
        canvas.pixels[40] = [1.0; 3];
        canvas.blur(0.25, 1);
        assert!((canvas.pixels[40][0] - 0.25).abs() < 1e-6 && (canvas.pixels[30][0] - 0.0625).abs() < 1e-6);
        let total: f32 = canvas.pixels.iter().map(|p| p[0]).sum();
        assert!((total - 1.0).abs() < 1e-5);
    }
}
