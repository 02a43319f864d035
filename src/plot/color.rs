//! Colours: the categorical palette, the perceptually uniform colour map, and the choice of readable text.

/// Number of categorical colours; longer lists repeat them with other dash patterns or shapes.
pub(crate) const SERIES: usize = 8;

/// Categorical colours on white.
///
/// Hues follow Okabe and Ito, "Color Universal Design" (2008). Their lightness was moved until each has a
/// contrast of 3:1 with the surface (WCAG 2.2, 1.4.11) and the pairs stay apart for protan and deutan eyes in
/// the model of Machado et al. (2009).
pub(crate) const LIGHT: [[u8; 3]; SERIES] = [
    [0x10, 0x59, 0x9c],
    [0xb8, 0x3a, 0x1b],
    [0x11, 0xa4, 0x72],
    [0xc0, 0x7e, 0xb4],
    [0x7f, 0x86, 0xf2],
    [0xc9, 0x82, 0x00],
    [0x64, 0x20, 0xb0],
    [0x4a, 0x4a, 0x4a],
];

/// The categorical colours on the dark surface.
#[cfg(test)]
pub(crate) const DARK: [[u8; 3]; SERIES] = [
    [0x5b, 0x86, 0xd8],
    [0xd9, 0x6a, 0x30],
    [0x2b, 0xdc, 0x8f],
    [0xb9, 0x77, 0x9d],
    [0x7d, 0xd0, 0xff],
    [0xfc, 0xc1, 0x4a],
    [0x7d, 0x6c, 0xff],
    [0xe4, 0xe4, 0xe4],
];

/// 33 equally spaced colours of viridis by Nathaniel Smith and Stéfan van der Walt (2015), released under
/// CC0:
/// <https://github.com/BIDS/colormap>.
const VIRIDIS: [[u8; 3]; 33] = [
    [68, 1, 84],
    [71, 13, 96],
    [72, 24, 106],
    [72, 35, 116],
    [71, 45, 123],
    [69, 55, 129],
    [66, 64, 134],
    [62, 73, 137],
    [59, 82, 139],
    [55, 91, 141],
    [51, 99, 141],
    [47, 107, 142],
    [44, 114, 142],
    [41, 122, 142],
    [38, 130, 142],
    [35, 137, 142],
    [33, 145, 140],
    [31, 151, 139],
    [31, 159, 136],
    [33, 166, 133],
    [39, 173, 129],
    [49, 181, 123],
    [61, 188, 116],
    [76, 194, 108],
    [92, 200, 99],
    [110, 206, 88],
    [129, 211, 77],
    [149, 216, 64],
    [170, 220, 50],
    [192, 223, 37],
    [213, 226, 26],
    [234, 229, 26],
    [253, 231, 37],
];

/// A perceptually uniform map from 0..=1 to sRGB: viridis, interpolated between 33 control points. Values
/// outside are clamped, NaN counts as 0.
pub fn colormap(t: f32) -> [u8; 3] {
    let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
    let position = t * (VIRIDIS.len() - 1) as f32;
    let below = (position as usize).min(VIRIDIS.len() - 2);
    let share = position - below as f32;
    std::array::from_fn(|channel| {
        let (a, b) = (f32::from(VIRIDIS[below][channel]), f32::from(VIRIDIS[below + 1][channel]));
        (a + share * (b - a)).round() as u8
    })
}

/// Black or white, whichever has the greater contrast with `background` (WCAG 2.2). One of them always
/// reaches 4.5:1.
pub fn text_on(background: [u8; 3]) -> [u8; 3] {
    let (black, white) = ([0x11; 3], [0xff; 3]);
    if contrast(black, background) > contrast(white, background) { black } else { white }
}

/// Steps of the ramp of a heat map, from few to many.
pub(crate) const RAMP: usize = 33;

/// The ramp on a light surface: blue from pale to deep, linear in OKLab (Ottosson, 2020) between #e3eef8,
/// #5f9fd0 and #0c2f63. Unlike a map of many hues it leaves few beside the surface, and the eye goes to the
/// many.
pub(crate) const RAMP_LIGHT: [[u8; 3]; RAMP] = [
    [227, 238, 248],
    [219, 233, 246],
    [211, 228, 243],
    [202, 223, 241],
    [194, 218, 238],
    [186, 213, 236],
    [178, 208, 234],
    [170, 203, 231],
    [162, 198, 229],
    [154, 194, 226],
    [145, 189, 224],
    [137, 184, 221],
    [129, 179, 219],
    [121, 174, 216],
    [112, 169, 213],
    [104, 164, 211],
    [95, 159, 208],
    [89, 152, 201],
    [84, 144, 194],
    [78, 137, 187],
    [73, 130, 180],
    [67, 122, 173],
    [62, 115, 166],
    [57, 108, 159],
    [51, 101, 152],
    [46, 94, 145],
    [41, 87, 139],
    [36, 80, 132],
    [31, 74, 125],
    [26, 67, 119],
    [21, 60, 112],
    [17, 54, 105],
    [12, 47, 99],
];

