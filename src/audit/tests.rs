use std::path::Path;

use super::similar::Near;
use super::*;
use crate::data::Split;
use crate::data::testing::{png, write};
use crate::faces::draw::face;
use crate::image::Bitmap;
use crate::image::RgbImage;
use crate::image::encode::{Encoder, Subsampling};
use crate::image::resize::resize;

const SILENT: Progress = &|_, _, _| {};

fn audit(root: &Path) -> Audit {
    run(&Options { roots: vec![root.to_owned()], ..Options::default() }, SILENT).unwrap()
}

fn finding(audit: &Audit, topic: Topic) -> Option<(Severity, usize)> {
    audit
        .findings
        .iter()
        .find(|finding| finding.topic == topic)
        .map(|finding| (finding.severity, finding.count))
}

fn jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut file = Vec::new();
    Encoder::default().jpeg(&Bitmap::from_rgb(image.clone()), quality, Subsampling::S420, &mut file);
    file
}

fn mirrored(image: &RgbImage) -> RgbImage {
    let rows = image.pixels.chunks_exact(image.width * 3);
    let pixels = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    RgbImage::new(image.width, image.height, pixels)
}

/// Drawn faces of different people: nothing alike.
fn set(root: &Path) {
    for (split, from) in [("train", 0), ("valid", 100), ("test", 200)] {
        for number in 0..4 {
            for (class, name) in ["happy", "sad"].into_iter().enumerate() {
                let person = from + number * 2 + class as u64;
                let image = face(1, person, 0, 3 + 2 * class, 48);
                write(root, &format!("{split}/{name}/{person}.png"), png(&image));
            }
        }
    }
}

#[test]
fn a_clean_set_has_no_errors_and_all_of_it_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    set(&root);
    let found = audit(&root);
    assert!(found.severity() < Severity::Error, "{:?}", found.findings);
    assert!(found.pairs.is_empty() && found.cut_groups.is_empty(), "{:?}", found.pairs);
    let list = folder.path().join("clean.csv");
    let clean = clean_list::write(&list, &found).unwrap();
    assert_eq!((clean.kept, clean.left_out.len()), (24, 0));
    let again = audit(&list);
    assert_eq!(again.images.len(), 24);
    assert_eq!(
        again.balance.iter().map(|row| (row.split, row.counts.clone())).collect::<Vec<_>>(),
        Split::ALL.map(|split| (Some(split), vec![4, 4]))
    );
}

#[test]
fn duplicates_are_found_by_kind_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    set(root);
    let image = face(1, 0, 0, 3, 48); // train/happy/0.png
    write(root, "test/happy/same.png", png(&image));
    let other = face(1, 1, 0, 5, 48); // train/sad/1.png
    write(root, "train/sad/coded.jpg", jpeg(&other, 75));
    write(root, "valid/sad/mirror.png", png(&mirrored(&other)));
    let third = face(1, 100, 0, 3, 48); // valid/happy/100.png
    write(root, "test/sad/large.png", png(&resize(&third, 96, 96)));
    let found = audit(root);
    let of = |name: &str| {
        let index = found.images.iter().position(|image| image.name == name).unwrap();
        let pairs = found.pairs.iter().filter(move |pair| pair.a == index || pair.b == index);
        pairs.map(|pair| (pair.kind, pair.relation, pair.same_label)).collect::<Vec<_>>()
    };
    assert_eq!(of("test/happy/same.png"), [(Kind::Content, Relation::AcrossSplits, true)]);
    assert_eq!(
        of("train/sad/coded.jpg"),
        [(Kind::Near, Relation::WithinSplit, true), (Kind::Mirrored, Relation::AcrossSplits, true)]
    );
    assert_eq!(of("test/sad/large.png"), [(Kind::Near, Relation::AcrossSplits, false)]);
    assert_eq!(found.exact, PairCounts { across_splits: 1, ..PairCounts::default() });
    assert_eq!(finding(&found, Topic::ExactAcrossSplits), Some((Severity::Error, 1)));
    assert_eq!(finding(&found, Topic::NearAcrossSplits), Some((Severity::Error, 3)));
    assert_eq!(finding(&found, Topic::NearTwoLabels), Some((Severity::Warning, 1)));
    assert_eq!(
        finding(&found, Topic::CutGroups),
        Some((Severity::Error, 1)),
        "an exact duplicate is one group"
    );
    assert_eq!(found.cluster_count, 3);
    assert!(found.clusters.iter().all(|cluster| cluster.across_splits));
    let exact_only =
        run(&Options { roots: vec![root.to_owned()], near: None, ..Options::default() }, SILENT).unwrap();
    assert_eq!((exact_only.pairs.len(), exact_only.near), (1, PairCounts::default()));
    let plain = Some(Near { mirrored: false, ..Near::default() });
    let unmirrored =
        run(&Options { roots: vec![root.to_owned()], near: plain, ..Options::default() }, SILENT).unwrap();
    assert!(unmirrored.pairs.iter().all(|pair| pair.kind != Kind::Mirrored) && unmirrored.pairs.len() == 3);
}

