//! An allocator for an instance that serves one call: a pointer that moves up.
//!
//! What makes a fresh instance dear is the memory pages that it touches. A general allocator touches
//! its own tables and spreads its blocks; this one keeps its state in one word and lays blocks end to
//! end from the heap's start.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::Cell;
use std::ptr;

const PAGE: usize = 64 << 10;

unsafe extern "C" {
    /// Where the linker put the end of data and stack; only its address means something.
    static __heap_base: u8;
}

struct Bump {
    /// The first free address, 0 before the first allocation.
    next: Cell<usize>,
}

// SAFETY: the world has no threads, and a build with the atomics feature is refused below, so there
// is never a second thread that could share this.
unsafe impl Sync for Bump {}

#[cfg(target_feature = "atomics")]
compile_error!("the bump allocator is for one thread: switch the feature `bump-allocator` off");

impl Bump {
    fn next(&self) -> usize {
        match self.next.get() {
            0 => (&raw const __heap_base).addr(),
            next => next,
        }
    }

    fn is_last(&self, block: *mut u8, layout: Layout) -> bool {
        block.addr() + layout.size() == self.next()
    }
}

// SAFETY: a block lies between `next` before and after, so no two blocks overlap, is inside memory,
// as memory is grown to hold it, and is aligned as asked. Nothing here unwinds.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // `align` is a power of two; a `next` near the end of memory must not wrap.
        let mask = layout.align() - 1;
        let Some(start) = self.next().checked_add(mask).map(|end| end & !mask) else {
            return ptr::null_mut();
        };
        let Some(end) = start.checked_add(layout.size()) else { return ptr::null_mut() };
        let pages = end.div_ceil(PAGE);
        let have = memory_size(0);
        if pages > have && memory_grow(0, pages - have) == usize::MAX {
            return ptr::null_mut();
        }
        self.next.set(end);
        ptr::with_exposed_provenance_mut(start)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Only the last block can be given back, which is what a scratch buffer usually is.
        if self.is_last(block, layout) {
            self.next.set(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size`, rounded up to the alignment, fits an isize.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if self.is_last(block, layout) {
            let end = self.next();
            self.next.set(block.addr());
            // SAFETY: `wanted` is as the caller promised. The block's start is aligned already, so
            // the answer is the same place: a vector grows without a copy.
            let grown = unsafe { self.alloc(wanted) };
            if grown.is_null() {
                self.next.set(end);
            }
            return grown;
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: as above; the new block doesn't overlap the old one, and both hold at least
        // `layout.size()` bytes, as `size` is larger.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size());
            }
            moved
        }
    }
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { next: Cell::new(0) };

/// The host isn't asked to call back once it has read an answer: nothing could be given back.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_post_merge {
    () => {};
}
