//! Loads whose images belong together: duplicates, persons, source photos.

use std::collections::{BTreeMap, HashSet};

use super::folders::{config, folders, loaded, no_group_crosses, refused, says};
use crate::data::testing::{image, write, write_image};
use crate::data::{DataConfig, GroupRule};

#[test]
fn duplicates_share_a_group_even_in_two_file_formats_and_classes() {
    let root = folders(30);
    write_image(root.path(), "sad/copy.png", 3);
    let mut other = Vec::new();
    let image = image(3);
    let mut encoder = png::Encoder::new(&mut other, 8, 8);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_filter(png::Filter::Up);
    encoder.add_text_chunk("Title".into(), "the same image".into()).unwrap();
    encoder.write_header().unwrap().write_image_data(&image.pixels).unwrap();
    write(root.path(), "happy/other.png", other);
    let dataset = loaded(&config(root.path()));
    let group = |name: &str| &dataset.samples.iter().find(|sample| sample.name == name).unwrap().group;
    assert_eq!(group("happy/003.png"), group("sad/copy.png"));
    assert_eq!(group("happy/003.png"), group("happy/other.png"));
    assert_ne!(group("happy/003.png"), group("happy/004.png"));
    assert_eq!(dataset.duplicates, 2);
    assert!(says(
        &dataset.warnings,
        "1 image appears under more than one class, e.g. happy/003.png and sad/copy.png are the same"
    ));
    no_group_crosses(&dataset);
}

#[test]
fn persons_found_by_the_regex_stay_whole() {
    let root = tempfile::tempdir().unwrap();
    for person in 0..30 {
        for shot in 0..3 {
            write_image(root.path(), &format!("happy/{person:03}_{shot}.png"), person * 10 + shot);
            write_image(root.path(), &format!("sad/{person:03}_{shot}.png"), 5000 + person * 10 + shot);
        }
    }
    let config = DataConfig { group_regex: Some(r"^(\d+)_".into()), ..config(root.path()) };
    let dataset = loaded(&config);
    let groups: HashSet<&str> = dataset.samples.iter().map(|sample| sample.group.as_str()).collect();
    assert_eq!(groups.len(), 30);
    assert_eq!(dataset.summary().groups.train, 24);
    assert_eq!(dataset.group_rules, BTreeMap::from([(GroupRule::Regex, 180)]));
    no_group_crosses(&dataset);
    for name in ["happy/x.png", "sad/y.png"] {
        write_image(root.path(), name, name.as_bytes()[0].into());
    }
    let text = refused(&config);
    assert!(text.contains("does not match 2 of 182 file names, e.g. `happy/x.png`, `sad/y.png`"), "{text}");
}

#[test]
fn file_names_of_known_sets_group_where_nothing_else_does() {
    let root = folders(10);
    for face in 0..8 {
        write_image(root.path(), &format!("happy/{face}Exp0crowd_7.jpg"), 500 + face);
        write_image(root.path(), &format!("sad/drawn-p00003_{face:02}.png"), 600 + face);
    }
    let dataset = loaded(&config(root.path()));
    let in_group = |group: &str| dataset.samples.iter().filter(|sample| sample.group == group).count();
    assert_eq!((in_group("crowd_7"), in_group("drawn-p00003")), (8, 8));
    let rules = [(GroupRule::ExpwPhoto, 8), (GroupRule::DrawnPerson, 8), (GroupRule::Content, 20)];
    assert_eq!(dataset.group_rules, BTreeMap::from(rules));
    no_group_crosses(&dataset);
}