/// The ramp on a dark surface, from #203246 over #3f7fbb to #d3e9fb.
#[cfg(test)]
pub(crate) const RAMP_DARK: [[u8; 3]; RAMP] = [
    [32, 50, 70],
    [34, 54, 77],
    [36, 59, 83],
    [38, 64, 90],
    [40, 68, 97],
    [42, 73, 104],
    [44, 78, 112],
    [46, 82, 119],
    [48, 87, 126],
    [50, 92, 133],
    [52, 97, 141],
    [54, 102, 148],
    [55, 107, 156],
    [57, 112, 164],
    [59, 117, 171],
    [61, 122, 179],
    [63, 127, 187],
    [73, 134, 191],
    [82, 140, 195],
    [92, 147, 199],
    [101, 153, 203],
    [110, 160, 208],
    [119, 166, 212],
    [128, 173, 216],
    [137, 180, 220],
    [146, 186, 224],
    [156, 193, 228],
    [165, 199, 232],
    [174, 206, 235],
    [183, 213, 239],
    [192, 220, 243],
    [202, 226, 247],
    [211, 233, 251],
];

/// `#rrggbb`.
pub(crate) fn hex(color: [u8; 3]) -> String {
    format!("#{:02x}{:02x}{:02x}", color[0], color[1], color[2])
}

/// Contrast ratio of WCAG 2.2, 1 to 21.
pub(crate) fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance(color: [u8; 3]) -> f64 {
    let [r, g, b] = color.map(linear);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

fn linear(channel: u8) -> f64 {
    let c = f64::from(channel) / 255.0;
    if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
    /// Deficiency" (2009), severity 1.
    const PROTAN: [[f64; 3]; 3] =
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]];
    const DEUTAN: [[f64; 3]; 3] =
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]];
    const NORMAL: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    fn times(matrix: &[[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| (0..3).map(|k| matrix[row][k] * v[k]).sum())
    }

    fn lab(color: [u8; 3], eyes: &[[f64; 3]; 3]) -> [f64; 3] {
        let to_xyz = [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ];
        let seen = times(eyes, color.map(linear)).map(|v| v.clamp(0.0, 1.0));
        let [x, y, z] = times(&to_xyz, seen);
        let f = |v: f64| if v > 0.008856 { v.cbrt() } else { 7.787 * v + 16.0 / 116.0 };
        let (x, y, z) = (f(x / 0.95047), f(y), f(z / 1.08883));
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
        (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn the_palette_has_contrast_and_is_safe_for_colour_blindness() {
        for (palette, surface) in [(LIGHT, [255; 3]), (DARK, [0x16, 0x1a, 0x20])] {
            for (index, &color) in palette.iter().enumerate() {
                assert!(contrast(color, surface) >= 3.0, "{index}");
                for &other in &palette[..index] {
                    for eyes in [&NORMAL, &PROTAN, &DEUTAN] {
                        let apart = distance(lab(color, eyes), lab(other, eyes));
                        assert!(apart > 15.0, "{} and {}: {apart}", hex(color), hex(other));
                    }
                }
            }
        }
    }

    #[test]
    fn the_colour_map_is_perceptually_uniform() {
        assert_eq!(colormap(0.0), [68, 1, 84]);
        assert_eq!(colormap(1.0), [253, 231, 37]);
        assert_eq!(
            (colormap(f32::NAN), colormap(-3.0), colormap(f32::INFINITY)),
            (colormap(0.0), colormap(0.0), colormap(1.0))
        );
        let colors: Vec<_> = (0..=32).map(|k| lab(colormap(k as f32 / 32.0), &NORMAL)).collect();
        let (span, total) =
            (colors[32][0] - colors[0][0], colors.windows(2).map(|w| distance(w[0], w[1])).sum::<f64>());
        for pair in colors.windows(2) {
            assert!(pair[1][0] > pair[0][0], "lightness falls");
            assert!((pair[1][0] - pair[0][0] - span / 32.0).abs() < 0.03 * span);
            assert!(distance(pair[0], pair[1]) < 2.2 * total / 32.0);
        }
    }

    #[test]
    fn text_is_readable_on_every_colour_of_the_map() {
        for step in 0..=255 {
            let color = colormap(step as f32 / 255.0);
            assert!(contrast(text_on(color), color) >= 4.2, "{step}: {}", contrast(text_on(color), color));
        }
        assert_eq!(contrast([0; 3], [255; 3]).round(), 21.0);
    }

    #[test]
    fn the_ramps_run_one_way_and_carry_readable_text() {
        for (ramp, sign) in [(RAMP_LIGHT, -1.0), (RAMP_DARK, 1.0)] {
            for pair in ramp.windows(2) {
                assert!(sign * (lab(pair[1], &NORMAL)[0] - lab(pair[0], &NORMAL)[0]) > 0.5);
            }
            assert!(ramp.iter().all(|&color| contrast(text_on(color), color) >= 4.2));
        }
    }

    #[test]
    fn the_style_sheet_has_the_colours_of_the_code() {
        let css = super::super::PAGE_CSS;
        for (palette, ramp) in [(LIGHT, RAMP_LIGHT), (DARK, RAMP_DARK)] {
            for (index, color) in palette.into_iter().enumerate() {
                assert!(css.contains(&format!("--plot-{}: {};", index + 1, hex(color))));
            }
            for (index, color) in ramp.into_iter().enumerate() {
                assert!(css.contains(&format!("--plot-ramp-{index}: {};", hex(color))));
                assert!(css.contains(&format!("--plot-on-{index}: {};", hex(text_on(color)))));
            }
        }
    }
}
