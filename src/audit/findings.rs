//! The findings: what matters about the data, one sentence each, the most severe first.

use std::collections::BTreeMap;

use super::found::{Audit, Finding, Severity, Topic};
use super::probe::Told;
use crate::data::Split;
use crate::data::classes::EMOTIONS;
use crate::text::{count, quoted_list};

/// By how much the probe must beat chance before it is worth a warning.
const TOLD_MARGIN: f64 = 0.1;

/// The findings of an audit that is otherwise complete.
pub(super) fn findings(audit: &Audit) -> Vec<Finding> {
    use Severity::{Error, Note, Warning};
    let mut findings = Vec::new();
    let mut add = |topic: Topic, severity: Severity, number: usize, text: String| {
        if number > 0 {
            findings.push(Finding { topic, severity, count: number, text });
        }
    };
    let (exact, near) = (audit.exact, audit.near);
    let pairs =
        |number: usize, what: &str| count(number, &format!("pair of {what}"), &format!("pairs of {what}"));

    let text = count(audit.unreadable.len(), "file cannot be read", "files cannot be read");
    add(Topic::Unreadable, Error, audit.unreadable.len(), text);
    let text = pairs(exact.across_splits, "exact duplicates")
        + " across splits: the model would be evaluated on images it was trained on";
    add(Topic::ExactAcrossSplits, Error, exact.across_splits, text);
    let text = pairs(near.across_splits, "near duplicates")
        + " across splits: the model would be evaluated on near copies of training images";
    add(Topic::NearAcrossSplits, Error, near.across_splits, text);
    let text = count(audit.cut_group_count, "group crosses splits", "groups cross splits");
    add(Topic::CutGroups, Error, audit.cut_group_count, text);
    let text = pairs(exact.two_labels, "exact duplicates")
        + " with different labels: at least one label of each is wrong";
    add(Topic::TwoLabels, Error, exact.two_labels, text);
    let across = exact.across_sets + near.across_sets;
    let text = pairs(across, "duplicates") + &format!(" across data sets ({} exact)", exact.across_sets);
    add(Topic::AcrossSets, Warning, across, text);
    let text = pairs(near.two_labels, "near duplicates") + " with different labels: check them";
    add(Topic::NearTwoLabels, Warning, near.two_labels, text);
    let text = pairs(exact.within_split, "exact duplicates") + " within a split";
    add(Topic::ExactWithinSplit, Warning, exact.within_split, text);
    let text = pairs(near.within_split, "near duplicates") + " within a split";
    add(Topic::NearWithinSplit, Note, near.within_split, text);

    let images = |number: usize, what: &str| count(number, "image", "images") + what;
    let text = count(audit.blank.len(), "blank image", "blank images");
    add(Topic::Blank, Warning, audit.blank.len(), text);
    let what = format!(" with a side shorter than {} pixels", audit.options.smallest_side);
    add(Topic::Tiny, Warning, audit.tiny.len(), images(audit.tiny.len(), &what));
    let usual = audit.sizes.first();
    let usual = usual
        .map_or(String::new(), |size| format!(" (the most common size is {}x{})", size.width, size.height));
    let what = format!(" of unusual size or aspect ratio{usual}");
    add(Topic::MisSized, Note, audit.mis_sized.len(), images(audit.mis_sized.len(), &what));
    let text =
        format!("greyscale and colour images are mixed: {} greyscale, {} colour", audit.grey, audit.colour);
    add(Topic::MixedColour, Warning, audit.grey.min(audit.colour), text);
    missing_classes(audit, &mut add);
    probe_findings(audit, &mut add);
    if let Some(noise) = &audit.label_noise {
        let share = 100.0 * noise.noise;
        let labels = count(noise.doubtful, "doubtful label", "doubtful labels");
        let text = format!("{labels}; an estimated {share:.1}% of all labels are wrong");
        add(Topic::LabelNoise, Warning, noise.doubtful, text);
    }
    for root in &audit.roots {
        for text in root.left_out.iter().chain(&root.warnings) {
            add(Topic::Scan, Note, 1, format!("{}: {text}", root.path.display()));
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity)); // stable
    findings
}

/// Classes without images in a split, and emotions without a class.
fn missing_classes(audit: &Audit, add: &mut impl FnMut(Topic, Severity, usize, String)) {
    let mut totals: BTreeMap<(usize, Option<Split>), Vec<usize>> = BTreeMap::new();
    for row in &audit.balance {
        let total = totals.entry((row.root, row.split)).or_insert_with(|| vec![0; audit.classes.len()]);
        total.iter_mut().zip(&row.counts).for_each(|(total, count)| *total += count);
    }
    for ((root, split), total) in totals {
        let missing: Vec<&String> = audit
            .classes
            .iter()
            .zip(&total)
            .filter(|(_, count)| **count == 0)
            .map(|(name, _)| name)
            .collect();
        let place = audit.roots[root].path.display();
        let split = split.map_or(String::new(), |split| format!(", split {split}"));
        let text = format!("{place}{split}: no images of {}", quoted_list(&missing));
        add(Topic::MissingClass, Severity::Warning, missing.len(), text);
    }
    if audit.classes.iter().all(|class| EMOTIONS.contains(&class.as_str())) {
        let missing: Vec<&&str> =
            EMOTIONS.iter().filter(|emotion| !audit.classes.iter().any(|class| class == *emotion)).collect();
        add(
            Topic::MissingClass,
            Severity::Note,
            missing.len(),
            format!("emotions without a class: {}", quoted_list(&missing)),
        );
    }
}

fn probe_findings(audit: &Audit, add: &mut impl FnMut(Topic, Severity, usize, String)) {
    let Some(probe) = &audit.probe else { return };
    let best = |what: &str| {
        let of = probe.told.iter().filter(|told| told.what == what);
        of.max_by(|a: &&Told, b: &&Told| {
            a.balanced_accuracy.estimate.total_cmp(&b.balanced_accuracy.estimate)
        })
    };
    for (what, topic) in [("source", Topic::SourceTold), ("class", Topic::ClassTold)] {
        let Some(told) = best(what) else { continue };
        if told.balanced_accuracy.low <= told.chance + TOLD_MARGIN {
            continue;
        }
        let from = match told.from.as_str() {
            "colour" => "colour statistics alone",
            "jpeg" => "JPEG quantisation alone",
            _ => "colour statistics and JPEG quantisation alone",
        };
        let (found, chance) = (100.0 * told.balanced_accuracy.estimate, 100.0 * told.chance);
        let text = format!(
            "a linear classifier predicts the {what} from {from}: balanced accuracy {found:.1}% (chance \
             {chance:.1}%)"
        );
        add(topic, Severity::Warning, told.images, text);
    }
    if let Some(known) = probe.source_tells_class
        && known.accuracy > known.majority + TOLD_MARGIN / 2.0
    {
        let (found, majority) = (100.0 * known.accuracy, 100.0 * known.majority);
        let text = format!(
            "the source alone predicts the class with {found:.1}% accuracy (majority class: {majority:.1}%)"
        );
        add(Topic::SourceTellsClass, Severity::Warning, 1, text);
    }
}
