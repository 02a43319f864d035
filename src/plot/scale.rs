//! Axes: from values to the unit interval, and ticks at 1, 2 or 5 times a power of ten.

use super::text::{coordinate, minus, number, percent, thousands};

/// How the numbers of an axis are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Number,
    Percent,
    /// Whole numbers only: no tick between them.
    Integer,
}

/// An axis from `lo` to `hi`, `lo < hi`; logarithmic ones have `lo > 0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub lo: f64,
    pub hi: f64,
    pub log: bool,
}

/// One tick of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub value: f64,
    pub label: String,
}

/// Whether a value can be drawn. Beyond 1e15 a span would lose its digits; such a value counts as infinite.
pub(crate) fn drawable(value: f64) -> bool {
    value.is_finite() && value.abs() < 1e15
}

impl Scale {
    /// From `lo` to `hi`; widened where they are (nearly) equal.
    pub fn linear(lo: f64, hi: f64) -> Self {
        let (lo, hi) = if lo <= hi { (lo, hi) } else { (hi, lo) };
        let least = 1e-9 * lo.abs().max(hi.abs()).max(1e-6);
        if hi - lo > least {
            Self { lo, hi, log: false }
        } else {
            Self { lo: lo - 0.5, hi: hi + 0.5, log: false }
        }
    }

    /// Around all drawable values, widened to whole ticks; `None` if there are none.
    ///
    /// With `zero`, the axis begins at 0 if no value is negative; the axis does not exceed `most` unless a
    /// value does.
    pub fn around(
        values: impl IntoIterator<Item = f64>,
        zero: bool,
        most: Option<f64>,
        ticks: usize,
    ) -> Option<Self> {
        let (mut lo, mut hi) = bounds(values)?;
        if zero && lo >= 0.0 {
            lo = 0.0;
        }
        if hi - lo <= 1e-9 * hi.abs().max(1e-6) {
            let around = if hi == 0.0 { 1.0 } else { 0.1 * hi.abs() };
            (lo, hi) = if lo == 0.0 { (0.0, around) } else { (lo - around, hi + around) };
        }
        let step = nice_step((hi - lo) / ticks.max(1) as f64);
        let below = (lo / step + 1e-9).floor() * step;
        let mut above = (hi / step - 1e-9).ceil() * step;
        if let Some(most) = most
            && hi <= most
        {
            above = above.min(most);
        }
        Some(Self::linear(below, above))
    }

    /// Logarithmic around all positive drawable values, widened to 1, 2 or 5 times a power of ten; `None` if
    /// there are none.
    pub fn log_around(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (lo, hi) = bounds(values.into_iter().filter(|&value| value > 1e-30))?;
        let (mut below, mut above) = (nice_below(lo), nice_above(hi));
        if above / below < 1.5 {
            (below, above) = (nice_below(below * 0.8), nice_above(above * 1.2));
        }
        Some(Self { lo: below, hi: above, log: true })
    }

    /// Where `value` lies: 0 at `lo`, 1 at `hi`; NaN for what cannot be drawn.
    pub fn unit(&self, value: f64) -> f64 {
        if !drawable(value) {
            return f64::NAN;
        }
        if self.log {
            if value <= 0.0 { f64::NAN } else { (value / self.lo).ln() / (self.hi / self.lo).ln() }
        } else {
            (value - self.lo) / (self.hi - self.lo)
        }
    }

    /// At most `most` ticks (but at least one where the axis holds a round number).
    pub fn ticks(&self, format: Format, most: usize) -> Vec<Tick> {
        let most = most.max(1);
        if self.log {
            return self.log_ticks(most);
        }
        let mut step = nice_step((self.hi - self.lo) / most as f64);
        if format == Format::Integer {
            step = step.max(1.0);
        }
        loop {
            let (first, last) =
                ((self.lo / step - 1e-6).ceil() as i64, (self.hi / step + 1e-6).floor() as i64);
            if last - first < most as i64 || step > (self.hi - self.lo) * 2.0 {
                return (first..=last)
                    .take(most)
                    .map(|index| {
                        let value = index as f64 * step;
                        Tick { value, label: label(value, step, self.lo.abs().max(self.hi.abs()), format) }
                    })
                    .collect();
            }
            step = nice_step(step * 1.5);
        }
    }

    fn log_ticks(&self, most: usize) -> Vec<Tick> {
        let (first, last) = (self.lo.log10().floor() as i32, self.hi.log10().ceil() as i32);
        let inside = |value: f64| value >= self.lo * (1.0 - 1e-9) && value <= self.hi * (1.0 + 1e-9);
        for factors in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
            let values: Vec<f64> = (first..=last)
                .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
                .filter(|&value| inside(value))
                .collect();
            if (2..=most).contains(&values.len()) {
                return values.into_iter().map(log_tick).collect();
            }
        }
        let decades: Vec<f64> =
            (first..=last).map(|power| 10f64.powi(power)).filter(|&value| inside(value)).collect();
        if decades.is_empty() {
            return vec![log_tick(self.lo)];
        }
        let stride = decades.len().div_ceil(most);
        decades.into_iter().step_by(stride).map(log_tick).collect()
    }
}

