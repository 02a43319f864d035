//! Reading a source, with an eye on memory: large images wait for each other, so that many at once take no
//! more than a few.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::image::Bitmap;
use crate::image::decode::{Format, claimed_size, decode, format};

/// No image of a face is larger, in bytes.
const MAX_FILE: u64 = 512 << 20;
/// How much of a file is read before it is known to be an image. The size of a JPEG stands behind its
/// metadata.
const HEAD: u64 = 256 << 10;
/// Bytes that a sample takes while it is decoded, changed and encoded.
const BYTES_PER_SAMPLE: u64 = 6;
/// What all large images together may take; one that needs more is worked on alone.
const BUDGET: u64 = 160 << 20;
/// An image that takes less than this does not count.
const SMALL: u64 = 4 << 20;

/// The memory for large images.
pub(super) struct Memory {
    free: Mutex<u64>,
    freed: Condvar,
}

/// A part of it, given back when dropped.
pub(super) struct Grant<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { free: Mutex::new(BUDGET), freed: Condvar::new() }
    }

    /// Waits for memory, if an image needs much.
    fn take(&self, bytes: u64) -> Option<Grant<'_>> {
        if bytes < SMALL {
            return None;
        }
        let bytes = bytes.min(BUDGET);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.freed.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Some(Grant { memory: self, bytes })
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        *self.memory.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.memory.freed.notify_all();
    }
}

/// A source as it was read; its file is in the caller's buffer.
pub(super) struct ReadImage<'a> {
    pub(super) format: Format,
    pub(super) image: Bitmap,
    /// Held while the image is worked on, if it is large.
    pub(super) grant: Option<Grant<'a>>,
}

/// Reads and decodes the file at `path`, or says in one line why that cannot be.
pub(super) fn read_image<'a>(
    path: &Path,
    memory: &'a Memory,
    buffer: &mut Vec<u8>,
) -> Result<ReadImage<'a>, String> {
    let mut file = File::open(path).map_err(|error| explain(&error))?;
    let about = file.metadata().map_err(|error| explain(&error))?;
    if !about.is_file() {
        return Err("not a regular file".into());
    }
    let length = about.len();
    if length > MAX_FILE {
        let (found, most) = (length >> 20, MAX_FILE >> 20);
        return Err(format!("the file is too large: {found} MiB; the limit is {most} MiB"));
    }
    buffer.clear();
    (&mut file).take(HEAD).read_to_end(buffer).map_err(|error| explain(&error))?;
    let found = format(buffer).map_err(|error| error.to_string())?;
    let need = match claimed_size(buffer) {
        Some((width, height)) => {
            length + BYTES_PER_SAMPLE * 3 * (width as u64).saturating_mul(height as u64).min(BUDGET)
        }
        None if length < HEAD / 4 => 0,
        None => BUDGET,
    };
    let grant = memory.take(need);
    if length > buffer.len() as u64 {
        file.seek(SeekFrom::Start(buffer.len() as u64))
            .and_then(|_| file.read_to_end(buffer))
            .map_err(|error| explain(&error))?;
    }
    let image = decode(buffer).map_err(|error| error.to_string())?;
    Ok(ReadImage { format: found, image: Bitmap::from_rgb(image), grant })
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "the file is missing: a broken link, or removed during the run".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_images_wait_for_memory_and_small_ones_do_not() {
        let memory = Memory::new();
        let first = memory.take(BUDGET * 2);
        assert!(first.is_some() && memory.take(SMALL - 1).is_none());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| memory.take(BUDGET / 2).is_some());
            std::thread::sleep(std::time::Duration::from_millis(30));
            assert!(!second.is_finished(), "it waits");
            drop(first);
            assert!(second.join().unwrap());
        });
        assert_eq!(*memory.free.lock().unwrap(), BUDGET, "everything was given back");
    }
}
