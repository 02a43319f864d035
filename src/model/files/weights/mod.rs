//! Model files: `.safetensors` with torchvision's tensor names, and everything that inference needs in the
//! metadata.
//!
//! A file of torchvision's or timm's weights, a model of ours and a checkpoint of ours are all the same kind
//! of file; PyTorch users read them with `safetensors.torch.load_file`.

mod card;
mod model_file;
mod pretrained;
mod tensor_file;
#[cfg(test)]
mod tests;

pub use card::{ModelCard, card_metadata};
pub use model_file::{LoadedModel, load_model, save_model};
pub use pretrained::{Transfer, load_pretrained};
pub use tensor_file::{NamedTensor, TensorFile, named, save_tensors};
