//! The whole configuration of a run, composed of the parts' own: defaults, then a recipe, then `--set` and
//! the named flags.
//!
//! **Invariant:** a key's default stands once, in its part's `Default`; its description once, in `keys`. The
//! help of `mien train` and `recipes/reference.toml` are made from the two.

mod compose;
mod defaults;
mod keys;
mod read;
mod recipe;
mod settings;

pub(crate) use compose::parse_value;
pub use compose::{Composed, Origin, Origins, Override};
pub(crate) use keys::{find as find_key, key_at};
pub use recipe::reference;
pub use settings::RunConfig;
