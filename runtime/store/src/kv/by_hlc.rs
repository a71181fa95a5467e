//! Records in the order of their HLCs: what the outbox and the received records have in common.
//!
//! A prefix is the key up to the HLC, with which a key ends. What a record says is opaque here: the
//! bus knows its form.

use syncline_core::Hlc;

use super::codec::versioned;
use super::key::{Key, KeyReader};
use crate::{Batch, Scan, Store, StoreError};

const VERSION: u8 = 1;

pub(super) fn put(batch: &mut Batch, prefix: Key, hlc: Hlc, record: &[u8]) {
    batch.put_with(prefix.hlc(hlc).done(), |mut buffer| {
        buffer.push(VERSION);
        buffer.extend_from_slice(record);
        buffer
    });
}

/// The record that stands in a value.
pub(super) fn record_in<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StoreError> {
    versioned(key, VERSION, value)
}

/// The records above `after`, up to and with `upto`, in order: at most `limit`, and about `bytes`,
/// but at least one if there is any.
pub(super) fn page(
    store: &(impl Store + ?Sized),
    prefix: Key,
    after: Hlc,
    upto: Hlc,
    limit: usize,
    bytes: usize,
) -> Result<Vec<(Hlc, Vec<u8>)>, StoreError> {
    let prefix = prefix.done();
    let pairs = store.scan(&between(&prefix, after, upto).limit(limit).bytes(bytes))?;
    let read = |(key, mut value): (Vec<u8>, Vec<u8>)| {
        record_in(&key, &value)?;
        value.remove(0);
        Ok((hlc_behind(&prefix, &key)?, value))
    };
    pairs.into_iter().map(read).collect()
}

/// The HLCs of all records, in order.
pub(super) fn hlcs(store: &(impl Store + ?Sized), prefix: Key) -> Result<Vec<Hlc>, StoreError> {
    let prefix = prefix.done();
    let keys = store.keys(&Scan::prefix(&prefix))?;
    keys.iter().map(|key| hlc_behind(&prefix, key)).collect()
}

/// Drops the records that the store holds up to and with `upto`.
pub(super) fn delete_upto(
    batch: &mut Batch,
    store: &(impl Store + ?Sized),
    prefix: Key,
    upto: Hlc,
) -> Result<(), StoreError> {
    for key in store.keys(&between(&prefix.done(), Hlc::ZERO, upto))? {
        batch.delete(key);
    }
    Ok(())
}

fn between(prefix: &[u8], after: Hlc, upto: Hlc) -> Scan {
    let beyond = |hlc: Hlc| [prefix, &(hlc.bits() + 1).to_be_bytes()].concat();
    Scan::range(beyond(after), beyond(upto))
}

fn hlc_behind(prefix: &[u8], key: &[u8]) -> Result<Hlc, StoreError> {
    let mut reader = KeyReader::behind(key, prefix.len());
    let hlc = reader.hlc()?;
    reader.end()?;
    Ok(hlc)
}
