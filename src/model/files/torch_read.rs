//! PyTorch's own files (`.pth`, `.pt`): state dicts and checkpoints are read without running anything
//! that a file names.
//!
//! A file is a pickle, which describes tensors, and storages, which hold their bytes. torch 1.6 and later put
//! both into a zip of stored entries (`data.pkl` and `data/N`); before that the pickles came first and the
//! storages after them. The pickle is run by the small machine of `pickle`, to which every
//! object but dictionaries, lists and tensors is a name with nothing behind it, so training scripts may save
//! beside the weights what they like.
//!
//! The layout is that of `torch/serialization.py`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Kind, MAX_KEY, Machine, Named, Node, Storage, View, short};
use crate::error::{Error, Result};

/// Where checkpoints keep the model's state dict, the likeliest first.
const STATE_KEYS: [&str; 10] = [
    "model_state_dict",
    "state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "model_ema",
    "state_dict_ema",
];
/// What `DataParallel` and `torch.compile` put before every name.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// The count of `torch.optim.swa_utils.AveragedModel`, which stands beside the tensors of the model that it
/// wraps.
const AVERAGED: &str = "n_averaged";
/// The most bytes of pickle that are read. That of ResNet-50 with Adam's state has 0.1 MB.
const MAX_PICKLE: u64 = 64 << 20;
/// How many bytes of a tensor are read at once; a multiple of every number's size.
const BLOCK: usize = 1 << 20;
const SAVE_AGAIN: &str = "Save the weights alone, with torch.save(model.state_dict(), PATH)";

/// An open PyTorch file. Only its description is in memory; a tensor's bytes are read when they are asked
/// for.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    /// Its cursor is moved by every read.
    file: Mutex<File>,
    key: Option<&'static str>,
    tensors: BTreeMap<String, (View, Blob)>,
}

/// Where a storage's bytes lie within the file, and their checksum where the file has one.
#[derive(Clone, Copy, Debug)]
struct Blob {
    start: u64,
    length: u64,
    checksum: Option<u32>,
}

