//! The results of a study as a table for the terminal and as CSV.

use std::fmt::Write;

use super::results::{Comparison, Results};
use super::words::{confidence, kind_text, p_text, points};
use crate::stats::bootstrap::Interval;
use crate::text::{count, cut_end};

impl Results {
    /// The table for a terminal, followed by the answers.
    pub fn table(&self) -> String {
        const NAME: usize = 22;
        let interval = confidence(self.level);
        let mut out = format!(
            "{:NAME$} {:>5} {:>8} {:>14} {:>8}   {:>8} {:>14} {:>8}\n",
            "variant", "seeds", "accuracy", interval, "macro F1", "change", interval, "p (Holm)"
        );
        let shares =
            |interval: Interval| format!("{:.1} – {:.1}", interval.low * 100.0, interval.high * 100.0);
        for variant in &self.variants {
            let name = cut_end(&variant.name, NAME);
            let mut line = format!(
                "{name:NAME$} {:>5} {:>8} {:>14} {:>8.3}",
                variant.runs.len(),
                format!("{:.1} %", variant.accuracy.estimate * 100.0),
                shares(variant.accuracy),
                variant.macro_f1.estimate
            );
            if let Some(comparison) =
                self.comparisons.iter().find(|comparison| comparison.variant == variant.name)
            {
                let change = comparison.accuracy;
                let between =
                    format!("{} – {}", points(change.difference.low), points(change.difference.high));
                let sign = if comparison.clear { " *" } else { "" };
                let p = p_text(change.p_holm);
                let _ =
                    write!(line, "   {:>8} {between:>14} {p:>8}{sign}", points(change.difference.estimate));
            } else if variant.name == self.baseline {
                line += "   (baseline)";
            }
            out += &line;
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "\n{} in {}. Change in accuracy in points; * significant after Holm's correction.",
            count(self.images, "test image", "test images"),
            count(self.groups, "group", "groups")
        );
        if let Some(claim) = &self.claim {
            let _ = writeln!(
                out,
                "Augmented before a random split (leaky), the reported accuracy would be {:.1} %; '{}' \
                 reaches {:.1} %.",
                claim.accuracy * 100.0,
                claim.beside,
                claim.honest * 100.0
            );
        }
        for answer in self.answers() {
            let _ = writeln!(out, "{answer}");
        }
        if !self.missing.is_empty() {
            let _ = writeln!(out, "Not finished: {}.", self.missing.join(", "));
        }
        out
    }

    /// The results as CSV (RFC 4180), a row per variant; unknown values are empty cells.
    pub fn csv(&self) -> String {
        let header = [
            "variant",
            "kind",
            "seeds",
            "images",
            "groups",
            "accuracy",
            "accuracy_low",
            "accuracy_high",
            "balanced_accuracy",
            "balanced_accuracy_low",
            "balanced_accuracy_high",
            "macro_f1",
            "macro_f1_low",
            "macro_f1_high",
            "baseline",
            "accuracy_change",
            "accuracy_change_low",
            "accuracy_change_high",
            "p",
            "p_holm",
            "clear",
            "mcnemar_p",
            "train_images",
            "epochs",
            "images_seen",
            "seconds",
        ];
        let mut out = record(header.map(String::from));
        for variant in &self.variants {
            let comparison = self.comparisons.iter().find(|comparison| comparison.variant == variant.name);
            let of = |value: fn(&Comparison) -> String| comparison.map(value).unwrap_or_default();
            let cost = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            let [a, b, f] = [variant.accuracy, variant.balanced_accuracy, variant.macro_f1]
                .map(|one| [one.estimate.to_string(), one.low.to_string(), one.high.to_string()]);
            let ([a, al, ah], [b, bl, bh], [f, fl, fh]) = (a, b, f);
            let mcnemar = |comparison: &Comparison| {
                comparison.mcnemar.iter().map(|test| test.p.to_string()).collect::<Vec<_>>().join(";")
            };
            out += &record([
                variant.name.clone(),
                kind_text(variant.kind),
                variant.runs.len().to_string(),
                self.images.to_string(),
                self.groups.to_string(),
                a,
                al,
                ah,
                b,
                bl,
                bh,
                f,
                fl,
                fh,
                of(|one| one.baseline.clone()),
                of(|one| one.accuracy.difference.estimate.to_string()),
                of(|one| one.accuracy.difference.low.to_string()),
                of(|one| one.accuracy.difference.high.to_string()),
                of(|one| one.accuracy.p.to_string()),
                of(|one| one.accuracy.p_holm.to_string()),
                of(|one| one.clear.to_string()),
                of(mcnemar),
                cost(variant.cost.train_images),
                cost(variant.cost.epochs),
                cost(variant.cost.images_seen),
                cost(variant.cost.seconds),
            ]);
        }
        out
    }
}

fn record<const N: usize>(fields: [String; N]) -> String {
    crate::text::csv_line(&fields)
}
