//! Model files: `.safetensors` with torchvision's tensor names, and everything that inference needs in the
//! metadata.
//!
//! A file of torchvision's or timm's weights, a model of ours and a checkpoint of ours are all the same kind
//! of file; PyTorch users read them with `safetensors.torch.load_file`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::torch_read::{TorchFile, f16_to_f32};
use crate::error::{Error, Result};
use crate::model::params::{Params, tensor};
use crate::model::{Model, ModelConfig, in_head};

/// The key of the metadata under which [`ModelCard`] is kept as JSON.
const CARD: &str = "mien";
/// The version of the file's contents that this program writes and reads.
const FORMAT: u32 = 1;
/// torch counts the batches a batch norm has seen; nothing reads it.
const IGNORED_SUFFIX: &str = "num_batches_tracked";

/// All that is needed to use a model besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Version of this description.
    pub format: u32,
    /// The program that wrote it.
    pub program: String,
    /// Which model.
    pub model: ModelConfig,
    /// Names of the classes in the order of the logits.
    pub classes: Vec<String>,
    /// Side of the square input in pixels.
    pub input_size: usize,
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
    /// Divides the logits before softmax (1.0 when not calibrated).
    pub temperature: f32,
    /// Where it comes from: data fingerprint, epoch, validation loss, leakage.
    pub provenance: BTreeMap<String, String>,
}

impl ModelCard {
    /// A card for a model of this program.
    pub fn new(
        model: ModelConfig,
        classes: Vec<String>,
        input_size: usize,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> Self {
        let program = concat!("mien ", env!("CARGO_PKG_VERSION")).to_owned();
        let provenance = BTreeMap::new();
        Self { format: FORMAT, program, model, classes, input_size, mean, std, temperature: 1.0, provenance }
    }
}

/// A named tensor on its way into a file.
pub struct NamedTensor {
    /// Name within the file.
    pub name: String,
    /// Shape.
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

/// Writes tensors and metadata to `path`: beside its place first, flushed to the disk, then renamed.
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

/// Writes a model: its numbers and its card.
///
/// # Errors
/// The file cannot be written.
pub fn save_model(path: &Path, params: &Params, card: &ModelCard) -> Result<()> {
    save_tensors(path, named(params).collect(), card_metadata(card)?)
}

/// The card as the metadata of a file.
pub fn card_metadata(card: &ModelCard) -> Result<BTreeMap<String, String>> {
    let json = serde_json::to_string(card)
        .map_err(|e| Error::Compute(format!("cannot write the model's description: {e}")))?;
    Ok(BTreeMap::from([(CARD.to_owned(), json)]))
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

/// timm's names of VGG's linear layers, which it keeps as convolutions over the pooled map, and
/// torchvision's.
const TIMM_VGG: [(&str, &str); 3] = [
    ("pre_logits.fc1.", "classifier.0."),
    ("pre_logits.fc2.", "classifier.3."),
    ("head.fc.", "classifier.6."),
];

fn torchvision_name(name: &str) -> String {
    let renamed =
        TIMM_VGG.iter().find_map(|(timm, ours)| Some(format!("{ours}{}", name.strip_prefix(timm)?)));
    renamed.unwrap_or_else(|| name.to_owned())
}

impl TensorFile {
    /// Opens `path`, whose kind is told by its content, and checks its header.
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
            Error::at(path, format!("not a whole file of weights ({e})"))
                .expected("weights as .safetensors, or as PyTorch's .pth or .pt")
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(wrong)?;
        let names = of_names(tensors.names().into_iter().map(str::to_owned).collect());
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(wrong)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { path: path.to_owned(), content: Content::Safetensors(bytes), metadata, names })
    }

