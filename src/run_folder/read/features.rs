//! The pooled features that an evaluation keeps of some of its images.

use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::text::one_line;

/// Features of some images of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// C, the numbers of one image.
    pub width: usize,
    /// `[n, C]`, row-major; finite.
    pub values: Vec<f32>,
    /// `[n]`: rows of the evaluation's predictions.
    pub rows: Vec<usize>,
}

/// Reads `features` f32 `[n, C]` and `rows` i64 `[n]`.
pub(super) fn read_features(path: &Path, predictions: usize) -> Result<Features> {
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, error))?;
    let wrong = |problem: String| {
        Error::at(path, problem).expected("the tensors features (f32, [n, C]) and rows (i64, [n])")
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(one_line(error)))?;
    let tensor = |name: &str| file.tensor(name).map_err(|error| wrong(one_line(error)));
    let (features, rows) = (tensor("features")?, tensor("rows")?);
    let (&[n, width], &[m]) = (features.shape(), rows.shape()) else {
        return Err(wrong(format!("found the shapes {:?} and {:?}", features.shape(), rows.shape())));
    };
    if n != m || n == 0 || width == 0 || features.dtype() != Dtype::F32 || rows.dtype() != Dtype::I64 {
        return Err(wrong(format!(
            "found {:?} [{n}, {width}] and {:?} [{m}]",
            features.dtype(),
            rows.dtype()
        )));
    }
    let (values, _) = features.data().as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(wrong("found a feature that is not finite".into()));
    }
    let (rows, _) = rows.data().as_chunks::<8>();
    let row = |bytes: &[u8; 8]| {
        let row = i64::from_le_bytes(*bytes);
        let row = usize::try_from(row).ok().filter(|row| *row < predictions);
        row.ok_or_else(|| {
            Error::at(path, format!("names row {}", i64::from_le_bytes(*bytes)))
                .expected(format!("a row of {predictions}"))
        })
    };
    Ok(Features { width, values, rows: rows.iter().map(row).collect::<Result<_>>()? })
}
