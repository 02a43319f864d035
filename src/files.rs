//! Files that are never half written and never overwritten by mistake; JSON and CSV.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::text::one_line;

/// A writer that can also seek: what [`write_atomic`] passes to its closure.
pub trait WriteSeek: Write + Seek {}

impl<T: Write + Seek> WriteSeek for T {}

/// Writes the file `path` as a whole or not at all: `write` fills a temporary file in the same folder, which
/// is flushed, synced to the disk and then renamed to `path`.
///
/// The writer is buffered. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
/// Whatever fails, be it `write` itself, the flush, the sync or the rename, comes back as an [`Error::Io`]
/// for `path`; the temporary file is removed and a file that was at `path` stays as it was.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>) -> Result<()> {
    replace(path, write, File::sync_all).map_err(|error| Error::io("write", path, error))
}

/// Writes `value` as indented JSON with a newline at the end, with [`write_atomic`].
///
/// JSON has no NaN and no infinity: serde_json writes them as `null`, which does not read back as a number.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_atomic(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Writes `records` as a CSV file, with [`write_atomic`]. The first record is the header; all have as many
/// cells as it has.
pub fn write_csv<R>(path: &Path, records: impl IntoIterator<Item = R>) -> Result<()>
where
    R: IntoIterator<Item: AsRef<[u8]>>,
{
    write_table(path, |table| records.into_iter().try_for_each(|record| table.write_record(record)))
}

/// Writes `rows` as a CSV file with the names of their fields as the header, with [`write_atomic`].
pub fn write_csv_rows(path: &Path, rows: &[impl Serialize]) -> Result<()> {
    write_table(path, |table| rows.iter().try_for_each(|row| table.serialize(row)))
}

fn write_table(
    path: &Path,
    fill: impl FnOnce(&mut csv::Writer<&mut dyn WriteSeek>) -> csv::Result<()>,
) -> Result<()> {
    write_atomic(path, |out| {
        let mut table = csv::Writer::from_writer(out);
        fill(&mut table).map_err(csv_into_io)?;
        table.flush()
    })
}

/// The error of reading the CSV file `path`: [`Error::Io`] if it cannot be read, else [`Error::Input`] with
/// the line that is malformed.
pub fn csv_error(path: &Path, error: csv::Error) -> Error {
    if error.is_io_error() {
        return Error::io("read", path, csv_into_io(error));
    }
    Error::at(path, one_line(error))
}

