//! Finding the originals, one folder at a time: a source of any size takes no more memory than its largest
//! folder's names.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::data::Split;
use crate::data::layout::{
    ClassFolder, Layout, NotImages, class_folders, is_flat, is_hidden, relative_name, split_of,
};
use crate::data::manifest::{MANIFEST, SETTINGS};
use crate::error::{Error, Result};
use crate::image::decode::{Format, JPEG, PNG, is_image_path};

/// Where the originals are.
pub(super) struct Source {
    /// The folder, absolute and without links.
    pub(super) root: PathBuf,
    /// Its class folders; a flat folder is the one folder of no class.
    classes: Vec<ClassFolder>,
    /// Whether its images lie in no class folders.
    pub(super) is_flat: bool,
    /// Images outside any class folder.
    loose: Vec<String>,
    /// Links that lead here are not followed: the output's folder, absolute and without links.
    output: PathBuf,
}

/// The images of one folder, without those of the folders inside of it.
pub(super) struct Listing {
    /// The folder.
    pub(super) path: PathBuf,
    /// Its path below the root.
    pub(super) below: PathBuf,
    /// The class folder that it lies in, by index; see [`Source::class`].
    pub(super) class: usize,
    /// File names, sorted.
    pub(super) files: Vec<OsString>,
}

/// What a walk hands each folder to.
pub(super) type Visit<'a> = &'a mut dyn FnMut(Listing) -> Result<ControlFlow<()>>;

/// A walk over the source.
struct Walk<'a> {
    /// The folder that the walk is in and those that contain it, up to the class folder, without links.
    around: Vec<PathBuf>,
    notes: &'a mut Notes,
    visit: Visit<'a>,
}

/// What a walk found that is not an image.
#[derive(Default)]
pub(super) struct Notes {
    not_images: NotImages,
    warnings: Vec<String>,
}

impl Notes {
    /// In words, for people.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.warnings.into_iter().chain(self.not_images.notes()).collect()
    }
}

impl Source {
    /// Finds the class folders of `root`, whose copies are to go to `output`; both without links.
    ///
    /// # Errors
    /// It is not a folder, contains no images or mixes layouts; it is itself the output of an augmenter.
    pub(super) fn open(root: &Path, output: &Path) -> Result<Self> {
        if !root.is_dir() {
            return Err(Error::at(root, "is not a folder")
                .expected("class folders, train/valid/test folders of them, or a folder of images"));
        }
        if let Some(found) = [MANIFEST, SETTINGS].into_iter().find(|name| root.join(name).exists()) {
            return Err(Error::at(root, format!("contains {found}, so it is already augmented"))
                .expected("a folder of originals")
                .hint("Copies of copies no longer look like their originals: augment the originals again"));
        }
        let is_flat = is_flat(root)?;
        let (classes, loose) = if is_flat {
            (vec![ClassFolder { label: String::new(), path: root.to_owned(), split: None }], Vec::new())
        } else {
            let tree = class_folders(root)?;
            debug_assert!(matches!(tree.layout, Layout::SplitFolders | Layout::ClassFolders));
            (tree.classes, tree.loose)
        };
        Ok(Self { root: root.to_owned(), classes, is_flat, loose, output: output.to_owned() })
    }

    /// A class folder's label and split.
    pub(super) fn class(&self, index: usize) -> (&str, Option<Split>) {
        (&self.classes[index].label, self.classes[index].split)
    }

