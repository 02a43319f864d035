//! NumPy's `.npy` files, version 1.0: raw numbers that every tool of the field reads.

use std::path::Path;

use crate::error::Result;
use crate::files::write_atomic;

/// Writes `values`, row-major in `shape`, as little-endian f32.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    let bytes = encode(shape, values);
    write_atomic(path, |out| out.write_all(&bytes))
}

/// The bytes of such a file; the header is padded so that the numbers begin at a multiple of 64.
fn encode(shape: &[usize], values: &[f32]) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), values.len(), "npy: the shape does not fit the values");
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", sizes.trim_end());
    const PREAMBLE: usize = 10;
    while !(PREAMBLE + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_numpys() {
        // numpy.save of numpy.array([[1, 2, 3]], dtype='<f4')
        let bytes = encode(&[1, 3], &[1.0, 2.0, 3.0]);
        assert_eq!(bytes.len(), 128 + 12);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00v\x00");
        let header = std::str::from_utf8(&bytes[10..128]).unwrap();
        assert!(
            header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3,), }"),
            "{header}"
        );
        assert!(header.ends_with(" \n"));
        assert_eq!(&bytes[132..136], 2.0f32.to_le_bytes());
    }
}
