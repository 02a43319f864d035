//! TensorBoard's event files: the curves of a run beside those of other programs.
//!
//! A file is a row of records (length, its checksum, data, their checksum), each an `Event` message of
//! TensorFlow's `event.proto`. The few fields that curves need are written here; there is no kept library for
//! these files that does not bring TensorFlow's whole schema.

use std::fs::{File, OpenOptions, create_dir_all, read_dir};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::events::{EpochRecord, Event, Sink, StepRecord};
use crate::error::{Error, Result};
use crate::files::unused_path;

/// Writes curves to an event file: losses, accuracies and learning rate of each step under `step/`, of each
/// epoch under `epoch/`, both over the number of steps.
///
/// A run that goes on gets another file; it begins with a mark that makes TensorBoard forget what it had read
/// of later steps.
pub struct TensorBoard {
    folder: PathBuf,
    file: Option<(PathBuf, File)>,
}

impl TensorBoard {
    /// Will write into a new file of `folder`, which is made with the first event.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: None }
    }

    /// Begins the file.
    fn open(&mut self, from_step: u64) -> Result<()> {
        create_dir_all(&self.folder).map_err(|e| Error::io("create", &self.folder, e))?;
        let mut others = read_dir(&self.folder).map_err(|e| Error::io("read", &self.folder, e))?;
        let goes_on = others.next().is_some();
        let seconds = now() as u64;
        // TensorBoard reads files in the order of their names, and takes those whose names hold `tfevents`.
        let path = unused_path(&self.folder.join(format!("events.out.tfevents.{seconds:010}.mien")));
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(|e| Error::io("write", &path, e))?;
        self.file = Some((path, file));
        self.write(&event(0, FILE_VERSION, b"brain.Event:2"))?;
        if goes_on {
            // SessionLog { status: START }: later steps of earlier files are void.
            self.write(&event(from_step + 1, SESSION_LOG, &[0x08, 1]))?;
        }
        Ok(())
    }

    fn write(&mut self, message: &[u8]) -> Result<()> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        file.write_all(&record(message)).map_err(|e| Error::io("write", &*path, e))
    }

    fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let summary: Vec<u8> =
            values.iter().flat_map(|(tag, value)| bytes_field(1, &scalar(tag, *value as f32))).collect();
        self.write(&event(step, SUMMARY, &summary))
    }
}

impl Sink for TensorBoard {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Start { from_step, .. } => self.open(*from_step),
            Event::Step(StepRecord { step, loss, accuracy, learning_rate, gradient_norm, .. }) => {
                let mut values = vec![
                    ("step/train_loss", *loss),
                    ("step/train_accuracy", *accuracy),
                    ("step/learning_rate", *learning_rate),
                ];
                values.extend(gradient_norm.map(|norm| ("step/gradient_norm", norm)));
                self.scalars(*step, &values)
            }
            Event::Epoch(record) => {
                let EpochRecord {
                    step,
                    train_loss,
                    train_accuracy,
                    val_loss,
                    val_accuracy,
                    val_macro_f1,
                    ..
                } = record;
                let values = [
                    ("epoch/train_loss", *train_loss),
                    ("epoch/train_accuracy", *train_accuracy),
                    ("epoch/valid_loss", *val_loss),
                    ("epoch/valid_accuracy", *val_accuracy),
                    ("epoch/valid_macro_f1", *val_macro_f1),
                    ("epoch/learning_rate", record.learning_rate),
                    ("epoch/images_per_second", record.images_per_second),
                ];
                self.scalars(*step, &values)
            }
            Event::EpochStart { .. }
            | Event::Evaluating { .. }
            | Event::Saved { .. }
            | Event::Notice { .. }
            | Event::End { .. } => Ok(()),
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

// Fields of `Event` in event.proto.
const FILE_VERSION: u64 = 3;
const SUMMARY: u64 = 5;
const SESSION_LOG: u64 = 7;

/// `Event { wall_time: 1, step: 2, one of its kinds }`
fn event(step: u64, field: u64, content: &[u8]) -> Vec<u8> {
    let mut message = vec![0x09]; // field 1, 64 bits
    message.extend(now().to_le_bytes());
    message.push(0x10); // field 2, varint
    message.extend(varint(step));
    message.extend(bytes_field(field, content));
    message
}

/// `Summary.Value { tag: 1, simple_value: 2 }` of summary.proto.
fn scalar(tag: &str, value: f32) -> Vec<u8> {
    let mut message = bytes_field(1, tag.as_bytes());
    message.push(0x15); // field 2, 32 bits
    message.extend(value.to_le_bytes());
    message
}

fn bytes_field(field: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = varint(field << 3 | 2);
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// TFRecord's framing: length, its masked checksum, the data, their masked checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let masked = |bytes: &[u8]| crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), bit by bit: a record is some hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_rfc() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn messages_are_protobufs() {
        assert_eq!(varint(300), [0xac, 0x02]);
        // tag "a" and 1.0, encoded by hand from the schema.
        assert_eq!(scalar("a", 1.0), [0x0a, 1, b'a', 0x15, 0, 0, 0x80, 0x3f]);
        let message = event(1, SUMMARY, &[7]);
        assert_eq!((message[0], &message[9..]), (0x09, &[0x10, 1, 0x2a, 1, 7][..]));
    }

    #[test]
    fn a_run_that_goes_on_gets_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for from_step in [0, 5] {
            let mut board = TensorBoard::new(folder.path());
            board.event(&Event::Start { run: "r".into(), header: Vec::new(), from_step }).unwrap();
            board.event(&Event::End { reason: "finished".into(), seconds: 1.0 }).unwrap();
        }
        let sizes: Vec<u64> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert_eq!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap(), 16 + 11 + 4);
    }
}
