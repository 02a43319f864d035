//! What training cost, and what the variants were trained with.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::cells::{kind_cell, name_cell};
use crate::page::html::{
    Section, Table, count, decimals, details, duration, escape, number, text, thousands,
};
use crate::page::output::Output;
use crate::study::plan::Plan;
use crate::study::results::{Results, VariantResult};

pub(super) fn cost(results: &Results, output: &mut Output) -> Section {
    let mut table = Table::new(
        "cost",
        "Training cost of one run, means over the seeds",
        &["variant", "training images", "epochs", "images seen", "time"],
    );
    let rounded = |value: Option<f64>| {
        value.map_or_else(|| text(""), |value| number(thousands(value.round() as usize), value))
    };
    for (index, variant) in results.variants.iter().enumerate() {
        let cost = variant.cost;
        let epochs =
            cost.epochs.map_or_else(|| text(""), |value| number(decimals(value, 1).replace(".0", ""), value));
        let time = cost.seconds.map_or_else(|| text(""), |value| number(duration(value), value));
        table.push(vec![
            name_cell(index, &variant.name),
            rounded(cost.train_images),
            epochs,
            rounded(cost.images_seen),
            time,
        ]);
    }
    let seconds: f64 =
        results.variants.iter().flat_map(|variant| &variant.runs).filter_map(|run| run.cost.seconds).sum();
    let lead = if seconds > 0.0 {
        format!("Training the compared runs took {} in total.", duration(seconds))
    } else {
        "The run folders do not record how long training took.".into()
    };
    let note = "<p class=\"quiet\">In the same number of epochs, a variant with more images trains for \
                longer: what looks like better data may be longer training.</p>";
    Section { id: "cost", title: "Cost", lead, body: output.table(&table) + note }
}

pub(super) fn settings(results: &Results, plan: &Plan, output: &mut Output) -> Section {
    let fact = |what: &str, value: String| format!("<div><dt>{what}</dt><dd>{}</dd></div>", escape(&value));
    let path =
        |path: Option<&PathBuf>| path.map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    let seeds = plan.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let changes =
        plan.set.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ");
    let mut body = format!(
        "<dl class=\"facts\">{}{}{}{}{}{}{}</dl>",
        fact("real images", path(Some(&plan.real))),
        fact("synthetic images", path(plan.synthetic.as_ref())),
        fact("recipe", path(plan.recipe.as_ref())),
        fact("changes for all variants", if changes.is_empty() { "nothing".into() } else { changes }),
        fact("seeds", seeds),
        fact("split seed", plan.split_seed.to_string()),
        fact(
            "augmented copies",
            format!("{} of each image, profile {}", plan.augment.copies, plan.augment.profile)
        )
    );
    let mut variants =
        Table::new("settings_of_variants", "How the variants differ", &["variant", "trained on", "changes"]);
    for (index, variant) in results.variants.iter().enumerate() {
        let changes = variant
            .changes
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect::<Vec<_>>()
            .join(", ");
        variants.push(vec![name_cell(index, &variant.name), kind_cell(variant), text(changes)]);
    }
    body += &output.table(&variants);
    let keys: BTreeSet<&str> =
        results.variants.iter().flat_map(|variant| &variant.settings).map(|(key, _)| key.as_str()).collect();
    let value = |variant: &VariantResult, key: &str| {
        variant.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let table_of = |name: &str, caption: &str, all: bool| {
        let mut table = Table::new(name, caption, &["key"]);
        results.variants.iter().for_each(|variant| table.column(&variant.name));
        for &key in &keys {
            let values: Vec<Option<String>> =
                results.variants.iter().map(|variant| value(variant, key)).collect();
            if all || values.iter().any(|value| *value != values[0]) {
                let cells = values.iter().map(|value| text(value.as_deref().unwrap_or("–")));
                table.push(std::iter::once(text(key)).chain(cells).collect());
            }
        }
        table
    };
    let differing = table_of("settings", "Settings that differ between variants (first run of each)", false);
    if !differing.is_empty() {
        body += &output.table(&differing);
    }
    if !keys.is_empty() {
        body += &details("All settings", &table_of("", "All settings", true).html());
    }
    let lead = format!(
        "The plan has {} and {}.",
        count(plan.arms().len(), "variant", "variants"),
        count(plan.seeds.len(), "seed", "seeds")
    );
    Section { id: "settings", title: "Settings", lead, body }
}
