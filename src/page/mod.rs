//! What the pages of report, audit and study share: HTML, thumbnails, and the files beside a page.

pub(crate) mod html;
pub mod output;
pub(crate) mod thumbnails;
