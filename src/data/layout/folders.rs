//! Folders: `ROOT/{class}/*` and `ROOT/{train,valid,test}/{class}/*`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::super::manifest::MANIFEST;
use super::super::origin::{Origin, Unreadable};
use super::super::split::{Split, split_of};
use super::found::{EXPECTED, Entry, Layout, Scan};
use super::list::is_list;
use crate::emotions::canonical;
use crate::error::{Error, Result};
use crate::image::decode::is_image_path;
use crate::text::{count, quoted_list};

/// Folder names that operating systems and archives leave behind.
const LITTER_FOLDERS: [&str; 4] = ["__macosx", "@eadir", "lost+found", "$recycle.bin"];
/// Files next to the images that have nothing to do with them.
const LITTER_FILES: [&str; 4] = ["thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"];

/// Whether a name is hidden, or that of something that operating systems and archives leave behind.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || LITTER_FOLDERS.contains(&name.to_lowercase().as_str())
}

/// A folder's own subfolders (name, path), and the images next to them.
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
            0 => "the folder has no class folders".to_owned(),
            loose => format!("the folder has {} but no class folders", count(loose, "image", "images")),
        };
        return Err(Error::at(root, found).expected(EXPECTED).hint(list_hint(root)));
    }
    if !splits.is_empty() && !others.is_empty() {
        let names = |folders: &[&(String, PathBuf)]| {
            quoted_list(&folders.iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        return Err(Error::at(
            root,
            format!("the folder mixes split folders ({}) with others ({})", names(&splits), names(&others)),
        )
        .expected("only train, valid and test, or only class folders")
        .hint("Move the other folders elsewhere"));
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
            return Err(Error::at(root, format!("`{other}` and `{name}` are the same split"))
                .expected("one folder per split"));
        }
        let inside = open_folder(path)?;
        tree.loose.extend(inside.loose.iter().map(|loose| format!("{name}/{loose}")));
        if let Some((nested, _)) = inside.subfolders.iter().find(|(nested, _)| split_of(nested).is_some()) {
            return Err(Error::at(path, format!("the split folder `{nested}` is inside another split"))
                .expected("class folders in train, valid and test"));
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
            Err(Error::at(folder, "this link leads back to a folder that contains it")
                .expected("a folder of images")
                .hint("Remove the link"))
        }
        _ => Ok(()),
    }
}

/// Whether a folder contains images and no folders.
pub(crate) fn is_flat(root: &Path) -> Result<bool> {
    let folder = open_folder(root)?;
    Ok(folder.subfolders.is_empty() && !folder.loose.is_empty())
}

pub(super) fn scan_folder(root: &Path) -> Result<Scan> {
    let tree = class_folders(root)?;
    let mut litter = NotImages { loose: tree.loose, ..NotImages::default() };
    let mut scan = Scan::new(tree.layout);
    for class in &tree.classes {
        scan_class(root, &class.label, &class.path, class.split, &mut scan, &mut litter)?;
    }
    scan.left_out.extend(litter.notes());
    Ok(scan)
}

/// An unpacked archive often has one more folder around the data: say so instead of treating it as a class.
fn refuse_a_wrapper(root: &Path, folder: &Folder) -> Result<()> {
    let [(name, path)] = folder.subfolders.as_slice() else { return Ok(()) };
    if split_of(name).is_some() || canonical(name).is_some() {
        return Ok(());
    }
    let inside = open_folder(path)?;
    if inside.subfolders.iter().any(|(name, _)| split_of(name).is_some() || canonical(name).is_some()) {
        return Err(Error::at(root, format!("the data is one level deeper, in the folder `{name}`"))
            .hint(format!("Use {}", path.display())));
    }
    Ok(())
}

