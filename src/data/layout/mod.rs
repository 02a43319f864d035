//! Finding the images: folders of classes, train/valid/test folders of them, lists, and `fer2013.csv`.
//!
//! Nothing is decoded here.
//!
//! **Invariant:** nothing is dropped in silence; whatever is found and cannot be used comes back by name.

mod fer2013;
mod folders;
mod found;
mod list;
mod scan;
#[cfg(test)]
mod testing;

pub(crate) use self::folders::{ClassFolder, NotImages, class_folders, is_flat, is_hidden, relative_name};
pub use self::found::{Entry, Layout, Scan};
pub use self::scan::scan;
pub(crate) use super::split::split_of;
