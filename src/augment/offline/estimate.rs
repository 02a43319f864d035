//! What a run would write, and how large: the originals' sizes are read, those of the copies are estimated on
//! a sample made in memory.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::maker::{Maker, key_of};
use super::output::check_output;
use super::progress::{Progress, Watcher};
use super::read::{Memory, read_image};
use super::request::Request;
use super::source::Notes;
use super::survey::{Job, Survey};
use crate::error::{Error, Result};

/// Images of the sample.
const SAMPLE: usize = 200;

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// What the source contains.
    pub survey: Survey,
    /// Augmented copies that would be written.
    pub copies: usize,
    /// Size of the originals in bytes, read from their files.
    pub original_bytes: u64,
    /// Size of the copies in bytes, estimated on the sample.
    pub copy_bytes: u64,
    /// Seconds to make the copies, estimated on the sample; writing them comes on top.
    pub seconds: f64,
    /// Images of the sample that got copies.
    pub sampled: usize,
    /// Draws of the sample that kept the profile's limits.
    pub kept: usize,
    /// Draws of the sample that were rejected.
    pub refused: usize,
    /// Free bytes on the disk of the output; `None` where the system does not say.
    pub free: Option<u64>,
}

/// Estimates what [`super::augment`] would write; writes nothing.
///
/// # Errors
/// As for [`super::augment`], but for those of writing.
pub fn estimate(request: &Request, progress: &dyn Fn(Progress), stop: &AtomicBool) -> Result<Estimate> {
    let watcher = Watcher::new(progress, stop);
    let job = Job::open(request, watcher)?;
    let (plan, survey) = (&job.plan, &job.survey);
    check_output(&plan.output, request.resume)?;
    let mut maker = Maker::new(plan);
    let (memory, mut file) = (Memory::new(), Vec::new());
    let (mut original_bytes, mut sample_bytes, mut sampled, mut seen) = (0, 0, 0, 0);
    let (mut kept, mut seconds) = (0, 0.0);
    let wanted = survey.augmented.min(SAMPLE);
    let flow = job.source.walk(&mut Notes::default(), &mut |listing| {
        for name in &listing.files {
            let path = listing.path.join(name);
            original_bytes += fs::metadata(&path).map_or(0, |about| about.len());
            if job.copies(&listing) == 0 {
                continue;
            }
            // Evenly over all that are augmented: number i of the sample is image i * augmented / wanted.
            let is_chosen = (seen * wanted) / survey.augmented != ((seen + 1) * wanted) / survey.augmented;
            seen += 1;
            if !is_chosen {
                continue;
            }
            watcher.report(Progress::Done(sampled, wanted));
            let start = Instant::now();
            let Ok(read) = read_image(&path, &memory, &mut file) else { continue };
            let key = key_of(&listing.below.join(name));
            for copy in 1..=plan.copies {
                if maker.make(&read.image, read.format, key, copy, &[]).is_ok() {
                    sample_bytes += maker.encoded.len() as u64;
                    kept += 1;
                }
            }
            seconds += start.elapsed().as_secs_f64();
            sampled += 1;
            if watcher.has_stopped() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if flow.is_break() {
        return Err(Error::Interrupted("stopped; nothing was written".into()));
    }
    let scale = survey.augmented as f64 / sampled.max(1) as f64;
    Ok(Estimate {
        copies: survey.augmented * plan.copies as usize,
        original_bytes,
        copy_bytes: (sample_bytes as f64 * scale) as u64,
        seconds: seconds * scale / request.threads as f64,
        sampled,
        kept,
        refused: maker.refused.iter().sum(),
        free: free_bytes(&plan.output),
        survey: job.survey,
    })
}

/// Bytes that may still be written where `path` is to be.
fn free_bytes(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::ffi::CString;
        use std::os::unix::ffi::OsStrExt;
        let there = path.ancestors().find(|folder| folder.exists())?;
        let text = CString::new(there.as_os_str().as_bytes()).ok()?;
        // SAFETY: all bits zero is a valid statvfs, which the call fills.
        let mut about: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: `text` ends in a zero byte and `about` is a place for one statvfs.
        let status = unsafe { libc::statvfs(text.as_ptr(), &mut about) };
        #[allow(clippy::unnecessary_cast)] // the fields' widths differ between systems
        return (status == 0).then(|| about.f_bavail as u64 * about.f_frsize as u64);
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
