//! What the camera does: light, colour temperature, blur and noise.

use chacha20::ChaCha8Rng;
use rand::Rng;

use super::canvas::{luma, mix};
use super::painter::Painter;

impl Painter<'_> {
    /// Light, colour temperature, blur, noise; a cartoon gets only a little of the first two.
    pub(super) fn develop(&mut self, grain: &mut ChaCha8Rng) {
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
