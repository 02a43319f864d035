//! The folder itself: telling one, naming it, keeping it to one program.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use super::names::{BEST, CONFIG, LOCK};
use crate::error::{Error, Result};
use crate::files;

/// The key of the header's line about leaking groups.
pub const LEAKAGE: &str = "LEAKAGE";

/// Whether `path` is a run folder.
pub fn is_run(path: &Path) -> bool {
    path.join(CONFIG).is_file()
}

/// The model file that a path stands for: the best model of a run folder, or a model or checkpoint file
/// itself; `None` if it stands for neither.
pub fn model_file(path: &Path) -> Option<PathBuf> {
    let file = if is_run(path) { path.join(BEST) } else { path.to_owned() };
    let is_model = file.is_file() && file.extension().is_some_and(|ending| ending == "safetensors");
    is_model.then_some(file)
}

/// Keeps other programs from training in the same folder, for as long as the file is open.
///
/// # Errors
/// Another program holds it, or the lock cannot be written.
pub fn lock(folder: &Path) -> Result<File> {
    files::lock(&folder.join(LOCK))?.ok_or_else(|| {
        Error::at(folder, "another mien is training in this folder").hint("Wait for it, or stop it first")
    })
}

/// The last part of a folder's path, also of `.` and `..`.
pub(crate) fn folder_name(folder: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    name(folder)
        .or_else(|| name(&folder.canonicalize().ok()?))
        .unwrap_or_else(|| folder.display().to_string())
}

/// Whether a relative path stays in its folder.
pub(crate) fn inside(relative: &str) -> bool {
    let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !relative.is_empty() && Path::new(relative).components().all(stays)
}
