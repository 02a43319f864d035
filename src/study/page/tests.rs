use std::fs;

use super::*;
use crate::stats::bootstrap::Interval;
use crate::study::figures::{self, Axis, Block, Row};
use crate::study::results::{Quality, QualityClass};
use crate::study::testing::{WORLD, study};
use crate::study::{QUALITY, RESULTS, TABLE, write as write_study};

const ALL: &str = "real = 'a<b>'\nsynthetic = 'b'\ndose = [0, 50, 200]\n[set]\n'train.weights' = \
                   '</script><script>alert(1)</script>'\n\
                   [[variant]]\nname = 'resnet'\nset = { 'model.name' = '<img>' }\n";

fn made(text: &str) -> (tempfile::TempDir, Plan, String) {
    let text =
        text.replace("[set]", "variants = ['real', 'augmented', 'synthetic', 'synthetic-augmented']\n[set]");
    let (folder, plan) = study(&text, WORLD, |variant| match variant {
        "leaky" => 0.93,
        "synthetic" => 0.45,
        "dose-200" => 0.64,
        _ => 0.6,
    });
    let class = |class: &str, intended| QualityClass {
        class: class.into(),
        images: 50,
        intended,
        diversity: 6.0,
        real_diversity: 11.5,
    };
    let quality = Quality {
        images: 150,
        intended: 0.81,
        per_class: vec![class("angry", 0.7), class("happy", 0.95), class("<sad>", 0.78)],
        frechet: 12.3,
        frechet_real: 3.1,
        model: "runs/real-s1".into(),
    };
    crate::files::write_json(&folder.path().join(QUALITY), &quality).unwrap();
    write_study(folder.path(), &plan).unwrap();
    let page = fs::read_to_string(folder.path().join(PAGE)).unwrap();
    (folder, plan, page)
}

fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    page.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Every element is closed in the order in which it was opened.
fn check_nesting(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>').unwrap();
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        rest = after;
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "near {}", &after[..after.len().min(80)]);
        } else if !tag.starts_with('!')
            && !tag.ends_with('/')
            && !["meta", "link", "img", "input", "br"].contains(&name)
        {
            open.push(name);
            if name == "script" || name == "style" {
                rest = &rest[rest.find(&format!("</{name}")).unwrap()..];
            }
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn a_study_becomes_a_page_with_every_section_and_file() {
    let (folder, _, page) = made(ALL);
    check_nesting(&page);
    for id in
        ["answer", "numbers", "differences", "classes", "claim", "dose", "synthetic", "cost", "settings"]
    {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    for part in [
        "1 of 6 comparisons with &#39;real&#39; shows a significant difference in accuracy: \
         &#39;synthetic&#39; (worse).",
        "not significant with 3 seeds and 20 groups",
        "the reported accuracy would be <strong>9",
        "classifies 81.0% of 150 synthetic images as intended",
        "saw 3.0 times as many images",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Links are to files that are there, and nothing comes from elsewhere.
    for place in values(&page, "href").into_iter().chain(values(&page, "src")) {
        assert!(!place.contains("http") && !place.starts_with('/'), "{place}");
        if let Some(anchor) = place.strip_prefix('#') {
            assert!(page.contains(&format!("id=\"{anchor}\"")), "{place}");
        } else if !place.starts_with("data:") {
            assert!(folder.path().join(place).is_file(), "{place}");
        }
    }
    assert!(!page.replace("url(data:", "").contains("url(") && !page.contains("@import"));
    let csv = fs::read_to_string(folder.path().join("tables/mcnemar.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 6 * 3, "{csv}");
    let csv = fs::read_to_string(folder.path().join("tables/class_changes.csv")).unwrap();
    assert!(csv.lines().count() == 1 + 6 * 3 && csv.contains("<sad>"), "{csv}");
    for name in [RESULTS, TABLE] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
}

#[test]
fn no_text_of_a_plan_or_a_run_becomes_markup() {
    let (_folder, _, page) = made(ALL);
    for text in ["<sad>", "<script>alert", "<img>", "a<b>", "real<b>"] {
        assert!(!page.contains(text), "{text}");
    }
    assert!(
        page.contains("&lt;sad&gt;")
            && page.contains("&lt;script&gt;alert(1)")
            && page.contains("real&lt;b&gt;")
    );
    assert_eq!(page.matches("<script").count(), 2);
}

#[test]
fn the_same_runs_give_the_same_bytes() {
    let (folder, plan, page) = made(ALL);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let before = ["study.json", "study.csv", "plots/differences.png", "tables/class_changes.csv"].map(read);
    write_study(folder.path(), &plan).unwrap();
    assert!(fs::read_to_string(folder.path().join(PAGE)).unwrap() == page);
    assert!(
        ["study.json", "study.csv", "plots/differences.png", "tables/class_changes.csv"].map(read) == before
    );
}

#[test]
fn one_seed_or_one_variant_makes_a_page_too() {
    let (folder, plan) = study("real = 'a'\nseeds = [1]", WORLD, |_| 0.6);
    let page = |plan: &Plan| {
        write_study(folder.path(), plan).unwrap();
        let page = fs::read_to_string(folder.path().join(PAGE)).unwrap();
        check_nesting(&page);
        page
    };
    let one = page(&plan);
    assert!(
        one.contains("the variation between seeds is unknown")
            && !one.contains("id=\"dose\"")
            && !one.contains("id=\"synthetic\"")
    );
    for run in ["augmented-s1", "leaky-s1"] {
        fs::remove_dir_all(folder.path().join("runs").join(run)).unwrap();
    }
    let alone = page(&plan);
    assert!(alone.contains("There is nothing to compare yet.") && alone.contains("augmented-s1, leaky-s1"));
}

#[test]
fn labels_of_figures_do_not_touch() {
    let value = |estimate: f64| Interval { estimate, low: estimate - 0.04, high: estimate + 0.05 };
    let row = |name: &str, at: f64| Row {
        name: name.into(),
        value: value(at),
        seeds: vec![at - 0.01, at + 0.02],
        series: Some(0),
    };
    let blocks = [
        Block {
            title: "first".into(),
            rows: vec![row("a", 0.5), row(&"a long name of a variant ".repeat(3), 0.91)],
        },
        Block { title: "second".into(), rows: vec![row("b", 0.03)] },
    ];
    let points = [(0, value(0.5), vec![0.5, 0.52]), (100, value(0.55), vec![]), (10_000, value(0.6), vec![])];
    for figure in [
        figures::intervals("x", "title", "caption", Axis::Share, &blocks),
        figures::intervals("x", "title", "caption", Axis::Points, &blocks),
        figures::intervals("x", "title", "caption", Axis::Points, &[]),
        figures::dose("title", "caption", &points),
        figures::dose("title", "caption", &points[..1]),
    ] {
        for drawing in figure.drawings() {
            crate::plot::no_text_overlaps(drawing).unwrap();
        }
    }
}
