//! The component's entry: what `#[merge_function]` expands to on wasm32 uses this, nobody else.
//!
//! Written by hand, as `world merge-function` of wit/merge.wit is the only one there is: a
//! generator, with all that it is made of, would take most of the time of a function's first
//! build. What follows is the world in the canonical ABI with 32-bit memory. A conflict is too
//! large to be passed as core values, and a result to be returned as them: `merge` is given a
//! pointer and returns one. All that the host writes lies in blocks from `cabi_realloc`, and they
//! are the function's from then on.
//!
//! What the ABI promises is taken for granted: pointers and lengths of such blocks, text in UTF-8,
//! tags in range. The engine sees to that, and a guest that it lied to could harm only itself.

use std::alloc::{self, Layout};
use std::arch::wasm32;
use std::mem::{self, MaybeUninit, offset_of};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::conflict::{Conflict, MergeError, Operation, Side};

pub use crate::__export_merge as export;
#[cfg(not(all(target_os = "unknown", feature = "bump-allocator")))]
pub use crate::release::release;
pub use crate::world::WORLD;

/// A `string` or a `list<u8>`.
#[repr(C)]
struct Block {
    start: *mut u8,
    length: usize,
}

/// An `option<list<u8>>`: only where the tag is 1 is the block written.
#[repr(C)]
struct MaybeBlock {
    tag: u8,
    block: MaybeUninit<Block>,
}

#[repr(C)]
struct AbiSide {
    region: Block,
    hlc: u64,
    operation: u8,
    image: MaybeBlock,
}

/// The argument of `merge`.
#[repr(C)]
pub struct AbiConflict {
    table: Block,
    row_pk: Block,
    ancestor: MaybeBlock,
    older: AbiSide,
    newer: AbiSide,
}

const _: () = {
    assert!(offset_of!(MaybeBlock, block) == 4);
    assert!(offset_of!(AbiSide, hlc) == 8 && offset_of!(AbiSide, operation) == 16);
    assert!(offset_of!(AbiSide, image) == 20 && size_of::<AbiSide>() == 32);
    assert!(offset_of!(AbiConflict, row_pk) == 8 && offset_of!(AbiConflict, ancestor) == 16);
    assert!(offset_of!(AbiConflict, older) == 32 && offset_of!(AbiConflict, newer) == 64);
    assert!(size_of::<AbiConflict>() == 96 && align_of::<AbiConflict>() == 8);
};

/// The result of `merge`, in words:
/// - a row: 0, 1, where it starts, its length in bytes
/// - no row: 0, 0
/// - an error: 1, where the text starts, its length in bytes
///
/// The tags are bytes, and the memory is little-endian: a word holds its tag and the padding.
pub type AbiAnswer = [usize; 4];

impl Block {
    /// # Safety
    /// The block is from `cabi_realloc`, and nobody else has it.
    unsafe fn bytes(self) -> Vec<u8> {
        // SAFETY: `cabi_realloc` takes blocks of bytes from the global allocator by this layout;
        // one of length 0 is only an aligned address, as in any empty vector.
        unsafe { Vec::from_raw_parts(self.start, self.length, self.length) }
    }

    /// # Safety
    /// As [`bytes`](Self::bytes), and the block is a `string`.
    unsafe fn text(self) -> String {
        // SAFETY: as the caller promises; the world's strings are UTF-8, as WORLD says.
        unsafe { String::from_utf8_unchecked(self.bytes()) }
    }
}

impl MaybeBlock {
    /// # Safety
    /// As [`Block::bytes`], where there is a block.
    unsafe fn bytes(self) -> Option<Vec<u8>> {
        // SAFETY: the block is written where the tag says so; the rest is as the caller promises.
        (self.tag != 0).then(|| unsafe { self.block.assume_init().bytes() })
    }
}

impl AbiSide {
    /// # Safety
    /// As [`Block::bytes`], for all blocks of the side.
    unsafe fn lift(self) -> Side<Vec<u8>> {
        let operation = match self.operation {
            0 => Operation::Insert,
            1 => Operation::Update,
            _ => Operation::Delete,
        };
        // SAFETY: as the caller promises.
        let (region, image) = unsafe { (self.region.text(), self.image.bytes()) };
        Side { region, hlc: self.hlc, operation, image }
    }
}