    /// The number of class folders.
    pub(super) fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Visits every folder in a fixed order, until `visit` breaks off.
    ///
    /// # Errors
    /// A folder cannot be read; a split lies inside a class; a link leads to the output.
    pub(super) fn walk(&self, notes: &mut Notes, visit: Visit) -> Result<ControlFlow<()>> {
        notes.not_images.loose.clone_from(&self.loose);
        let mut walk = Walk { around: Vec::new(), notes, visit };
        for (class, folder) in self.classes.iter().enumerate() {
            let below = folder.path.strip_prefix(&self.root).unwrap_or(&folder.path).to_owned();
            let target =
                folder.path.canonicalize().map_err(|error| Error::io("read", &folder.path, error))?;
            self.refuse_output(&folder.path, &target)?;
            walk.around = vec![target];
            if self.walk_folder(class, &folder.path, &below, &mut walk)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// An error if the folder `path`, which is `target` without links, is the output, in it or around it.
    fn refuse_output(&self, path: &Path, target: &Path) -> Result<()> {
        if target.starts_with(&self.output) || self.output.starts_with(target) {
            return Err(Error::at(path, "is a link to the output folder")
                .expected("a source that does not contain its output"));
        }
        Ok(())
    }

    fn walk_folder(
        &self,
        class: usize,
        path: &Path,
        below: &Path,
        walk: &mut Walk,
    ) -> Result<ControlFlow<()>> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for item in fs::read_dir(path).map_err(|error| Error::io("read", path, error))? {
            let item = item.map_err(|error| Error::io("read", path, error))?;
            let name = item.file_name();
            if is_hidden(&name) {
                continue;
            }
            let kind = item.file_type().map_err(|error| Error::io("read", item.path(), error))?;
            // A broken link to an image counts as an image: reading it will say that it is not there.
            let (is_folder, is_file) = match kind.is_symlink() {
                false => (kind.is_dir(), kind.is_file()),
                true => fs::metadata(item.path())
                    .map_or((false, true), |target| (target.is_dir(), target.is_file())),
            };
            if is_folder {
                folders.push((name, kind.is_symlink()));
            } else if is_file && is_image_path(Path::new(&name)) {
                files.push(name);
            } else {
                walk.notes.not_images.in_class(&relative_name(&self.root, &item.path()));
            }
        }
        files.sort_unstable();
        folders.sort_unstable();
        let listing = Listing { path: path.to_owned(), below: below.to_owned(), class, files };
        if (walk.visit)(listing)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        for (name, is_link) in folders {
            let (inner, inner_below) = (path.join(&name), below.join(&name));
            let label = name.to_string_lossy();
            if !self.is_flat && split_of(&label).is_some() {
                return Err(Error::at(path, format!("contains a folder `{label}`: a split inside a class"))
                    .expected("SOURCE/{train,valid,test}/{class}/*")
                    .hint(
                        "Put the class folders inside the split folders, or rename it if it is not a split",
                    ));
            }
            let target = if is_link {
                let target = inner.canonicalize().map_err(|error| Error::io("read", &inner, error))?;
                // Back to a folder around it, the root or higher: the same images would come in again without
                // end.
                if walk.around.iter().any(|folder| folder.starts_with(&target)) {
                    walk.notes.warnings.push(format!(
                        "{} links back to a folder that contains it; the link is not followed",
                        inner_below.display()
                    ));
                    continue;
                }
                self.refuse_output(&inner, &target)?;
                target
            } else {
                walk.around.last().map_or_else(|| inner.clone(), |parent| parent.join(&name))
            };
            walk.around.push(target);
            let flow = self.walk_folder(class, &inner, &inner_below, walk)?;
            walk.around.pop();
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What stands before `_aug_N` in the names of an image's copies, and their ending.
///
/// Copies of `a.png` are `a_aug_1.png` …; where they get another ending (a BMP's copies are PNG files, and so
/// are those of a PNG that is called `a.jpg`), the old one becomes part of the name (`a_bmp_aug_1.png`), so
/// that they do not meet those of `a.png`. Where the folder's own files have such names already, a number is
/// added, after another sign in these two cases. `files` are all names of the folder, sorted.
pub(super) fn copy_name(files: &[OsString], name: &OsStr, format: Format) -> (OsString, OsString) {
    let path = Path::new(name);
    let (stem, ending) = (path.file_stem().unwrap_or(name), path.extension().unwrap_or_default());
    // JPEG stays JPEG; anything else becomes PNG.
    let codec = if format == JPEG { JPEG } else { PNG };
    let has_its_ending = ending
        .to_str()
        .is_some_and(|ending| codec.endings.iter().any(|known| ending.eq_ignore_ascii_case(known)));
    let (fits, right) = (format == codec && has_its_ending, codec.endings[0]);
    let mut base = stem.to_owned();
    if !fits {
        base.push("_");
        base.push(ending);
    }
    let own = base.clone();
    let mut number = 1;
    while is_taken(files, &base, base == stem) {
        number += 1;
        base = own.clone();
        base.push(format!("{}{number}", if fits { '-' } else { '~' }));
    }
    (base, if fits { ending.to_owned() } else { right.into() })
}

/// Whether a file of the folder is called `BASE_aug_…`, or its own copies are called after `base`.
fn is_taken(files: &[OsString], base: &OsStr, is_own_stem: bool) -> bool {
    let any_after = |separator: &str, wanted: &dyn Fn(&[u8]) -> bool| {
        let mut prefix = base.to_owned();
        prefix.push(separator);
        let prefix = prefix.as_encoded_bytes();
        let from = files.partition_point(|file| file.as_encoded_bytes() < prefix);
        let begins = files[from..].iter().map_while(|file| file.as_encoded_bytes().strip_prefix(prefix));
        begins.into_iter().any(wanted)
    };
    any_after("_aug_", &|rest| rest.first().is_some_and(u8::is_ascii_digit))
        || (!is_own_stem && any_after(".", &|rest| !rest.contains(&b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode::{BMP, WEBP};

    fn names(files: &[&str]) -> Vec<OsString> {
        let mut names: Vec<OsString> = files.iter().map(OsString::from).collect();
        names.sort_unstable();
        names
    }

    fn named(files: &[&str], name: &str, format: Format) -> String {
        let (base, ending) = copy_name(&names(files), name.as_ref(), format);
        format!("{}|{}", base.display(), ending.display())
    }

    #[test]
    fn copies_are_named_after_their_original() {
        assert_eq!(named(&["a.jpg"], "a.jpg", JPEG), "a|jpg");
        assert_eq!(named(&["a.b.JPEG"], "a.b.JPEG", JPEG), "a.b|JPEG");
        assert_eq!(named(&["a.bmp"], "a.bmp", BMP), "a_bmp|png");
        assert_eq!(named(&["a.jpg"], "a.jpg", PNG), "a_jpg|png", "a wrong ending");
        assert_eq!(named(&["a.png"], "a.png", JPEG), "a_png|jpg");
    }

    #[test]
    fn no_two_files_get_copies_of_one_name() {
        let files = [
            "a.jpg",
            "a.JPG",
            "a.jpeg",
            "a.png",
            "a.bmp",
            "a.webp",
            "a_bmp.png",
            "a_bmp-2.png",
            "a_aug_1.jpg",
            "a-2.jpg",
        ];
        let list = names(&files);
        let mut all: Vec<String> = files.iter().map(|name| (*name).to_owned()).collect();
        for name in files {
            let format = match Path::new(name).extension().unwrap().to_str().unwrap() {
                "png" => PNG,
                "bmp" => BMP,
                "webp" => WEBP,
                _ => JPEG,
            };
            let (base, ending) = copy_name(&list, name.as_ref(), format);
            all.push(format!("{}_aug_1.{}", base.display(), ending.display()));
        }
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{all:?}");
    }
}