impl TorchFile {
    /// Reads the description of `path`: a state dict, or a checkpoint that holds one.
    ///
    /// # Errors
    /// The file cannot be read, is not whole, is not PyTorch's, or holds no state dict under a known name.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = |e| Error::io("read", path, e);
        let mut file = File::open(path).map_err(reading)?;
        let length = file.metadata().map_err(reading)?.len();
        let mut start = [0; 2];
        let is_zip = length > 2 && file.read_exact(&mut start).is_ok() && &start == b"PK";
        let (pickle, mut storages) = if is_zip {
            read_zip(&file, length).map_err(|problem| broken(path, &problem))?
        } else {
            file.rewind().map_err(reading)?;
            let mut pickles = Vec::new();
            (&file).take(MAX_PICKLE).read_to_end(&mut pickles).map_err(reading)?;
            (pickles, HashMap::new())
        };
        let mut rest = &pickle[..];
        if !is_zip {
            legacy_header(&mut rest).map_err(|problem| broken(path, &problem))?;
        }
        let machine = Machine::run(&mut rest).map_err(|problem| broken(path, &problem))?;
        if !is_zip {
            let start = (pickle.len() - rest.len()) as u64;
            storages =
                legacy_storages(&machine, rest, start, length).map_err(|problem| broken(path, &problem))?;
        }
        let (key, state) = find_state(path, &machine)?;
        let mut tensors = BTreeMap::new();
        for (stored, storage, view) in state {
            let name = unwrapped(stored).to_owned();
            let bytes = (storage.count * storage.kind.size()) as u64;
            let Some(blob) = storages.get(storage.key).filter(|blob| blob.length == bytes) else {
                return Err(broken(path, &format!("the bytes of {} are missing", short(stored))));
            };
            if name != AVERAGED && tensors.insert(name, (view.clone(), *blob)).is_some() {
                return Err(Error::at(
                    path,
                    format!("holds {} both with and without the prefix of a wrapper", short(stored)),
                )
                .expected("each tensor once")
                .hint(SAVE_AGAIN));
            }
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), key, tensors })
    }

    /// The entry of the checkpoint that the tensors come from; `None` where the file is itself a state dict.
    pub fn key(&self) -> Option<&str> {
        self.key
    }

    /// Names of all tensors without the prefixes `module.` and `_orig_mod.`, sorted.
    pub fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// Shape of one tensor; empty for a single number.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.tensors.get(name)?.0.shape.clone())
    }

    /// Values of one tensor as f32, in row-major order whatever its strides.
    ///
    /// # Errors
    /// There is no such tensor, it does not hold floats, or its bytes cannot be read or are damaged.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let (view, blob) = self.tensors.get(name).ok_or_else(|| {
            Error::at(&self.path, format!("there is no tensor '{name}'"))
                .hint("Is it a file of another model?")
        })?;
        match view.kind {
            Kind::Float => self.gather(name, view, blob, |b| f32::from_le_bytes(array(b))),
            Kind::Double => self.gather(name, view, blob, |b| f64::from_le_bytes(array(b)) as f32),
            Kind::Half => self.gather(name, view, blob, |b| f16_to_f32(u16::from_le_bytes(array(b)))),
            Kind::BFloat16 => self.gather(name, view, blob, |b| bf16_to_f32(u16::from_le_bytes(array(b)))),
            other => Err(Error::at(&self.path, format!("tensor '{name}' is of type {other:?}"))
                .expected("floats (Float, Double, Half or BFloat16)")
                .hint("Save it as floats, with tensor.float()")),
        }
    }

    /// Reads the part of the storage that the view spans, and picks its numbers from there.
    fn gather(
        &self,
        name: &str,
        view: &View,
        blob: &Blob,
        number: impl Fn(&[u8]) -> f32,
    ) -> Result<Vec<f32>> {
        let View { kind, offset, shape, strides } = view;
        let (size, count): (usize, usize) = (kind.size(), shape.iter().product());
        let mut values = Vec::with_capacity(count);
        if count == 0 {
            return Ok(values);
        }
        let reading = |e| Error::io("read", &self.path, e);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(blob.start + (offset * size) as u64)).map_err(reading)?;
        let check = |read: usize, checksum: crc32fast::Hasher| {
            // The checksum is that of the whole storage.
            let is_whole = (read * size) as u64 == blob.length;
            if is_whole && blob.checksum.is_some_and(|expected| expected != checksum.finalize()) {
                return Err(Error::at(
                    &self.path,
                    format!("the bytes of tensor '{name}' do not match their checksum"),
                )
                .hint("Copy or download it again"));
            }
            Ok(())
        };
        let mut checksum = crc32fast::Hasher::new();
        if is_contiguous(shape, strides) {
            let mut block = vec![0; (count * size).min(BLOCK)];
            while values.len() < count {
                let bytes = &mut block[..((count - values.len()) * size).min(BLOCK)];
                file.read_exact(bytes).map_err(reading)?;
                checksum.update(bytes);
                values.extend(bytes.chunks_exact(size).map(&number));
            }
            check(count, checksum)?;
            return Ok(values);
        }
        let last: usize = shape.iter().zip(strides).map(|(dim, stride)| (dim - 1) * stride).sum();
        let mut bytes = vec![0; (last + 1) * size];
        file.read_exact(&mut bytes).map_err(reading)?;
        checksum.update(&bytes);
        check(last + 1, checksum)?;
        let mut index = vec![0; shape.len()];
        let mut position = 0;
        for _ in 0..count {
            values.push(number(&bytes[position * size..][..size]));
            // The next index in row-major order.
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                position += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                position -= index[axis] * strides[axis];
                index[axis] = 0;
            }
        }
        Ok(values)
    }
}

/// IEEE 754 half precision as f32, which holds every one of its values.
pub fn f16_to_f32(bits: u16) -> f32 {
    let (sign, exponent, fraction) =
        (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction as f32 * 2f32.powi(-24), // zero and subnormal numbers
        31 => f32::from_bits(0x7f80_0000 | fraction << 13),
        _ => f32::from_bits((exponent + 127 - 15) << 23 | fraction << 13),
    };
    f32::from_bits(magnitude.to_bits() | sign)
}