    /// One entry of the metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The model's description.
    ///
    /// # Errors
    /// The file has none (it was not written by mien), or one of another version.
    pub fn card(&self) -> Result<ModelCard> {
        let json = self.metadata(CARD).ok_or_else(|| {
            Error::at(&self.path, "holds weights but no description of the model")
                .expected("a model that mien has written")
                .hint("Weights of other programs are a start for training: mien train DATA --weights FILE")
        })?;
        let card: ModelCard = serde_json::from_str(json).map_err(|e| {
            Error::at(&self.path, format!("its description cannot be read ({e})"))
                .expected("a file of this program")
        })?;
        if card.format != FORMAT {
            return Err(Error::at(&self.path, format!("its format is {}", card.format))
                .expected(format!("format {FORMAT}")));
        }
        let wrong = |what: String| {
            Err(Error::at(&self.path, format!("its description has {what}"))
                .expected("a file of this program"))
        };
        if !(card.temperature.is_finite() && card.temperature > 0.0) {
            return wrong(format!("the temperature {}", card.temperature));
        }
        if card.std.iter().any(|std| !(std.is_finite() && *std > 0.0))
            || card.mean.iter().any(|mean| !mean.is_finite())
        {
            return wrong(format!("the normalisation {:?}, {:?}", card.mean, card.std));
        }
        if card.input_size > 4096 {
            return wrong(format!("the input size {}", card.input_size));
        }
        let names: HashSet<&String> = card.classes.iter().collect();
        if names.len() != card.classes.len()
            || card.classes.iter().any(|name| name.is_empty() || name.contains(char::is_control))
        {
            return wrong(format!("the classes {:?}", card.classes));
        }
        Ok(card)
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
fn is_aside(name: &str) -> bool {
    name.starts_with("train.") || name.ends_with(IGNORED_SUFFIX)
}

#[derive(Default)]
struct Problems {
    missing: Vec<String>,
    unexpected: Vec<String>,
    shapes: Vec<String>,
}

impl Problems {
    fn shape(&mut self, name: &str, expected: &[usize], found: &[usize]) {
        self.shapes.push(format!("{name} is {found:?} and not {expected:?}"));
    }

    fn check(self, path: &Path) -> Result<()> {
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

/// What [`load_pretrained`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// Names of the tensors that came from the file.
    pub loaded: HashSet<String>,
    /// Names of those that started anew.
    pub fresh: Vec<String>,
}

/// A model that starts from the weights of `path`.
///
/// The whole model is loaded where it fits. Left to start anew are: the last layer when the classes differ
/// (their number, or their names where the file is a model of mien; `classes` are those of the data, none if
/// they do not matter); the attention and the head of a CBAM model when the file has no attention (the head
/// reads another map then); a head of another kind.
///
/// # Errors
/// The file cannot be read, or any other tensor is missing, unexpected or of another shape: all are named.
pub fn load_pretrained(
    model: &Model,
    classes: &[String],
    path: &Path,
    seed: u64,
    device: &Device,
) -> Result<(Params, Transfer)> {
    let file = TensorFile::open(path)?;
    // A reference checkpoint or one of ours may carry its tensors beside others; only the model's own count
    // here.
    let names: HashSet<String> = file.names().into_iter().filter(|name| !is_aside(name)).collect();
    let mut params = model.init(seed, true, device);
    let specs = model.specs();
    let has = |part: &str| specs.iter().any(|spec| spec.name.starts_with(part));
    let file_has = |part: &str| names.iter().any(|name| name.starts_with(part));

    let new_attention = has("cbam.") && !file_has("cbam.");
    let heads_differ = {
        let ours: HashSet<&str> =
            specs.iter().map(|spec| spec.name.as_str()).filter(|name| in_head(name)).collect();
        let theirs: HashSet<&str> = names.iter().map(String::as_str).filter(|name| in_head(name)).collect();
        ours != theirs
    };
    let last = format!("{}.", model.last_layer());
    // A model of mien says what its outputs stand for; of another file, only their number is known.
    let others = file.metadata(CARD).is_some() && file.card()?.classes != classes;
    let classes_differ = (others && !classes.is_empty())
        || specs
            .iter()
            .filter(|spec| spec.name.starts_with(&last))
            .any(|spec| file.shape(&spec.name).is_some_and(|shape| shape.first() != spec.shape.first()));
    let starts_anew = |name: &str| {
        (new_attention && name.starts_with("cbam."))
            || ((new_attention || heads_differ) && in_head(name))
            || (classes_differ && name.starts_with(&last))
    };

    let mut problems = Problems::default();
    let mut transfer = Transfer { loaded: HashSet::new(), fresh: Vec::new() };
    for spec in specs {
        match file.shape(&spec.name) {
            _ if starts_anew(&spec.name) => transfer.fresh.push(spec.name.clone()),
            Some(shape) if shape == spec.shape => _ = transfer.loaded.insert(spec.name.clone()),
            Some(shape) => problems.shape(&spec.name, &spec.shape, &shape),
            None => problems.missing.push(spec.name.clone()),
        }
    }
    let ours: HashSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut extra: Vec<_> =
        names.iter().filter(|name| !ours.contains(name.as_str()) && !starts_anew(name)).cloned().collect();
    extra.sort();
    problems.unexpected = extra;
    problems.check(path)?;

    for param in params.iter_mut().filter(|param| transfer.loaded.contains(&param.name)) {
        let values = file.values(&param.name)?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::at(path, format!("its tensor {} holds {value}", param.name))
                .expected("finite numbers"));
        }
        param.value = tensor(values, device);
    }
    Ok((params, transfer))
}

/// A model file, opened for inference: description, model and numbers.
pub struct LoadedModel {
    /// Where it was read.
    pub path: PathBuf,
    /// Its description.
    pub card: ModelCard,
    /// The model.
    pub model: Model,
    /// Its numbers, without gradients.
    pub params: Params,
}

/// Opens a model or checkpoint that mien has written.
///
/// # Errors
/// The file cannot be read, is not mien's, or does not fit its own description.
pub fn load_model(path: &Path, device: &Device) -> Result<LoadedModel> {
    let file = TensorFile::open(path)?;
    let card = file.card()?;
    let model = Model::new(&card.model, card.classes.len(), card.input_size)?;
    let mut params = model.init(0, false, device);
    file.load(&mut params, "")?;
    Ok(LoadedModel { path: path.to_owned(), card, model, params })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Head, ModelName};

