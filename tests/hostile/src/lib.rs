//! Merge functions that mean harm, or are of no use, each with the one outcome that it must have.
//!
//! They are written as text or generated, and built when they are asked for ([`corpus`]). Nothing
//! here knows the host: whoever has one runs them.

mod corpus;
mod guest;
mod hostile;

pub use corpus::corpus;
pub use guest::{
    Guest, TYPES, answer, answer_with, answering, assemble, custom_section, data, doing, failing,
    leb,
};
pub use hostile::{BOOM, Expected, Hostile, Kind, MET_BY_HOST, MET_BY_REGION, Needs, Rows};
