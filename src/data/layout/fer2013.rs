//! `fer2013.csv`: pixels in a table, with the columns emotion, pixels and Usage.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::super::origin::{Origin, Unreadable};
use super::super::split::Split;
use super::found::{Entry, Layout, Scan};
use crate::emotions::EMOTIONS;
use crate::error::Result;
use crate::files::csv_error;

/// The class of each label number in `fer2013.csv`: not the order of [`EMOTIONS`].
const FER2013_LABELS: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const FER2013_SIDE: usize = 48;
const FER2013_PIXELS: usize = FER2013_SIDE * FER2013_SIDE;

/// Reads `fer2013.csv`: all pixels into one buffer, one entry a row. Rows that cannot be used are listed with
/// their line.
pub(super) fn read_fer2013(
    path: &Path,
    mut reader: csv::Reader<fs::File>,
    emotion: usize,
    pixels: usize,
    usage: Option<usize>,
) -> Result<Scan> {
    debug_assert!(FER2013_LABELS.iter().all(|label| EMOTIONS.contains(label)));
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut scan = Scan::new(Layout::Fer2013);
    let mut buffer: Vec<u8> = Vec::new();
    let mut rows: Vec<(String, &str, Option<Split>)> = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| csv_error(path, error))? {
        let name = format!("{file}:{:06}", record.position().map_or(0, csv::Position::line));
        let start = buffer.len();
        let row = fer2013_label(record.get(emotion).unwrap_or_default()).and_then(|label| {
            let split =
                usage.map(|column| fer2013_usage(record.get(column).unwrap_or_default())).transpose()?;
            push_pixels(record.get(pixels).unwrap_or_default(), &mut buffer)?;
            Ok((label, split))
        });
        match row {
            Ok((label, split)) => rows.push((name, label, split)),
            Err(reason) => {
                buffer.truncate(start);
                scan.unreadable.push(Unreadable { name, reason });
            }
        }
    }
    let buffer: Arc<[u8]> = buffer.into();
    for (index, (name, label, split)) in rows.into_iter().enumerate() {
        let (buffer, start) = (Arc::clone(&buffer), index * FER2013_PIXELS);
        let origin = Origin::Pixels { width: FER2013_SIDE, height: FER2013_SIDE, buffer, start };
        scan.labels.insert(label.to_owned());
        scan.entries.push(Entry { name, origin, label: label.to_owned(), split, group: None });
    }
    Ok(scan)
}

fn fer2013_label(cell: &[u8]) -> Result<&'static str, String> {
    let number = std::str::from_utf8(cell).ok().and_then(|text| text.trim().parse::<usize>().ok());
    let label = number.and_then(|number| FER2013_LABELS.get(number).copied());
    label.ok_or_else(|| format!("emotion `{}`, expected 0 to 6", String::from_utf8_lossy(cell)))
}

fn fer2013_usage(cell: &[u8]) -> Result<Split, String> {
    match cell.to_ascii_lowercase().as_slice() {
        b"training" => Ok(Split::Train),
        b"publictest" => Ok(Split::Valid),
        b"privatetest" => Ok(Split::Test),
        _ => Err(format!(
            "Usage `{}`, expected Training, PublicTest or PrivateTest",
            String::from_utf8_lossy(cell)
        )),
    }
}

/// Appends the 48 × 48 numbers of a cell.
fn push_pixels(cell: &[u8], buffer: &mut Vec<u8>) -> Result<(), String> {
    let mut found = 0;
    for text in cell.split(u8::is_ascii_whitespace).filter(|text| !text.is_empty()) {
        let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u8>().ok());
        buffer.push(
            value.ok_or_else(|| format!("pixel `{}`, expected 0 to 255", String::from_utf8_lossy(text)))?,
        );
        found += 1;
    }
    if found != FER2013_PIXELS {
        return Err(format!("{found} pixels, expected {FER2013_PIXELS} (48x48)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;
    use crate::data::testing::write;

    /// A row of `fer2013.csv` with every pixel at `value`.
    fn row(emotion: &str, value: u8, usage: &str) -> String {
        let pixels = vec![value.to_string(); FER2013_PIXELS].join(" ");
        format!("{emotion},{pixels},{usage}\n")
    }

    #[test]
    fn fer2013_is_known_by_its_header_and_keeps_its_own_label_numbers() {
        let root = tempfile::tempdir().unwrap();
        let mut text = "emotion,pixels,Usage\n".to_owned();
        for (emotion, usage) in ["Training", "PublicTest", "PrivateTest"].iter().cycle().take(7).enumerate() {
            text += &row(&emotion.to_string(), emotion as u8 * 10, usage);
        }
        text += "3,1 2 3,Training\n";
        text += &row("9", 1, "Training");
        text += &row("3", 1, "Sometimes");
        text += &row("3", 1, "Training").replacen(" 1 ", " 256 ", 1);
        write(root.path(), "fer2013.csv", &text);
        let scan = scan(&root.path().join("fer2013.csv")).unwrap();
        assert_eq!(scan.layout, Layout::Fer2013);
        let labels: Vec<&str> = scan.entries.iter().map(|entry| entry.label.as_str()).collect();
        assert_eq!(labels, ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]);
        assert_eq!(scan.entries[4].split, Some(Split::Valid));
        assert_eq!(scan.entries[4].name, "fer2013.csv:000006");
        let Origin::Pixels { width: 48, height: 48, buffer, start } = &scan.entries[5].origin else {
            panic!("pixels in memory")
        };
        assert!(buffer[*start..start + FER2013_PIXELS].iter().all(|&pixel| pixel == 50));
        let reasons: Vec<&str> = scan.unreadable.iter().map(|row| row.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "3 pixels, expected 2304 (48x48)",
                "emotion `9`, expected 0 to 6",
                "Usage `Sometimes`, expected Training, PublicTest or PrivateTest",
                "pixel `256`, expected 0 to 255"
            ]
        );
    }

    #[test]
    fn fer2013_without_usage_has_no_splits() {
        let root = tempfile::tempdir().unwrap();
        let text = format!("emotion,pixels\n{}", row("3", 1, "").replace(",\n", "\n"));
        write(root.path(), "any.csv", &text);
        assert_eq!(scan(&root.path().join("any.csv")).unwrap().entries[0].split, None);
    }
}
