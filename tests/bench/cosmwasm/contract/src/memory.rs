//! Stands in for the instructions of bulk memory, which CosmWasm refuses.
//!
//! The standard library's own functions are no help: they are compiled to these very instructions.
//! Writes are volatile, or the compiler would see what the loops do and call those functions.

use std::ptr::{read_unaligned, write_volatile};

const WORD: usize = size_of::<u64>();

/// What takes the place of the instruction `memory.copy`.
///
/// # Safety
/// As of [`std::ptr::copy`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memory_copy(to: *mut u8, from: *const u8, length: usize) {
    // Below 0 wraps to far above any length: then the target's start is not inside the source.
    let ahead = to.addr().wrapping_sub(from.addr());
    // SAFETY: as the caller promises; each step stays within `length` of both.
    unsafe {
        if ahead >= length {
            let mut at = 0;
            while at < length && (to.addr() + at) % WORD > 0 {
                write_volatile(to.add(at), *from.add(at));
                at += 1;
            }
            while at + WORD <= length {
                write_volatile(to.add(at).cast(), read_unaligned(from.add(at).cast::<u64>()));
                at += WORD;
            }
            while at < length {
                write_volatile(to.add(at), *from.add(at));
                at += 1;
            }
        } else {
            let mut left = length;
            while left > 0 && (to.addr() + left) % WORD > 0 {
                left -= 1;
                write_volatile(to.add(left), *from.add(left));
            }
            while left >= WORD {
                left -= WORD;
                write_volatile(to.add(left).cast(), read_unaligned(from.add(left).cast::<u64>()));
            }
            while left > 0 {
                left -= 1;
                write_volatile(to.add(left), *from.add(left));
            }
        }
    }
}

/// What takes the place of the instruction `memory.fill`.
///
/// # Safety
/// As of [`std::ptr::write_bytes`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memory_fill(to: *mut u8, value: u32, length: usize) {
    let byte = value as u8;
    let word = u64::from_le_bytes([byte; WORD]);
    // SAFETY: as the caller promises; each step stays within `length`.
    unsafe {
        let mut at = 0;
        while at < length && (to.addr() + at) % WORD > 0 {
            write_volatile(to.add(at), byte);
            at += 1;
        }
        while at + WORD <= length {
            write_volatile(to.add(at).cast(), word);
            at += WORD;
        }
        while at < length {
            write_volatile(to.add(at), byte);
            at += 1;
        }
    }
}
