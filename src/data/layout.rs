//! Finding the images: folders of classes, train/valid/test folders of them, lists, and `fer2013.csv`.
//!
//! Nothing is decoded here, and nothing is dropped in silence: what is found and cannot be used comes back by
//! name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::classes::{self, canonical};
use super::manifest::MANIFEST;
use super::{Origin, Split, Unreadable};
use crate::error::{Error, Result};
use crate::image::decode::is_image_path;
use crate::text::{count, quoted_list};

/// How a root keeps its images.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `ROOT/{train,valid,test}/{class}/*`
    SplitFolders,
    /// `ROOT/{class}/*`
    ClassFolders,
    /// A CSV or JSONL list of paths and labels.
    List,
    /// `fer2013.csv`: pixels in a table.
    Fer2013,
}

/// One image as it was found.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path relative to the root, `/` separated.
    pub name: String,
    /// Where its pixels are.
    pub origin: Origin,
    /// Folder name or list label; not yet a class.
    pub label: String,
    /// The split it was found in, where the layout has splits.
    pub split: Option<Split>,
    /// The list's group column.
    pub group: Option<String>,
}

/// What a root holds.
#[derive(Clone, Debug)]
pub struct Scan {
    /// How the root keeps its images.
    pub layout: Layout,
    /// Sorted by name.
    pub entries: Vec<Entry>,
    /// Every label, those of empty folders too.
    pub labels: BTreeSet<String>,
    /// Broken links, missing files and bad rows.
    pub unreadable: Vec<Unreadable>,
    /// What was found and is no image, with counts.
    pub left_out: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Scan {
    fn new(layout: Layout) -> Self {
        Self {
            layout,
            entries: Vec::new(),
            labels: BTreeSet::new(),
            unreadable: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Finds the images of `root`.
///
/// # Errors
/// The root is not there or is of no known layout, mixes two layouts, has no class folders or no images; a
/// list is malformed.
pub fn scan(root: &Path) -> Result<Scan> {
    let about = fs::metadata(root).map_err(|error| Error::io("read", root, error))?;
    let mut scan = if about.is_dir() { scan_folder(root)? } else { scan_file(root)? };
    if scan.entries.is_empty() && scan.unreadable.is_empty() {
        let labels: Vec<&String> = scan.labels.iter().collect();
        let inside = if labels.is_empty() { String::new() } else { format!(" in {}", quoted_list(&labels)) };
        return Err(Error::at(root, format!("holds no images{inside}"))
            .expected(EXPECTED)
            .hint(scan.left_out.join("; ")));
    }
    // Two names that differ in bytes that are no UTF-8 look the same; their paths tell them apart.
    scan.entries.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.origin.path().cmp(&b.origin.path())));
    scan.unreadable.sort();
    Ok(scan)
}

const EXPECTED: &str = "ROOT/{class}/*, ROOT/{train,valid,test}/{class}/*, a .csv or .jsonl list with path and label, or fer2013.csv";

/// Folder names that operating systems and archives leave behind.
const LITTER_FOLDERS: [&str; 4] = ["__macosx", "@eadir", "lost+found", "$recycle.bin"];
/// Files beside the images that say nothing about them.
const LITTER_FILES: [&str; 4] = ["thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"];

/// The split a folder's name stands for.
pub(crate) fn split_of(folder: &str) -> Option<Split> {
    match folder.to_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "valid" | "val" | "validation" => Some(Split::Valid),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

/// Whether a name is that of something that operating systems and archives leave behind, or hidden.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || LITTER_FOLDERS.contains(&name.to_lowercase().as_str())
}

// ---------------------------------------------------------------------------------------------------------------- folders

/// A folder's own subfolders (name, path), and the images that lie loose beside them.
struct Folder {
    subfolders: Vec<(String, PathBuf)>,
    loose: Vec<String>,
}

fn open_folder(path: &Path) -> Result<Folder> {
    let mut folder = Folder { subfolders: Vec::new(), loose: Vec::new() };
    for item in fs::read_dir(path).map_err(|error| Error::io("read", path, error))? {
        let item = item.map_err(|error| Error::io("read", path, error))?;
        if is_hidden(&item.file_name()) {
            continue;
        }
        let name = item.file_name().to_string_lossy().into_owned();
        // A link to nowhere may have been a class folder: that must not vanish in silence.
        let kind = match fs::metadata(item.path()) {
            Ok(metadata) => metadata,
            Err(_) if is_image_path(&item.path()) => {
                folder.loose.push(name);
                continue;
            }
            Err(error) => return Err(Error::io("read", item.path(), error)),
        };
        if kind.is_dir() {
            folder.subfolders.push((name, item.path()));
        } else if is_image_path(&item.path()) {
            folder.loose.push(name);
        }
    }
    folder.subfolders.sort();
    folder.loose.sort();
    Ok(folder)
}

/// The class folders of a root.
pub(crate) struct Tree {
    /// [`Layout::SplitFolders`] or [`Layout::ClassFolders`].
    pub(crate) layout: Layout,
    /// In order of split folder and name.
    pub(crate) classes: Vec<ClassFolder>,
    /// Images outside of any class folder, as paths below the root.
    pub(crate) loose: Vec<String>,
}

/// One folder of a class.
pub(crate) struct ClassFolder {
    /// The folder's name.
    pub(crate) label: String,
    /// The folder.
    pub(crate) path: PathBuf,
    /// The split it lies in, where the root has splits.
    pub(crate) split: Option<Split>,
}

/// Finds the class folders of `root`, a folder of them or of train, valid and test folders of them.
pub(crate) fn class_folders(root: &Path) -> Result<Tree> {
    let folder = open_folder(root)?;
    let (splits, others): (Vec<_>, Vec<_>) =
        folder.subfolders.iter().partition(|(name, _)| split_of(name).is_some());
    if folder.subfolders.is_empty() {
        let found = match folder.loose.len() {
            0 => "is empty: it holds no class folders".to_owned(),
            loose => format!("holds {} but no class folders", count(loose, "image", "images")),
        };
        return Err(Error::at(root, found).expected(EXPECTED).hint(list_hint(root)));
    }
    if !splits.is_empty() && !others.is_empty() {
        let names = |folders: &[&(String, PathBuf)]| {
            quoted_list(&folders.iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        return Err(Error::at(
            root,
            format!("mixes split folders ({}) with others ({})", names(&splits), names(&others)),
        )
        .expected("only train, valid and test, or only class folders")
        .hint("Move the others away, or give the folder inside"));
    }
    refuse_a_wrapper(root, &folder)?;

    let class = |split| move |(label, path): (String, PathBuf)| ClassFolder { label, path, split };
    for (_, path) in &folder.subfolders {
        refuse_a_way_back(root, path)?;
    }
    if splits.is_empty() {
        let classes = folder.subfolders.into_iter().map(class(None)).collect();
        return Ok(Tree { layout: Layout::ClassFolders, classes, loose: folder.loose });
    }
    let mut tree = Tree { layout: Layout::SplitFolders, classes: Vec::new(), loose: folder.loose.clone() };
    for (index, (name, path)) in splits.iter().enumerate() {
        let split = split_of(name);
        if let Some((other, _)) = splits[..index].iter().find(|(other, _)| split_of(other) == split) {
            return Err(Error::at(root, format!("holds both `{other}` and `{name}`"))
                .expected("one folder for each split"));
        }
        let inside = open_folder(path)?;
        tree.loose.extend(inside.loose.iter().map(|loose| format!("{name}/{loose}")));
        if let Some((nested, _)) = inside.subfolders.iter().find(|(nested, _)| split_of(nested).is_some()) {
            return Err(Error::at(path, format!("holds the split folder `{nested}` inside of a split"))
                .expected("class folders")
                .hint("Give the folder whose train, valid and test hold the class folders"));
        }
        for (_, path) in &inside.subfolders {
            refuse_a_way_back(root, path)?;
        }
        tree.classes.extend(inside.subfolders.into_iter().map(class(split)));
    }
    Ok(tree)
}

/// A class folder that is a link to the root, or higher, would bring all images in again as that class.
fn refuse_a_way_back(root: &Path, folder: &Path) -> Result<()> {
    match (root.canonicalize(), folder.canonicalize()) {
        (Ok(root), Ok(target)) if root.starts_with(&target) => {
            Err(Error::at(folder, "is a link back to a folder around it")
                .expected("a folder of images")
                .hint("Remove the link"))
        }
        _ => Ok(()),
    }
}

/// Whether a folder holds images and no folders.
pub(crate) fn is_flat(root: &Path) -> Result<bool> {
    let folder = open_folder(root)?;
    Ok(folder.subfolders.is_empty() && !folder.loose.is_empty())
}

fn scan_folder(root: &Path) -> Result<Scan> {
    let tree = class_folders(root)?;
    let mut litter = NotImages { loose: tree.loose, ..NotImages::default() };
    let mut scan = Scan::new(tree.layout);
    for class in &tree.classes {
        scan_class(root, &class.label, &class.path, class.split, &mut scan, &mut litter)?;
    }
    scan.left_out.extend(litter.notes());
    Ok(scan)
}

/// An unpacked archive often has one more folder around the data; say so instead of taking it for a class.
fn refuse_a_wrapper(root: &Path, folder: &Folder) -> Result<()> {
    let [(name, path)] = folder.subfolders.as_slice() else { return Ok(()) };
    if split_of(name).is_some() || canonical(name).is_some() {
        return Ok(());
    }
    let inside = open_folder(path)?;
    if inside.subfolders.iter().any(|(name, _)| split_of(name).is_some() || canonical(name).is_some()) {
        return Err(Error::at(
            root,
            format!("holds only the folder `{name}`, and the data is inside of that"),
        )
        .hint(format!("Give {}", path.display())));
    }
    Ok(())
}

/// The hint for a folder without class folders that holds lists.
fn list_hint(root: &Path) -> String {
    let Ok(items) = fs::read_dir(root) else { return String::new() };
    let mut lists: Vec<PathBuf> = items
        .filter_map(|item| Some(item.ok()?.path()))
        .filter(|path| is_list(path) && path.file_name() != Some(OsStr::new(MANIFEST)))
        .collect();
    lists.sort();
    lists.first().map_or(String::new(), |list| format!("Give the list itself: {}", list.display()))
}

fn is_list(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|end| matches!(end.to_lowercase().as_str(), "csv" | "jsonl"))
}

/// Finds the images of one class folder and of the folders inside of it.
fn scan_class(
    root: &Path,
    label: &str,
    folder: &Path,
    split: Option<Split>,
    scan: &mut Scan,
    litter: &mut NotImages,
) -> Result<()> {
    scan.labels.insert(label.to_owned());
    // A linked folder is followed; walkdir reports a link that leads back into the walk instead of following
    // it.
    let mut walk = WalkDir::new(folder).follow_links(true).into_iter();
    while let Some(item) = walk.next() {
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                note_walk_error(root, folder, &error, scan)?;
                continue;
            }
        };
        let hidden = item.depth() > 0 && is_hidden(item.file_name());
        if item.file_type().is_dir() {
            let name = item.file_name().to_string_lossy();
            if hidden {
                walk.skip_current_dir();
            } else if item.depth() > 0 && split_of(&name).is_some() {
                return Err(Error::at(folder, format!("holds a folder `{name}`: splits inside of a class"))
                    .expected("ROOT/{train,valid,test}/{class}/*")
                    .hint("Turn the folders round, or rename it if it is no split"));
            } else if item.path_is_symlink() && leads_above(item.path(), folder) {
                // To the root or higher: all classes would come in again, as this one.
                scan.warnings.push(format!(
                    "{} is a link back to a folder around it: not followed",
                    relative_name(root, item.path())
                ));
                walk.skip_current_dir();
            }
            continue;
        }
        if hidden {
            continue;
        }
        let name = relative_name(root, item.path());
        if !item.file_type().is_file() || !is_image_path(item.path()) {
            litter.in_class(&name);
            continue;
        }
        let origin = Origin::File(item.into_path());
        scan.entries.push(Entry { name, origin, label: label.to_owned(), split, group: None });
    }
    Ok(())
}

/// Whether a link leads to a folder that `folder` itself lies in.
fn leads_above(link: &Path, folder: &Path) -> bool {
    matches!((link.canonicalize(), folder.canonicalize()), (Ok(target), Ok(folder)) if folder.starts_with(&target) && folder != target)
}

fn note_walk_error(root: &Path, folder: &Path, error: &walkdir::Error, scan: &mut Scan) -> Result<()> {
    let path = error.path().unwrap_or(folder);
    let name = relative_name(root, path);
    if let Some(ancestor) = error.loop_ancestor() {
        scan.warnings
            .push(format!("{name} is a link back to {}: not followed", relative_name(root, ancestor)));
        return Ok(());
    }
    // A broken link is one lost image; a folder that may not be read would be an unknown number of them.
    let is_link = path.symlink_metadata().is_ok_and(|about| about.file_type().is_symlink());
    let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    if is_link {
        if is_image_path(path) {
            scan.unreadable.push(Unreadable { name, reason: format!("broken link: {reason}") });
        }
        return Ok(());
    }
    let source = error.io_error().map_or_else(|| std::io::Error::other(reason), |error| error.kind().into());
    Err(Error::io("read", path, source))
}

/// The path below `root` with `/`; bytes that are no UTF-8 are shown as replacement characters.
pub(crate) fn relative_name(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// Counts what lies in the folders and is no image of a class.
#[derive(Default)]
pub(crate) struct NotImages {
    by_ending: BTreeMap<String, usize>,
    first: Option<String>,
    /// Images outside of any class folder, as paths below the root.
    pub(crate) loose: Vec<String>,
}

impl NotImages {
    /// Takes note of a file in a class folder, by its path below the root.
    pub(crate) fn in_class(&mut self, name: &str) {
        let file = name.rsplit('/').next().unwrap_or(name);
        if LITTER_FILES.contains(&file.to_lowercase().as_str()) {
            return;
        }
        let ending = file
            .rsplit_once('.')
            .map_or("no ending".into(), |(_, ending)| format!(".{}", ending.to_lowercase()));
        *self.by_ending.entry(ending).or_default() += 1;
        if self.first.as_deref().is_none_or(|first| name < first) {
            self.first = Some(name.to_owned());
        }
    }

    /// What was found, in words.
    pub(crate) fn notes(self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(first) = self.first {
            let total = self.by_ending.values().sum();
            let kinds: Vec<String> =
                self.by_ending.iter().map(|(ending, number)| format!("{number} {ending}")).collect();
            let what = count(
                total,
                "file in the class folders is no image",
                "files in the class folders are no images",
            );
            notes.push(format!("{what} ({}), e.g. {first}", kinds.join(", ")));
        }
        if let Some(first) = self.loose.first() {
            let what = count(
                self.loose.len(),
                "image lies outside of any class folder",
                "images lie outside of any class folder",
            );
            notes.push(format!("{what}, e.g. {first}"));
        }
        notes
    }
}

// ------------------------------------------------------------------------------------------------------------------ lists

fn scan_file(path: &Path) -> Result<Scan> {
    if !is_list(path) {
        return Err(Error::at(path, "is a file of no known kind").expected(EXPECTED));
    }
    let rows = if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jsonl")) {
        read_jsonl(path)?
    } else {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(|error| csv_error(path, &error))?;
        let header = reader.headers().map_err(|error| csv_error(path, &error))?.clone();
        let column = |names: &[&str]| {
            header.iter().position(|title| {
                names.contains(&title.trim_start_matches('\u{feff}').to_lowercase().as_str())
            })
        };
        if let (Some(emotion), Some(pixels)) = (column(&["emotion"]), column(&["pixels"])) {
            return read_fer2013(path, reader, emotion, pixels, column(&["usage"]));
        }
        let (Some(file), Some(label)) = (column(&["path"]), column(&["label"])) else {
            return Err(Error::at(
                path,
                format!("has the columns {}", quoted_list(&header.iter().collect::<Vec<_>>())),
            )
            .expected("path and label, and perhaps split and group; or emotion, pixels and Usage"));
        };
        read_csv(path, reader, [Some(file), Some(label), column(&["split"]), column(&["group"])])?
    };
    list_entries(path, rows)
}

fn csv_error(path: &Path, error: &csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::Io(source) => Error::io("read", path, source.kind().into()),
        _ => Error::at(path, error.to_string()).expected("a CSV file in UTF-8 with one header line"),
    }
}

