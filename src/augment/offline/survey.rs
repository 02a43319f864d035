//! What the source contains, and which of its images get copies.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::progress::{Progress, Watcher};
use super::request::{Plan, Request, check};
use super::source::{Listing, Notes, Source};
use crate::data::Split;
use crate::data::classes::canonical;
use crate::error::{Error, Result};
use crate::image::decode::format_names;
use crate::text::{nearest, quoted_list};

/// What the source contains.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Every class folder, sorted by split and label.
    pub classes: Vec<SurveyedClass>,
    /// The number of images.
    pub images: usize,
    /// The number of images that get copies.
    pub augmented: usize,
    /// Anything else that was found, in sentences for people.
    pub notes: Vec<String>,
    /// A hash of the images' paths below the source.
    pub(super) names: String,
}

/// One class folder of the source.
#[derive(Clone, Debug)]
pub struct SurveyedClass {
    /// The folder's name; empty for a flat folder.
    pub label: String,
    /// The split that it belongs to, if the source has split folders.
    pub split: Option<Split>,
    /// The number of its images.
    pub images: usize,
    /// Whether its images get copies.
    pub augmented: bool,
}

/// A checked request with its source.
pub(super) struct Job {
    pub(super) source: Source,
    pub(super) plan: Plan,
    pub(super) survey: Survey,
    /// For each class folder, whether its images get copies.
    augmented: Vec<bool>,
}

impl Job {
    /// Checks the request and counts the images.
    ///
    /// # Errors
    /// The request cannot be fulfilled; the source cannot be read; the user stopped it.
    pub(super) fn open(request: &Request, watcher: Watcher) -> Result<Self> {
        let (source, plan) = check(request)?;
        let augmented = augmented_classes(&source, &request.emotions)?;
        let survey = survey(&source, &augmented, watcher)?;
        Ok(Self { source, plan, survey, augmented })
    }

    /// The number of copies that each image of a folder gets.
    pub(super) fn copies(&self, listing: &Listing) -> u32 {
        if self.augmented[listing.class] { self.plan.copies } else { 0 }
    }
}

/// For each class folder, whether its images get copies.
fn augmented_classes(source: &Source, emotions: &[String]) -> Result<Vec<bool>> {
    let same = |label: &str, wanted: &String| match (canonical(label), canonical(wanted)) {
        (Some(a), Some(b)) => a == b,
        _ => label.trim().eq_ignore_ascii_case(wanted.trim()),
    };
    let labels: Vec<&str> = (0..source.class_count()).map(|index| source.class(index).0).collect();
    if let Some(unknown) = emotions.iter().find(|wanted| !labels.iter().any(|label| same(label, wanted))) {
        let mut found: Vec<&str> = labels.iter().copied().filter(|label| !label.is_empty()).collect();
        found.sort_unstable();
        found.dedup();
        let error = Error::input("--emotion", format!("unknown class `{unknown}`"));
        return Err(match nearest(unknown, found.iter().copied()) {
            _ if found.is_empty() => error.expected("no --emotion, as the source has no class folders"),
            Some(near) => error
                .expected(format!("one of {}", quoted_list(&found)))
                .hint(format!("Did you mean `{near}`?")),
            None => error.expected(format!("one of {}", quoted_list(&found))),
        });
    }
    let of_class = |index| {
        let (label, split) = source.class(index);
        matches!(split, None | Some(Split::Train))
            && (emotions.is_empty() || emotions.iter().any(|wanted| same(label, wanted)))
    };
    Ok((0..source.class_count()).map(of_class).collect())
}

/// Counts the images.
fn survey(source: &Source, augmented: &[bool], watcher: Watcher) -> Result<Survey> {
    let mut counts = vec![0; source.class_count()];
    let mut names = blake3::Hasher::new();
    let mut notes = Notes::default();
    let mut all = 0;
    let flow = source.walk(&mut notes, &mut |listing| {
        names.update(listing.below.as_os_str().as_encoded_bytes()).update(b"\0");
        for name in &listing.files {
            names.update(name.as_encoded_bytes()).update(b"\0");
        }
        counts[listing.class] += listing.files.len();
        all += listing.files.len();
        watcher.report(Progress::Listing(all));
        Ok(if watcher.has_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if flow.is_break() {
        return Err(Error::Interrupted("stopped before anything was written".into()));
    }
    let notes = notes.into_lines();
    if all == 0 {
        return Err(Error::at(&source.root, "contains no images")
            .expected(format!("{} files", format_names()))
            .hint(notes.join("; ")));
    }
    let mut classes: BTreeMap<(Option<Split>, String), SurveyedClass> = BTreeMap::new();
    for (index, images) in counts.into_iter().enumerate() {
        let (label, split) = source.class(index);
        let class = SurveyedClass { label: label.to_owned(), split, images, augmented: augmented[index] };
        classes.insert((split, label.to_owned()), class);
    }
    let classes: Vec<SurveyedClass> = classes.into_values().collect();
    Ok(Survey {
        augmented: classes.iter().filter(|class| class.augmented).map(|class| class.images).sum(),
        classes,
        images: all,
        notes,
        names: names.finalize().to_hex()[..32].to_owned(),
    })
}
