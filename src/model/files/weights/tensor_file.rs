//! Files of named tensors: `.safetensors` are written and read, PyTorch's are read.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, SafeTensors, View};

use crate::error::{Error, Result};
use crate::model::files::torch_read::{TorchFile, f16_to_f32};
use crate::model::params::{Params, tensor};
use crate::model::zoo::ALL;

/// torch counts the batches a batch norm has seen; nothing reads it.
const IGNORED_SUFFIX: &str = "num_batches_tracked";

/// A named tensor on its way into a file.
pub struct NamedTensor {
    /// Name within the file.
    pub name: String,
    /// The tensor's shape as torch has it.
    pub shape: Vec<usize>,
    /// Flat values on any device; read back one at a time while writing.
    pub value: Tensor<1>,
}

impl View for NamedTensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.value.clone().without_autodiff().into_data_as::<f32>().as_bytes().to_vec())
    }
    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * size_of::<f32>()
    }
}

/// The tensors of a table under their own names.
pub fn named(params: &Params) -> impl Iterator<Item = NamedTensor> {
    params.iter().map(|param| NamedTensor {
        name: param.name.clone(),
        shape: param.shape.clone(),
        value: param.value.clone(),
    })
}

/// Writes tensors and metadata to `path`: to a temporary file beside it, flushed to the disk, then renamed.
///
/// # Errors
/// The file cannot be written; what was at `path` is untouched then.
pub fn save_tensors(
    path: &Path,
    tensors: Vec<NamedTensor>,
    metadata: BTreeMap<String, String>,
) -> Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let partial = path.with_file_name(format!(".{}-{number}.safetensors.tmp", std::process::id()));
    let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor));
    let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect::<HashMap<_, _>>());
    let write = || -> std::io::Result<()> {
        // The library's own temporary file is private to the user; ours shall have the folder's usual
        // permissions.
        let permissions = std::fs::File::create(&partial)?.metadata()?.permissions();
        safetensors::serialize_to_file(tensors, metadata, &partial).map_err(|e| match e {
            safetensors::SafeTensorError::IoError(e) => e,
            other => std::io::Error::other(other.to_string()),
        })?;
        std::fs::set_permissions(&partial, permissions)?;
        std::fs::File::open(&partial)?.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|e| {
        // The unfinished file is of no use; if it cannot be removed either, the first error is the one to
        // tell.
        let _ = std::fs::remove_file(&partial);
        Error::io("write", path, e)
    })
}

/// An open file of tensors: `.safetensors`, or PyTorch's `.pth` and `.pt`.
pub struct TensorFile {
    path: PathBuf,
    content: Content,
    metadata: HashMap<String, String>,
    /// torchvision's name of each tensor, and the file's own.
    names: BTreeMap<String, String>,
}

enum Content {
    Safetensors(Vec<u8>),
    Torch(TorchFile),
}

/// torchvision's name for a tensor that another program may have named otherwise.
fn torchvision_name(name: &str) -> String {
    let all = ALL.iter().flat_map(|entry| entry.renamed);
    let renamed =
        all.into_iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", name.strip_prefix(theirs)?)));
    renamed.unwrap_or_else(|| name.to_owned())
}

impl TensorFile {
    /// Opens `path`, recognising its format by the first bytes, and checks its header.
    ///
    /// # Errors
    /// The file cannot be read, or is no whole file of tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let of_names =
            |names: Vec<String>| names.into_iter().map(|name| (torchvision_name(&name), name)).collect();
        let mut head = [0; 2];
        let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
        let read = file.take(2).read(&mut head).map_err(|e| Error::io("read", path, e))?;
        // The length of a safetensors header is never so large that it begins like a zip archive or a pickle
        // with a protocol.
        if read == 2 && (head == *b"PK" || (head[0] == 0x80 && (2..=5).contains(&head[1]))) {
            let torch = TorchFile::open(path)?;
            let names = of_names(torch.names());
            return Ok(Self {
                path: path.to_owned(),
                content: Content::Torch(torch),
                metadata: HashMap::new(),
                names,
            });
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let wrong = |e: safetensors::SafeTensorError| {
            Error::at(path, format!("not a complete file of weights ({e})"))
                .expected("weights as .safetensors, or as PyTorch's .pth or .pt")
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(wrong)?;
        let names = of_names(tensors.names().into_iter().map(str::to_owned).collect());
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(wrong)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { path: path.to_owned(), content: Content::Safetensors(bytes), metadata, names })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One entry of the metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// torchvision's names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// Shape of one tensor.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let stored = self.names.get(name)?;
        let shape = match &self.content {
            Content::Safetensors(bytes) => tensors(bytes).tensor(stored).ok()?.shape().to_vec(),
            Content::Torch(file) => file.shape(stored)?,
        };
        // A convolution that stands for a linear layer: [O, C, h, w] -> [O, Chw].
        let is_linear = stored != name && shape.len() == 4;
        Some(if is_linear { vec![shape[0], shape[1..].iter().product()] } else { shape })
    }