/// Smallest and greatest of the values that can be drawn.
pub(crate) fn bounds(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|&value| drawable(value)).fold(None, |range, value| {
        Some(range.map_or((value, value), |(lo, hi): (f64, f64)| (lo.min(value), hi.max(value))))
    })
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`.
pub(crate) fn nice_step(step: f64) -> f64 {
    nice_above(step.max(1e-300))
}

fn nice_above(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&nice| nice >= value * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

fn nice_below(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [5.0, 2.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&nice| nice <= value * (1.0 + 1e-9))
        .unwrap_or(power)
}

fn label(value: f64, step: f64, most: f64, format: Format) -> String {
    let decimals = |step: f64| (-(step * 1.000_001).log10().floor()).clamp(0.0, 12.0) as usize;
    let clean = if value.abs() < step * 1e-6 { 0.0 } else { value };
    minus(&match format {
        Format::Integer => thousands(&format!("{clean:.0}")),
        Format::Percent => format!("{:.*}%", decimals(step * 100.0), clean * 100.0),
        // Many zeros are hard to read; a narrow range far from zero would lose its digits.
        Format::Number if !(2e-4..1e6).contains(&step) && most < 50.0 * step => number(clean),
        Format::Number => thousands(&format!("{clean:.*}", decimals(step))),
    })
}

fn log_tick(value: f64) -> Tick {
    let label = if (1e-4..1e6).contains(&(value * 1.000_001)) {
        thousands(&coordinate(value, 6))
    } else {
        format!("{value:.0e}")
    };
    Tick { value, label }
}

/// A value in the format of its axis.
pub(crate) fn write_value(value: f64, format: Format) -> String {
    match format {
        Format::Percent => percent(value),
        Format::Integer => thousands(&format!("{value:.0}")),
        Format::Number => number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, format: Format, most: usize) -> Vec<String> {
        scale.ticks(format, most).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            labels(Scale::linear(0.0, 1.0), Format::Percent, 6),
            ["0%", "20%", "40%", "60%", "80%", "100%"]
        );
        assert_eq!(labels(Scale::linear(0.0, 1.0), Format::Percent, 5), ["0%", "50%", "100%"]);
        assert_eq!(labels(Scale::linear(0.99, 1.0), Format::Percent, 3), ["99.0%", "99.5%", "100.0%"]);
        assert_eq!(
            labels(Scale::linear(1.0, 8.0), Format::Integer, 8),
            ["1", "2", "3", "4", "5", "6", "7", "8"]
        );
        assert_eq!(
            labels(Scale::linear(1.0, 500.0), Format::Integer, 6),
            ["100", "200", "300", "400", "500"]
        );
        assert_eq!(labels(Scale::linear(0.5, 1.5), Format::Integer, 6), ["1"]);
        assert_eq!(
            labels(Scale::linear(-0.2, 0.2), Format::Number, 5),
            ["−0.2", "−0.1", "0.0", "0.1", "0.2"]
        );
        assert_eq!(labels(Scale::linear(0.0, 20000.0), Format::Number, 3), ["0", "10,000", "20,000"]);
        for seed in 0..2000u32 {
            let lo = f64::from(seed.wrapping_mul(2654435761)) / 1e5 - 2e4;
            let hi = lo + 10f64.powf(f64::from(seed % 17) - 8.0) * f64::from(seed % 7 + 1);
            for most in 1..12 {
                let ticks = Scale::linear(lo, hi).ticks(Format::Number, most);
                assert!(ticks.len() <= most, "{lo} {hi} {most}: {ticks:?}");
                assert!(
                    ticks.windows(2).all(|pair| pair[0].label != pair[1].label || hi - lo < 1e-4),
                    "{ticks:?}"
                );
            }
        }
    }

    #[test]
    fn logarithmic_ticks_are_decades_or_their_parts() {
        let scale = Scale::log_around([1e-5, 3e-3, f64::NAN, -1.0, 0.0]).unwrap();
        assert_eq!((scale.lo, scale.hi), (1e-5, 0.005));
        assert_eq!(labels(scale, Format::Number, 4), ["1e-5", "0.0001", "0.001"]);
        assert_eq!(scale.unit(scale.hi), 1.0);
        assert!(scale.unit(0.0).is_nan());
        assert!(Scale::log_around([0.0, -2.0]).is_none());
        let narrow = Scale::log_around([0.004]).unwrap();
        assert!(narrow.lo < 0.004 && narrow.hi > 0.004 && !narrow.ticks(Format::Number, 5).is_empty());
    }

    #[test]
    fn domains_hold_every_value_and_end_at_ticks() {
        let scale = Scale::around([0.13, 1.86, f64::INFINITY], true, None, 5).unwrap();
        assert_eq!((scale.lo, scale.hi), (0.0, 2.0));
        let scale = Scale::around([0.93, 0.98], false, Some(1.0), 5).unwrap();
        assert!((scale.lo - 0.93).abs() < 1e-9 && (scale.hi - 0.98).abs() < 1e-9, "{scale:?}");
        assert_eq!(Scale::around([f64::NAN], true, None, 5), None);
        let scale = Scale::around([3.0], false, None, 5).unwrap();
        assert!(scale.lo < 3.0 && scale.hi > 3.0);
        assert!(Scale::around([0.0], true, None, 5).unwrap().hi > 0.0);
    }
}
