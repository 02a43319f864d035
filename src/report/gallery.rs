//! The gallery of misclassified images: which are shown, and how.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::images::{full_name, image, short_path};
use crate::page::html::{escape, percent};
use crate::page::thumbnails::Thumbnail;

/// A misclassified image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mistake {
    /// Row of the predictions.
    pub(super) row: usize,
    pub(super) path: String,
    pub(super) group: String,
    pub(super) truth: usize,
    pub(super) predicted: usize,
    /// Probability of the predicted class.
    pub(super) confidence: f64,
}

/// At most `budget` of the mistakes, in turn from each confused pair: first the most confident one of each,
/// the most frequent pairs first; then the next of each, and so on. So each pair is represented as long as
/// there are no more pairs than `budget`.
pub(super) fn choose(mistakes: &[Mistake], budget: usize) -> Vec<&Mistake> {
    let mut pairs: BTreeMap<(usize, usize), Vec<&Mistake>> = BTreeMap::new();
    for mistake in mistakes {
        pairs.entry((mistake.truth, mistake.predicted)).or_default().push(mistake);
    }
    let mut pairs: Vec<Vec<&Mistake>> = pairs.into_values().collect();
    for pair in &mut pairs {
        pair.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then_with(|| a.path.cmp(&b.path)));
    }
    // Stable: pairs of the same size stay in the order of the classes.
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.len()));
    let rounds = pairs.first().map_or(0, Vec::len);
    let in_turn = (0..rounds).flat_map(|round| pairs.iter().filter_map(move |pair| pair.get(round).copied()));
    in_turn.take(budget).collect()
}

/// The images in the order given, with controls to sort and filter them (visible only where scripts run).
pub(super) fn html(chosen: &[(&Mistake, Option<Thumbnail>)], classes: &[String]) -> String {
    let options = |used: fn(&Mistake) -> usize| {
        let mut out = String::from("<option value=\"\">any</option>");
        for (index, class) in classes.iter().enumerate() {
            let number = chosen.iter().filter(|(mistake, _)| used(mistake) == index).count();
            if number > 0 {
                let _ = write!(out, "<option value=\"{index}\">{} ({number})</option>", escape(class));
            }
        }
        out
    };
    let mut out = format!(
        "<form class=\"controls\" id=\"gallery-controls\" aria-label=\"Sort and filter the images\">\
         <label>True class <select name=\"truth\">{}</select></label>\
         <label>Predicted class <select name=\"predicted\">{}</select></label>\
         <label>Order <select name=\"order\"><option value=\"pairs\">one of each confusion first</option>\
         <option value=\"sure\">most confident first</option><option value=\"unsure\">least confident \
         first</option></select></label><button type=\"reset\">Reset</button><output \
         aria-live=\"polite\"></output></form><div class=\"gallery\" id=\"gallery\">",
        options(|mistake| mistake.truth),
        options(|mistake| mistake.predicted)
    );
    for (place, (mistake, thumbnail)) in chosen.iter().enumerate() {
        let [truth, predicted] = [mistake.truth, mistake.predicted].map(|class| escape(&classes[class]));
        let (short, full) = (short_path(&mistake.path), escape(&full_name(&mistake.path, &mistake.group)));
        let _ = write!(
            out,
            "<figure class=\"shot\" data-i=\"{place}\" data-t=\"{}\" data-p=\"{}\" data-c=\"{:.4}\">{}\
             <figcaption><span class=\"was\">{truth}</span> <span class=\"taken\">→ <b>{predicted}</b>, \
             {}</span><span class=\"path\" title=\"{full}\">{short}</span></figcaption></figure>",
            mistake.truth,
            mistake.predicted,
            mistake.confidence,
            image(thumbnail.as_ref(), &format!("{truth}, predicted as {predicted}")),
            percent(mistake.confidence),
        );
    }
    out.push_str("</div>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn mistake(row: usize, truth: usize, predicted: usize, confidence: f64) -> Mistake {
        Mistake { row, path: format!("p/{row}.png"), group: String::new(), truth, predicted, confidence }
    }

    #[test]
    fn one_mistake_of_each_confused_pair_comes_first() {
        // 1,000 of one pair, and one each of 30 others.
        let mut mistakes: Vec<Mistake> =
            (0..1000).map(|row| mistake(row, 0, 1, 0.3 + row as f64 / 2000.0)).collect();
        let others = (0..7).flat_map(|truth| (0..7).map(move |predicted| (truth, predicted)));
        let others =
            others.filter(|(truth, predicted)| truth != predicted && (*truth, *predicted) != (0, 1)).take(30);
        mistakes.extend(
            others
                .enumerate()
                .map(|(index, (truth, predicted))| mistake(1000 + index, truth, predicted, 0.4)),
        );
        let chosen = choose(&mistakes, 40);
        assert_eq!(chosen.len(), 40);
        let pairs: HashSet<_> =
            chosen[..31].iter().map(|mistake| (mistake.truth, mistake.predicted)).collect();
        assert_eq!(pairs.len(), 31, "one of each pair comes before a second of any");
        assert_eq!(chosen[0].row, 999, "the most confident of the most frequent pair comes first");
        assert_eq!(choose(&mistakes, 5000).len(), 1030, "all of them where there is room");
        assert!(choose(&[], 10).is_empty());
    }

    #[test]
    fn the_gallery_does_not_depend_on_the_order_of_the_rows() {
        let mistakes: Vec<Mistake> = (0..60).map(|row| mistake(row, row % 3, 3 + row % 4, 0.5)).collect();
        let mut turned = mistakes.clone();
        turned.reverse();
        assert_eq!(choose(&mistakes, 25), choose(&turned, 25));
    }

    #[test]
    fn markup_in_a_path_is_escaped() {
        let bad = Mistake {
            path: "x/\"><script>alert(1)</script>.png".into(),
            group: "'><b>".into(),
            ..mistake(0, 0, 1, 0.5)
        };
        let page = html(&[(&bad, None)], &["<i>".into(), "b".into()]);
        assert!(!page.contains("<script") && !page.contains("<i>") && page.contains("&lt;i&gt;"), "{page}");
    }
}
