//! The conflict as the contract takes it; contract/src/frame.rs describes the form.

use anyhow::{Result, bail};
use syncline_sdk::{Conflict, Operation, Side};

/// The message for a conflict.
pub fn message(conflict: &Conflict<&[u8]>) -> Vec<u8> {
    let mut message = Vec::new();
    part(&mut message, Some(conflict.table.as_bytes()));
    part(&mut message, Some(conflict.row_pk.as_bytes()));
    part(&mut message, conflict.ancestor);
    side(&mut message, &conflict.older);
    side(&mut message, &conflict.newer);
    message
}

/// The row in an answer.
pub fn row(mut answer: Vec<u8>) -> Result<Vec<u8>> {
    match answer.pop() {
        Some(0) => Ok(answer),
        _ => bail!("the contract answers {:?}", String::from_utf8_lossy(&answer)),
    }
}

fn side(message: &mut Vec<u8>, side: &Side<&[u8]>) {
    let operation = match side.operation {
        Operation::Insert => 0,
        Operation::Update => 1,
        Operation::Delete => 2,
    };
    part(message, Some(side.region.as_bytes()));
    part(message, Some(&side.hlc.to_le_bytes()));
    part(message, Some(&[operation]));
    part(message, side.image);
}

fn part(message: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let length = bytes.map_or(u32::MAX, |bytes| bytes.len() as u32);
    message.extend_from_slice(&length.to_le_bytes());
    message.extend_from_slice(bytes.unwrap_or_default());
}