#[test]
fn the_clean_list_has_no_leak_and_one_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    set(&root);
    let image = face(1, 0, 0, 3, 48);
    write(&root, "test/happy/same.png", png(&image)); // train/happy/0.png has to go
    write(&root, "train/happy/twin.jpg", jpeg(&face(1, 2, 0, 3, 48), 80)); // of train/happy/2.png
    write(&root, "train/sad/torn.png", png(&face(1, 4, 0, 3, 48))); // and train/happy/4.png: both have to go
    for (split, face) in [("train", 7), ("valid", 8)] {
        // Two faces of one photo, as ExpW names them.
        write(
            &root,
            &format!("{split}/happy/{face}Exp0party_{}.png", 12),
            png(&crate::faces::draw::face(1, 300 + face, 0, 3, 48)),
        );
    }
    write(&root, "train/happy/blank.png", png(&RgbImage::new(48, 48, vec![90; 48 * 48 * 3])));
    write(&root, "train/happy/small.png", png(&resize(&face(1, 400, 0, 3, 48), 16, 16)));
    write(&root, "train/happy/broken.png", b"nothing");
    let found = audit(&root);
    let list = folder.path().join("lists/clean.csv");
    let clean = clean_list::write(&list, &found).unwrap();
    let expected = [
        ("blank", 1),
        ("duplicate of a kept image", 2),
        ("identical images have different labels", 2),
        ("its group is kept in another split", 1),
        ("too small", 1),
        ("unreadable", 1),
    ];
    assert_eq!(clean.left_out.iter().map(|(reason, &n)| (reason.as_str(), n)).collect::<Vec<_>>(), expected);
    let again = audit(&list);
    assert_eq!(again.images.len(), clean.kept);
    assert!(again.severity() < Severity::Error && again.pairs.is_empty(), "{:?}", again.findings);
    let names: Vec<&str> = again.images.iter().map(|image| image.name.rsplit('/').next().unwrap()).collect();
    assert!(names.contains(&"same.png") && names.contains(&"8Exp0party_12.png"));
    assert!(
        !["0.png", "4.png", "torn.png", "7Exp0party_12.png", "blank.png"]
            .iter()
            .any(|gone| names.contains(gone))
    );
}

#[test]
fn unusual_files_and_contradicting_labels_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    set(root);
    write(root, "train/happy/broken.jpg", b"\xff\xd8\xff nothing");
    write(root, "train/happy/blank.png", png(&RgbImage::new(48, 48, vec![200; 48 * 48 * 3])));
    write(root, "test/sad/blank.png", png(&RgbImage::new(48, 48, vec![200; 48 * 48 * 3])));
    write(root, "train/sad/tiny.png", png(&resize(&face(1, 400, 0, 3, 48), 20, 20)));
    write(root, "train/sad/wide.png", png(&resize(&face(1, 401, 0, 3, 96), 90, 40)));
    let grey = resize(&face(1, 402, 0, 3, 48), 48, 48);
    let luma: Vec<u8> = grey.pixels.chunks_exact(3).map(|pixel| pixel[1]).collect();
    write(root, "train/sad/grey.png", png(&RgbImage::from_grey(48, 48, &luma)));
    write(root, "train/sad/torn.png", png(&face(1, 0, 0, 3, 48)));
    let found = audit(root);
    let names = |odd: &[Odd]| odd.iter().map(|odd| odd.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found.unreadable), ["train/happy/broken.jpg"]);
    assert_eq!(names(&found.blank), ["test/sad/blank.png", "train/happy/blank.png"]);
    assert_eq!(names(&found.tiny), ["train/sad/tiny.png"]);
    assert_eq!(names(&found.mis_sized), ["train/sad/tiny.png", "train/sad/wide.png"]);
    assert!(found.grey >= 3);
    assert_eq!(finding(&found, Topic::Unreadable), Some((Severity::Error, 1)));
    assert_eq!(finding(&found, Topic::TwoLabels), Some((Severity::Error, 1)), "blank images are not counted");
    for topic in [Topic::Blank, Topic::Tiny, Topic::MixedColour] {
        assert_eq!(finding(&found, topic).unwrap().0, Severity::Warning, "{topic:?}");
    }
    assert!(
        found
            .clusters
            .iter()
            .all(|cluster| cluster.members.iter().all(|member| !member.name.contains("blank")))
    );
}

#[test]
fn blank_images_form_no_cluster_and_a_split_without_a_class_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for number in 0..30u8 {
        let noise: Vec<u8> =
            (0..48 * 48 * 3).map(|at: usize| 100 + ((at * 7 + usize::from(number)) % 3) as u8).collect();
        write(root, &format!("train/happy/{number}.png"), png(&RgbImage::new(48, 48, noise)));
    }
    write(root, "test/sad/face.png", png(&face(1, 5, 0, 5, 48)));
    let found = audit(root);
    assert_eq!((found.blank.len(), found.pairs.len()), (30, 0));
    assert_eq!(finding(&found, Topic::MissingClass), Some((Severity::Warning, 1)));
}