/// bfloat16, the upper half of an f32, as f32.
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&dim, &stride)| {
        let fits = dim == 1 || stride == expected;
        expected *= dim;
        fits
    })
}

/// Bytes of a slice whose length is that of the number that it holds.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("numbers are cut to their size")
}

fn unwrapped(mut name: &str) -> &str {
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = rest;
    }
    name
}

fn broken(path: &Path, problem: &str) -> Error {
    Error::at(path, format!("not a whole PyTorch file ({problem})"))
        .expected("what torch.save writes")
        .hint(format!("Copy or download it again, or: {SAVE_AGAIN}"))
}

/// The pickle of a zip file, and where its storages lie.
fn read_zip(file: &File, length: u64) -> Result<(Vec<u8>, HashMap<String, Blob>), String> {
    let zip_error = |e: zip::result::ZipError| e.to_string();
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(zip_error)?;
    let mut entries = BTreeMap::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(zip_error)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        // torch stores everything; what is compressed could grow to any size.
        if entry.compression() != CompressionMethod::Stored || entry.compressed_size() != entry.size() {
            return Err(format!("its entry {} is compressed", short(&name)));
        }
        let start = entry.data_start().ok_or("an entry has no place")?;
        if start.checked_add(entry.size()).is_none_or(|end| end > length) {
            return Err("its end is missing".into());
        }
        // A checksum of 0 was not computed: torch.serialization.set_crc32_options(False).
        let checksum = Some(entry.crc32()).filter(|&checksum| checksum != 0);
        entries.insert(name, Blob { start, length: entry.size(), checksum });
    }
    // All entries stand in one folder, which is named after the file.
    let folder_of = |name: &String| {
        name.strip_suffix("data.pkl").filter(|root| root.is_empty() || root.ends_with('/')).map(str::to_owned)
    };
    let root = entries.keys().find_map(folder_of).ok_or("there is no data.pkl in it")?;
    let read = |name: &str, limit: u64| {
        let Some(blob) = entries.get(&format!("{root}{name}")) else { return Ok(None) };
        if blob.length > limit {
            return Err(format!("its entry '{name}' has {} MB", blob.length >> 20));
        }
        let mut bytes = Vec::new();
        let mut file = file;
        let read = file
            .seek(SeekFrom::Start(blob.start))
            .and_then(|_| file.take(blob.length).read_to_end(&mut bytes));
        read.map_err(|e| e.to_string())?;
        if bytes.len() as u64 != blob.length
            || blob.checksum.is_some_and(|checksum| checksum != crc32fast::hash(&bytes))
        {
            return Err(format!("its entry '{name}' is damaged"));
        }
        Ok(Some(bytes))
    };
    if read("byteorder", 16)?.is_some_and(|order| order != b"little") {
        return Err("its numbers are in big-endian order".into());
    }
    let pickle = read("data.pkl", MAX_PICKLE)?.ok_or("there is no data.pkl in it")?;
    let folder = format!("{root}data/");
    let storages = entries
        .iter()
        .filter_map(|(name, blob)| Some((name.strip_prefix(&folder)?.to_owned(), *blob)))
        .collect();
    Ok((pickle, storages))
}

/// Passes the three pickles before a legacy file's own: a magic number, a version and what the machine was.
fn legacy_header(rest: &mut &[u8]) -> Result<(), String> {
    const MAGIC: [u8; 10] =
        0x1950_a86a_20f9_469c_fc6c_u128.to_le_bytes().first_chunk::<10>().copied().expect("16 bytes hold 10");
    let magic = Machine::run(rest).map_err(|_| "it begins like neither of torch's formats")?;
    if !matches!(magic.root(), Node::Long(bytes) if *bytes == MAGIC) {
        return Err("it begins like neither of torch's formats".into());
    }
    if !matches!(Machine::run(rest)?.root(), Node::Int(1001)) {
        return Err("it is of an unknown version".into());
    }
    let system = Machine::run(rest)?;
    match system.entry(system.root, "little_endian") {
        Some(Node::Bool(true)) => Ok(()),
        _ => Err("its numbers are not in little-endian order".into()),
    }
}

