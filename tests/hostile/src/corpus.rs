//! The guests, one file a kind.

#![allow(clippy::too_many_lines, reason = "the lists of guests are data, however long")]

mod compiling;
mod depth;
mod exports;
mod features;
mod floats;
mod imports;
mod json;
mod loops;
mod malformed;
mod manifests;
mod memory;
mod pointers;
mod realloc;
mod remembering;
mod structure;
mod texts;
mod wasi;

use crate::hostile::{Hostile, Kind};

/// All hostile guests.
pub fn corpus() -> Vec<Hostile> {
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

fn of_kind(kind: Kind) -> Vec<Hostile> {
    let mut guests = match kind {
        Kind::Loops => loops::all(),
        Kind::Memory => memory::all(),
        Kind::Depth => depth::all(),
        Kind::Pointers => pointers::all(),
        Kind::Texts => texts::all(),
        Kind::Realloc => realloc::all(),
        Kind::Json => json::all(),
        Kind::Floats => floats::all(),
        Kind::Features => features::all(),
        Kind::Remembering => remembering::all(),
        Kind::Wasi => wasi::all(),
        Kind::Imports => imports::all(),
        Kind::Exports => exports::all(),
        Kind::Structure => structure::all(),
        Kind::Malformed => malformed::all(),
        Kind::Manifests => manifests::all(),
        Kind::Compiling => compiling::all(),
    };
    for guest in &mut guests {
        guest.kind = kind;
    }
    guests
}