/// The whole of a call: the conflict is lifted, resolved over borrowed images, and the answer
/// lowered.
///
/// # Safety
/// `conflict` is what the host passed to `merge`, for the first time.
pub unsafe fn call(
    conflict: *mut AbiConflict,
    resolve: impl FnOnce(Conflict<&[u8]>) -> Result<Option<Vec<u8>>, MergeError>,
) -> *mut AbiAnswer {
    run_constructors();
    // SAFETY: the host took this block by `cabi_realloc`, so by the layout of a box, wrote a whole
    // conflict into it, and has done with it and with the blocks that it points to.
    let (table, row_pk, ancestor, mut older, mut newer) = unsafe {
        let AbiConflict { table, row_pk, ancestor, older, newer } = *Box::from_raw(conflict);
        (table.text(), row_pk.text(), ancestor.bytes(), older.lift(), newer.lift())
    };
    let answer = resolve(Conflict {
        table,
        row_pk,
        ancestor: ancestor.as_deref(),
        older: borrow(&mut older),
        newer: borrow(&mut newer),
    });
    Box::into_raw(Box::new(match answer {
        Ok(None) => [0; 4],
        Ok(Some(row)) => {
            let (start, length) = lower(row);
            [0, 1, start, length]
        }
        Err(error) => {
            let (start, length) = lower(String::from(error).into_bytes());
            [1, start, length, 0]
        }
    }))
}

/// The side over its image. The region is moved out, the image stays.
fn borrow(side: &mut Side<Vec<u8>>) -> Side<&[u8]> {
    Side {
        region: mem::take(&mut side.region),
        hlc: side.hlc,
        operation: side.operation,
        image: side.image.as_deref(),
    }
}

/// Where the bytes start, and how many there are. They are the host's to read until it calls
/// `cabi_post_merge`, which a component whose memory is never given back doesn't export.
fn lower(bytes: Vec<u8>) -> (usize, usize) {
    let bytes = Box::leak(bytes.into_boxed_slice());
    (bytes.as_mut_ptr().expose_provenance(), bytes.len())
}

/// How the host takes memory. The target's own libraries bring a weaker symbol of this name, or
/// none.
///
/// # Safety
/// The canonical ABI's: `old` is null with length 0, or a block of that length and alignment from
/// here; `align` is a power of two.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_length: usize,
    align: usize,
    length: usize,
) -> *mut u8 {
    if length == 0 {
        return ptr::without_provenance_mut(align);
    }
    let Ok(layout) = Layout::from_size_align(length, align) else { wasm32::unreachable() };
    // SAFETY: the layout isn't empty, and the old block came about in the same way, so that its
    // own layout was checked when it was taken.
    let block = unsafe {
        match old_length {
            0 => alloc::alloc(layout),
            _ => {
                let old_layout = Layout::from_size_align_unchecked(old_length, align);
                alloc::realloc(old, old_layout, length)
            }
        }
    };
    if block.is_null() {
        // Out of memory: a trap without words, as those would take memory too.
        wasm32::unreachable();
    }
    block
}

/// Runs static constructors, such as those of a library in C, on an instance's first call. To name
/// the linker's function keeps the linker from running it before each export, `cabi_realloc` too.
fn run_constructors() {
    static RAN: AtomicBool = AtomicBool::new(false);
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    if !RAN.swap(true, Ordering::Relaxed) {
        // SAFETY: made by the linker, for one call before any other code.
        unsafe { __wasm_call_ctors() }
    }
}

/// Exports a component's one merge function, given a name for it and the way to resolve a
/// conflict. Expanded in the author's crate, so that a crate without a merge function doesn't
/// claim the world.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_merge {
    ($merge:path) => {
        const _: () = {
            #[unsafe(link_section = "component-type:syncline-sdk")]
            static WORLD: [u8; $crate::component::WORLD.len()] = *$crate::component::WORLD;

            #[unsafe(export_name = "merge")]
            unsafe extern "C" fn entry(
                conflict: *mut $crate::component::AbiConflict,
            ) -> *mut $crate::component::AbiAnswer {
                // SAFETY: the host calls this, with what it wrote for it.
                unsafe {
                    $crate::component::call(conflict, |conflict| $crate::resolve($merge, conflict))
                }
            }

            $crate::__export_post_merge!();
        };
    };
}
