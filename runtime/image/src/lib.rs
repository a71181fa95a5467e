//! A row's content, and the one form that it has everywhere.
//!
//! A crate of its own, as those who test merge functions need it without the rest of the core. It
//! knows nothing of changes or regions.

mod canonical;
mod form;
mod image;

pub use canonical::NotCanonical;
pub use image::{IMAGE_BYTES_MAX, Image};