    fn model(name: ModelName, classes: usize) -> Model {
        let config = ModelConfig { name, width: 0.0625, head: Head::Fc, dropout: 0.5 };
        Model::new(&config, classes, 32).unwrap()
    }

    fn card(name: ModelName, classes: usize) -> ModelCard {
        let config = ModelConfig { name, width: 0.0625, head: Head::Fc, dropout: 0.5 };
        ModelCard::new(config, (0..classes).map(|k| format!("c{k}")).collect(), 32, [0.5; 3], [0.25; 3])
    }

    #[test]
    fn a_saved_model_comes_back_to_the_bit() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let path = folder.path().join("model.safetensors");
        let params = model(ModelName::Resnet18, 3).init(7, false, &device);
        save_model(&path, &params, &card(ModelName::Resnet18, 3)).unwrap();
        let loaded = load_model(&path, &device).unwrap();
        assert_eq!(loaded.card, card(ModelName::Resnet18, 3));
        for (position, _) in params.iter().enumerate() {
            assert_eq!(params.values(position).unwrap(), loaded.params.values(position).unwrap());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file stays");
    }

    #[test]
    fn the_last_layer_starts_anew_when_the_classes_differ() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let path = folder.path().join("seven.safetensors");
        save_model(&path, &model(ModelName::Vgg16, 7).init(1, false, &device), &card(ModelName::Vgg16, 7))
            .unwrap();
        let (_, transfer) = load_pretrained(&model(ModelName::Vgg16, 2), &[], &path, 1, &device).unwrap();
        assert_eq!(transfer.fresh, ["classifier.6.weight", "classifier.6.bias"]);
        let (_, transfer) = load_pretrained(&model(ModelName::Vgg16, 7), &[], &path, 1, &device).unwrap();
        assert!(transfer.fresh.is_empty());
    }

    #[test]
    fn the_last_layer_starts_anew_for_other_classes_and_numbers_must_be_finite() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let path = folder.path().join("model.safetensors");
        let model = model(ModelName::Resnet18, 3);
        let mut params = model.init(1, false, &device);
        let card = card(ModelName::Resnet18, 3);
        save_model(&path, &params, &card).unwrap();
        let fresh = |classes: &[&str]| {
            let classes: Vec<String> = classes.iter().map(|name| (*name).to_owned()).collect();
            load_pretrained(&model, &classes, &path, 1, &device).unwrap().1.fresh
        };
        assert!(fresh(&["c0", "c1", "c2"]).is_empty());
        assert_eq!(
            fresh(&["c0", "c2", "c1"]),
            ["fc.weight", "fc.bias"],
            "the same classes in another order are other classes"
        );

