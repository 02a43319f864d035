//! What a run says while it goes on. The trainer sends events; sinks write them to a file, to the terminal or
//! to another program.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::write_atomic;

/// One thing that happened. Written as one JSON object a line, `"event"` names the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins or goes on.
    Start {
        /// The run folder.
        run: PathBuf,
        /// What is trained, on what, where: one line each.
        header: Vec<(String, String)>,
        /// The step it goes on from; 0 for a new run.
        from_step: u64,
    },
    /// An epoch begins or goes on.
    EpochStart {
        /// From 1.
        epoch: usize,
        /// Of so many.
        epochs: usize,
        /// Batches in the epoch.
        batches: usize,
        /// Batches that were done before (after a resume).
        done: usize,
    },
    /// One update of the weights.
    Step(StepRecord),
    /// So many images of the validation or test split have been evaluated.
    Evaluating {
        /// Images done.
        done: usize,
        /// Images in all.
        of: usize,
    },
    /// An epoch has ended.
    Epoch(EpochRecord),
    /// A file was written.
    Saved {
        /// What it is.
        what: String,
        /// Where.
        path: PathBuf,
    },
    /// Something the user should know.
    Notice {
        /// One line.
        text: String,
    },
    /// The run is over or was interrupted.
    End {
        /// Why: finished, early stopping, interrupted.
        reason: String,
        /// Seconds of training in all.
        seconds: f64,
    },
}

/// One update of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Updates so far, this one included, over the whole run.
    pub step: u64,
    /// The epoch of this step, from 1.
    pub epoch: usize,
    /// Batches done in this epoch.
    pub batch: usize,
    /// Training loss of this step's images.
    pub loss: f64,
    /// Training accuracy of this step's images, mixed labels counted with their shares.
    pub accuracy: f64,
    /// Mean loss of the epoch so far.
    pub epoch_loss: f64,
    /// Mean accuracy of the epoch so far.
    pub epoch_accuracy: f64,
    /// The rate of this update.
    pub learning_rate: f64,
    /// Images in this step.
    pub images: usize,
    /// Seconds since the step before ended.
    pub seconds: f64,
    /// Of those, seconds spent waiting for the batch.
    pub waited: f64,
    /// Norm of the gradient before clipping, where clipping is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
}

/// One epoch: a row of metrics.csv.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch that has ended, from 1.
    pub epoch: usize,
    /// Updates of the weights so far, over the whole run.
    pub step: u64,
    /// Mean training loss (of the mixed and smoothed labels).
    pub train_loss: f64,
    /// Mean training accuracy, 0 to 1; mixed labels count with their shares.
    pub train_accuracy: f64,
    /// Validation cross entropy (plain labels), of the averaged weights where EMA is on.
    pub val_loss: f64,
    /// Validation accuracy, 0 to 1.
    pub val_accuracy: f64,
    /// Validation F1, averaged over classes, 0 to 1.
    pub val_macro_f1: f64,
    /// The epoch's learning rate.
    pub learning_rate: f64,
    /// Training images per second.
    pub images_per_second: f64,
    /// Seconds of the epoch, validation included.
    pub seconds: f64,
    /// Whether the model of this epoch is the best so far.
    pub best: bool,
}

/// Takes the events of a run as they happen.
pub trait Sink {
    /// Takes one event.
    ///
    /// # Errors
    /// The event cannot be written.
    fn event(&mut self, event: &Event) -> Result<()>;
}

/// Sends each event to several sinks in turn.
pub struct Tee<'a>(pub Vec<&'a mut dyn Sink>);

impl Sink for Tee<'_> {
    fn event(&mut self, event: &Event) -> Result<()> {
        self.0.iter_mut().try_for_each(|sink| sink.event(event))
    }
}

/// Takes events and does nothing.
pub struct Silent;

impl Sink for Silent {
    fn event(&mut self, _: &Event) -> Result<()> {
        Ok(())
    }
}

/// Appends events to a file, one JSON object a line; each is with the operating system before the next thing
/// happens.
pub struct EventLog {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventLog {
    /// Opens `path` for appending.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn append(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| Error::io("write", path, e))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }
}

impl Sink for EventLog {
    fn event(&mut self, event: &Event) -> Result<()> {
        if matches!(event, Event::Evaluating { .. }) {
            return Ok(()); // for progress bars only
        }
        let failed = |e: std::io::Error| Error::io("write", &self.path, e);
        serde_json::to_writer(&mut self.file, event).map_err(|e| failed(e.into()))?;
        self.file.write_all(b"\n").map_err(failed)?;
        self.file.flush().map_err(failed)
    }
}

/// All whole events of a file. A last line that was cut when the program was killed is left out.
///
/// # Errors
/// The file cannot be read, or a line but the last is no event.
pub fn read(path: &Path) -> Result<Vec<Event>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let count = lines.len();
    let mut events = Vec::with_capacity(count);
    for (index, line) in lines.into_iter().enumerate() {
        match serde_json::from_slice(line) {
            Ok(event) => events.push(event),
            Err(_) if index + 1 == count => {}
            Err(e) => {
                return Err(Error::input(
                    format!("{}:{}", path.display(), index + 1),
                    format!("no event ({e})"),
                ));
            }
        }
    }
    Ok(events)
}

/// Cuts a file off before the first event that came after a checkpoint: after update `step`, of which `batch`
/// in epoch `epoch` (from 1, the epoch to go on with). A run that goes on writes them again.
///
/// # Errors
/// The file cannot be read or written.
pub fn rewind(path: &Path, step: u64, epoch: usize, batch: usize) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let is_before = |event: &Event| match event {
        Event::Step(record) => record.step <= step,
        Event::Epoch(record) => record.epoch < epoch,
        Event::EpochStart { epoch: started, .. } => *started < epoch || (*started == epoch && batch > 0),
        _ => true,
    };
    let kept: Vec<Event> = read(path)?.into_iter().take_while(is_before).collect();
    write_atomic(path, |out| {
        for event in &kept {
            serde_json::to_writer(&mut *out, event)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, epoch: usize) -> Event {
        Event::Step(StepRecord {
            step,
            epoch,
            batch: 1,
            loss: 0.1 + step as f64 / 3.0,
            accuracy: 0.5,
            epoch_loss: 1.0,
            epoch_accuracy: 0.5,
            learning_rate: 1e-3,
            images: 4,
            seconds: 0.1,
            waited: 0.0,
            gradient_norm: None,
        })
    }

    #[test]
    fn events_come_back_as_they_were_and_a_cut_last_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::append(&path).unwrap();
        for n in 1..=3 {
            log.event(&step(n, 1)).unwrap();
        }
        drop(log);
        let whole = read(&path).unwrap();
        assert_eq!(whole, [step(1, 1), step(2, 1), step(3, 1)]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert_eq!(read(&path).unwrap(), whole[..2]);
    }

    #[test]
    fn rewinding_takes_out_what_came_after_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::append(&path).unwrap();
        for n in 1..=5 {
            log.event(&step(n, 1 + n as usize / 4)).unwrap();
        }
        drop(log);
        rewind(&path, 3, 2, 0).unwrap();
        assert_eq!(read(&path).unwrap(), [step(1, 1), step(2, 1), step(3, 1)]);
    }
}
