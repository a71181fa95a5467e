//! A merge function of guest-examples behind the interface of a CosmWasm contract, version 8.
//!
//! The interface is the bare one, without cosmwasm-std: `query` takes the conflict as a frame of
//! raw bytes (see [`frame`]) and answers with raw bytes. A contract as they are usually written
//! would take JSON with the images in base64 and answer with base64 in JSON, so this one has less
//! to do.

mod frame;
mod memory;

use std::{mem, ptr};

use syncline_sdk::{Conflict, MergeError, resolve};

#[cfg(feature = "cart")]
use cart::merge;
#[cfg(feature = "first-word")]
use first_word::merge;

/// A piece of memory that contract and host hand to one another, in the layout of the interface.
#[repr(C)]
pub struct Region {
    offset: u32,
    capacity: u32,
    length: u32,
}

impl Region {
    fn of(bytes: Vec<u8>) -> *mut Self {
        let mut bytes = mem::ManuallyDrop::new(bytes);
        Box::into_raw(Box::new(Self {
            offset: bytes.as_mut_ptr().expose_provenance() as u32,
            capacity: bytes.capacity() as u32,
            length: bytes.len() as u32,
        }))
    }

    /// # Safety
    /// `region` came from [`Region::of`], was not taken before, and its bytes up to `length` are
    /// written.
    unsafe fn take(region: *mut Self) -> Vec<u8> {
        // SAFETY: as the caller promises, this is the box and the vector of `Region::of`.
        unsafe {
            let Self { offset, capacity, length } = *Box::from_raw(region);
            let start = ptr::with_exposed_provenance_mut(offset as usize);
            Vec::from_raw_parts(start, length as usize, capacity as usize)
        }
    }
}

/// Says which interface this is, by its name.
#[unsafe(no_mangle)]
pub extern "C" fn interface_version_8() {}

/// Gives the host room for an argument.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(size: usize) -> *mut Region {
    Region::of(Vec::with_capacity(size))
}

/// Takes back what the host has read.
///
/// # Safety
/// `region` is what `query` answered with, or what `allocate` did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn deallocate(region: *mut Region) {
    // SAFETY: as the caller promises.
    drop(unsafe { Region::take(region) });
}

/// Merges the conflict in `message`. `env` is not looked at.
///
/// # Safety
/// Both came from `allocate`, and were filled by the host.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn query(env: *mut Region, message: *mut Region) -> *mut Region {
    // SAFETY: as the caller promises.
    let (_env, message) = unsafe { (Region::take(env), Region::take(message)) };
    let conflict = frame::conflict(&message);
    Region::of(frame::answer(conflict.map_or_else(|| Err("not a frame".into()), answer)))
}

fn answer(conflict: Conflict<&[u8]>) -> Result<Option<Vec<u8>>, MergeError> {
    resolve(merge, conflict)
}