/// Where the storages of a legacy file lie: after a pickled list of their keys, each with its count before
/// it.
fn legacy_storages<'a>(
    machine: &Machine<'a>,
    mut rest: &[u8],
    start: u64,
    length: u64,
) -> Result<HashMap<String, Blob>, String> {
    let before = rest.len();
    let keys = Machine::run(&mut rest)?;
    let Node::List(list) = keys.root() else { return Err("its list of storages is missing".into()) };
    let storage_of = |node: &Node<'a>| match node {
        Node::Storage(storage) => Some((storage.key, *storage)),
        _ => None,
    };
    let declared: HashMap<&str, Storage> = machine.nodes.iter().filter_map(storage_of).collect();
    let mut place = start + (before - rest.len()) as u64;
    let mut storages = HashMap::new();
    for &key in list {
        let key =
            keys.text(key).filter(|key| key.len() <= MAX_KEY).ok_or("its list of storages is damaged")?;
        let storage = declared.get(key).ok_or("one of its storages belongs to no tensor")?;
        let bytes = storage.count.checked_mul(storage.kind.size()).ok_or("a storage is too large")? as u64;
        let blob = Blob { start: place + 8, length: bytes, checksum: None };
        place = blob.start.checked_add(bytes).filter(|&end| end <= length).ok_or("its end is missing")?;
        storages.insert(key.to_owned(), blob);
    }
    Ok(storages)
}

/// Finds the state dict: the key that it stands under (`None` for the root itself), and its tensors.
fn find_state<'m>(path: &Path, machine: &'m Machine) -> Result<(Option<&'static str>, Vec<Named<'m>>)> {
    let none = |problem: String| {
        Error::at(path, problem)
            .expected(format!("a state dict, or a checkpoint with one under {}", STATE_KEYS.join(", ")))
            .hint(SAVE_AGAIN)
    };
    let checked = |key, id| {
        // A sparse or quantized tensor would otherwise just be missing.
        let odd = machine.items(id).iter().find_map(|&(name, value)| match &machine.nodes[value as usize] {
            Node::Object(object) if object.is_tensor() => Some((name, object)),
            _ => None,
        });
        match odd {
            Some((name, object)) => {
                let name = machine.text(name).unwrap_or("entry");
                Err(none(format!("its {} is no plain tensor ({})", short(name), object.class())))
            }
            None => Ok((key, machine.tensors(id).collect())),
        }
    };
    let class_of_module = |id: u32| match &machine.nodes[id as usize] {
        Node::Object(object) => object
            .state
            .filter(|&state| machine.entry_id(state, "_modules").is_some())
            .map(|_| object.class()),
        _ => None,
    };
    let candidate = |key| Some((Some(key), machine.entry_id(machine.root, key)?));
    let candidates: Vec<_> =
        STATE_KEYS.into_iter().filter_map(candidate).chain([(None, machine.root)]).collect();
    let module = candidates.iter().find_map(|&(_, id)| class_of_module(id));
    let found = candidates.into_iter().find(|&(_, id)| machine.tensors(id).next().is_some());
    match (found, module) {
        // What stands beside a module, such as a random generator's state, is no state dict.
        (None | Some((None, _)), Some(class)) => return Err(none(format!("holds a whole module ({class})"))),
        (Some((key, id)), _) => return checked(key, id),
        (None, None) => checked(None, machine.root)?,
    };
    // A message has room for some of them only.
    let holding = machine
        .items(machine.root)
        .iter()
        .take(100)
        .filter(|(_, value)| machine.tensors(*value).next().is_some());
    let found: Vec<String> = holding.filter_map(|&(key, _)| machine.text(key)).take(5).map(short).collect();
    Err(none(if found.is_empty() {
        "holds no tensors by name".into()
    } else {
        format!("holds tensors under {} only", found.join(", "))
    }))
}

#[cfg(test)]
mod tests;
