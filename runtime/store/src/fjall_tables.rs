//! What fjall believes of its tables without a look at the checksums, looked at before it does.
//!
//! A key space is a folder of tables. Its file `current` names the newest list of them, by u64
//! number and with a u128 XXH3. fjall does not compare it, so a damaged list could be one of fewer
//! tables; and a table that no list has is deleted.
//!
//! Lists and tables are archives. At the end of one there is its table of contents (`TOC!`, u32
//! entries, and of each u64 where it begins, u64 length, u16 length of its name, name) and a tail
//! (`SFA!`, 1, 0, u128 XXH3 of the table of contents, u64 where that begins, u64 its length).
//! fjall asks for memory for as many entries as it reads, before it compares the checksum, and a
//! process that does not get it ends. What follows in an archive has checksums that are compared.
//!
//! In a list, what is named `tables` has, for each of u8 levels and each of its u8 runs, u32
//! tables, with u64 number, u8, u128 XXH3, u64. All numbers are little-endian. A test holds this
//! against what fjall writes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::StoreError;
use crate::disk::io_error;

const CURRENT: &str = "current";
const TAIL_BYTES: usize = 38;
const TAIL_MAGIC: &[u8] = b"SFA!\x01\x00";
const CONTENTS_MAGIC: &[u8] = b"TOC!";
/// An archive has fewer than ten entries, with short names.
const CONTENTS_BYTES_MAX: u64 = 4096;
/// The checksum of a table and what stands around it.
const TABLE_REST_BYTES: usize = 1 + 16 + 8;

/// Checks the list of tables of a key space, and the table of contents of each of them.
pub(crate) fn check(keyspace: &Path) -> Result<(), StoreError> {
    let current = keyspace.join(CURRENT);
    let raw = fs::read(&current).map_err(|error| unread(&current, &error))?;
    let mut rest = &raw[..];
    let named = (take(&mut rest).map(u64::from_le_bytes), take(&mut rest).map(u128::from_le_bytes));
    let (Some(number), Some(checksum)) = named else {
        return Err(corrupt(&current, "it is too short"));
    };
    let list = keyspace.join(format!("v{number}"));
    let raw = fs::read(&list).map_err(|error| unread(&list, &error))?;
    if xxh3_128(&raw) != checksum {
        return Err(corrupt(&list, "its checksum is another"));
    }
    let contents = contents_of(&list)?;
    let tables = section(&contents, b"tables").and_then(|(from, len)| {
        let from = usize::try_from(from).ok()?;
        let to = from.checked_add(usize::try_from(len).ok()?)?;
        numbers(raw.get(from..to)?)
    });
    for table in tables.ok_or_else(|| corrupt(&list, "it is no list of tables"))? {
        contents_of(&keyspace.join("tables").join(table.to_string()))?;
    }
    Ok(())
}

/// The table of contents of an archive, of which the checksum was compared.
fn contents_of(path: &Path) -> Result<Vec<u8>, StoreError> {
    let no_archive = || corrupt(path, "its table of contents is damaged");
    let failed = |error: io::Error| unread(path, &error);
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let end = len.checked_sub(TAIL_BYTES as u64).ok_or_else(no_archive)?;
    let mut tail = [0; TAIL_BYTES];
    file.read_exact_at(&mut tail, end).map_err(failed)?;
    let (magic, mut rest) = tail.split_at(TAIL_MAGIC.len());
    let checksum = take(&mut rest).map(u128::from_le_bytes);
    let from = take(&mut rest).map_or(u64::MAX, u64::from_le_bytes);
    let len = end.checked_sub(from).filter(|len| *len <= CONTENTS_BYTES_MAX);
    let mut contents = vec![0; len.ok_or_else(no_archive)? as usize];
    file.read_exact_at(&mut contents, from).map_err(failed)?;
    let is_whole = magic == TAIL_MAGIC
        && checksum == Some(xxh3_128(&contents))
        && contents.starts_with(CONTENTS_MAGIC);
    if is_whole { Ok(contents) } else { Err(no_archive()) }
}

/// Where an entry begins, and its length.
fn section(contents: &[u8], wanted: &[u8]) -> Option<(u64, u64)> {
    let mut rest = contents.strip_prefix(CONTENTS_MAGIC)?;
    let entries = u32::from_le_bytes(take(&mut rest)?);
    for _ in 0..entries {
        let from = u64::from_le_bytes(take(&mut rest)?);
        let len = u64::from_le_bytes(take(&mut rest)?);
        let name_len = u16::from_le_bytes(take(&mut rest)?);
        let (name, behind) = rest.split_at_checked(usize::from(name_len))?;
        if name == wanted {
            return Some((from, len));
        }
        rest = behind;
    }
    None
}

/// The numbers of the tables in a list.
fn numbers(mut rest: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    let [levels] = take(&mut rest)?;
    for _ in 0..levels {
        let [runs] = take(&mut rest)?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
                numbers.push(u64::from_le_bytes(take(&mut rest)?));
                take::<TABLE_REST_BYTES>(&mut rest)?;
            }
        }
    }
    rest.is_empty().then_some(numbers)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

fn corrupt(path: &Path, reason: &str) -> StoreError {
    StoreError::corrupt(path.display().to_string(), reason)
}

fn unread(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => corrupt(path, "it is gone"),
        _ => io_error(format!("read {}", path.display()), error),
    }
}
