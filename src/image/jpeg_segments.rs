//! The segments of a JPEG file (ITU T.81, annex B), one after the other, without decoding anything.
//!
//! Segments are passed over by their length, so that the end marker of a thumbnail inside of one is not taken
//! for the image's; what follows the end marker does not matter.

/// Start of frame headers, whatever the coding: all but the tables that lie between their numbers.
pub(crate) fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// Start of scan: compressed data follow the segment.
pub(crate) const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// One piece of a JPEG file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A marker with its segment.
    Segment(Segment<'a>),
    /// The compressed data after a [`START_OF_SCAN`], up to the next marker.
    Scan(&'a [u8]),
}

/// A marker with its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// The byte after 0xff.
    pub(crate) marker: u8,
    /// The two bytes of the segment's length and its body.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    /// The segment without its length.
    pub(crate) fn body(self) -> &'a [u8] {
        &self.bytes[2..]
    }

    /// What a frame header says; `None` for other segments and if it is too short.
    pub(crate) fn frame(self) -> Option<Frame<'a>> {
        // Precision, height, width, count, then three bytes a component.
        let &[_, h1, h0, w1, w0, _, ref components @ ..] = self.body() else { return None };
        is_frame_header(self.marker).then_some(Frame {
            width: usize::from(u16::from_be_bytes([w1, w0])),
            height: usize::from(u16::from_be_bytes([h1, h0])),
            components,
        })
    }
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Pixels per row.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
    /// Three bytes for each component: its identifier, its sampling factors, its quantisation table.
    pub(crate) components: &'a [u8],
}

/// Why a file is not followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The file ends before its end marker.
    Truncated,
    /// There is something else where a marker should be.
    NoMarker {
        /// Bytes from the beginning of the file.
        at: usize,
    },
    /// A marker that does not begin a segment.
    UnexpectedMarker {
        /// The byte after 0xff.
        marker: u8,
        /// Bytes from the beginning of the file.
        at: usize,
    },
    /// A segment that claims to be shorter than its own length field.
    TooShort {
        /// What it claims.
        length: usize,
        /// Bytes from the beginning of the file.
        at: usize,
    },
}

/// Follows a JPEG file from its start marker, which the caller has checked, to its end marker. Ends after a
/// fault.
pub(crate) fn segments(bytes: &[u8]) -> Segments<'_> {
    Segments { bytes, at: 2, is_scan_next: false, is_over: false }
}

/// See [`segments`].
pub(crate) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    is_scan_next: bool,
    is_over: bool,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Part<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self.read().transpose();
        self.is_over = !matches!(item, Some(Ok(_)));
        item
    }
}

impl<'a> Segments<'a> {
    fn read(&mut self) -> Result<Option<Part<'a>>, Fault> {
        let bytes = self.bytes;
        if std::mem::take(&mut self.is_scan_next) {
            let start = self.at;
            self.at = end_of_scan(bytes, start).ok_or(Fault::Truncated)?;
            return Ok(Some(Part::Scan(&bytes[start..self.at])));
        }
        let byte = |at: usize| bytes.get(at).copied().ok_or(Fault::Truncated);
        if byte(self.at)? != 0xff {
            return Err(Fault::NoMarker { at: self.at });
        }
        // Any number of 0xff may precede a marker.
        while byte(self.at)? == 0xff {
            self.at += 1;
        }
        let (marker, at) = (bytes[self.at], self.at + 1);
        if marker == END_OF_IMAGE {
            return Ok(None);
        }
        if !matches!(marker, 0xc0..=0xcf | 0xda..=0xef | 0xfe) {
            return Err(Fault::UnexpectedMarker { marker, at: at - 1 });
        }
        let length = usize::from(u16::from_be_bytes([byte(at)?, byte(at + 1)?]));
        let segment = bytes.get(at..at + length).ok_or(Fault::Truncated)?;
        if length < 2 {
            return Err(Fault::TooShort { length, at });
        }
        self.at = at + length;
        self.is_scan_next = marker == START_OF_SCAN;
        Ok(Some(Part::Segment(Segment { marker, bytes: segment })))
    }
}

/// Where the compressed data that begin at `at` end: at the next 0xff that is neither data (0xff00), nor a
/// restart marker, nor padding. `None` if the file ends first.
fn end_of_scan(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

/// The segments of the header: everything up to the first scan, or to where the file cannot be followed any
/// further. Nothing if the file is not a JPEG.
pub(crate) fn header(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let is_jpeg = bytes.starts_with(b"\xff\xd8");
    segments(bytes).take_while(move |_| is_jpeg).map_while(|part| match part {
        Ok(Part::Segment(segment)) if segment.marker != START_OF_SCAN => Some(segment),
        _ => None,
    })
}

/// Width and height that the header of a JPEG claims; `None` for any other file and where there is no frame
/// header.
pub(crate) fn claimed_size(bytes: &[u8]) -> Option<(usize, usize)> {
    header(bytes).find_map(Segment::frame).map(|frame| (frame.width, frame.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(bytes: &[u8]) -> String {
        let parts = segments(bytes).map(|part| match part {
            Ok(Part::Segment(segment)) => format!("{:02x}:{}", segment.marker, segment.body().len()),
            Ok(Part::Scan(data)) => format!("scan:{}", data.len()),
            Err(fault) => format!("{fault:?}"),
        });
        parts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_file_is_followed_from_marker_to_marker() {
        let frame = b"\xff\xc0\0\x0b\x08\0\x05\0\x07\x01\x01\x11\0";
        let scan = b"\xff\xda\0\x02\x01\xff\0\x02\xff\xd0\x03";
        let file = [b"\xff\xd8\xff\xff\xe1\0\x05abc", &frame[..], &scan[..], b"\xff\xd9 more"].concat();
        assert_eq!(outline(&file), "e1:3 c0:9 da:0 scan:7");
        assert_eq!(claimed_size(&file), Some((7, 5)));
        assert_eq!(header(&file).map(|segment| segment.marker).collect::<Vec<_>>(), [0xe1, 0xc0]);
        let end = file.len() - b"\xff\xd9 more".len();
        assert_eq!(outline(&file[..end]), "e1:3 c0:9 da:0 Truncated");
        assert_eq!(claimed_size(&file[..end]), Some((7, 5)), "the head is enough");
    }

    #[test]
    fn a_fault_says_what_and_where_and_ends_the_walk() {
        for (rest, said) in [
            (&b""[..], "Truncated"),
            (b"\xff", "Truncated"),
            (b"abc", "NoMarker { at: 2 }"),
            (b"\xff\x01\0\x02", "UnexpectedMarker { marker: 1, at: 3 }"),
            (b"\xff\xe0\0\x01\0", "TooShort { length: 1, at: 4 }"),
            (b"\xff\xe0\0\x09abc", "Truncated"),
        ] {
            assert_eq!(outline(&[b"\xff\xd8", rest].concat()), said);
        }
        assert_eq!(claimed_size(b"\x89PNG\xff\xc0\0\x0b\x08\0\x05\0\x07\x01\x01\x11\0"), None);
    }
}
