//! Writes PyTorch's state dicts (`.pth`): a zip of stored entries, `data.pkl` with the description and
//! `data/N` with the numbers.
//!
//! The pickle's opcodes are those of Python's pickletools, the layout is that of `torch/serialization.py`.

use std::io::{self, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// One tensor on its way into a state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTensor {
    /// Its name in the state dict.
    pub name: String,
    /// Its shape; empty for a single number.
    pub shape: Vec<usize>,
    /// Its values in row-major order.
    pub values: Values,
}

/// The values of a [`StateTensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// `torch.float32`.
    F32(Vec<f32>),
    /// `torch.int64`, as a batch norm's `num_batches_tracked` is.
    I64(Vec<i64>),
}

/// Writes a state dict that `torch.load(path, weights_only=True)` reads. The tensors are taken one after the
/// other, so no more than one of them is in memory; the same tensors give the same bytes.
///
/// # Errors
/// `out` cannot be written, a shape does not fit its values, or whatever a tensor comes with in its place.
pub fn write_state_dict(
    out: impl Write + Seek,
    tensors: impl IntoIterator<Item = io::Result<StateTensor>>,
) -> io::Result<()> {
    let mut zip = ZipWriter::new(out);
    // torch aligns storages to 64 bytes, so that they can be mapped into memory.
    let stored =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(64);
    let mut pickle = Pickle::new();
    for (key, tensor) in tensors.into_iter().enumerate() {
        let StateTensor { name, shape, values } = tensor?;
        let (count, bytes) = match &values {
            Values::F32(values) => (values.len(), size_of_val(&values[..])),
            Values::I64(values) => (values.len(), size_of_val(&values[..])),
        };
        if shape.iter().product::<usize>() != count {
            return Err(invalid(format!("tensor '{name}' of shape {shape:?} comes with {count} values")));
        }
        zip.start_file(format!("archive/data/{key}"), stored.large_file(u32::try_from(bytes).is_err()))?;
        match &values {
            Values::F32(values) => write_numbers(&mut zip, values, |value| value.to_le_bytes())?,
            Values::I64(values) => write_numbers(&mut zip, values, |value| value.to_le_bytes())?,
        }
        pickle.tensor(
            &name,
            &shape,
            key,
            count,
            if matches!(values, Values::F32(_)) { "FloatStorage" } else { "LongStorage" },
        );
    }
    let entries: [(&str, &[u8]); 4] = [
        ("data.pkl", &pickle.finish()),
        ("byteorder", b"little"),
        (".format_version", b"1"),
        ("version", b"3\n"),
    ];
    for (name, bytes) in entries {
        zip.start_file(format!("archive/{name}"), stored)?;
        zip.write_all(bytes)?;
    }
    zip.finish()?.flush()
}

/// Writes numbers in little-endian order, a block at a time.
fn write_numbers<T: Copy, const N: usize>(
    out: &mut impl Write,
    values: &[T],
    bytes: fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut block = Vec::new();
    for values in values.chunks(1 << 14) {
        block.clear();
        block.extend(values.iter().flat_map(|value| bytes(*value)));
        out.write_all(&block)?;
    }
    Ok(())
}

/// The pickle (protocol 2) of an `OrderedDict` of tensors, built opcode by opcode; the letters are those of
/// Python's pickletools.
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        let mut pickle = Self(b"\x80\x02".to_vec()); // PROTO 2
        pickle.empty_ordered_dict();
        pickle.0.push(b'('); // MARK, for the items
        pickle
    }

    /// `name: torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`
    fn tensor(&mut self, name: &str, shape: &[usize], key: usize, count: usize, storage: &str) {
        self.string(name);
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.0.extend(b"((");
        self.string("storage");
        self.global("torch", storage);
        self.string(&key.to_string());
        self.string("cpu");
        self.integer(count);
        self.0.extend(b"tQ"); // TUPLE, BINPERSID
        self.integer(0);
        self.integers(shape.iter().copied());
        self.integers((0..shape.len()).map(|axis| shape[axis + 1..].iter().product()));
        self.0.push(0x89); // NEWFALSE: no gradient
        self.empty_ordered_dict(); // no hooks
        self.0.extend(b"tR"); // TUPLE, REDUCE
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend(b"u."); // SETITEMS, STOP
        self.0
    }

    fn empty_ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.0.extend(b")R"); // EMPTY_TUPLE, REDUCE
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn string(&mut self, text: &str) {
        self.0.push(b'X'); // BINUNICODE
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn integer(&mut self, value: usize) {
        match i32::try_from(value) {
            Ok(value) => {
                self.0.push(b'J'); // BININT
                self.0.extend(value.to_le_bytes());
            }
            Err(_) => {
                self.0.extend([0x8a, 8]); // LONG1 of eight bytes
                self.0.extend((value as u64).to_le_bytes());
            }
        }
    }

    fn integers(&mut self, values: impl Iterator<Item = usize>) {
        self.0.push(b'(');
        values.for_each(|value| self.integer(value));
        self.0.push(b't');
    }
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}
