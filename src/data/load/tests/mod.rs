//! Whole loads.

mod copies;
mod folders;
mod groups;
mod reading;
mod splits;