/// One row of a list; missing and empty cells are `None`.
#[derive(Deserialize)]
struct Row {
    #[serde(skip)]
    line: u64,
    path: Option<String>,
    label: Option<String>,
    split: Option<String>,
    group: Option<String>,
}

fn read_csv(path: &Path, mut reader: csv::Reader<fs::File>, columns: [Option<usize>; 4]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(path, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let [path, label, split, group] = columns.map(|column| Some(record.get(column?)?.to_owned()));
        rows.push(Row { line, path, label, split, group });
    }
    Ok(rows)
}

fn read_jsonl(path: &Path) -> Result<Vec<Row>> {
    let file = fs::File::open(path).map_err(|error| Error::io("read", path, error))?;
    let mut rows = Vec::new();
    for (index, text) in BufReader::new(file).lines().enumerate() {
        let text = text.map_err(|error| Error::io("read", path, error))?;
        if text.trim().is_empty() {
            continue;
        }
        let line = index as u64 + 1;
        let malformed = |problem: String| {
            Error::input(format!("{} line {line}", path.display()), problem).expected(
                r#"an object like {"path": "a.jpg", "label": "happy", "split": "train", "group": "p1"}"#,
            )
        };
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let mut row = Row { line, path: None, label: None, split: None, group: None };
        for (key, value) in object {
            let cell = match key.to_lowercase().as_str() {
                "path" => &mut row.path,
                "label" => &mut row.label,
                "split" => &mut row.split,
                "group" => &mut row.group,
                _ => continue,
            };
            *cell = match value {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text),
                serde_json::Value::Number(number) => Some(number.to_string()),
                _ => return Err(malformed(format!("`{key}` is neither text nor a number"))),
            };
        }
        rows.push(row);
    }
    Ok(rows)
}

