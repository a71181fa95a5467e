//! The families of keys: what stands where, and in which form.
//!
//! A key begins with the number of its family; what follows keeps the order in which the family is
//! read. Numbers are big-endian. Texts end in a zero byte: names of tables and regions and keys of
//! rows have no control characters, so the zero can stand in none of them, and a shorter text sorts
//! before the longer ones that begin with it.
//!
//! A value begins with the version of its form, so that a newer form can stand beside an older one;
//! then comes postcard of a type that is private to the family and never changes. Golden files pin
//! both.

#[cfg(test)]
mod arbitrary;
mod by_hlc;
mod codec;
pub mod component;
pub mod conflict;
pub mod digest;
pub mod divergence;
mod dto;
#[cfg(test)]
pub(crate) mod golden;
pub mod history;
pub(crate) mod key;
pub mod membership;
pub mod meta;
pub mod node;
pub mod outbox;
pub mod quarantine;
pub mod received;
pub mod rollout;
pub mod row;
pub mod share;
pub mod version;
pub mod waiting;
