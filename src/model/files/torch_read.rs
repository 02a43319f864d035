//! PyTorch's own files (`.pth`, `.pt`): state dicts and checkpoints are read, and state dicts written,
//! without running anything that a file names.
//!
//! A file is a pickle, which describes tensors, and storages, which hold their bytes. torch 1.6 and later put
//! both into a zip of stored entries (`data.pkl` and `data/N`); before that the pickles came first and the
//! storages after them. The pickle is run by a small machine that knows dictionaries, lists and how torch
//! describes a tensor. Every other object, whatever its class, becomes a name with nothing behind it, so
//! training scripts may save beside the weights what they like.
//!
//! The pickle's opcodes are those of Python's pickletools, the layout is that of `torch/serialization.py` and
//! `torch/_utils.py`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use zip::{CompressionMethod, ZipArchive};

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
/// The most opcodes that are run, which bounds the machine's memory: enough for 30,000 tensors.
const MAX_OPCODES: usize = 2 << 20;
/// The most dimensions of a tensor, and the most bytes of a storage's key, which torch counts up from 0.
const MAX_DIMENSIONS: usize = 8;
const MAX_KEY: usize = 64;
/// How many bytes of a tensor are read at once; a multiple of every number's size.
const BLOCK: usize = 1 << 20;
/// The most values of a tensor that has more values than its storage, as `expand` makes them.
const MAX_EXPANDED: usize = 1 << 20;
const TOO_MANY: &str = "its description has too many parts";
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

/// A tensor as a pickle describes it: numbers of a storage, within which they all lie.
#[derive(Clone, Debug)]
struct View {
    kind: Kind,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// A storage as a pickle describes it.
#[derive(Clone, Copy, Debug)]
struct Storage<'a> {
    key: &'a str,
    kind: Kind,
    /// How many numbers it holds.
    count: usize,
}

/// The types of numbers, under the names of torch's storages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Double,
    Half,
    BFloat16,
    Long,
    Int,
    Short,
    Char,
    Byte,
    Bool,
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
                .hint("Copy or download it anew"));
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