fn list_entries(list_path: &Path, rows: Vec<Row>) -> Result<Scan> {
    let folder = list_path.parent().unwrap_or(Path::new(""));
    let cell = |cell: Option<String>| cell.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let mut scan = Scan::new(Layout::List);
    let mut seen: HashMap<String, (u64, String, Option<Split>)> = HashMap::new();
    let mut repeated = 0;
    let mut with_split: Option<(u64, bool)> = None;
    for row in rows {
        let at =
            |problem: String| Error::input(format!("{} line {}", list_path.display(), row.line), problem);
        let path = cell(row.path).ok_or_else(|| at("has no path".into()))?;
        let label = cell(row.label).ok_or_else(|| at("has no label".into()))?;
        let split = cell(row.split).map(|text| {
            text.parse::<Split>().map_err(|_| at(format!("has the split `{text}`")).expected(SPLITS))
        });
        let split = split.transpose()?;
        match with_split {
            None => with_split = Some((row.line, split.is_some())),
            Some((first, given)) if given != split.is_some() => {
                let (has, other) = if given { ("no", "one") } else { ("a", "none") };
                return Err(at(format!("has {has} split while line {first} has {other}"))
                    .expected("a split on every line or on none"));
            }
            Some(_) => {}
        }
        let name = path.replace('\\', "/");
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        if let Some((line, other, other_split)) = seen.get(&name) {
            if *other != label || *other_split != split {
                return Err(at(format!(
                    "lists {name} again, which line {line} has with another label or split"
                ))
                .expected("each image once"));
            }
            repeated += 1;
            continue;
        }
        seen.insert(name.clone(), (row.line, label.clone(), split));
        scan.labels.insert(label.clone());
        let file = folder.join(if cfg!(windows) { &path } else { &name });
        // Opening a pipe or a device would wait for ever: only plain files go on.
        match fs::metadata(&file) {
            Ok(about) if about.is_file() => {
                scan.entries.push(Entry {
                    name,
                    origin: Origin::File(file),
                    label,
                    split,
                    group: cell(row.group),
                });
            }
            Ok(_) => scan.unreadable.push(Unreadable { name, reason: "is no file".into() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                scan.unreadable.push(Unreadable { name, reason: "there is no such file".into() });
            }
            Err(error) => scan.unreadable.push(Unreadable { name, reason: error.to_string() }),
        }
    }
    if repeated > 0 {
        scan.left_out.push(count(repeated, "line repeats an earlier one", "lines repeat earlier ones"));
    }
    Ok(scan)
}

const SPLITS: &str = "train, valid (val, validation) or test";

// ---------------------------------------------------------------------------------------------------------------- fer2013

/// The class of each label number in `fer2013.csv`: not the order of [`classes::EMOTIONS`].
const FER2013_LABELS: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const FER2013_SIDE: usize = 48;
const FER2013_PIXELS: usize = FER2013_SIDE * FER2013_SIDE;

/// Reads `fer2013.csv`: all pixels into one buffer, one entry a row. Rows that cannot be used are listed with
/// their line.
fn read_fer2013(
    path: &Path,
    mut reader: csv::Reader<fs::File>,
    emotion: usize,
    pixels: usize,
    usage: Option<usize>,
) -> Result<Scan> {
    debug_assert!(FER2013_LABELS.iter().all(|label| classes::EMOTIONS.contains(label)));
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut scan = Scan::new(Layout::Fer2013);
    let mut buffer: Vec<u8> = Vec::new();
    let mut rows: Vec<(String, &str, Option<Split>)> = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| csv_error(path, &error))? {
        let name = format!("{file}:{:06}", record.position().map_or(0, csv::Position::line));
        let start = buffer.len();
        let row = fer2013_label(record.get(emotion).unwrap_or_default()).and_then(|label| {
            let split =
                usage.map(|column| fer2013_usage(record.get(column).unwrap_or_default())).transpose()?;
            push_pixels(record.get(pixels).unwrap_or_default(), &mut buffer)?;
            Ok((label, split))
        });
        match row {
            Ok((label, split)) => rows.push((name, label, split)),
            Err(reason) => {
                buffer.truncate(start);
                scan.unreadable.push(Unreadable { name, reason });
            }
        }
    }
    let buffer: Arc<[u8]> = buffer.into();
    for (index, (name, label, split)) in rows.into_iter().enumerate() {
        let (buffer, start) = (Arc::clone(&buffer), index * FER2013_PIXELS);
        let origin = Origin::Pixels { width: FER2013_SIDE, height: FER2013_SIDE, buffer, start };
        scan.labels.insert(label.to_owned());
        scan.entries.push(Entry { name, origin, label: label.to_owned(), split, group: None });
    }
    Ok(scan)
}