    /// Values of one tensor as f32.
    ///
    /// # Errors
    /// There is no such tensor, or it does not hold floats.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let stored = self.names.get(name).map_or(name, String::as_str);
        let file = match &self.content {
            Content::Safetensors(bytes) => tensors(bytes),
            Content::Torch(file) => return file.values(stored),
        };
        let view = file.tensor(stored).map_err(|_| {
            Error::at(&self.path, format!("there is no tensor '{name}'"))
                .hint("Is it a file of another model?")
        })?;
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F64 => bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
            Dtype::BF16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))
                .collect(),
            Dtype::F16 => {
                bytes.as_chunks::<2>().0.iter().map(|b| f16_to_f32(u16::from_le_bytes(*b))).collect()
            }
            other => {
                let found = format!("tensor '{name}' is of type {other:?}");
                return Err(Error::at(&self.path, found).expected("F32, F64, F16 or BF16"));
            }
        };
        Ok(values)
    }

    /// Loads every tensor of `params` from the tensors named `prefix` + name.
    ///
    /// # Errors
    /// All tensors that are missing or of another shape, by name; with an empty prefix also those the model
    /// has no place for.
    pub fn load(&self, params: &mut Params, prefix: &str) -> Result<()> {
        let device = params.device();
        let mut problems = Problems::default();
        let mut values = Vec::new();
        for (position, param) in params.iter().enumerate() {
            let name = format!("{prefix}{}", param.name);
            match self.shape(&name) {
                Some(shape) if shape == param.shape => values.push((position, name)),
                Some(shape) => problems.shape(&name, &param.shape, &shape),
                None => problems.missing.push(name),
            }
        }
        if prefix.is_empty() {
            let wanted: HashSet<&str> = params.iter().map(|param| param.name.as_str()).collect();
            let extra =
                self.names().into_iter().filter(|name| !wanted.contains(name.as_str()) && !is_aside(name));
            problems.unexpected.extend(extra);
        }
        problems.check(&self.path)?;
        let mut entries: Vec<_> = params.iter_mut().collect();
        for (position, name) in values {
            entries[position].value = tensor(self.values(&name)?, &device);
        }
        Ok(())
    }
}

fn tensors(bytes: &[u8]) -> SafeTensors<'_> {
    SafeTensors::deserialize(bytes).expect("the header was checked when the file was opened")
}

/// Tensors that are no part of the model itself: the training state of a checkpoint and torch's batch
/// counters.
pub(super) fn is_aside(name: &str) -> bool {
    name.starts_with("train.") || name.ends_with(IGNORED_SUFFIX)
}

#[derive(Default)]
pub(super) struct Problems {
    pub(super) missing: Vec<String>,
    pub(super) unexpected: Vec<String>,
    pub(super) shapes: Vec<String>,
}

impl Problems {
    pub(super) fn shape(&mut self, name: &str, expected: &[usize], found: &[usize]) {
        self.shapes.push(format!("{name} is {found:?} and not {expected:?}"));
    }

    pub(super) fn check(self, path: &Path) -> Result<()> {
        const SHOWN: usize = 200;
        let list = |what: &str, names: &[String]| {
            let more = names.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            (!names.is_empty()).then(|| {
                format!("{} {what}: {}{more}", names.len(), names[..names.len().min(SHOWN)].join(", "))
            })
        };
        let parts: Vec<String> = [
            list("missing", &self.missing),
            list("unexpected", &self.unexpected),
            list("of another shape", &self.shapes),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() {
            return Ok(());
        }
        // The names come from the file: whatever they hold stays on one line.
        let text: String =
            parts.join("; ").chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Err(Error::at(path, format!("its tensors do not fit the model: {text}"))
            .hint("Choose the model that these weights belong to (--model), its width, head and input size"))
    }
}
