//! The quality of the synthetic images, as a model of real faces sees them.

use std::path::Path;

use crate::page::html::{
    Section, Table, count, decimals, escape, number, percent, share, significant, text, whole,
};
use crate::page::output::Output;
use crate::study::results::{Quality, Results};

pub(super) fn synthetic(results: &Results, quality: &Quality, output: &mut Output) -> Section {
    let mut table = Table::new(
        "quality",
        "Synthetic images by class",
        &["class", "images", "classified as intended", "diversity", "diversity of real images", "ratio"],
    );
    for class in &quality.per_class {
        let ratio = class.diversity / class.real_diversity;
        table.push(vec![
            text(&class.class),
            whole(class.images),
            share(class.intended),
            number(significant(class.diversity), class.diversity),
            number(significant(class.real_diversity), class.real_diversity),
            number(decimals(ratio, 2), ratio),
        ]);
    }
    let lead = format!(
        "A model trained on real faces classifies {} of {} as intended.",
        percent(quality.intended),
        count(quality.images, "synthetic image", "synthetic images")
    );
    let judge = results.variants.iter().flat_map(|variant| &variant.runs).find(|run| {
        Path::new(&quality.model).file_name().is_some_and(|name| name.to_str() == Some(run.run.as_str()))
    });
    let judge = judge.map_or_else(String::new, |run| {
        format!(
            " Its own accuracy on the real test images is {}, so not every disagreement is the images’ \
             fault.",
            percent(run.accuracy)
        )
    });
    let body = format!(
        "<p>The model is <code>{}</code>.{judge} The Fréchet distance between its features of synthetic and \
         of real images is {}; between two halves of the real images, split by group, it is {}. Diversity is \
         the mean distance between two images of a class in feature space: a ratio far below 1 means that \
         the synthetic images are more alike than real ones.</p>{}",
        escape(&quality.model),
        significant(quality.frechet),
        significant(quality.frechet_real),
        output.table(&table)
    );
    Section { id: "synthetic", title: "Synthetic images", lead, body }
}