/// Every face of one source has a cast of colour, and one class comes from that source alone.
#[test]
fn a_shortcut_is_reported_and_only_where_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let [tinted, plain] = ["tinted", "plain"].map(|name| folder.path().join(name));
    for number in 0..40u64 {
        for (class, name) in ["happy", "sad"].into_iter().enumerate() {
            let person = 2 * number + class as u64;
            let image = face(1, person, 0, 3 + 2 * class, 48);
            let from_expw = class == 0;
            let file = if from_expw {
                format!("{person}Exp0photo_{person}.jpg")
            } else {
                format!("Sad.{person}.jpg")
            };
            write(&plain, &format!("{name}/{file}"), jpeg(&image, 75));
            let mut image = image;
            if from_expw {
                image.pixels.chunks_exact_mut(3).for_each(|pixel| pixel[2] = pixel[2].saturating_add(60));
            }
            write(&tinted, &format!("{name}/{file}"), jpeg(&image, if from_expw { 60 } else { 90 }));
        }
    }
    let found = audit(&tinted);
    for topic in [Topic::SourceTold, Topic::ClassTold, Topic::SourceTellsClass] {
        assert!(finding(&found, topic).is_some(), "{topic:?}: {:?}", found.probe);
    }
    let probe = found.probe.unwrap();
    let jpeg = probe.told.iter().find(|told| told.from == "jpeg" && told.what == "source").unwrap();
    assert!(jpeg.accuracy.estimate > 0.99, "{jpeg:?}");
    assert_eq!(
        (probe.source_tells_class.unwrap().accuracy, probe.source_tells_class.unwrap().majority),
        (1.0, 0.5)
    );
    assert_eq!(
        found.balance.iter().map(|row| row.source.as_deref()).collect::<Vec<_>>(),
        [Some("ExpW"), Some("FER2013")]
    );
    let found = audit(&plain);
    assert_eq!(finding(&found, Topic::ClassTold), None, "{:?}", found.probe);
}

#[test]
fn two_sets_are_compared_and_augmented_copies_are_no_duplicates() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    set(&a);
    let image = face(1, 0, 0, 3, 48);
    write(&a, "train/happy/0_aug_1.png", png(&mirrored(&image)));
    write(&a, "test/happy/200_aug_1.jpg", jpeg(&face(1, 200, 0, 3, 48), 70));
    write(&b, "happy/other.jpg", jpeg(&image, 80));
    write(&b, "sad/own.png", png(&face(1, 900, 0, 5, 48)));
    let found = run(&Options { roots: vec![a.clone(), b], ..Options::default() }, SILENT).unwrap();
    let places: Vec<Relation> = found.pairs.iter().map(|pair| pair.relation).collect();
    assert!(
        !places.is_empty() && places.iter().all(|place| *place == Relation::AcrossSets),
        "{:?}",
        found.pairs
    );
    assert_eq!((found.roots[0].copies, found.roots[0].images, found.roots[1].images), (2, 26, 2));
    assert!(
        clean_list::write(&folder.path().join("x.csv"), &found)
            .unwrap_err()
            .to_string()
            .contains("2 data sets")
    );
    // A copy in another split than its original is a leak.
    write(&a, "train/happy/aside_aug_1.png", png(&image));
    assert!(audit(&a).cut_groups.is_empty());
}

#[test]
fn the_same_files_give_the_same_bytes_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    set(&root);
    write(&root, "test/happy/same<b>.png", png(&face(1, 0, 0, 3, 48)));
    let written = |threads: usize, out: &str| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| audit(&root));
        let out = folder.path().join(out);
        let mut paths = files::write(&out, &found).unwrap();
        paths.push(out.join("audit.html"));
        page::write(&out.join("audit.html"), &found).unwrap();
        paths.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
    };
    let (one, three) = (written(1, "one"), written(3, "three"));
    assert_eq!(one, three);
    let page = one.last().unwrap();
    assert!(page.contains("same&lt;b&gt;.png") && !page.contains("same<b>"), "names are escaped");
    assert!(page.contains("data:image/jpeg;base64,"));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page needs no network");
    let read: Audit = serde_json::from_str(&one[2]).unwrap();
    assert_eq!((read.exact.across_splits, read.classes.len()), (1, 2));
    assert!(
        one[0].starts_with("kind,relation,same_label") && one[0].contains("same file,across splits,true")
    );
}

#[test]
fn data_that_cannot_be_audited_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |options: Options, what: &str| {
        let text = run(&options, SILENT).unwrap_err().to_string();
        assert!(text.contains(what) && !text.contains('\n'), "{text}");
    };
    refused(Options::default(), "no data set");
    write(folder.path(), "happy/a.png", b"nothing");
    let options = Options { roots: vec![folder.path().to_owned()], ..Options::default() };
    refused(options.clone(), "no readable image");
    refused(Options { group_regex: Some("(".into()), ..options }, "--group-regex");
}
