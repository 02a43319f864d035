//! Putting files into their place: whole or not at all, and never over another file.
//!
//! A file is written in a hidden folder of the output and renamed. That folder is as good as empty, so that a
//! name is entered into the large folders once and not twice. Nothing is synced: after a power cut a file may
//! be empty, which a resumed run mends.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where files are written before they are renamed, in the output's root.
pub(super) const WORKSHOP: &str = ".mien-augment.tmp";

/// One thread's corner of the workshop.
pub(super) struct Placer {
    temporary: PathBuf,
}

impl Placer {
    /// The placer of thread `number`; the workshop must exist.
    pub(super) fn new(output: &Path, number: usize) -> Result<Self> {
        let folder = output.join(WORKSHOP).join(number.to_string());
        fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        Ok(Self { temporary: folder.join("file") })
    }

    /// Writes `bytes` as the file `path`. Returns false if a file with just these bytes was there.
    ///
    /// # Errors
    /// The file cannot be written; another file is there.
    pub(super) fn place(&self, path: &Path, bytes: &[u8]) -> Result<bool> {
        File::create(&self.temporary)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|error| Error::io("write", path, error))?;
        self.settle(path, bytes)
    }

    /// Makes `path` a hard link to `source`, which holds `bytes`. Returns false if a file with just these
    /// bytes was there.
    ///
    /// # Errors
    /// As for [`Placer::place`]; the two are on different file systems.
    pub(super) fn link(&self, source: &Path, path: &Path, bytes: &[u8]) -> Result<bool> {
        // The link of a link would be a link to a relative path, perhaps of nothing.
        let source = source.canonicalize().map_err(|error| Error::io("read", source, error))?;
        match fs::hard_link(source, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => is_there(path, bytes).map(|_| false),
            Err(error) => Err(sharing_failed("a hard link", path, &error)),
        }
    }

    /// Makes `path` a copy of `source` that shares its blocks on the disk. Returns false if a file with just
    /// these bytes was there.
    ///
    /// # Errors
    /// As for [`Placer::place`]; the file system cannot share blocks.
    pub(super) fn clone_file(&self, source: &Path, path: &Path, bytes: &[u8]) -> Result<bool> {
        _ = fs::remove_file(&self.temporary);
        reflink_copy::reflink(source, &self.temporary)
            .map_err(|error| sharing_failed("a reflink", path, &error))?;
        self.settle(path, bytes)
    }

    /// Renames the temporary file, which holds `bytes`, to `path`.
    fn settle(&self, path: &Path, bytes: &[u8]) -> Result<bool> {
        match rename_to_new(&self.temporary, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let kept = is_there(path, bytes)?;
                if !kept {
                    fs::rename(&self.temporary, path).map_err(|error| Error::io("write", path, error))?;
                }
                Ok(!kept)
            }
            Err(error) => Err(Error::io("write", path, error)),
        }
    }
}

/// Whether the file at `path` holds `bytes`; false if it is empty.
///
/// # Errors
/// It holds something else, or cannot be read.
fn is_there(path: &Path, bytes: &[u8]) -> Result<bool> {
    let found = fs::read(path).map_err(|error| Error::io("read", path, error))?;
    if found == bytes {
        return Ok(true);
    }
    if found.is_empty() { Ok(false) } else { Err(in_the_way(path)) }
}

/// The error for a file that is not what belongs in its place.
pub(super) fn in_the_way(path: &Path) -> Error {
    Error::at(path, "a different file is in the place of the one that mien writes")
        .expected("an output folder that nothing else changes")
        .hint("Nothing is overwritten: move the file away and continue with --resume")
}

fn sharing_failed(what: &str, path: &Path, error: &io::Error) -> Error {
    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::PermissionDenied) {
        return Error::io("write", path, io::Error::from(error.kind()));
    }
    Error::at(path, format!("cannot be {what} to the original: {error}"))
        .expected("source and output on one file system that supports this")
        .hint("Use --originals copy, in a new output folder")
}

/// Renames a file unless something is at `to`.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::ffi::CString;
        use std::os::unix::ffi::OsStrExt;
        let path = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let (source, target) = (path(from)?, path(to)?);
        // SAFETY: both are texts that end in a zero byte and live beyond the call.
        let status = unsafe {
            libc::syscall(
                libc::SYS_renameat2,
                libc::AT_FDCWD,
                source.as_ptr(),
                libc::AT_FDCWD,
                target.as_ptr(),
                libc::RENAME_NOREPLACE,
            )
        };
        if status == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // Some network file systems cannot look and rename in one step.
        if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) {
            return Err(error);
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once_and_never_over_another() {
        let output = tempfile::tempdir().unwrap();
        let placer = Placer::new(output.path(), 0).unwrap();
        let path = output.path().join("a.png");
        assert!(placer.place(&path, b"abc").unwrap());
        assert!(!placer.place(&path, b"abc").unwrap(), "the same is left alone");
        let error = placer.place(&path, b"abd").unwrap_err().to_string();
        assert!(error.contains("a.png") && error.contains("a different file"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        fs::write(&path, b"").unwrap();
        assert!(placer.place(&path, b"abd").unwrap(), "what a power cut left empty is filled");
        assert_eq!(fs::read(&path).unwrap(), b"abd");
    }

    #[test]
    fn a_hard_link_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let placer = Placer::new(folder.path(), 0).unwrap();
        let (source, path) = (folder.path().join("source"), folder.path().join("a.png"));
        fs::write(&source, b"abc").unwrap();
        assert!(placer.link(&source, &path, b"abc").unwrap());
        assert!(!placer.link(&source, &path, b"abc").unwrap());
        fs::write(&source, b"abd").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abd");
        assert!(placer.link(&source, &folder.path().join("no/such/a.png"), b"abd").is_err());
    }

    #[test]
    fn a_reflink_is_a_copy_or_a_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let placer = Placer::new(folder.path(), 0).unwrap();
        let (source, path) = (folder.path().join("source"), folder.path().join("a.png"));
        fs::write(&source, b"abc").unwrap();
        match placer.clone_file(&source, &path, b"abc") {
            Ok(is_new) => assert!(is_new && fs::read(&path).unwrap() == b"abc"),
            Err(error) => assert!(error.to_string().contains("--originals copy"), "{error}"),
        }
    }
}