/// Keeps the kind of an input/output error (a full disk), which `io::Error::from(csv::Error)` would hide.
fn csv_into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Reads a value from a JSON file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Input`] with the path, the line and the column if it is
/// not JSON or not a `T`.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::at(path, one_line(error)))
}

/// `path` itself if nothing is there, else the first free one of `path-2`, `path-3`, …
///
/// The number goes before a file's extension (`plot-2.png`) and after a folder's whole name (`lr0.01-2`).
/// Nothing is created, so another process may take the path in between.
pub fn unused_path(path: &Path) -> PathBuf {
    // A broken link is in the way too: `Path::exists` would call it free.
    let taken = |path: &Path| path.symlink_metadata().is_ok();
    if !taken(path) {
        return path.to_path_buf();
    }
    let extension = if path.is_dir() { None } else { path.extension() };
    let stem = if extension.is_some() { path.file_stem() } else { path.file_name() }.unwrap_or_default();
    let numbered = |number: u64| {
        let mut name = OsString::from(stem);
        name.push(format!("-{number}"));
        if let Some(extension) = extension {
            name.push(".");
            name.push(extension);
        }
        path.with_file_name(name)
    };
    let mut number = 2;
    while taken(&numbered(number)) {
        number += 1;
    }
    numbered(number)
}

/// Creates the folder `path`, with its parents. An existing empty folder is accepted, so two processes that
/// ask for the same one at the same moment may both get it.
///
/// # Errors
/// [`Error::Input`] if `path` is a file or a folder with anything in it, hidden files included; [`Error::Io`]
/// from the system.
pub fn create_new_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Error::at(path, "there is a file of this name").expected("a new or an empty folder")
        }
        _ => Error::io("create", path, error),
    })?;
    match fs::read_dir(path).map_err(|error| Error::io("read", path, error))?.next() {
        None => Ok(()),
        Some(_) => Err(Error::at(path, "the folder is not empty")
            .expected("a new or an empty folder")
            .hint("Nothing is overwritten: choose another name, or move the folder elsewhere")),
    }
}

/// Puts the folder `new` in the place of `path`; a folder that is there is removed once it has made room.
///
/// # Errors
/// There is something other than a folder at `path`; [`Error::Io`] from the system, with the old folder back
/// in its place.
pub fn replace_dir(new: &Path, path: &Path) -> Result<()> {
    if path.symlink_metadata().is_err() {
        return fs::rename(new, path).map_err(|error| Error::io("write", path, error));
    }
    if !path.is_dir() {
        return Err(Error::at(path, "there is a file of this name").expected("a folder, or nothing"));
    }
    let mut aside = path.file_name().unwrap_or_default().to_owned();
    aside.push(".old");
    let aside = unused_path(&path.with_file_name(aside));
    fs::rename(path, &aside).map_err(|error| Error::io("rename", path, error))?;
    if let Err(error) = fs::rename(new, path) {
        let _ = fs::rename(&aside, path);
        return Err(Error::io("write", path, error));
    }
    fs::remove_dir_all(&aside).map_err(|error| Error::io("remove", &aside, error))
}

/// Keeps other programs out for as long as the returned file is open: a lock on the file `path`, which is
/// created if necessary. `None` if another program holds the lock.
///
/// # Errors
/// The file cannot be created.
pub fn lock(path: &Path) -> Result<Option<File>> {
    let file = File::create(path).map_err(|error| Error::io("create", path, error))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        // A file system without locks (some network drives) must not keep anyone from working.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

/// [`write_atomic`] with the sync as an argument, so that a test can let it fail.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>,
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the path does not end in a file name"));
    }
    let (temporary, file) = create_beside(path)?;
    fill(file, write, sync)?; // closes the file: Windows renames and removes only closed ones
    fs::rename(&temporary.0, path)?;
    std::mem::forget(temporary);
    Ok(())
}

fn fill(
    file: File,
    write: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>,
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush()?; // a drop would swallow the error of a full disk
    sync(out.get_ref())
}

/// Removes its file when it goes out of scope: after an error, and after a panic in the caller's closure.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // The first error is the one to report; there is nobody to tell about a second.
        let _ = fs::remove_file(&self.0);
    }
}

/// A new file in the folder of `path`. Its name does not contain that of `path`, which may already be as long
/// as a name can be.
fn create_beside(path: &Path) -> io::Result<(Temporary, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".{}-{number}.tmp", std::process::id()));
        // `create_new` settles the race with a process of the same number on another machine that shares the
        // folder.
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((Temporary(temporary), file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn full() -> io::Error {
        io::Error::from(ErrorKind::StorageFull)
    }

    #[test]
    fn a_written_file_replaces_the_old_one_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        for text in ["first", "second"] {
            write_atomic(&path, |out| out.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_failure_at_any_stage_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        let in_the_writer = replace(
            &path,
            |out| {
                out.write_all(b"half of it")?;
                Err(full())
            },
            File::sync_all,
        );
        let at_the_sync = replace(&path, |out| out.write_all(b"all of it"), |_| Err(full()));
        for outcome in [in_the_writer, at_the_sync] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::StorageFull);
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            assert_eq!(names(folder.path()), ["a.txt"]);
        }
        let panicked = std::panic::catch_unwind(|| write_atomic(&path, |_| panic!("in the writer")));
        assert!(panicked.is_err());
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_rename_that_fails_removes_the_temporary() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("taken/inside")).unwrap();
        assert!(write_atomic(&folder.path().join("taken"), |out| out.write_all(b"x")).is_err());
        assert_eq!(names(folder.path()), ["taken"]);
    }

    /// A few bytes stay in the buffer, so that only the flush meets the full disk.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_that_shows_only_at_the_flush_is_an_error() {
        let device = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = fill(device, |out| out.write_all(b"few bytes"), |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_still_called_so_after_the_json_writer() {
        let device = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let long = vec![0u8; 1 << 16];
        let error = fill(device, |out| Ok(serde_json::to_writer(out, &long)?), |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_still_called_so_after_the_csv_writer() {
        let error = csv::Writer::from_writer(Full).write_record(["x".repeat(1 << 16)]).unwrap_err();
        assert_eq!(csv_into_io(error).kind(), ErrorKind::StorageFull);
    }

    #[test]
    fn csv_files_are_quoted_and_a_malformed_one_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        write_csv(&path, [["name", "n"], ["a, \"b\"", "1"]]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "name,n\n\"a, \"\"b\"\"\",1\n");
        fs::write(&path, "name,n\na,1,2\n").unwrap();
        let error = csv::Reader::from_path(&path).unwrap().records().next().unwrap().unwrap_err();
        let text = csv_error(&path, error).to_string();
        assert!(text.starts_with(&path.display().to_string()) && text.contains("line: 2"), "{text}");
        let gone = folder.path().join("none.csv");
        let error = csv::Reader::from_path(&gone).map(|_| ()).unwrap_err();
        assert_eq!(
            csv_error(&gone, error).to_string(),
            format!("cannot read {}: no such file or folder", gone.display())
        );
    }

    #[test]
    fn errors_name_the_path_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/a.txt");
        let text = write_atomic(&path, |_| Ok(())).unwrap_err().to_string();
        assert_eq!(text, format!("cannot write {}: no such file or folder", path.display()));
        let text = write_atomic(folder.path(), |_| Err(full())).unwrap_err().to_string();
        assert!(text.contains("the disk is full"), "{text}");
        assert!(write_atomic(Path::new(".."), |_| Ok(())).is_err());
    }

    #[test]
    fn json_survives_and_a_wrong_file_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_json(&path, &vec![1, 2]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]\n");
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), [1, 2]);
        fs::write(&path, "[1,\n \"b\"]").unwrap();
        let text = read_json::<Vec<u8>>(&path).unwrap_err().to_string();
        assert!(text.starts_with(&path.display().to_string()) && text.contains("line 2 column 4"), "{text}");
        assert!(!text.contains('\n'));
        assert!(
            read_json::<u8>(&folder.path().join("none")).unwrap_err().to_string().starts_with("cannot read")
        );
    }

    #[test]
    fn an_unused_path_counts_on_from_two() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(unused_path(&at("plot.png")), at("plot.png"));
        fs::write(at("plot.png"), "").unwrap();
        assert_eq!(unused_path(&at("plot.png")), at("plot-2.png"));
        fs::write(at("plot-2.png"), "").unwrap();
        assert_eq!(unused_path(&at("plot.png")), at("plot-3.png"));
        fs::create_dir(at("lr0.01")).unwrap();
        assert_eq!(unused_path(&at("lr0.01")), at("lr0.01-2"));
    }

    #[test]
    fn a_lock_is_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let first = lock(&path).unwrap();
        assert!(first.is_some() && lock(&path).unwrap().is_none());
        drop(first);
        assert!(lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_new_folder_is_new_or_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/a");
        create_new_dir(&path).unwrap();
        create_new_dir(&path).unwrap();
        fs::write(path.join("x"), "").unwrap();
        assert!(create_new_dir(&path).unwrap_err().to_string().contains("the folder is not empty"));
        assert!(
            create_new_dir(&path.join("x")).unwrap_err().to_string().contains("there is a file of this name")
        );
        assert!(path.join("x").exists());
    }
}
