//! The images of an evaluation on a page: where they are found, and their HTML.

use std::path::Path;

use crate::page::html::escape;
use crate::page::thumbnails::{Thumbnail, Thumbnails};
use crate::run_folder::read::{Evaluated, RunFiles};
use crate::text::cut_middle;

/// The images of an evaluation, or of the data of the run.
pub(super) fn images_of(files: &RunFiles, evaluated: Option<&Evaluated>) -> Thumbnails {
    let own_root = files.data.as_ref().map(|data| data.root.display().to_string());
    let root =
        evaluated.map(|one| one.evaluation.data.clone()).or_else(|| own_root.clone()).unwrap_or_default();
    // A fingerprint tells data sets apart better than a path does.
    let key = match &files.data {
        Some(data) if own_root.as_ref() == Some(&root) => data.fingerprint.clone(),
        _ => root.clone(),
    };
    Thumbnails::of(Path::new(&root), &key, &files.folder)
}

/// A thumbnail, or a placeholder; `alt` is HTML already.
pub(super) fn image(thumbnail: Option<&Thumbnail>, alt: &str) -> String {
    match thumbnail {
        Some(thumbnail) => format!(
            "<img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{alt}\" loading=\"lazy\" decoding=\"async\">",
            thumbnail.url(),
            thumbnail.width,
            thumbnail.height
        ),
        None => format!("<span class=\"missing\" role=\"img\" aria-label=\"{alt}\">no image</span>"),
    }
}

/// What stands on the page where none of the images can be shown.
pub(super) fn no_images(images: &Thumbnails) -> String {
    let why = if images.are_there() {
        "could not be read"
    } else {
        "have been moved or deleted, and no thumbnails of them were kept"
    };
    format!("<p class=\"quiet\">The images of the data set {why}, so this page does not show them.</p>")
}

/// The path and, if there is one, the group.
pub(super) fn full_name(path: &str, group: &str) -> String {
    if group.is_empty() { path.to_owned() } else { format!("{path} (group {group})") }
}

/// The last part of a path, cut in its middle where it is long (HTML).
pub(super) fn short_path(path: &str) -> String {
    escape(&cut_middle(path.rsplit('/').next().unwrap_or(path), 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_file_names_are_cut() {
        let long = "ä".repeat(300) + ".png";
        assert!(short_path(&long).chars().count() < 30);
        assert_eq!(short_path("a/<b>.png"), "&lt;b&gt;.png");
    }
}
