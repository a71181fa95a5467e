//! Reaches for the network, and so imports it.

use std::net::TcpStream;

use syncline_sdk::{Conflict, MergeError, Raw, merge_function};

#[merge_function]
fn merge(c: Conflict<Raw<'_>>) -> Result<Option<Raw<'_>>, MergeError> {
    let refused = TcpStream::connect("127.0.0.1:80").is_err();
    Ok(if refused { c.newer.image } else { c.older.image })
}