fn fer2013_label(cell: &[u8]) -> Result<&'static str, String> {
    let number = std::str::from_utf8(cell).ok().and_then(|text| text.trim().parse::<usize>().ok());
    let label = number.and_then(|number| FER2013_LABELS.get(number).copied());
    label.ok_or_else(|| format!("emotion `{}`, expected 0 to 6", String::from_utf8_lossy(cell)))
}

fn fer2013_usage(cell: &[u8]) -> Result<Split, String> {
    match cell.to_ascii_lowercase().as_slice() {
        b"training" => Ok(Split::Train),
        b"publictest" => Ok(Split::Valid),
        b"privatetest" => Ok(Split::Test),
        _ => Err(format!(
            "Usage `{}`, expected Training, PublicTest or PrivateTest",
            String::from_utf8_lossy(cell)
        )),
    }
}

/// Appends the 48 × 48 numbers of a cell.
fn push_pixels(cell: &[u8], buffer: &mut Vec<u8>) -> Result<(), String> {
    let mut found = 0;
    for text in cell.split(u8::is_ascii_whitespace).filter(|text| !text.is_empty()) {
        let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u8>().ok());
        buffer.push(
            value.ok_or_else(|| format!("pixel `{}`, expected 0 to 255", String::from_utf8_lossy(text)))?,
        );
        found += 1;
    }
    if found != FER2013_PIXELS {
        return Err(format!("{found} pixels, expected {FER2013_PIXELS} (48x48)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{write, write_image};
    use super::*;

    /// A folder with these images.
    fn tree(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (number, name) in names.iter().enumerate() {
            write_image(folder.path(), name, number as u32);
        }
        folder
    }

    fn names(scan: &Scan) -> Vec<&str> {
        scan.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    fn refused(folder: &Path) -> String {
        let text = scan(folder).expect_err("must be refused").to_string();
        assert!(!text.contains('\n'), "one line: {text}");
        text
    }

    #[test]
    fn class_folders_are_found_with_the_folders_inside_of_them() {
        let root = tree(&["Happy/b.png", "Happy/more/a.JPG", "sad/c.webp"]);
        let scan = scan(root.path()).unwrap();
        assert_eq!(scan.layout, Layout::ClassFolders);
        assert_eq!(names(&scan), ["Happy/b.png", "Happy/more/a.JPG", "sad/c.webp"]);
        assert!(scan.entries.iter().all(|entry| entry.split.is_none()));
        assert_eq!(scan.entries[1].label, "Happy");
    }

    #[test]
    fn split_folders_are_found_under_their_usual_names() {
        for valid in ["valid", "val", "Validation"] {
            let root = tree(&["Train/happy/a.png", &format!("{valid}/happy/b.png"), "test/happy/c.png"]);
            let scan = scan(root.path()).unwrap();
            assert_eq!(scan.layout, Layout::SplitFolders);
            let mut splits: Vec<Split> = scan.entries.iter().filter_map(|entry| entry.split).collect();
            splits.sort_unstable();
            assert_eq!(splits, Split::ALL);
            assert!(scan.entries.iter().all(|entry| entry.label == "happy"));
        }
    }

    #[test]
    fn mixed_layouts_are_refused() {
        for (names, says) in [
            (&["train/happy/a.png", "sad/b.png"][..], "mixes split folders (`train`) with others (`sad`)"),
            (&["happy/train/a.png", "sad/b.png"], "splits inside of a class"),
            (&["val/happy/a.png", "valid/happy/b.png"], "holds both `val` and `valid`"),
            (&["train/test/happy/a.png"], "holds the split folder `test`"),
        ] {
            let text = refused(tree(names).path());
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn folders_without_data_are_refused() {
        let empty = tempfile::tempdir().unwrap();
        assert!(refused(empty.path()).contains("is empty"));
        assert!(refused(&empty.path().join("gone")).contains("no such file or folder"));
        assert!(refused(tree(&["a.png"]).path()).contains("holds 1 image but no class folders"));
        fs::create_dir_all(empty.path().join("happy")).unwrap();
        assert!(refused(empty.path()).contains("holds no images in `happy`"));
        let wrapped = refused(tree(&["MMAFEDB/train/happy/a.png"]).path());
        assert!(
            wrapped.contains("holds only the folder `MMAFEDB`") && wrapped.contains("Give "),
            "{wrapped}"
        );
        let listed = tempfile::tempdir().unwrap();
        write(listed.path(), "list.csv", "path,label\n");
        assert!(refused(listed.path()).contains("Give the list itself"));
        write(listed.path(), "data.bin", "x");
        assert!(refused(&listed.path().join("data.bin")).contains("of no known kind"));
    }

    #[test]
    fn litter_is_passed_over_and_other_files_are_counted() {
        let root = tree(&[
            "happy/a.png",
            "sad/b.png",
            "loose.png",
            ".cache/c.png",
            "__MACOSX/happy/._a.png",
            "happy/.b.png",
        ]);
        for name in ["ATTRIBUTION.txt", "README.md", ".DS_Store", "happy/Thumbs.db", "happy/.DS_Store"] {
            write(root.path(), name, "x");
        }
        for name in ["happy/notes.txt", "happy/film.mp4", "sad/more.TXT", "sad/none"] {
            write(root.path(), name, "x");
        }
        let scan = scan(root.path()).unwrap();
        assert_eq!(names(&scan), ["happy/a.png", "sad/b.png"]);
        assert_eq!(
            scan.left_out,
            [
                "4 files in the class folders are no images (1 .mp4, 2 .txt, 1 no ending), e.g. happy/film.mp4",
                "1 image lies outside of any class folder, e.g. loose.png"
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        use std::os::unix::fs::symlink;
        let root = tree(&["happy/a.png", "sad/b.png"]);
        let elsewhere = tree(&["c.png"]);
        symlink(root.path(), root.path().join("happy/circle")).unwrap();
        fs::create_dir(root.path().join("sad/deep")).unwrap();
        symlink("..", root.path().join("sad/deep/round")).unwrap();
        symlink(elsewhere.path(), root.path().join("sad/linked")).unwrap();
        symlink("nowhere.png", root.path().join("sad/broken.png")).unwrap();
        let scan = scan(root.path()).unwrap();
        assert_eq!(names(&scan), ["happy/a.png", "sad/b.png", "sad/linked/c.png"]);
        assert_eq!(scan.unreadable.len(), 1);
        assert_eq!(scan.unreadable[0].name, "sad/broken.png");
        for link in ["happy/circle", "sad/deep/round"] {
            assert!(
                scan.warnings.iter().any(|text| text.starts_with(&format!("{link} is a link back"))),
                "{:?}",
                scan.warnings
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_no_text_are_shown_and_opened() {
        use std::os::unix::ffi::OsStrExt;
        let root = tree(&["happy/a.png", "sad/b.png"]);
        fs::copy(
            root.path().join("happy/a.png"),
            root.path().join("happy").join(OsStr::from_bytes(b"z\xff.png")),
        )
        .unwrap();
        let scan = scan(root.path()).unwrap();
        let entry = &scan.entries[1];
        assert_eq!(entry.name, "happy/z\u{fffd}.png");
        assert!(fs::read(entry.origin.path().unwrap()).is_ok());
    }

    #[test]
    fn a_csv_list_is_read_whatever_its_columns_order() {
        let root = tree(&["faces/a.png", "faces/b.png"]);
        write(
            root.path(),
            "list.csv",
            "\u{feff}Group,LABEL, Path ,Split,age\np1,Happy,faces/a.png,train,3\n,sad,./faces/b.png,val,4\n",
        );
        let scan = scan(&root.path().join("list.csv")).unwrap();
        assert_eq!(scan.layout, Layout::List);
        assert_eq!(names(&scan), ["faces/a.png", "faces/b.png"]);
        assert_eq!(scan.entries[0].group.as_deref(), Some("p1"));
        assert_eq!(scan.entries[1].group, None);
        assert_eq!((scan.entries[0].split, scan.entries[1].split), (Some(Split::Train), Some(Split::Valid)));
        assert!(scan.entries[1].origin.path().unwrap().is_file());
    }

    #[test]
    fn a_jsonl_list_is_read_with_the_same_keys() {
        let root = tree(&["a.png", "b.png"]);
        let text = concat!(
            r#"{"path":"a.png","label":"happy","group":7,"more":[1]}"#,
            "\n\n",
            r#"{"Label":1,"path":"b.png"}"#
        );
        write(root.path(), "list.jsonl", text);
        let scan = scan(&root.path().join("list.jsonl")).unwrap();
        assert_eq!(scan.entries[0].group.as_deref(), Some("7"));
        assert_eq!(scan.entries[1].label, "1");
        write(root.path(), "bad.jsonl", "{\"path\":\"a.png\",\"label\":\"x\"}\n{\"path\":");
        assert!(refused(&root.path().join("bad.jsonl")).contains("bad.jsonl line 2"));
        write(root.path(), "odd.jsonl", r#"{"path":["a.png"],"label":"x"}"#);
        assert!(refused(&root.path().join("odd.jsonl")).contains("`path` is neither text nor a number"));
    }

    #[test]
    fn a_list_with_bad_lines_is_refused_by_line() {
        let root = tree(&["a.png", "b.png"]);
        for (text, says) in [
            ("file,label\na.png,happy\n", "has the columns `file`, `label`"),
            ("path,label\n,happy\n", "line 2: has no path"),
            ("path,label\na.png,\n", "line 2: has no label"),
            ("path,label,split\na.png,happy,dev\n", "line 2: has the split `dev`"),
            (
                "path,label,split\na.png,happy,train\nb.png,sad,\n",
                "line 3: has no split while line 2 has one",
            ),
            ("path,label\na.png,happy\na.png,sad\n", "line 3: lists a.png again"),
            ("path,label\n", "holds no images"),
        ] {
            write(root.path(), "list.csv", text);
            let found = refused(&root.path().join("list.csv"));
            assert!(found.contains(says), "{found}");
        }
    }

    #[test]
    fn files_that_a_list_names_and_that_are_not_there_are_listed() {
        let root = tree(&["a.png", "folder/b.png"]);
        write(root.path(), "list.csv", "path,label\na.png,happy\ngone.png,sad\nfolder,sad\na.png,happy\n");
        let scan = scan(&root.path().join("list.csv")).unwrap();
        let reasons: Vec<_> =
            scan.unreadable.iter().map(|file| (file.name.as_str(), file.reason.as_str())).collect();
        assert_eq!(reasons, [("folder", "is no file"), ("gone.png", "there is no such file")]);
        assert_eq!(scan.left_out, ["1 line repeats an earlier one"]);
    }

    /// A row of `fer2013.csv` with every pixel at `value`.
    fn row(emotion: &str, value: u8, usage: &str) -> String {
        let pixels = vec![value.to_string(); FER2013_PIXELS].join(" ");
        format!("{emotion},{pixels},{usage}\n")
    }

    #[test]
    fn fer2013_is_known_by_its_header_and_keeps_its_own_label_numbers() {
        let root = tempfile::tempdir().unwrap();
        let mut text = "emotion,pixels,Usage\n".to_owned();
        for (emotion, usage) in ["Training", "PublicTest", "PrivateTest"].iter().cycle().take(7).enumerate() {
            text += &row(&emotion.to_string(), emotion as u8 * 10, usage);
        }
        text += "3,1 2 3,Training\n";
        text += &row("9", 1, "Training");
        text += &row("3", 1, "Sometimes");
        text += &row("3", 1, "Training").replacen(" 1 ", " 256 ", 1);
        write(root.path(), "fer2013.csv", &text);
        let scan = scan(&root.path().join("fer2013.csv")).unwrap();
        assert_eq!(scan.layout, Layout::Fer2013);
        let labels: Vec<&str> = scan.entries.iter().map(|entry| entry.label.as_str()).collect();
        assert_eq!(labels, ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]);
        assert_eq!(scan.entries[4].split, Some(Split::Valid));
        assert_eq!(scan.entries[4].name, "fer2013.csv:000006");
        let Origin::Pixels { width: 48, height: 48, buffer, start } = &scan.entries[5].origin else {
            panic!("pixels in memory")
        };
        assert!(buffer[*start..start + FER2013_PIXELS].iter().all(|&pixel| pixel == 50));
        let reasons: Vec<&str> = scan.unreadable.iter().map(|row| row.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "3 pixels, expected 2304 (48x48)",
                "emotion `9`, expected 0 to 6",
                "Usage `Sometimes`, expected Training, PublicTest or PrivateTest",
                "pixel `256`, expected 0 to 255"
            ]
        );
    }

    #[test]
    fn fer2013_without_usage_has_no_splits() {
        let root = tempfile::tempdir().unwrap();
        let text = format!("emotion,pixels\n{}", row("3", 1, "").replace(",\n", "\n"));
        write(root.path(), "any.csv", &text);
        assert_eq!(scan(&root.path().join("any.csv")).unwrap().entries[0].split, None);
    }
}