        let first = params.iter_mut().next().unwrap();
        first.value = first.value.clone() * f32::NAN;
        save_model(&path, &params, &card).unwrap();
        let error = load_pretrained(&model, &[], &path, 1, &device).err().unwrap().to_string();
        assert!(error.contains("conv1.weight") && error.contains("NaN"), "{error}");
        save_model(&path, &params, &ModelCard { temperature: 0.0, ..card }).unwrap();
        assert!(load_model(&path, &device).err().unwrap().to_string().contains("the temperature 0"));
    }

    #[test]
    fn names_of_a_file_stay_on_one_line_and_are_not_all_told() {
        let unexpected = (0..1000).map(|i| format!("evil\n{i}\u{1b}[31m")).collect();
        let problems = Problems { unexpected, ..Problems::default() };
        let error = problems.check(Path::new("x")).unwrap_err().to_string();
        assert!(
            !error.contains(['\n', '\u{1b}']) && error.contains("and 800 more") && error.len() < 10_000,
            "{error}"
        );
    }

    #[test]
    fn plain_weights_are_a_start_for_attention() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let path = folder.path().join("plain.safetensors");
        save_model(&path, &model(ModelName::Vgg16, 7).init(1, false, &device), &card(ModelName::Vgg16, 7))
            .unwrap();
        let (_, transfer) = load_pretrained(&model(ModelName::Vgg16Cbam, 7), &[], &path, 1, &device).unwrap();
        assert_eq!(transfer.loaded.len(), 26, "weights and biases of the 13 convolutions");
        assert!(
            transfer.fresh.iter().all(|name| name.starts_with("cbam.") || name.starts_with("classifier."))
        );
    }

    #[test]
    fn timms_names_of_vgg_are_understood() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let path = folder.path().join("timm.safetensors");
        let params = model(ModelName::Vgg16, 7).init(1, false, &device);
        let timm = named(&params).map(|mut tensor| {
            for (timm, ours) in TIMM_VGG {
                if let Some(rest) = tensor.name.strip_prefix(ours) {
                    let side = if ours == "classifier.0." { 7 } else { 1 };
                    if tensor.shape.len() == 2 {
                        tensor.shape = vec![tensor.shape[0], tensor.shape[1] / (side * side), side, side];
                    }
                    if timm == "head.fc." && tensor.shape.len() == 4 {
                        tensor.shape.truncate(2); // timm's last layer is linear
                    }
                    tensor.name = format!("{timm}{rest}");
                    break;
                }
            }
            tensor
        });
        save_tensors(&path, timm.collect(), BTreeMap::new()).unwrap();
        let (loaded, transfer) =
            load_pretrained(&model(ModelName::Vgg16, 7), &[], &path, 2, &device).unwrap();
        assert!(transfer.fresh.is_empty(), "{:?}", transfer.fresh);
        for position in 0..params.iter().len() {
            assert_eq!(params.values(position).unwrap(), loaded.values(position).unwrap());
        }
    }

    #[test]
    fn wrong_weights_are_named() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let path = folder.path().join("resnet.safetensors");
        save_model(
            &path,
            &model(ModelName::Resnet18, 7).init(1, false, &device),
            &card(ModelName::Resnet18, 7),
        )
        .unwrap();
        let error =
            load_pretrained(&model(ModelName::Vgg16, 7), &[], &path, 1, &device).err().unwrap().to_string();
        assert!(error.contains("features.0.weight") && error.contains("layer1.0.conv1.weight"), "{error}");

        std::fs::write(&path, b"PK\x03\x04 not safetensors").unwrap();
        let error = load_model(&path, &device).err().unwrap().to_string();
        assert!(error.contains("not a whole PyTorch file"), "{error}");
    }

    #[test]
    fn a_cut_file_is_refused() {
        let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
        let path = folder.path().join("model.safetensors");
        save_model(&path, &model(ModelName::Vgg16, 7).init(1, false, &device), &card(ModelName::Vgg16, 7))
            .unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(load_model(&path, &device).is_err());
    }
}
