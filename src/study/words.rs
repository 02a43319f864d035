//! Numbers as the study's table and page write them, and the answer to each comparison as a sentence.

use super::plan::{Kind, LEAKY};
use super::results::{Comparison, Results};
use crate::data::DatasetType;
use crate::stats::bootstrap::Interval;
use crate::text::{count, thousands};

impl Results {
    /// A sentence for each comparison: how large the difference is and whether it is significant.
    pub fn answers(&self) -> Vec<String> {
        self.comparisons.iter().map(|comparison| self.answer(comparison)).collect()
    }

    fn answer(&self, comparison: &Comparison) -> String {
        let (variant, baseline) = (self.variant(&comparison.variant), self.variant(&comparison.baseline));
        let subject = self.subject(comparison);
        let change = comparison.accuracy;
        let Interval { estimate, low, high } = change.difference;
        let between = format!("{} {} to {}", confidence(self.level), points(low), points(high));
        let [b, a] = [variant, baseline].map(|one| one.map_or(0, |one| one.runs.len()));
        let seeds = if a == b { count(a, "seed", "seeds") } else { format!("{b} and {a} seeds") };
        let data = format!("{seeds} and {}", count(self.groups, "group", "groups"));
        let one_seed = a.min(b) < 2;
        let several = self.comparisons.len();
        let corrected =
            if several > 1 { format!(", corrected for {several} comparisons") } else { String::new() };
        let size = format!("{:.1}", estimate.abs() * 100.0);
        let p = p_equals(change.p_holm);
        match (comparison.clear, one_seed) {
            (true, false) => {
                let raised = if estimate > 0.0 { "raised" } else { "lowered" };
                format!(
                    "{subject} {raised} accuracy by {size} points ({between}; p {p}{corrected}): significant \
                     with {data}."
                )
            }
            (true, true) => format!(
                "{subject} changed accuracy by {} points ({between}; p {p}{corrected}): these trained models \
                 differ significantly, but with one seed the variation between seeds is unknown.",
                points(estimate)
            ),
            (false, _) => {
                let unknown =
                    if one_seed { "; with one seed the variation between seeds is unknown" } else { "" };
                let holm = if low > 0.0 || high < 0.0 {
                    format!("; p {p} corrected for {several} comparisons")
                } else {
                    String::new()
                };
                format!(
                    "{subject} changed accuracy by {} points ({between}{holm}): not significant with \
                     {data}{unknown}.",
                    points(estimate)
                )
            }
        }
    }

    /// What the variant does, in words where the baseline is the plain real training set.
    fn subject(&self, comparison: &Comparison) -> String {
        let plain = |name: &str| {
            self.variant(name).filter(|variant| variant.changes.is_empty()).map(|variant| variant.kind)
        };
        let words = match (plain(&comparison.baseline), plain(&comparison.variant)) {
            (Some(Kind::Typed(DatasetType::Real) | Kind::Dose(0)), Some(kind)) => match kind {
                Kind::Typed(DatasetType::Augmented) => Some("Adding augmented copies".to_owned()),
                Kind::Typed(DatasetType::Synthetic) => {
                    Some("Training on synthetic instead of real images".into())
                }
                Kind::Typed(DatasetType::SyntheticAugmented) => {
                    Some("Training on synthetic images with augmented copies instead of real images".into())
                }
                Kind::Dose(1) => Some("Adding 1 synthetic image".into()),
                Kind::Dose(images) if images > 0 => {
                    Some(format!("Adding {} synthetic images", thousands(images)))
                }
                _ => None,
            },
            _ => None,
        };
        words
            .unwrap_or_else(|| format!("Using '{}' instead of '{}'", comparison.variant, comparison.baseline))
    }
}

/// A difference in percentage points: 0.012 -> "+1.2", with a real minus sign.
pub(super) fn points(value: f64) -> String {
    let text = format!("{:+.1}", value * 100.0);
    match text.as_str() {
        "+0.0" | "-0.0" => "0.0".into(),
        text => text.replace('-', "\u{2212}"),
    }
}

/// A confidence level: 0.95 -> "95 %".
pub(super) fn level(level: f64) -> String {
    format!("{} %", (level * 1000.0).round() / 10.0)
}

/// The name of an interval: 0.95 -> "95 % CI".
pub(super) fn confidence(at: f64) -> String {
    format!("{} CI", level(at))
}

/// A p value in a table cell.
pub(super) fn p_text(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

fn p_equals(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("= {p:.3}") }
}

/// What a variant is trained on, for a table.
pub(super) fn kind_text(kind: Kind) -> String {
    match kind {
        Kind::Typed(kind) => kind.to_string(),
        Kind::Dose(images) => format!("real + {images} synthetic"),
        Kind::Leaky => LEAKY.into(),
    }
}