impl Kind {
    fn of_storage(name: &str) -> Option<Self> {
        Some(match name.strip_suffix("Storage")? {
            "Float" => Self::Float,
            "Double" => Self::Double,
            "Half" => Self::Half,
            "BFloat16" => Self::BFloat16,
            "Long" => Self::Long,
            "Int" => Self::Int,
            "Short" => Self::Short,
            "Char" => Self::Char,
            "Byte" => Self::Byte,
            "Bool" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one number.
    fn size(self) -> usize {
        match self {
            Self::Double | Self::Long => 8,
            Self::Float | Self::Int => 4,
            Self::Half | Self::BFloat16 | Self::Short => 2,
            Self::Char | Self::Byte | Self::Bool => 1,
        }
    }
}

impl View {
    /// The view, if it lies within its storage.
    fn new(storage: &Storage, offset: usize, shape: Vec<usize>, mut strides: Vec<usize>) -> Option<Self> {
        storage.count.checked_mul(storage.kind.size())?;
        if shape.len() != strides.len() {
            return None;
        }
        // A single step is never taken, so its length may be anything in the file.
        shape.iter().zip(&mut strides).filter(|(dim, _)| **dim == 1).for_each(|(_, stride)| *stride = 0);
        let count = shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim))?;
        let mut end = offset;
        if count > 0 {
            for (&dim, &stride) in shape.iter().zip(&strides) {
                end = end.checked_add((dim - 1).checked_mul(stride)?)?;
            }
            end = end.checked_add(1)?;
        }
        let fits = end <= storage.count && count <= storage.count.max(MAX_EXPANDED);
        fits.then_some(Self { kind: storage.kind, offset, shape, strides })
    }
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

/// A name out of a file for a message: one short line.
fn short(name: &str) -> String {
    let start: String = name.chars().take(80).collect();
    format!("'{}'", start.escape_debug())
}

fn broken(path: &Path, problem: &str) -> Error {
    Error::at(path, format!("not a whole PyTorch file ({problem})"))
        .expected("what torch.save writes")
        .hint(format!("Copy or download it anew, or: {SAVE_AGAIN}"))
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

/// A tensor with its name.
type Named<'m> = (&'m str, Storage<'m>, &'m View);

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

/// A value of a pickle. Values refer to each other by their numbers, so that they may be shared and nested to
/// any depth.
#[derive(Debug)]
enum Node<'a> {
    /// Nothing that matters here: None, a float, bytes.
    Other,
    Bool(bool),
    Int(i64),
    /// A whole number of more than 64 bits.
    Long(&'a [u8]),
    Text(&'a str),
    /// A class or function by its module and name. It is never looked up.
    Global(&'a str, &'a str),
    Tuple(Vec<u32>),
    List(Vec<u32>),
    Dict(Vec<(u32, u32)>),
    Storage(Storage<'a>),
    Tensor(Storage<'a>, View),
    Object(Object<'a>),
}

/// What a call or a class would have made.
#[derive(Debug)]
struct Object<'a> {
    class: (&'a str, &'a str),
    state: Option<u32>,
    /// The items of a class that is a dictionary.
    items: Vec<(u32, u32)>,
}

impl Object<'_> {
    fn class(&self) -> String {
        short(&format!("{}.{}", self.class.0, self.class.1))
    }

    /// Whether it is a tensor of a kind that is not read: sparse, quantized, nested, or one that does not fit
    /// its storage.
    fn is_tensor(&self) -> bool {
        self.class.0 == "torch._utils" && self.class.1.starts_with("_rebuild_")
    }
}

/// The machine that a pickle is a program for.
#[derive(Debug, Default)]
struct Machine<'a> {
    nodes: Vec<Node<'a>>,
    stack: Vec<u32>,
    marks: Vec<usize>,
    memo: HashMap<u32, u32>,
    /// How many items were copied from lists; each could be copied many times.
    copied: usize,
    root: u32,
}

impl<'a> Machine<'a> {
    /// Runs one pickle and leaves `bytes` behind it.
    fn run(bytes: &mut &'a [u8]) -> Result<Self, String> {
        let mut machine = Self::default();
        for _ in 0..MAX_OPCODES {
            let opcode = take(bytes, 1)?[0];
            if opcode == b'.' {
                machine.root = machine.pop()?;
                return Ok(machine);
            }
            machine.step(opcode, bytes)?;
        }
        Err(TOO_MANY.into())
    }

    fn step(&mut self, opcode: u8, bytes: &mut &'a [u8]) -> Result<(), String> {
        match opcode {
            0x80 => drop(take(bytes, 1)?), // PROTO
            0x95 => drop(take(bytes, 8)?), // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::Other),
            0x88 | 0x89 => self.push(Node::Bool(opcode == 0x88)),
            b'K' | b'M' => {
                let value = number(bytes, if opcode == b'K' { 1 } else { 2 })?;
                self.push(Node::Int(value as i64));
            }
            b'J' => {
                let value = number(bytes, 4)? as u32 as i32;
                self.push(Node::Int(value.into()));
            }
            0x8a | 0x8b => {
                let length = number(bytes, if opcode == 0x8a { 1 } else { 4 })?;
                let digits = take(bytes, length)?;
                self.push(long(digits));
            }
            b'G' => {
                take(bytes, 8)?;
                self.push(Node::Other);
            }
            // Strings; those of Python 2 (T and U) may hold any bytes.
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                let width = match opcode {
                    0x8d => 8,
                    b'X' | b'T' => 4,
                    _ => 1,
                };
                let length = number(bytes, width)?;
                let text = std::str::from_utf8(take(bytes, length)?);
                self.push(text.map_or(Node::Other, Node::Text));
            }
            // Bytes.
            b'C' | b'B' | 0x8e | 0x96 => {
                let width = match opcode {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                };
                let length = number(bytes, width)?;
                take(bytes, length)?;
                self.push(Node::Other);
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            0x85..=0x87 => {
                let length = usize::from(opcode - 0x84);
                let items = self.pop_many(length)?;
                self.push(Node::Tuple(items));
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Node::Tuple(items));
            }
            b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Node::List(items));
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Node::Dict(pairs(&items)));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' | b'r' => {
                let place = number(bytes, if opcode == b'q' { 1 } else { 4 })? as u32;
                let top = self.top()?;
                self.memo.insert(place, top);
            }
            0x94 => {
                let top = self.top()?;
                self.memo.insert(self.memo.len() as u32, top);
            }
            b'h' | b'j' => {
                let place = number(bytes, if opcode == b'h' { 1 } else { 4 })? as u32;
                let value = *self.memo.get(&place).ok_or("it refers to what is not there")?;
                self.stack.push(value);
            }
            b'c' => {
                let (module, name) = (line(bytes)?, line(bytes)?);
                self.push(Node::Global(module, name));
            }
            0x93 => {
                let names = self.pop_many(2)?;
                let name = |id| self.text(id).ok_or("a class has no name");
                let global = Node::Global(name(names[0])?, name(names[1])?);
                self.push(global);
            }
            b'Q' => {
                let id = self.pop()?;
                let found = self.persistent(id);
                self.push(found);
            }
            b'R' | 0x81 => {
                let call = self.pop_many(2)?;
                let result = if opcode == b'R' { self.call(call[0], call[1])? } else { self.object(call[0]) };
                self.push(result);
            }
            0x92 => {
                let call = self.pop_many(3)?;
                let object = self.object(call[0]);
                self.push(object);
            }
            b'b' => {
                let value = self.pop()?;
                let top = self.top()?;
                if let Node::Object(object) = &mut self.nodes[top as usize] {
                    object.state = Some(value);
                }
            }
            other => return Err(format!("its description has an unknown part, {other:#04x}")),
        }
        Ok(())
    }

    /// What `callable(*arguments)` gives, for the few functions that torch describes tensors with; any other
    /// gives an object.
    fn call(&mut self, callable: u32, arguments: u32) -> Result<Node<'a>, String> {
        let (&Node::Global(module, name), Node::Tuple(items)) =
            (&self.nodes[callable as usize], &self.nodes[arguments as usize])
        else {
            return Ok(self.object(callable));
        };
        let tensor = match (module, name) {
            ("collections", "OrderedDict") => {
                let pairs = self.ordered(items);
                self.copied += pairs.len();
                return if self.copied <= MAX_OPCODES { Ok(Node::Dict(pairs)) } else { Err(TOO_MANY.into()) };
            }
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => self.tensor(items),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                items.first().and_then(|&data| match &self.nodes[data as usize] {
                    Node::Tensor(storage, view) => Some((*storage, view.clone())),
                    _ => None,
                })
            }
            // A subclass of Tensor: (function, class, arguments, state).
            ("torch._tensor", "_rebuild_from_type_v2") => match items[..] {
                [function, _, inner, _] => {
                    match (&self.nodes[function as usize], &self.nodes[inner as usize]) {
                        (Node::Global("torch._utils", "_rebuild_tensor_v2"), Node::Tuple(inner)) => {
                            self.tensor(inner)
                        }
                        _ => None,
                    }
                }
                _ => None,
            },
            _ => None,
        };
        Ok(tensor.map_or_else(|| self.object(callable), |(storage, view)| Node::Tensor(storage, view)))
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`
    fn tensor(&self, arguments: &[u32]) -> Option<(Storage<'a>, View)> {
        let [storage, offset, shape, strides, ..] = arguments else { return None };
        let Node::Storage(storage) = &self.nodes[*storage as usize] else { return None };
        let sizes = |id: u32| match &self.nodes[id as usize] {
            Node::Tuple(items) | Node::List(items) if items.len() <= MAX_DIMENSIONS => {
                items.iter().map(|&item| self.size(item)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        Some((*storage, View::new(storage, self.size(*offset)?, sizes(*shape)?, sizes(*strides)?)?))
    }

    /// `("storage", class, key, device, count)`, or in legacy files of whole modules `("module", class, file,
    /// source)`.
    fn persistent(&self, id: u32) -> Node<'a> {
        let Node::Tuple(items) = &self.nodes[id as usize] else { return Node::Other };
        let [tag, class, key, _, rest @ ..] = &items[..] else { return Node::Other };
        let &Node::Global(module, name) = &self.nodes[*class as usize] else { return Node::Other };
        let storage = || {
            let key = self.text(*key).filter(|key| key.len() <= MAX_KEY)?;
            let [count, view @ ..] = rest else { return None };
            // The oldest files describe views of storages here.
            let is_whole = view.iter().all(|&view| matches!(self.nodes[view as usize], Node::Other));
            let is_torchs = module == "torch" && self.text(*tag)? == "storage";
            let kind = Kind::of_storage(name)?;
            (is_whole && is_torchs).then_some(Storage { key, kind, count: self.size(*count)? })
        };
        storage().map_or(Node::Global(module, name), Node::Storage)
    }

    fn object(&self, class: u32) -> Node<'a> {
        let class = match self.nodes[class as usize] {
            Node::Global(module, name) => (module, name),
            _ => ("", ""),
        };
        Node::Object(Object { class, state: None, items: Vec::new() })
    }

    /// The items of `OrderedDict()` or `OrderedDict([(key, value), ...])`.
    fn ordered(&self, arguments: &[u32]) -> Vec<(u32, u32)> {
        let Some(Node::List(items)) = arguments.first().map(|&list| &self.nodes[list as usize]) else {
            return Vec::new();
        };
        let pair = |&item: &u32| match &self.nodes[item as usize] {
            Node::Tuple(pair) | Node::List(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
            _ => None,
        };
        items.iter().filter_map(pair).collect()
    }

    fn append(&mut self, new: &[u32]) -> Result<(), String> {
        let top = self.top()?;
        if let Node::List(items) = &mut self.nodes[top as usize] {
            items.extend(new);
        }
        Ok(())
    }

    fn set_items(&mut self, new: &[u32]) -> Result<(), String> {
        let top = self.top()?;
        if let Node::Dict(items) | Node::Object(Object { items, .. }) = &mut self.nodes[top as usize] {
            items.extend(pairs(new));
        }
        Ok(())
    }

    fn push(&mut self, node: Node<'a>) {
        // No more values than opcodes, and those are fewer than 2^32.
        self.stack.push(self.nodes.len() as u32);
        self.nodes.push(node);
    }

    /// The value on top of the stack, above the last mark.
    fn top(&self) -> Result<u32, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack
            .get(floor..)
            .and_then(|values| values.last().copied())
            .ok_or_else(|| "its description is damaged".into())
    }

    fn pop(&mut self) -> Result<u32, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<u32>, String> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        Ok(values)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<u32>, String> {
        let mark =
            self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or("its description is damaged")?;
        Ok(self.stack.split_off(mark))
    }

    fn root(&self) -> &Node<'a> {
        &self.nodes[self.root as usize]
    }

    fn text(&self, id: u32) -> Option<&'a str> {
        match self.nodes[id as usize] {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    fn size(&self, id: u32) -> Option<usize> {
        match self.nodes[id as usize] {
            Node::Int(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }

    /// The items of a dictionary, or of an object of a class that is one.
    fn items(&self, id: u32) -> &[(u32, u32)] {
        match &self.nodes[id as usize] {
            Node::Dict(items) | Node::Object(Object { items, .. }) => items,
            _ => &[],
        }
    }

    /// The value under `key`; the last where there are several.
    fn entry_id(&self, dict: u32, key: &str) -> Option<u32> {
        self.items(dict).iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }

    fn entry(&self, dict: u32, key: &str) -> Option<&Node<'a>> {
        Some(&self.nodes[self.entry_id(dict, key)? as usize])
    }

    /// The tensors of a dictionary with their names.
    fn tensors(&self, dict: u32) -> impl Iterator<Item = Named<'_>> {
        let tensor = |&(name, value): &(u32, u32)| match &self.nodes[value as usize] {
            Node::Tensor(storage, view) => Some((self.text(name)?, *storage, view)),
            _ => None,
        };
        self.items(dict).iter().filter_map(tensor)
    }
}

