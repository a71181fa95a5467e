//! The component's entry: what `#[merge_function]` expands to on wasm32 uses this, nobody else.

use crate::conflict::{Conflict, MergeError, Operation, Side};

/// What wit-bindgen makes of the world. Its own text, so the crate's lints don't apply.
#[allow(missing_docs, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        world: "merge-function",
        path: "../../wit",
        pub_export_macro: true,
    });
}

use bindings::syncline::merge::types;

/// The conflict over borrowed images. The texts are moved out of `conflict`, the images stay in it.
pub fn view(conflict: &mut types::Conflict) -> Conflict<&[u8]> {
    let types::Conflict { table, row_pk, ancestor, older, newer } = conflict;
    Conflict {
        table: std::mem::take(table),
        row_pk: std::mem::take(row_pk),
        ancestor: ancestor.as_deref(),
        older: side(older),
        newer: side(newer),
    }
}

fn side(side: &mut types::Side) -> Side<&[u8]> {
    let operation = match side.operation {
        types::Operation::Insert => Operation::Insert,
        types::Operation::Update => Operation::Update,
        types::Operation::Delete => Operation::Delete,
    };
    Side {
        region: std::mem::take(&mut side.region),
        hlc: side.hlc,
        operation,
        image: side.image.as_deref(),
    }
}

/// The answer in the form that the world exports.
pub fn answer(result: Result<Option<Vec<u8>>, MergeError>) -> Result<Option<Vec<u8>>, String> {
    result.map_err(String::from)
}