/// The hint for a folder without class folders that contains lists.
fn list_hint(root: &Path) -> String {
    let Ok(items) = fs::read_dir(root) else { return String::new() };
    let mut lists: Vec<PathBuf> = items
        .filter_map(|item| Some(item.ok()?.path()))
        .filter(|path| is_list(path) && path.file_name() != Some(OsStr::new(MANIFEST)))
        .collect();
    lists.sort();
    lists
        .first()
        .map_or(String::new(), |list| format!("To use the list in it, name the file: {}", list.display()))
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
    // Links to folders are followed; walkdir reports a link back into the walk instead of following it.
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
                return Err(Error::at(folder, format!("the class folder contains a split folder, `{name}`"))
                    .expected("ROOT/{train,valid,test}/{class}/*")
                    .hint("Swap the two levels, or rename the folder if it is not a split"));
            } else if item.path_is_symlink() && leads_above(item.path(), folder) {
                // To the root or higher: all classes would come in again, as this one.
                scan.warnings.push(format!(
                    "{} is a link back to a folder that contains it; not followed",
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
    let (Ok(target), Ok(folder)) = (link.canonicalize(), folder.canonicalize()) else { return false };
    folder.starts_with(&target) && folder != target
}

fn note_walk_error(root: &Path, folder: &Path, error: &walkdir::Error, scan: &mut Scan) -> Result<()> {
    let path = error.path().unwrap_or(folder);
    let name = relative_name(root, path);
    if let Some(ancestor) = error.loop_ancestor() {
        scan.warnings
            .push(format!("{name} is a link back to {}; not followed", relative_name(root, ancestor)));
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

/// The path below `root` with `/`; bytes that are not UTF-8 become replacement characters.
pub(crate) fn relative_name(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// Counts what is in the folders and is not an image of a class.
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
            .map_or("without extension".into(), |(_, ending)| format!(".{}", ending.to_lowercase()));
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
                "file in the class folders is not an image",
                "files in the class folders are not images",
            );
            notes.push(format!("{what} ({}), e.g. {first}", kinds.join(", ")));
        }
        if let Some(first) = self.loose.first() {
            let what = count(
                self.loose.len(),
                "image is outside the class folders",
                "images are outside the class folders",
            );
            notes.push(format!("{what}, e.g. {first}"));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::super::testing::{names, refused, tree};
    use super::*;
    use crate::data::testing::write;

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
            (&["happy/train/a.png", "sad/b.png"], "contains a split folder, `train`"),
            (&["val/happy/a.png", "valid/happy/b.png"], "`val` and `valid` are the same split"),
            (&["train/test/happy/a.png"], "the split folder `test` is inside another split"),
        ] {
            let text = refused(tree(names).path());
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn folders_without_data_are_refused() {
        let empty = tempfile::tempdir().unwrap();
        assert!(refused(empty.path()).contains("has no class folders"));
        assert!(refused(&empty.path().join("gone")).contains("no such file or folder"));
        assert!(refused(tree(&["a.png"]).path()).contains("has 1 image but no class folders"));
        fs::create_dir_all(empty.path().join("happy")).unwrap();
        assert!(refused(empty.path()).contains("no images in `happy`"));
        let wrapped = refused(tree(&["MMAFEDB/train/happy/a.png"]).path());
        assert!(
            wrapped.contains("one level deeper, in the folder `MMAFEDB`") && wrapped.contains("Use "),
            "{wrapped}"
        );
        let listed = tempfile::tempdir().unwrap();
        write(listed.path(), "list.csv", "path,label\n");
        assert!(refused(listed.path()).contains("To use the list in it"));
        write(listed.path(), "data.bin", "x");
        assert!(refused(&listed.path().join("data.bin")).contains("unknown kind of file"));
    }

    #[test]
    fn litter_is_ignored_and_other_files_are_counted() {
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
                concat!(
                    "4 files in the class folders are not images (1 .mp4, 2 .txt, 1 without extension), ",
                    "e.g. happy/film.mp4"
                ),
                "1 image is outside the class folders, e.g. loose.png"
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
    fn names_that_are_not_unicode_are_shown_and_opened() {
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
}