fn pairs(items: &[u32]) -> Vec<(u32, u32)> {
    items.as_chunks().0.iter().map(|&[key, value]| (key, value)).collect()
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], String> {
    let split = usize::try_from(count).ok().and_then(|count| bytes.split_at_checked(count));
    let (taken, rest) = split.ok_or("its description ends early")?;
    *bytes = rest;
    Ok(taken)
}

/// A little-endian number of at most eight bytes.
fn number(bytes: &mut &[u8], width: u64) -> Result<u64, String> {
    Ok(take(bytes, width)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// A text that ends with its line.
fn line<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, String> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or("its description ends early")?;
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "a name in it is no text")?;
    *bytes = &bytes[end + 1..];
    Ok(text)
}

/// A whole number in two's complement of any length.
fn long<'a>(digits: &'a [u8]) -> Node<'a> {
    if digits.len() > 8 {
        return Node::Long(digits);
    }
    let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
    let mut value = if negative { [0xff; 8] } else { [0; 8] };
    value[..digits.len()].copy_from_slice(digits);
    Node::Int(i64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::super::torch_write::{StateTensor, Values, write_state_dict};
    use super::*;
    use std::io::{self, Cursor};

    #[derive(serde::Deserialize)]
    struct Expected {
        key: Option<String>,
        tensors: BTreeMap<String, Golden>,
    }

    #[derive(serde::Deserialize)]
    struct Golden {
        shape: Vec<usize>,
        values: Vec<f64>,
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch").join(name)
    }

    fn index() -> BTreeMap<String, Expected> {
        serde_json::from_str(&std::fs::read_to_string(fixture("index.json")).unwrap()).unwrap()
    }

    fn error(name: &str) -> String {
        TorchFile::open(&fixture(name)).unwrap_err().to_string()
    }

    #[test]
    fn files_of_torch_are_read_to_the_bit() {
        for (name, expected) in index() {
            let file = TorchFile::open(&fixture(&name)).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(file.key(), expected.key.as_deref(), "{name}");
            assert_eq!(file.names(), expected.tensors.keys().cloned().collect::<Vec<_>>(), "{name}");
            for (tensor, golden) in expected.tensors {
                let what = format!("{name}: {tensor}");
                assert_eq!(file.shape(&tensor).unwrap(), golden.shape, "{what}");
                if tensor.ends_with("num_batches_tracked") {
                    assert!(file.values(&tensor).unwrap_err().to_string().contains("of type Long"), "{what}");
                    continue;
                }
                let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                let golden = golden.values.into_iter().map(|value| value as f32).collect();
                assert_eq!(bits(file.values(&tensor).unwrap()), bits(golden), "{what}");
            }
        }
    }

    #[test]
    fn what_is_not_a_state_dict_is_refused_with_a_reason() {
        assert!(
            error("two_models.pth")
                .contains("holds tensors under 'generator', 'discriminator' only; expected a state dict")
        );
        assert!(error("no_tensors.pth").contains("holds no tensors by name"));
        assert!(error("list.pth").contains("holds no tensors by name"));
        assert!(
            error("sparse.pth")
                .contains("its 'weight' is no plain tensor ('torch._utils._rebuild_sparse_tensor')")
        );
        assert!(
            error("whole_model.pth")
                .contains("holds a whole module ('torch.nn.modules.container.Sequential')")
        );
        assert!(error("whole_model_beside.pth").contains("torch.save(model.state_dict(), PATH)"));
        // A whole module in the legacy format, whose persistent ids hold the source of its classes.
        let module =
            b"\x80\x02(X\x06\0\0\0modulec__main__\nNet\nX\x06\0\0\0net.pyX\x05\0\0\0classtQ)\x81}X\x08\0\0\0_modules}sb.";
        assert!(
            open_bytes(&legacy(module))
                .unwrap_err()
                .to_string()
                .contains("holds a whole module ('__main__.Net')")
        );
        assert!(error("no_torch.zip").contains("not a whole PyTorch file"));
        assert!(error("compressed.pth").contains("is compressed"));
        assert!(error("index.json").contains("not a whole PyTorch file"));
        assert!(error("missing.pth").contains("no such file"));
        let big_endian = legacy(b"\x80\x02}.")
            .iter()
            .map(|&byte| if byte == 0x88 { 0x89 } else { byte })
            .collect::<Vec<_>>();
        assert!(open_bytes(&big_endian).unwrap_err().to_string().contains("not in little-endian order"));
        let integers = TorchFile::open(&fixture("integers.pth")).unwrap();
        assert_eq!(integers.values("f32").unwrap().len(), 8);
        assert!(integers.values("u8").unwrap_err().to_string().contains("of type Byte; expected floats"));
        assert!(integers.values("other").unwrap_err().to_string().contains("there is no tensor 'other'"));
        for name in std::fs::read_dir(fixture("")).unwrap() {
            if let Err(e) = TorchFile::open(&name.unwrap().path()) {
                assert!(!e.to_string().contains('\n'), "{e}");
            }
        }
    }

    /// Opens bytes as a file and reads every tensor that is no larger than a megabyte.
    fn open_bytes(bytes: &[u8]) -> Result<()> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let file = TorchFile::open(file.path())?;
        let small = |name: &String| file.shape(name).unwrap().iter().product::<usize>() < 1 << 20;
        file.names().iter().filter(|name| small(name)).try_for_each(|name| match file.values(name) {
            Err(e) if e.to_string().contains("expected floats") => Ok(()),
            other => other.map(drop),
        })
    }

    #[test]
    fn cut_files_are_refused() {
        for name in ["zip.pth", "legacy.pth", "checkpoint.pth"] {
            let bytes = std::fs::read(fixture(name)).unwrap();
            open_bytes(&bytes).unwrap();
            for length in (0..bytes.len()).step_by(bytes.len() / 50) {
                assert!(open_bytes(&bytes[..length]).is_err(), "{name} cut to {length} bytes");
            }
        }
    }

    #[test]
    fn damaged_files_never_panic() {
        // SplitMix64: a fixed sequence.
        let mut state = 1u64;
        let mut next = |below: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % below as u64) as usize
        };
        for name in [
            "zip.pth",
            "legacy.pth",
            "checkpoint.pth",
            "views_legacy.pth",
            "whole_model.pth",
            "protocol5.pth",
        ] {
            let original = std::fs::read(fixture(name)).unwrap();
            for _ in 0..400 {
                let mut bytes = original.clone();
                for _ in 0..=next(4) {
                    let place = next(bytes.len());
                    match next(4) {
                        0 => bytes[place] = next(256) as u8,
                        1 => bytes[place] ^= 1 << next(8),
                        2 => drop(bytes.drain(place..(place + next(16)).min(bytes.len()))),
                        _ => {
                            let from = next(bytes.len());
                            let piece = bytes[from..(from + next(64)).min(bytes.len())].to_vec();
                            bytes.splice(place..place, piece);
                        }
                    }
                }
                let _ = open_bytes(&bytes);
            }
        }
    }

    /// A legacy file around a pickle.
    fn legacy(pickle: &[u8]) -> Vec<u8> {
        let header = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";
        [header, pickle, b"\x80\x02]."].concat()
    }

    fn integer(value: u64) -> Vec<u8> {
        [&b"\x8a\x08"[..], &value.to_le_bytes()].concat()
    }

    /// A legacy file of one tensor named `w`, whose storage is there.
    fn one_tensor(count: u64, offset: u64, shape: &[u64], strides: &[u64]) -> Vec<u8> {
        let integers = |values: &[u64]| values.iter().flat_map(|value| integer(*value)).collect::<Vec<_>>();
        let parts: [&[u8]; 10] = [
            b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000N",
            &integer(count),
            b"tQ",
            &integer(offset),
            b"(",
            &integers(shape),
            b"t(",
            &integers(strides),
            b"t\x89}tRs.\x80\x02]X\x01\0\0\x000a.",
            &count.to_le_bytes(),
        ];
        let file = legacy(&parts.concat());
        let without_list = file.strip_suffix(b"\x80\x02].").unwrap();
        [without_list, &vec![0; 4 * count.min(1000) as usize]].concat()
    }

    #[test]
    fn tensors_beyond_their_storage_are_refused() {
        open_bytes(&one_tensor(6, 0, &[2, 3], &[3, 1])).unwrap();
        open_bytes(&one_tensor(6, 5, &[1000, 1], &[0, 7])).unwrap();
        let cases: [(u64, u64, &[u64], &[u64]); 10] = [
            (6, 1, &[2, 3], &[3, 1]),
            (6, 0, &[7], &[1]),
            (6, 0, &[2, 3], &[1]),
            (6, 0, &[1 << 40], &[0]),
            (6, 0, &[1 << 33, 1 << 33], &[0, 0]),
            (6, i64::MAX as u64, &[2], &[1]),
            (6, 0, &[2], &[i64::MAX as u64]),
            (6, 0, &[2], &[u64::MAX]),
            (1 << 40, 0, &[1 << 40], &[1]),
            (1 << 62, 0, &[2], &[1]),
        ];
        for (count, offset, shape, strides) in cases {
            assert!(
                open_bytes(&one_tensor(count, offset, shape, strides)).is_err(),
                "{count} {offset} {shape:?} {strides:?}"
            );
        }
    }

    #[test]
    fn descriptions_that_would_grow_are_refused() {
        let huge_string = b"\x80\x02X\xff\xff\xff\xff.".to_vec();
        let huge_long = b"\x80\x02\x8b\xff\xff\xff\x7f.".to_vec();
        let many = [&b"\x80\x02"[..], &b"N".repeat(MAX_OPCODES)].concat();
        // A list of a thousand pairs, made into a dictionary again and again.
        let copies = [
            &b"\x80\x02ccollections\nOrderedDict\nq\x00]"[..],
            &b"K\x01K\x02\x86a".repeat(1000),
            &b"\x85q\x01"[..],
            &b"h\x00h\x01R".repeat(100_000),
            &b"."[..],
        ]
        .concat();
        for (pickle, problem) in
            [(huge_string, "ends early"), (huge_long, "ends early"), (many, TOO_MANY), (copies, TOO_MANY)]
        {
            let error = open_bytes(&legacy(&pickle)).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        // Neither depth nor doubling costs anything: values refer to each other.
        let deep = [&b"\x80\x02"[..], &b"]".repeat(500_000), &b"a".repeat(499_999), b"."].concat();
        let doubling = [&b"\x80\x02K\x01"[..], &b"2\x86".repeat(1000), b"."].concat();
        for pickle in [deep, doubling] {
            assert!(
                open_bytes(&legacy(&pickle)).unwrap_err().to_string().contains("holds no tensors by name")
            );
        }
    }

    #[test]
    fn false_sizes_and_checksums_of_a_zip_are_seen() {
        let mut bytes = Cursor::new(Vec::new());
        write_state_dict(&mut bytes, sample().into_iter().map(Ok)).unwrap();
        let bytes = bytes.into_inner();
        open_bytes(&bytes).unwrap();
        let places: Vec<usize> =
            bytes.windows(14).enumerate().filter(|(_, w)| w == b"archive/data/0").map(|(i, _)| i).collect();
        let [_, central] = places[..] else { panic!("a local and a central entry") };
        let mut large = bytes.clone();
        large[central - 26..central - 18].copy_from_slice(&[0, 0, 0, 0x70, 0, 0, 0, 0x70]); // both sizes
        assert!(open_bytes(&large).unwrap_err().to_string().contains("its end is missing"));
        let mut damaged = bytes.clone();
        let first_value = bytes.windows(4).position(|w| w == (1.0f32 / 7.0).to_le_bytes()).unwrap();
        damaged[first_value] ^= 1;
        assert!(
            open_bytes(&damaged)
                .unwrap_err()
                .to_string()
                .contains("'features.0.weight' do not match their checksum")
        );
    }

    #[test]
    fn objects_are_named_and_never_made() {
        // os.system("...") as pickle would run it; it stays an opaque value beside the tensors.
        let evil = b"\x80\x02}(X\x01\0\0\0acos\nsystem\nX\x02\0\0\0id\x85RX\x05\0\0\0epochK\x03u.";
        assert!(open_bytes(&legacy(evil)).unwrap_err().to_string().contains("holds no tensors by name"));
    }

    fn sample() -> Vec<StateTensor> {
        let tensor = |name: &str, shape: &[usize], values| StateTensor {
            name: name.into(),
            shape: shape.into(),
            values,
        };
        vec![
            tensor(
                "features.0.weight",
                &[2, 3, 1, 2],
                Values::F32((0..12).map(|v| v as f32 / 7.0).collect()),
            ),
            tensor("features.0.bias", &[2], Values::F32(vec![f32::MIN_POSITIVE, -0.0])),
            tensor("features.1.num_batches_tracked", &[], Values::I64(vec![1 << 40])),
            tensor("empty", &[0, 3], Values::F32(Vec::new())),
        ]
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = Cursor::new(Vec::new());
        write_state_dict(&mut bytes, sample().into_iter().map(Ok)).unwrap();
        let mut again = Cursor::new(Vec::new());
        write_state_dict(&mut again, sample().into_iter().map(Ok)).unwrap();
        assert_eq!(bytes, again);

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes.get_ref()).unwrap();
        let file = TorchFile::open(file.path()).unwrap();
        assert_eq!((file.key(), file.names().len()), (None, 4));
        for StateTensor { name, shape, values } in sample() {
            assert_eq!(file.shape(&name).unwrap(), shape);
            match values {
                Values::F32(values) => assert_eq!(file.values(&name).unwrap(), values),
                Values::I64(_) => {
                    assert!(file.values(&name).unwrap_err().to_string().contains("of type Long"))
                }
            }
        }
        let mut zip = ZipArchive::new(bytes).unwrap();
        for index in 0..zip.len() {
            let entry = zip.by_index(index).unwrap();
            assert_eq!(
                (entry.compression(), entry.data_start().unwrap() % 64),
                (CompressionMethod::Stored, 0)
            );
        }
    }

    #[test]
    fn a_wrong_count_of_values_is_refused() {
        let wrong = StateTensor { name: "w".into(), shape: vec![2, 2], values: Values::F32(vec![0.0; 3]) };
        let error = write_state_dict(Cursor::new(Vec::new()), [Ok(wrong)]).unwrap_err();
        assert!(error.to_string().contains("shape [2, 2] comes with 3 values"));
        let error = write_state_dict(Cursor::new(Vec::new()), [Err(io::Error::other("the device is gone"))])
            .unwrap_err();
        assert_eq!(error.to_string(), "the device is gone");
    }

    #[test]
    fn half_precision_numbers_keep_their_value() {
        let cases = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc100, -2.5),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
        ];
        for (bits, value) in cases {
            assert_eq!(f16_to_f32(bits), value);
        }
        assert_eq!(f16_to_f32(0x8000).to_bits(), (-0.0f32).to_bits());
        assert_eq!(f16_to_f32(0xfc00), f32::NEG_INFINITY);
        assert!(f16_to_f32(0x7e00).is_nan());
        assert_eq!(bf16_to_f32(0xc020), -2.5);
    }
}
